//! Where a configuration of Envoy's is, while there is one, and what brings events to it.
//!
//! Filter configurations, access loggers and the bootstrap extension have the same life: Envoy makes one on its main
//! thread and frees it after `config_destroy`, on whichever thread had its last user, while threads of ours may be about to
//! ask it something. So whoever asks holds the address's lock, and `config_destroy` takes the address away under it.

use std::cell::Cell;
use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;
use std::thread::{self, ThreadId};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard, RwLock};

use super::gate::Gate;
use super::guard;
use super::table::callbacks;
use super::types::MetricError;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct ConfigAddress {
    envoy: RwLock<Option<usize>>,
    /// Envoy's main thread.
    made_on: ThreadId,
}

impl ConfigAddress {
    /// The address of a configuration that is being made on this thread.
    pub(super) fn new(envoy: *mut c_void) -> Arc<Self> {
        let envoy = (!envoy.is_null()).then(|| envoy.expose_provenance());
        Arc::new(Self { envoy: RwLock::new(envoy), made_on: thread::current().id() })
    }

    /// Envoy's configuration goes: everything that is asked of it is refused from now on.
    pub(super) fn close(&self) {
        *self.envoy.write() = None;
    }

    /// Runs a definition on Envoy's configuration. Alone: Envoy's list of definitions has no lock of its own.
    pub(super) fn with_definitions<T>(
        &self,
        define: impl FnOnce(*mut c_void) -> Result<T, MetricError>,
    ) -> Result<T, MetricError> {
        let envoy = self.envoy.write();
        define(pointer(envoy.ok_or(MetricError::Unavailable)?))
    }

    /// Runs an update on Envoy's configuration, which stays until it is done.
    pub(super) fn with_updates<T>(
        &self,
        update: impl FnOnce(*mut c_void) -> Result<T, MetricError>,
    ) -> Result<T, MetricError> {
        self.with(update).unwrap_or(Err(MetricError::Unavailable))
    }

    /// Runs a body with Envoy's configuration, if it lives.
    pub(super) fn with<T>(&self, body: impl FnOnce(*mut c_void) -> T) -> Option<T> {
        // Recursive: Envoy may come back while the lock is held, and that must not wait behind who wants to write.
        let envoy = self.envoy.read_recursive();
        envoy.map(|envoy| body(pointer(envoy)))
    }

    /// Whether this is Envoy's main thread.
    pub(super) fn is_on_main(&self) -> bool {
        thread::current().id() == self.made_on
    }

    /// The same for what only the main thread may do: `None` on every other.
    pub(super) fn on_main<T>(&self, body: impl FnOnce(*mut c_void) -> T) -> Option<T> {
        if !self.is_on_main() {
            return None;
        }
        self.with(body)
    }
}

fn pointer(address: usize) -> *mut c_void {
    ptr::with_exposed_provenance_mut(address)
}

/// Open until Envoy ends.
static ENVOY: Gate = Gate::new();

/// Envoy begins to end: it will take down what the schedulers of configurations reach, and waits for them here.
pub(super) fn envoy_ends() {
    // Unit tests have an Envoy for each thread, and this process has one.
    if !cfg!(test) {
        ENVOY.close();
    }
}

thread_local! {
    static TURN: Cell<Option<MutexGuard<'static, ()>>> = const { Cell::new(None) };
}

/// Threads of ours hold a count of a configuration one at a time, so that none finds one that only another of them keeps
/// alive. Envoy's own threads need not: Envoy waits for them.
struct Turn;

impl Turn {
    fn wait() -> Option<Self> {
        static TURNS: Mutex<()> = Mutex::new(());
        if guard::is_inside_a_hook() {
            return None;
        }
        let turn = TURNS.lock();
        TURN.try_with(|mine| mine.set(Some(turn))).ok().map(|()| Self)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let _over = TURN.try_with(Cell::take);
    }
}

/// How long a thread of ours waits that is to take a configuration down. An Envoy that ends is gone by then.
const GRACE: Duration = Duration::from_secs(if cfg!(test) { 0 } else { 2 });

/// Envoy's configuration is destroyed, and its address is closed. If that is because a thread of ours has left the last
/// count, Envoy did not wait for it: it has gone on, perhaps to its end, where what belongs to the configuration is gone
/// already. That is known only of an Envoy that has told us ([`envoy_ends`]).
pub(super) fn let_envoy_end() {
    if TURN.try_with(Cell::take).is_ok_and(|turn| turn.is_some()) {
        thread::sleep(GRACE);
    }
}

/// Whether a commit holds a count of the configuration meanwhile. Known by a callback that came with the release.
fn holds_a_count() -> bool {
    callbacks().get_concurrency.is_some()
}

/// Envoy's three functions for the scheduler of one kind of configuration.
#[derive(Debug, Clone, Copy)]
pub(super) struct SchedulerCallbacks {
    pub(super) new: Option<unsafe extern "C" fn(*mut c_void) -> *mut c_void>,
    pub(super) commit: Option<unsafe extern "C" fn(*mut c_void, u64)>,
    pub(super) delete: Option<unsafe extern "C" fn(*mut c_void)>,
}

/// Brings `on_*_config_scheduled` to a configuration, on the main thread.
#[derive(Debug)]
pub struct ConfigScheduler {
    address: Arc<ConfigAddress>,
    /// Envoy's scheduler, as an address: `Send` without a promise of ours.
    scheduler: usize,
    callbacks: SchedulerCallbacks,
}

impl ConfigScheduler {
    /// A scheduler for a configuration. `None` where there is none, or the configuration is gone.
    pub(super) fn new(address: &Arc<ConfigAddress>, callbacks: SchedulerCallbacks) -> Option<Self> {
        let new = callbacks.new?;
        // SAFETY: F2, F11 under the lock.
        let scheduler = address.with(|envoy| unsafe { new(envoy) })?;
        (!scheduler.is_null()).then(|| Self {
            address: Arc::clone(address),
            scheduler: scheduler.expose_provenance(),
            callbacks,
        })
    }

    /// Asks for the hook, with a number, from any thread. False if the configuration is gone. An Envoy that ends is not asked
    /// any more, and would not come either.
    ///
    /// Not under the lock of the address: since Envoy 1.38 the call holds a count of the configuration. If that becomes the
    /// last one, `config_destroy` comes on this thread, from inside, and closes the address.
    pub fn commit(&self, event_id: u64) -> bool {
        let Some(commit) = self.callbacks.commit else { return false };
        if !holds_a_count() {
            // SAFETY: F2, F12; the configuration, and with it the main thread's loop, live while the address is locked.
            return self
                .address
                .with(|_alive| unsafe { commit(pointer(self.scheduler), event_id) })
                .is_some();
        }
        let turn = Turn::wait();
        // With the turn: whoever had it may have left the configuration's last count.
        if self.address.with(drop).is_none() {
            return false;
        }
        // SAFETY: F2, F12; the main thread's loop lives while Envoy does not end.
        let _nobody_comes = ENVOY.through(|| unsafe { commit(pointer(self.scheduler), event_id) });
        drop(turn);
        true
    }
}

impl Drop for ConfigScheduler {
    fn drop(&mut self) {
        if let Some(delete) = self.callbacks.delete {
            // SAFETY: F2, F12.
            unsafe { delete(pointer(self.scheduler)) };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::abi::testing::FakeEnvoy;

    thread_local! {
        /// Whose last count Envoy leaves when it has scheduled something.
        static LAST: RefCell<Option<Arc<ConfigAddress>>> = const { RefCell::new(None) };
    }

    /// What `config_destroy` does first, from inside the commit.
    unsafe extern "C" fn commit_and_destroy(_scheduler: *mut c_void, _event_id: u64) {
        LAST.take().unwrap().close();
    }

    #[test]
    fn a_configuration_may_end_while_it_is_scheduled() {
        let envoy = FakeEnvoy::install();
        envoy.remove_callbacks(|table| table.http_filter_config_scheduler_commit = Some(commit_and_destroy));
        let address = ConfigAddress::new(ptr::without_provenance_mut(0x40));
        let table = callbacks();
        let functions = SchedulerCallbacks {
            new: table.http_filter_config_scheduler_new,
            commit: table.http_filter_config_scheduler_commit,
            delete: table.http_filter_config_scheduler_delete,
        };
        let scheduler = ConfigScheduler::new(&address, functions).unwrap();
        LAST.set(Some(address));
        assert!(scheduler.commit(1), "nothing waits for itself");
        assert!(!scheduler.commit(2), "it is gone");
    }
}
