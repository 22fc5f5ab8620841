//! The engine: the only place that sets wasmtime's options.
//!
//! ```text
//!   Engine ── compile ──► Code ── (host links it) ──► InstancePre ── instantiate ──► Store + Instance
//!     │                    digest, exports, imports                                    Limits, deadline
//!     └── Ticker: one thread, alive while a VM is
//! ```
//!
//! Nothing here knows Proxy-Wasm: which functions a guest may import, and what they do, is the host's.
//! Every guest call has a deadline. It is kept by *epochs*: a thread counts time in [`TICK`]s, compiled code
//! compares the count with the store's deadline at each loop and call, and traps when it has passed. A
//! comparison costs a load and a branch; a signal or fuel would cost more.

pub mod code;
pub mod limits;
pub mod memory;
mod ticker;
pub mod wasi;

use std::num::NonZeroUsize;
use std::time::Duration;

use wasmtime::{Config, OptLevel, Strategy};

use self::ticker::Ticker;
pub use self::ticker::{TICK, Ticking};

/// How many frames of a trap are kept: as many as Envoy's built-in host prints.
const BACKTRACE_FRAMES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(19);

/// Stack that a guest may use, in bytes. It lies on the worker's own stack (8 MiB by default with glibc), beside
/// Envoy's frames, so it must stay well below.
const GUEST_STACK_BYTES: usize = 512 * 1024;

/// What cannot be: the options below are constants, so this is a fault of the build or of the machine.
#[derive(Debug, thiserror::Error)]
#[error("the Wasm engine cannot start on this machine: {0}")]
pub struct EngineError(String);

/// One per process: compiled code can only be shared within an engine.
pub struct Engine {
    inner: wasmtime::Engine,
    ticker: Ticker,
}

impl Engine {
    /// An engine with our options. Starts no thread.
    ///
    /// # Errors
    /// The machine lacks something that compiled code needs (a CPU feature, address space).
    pub fn new() -> Result<Self, EngineError> {
        let inner = wasmtime::Engine::new(&config()).map_err(|error| EngineError(format!("{error:#}")))?;
        let ticker = Ticker::new(&inner);
        Ok(Self { inner, ticker })
    }

    /// wasmtime's own handle, for the linker of `host` and for stores.
    pub fn handle(&self) -> &wasmtime::Engine {
        &self.inner
    }

    /// Keeps the clock of deadlines running until the answer is dropped. Every VM holds one.
    pub fn keep_ticking(&self) -> Ticking {
        self.ticker.keep()
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Engine").finish_non_exhaustive()
    }
}

/// A deadline as a number of ticks: never earlier than asked, up to one tick later.
pub fn ticks(deadline: Duration) -> u64 {
    let ticks = deadline.as_nanos().div_ceil(TICK.as_nanos());
    u64::try_from(ticks).unwrap_or(u64::MAX / 2).saturating_add(1)
}

fn config() -> Config {
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .cranelift_opt_level(OptLevel::Speed)
        .parallel_compilation(true)
        // Deadlines; see the module's text.
        .epoch_interruption(true)
        .max_wasm_stack(GUEST_STACK_BYTES)
        // Traps by explicit checks, not by faults: signal handlers are the process's, and Envoy's own Wasm filter has some.
        // V8 takes its handler away when it sees a fault that is not its own, and the next of its faults is the end of
        // Envoy.
        .signals_based_traps(false)
        // A new VM maps its first memory copy-on-write from an image of the data segments.
        .memory_init_cow(true)
        // Traps walk frame pointers; only external debuggers would read the unwind tables.
        .native_unwind_info(false)
        // Function names suffice for a backtrace; lines would need the guest's DWARF in memory.
        .wasm_backtrace_details(wasmtime::WasmBacktraceDetails::Disable)
        .wasm_backtrace_max_frames(Some(BACKTRACE_FRAMES));
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_never_cut_short() {
        assert_eq!(ticks(TICK), 2);
        assert_eq!(ticks(TICK + Duration::from_nanos(1)), 3);
        assert_eq!(ticks(Duration::ZERO), 1);
        assert!(ticks(Duration::MAX) > u64::MAX / 4);
    }
}
