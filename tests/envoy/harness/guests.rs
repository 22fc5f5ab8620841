//! Guests written as text beside the assertion.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A folder of compiled guests, gone when this is dropped.
#[derive(Debug)]
pub struct Guests(TempDir);

impl Default for Guests {
    fn default() -> Self {
        Self::new()
    }
}

impl Guests {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    /// Compiles the body of a Wasm module. What every guest needs is added: the ABI marker, one page of
    /// memory, and an allocator that hands out ascending addresses from 4096 on and wraps before the page
    /// ends.
    pub fn add(&self, name: &str, body: &str) -> PathBuf {
        self.add_whole(name, &format!("(module {body} {BASE})"))
    }

    /// Compiles a whole module.
    pub fn add_whole(&self, name: &str, text: &str) -> PathBuf {
        let bytes = wat::parse_str(text).unwrap_or_else(|error| panic!("guest {name}: {error}"));
        self.add_bytes(name, &bytes)
    }

    /// Writes any bytes as if they were code. A guest of this name that was there before is replaced at once, by a move.
    pub fn add_bytes(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        let fresh = path.with_extension("fresh");
        std::fs::write(&fresh, bytes).expect("writing a guest");
        std::fs::rename(fresh, &path).expect("placing a guest");
        path
    }

    /// A file that is there and cannot be read yet, as on a file system that is being mounted. [`add_bytes`](Self::add_bytes)
    /// replaces it.
    pub fn add_unreadable(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        std::os::unix::fs::symlink("/proc/self/mem", &path).expect("placing a link");
        path
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(format!("{name}.wasm"))
    }

    /// A path in the folder at which there is nothing.
    pub fn nowhere(&self) -> PathBuf {
        Path::join(self.0.path(), "nowhere.wasm")
    }
}

const BASE: &str = r#"
  (memory (export "memory") 1)
  (global $top (mut i32) (i32.const 4096))
  (func (export "malloc") (param $size i32) (result i32)
    (local $at i32)
    (if (i32.gt_u (i32.add (global.get $top) (local.get $size)) (i32.const 65536))
      (then (global.set $top (i32.const 4096))))
    (local.set $at (global.get $top))
    (global.set $top
      (i32.and (i32.add (i32.add (global.get $top) (local.get $size)) (i32.const 7)) (i32.const -8)))
    (local.get $at))
  (func (export "proxy_abi_version_0_2_1"))
"#;
