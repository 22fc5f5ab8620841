//! The files that the benchmark needs: those that other tasks make, and the native module, which it makes itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::{Doing as _, Outcome, fail};

/// The release that is measured: the newest, which has the built-in filter too.
pub const ENVOY: &str = "1.40.0";

#[derive(Debug)]
pub struct Files {
    pub envoy: PathBuf,
    pub graft: PathBuf,
    pub native: PathBuf,
    /// Where results, configurations and logs go.
    pub folder: PathBuf,
    plugins: PathBuf,
}

impl Files {
    /// Finds everything, or says which command makes it.
    pub fn find() -> Outcome<Self> {
        let target = root().join("target");
        let folder = target.join("bench");
        fs::create_dir_all(&folder).doing(format!("making {}", folder.display()))?;
        let graft = std::env::var_os("GRAFT_MODULE")
            .map_or_else(|| target.join("release").join("libgraft.so"), PathBuf::from);
        Ok(Self {
            envoy: must_exist(target.join("envoy").join(ENVOY).join("envoy"), "make envoys")?,
            graft: must_exist(graft, "make build")?,
            native: build_native(&folder)?,
            plugins: target.join("plugins"),
            folder,
        })
    }

    pub fn plugin(&self, name: &str) -> Outcome<PathBuf> {
        let command = "tools/plugins examples/plugins benches/envoy/plugins";
        must_exist(self.plugins.join(format!("{name}.wasm")), command)
    }
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn must_exist(path: PathBuf, command: &str) -> Outcome<PathBuf> {
    if path.is_file() {
        Ok(path)
    } else {
        fail(format!("{} is missing; make it with `{command}`", path.display()))
    }
}

fn build_native(folder: &Path) -> Outcome<PathBuf> {
    let module = folder.join("libnative.so");
    let status = Command::new("cc")
        .args(["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-I"])
        .arg(root().join("include"))
        .arg(root().join("benches/envoy/native/filter.c"))
        .arg("-o")
        .arg(&module)
        .status()
        .doing("no C compiler `cc`; tools/packages installs one")?;
    if status.success() { Ok(module) } else { fail("benches/envoy/native/filter.c does not compile") }
}
