//! The files that the tests need and do not build: Envoys, plugins, the library.
//!
//! A file that is missing fails the test with the command that makes it. Nothing is ever skipped.

use std::path::{Path, PathBuf};

/// The folder that Cargo and the Makefile build into.
fn target() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target")
}

fn must_exist(path: PathBuf, command: &str) -> PathBuf {
    assert!(path.is_file(), "{} is missing; make it with `{command}`", path.display());
    path
}

/// A stock Envoy.
pub fn envoy(version: &str) -> PathBuf {
    must_exist(target().join("envoy").join(version).join("envoy"), "make envoys")
}

/// A plugin of this repository, built from source.
pub fn plugin(name: &str) -> PathBuf {
    must_exist(target().join("plugins").join(format!("{name}.wasm")), "make plugins")
}

/// The library under test.
pub fn module() -> PathBuf {
    must_exist(module_path(), "make build")
}

/// The folder in which an Envoy finds the library by its name.
pub fn module_folder() -> PathBuf {
    module_path().parent().map(Path::to_owned).unwrap_or_default()
}

/// `$GRAFT_MODULE` (a file of the name `libgraft.so`), or what `make build` made.
fn module_path() -> PathBuf {
    std::env::var_os("GRAFT_MODULE")
        .map_or_else(|| target().join("release").join("libgraft.so"), PathBuf::from)
}

/// A page of the documentation.
pub fn page(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)
}

/// The cache of all Envoys of the tests: what one story has compiled the next one loads.
pub fn cache_folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache")
}
