//! Whether a generation is on duty: whether any slot has streams begin on it.

use std::sync::Arc;

use parking_lot::Mutex;

use super::Generation;
use crate::host::stream::Stream;

/// A slot's hold on a generation that its streams begin on. While there is one, nobody ends streams of the generation.
pub(in crate::lifecycle) struct Duty<S: Stream>(Arc<Generation<S>>);

/// Those of a generation.
#[derive(Debug, Default)]
pub(super) struct Duties(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    count: usize,
    /// When the last one ended, on the clock that never goes back.
    since: u64,
    /// The streams were ended.
    has_ended: bool,
}

impl<S: Stream> Generation<S> {
    /// Streams may begin on it until the duty is dropped. `None`: they were ended.
    pub(in crate::lifecycle) fn go_on_duty(self: &Arc<Self>) -> Option<Duty<S>> {
        let mut state = self.duties.0.lock();
        if state.has_ended {
            return None;
        }
        state.count = state.count.saturating_add(1);
        Some(Duty(Arc::clone(self)))
    }

    /// Whether streams begin on it somewhere.
    pub(in crate::lifecycle) fn is_on_duty(&self) -> bool {
        self.duties.0.lock().count > 0
    }

    /// Since when it has not been on duty, if it was.
    pub(in crate::lifecycle) fn off_duty_since(&self) -> u64 {
        self.duties.0.lock().since
    }

    /// Whether its streams were ended: none begins on it any more.
    pub(in crate::lifecycle) fn has_ended(&self) -> bool {
        self.duties.0.lock().has_ended
    }

    /// Its streams may go on no longer, unless it is on duty. Answers whether that is so now and was not before.
    pub(in crate::lifecycle) fn end_streams(&self) -> bool {
        let mut state = self.duties.0.lock();
        if state.count > 0 || state.has_ended {
            return false;
        }
        state.has_ended = true;
        drop(state);
        self.streams.end();
        self.pool.count_generation(true);
        true
    }
}

impl<S: Stream> Drop for Duty<S> {
    fn drop(&mut self) {
        let now = self.0.pool.now();
        let mut state = self.0.duties.0.lock();
        state.count = state.count.saturating_sub(1);
        state.since = now;
    }
}
