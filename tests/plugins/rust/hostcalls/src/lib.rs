//! A plugin that does what its configuration says, in the callback that it says, and logs what came of it.
//!
//! The tests write a script instead of a plugin: see `README.md` for the language. `abi` holds the raw imports,
//! `language` reads scripts, `operations` are what a line can do, `interpreter` runs the lines of a callback,
//! and this file exports the callbacks themselves: all of Proxy-Wasm 0.2.1, by hand, so that each can
//! return any number.

mod abi;
mod interpreter;
mod language;
mod operations;
mod pairs;
mod vm;

use interpreter::{Callback, Origin};

/// The answer of callbacks that are asked whether to go on.
const YES: u32 = 1;
/// The action that goes on.
const CONTINUE: u32 = 0;

#[unsafe(no_mangle)]
extern "C" fn proxy_abi_version_0_2_1() {}

#[unsafe(no_mangle)]
extern "C" fn _initialize() {
    abi::start();
}

/// Memory that the host fills and gives to a hostcall's output: [`operations::take_bytes`] takes it back.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    Box::into_raw(vec![0_u8; size].into_boxed_slice()).cast()
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_context_create(context: u32, parent: u32) {
    let root = if parent == 0 { context } else { parent };
    vm::with(|vm| vm.roots.insert(context, root));
    run("context_create", context, String::new(), false, 0);
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_vm_start(context: u32, size: u32) -> u32 {
    if interpreter::load(Origin::Vm, context) {
        run("vm_start", context, size.to_string(), false, YES)
    } else {
        0
    }
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_configure(context: u32, size: u32) -> u32 {
    if interpreter::load(Origin::Plugin, context) {
        run("configure", context, size.to_string(), false, YES)
    } else {
        0
    }
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_tick(context: u32) {
    run("tick", context, String::new(), false, 0);
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_headers(context: u32, count: u32, end_of_stream: u32) -> u32 {
    on_part("request_headers", context, count, end_of_stream)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_body(context: u32, size: u32, end_of_stream: u32) -> u32 {
    on_part("request_body", context, size, end_of_stream)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_trailers(context: u32, count: u32) -> u32 {
    run("request_trailers", context, count.to_string(), true, CONTINUE)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_headers(context: u32, count: u32, end_of_stream: u32) -> u32 {
    on_part("response_headers", context, count, end_of_stream)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_body(context: u32, size: u32, end_of_stream: u32) -> u32 {
    on_part("response_body", context, size, end_of_stream)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_trailers(context: u32, count: u32) -> u32 {
    run("response_trailers", context, count.to_string(), true, CONTINUE)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_http_call_response(context: u32, token: u32, headers: u32, body: u32, trailers: u32) {
    on_answer("http_call_response", context, token, format!("{headers} {body} {trailers}"));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_new_connection(context: u32) -> u32 {
    run("new_connection", context, String::new(), false, CONTINUE)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_downstream_data(context: u32, size: u32, end_of_stream: u32) -> u32 {
    on_part("downstream_data", context, size, end_of_stream)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_upstream_data(context: u32, size: u32, end_of_stream: u32) -> u32 {
    on_part("upstream_data", context, size, end_of_stream)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_downstream_connection_close(context: u32, peer: u32) {
    run("downstream_connection_close", context, format!("peer={peer}"), true, 0);
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_upstream_connection_close(context: u32, peer: u32) {
    run("upstream_connection_close", context, format!("peer={peer}"), true, 0);
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_grpc_receive_initial_metadata(context: u32, token: u32, count: u32) {
    on_answer("grpc_receive_initial_metadata", context, token, count.to_string());
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_grpc_receive(context: u32, token: u32, size: u32) {
    on_answer("grpc_receive", context, token, size.to_string());
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_grpc_receive_trailing_metadata(context: u32, token: u32, count: u32) {
    on_answer("grpc_receive_trailing_metadata", context, token, count.to_string());
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_grpc_close(context: u32, token: u32, status: u32) {
    on_answer("grpc_close", context, token, status.to_string());
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_queue_ready(context: u32, token: u32) {
    vm::with(|vm| vm.last_queue = token);
    run("queue_ready", context, String::new(), false, 0);
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_foreign_function(context: u32, function: u32, size: u32) {
    run("foreign_function", context, format!("{function} {size}"), false, 0);
}

#[unsafe(no_mangle)]
extern "C" fn envoy_on_resolve_dns(context: u32, token: u32, size: u32) {
    // How much is told of a name depends on the machine.
    let details = if size > 4 { "some".to_owned() } else { size.to_string() };
    on_answer("resolve_dns", context, token, details);
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_done(context: u32) -> u32 {
    run("done", context, String::new(), false, YES)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_log(context: u32) {
    run("log", context, String::new(), false, 0);
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_delete(context: u32) {
    run("delete", context, String::new(), false, 0);
    vm::with(|vm| vm.forget(context));
}

/// A callback about headers or a body: it tells how much there is, and whether it is all.
fn on_part(name: &'static str, context: u32, amount: u32, end_of_stream: u32) -> u32 {
    run(name, context, format!("{amount} eos={end_of_stream}"), end_of_stream != 0, CONTINUE)
}

/// A callback about a callout: the operations on callouts then mean this one.
fn on_answer(name: &'static str, context: u32, token: u32, details: String) {
    vm::with(|vm| vm.last_call = token);
    run(name, context, details, false, 0);
}

fn run(name: &'static str, context: u32, details: String, end_of_stream: bool, default: u32) -> u32 {
    Callback { name, context, details, end_of_stream, default }.run()
}
