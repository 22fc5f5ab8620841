//! The registry: everything that is loaded in this process, found by what it is made of.
//!
//! It holds nothing alive: a generation lives as long as a filter configuration or a stream holds it, a pool as
//! long as a generation does, code as long as a pool.

use std::collections::HashMap;
use std::ffi::OsString;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

use super::error::LoadError;
use super::failure::BackOff;
use super::generation::Generation;
use super::keeper::Keeper;
use super::pool::{Pool, Rules};
use crate::config::{self, Isolation, PluginConfig};
use crate::engine::Engine;
use crate::engine::code::{Code, Digest};
use crate::engine::limits::Limits;
use crate::engine::wasi::Environment;
use crate::host::calls::CallLimits;
use crate::host::commons::Commons;
use crate::host::contexts::Plugin;
use crate::host::stream::Stream;
use crate::host::template::{Capabilities, Deadlines, Settings, Template};
use crate::host::vm::{LogLimit, StartError};
use crate::source::location;

/// One per process; see the module's text. All methods may be called on any thread; loads of the same thing wait
/// for each other.
pub struct Registry<S: Stream> {
    engine: Arc<Engine>,
    commons: Arc<Commons<S>>,
    /// How many workers the proxy has, if it says so.
    workers: Workers,
    keeper: Arc<Keeper<S>>,
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

struct Loaded<S: Stream> {
    pools: HashMap<Key, Weak<Pool<S>>>,
    generations: HashMap<Key, Weak<Generation<S>>>,
}

/// A digest over parts; the same parts give the same key.
type Key = [u8; 32];

impl<S: Stream> Registry<S> {
    /// A registry with nothing loaded.
    ///
    /// # Errors
    /// The engine cannot start on this machine.
    pub fn new(services: Arc<S::Services>, workers: Workers) -> Result<Self, LoadError> {
        Ok(Self {
            engine: Arc::new(Engine::new()?),
            keeper: Arc::new(Keeper::new(Arc::clone(&services))),
            commons: Commons::new(services),
            workers,
            loaded: Mutex::new(Loaded { pools: HashMap::new(), generations: HashMap::new() }),
            next_key: AtomicU64::new(1),
        })
    }

    /// What all VMs of the process share.
    pub fn commons(&self) -> &Arc<Commons<S>> {
        &self.commons
    }

    /// What has to be done for the pools, by a thread that is not a worker.
    pub fn keeper(&self) -> &Arc<Keeper<S>> {
        &self.keeper
    }

    /// Loads a plugin: reads, compiles, links, starts and configures it, or finds the generation that is the same.
    /// Blocks for as long as that takes.
    ///
    /// # Errors
    /// [`LoadError`] says which step failed; nothing of the plugin is left then.
    pub fn load(&self, purpose: Use, config: &PluginConfig) -> Result<Arc<Generation<S>>, LoadError> {
        let environment = |name: &str| -> Option<OsString> { std::env::var_os(name) };
        let bytes = location::read(&config.vm.code, environment)?;
        let variables = config.vm.environment.resolve(environment);
        let pool_key = pool_key(purpose, config, &Digest::of(&bytes), &variables);
        let workers = match purpose {
            Use::Filter | Use::Service => self.workers,
            Use::Singleton => Workers { places: 1, prepared: 1 },
        };

        let mut loaded = self.loaded.lock();
        loaded.forget_the_dead();
        let pool = match loaded.pools.get(&pool_key).and_then(Weak::upgrade) {
            Some(pool) => pool,
            None => self.make_pool(
                &mut loaded,
                config,
                (&bytes, &variables),
                pool_key,
                (purpose, workers.places),
            )?,
        };
        let plugin = Plugin {
            key: 0,
            name: config.name.clone(),
            root_id: config.root_id.clone(),
            configuration: config.configuration.clone(),
            allow_on_headers_stop_iteration: config.allow_on_headers_stop_iteration,
        };
        Ok(self.make_generation(&mut loaded, &pool, &pool_key, plugin, workers.prepared)?)
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
        let mut loaded = self.loaded.lock();
        let is_its_pool = |weak: &Weak<Pool<S>>| weak.as_ptr() == Arc::as_ptr(generation.pool());
        let pool_key = loaded.pools.iter().find(|(_, pool)| is_its_pool(pool)).map(|(key, _)| *key);
        self.make_generation(
            &mut loaded,
            generation.pool(),
            &pool_key.unwrap_or_default(),
            plugin,
            self.workers.prepared,
        )
    }

    fn make_pool(
        &self,
        loaded: &mut Loaded<S>,
        config: &PluginConfig,
        (bytes, variables): (&[u8], &[(String, String)]),
        key: Key,
        (purpose, places): (Use, usize),
    ) -> Result<Arc<Pool<S>>, LoadError> {
        let rules = rules(purpose, config);
        let code = match loaded.code(&Digest::of(bytes), rules.is_vm_per_stream) {
            Some(code) => code,
            None if rules.is_vm_per_stream => Code::compile_for_snapshots(&self.engine, bytes)?,
            None => Code::compile(&self.engine, bytes)?,
        };
        let template = Template::link(&self.engine, &code, settings(config, variables), &self.commons)?;
        let pool =
            Arc::new(Pool::new(template, places, rules, Arc::clone(&self.commons.services), &config.name));
        loaded.pools.insert(key, Arc::downgrade(&pool));
        Ok(pool)
    }

    fn make_generation(
        &self,
        loaded: &mut Loaded<S>,
        pool: &Arc<Pool<S>>,
        pool_key: &Key,
        plugin: Plugin,
        prepared: usize,
    ) -> Result<Arc<Generation<S>>, StartError> {
        let key = generation_key(pool_key, &plugin);
        if let Some(generation) = loaded.generations.get(&key).and_then(Weak::upgrade) {
            return Ok(generation);
        }
        let plugin = Plugin { key: self.next_key.fetch_add(1, Ordering::Relaxed), ..plugin };
        let generation =
            Arc::new(Generation::start(Arc::clone(pool), Arc::new(plugin), prepared, &self.keeper)?);
        loaded.generations.insert(key, Arc::downgrade(&generation));
        Ok(generation)
    }
}

impl<S: Stream> Loaded<S> {
    fn forget_the_dead(&mut self) {
        fn is_alive<K: Hash, T>(_: &K, weak: &mut Weak<T>) -> bool {
            weak.strong_count() > 0
        }
        self.generations.retain(is_alive);
        self.pools.retain(is_alive);
    }

    /// What some bytes were compiled to, if any pool runs it.
    fn code(&self, digest: &Digest, is_for_snapshots: bool) -> Option<Code> {
        let mut codes =
            self.pools.values().filter_map(Weak::upgrade).map(|pool| pool.template().code().clone());
        codes.find(|code| code.digest() == *digest && code.is_for_snapshots() == is_for_snapshots)
    }
}

/// What decides which plugins share VMs.
fn pool_key(purpose: Use, config: &PluginConfig, code: &Digest, variables: &[(String, String)]) -> Key {
    let mut parts: Vec<Vec<u8>> = vec![
        vec![purpose as u8],
        config.vm.vm_id.clone().into_bytes(),
        config.vm.configuration.clone(),
        code.as_bytes().to_vec(),
        format!("{:?} {:?}", config.graft, config.reload).into_bytes(),
    ];
    match &config.capabilities {
        config::Capabilities::All => parts.push(b"all".to_vec()),
        config::Capabilities::Only(names) => {
            // Counted, so that the last names are not taken for variables.
            parts.push(format!("only {}", names.len()).into_bytes());
            parts.extend(names.iter().map(|name| name.clone().into_bytes()));
        }
    }
    for (name, value) in variables {
        parts.push(name.clone().into_bytes());
        parts.push(value.clone().into_bytes());
    }
    digest(&parts)
}

fn generation_key(pool: &Key, plugin: &Plugin) -> Key {
    digest(&[
        pool.to_vec(),
        plugin.name.clone().into_bytes(),
        plugin.root_id.clone().into_bytes(),
        plugin.configuration.clone(),
        vec![u8::from(plugin.allow_on_headers_stop_iteration)],
    ])
}

/// Lengths first, so that parts cannot be shifted against each other.
fn digest(parts: &[Vec<u8>]) -> Key {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

fn rules(purpose: Use, config: &PluginConfig) -> Rules {
    let pool = &config.graft.pool;
    Rules {
        is_vm_per_stream: config.graft.isolation == Isolation::Stream,
        spare_vms: match purpose {
            Use::Filter => pool.spare_vms,
            // Nobody waits for a service, and its start is to be seen once for each VM that works.
            Use::Service | Use::Singleton => 0,
        },
        max_vms: pool.max_vms,
        max_wait: pool.max_wait,
        back_off: BackOff { base: config.reload.base_interval, longest: config.reload.max_interval },
    }
}

fn settings(config: &PluginConfig, variables: &[(String, String)]) -> Settings {
    let limits = &config.graft.limits;
    Settings {
        vm_id: config.vm.vm_id.clone(),
        configuration: config.vm.configuration.clone(),
        environment: Environment::new(variables.iter().map(|(name, value)| (name.as_str(), value.as_str()))),
        limits: Limits {
            memory_bytes: usize::try_from(limits.memory_bytes).unwrap_or(usize::MAX),
            table_elements: usize::try_from(limits.table_elements).unwrap_or(usize::MAX),
        },
        deadlines: Deadlines {
            start: limits.start_deadline,
            configure: limits.configure_deadline,
            call: limits.call_deadline,
        },
        strict_local_responses: config.graft.strict_local_responses,
        calls: CallLimits {
            calls: usize::try_from(limits.callouts).unwrap_or(usize::MAX),
            bytes: usize::try_from(limits.callout_bytes).unwrap_or(usize::MAX),
        },
        shared_bytes: usize::try_from(limits.shared_bytes).unwrap_or(usize::MAX),
        log_limit: LogLimit::new(limits.log_lines_per_second),
        capabilities: match &config.capabilities {
            config::Capabilities::All => Capabilities::All,
            config::Capabilities::Only(names) => Capabilities::Only(names.clone()),
        },
    }
}

impl<S: Stream> std::fmt::Debug for Registry<S> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Registry").field("workers", &self.workers).finish_non_exhaustive()
    }
}
