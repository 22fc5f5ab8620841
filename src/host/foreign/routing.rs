//! `clear_route_cache` and `graft_override_upstream_host`: where the request goes.

use super::{Answer, Scene};
use crate::host::stream::Stream;
use crate::host::types::Status;
use crate::host::wire;

/// Has the proxy choose the route anew. Without a stream it is fine and does nothing, as in the built-in host.
#[allow(clippy::unnecessary_wraps)] // Every function answers so.
pub(super) fn clear_route_cache<S: Stream>(scene: Scene<'_, S>, _: &[u8]) -> Answer {
    if let Some(stream) = scene.stream {
        stream.stream.clear_route_cache();
    }
    Ok(Vec::new())
}

/// Names the host of the route's cluster that shall serve: `{1: string host, 2: bool strict}`.
pub(super) fn override_upstream_host<S: Stream>(scene: Scene<'_, S>, message: &[u8]) -> Answer {
    let (mut host, mut is_strict) = ("", false);
    wire::read(message, |number, value| {
        match number {
            1 => host = value.text()?,
            2 => is_strict = value.number()? != 0,
            _ => {}
        }
        Some(())
    })
    .ok_or(Status::BadArgument)?;
    if host.is_empty() {
        return Err(Status::BadArgument);
    }
    scene.stream()?.override_upstream_host(host.as_bytes(), is_strict)?;
    Ok(Vec::new())
}
