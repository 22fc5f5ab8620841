//! Start-up: from a template to a VM whose code has started, and from that to configured root contexts.
//!
//! The order is the built-in host's: `_initialize` then `main` (or `__main_void`), or `_start`; then for each plugin
//! `proxy_on_context_create`, `proxy_on_vm_start` (for every root, not once a VM), `proxy_on_configure`.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::{Instance, Store, TypedFunc};

use super::{CallError, Inner, Phase, State, Vm, exported_memory, ticks};
use crate::engine::limits::Limiter;
use crate::host::calls::Calls;
use crate::host::contexts::{Context, Contexts, Plugin, RootIndex};
use crate::host::entry_points::{EntryPoints, WrongType, find};
use crate::host::metrics::Metrics;
use crate::host::stream::Stream;
use crate::host::template::Template;
use crate::telemetry::gate::Gate;

/// How often a VM's log says that this proxy cannot make a call.
const UNABLE_EVERY: Duration = Duration::from_secs(10);

/// Why a VM or a plugin in it did not start. The messages complete "the plugin …".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The instance could not be made: not enough memory under the limits, or the start section trapped.
    #[error("cannot be instantiated: {0}, expected a module that starts within graft.limits")]
    Instantiate(String),
    /// An entry point has a type that the ABI does not give it.
    #[error("{0}, expected the type that the Proxy-Wasm ABI gives it")]
    WrongType(String),
    /// The guest trapped.
    #[error("trapped while starting: {0}")]
    Trapped(#[from] CallError),
    /// `proxy_on_vm_start` answered false.
    #[error("refused to start: proxy_on_vm_start answered false, expected true")]
    VmStartRefused,
    /// `proxy_on_configure` answered false.
    #[error("refused its configuration: proxy_on_configure answered false, expected true")]
    ConfigureRefused,
}

impl From<WrongType> for StartError {
    fn from(error: WrongType) -> Self {
        Self::WrongType(error.to_string())
    }
}

impl<S: Stream> Vm<S> {
    /// Makes an instance and runs the start of its code.
    ///
    /// # Errors
    /// The instance cannot be made, an entry point has a wrong type, or the start traps.
    pub fn start(template: &Template<S>) -> Result<Self, StartError> {
        let settings = Arc::clone(&template.settings);
        let (start_ticks, call_ticks) = ticks(&settings);
        let limiter = Limiter::new(settings.limits);
        let commons = Arc::clone(&template.commons);
        let number = commons.agenda.number();
        let mut store = Store::new(
            template.engine.handle(),
            State {
                abi: template.abi,
                services: Arc::clone(&commons.services),
                calls: Calls::new(settings.calls),
                unable_lines: Gate::new(1, UNABLE_EVERY),
                space: Arc::clone(&template.space),
                commons,
                number,
                reply: None,
                changed_ticks: Vec::new(),
                has_changed_metrics: false,
                is_failure_told: false,
                settings,
                contexts: Contexts::new(),
                metrics: Metrics::default(),
                memory: None,
                allocator: None,
                current: Context::Vm,
                effective: None,
                is_restricted: true,
                has_plugin_configuration: false,
                is_stopped: false,
                has_done_roots: false,
                kept_bytes: 0,
                woken: Vec::new(),
                scratch: Vec::new(),
                limiter,
            },
        );
        store.limiter(|state| &mut state.limiter);
        store.epoch_deadline_trap();
        store.set_epoch_deadline(start_ticks);
        let ticking = template.engine.keep_ticking();
        let instance = template
            .instance
            .instantiate(&mut store)
            .map_err(|error| StartError::Instantiate(store.data().reason(&error)))?;
        store.data_mut().memory = exported_memory(&instance, &mut store);

        // The restriction names entry points; how code starts and allocates is not an entry point.
        let always = |_: &str| true;
        let allocator = match find(&mut store, &instance, "malloc", always)? {
            None => find(&mut store, &instance, "proxy_on_memory_allocate", always)?,
            some => some,
        };
        store.data_mut().allocator = allocator;
        let settings = Arc::clone(&store.data().settings);
        let is_allowed = |name: &str| settings.capabilities.allows(name);
        let entry_points = EntryPoints::find(&mut store, &instance, template.abi, is_allowed)?;

        let inner = Inner {
            store,
            number,
            call_ticks,
            start_ticks,
            has_failed: false,
            has_served: false,
            failed_plugin: None,
            _ticking: ticking,
        };
        let mut vm = Self { inner, entry_points };
        vm.run_start(&instance)?;
        vm.inner.store.data_mut().is_restricted = false;
        Ok(vm)
    }

    fn run_start(&mut self, instance: &Instance) -> Result<(), StartError> {
        let always = |_: &str| true;
        let store = &mut self.inner.store;
        let initialize: Option<TypedFunc<(), ()>> = find(&mut *store, instance, "_initialize", always)?;
        let Some(initialize) = initialize else {
            let start: Option<TypedFunc<(), ()>> = find(store, instance, "_start", always)?;
            if let Some(start) = start {
                self.call_start("_start", &start, ())?;
            }
            return Ok(());
        };
        let main: Option<TypedFunc<(u32, u32), u32>> = find(&mut *store, instance, "main", always)?;
        let main_void: Option<TypedFunc<(), u32>> = find(store, instance, "__main_void", always)?;
        self.call_start("_initialize", &initialize, ())?;
        // What main returns is not looked at, as in the built-in host.
        match (main, main_void) {
            (Some(main), _) => drop(self.call_start("main", &main, (0, 0))?),
            (None, Some(main)) => drop(self.call_start("__main_void", &main, ())?),
            (None, None) => {}
        }
        Ok(())
    }

    fn call_start<P: wasmtime::WasmParams, R: wasmtime::WasmResults>(
        &mut self,
        name: &'static str,
        function: &TypedFunc<P, R>,
        parameters: P,
    ) -> Result<R, CallError> {
        self.inner.call(Phase::Start, Context::Vm, name, function, parameters)
    }

    /// Makes the root context of a plugin: created, started, configured.
    ///
    /// # Errors
    /// The guest trapped (the VM is dead then) or refused (the root is gone, the VM lives).
    pub fn create_root(&mut self, plugin: &Arc<Plugin>) -> Result<RootIndex, StartError> {
        if self.has_failed() {
            return Err(CallError::VmFailed.into());
        }
        let state = self.inner.store.data_mut();
        let root = state.contexts.add_root(Arc::clone(plugin), &state.settings.vm_id);
        let started = self.start_root(root, plugin);
        self.inner.store.data_mut().has_plugin_configuration = false;
        if started.is_err() {
            self.forget_root(root);
            self.inner.store.data_mut().contexts.remove_root(root);
        }
        self.delete_done_roots();
        started.map(|()| root)
    }

    fn start_root(&mut self, root: RootIndex, plugin: &Plugin) -> Result<(), StartError> {
        let context = Context::Root(root);
        let state = self.inner.store.data_mut();
        let id = state.contexts.root(root).map_or(0, |root| root.id.0);
        let vm_configuration_size = size(&state.settings.configuration);
        state.has_plugin_configuration = true;
        if let Some(function) = &self.entry_points.on_context_create {
            let name = "proxy_on_context_create";
            self.inner.call(Phase::Start, context, name, function, (id, 0))?;
        }
        // As in the built-in host: what a VM does on start is independent of the plugin that causes it.
        self.inner.store.data_mut().has_plugin_configuration = false;
        if let Some(function) = &self.entry_points.on_vm_start {
            let parameters = (id, vm_configuration_size);
            if self.inner.call(Phase::Start, context, "proxy_on_vm_start", function, parameters)? == 0 {
                return Err(StartError::VmStartRefused);
            }
        }
        self.inner.store.data_mut().has_plugin_configuration = true;
        if let Some(function) = &self.entry_points.on_configure {
            let parameters = (id, size(&plugin.configuration));
            if self.inner.call(Phase::Start, context, "proxy_on_configure", function, parameters)? == 0 {
                return Err(StartError::ConfigureRefused);
            }
        }
        Ok(())
    }
}

fn size(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}
