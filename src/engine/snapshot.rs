//! Snapshots: code that starts where an instance of other code is now.
//!
//! ```text
//!   bytes ── instrument ──► Code ──► instance, runs for a while
//!     │                                  │ memories, globals
//!     └──────────────────────── take ◄───┘
//!                                │
//!                                ▼
//!                bytes whose data segments and globals are those: a new instance maps them copy on write
//! ```
//!
//! wasmtime's pre-initialisation crate (`wasmtime-wizer`) reads and writes the code; this module lets it see an
//! instance. A table cannot be seen, so code that could have changed one is refused: toolchains emit none that does.

pub mod dispatcher;
pub(super) mod image;
mod segments;

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use wasmtime::{Instance, Store, Val};
use wasmtime_wizer::{InstanceState, ModuleContext, SnapshotVal, Wizer};

/// Why there is no snapshot. The messages complete "the code …".
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The code has state that a snapshot cannot hold.
    #[error(
        "cannot be copied for each stream: {0}, expected code that changes no table and drops no segment (or graft.isolation: shared)"
    )]
    Unsupported(String),
    /// The instance is not of the instrumented code.
    #[error("cannot be copied for each stream: {0} is not exported, expected instrumented code")]
    Missing(String),
}

/// Adds exports for everything that a snapshot has to see.
///
/// # Errors
/// The code has state that cannot be seen, or is not valid.
pub fn instrument(bytes: &[u8]) -> Result<Vec<u8>, SnapshotError> {
    read(bytes).map(|(_, instrumented)| instrumented)
}

/// Code that starts where an instance is.
pub struct Taken {
    /// As Wasm.
    pub bytes: Vec<u8>,
    /// Its [dispatcher], by its place among the functions.
    pub dispatcher: Option<u32>,
}

/// The code of an instance of instrumented code, as that is now. `bytes` are those that were instrumented; `called` are
/// the names of functions that its instances will be entered by.
///
/// # Errors
/// The instance is of other code.
pub fn take<T: 'static>(
    bytes: &[u8],
    store: &mut Store<T>,
    instance: Instance,
    called: &[&str],
) -> Result<Taken, SnapshotError> {
    let (module, _) = read(bytes)?;
    let mut seen = Seen { store, instance, missing: None };
    let wizer = Wizer::new();
    let taken = finish(wizer.snapshot(&module, &mut seen));
    let bytes = match (taken, seen.missing) {
        (_, Some(name)) => return Err(SnapshotError::Missing(name)),
        (Some(Ok(bytes)), None) => segments::without_spent(bytes).map_err(SnapshotError::Unsupported)?,
        (Some(Err(error)), None) => return Err(SnapshotError::Unsupported(innermost(&error))),
        (None, None) => return Err(SnapshotError::Unsupported("the snapshot did not finish".to_owned())),
    };
    Ok(match dispatcher::add(&bytes, called) {
        Some(added) => Taken { bytes: added.bytes, dispatcher: Some(added.function) },
        None => Taken { bytes, dispatcher: None },
    })
}

fn read(bytes: &[u8]) -> Result<(ModuleContext<'_>, Vec<u8>), SnapshotError> {
    Wizer::new().instrument(bytes).map_err(|error| SnapshotError::Unsupported(innermost(&error)))
}

/// The crate is written for hosts that have to wait for an instance; here nothing does.
fn finish<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

fn innermost(error: &wasmtime::Error) -> String {
    error.root_cause().to_string()
}

/// An instance, as the crate wants to see it. It has no way to be told of an error, so that is kept.
struct Seen<'a, T: 'static> {
    store: &'a mut Store<T>,
    instance: Instance,
    missing: Option<String>,
}

impl<T: 'static> InstanceState for Seen<'_, T> {
    fn global_get(
        &mut self,
        name: &str,
        _: wasmtime_wizer::ValType,
    ) -> impl Future<Output = SnapshotVal> + Send {
        let global = self.instance.get_global(&mut *self.store, name);
        let value = match global.map(|global| global.get(&mut *self.store)) {
            Some(Val::I32(value)) => Some(SnapshotVal::I32(value)),
            Some(Val::I64(value)) => Some(SnapshotVal::I64(value)),
            Some(Val::F32(value)) => Some(SnapshotVal::F32(value)),
            Some(Val::F64(value)) => Some(SnapshotVal::F64(value)),
            Some(Val::V128(value)) => Some(SnapshotVal::V128(value.as_u128())),
            // `instrument` refuses globals that hold references.
            Some(_) | None => None,
        };
        if value.is_none() {
            self.missing = Some(name.to_owned());
        }
        std::future::ready(value.unwrap_or(SnapshotVal::I32(0)))
    }

    fn memory_contents(
        &mut self,
        name: &str,
        contents: impl FnOnce(&[u8]) + Send,
    ) -> impl Future<Output = ()> + Send {
        let memory = self.instance.get_memory(&mut *self.store, name);
        if memory.is_none() {
            self.missing = Some(name.to_owned());
        }
        contents(memory.map_or(&[], |memory| memory.data(&*self.store)));
        std::future::ready(())
    }
}
