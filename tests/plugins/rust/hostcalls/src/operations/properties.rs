//! Properties, read in the ways in which hosts encode them.

use super::{Answer, bytes_answer, quote, take_bytes};
use crate::abi;
use crate::language::Arguments;
use crate::pairs;

pub fn text(arguments: &Arguments) -> Result<Answer, String> {
    Ok(read(&path(&arguments.0), quote))
}

/// Integers, durations, times (8 bytes) and booleans (1 byte).
pub fn integer(arguments: &Arguments) -> Result<Answer, String> {
    Ok(read(&path(&arguments.0), |bytes| match *bytes {
        [byte] => byte.to_string(),
        _ => match bytes.try_into() {
            Ok(bytes) => i64::from_le_bytes(bytes).to_string(),
            Err(_) => format!("not an integer: {}", quote(bytes)),
        },
    }))
}

pub fn pairs(arguments: &Arguments) -> Result<Answer, String> {
    Ok(read(&path(&arguments.0), pairs::show))
}

/// For values that differ from run to run, but not in size.
pub fn size(arguments: &Arguments) -> Result<Answer, String> {
    Ok(read(&path(&arguments.0), |bytes| format!("{} bytes", bytes.len())))
}

/// For values that differ in every way: only whether there is one.
pub fn status(arguments: &Arguments) -> Result<Answer, String> {
    let path = path(&arguments.0);
    // SAFETY: the path is alive, the outputs are the caller's.
    let (status, _) =
        take_bytes(|value, size| unsafe { abi::proxy_get_property(path.as_ptr(), path.len(), value, size) });
    Ok(Answer::status(status))
}

pub fn set(arguments: &Arguments) -> Result<Answer, String> {
    let Some((value, segments)) = arguments.0.split_last() else { return Err("no value".to_owned()) };
    let path = path(segments);
    // SAFETY: path and value are alive.
    let status = unsafe { abi::proxy_set_property(path.as_ptr(), path.len(), value.as_ptr(), value.len()) };
    Ok(Answer::status(status))
}

/// A path as the host wants it, its segments joined by zeros. One word is split at its dots; where a segment
/// has a dot in it, the segments are given as words of their own.
fn path(words: &[Vec<u8>]) -> Vec<u8> {
    match words {
        [word] => word.split(|byte| *byte == b'.').collect::<Vec<_>>().join(&0),
        words => words.join(&0),
    }
}

fn read(path: &[u8], show: impl FnOnce(&[u8]) -> String) -> Answer {
    // SAFETY: the path is alive, the outputs are the caller's.
    bytes_answer(
        |value, size| unsafe { abi::proxy_get_property(path.as_ptr(), path.len(), value, size) },
        show,
    )
}
