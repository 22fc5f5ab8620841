//! Buffers: `proxy_get_buffer_bytes`, `proxy_get_buffer_status`, `proxy_set_buffer_bytes`, and 0.1.0's
//! `proxy_get_configuration`.

use super::{Answer, Call};
use crate::engine::memory;
use crate::host::calls::Reply;
use crate::host::contexts::{Context, Plugin, StreamContext};
use crate::host::stream::Stream;
use crate::host::types::{BufferType, Direction, Status};
use crate::host::vm::State;
use std::sync::Arc;

/// A buffer that was found.
enum Found<'a, S: Stream> {
    /// The body at hand; with `None` no body is (and it reads as empty, as in the built-in host).
    Body(Option<(&'a mut StreamContext<S>, Direction)>),
    /// The VM's configuration.
    VmConfiguration,
    /// The plugin's.
    PluginConfiguration(Arc<Plugin>),
    /// The body, the message or the addresses of a reply.
    Reply(BufferType),
    /// Nothing, and readable as such.
    Empty,
}

fn find<'a, S: Stream>(
    state: &State<S>,
    buffer: BufferType,
    stream: Option<&'a mut StreamContext<S>>,
) -> Result<Found<'a, S>, Status> {
    Ok(match buffer {
        BufferType::Body(direction) => Found::Body(body(stream, direction, false)),
        BufferType::Network(direction) => Found::Body(body(stream, direction, true)),
        BufferType::VmConfiguration => Found::VmConfiguration,
        BufferType::PluginConfiguration => {
            Found::PluginConfiguration(configured_plugin(state).ok_or(Status::NotFound)?)
        }
        BufferType::CalloutBody if reply(state, buffer).is_none() => return Err(Status::NotFound),
        BufferType::GrpcMessage | BufferType::CallData if reply(state, buffer).is_none() => Found::Empty,
        BufferType::CalloutBody | BufferType::GrpcMessage | BufferType::CallData => Found::Reply(buffer),
    })
}

/// The bytes of the reply that is being delivered.
fn reply<S: Stream>(state: &State<S>, buffer: BufferType) -> Option<&[u8]> {
    state.reply.as_ref().and_then(|reply| part(reply, buffer))
}

fn part(reply: &Reply, buffer: BufferType) -> Option<&[u8]> {
    match buffer {
        BufferType::CalloutBody => reply.body(),
        BufferType::GrpcMessage => reply.message(),
        BufferType::CallData => reply.addresses(),
        BufferType::Body(_)
        | BufferType::Network(_)
        | BufferType::VmConfiguration
        | BufferType::PluginConfiguration => None,
    }
}

/// The bytes at hand of a stream, or of a connection.
fn body<S: Stream>(
    stream: Option<&mut StreamContext<S>>,
    direction: Direction,
    of_connection: bool,
) -> Option<(&mut StreamContext<S>, Direction)> {
    let is_it = |stream: &&mut StreamContext<S>| {
        stream.stream.is_connection() == of_connection && stream.half(direction).has_body()
    };
    stream.filter(is_it).map(|stream| (stream, direction))
}

/// The plugin whose configuration can be read now: while its root is created and configured.
fn configured_plugin<S: Stream>(state: &State<S>) -> Option<Arc<Plugin>> {
    // Only its own: a guest that acts for another root while one is configured reads no configuration.
    match state.context() {
        Context::Root(root) if state.has_plugin_configuration && state.context() == state.current => {
            state.contexts.root(root).map(|root| Arc::clone(&root.plugin))
        }
        Context::Root(_) | Context::Stream(_) | Context::Vm => None,
    }
}

impl<S: Stream> Found<'_, S> {
    fn len(&self, state: &State<S>) -> usize {
        match self {
            Self::Body(Some((stream, direction))) => {
                stream.stream.body_len(*direction, stream.half(*direction).buffering)
            }
            Self::Reply(buffer) => reply(state, *buffer).map_or(0, <[u8]>::len),
            Self::Body(None) | Self::Empty => 0,
            Self::VmConfiguration => state.settings.configuration.len(),
            Self::PluginConfiguration(plugin) => plugin.configuration.len(),
        }
    }
}

pub(super) fn get_bytes<S: Stream>(
    call: &mut Call<'_, S>,
    buffer: u32,
    start: u32,
    length: u32,
    value_at: u32,
    length_at: u32,
) -> Answer {
    let buffer = BufferType::try_from(buffer)?;
    call.check_words(&[value_at, length_at])?;
    call.with_stream(|call, stream| {
        let found = find(call.state(), buffer, stream)?;
        let (start, length) = clip(start, length, found.len(call.state()));
        let end = start.saturating_add(length);
        match found {
            Found::Body(Some((stream, direction))) => {
                let buffered = stream.half(direction).buffering;
                let length = u32::try_from(length).map_err(|_too_long| Status::InvalidMemoryAccess)?;
                call.give_with(length, value_at, length_at, |target| {
                    stream.stream.copy_body(direction, buffered, start, target);
                    Ok(())
                })
            }
            Found::VmConfiguration => {
                let settings = Arc::clone(&call.state().settings);
                let bytes = settings.configuration.get(start..end).unwrap_or_default();
                call.give(bytes, value_at, length_at)
            }
            Found::PluginConfiguration(plugin) => {
                let bytes = plugin.configuration.get(start..end).unwrap_or_default();
                call.give(bytes, value_at, length_at)
            }
            Found::Reply(buffer) => call.with_reply(|call, found| {
                let bytes = found.and_then(|found| part(found, buffer)).unwrap_or_default();
                call.give(bytes.get(start..end).unwrap_or_default(), value_at, length_at)
            }),
            Found::Body(None) | Found::Empty => call.give(&[], value_at, length_at),
        }
    })
}

/// The part of a buffer that can be read: start and length, clipped to what is there.
fn clip(start: u32, length: u32, available: usize) -> (usize, usize) {
    let start = usize::try_from(start).unwrap_or(usize::MAX).min(available);
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    (start, length.min(available.saturating_sub(start)))
}

pub(super) fn get_status<S: Stream>(
    call: &mut Call<'_, S>,
    buffer: u32,
    length_at: u32,
    flags_at: u32,
) -> Answer {
    let buffer = BufferType::try_from(buffer)?;
    call.check_words(&[length_at, flags_at])?;
    call.with_stream(|call, stream| {
        let length = find(call.state(), buffer, stream)?.len(call.state());
        call.write_u32(length_at, u32::try_from(length).unwrap_or(u32::MAX))?;
        Ok(call.write_u32(flags_at, 0)?)
    })
}

pub(super) fn set_bytes<S: Stream>(
    call: &mut Call<'_, S>,
    buffer: u32,
    start: u32,
    length: u32,
    value: u32,
    value_length: u32,
) -> Answer {
    let buffer = BufferType::try_from(buffer)?;
    call.with_stream(|call, stream| {
        let found = find(call.state(), buffer, stream)?;
        let (memory, state) = call.memory_and_state();
        let value = memory::read(memory, value, value_length).ok_or(Status::InvalidMemoryAccess)?;
        let Found::Body(Some((stream, direction))) = found else {
            return Err(Status::BadArgument.into());
        };
        state.keep(value.len())?;
        let buffered = stream.half(direction).buffering;
        let available = stream.stream.body_len(direction, buffered);
        let start = usize::try_from(start).unwrap_or(usize::MAX);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let is_done = if start == 0 {
            stream.stream.replace_body(direction, buffered, length.min(available), value)
        } else if start >= available {
            stream.stream.append_body(direction, buffered, value)
        } else {
            // The specification would allow a splice; the built-in host does not.
            return Err(Status::BadArgument.into());
        };
        if is_done { Ok(()) } else { Err(Status::BadArgument.into()) }
    })
}

/// The plugin's configuration while it is configured, the VM's at any other time.
pub(super) fn get_configuration<S: Stream>(call: &mut Call<'_, S>, value_at: u32, length_at: u32) -> Answer {
    call.check_words(&[value_at, length_at])?;
    if let Some(plugin) = configured_plugin(call.state()) {
        return call.give(&plugin.configuration, value_at, length_at);
    }
    let settings = Arc::clone(&call.state().settings);
    call.give(&settings.configuration, value_at, length_at)
}
