//! Entry points of TCP connections.
//!
//! A connection is a stream whose bodies are its bytes: those of the client are the request's, those of the server the
//! response's. Bytes are at hand from the entry point that brings them until the guest lets them go on.

use super::{CallError, Phase, Vm};
use crate::host::contexts::{Context, StreamIndex};
use crate::host::stream::Stream;
use crate::host::types::{ConnectionAction, Direction, PeerType};

impl<S: Stream> Vm<S> {
    /// A client has connected.
    ///
    /// # Errors
    /// The guest trapped, or the VM had failed.
    pub fn on_new_connection(&mut self, index: StreamIndex) -> Result<ConnectionAction, CallError> {
        let (Some(function), Some(stream)) =
            (&self.entry_points.on_new_connection, self.inner.store.data_mut().contexts.stream_mut(index))
        else {
            return self.alive(ConnectionAction::Continue);
        };
        let id = stream.id.0;
        let context = Context::Stream(index);
        let answer = self.inner.call(Phase::Serve, context, "proxy_on_new_connection", function, id)?;
        self.inner.has_served = true;
        self.delete_done_roots();
        Ok(ConnectionAction::from_guest(answer))
    }

    /// Bytes arrived; they are at hand in the connection.
    ///
    /// # Errors
    /// The guest trapped, or the VM had failed.
    pub fn on_data(
        &mut self,
        index: StreamIndex,
        direction: Direction,
        end_of_stream: bool,
    ) -> Result<ConnectionAction, CallError> {
        let (entry, name) = match direction {
            Direction::Request => (&self.entry_points.on_downstream_data, "proxy_on_downstream_data"),
            Direction::Response => (&self.entry_points.on_upstream_data, "proxy_on_upstream_data"),
        };
        let (Some(function), Some(stream)) = (entry, self.inner.store.data_mut().contexts.stream_mut(index))
        else {
            return self.alive(ConnectionAction::Continue);
        };
        stream.half_mut(direction).body = true;
        let length = u32::try_from(stream.stream.body_len(direction, false)).unwrap_or(u32::MAX);
        let parameters = (stream.id.0, length, u32::from(end_of_stream));
        let answer = self.inner.call(Phase::Serve, Context::Stream(index), name, function, parameters)?;
        let action = ConnectionAction::from_guest(answer);
        if action == ConnectionAction::Continue
            && let Some(stream) = self.stream_mut(index)
        {
            stream.half_mut(direction).body = false;
        }
        self.delete_done_roots();
        Ok(action)
    }

    /// A side of the connection is closed. With the client's side the connection is over: `proxy_on_done`,
    /// `proxy_on_log` and `proxy_on_delete` follow, which is [`finish_connection`](Self::finish_connection).
    ///
    /// # Errors
    /// The guest trapped, or the VM had failed.
    pub fn on_close(
        &mut self,
        index: StreamIndex,
        direction: Direction,
        peer: PeerType,
    ) -> Result<(), CallError> {
        let (entry, name) = match direction {
            Direction::Request => {
                (&self.entry_points.on_downstream_close, "proxy_on_downstream_connection_close")
            }
            Direction::Response => {
                (&self.entry_points.on_upstream_close, "proxy_on_upstream_connection_close")
            }
        };
        let (Some(function), Some(stream)) = (entry, self.inner.store.data_mut().contexts.stream_mut(index))
        else {
            return self.alive(());
        };
        let parameters = (stream.id.0, peer as u32);
        let called = self.inner.call(Phase::Serve, Context::Stream(index), name, function, parameters);
        self.delete_done_roots();
        called
    }

    /// The connection is over: `proxy_on_done`, then `proxy_on_log`. What remains is
    /// [`end_stream`](Self::end_stream).
    ///
    /// # Errors
    /// The guest trapped, or the VM had failed.
    pub fn finish_connection(&mut self, index: StreamIndex) -> Result<(), CallError> {
        self.on_done(index)?;
        let (Some(function), Some(stream)) =
            (&self.entry_points.on_log, self.inner.store.data_mut().contexts.stream_mut(index))
        else {
            return self.alive(());
        };
        let id = stream.id.0;
        let called = self.inner.call(Phase::Serve, Context::Stream(index), "proxy_on_log", function, id);
        self.delete_done_roots();
        called
    }
}
