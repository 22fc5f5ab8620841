//! A VM: one instance with its contexts, and every entry point as a method.
//!
//! A VM is entered by one thread at a time (its owner keeps it in a lock). Each method sets the deadline, names
//! the context that runs, calls the guest if it exports the entry point, and turns a trap into a *failure*: the
//! VM is then dead, every later call answers [`CallError`] without entering it, and its owner replaces it.

mod background;
mod connections;
mod copies;
mod lease;
mod lines;
mod logs;
mod queues;
mod start;
mod streams;
mod tally;
mod traps;
mod watch;

use std::fmt;
use std::sync::Arc;

use wasmtime::{Instance, Memory, Store};

use super::calls::{Calls, Reply};
use super::commons::Commons;
use super::contexts::{Context, Contexts, Plugin, RootIndex, RootState, StreamIndex};
use super::entry_points::{Allocator, Dispatcher, Entry, EntryPoints};
use super::metrics::{Metrics, Outside};
use super::numbers::{Numbers, Outcome};
use super::shared::{Queue, Space};
use super::stream::{Services, Stream};
use super::template::{Deadlines, Settings, Template};
use super::types::{AbiVersion, Status};
use crate::engine::limits::Limiter;
use crate::engine::wasi::{Environment, StandardStream, WasiHost};
use crate::engine::{self, Ticking};
use crate::telemetry::Level;
use crate::telemetry::gate::Gate;

pub use self::copies::{CopyError, Snapshot};
pub use self::lease::{Entered, Lease, Look, Role, WeakLease};
pub use self::lines::LogLimit;
pub use self::start::StartError;
use self::tally::CallTimes;
pub use self::watch::{News, Tell, Waiting, Wake, Watch};

/// What an entry that the proxy keeps costs it beside its bytes, so that empty ones count too.
pub(super) const ENTRY_BYTES: usize = 128;

/// The data of a store: what hostcalls work on.
#[allow(clippy::struct_excessive_bools)] // Facts about the call that runs, each on its own.
pub struct State<S: Stream> {
    pub(super) abi: AbiVersion,
    pub(super) services: Arc<S::Services>,
    pub(super) commons: Arc<Commons<S>>,
    /// What plugins of this VM id share.
    pub(super) space: Arc<Space>,
    /// Number of the VM, for the agenda.
    pub(super) number: u64,
    pub(super) settings: Arc<Settings>,
    pub(super) contexts: Contexts<S>,
    pub(super) metrics: Metrics<<S::Services as Services>::Metric>,
    pub(super) memory: Option<Memory>,
    /// Out while it runs, which also keeps it from running inside itself.
    pub(super) allocator: Option<Allocator>,
    /// The context whose entry point runs.
    pub(super) current: Context,
    /// The context that the guest asked to act for (`proxy_set_effective_context`).
    pub(super) effective: Option<Context>,
    /// While code starts or allocates: only logs, clocks and the like may be called.
    pub(super) is_restricted: bool,
    /// While a root is created or configured: its configuration can be read.
    pub(super) has_plugin_configuration: bool,
    /// The guest answered here, so the value that its entry point returns is not asked for.
    pub(super) is_stopped: bool,
    /// The guest called `proxy_done` for a root that waited; it is deleted when the entry point has returned.
    pub(super) has_done_roots: bool,
    /// Bytes that the proxy has been given to keep since the entry point was called.
    pub(super) kept_bytes: usize,
    /// Streams that got effects or commands while another context ran.
    pub(super) woken: Vec<StreamIndex>,
    /// Callouts under way.
    pub(super) calls: Calls,
    /// For lines about callouts that this proxy cannot make.
    pub(super) unable_lines: Gate,
    /// The reply that is being delivered.
    pub(super) reply: Option<Reply>,
    /// Roots whose next tick is to be set anew.
    pub(super) changed_ticks: Vec<RootIndex>,
    /// Metrics were changed that the proxy shows only when it is asked to.
    pub(super) has_changed_metrics: bool,
    /// Streams have been told that this VM is dead.
    pub(super) is_failure_told: bool,
    /// It is a copy of a configured VM, for one stream.
    pub(super) is_copy: bool,
    /// It is a spare: what it asks for waits until it goes to work.
    pub(super) is_idle: bool,
    /// Queues that its roots registered, and the id of the root.
    pub(super) queues: Vec<(Arc<Queue>, u32)>,
    /// What it is on the agenda for, which knows it by its number from then on.
    pub(super) role: Option<Role>,
    /// For building log lines and properties; its memory is used again.
    pub(super) scratch: Vec<u8>,
    limiter: Limiter,
}

impl<S: Stream> State<S> {
    /// The context that hostcalls act for.
    pub(super) fn context(&self) -> Context {
        self.effective.unwrap_or(self.current)
    }

    /// The id of the stream that runs.
    pub(super) fn current_id(&self) -> Option<u32> {
        let Context::Stream(index) = self.current else { return None };
        self.contexts.stream(index).map(|stream| stream.id.0)
    }

    /// Counts what the proxy is asked to keep: headers, properties, body. In one call that is as much as the guest may
    /// have itself (`memory_bytes`), or a loop around one hostcall would fill the process until the deadline.
    ///
    /// # Errors
    /// It is more; nothing was counted.
    pub(super) fn keep(&mut self, bytes: usize) -> Result<(), Status> {
        let kept = self.kept_bytes.saturating_add(bytes).saturating_add(ENTRY_BYTES);
        if kept > self.settings.limits.memory_bytes {
            return Err(Status::InternalFailure);
        }
        self.kept_bytes = kept;
        Ok(())
    }

    /// A root's period was set, or its tick was.
    pub(super) fn ticks_changed(&mut self, root: RootIndex) {
        if !self.changed_ticks.contains(&root) {
            self.changed_ticks.push(root);
        }
    }

    /// The root that a context belongs to.
    pub(super) fn root_of(&self, context: Context) -> Option<RootIndex> {
        match context {
            Context::Vm => None,
            Context::Root(root) => Some(root),
            Context::Stream(index) => self.contexts.stream(index).map(|stream| stream.root),
        }
    }

    /// The plugin that hostcalls act for.
    pub(super) fn plugin(&self) -> Option<Arc<Plugin>> {
        let root = self.contexts.root(self.root_of(self.context())?)?;
        Some(Arc::clone(&root.plugin))
    }
}

impl<S: Stream> WasiHost for State<S> {
    fn memory(&self) -> Option<Memory> {
        self.memory
    }

    fn write_line(&mut self, stream: StandardStream, bytes: &[u8]) {
        let level = match stream {
            StandardStream::Output => Level::Info,
            StandardStream::Error => Level::Error,
        };
        self.log(self.context(), level, bytes);
    }

    fn environment(&self) -> &Environment {
        &self.settings.environment
    }

    fn realtime_nanoseconds(&self) -> u64 {
        self.services.realtime_nanoseconds()
    }

    fn monotonic_nanoseconds(&self) -> u64 {
        self.services.monotonic_nanoseconds()
    }
}

/// A call into a guest that did not return.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The guest trapped. Its VM is dead.
    #[error("Function: {entry_point} failed: {reason}{backtrace}")]
    Trapped {
        /// What was called.
        entry_point: &'static str,
        /// Why it ended.
        reason: String,
        /// Frames with function names, each on a line of its own; starts with a newline unless empty.
        backtrace: String,
    },
    /// The VM had failed before; it was not entered.
    #[error("the VM failed before")]
    VmFailed,
}

/// See the module's text.
pub struct Vm<S: Stream> {
    inner: Inner<S>,
    /// Copies have theirs in common.
    entry_points: Arc<EntryPoints>,
}

/// What every call needs, apart from the entry points so that both can be borrowed.
struct Inner<S: Stream> {
    store: Store<State<S>>,
    instance: Instance,
    /// Of a copy: what its entry points are called through.
    dispatcher: Option<Arc<Dispatcher>>,
    number: u64,
    ticks: Ticks,
    has_failed: bool,
    /// It was given up, and has not failed by itself.
    is_abandoned: bool,
    /// Headers went through the guest, or a stream ended well: the VM is worth something.
    has_served: bool,
    /// Whose call it was that trapped.
    failed_plugin: Option<Arc<Plugin>>,
    /// The id of the stream's context whose call it was, if it was one's.
    failed_stream: Option<u32>,
    times: CallTimes<<S::Services as Services>::Metric>,
    /// Of a copy its snapshot has it.
    _ticking: Option<Ticking>,
}

/// Which deadline a call has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Start,
    Configure,
    Serve,
}

/// The settings' deadlines as ticks of the engine's clock.
#[derive(Clone, Copy)]
struct Ticks {
    start: u64,
    configure: u64,
    call: u64,
}

impl Ticks {
    fn of(deadlines: &Deadlines) -> Self {
        Self {
            start: engine::ticks(deadlines.start),
            configure: engine::ticks(deadlines.configure),
            call: engine::ticks(deadlines.call),
        }
    }
}

impl<S: Stream> Inner<S> {
    /// Calls a guest function as a context.
    fn call<P: Numbers, R: Outcome>(
        &mut self,
        phase: Phase,
        context: Context,
        name: &'static str,
        function: &Entry<P, R>,
        parameters: P,
    ) -> Result<R, CallError> {
        if self.has_failed {
            return Err(CallError::VmFailed);
        }
        let state = self.store.data_mut();
        state.current = context;
        state.effective = None;
        state.is_stopped = false;
        state.kept_bytes = 0;
        self.store.set_epoch_deadline(match phase {
            Phase::Start => self.ticks.start,
            Phase::Configure => self.ticks.configure,
            Phase::Serve => self.ticks.call,
        });
        let started = self.times.is_next_timed().then(|| self.store.data().services.monotonic_nanoseconds());
        // Failed until proven otherwise: should a hostcall of ours panic, the guard at the seam answers for it and
        // nobody enters this VM again.
        self.has_failed = true;
        let result = function.call(&mut self.store, self.dispatcher.as_deref(), parameters);
        if let Some(started) = started {
            self.timed(name, started);
        }
        match result {
            Ok(value) => {
                self.has_failed = false;
                Ok(value)
            }
            Err(error) => Err(self.trapped(phase, name, &error)),
        }
    }
}

impl<S: Stream> Vm<S> {
    /// Its number, never used again in a process.
    pub fn number(&self) -> u64 {
        self.inner.number
    }

    /// What it shares with all others.
    pub fn commons(&self) -> Arc<Commons<S>> {
        Arc::clone(&self.inner.store.data().commons)
    }

    /// Whether a guest call trapped. Nothing enters this VM any more.
    pub fn has_failed(&self) -> bool {
        self.inner.has_failed
    }

    /// Whether it was given up: nobody enters it any more, and its guest is not to blame.
    pub(super) fn is_abandoned(&self) -> bool {
        self.inner.is_abandoned
    }

    /// Whether headers went through the guest, or a stream ended well: the VM is worth something.
    pub fn has_served(&self) -> bool {
        self.inner.has_served
    }

    /// The root context of a plugin, if it has one here.
    pub fn root(&self, key: u64) -> Option<RootIndex> {
        self.inner.store.data().contexts.find_root(key)
    }

    /// The metrics that guests defined so far.
    pub fn metrics(&self) -> impl Iterator<Item = &<S::Services as Services>::Metric> {
        self.inner.store.data().metrics.iter()
    }

    /// The same, now and later, for threads that are not inside. Nothing of a copy.
    pub fn metrics_outside(&self) -> Option<Outside<<S::Services as Services>::Metric>> {
        self.inner.store.data().metrics.outside()
    }

    /// Bytes of linear memory that the guest has now.
    pub fn memory_bytes(&self) -> usize {
        let memory = self.inner.store.data().memory;
        memory.map_or(0, |memory| memory.data_size(&self.inner.store))
    }

    /// The same if it has grown since the last time that this was asked.
    pub(super) fn take_growth(&mut self) -> Option<usize> {
        let has_grown = self.inner.store.data_mut().limiter.take_growth();
        has_grown.then(|| self.memory_bytes())
    }

    /// Gives the guest up, with all that it holds: its streams find the VM failed, and its memory goes back now rather than
    /// with the last of them. Nothing is said to the guest.
    pub fn abandon(&mut self, template: &Template<S>) {
        self.inner.is_abandoned |= !self.inner.has_failed;
        self.inner.has_failed = true;
        let empty = Store::new(self.inner.store.engine(), State::fresh(template));
        let mut state = std::mem::replace(&mut self.inner.store, empty).into_data();
        state.memory = None;
        state.allocator = None;
        // The contexts are there yet, for those who ask for them.
        *self.inner.store.data_mut() = state;
    }

    /// Ends a plugin's root context: now if it has no stream, with its last stream otherwise.
    pub fn retire_root(&mut self, root: RootIndex) {
        let Some(state) = self.inner.store.data_mut().contexts.root_mut(root) else { return };
        if state.state != RootState::Active {
            return;
        }
        state.state = RootState::Retired;
        if state.streams == 0 {
            self.end_root(root);
            self.delete_done_roots();
        }
    }

    /// `proxy_on_done`, and `proxy_on_delete` unless the guest asks to wait for `proxy_done`.
    fn end_root(&mut self, root: RootIndex) {
        let Some(id) = self.inner.store.data().contexts.root(root).map(|root| root.id) else { return };
        let context = Context::Root(root);
        let is_done = match &self.entry_points.on_done {
            Some(function) => self
                .inner
                .call(Phase::Serve, context, "proxy_on_done", function, id.0)
                .map_or_else(|error| self.complain(&error), |answer| answer != 0),
            None => true,
        };
        if is_done {
            self.delete_root(root);
        } else if let Some(root) = self.inner.store.data_mut().contexts.root_mut(root) {
            root.state = RootState::AwaitingDone;
        }
    }

    fn delete_root(&mut self, root: RootIndex) {
        let Some(id) = self.inner.store.data().contexts.root(root).map(|root| root.id) else { return };
        if let Some(function) = &self.entry_points.on_delete {
            let called =
                self.inner.call(Phase::Serve, Context::Root(root), "proxy_on_delete", function, id.0);
            if let Err(error) = called {
                self.complain(&error);
            }
        }
        // After its last word: what it asked for in that must not be the next root's that gets its place.
        self.forget_root(root);
        self.inner.store.data_mut().contexts.remove_root(root);
    }

    /// After any call: roots whose guest called `proxy_done` meanwhile are deleted.
    fn delete_done_roots(&mut self) {
        if !std::mem::take(&mut self.inner.store.data_mut().has_done_roots) {
            return;
        }
        while let Some(root) = self.inner.store.data().contexts.done_root() {
            self.delete_root(root);
        }
    }

    /// A trap at the end of a context has nobody to answer to but the log.
    fn complain(&mut self, error: &CallError) -> bool {
        self.log_failure(error);
        true
    }

    /// Logs a trap once, with the plugin's name and the id of the stream's context; a VM that had failed before was logged
    /// then.
    pub fn log_failure(&mut self, error: &CallError) {
        let CallError::Trapped { .. } = error else { return };
        let plugin = self.inner.failed_plugin.as_ref().map_or("", |plugin| &plugin.name);
        let line = match self.inner.failed_stream {
            Some(id) => format!("graft: plugin {plugin:?}: stream {id}: {error}"),
            None => format!("graft: plugin {plugin:?}: {error}"),
        };
        self.inner.store.data().services.log(Level::Error, line.as_bytes());
    }
}

impl<S: Stream> Drop for Inner<S> {
    fn drop(&mut self) {
        let number = self.number;
        let state = self.store.data_mut();
        if state.role.is_some() {
            state.commons.agenda.forget(number);
        }
        state.leave_queues(None);
        state.calls.end();
        if !state.calls.outbox.is_empty() {
            state.services.submit(number, std::mem::take(&mut state.calls.outbox));
        }
    }
}

impl<S: Stream> fmt::Debug for Vm<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Vm").field("has_failed", &self.inner.has_failed).finish_non_exhaustive()
    }
}
