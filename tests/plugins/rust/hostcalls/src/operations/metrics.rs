//! Metrics. Their ids are the host's business, so a script names them, and the log does not show ids.

use super::Answer;
use crate::abi;
use crate::language::Arguments;
use crate::vm;

const KINDS: &[(&str, u32)] = &[("counter", 0), ("gauge", 1), ("histogram", 2)];

pub fn define(arguments: &Arguments) -> Result<Answer, String> {
    let (kind, name) = (arguments.named(0, KINDS)?, arguments.bytes(1));
    let mut id = u32::MAX;
    // SAFETY: the name is alive, the output is a local.
    let status = unsafe { abi::proxy_define_metric(kind, name.as_ptr(), name.len(), &raw mut id) };
    if status == abi::OK {
        vm::with(|vm| vm.metrics.insert(name.to_vec(), id));
    }
    Ok(Answer::status(status))
}

pub fn increment(arguments: &Arguments) -> Result<Answer, String> {
    let (id, delta) = (id(arguments)?, arguments.number(1)?);
    // SAFETY: no addresses.
    Ok(Answer::status(unsafe { abi::proxy_increment_metric(id, delta) }))
}

#[allow(clippy::cast_sign_loss)]
pub fn record(arguments: &Arguments) -> Result<Answer, String> {
    let (id, value) = (id(arguments)?, arguments.number(1)? as u64);
    // SAFETY: no addresses.
    Ok(Answer::status(unsafe { abi::proxy_record_metric(id, value) }))
}

pub fn get(arguments: &Arguments) -> Result<Answer, String> {
    let id = id(arguments)?;
    let mut value = 0;
    // SAFETY: the output is a local.
    let status = unsafe { abi::proxy_get_metric(id, &raw mut value) };
    Ok(Answer::output(status, value))
}

/// The id of a metric that was defined by this name, or else the number itself.
fn id(arguments: &Arguments) -> Result<u32, String> {
    match vm::with(|vm| vm.metrics.get(arguments.bytes(0)).copied()) {
        Some(id) => Ok(id),
        None => arguments.word(0),
    }
}
