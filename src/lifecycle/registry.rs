//! The registry: the plugins of this process, each in its slot.
//!
//! Configurations of Envoy's that are equal share a slot, so that a plugin is loaded once however many listeners have
//! it. A configuration that is new while streams come takes over from the one of the same name: it publishes that one's
//! generation until its own is ready.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::caches::Caches;
use super::error::LoadError;
use super::generation::Generation;
use super::inventory::Inventory;
pub use super::inventory::{Use, Workers};
use super::keeper::Keeper;
use super::loader::{Loader, Works};
use super::slot::edition::Edition;
use super::slot::{Command, CommandError, Slot};
use super::supply::{Freshness, Sourced, Supply};
use crate::config::{LoadMode, PluginConfig};
use crate::engine::code::Effort;
use crate::host::commons::Commons;
use crate::host::stream::Stream;
use crate::host::vm::StartError;
use crate::telemetry::{self, Level};

/// One per process; see the module's text. All methods may be called on any thread.
pub struct Registry<S: Stream> {
    commons: Arc<Commons<S>>,
    keeper: Arc<Keeper<S>>,
    loader: Arc<Loader<S>>,
    slots: Mutex<Vec<Weak<Slot<S>>>>,
    next_line: AtomicU64,
}

impl<S: Stream> Registry<S> {
    /// A registry with nothing loaded, for code from anywhere.
    ///
    /// # Errors
    /// The engine cannot start on this machine.
    pub fn new(services: Arc<S::Services>, workers: Workers) -> Result<Self, LoadError> {
        let caches = Arc::<Caches>::default();
        Self::with(services, workers, Arc::new(Sourced::new(Arc::clone(&caches))), caches)
    }

    /// The same, with code from a supply.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn with_supply(
        services: Arc<S::Services>,
        workers: Workers,
        supply: Arc<dyn Supply>,
    ) -> Result<Self, LoadError> {
        Self::with(services, workers, supply, Arc::default())
    }

    fn with(
        services: Arc<S::Services>,
        workers: Workers,
        supply: Arc<dyn Supply>,
        caches: Arc<Caches>,
    ) -> Result<Self, LoadError> {
        let keeper = Arc::new(Keeper::new(Arc::clone(&services)));
        let commons = Commons::new(Arc::clone(&services));
        let inventory = Inventory::new(Arc::clone(&commons), workers, Arc::clone(&keeper), caches)?;
        let loader = Arc::new(Loader::new(Works {
            inventory,
            supply,
            services,
            optimizes_at_once: AtomicBool::new(false),
        }));
        Ok(Self { commons, keeper, loader, slots: Mutex::default(), next_line: AtomicU64::new(1) })
    }

    /// What all VMs of the process share.
    pub fn commons(&self) -> &Arc<Commons<S>> {
        &self.commons
    }

    /// What has to be done for the pools, by a thread that is not a worker.
    pub fn keeper(&self) -> &Arc<Keeper<S>> {
        &self.keeper
    }

    /// What loads plugins while traffic flows.
    pub fn loader(&self) -> &Arc<Loader<S>> {
        &self.loader
    }

    /// The slot of a plugin for a configuration of Envoy's, which [releases](Slot::release) it in the end. `has_served`:
    /// streams have come already, so nobody may be held up unless the configuration wants it.
    ///
    /// # Errors
    /// The plugin was loaded here and now, and that failed; or what can be told without loading it is wrong.
    pub fn open(
        &self,
        purpose: Use,
        config: &PluginConfig,
        has_served: bool,
    ) -> Result<Arc<Slot<S>>, LoadError> {
        let works = self.loader.works();
        if config.vm.nack_on_code_cache_miss && !self.serves(purpose, config) && !works.supply.is_kept(config)
        {
            // So that it is when the configuration comes again, which a process that validates does not live to see.
            let is_fetched = !works.optimizes_at_once.load(Ordering::Relaxed);
            if is_fetched {
                self.loader.post_to_keep(config);
            }
            return Err(LoadError::NotAtHand { is_fetched });
        }
        let may_block = config.graft.swap.load == LoadMode::Auto && !has_served;
        let at_hand = if may_block { works.supply.at_hand(config) } else { None };
        let is_blocking = config.graft.swap.load == LoadMode::Blocking || at_hand.is_some();
        let (slot, is_new) = self.find_or_make(purpose, config, has_served);
        if is_blocking {
            if let Err(error) = slot.load_now(works, at_hand) {
                self.give_up(&slot);
                if slot.is_used() {
                    // Others have it: they want it tried again.
                    self.loader.post(&slot, 0);
                }
                return Err(error);
            }
        } else if is_new {
            works.supply.check(config).inspect_err(|_error| self.give_up(&slot))?;
            if let Some(generation) = slot.stable() {
                let number = generation.plugin().key;
                let line = format_args!(
                    "a new configuration of this name serves with generation {number}, that of the last one, until its \
                     own is ready"
                );
                telemetry::log_plugin(Level::Info, &config.name, line);
            }
        } else {
            slot.want();
        }
        self.loader.post(&slot, 0);
        Ok(slot)
    }

    /// A slot was held for nothing. Streams of before may be the last to hold it.
    fn give_up(&self, slot: &Arc<Slot<S>>) {
        slot.release();
        self.loader.let_go(slot);
    }

    /// Whether the very same configuration has a generation.
    fn serves(&self, purpose: Use, config: &PluginConfig) -> bool {
        let known: Vec<_> = self.slots.lock().iter().filter_map(Weak::upgrade).collect();
        known.iter().any(|slot| {
            let is_it = slot.purpose() == purpose && slot.config() == config;
            is_it && slot.stable().is_some() && !slot.is_over()
        })
    }

    /// The slot, which is held for the caller.
    fn find_or_make(&self, purpose: Use, config: &PluginConfig, has_served: bool) -> (Arc<Slot<S>>, bool) {
        // Dropped after the lock: one of them may end with it.
        let mut known: Vec<Arc<Slot<S>>>;
        let mut slots = self.slots.lock();
        slots.retain(|slot| slot.strong_count() > 0);
        known = slots.iter().filter_map(Weak::upgrade).collect();
        known
            .retain(|slot| slot.purpose() == purpose && slot.config().name == config.name && !slot.is_over());
        if let Some(slot) = known.iter().find(|slot| slot.config() == config && slot.hold()) {
            // It is the last of its name now.
            let weak = Arc::downgrade(slot);
            slots.retain(|other| !other.ptr_eq(&weak));
            slots.push(weak);
            return (Arc::clone(slot), false);
        }
        // Before streams come no configuration replaces another: those of one name are in different places, and each waits
        // for its own.
        let last = predecessor(config, &known).filter(|_| has_served);
        let line = last.map_or_else(|| self.next_line.fetch_add(1, Ordering::Relaxed), |last| last.line());
        let services = &self.commons.services;
        let slot = Arc::new(Slot::new(purpose, config.clone(), line, last, services));
        let _nothing_has_ended = slot.hold();
        slots.push(Arc::downgrade(&slot));
        (slot, true)
    }

    /// The slots of all plugins, in the order in which they came.
    pub fn slots(&self) -> Vec<Arc<Slot<S>>> {
        self.slots.lock().iter().filter_map(Weak::upgrade).filter(|slot| slot.is_used()).collect()
    }

    /// Follows a command for a plugin. What takes time is left to the loader.
    ///
    /// # Errors
    /// There is nothing to promote or to roll back.
    pub fn command(&self, slot: &Arc<Slot<S>>, command: Command) -> Result<(), CommandError> {
        slot.command(command)?;
        self.loader.post(slot, 0);
        Ok(())
    }

    /// Loads a plugin without a slot. Blocks for as long as that takes.
    ///
    /// # Errors
    /// [`LoadError`] says which step failed; nothing of the plugin is left then.
    pub fn load(&self, purpose: Use, config: &PluginConfig) -> Result<Arc<Generation<S>>, LoadError> {
        let works = self.loader.works();
        let supplied = works.supply.fetch(config, Freshness::ByPolicy)?;
        works.inventory.load(purpose, config, &Arc::new(supplied.wasm), Effort::FULL, |_step| ())
    }

    /// The same plugin with another configuration: its own root context in the same VMs.
    ///
    /// # Errors
    /// The plugin refused the configuration or trapped on it.
    pub fn load_variant(
        &self,
        generation: &Generation<S>,
        configuration: &[u8],
    ) -> Result<Arc<Generation<S>>, StartError> {
        self.loader.works().inventory.load_variant(generation, configuration)
    }

    /// The same for a route of a slot: it is there for as long as the edition and the configuration.
    ///
    /// # Errors
    /// As for [`load_variant`](Self::load_variant).
    pub fn load_route(
        &self,
        edition: &Edition<S>,
        configuration: &Arc<[u8]>,
    ) -> Result<Arc<Generation<S>>, StartError> {
        edition.variant(&self.loader.works().inventory, configuration)
    }

    /// A route is gone: what it made of plugins goes, too, on a thread of the loader.
    pub fn forget_routes(&self) {
        // None is held, since whoever drops a route may be inside a guest, where no slot may end.
        let slots = self.slots.lock().clone();
        self.loader.post_looks(slots);
    }
}

/// The slot that a new configuration takes over from: the last of its name. A name that was not given says nothing, and
/// where two plugins that have nothing to do with each other have the same, nobody can tell which of them it was.
fn predecessor<'a, S: Stream>(config: &PluginConfig, known: &'a [Arc<Slot<S>>]) -> Option<&'a Arc<Slot<S>>> {
    let last = known.iter().rfind(|slot| slot.config().is_named)?;
    let is_one_line = known.iter().all(|slot| slot.line() == last.line());
    (config.is_named && is_one_line).then_some(last)
}

impl<S: Stream> std::fmt::Debug for Registry<S> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Registry").finish_non_exhaustive()
    }
}
