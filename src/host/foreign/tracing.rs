//! The stream's span in the proxy's tracing: `graft_set_span_tag`, `graft_log_to_span`, `graft_start_child_span`,
//! `graft_finish_child_span`.
//!
//! A child span that its plugin does not finish ends with the stream.

use super::{Answer, Scene, token};
use crate::host::stream::Stream;
use crate::host::types::Status;
use crate::host::wire;

/// `{1: string key, 2: string value, 3: uint32 child}`: a tag of the stream's span, or of a child of it.
pub(super) fn set_tag<S: Stream>(mut scene: Scene<'_, S>, message: &[u8]) -> Answer {
    let (mut key, mut value, mut child) = ("", "", None);
    wire::read(message, |number, field| {
        match number {
            1 => key = field.text()?,
            2 => value = field.text()?,
            3 => child = u32::try_from(field.number()?).ok().filter(|child| *child != 0),
            _ => {}
        }
        Some(())
    })
    .ok_or(Status::BadArgument)?;
    if key.is_empty() {
        return Err(Status::BadArgument);
    }
    scene.keep(key.len().saturating_add(value.len()))?;
    scene.stream()?.set_span_tag(child, key.as_bytes(), value.as_bytes())?;
    Ok(Vec::new())
}

/// Bytes: an event of the stream's span, now.
pub(super) fn log<S: Stream>(mut scene: Scene<'_, S>, event: &[u8]) -> Answer {
    scene.keep(event.len())?;
    scene.stream()?.log_to_span(event)?;
    Ok(Vec::new())
}

/// Bytes: the name of an operation that begins now. Answers the number of its span.
pub(super) fn start_child<S: Stream>(mut scene: Scene<'_, S>, operation: &[u8]) -> Answer {
    if operation.is_empty() {
        return Err(Status::BadArgument);
    }
    scene.keep(operation.len())?;
    let child = scene.stream()?.start_child_span(operation)?;
    Ok(child.to_le_bytes().to_vec())
}

/// The number of a span: its operation has ended.
pub(super) fn finish_child<S: Stream>(scene: Scene<'_, S>, argument: &[u8]) -> Answer {
    let child = token(argument)?;
    scene.stream()?.finish_child_span(child)?;
    Ok(Vec::new())
}
