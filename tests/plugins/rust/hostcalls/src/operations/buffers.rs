//! Buffers: bodies and configurations.

use super::{Answer, BUFFERS, bytes_answer, quote, take_bytes};
use crate::abi;
use crate::language::Arguments;

pub fn get(arguments: &Arguments) -> Result<Answer, String> {
    let (buffer, start, length) = (arguments.named(0, BUFFERS)?, arguments.word(1)?, arguments.word(2)?);
    // SAFETY: the outputs are the caller's.
    Ok(bytes_answer(
        |value, size| unsafe {
            abi::proxy_get_buffer_bytes(buffer, start as usize, length as usize, value, size)
        },
        quote,
    ))
}

pub fn status(arguments: &Arguments) -> Result<Answer, String> {
    let buffer = arguments.named(0, BUFFERS)?;
    let (mut length, mut flags) = (0, 0);
    // SAFETY: the outputs are locals.
    let status = unsafe { abi::proxy_get_buffer_status(buffer, &raw mut length, &raw mut flags) };
    Ok(Answer::output(status, format!("{length} flags={flags}")))
}

pub fn set(arguments: &Arguments) -> Result<Answer, String> {
    let (buffer, start, length) = (arguments.named(0, BUFFERS)?, arguments.word(1)?, arguments.word(2)?);
    let value = arguments.bytes(3);
    // SAFETY: the value is alive.
    let status = unsafe {
        abi::proxy_set_buffer_bytes(buffer, start as usize, length as usize, value.as_ptr(), value.len())
    };
    Ok(Answer::status(status))
}

/// Reads all of a buffer for the plugin itself: nothing is logged.
pub fn whole(buffer: u32) -> Option<Vec<u8>> {
    // SAFETY: the outputs are the caller's.
    take_bytes(|value, size| unsafe { abi::proxy_get_buffer_bytes(buffer, 0, usize::MAX, value, size) })
        .1
        .ok()
}
