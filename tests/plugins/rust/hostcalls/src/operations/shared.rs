//! Data and queues that VMs share. The last token and the last compare-and-swap number are remembered, since
//! both are the host's business and are not shown.

use super::{Answer, bytes_answer, quote};
use crate::abi;
use crate::language::Arguments;
use crate::vm;

pub fn get(arguments: &Arguments) -> Result<Answer, String> {
    let key = arguments.bytes(0);
    let mut cas = 0;
    let cas_output = &raw mut cas;
    let answer = bytes_answer(
        // SAFETY: the key is alive, the outputs are the caller's and a local.
        |value, size| unsafe { abi::proxy_get_shared_data(key.as_ptr(), key.len(), value, size, cas_output) },
        quote,
    );
    vm::with(|vm| vm.last_cas = cas);
    Ok(answer)
}

/// `shared-set KEY VALUE [last|N]`: the third is the compare-and-swap number, by default 0 (unconditional).
pub fn set(arguments: &Arguments) -> Result<Answer, String> {
    let (key, value) = (arguments.bytes(0), arguments.bytes(1));
    let cas = match arguments.count() {
        3 => arguments.named(2, &[("last", vm::with(|vm| vm.last_cas))])?,
        _ => 0,
    };
    // SAFETY: key and value are alive.
    let status =
        unsafe { abi::proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), cas) };
    Ok(Answer::status(status))
}

pub fn register(arguments: &Arguments) -> Result<Answer, String> {
    let name = arguments.bytes(0);
    let mut token = 0;
    // SAFETY: the name is alive, the output is a local.
    let status = unsafe { abi::proxy_register_shared_queue(name.as_ptr(), name.len(), &raw mut token) };
    vm::with(|vm| vm.last_queue = token);
    Ok(Answer::status(status))
}

pub fn resolve(arguments: &Arguments) -> Result<Answer, String> {
    let (vm_id, name) = (arguments.bytes(0), arguments.bytes(1));
    let mut token = 0;
    // SAFETY: vm id and name are alive, the output is a local.
    let status = unsafe {
        abi::proxy_resolve_shared_queue(
            vm_id.as_ptr(),
            vm_id.len(),
            name.as_ptr(),
            name.len(),
            &raw mut token,
        )
    };
    vm::with(|vm| vm.last_queue = token);
    Ok(Answer::status(status))
}

pub fn enqueue(arguments: &Arguments) -> Result<Answer, String> {
    let (token, value) = (vm::with(|vm| vm.last_queue), arguments.bytes(0));
    // SAFETY: the value is alive.
    Ok(Answer::status(unsafe { abi::proxy_enqueue_shared_queue(token, value.as_ptr(), value.len()) }))
}

pub fn dequeue(_: &Arguments) -> Result<Answer, String> {
    let token = vm::with(|vm| vm.last_queue);
    // SAFETY: the outputs are the caller's.
    Ok(bytes_answer(|value, size| unsafe { abi::proxy_dequeue_shared_queue(token, value, size) }, quote))
}
