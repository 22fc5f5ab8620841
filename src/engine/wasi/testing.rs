//! A host that records what guests print and has clocks that stand still: for the tests of WASI alone.

use wasmtime::Memory;

use super::{Environment, StandardStream, WasiHost};

/// The fake; every field is a test's to set and to read.
#[derive(Default)]
pub(super) struct Host {
    pub(super) memory: Option<Memory>,
    pub(super) environment: Environment,
    pub(super) realtime: u64,
    pub(super) monotonic: u64,
    /// What was printed, in order.
    pub(super) lines: Vec<(StandardStream, Vec<u8>)>,
    /// The functions that were traced, in order.
    pub(super) traces: Vec<&'static str>,
}

impl WasiHost for Host {
    fn memory(&self) -> Option<Memory> {
        self.memory
    }

    fn write_line(&mut self, stream: StandardStream, bytes: &[u8]) {
        self.lines.push((stream, bytes.to_vec()));
    }

    fn environment(&self) -> &Environment {
        &self.environment
    }

    fn realtime_nanoseconds(&self) -> u64 {
        self.realtime
    }

    fn monotonic_nanoseconds(&self) -> u64 {
        self.monotonic
    }

    fn trace(&mut self, function: &'static str) {
        self.traces.push(function);
    }
}
