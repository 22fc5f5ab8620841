//! A registry in a process made of plain data, and what a proxy does with it in a few words: load a plugin, open a
//! stream on a worker, let a request come, end.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use graft::config::{
    CacheConfig, Capabilities, Code, Environment, FailurePolicy, GraftConfig, Limits, PluginConfig,
    ReloadConfig, VmConfig,
};
use graft::host::testing::{FakeServices, FakeStream, pairs};
use graft::host::types::{Direction, HeadersAction};
use graft::host::vm::CallError;
use graft::host::vm::Lease;
use graft::lifecycle::generation::{BeginError, Begun, Generation};
use graft::lifecycle::registry::{Registry, Use, Workers};
use graft::lifecycle::slot::Slot;

use crate::guest::Guest;
use crate::supplier::Supplier;

/// A loaded plugin.
pub type Loaded = Arc<Generation<FakeStream>>;

/// The first wait of a crash loop in [`config`].
pub const FIRST_WAIT: Duration = Duration::from_secs(1);

/// The longest.
pub const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// A process with its registry.
pub struct House {
    pub registry: Registry<FakeStream>,
    pub services: Arc<FakeServices>,
}

impl House {
    /// A process with some workers, whose VMs are made when a plugin is loaded.
    pub fn new(workers: usize) -> Self {
        Self::with(Workers { places: workers, prepared: workers })
    }

    /// A process that knows its workers less well.
    pub fn with(workers: Workers) -> Self {
        let services = Arc::new(FakeServices::default());
        let registry = Registry::new(Arc::clone(&services), workers).unwrap();
        Self { registry, services }
    }

    /// A process whose plugins come from a supply.
    pub fn supplied(workers: usize, supply: &Arc<Supplier>) -> Self {
        Self::supplied_with(Workers { places: workers, prepared: workers }, supply)
    }

    /// The same for one that knows its workers less well.
    pub fn supplied_with(workers: Workers, supply: &Arc<Supplier>) -> Self {
        let services = Arc::new(FakeServices::default());
        let registry =
            Registry::with_supply(Arc::clone(&services), workers, Arc::clone(supply) as _).unwrap();
        Self { registry, services }
    }

    /// A configuration of the proxy's wants a plugin, after streams have come.
    pub fn open(&self, config: &PluginConfig) -> Arc<Slot<FakeStream>> {
        self.registry
            .open(Use::Filter, config, true)
            .unwrap_or_else(|error| panic!("{}", error.describe(config)))
    }

    /// Loads a plugin that must load.
    pub fn load(&self, config: &PluginConfig) -> Loaded {
        self.registry.load(Use::Filter, config).unwrap_or_else(|error| panic!("{}", error.describe(config)))
    }

    /// Loads a plugin that must not: the line for the log.
    pub fn refuse(&self, config: &PluginConfig) -> String {
        match self.registry.load(Use::Filter, config) {
            Ok(_) => panic!("{config:?} was loaded"),
            Err(error) => error.describe(config),
        }
    }

    /// What guests said since the last time, without `wasm log …:`.
    pub fn said(&self) -> Vec<String> {
        let lines = std::mem::take(&mut *self.services.lines.lock());
        lines.into_iter().map(|(_, line)| line.split_once(": ").unwrap().1.to_owned()).collect()
    }

    /// The clock that never goes back.
    pub fn now(&self) -> u64 {
        graft::host::stream::Services::monotonic_nanoseconds(&*self.services)
    }

    /// Lets time pass, and the loader do what is due then; answers when the next is.
    pub fn after(&self, time: Duration) -> Option<u64> {
        self.pass(time);
        self.registry.loader().work()
    }

    /// Lets time pass on both clocks.
    pub fn pass(&self, time: Duration) {
        self.services.now.fetch_add(u64::try_from(time.as_nanos()).unwrap(), Ordering::Relaxed);
    }
}

/// A plugin of a guest, with nothing else set but time enough for a machine under load.
pub fn config(name: &str, guest: &Guest) -> PluginConfig {
    config_of(name, Code::Inline(guest.wasm()))
}

/// The same with code from anywhere.
pub fn config_of(name: &str, code: Code) -> PluginConfig {
    let patient = Duration::from_mins(1);
    PluginConfig {
        name: name.to_owned(),
        is_named: true,
        root_id: String::new(),
        vm: VmConfig {
            vm_id: String::new(),
            code,
            configuration: Vec::new(),
            environment: Environment::default(),
            nack_on_code_cache_miss: false,
        },
        configuration: Vec::new(),
        failure_policy: FailurePolicy::Closed,
        reload: ReloadConfig { base_interval: FIRST_WAIT, max_interval: LONGEST_WAIT },
        capabilities: Capabilities::All,
        allow_on_headers_stop_iteration: false,
        graft: GraftConfig {
            limits: Limits {
                call_deadline: patient,
                start_deadline: patient,
                configure_deadline: patient,
                ..Limits::default()
            },
            // Whoever runs the tests has a cache of his own.
            cache: CacheConfig { disabled: true, ..CacheConfig::default() },
            ..GraftConfig::default()
        },
    }
}

/// The plugin with another configuration.
pub fn configured(config: &PluginConfig, configuration: &str) -> PluginConfig {
    PluginConfig { configuration: configuration.as_bytes().to_vec(), ..config.clone() }
}

/// The plugin with its VM changed.
pub fn with_vm(config: &PluginConfig, change: impl FnOnce(&mut VmConfig)) -> PluginConfig {
    let mut config = config.clone();
    change(&mut config.vm);
    config
}

/// The plugin with its limits changed.
pub fn with_limits(config: &PluginConfig, change: impl FnOnce(&mut Limits)) -> PluginConfig {
    let mut config = config.clone();
    change(&mut config.graft.limits);
    config
}

/// The plugin restricted to some functions.
pub fn allowing_only(config: &PluginConfig, names: &[&str]) -> PluginConfig {
    let names: BTreeSet<String> = names.iter().map(|name| (*name).to_owned()).collect();
    PluginConfig { capabilities: Capabilities::Only(names), ..config.clone() }
}

/// Environment variables with their values.
pub fn variables(list: &[(&str, &str)]) -> BTreeMap<String, String> {
    list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Code in a file of a folder.
pub fn file(folder: &tempfile::TempDir, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join("plugin.wasm");
    std::fs::write(&path, bytes).unwrap();
    path
}

/// A guest that traps on requests without headers, and lets all others go on.
pub fn fragile() -> Guest {
    Guest::new().on("proxy_on_request_headers", "(if (i32.eqz (local.get $1)) (then unreachable))")
}

/// A body that says a word.
pub fn word(word: &str) -> String {
    format!("(drop (call $proxy_log (i32.const 2) (text \"{word}\")))")
}

/// A stream that the proxy holds.
pub struct Open(pub Begun<FakeStream>);

/// Opens a stream; `request`: one that [`fragile`] guests survive.
pub fn try_open(plugin: &Loaded, worker: usize) -> Result<Open, BeginError> {
    let stream = FakeStream { request_headers: pairs(&[(":path", "/")]), ..FakeStream::default() };
    plugin.begin(worker, stream).map(Open)
}

/// The same on a worker that does not wait for other threads.
pub fn try_open_if_free(plugin: &Loaded, worker: usize) -> Result<Open, BeginError> {
    let stream = FakeStream { request_headers: pairs(&[(":path", "/")]), ..FakeStream::default() };
    plugin.begin_if_free(worker, stream).map(Open)
}

/// Opens a stream that must begin.
pub fn open(plugin: &Loaded, worker: usize) -> Open {
    try_open(plugin, worker).unwrap_or_else(|error| panic!("{error}"))
}

/// A whole exchange that must go well.
pub fn serve(plugin: &Loaded, worker: usize) {
    let stream = open(plugin, worker);
    stream.request().unwrap();
    stream.end();
}

/// A stream that [`fragile`] guests trap on; the VM is dead afterwards.
pub fn crash(plugin: &Loaded, worker: usize) {
    let stream = open(plugin, worker);
    stream.crash();
    stream.end();
}

impl Open {
    /// Request headers arrive.
    pub fn request(&self) -> Result<HeadersAction, CallError> {
        self.0.lease.lock().on_headers(self.0.stream, Direction::Request, true)
    }

    /// Request headers arrive that a [`fragile`] guest traps on.
    pub fn crash(&self) {
        self.0.lease.lock().stream_mut(self.0.stream).unwrap().stream.request_headers = None;
        let error = self.request().unwrap_err();
        assert!(matches!(error, CallError::Trapped { .. }), "{error}");
    }

    /// The exchange is over.
    pub fn end(self) {
        self.0.lease.lock().end_stream(self.0.stream);
    }

    /// Whether it is on a VM.
    pub fn is_on(&self, lease: &Lease<FakeStream>) -> bool {
        self.0.lease == *lease
    }
}

/// Whether two plugins share their VMs.
pub fn share_vms(one: &Loaded, other: &Loaded) -> bool {
    Arc::ptr_eq(one.pool(), other.pool())
}

/// Waits for something that another thread does.
pub fn eventually(what: impl Fn() -> bool) -> bool {
    let end = Instant::now() + Duration::from_mins(1);
    while Instant::now() < end {
        if what() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    false
}
