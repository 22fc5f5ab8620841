//! The hostcall that this version does not have: name resolution. It is linked, so that plugins which import it load, and
//! answers `UNIMPLEMENTED`.

use super::{Answer, Call};
use crate::host::stream::Stream;
use crate::host::types::Status;

pub(super) fn resolve_dns<S: Stream>(
    _: &mut Call<'_, S>,
    _name: u32,
    _length: u32,
    _token_at: u32,
) -> Answer {
    Err(Status::Unimplemented.into())
}
