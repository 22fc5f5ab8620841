//! What ends, holds and resumes a stream, and whose stream a hostcall is about.

use super::{Answer, STREAMS};
use crate::abi;
use crate::language::Arguments;
use crate::{pairs, vm};

pub fn resume(arguments: &Arguments) -> Result<Answer, String> {
    let stream = arguments.named(0, STREAMS)?;
    // SAFETY: no addresses.
    Ok(Answer::status(unsafe { abi::proxy_continue_stream(stream) }))
}

/// Remembers this context, for another one to resume.
pub fn park(arguments: &Arguments) -> Result<Answer, String> {
    let stream = arguments.named(0, STREAMS)?;
    let parked = vm::with(|vm| {
        vm.parked.push((vm.current, stream));
        vm.parked.len()
    });
    Ok(Answer::value(abi::OK, format!("{parked} parked")))
}

/// Resumes all that were parked, each from its own context, and comes back to the present one.
pub fn resume_parked(_: &Arguments) -> Result<Answer, String> {
    let (parked, current) = vm::with(|vm| (std::mem::take(&mut vm.parked), vm.current));
    let mut statuses = Vec::new();
    for (context, stream) in parked {
        // SAFETY: no addresses.
        let effective = unsafe { abi::proxy_set_effective_context(context) };
        // SAFETY: no addresses.
        let resumed = unsafe { abi::proxy_continue_stream(stream) };
        statuses.push(format!("{effective}/{resumed}"));
    }
    // SAFETY: no addresses.
    let status = unsafe { abi::proxy_set_effective_context(current) };
    Ok(Answer::value(status, format!("[{}]", statuses.join(", "))))
}

pub fn close(arguments: &Arguments) -> Result<Answer, String> {
    let stream = arguments.named(0, STREAMS)?;
    // SAFETY: no addresses.
    Ok(Answer::status(unsafe { abi::proxy_close_stream(stream) }))
}

pub fn reply(arguments: &Arguments) -> Result<Answer, String> {
    Ok(send(arguments.word(0)?, b"", -1, arguments.bytes(1), &[]))
}

#[allow(clippy::cast_possible_wrap)]
pub fn reply_full(arguments: &Arguments) -> Result<Answer, String> {
    let headers = pairs::encode(&arguments.pairs_from(4));
    let grpc_status = arguments.word(2)? as i32;
    Ok(send(arguments.word(0)?, arguments.bytes(1), grpc_status, arguments.bytes(3), &headers))
}

fn send(code: u32, details: &[u8], grpc_status: i32, body: &[u8], headers: &[u8]) -> Answer {
    // SAFETY: details, body and headers are alive.
    Answer::status(unsafe {
        abi::proxy_send_local_response(
            code,
            details.as_ptr(),
            details.len(),
            body.as_ptr(),
            body.len(),
            headers.as_ptr(),
            headers.len(),
            grpc_status,
        )
    })
}

/// Acts for another context until this callback ends: `self`, `root`, `caller` (who made the callout that is being
/// answered) or a number.
pub fn effective(arguments: &Arguments) -> Result<Answer, String> {
    let (current, root, caller) = vm::with(|vm| {
        let caller = vm.callers.get(&vm.last_call).copied().unwrap_or_default();
        (vm.current, vm.root_of(vm.current), caller)
    });
    let context = arguments.named(0, &[("self", current), ("root", root), ("caller", caller)])?;
    // SAFETY: no addresses.
    Ok(Answer::status(unsafe { abi::proxy_set_effective_context(context) }))
}

/// The hostcall `proxy_done`: says that a root context that answered `on_done` with false is done now.
pub fn finish(_: &Arguments) -> Result<Answer, String> {
    // SAFETY: no addresses.
    Ok(Answer::status(unsafe { abi::proxy_done() }))
}
