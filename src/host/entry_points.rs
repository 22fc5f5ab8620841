//! Entry points: the functions that a guest exports for the host to call, found once when a VM is made.
//!
//! All but the allocator and the ABI marker are optional. One that is absent costs nothing later: the host sees
//! `None` and does not enter the VM. One of the right name and the wrong type refuses the code, as in the built-in
//! host. A function that the capability restriction denies is not looked up.

use std::cell::OnceCell;

use wasmtime::{
    AsContextMut, Extern, ExternType, Instance, Memory, Module, ModuleExport, TypedFunc, WasmParams,
    WasmResults,
};

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

/// A function of an instance, looked up and checked when it is first called: most VMs of single streams call few.
pub struct Entry<P, R> {
    instance: Instance,
    export: ModuleExport,
    typed: OnceCell<TypedFunc<P, R>>,
}

impl<P: WasmParams, R: WasmResults> Entry<P, R> {
    fn new(instance: Instance, export: Option<ModuleExport>) -> Option<Self> {
        export.map(|export| Self { instance, export, typed: OnceCell::new() })
    }

    /// The function.
    ///
    /// # Errors
    /// It has another type, which [`EntryPoints::check`] would have told.
    pub(super) fn get(&self, mut store: impl AsContextMut) -> wasmtime::Result<&TypedFunc<P, R>> {
        if let Some(typed) = self.typed.get() {
            return Ok(typed);
        }
        let found = self.instance.get_module_export(&mut store, &self.export).and_then(Extern::into_func);
        let function = found.ok_or_else(|| wasmtime::format_err!("not a function"))?;
        let typed = function.typed(&store)?;
        Ok(self.typed.get_or_init(|| typed))
    }

    pub(super) fn check(&self, name: &'static str, store: impl AsContextMut) -> Result<(), WrongType> {
        let got = self.get(store).map(drop);
        got.map_err(|error| WrongType { name, found: format!("{error:#}") })
    }
}

/// `proxy_on_request_headers` and its twin, which got a parameter with ABI 0.2.0.
pub enum HeadersEntry {
    /// Context, number of headers.
    V0_1(Entry<(u32, u32), u32>),
    /// Context, number of headers, end of stream.
    V0_2(Entry<(u32, u32, u32), u32>),
}

macro_rules! entry_points {
    ($( $(#[$meta:meta])* $field:ident: $name:literal, $params:ty => $results:ty; )*) => {
        /// Every entry point of a VM that the host calls today.
        #[allow(clippy::type_complexity)]
        pub struct EntryPoints {
            $( $(#[$meta])* pub $field: Option<Entry<$params, $results>>, )*
            /// Request headers arrived.
            pub on_request_headers: Option<HeadersEntry>,
            /// Response headers arrived.
            pub on_response_headers: Option<HeadersEntry>,
        }

        /// Where code exports them: found once for all VMs of the code.
        pub struct Exports {
            $( $field: Option<ModuleExport>, )*
            on_request_headers: Option<ModuleExport>,
            on_response_headers: Option<ModuleExport>,
            allocator: Option<(&'static str, ModuleExport)>,
            memory: Option<ModuleExport>,
        }

        impl Exports {
            /// Finds what code exports. `is_allowed` is the capability restriction, asked by name. It names entry points, and
            /// how code allocates is none.
            pub fn find(module: &Module, is_allowed: impl Fn(&str) -> bool) -> Self {
                let allowed = |name| if is_allowed(name) { function(module, name) } else { None };
                let allocator = |name| function(module, name).map(|export| (name, export));
                Self {
                    $( $field: allowed($name), )*
                    on_request_headers: allowed("proxy_on_request_headers"),
                    on_response_headers: allowed("proxy_on_response_headers"),
                    memory: module.get_export_index("memory"),
                    allocator: allocator("malloc").or_else(|| allocator("proxy_on_memory_allocate")),
                }
            }

            /// The guest's memory in an instance, as every hostcall finds it.
            pub(super) fn memory(&self, store: impl AsContextMut, instance: Instance) -> Option<Memory> {
                instance.get_module_export(store, &self.memory?)?.into_memory()
            }

            /// The guest's allocator in an instance.
            pub(super) fn allocator(&self, instance: Instance) -> Option<(&'static str, Entry<u32, u32>)> {
                let (name, export) = self.allocator?;
                Entry::new(instance, Some(export)).map(|entry| (name, entry))
            }
        }

        impl EntryPoints {
            /// The entry points of an instance.
            pub fn new(instance: Instance, abi: AbiVersion, exports: &Exports) -> Self {
                Self {
                    $( $field: Entry::new(instance, exports.$field), )*
                    on_request_headers: HeadersEntry::new(instance, abi, exports.on_request_headers),
                    on_response_headers: HeadersEntry::new(instance, abi, exports.on_response_headers),
                }
            }

            /// Looks all of them up.
            ///
            /// # Errors
            /// An export has another type than the ABI gives it.
            pub fn check(&self, mut store: impl AsContextMut) -> Result<(), WrongType> {
                $( if let Some(entry) = &self.$field { entry.check($name, &mut store)?; } )*
                if let Some(entry) = &self.on_request_headers {
                    entry.check("proxy_on_request_headers", &mut store)?;
                }
                if let Some(entry) = &self.on_response_headers {
                    entry.check("proxy_on_response_headers", &mut store)?;
                }
                Ok(())
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

/// An exported function of code, if it has one of this name.
fn function(module: &Module, name: &str) -> Option<ModuleExport> {
    let is_function = matches!(module.get_export(name), Some(ExternType::Func(_)));
    if is_function { module.get_export_index(name) } else { None }
}

impl HeadersEntry {
    fn new(instance: Instance, abi: AbiVersion, export: Option<ModuleExport>) -> Option<Self> {
        if abi < AbiVersion::V0_2_0 {
            Entry::new(instance, export).map(Self::V0_1)
        } else {
            Entry::new(instance, export).map(Self::V0_2)
        }
    }

    fn check(&self, name: &'static str, store: impl AsContextMut) -> Result<(), WrongType> {
        match self {
            Self::V0_1(entry) => entry.check(name, store),
            Self::V0_2(entry) => entry.check(name, store),
        }
    }
}

/// A function by its name, for those that are called once.
///
/// # Errors
/// It has another type than the ABI gives it.
pub(super) fn find<P: WasmParams, R: WasmResults>(
    store: impl AsContextMut,
    instance: Instance,
    module: &Module,
    name: &'static str,
) -> Result<Option<Entry<P, R>>, WrongType> {
    let Some(entry) = Entry::new(instance, function(module, name)) else { return Ok(None) };
    entry.check(name, store)?;
    Ok(Some(entry))
}
