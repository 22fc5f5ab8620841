//! A load: from what the source has to a generation that streams begin on.

use std::sync::Arc;

use super::draining::Previous;
use super::progress::{Ahead, Stage, Trial, Wanted};
use super::trial::Candidate;
use super::{Published, Slot};
use crate::host::stream::{Services, Stream};
use crate::lifecycle::error::LoadError;
use crate::lifecycle::failure::BackOff;
use crate::lifecycle::generation::Generation;
use crate::lifecycle::inventory::Step;
use crate::lifecycle::loader::Works;
use crate::lifecycle::supply::{Revision, Supplied};
use crate::telemetry::{self, Level};

impl<S: Stream> Slot<S> {
    pub(super) fn load(self: &Arc<Self>, works: &Works<S>, wanted: Wanted) -> Result<(), LoadError> {
        self.try_load(works, wanted).inspect_err(|error| {
            let serves =
                if self.published.get().is_some() { "; the last good generation serves" } else { "" };
            telemetry::log(Level::Error, format_args!("graft: {}{serves}", error.describe(&self.config)));
        })
    }

    pub(super) fn try_load(self: &Arc<Self>, works: &Works<S>, wanted: Wanted) -> Result<(), LoadError> {
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
        let supplied = works.supply.fetch(&self.config, renew).map_err(LoadError::from);
        let Supplied { bytes, revision } = supplied.inspect_err(|error| self.failed(works, None, error))?;
        if self.progress.lock().has_tried(&revision, wanted) {
            self.settled(works);
            return Ok(());
        }
        let made = self.make(works, &bytes);
        let made = made.inspect_err(|error| self.failed(works, Some(revision.clone()), error))?;
        let now = works.services.monotonic_nanoseconds();
        self.tally.loaded(now.saturating_sub(began));
        self.take_over(works, revision, &made, now);
        Ok(())
    }

    /// Compiles and starts.
    fn make(&self, works: &Works<S>, bytes: &[u8]) -> Result<Arc<Generation<S>>, LoadError> {
        let on_step = |step| {
            let stage = match step {
                Step::Compiling => Stage::Compiling,
                Step::Starting => Stage::Starting,
            };
            self.progress.lock().enter(stage, works.services.monotonic_nanoseconds());
        };
        let made = works.inventory.load(self.purpose, &self.config, bytes, on_step)?;
        // Made ahead, so that no worker has to; and a route that the plugin refuses would lose its streams.
        let mut ahead = Vec::new();
        for route in self.routes() {
            let variant = works.inventory.load_variant(&made, &route).map_err(LoadError::Route)?;
            ahead.push(Ahead { base: Arc::downgrade(&made), _variant: variant });
        }
        self.progress.lock().ahead.extend(ahead);
        Ok(made)
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
