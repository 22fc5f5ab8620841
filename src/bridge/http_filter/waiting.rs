//! A request that waits: the plugin is being loaded, or all VMs of its worker are busy. Envoy holds it meanwhile; when there
//! may be what it waits for, or the time is over, the stream's scheduler brings it here again.

use std::cell::Cell;

use super::HttpFilter;
use crate::abi::HttpFilterHandle;
use crate::bridge::stream::EnvoyStream;
use crate::bridge::wait::{self, Wait};
use crate::bridge::{module, worker};
use crate::host::stream::Services as _;
use crate::host::types::{Direction, HeadersAction};
use crate::host::vm::{Vm, Wake};
use crate::lifecycle::generation::{BeginError, Begun, Generation};
use crate::lifecycle::pool::HomeError;

/// What is known of the wait. Nothing, for most.
#[derive(Debug, Default)]
pub(super) struct WaitingRequest {
    wait: Wait,
    /// It waits for the plugin's first generation, not for a VM.
    is_for_the_first: Cell<bool>,
    /// What came with the headers.
    end_of_stream: Cell<bool>,
    /// The wait is over, and the headers are being shown to the plugin outside of their own hook.
    is_late: Cell<bool>,
}

impl WaitingRequest {
    pub(super) fn is_waiting(&self) -> bool {
        self.wait.is_under_way()
    }

    pub(super) fn is_late(&self) -> bool {
        self.is_late.get()
    }
}

impl HttpFilter {
    /// The first hook of the stream: it begins, or waits; answers whether it waits.
    pub(super) fn begin_or_wait(&self, envoy: &HttpFilterHandle, end_of_stream: bool) -> bool {
        self.waiting.end_of_stream.set(end_of_stream);
        let generation = match self.generation(envoy) {
            Some(Ok(generation)) => generation,
            Some(Err(error)) => {
                if self.wait_for_the_first(envoy, &error) {
                    self.holds_request.set(true);
                    return true;
                }
                self.has_waited_for_the_first(true);
                self.settle(envoy, Err(error));
                return false;
            }
            None => return false,
        };
        self.has_waited_for_the_first(false);
        match self.begin_in_turn(&generation) {
            Err(error) if self.wait(envoy, &generation, &error) => {
                self.holds_request.set(true);
                true
            }
            begun => {
                self.has_waited(begun.as_ref().is_err_and(BeginError::is_busy));
                self.settle(envoy, begun);
                false
            }
        }
    }

    /// Begins, but for a stream that has just come while others wait: it goes to the end of their queue.
    fn begin_in_turn(&self, generation: &Generation<EnvoyStream>) -> Result<Begun<EnvoyStream>, BeginError> {
        let is_new = !self.waiting.wait.has_begun();
        if is_new && can_wait(generation) && generation.is_waited_for(worker::index()) {
            return Err(HomeError::Busy(generation.pool().rules().max_vms).into());
        }
        self.begin_on(generation)
    }

    /// There may be what it waits for, or the time is over.
    pub(super) fn try_again(&self, mut envoy: HttpFilterHandle) {
        self.waiting.wait.come();
        if self.begin_or_wait(&envoy, self.waiting.end_of_stream.get()) {
            return;
        }
        let end_of_stream = self.waiting.end_of_stream.get();
        if self.is_bypassed.get() {
            // The request has another route meanwhile, where the plugin is off.
            self.holds_request.set(false);
            envoy.continue_decoding();
            return;
        }
        self.waiting.is_late.set(true);
        if self.begun.get().is_none() {
            // The thread is inside a VM, where no stream can begin.
            let _status = self.fail::<HeadersAction>(envoy);
        } else {
            let _status = self.show_request_headers(envoy, end_of_stream);
        }
        self.waiting.is_late.set(false);
    }

    /// Counts a wait for a VM that is over, if there was one.
    fn has_waited(&self, has_timed_out: bool) {
        let Some(since) = self.waiting.wait.end() else { return };
        if self.waiting.is_for_the_first.replace(false) {
            return;
        }
        if let (Ok(module), Ok(current)) = (module::module(), self.current()) {
            let waited = module.services.monotonic_nanoseconds().saturating_sub(since);
            current.pool().tally().waited(waited, has_timed_out);
        }
    }

    /// Gives the place in the queue up, if there is one: the stream goes. Answers whether it waited.
    pub(super) fn stop_waiting(&self) -> bool {
        let waited = self.waiting.wait.leave();
        if waited {
            self.has_waited(false);
        }
        waited
    }

    /// Has the stream called when the plugin's first generation is there; false if waiting is no use.
    fn wait_for_the_first(&self, envoy: &HttpFilterHandle, error: &BeginError) -> bool {
        let slot = &self.config.slot;
        let is_worthwhile = error.is_loading() && !slot.config().allow_on_headers_stop_iteration;
        let (Ok(module), true) = (module::module(), is_worthwhile) else { return false };
        let now = module.services.monotonic_nanoseconds();
        let longest = slot.config().graft.swap.max_wait;
        let join = |wake, until| wait::for_the_first(module, slot, wake, until);
        let waits = self.waiting.wait.begin(now, longest, || wake(envoy), join);
        if waits {
            self.waiting.is_for_the_first.set(true);
        }
        waits
    }

    /// Counts that wait, if there was one.
    fn has_waited_for_the_first(&self, has_timed_out: bool) {
        if self.waiting.is_for_the_first.replace(false) {
            self.waiting.wait.end();
            self.config.slot.tally().waited(has_timed_out);
        }
    }

    /// Takes a place in the queue; false if waiting is no use.
    fn wait(
        &self,
        envoy: &HttpFilterHandle,
        generation: &Generation<EnvoyStream>,
        error: &BeginError,
    ) -> bool {
        if !error.is_busy() || !can_wait(generation) {
            return false;
        }
        let Ok(module) = module::module() else { return false };
        let now = module.services.monotonic_nanoseconds();
        let longest = generation.pool().rules().max_wait;
        let join = |wake, until| generation.wait(worker::index(), wake, until);
        self.waiting.wait.begin(now, longest, || wake(envoy), join)
    }

    /// A response overtakes a request that waits: another filter's, or Envoy's own when its time was over. The plugin has
    /// no part in this stream, and must not let the request go on.
    pub(super) fn give_up_waiting(&self) {
        if self.waiting.wait.leave() {
            self.holds_request.set(false);
            self.is_bypassed.set(true);
        }
    }

    pub(super) fn show_request_headers(
        &self,
        envoy: HttpFilterHandle,
        end_of_stream: bool,
    ) -> <HeadersAction as super::Action>::Status {
        let call =
            |vm: &mut Vm<EnvoyStream>, stream| vm.on_headers(stream, Direction::Request, end_of_stream);
        let headers = super::Brings::Headers;
        match self.try_enter(envoy, Direction::Request, headers, call) {
            Ok(status) => status,
            Err(envoy) if self.begin_again(&envoy) => self.enter(envoy, Direction::Request, headers, call),
            Err(envoy) => self.fail::<HeadersAction>(envoy),
        }
    }
}

/// A plugin that lets the body come while it holds the headers would wait for a body that Envoy holds for us.
fn can_wait(generation: &Generation<EnvoyStream>) -> bool {
    !generation.plugin().allow_on_headers_stop_iteration
}

/// What brings the stream here again.
fn wake(envoy: &HttpFilterHandle) -> Option<Wake> {
    let scheduler = envoy.scheduler()?;
    Some(Box::new(move || {
        let _is_gone = !scheduler.commit(0);
    }))
}
