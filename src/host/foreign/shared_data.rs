//! `graft_set_shared_data`, `graft_delete_shared_data`, `graft_list_shared_data`: what `proxy_set_shared_data` cannot do with
//! the data of a VM id.
//!
//! That another change came first is a result here, not the status `CAS_MISMATCH`, for which SDKs end a plugin that calls
//! a foreign function.

use crate::host::wire;
use std::sync::Arc;

use super::encode_list;
use super::{Answer, Scene};
use crate::host::shared::WriteError;
use crate::host::stream::{Services as _, Stream};
use crate::host::types::Status;

/// `{1: bytes key, 2: bytes value, 3: uint32 cas, 4: uint64 milliseconds}` to 1: written, or 0: another change came
/// first. After so many milliseconds the value is gone; 0: never.
#[allow(clippy::needless_pass_by_value)] // Every function takes it so.
pub(super) fn set<S: Stream>(scene: Scene<'_, S>, message: &[u8]) -> Answer {
    /// Nanoseconds.
    const MILLISECOND: u64 = 1_000_000;
    let (mut key, mut value, mut change, mut milliseconds) = (&b""[..], &b""[..], 0, 0);
    wire::read(message, |number, field| {
        match number {
            1 => key = field.bytes()?,
            2 => value = field.bytes()?,
            3 => change = u32::try_from(field.number()?).ok()?,
            4 => milliseconds = field.number()?,
            _ => {}
        }
        Some(())
    })
    .ok_or(Status::BadArgument)?;
    let now = scene.state.services.monotonic_nanoseconds();
    let lifetime = (milliseconds != 0).then(|| milliseconds.saturating_mul(MILLISECOND));
    let space = Arc::clone(&scene.state.space);
    answer(space.data.set(key, value, change, now, lifetime).map(|()| true))
}

/// `{1: bytes key, 2: uint32 cas}` to 1: deleted, or 0: another change came first.
#[allow(clippy::needless_pass_by_value)] // Every function takes it so.
pub(super) fn delete<S: Stream>(scene: Scene<'_, S>, message: &[u8]) -> Answer {
    let (mut key, mut change) = (&b""[..], 0);
    wire::read(message, |number, field| {
        match number {
            1 => key = field.bytes()?,
            2 => change = u32::try_from(field.number()?).ok()?,
            _ => {}
        }
        Some(())
    })
    .ok_or(Status::BadArgument)?;
    let now = scene.state.services.monotonic_nanoseconds();
    let space = Arc::clone(&scene.state.space);
    answer(space.data.delete(key, change, now))
}

/// A prefix to the keys that begin so, as pairs without values.
#[allow(clippy::needless_pass_by_value)] // Every function takes it so.
pub(super) fn list<S: Stream>(scene: Scene<'_, S>, prefix: &[u8]) -> Answer {
    let now = scene.state.services.monotonic_nanoseconds();
    let space = Arc::clone(&scene.state.space);
    let keys = space.data.keys(prefix, now);
    encode_list(keys.iter().map(|key| (&**key, &b""[..])))
}

/// `Ok(false)`: there was nothing to act on.
fn answer(done: Result<bool, WriteError>) -> Answer {
    match done {
        Ok(true) => Ok(vec![1]),
        Ok(false) => Err(Status::NotFound),
        Err(WriteError::Changed) => Ok(vec![0]),
        Err(WriteError::Full) => Err(Status::InternalFailure),
    }
}
