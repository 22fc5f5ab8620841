//! `proxy_get_property`, `proxy_set_property`.
//!
//! What names the plugin itself is answered here, for every context; all else is the stream's.

use super::{Answer, Call};
use crate::engine::memory;
use crate::host::contexts::{Context, RootIndex};
use crate::host::stream::{NoProperty, Stream};
use crate::host::types::Status;
use crate::host::vm::State;

/// What is kept of the memory that values are built in, in bytes.
const MOST_SCRATCH: usize = 64 * 1024;

/// Longest path that is looked at, in bytes. Real ones have two or three short parts.
const LONGEST_PATH: u32 = 16 * 1024;

pub(super) fn get<S: Stream>(
    call: &mut Call<'_, S>,
    path: u32,
    path_length: u32,
    value_at: u32,
    length_at: u32,
) -> Answer {
    call.read(path, path_length)?;
    call.check_words(&[value_at, length_at])?;
    if path_length > LONGEST_PATH {
        return Err(Status::NotFound.into());
    }
    let mut value = std::mem::take(&mut call.state().scratch);
    value.clear();
    let answer = look_up(call, path, path_length, &mut value)
        .map_err(Into::into)
        .and_then(|()| call.give(&value, value_at, length_at));
    // A rare large value does not stay in memory for the life of the VM.
    value.shrink_to(MOST_SCRATCH);
    call.state().scratch = value;
    answer
}

fn look_up<S: Stream>(
    call: &mut Call<'_, S>,
    path: u32,
    path_length: u32,
    value: &mut Vec<u8>,
) -> Result<(), Status> {
    call.with_stream(|call, stream| {
        let path = call.read(path, path_length)?;
        if path.is_empty() {
            // Everything, as it were, which has no wire form in the built-in host either.
            return Err(Status::SerializationFailure);
        }
        // A trailing separator is tolerated, as in the built-in host.
        let path = path.strip_suffix(b"\0").unwrap_or(path);
        let root = stream.as_ref().map(|stream| stream.root);
        if let Some(own) = own_property(call.caller.data(), root, path) {
            value.extend_from_slice(own.as_bytes());
            return Ok(());
        }
        let stream = stream.ok_or(Status::NotFound)?;
        stream.stream.property(path, value).map_err(|none| match none {
            NoProperty::Absent => Status::NotFound,
            NoProperty::Unserializable => Status::SerializationFailure,
        })
    })
}

/// What the plugin is: `plugin_name`, `plugin_root_id`, `plugin_vm_id`.
pub(in crate::host) fn own_property<'a, S: Stream>(
    state: &'a State<S>,
    stream_root: Option<RootIndex>,
    path: &[u8],
) -> Option<&'a str> {
    if !path.starts_with(b"plugin_") {
        return None;
    }
    if path == b"plugin_vm_id" {
        return Some(&state.settings.vm_id);
    }
    let root = match state.context() {
        Context::Stream(_) => stream_root?,
        Context::Root(root) => root,
        Context::Vm => return None,
    };
    let plugin = &state.contexts.root(root)?.plugin;
    match path {
        b"plugin_name" => Some(&plugin.name),
        b"plugin_root_id" => Some(&plugin.root_id),
        _ => None,
    }
}

pub(super) fn set<S: Stream>(
    call: &mut Call<'_, S>,
    path: u32,
    path_length: u32,
    value: u32,
    length: u32,
) -> Answer {
    call.with_stream(|call, stream| {
        let (memory, state) = call.memory_and_state();
        let path = memory::read(memory, path, path_length).ok_or(Status::InvalidMemoryAccess)?;
        let value = memory::read(memory, value, length).ok_or(Status::InvalidMemoryAccess)?;
        // An exchange that is only logged has no property to set, as in the built-in host.
        let stream = stream.filter(|stream| !stream.is_of_root).ok_or(Status::NotFound)?;
        state.keep(path.len().saturating_add(value.len()))?;
        let declared = state.contexts.root(stream.root).and_then(|root| root.declarations.find(path));
        if declared.is_some_and(|declared| declared.is_read_only)
            && stream.stream.property(path, &mut Vec::new()).is_ok()
        {
            return Err(Status::BadArgument.into());
        }
        let span = declared.map(|declared| declared.span).unwrap_or_default();
        if stream.stream.set_property(path, value, span) { Ok(()) } else { Err(Status::BadArgument.into()) }
    })
}
