//! A slot: where the generations of one plugin are published, one after the other.
//!
//! ```text
//!   Envoy's configurations ──► Slot ── published ──► Generation, and a candidate for some streams
//!                               │                        ▲
//!                               ├── progress ── advance ─┘   fetched, compiled, started beside the old one
//!                               └── watch: streams that wait for the first
//! ```
//!
//! Streams ask the slot on which generation they begin; that costs no lock, and no count that workers share. All the
//! rest is done by whoever *advances* the slot: a loader thread, or the main thread before traffic flows.
//!
//! - [`edition`]: a generation as one slot has it. Generations are shared between slots; that one was replaced, or failed, is
//!   the slot's own.
//! - [`progress`]: what is wanted, what has failed, when something is due. [`loading`]: a new generation is made.
//! - [`trial`]: a new generation proves itself on a share of the streams.
//! - [`draining`]: generations that were replaced, until their streams have ended.
//! - [`tiers`]: code that serves before the optimiser is done with it.
//! - [`status`]: all of it, for people.

mod draining;
pub mod edition;
mod loading;
mod progress;
pub mod status;
mod tiers;
mod trial;

use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use arc_swap::{ArcSwap, Guard};
use parking_lot::Mutex;

use self::draining::Previous;
use self::edition::Edition;
use self::progress::Progress;
pub use self::progress::{Command, CommandError, Stage};
use self::trial::{Candidate, Trial};
use super::generation::Generation;
use super::inventory::Use;
use super::tally::SlotTally;
use crate::config::PluginConfig;
use crate::host::stream::{Services, Stream};
use crate::host::vm::{Waiting, Wake, Watch};

/// See the module's text. Any thread.
pub struct Slot<S: Stream> {
    purpose: Use,
    config: PluginConfig,
    /// Shared with the slots that this one took over from, and with no other.
    line: u64,
    /// Empty until the first generation is ready. Changed under the lock of `progress`, so that who has that sees both as
    /// they are at one moment.
    published: OnceLock<ArcSwap<Published<S>>>,
    progress: Mutex<Progress<S>>,
    /// One thread loads at a time.
    turn: Mutex<()>,
    watch: Arc<Watch>,
    /// What routes configure the plugin with; a generation that refuses one of them is not published.
    routes: Mutex<Vec<Weak<[u8]>>>,
    /// Changed under the lock of `progress`, too.
    users: Users,
    tally: SlotTally<S>,
}

/// Configurations of Envoy's that use a slot.
#[derive(Clone, Debug, Default)]
struct Users(Arc<AtomicUsize>);

/// What streams begin on.
struct Published<S: Stream> {
    edition: Arc<Edition<S>>,
    candidate: Option<Candidate<S>>,
}

/// The generation of one stream that begins.
pub struct Current<S: Stream> {
    published: Guard<Arc<Published<S>>>,
    is_candidate: bool,
}

/// Why a stream finds no generation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotLoaded {
    /// It is being loaded, or will be tried again.
    #[error("the plugin is being loaded")]
    Loading,
    /// Loading failed, and another try alone will not help.
    #[error("the plugin could not be loaded: {0}")]
    Failed(String),
}

impl<S: Stream> Slot<S> {
    pub(super) fn new(
        purpose: Use,
        config: PluginConfig,
        line: u64,
        predecessor: Option<&Arc<Self>>,
        services: &Arc<S::Services>,
    ) -> Self {
        let published = OnceLock::new();
        let mut progress = Progress::new(services.monotonic_nanoseconds());
        let inherited = predecessor.and_then(|predecessor| predecessor.stable_edition()?.renewed());
        if let Some(edition) = inherited {
            let edition = Arc::new(edition);
            let _was_empty = published.set(ArcSwap::from_pointee(Published { edition, candidate: None }));
            progress.heir_of = predecessor.map(|predecessor| predecessor.users.clone());
        }
        Self {
            tally: SlotTally::new(services, &config.name),
            purpose,
            config,
            line,
            published,
            progress: Mutex::new(progress),
            turn: Mutex::default(),
            watch: Arc::new(Watch::for_seats()),
            routes: Mutex::default(),
            users: Users::default(),
        }
    }

    /// The plugin as it is configured.
    pub fn config(&self) -> &PluginConfig {
        &self.config
    }

    /// What it is loaded for.
    pub fn purpose(&self) -> Use {
        self.purpose
    }

    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// What a stream that begins now begins on.
    ///
    /// # Errors
    /// There is no generation yet.
    pub fn current(&self) -> Result<Current<S>, NotLoaded> {
        let Some(published) = self.published.get() else { return Err(self.why_not_loaded()) };
        let published = published.load();
        let is_candidate = published.candidate.as_ref().is_some_and(Candidate::takes_the_next);
        Ok(Current { published, is_candidate })
    }

    /// The same without a turn in a trial: for what is no stream that begins (`false`: what has proved itself), and for a stream
    /// that comes again (what it [was](Current::is_candidate) the first time).
    ///
    /// # Errors
    /// There is no generation yet.
    pub fn serving(&self, is_candidate: bool) -> Result<Current<S>, NotLoaded> {
        let Some(published) = self.published.get() else { return Err(self.why_not_loaded()) };
        let published = published.load();
        let is_candidate = is_candidate && published.candidate.is_some();
        Ok(Current { published, is_candidate })
    }

    /// Every metric that the published generation's guests have defined so far.
    pub fn metrics(&self) -> Vec<<S::Services as Services>::Metric> {
        self.stable().map(|generation| generation.metrics()).unwrap_or_default()
    }

    /// The generation that has proved itself.
    pub fn stable(&self) -> Option<Arc<Generation<S>>> {
        self.stable_edition().map(|edition| Arc::clone(edition.generation()))
    }

    /// Its edition.
    pub fn stable_edition(&self) -> Option<Arc<Edition<S>>> {
        self.published.get().map(|published| Arc::clone(&published.load().edition))
    }

    #[cold]
    fn why_not_loaded(&self) -> NotLoaded {
        let progress = self.progress.lock();
        match progress.hopeless() {
            Some(error) => NotLoaded::Failed(error.to_owned()),
            None => NotLoaded::Loading,
        }
    }

    /// Has a stream that found no generation called when there is one, or when it has waited for long enough: until the
    /// moment `until`, on the clock that never goes back.
    pub fn wait(&self, wake: Wake, until: u64) -> Waiting {
        let waiting = self.watch.wait(0, wake, until);
        // It may have come just before.
        if self.published.get().is_some() || self.progress.lock().hopeless().is_some() {
            self.watch.call_all();
        }
        waiting
    }

    /// Streams that wait for the first generation.
    pub fn watch(&self) -> &Arc<Watch> {
        &self.watch
    }

    /// What it tells of itself in the statistics.
    pub fn tally(&self) -> &SlotTally<S> {
        &self.tally
    }

    /// A route configures the plugin otherwise, for as long as the bytes are held.
    pub fn add_route(&self, configuration: &Arc<[u8]>) {
        let mut routes = self.routes.lock();
        routes.retain(|route| route.strong_count() > 0);
        let weak = Arc::downgrade(configuration);
        if !routes.iter().any(|route| route.ptr_eq(&weak)) {
            routes.push(weak);
        }
    }

    /// A route does so no more: the plugin has refused its configuration.
    pub fn remove_route(&self, configuration: &Arc<[u8]>) {
        let weak = Arc::downgrade(configuration);
        self.routes.lock().retain(|route| !route.ptr_eq(&weak));
    }

    fn routes(&self) -> Vec<Arc<[u8]>> {
        self.routes.lock().iter().filter_map(Weak::upgrade).collect()
    }

    /// A configuration of Envoy's uses it. Answers whether that can be: streams of what it publishes may have been ended
    /// while nobody used it.
    pub(super) fn hold(&self) -> bool {
        let mut progress = self.progress.lock();
        let is_revived = !self.is_used();
        let before = match self.published.get() {
            Some(place) if is_revived => {
                let now = self.tally.now();
                let Some(renewed) = place.load().renewed(&mut progress, now) else { return false };
                Some(place.swap(Arc::new(renewed)))
            }
            Some(_) | None => None,
        };
        self.users.0.fetch_add(1, Ordering::AcqRel);
        drop(progress);
        drop(before);
        true
    }

    /// One does no more. What nobody uses is not loaded, unless streams wait for it, nor looked after, and keeps no streams from
    /// being ended.
    pub fn release(&self) {
        let _progress = self.progress.lock();
        let one_less = |users: usize| users.checked_sub(1);
        let released = self.users.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_less);
        if let (Ok(1), Some(published)) = (released, self.published.get()) {
            published.load().editions().for_each(|edition| edition.retire());
        }
    }

    pub(super) fn is_used(&self) -> bool {
        self.users.are_there()
    }

    /// Whether streams of what it publishes were ended, while nobody used it.
    pub(super) fn is_over(&self) -> bool {
        self.stable().is_some_and(|generation| generation.has_ended())
    }

    /// Publishes an edition, and perhaps another on trial: streams that begin from here on begin there. What was published
    /// before and is not any more drains; `previous`: one may want to go back to what served. When `progress` is unlocked,
    /// [`published`](Self::published) is due.
    fn publish(
        &self,
        progress: &mut Progress<S>,
        edition: Arc<Edition<S>>,
        trial: Option<Trial<S>>,
        mut previous: Option<Previous>,
        now: u64,
    ) -> Before<S> {
        let candidate = trial.as_ref().map(Trial::candidate);
        progress.trial = trial;
        let published = Arc::new(Published { edition, candidate });
        if !self.is_used() {
            // Given up while this was made.
            published.editions().for_each(|edition| edition.retire());
        }
        // One that was replaced a moment ago may be wanted again.
        let mut drained = Vec::new();
        for edition in published.editions() {
            if let Some(old) = progress.draining.take(edition.generation()) {
                edition.adopt(&old);
                drained.push(old);
            }
        }
        let Some(place) = self.published.get() else {
            let _was_empty = self.published.set(ArcSwap::new(published));
            return Before { _published: None, _drained: drained };
        };
        let before = place.swap(Arc::clone(&published));
        for old in before.editions() {
            if published.editions().any(|edition| Arc::ptr_eq(edition, old)) {
                continue;
            }
            old.retire();
            if let Some(edition) = published.editions().find(|edition| edition.is_of(old.generation())) {
                edition.adopt(old);
            } else {
                let previous = if Arc::ptr_eq(&before.edition, old) { previous.take() } else { None };
                progress.draining.add(Arc::clone(old), previous, now);
            }
        }
        Before { _published: Some(before), _drained: drained }
    }

    /// Something was published: who waits for it is called.
    fn published(&self, before: Before<S>) {
        drop(before);
        self.watch.call_all();
    }
}

/// What was published until now, and what drains no more: dropped without a lock, for guests may say goodbye.
#[must_use]
struct Before<S: Stream> {
    _published: Option<Arc<Published<S>>>,
    _drained: Vec<Arc<Edition<S>>>,
}

impl Users {
    fn are_there(&self) -> bool {
        self.0.load(Ordering::Acquire) > 0
    }
}

impl<S: Stream> Published<S> {
    fn editions(&self) -> impl Iterator<Item = &Arc<Edition<S>>> {
        std::iter::once(&self.edition).chain(self.candidate.as_ref().map(Candidate::edition))
    }

    /// The same on duty once more, unless streams of either have been ended. A trial begins anew: nobody was there to be tried.
    fn renewed(&self, progress: &mut Progress<S>, now: u64) -> Option<Self> {
        let edition = Arc::new(self.edition.renewed()?);
        let candidate = match &mut progress.trial {
            Some(trial) => {
                trial.edition = Arc::new(trial.edition.renewed()?);
                trial.began = now;
                Some(trial.candidate())
            }
            None => None,
        };
        Some(Self { edition, candidate })
    }
}

impl<S: Stream> Current<S> {
    /// Whether it is on trial.
    pub fn is_candidate(&self) -> bool {
        self.is_candidate
    }

    /// The edition that the stream begins on.
    pub fn edition(&self) -> &Arc<Edition<S>> {
        match &self.published.candidate {
            Some(candidate) if self.is_candidate => candidate.edition(),
            Some(_) | None => &self.published.edition,
        }
    }
}

impl<S: Stream> Deref for Current<S> {
    type Target = Generation<S>;

    fn deref(&self) -> &Generation<S> {
        self.edition().generation()
    }
}

impl<S: Stream> std::fmt::Debug for Slot<S> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Slot").field("plugin", &self.config.name).finish_non_exhaustive()
    }
}
