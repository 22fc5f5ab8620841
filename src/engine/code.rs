//! Code: Wasm bytes and what they compile to.
//!
//! Identity is the digest of the bytes, so two plugins with the same file share one compilation whatever path
//! or name they came by.
//!
//! There are two compilers, the *tiers*: one that takes a third of the time, and one whose code runs faster. Either's code
//! runs in the same engine.
//!
//! Compiling takes seconds where loading what was compiled takes milliseconds. So whoever compiles may have a [`Shelf`],
//! on which compiled code lies under a key: what was compiled, by which engine, with which settings, for which
//! processor.

mod compiler;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use wasmtime::{ExternType, Instance, Module, Store};

use self::compiler::{Compiled, Compiler};
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

/// Wasm bytes and their identity, which is worked out once: it takes a millisecond for each 1.5 MB.
pub struct Wasm {
    bytes: Vec<u8>,
    digest: Digest,
}

impl Wasm {
    /// Bytes that may be anything.
    pub fn new(bytes: Vec<u8>) -> Self {
        let digest = Digest::of(&bytes);
        Self { bytes, digest }
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Their digest.
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

impl fmt::Debug for Wasm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Wasm").field(&self.digest).finish()
    }
}

/// How much the compiler does for code; the terms are those of browsers' engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Tier {
    /// Compiled in 0.4 of the time; runs slower and takes about twice the memory. Not kept on a [`Shelf`].
    Baseline,
    /// Compiled with all optimisations.
    Optimized,
}

/// How code is compiled that does not lie on a [`Shelf`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// What comes of it.
    pub tier: Tier,
    /// On threads that leave their processors to others: nobody waits for it.
    pub is_background: bool,
}

impl Effort {
    /// All optimisations, for somebody who waits.
    pub const FULL: Self = Self { tier: Tier::Optimized, is_background: false };
    /// All optimisations, for nobody who waits.
    pub const BACKGROUND: Self = Self { tier: Tier::Optimized, is_background: true };
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

/// Where compiled code lies between two processes.
///
/// What is taken is *run*: whoever implements this answers for it that the bytes are, one by one, those that were put
/// under this key by this user (F16 of `docs/SAFETY.md`).
pub trait Shelf: Send + Sync {
    /// What was put under a key.
    fn take(&self, key: &[u8; 32]) -> Option<Vec<u8>>;
    /// Puts compiled code there, in place of what is there. It may fail; then it is not there.
    fn put(&self, key: &[u8; 32], compiled: &[u8]);
}

/// Where the machine code of a [`Code`] came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was compiled, in this time.
    Compiled(Duration),
    /// It lay on the shelf, and was loaded in this time.
    Cached(Duration),
}

/// A compiled module. Cheap to clone; shared by all threads.
#[derive(Clone)]
pub struct Code {
    digest: Digest,
    module: Module,
    origin: Origin,
    tier: Tier,
    /// Of code that snapshots can be taken of.
    original: Option<Original>,
    /// Of a snapshot: the function that calls others by number, by its place among the functions.
    dispatcher: Option<u32>,
}

/// What a snapshot is made from, beside an instance.
#[derive(Clone)]
struct Original {
    wasm: Arc<Wasm>,
    shelf: Option<Arc<dyn Shelf>>,
    /// How it is compiled.
    effort: Effort,
}

impl Code {
    /// Validates and compiles. Uses every core for as long as it takes (about a second for 3 MB), so it must not
    /// run where traffic waits. Code that lies on the shelf is loaded in place of that, and is [`Tier::Optimized`].
    ///
    /// # Errors
    /// [`CompileError`] says what the bytes are instead.
    pub fn compile(
        engine: &Engine,
        wasm: &Wasm,
        effort: Effort,
        shelf: Option<&Arc<dyn Shelf>>,
    ) -> Result<Self, CompileError> {
        let compiler = Compiler { engine, shelf: shelf.map(|shelf| &**shelf), effort, of: wasm.digest };
        let Compiled { module, origin, tier } = compiler.obtain(&wasm.bytes, wasm.digest)?;
        Ok(Self { digest: wasm.digest, module, origin, tier, original: None, dispatcher: None })
    }

    /// The same for code whose instances are copied: [`snapshot`](Self::snapshot).
    ///
    /// # Errors
    /// As for [`compile`](Self::compile); or the code has state that cannot be copied.
    pub fn compile_for_snapshots(
        engine: &Engine,
        wasm: &Arc<Wasm>,
        effort: Effort,
        shelf: Option<&Arc<dyn Shelf>>,
    ) -> Result<Self, CompileError> {
        // First, for the error that users know.
        check_magic(&wasm.bytes)?;
        let compiler = Compiler { engine, shelf: shelf.map(|shelf| &**shelf), effort, of: wasm.digest };
        let instrumented = match snapshot::instrument(&wasm.bytes) {
            Ok(instrumented) => instrumented,
            // What is no valid code at all is not to be blamed on the isolation.
            Err(error) => return Err(compiler.compile(&wasm.bytes).err().unwrap_or_else(|| error.into())),
        };
        let original = Original { wasm: Arc::clone(wasm), shelf: shelf.cloned(), effort };
        let Compiled { module, origin, tier } = compiler.obtain(&instrumented, Digest::of(&instrumented))?;
        let original = Some(original);
        Ok(Self { digest: wasm.digest, module, origin, tier, original, dispatcher: None })
    }

    /// Code whose new instances begin where an instance of this code is now. Takes as long as [`compile`](Self::compile).
    /// Functions of these names can be called by the number of their place through its [dispatcher](Self::dispatcher).
    ///
    /// # Errors
    /// This code was not compiled for snapshots, or the instance is not of it.
    pub fn snapshot<T: 'static>(
        &self,
        engine: &Engine,
        store: &mut Store<T>,
        instance: Instance,
        called: &[&str],
    ) -> Result<Self, CompileError> {
        let original = self.original.as_ref();
        let bytes = original.map(|original| original.wasm.bytes()).unwrap_or_default();
        let taken = snapshot::take(bytes, store, instance, called)?;
        let compiler = Compiler {
            engine,
            shelf: original.and_then(|original| original.shelf.as_deref()),
            effort: original.map_or(Effort::FULL, |original| original.effort),
            of: self.digest,
        };
        let Compiled { module, origin, tier } = compiler.obtain_snapshot(&taken.bytes)?;
        Ok(Self { digest: self.digest, module, origin, tier, original: None, dispatcher: taken.dispatcher })
    }

    /// The identity of the bytes that a user gave.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Whether snapshots can be taken of its instances.
    pub fn is_for_snapshots(&self) -> bool {
        self.original.is_some()
    }

    /// The place of its [dispatcher](super::snapshot::dispatcher), if it is a snapshot and has one.
    pub fn dispatcher(&self) -> Option<u32> {
        self.dispatcher
    }

    /// Where its machine code came from.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// Which compiler made it.
    pub fn tier(&self) -> Tier {
        self.tier
    }

    /// Which compiler makes snapshots of it.
    pub fn tier_of_snapshots(&self) -> Tier {
        self.original.as_ref().map_or(self.tier, |original| original.effort.tier)
    }

    /// Which compiler makes the worst of what its streams may run.
    pub fn least_tier(&self) -> Tier {
        self.tier.min(self.tier_of_snapshots())
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

impl fmt::Debug for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Code").field(&self.digest).finish()
    }
}

/// Machine code that this process has made just now, or that this user's cache held. wasmtime compares version, settings
/// and processor; it does not look at the machine code.
#[allow(unsafe_code, reason = "the one place where bytes become machine code without the compiler")]
fn load(engine: &Engine, compiled: &[u8]) -> wasmtime::Result<Module> {
    // SAFETY: F16: the bytes are those that `Module::serialize` or `Engine::precompile_module` made in a process of this
    // user, but for data of Wasm.
    unsafe { Module::deserialize(engine.handle(), compiled) }
}

fn check_magic(bytes: &[u8]) -> Result<(), CompileError> {
    if bytes.starts_with(MAGIC) { Ok(()) } else { Err(CompileError::NotWasm { found: describe(bytes) }) }
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
        Code::compile(&Engine::new().unwrap(), &Wasm::new(bytes.to_vec()), Effort::FULL, None)
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
