//! Header maps.

use super::{Answer, MAPS, bytes_answer, quote, take_bytes};
use crate::abi;
use crate::language::Arguments;
use crate::pairs;

pub fn get(arguments: &Arguments) -> Result<Answer, String> {
    let (map, name) = (arguments.named(0, MAPS)?, arguments.bytes(1));
    // SAFETY: the name is alive, the outputs are the caller's.
    Ok(bytes_answer(
        |value, size| unsafe { abi::proxy_get_header_map_value(map, name.as_ptr(), name.len(), value, size) },
        quote,
    ))
}

/// Reads a value for a condition: nothing is logged.
pub fn value(map: u32, name: &[u8]) -> Option<Vec<u8>> {
    // SAFETY: the name is alive, the outputs are the caller's.
    take_bytes(|value, size| unsafe {
        abi::proxy_get_header_map_value(map, name.as_ptr(), name.len(), value, size)
    })
    .1
    .ok()
}

pub fn pairs(arguments: &Arguments) -> Result<Answer, String> {
    let map = arguments.named(0, MAPS)?;
    // SAFETY: the outputs are the caller's.
    Ok(bytes_answer(|value, size| unsafe { abi::proxy_get_header_map_pairs(map, value, size) }, pairs::show))
}

pub fn size(arguments: &Arguments) -> Result<Answer, String> {
    let map = arguments.named(0, MAPS)?;
    let mut size = 0;
    // SAFETY: the output is a local.
    let status = unsafe { abi::proxy_get_header_map_size(map, &raw mut size) };
    Ok(Answer::output(status, size))
}

pub fn add(arguments: &Arguments) -> Result<Answer, String> {
    let (map, name, value) = (arguments.named(0, MAPS)?, arguments.bytes(1), arguments.bytes(2));
    // SAFETY: name and value are alive.
    let status = unsafe {
        abi::proxy_add_header_map_value(map, name.as_ptr(), name.len(), value.as_ptr(), value.len())
    };
    Ok(Answer::status(status))
}

pub fn replace(arguments: &Arguments) -> Result<Answer, String> {
    let (map, name, value) = (arguments.named(0, MAPS)?, arguments.bytes(1), arguments.bytes(2));
    // SAFETY: name and value are alive.
    let status = unsafe {
        abi::proxy_replace_header_map_value(map, name.as_ptr(), name.len(), value.as_ptr(), value.len())
    };
    Ok(Answer::status(status))
}

pub fn remove(arguments: &Arguments) -> Result<Answer, String> {
    let (map, name) = (arguments.named(0, MAPS)?, arguments.bytes(1));
    // SAFETY: the name is alive.
    Ok(Answer::status(unsafe { abi::proxy_remove_header_map_value(map, name.as_ptr(), name.len()) }))
}

pub fn set_pairs(arguments: &Arguments) -> Result<Answer, String> {
    send_pairs(arguments.named(0, MAPS)?, &pairs::encode(&arguments.pairs_from(1)))
}

pub fn set_pairs_raw(arguments: &Arguments) -> Result<Answer, String> {
    send_pairs(arguments.named(0, MAPS)?, arguments.bytes(1))
}

fn send_pairs(map: u32, encoded: &[u8]) -> Result<Answer, String> {
    // SAFETY: the encoded pairs are alive.
    Ok(Answer::status(unsafe { abi::proxy_set_header_map_pairs(map, encoded.as_ptr(), encoded.len()) }))
}
