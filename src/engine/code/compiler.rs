//! From Wasm to machine code: by a compiler, or from the shelf.

use std::hash::{Hash as _, Hasher};
use std::time::Instant;

use sha2::{Digest as _, Sha256};
use wasmtime::Module;

use super::{CompileError, Digest, Effort, Origin, Shelf, Tier, check_magic, load};
use crate::engine::snapshot::image::{self, Split};
use crate::engine::{Engine, background};
use crate::telemetry::{self, Level};

/// What some code is compiled by and for.
pub(super) struct Compiler<'a> {
    pub(super) engine: &'a Engine,
    pub(super) shelf: Option<&'a dyn Shelf>,
    /// For what has to be compiled.
    pub(super) effort: Effort,
    /// What a user gave, whatever it was made into before it comes here.
    pub(super) of: Digest,
}

/// What became of some bytes.
pub(super) struct Compiled {
    pub(super) module: Module,
    pub(super) origin: Origin,
    pub(super) tier: Tier,
}

impl Compiler<'_> {
    /// The compiled code of some bytes with that digest: from the shelf, or compiled and put there.
    pub(super) fn obtain(&self, bytes: &[u8], digest: Digest) -> Result<Compiled, CompileError> {
        let began = Instant::now();
        let place = self.shelf.map(|shelf| (shelf, self.key(digest)));
        if let Some(compiled) = place.and_then(|(shelf, key)| shelf.take(&key)) {
            match load(self.engine, &compiled) {
                Ok(module) => return Ok(self.found(module, began)),
                Err(error) => {
                    let line = format_args!(
                        "graft: code {} from the cache does not fit ({error:#}); it is compiled",
                        self.of
                    );
                    telemetry::log(Level::Info, line);
                }
            }
        }
        let began = Instant::now();
        if self.effort.tier == Tier::Baseline
            && let Ok(module) = load(self.engine, &self.compile_baseline(bytes)?)
        {
            return Ok(self.made(module, Tier::Baseline, began));
        }
        let compiled = self.made(self.compile(bytes)?, Tier::Optimized, began);
        if let Some((shelf, key)) = place {
            match compiled.module.serialize() {
                Ok(bytes) => shelf.put(&key, &bytes),
                Err(error) => self.not_kept(&error),
            }
        }
        Ok(compiled)
    }

    /// The same for a snapshot, whose memory is put into what lies on the shelf; see [`image`].
    pub(super) fn obtain_snapshot(&self, bytes: &[u8]) -> Result<Compiled, CompileError> {
        let began = Instant::now();
        if let Some((cache, split)) = self.shelf.zip(image::split(bytes)) {
            let key = self.key(Digest::of(&split.code));
            if let Some(module) = cache.take(&key).and_then(|compiled| self.filled(&split, compiled)) {
                return Ok(self.found(module, began));
            }
            if self.effort.tier == Tier::Optimized
                && let Some(compiled) = self.compile_and_keep(&split, cache, &key)?
            {
                return Ok(compiled);
            }
        }
        // Kept as it is, its memory would be on disk, and seldom found again.
        let kept_nowhere = Compiler { shelf: None, ..*self };
        kept_nowhere.obtain(bytes, Digest::of(bytes))
    }

    /// Compiles a snapshot's code without its memory, and keeps it if the memory can be put there afterwards.
    fn compile_and_keep(
        &self,
        split: &Split,
        cache: &dyn Shelf,
        key: &[u8; 32],
    ) -> Result<Option<Compiled>, CompileError> {
        let began = Instant::now();
        let compiled = match self.compile(&split.code)?.serialize() {
            Ok(compiled) => compiled,
            Err(error) => {
                self.not_kept(&error);
                return Ok(None);
            }
        };
        let Some(module) = self.filled(split, compiled.clone()) else {
            let line = format_args!(
                "graft: code {} cannot be kept: its memory has no place in what it was compiled to",
                self.of
            );
            telemetry::log(Level::Warn, line);
            return Ok(None);
        };
        cache.put(key, &compiled);
        Ok(Some(self.made(module, Tier::Optimized, began)))
    }

    /// Compiled code of a snapshot, with its memory.
    fn filled(&self, split: &Split, mut compiled: Vec<u8>) -> Option<Module> {
        if split.fill(&mut compiled) { load(self.engine, &compiled).ok() } else { None }
    }

    /// Compiles with all optimisations.
    pub(super) fn compile(&self, bytes: &[u8]) -> Result<Module, CompileError> {
        check_magic(bytes)?;
        self.run(|| Module::from_binary(self.engine.handle(), bytes))
    }

    /// Compiles quickly.
    fn compile_baseline(&self, bytes: &[u8]) -> Result<Vec<u8>, CompileError> {
        check_magic(bytes)?;
        self.run(|| self.engine.baseline().precompile_module(bytes))
    }

    fn run<R: Send>(&self, compile: impl FnOnce() -> wasmtime::Result<R> + Send) -> Result<R, CompileError> {
        let compiled = if self.effort.is_background { background::compile(compile) } else { compile() };
        compiled.map_err(|error| invalid(&error))
    }

    fn found(&self, module: Module, began: Instant) -> Compiled {
        let origin = Origin::Cached(began.elapsed());
        let line = format_args!(
            "graft: code {} loaded from the cache in {} ms",
            self.of,
            began.elapsed().as_millis()
        );
        telemetry::log(Level::Info, line);
        Compiled { module, origin, tier: Tier::Optimized }
    }

    fn made(&self, module: Module, tier: Tier, began: Instant) -> Compiled {
        let origin = Origin::Compiled(began.elapsed());
        let how = match tier {
            Tier::Baseline => ", quickly",
            Tier::Optimized => "",
        };
        let line =
            format_args!("graft: code {} compiled in {} ms{how}", self.of, began.elapsed().as_millis());
        telemetry::log(Level::Info, line);
        Compiled { module, origin, tier }
    }

    fn not_kept(&self, error: &wasmtime::Error) {
        telemetry::log(Level::Warn, format_args!("graft: code {} cannot be kept ({error:#})", self.of));
    }

    /// Under what compiled code lies. Other settings, another wasmtime or another processor have other keys, so that
    /// processes that share a cache do not throw each other's code away.
    fn key(&self, digest: Digest) -> [u8; 32] {
        struct Writer(Sha256);
        impl Hasher for Writer {
            fn write(&mut self, bytes: &[u8]) {
                self.0.update(bytes);
            }
            fn finish(&self) -> u64 {
                0
            }
        }
        let mut writer = Writer(Sha256::new());
        writer.write(b"graft compiled code\0");
        writer.write(digest.as_bytes());
        self.engine.handle().precompile_compatibility_hash().hash(&mut writer);
        writer.0.finalize().into()
    }
}

/// wasmtime wraps the validator's message in where it came from; users need the innermost part.
fn invalid(error: &wasmtime::Error) -> CompileError {
    let innermost = error.chain().last();
    CompileError::Invalid { reason: innermost.map_or_else(|| error.to_string(), ToString::to_string) }
}
