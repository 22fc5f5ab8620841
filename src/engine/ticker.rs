//! The clock of deadlines: one thread that advances the engine's epoch while there is a VM.
//!
//! It ends when the last VM is gone, so that `envoy --mode validate`, and an Envoy whose last Graft listener
//! was removed, keep no thread of ours.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::telemetry::{self, Level};

/// How often the epoch advances, and so how late a deadline can strike. A hundred wake-ups a second cost less
/// than a thousandth of a core.
pub const TICK: Duration = Duration::from_millis(10);

/// Starts and ends the thread.
pub(super) struct Ticker {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    last_kept_dropped: Condvar,
    engine: wasmtime::EngineWeak,
}

#[derive(Debug, Default)]
struct State {
    kept: usize,
    is_running: bool,
}

/// While one of these lives, time passes for guests.
pub struct Ticking {
    shared: Arc<Shared>,
}

impl Ticker {
    pub(super) fn new(engine: &wasmtime::Engine) -> Self {
        Self {
            shared: Arc::new(Shared {
                state: Mutex::default(),
                last_kept_dropped: Condvar::new(),
                engine: engine.weak(),
            }),
        }
    }

    pub(super) fn keep(&self) -> Ticking {
        let mut state = self.shared.state.lock();
        state.kept = state.kept.saturating_add(1);
        if !state.is_running {
            let shared = Arc::clone(&self.shared);
            let spawned =
                std::thread::Builder::new().name("graft:ticker".to_owned()).spawn(move || run(&shared));
            state.is_running = spawned.is_ok();
            // Tried again with the next VM. Guests without a deadline are better than none, and it has to be known.
            if let Err(error) = spawned {
                let line =
                    format_args!("graft: plugins run without a deadline: no thread can be started ({error})");
                telemetry::log(Level::Critical, line);
            }
        }
        Ticking { shared: Arc::clone(&self.shared) }
    }
}

impl Drop for Ticking {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        state.kept = state.kept.saturating_sub(1);
        if state.kept == 0 {
            self.shared.last_kept_dropped.notify_all();
        }
    }
}

fn run(shared: &Shared) {
    let mut state = shared.state.lock();
    while state.kept > 0 {
        shared.last_kept_dropped.wait_for(&mut state, TICK);
        match shared.engine.upgrade() {
            Some(engine) => engine.increment_epoch(),
            None => break,
        }
    }
    state.is_running = false;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn eventually(what: impl Fn() -> bool) -> bool {
        (0..2000).any(|_| {
            std::thread::sleep(Duration::from_millis(5));
            what()
        })
    }

    #[test]
    fn the_thread_lives_as_long_as_something_is_kept() {
        let engine = wasmtime::Engine::default();
        let ticker = Ticker::new(&engine);
        let is_running = || ticker.shared.state.lock().is_running;
        assert!(!is_running());
        let first = ticker.keep();
        let second = ticker.keep();
        assert!(is_running());
        drop(first);
        assert!(is_running());
        drop(second);
        assert!(eventually(|| !is_running()));
        let _third = ticker.keep();
        assert!(is_running());
    }
}
