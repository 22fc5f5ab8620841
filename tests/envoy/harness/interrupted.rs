//! An Envoy on a machine that is busy: threads of Graft are interrupted when they have asked one of its event loops for
//! something, for long enough that all of Envoy can end meanwhile.

use std::process::Command;

use tempfile::TempDir;

use super::config::Bootstrap;

/// The library that does it, which has to live as long as the Envoy.
#[derive(Debug)]
pub struct Interrupted(TempDir);

impl Interrupted {
    /// Builds it, with the compiler that the crate is built with.
    pub fn build() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/envoy/harness/interrupted.c");
        let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
        let status = Command::new(compiler)
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(folder.path().join("interrupted.so"))
            .args([source, "-ldl"])
            .status()
            .expect("a compiler of C");
        assert!(status.success());
        Self(folder)
    }

    pub fn disturb(&self, bootstrap: Bootstrap) -> Bootstrap {
        bootstrap.variable("LD_PRELOAD", &self.0.path().join("interrupted.so").to_string_lossy())
    }
}
