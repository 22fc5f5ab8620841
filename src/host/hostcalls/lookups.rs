//! `envoy_resolve_dns`: addresses of a name. Envoy's own; the specification has no such thing.
//!
//! Whatever the name is, the call is accepted: one that cannot be resolved has no addresses, as in the built-in host.

use super::calls::over_a_limit;
use super::{Answer, Call};
use crate::host::calls::{Command, Kind, Lookup, Place};
use crate::host::contexts::Context;
use crate::host::stream::Stream;
use crate::host::types::Status;

pub(super) fn resolve_dns<S: Stream>(
    call: &mut Call<'_, S>,
    name: u32,
    length: u32,
    token_at: u32,
) -> Answer {
    call.check_words(&[token_at])?;
    let name = call.read(name, length)?.to_vec();
    let state = call.state();
    let root = state.root_of(state.context()).ok_or(Status::BadArgument)?;
    let plugin = state.plugin().ok_or(Status::BadArgument)?;
    state.keep(name.len())?;
    let (token, held) =
        state.calls.begin(Kind::Lookup, name.len(), &plugin).ok_or_else(|| over_a_limit(state))?;
    let origin = match state.context() {
        Context::Stream(index) => Some(index),
        Context::Root(_) | Context::Vm => None,
    };
    state.calls.outbox.push(Command::Resolve(Lookup::new(token, name, held)));
    state.calls.add(token, root, origin, Place::Process);
    Ok(call.write_u32(token_at, token.0)?)
}
