//! Hostcalls: what a guest may import, as one table, and the frame that each runs in.
//!
//! One file a family. A hostcall's body does five things in this order: convert the arguments, check every guest
//! address that it will touch, ask, act, write the results. So a call that fails has changed nothing.
//!
//! A body answers `Ok`, or an [`Outcome`]: a *status* for what the guest did wrong, or a *trap* for what ends its
//! VM. The frame ([`run`]) turns that into what Wasm wants, and keeps restricted guests (code that starts, or
//! allocates) to the few calls that need no context.

mod buffers;
mod calls;
mod contexts;
mod foreign;
mod headers;
mod log;
mod lookups;
mod metrics;
mod properties;
mod shared;
mod streams;
mod time;

use wasmtime::{Caller, Extern, Linker, Memory};

use super::calls::Reply;
use super::contexts::{Context, StreamContext};
use super::stream::Stream;
use super::template::Capabilities;
use super::types::{AbiVersion, Status};
use super::vm::State;
use crate::engine::memory;
use crate::telemetry::Level;

pub(super) use self::properties::own_property;

/// Why a hostcall did not do what it was asked.
pub(super) enum Outcome {
    /// The guest is told, and goes on.
    Status(Status),
    /// The guest ends.
    Trap(wasmtime::Error),
}

impl From<Status> for Outcome {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

/// What a trap of the guest's allocator, which a hostcall called, carries.
#[derive(Clone, Copy, Debug)]
pub(super) struct InAllocator;

impl std::fmt::Display for InAllocator {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("in the guest's allocator")
    }
}

/// What a hostcall's body answers.
pub(super) type Answer<T = ()> = Result<T, Outcome>;

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hostcall {
    /// Name of the import in module `env`.
    pub name: &'static str,
    /// Number of parameters.
    pub parameters: usize,
}

/// What a hostcall may be called from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    /// Nothing: also while code starts or allocates.
    Nothing,
    /// A context.
    Context,
}

/// Counts parameters.
macro_rules! count {
    () => { 0 };
    ($first:ident $($rest:ident)*) => { 1 + count!($($rest)*) };
}

/// A group of the table: a constant of rows, and a function that links them.
macro_rules! hostcalls {
    (
        $(#[$meta:meta])* $table:ident, $link:ident;
        $( $name:literal => $family:ident::$function:ident ( $($parameter:ident: $type:ty),* ), $needs:ident; )*
    ) => {
        $(#[$meta])*
        pub const $table: &[Hostcall] = &[
            $( Hostcall { name: $name, parameters: count!($($parameter)*) }, )*
        ];

        fn $link<S: Stream>(
            linker: &mut Linker<State<S>>,
            capabilities: &Capabilities,
        ) -> wasmtime::Result<()> {
            $(
                if capabilities.allows($name) {
                    linker.func_wrap("env", $name, |caller: Caller<'_, State<S>>, $($parameter: $type),*| {
                        run(caller, $name, Needs::$needs, |call| {
                            $family::$function(call, $($parameter),*)
                        })
                    })?;
                } else {
                    linker.func_wrap("env", $name, |caller: Caller<'_, State<S>>, $($parameter: $type),*| {
                        let _denied: ($($type,)*) = ($($parameter,)*);
                        deny(caller, $name)
                    })?;
                }
            )*
            Ok(())
        }
    };
}

hostcalls! {
    /// Hostcalls of every ABI.
    ALL, link_all;
    "proxy_log" => log::log(level: u32, message: u32, length: u32), Nothing;
    "proxy_get_current_time_nanoseconds" => time::get_current_time(result: u32), Context;
    "proxy_get_property" => properties::get(path: u32, path_length: u32, value_at: u32, length_at: u32), Context;
    "proxy_set_property" => properties::set(path: u32, path_length: u32, value: u32, length: u32), Context;
    "proxy_send_local_response" => streams::send_local_response(
        status: u32, details: u32, details_length: u32, body: u32, body_length: u32,
        headers: u32, headers_length: u32, grpc_status: u32), Context;
    "proxy_get_header_map_pairs" => headers::get_pairs(map: u32, value_at: u32, length_at: u32), Context;
    "proxy_set_header_map_pairs" => headers::set_pairs(map: u32, pairs: u32, length: u32), Context;
    "proxy_get_header_map_size" => headers::get_size(map: u32, result: u32), Context;
    "proxy_get_header_map_value" => headers::get_value(
        map: u32, name: u32, name_length: u32, value_at: u32, length_at: u32), Context;
    "proxy_add_header_map_value" => headers::add_value(
        map: u32, name: u32, name_length: u32, value: u32, length: u32), Context;
    "proxy_replace_header_map_value" => headers::replace_value(
        map: u32, name: u32, name_length: u32, value: u32, length: u32), Context;
    "proxy_remove_header_map_value" => headers::remove_value(map: u32, name: u32, name_length: u32), Context;
    "proxy_get_buffer_bytes" => buffers::get_bytes(
        buffer: u32, start: u32, length: u32, value_at: u32, length_at: u32), Context;
    "proxy_get_buffer_status" => buffers::get_status(buffer: u32, length_at: u32, flags_at: u32), Context;
    "proxy_set_buffer_bytes" => buffers::set_bytes(
        buffer: u32, start: u32, length: u32, value: u32, value_length: u32), Context;
    "proxy_define_metric" => metrics::define(kind: u32, name: u32, length: u32, id_at: u32), Context;
    "proxy_increment_metric" => metrics::increment(id: u32, offset: i64), Context;
    "proxy_record_metric" => metrics::record(id: u32, value: u64), Context;
    "proxy_get_metric" => metrics::get(id: u32, result: u32), Context;
    "proxy_set_effective_context" => contexts::set_effective(id: u32), Context;
    "proxy_done" => contexts::done(), Context;
    "proxy_set_tick_period_milliseconds" => time::set_tick_period(milliseconds: u32), Context;
    "proxy_get_shared_data" => shared::get_data(
        key: u32, key_length: u32, value_at: u32, length_at: u32, change_at: u32), Context;
    "proxy_set_shared_data" => shared::set_data(
        key: u32, key_length: u32, value: u32, length: u32, change: u32), Context;
    "proxy_register_shared_queue" => shared::register_queue(name: u32, length: u32, token_at: u32), Context;
    "proxy_resolve_shared_queue" => shared::resolve_queue(
        vm_id: u32, vm_id_length: u32, name: u32, length: u32, token_at: u32), Context;
    "proxy_enqueue_shared_queue" => shared::enqueue(token: u32, message: u32, length: u32), Context;
    "proxy_dequeue_shared_queue" => shared::dequeue(token: u32, message_at: u32, length_at: u32), Context;
    "proxy_http_call" => calls::http_call(
        cluster: u32, cluster_length: u32, headers: u32, headers_length: u32, body: u32, body_length: u32,
        trailers: u32, trailers_length: u32, timeout: u32, token_at: u32), Context;
    "proxy_grpc_call" => calls::grpc_call(
        service: u32, service_length: u32, name: u32, name_length: u32, method: u32, method_length: u32,
        metadata: u32, metadata_length: u32, message: u32, message_length: u32, timeout: u32, token_at: u32), Context;
    "proxy_grpc_stream" => calls::grpc_stream(
        service: u32, service_length: u32, name: u32, name_length: u32, method: u32, method_length: u32,
        metadata: u32, metadata_length: u32, token_at: u32), Context;
    "proxy_grpc_send" => calls::grpc_send(token: u32, message: u32, length: u32, end_of_stream: u32), Context;
    "proxy_grpc_cancel" => calls::grpc_cancel(token: u32), Context;
    "proxy_grpc_close" => calls::grpc_close(token: u32), Context;
    "proxy_get_status" => contexts::get_status(code_at: u32, message_at: u32, length_at: u32), Context;
    "proxy_call_foreign_function" => foreign::call(
        name: u32, name_length: u32, arguments: u32, length: u32, value_at: u32, length_at: u32), Context;
    "envoy_resolve_dns" => lookups::resolve_dns(name: u32, length: u32, token_at: u32), Context;
}

hostcalls! {
    /// Hostcalls that only ABI 0.1.0 has.
    V0_1_0, link_v0_1_0;
    "proxy_get_configuration" => buffers::get_configuration(value_at: u32, length_at: u32), Context;
    "proxy_continue_request" => streams::continue_request(), Context;
    "proxy_continue_response" => streams::continue_response(), Context;
    "proxy_clear_route_cache" => streams::clear_route_cache(), Context;
}

hostcalls! {
    /// Hostcalls since ABI 0.2.0.
    SINCE_V0_2_0, link_since_v0_2_0;
    "proxy_continue_stream" => streams::continue_stream(stream: u32), Context;
    "proxy_close_stream" => streams::close_stream(stream: u32), Context;
}

hostcalls! {
    /// Hostcalls since ABI 0.2.1.
    SINCE_V0_2_1, link_since_v0_2_1;
    "proxy_get_log_level" => log::get_level(result: u32), Nothing;
}

/// Links what code of an ABI may import from module `env`. A hostcall that the capabilities deny is there and
/// answers `INTERNAL_FAILURE`, as in the built-in host.
pub(super) fn add_to_linker<S: Stream>(
    linker: &mut Linker<State<S>>,
    abi: AbiVersion,
    capabilities: &Capabilities,
) -> wasmtime::Result<()> {
    link_all(linker, capabilities)?;
    if abi == AbiVersion::V0_1_0 {
        return link_v0_1_0(linker, capabilities);
    }
    link_since_v0_2_0(linker, capabilities)?;
    if abi >= AbiVersion::V0_2_1 {
        link_since_v0_2_1(linker, capabilities)?;
    }
    Ok(())
}

/// The frame of a hostcall.
#[inline]
fn run<S: Stream>(
    mut caller: Caller<'_, State<S>>,
    name: &'static str,
    needs: Needs,
    body: impl FnOnce(&mut Call<'_, S>) -> Answer,
) -> wasmtime::Result<u32> {
    let state = caller.data();
    if state.is_restricted && needs == Needs::Context {
        return Err(wasmtime::format_err!(
            "{name} was called while the code starts or allocates, expected only proxy_log and WASI there"
        ));
    }
    // A start section runs before the memory has been resolved.
    let memory = state.memory.or_else(|| caller.get_export("memory").and_then(Extern::into_memory));
    let Some(memory) = memory else { return Ok(Status::InvalidMemoryAccess as u32) };
    match body(&mut Call { caller, memory }) {
        Ok(()) => Ok(Status::Ok as u32),
        Err(Outcome::Status(status)) => Ok(status as u32),
        Err(Outcome::Trap(error)) => Err(error),
    }
}

fn deny<S: Stream>(mut caller: Caller<'_, State<S>>, name: &str) -> u32 {
    let state = caller.data_mut();
    let line = format!("Attempted call to restricted proxy-wasm capability: {name}");
    state.log(state.context(), Level::Error, line.as_bytes());
    Status::InternalFailure as u32
}

/// A hostcall on its way: the guest that called, and its memory.
pub(super) struct Call<'a, S: Stream> {
    caller: Caller<'a, State<S>>,
    memory: Memory,
}

impl<S: Stream> Call<'_, S> {
    /// The VM.
    fn state(&mut self) -> &mut State<S> {
        self.caller.data_mut()
    }

    /// The guest's memory and the VM, at once.
    fn memory_and_state(&mut self) -> (&mut [u8], &mut State<S>) {
        self.memory.data_and_store_mut(&mut self.caller)
    }

    /// Bytes that the guest points at.
    fn read(&self, address: u32, length: u32) -> Result<&[u8], Status> {
        memory::read(self.memory.data(&self.caller), address, length).ok_or(Status::InvalidMemoryAccess)
    }

    /// Checks addresses of results before anything is done.
    fn check_words(&self, addresses: &[u32]) -> Result<(), Status> {
        let memory = self.memory.data(&self.caller);
        let all_inside = addresses.iter().all(|address| memory::is_word(memory, *address));
        if all_inside { Ok(()) } else { Err(Status::InvalidMemoryAccess) }
    }

    /// Writes a result.
    fn write_u32(&mut self, address: u32, value: u32) -> Result<(), Status> {
        let memory = self.memory.data_mut(&mut self.caller);
        memory::write_u32(memory, address, value).ok_or(Status::InvalidMemoryAccess)
    }

    /// Writes a result.
    fn write_u64(&mut self, address: u32, value: u64) -> Result<(), Status> {
        let memory = self.memory.data_mut(&mut self.caller);
        memory::write_u64(memory, address, value).ok_or(Status::InvalidMemoryAccess)
    }

    /// Hands bytes to the guest: allocates there, copies, and writes address and length.
    fn give(&mut self, bytes: &[u8], value_at: u32, length_at: u32) -> Answer {
        let length = u32::try_from(bytes.len()).map_err(|_too_long| Status::InvalidMemoryAccess)?;
        self.give_with(length, value_at, length_at, |target| {
            target.copy_from_slice(bytes);
            Ok(())
        })
    }

    /// The same for bytes that are made in place, so that they are copied once.
    fn give_with(
        &mut self,
        length: u32,
        value_at: u32,
        length_at: u32,
        fill: impl FnOnce(&mut [u8]) -> Result<(), Status>,
    ) -> Answer {
        let address = if length == 0 { 0 } else { self.allocate(length)? };
        let memory = self.memory.data_mut(&mut self.caller);
        fill(memory::slice_mut(memory, address, length).ok_or(Status::InvalidMemoryAccess)?)?;
        self.write_u32(value_at, address)?;
        self.write_u32(length_at, length)?;
        Ok(())
    }

    /// Calls the guest's allocator. It runs as the VM and may hardly call back.
    fn allocate(&mut self, length: u32) -> Answer<u32> {
        let state = self.state();
        let Some(allocator) = state.allocator.take() else {
            return Err(Status::InvalidMemoryAccess.into());
        };
        let current = std::mem::replace(&mut state.current, Context::Vm);
        let effective = state.effective.take();
        state.is_restricted = true;
        let allocated = allocator.call(&mut self.caller, length);
        let state = self.state();
        state.allocator = Some(allocator);
        state.current = current;
        state.effective = effective;
        state.is_restricted = false;
        match allocated {
            Ok(0) => Err(Status::InvalidMemoryAccess.into()),
            Ok(address) => Ok(address),
            Err(error) => Err(Outcome::Trap(error.context(InAllocator))),
        }
    }

    /// Runs a body with the stream that this call acts for, if it acts for one. The stream is out of its table
    /// meanwhile, so that it and the guest's memory can be used at once.
    fn with_stream<T>(&mut self, body: impl FnOnce(&mut Self, Option<&mut StreamContext<S>>) -> T) -> T {
        let state = self.state();
        let Context::Stream(index) = state.context() else { return body(self, None) };
        let Some(mut stream) = state.contexts.take_stream(index) else { return body(self, None) };
        let had_wishes = stream.has_wishes();
        let result = body(self, Some(&mut stream));
        let state = self.state();
        // Whoever runs the current context does what it asks; another stream's owner has to be told.
        if stream.has_wishes() && !had_wishes && state.current != Context::Stream(index) {
            state.woken.push(index);
        }
        state.contexts.put_stream(index, stream);
        result
    }

    /// Runs a body with the reply that is being delivered, if one is. It is out of the VM meanwhile, so that it and the
    /// guest's memory can be used at once.
    fn with_reply<T>(&mut self, body: impl FnOnce(&mut Self, Option<&Reply>) -> T) -> T {
        let reply = self.state().reply.take();
        let result = body(self, reply.as_ref());
        self.state().reply = reply;
        result
    }
}
