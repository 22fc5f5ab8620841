//! Code: Wasm bytes and what they compile to.
//!
//! Identity is the digest of the bytes, so two plugins with the same file share one compilation whatever path
//! or name they came by.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use wasmtime::{ExternType, Instance, Module, Store};

use super::Engine;
use super::snapshot::{self, SnapshotError};

/// The first bytes of every core Wasm module: `\0asm` and version 1.
const MAGIC: &[u8] = b"\0asm\x01\0\0\0";

/// SHA-256 of Wasm bytes. Shown in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The raw digest.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "sha256:{self}")
    }
}

/// Why bytes did not become code.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The bytes do not start like a Wasm module.
    #[error("{found}, expected a Wasm module (it starts with the bytes 00 61 73 6d 01 00 00 00)")]
    NotWasm {
        /// What the bytes look like.
        found: String,
    },
    /// The bytes start like a module, and are not a valid one for this engine.
    #[error("an invalid Wasm module: {reason}, expected a valid core module")]
    Invalid {
        /// The validator's words, with the offset.
        reason: String,
    },
    /// The code cannot be what snapshots are taken of.
    #[error("the code {0}")]
    Snapshot(#[from] SnapshotError),
}

/// A compiled module. Cheap to clone; shared by all threads.
#[derive(Clone)]
pub struct Code {
    digest: Digest,
    module: Module,
    /// The bytes, of code that snapshots can be taken of.
    bytes: Option<Arc<[u8]>>,
}

impl Code {
    /// Validates and compiles. Uses every core for as long as it takes (about a second for 3 MB), so it must not
    /// run where traffic waits.
    ///
    /// # Errors
    /// [`CompileError`] says what the bytes are instead.
    pub fn compile(engine: &Engine, bytes: &[u8]) -> Result<Self, CompileError> {
        let module = compile(engine, bytes)?;
        Ok(Self { digest: Digest::of(bytes), module, bytes: None })
    }

    /// The same for code whose instances are copied: [`snapshot`](Self::snapshot).
    ///
    /// # Errors
    /// As for [`compile`](Self::compile); or the code has state that cannot be copied.
    pub fn compile_for_snapshots(engine: &Engine, bytes: &[u8]) -> Result<Self, CompileError> {
        // First, for the error that users know.
        if !bytes.starts_with(MAGIC) {
            return Err(CompileError::NotWasm { found: describe(bytes) });
        }
        let instrumented = match snapshot::instrument(bytes) {
            Ok(instrumented) => instrumented,
            // What is no valid code at all is not to be blamed on the isolation.
            Err(error) => return Err(compile(engine, bytes).err().unwrap_or_else(|| error.into())),
        };
        let module = compile(engine, &instrumented)?;
        Ok(Self { digest: Digest::of(bytes), module, bytes: Some(bytes.into()) })
    }

    /// Code whose new instances begin where an instance of this code is now. Takes as long as [`compile`](Self::compile).
    ///
    /// # Errors
    /// This code was not compiled for snapshots, or the instance is not of it.
    pub fn snapshot<T: 'static>(
        &self,
        engine: &Engine,
        store: &mut Store<T>,
        instance: Instance,
    ) -> Result<Self, CompileError> {
        let original = self.bytes.as_deref().unwrap_or_default();
        let module = compile(engine, &snapshot::take(original, store, instance)?)?;
        Ok(Self { digest: self.digest, module, bytes: None })
    }

    /// The identity of the bytes that a user gave.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Whether snapshots can be taken of its instances.
    pub fn is_for_snapshots(&self) -> bool {
        self.bytes.is_some()
    }

    /// wasmtime's module, for the linker of `host`.
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// The names of exported functions, in the order of the export section.
    pub fn exported_functions(&self) -> impl Iterator<Item = &str> {
        self.module
            .exports()
            .filter_map(|export| matches!(export.ty(), ExternType::Func(_)).then_some(export.name()))
    }
}

fn compile(engine: &Engine, bytes: &[u8]) -> Result<Module, CompileError> {
    if !bytes.starts_with(MAGIC) {
        return Err(CompileError::NotWasm { found: describe(bytes) });
    }
    Module::from_binary(engine.handle(), bytes)
        .map_err(|error| CompileError::Invalid { reason: root_cause(&error) })
}

impl fmt::Debug for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Code").field(&self.digest).finish()
    }
}

/// wasmtime wraps the validator's message in where it came from; users need the innermost part.
fn root_cause(error: &wasmtime::Error) -> String {
    error.chain().last().map_or_else(|| error.to_string(), ToString::to_string)
}

/// Says what bytes look like, for those who configured the wrong file.
fn describe(bytes: &[u8]) -> String {
    const KNOWN: &[(&[u8], &str)] = &[
        (b"\0asm\x0d\0\x01\0", "a Wasm component"),
        (b"\0asm", "a Wasm binary of an unknown version"),
        (b"\x7fELF", "an ELF file (a native library or a precompiled module)"),
        (b"\x1f\x8b", "a gzip file"),
        (b"PK\x03\x04", "a zip file"),
        (b"(module", "Wasm in text form"),
        (b"<", "an HTML or XML page"),
    ];
    if bytes.is_empty() {
        return "an empty file".to_owned();
    }
    if let Some((_, name)) = KNOWN.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return (*name).to_owned();
    }
    let start: Vec<String> = bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{} bytes that start with {}", bytes.len(), start.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(bytes: &[u8]) -> Result<Code, CompileError> {
        Code::compile(&Engine::new().unwrap(), bytes)
    }

    #[test]
    fn bytes_that_are_no_module_are_named_for_what_they_are() {
        for (bytes, expected) in [
            (&b""[..], "an empty file, expected a Wasm module"),
            (b"\x7fELF....", "an ELF file"),
            (b"\x1f\x8b\x08", "a gzip file"),
            (b"\0asm\x0d\0\x01\0", "a Wasm component"),
            (b"hello world", "11 bytes that start with 68 65 6c 6c 6f 20 77 6f"),
        ] {
            let message = compile(bytes).unwrap_err().to_string();
            assert!(message.starts_with(expected), "{message}");
        }
    }

    #[test]
    fn a_truncated_module_says_where_it_breaks() {
        let wasm = wat::parse_str("(module (func (export \"f\") (result i32) (i32.const 1)))").unwrap();
        let message = compile(&wasm[..wasm.len() - 3]).unwrap_err().to_string();
        assert!(message.contains("an invalid Wasm module") && message.contains("offset"), "{message}");
    }

    #[test]
    fn exported_functions_keep_the_order_of_the_section() {
        let wasm = wat::parse_str(
            r#"(module (memory (export "memory") 1) (func (export "b")) (func (export "a")) (func (export "c")))"#,
        )
        .unwrap();
        let code = compile(&wasm).unwrap();
        assert_eq!(code.exported_functions().collect::<Vec<_>>(), ["b", "a", "c"]);
        assert_eq!(code.digest(), Digest::of(&wasm));
        assert_eq!(code.digest().to_string().len(), 64);
    }
}
