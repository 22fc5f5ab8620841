//! Start-up: from a template to a VM whose code has started, and from that to configured root contexts.
//!
//! The order is the built-in host's: `_initialize` then `main` (or `__main_void`), or `_start`; then for each plugin
//! `proxy_on_context_create`, `proxy_on_vm_start` (for every root, not once a VM), `proxy_on_configure`.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::{Module, PoolConcurrencyLimitError, Store};

use super::tally::CallTimes;
use super::{CallError, Inner, Phase, State, Ticks, Vm};
use crate::engine::limits::Limiter;
use crate::engine::{MOST_VMS, Ticking};
use crate::host::calls::Calls;
use crate::host::contexts::{Context, Contexts, Plugin, RootIndex};
use crate::host::entry_points::{Entry, EntryPoints, Through, WrongType, find};
use crate::host::metrics::Metrics;
use crate::host::numbers::{Numbers, Outcome};
use crate::host::stream::{Services, Stream};
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
    /// Streams cannot have copies of it.
    #[error("{0}")]
    Copy(String),
    /// All places for VMs are taken.
    #[error("cannot be instantiated: {0} VMs are there already, which is the most of a process")]
    NoPlace(u32),
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

impl<S: Stream> State<S> {
    /// The state of a VM that has nothing yet.
    pub(super) fn fresh(template: &Template<S>) -> Self {
        let calls = Calls::new(template.settings.calls);
        Self::of(template, Contexts::new(), Metrics::default(), calls)
    }

    /// The state of a VM that has these.
    pub(super) fn of(
        template: &Template<S>,
        contexts: Contexts<S>,
        metrics: Metrics<<S::Services as Services>::Metric>,
        calls: Calls,
    ) -> Self {
        let settings = Arc::clone(&template.settings);
        let commons = Arc::clone(&template.commons);
        Self {
            abi: template.abi,
            services: Arc::clone(&commons.services),
            calls,
            unable_lines: Gate::new(1, UNABLE_EVERY),
            space: Arc::clone(&template.space),
            number: commons.agenda.number(),
            commons,
            reply: None,
            changed_ticks: Vec::new(),
            has_changed_metrics: false,
            is_failure_told: false,
            is_copy: false,
            is_idle: false,
            queues: Vec::new(),
            role: None,
            limiter: Limiter::new(settings.limits),
            settings,
            contexts,
            metrics,
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
        }
    }
}

impl<S: Stream> Vm<S> {
    /// Makes an instance and runs the start of its code.
    ///
    /// # Errors
    /// The instance cannot be made, an entry point has a wrong type, or the start traps.
    pub fn start(template: &Template<S>) -> Result<Self, StartError> {
        let ticking = template.engine.keep_ticking();
        let mut vm = Self::instantiate(template, State::fresh(template), Some(ticking))?;
        template.exports.check_allocator(&mut vm.inner.store, vm.inner.instance)?;
        vm.entry_points.check(&mut vm.inner.store)?;
        vm.run_start(template.code().module())?;
        vm.inner.store.data_mut().is_restricted = false;
        Ok(vm)
    }

    /// Makes an instance, which runs the start section of its code if it has one.
    pub(super) fn instantiate(
        template: &Template<S>,
        state: State<S>,
        ticking: Option<Ticking>,
    ) -> Result<Self, StartError> {
        let ticks = Ticks::of(&template.settings.deadlines);
        let number = state.number;
        let mut store = Store::new(template.engine.handle(), state);
        store.limiter(|state| &mut state.limiter);
        store.epoch_deadline_trap();
        store.set_epoch_deadline(ticks.start);
        let instance = template.instance.instantiate(&mut store).map_err(|error| {
            match error.downcast_ref::<PoolConcurrencyLimitError>() {
                Some(_) => StartError::NoPlace(MOST_VMS),
                None => StartError::Instantiate(store.data().reason(Phase::Start, &error)),
            }
        })?;
        store.data_mut().memory = template.exports.memory(&mut store, instance);
        let dispatcher = template.exports.dispatcher(&mut store, instance);
        let dispatcher = dispatcher.map_err(|error| StartError::Instantiate(format!("{error:#}")))?;
        store.data_mut().allocator = template.exports.allocator(instance, dispatcher.as_ref());
        let entry_points = template.entry_points.clone().unwrap_or_else(|| {
            Arc::new(EntryPoints::new(Through::Instance(instance), template.abi, &template.exports))
        });
        let times = CallTimes::new(number, store.data().is_copy);
        let inner = Inner {
            store,
            instance,
            dispatcher,
            number,
            ticks,
            has_failed: false,
            is_abandoned: false,
            has_served: false,
            failed_plugin: None,
            failed_stream: None,
            times,
            _ticking: ticking,
        };
        Ok(Self { inner, entry_points })
    }

    fn run_start(&mut self, module: &Module) -> Result<(), StartError> {
        let instance = self.inner.instance;
        let store = &mut self.inner.store;
        let initialize: Option<Entry<(), ()>> = find(&mut *store, instance, module, "_initialize")?;
        let Some(initialize) = initialize else {
            let start: Option<Entry<(), ()>> = find(store, instance, module, "_start")?;
            if let Some(start) = start {
                self.call_start("_start", &start, ())?;
            }
            return Ok(());
        };
        let main: Option<Entry<(u32, u32), u32>> = find(&mut *store, instance, module, "main")?;
        let main_void: Option<Entry<(), u32>> = find(store, instance, module, "__main_void")?;
        self.call_start("_initialize", &initialize, ())?;
        // What main returns is not looked at, as in the built-in host.
        match (main, main_void) {
            (Some(main), _) => drop(self.call_start("main", &main, (0, 0))?),
            (None, Some(main)) => drop(self.call_start("__main_void", &main, ())?),
            (None, None) => {}
        }
        Ok(())
    }

    fn call_start<P: Numbers, R: Outcome>(
        &mut self,
        name: &'static str,
        function: &Entry<P, R>,
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
            if self.inner.call(Phase::Configure, context, "proxy_on_configure", function, parameters)? == 0 {
                return Err(StartError::ConfigureRefused);
            }
        }
        Ok(())
    }
}

fn size(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}
