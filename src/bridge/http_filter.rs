//! A filter: one stream of Envoy's going through one plugin.
//!
//! ```text
//!   hook ──► begin (first hook: VM leased, context made)
//!        ──► enter: lock VM, attach handle, call entry point, take effects, detach, unlock
//!        ──► apply effects: local response, continue, close   (Envoy may come back into any hook)
//!        ──► the plugin's action, as Envoy's status
//! ```
//!
//! All methods are `&self`: Envoy can call a hook while another runs on the same stack. What changes is in cells,
//! read and written for an instant; no lock and no borrow is held while effects are applied.

mod beginning;
mod calls;
mod reply;
mod waiting;

use std::cell::{Cell, OnceCell};
use std::sync::Arc;

use self::waiting::WaitingRequest;
use super::action::Action;
use super::callouts::StreamCalls;
use super::entering;
use super::http_config::HttpConfig;
use super::http_stream::HttpStream;
use super::local_response;
use super::stream::EnvoyStream;
use crate::abi::{BodyStatus, HeadersStatus, HttpFilterHandle, ResetReason, Scheduler, TrailersStatus};
use crate::config::FailurePolicy;
use crate::host::contexts::StreamIndex;
use crate::host::stream::{Effect, Effects};
use crate::host::types::{BodyAction, Direction, HeadersAction};
use crate::host::vm::{CallError, Vm};
use crate::lifecycle::generation::{BeginError, Begun};

/// Details of a stream that a plugin closed, for access logs.
const CLOSED_BY_PLUGIN: &[u8] = b"wasm_close_stream";

/// See the module's text. Lives on one worker.
pub struct HttpFilter {
    config: Arc<HttpConfig>,
    /// What became of the stream's beginning; nothing yet if its request has not come here.
    begun: OnceCell<Result<Begun<EnvoyStream>, BeginError>>,
    /// Its VM failed before the plugin had seen anything of the stream, so that it began once more.
    begun_again: OnceCell<Begun<EnvoyStream>>,
    /// What the stream was told when it first asked for a generation: whether it is one of those that a trial has.
    is_of_trial: Cell<Option<bool>>,
    /// The plugin has no part in this stream: it is off here, or failed under `FAIL_OPEN`.
    is_bypassed: Cell<bool>,
    /// The plugin failed and the stream was answered for it.
    has_failed: Cell<bool>,
    /// Envoy waits for the plugin to resume the request, or the response.
    holds_request: Cell<bool>,
    holds_response: Cell<bool>,
    /// Response headers have reached this filter.
    is_responding: Cell<bool>,
    /// The plugin answered, so what comes after is not for it.
    has_replied: Cell<bool>,
    /// What has to wait until Envoy is out of the hook that it was asked in, and what brings the next one.
    deferred: Cell<Effects>,
    /// Calls that this stream has in hand.
    calls: StreamCalls,
    scheduler: OnceCell<Option<Scheduler>>,
    /// The request waits for a VM.
    waiting: WaitingRequest,
}

/// What a hook brings.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Brings {
    Headers,
    Body,
    Trailers,
}

impl HttpFilter {
    /// `on_http_filter_new`. The VM is leased later, at the first hook: before, Envoys to 1.37 have nothing attached.
    pub fn new(config: &Arc<HttpConfig>, _envoy: HttpFilterHandle) -> Option<Self> {
        Some(Self {
            config: Arc::clone(config),
            begun: OnceCell::new(),
            begun_again: OnceCell::new(),
            is_of_trial: Cell::new(None),
            is_bypassed: Cell::new(false),
            has_failed: Cell::new(false),
            holds_request: Cell::new(false),
            holds_response: Cell::new(false),
            is_responding: Cell::new(false),
            has_replied: Cell::new(false),
            deferred: Cell::default(),
            calls: StreamCalls::default(),
            scheduler: OnceCell::new(),
            waiting: WaitingRequest::default(),
        })
    }

    /// Request headers arrived: the stream begins.
    pub fn on_request_headers(&self, envoy: HttpFilterHandle, end_of_stream: bool) -> HeadersStatus {
        if self.begin_or_wait(&envoy, end_of_stream) {
            return HeadersAction::StopAllAndWatermark.status();
        }
        if self.begun.get().is_none() && !self.is_bypassed.get() {
            // It came while this thread is inside a VM, where no stream can begin.
            return self.fail::<HeadersAction>(envoy);
        }
        self.show_request_headers(envoy, end_of_stream)
    }

    /// A chunk of the request's body arrived.
    pub fn on_request_body(&self, envoy: HttpFilterHandle, end_of_stream: bool) -> BodyStatus {
        self.on_body(envoy, Direction::Request, end_of_stream)
    }

    /// Request trailers arrived.
    pub fn on_request_trailers(&self, envoy: HttpFilterHandle) -> TrailersStatus {
        self.enter(envoy, Direction::Request, Brings::Trailers, |vm, stream| {
            vm.on_trailers(stream, Direction::Request)
        })
    }

    /// Response headers arrived.
    pub fn on_response_headers(&self, envoy: HttpFilterHandle, end_of_stream: bool) -> HeadersStatus {
        self.is_responding.set(true);
        self.give_up_waiting();
        self.enter(envoy, Direction::Response, Brings::Headers, |vm, stream| {
            vm.on_headers(stream, Direction::Response, end_of_stream)
        })
    }

    /// A chunk of the response's body arrived.
    pub fn on_response_body(&self, envoy: HttpFilterHandle, end_of_stream: bool) -> BodyStatus {
        self.on_body(envoy, Direction::Response, end_of_stream)
    }

    /// Response trailers arrived.
    pub fn on_response_trailers(&self, envoy: HttpFilterHandle) -> TrailersStatus {
        self.enter(envoy, Direction::Response, Brings::Trailers, |vm, stream| {
            vm.on_trailers(stream, Direction::Response)
        })
    }

    /// The exchange is complete; access logs are written after this.
    pub fn on_stream_complete(&self, envoy: HttpFilterHandle) {
        // A request that another filter answered before it came here is logged all the same, as in the built-in host; one
        // that was answered while it waited for a VM is not worth one.
        if !self.stop_waiting() {
            self.begin(&envoy);
        }
        let Some(begun) = self.begun().filter(|_| !self.is_bypassed.get()) else { return };
        entering::enter(&begun.lease, |vm| {
            if let Some(stream) = http_mut(vm, begun.stream) {
                stream.attach(envoy, None);
            }
            // The work is over here already, where everything about the exchange can still be asked for.
            let ended = vm.on_log(begun.stream).and_then(|()| vm.on_done(begun.stream));
            if let Err(error) = &ended {
                vm.log_failure(error);
                begun.note_last_failure(error);
            }
            if let Some(stream) = http_mut(vm, begun.stream) {
                stream.detach();
            }
        });
    }

    /// Envoy destroys the filter: the context ends.
    pub fn on_destroy(&self) {
        self.stop_waiting();
        if let Some(begun) = self.begun() {
            let replies = self.calls.end();
            if !replies.is_empty() {
                entering::enter(&begun.lease, |vm| {
                    for (token, reply) in replies {
                        vm.on_reply(token, reply);
                    }
                });
            }
            entering::end(&begun.lease, begun.stream);
        }
        if let (Some(_), Some(Ok(first))) = (self.begun_again.get(), self.begun.get()) {
            entering::end(&first.lease, first.stream);
        }
    }

    /// Another stream of the plugin asked for something here (resume, close, answer), or the VM died.
    pub fn on_scheduled(&self, envoy: HttpFilterHandle, _event_id: u64) {
        if self.waiting.is_waiting() {
            return self.try_again(envoy);
        }
        let Some(begun) = self.begun() else { return };
        let replies = self.calls.take_waiting();
        self.deliver(envoy, begun, replies);
    }

    /// Asks for `on_scheduled`.
    fn schedule(&self, envoy: &HttpFilterHandle) {
        if let Some(scheduler) = self.scheduler.get_or_init(|| envoy.scheduler()) {
            scheduler.commit(0);
        }
    }

    fn on_body(&self, envoy: HttpFilterHandle, direction: Direction, end_of_stream: bool) -> BodyStatus {
        self.enter(envoy, direction, Brings::Body, |vm, index| {
            // The built-in host adds a chunk to what it holds back before it calls the plugin, so a body over the limit
            // is refused without another call.
            let Some(stream) = vm.stream_mut(index) else { return Ok(BodyAction::Continue) };
            if stream.half(direction).buffering
                && stream.stream.http_mut().is_some_and(|http| http.is_over_limit(direction))
            {
                return Ok(BodyAction::StopAndBuffer);
            }
            vm.on_body(index, direction, end_of_stream)
        })
    }

    /// The stream's hold on its VM, if it has one.
    fn begun(&self) -> Option<&Begun<EnvoyStream>> {
        self.begun_again.get().or_else(|| self.begun.get()?.as_ref().ok())
    }

    /// Runs an entry point of the plugin, and what it asked for.
    fn enter<A: Action>(
        &self,
        envoy: HttpFilterHandle,
        direction: Direction,
        brings: Brings,
        call: impl FnOnce(&mut Vm<EnvoyStream>, StreamIndex) -> Result<A, CallError>,
    ) -> A::Status {
        self.try_enter(envoy, direction, brings, call).unwrap_or_else(|envoy| self.fail::<A>(envoy))
    }

    /// The same, but nothing is done if the VM had failed before: the caller decides.
    fn try_enter<A: Action>(
        &self,
        envoy: HttpFilterHandle,
        direction: Direction,
        brings: Brings,
        call: impl FnOnce(&mut Vm<EnvoyStream>, StreamIndex) -> Result<A, CallError>,
    ) -> Result<A::Status, HttpFilterHandle> {
        // The plugin has no part, or had its last word: what comes now is not for it.
        if self.is_bypassed.get() || self.has_replied.get() || self.has_failed.get() {
            return Ok(A::CONTINUE.status());
        }
        let begun = match (self.begun(), self.begun.get()) {
            (Some(begun), _) => begun,
            (None, Some(_logged)) => return Ok(self.fail::<A>(envoy)),
            // Another filter answered before the request came here: its reply is none of the plugin's business, as in
            // the built-in host.
            (None, None) => return Ok(A::CONTINUE.status()),
        };
        if begun.is_over() {
            return Ok(self.fail::<A>(envoy));
        }
        let entered = entering::enter(&begun.lease, |vm| {
            let Some(stream) = http_mut(vm, begun.stream) else { return Err(envoy) };
            stream.attach(envoy, (brings == Brings::Body).then_some(direction));
            let called = call(vm, begun.stream);
            let holds = called.as_ref().is_ok_and(|action| action.holds());
            let wishes = vm.has_wishes(begun.stream).then(|| {
                let effects = vm.take_effects(begun.stream);
                let is_held = holds
                    && !effects.iter().any(|effect| ends(effect) || *effect == Effect::Continue(direction));
                (effects, StreamCalls::take(vm, begun.stream, is_held))
            });
            let envoy = http_mut(vm, begun.stream).and_then(|stream| {
                if holds {
                    stream.make_wakeable();
                }
                stream.detach()
            });
            if let Err(error) = &called {
                vm.log_failure(error);
            }
            Ok((called, wishes, envoy))
        });
        Ok(match entered {
            // Envoy came back while this very stream's plugin runs: it is answering or ending the stream.
            None => A::CONTINUE.status(),
            Some(Err(envoy)) => self.fail::<A>(envoy),
            Some(Ok((_, _, None))) => A::STOP.status(),
            // Most entry points ask for nothing.
            Some(Ok((Ok(action), None, Some(_)))) if !self.waiting.is_late() => {
                self.holds(direction).set(action.holds());
                action.status()
            }
            Some(Ok((Ok(action), wishes, Some(mut envoy)))) => {
                let (effects, commands) = wishes.unwrap_or_default();
                self.run(&mut envoy, commands);
                self.follow(envoy, begun, (direction, brings), action, effects).status()
            }
            Some(Ok((Err(error), wishes, Some(envoy)))) => {
                let (effects, _) = wishes.unwrap_or_default();
                if error == CallError::VmFailed && effects.is_empty() {
                    return Err(envoy);
                }
                // What was denied before the trap stays denied, also where the policy is to let streams pass.
                if self.config.failure_policy == FailurePolicy::Open && effects.iter().any(ends) {
                    self.is_bypassed.set(true);
                    self.apply(envoy, begun, effects);
                    return Ok(A::STOP.status());
                }
                self.fail::<A>(envoy)
            }
        })
    }

    /// Does what an entry point answered and asked for.
    fn follow<A: Action>(
        &self,
        envoy: HttpFilterHandle,
        begun: &Begun<EnvoyStream>,
        (direction, brings): (Direction, Brings),
        action: A,
        effects: Effects,
    ) -> A {
        if brings == Brings::Trailers && effects.iter().any(ends) && direction == Direction::Response {
            // Envoy crashes when a response is reset while it passes on its trailers.
            if effects.iter().any(|effect| matches!(effect, Effect::Close(_))) {
                self.defer(&envoy, effects);
                return A::STOP;
            }
        }
        let is_resumed = effects.contains(&Effect::Continue(direction)) && !effects.iter().any(ends);
        // Resumed before it waits: with trailers the exchange is complete and goes on, as in the built-in host.
        let action = if brings == Brings::Trailers && is_resumed { A::CONTINUE } else { action };
        let mut effects = effects;
        let is_late = brings == Brings::Headers && direction == Direction::Request && self.waiting.is_late();
        if is_late && !action.holds() {
            // It waited for a VM, and Envoy with it.
            effects.push(Effect::Continue(direction));
        }
        self.holds(direction).set(action.holds() || is_late);
        if self.apply(envoy, begun, effects) { A::STOP } else { action }
    }

    /// Has effects applied in a hook of their own.
    fn defer(&self, envoy: &HttpFilterHandle, effects: Effects) {
        self.deferred.set(effects);
        self.schedule(envoy);
    }

    /// Whether Envoy waits in a direction.
    fn holds(&self, direction: Direction) -> &Cell<bool> {
        match direction {
            Direction::Request => &self.holds_request,
            Direction::Response => &self.holds_response,
        }
    }

    /// The plugin failed: the policy decides.
    fn fail<A: Action>(&self, mut envoy: HttpFilterHandle) -> A::Status {
        self.count_failure(&envoy);
        match self.config.failure_policy {
            FailurePolicy::Open => {
                self.is_bypassed.set(true);
                if self.waiting.is_late() && self.holds_request.replace(false) {
                    envoy.continue_decoding();
                }
                A::CONTINUE.status()
            }
            FailurePolicy::Closed | FailurePolicy::Reload => {
                self.has_failed.set(true);
                local_response::send_failure(&mut envoy);
                A::STOP.status()
            }
        }
    }

    fn count_failure(&self, envoy: &HttpFilterHandle) {
        self.config.failing.count(envoy, self.config.outlet.ids());
        if let Some(begun) = self.begun() {
            begun.note_failure();
        }
    }

    /// The VM died while the stream waited in it: the policy decides. A stream that does not wait finds out at its next
    /// hook.
    fn fail_what_waits(&self, mut envoy: HttpFilterHandle) {
        if !self.holds_request.get() && !self.holds_response.get() {
            return;
        }
        self.count_failure(&envoy);
        match self.config.failure_policy {
            FailurePolicy::Open => {
                self.is_bypassed.set(true);
                if self.holds_request.replace(false) {
                    envoy.continue_decoding();
                }
                if self.holds_response.replace(false) {
                    envoy.continue_encoding();
                }
            }
            FailurePolicy::Closed | FailurePolicy::Reload => {
                self.has_failed.set(true);
                local_response::send_failure(&mut envoy);
            }
        }
    }

    /// Does what the plugin asked for; answers whether that ended the stream. Envoy can come back from each of these; after one that ends the stream the
    /// handle is not used again.
    fn apply(&self, mut envoy: HttpFilterHandle, begun: &Begun<EnvoyStream>, effects: Effects) -> bool {
        // A stream that is answered does not go on as well.
        let is_answered = effects.iter().any(|effect| matches!(effect, Effect::LocalResponse(_)));
        for effect in effects {
            match effect {
                // Envoy crashes when it is told to go on with what does not wait, a response that there is not yet for one.
                // Forgotten before the call: Envoy may come back with what comes next, and wait again.
                Effect::Continue(_) if is_answered => {}
                Effect::Continue(direction) if self.holds(direction).replace(false) => match direction {
                    Direction::Request => envoy.continue_decoding(),
                    Direction::Response => envoy.continue_encoding(),
                },
                Effect::Continue(_) => {}
                Effect::LocalResponse(response) => {
                    self.reply(envoy, begun, *response);
                    return true;
                }
                Effect::Close(_) => {
                    if !envoy.reset_stream(ResetReason::LocalReset, CLOSED_BY_PLUGIN) {
                        // Envoy 1.37 cannot reset from a filter.
                        envoy.send_response(503, &[], b"", CLOSED_BY_PLUGIN);
                    }
                    return true;
                }
            }
            if envoy.is_closed() {
                return true;
            }
        }
        false
    }
}

/// A stream of an HTTP filter, in its VM.
fn http_mut(vm: &mut Vm<EnvoyStream>, index: StreamIndex) -> Option<&mut HttpStream> {
    vm.stream_mut(index)?.stream.http_mut()
}

/// Whether an effect ends the stream.
fn ends(effect: &Effect) -> bool {
    match effect {
        Effect::LocalResponse(_) | Effect::Close(_) => true,
        Effect::Continue(_) => false,
    }
}

impl std::fmt::Debug for HttpFilter {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("HttpFilter").field("plugin", &self.config.name).finish_non_exhaustive()
    }
}
