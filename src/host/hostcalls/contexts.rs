//! `proxy_set_effective_context`, `proxy_done`, `proxy_get_status`.

use super::{Answer, Call};
use crate::host::contexts::{Context, RootState};
use crate::host::stream::Stream;
use crate::host::types::Status;

pub(super) fn set_effective<S: Stream>(call: &mut Call<'_, S>, id: u32) -> Answer {
    let state = call.state();
    // 0 is the VM itself, and means "the context that runs", as in the built-in host.
    state.effective = match id {
        0 => None,
        // An exchange that a root logs goes by the root's id: whoever names himself stays where he is.
        id if state.current_id() == Some(id) => None,
        id => Some(state.contexts.find(id).ok_or(Status::BadArgument)?),
    };
    Ok(())
}

/// The status of the call whose end is being delivered. Outside of that the code of the plugin's last one, without its
/// message, as in the built-in host.
pub(super) fn get_status<S: Stream>(
    call: &mut Call<'_, S>,
    code_at: u32,
    message_at: u32,
    length_at: u32,
) -> Answer {
    call.check_words(&[code_at, message_at, length_at])?;
    let state = call.state();
    let root = state.root_of(state.context()).and_then(|index| state.contexts.root(index));
    let (code, message) = root.map(|root| root.status.clone()).unwrap_or_default();
    call.write_u32(code_at, code)?;
    call.give(&message, message_at, length_at)
}

/// Ends a root context that asked to wait (`proxy_on_done` answered false). It is deleted when this entry point
/// returned.
pub(super) fn done<S: Stream>(call: &mut Call<'_, S>) -> Answer {
    let state = call.state();
    let Context::Root(index) = state.context() else { return Err(Status::NotFound.into()) };
    let root = state.contexts.root_mut(index).ok_or(Status::NotFound)?;
    if root.state != RootState::AwaitingDone {
        return Err(Status::NotFound.into());
    }
    root.state = RootState::Done;
    state.has_done_roots = true;
    Ok(())
}
