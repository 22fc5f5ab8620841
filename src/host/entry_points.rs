//! Entry points: the functions that a guest exports for the host to call, found once when a VM is made.
//!
//! All but the allocator and the ABI marker are optional. One that is absent costs nothing later: the host sees
//! `None` and does not enter the VM. One of the right name and the wrong type refuses the code, as in the built-in
//! host. A function that the capability restriction denies is not looked up.

use wasmtime::{AsContextMut, Instance, TypedFunc, WasmParams, WasmResults};

use super::types::AbiVersion;

/// An entry point is there with another type.
#[derive(Debug, thiserror::Error)]
#[error("exports {name} with the wrong type ({found})")]
pub struct WrongType {
    /// The export.
    pub name: &'static str,
    /// wasmtime's words on how the types differ.
    pub found: String,
}

/// `proxy_on_request_headers` and its twin, which got a parameter with ABI 0.2.0.
pub enum HeadersEntry {
    /// Context, number of headers.
    V0_1(TypedFunc<(u32, u32), u32>),
    /// Context, number of headers, end of stream.
    V0_2(TypedFunc<(u32, u32, u32), u32>),
}

macro_rules! entry_points {
    ($( $(#[$meta:meta])* $field:ident: $name:literal, $params:ty => $results:ty; )*) => {
        /// Every entry point of a VM that the host calls today.
        #[allow(clippy::type_complexity)]
        pub struct EntryPoints {
            $( $(#[$meta])* pub $field: Option<TypedFunc<$params, $results>>, )*
            /// Request headers arrived.
            pub on_request_headers: Option<HeadersEntry>,
            /// Response headers arrived.
            pub on_response_headers: Option<HeadersEntry>,
        }

        impl EntryPoints {
            /// Finds what an instance exports. `is_allowed` is the capability restriction, asked by name.
            ///
            /// # Errors
            /// An export has another type than the ABI gives it.
            pub fn find(
                mut store: impl AsContextMut,
                instance: &Instance,
                abi: AbiVersion,
                is_allowed: impl Fn(&str) -> bool,
            ) -> Result<Self, WrongType> {
                Ok(Self {
                    $( $field: find(&mut store, instance, $name, &is_allowed)?, )*
                    on_request_headers:
                        find_headers(&mut store, instance, "proxy_on_request_headers", abi, &is_allowed)?,
                    on_response_headers:
                        find_headers(&mut store, instance, "proxy_on_response_headers", abi, &is_allowed)?,
                })
            }
        }

        /// The names of all entry points, for the documentation's test.
        pub const NAMES: &[&str] =
            &[$( $name, )* "proxy_on_request_headers", "proxy_on_response_headers"];
    };
}

entry_points! {
    /// A context begins: its id, its root's id (0 for a root).
    on_context_create: "proxy_on_context_create", (u32, u32) => ();
    /// The VM starts: root id, size of the VM's configuration.
    on_vm_start: "proxy_on_vm_start", (u32, u32) => u32;
    /// A plugin is configured: root id, size of its configuration.
    on_configure: "proxy_on_configure", (u32, u32) => u32;
    /// Request body: context, size, end of stream.
    on_request_body: "proxy_on_request_body", (u32, u32, u32) => u32;
    /// Request trailers: context, number.
    on_request_trailers: "proxy_on_request_trailers", (u32, u32) => u32;
    /// Response body: context, size, end of stream.
    on_response_body: "proxy_on_response_body", (u32, u32, u32) => u32;
    /// Response trailers: context, number.
    on_response_trailers: "proxy_on_response_trailers", (u32, u32) => u32;
    /// A tick of a root.
    on_tick: "proxy_on_tick", u32 => ();
    /// A message on a queue: root, token.
    on_queue_ready: "proxy_on_queue_ready", (u32, u32) => ();
    /// A reply: root, token, number of headers, size of the body, number of trailers.
    on_http_call_response: "proxy_on_http_call_response", (u32, u32, u32, u32, u32) => ();
    /// Headers of a gRPC stream: root, token, number.
    on_grpc_receive_initial_metadata: "proxy_on_grpc_receive_initial_metadata", (u32, u32, u32) => ();
    /// A gRPC message: root, token, size.
    on_grpc_receive: "proxy_on_grpc_receive", (u32, u32, u32) => ();
    /// Trailers of a gRPC stream: root, token, number.
    on_grpc_receive_trailing_metadata: "proxy_on_grpc_receive_trailing_metadata", (u32, u32, u32) => ();
    /// The end of a gRPC exchange: root, token, status.
    on_grpc_close: "proxy_on_grpc_close", (u32, u32, u32) => ();
    /// Addresses of a name: root, token, size.
    on_resolve_dns: "envoy_on_resolve_dns", (u32, u32, u32) => ();
    /// A client has connected: context.
    on_new_connection: "proxy_on_new_connection", u32 => u32;
    /// Bytes from the client: context, size, end of stream.
    on_downstream_data: "proxy_on_downstream_data", (u32, u32, u32) => u32;
    /// Bytes from the server: context, size, end of stream.
    on_upstream_data: "proxy_on_upstream_data", (u32, u32, u32) => u32;
    /// The client's side is closed: context, by whom.
    on_downstream_close: "proxy_on_downstream_connection_close", (u32, u32) => ();
    /// The server's side is closed: context, by whom.
    on_upstream_close: "proxy_on_upstream_connection_close", (u32, u32) => ();
    /// The context's work is over; false asks to wait for `proxy_done` (roots only).
    on_done: "proxy_on_done", u32 => u32;
    /// The exchange is complete and can be logged.
    on_log: "proxy_on_log", u32 => ();
    /// The context ends.
    on_delete: "proxy_on_delete", u32 => ();
}

pub(super) fn find<P: WasmParams, R: WasmResults>(
    mut store: impl AsContextMut,
    instance: &Instance,
    name: &'static str,
    is_allowed: impl Fn(&str) -> bool,
) -> Result<Option<TypedFunc<P, R>>, WrongType> {
    if !is_allowed(name) {
        return Ok(None);
    }
    let Some(function) = instance.get_func(&mut store, name) else { return Ok(None) };
    let typed = function.typed(&store).map_err(|error| WrongType { name, found: format!("{error:#}") })?;
    Ok(Some(typed))
}

fn find_headers(
    store: impl AsContextMut,
    instance: &Instance,
    name: &'static str,
    abi: AbiVersion,
    is_allowed: impl Fn(&str) -> bool,
) -> Result<Option<HeadersEntry>, WrongType> {
    Ok(if abi < AbiVersion::V0_2_0 {
        find(store, instance, name, is_allowed)?.map(HeadersEntry::V0_1)
    } else {
        find(store, instance, name, is_allowed)?.map(HeadersEntry::V0_2)
    })
}
