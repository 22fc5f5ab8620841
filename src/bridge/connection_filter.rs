//! A network filter: one TCP connection going through one plugin.
//!
//! ```text
//!   new_connection ──► context made, proxy_on_new_connection
//!   read, write    ──► proxy_on_downstream_data, proxy_on_upstream_data; the end of what the server sends is also
//!                      proxy_on_upstream_connection_close, because a filter sees no more of the server than that
//!   event          ──► proxy_on_downstream_connection_close, then done, log and delete: the connection is over
//! ```
//!
//! It keeps the rule of the HTTP filter: the methods are `&self`, and nothing is held while effects are applied. What a
//! plugin asks for meanwhile elsewhere (in a reply, in another context) comes with `on_scheduled`. Where a connection makes
//! its calls itself, their answers come with `on_call_done`.

mod waiting;

use std::cell::{Cell, OnceCell};
use std::sync::Arc;

use self::waiting::WaitingConnection;
use super::callouts::{Carrying, ConnectionCalls};
use super::connection_stream::ConnectionStream;
use super::entering;
use super::failing::Failing;
use super::loading::{self, Held};
use super::metrics::{Outlet, Place};
use super::stream::EnvoyStream;
use crate::abi::{
    CallEvent, ConnectionConfigHandle, ConnectionEvent, ConnectionHandle, ConnectionStatus, UnknownNumber,
};
use crate::config::FailurePolicy;
use crate::host::calls::{Reply, Token};
use crate::host::contexts::StreamIndex;
use crate::host::stream::{Effect, Effects};
use crate::host::types::{ConnectionAction, Direction, PeerType};
use crate::host::vm::{CallError, Vm};
use crate::lifecycle::generation::Begun;

/// Details of a connection that was closed here, for access logs: because the plugin failed, and because it asked for it.
const FAILED: &[u8] = b"wasm_fail_stream";
const DOWNSTREAM_CLOSED: &[u8] = b"wasm_downstream_close";
const UPSTREAM_CLOSED: &[u8] = b"wasm_upstream_close";

/// One use of a plugin in one filter chain. Made on the main thread; read by all workers.
#[derive(Debug)]
pub struct ConnectionConfig {
    name: String,
    slot: Held,
    failure_policy: FailurePolicy,
    failing: Failing,
    /// What Envoy calls the plugin's metrics here, and a way to it without a connection.
    pub(super) outlet: Outlet,
}

impl ConnectionConfig {
    /// `on_network_filter_config_new`: loads the plugin. `None` refuses the configuration; the reason is one line in the
    /// log.
    #[allow(clippy::needless_pass_by_value)] // The seam hands it over.
    pub fn new(envoy: ConnectionConfigHandle, name: &[u8], config: &[u8]) -> Option<Arc<Self>> {
        let loading::Loaded { plugin, slot, module } = loading::load(name, config, &Carrying::new(None))?;
        let place = Place::Connection(envoy);
        let outlet = Outlet::open(&module.services.metrics, place, &slot.metrics());
        let failing = Failing::new(module, &plugin.name, plugin.failure_policy);
        let failure_policy = plugin.failure_policy;
        Some(Arc::new(Self { name: plugin.name, slot, failure_policy, failing, outlet }))
    }

    /// `on_network_filter_config_scheduled`: updates of metrics have come. Main thread.
    pub fn on_scheduled(&self) {
        self.outlet.on_scheduled();
    }

    /// `on_network_filter_config_destroy`: Envoy's configuration is gone; connections may still hold this one.
    pub fn on_destroy(&self) {
        self.outlet.close();
        self.slot.release();
    }
}

/// See the module's text. Lives on one worker.
pub struct ConnectionFilter {
    config: Arc<ConnectionConfig>,
    begun: OnceCell<Begun<EnvoyStream>>,
    /// The plugin failed under `FAIL_OPEN`: it has no part any more.
    is_bypassed: Cell<bool>,
    /// The plugin failed and the connection was closed for it.
    has_failed: Cell<bool>,
    /// Envoy waits for the plugin to let it read on.
    holds_reading: Cell<bool>,
    /// Calls that the connection makes itself.
    calls: ConnectionCalls,
    /// The context has ended.
    is_over: Cell<bool>,
    /// It waits for the plugin.
    waiting: WaitingConnection,
}

impl ConnectionFilter {
    /// `on_network_filter_new`.
    pub fn new(config: &Arc<ConnectionConfig>) -> Self {
        Self {
            config: Arc::clone(config),
            begun: OnceCell::new(),
            is_bypassed: Cell::new(false),
            has_failed: Cell::new(false),
            holds_reading: Cell::new(false),
            calls: ConnectionCalls::default(),
            is_over: Cell::new(false),
            waiting: WaitingConnection::default(),
        }
    }

    /// Bytes from the client.
    pub fn on_read(&self, envoy: ConnectionHandle, end_of_stream: bool) -> ConnectionStatus {
        self.enter(envoy, Direction::Request, Some(Direction::Request), |vm, connection| {
            vm.on_data(connection, Direction::Request, end_of_stream)
        })
    }

    /// Bytes for the client.
    pub fn on_write(&self, envoy: ConnectionHandle, end_of_stream: bool) -> ConnectionStatus {
        self.enter(envoy, Direction::Response, Some(Direction::Response), |vm, connection| {
            let action = vm.on_data(connection, Direction::Response, end_of_stream)?;
            if end_of_stream {
                vm.on_close(connection, Direction::Response, PeerType::Unknown)?;
            }
            Ok(action)
        })
    }

    /// Something became of the connection; what counts is its end.
    pub fn on_event(&self, envoy: ConnectionHandle, event: Result<ConnectionEvent, UnknownNumber>) {
        let peer = match event {
            Ok(ConnectionEvent::RemoteClose) => PeerType::Remote,
            Ok(ConnectionEvent::LocalClose) => PeerType::Local,
            Ok(ConnectionEvent::Connected | ConnectionEvent::ConnectedZeroRtt) | Err(_) => return,
        };
        self.waiting.end();
        let Some(begun) = self.begun.get().filter(|_| !self.is_over.get()) else { return };
        let ended = entering::enter(&begun.lease, |vm| {
            if let Some(connection) = connection_mut(vm, begun.stream) {
                connection.attach(envoy, None);
            }
            let finished = if self.is_bypassed.get() {
                Ok(())
            } else {
                vm.on_close(begun.stream, Direction::Request, peer)
                    .and_then(|()| vm.finish_connection(begun.stream))
            };
            if let Err(error) = &finished {
                vm.log_failure(error);
                begun.note_last_failure(error);
            }
            self.end_calls(vm);
            vm.end_stream(begun.stream);
        });
        // If this thread is inside the VM, the context ends when Envoy destroys the filter.
        self.is_over.set(ended.is_some());
    }

    /// Envoy destroys the filter: a context that has not ended ends.
    pub fn on_destroy(&self) {
        self.waiting.end();
        if let Some(begun) = self.begun.get().filter(|_| !self.is_over.replace(true)) {
            entering::enter(&begun.lease, |vm| self.end_calls(vm));
            entering::end(&begun.lease, begun.stream);
        }
    }

    /// The connection's own calls end with it.
    fn end_calls(&self, vm: &mut Vm<EnvoyStream>) {
        for (token, reply) in self.calls.end() {
            vm.on_reply(token, reply);
        }
    }

    /// The answer to a call that the connection made itself.
    pub fn on_call_done(&self, envoy: ConnectionHandle, number: u64, answer: &[CallEvent<'_>]) {
        let Some(begun) = self.begun.get() else { return };
        let replies = self.calls.feed(number, answer);
        if !replies.is_empty() {
            self.deliver(envoy, begun, replies);
        }
    }

    /// Has the guest see replies, and does what it asked of this connection.
    fn deliver(&self, envoy: ConnectionHandle, begun: &Begun<EnvoyStream>, replies: Vec<(Token, Reply)>) {
        // Answers come from the worker's loop, so this thread is inside no VM.
        let entered = entering::enter(&begun.lease, |vm| {
            connection_mut(vm, begun.stream)?.attach(envoy, None);
            for (token, reply) in replies {
                if let Err(error) = vm.deliver(token, reply) {
                    vm.log_failure(&error);
                }
            }
            let effects = vm.take_effects(begun.stream);
            self.calls.adopt(vm.take_commands(begun.stream));
            let envoy = connection_mut(vm, begun.stream)?.detach(None, false)?;
            Some((envoy, effects, vm.has_failed()))
        });
        if let Some(Some((envoy, effects, has_vm_failed))) = entered
            && self.has_part()
        {
            self.act(envoy, effects, has_vm_failed);
        }
    }

    /// Another context of the plugin asked for something here (resume, close), or the VM died.
    pub fn on_scheduled(&self, envoy: ConnectionHandle) {
        let Err(envoy) = self.has_come_from_waiting(envoy) else { return };
        let Some(begun) = self.begun.get().filter(|_| self.has_part()) else { return };
        let taken = entering::enter(&begun.lease, |vm| (vm.take_effects(begun.stream), vm.has_failed()));
        let Some((effects, has_vm_failed)) = taken else { return };
        self.act(envoy, effects, has_vm_failed);
    }

    /// Does what was asked of the connection outside of its own entry points, or fails it if it waits for a dead VM.
    fn act(&self, envoy: ConnectionHandle, effects: Effects, has_vm_failed: bool) {
        if !has_vm_failed || !effects.is_empty() {
            self.apply(envoy, effects);
        } else if self.holds_reading.replace(false) {
            self.count_failure(&envoy);
            let mut envoy = envoy;
            match self.config.failure_policy {
                FailurePolicy::Open => {
                    self.is_bypassed.set(true);
                    envoy.continue_reading();
                }
                FailurePolicy::Closed | FailurePolicy::Reload => {
                    self.has_failed.set(true);
                    envoy.close(FAILED);
                }
            }
        }
    }

    /// Whether the plugin still works on the connection.
    fn has_part(&self) -> bool {
        !self.is_bypassed.get() && !self.has_failed.get() && !self.is_over.get()
    }

    /// Runs an entry point of the plugin, and what it asked for. `stops` is the direction that its answer may stop.
    fn enter(
        &self,
        envoy: ConnectionHandle,
        stops: Direction,
        brings: Option<Direction>,
        call: impl FnOnce(&mut Vm<EnvoyStream>, StreamIndex) -> Result<ConnectionAction, CallError>,
    ) -> ConnectionStatus {
        if self.has_failed.get() {
            return ConnectionStatus::StopIteration;
        }
        let Some(begun) = self.begun.get().filter(|_| self.has_part()) else {
            return ConnectionStatus::Continue;
        };
        if begun.is_over() {
            return self.fail(envoy);
        }
        if entering::is_inside() {
            // Bytes that the plugin cannot look at.
            return self.fail(envoy);
        }
        let entered = entering::enter(&begun.lease, |vm| {
            let Some(connection) = connection_mut(vm, begun.stream) else { return Err(envoy) };
            connection.attach(envoy, brings);
            let called = call(vm, begun.stream);
            let effects = vm.take_effects(begun.stream);
            self.calls.adopt(vm.take_commands(begun.stream));
            if let Err(error) = &called {
                vm.log_failure(error);
            }
            let holds = called.as_ref().is_ok_and(|action| *action == ConnectionAction::StopIteration);
            let connection = connection_mut(vm, begun.stream);
            let envoy = connection.and_then(|connection| {
                if holds {
                    connection.make_wakeable();
                }
                connection.detach(brings, holds)
            });
            Ok((called, effects, envoy))
        });
        match entered {
            None | Some(Ok((_, _, None))) => ConnectionStatus::StopIteration,
            Some(Err(envoy)) => self.fail(envoy),
            Some(Ok((Ok(action), effects, Some(envoy)))) => self.follow(envoy, stops, action, effects),
            Some(Ok((Err(_logged), effects, Some(envoy)))) => {
                // What was closed before the trap stays closed, also where the policy is to let connections pass.
                if self.config.failure_policy == FailurePolicy::Open && effects.iter().any(closes) {
                    self.is_bypassed.set(true);
                    self.apply(envoy, effects);
                    return ConnectionStatus::StopIteration;
                }
                self.fail(envoy)
            }
        }
    }

    /// Does what an entry point answered and asked for.
    fn follow(
        &self,
        envoy: ConnectionHandle,
        stops: Direction,
        action: ConnectionAction,
        mut effects: Effects,
    ) -> ConnectionStatus {
        let mut action = action;
        if stops == Direction::Request {
            // Resumed before it waits: it goes on.
            let before = effects.len();
            effects.retain(|effect| !matches!(effect, Effect::Continue(_)));
            if effects.len() < before {
                action = ConnectionAction::Continue;
            }
            let is_late = self.waiting.is_late();
            if is_late && action == ConnectionAction::Continue {
                // Envoy has waited with it.
                effects.push(Effect::Continue(Direction::Request));
            }
            self.holds_reading.set(is_late || action == ConnectionAction::StopIteration);
        }
        if self.apply(envoy, effects) {
            return ConnectionStatus::StopIteration;
        }
        match action {
            ConnectionAction::Continue => ConnectionStatus::Continue,
            ConnectionAction::StopIteration => ConnectionStatus::StopIteration,
        }
    }

    /// Does what the plugin asked for; answers whether that closed the connection. Envoy can come back from each of
    /// these, and destroy the filter.
    fn apply(&self, mut envoy: ConnectionHandle, effects: Effects) -> bool {
        for effect in effects {
            match effect {
                // Forgotten before the call: Envoy may come back with what comes next, and wait again.
                Effect::Continue(_) if self.holds_reading.replace(false) => envoy.continue_reading(),
                // A connection has nobody to answer with a response.
                Effect::Continue(_) | Effect::LocalResponse(_) => {}
                Effect::Close(direction) => {
                    envoy.close(match direction {
                        Direction::Request => DOWNSTREAM_CLOSED,
                        Direction::Response => UPSTREAM_CLOSED,
                    });
                    return true;
                }
            }
            if envoy.is_closed() {
                return true;
            }
        }
        false
    }

    fn count_failure(&self, envoy: &ConnectionHandle) {
        self.config.failing.count(envoy, self.config.outlet.ids());
        if let Some(begun) = self.begun.get() {
            begun.note_failure();
        }
    }

    /// The plugin failed: the policy decides.
    fn fail(&self, mut envoy: ConnectionHandle) -> ConnectionStatus {
        self.count_failure(&envoy);
        match self.config.failure_policy {
            FailurePolicy::Open => {
                self.is_bypassed.set(true);
                if self.waiting.is_late() && self.holds_reading.replace(false) {
                    envoy.continue_reading();
                }
                ConnectionStatus::Continue
            }
            FailurePolicy::Closed | FailurePolicy::Reload => {
                self.has_failed.set(true);
                envoy.close(FAILED);
                ConnectionStatus::StopIteration
            }
        }
    }
}

/// A connection, in its VM.
fn connection_mut(vm: &mut Vm<EnvoyStream>, index: StreamIndex) -> Option<&mut ConnectionStream> {
    vm.stream_mut(index)?.stream.connection_mut()
}

/// Whether an effect closes the connection.
fn closes(effect: &Effect) -> bool {
    match effect {
        Effect::Close(_) => true,
        Effect::Continue(_) | Effect::LocalResponse(_) => false,
    }
}

impl std::fmt::Debug for ConnectionFilter {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ConnectionFilter").field("plugin", &self.config.name).finish_non_exhaustive()
    }
}
