//! A load: from what the source has to a generation that streams begin on.

use std::sync::Arc;

use super::draining::Previous;
use super::progress::{Ahead, Stage, Trial, Wanted};
use super::trial::Candidate;
use super::{Published, Slot};
use crate::engine::code::{Tier, Wasm};
use crate::host::stream::{Services, Stream};
use crate::lifecycle::error::LoadError;
use crate::lifecycle::failure::BackOff;
use crate::lifecycle::generation::Generation;
use crate::lifecycle::inventory::Step;
use crate::lifecycle::loader::Works;
use crate::lifecycle::supply::{Revision, Supplied};
use crate::source::FetchError;
use crate::telemetry::{self, Level};

impl<S: Stream> Slot<S> {
    pub(super) fn load(self: &Arc<Self>, works: &Works<S>, wanted: Wanted) -> Result<(), LoadError> {
        self.try_load(works, wanted, None).inspect_err(|error| {
            let serves =
                if self.published.get().is_some() { "; the last good generation serves" } else { "" };
            telemetry::log(Level::Error, format_args!("graft: {}{serves}", error.describe(&self.config)));
        })
    }

    pub(super) fn try_load(
        self: &Arc<Self>,
        works: &Works<S>,
        wanted: Wanted,
        at_hand: Option<Result<Supplied, FetchError>>,
    ) -> Result<(), LoadError> {
        let began = works.services.monotonic_nanoseconds();
        let renew = {
            let mut progress = self.progress.lock();
            progress.enter(Stage::Fetching, began);
            match wanted {
                Wanted::Configured => false,
                // What is known was loaded before, if anything was.
                Wanted::Again => progress.loaded.is_some(),
                Wanted::Changed | Wanted::Commanded => true,
            }
        };
        let mut supplied =
            self.supplied(works, at_hand.unwrap_or_else(|| works.supply.fetch(&self.config, renew)))?;
        let (made, wasm, revision) = loop {
            if self.progress.lock().has_tried(&supplied.revision, wanted) {
                self.settled(works);
                return Ok(());
            }
            let wasm = Arc::new(supplied.wasm);
            match self.make(works, &wasm, self.first_tier(works, &wasm)) {
                Ok(made) => break (made, wasm, supplied.revision),
                // What was kept may be half of a file, or may have been mended at its source since.
                Err(error) if supplied.is_kept && error.is_of_code() => {
                    let line = format_args!(
                        "graft: {}; kept from before, so it is fetched anew",
                        error.describe(&self.config)
                    );
                    telemetry::log(Level::Warn, line);
                    supplied = self.supplied(works, works.supply.fetch(&self.config, true))?;
                }
                Err(error) => {
                    self.failed(works, Some(supplied.revision), &error);
                    return Err(error);
                }
            }
        };
        let now = works.services.monotonic_nanoseconds();
        self.tally.loaded(now.saturating_sub(began));
        self.take_over(works, revision, &made, now);
        self.note_tier(&made, &wasm);
        Ok(())
    }

    fn supplied(
        &self,
        works: &Works<S>,
        supplied: Result<Supplied, FetchError>,
    ) -> Result<Supplied, LoadError> {
        supplied.map_err(LoadError::from).inspect_err(|error| self.failed(works, None, error))
    }

    /// A load has panicked; it is tried again at a moment.
    pub(in crate::lifecycle) fn has_panicked(&self, why: &str, now: u64, again: u64) {
        let mut progress = self.progress.lock();
        progress.enter(Stage::Failed, now);
        progress.last_error = Some(why.to_owned());
        progress.is_passing = false;
        progress.retry_at = Some(again);
        drop(progress);
        self.watch.call_all();
    }

    /// Compiles and starts.
    fn make(&self, works: &Works<S>, wasm: &Arc<Wasm>, tier: Tier) -> Result<Arc<Generation<S>>, LoadError> {
        let on_step = |step| {
            let stage = match step {
                Step::Compiling => Stage::Compiling,
                Step::Starting => Stage::Starting,
            };
            self.progress.lock().enter(stage, works.services.monotonic_nanoseconds());
        };
        let made = works.inventory.load(self.purpose, &self.config, wasm, tier, on_step)?;
        self.make_ahead(works, &made)?;
        Ok(made)
    }

    /// Makes the variants of routes, so that no worker has to; and a route that the plugin refuses would lose its streams.
    pub(super) fn make_ahead(&self, works: &Works<S>, made: &Arc<Generation<S>>) -> Result<(), LoadError> {
        let mut ahead = Vec::new();
        for route in self.routes() {
            let variant = works.inventory.load_variant(made, &route).map_err(LoadError::Route)?;
            ahead.push(Ahead { base: Arc::downgrade(made), _variant: variant });
        }
        self.progress.lock().ahead.extend(ahead);
        Ok(())
    }

    fn settled(&self, works: &Works<S>) {
        let mut progress = self.progress.lock();
        let stage = match (&progress.refused, self.published.get()) {
            (None, Some(_)) => Stage::Serving,
            (Some(_), _) => Stage::Failed,
            (None, None) => Stage::Idle,
        };
        progress.enter(stage, works.services.monotonic_nanoseconds());
    }

    fn failed(&self, works: &Works<S>, revision: Option<Revision>, error: &LoadError) {
        self.tally.failed();
        let now = works.services.monotonic_nanoseconds();
        let retry = self.config.graft.swap.retry;
        let back_off = BackOff { base: retry.base_interval, longest: retry.max_interval };
        let mut progress = self.progress.lock();
        progress.enter(Stage::Failed, now);
        progress.last_error = Some(error.to_string());
        progress.is_passing = error.is_passing();
        let found = progress.found.take();
        (progress.refused, progress.failing) =
            if error.is_retryable() { (None, revision.or(found)) } else { (revision, None) };
        let wait = back_off.wait(progress.failures_in_a_row);
        let wait = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
        progress.failures_in_a_row = progress.failures_in_a_row.saturating_add(1);
        // What is wrong with the bytes stays wrong: only new ones help, and polling finds them.
        progress.retry_at = error.is_retryable().then(|| now.saturating_add(wait));
        let is_hopeless = progress.hopeless().is_some();
        drop(progress);
        if is_hopeless {
            self.watch.call_all();
        }
    }

    /// A generation is ready: it is published, or put on trial beside the one that serves.
    fn take_over(&self, works: &Works<S>, revision: Revision, made: &Arc<Generation<S>>, now: u64) {
        let stable = self.stable();
        let is_same = stable.as_ref().is_some_and(|stable| Arc::ptr_eq(stable, made));
        {
            let mut progress = self.progress.lock();
            progress.enter(Stage::Serving, now);
            progress.failures_in_a_row = 0;
            progress.retry_at = None;
            progress.refused = None;
            (progress.found, progress.failing) = (None, None);
            progress.seen = None;
            progress.last_error = None;
            progress.draining.remove(made);
        }
        let line = |what: &str| {
            let (number, template) = (made.plugin().key, made.pool().template());
            let (digest, abi) = (template.code().digest(), template.abi());
            let line = format_args!("generation {number} {what}: code sha256:{digest}, Proxy-Wasm {abi}");
            telemetry::log_plugin(Level::Info, &self.config.name, line);
        };
        match (stable, self.config.graft.swap.canary) {
            (Some(stable), Some(rules)) if !is_same => {
                let candidate = Candidate::new(Arc::clone(made), rules.percent);
                let before = self.publish(stable, Some(candidate));
                let trial =
                    Trial { generation: Arc::clone(made), revision, rules, began: now, decision: None };
                self.progress.lock().trial = Some(trial);
                line("is on trial");
                self.retire(before, None, now);
            }
            (stable, _) => {
                let replaced = self.progress.lock().loaded.replace(revision);
                if !is_same {
                    let before = self.publish(Arc::clone(made), None);
                    line(if stable.is_some() { "takes over" } else { "serves" });
                    self.retire(before, Some(Previous(replaced)), now);
                }
            }
        }
        works.inventory.commons().services.publish_metrics();
    }

    /// What was published before and is not any more drains. `previous`: one may want to go back to the one that served.
    pub(super) fn retire(&self, before: Option<Arc<Published<S>>>, mut previous: Option<Previous>, now: u64) {
        let Some(before) = before else { return };
        let published = self.published.get().map(arc_swap::ArcSwap::load_full);
        let is_published = |generation: &Arc<Generation<S>>| {
            published.as_ref().is_some_and(|published| {
                let candidate = published.candidate.as_ref();
                Arc::ptr_eq(&published.generation, generation)
                    || candidate.is_some_and(|candidate| Arc::ptr_eq(candidate.generation(), generation))
            })
        };
        let mut progress = self.progress.lock();
        if !is_published(&before.generation) {
            progress.draining.add(Arc::clone(&before.generation), previous.take(), now);
        }
        let candidate = before.candidate.as_ref().map(Candidate::generation);
        if let Some(candidate) = candidate.filter(|candidate| !is_published(candidate)) {
            progress.draining.add(Arc::clone(candidate), None, now);
        }
    }
}
