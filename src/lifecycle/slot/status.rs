//! What a slot tells people of itself: one picture, taken at a moment.
//!
//! Whoever looks waits for nobody: neither for a load that is under way, nor for a guest, nor for a VM that is starting.

use std::fmt;
use std::time::Duration;

use super::Slot;
use super::edition::Edition;
use super::progress::Stage;
use super::trial::Trial;
use crate::config::Isolation;
use crate::engine::code::Tier;
use crate::host::stream::Stream;
use crate::lifecycle::inventory::Use;
use crate::lifecycle::supply::Revision;

/// See the module's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Name of the plugin.
    pub plugin: String,
    /// What it is loaded for.
    pub purpose: Use,
    /// Where the code comes from.
    pub source: String,
    /// Which streams share a VM.
    pub isolation: Isolation,
    /// How often the source is looked at.
    pub poll_interval: Option<Duration>,
    /// Where the slot stands.
    pub stage: Stage,
    /// For how long.
    pub stage_for: Duration,
    /// Why the last try failed, unless a later one did not.
    pub last_error: Option<String>,
    /// When it is tried again.
    pub retry_in: Option<Duration>,
    /// Why what serves was compiled quickly and stays so.
    pub optimizer_error: Option<String>,
    /// When the optimiser tries it again.
    pub optimizer_retry_in: Option<Duration>,
    /// Streams that wait for the first generation.
    pub waiting: usize,
    /// The trial that is under way.
    pub trial: Option<TrialStatus>,
    /// What is there: the one that serves, the one on trial, those that drain.
    pub generations: Vec<GenerationStatus>,
}

/// A trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrialStatus {
    /// The generation.
    pub number: u64,
    /// Its share of new streams, of a hundred.
    pub percent: u8,
    /// How long it lasts yet.
    pub left: Duration,
}

/// A generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenerationStatus {
    /// Its number, as in `graft_streams_active`.
    pub number: u64,
    /// What it does.
    pub role: Role,
    /// SHA-256 of its code.
    pub digest: String,
    /// What its source called that revision; empty where there is nothing to tell.
    pub revision: String,
    /// Whether that code was compiled with all optimisations.
    pub is_optimized: bool,
    /// How long ago it was started.
    pub age: Duration,
    /// Streams that are on it now.
    pub streams: u64,
    /// Streams that have begun on it, or could not.
    pub begun: u64,
    /// Those of them that failed: could not begin, trapped, or were answered with 500 or above.
    pub failures: u64,
    /// VMs of its pool, spares included; those of single streams are not.
    pub vms: usize,
    /// Bytes of their memory.
    pub memory_bytes: usize,
}

/// What a generation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// New streams begin on it.
    Serving,
    /// Some of them do, of a hundred.
    OnTrial(u64),
    /// It was replaced, and its streams end.
    Draining,
}

impl<S: Stream> Slot<S> {
    /// The picture.
    pub fn status(&self) -> Status {
        let now = self.tally.now();
        let until = |moment: u64| Duration::from_nanos(moment.saturating_sub(now));
        let describe = |edition: &Edition<S>, role, revision: Option<&Revision>| {
            let generation = edition.generation();
            let census = generation.pool().census();
            GenerationStatus {
                number: generation.plugin().key,
                role,
                digest: generation.pool().template().code().digest().to_string(),
                revision: revision.map_or_else(String::new, |revision| revision.0.clone()),
                is_optimized: generation.tier() == Tier::Optimized,
                age: Duration::from_nanos(now.saturating_sub(generation.made_at())),
                streams: edition.streams(),
                begun: edition.begun(),
                failures: edition.failures(),
                vms: census.vms,
                memory_bytes: census.memory_bytes,
            }
        };
        // What is published and what is known of it change together, under this lock.
        let progress = self.progress.lock();
        let published = self.published.get().map(arc_swap::ArcSwap::load_full);
        let mut generations = Vec::new();
        if let Some(published) = &published {
            generations.push(describe(&published.edition, Role::Serving, progress.loaded.as_ref()));
            if let Some(candidate) = &published.candidate {
                let revision = progress.trial.as_ref().map(|trial| &trial.revision);
                let role = Role::OnTrial(candidate.percent());
                generations.push(describe(candidate.edition(), role, revision));
            }
        }
        generations.extend(progress.draining.list().map(|edition| describe(edition, Role::Draining, None)));
        let stays_quick =
            published.as_ref().and_then(|published| progress.stays_quick(published.edition.generation()));
        let status = Status {
            plugin: self.config.name.clone(),
            purpose: self.purpose,
            source: self.config.vm.code.to_string(),
            isolation: self.config.graft.isolation,
            poll_interval: self.config.graft.swap.poll_interval,
            stage: progress.stage,
            stage_for: Duration::from_nanos(now.saturating_sub(progress.stage_since)),
            last_error: progress.last_error.clone(),
            retry_in: progress.retry_at.map(until),
            optimizer_error: stays_quick.map(|quick| quick.why.clone()),
            optimizer_retry_in: self.optimized_again_at(&progress).map(until),
            waiting: self.watch.waiting(),
            trial: progress.trial.as_ref().map(|trial| trial.describe(now)),
            generations,
        };
        drop(progress);
        status
    }

    /// Whether there is nothing to wait for: it has a generation, or will have none by itself.
    pub fn is_settled(&self) -> bool {
        self.published.get().is_some() || self.progress.lock().hopeless().is_some()
    }
}

impl<S: Stream> Trial<S> {
    fn describe(&self, now: u64) -> TrialStatus {
        let passed = Duration::from_nanos(now.saturating_sub(self.began));
        TrialStatus {
            number: self.edition.generation().plugin().key,
            percent: self.rules.percent,
            left: self.rules.duration.saturating_sub(passed),
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Idle => "idle",
            Self::Fetching => "fetching",
            Self::Compiling => "compiling",
            Self::Starting => "starting",
            Self::Serving => "serving",
            Self::Failed => "failed",
        })
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Serving => "serving",
            Self::OnTrial(_percent) => "on trial",
            Self::Draining => "draining",
        })
    }
}
