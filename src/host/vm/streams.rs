//! Entry points of streams. Each brings something (headers, a chunk, trailers), lets the guest work on it, and
//! answers what shall happen next; what the guest asked for beside is in [`Vm::take_effects`].
//!
//! An entry point that the guest does not export answers "go on" without entering the VM.

use super::{CallError, Phase, Vm};
use crate::host::contexts::{Context, Half, RootIndex, RootState, StreamContext, StreamIndex};
use crate::host::entry_points::HeadersEntry;
use crate::host::stream::{Effects, Stream};
use crate::host::types::{BodyAction, Direction, HeaderMap, HeadersAction, TrailersAction};

impl<S: Stream> Vm<S> {
    /// Makes the context of a stream: `proxy_on_context_create`.
    ///
    /// # Errors
    /// The guest trapped, or the VM had failed.
    pub fn create_stream(&mut self, root: RootIndex, stream: S) -> Result<StreamIndex, CallError> {
        if self.has_failed() {
            return Err(CallError::VmFailed);
        }
        let contexts = &mut self.inner.store.data_mut().contexts;
        let root_id = contexts.root(root).map_or(0, |root| root.id.0);
        let index = contexts.add_stream(root, stream);
        let id = contexts.stream(index).map_or(0, |stream| stream.id.0);
        if let Some(function) = &self.entry_points.on_context_create {
            let name = "proxy_on_context_create";
            let called = self.inner.call(Phase::Serve, Context::Stream(index), name, function, (id, root_id));
            if let Err(error) = called {
                self.inner.store.data_mut().contexts.remove_stream(index);
                return Err(error);
            }
        }
        if let Some(stream) = self.stream_mut(index) {
            stream.is_created = true;
        }
        self.delete_done_roots();
        Ok(index)
    }

    /// A stream's context, for its owner to attach the proxy's side.
    pub fn stream_mut(&mut self, index: StreamIndex) -> Option<&mut StreamContext<S>> {
        self.inner.store.data_mut().contexts.stream_mut(index)
    }

    /// The streams that are here, in no order.
    pub fn streams(&self) -> impl Iterator<Item = &StreamContext<S>> {
        self.inner.store.data().contexts.streams()
    }

    /// Whether the guest asked for anything since the last time.
    pub fn has_wishes(&self, index: StreamIndex) -> bool {
        self.inner.store.data().contexts.stream(index).is_some_and(StreamContext::has_wishes)
    }

    /// What the guest asked for since the last time.
    pub fn take_effects(&mut self, index: StreamIndex) -> Effects {
        // Its owner is here, so it need not be woken.
        self.inner.store.data_mut().woken.retain(|woken| *woken != index);
        self.stream_mut(index).map(|stream| std::mem::take(&mut stream.effects)).unwrap_or_default()
    }

    /// Headers arrived.
    ///
    /// # Errors
    /// The guest trapped, or the VM had failed.
    pub fn on_headers(
        &mut self,
        index: StreamIndex,
        direction: Direction,
        end_of_stream: bool,
    ) -> Result<HeadersAction, CallError> {
        let (entry, name, map) = match direction {
            Direction::Request => {
                (&self.entry_points.on_request_headers, "proxy_on_request_headers", HeaderMap::RequestHeaders)
            }
            Direction::Response => (
                &self.entry_points.on_response_headers,
                "proxy_on_response_headers",
                HeaderMap::ResponseHeaders,
            ),
        };
        let (Some(entry), Some(stream)) = (entry, self.inner.store.data_mut().contexts.stream_mut(index))
        else {
            return self.alive(HeadersAction::Continue);
        };
        stream.half_mut(direction).headers = true;
        let (id, count) = (stream.id.0, size(stream.stream.header_count(map)));
        let context = Context::Stream(index);
        let answer = match entry {
            HeadersEntry::V0_1(function) => {
                self.inner.call(Phase::Serve, context, name, function, (id, count))
            }
            HeadersEntry::V0_2(function) => {
                let parameters = (id, count, u32::from(end_of_stream));
                self.inner.call(Phase::Serve, context, name, function, parameters)
            }
        }?;
        self.inner.has_served = true;
        let action = if self.is_stopped() {
            HeadersAction::StopAllAndWatermark
        } else {
            HeadersAction::from_guest(answer, self.allows_stop_iteration(index))
        };
        self.let_go(index, direction, action == HeadersAction::Continue, |half| &mut half.headers);
        self.delete_done_roots();
        Ok(action)
    }

    /// A chunk of body arrived; it is at hand in the stream.
    ///
    /// # Errors
    /// The guest trapped, or the VM had failed.
    pub fn on_body(
        &mut self,
        index: StreamIndex,
        direction: Direction,
        end_of_stream: bool,
    ) -> Result<BodyAction, CallError> {
        let (entry, name) = match direction {
            Direction::Request => (&self.entry_points.on_request_body, "proxy_on_request_body"),
            Direction::Response => (&self.entry_points.on_response_body, "proxy_on_response_body"),
        };
        let (Some(function), Some(stream)) = (entry, self.inner.store.data_mut().contexts.stream_mut(index))
        else {
            return self.alive(BodyAction::Continue);
        };
        let half = stream.half_mut(direction);
        half.body = true;
        let buffering = half.buffering;
        let length = size(stream.stream.body_len(direction, buffering));
        let parameters = (stream.id.0, length, u32::from(end_of_stream));
        let answer = self.inner.call(Phase::Serve, Context::Stream(index), name, function, parameters)?;
        let action =
            if self.is_stopped() { BodyAction::StopNoBuffer } else { BodyAction::from_guest(answer) };
        self.let_go(index, direction, action == BodyAction::Continue, |half| &mut half.body);
        if let Some(stream) = self.stream_mut(index) {
            stream.half_mut(direction).buffering = action == BodyAction::StopAndBuffer;
        }
        self.delete_done_roots();
        Ok(action)
    }

    /// Trailers arrived.
    ///
    /// # Errors
    /// The guest trapped, or the VM had failed.
    pub fn on_trailers(
        &mut self,
        index: StreamIndex,
        direction: Direction,
    ) -> Result<TrailersAction, CallError> {
        let (entry, name, map) = match direction {
            Direction::Request => (
                &self.entry_points.on_request_trailers,
                "proxy_on_request_trailers",
                HeaderMap::RequestTrailers,
            ),
            Direction::Response => (
                &self.entry_points.on_response_trailers,
                "proxy_on_response_trailers",
                HeaderMap::ResponseTrailers,
            ),
        };
        let (Some(function), Some(stream)) = (entry, self.inner.store.data_mut().contexts.stream_mut(index))
        else {
            return self.alive(TrailersAction::Continue);
        };
        stream.half_mut(direction).trailers = true;
        let parameters = (stream.id.0, size(stream.stream.header_count(map)));
        let answer = self.inner.call(Phase::Serve, Context::Stream(index), name, function, parameters)?;
        let action = if self.is_stopped() {
            TrailersAction::StopIteration
        } else {
            TrailersAction::from_guest(answer)
        };
        self.let_go(index, direction, action == TrailersAction::Continue, |half| &mut half.trailers);
        self.delete_done_roots();
        Ok(action)
    }

    /// The exchange is complete: `proxy_on_log`.
    ///
    /// # Errors
    /// The guest trapped, or the VM had failed.
    pub fn on_log(&mut self, index: StreamIndex) -> Result<(), CallError> {
        let entry = &self.entry_points.on_log;
        let (Some(function), Some(stream)) = (entry, self.inner.store.data_mut().contexts.stream_mut(index))
        else {
            return self.alive(());
        };
        stream.is_logging = true;
        let id = stream.id.0;
        let called = self.inner.call(Phase::Serve, Context::Stream(index), "proxy_on_log", function, id);
        if let Some(stream) = self.stream_mut(index) {
            stream.is_logging = false;
        }
        self.delete_done_roots();
        called
    }

    /// The guest's work on the exchange is over: `proxy_on_done`. What it answers is not looked at, because a stream
    /// cannot wait (as in the built-in host).
    ///
    /// # Errors
    /// The guest trapped, or the VM had failed.
    pub fn on_done(&mut self, index: StreamIndex) -> Result<(), CallError> {
        let Some(stream) = self.stream_mut(index).filter(|stream| stream.is_created && !stream.is_done)
        else {
            return self.alive(());
        };
        stream.is_done = true;
        let id = stream.id.0;
        let Some(function) = &self.entry_points.on_done else { return self.alive(()) };
        self.inner.call(Phase::Serve, Context::Stream(index), "proxy_on_done", function, id).map(drop)
    }

    /// Ends a stream's context: `proxy_on_done` if it is still due, `proxy_on_delete`, and the root's end if it waited
    /// for this stream. The place is free afterwards, whatever the guest does; a trap is logged.
    pub fn end_stream(&mut self, index: StreamIndex) {
        match self.call_end(index) {
            Ok(()) => self.inner.has_served = true,
            Err(error) => self.log_failure(&error),
        }
        self.remove_stream(index);
    }

    /// Frees a stream's place, and ends its root if that waited for this stream.
    pub(super) fn remove_stream(&mut self, index: StreamIndex) {
        let replies = self.take_replies(index);
        let commands = self.take_commands(index);
        let state = self.inner.store.data_mut();
        // Those that had not begun go on without it.
        for command in commands {
            state.calls.hand_over(command);
        }
        state.calls.forget_stream(index);
        let removed = state.contexts.remove_stream(index);
        for (token, reply) in replies {
            if let Err(error) = self.deliver(token, reply) {
                self.log_failure(&error);
            }
        }
        if let Some((root, true)) = removed {
            let contexts = &self.inner.store.data().contexts;
            if contexts.root(root).is_some_and(|root| root.state == RootState::Retired) {
                self.end_root(root);
            }
        }
        self.delete_done_roots();
    }

    fn call_end(&mut self, index: StreamIndex) -> Result<(), CallError> {
        self.on_done(index)?;
        let Some(stream) = self.stream_mut(index).filter(|stream| stream.is_created) else {
            return Ok(());
        };
        let id = stream.id.0;
        let Some(function) = &self.entry_points.on_delete else { return Ok(()) };
        self.inner.call(Phase::Serve, Context::Stream(index), "proxy_on_delete", function, id)
    }

    pub(super) fn alive<T>(&self, answer: T) -> Result<T, CallError> {
        if self.has_failed() { Err(CallError::VmFailed) } else { Ok(answer) }
    }

    fn is_stopped(&self) -> bool {
        self.inner.store.data().is_stopped
    }

    fn allows_stop_iteration(&self, index: StreamIndex) -> bool {
        let contexts = &self.inner.store.data().contexts;
        contexts
            .stream(index)
            .and_then(|stream| contexts.root(stream.root))
            .is_some_and(|root| root.plugin.allow_on_headers_stop_iteration)
    }

    /// After an entry point: what the guest let go on is not available to it any more.
    fn let_go(
        &mut self,
        index: StreamIndex,
        direction: Direction,
        goes_on: bool,
        part: impl Fn(&mut Half) -> &mut bool,
    ) {
        if goes_on && let Some(stream) = self.stream_mut(index) {
            *part(stream.half_mut(direction)) = false;
        }
    }
}

pub(super) fn size(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
