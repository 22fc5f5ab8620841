//! A body, as a plugin sees it, put together from Envoy's two buffers.
//!
//! Envoy has a *received* chunk, only inside the body hook, and a *buffered* part, what filters held back before. A
//! plugin that is buffering sees both as one; another sees the chunk alone. Since 1.38 Envoy tells when the two are
//! the same buffer, and it must not be counted twice.
//!
//! Envoy can only drain at the front and append at the end, so putting bytes in front means to take everything out
//! and to write it again.

use smallvec::SmallVec;

use crate::abi::{BodyType, Buffers, Direction as EnvoyDirection, HttpFilterHandle};
use crate::host::types::Direction;

/// The buffers that make up the body at hand, in order.
fn parts(
    envoy: &HttpFilterHandle,
    direction: Direction,
    hook: Option<Direction>,
    buffered: bool,
) -> SmallVec<[BodyType; 2]> {
    let (received, held, envoy_direction) = match direction {
        Direction::Request => (BodyType::ReceivedRequest, BodyType::BufferedRequest, EnvoyDirection::Request),
        Direction::Response => {
            (BodyType::ReceivedResponse, BodyType::BufferedResponse, EnvoyDirection::Response)
        }
    };
    let is_received_here = hook == Some(direction);
    let mut parts = SmallVec::new();
    if buffered && !(is_received_here && envoy.is_received_buffered(envoy_direction)) {
        parts.push(held);
    }
    if is_received_here {
        parts.push(received);
    }
    parts
}

/// Bytes at hand.
pub(super) fn len(
    envoy: &HttpFilterHandle,
    direction: Direction,
    hook: Option<Direction>,
    buffered: bool,
) -> usize {
    let parts = parts(envoy, direction, hook, buffered);
    parts.iter().fold(0, |sum, part| sum.saturating_add(envoy.body_len(*part)))
}

/// Gives the chunks at hand, in order, to a function.
pub(super) fn with_chunks<R>(
    envoy: &HttpFilterHandle,
    direction: Direction,
    hook: Option<Direction>,
    buffered: bool,
    body: impl FnOnce(&mut dyn Iterator<Item = &[u8]>) -> R,
) -> R {
    let buffers: SmallVec<[_; 2]> =
        parts(envoy, direction, hook, buffered).iter().map(|part| envoy.body_chunks(*part)).collect();
    body(&mut buffers.iter().flat_map(Buffers::iter))
}

/// Copies from an offset on; answers how many bytes.
pub(super) fn copy<'a>(chunks: impl Iterator<Item = &'a [u8]>, start: usize, target: &mut [u8]) -> usize {
    let mut skip = start;
    let mut written = 0_usize;
    for chunk in chunks {
        let rest = chunk.get(skip..).unwrap_or_default();
        skip = skip.saturating_sub(chunk.len());
        let room = target.get_mut(written..).unwrap_or_default();
        let length = rest.len().min(room.len());
        if let (Some(room), Some(rest)) = (room.get_mut(..length), rest.get(..length)) {
            room.copy_from_slice(rest);
        }
        written = written.saturating_add(length);
        if written == target.len() {
            break;
        }
    }
    written
}

/// Replaces the first `length` bytes.
pub(super) fn replace(
    envoy: &mut HttpFilterHandle,
    direction: Direction,
    hook: Option<Direction>,
    buffered: bool,
    length: usize,
    bytes: &[u8],
) -> bool {
    let available = len(envoy, direction, hook, buffered);
    let kept = available.saturating_sub(length);
    let mut rest = vec![0; kept];
    with_chunks(envoy, direction, hook, buffered, |chunks| copy(chunks, length, &mut rest));
    let parts = parts(envoy, direction, hook, buffered);
    for part in &parts {
        let held = envoy.body_len(*part);
        if held > 0 && !envoy.drain_body(*part, held) {
            return false;
        }
    }
    let Some(last) = parts.last() else { return false };
    envoy.append_body(*last, bytes) && (rest.is_empty() || envoy.append_body(*last, &rest))
}

/// Puts bytes behind.
pub(super) fn append(
    envoy: &mut HttpFilterHandle,
    direction: Direction,
    hook: Option<Direction>,
    buffered: bool,
    bytes: &[u8],
) -> bool {
    let parts = parts(envoy, direction, hook, buffered);
    parts.last().is_some_and(|last| envoy.append_body(*last, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_copied_from_any_offset_up_to_the_target() {
        let chunks = [&b"abc"[..], b"", b"defg", b"h"];
        for start in 0..10 {
            for length in 0..10 {
                let mut target = vec![b'.'; length];
                let written = copy(chunks.into_iter(), start, &mut target);
                let expected: Vec<u8> = b"abcdefgh".iter().copied().skip(start).take(length).collect();
                assert_eq!(&target[..written], expected, "{start} {length}");
            }
        }
    }
}
