//! One wait of a stream's, a connection's or Envoy's start-up: until when, and what calls whoever waits.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use super::module::Module;
use super::stream::EnvoyStream;
use crate::host::vm::{Waiting, Wake};
use crate::lifecycle::slot::Slot;
use crate::telemetry::nanoseconds;

/// See the module's text. Nothing, for most.
#[derive(Debug, Default)]
pub(super) struct Wait {
    place: RefCell<Option<Waiting>>,
    /// Nothing: it has not begun, or is over.
    times: Cell<Option<Times>>,
}

/// On the clock that never goes back.
#[derive(Clone, Copy, Debug)]
struct Times {
    since: u64,
    until: u64,
}

impl Wait {
    /// Takes a place in a queue, for at most so long since the first one; false if there is no time left, or nothing that
    /// could call. Whoever comes for another place has its old moment, and with it its old place.
    pub(super) fn begin(
        &self,
        now: u64,
        longest: Duration,
        wake: impl FnOnce() -> Option<Wake>,
        join: impl FnOnce(Wake, u64) -> Waiting,
    ) -> bool {
        let first = || Times { since: now, until: now.saturating_add(nanoseconds(longest)) };
        let times = self.times.get().unwrap_or_else(first);
        if now >= times.until {
            return false;
        }
        let Some(wake) = wake() else { return false };
        // In a statement of its own: it may call others.
        let place = join(wake, times.until);
        *self.place.borrow_mut() = Some(place);
        self.times.set(Some(times));
        true
    }

    /// Whether it has a place in a queue.
    pub(super) fn is_under_way(&self) -> bool {
        self.place.borrow().is_some()
    }

    /// Whether it has had one, and is not over.
    pub(super) fn has_begun(&self) -> bool {
        self.times.get().is_some()
    }

    /// It comes to look. Answers whether it had a place.
    pub(super) fn come(&self) -> bool {
        self.place.take().map(Waiting::come).is_some()
    }

    /// Gives the place in the queue up. Answers whether there was one.
    pub(super) fn leave(&self) -> bool {
        // In a statement of its own: the next one who waits is called when the place is dropped.
        let place = self.place.take();
        place.is_some()
    }

    /// It is over. Answers since when it lasted; nothing if there was none.
    pub(super) fn end(&self) -> Option<u64> {
        self.times.take().map(|times| times.since)
    }
}

/// Takes a place among those who wait for the first generation of a plugin.
pub(super) fn for_the_first(module: &Module, slot: &Slot<EnvoyStream>, wake: Wake, until: u64) -> Waiting {
    let place = slot.wait(wake, until);
    module.registry.keeper().call_late(slot.watch(), until);
    place
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::host::vm::Watch;

    const LONGEST: Duration = Duration::from_nanos(10);

    /// Begins, or begins again, at a moment; answers until when.
    fn begin(wait: &Wait, watch: &Arc<Watch>, now: u64, longest: Duration) -> Option<u64> {
        let mut moment = None;
        let began = wait.begin(
            now,
            longest,
            || Some(Box::new(|| ())),
            |wake, until| {
                moment = Some(until);
                watch.wait(0, wake, until)
            },
        );
        assert_eq!(began, moment.is_some());
        moment
    }

    #[test]
    fn one_that_comes_in_vain_waits_on_until_its_old_moment_and_no_longer() {
        let (wait, watch) = (Wait::default(), Arc::default());
        assert_eq!(begin(&wait, &watch, 5, LONGEST), Some(15));
        assert!(wait.is_under_way() && wait.come());
        assert!(!wait.is_under_way() && wait.has_begun());
        assert_eq!(begin(&wait, &watch, 14, LONGEST), Some(15));
        assert!(wait.leave() && !wait.leave());
        assert_eq!(begin(&wait, &watch, 15, LONGEST), None);
        assert_eq!((wait.end(), wait.end()), (Some(5), None));
        assert_eq!(begin(&wait, &watch, 20, LONGEST), Some(30), "another one");
    }

    #[test]
    fn who_has_no_time_and_whom_nobody_can_call_has_not_waited() {
        let (wait, watch) = (Wait::default(), Arc::default());
        assert_eq!(begin(&wait, &watch, 5, Duration::ZERO), None);
        assert!(!wait.begin(5, LONGEST, || None, |wake, until| watch.wait(0, wake, until)));
        assert!(!wait.has_begun() && !wait.come());
        assert_eq!(wait.end(), None);
    }
}
