//! How a connection begins, and that it waits for the plugin's first generation.
//!
//! Envoy reads nothing of a connection whose first hook has stopped it, and goes to no upstream; so it can be told later
//! that it is there (from Envoy 1.39 on: before, connections cannot be called from other threads, and get the failure policy
//! at once). When the generation has come, or its time is over, the connection's scheduler brings it here again.

use std::cell::Cell;
use std::sync::Arc;

use super::ConnectionFilter;
use crate::abi::{ConnectionHandle, ConnectionStatus, can_wake_connections};
use crate::bridge::connection_stream::ConnectionStream;
use crate::bridge::stream::EnvoyStream;
use crate::bridge::wait::{self, Wait};
use crate::bridge::{entering, module, worker};
use crate::host::stream::Services as _;
use crate::host::types::Direction;
use crate::host::vm::{Vm, Wake};
use crate::lifecycle::generation::BeginError;

/// What is known of the wait. Nothing, for most.
#[derive(Debug, Default)]
pub(super) struct WaitingConnection {
    wait: Wait,
    /// The wait is over, and the plugin is told of the connection outside of its own hook.
    is_late: Cell<bool>,
}

/// Why a connection could not begin.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// This thread is inside a VM, where no context can be made.
    #[error("it came while a plugin of this thread runs")]
    Inside,
    /// There was no generation, or no VM, for it.
    #[error(transparent)]
    Begin(#[from] BeginError),
}

impl WaitingConnection {
    pub(super) fn is_late(&self) -> bool {
        self.is_late.get()
    }

    /// Gives the place up, if there is one.
    pub(super) fn end(&self) {
        self.wait.leave();
    }
}

impl ConnectionFilter {
    /// A client has connected: the context begins, or waits.
    pub fn on_new_connection(&self, envoy: ConnectionHandle) -> ConnectionStatus {
        match self.begin(&envoy) {
            Ok(()) => self.enter(envoy, Direction::Request, None, Vm::on_new_connection),
            Err(refusal) if self.wait(&envoy, &refusal) => {
                self.holds_reading.set(true);
                ConnectionStatus::StopIteration
            }
            Err(refusal) => {
                self.config.failing.log("a connection", &refusal);
                self.fail(envoy)
            }
        }
    }

    /// Whether it waited; then it begins now, waits on, or is left to the policy.
    pub(super) fn has_come_from_waiting(&self, envoy: ConnectionHandle) -> Result<(), ConnectionHandle> {
        if !self.waiting.wait.come() {
            return Err(envoy);
        }
        self.waiting.is_late.set(true);
        // What it answers, Envoy is told by a call: the hook was answered long ago.
        let _told = self.on_new_connection(envoy);
        self.waiting.is_late.set(false);
        Ok(())
    }

    fn begin(&self, envoy: &ConnectionHandle) -> Result<(), Refusal> {
        if entering::is_inside() {
            return Err(Refusal::Inside);
        }
        let connection = ConnectionStream::new(Arc::clone(&self.config));
        let current = self.config.slot.current().map_err(BeginError::from)?;
        let begun = current.begin(worker::index(), EnvoyStream::Connection(connection))?;
        drop(current);
        let _was_empty = self.begun.set(begun);
        if self.waiting.wait.end().is_some() {
            self.config.slot.tally().waited(false);
        }
        if let Ok(module) = module::module()
            && module.services.metrics.is_any_waiting(self.config.outlet.ids())
        {
            module.services.metrics.carry(envoy, self.config.outlet.ids());
        }
        Ok(())
    }

    /// Has the connection called when the plugin's first generation is there; false if waiting is no use.
    fn wait(&self, envoy: &ConnectionHandle, refusal: &Refusal) -> bool {
        // It will be called from another thread.
        let Refusal::Begin(error) = refusal else { return false };
        if !can_wake_connections() {
            return false;
        }
        let Ok(module) = module::module() else { return false };
        let slot = &self.config.slot;
        let now = module.services.monotonic_nanoseconds();
        let longest = slot.config().graft.swap.max_wait;
        let join = |wake, until| wait::for_the_first(module, slot, wake, until);
        if error.is_loading() && self.waiting.wait.begin(now, longest, || wake(envoy), join) {
            return true;
        }
        if self.waiting.wait.end().is_some() {
            slot.tally().waited(true);
        }
        false
    }
}

/// What brings the connection here again.
fn wake(envoy: &ConnectionHandle) -> Option<Wake> {
    let scheduler = envoy.scheduler()?;
    Some(Box::new(move || {
        let _is_gone = !scheduler.commit();
    }))
}
