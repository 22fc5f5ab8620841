//! Callouts over HTTP and gRPC. Tokens are the host's business: the last one is remembered and not shown.

use super::{Answer, bytes_answer, quote};
use crate::abi;
use crate::language::Arguments;
use crate::{pairs, vm};

/// `http-call UPSTREAM TIMEOUT BODY [NAME VALUE]...`
pub fn http(arguments: &Arguments) -> Result<Answer, String> {
    let (upstream, timeout, body) = (arguments.bytes(0), arguments.word(1)?, arguments.bytes(2));
    let (headers, trailers) = (pairs::encode(&arguments.pairs_from(3)), remembered(|vm| &vm.trailers));
    let mut token = 0;
    // SAFETY: all inputs are alive, the output is a local.
    let status = unsafe {
        abi::proxy_http_call(
            upstream.as_ptr(),
            upstream.len(),
            headers.as_ptr(),
            headers.len(),
            body.as_ptr(),
            body.len(),
            trailers.as_ptr(),
            trailers.len(),
            timeout,
            &raw mut token,
        )
    };
    Ok(remember(status, token))
}

/// `grpc-call UPSTREAM SERVICE METHOD MESSAGE TIMEOUT`.
pub fn grpc(arguments: &Arguments) -> Result<Answer, String> {
    let (upstream, service, method) = (arguments.bytes(0), arguments.bytes(1), arguments.bytes(2));
    let (message, timeout, metadata) =
        (arguments.bytes(3), arguments.word(4)?, remembered(|vm| &vm.metadata));
    let mut token = 0;
    // SAFETY: all inputs are alive, the output is a local.
    let status = unsafe {
        abi::proxy_grpc_call(
            upstream.as_ptr(),
            upstream.len(),
            service.as_ptr(),
            service.len(),
            method.as_ptr(),
            method.len(),
            metadata.as_ptr(),
            metadata.len(),
            message.as_ptr(),
            message.len(),
            timeout,
            &raw mut token,
        )
    };
    Ok(remember(status, token))
}

/// `grpc-stream UPSTREAM SERVICE METHOD`.
pub fn grpc_stream(arguments: &Arguments) -> Result<Answer, String> {
    let (upstream, service, method) = (arguments.bytes(0), arguments.bytes(1), arguments.bytes(2));
    let metadata = remembered(|vm| &vm.metadata);
    let mut token = 0;
    // SAFETY: all inputs are alive, the output is a local.
    let status = unsafe {
        abi::proxy_grpc_stream(
            upstream.as_ptr(),
            upstream.len(),
            service.as_ptr(),
            service.len(),
            method.as_ptr(),
            method.len(),
            metadata.as_ptr(),
            metadata.len(),
            &raw mut token,
        )
    };
    Ok(remember(status, token))
}

/// `grpc-send MESSAGE END`: END is 1 for the last message.
pub fn send(arguments: &Arguments) -> Result<Answer, String> {
    let (message, end) = (arguments.bytes(0), arguments.word(1)?);
    let token = vm::with(|vm| vm.last_call);
    // SAFETY: the message is alive.
    Ok(Answer::status(unsafe { abi::proxy_grpc_send(token, message.as_ptr(), message.len(), end) }))
}

pub fn cancel(_: &Arguments) -> Result<Answer, String> {
    let token = vm::with(|vm| vm.last_call);
    // SAFETY: no addresses.
    Ok(Answer::status(unsafe { abi::proxy_grpc_cancel(token) }))
}

pub fn close(_: &Arguments) -> Result<Answer, String> {
    let token = vm::with(|vm| vm.last_call);
    // SAFETY: no addresses.
    Ok(Answer::status(unsafe { abi::proxy_grpc_close(token) }))
}

/// `resolve-dns NAME`.
pub fn resolve(arguments: &Arguments) -> Result<Answer, String> {
    let name = arguments.bytes(0);
    let mut token = 0;
    // SAFETY: the name is alive, the output is a local.
    let status = unsafe { abi::envoy_resolve_dns(name.as_ptr(), name.len(), &raw mut token) };
    Ok(remember(status, token))
}

/// The hostcall `proxy_get_status`: how the callout that is being answered went.
pub fn status(_: &Arguments) -> Result<Answer, String> {
    let mut code = u32::MAX;
    let code_output = &raw mut code;
    // SAFETY: the outputs are a local and the caller's.
    let answer =
        bytes_answer(|message, size| unsafe { abi::proxy_get_status(code_output, message, size) }, quote);
    Ok(Answer::output(answer.status, format!("{code} {}", answer.value.unwrap_or_default())))
}

/// `with-trailers [NAME VALUE]...`: no hostcall; the trailers of the HTTP callouts to come, none without arguments.
#[allow(clippy::unnecessary_wraps)]
pub fn with_trailers(arguments: &Arguments) -> Result<Answer, String> {
    vm::with(|vm| vm.trailers = encoded(arguments));
    Ok(Answer::value(abi::OK, "remembered".to_owned()))
}

/// `with-metadata [NAME VALUE]...`: no hostcall; the metadata of the gRPC callouts to come.
#[allow(clippy::unnecessary_wraps)]
pub fn with_metadata(arguments: &Arguments) -> Result<Answer, String> {
    vm::with(|vm| vm.metadata = encoded(arguments));
    Ok(Answer::value(abi::OK, "remembered".to_owned()))
}

fn encoded(arguments: &Arguments) -> Vec<u8> {
    pairs::encode(&arguments.pairs_from(0))
}

/// What was remembered for callouts to come; no pairs, where nothing was.
fn remembered(what: impl FnOnce(&vm::Vm) -> &Vec<u8>) -> Vec<u8> {
    let bytes = vm::with(|vm| what(vm).clone());
    if bytes.is_empty() { pairs::encode(&[]) } else { bytes }
}

fn remember(status: u32, token: u32) -> Answer {
    vm::with(|vm| {
        vm.last_call = token;
        if status == abi::OK {
            vm.callers.insert(token, vm.current);
        }
    });
    Answer::status(status)
}
