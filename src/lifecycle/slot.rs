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
//! - [`progress`]: what is wanted, what has failed, when something is due. [`loading`]: a new generation is made.
//! - [`trial`]: a new generation proves itself on a share of the streams.
//! - [`draining`]: generations that were replaced, until their streams have ended.
//! - [`tiers`]: code that serves before the optimiser is done with it.
//! - [`status`]: all of it, for people.

mod draining;
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

use self::progress::Progress;
pub use self::progress::{Command, CommandError, Stage};
use self::trial::Candidate;
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
    /// Empty until the first generation is ready.
    published: OnceLock<ArcSwap<Published<S>>>,
    progress: Mutex<Progress<S>>,
    /// One thread advances it at a time.
    turn: Mutex<()>,
    watch: Arc<Watch>,
    /// What routes configure the plugin with; a generation that refuses one of them is not published.
    routes: Mutex<Vec<Weak<[u8]>>>,
    /// Configurations of Envoy's that use it.
    users: AtomicUsize,
    tally: SlotTally<S>,
}

/// What streams begin on.
struct Published<S: Stream> {
    generation: Arc<Generation<S>>,
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
        inherited: Option<Arc<Generation<S>>>,
        services: &Arc<S::Services>,
    ) -> Self {
        let published = OnceLock::new();
        let progress = Progress::new(inherited.is_some(), services.monotonic_nanoseconds());
        if let Some(generation) = inherited {
            let _was_empty = published.set(ArcSwap::from_pointee(Published { generation, candidate: None }));
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
            users: AtomicUsize::new(0),
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
    pub fn look(&self, is_candidate: bool) -> Result<Current<S>, NotLoaded> {
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
        self.published.get().map(|published| Arc::clone(&published.load().generation))
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

    fn routes(&self) -> Vec<Arc<[u8]>> {
        self.routes.lock().iter().filter_map(Weak::upgrade).collect()
    }

    /// A configuration of Envoy's uses it.
    pub fn hold(&self) {
        self.users.fetch_add(1, Ordering::AcqRel);
    }

    /// One does no more. What nobody uses is not loaded, nor looked after.
    pub fn release(&self) {
        let one_less = |users: usize| users.checked_sub(1);
        let _nobody_did = self.users.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_less);
    }

    pub(super) fn is_used(&self) -> bool {
        self.users.load(Ordering::Acquire) > 0
    }

    /// Publishes a generation: streams that begin from here on begin on it. What there was before is answered.
    fn publish(
        &self,
        generation: Arc<Generation<S>>,
        candidate: Option<Candidate<S>>,
    ) -> Option<Arc<Published<S>>> {
        let published = Arc::new(Published { generation, candidate });
        let before = match self.published.get() {
            Some(place) => Some(place.swap(published)),
            None => match self.published.set(ArcSwap::new(published)) {
                Ok(()) => None,
                // Only who has the turn publishes.
                Err(refused) => self.published.get().map(|place| place.swap(refused.into_inner())),
            },
        };
        self.watch.call_all();
        before
    }
}

impl<S: Stream> Current<S> {
    /// Whether it is on trial.
    pub fn is_candidate(&self) -> bool {
        self.is_candidate
    }

    /// The generation, to be kept.
    pub fn generation(&self) -> &Arc<Generation<S>> {
        match &self.published.candidate {
            Some(candidate) if self.is_candidate => candidate.generation(),
            Some(_) | None => &self.published.generation,
        }
    }
}

impl<S: Stream> Deref for Current<S> {
    type Target = Generation<S>;

    fn deref(&self) -> &Generation<S> {
        self.generation()
    }
}

impl<S: Stream> std::fmt::Debug for Slot<S> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Slot").field("plugin", &self.config.name).finish_non_exhaustive()
    }
}
