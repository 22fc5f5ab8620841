//! `proxy_call_foreign_function`.

use super::{Answer, Call, Outcome};
use crate::engine::memory;
use crate::host::foreign::{self, Scene};
use crate::host::stream::Stream;
use crate::host::types::Status;

/// Calls a function by its name. A guest that does not want the result gives no address (0) for it or its length.
///
/// As in the built-in host, a function that was found and failed writes both too, as zeros.
pub(super) fn call<S: Stream>(
    call: &mut Call<'_, S>,
    name: u32,
    name_length: u32,
    arguments: u32,
    length: u32,
    value_at: u32,
    length_at: u32,
) -> Answer {
    let function = foreign::find(call.read(name, name_length)?);
    call.read(arguments, length)?;
    let function = function.ok_or(Status::NotFound)?;
    for address in [value_at, length_at].into_iter().filter(|address| *address != 0) {
        call.check_words(&[address])?;
    }
    let result = call.with_stream(|call, stream| {
        let (memory, state) = call.memory_and_state();
        let arguments = memory::read(memory, arguments, length).ok_or(Status::InvalidMemoryAccess)?;
        function(Scene { state, stream }, arguments)
    });
    let bytes = result.as_deref().unwrap_or_default();
    write(call, bytes, value_at, length_at)?;
    result.map(drop).map_err(Outcome::from)
}

fn write<S: Stream>(call: &mut Call<'_, S>, bytes: &[u8], value_at: u32, length_at: u32) -> Answer {
    if value_at != 0 && length_at != 0 {
        return call.give(bytes, value_at, length_at);
    }
    // The address of an allocation whose length is not told is of no use to anyone, so none is made.
    if value_at != 0 {
        call.write_u32(value_at, 0)?;
    }
    if length_at != 0 {
        let length = u32::try_from(bytes.len()).map_err(|_too_long| Status::InvalidMemoryAccess)?;
        call.write_u32(length_at, length)?;
    }
    Ok(())
}
