//! What happens in a VM without a stream: ticks, messages on queues, replies to callouts; and what the guest asked of
//! others, passed on when the thread that was inside leaves.

use super::{CallError, Phase, Role, Vm};
use crate::host::calls::{Command, Pairs, Reply, Token};
use crate::host::contexts::{Context, RootIndex, StreamIndex};
use crate::host::stream::{Services, Stream};

/// What `proxy_get_status` tells of an HTTP call that failed, as in the built-in host.
const BROKEN_CONNECTION: u32 = 11;
const RESET: &[u8] = b"reset";

impl<S: Stream> Vm<S> {
    /// A root's tick is due. A trap is logged.
    pub fn on_tick(&mut self, root_id: u32) {
        let Some(root) = self.inner.store.data().contexts.find_root_by_id(root_id) else { return };
        if self.has_failed() {
            return;
        }
        if let Some(function) = &self.entry_points.on_tick {
            let called =
                self.inner.call(Phase::Serve, Context::Root(root), "proxy_on_tick", function, root_id);
            self.ended(&called);
        }
        // The next one is due a period after this one has ended, so a slow plugin does not tick without end.
        self.inner.store.data_mut().ticks_changed(root);
        self.delete_done_roots();
    }

    /// A message was put on a queue that a root registered. A trap is logged. `false`: the root is not there to be told.
    pub fn on_queue_ready(&mut self, root_id: u32, token: u32) -> bool {
        let root = self.inner.store.data().contexts.find_root_by_id(root_id);
        let Some(root) = root.filter(|_| !self.inner.has_failed) else { return false };
        let Some(function) = &self.entry_points.on_queue_ready else { return true };
        let name = "proxy_on_queue_ready";
        let called = self.inner.call(Phase::Serve, Context::Root(root), name, function, (root_id, token));
        self.ended(&called);
        self.delete_done_roots();
        true
    }

    /// Part of a reply arrived where no stream is at hand. If the stream that made the call lives, it is told on its
    /// own worker, where the guest can work on it; otherwise the root is told now. A trap is logged.
    pub fn on_reply(&mut self, token: Token, reply: Reply) {
        let state = self.inner.store.data_mut();
        let origin = state.calls.get(token).and_then(|call| call.origin);
        if let Some(stream) = origin.and_then(|origin| state.contexts.stream_mut(origin))
            && stream.stream.can_wake()
        {
            stream.replies.push((token, reply));
            stream.stream.wake();
            return;
        }
        let delivered = self.deliver(token, reply);
        self.ended(&delivered);
    }

    /// What arrived for a stream's calls while it was not at hand.
    pub fn take_replies(&mut self, index: StreamIndex) -> Vec<(Token, Reply)> {
        self.stream_mut(index).map(|stream| std::mem::take(&mut stream.replies)).unwrap_or_default()
    }

    /// What the guest asked of a stream's calls.
    pub fn take_commands(&mut self, index: StreamIndex) -> Vec<Command> {
        self.stream_mut(index).map(|stream| std::mem::take(&mut stream.commands)).unwrap_or_default()
    }

    /// Hands calls over to the process: the stream that made them does not wait, so they must not end with it.
    pub fn hand_over(&mut self, commands: Vec<Command>) {
        let calls = &mut self.inner.store.data_mut().calls;
        for command in commands {
            calls.hand_over(command);
        }
    }

    /// Brings part of a reply to the root context whose call it was. The caller has attached the stream that the
    /// guest is likely to act for, if there is one.
    ///
    /// # Errors
    /// The guest trapped, or the VM had failed.
    pub fn deliver(&mut self, token: Token, reply: Reply) -> Result<(), CallError> {
        if self.has_failed() {
            return Err(CallError::VmFailed);
        }
        let state = self.inner.store.data_mut();
        let Some(call) = state.calls.delivered(token, &reply) else { return Ok(()) };
        let Some(root) = state.contexts.root_mut(call.root) else { return Ok(()) };
        let id = root.id.0;
        let context = Context::Root(call.root);
        match &reply {
            Reply::HttpFailed => root.status = (BROKEN_CONNECTION, RESET.to_vec()),
            Reply::GrpcClose(status, message) => root.status = (*status, message.clone()),
            Reply::Http { .. }
            | Reply::GrpcInitial(_)
            | Reply::GrpcMessage(_)
            | Reply::GrpcTrailing(_)
            | Reply::Addresses(_) => {}
        }
        let entry = Entry::of(&reply);
        state.reply = Some(reply);
        let points = &self.entry_points;
        let called = match entry {
            Entry::Http(headers, body, trailers) => points.on_http_call_response.as_ref().map(|function| {
                let parameters = (id, token.0, headers, body, trailers);
                self.inner.call(Phase::Serve, context, "proxy_on_http_call_response", function, parameters)
            }),
            Entry::Initial(count) => points.on_grpc_receive_initial_metadata.as_ref().map(|function| {
                let name = "proxy_on_grpc_receive_initial_metadata";
                self.inner.call(Phase::Serve, context, name, function, (id, token.0, count))
            }),
            Entry::Message(length) => points.on_grpc_receive.as_ref().map(|function| {
                self.inner.call(
                    Phase::Serve,
                    context,
                    "proxy_on_grpc_receive",
                    function,
                    (id, token.0, length),
                )
            }),
            Entry::Trailing(count) => points.on_grpc_receive_trailing_metadata.as_ref().map(|function| {
                let name = "proxy_on_grpc_receive_trailing_metadata";
                self.inner.call(Phase::Serve, context, name, function, (id, token.0, count))
            }),
            Entry::Addresses(length) => points.on_resolve_dns.as_ref().map(|function| {
                let parameters = (id, token.0, length);
                self.inner.call(Phase::Serve, context, "envoy_on_resolve_dns", function, parameters)
            }),
            Entry::Close(status) => points.on_grpc_close.as_ref().map(|function| {
                self.inner.call(Phase::Serve, context, "proxy_on_grpc_close", function, (id, token.0, status))
            }),
        };
        let state = self.inner.store.data_mut();
        state.reply = None;
        if let Some(root) = state.contexts.root_mut(call.root) {
            root.status.1.clear();
        }
        self.delete_done_roots();
        called.unwrap_or(Ok(()))
    }

    /// Whether the agenda knows this VM.
    pub(super) fn is_on_agenda(&self) -> bool {
        self.inner.store.data().role.is_some()
    }

    /// Whether the agenda has to know this copy, and does not: the guest asked for something that is answered there, as
    /// most never do.
    pub(super) fn wants_agenda(&self) -> bool {
        let state = self.inner.store.data();
        state.is_copy && state.role.is_none() && !state.calls.outbox.is_empty()
    }

    /// The agenda knows this VM.
    pub(super) fn joined_agenda(&mut self, role: Role) {
        let state = self.inner.store.data_mut();
        state.is_idle = false;
        state.join_queues(role);
    }

    /// It is to work later, if at all. Said before its plugins are configured.
    pub fn rest(&mut self) {
        self.inner.store.data_mut().is_idle = true;
    }

    /// Whether there is anything to [`pass_on`](Self::pass_on). Most entries leave nothing behind.
    #[inline]
    pub(super) fn has_news(&self) -> bool {
        let state = self.inner.store.data();
        self.inner.has_failed
            || state.has_changed_metrics
            || state.limiter.has_grown()
            || !state.woken.is_empty()
            || !state.changed_ticks.is_empty()
            || !state.calls.outbox.is_empty()
    }

    /// The thread that was inside leaves: others are told what the guest asked of them. Answers whether the VM has failed
    /// meanwhile. [`Lease`](super::Lease) does it.
    pub fn pass_on(&mut self) -> bool {
        let has_failed = self.inner.has_failed;
        let number = self.inner.number;
        let state = self.inner.store.data_mut();
        for index in std::mem::take(&mut state.woken) {
            if let Some(stream) = state.contexts.stream_mut(index) {
                stream.stream.wake();
            }
        }
        let fails_now = has_failed && !state.is_failure_told;
        if fails_now {
            state.is_failure_told = true;
            // Whoever waits in a VM that is dead waits in vain, and nobody is there for a reply.
            state.contexts.streams().for_each(|stream| stream.stream.wake());
            state.calls.cancel(None);
            if state.role.is_some() {
                state.commons.agenda.forget_ticks(number);
            }
            state.leave_queues(None);
        }
        if state.is_idle {
            return fails_now;
        }
        for root in std::mem::take(&mut state.changed_ticks) {
            // A copy ends with its stream: its root ticks in the VM that was copied.
            let Some(root) = state.contexts.root(root).filter(|_| !has_failed && !state.is_copy) else {
                continue;
            };
            let due = root.tick.map(|period| state.services.monotonic_nanoseconds().saturating_add(period));
            state.commons.agenda.set_tick(
                number,
                root.id.0,
                due.filter(|_| self.entry_points.on_tick.is_some()),
            );
        }
        if !state.calls.outbox.is_empty() {
            state.services.submit(number, std::mem::take(&mut state.calls.outbox));
        }
        // Once for all that the guest changed: a loop of a thousand increments is one event for the proxy.
        if std::mem::take(&mut state.has_changed_metrics) {
            state.services.publish_metrics();
        }
        fails_now
    }

    /// After an entry point that nobody waits for.
    fn ended(&mut self, called: &Result<(), CallError>) {
        if let Err(error) = called {
            self.log_failure(error);
        }
    }

    /// A root context is gone: its calls and ticks go with it, and others are told of its queues.
    pub(super) fn forget_root(&mut self, root: RootIndex) {
        let number = self.inner.number;
        let state = self.inner.store.data_mut();
        state.calls.cancel(Some(root));
        if let Some(id) = state.contexts.root(root).map(|root| root.id.0) {
            if state.role.is_some() {
                state.commons.agenda.set_tick(number, id, None);
            }
            state.leave_queues(Some(id));
        }
    }
}

/// The entry point of a reply, with the numbers that it is given.
enum Entry {
    Http(u32, u32, u32),
    Initial(u32),
    Message(u32),
    Trailing(u32),
    Close(u32),
    Addresses(u32),
}

impl Entry {
    fn of(reply: &Reply) -> Self {
        match reply {
            Reply::Http { headers, body, trailers } => {
                Self::Http(count(headers), super::streams::size(body.len()), count(trailers))
            }
            Reply::HttpFailed => Self::Http(0, 0, 0),
            Reply::GrpcInitial(pairs) => Self::Initial(count(pairs)),
            Reply::GrpcMessage(message) => Self::Message(super::streams::size(message.len())),
            Reply::GrpcTrailing(pairs) => Self::Trailing(count(pairs)),
            Reply::GrpcClose(status, _) => Self::Close(*status),
            Reply::Addresses(bytes) => Self::Addresses(super::streams::size(bytes.len())),
        }
    }
}

fn count(pairs: &Pairs) -> u32 {
    super::streams::size(pairs.len())
}
