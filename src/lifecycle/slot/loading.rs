//! A load: from what the source has to a generation that streams begin on.

use std::sync::Arc;

use super::Slot;
use super::draining::Previous;
use super::edition::Edition;
use super::progress::{By, Known, Progress, Refused, Stage, Wanted};
use super::trial::Trial;
use crate::engine::code::{Effort, Wasm};
use crate::host::stream::{Services, Stream};
use crate::lifecycle::error::LoadError;
use crate::lifecycle::failure::BackOff;
use crate::lifecycle::inventory::Step;
use crate::lifecycle::loader::Works;
use crate::lifecycle::supply::{Freshness, Revision, Supplied};
use crate::source::FetchError;
use crate::telemetry::{self, Level};

impl<S: Stream> Slot<S> {
    pub(super) fn load(self: &Arc<Self>, works: &Works<S>, wanted: Wanted) -> Result<(), LoadError> {
        self.try_load(works, wanted, By::Loader).inspect_err(|error| {
            let serves =
                if self.published.get().is_some() { "; the last good generation serves" } else { "" };
            telemetry::log(Level::Error, format_args!("graft: {}{serves}", error.describe(&self.config)));
        })
    }

    pub(super) fn try_load(
        self: &Arc<Self>,
        works: &Works<S>,
        wanted: Wanted,
        by: By,
    ) -> Result<(), LoadError> {
        let began = works.services.monotonic_nanoseconds();
        let (freshness, before) = {
            let mut progress = self.progress.lock();
            let before = progress.stage;
            progress.enter(Stage::Fetching, began);
            let freshness = match wanted {
                // What is known was loaded before, if anything was.
                Wanted::Again if progress.has_something() => Freshness::Asked,
                Wanted::Configured | Wanted::Again => Freshness::ByPolicy,
                Wanted::Changed | Wanted::Commanded => Freshness::Asked,
            };
            (freshness, before)
        };
        let (is_waited_for, at_hand) = match by {
            By::Loader => (false, None),
            By::Opener(at_hand) => (true, at_hand),
        };
        let mut supplied =
            self.supplied(works, at_hand.unwrap_or_else(|| works.supply.fetch(&self.config, freshness)))?;
        let mut may_be_fetched_anew = true;
        let (made, revision, warning) = loop {
            if let Some(settled) = self.settle(works, &supplied, wanted, before) {
                return settled;
            }
            let warning = supplied.describe_warning(&self.config);
            let wasm = Arc::new(supplied.wasm);
            let error = match self.make(works, &wasm, self.first_effort(works, &wasm, is_waited_for)) {
                Ok(made) => break (made, supplied.revision, warning),
                Err(error) => error,
            };
            // What was kept may be half of a file, or may have been mended at its source since.
            if supplied.is_kept && error.is_of_code() && std::mem::replace(&mut may_be_fetched_anew, false) {
                let what = error.describe(&self.config);
                let line = format_args!("graft: {what}; kept from before, so it is fetched anew");
                telemetry::log(Level::Warn, line);
                let anew = self.supplied(works, works.supply.fetch(&self.config, Freshness::Anew))?;
                if anew.wasm.digest() != wasm.digest() {
                    supplied = anew;
                    continue;
                }
            }
            self.failed(works, Some(supplied.revision), &error);
            return Err(error);
        };
        let now = works.services.monotonic_nanoseconds();
        self.tally.loaded(now.saturating_sub(began));
        self.take_over(works, revision, made, now);
        if let Some(why) = warning {
            self.note_unanswered(&mut self.progress.lock(), why, now);
        }
        Ok(())
    }

    /// The source did not answer, and what was known before serves. It is asked again, later and later; told once.
    fn note_unanswered(&self, progress: &mut Progress<S>, why: String, now: u64) {
        let wait = telemetry::nanoseconds(self.back_off().wait(progress.failures_in_a_row));
        progress.enter(Stage::Serving, now);
        progress.failures_in_a_row = progress.failures_in_a_row.saturating_add(1);
        progress.retry_at = Some(now.saturating_add(wait));
        if progress.last_error.as_ref() != Some(&why) {
            telemetry::log_plugin(Level::Warn, &self.config.name, format_args!("{why}"));
        }
        progress.last_error = Some(why);
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
    fn make(&self, works: &Works<S>, wasm: &Arc<Wasm>, effort: Effort) -> Result<Arc<Edition<S>>, LoadError> {
        let on_step = |step| {
            let stage = match step {
                Step::Compiling => Stage::Compiling,
                Step::Starting => Stage::Starting,
            };
            self.progress.lock().enter(stage, works.services.monotonic_nanoseconds());
        };
        self.edition(works, wasm, effort, on_step)
    }

    /// An edition of what code becomes in this slot, and of its routes: these are made ahead, so that no worker has to; and a
    /// route that the plugin refuses would lose its streams.
    pub(super) fn edition(
        &self,
        works: &Works<S>,
        wasm: &Arc<Wasm>,
        effort: Effort,
        on_step: impl Fn(Step),
    ) -> Result<Arc<Edition<S>>, LoadError> {
        let edition = loop {
            let made = works.inventory.load(self.purpose, &self.config, wasm, effort, &on_step)?;
            // Another slot's streams on the one that was found may have been ended meanwhile; it is not found again.
            if let Some(edition) = Edition::new(&made) {
                break edition;
            }
        };
        for route in self.routes() {
            edition.variant(&works.inventory, &route).map_err(LoadError::Route)?;
        }
        Ok(Arc::new(edition))
    }

    /// What becomes of a load whose source has what is known already, and is not asked for by command. `None`: it goes on.
    /// `before`: where the slot stood when the load began.
    ///
    /// # Errors
    /// It was refused, and the slot has nothing of its own.
    fn settle(
        &self,
        works: &Works<S>,
        supplied: &Supplied,
        wanted: Wanted,
        before: Stage,
    ) -> Option<Result<(), LoadError>> {
        let now = works.services.monotonic_nanoseconds();
        // At once: a trial that ends meanwhile makes another one known.
        let mut progress = self.progress.lock();
        if let Some(why) = supplied.describe_warning(&self.config)
            && progress.has_something()
        {
            self.note_unanswered(&mut progress, why, now);
            return Some(Ok(()));
        }
        if wanted == Wanted::Configured && supplied.is_kept && progress.loaded.is_some() {
            // An equal configuration, which serves; what was kept may be older, and says nothing of the source.
            progress.enter(if before == Stage::Failed { before } else { Stage::Serving }, now);
            return Some(Ok(()));
        }
        let mut error = None;
        match progress.knows(&supplied.revision)? {
            Known::Serving => progress.return_to_what_serves(now),
            Known::OnTrial => progress.succeed(now),
            Known::Refused(_) if wanted == Wanted::Commanded => return None,
            Known::Refused(why) => {
                progress.enter(Stage::Failed, now);
                (progress.failing, progress.retry_at, progress.is_passing) = (None, None, false);
                error = progress.loaded.is_none().then(|| why.clone());
                progress.last_error = Some(why);
            }
        }
        let is_hopeless = progress.hopeless().is_some();
        drop(progress);
        if is_hopeless {
            self.watch.call_all();
        }
        Some(error.map_or(Ok(()), |error| Err(LoadError::AsBefore(error))))
    }

    /// When what has failed is tried again.
    pub(super) fn back_off(&self) -> BackOff {
        let retry = self.config.graft.swap.retry;
        BackOff { base: retry.base_interval, longest: retry.max_interval }
    }

    fn failed(&self, works: &Works<S>, revision: Option<Revision>, error: &LoadError) {
        self.tally.failed();
        let now = works.services.monotonic_nanoseconds();
        let mut progress = self.progress.lock();
        progress.enter(Stage::Failed, now);
        let why = error.describe_in_plugin(&self.config);
        progress.last_error = Some(why.clone());
        progress.is_passing = error.is_passing();
        progress.note_failure(revision, error, why);
        let wait = telemetry::nanoseconds(self.back_off().wait(progress.failures_in_a_row));
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
    fn take_over(&self, works: &Works<S>, revision: Revision, made: Arc<Edition<S>>, now: u64) {
        let generation = Arc::clone(made.generation());
        let mut progress = self.progress.lock();
        let heir_of = progress.heir_of.take();
        let (what, before) = match (self.stable_edition(), self.config.graft.swap.canary) {
            (Some(stable), _) if stable.is_of(&generation) => {
                stable.adopt(&made);
                progress.loaded = Some(revision);
                progress.return_to_what_serves(now);
                (None, None)
            }
            // The same bytes under another name, while their optimised twin was made.
            (Some(stable), _) if progress.loaded.is_some() && generation.is_twin_of(stable.generation()) => {
                progress.loaded = Some(revision);
                progress.return_to_what_serves(now);
                let before = self.publish_twin(&mut progress, stable.generation(), made, now);
                (Some("takes over, optimised"), Some(before))
            }
            (Some(stable), Some(rules)) => {
                progress.succeed(now);
                // A trial that this one ends has not changed whose generation serves.
                let heir_of = heir_of.or_else(|| progress.trial.as_mut()?.heir_of.take());
                let trial = Trial::new(made, revision, (rules, heir_of), now);
                (Some("is on trial"), Some(self.publish(&mut progress, stable, Some(trial), None, now)))
            }
            (stable, _) => {
                progress.succeed(now);
                progress.rolled_back.clear();
                let previous = Previous { revision: progress.loaded.replace(revision), heir_of };
                let before = self.publish(&mut progress, made, None, Some(previous), now);
                (Some(if stable.is_some() { "takes over" } else { "serves" }), Some(before))
            }
        };
        drop(progress);
        if let Some(what) = what {
            let (number, template) = (generation.plugin().key, generation.pool().template());
            let (digest, abi) = (template.code().digest(), template.abi());
            let line = format_args!("generation {number} {what}: code sha256:{digest}, Proxy-Wasm {abi}");
            telemetry::log_plugin(Level::Info, &self.config.name, line);
        }
        if let Some(before) = before {
            self.published(before);
        }
        works.services.publish_metrics();
    }
}

impl<S: Stream> Progress<S> {
    /// A load failed. What is at fault is the revision that was fetched, or else what the look found that began the load;
    /// where neither is known, nothing new is known of any.
    fn note_failure(&mut self, fetched: Option<Revision>, error: &LoadError, why: String) {
        let at_fault = fetched.or(self.found.take());
        if error.is_retryable() {
            if at_fault.is_some() {
                (self.refused, self.failing) = (None, at_fault);
            }
            return;
        }
        // What was to be tried again is not.
        let failing = self.failing.take();
        if let Some(revision) = at_fault.or(failing) {
            self.refused = Some(Refused { revision, why });
        }
    }
}
