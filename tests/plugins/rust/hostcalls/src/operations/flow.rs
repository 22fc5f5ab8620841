//! How a callback ends: with any number, or not at all.

use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::language::Arguments;

/// The operations that are not hostcalls.
#[derive(Clone, Copy, PartialEq)]
pub enum Flow {
    /// `return N`: ends the callback with this number, whether the host knows it or not.
    Return,
    /// `return-at-eos N`: the same, only where the stream direction ends.
    ReturnAtEndOfStream,
    /// `panic [MESSAGE]`: a Rust panic; its message goes to standard error before the trap.
    Panic,
    /// `trap`: the instruction `unreachable`, without a word.
    Trap,
    /// `bad-access`: reads beyond the memory.
    BadAccess,
    /// `loop`: does not return.
    Loop,
    /// `recurse`: until the stack is gone.
    Recurse,
    /// `spin MILLISECONDS`: holds the thread for that long.
    Spin,
    /// `grow PAGES`: asks for memory, 64 KiB a page, and logs what it got.
    Grow,
    /// `exit CODE`: WASI's `proc_exit`.
    Exit,
}

impl Flow {
    /// Runs it. `Some` ends the callback with that number.
    pub fn run(
        self,
        source: &str,
        arguments: &Arguments,
        end_of_stream: bool,
    ) -> Result<Option<u32>, String> {
        match self {
            Self::Return => return arguments.word(0).map(Some),
            Self::ReturnAtEndOfStream if end_of_stream => return arguments.word(0).map(Some),
            Self::ReturnAtEndOfStream => {}
            Self::Panic => panic!("{}", String::from_utf8_lossy(arguments.bytes(0))),
            Self::Trap => trap(),
            Self::BadAccess => bad_access(),
            Self::Loop => loop {
                black_box(());
            },
            Self::Recurse => {
                black_box(recurse(0));
            }
            Self::Spin => spin(u64::from(arguments.word(0)?)),
            Self::Grow => crate::abi::log(2, &format!("{source} -> {}", grow(arguments.word(0)?))),
            Self::Exit => exit(arguments.word(0)?),
        }
        Ok(None)
    }
}

#[cfg(target_arch = "wasm32")]
fn trap() -> ! {
    core::arch::wasm32::unreachable()
}

#[cfg(not(target_arch = "wasm32"))]
fn trap() -> ! {
    std::process::abort()
}

#[allow(clippy::cast_possible_wrap)]
fn exit(code: u32) -> ! {
    std::process::exit(code as i32)
}

fn bad_access() {
    let beyond = black_box(0xffff_fff0_usize as *const u64);
    // SAFETY: not sound, and not meant to be: the address is beyond any memory of 4 GiB, and the host has to end
    // the callback here.
    black_box(unsafe { beyond.read_volatile() });
}

/// Never answers. Two calls, so that no compiler makes a loop of them, and no locals in memory, so that it is the
/// host's stack that ends and not the plugin's own.
#[allow(unconditional_recursion)]
#[inline(never)]
fn recurse(depth: u64) -> u64 {
    recurse(depth.wrapping_add(1)).wrapping_mul(recurse(depth.wrapping_add(2))) ^ depth
}

fn spin(milliseconds: u64) {
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(milliseconds) {
        black_box(());
    }
}

#[cfg(target_arch = "wasm32")]
fn grow(pages: u32) -> String {
    match core::arch::wasm32::memory_grow(0, pages as usize) {
        usize::MAX => "refused".to_owned(),
        _ => "grown".to_owned(),
    }
}

#[cfg(not(target_arch = "wasm32"))]
fn grow(_: u32) -> String {
    "refused".to_owned()
}
