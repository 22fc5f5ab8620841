//! Start-up that waits: Envoy does not serve before the plugins are there that are being loaded in the background.
//!
//! ```text
//!   extension's config_new ─► filters' config_new ─► server_initialized ─► Envoy's loop begins ─► listeners of a file
//!                                                                            │
//!                                        look: every plugin is settled ◄─────┤◄─── a slot has a generation, or none
//!                                        └─► signal: Envoy serves            └◄─── startup_wait is over
//! ```
//!
//! Envoy makes the extension before the filters of its listeners, so the first look is one turn of its loop later: static
//! listeners are there then, and those of a file. Listeners that come over the network come when they come; their first
//! streams wait by themselves (`graft.swap.max_wait`).

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::module::{self, Module};
use super::stream::EnvoyStream;
use super::wait;
use crate::abi::{BootstrapHandle, ConfigScheduler, process};
use crate::host::stream::Services as _;
use crate::host::vm::Waiting;
use crate::lifecycle::slot::Slot;
use crate::telemetry::{self, Level};

/// Of one extension. Main thread.
#[derive(Debug)]
pub(super) struct StartUp {
    envoy: BootstrapHandle,
    wait: Duration,
    state: Mutex<State>,
}

enum State {
    /// Envoy is being configured.
    Early(Arc<ConfigScheduler>),
    /// Plugins are waited for.
    Waits(Wait),
    /// Envoy was told to serve.
    Over,
}

struct Wait {
    scheduler: Arc<ConfigScheduler>,
    /// On the clock that never goes back.
    began: u64,
    until: u64,
    /// Places in the queues of the plugins that are waited for.
    places: Vec<Waiting>,
    has_told: bool,
}

impl StartUp {
    /// Envoy will wait for so long; or does not, because it cannot or shall not.
    pub(super) fn begin(envoy: BootstrapHandle, wait: Duration) -> Self {
        // Nobody serves while a configuration is validated.
        let is_wanted = !wait.is_zero() && !process::is_validation_mode();
        let scheduler = is_wanted.then(|| envoy.scheduler()).flatten();
        let state = if let Some(scheduler) = scheduler {
            State::Early(Arc::new(scheduler))
        } else {
            // Without this Envoy would never serve.
            envoy.signal_init_complete();
            State::Over
        };
        Self { envoy, wait, state: Mutex::new(state) }
    }

    /// Whether Envoy has not been told to serve.
    pub(super) fn is_under_way(&self) -> bool {
        !matches!(*self.state.lock(), State::Over)
    }

    /// Static listeners are there.
    pub(super) fn on_server_initialized(&self, module: &Module) {
        let mut state = self.state.lock();
        if let State::Early(scheduler) = &*state {
            let scheduler = Arc::clone(scheduler);
            let began = module.services.monotonic_nanoseconds();
            let until = began.saturating_add(telemetry::nanoseconds(self.wait));
            let _looks_soon = scheduler.commit(0);
            *state = State::Waits(Wait { scheduler, began, until, places: Vec::new(), has_told: false });
        }
    }

    /// Looks whether Envoy may serve.
    pub(super) fn on_scheduled(&self) {
        let Ok(module) = module::module() else { return };
        let is_over = match &mut *self.state.lock() {
            State::Waits(wait) => wait.look(module, self.wait),
            State::Early(_) | State::Over => false,
        };
        if is_over {
            // Unlocked: Envoy goes on inside.
            self.end();
        }
    }

    /// Envoy serves, or ends.
    pub(super) fn end(&self) {
        let before = std::mem::replace(&mut *self.state.lock(), State::Over);
        if !matches!(before, State::Over) {
            self.envoy.signal_init_complete();
        }
    }
}

impl Wait {
    /// Answers whether there is nothing to wait for any more.
    fn look(&mut self, module: &'static Module, longest: Duration) -> bool {
        self.places.drain(..).for_each(Waiting::come);
        let mut pending = module.registry.slots();
        pending.retain(|slot| !slot.is_settled());
        let now = module.services.monotonic_nanoseconds();
        let waited = Duration::from_nanos(now.saturating_sub(self.began));
        if pending.is_empty() {
            if self.has_told {
                telemetry::log(Level::Info, format_args!("graft: start-up has waited for {waited:.1?}"));
            }
            return true;
        }
        let names = names(&pending);
        if now >= self.until {
            let line = format_args!(
                "graft: start-up goes on without {names}, which could not be loaded in {longest:?} \
                 (graft.startup_wait)"
            );
            telemetry::log(Level::Warn, line);
            return true;
        }
        if !self.has_told {
            self.has_told = true;
            telemetry::log(
                Level::Info,
                format_args!(
                    "graft: start-up waits for {names}, for at most {longest:?} (graft.startup_wait)"
                ),
            );
        }
        for slot in &pending {
            let scheduler = Arc::clone(&self.scheduler);
            let wake = move || {
                let _is_gone = !scheduler.commit(0);
            };
            self.places.push(wait::for_the_first(module, slot, Box::new(wake), self.until));
        }
        false
    }
}

/// Plugins, named for the log.
fn names(slots: &[Arc<Slot<EnvoyStream>>]) -> String {
    let mut names: Vec<String> = slots.iter().map(|slot| format!("{:?}", slot.config().name)).collect();
    names.sort();
    names.dedup();
    names.join(", ")
}

impl std::fmt::Debug for State {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Early(_) => "Early",
            Self::Waits(_) => "Waits",
            Self::Over => "Over",
        })
    }
}
