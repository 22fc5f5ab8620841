//! The inventory: everything that is loaded in this process, found by what it is made of.
//!
//! It holds nothing alive: a generation lives as long as a slot publishes it or lets it drain, a pool as long as a
//! generation does, code as long as a pool.
//!
//! What is made takes its time (code is compiled, guests start), so nothing is locked meanwhile but *turns*: who wants
//! the same thing waits for it, everybody else goes on.

mod keys;

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use self::keys::Key;
use super::caches::Caches;
use super::error::LoadError;
use super::generation::Generation;
use super::keeper::Keeper;
use super::pool::Pool;
use crate::config::{Isolation, PluginConfig};
use crate::engine::Engine;
use crate::engine::code::{Code, Effort, Tier, Wasm};
use crate::host::commons::Commons;
use crate::host::contexts::Plugin;
use crate::host::stream::Stream;
use crate::host::template::Template;
use crate::host::vm::StartError;

/// One per process; see the module's text. All methods may be called on any thread.
pub struct Inventory<S: Stream> {
    engine: Arc<Engine>,
    commons: Arc<Commons<S>>,
    /// How many workers the proxy has, if it says so.
    workers: Workers,
    keeper: Arc<Keeper<S>>,
    caches: Arc<Caches>,
    loaded: Mutex<Loaded<S>>,
    next_key: AtomicU64,
}

/// What a plugin is loaded for. Plugins of different uses share no VM, as in the built-in host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Use {
    /// Streams: filters and access loggers.
    Filter,
    /// Without streams, in one VM for each worker.
    Service,
    /// Without streams, in one VM.
    Singleton,
}

/// How many VMs a pool has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workers {
    /// Places for home VMs: at least as many as there are workers.
    pub places: usize,
    /// How many of them are filled when a plugin is loaded; the others when their first stream comes.
    pub prepared: usize,
}

/// How far a plugin has come that is being loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Its bytes become code.
    Compiling,
    /// Its VMs start, and are configured.
    Starting,
}

struct Loaded<S: Stream> {
    pools: HashMap<Key, Weak<Pool<S>>>,
    generations: HashMap<Key, Weak<Generation<S>>>,
    /// What is being made now.
    turns: HashMap<Key, Weak<Mutex<()>>>,
}

impl<S: Stream> Inventory<S> {
    /// Nothing yet.
    ///
    /// # Errors
    /// The engine cannot start on this machine.
    pub fn new(
        commons: Arc<Commons<S>>,
        workers: Workers,
        keeper: Arc<Keeper<S>>,
        caches: Arc<Caches>,
    ) -> Result<Self, LoadError> {
        Ok(Self {
            engine: Arc::new(Engine::new()?),
            keeper,
            commons,
            workers,
            caches,
            loaded: Mutex::new(Loaded {
                pools: HashMap::new(),
                generations: HashMap::new(),
                turns: HashMap::new(),
            }),
            next_key: AtomicU64::new(1),
        })
    }

    /// What all VMs of the process share.
    pub fn commons(&self) -> &Arc<Commons<S>> {
        &self.commons
    }

    /// Makes a generation of a plugin whose bytes are at hand: compiles, links, starts and configures it, or finds the one
    /// that is the same. Blocks for as long as that takes. What it finds was compiled with that effort or a better one.
    ///
    /// # Errors
    /// [`LoadError`] says which step failed; nothing of the plugin is left then.
    pub fn load(
        &self,
        purpose: Use,
        config: &PluginConfig,
        wasm: &Arc<Wasm>,
        effort: Effort,
        on_step: impl Fn(Step),
    ) -> Result<Arc<Generation<S>>, LoadError> {
        let variables = config.vm.environment.resolve(|name| std::env::var_os(name));
        let key = |tier| keys::pool_key(purpose, config, &wasm.digest(), &variables, tier);
        // Held until its turn has come.
        let optimized = self.pool(&key(Tier::Optimized));
        let effort =
            Effort { tier: if optimized.is_some() { Tier::Optimized } else { effort.tier }, ..effort };
        let pool_key = key(effort.tier);
        let workers = match purpose {
            Use::Filter | Use::Service => self.workers,
            Use::Singleton => Workers { places: 1, prepared: 1 },
        };
        let turn = self.turn(pool_key);
        let mine = turn.lock();
        let pool = if let Some(pool) = self.pool(&pool_key) {
            pool
        } else {
            on_step(Step::Compiling);
            // Until the pool is there, in which others find the code.
            let turn = self.turn(keys::code_key(wasm, config, effort.tier));
            let code_mine = turn.lock();
            let pool = self.make_pool(purpose, config, (wasm, effort), &variables, workers.places)?;
            let made = pool.template().code().least_tier();
            let pool = self.loaded.lock().enter(key(made), &pool);
            if made != effort.tier {
                // It came optimised from the cache, so it is found as what it is. Held until it is.
                drop((code_mine, mine));
                let found = self.load(purpose, config, wasm, Effort { tier: made, ..effort }, on_step);
                drop(pool);
                return found;
            }
            pool
        };
        let plugin = Plugin {
            key: 0,
            name: config.name.clone(),
            root_id: config.root_id.clone(),
            configuration: config.configuration.clone(),
            allow_on_headers_stop_iteration: config.allow_on_headers_stop_iteration,
        };
        on_step(Step::Starting);
        let generation = self.make_generation(&pool, &pool_key, plugin, workers.prepared)?;
        if generation.tier() == Tier::Baseline {
            generation.keep_wasm(wasm);
        }
        Ok(generation)
    }

    /// Compiles code for the cache alone.
    ///
    /// # Errors
    /// It is none.
    pub fn keep(&self, config: &PluginConfig, wasm: &Arc<Wasm>) -> Result<(), LoadError> {
        let is_vm_per_stream = config.graft.isolation == Isolation::Stream;
        self.code(config, (wasm, Effort::BACKGROUND), is_vm_per_stream).map(drop)
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
        let base = generation.plugin();
        let plugin = Plugin {
            key: 0,
            name: base.name.clone(),
            root_id: base.root_id.clone(),
            configuration: configuration.to_vec(),
            allow_on_headers_stop_iteration: base.allow_on_headers_stop_iteration,
        };
        let pool_key = self.loaded.lock().key_of(generation.pool());
        // Made ahead, for most: then nobody's turn has to be waited for.
        if let Some(found) = self.find_generation(&keys::generation_key(&pool_key, &plugin)) {
            return Ok(found);
        }
        let turn = self.turn(pool_key);
        let _mine = turn.lock();
        self.make_generation(generation.pool(), &pool_key, plugin, self.workers.prepared)
    }

    fn pool(&self, key: &Key) -> Option<Arc<Pool<S>>> {
        self.loaded.lock().pools.get(key).and_then(Weak::upgrade)
    }

    fn make_pool(
        &self,
        purpose: Use,
        config: &PluginConfig,
        code: (&Arc<Wasm>, Effort),
        variables: &[(String, String)],
        places: usize,
    ) -> Result<Arc<Pool<S>>, LoadError> {
        let rules = keys::rules(purpose, config);
        let code = self.code(config, code, rules.is_vm_per_stream)?;
        let template = Template::link(&self.engine, &code, keys::settings(config, variables), &self.commons)?;
        Ok(Arc::new(Pool::new(template, places, rules, Arc::clone(&self.commons.services), &config.name)))
    }

    fn code(
        &self,
        config: &PluginConfig,
        (wasm, effort): (&Arc<Wasm>, Effort),
        is_for_snapshots: bool,
    ) -> Result<Code, LoadError> {
        if let Some(code) = self.loaded.lock().code(wasm, effort.tier, is_for_snapshots) {
            return Ok(code);
        }
        let cache = self.caches.shelf(&config.graft.cache, |name| std::env::var_os(name));
        Ok(if is_for_snapshots {
            Code::compile_for_snapshots(&self.engine, wasm, effort, cache.as_ref())?
        } else {
            Code::compile(&self.engine, wasm, effort, cache.as_ref())?
        })
    }

    /// One whose streams were ended serves nobody any more.
    fn find_generation(&self, key: &Key) -> Option<Arc<Generation<S>>> {
        let found = self.loaded.lock().generation(key);
        // Without the lock: this hold on it may be the last.
        found.filter(|generation| !generation.has_ended())
    }

    /// Its pool's turn is the caller's.
    fn make_generation(
        &self,
        pool: &Arc<Pool<S>>,
        pool_key: &Key,
        plugin: Plugin,
        prepared: usize,
    ) -> Result<Arc<Generation<S>>, StartError> {
        let key = keys::generation_key(pool_key, &plugin);
        if let Some(generation) = self.find_generation(&key) {
            return Ok(generation);
        }
        let plugin = Plugin { key: self.next_key.fetch_add(1, Ordering::Relaxed), ..plugin };
        let generation =
            Arc::new(Generation::start(Arc::clone(pool), Arc::new(plugin), prepared, &self.keeper)?);
        self.loaded.lock().generations.insert(key, Arc::downgrade(&generation));
        Ok(generation)
    }

    /// The right to make something, when it is locked. Whoever comes second finds it made.
    fn turn(&self, key: Key) -> Arc<Mutex<()>> {
        let mut loaded = self.loaded.lock();
        loaded.forget_the_dead();
        let turn = loaded.turns.get(&key).and_then(Weak::upgrade).unwrap_or_default();
        loaded.turns.insert(key, Arc::downgrade(&turn));
        turn
    }
}

impl<S: Stream> Loaded<S> {
    fn forget_the_dead(&mut self) {
        fn is_alive<K: Hash, T>(_: &K, weak: &mut Weak<T>) -> bool {
            weak.strong_count() > 0
        }
        self.generations.retain(is_alive);
        self.pools.retain(is_alive);
        self.turns.retain(is_alive);
    }

    /// One more pool, unless there is one with that key.
    fn enter(&mut self, key: Key, pool: &Arc<Pool<S>>) -> Arc<Pool<S>> {
        let found = self.pools.get(&key).and_then(Weak::upgrade);
        found.unwrap_or_else(|| {
            self.pools.insert(key, Arc::downgrade(pool));
            Arc::clone(pool)
        })
    }

    fn generation(&self, key: &Key) -> Option<Arc<Generation<S>>> {
        self.generations.get(key).and_then(Weak::upgrade)
    }

    fn key_of(&self, pool: &Arc<Pool<S>>) -> Key {
        let is_it = |weak: &Weak<Pool<S>>| weak.as_ptr() == Arc::as_ptr(pool);
        self.pools.iter().find(|(_, pool)| is_it(pool)).map(|(key, _)| *key).unwrap_or_default()
    }

    /// What some bytes were compiled to, by that tier or a better one, if any pool runs it.
    fn code(&self, wasm: &Wasm, tier: Tier, is_for_snapshots: bool) -> Option<Code> {
        let mut codes =
            self.pools.values().filter_map(Weak::upgrade).map(|pool| pool.template().code().clone());
        codes.find(|code| {
            let is_it = code.digest() == wasm.digest() && code.is_for_snapshots() == is_for_snapshots;
            is_it && code.least_tier() >= tier
        })
    }
}

impl<S: Stream> std::fmt::Debug for Inventory<S> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Inventory").field("workers", &self.workers).finish_non_exhaustive()
    }
}
