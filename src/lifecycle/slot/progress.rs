//! How a slot comes from one generation to the next.
//!
//! ```text
//!                 ┌───────────── retry (back-off) ◄──────────┐
//!                 ▼                                          │
//!  wanted ─► Fetching ─► Compiling ─► Starting ─► Serving ─► Failed
//!                                        │           │
//!                                        │ refused   │ a newer generation is published
//!                                        ▼           ▼
//!                              previous stays     Draining ─► gone (last stream ended, or deadline)
//! ```
//!
//! [`Slot::advance`] does whatever is due and answers when to come again. Time comes in as nanoseconds of a clock that
//! never goes back.

use std::sync::{Arc, Weak};

use super::draining::{self, Draining, Look};
use super::trial::{self, Candidate, Verdict};
use super::{Published, Slot};
use crate::config::{CanaryConfig, Code};
use crate::host::stream::{Services, Stream};
use crate::lifecycle::error::LoadError;
use crate::lifecycle::failure::BackOff;
use crate::lifecycle::generation::Generation;
use crate::lifecycle::inventory::Step;
use crate::lifecycle::loader::Works;
use crate::lifecycle::supply::{Revision, Supplied};
use crate::source::FetchError;
use crate::telemetry::stats::Stat;
use crate::telemetry::{self, Level};

/// What is known of a slot beside what it publishes.
pub(super) struct Progress<S: Stream> {
    pub(super) stage: Stage,
    pub(super) stage_since: u64,
    /// A load is wanted now.
    wanted: Option<Wanted>,
    /// What the published generation was loaded from. Nothing for one that was taken over.
    pub(super) loaded: Option<Revision>,
    /// What could not be loaded, or was rolled back: not tried again by itself before it changes.
    refused: Option<Revision>,
    /// A change that was seen once. It is loaded when it is seen again, so that no file is read while it is written.
    seen: Option<Revision>,
    failures_in_a_row: u32,
    /// What failed last is likely to pass.
    is_passing: bool,
    /// The source could not be asked whether it has changed, the last time.
    is_out_of_reach: bool,
    pub(super) retry_at: Option<u64>,
    poll_at: Option<u64>,
    pub(super) last_error: Option<String>,
    pub(super) trial: Option<Trial<S>>,
    /// Variants that were made ahead for routes, so that their first streams find them.
    ahead: Vec<Ahead<S>>,
    pub(super) draining: Draining<S>,
}

/// A variant that was made ahead, for as long as its base is there.
struct Ahead<S: Stream> {
    base: Weak<Generation<S>>,
    _variant: Arc<Generation<S>>,
}

/// Where a slot stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Nothing is under way and nothing is published yet.
    Idle,
    /// The source is asked.
    Fetching,
    /// Bytes become code.
    Compiling,
    /// VMs start, and are configured.
    Starting,
    /// The published generation is the one that was wanted last.
    Serving,
    /// The last try failed.
    Failed,
}

/// Why a load is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    /// A configuration came.
    Configured,
    /// The source has changed.
    Changed,
    /// Somebody asked for it: also what was refused before is tried.
    Commanded,
    /// The last try failed.
    Again,
}

/// A generation on trial.
pub(super) struct Trial<S: Stream> {
    pub(super) generation: Arc<Generation<S>>,
    pub(super) revision: Revision,
    pub(super) rules: CanaryConfig,
    pub(super) began: u64,
    /// Somebody decided by hand.
    decision: Option<Verdict>,
}

/// What can be asked of a slot by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Look at the source now, and load what is there, also what was refused before.
    Reload,
    /// The generation on trial gets all streams.
    Promote,
    /// The generation on trial gets none.
    Rollback,
}

/// Why a command was not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// There is no generation on trial.
    #[error("no generation is on trial (graft.swap.canary), expected one to promote or to roll back")]
    NoTrial,
}

impl<S: Stream> Progress<S> {
    pub(super) fn new(serves: bool, now: u64) -> Self {
        Self {
            stage: if serves { Stage::Serving } else { Stage::Idle },
            stage_since: now,
            wanted: Some(Wanted::Configured),
            loaded: None,
            refused: None,
            seen: None,
            failures_in_a_row: 0,
            is_passing: false,
            is_out_of_reach: false,
            retry_at: None,
            poll_at: None,
            last_error: None,
            trial: None,
            ahead: Vec::new(),
            draining: Draining::new(),
        }
    }

    fn enter(&mut self, stage: Stage, now: u64) {
        if self.stage != stage {
            self.stage = stage;
            self.stage_since = now;
        }
    }

    /// The last error, unless it is likely to pass soon.
    pub(super) fn hopeless(&self) -> Option<&str> {
        let is_hopeless = self.stage == Stage::Failed && !self.is_passing;
        self.last_error.as_deref().filter(|_| is_hopeless)
    }

    /// Takes what is due now, if a load is.
    fn take_due(&mut self, now: u64) -> Option<Wanted> {
        if let Some(wanted) = self.wanted.take() {
            return Some(wanted);
        }
        self.retry_at.take_if(|retry_at| *retry_at <= now).map(|_due| Wanted::Again)
    }
}

impl<S: Stream> Slot<S> {
    /// A configuration wants the plugin as its source has it now.
    pub(in crate::lifecycle) fn want(&self) {
        self.progress.lock().wanted.get_or_insert(Wanted::Configured);
    }

    /// Does what is due; answers when to come again. Takes as long as to load a plugin.
    pub(in crate::lifecycle) fn advance(self: &Arc<Self>, works: &Works<S>) -> Option<u64> {
        let _mine = self.turn.lock();
        if !self.is_used() {
            return self.drain(works);
        }
        self.look_at_trial(works);
        let now = works.services.monotonic_nanoseconds();
        let due = self.progress.lock().take_due(now);
        match due {
            // Told by `load` itself.
            Some(wanted) => drop(self.load(works, wanted)),
            None => self.poll(works, now),
        }
        self.plan_to_poll(works);
        let drained = self.drain(works);
        let progress = self.progress.lock();
        let trial = progress.trial.as_ref().map(|_trial| now.saturating_add(trial::LOOK_EVERY));
        let wanted = progress.wanted.map(|_wanted| 0);
        [drained, trial, wanted, progress.retry_at, progress.poll_at].into_iter().flatten().min()
    }

    /// Loads the plugin on this thread, which waits.
    ///
    /// # Errors
    /// Why it is not loaded. Told to nobody else.
    pub(in crate::lifecycle) fn load_now(self: &Arc<Self>, works: &Works<S>) -> Result<(), LoadError> {
        let _mine = self.turn.lock();
        let wanted = self.progress.lock().wanted.take().unwrap_or(Wanted::Configured);
        self.try_load(works, wanted)
    }

    /// Follows a command. What takes time is left to the loader.
    ///
    /// # Errors
    /// There is nothing to promote or to roll back.
    pub fn command(&self, command: Command) -> Result<(), CommandError> {
        let mut progress = self.progress.lock();
        match (command, &mut progress.trial) {
            (Command::Reload, _) => progress.wanted = Some(Wanted::Commanded),
            (Command::Promote | Command::Rollback, None) => return Err(CommandError::NoTrial),
            (Command::Promote, Some(trial)) => trial.decision = Some(Verdict::Passed),
            (Command::Rollback, Some(trial)) => trial.decision = Some(Verdict::Withdrawn),
        }
        Ok(())
    }

    /// Looks whether the source has changed.
    fn poll(self: &Arc<Self>, works: &Works<S>, now: u64) {
        if self.progress.lock().poll_at.take_if(|poll_at| *poll_at <= now).is_none() {
            return;
        }
        let is_changed = match works.supply.revision(&self.config) {
            Ok(revision) => self.progress.lock().is_changed(revision, &self.config.vm.code),
            // What serves goes on: a source that cannot be asked has not changed.
            Err(error) => {
                self.cannot_be_asked(&error);
                false
            }
        };
        if is_changed {
            let _told = self.load(works, Wanted::Changed);
        }
    }

    /// Told once, until it can be asked again.
    fn cannot_be_asked(&self, error: &FetchError) {
        if !std::mem::replace(&mut self.progress.lock().is_out_of_reach, true) {
            let field = error.field().unwrap_or(self.config.vm.code.path());
            let line = format_args!("{field}: whether it has changed is not to be known: {error}");
            telemetry::log_plugin(Level::Warn, &self.config.name, line);
        }
    }

    fn plan_to_poll(&self, works: &Works<S>) {
        if let Some(interval) = self.config.graft.swap.poll_interval {
            let interval = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX);
            let next = works.services.monotonic_nanoseconds().saturating_add(interval);
            self.progress.lock().poll_at.get_or_insert(next);
        }
    }

    fn load(self: &Arc<Self>, works: &Works<S>, wanted: Wanted) -> Result<(), LoadError> {
        self.try_load(works, wanted).inspect_err(|error| {
            let serves =
                if self.published.get().is_some() { "; the last good generation serves" } else { "" };
            telemetry::log(Level::Error, format_args!("graft: {}{serves}", error.describe(&self.config)));
        })
    }

    fn try_load(self: &Arc<Self>, works: &Works<S>, wanted: Wanted) -> Result<(), LoadError> {
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
        progress.refused = revision.filter(|_revision| !error.is_retryable());
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
                self.retire(before, now);
            }
            (stable, _) => {
                self.progress.lock().loaded = Some(revision);
                if !is_same {
                    let before = self.publish(Arc::clone(made), None);
                    line(if stable.is_some() { "takes over" } else { "serves" });
                    self.retire(before, now);
                }
            }
        }
        works.inventory.commons().services.publish_metrics();
    }

    /// What was published before and is not any more drains.
    fn retire(&self, before: Option<Arc<Published<S>>>, now: u64) {
        let Some(before) = before else { return };
        let published = self.published.get().map(arc_swap::ArcSwap::load_full);
        let is_published = |generation: &Arc<Generation<S>>| {
            published.as_ref().is_some_and(|published| {
                let candidate = published.candidate.as_ref();
                Arc::ptr_eq(&published.generation, generation)
                    || candidate.is_some_and(|candidate| Arc::ptr_eq(candidate.generation(), generation))
            })
        };
        let old = [Some(&before.generation), before.candidate.as_ref().map(Candidate::generation)];
        let mut progress = self.progress.lock();
        for generation in old.into_iter().flatten().filter(|generation| !is_published(generation)) {
            progress.draining.add(Arc::clone(generation), now);
        }
    }

    fn look_at_trial(&self, works: &Works<S>) {
        let now = works.services.monotonic_nanoseconds();
        let verdict = {
            let mut progress = self.progress.lock();
            let Some(trial) = &progress.trial else { return };
            let (failures, streams) = (trial.generation.failures(), trial.generation.begun());
            let judged = trial::judge(&trial.rules, trial.began, now, failures, streams);
            let verdict = trial.decision.unwrap_or(judged);
            if matches!(verdict, Verdict::Open(_)) {
                return;
            }
            progress.trial.take().map(|trial| (trial, verdict))
        };
        let (Some((trial, verdict)), Some(stable)) = (verdict, self.stable()) else { return };
        let number = trial.generation.plugin().key;
        let line = |level, what: std::fmt::Arguments<'_>| {
            telemetry::log_plugin(level, &self.config.name, format_args!("generation {number} {what}"));
        };
        let before = match verdict {
            Verdict::Passed | Verdict::Open(_) => {
                self.progress.lock().loaded = Some(trial.revision);
                let before = self.publish(trial.generation, None);
                line(Level::Info, format_args!("takes over: its trial is over"));
                before
            }
            Verdict::Failed { failures, streams } => {
                let why = format!("{failures} of its {streams} streams failed");
                line(Level::Error, format_args!("was rolled back: {why} (graft.swap.canary)"));
                self.rolled_back(trial.revision, why, now);
                self.publish(stable, None)
            }
            Verdict::Withdrawn => {
                line(Level::Warn, format_args!("was rolled back by command"));
                self.rolled_back(trial.revision, "rolled back by command".to_owned(), now);
                self.publish(stable, None)
            }
        };
        self.retire(before, now);
    }

    fn rolled_back(&self, revision: Revision, why: String, now: u64) {
        self.tally.count(Stat::Rollbacks);
        let mut progress = self.progress.lock();
        progress.enter(Stage::Failed, now);
        progress.last_error = Some(why);
        progress.refused = Some(revision);
    }

    /// Lets generations go whose streams have ended; answers when to look again.
    fn drain(&self, works: &Works<S>) -> Option<u64> {
        let now = works.services.monotonic_nanoseconds();
        let deadline = self.config.graft.swap.drain_deadline;
        let Look { overdue, gone, next } = self.progress.lock().draining.look(deadline, now);
        // Without a lock from here on: guests are waited for, or say goodbye.
        for generation in &overdue {
            draining::end_streams(generation);
        }
        drop(overdue);
        let has_gone = !gone.is_empty();
        for generation in gone {
            let (number, name) = (generation.plugin().key, generation.plugin().name.clone());
            drop(generation);
            telemetry::log_plugin(Level::Info, &name, format_args!("generation {number} is gone"));
        }
        if has_gone {
            let is_orphan = |ahead: &mut Ahead<S>| ahead.base.strong_count() == 0;
            let orphans: Vec<_> = self.progress.lock().ahead.extract_if(.., is_orphan).collect();
            drop(orphans);
            works.services.publish_metrics();
        }
        next
    }
}

impl<S: Stream> Progress<S> {
    /// Whether a revision is there, or was tried and refused.
    fn has_tried(&self, revision: &Revision, wanted: Wanted) -> bool {
        let is_on_trial = self.trial.as_ref().is_some_and(|trial| trial.revision == *revision);
        let is_refused = self.refused.as_ref() == Some(revision) && wanted != Wanted::Commanded;
        self.loaded.as_ref() == Some(revision) || is_on_trial || is_refused
    }

    /// Whether the source has changed; a file, which may be written right now, has to stay so for one look more.
    fn is_changed(&mut self, revision: Revision, code: &Code) -> bool {
        self.is_out_of_reach = false;
        let is_known = [&self.loaded, &self.refused].into_iter().flatten().any(|known| *known == revision)
            || self.trial.as_ref().is_some_and(|trial| trial.revision == revision);
        if is_known {
            self.seen = None;
            return false;
        }
        if !code.is_file() || self.seen.as_ref() == Some(&revision) {
            return true;
        }
        self.seen = Some(revision);
        false
    }
}
