//! Tiers: code that is large serves as soon as it is compiled quickly, and again when it is optimised.
//!
//! ```text
//!   load ──► quick generation ── published ─────────────────────────────────► drains, for as long as its streams like
//!                  └── compiled once more, by a job of its own ──► optimised generation, published in its place
//! ```
//!
//! The slot's turn is free while the optimiser works: what comes meanwhile is loaded, and what the optimiser made is let
//! go if the quick generation does not serve any more.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::edition::Edition;
use super::progress::Progress;
use super::{Before, Slot};
use crate::config::CompileMode;
use crate::engine::code::{Effort, Tier, Wasm};
use crate::host::stream::{Services, Stream};
use crate::host::vm::StartError;
use crate::lifecycle::error::LoadError;
use crate::lifecycle::generation::Generation;
use crate::lifecycle::inventory::Use;
use crate::lifecycle::loader::Works;
use crate::telemetry::{self, Level};

/// Bytes of code above which a quick start is worth that the plugin starts twice. The optimiser takes half a second for as
/// many, on two cores.
const LARGE: usize = 1024 * 1024;

impl<S: Stream> Slot<S> {
    /// How code is compiled that serves first.
    pub(super) fn first_effort(&self, works: &Works<S>, wasm: &Wasm, is_waited_for: bool) -> Effort {
        if works.optimizes_at_once.load(Ordering::Relaxed) {
            return Effort::FULL;
        }
        let is_quick = match self.config.graft.swap.compile {
            CompileMode::Optimized => false,
            CompileMode::Tiered => true,
            // Services have no streams that would wait for them, and their start is their work.
            CompileMode::Auto => wasm.bytes().len() >= LARGE && self.purpose == Use::Filter,
        };
        // A trial is of one generation from its beginning to its end.
        let is_served = self.published.get().is_some();
        let is_for_trial = self.config.graft.swap.canary.is_some() && is_served;
        let tier = if is_quick && !is_for_trial { Tier::Baseline } else { Tier::Optimized };
        // While an older version serves, those that serve with it come first; but Envoy's main thread before them, for whoever
        // opens with `load: blocking`.
        Effort { tier, is_background: is_served && !is_waited_for }
    }

    /// Whether there is something to optimise now.
    pub(in crate::lifecycle) fn is_to_be_optimized(&self) -> bool {
        self.quick().is_some()
    }

    /// The generation that serves, if it is this slot's own, was compiled quickly, and is worth more: not while another one is
    /// on trial, nor again when what was optimised did not start and another try would be no use, or comes later.
    fn quick(&self) -> Option<Arc<Generation<S>>> {
        let stable = self.stable().filter(|stable| stable.wasm().is_some() && self.is_used())?;
        let progress = self.progress.lock();
        let is_due = progress.stays_quick(&stable).is_none_or(|quick| quick.again_at <= self.tally.now());
        (progress.trial.is_none() && is_due && progress.loaded.is_some()).then_some(stable)
    }

    /// When what serves is optimised once more, if that is due later.
    pub(super) fn optimized_again_at(&self, progress: &Progress<S>) -> Option<u64> {
        let stable = self.stable()?;
        let again_at = progress.stays_quick(&stable)?.again_at;
        (again_at < u64::MAX && again_at > self.tally.now()).then_some(again_at)
    }

    /// Compiles what serves once more, and has the outcome serve in its place. Takes as long as the optimiser does.
    pub(in crate::lifecycle) fn optimize(&self, works: &Works<S>) {
        let Some(quick) = self.quick() else { return };
        let Some(wasm) = quick.wasm() else { return };
        let made = self.edition(works, wasm, Effort::BACKGROUND, |_step| ());
        let mut progress = self.progress.lock();
        let serves = self.stable_edition().is_some_and(|stable| stable.is_of(&quick));
        if !serves || progress.trial.is_some() {
            // What was made is in the cache, if there is one; when the trial is over, it comes if it is wanted then.
            return;
        }
        let made = match made {
            Ok(made) => made,
            Err(error) => {
                let (before, traps) =
                    progress.stays_quick(&quick).map_or((0, 0), |quick| (quick.in_a_row, quick.traps));
                let traps = traps.saturating_add(u32::from(is_trap(&error)));
                let now = works.services.monotonic_nanoseconds();
                let wait = may_pass(&error, traps).then(|| self.back_off().wait(before));
                progress.stays_quick = Some(StaysQuick {
                    number: quick.plugin().key,
                    why: error.describe_in_plugin(&self.config),
                    in_a_row: before.saturating_add(1),
                    traps,
                    again_at: wait.map_or(u64::MAX, |wait| now.saturating_add(telemetry::nanoseconds(wait))),
                });
                drop(progress);
                return self.tell_of_failure(&quick, &error, wait);
            }
        };
        let twin = Arc::clone(made.generation());
        let before = self.publish_twin(&mut progress, &quick, made, works.services.monotonic_nanoseconds());
        drop(progress);
        let (number, quick) = (twin.plugin().key, quick.plugin().key);
        let line = format_args!("generation {number} takes over: the code of generation {quick}, optimised");
        telemetry::log_plugin(Level::Info, &self.config.name, line);
        self.published(before);
        works.services.publish_metrics();
    }

    /// Publishes what is the same, optimised, in the place of what was compiled quickly: no new version, so nothing to go
    /// back to.
    pub(super) fn publish_twin(
        &self,
        progress: &mut Progress<S>,
        quick: &Arc<Generation<S>>,
        made: Arc<Edition<S>>,
        now: u64,
    ) -> Before<S> {
        let twin = Arc::clone(made.generation());
        let trial = progress.trial.take();
        let before = self.publish(progress, made, trial, None, now);
        progress.draining.note_twin(quick, &twin);
        // Whoever wants to go back from one wants so from the other.
        let is_unwanted = progress.rollback_from.take_if(|number| *number == quick.plugin().key).is_some();
        if is_unwanted {
            progress.rollback_from = Some(twin.plugin().key);
        }
        before
    }

    /// The optimiser has panicked: another try would do so, too.
    pub(in crate::lifecycle) fn has_panicked_optimizing(&self) {
        if let Some(quick) = self.quick() {
            self.progress.lock().stays_quick = Some(StaysQuick {
                number: quick.plugin().key,
                why: "the optimiser panicked, which is a fault of Graft".to_owned(),
                in_a_row: 1,
                traps: 0,
                again_at: u64::MAX,
            });
        }
    }

    fn tell_of_failure(&self, quick: &Arc<Generation<S>>, error: &LoadError, wait: Option<Duration>) {
        let again = wait.map(|wait| format!("; tried again in {wait:?}")).unwrap_or_default();
        let line = format_args!(
            "generation {} goes on with code that was compiled quickly, because that which is optimised did not start: \
             {error}{again}",
            quick.plugin().key
        );
        telemetry::log_plugin(Level::Warn, &self.config.name, line);
    }
}

/// A generation that serves with code that was compiled quickly, because what was optimised did not start.
pub(super) struct StaysQuick {
    number: u64,
    pub(super) why: String,
    in_a_row: u32,
    /// How many of these were traps.
    traps: u32,
    /// When the optimiser tries it again. Never: [`u64::MAX`].
    pub(super) again_at: u64,
}

impl<S: Stream> Progress<S> {
    /// What is known of that, if it is this generation.
    pub(super) fn stays_quick(&self, stable: &Generation<S>) -> Option<&StaysQuick> {
        self.stays_quick.as_ref().filter(|quick| quick.number == stable.plugin().key)
    }
}

/// Most tries of code that traps when it starts.
const MOST_TRAPS: u32 = 4;

fn is_trap(error: &LoadError) -> bool {
    matches!(error, LoadError::Start(StartError::Trapped(_)) | LoadError::Route(StartError::Trapped(_)))
}

/// Whether what has failed may go well later, after so many traps. What the plugin refuses it goes on to refuse; what traps
/// may have missed a deadline.
fn may_pass(error: &LoadError, traps: u32) -> bool {
    match error {
        LoadError::Thread(_) | LoadError::Engine(_) => true,
        LoadError::Start(error) | LoadError::Route(error) => match error {
            StartError::NoPlace(_) => true,
            StartError::Trapped(_) => traps < MOST_TRAPS,
            StartError::Instantiate(_)
            | StartError::WrongType(_)
            | StartError::Copy(_)
            | StartError::VmStartRefused
            | StartError::ConfigureRefused => false,
        },
        LoadError::Config(_)
        | LoadError::Fetch(_)
        | LoadError::NotAtHand { .. }
        | LoadError::AsBefore(_)
        | LoadError::Compile(_)
        | LoadError::Link(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;
    use crate::config::parse_plugin;
    use crate::host::testing::{FakeServices, FakeStream};
    use crate::lifecycle::registry::{Registry, Workers};

    #[test]
    fn what_is_compiled_beside_an_older_version_is_in_the_background_unless_somebody_waits() {
        let wasm = wat::parse_str(
            r#"(module
            (memory (export "memory") 1)
            (func (export "proxy_abi_version_0_2_1"))
            (func (export "malloc") (param i32) (result i32) (i32.const 1024)))"#,
        );
        let code = STANDARD.encode(wasm.as_ref().unwrap());
        let config =
            format!(r#"{{"name": "p", "vm_config": {{"code": {{"local": {{"inline_bytes": "{code}"}}}}}}}}"#);
        let config = parse_plugin("p", config.as_bytes()).unwrap();
        let services = Arc::new(FakeServices::default());
        let registry = Registry::<FakeStream>::new(services, Workers { places: 1, prepared: 1 }).unwrap();
        let (works, wasm) = (registry.loader().works(), Wasm::new(wasm.unwrap()));
        let slot = registry.open(Use::Filter, &config, true).unwrap();
        let in_background = |is_waited_for| slot.first_effort(works, &wasm, is_waited_for).is_background;
        assert_eq!([false, true].map(in_background), [false, false], "its streams wait");
        registry.loader().work();
        assert_eq!([false, true].map(in_background), [true, false]);
    }
}
