//! The thread that works the agenda off: `graft:agenda`, one per process, for as long as the process lives.

use std::sync::Arc;
use std::thread;

use super::attempt::attempt;
use super::error::LoadError;
use crate::host::commons::Commons;
use crate::host::stream::{Services as _, Stream};

/// Starts the thread.
///
/// # Errors
/// The system gives no thread.
pub fn work_off<S: Stream>(commons: &Arc<Commons<S>>) -> Result<(), LoadError> {
    let commons = Arc::clone(commons);
    thread::Builder::new()
        .name("graft:agenda".to_owned())
        .spawn(move || {
            loop {
                // What it was at is off the agenda, and the VM that it was in is dead.
                let _done =
                    attempt(|| commons.agenda.work_for_ever(|| commons.services.monotonic_nanoseconds()));
            }
        })
        .map(drop)
        .map_err(|error| LoadError::Thread(error.to_string()))
}
