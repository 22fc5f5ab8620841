//! Parameters and results of entry points as plain numbers, which is how a dispatcher passes them on.

use wasmtime::{WasmParams, WasmResults};

use crate::engine::snapshot::dispatcher::PARAMETERS;

/// Parameters of an entry point.
pub trait Numbers: WasmParams {
    /// All of them, and zeros.
    fn spread(self) -> [u32; PARAMETERS];
}

/// What an entry point returns.
pub trait Outcome: WasmResults {
    /// What a number stands for.
    fn of(number: u32) -> Self;
}

impl Numbers for () {
    fn spread(self) -> [u32; PARAMETERS] {
        [0; PARAMETERS]
    }
}

impl Numbers for u32 {
    fn spread(self) -> [u32; PARAMETERS] {
        [self, 0, 0, 0, 0]
    }
}

impl Numbers for (u32, u32) {
    fn spread(self) -> [u32; PARAMETERS] {
        [self.0, self.1, 0, 0, 0]
    }
}

impl Numbers for (u32, u32, u32) {
    fn spread(self) -> [u32; PARAMETERS] {
        [self.0, self.1, self.2, 0, 0]
    }
}

impl Numbers for (u32, u32, u32, u32, u32) {
    fn spread(self) -> [u32; PARAMETERS] {
        self.into()
    }
}

impl Outcome for () {
    fn of(_: u32) -> Self {}
}

impl Outcome for u32 {
    fn of(number: u32) -> Self {
        number
    }
}
