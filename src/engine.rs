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

mod background;
pub mod code;
pub mod limits;
pub mod memory;
pub mod snapshot;
mod ticker;
pub mod wasi;

use std::num::NonZeroUsize;
use std::sync::OnceLock;
use std::time::Duration;

use wasmtime::{Config, Enabled, OptLevel, PoolingAllocationConfig, RegallocAlgorithm, Strategy};

use self::ticker::Ticker;
pub use self::ticker::{TICK, Ticking};
use crate::telemetry::{self, Level};

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
    /// Compiles for `inner`, quickly; runs nothing. Made when it is needed.
    baseline: OnceLock<wasmtime::Engine>,
    ticker: Ticker,
}

impl Engine {
    /// An engine with our options. Starts no thread.
    ///
    /// # Errors
    /// The machine lacks something that compiled code needs (a CPU feature, address space).
    pub fn new() -> Result<Self, EngineError> {
        let inner = wasmtime::Engine::new(config().allocation_strategy(pool())).or_else(|error| {
            // A limit on address space (`ulimit -v`, strict overcommit): everything works, new VMs cost more.
            let line = format_args!(
                "graft: memory for VMs cannot be reserved ({error:#}); each VM takes its own, which is slower"
            );
            telemetry::log(Level::Warn, line);
            wasmtime::Engine::new(&config()).map_err(|error| EngineError(format!("{error:#}")))
        })?;
        let ticker = Ticker::new(&inner);
        Ok(Self { inner, baseline: OnceLock::new(), ticker })
    }

    /// wasmtime's own handle, for the linker of `host` and for stores.
    pub fn handle(&self) -> &wasmtime::Engine {
        &self.inner
    }

    /// The compiler of [`Tier::Baseline`](code::Tier::Baseline): no optimiser, registers allocated in one pass. wasmtime loads
    /// its code into an engine with other settings, because none of these changes what code does or expects.
    fn baseline(&self) -> &wasmtime::Engine {
        self.baseline.get_or_init(|| {
            let mut config = config();
            config
                .cranelift_opt_level(OptLevel::None)
                .cranelift_regalloc_algorithm(RegallocAlgorithm::SinglePass);
            // Should this processor have no such compiler, the other one is as good, but for the time.
            wasmtime::Engine::new(&config).unwrap_or_else(|_slower| self.inner.clone())
        })
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

/// Most VMs of a process at once, of all plugins and workers. A place costs about 200 bytes until it is used, and address
/// space. Envoy's default for the requests of one cluster is 1,024; with a VM a stream, a dozen busy workers stay below.
pub const MOST_VMS: u32 = 16_384;

/// Most bytes of a memory: as in Envoy's own filter. `graft.limits.memory_bytes` ends here. It is address space: with
/// [`MOST_VMS`] an eighth of what a process has.
pub const MOST_MEMORY_BYTES: u64 = 1 << 30;

/// Most elements of a table. `graft.limits.table_elements` ends here.
pub const MOST_TABLE_ELEMENTS: u32 = 1_000_000;

/// Tables of one VM: LLVM emits one; toolchains with reference types may emit a few.
pub const MOST_TABLES: u32 = 4;

/// Memory that a VM leaves behind and that its successor in the place gets without asking the system for it, in bytes.
/// What a stream of an ordinary plugin touches is a tenth of that.
const KEPT_BYTES: usize = 1024 * 1024;

/// Places for VMs, made in advance: taking and leaving one needs no system call for most plugins.
fn pool() -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_core_instances(MOST_VMS)
        .total_memories(MOST_VMS)
        .total_tables(MOST_VMS)
        .max_memories_per_module(1)
        .max_tables_per_module(MOST_TABLES)
        .max_memory_size(usize::try_from(MOST_MEMORY_BYTES).unwrap_or(usize::MAX))
        .table_elements(usize::try_from(MOST_TABLE_ELEMENTS).unwrap_or(usize::MAX))
        // Bookkeeping of one instance: 8 bytes a function of the largest plugins known is half of this.
        .max_core_instance_size(4 * 1024 * 1024)
        // Places whose last VM was of the same code are handed out first; others are kept, up to this many.
        .max_unused_warm_slots(256);
    if PoolingAllocationConfig::is_pagemap_scan_available() {
        // The kernel (6.7 and newer) tells which pages a VM wrote to; those are reset by copying. Elsewhere all of the kept
        // bytes would be copied each time, which is slower than to give the pages back.
        pool.pagemap_scan(Enabled::Yes)
            .linear_memory_keep_resident(KEPT_BYTES)
            .table_keep_resident(64 * 1024);
    }
    pool
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
        // Room to grow without moving, so that guest code may keep the address in a register: a fifth of the time of a loop
        // over bytes. No guard, because nothing faults.
        .memory_reservation(MOST_MEMORY_BYTES)
        .memory_may_move(false)
        .memory_guard_size(0)
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
