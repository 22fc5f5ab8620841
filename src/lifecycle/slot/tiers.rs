//! Tiers: code that is large serves as soon as it is compiled quickly, and again when it is optimised.
//!
//! ```text
//!   load ──► quick generation ── published ─────────────────────────────────► drains
//!                  └── compiled once more, by a job of its own ──► optimised generation, published in its place
//! ```
//!
//! The slot's turn is free while the optimiser works: what comes meanwhile is loaded, and what the optimiser made is let
//! go if the quick generation does not serve any more.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use super::Slot;
use crate::config::CompileMode;
use crate::engine::code::{Tier, Wasm};
use crate::host::stream::{Services, Stream};
use crate::lifecycle::error::LoadError;
use crate::lifecycle::generation::Generation;
use crate::lifecycle::inventory::Use;
use crate::lifecycle::loader::Works;
use crate::telemetry::{self, Level};

/// Bytes of code above which a quick start is worth that the plugin starts twice. The optimiser takes half a second for as
/// many, on two cores.
const LARGE: usize = 1024 * 1024;

/// What is to be compiled once more.
pub(super) struct Quick<S: Stream> {
    wasm: Arc<Wasm>,
    generation: Weak<Generation<S>>,
}

impl<S: Stream> Slot<S> {
    /// What code has at least when it serves first.
    pub(super) fn first_tier(&self, works: &Works<S>, wasm: &Wasm) -> Tier {
        if works.optimizes_at_once.load(Ordering::Relaxed) {
            return Tier::Optimized;
        }
        let is_quick = match self.config.graft.swap.compile {
            CompileMode::Optimized => false,
            CompileMode::Tiered => true,
            // Services have no streams that would wait for them, and their start is their work.
            CompileMode::Auto => wasm.bytes().len() >= LARGE && self.purpose == Use::Filter,
        };
        // A trial is of one generation from its beginning to its end.
        let is_for_trial = self.config.graft.swap.canary.is_some() && self.published.get().is_some();
        if is_quick && !is_for_trial { Tier::Baseline } else { Tier::Optimized }
    }

    /// A generation was made. One on trial changes nothing for the one that serves.
    pub(super) fn note_tier(&self, made: &Arc<Generation<S>>, wasm: &Arc<Wasm>) {
        if self.stable().is_some_and(|stable| Arc::ptr_eq(&stable, made)) {
            let quick = Quick { wasm: Arc::clone(wasm), generation: Arc::downgrade(made) };
            self.progress.lock().quick = (made.tier() == Tier::Baseline).then_some(quick);
        }
    }

    /// Whether there is something to optimise now.
    pub(in crate::lifecycle) fn is_to_be_optimized(&self) -> bool {
        let progress = self.progress.lock();
        progress.quick.is_some() && progress.trial.is_none()
    }

    /// Compiles what serves once more, and has the outcome serve in its place. Takes as long as the optimiser does.
    pub(in crate::lifecycle) fn optimize(&self, works: &Works<S>) {
        let Some(quick) = self.progress.lock().quick.take() else { return };
        if !self.is_used() || quick.generation.strong_count() == 0 {
            return;
        }
        let wasm = &quick.wasm;
        let made = works.inventory.in_background(|| self.edition(works, wasm, Tier::Optimized, |_step| ()));
        let mut progress = self.progress.lock();
        let stable = self.stable().filter(|stable| Arc::as_ptr(stable) == quick.generation.as_ptr());
        let Some(stable) = stable else { return };
        if progress.trial.is_some() {
            // What was made is in the cache, if there is one; it comes when the trial is over, if it is wanted then.
            progress.quick = Some(quick);
            return;
        }
        let made = match made {
            Ok(made) => made,
            Err(error) => {
                drop(progress);
                return self.stays_quick(&stable, &error);
            }
        };
        let (number, quick) = (made.generation().plugin().key, stable.plugin().key);
        let before = self.publish(&mut progress, made, None, None, works.services.monotonic_nanoseconds());
        drop(progress);
        let line = format_args!("generation {number} takes over: the code of generation {quick}, optimised");
        telemetry::log_plugin(Level::Info, &self.config.name, line);
        self.published(before);
        works.services.publish_metrics();
    }

    fn stays_quick(&self, quick: &Arc<Generation<S>>, error: &LoadError) {
        let line = format_args!(
            "generation {} goes on with code that was compiled quickly, because that which is optimised did not start: {error}",
            quick.plugin().key
        );
        telemetry::log_plugin(Level::Warn, &self.config.name, line);
    }
}
