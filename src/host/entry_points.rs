//! Entry points: the functions that a guest exports for the host to call, found once for all VMs of the code.
//!
//! All but the allocator and the ABI marker are optional. One that is absent costs nothing later: the host sees
//! `None` and does not enter the VM. One of the right name and the wrong type refuses the code, as in the built-in
//! host. A function that the capability restriction denies is not looked up.
//!
//! A VM calls functions of its own instance, each looked up when it is first called. A copy, which lives for a few calls,
//! goes through the [dispatcher] of its snapshot: it looks up one, and shares its entry points with all other copies.

use std::marker::PhantomData;
use std::sync::{Arc, OnceLock};

use wasmtime::{AsContextMut, Extern, ExternType, Instance, Memory, Module, ModuleExport, TypedFunc};

use super::numbers::{Numbers, Outcome};
use super::types::AbiVersion;
use crate::engine::code::Code;
use crate::engine::snapshot::dispatcher;

/// An entry point is there with another type.
#[derive(Debug, thiserror::Error)]
#[error("exports {name} with the wrong type ({found})")]
pub struct WrongType {
    /// The export.
    pub name: &'static str,
    /// wasmtime's words on how the types differ.
    pub found: String,
}

/// A function of a guest, to be called by a VM.
pub struct Entry<P, R> {
    way: Way<P, R>,
}

enum Way<P, R> {
    /// A function of an instance, looked up and checked when it is first called.
    Own { instance: Instance, export: ModuleExport, typed: OnceLock<TypedFunc<P, R>> },
    /// By its number, through the dispatcher of whichever VM it is. Its type was checked in the VM that was copied.
    Numbered(u32, PhantomData<fn(P) -> R>),
}

/// How functions are called.
#[derive(Clone, Copy)]
pub enum Through {
    /// Those of an instance.
    Instance(Instance),
    /// By number.
    Dispatcher,
}

impl<P: Numbers, R: Outcome> Entry<P, R> {
    fn new(through: Through, name: &str, export: Option<ModuleExport>) -> Option<Self> {
        let export = export?;
        let way = match through {
            Through::Instance(instance) => Way::Own { instance, export, typed: OnceLock::new() },
            Through::Dispatcher => Way::Numbered(number(name)?, PhantomData),
        };
        Some(Self { way })
    }

    /// Calls it in a VM that has this dispatcher.
    ///
    /// # Errors
    /// It trapped; or it has another type, which [`EntryPoints::check`] would have told.
    #[inline]
    pub(super) fn call(
        &self,
        mut store: impl AsContextMut,
        dispatcher: Option<&Dispatcher>,
        parameters: P,
    ) -> wasmtime::Result<R> {
        match (&self.way, dispatcher) {
            (Way::Own { instance, export, typed }, _) => {
                let function = match typed.get() {
                    Some(function) => function,
                    None => look_up(&mut store, *instance, export, typed)?,
                };
                function.call(store, parameters)
            }
            (Way::Numbered(number, _), Some(dispatcher)) => {
                let [first, second, third, fourth, fifth] = parameters.spread();
                let parameters = (*number, first, second, third, fourth, fifth);
                dispatcher.typed.call(store, parameters).map(R::of)
            }
            (Way::Numbered(..), None) => Err(wasmtime::format_err!("no dispatcher")),
        }
    }

    pub(super) fn check(&self, name: &'static str, store: impl AsContextMut) -> Result<(), WrongType> {
        let Way::Own { instance, export, typed } = &self.way else { return Ok(()) };
        let got = look_up(store, *instance, export, typed).map(drop);
        got.map_err(|error| WrongType { name, found: format!("{error:#}") })
    }
}

#[cold]
fn look_up<'a, P: Numbers, R: Outcome>(
    mut store: impl AsContextMut,
    instance: Instance,
    export: &ModuleExport,
    typed: &'a OnceLock<TypedFunc<P, R>>,
) -> wasmtime::Result<&'a TypedFunc<P, R>> {
    let function = own(&mut store, instance, export)?.typed(&store)?;
    Ok(typed.get_or_init(|| function))
}

fn own(
    store: impl AsContextMut,
    instance: Instance,
    export: &ModuleExport,
) -> wasmtime::Result<wasmtime::Func> {
    let found = instance.get_module_export(store, export).and_then(Extern::into_func);
    found.ok_or_else(|| wasmtime::format_err!("not a function"))
}

/// The dispatcher of a copy.
pub struct Dispatcher {
    typed: TypedFunc<(u32, u32, u32, u32, u32, u32), u32>,
    /// Its place among the functions of the code.
    pub(super) function: u32,
}

/// Where code exports its allocator.
struct AllocatorExport {
    name: &'static str,
    export: ModuleExport,
    number: u32,
}

/// The guest's allocator.
pub struct Allocator {
    entry: Entry<u32, u32>,
    dispatcher: Option<Arc<Dispatcher>>,
}

impl Allocator {
    /// Calls it.
    ///
    /// # Errors
    /// As for [`Entry::call`].
    pub(super) fn call(&self, store: impl AsContextMut, length: u32) -> wasmtime::Result<u32> {
        self.entry.call(store, self.dispatcher.as_deref(), length)
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
            allocator: Option<AllocatorExport>,
            memory: Option<ModuleExport>,
            dispatcher: Option<(u32, ModuleExport)>,
        }

        impl Exports {
            /// Finds what code exports. `is_allowed` is the capability restriction, asked by name. It names entry points, and
            /// how code allocates is none.
            pub fn find(code: &Code, is_allowed: impl Fn(&str) -> bool) -> Self {
                let module = code.module();
                let allowed = |name| if is_allowed(name) { function(module, name) } else { None };
                let allocator = |name| {
                    let (export, number) = (function(module, name)?, number(name)?);
                    Some(AllocatorExport { name, export, number })
                };
                Self {
                    $( $field: allowed($name), )*
                    on_request_headers: allowed("proxy_on_request_headers"),
                    on_response_headers: allowed("proxy_on_response_headers"),
                    memory: module.get_export_index("memory"),
                    allocator: ALLOCATORS.into_iter().find_map(allocator),
                    dispatcher: code.dispatcher().zip(module.get_export_index(dispatcher::NAME)),
                }
            }

            /// The dispatcher in an instance, if its code has one.
            ///
            /// # Errors
            /// It is not what the engine makes.
            pub(super) fn dispatcher(
                &self,
                mut store: impl AsContextMut,
                instance: Instance,
            ) -> wasmtime::Result<Option<Arc<Dispatcher>>> {
                let Some((function, export)) = &self.dispatcher else { return Ok(None) };
                let typed = own(&mut store, instance, export)?.typed(&store)?;
                Ok(Some(Arc::new(Dispatcher { typed, function: *function })))
            }

            /// The guest's memory in an instance, as every hostcall finds it.
            pub(super) fn memory(&self, store: impl AsContextMut, instance: Instance) -> Option<Memory> {
                instance.get_module_export(store, &self.memory?)?.into_memory()
            }

            /// The guest's allocator in an instance, which may have a dispatcher.
            pub(super) fn allocator(
                &self,
                instance: Instance,
                dispatcher: Option<&Arc<Dispatcher>>,
            ) -> Option<Allocator> {
                let found = self.allocator.as_ref()?;
                let way = match dispatcher {
                    Some(_) => Way::Numbered(found.number, PhantomData),
                    None => Way::Own { instance, export: found.export, typed: OnceLock::new() },
                };
                Some(Allocator { entry: Entry { way }, dispatcher: dispatcher.cloned() })
            }

            /// Looks the allocator up.
            ///
            /// # Errors
            /// It has another type than the ABI gives it.
            pub(super) fn check_allocator(
                &self,
                store: impl AsContextMut,
                instance: Instance,
            ) -> Result<(), WrongType> {
                let found = self.allocator.as_ref().zip(self.allocator(instance, None));
                found.map_or(Ok(()), |(export, allocator)| allocator.entry.check(export.name, store))
            }

            /// The entry points of all copies, if their code has a dispatcher.
            pub(super) fn numbered(&self, abi: AbiVersion) -> Option<Arc<EntryPoints>> {
                self.dispatcher.as_ref()?;
                Some(Arc::new(EntryPoints::new(Through::Dispatcher, abi, self)))
            }
        }

        impl EntryPoints {
            /// The entry points of an instance, or those of all copies.
            pub fn new(through: Through, abi: AbiVersion, exports: &Exports) -> Self {
                let headers = |name, export| HeadersEntry::new(through, abi, name, export);
                Self {
                    $( $field: Entry::new(through, $name, exports.$field), )*
                    on_request_headers: headers("proxy_on_request_headers", exports.on_request_headers),
                    on_response_headers: headers("proxy_on_response_headers", exports.on_response_headers),
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

/// Names of the allocator: the first that is there.
const ALLOCATORS: [&str; 2] = ["malloc", "proxy_on_memory_allocate"];

/// What a dispatcher has to call, in the order of the numbers.
pub(super) fn called() -> impl Iterator<Item = &'static str> {
    NAMES.iter().copied().chain(ALLOCATORS)
}

/// The number of a function.
fn number(name: &str) -> Option<u32> {
    u32::try_from(called().position(|called| called == name)?).ok()
}

impl HeadersEntry {
    fn new(through: Through, abi: AbiVersion, name: &str, export: Option<ModuleExport>) -> Option<Self> {
        if abi < AbiVersion::V0_2_0 {
            Entry::new(through, name, export).map(Self::V0_1)
        } else {
            Entry::new(through, name, export).map(Self::V0_2)
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
pub(super) fn find<P: Numbers, R: Outcome>(
    store: impl AsContextMut,
    instance: Instance,
    module: &Module,
    name: &'static str,
) -> Result<Option<Entry<P, R>>, WrongType> {
    let Some(entry) = Entry::new(Through::Instance(instance), name, function(module, name)) else {
        return Ok(None);
    };
    entry.check(name, store)?;
    Ok(Some(entry))
}
