//! The documentation, held to what it describes.
//!
//! A page that names a hostcall, a hook, a file, a task or a setting is wrong as soon as one of them changes. So what can
//! be checked is checked here:
//!
//! - [`markdown`]: a page as its parts: sections, tables, links, blocks of code.
//! - [`references`]: links lead somewhere; files, tasks, tests and scenarios that a page names exist.
//! - [`support`]: a registry and its clients, for the bootstrap that wants one; the folder `tests/support`.
//! - [`tables`]: each table has exactly the rows that the code has.
//! - [`examples`]: the configurations that pages show load into a stock Envoy, and the bootstraps of `envoy/` do what
//!   their comments say.
//!
//! The examples of `docs/CONFIG.md` are read by unit tests of the layer that they describe.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "a test that meets the unexpected fails, and its items are nobody's interface"
)]

#[path = "docs/envoy.rs"]
mod envoy;
#[path = "docs/examples.rs"]
mod examples;
#[path = "docs/markdown.rs"]
mod markdown;
#[path = "docs/references.rs"]
mod references;
#[path = "support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "what other test binaries use of it differs")]
mod support;
#[path = "docs/tables.rs"]
mod tables;

use std::fs;
use std::path::{Path, PathBuf};

/// The folder of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The text of a file of the repository.
pub fn text(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A file that other tasks make; its absence is a failure that names the task.
pub fn made(path: PathBuf, task: &str) -> PathBuf {
    assert!(path.is_file(), "{} is missing; make it with `make {task}`", path.display());
    path
}
