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
//! A load is in [`super::loading`], a trial in [`super::trial`], the end in [`super::draining`].
//!
//! [`Slot::advance`] loads, [`Slot::look`] does what waits for nobody; both do what is due and answer when to come again.
//! Time comes in as nanoseconds of a clock that never goes back.

use std::sync::Arc;
use std::time::Duration;

use super::draining::{self, Draining, Look};
use super::tiers::StaysQuick;
use super::trial::{Trial, Verdict};
use super::{Slot, Users};
use crate::config::{Code, Place};
use crate::host::stream::{Services, Stream};
use crate::lifecycle::error::LoadError;
use crate::lifecycle::loader::Works;
use crate::lifecycle::supply::{Revision, Supplied};
use crate::source::FetchError;
use crate::telemetry::{self, Level};

/// How soon a slot that nobody uses is looked at again, whether streams wait for it, in nanoseconds.
const LOOK_FOR_WAITING: u64 = 1_000_000_000;

/// How soon a slot is looked at again that has streams of routes which are gone, in nanoseconds.
const LOOK_AT_ROUTES: u64 = 5_000_000_000;

/// What is known of a slot beside what it publishes.
pub(super) struct Progress<S: Stream> {
    pub(super) stage: Stage,
    pub(super) stage_since: u64,
    /// A load is wanted now.
    pub(super) wanted: Option<Wanted>,
    /// What the published generation was loaded from. Nothing for one that was taken over.
    pub(super) loaded: Option<Revision>,
    /// Those of the slot whose generation is published, until the slot's own is ready.
    pub(super) heir_of: Option<Users>,
    /// What could not be loaded: not tried again by itself before it changes.
    pub(super) refused: Option<Refused>,
    /// What was taken back. The same, also if the source has had what serves meanwhile.
    pub(super) rolled_back: Vec<Refused>,
    /// A change that was seen once. It is loaded when it is seen again, so that no file is read while it is written.
    pub(super) seen: Option<Revision>,
    /// What a look at the source has found and a load has begun with.
    pub(super) found: Option<Revision>,
    /// What could not be loaded and will be tried again: a look at the source that finds it brings nothing new.
    pub(super) failing: Option<Revision>,
    /// The generation that was replaced last is wanted back, in the place of the one with this number.
    pub(super) rollback_from: Option<u64>,
    pub(super) failures_in_a_row: u32,
    /// What failed last is likely to pass.
    pub(super) is_passing: bool,
    /// The source could not be asked whether it has changed, the last time.
    is_out_of_reach: bool,
    pub(super) retry_at: Option<u64>,
    poll_at: Option<u64>,
    pub(super) last_error: Option<String>,
    pub(super) trial: Option<Trial<S>>,
    /// What serves with code that was compiled quickly, because what was optimised did not start.
    pub(super) stays_quick: Option<StaysQuick>,
    pub(super) draining: Draining<S>,
}

/// A revision that is not loaded, and why.
pub(super) struct Refused {
    pub(super) revision: Revision,
    pub(super) why: String,
}

/// What a slot knows of a revision that its source has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// It serves.
    Serving,
    /// It is on trial.
    OnTrial,
    /// It could not be loaded, or was taken back, for this reason.
    Refused(String),
}

/// Where a slot stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Nothing is under way, and nothing has been yet.
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
pub(super) enum Wanted {
    /// A configuration came.
    Configured,
    /// The source has changed.
    Changed,
    /// Somebody asked for it: also what was refused before is tried.
    Commanded,
    /// The last try failed.
    Again,
}

/// Who loads.
pub(super) enum By {
    /// A thread that nobody waits for.
    Loader,
    /// Whoever opens the slot, and waits; with what is on this machine, if somebody has looked already.
    Opener(Option<Result<Supplied, FetchError>>),
}

/// What can be asked of a slot by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Look at the source now, and load what is there, also what was refused before.
    Reload,
    /// The generation on trial gets all streams.
    Promote,
    /// The generation on trial gets none; without one, that which was replaced last gets all streams again.
    Rollback,
}

/// Why a command was not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// There is no generation on trial.
    #[error("no generation is on trial (graft.swap.canary), expected one to promote")]
    NoTrial,
    /// Nor is there another to go back to.
    #[error(
        "no generation is on trial (graft.swap.canary) and none that was replaced is kept (graft.swap.keep_previous), \
         expected one of them to go back to"
    )]
    NoPrevious,
}

impl<S: Stream> Progress<S> {
    pub(super) fn new(now: u64) -> Self {
        Self {
            stage: Stage::Idle,
            stage_since: now,
            wanted: Some(Wanted::Configured),
            loaded: None,
            heir_of: None,
            refused: None,
            rolled_back: Vec::new(),
            seen: None,
            found: None,
            failing: None,
            rollback_from: None,
            failures_in_a_row: 0,
            is_passing: false,
            is_out_of_reach: false,
            retry_at: None,
            poll_at: None,
            last_error: None,
            trial: None,
            stays_quick: None,
            draining: Draining::new(),
        }
    }

    pub(super) fn enter(&mut self, stage: Stage, now: u64) {
        if self.stage != stage {
            self.stage = stage;
            self.stage_since = now;
        }
    }

    /// What was wanted serves, or is on trial: nothing is left of what could not be loaded before.
    pub(super) fn succeed(&mut self, now: u64) {
        self.enter(Stage::Serving, now);
        self.last_error = None;
        self.failures_in_a_row = 0;
        self.retry_at = None;
        (self.refused, self.failing, self.found, self.seen) = (None, None, None, None);
    }

    /// The source has what serves, after whatever it had meanwhile. So nothing else is wanted: neither what is on trial, nor
    /// another try of what failed. What was taken back stays so.
    pub(super) fn return_to_what_serves(&mut self, now: u64) {
        self.succeed(now);
        if let Some(trial) = &mut self.trial {
            trial.decision = Some(Verdict::Overtaken);
        }
    }

    /// Whether something of the slot's own serves or is on trial.
    pub(super) fn has_something(&self) -> bool {
        self.loaded.is_some() || self.trial.is_some()
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

    /// Whether what is due at a moment will wait for a server.
    pub(in crate::lifecycle) fn asks_a_server(&self, due: u64) -> bool {
        let Code::Remote(remote) = &self.config.vm.code else { return false };
        let progress = self.progress.lock();
        let is_due = |moment: Option<u64>| moment.is_some_and(|moment| moment <= due);
        let is_asked = progress.wanted.is_some() || is_due(progress.retry_at) || is_due(progress.poll_at);
        is_asked && !matches!(remote.place, Place::File(_))
    }

    /// Does what waits for no source and no compiler: judges a trial, goes back if that was asked for, lets old generations
    /// go. Answers when to come again. Any thread, also while another one loads.
    pub(in crate::lifecycle) fn look(&self, works: &Works<S>) -> Option<u64> {
        // What nobody uses is not judged either: nothing would come of it.
        let due = if self.is_used() {
            self.look_at_trial(works);
            self.go_back(works);
            let now = works.services.monotonic_nanoseconds();
            let progress = self.progress.lock();
            let trial = progress.trial.as_ref().map(|trial| trial.next_look(now));
            [trial, self.optimized_again_at(&progress)]
        } else {
            [None, None]
        };
        let drained = self.drain(works);
        let routes = self.forget_routes(works.services.monotonic_nanoseconds());
        [drained, routes].into_iter().chain(due).flatten().min()
    }

    /// Lets what routes made of the plugin go with them; answers when to look again. Not while a trial counts their streams.
    fn forget_routes(&self, now: u64) -> Option<u64> {
        if self.progress.lock().trial.is_some() {
            return None;
        }
        let forgotten = self.stable_edition()?.forget_routes();
        forgotten.are_more.then(|| now.saturating_add(LOOK_AT_ROUTES))
    }

    /// Loads the plugin or asks its source, if that is due; answers when to come again. Takes as long as that.
    pub(in crate::lifecycle) fn advance(self: &Arc<Self>, works: &Works<S>) -> Option<u64> {
        let _mine = self.turn.lock();
        let now = works.services.monotonic_nanoseconds();
        if !self.is_used() && self.watch.waiting() == 0 {
            // A listener that drains may bring a stream yet that waits for the first generation.
            return (!self.is_settled()).then(|| now.saturating_add(LOOK_FOR_WAITING));
        }
        let due = self.progress.lock().take_due(now);
        match due {
            // Told by `load` itself.
            Some(wanted) => drop(self.load(works, wanted)),
            None => self.poll(works, now),
        }
        self.plan_to_poll(works);
        let progress = self.progress.lock();
        let wanted = progress.wanted.map(|_wanted| 0);
        [wanted, progress.retry_at, progress.poll_at].into_iter().flatten().min()
    }

    /// Loads the plugin on this thread, which waits. `at_hand`: what is on this machine, if somebody has looked already.
    ///
    /// # Errors
    /// Why it is not loaded. Told to nobody else.
    pub(in crate::lifecycle) fn load_now(
        self: &Arc<Self>,
        works: &Works<S>,
        at_hand: Option<Result<Supplied, FetchError>>,
    ) -> Result<(), LoadError> {
        let _mine = self.turn.lock();
        let wanted = self.progress.lock().wanted.take().unwrap_or(Wanted::Configured);
        self.try_load(works, wanted, By::Opener(at_hand))
    }

    /// Follows a command. What takes time is left to the loader.
    ///
    /// # Errors
    /// There is nothing to promote or to roll back.
    pub(in crate::lifecycle) fn command(&self, command: Command) -> Result<(), CommandError> {
        let mut progress = self.progress.lock();
        let has_previous = progress.draining.has_previous();
        match (command, &mut progress.trial) {
            (Command::Reload, _) => progress.wanted = Some(Wanted::Commanded),
            (Command::Promote, Some(trial)) => trial.decision = Some(Verdict::Passed),
            (Command::Rollback, Some(trial)) => trial.decision = Some(Verdict::Withdrawn),
            (Command::Rollback, None) if has_previous => {
                progress.rollback_from = self.stable().map(|stable| stable.plugin().key);
            }
            (Command::Promote, None) => return Err(CommandError::NoTrial),
            (Command::Rollback, None) => return Err(CommandError::NoPrevious),
        }
        Ok(())
    }

    /// Looks whether the source has changed.
    fn poll(self: &Arc<Self>, works: &Works<S>, now: u64) {
        if self.progress.lock().poll_at.take_if(|poll_at| *poll_at <= now).is_none() {
            return;
        }
        let is_changed = match works.supply.revision(&self.config) {
            Ok(revision) => self.progress.lock().is_changed(revision, &self.config.vm.code, now),
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
            let next =
                works.services.monotonic_nanoseconds().saturating_add(telemetry::nanoseconds(interval));
            self.progress.lock().poll_at.get_or_insert(next);
        }
    }

    /// Lets generations go whose streams have ended; answers when to look again.
    fn drain(&self, works: &Works<S>) -> Option<u64> {
        let now = works.services.monotonic_nanoseconds();
        let swap = self.config.graft.swap;
        let kept = if self.is_used() { swap.keep_previous } else { Duration::ZERO };
        let look = self.progress.lock().draining.look(swap.drain_deadline, kept, now);
        let Look { overdue, gone, next, twins } = look;
        // Without a lock from here on: guests are waited for, or say goodbye.
        for edition in &overdue {
            draining::end_streams(edition);
        }
        drop((overdue, twins));
        let has_gone = !gone.is_empty();
        for edition in gone {
            let plugin = edition.generation().plugin();
            let (number, name) = (plugin.key, plugin.name.clone());
            drop(edition);
            telemetry::log_plugin(Level::Info, &name, format_args!("generation {number} is gone"));
        }
        if has_gone {
            works.services.publish_metrics();
        }
        next
    }
}

impl<S: Stream> Progress<S> {
    /// Whether a revision is there, or was tried and refused.
    pub(super) fn knows(&self, revision: &Revision) -> Option<Known> {
        if self.loaded.as_ref() == Some(revision) {
            return Some(Known::Serving);
        }
        if self.trial.as_ref().is_some_and(|trial| trial.revision == *revision) {
            return Some(Known::OnTrial);
        }
        let mut refused = self.refused.iter().chain(&self.rolled_back);
        refused
            .find(|refused| refused.revision == *revision)
            .map(|refused| Known::Refused(refused.why.clone()))
    }

    /// Whether the source has changed; a file, which may be written right now, has to stay so for one look more.
    fn is_changed(&mut self, revision: Revision, code: &Code, now: u64) -> bool {
        self.is_out_of_reach = false;
        let known = self.knows(&revision);
        if known == Some(Known::Serving) {
            // It may have been something else since the last look, or was taken back by hand.
            let has_gone_back = self.trial.is_some() || self.refused.is_some() || self.failing.is_some();
            if has_gone_back || self.last_error.is_some() {
                self.return_to_what_serves(now);
            }
        }
        if known.is_some() || self.failing.as_ref() == Some(&revision) {
            self.seen = None;
            return false;
        }
        if !code.is_file() || self.seen.as_ref() == Some(&revision) {
            self.found = Some(revision);
            return true;
        }
        self.seen = Some(revision);
        false
    }
}
