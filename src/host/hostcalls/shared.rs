//! What plugins of one VM id share: `proxy_get_shared_data`, `proxy_set_shared_data`, `proxy_register_shared_queue`,
//! `proxy_resolve_shared_queue`, `proxy_enqueue_shared_queue`, `proxy_dequeue_shared_queue`.

use super::{Answer, Call};
use crate::host::shared::{QueueFull, WriteError};
use crate::host::stream::{Services as _, Stream};
use crate::host::types::Status;
use std::sync::Arc;

pub(super) fn get_data<S: Stream>(
    call: &mut Call<'_, S>,
    key: u32,
    key_length: u32,
    value_at: u32,
    length_at: u32,
    change_at: u32,
) -> Answer {
    call.check_words(&[value_at, length_at, change_at])?;
    call.read(key, key_length)?;
    let space = Arc::clone(&call.state().space);
    let now = call.state().services.monotonic_nanoseconds();
    let entry = space.data.get(call.read(key, key_length)?, now).ok_or(Status::NotFound)?;
    call.give(&entry.value, value_at, length_at)?;
    Ok(call.write_u32(change_at, entry.change)?)
}

pub(super) fn set_data<S: Stream>(
    call: &mut Call<'_, S>,
    key: u32,
    key_length: u32,
    value: u32,
    length: u32,
    change: u32,
) -> Answer {
    let space = Arc::clone(&call.state().space);
    let now = call.state().services.monotonic_nanoseconds();
    let (key, value) = (call.read(key, key_length)?, call.read(value, length)?);
    let written = space.data.set(key, value, change, now, None);
    written.map_err(|error| match error {
        WriteError::Changed => Status::CasMismatch.into(),
        WriteError::Full => Status::InternalFailure.into(),
    })
}

pub(super) fn register_queue<S: Stream>(
    call: &mut Call<'_, S>,
    name: u32,
    length: u32,
    token_at: u32,
) -> Answer {
    call.check_words(&[token_at])?;
    let state = call.state();
    let root = state.root_of(state.context()).and_then(|root| state.contexts.root(root));
    let root = root.ok_or(Status::BadArgument)?.id.0;
    let (space, commons) = (Arc::clone(&state.space), Arc::clone(&state.commons));
    let queue = commons.shared.register(&space, call.read(name, length)?).ok_or(Status::InternalFailure)?;
    let token = queue.token();
    call.state().read_queue(queue, root);
    Ok(call.write_u32(token_at, token)?)
}

pub(super) fn resolve_queue<S: Stream>(
    call: &mut Call<'_, S>,
    vm_id: u32,
    vm_id_length: u32,
    name: u32,
    length: u32,
    token_at: u32,
) -> Answer {
    call.check_words(&[token_at])?;
    let (commons, settings) = (Arc::clone(&call.state().commons), Arc::clone(&call.state().settings));
    let vm_id = call.read(vm_id, vm_id_length)?;
    // An empty one is one's own, as in the built-in host.
    let vm_id = if vm_id.is_empty() { settings.vm_id.as_bytes() } else { vm_id };
    let vm_id = std::str::from_utf8(vm_id).map_err(|_no_text| Status::NotFound)?;
    let token = commons.shared.resolve(vm_id, call.read(name, length)?).ok_or(Status::NotFound)?;
    Ok(call.write_u32(token_at, token)?)
}

pub(super) fn enqueue<S: Stream>(call: &mut Call<'_, S>, token: u32, message: u32, length: u32) -> Answer {
    let commons = Arc::clone(&call.state().commons);
    let message = call.read(message, length)?;
    let queue = commons.shared.queue(token).ok_or(Status::NotFound)?;
    let wake_ups = queue.push(message).map_err(|QueueFull| Status::InternalFailure)?;
    commons.agenda.wake(&queue, wake_ups);
    Ok(())
}

pub(super) fn dequeue<S: Stream>(
    call: &mut Call<'_, S>,
    token: u32,
    message_at: u32,
    length_at: u32,
) -> Answer {
    call.check_words(&[message_at, length_at])?;
    let commons = Arc::clone(&call.state().commons);
    let queue = commons.shared.queue(token).ok_or(Status::NotFound)?;
    let message = queue.pop().ok_or(Status::Empty)?;
    call.give(&message, message_at, length_at)
}
