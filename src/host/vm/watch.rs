//! What the owner of VMs is told of them, and who waits for one.
//!
//! A stream that finds all VMs taken waits here, in the order of arrival, until a VM was left or a time has passed;
//! then it is called, on the thread where that happens, and tries again on its own. Workers have queues of their own:
//! what comes free on one is no use to a stream of another.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

/// Calls a stream that waits: brings its owner's thread to it. Must not come back into the VM.
pub type Wake = Box<dyn Fn() + Send + Sync>;

/// What happened in a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// The guest trapped.
    Failed,
    /// Its memory grew.
    Grown,
}

/// Tells of what happened, from inside the VM: takes no lock that is held while a VM is entered.
pub type Tell = Box<dyn Fn(News) + Send + Sync>;

/// See the module's text. One for all VMs of an owner; any thread.
#[derive(Default)]
pub struct Watch {
    waiting: Mutex<VecDeque<Arc<Ticket>>>,
    /// How many wait, for those who only want to know whether somebody does.
    count: AtomicUsize,
    /// VMs that failed and have not been counted.
    failures: AtomicU64,
    tell: OnceLock<Tell>,
    /// Whoever waits does not wait for threads to leave VMs, but for VMs to go.
    is_for_seats: bool,
}

struct Ticket {
    queue: usize,
    wake: Wake,
    until: u64,
}

/// A place in the queue, until it is dropped.
pub struct Waiting {
    watch: Arc<Watch>,
    ticket: Arc<Ticket>,
    has_come: bool,
}

impl Watch {
    /// For streams that have a VM of their own, or none: they are called by [`call_next`](Self::call_next) alone.
    pub fn for_seats() -> Self {
        Self { is_for_seats: true, ..Self::default() }
    }

    /// A thread has left a VM. Whose that is, is not known here, so the first of each queue looks.
    pub(super) fn left(&self) {
        if self.is_for_seats || self.waiting() == 0 {
            return;
        }
        let queues: BTreeSet<usize> = self.waiting.lock().iter().map(|ticket| ticket.queue).collect();
        for queue in queues {
            self.call_next(queue);
        }
    }

    /// Waits in a queue until a moment of the clock that never goes back. All wait for equally long, so who comes back
    /// with its old moment, because it found nothing when it was called, has its old place.
    pub fn wait(self: &Arc<Self>, queue: usize, wake: Wake, until: u64) -> Waiting {
        let ticket = Arc::new(Ticket { queue, wake, until });
        let mut waiting = self.waiting.lock();
        let place = waiting.partition_point(|other| other.until <= until);
        waiting.insert(place, Arc::clone(&ticket));
        self.count.store(waiting.len(), Ordering::SeqCst);
        drop(waiting);
        Waiting { watch: Arc::clone(self), ticket, has_come: false }
    }

    /// How many wait. In one order with what they wait for, if that is [`SeqCst`](Ordering::SeqCst), too: who frees it sees
    /// who waits, or who waits sees that it is free.
    pub fn waiting(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// Whether somebody waits in a queue. Cheap while nobody does at all.
    pub fn is_waited_for(&self, queue: usize) -> bool {
        self.waiting() > 0 && self.waiting.lock().iter().any(|ticket| ticket.queue == queue)
    }

    /// A VM may be free: the first who waits in a queue is called, and waits no more.
    pub fn call_next(&self, queue: usize) {
        if self.waiting() == 0 {
            return;
        }
        let next = {
            let mut waiting = self.waiting.lock();
            let place = waiting.iter().position(|ticket| ticket.queue == queue);
            let next = place.and_then(|place| waiting.remove(place));
            self.count.store(waiting.len(), Ordering::Release);
            next
        };
        if let Some(ticket) = next {
            (ticket.wake)();
        }
    }

    /// What all wait for is there: everybody is called, and waits no more. Who comes to wait after this sees what is there:
    /// the lock, which is taken also if nobody waits, says so.
    pub fn call_all(&self) {
        let all = {
            let mut waiting = self.waiting.lock();
            self.count.store(0, Ordering::Release);
            std::mem::take(&mut *waiting)
        };
        for ticket in all {
            (ticket.wake)();
        }
    }

    /// Calls those whose time is over; answers when the next one's is.
    pub fn call_late(&self, now: u64) -> Option<u64> {
        let (late, next) = {
            let mut waiting = self.waiting.lock();
            let late: Vec<Arc<Ticket>> =
                waiting.iter().filter(|ticket| ticket.until <= now).cloned().collect();
            waiting.retain(|ticket| ticket.until > now);
            self.count.store(waiting.len(), Ordering::Release);
            (late, waiting.iter().map(|ticket| ticket.until).min())
        };
        for ticket in late {
            (ticket.wake)();
        }
        next
    }

    /// Whom to tell of what happens in the VMs. It is said once.
    pub fn on_news(&self, tell: Tell) {
        let _first = self.tell.set(tell);
    }

    /// Something happened in a VM.
    pub(super) fn note(&self, news: News) {
        if news == News::Failed {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(tell) = self.tell.get() {
            tell(news);
        }
    }

    /// How many VMs have failed since the last time that this was asked.
    pub fn take_failures(&self) -> u64 {
        self.failures.swap(0, Ordering::Relaxed)
    }
}

impl Waiting {
    /// It comes to look, called or not.
    pub fn come(mut self) {
        self.has_come = true;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut waiting = self.watch.waiting.lock();
        let before = waiting.len();
        waiting.retain(|ticket| !Arc::ptr_eq(ticket, &self.ticket));
        self.watch.count.store(waiting.len(), Ordering::Release);
        let was_called = waiting.len() == before;
        drop(waiting);
        // Called and not coming: the next one may have the VM.
        if was_called && !self.has_come {
            self.watch.call_next(self.ticket.queue);
        }
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Watch").field("waiting", &self.waiting()).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Waiting").field("until", &self.ticket.until).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counter() -> (Arc<AtomicUsize>, Wake) {
        let calls = Arc::new(AtomicUsize::new(0));
        let wake = Arc::clone(&calls);
        let count = move || {
            wake.fetch_add(1, Ordering::Relaxed);
        };
        (calls, Box::new(count))
    }

    fn calls(counter: &AtomicUsize) -> usize {
        counter.load(Ordering::Relaxed)
    }

    #[test]
    fn who_came_first_is_called_first() {
        let watch = Arc::new(Watch::default());
        let ((one, wake_one), (two, wake_two)) = (counter(), counter());
        let first = watch.wait(0, wake_one, 10);
        let second = watch.wait(0, wake_two, 10);
        watch.call_next(0);
        assert_eq!((calls(&one), calls(&two), watch.waiting()), (1, 0, 1));
        drop(first);
        assert_eq!(calls(&two), 1, "the first was called and went away, so it is the second's turn");
        drop(second);
        watch.call_next(0);
        assert_eq!((calls(&one), calls(&two), watch.waiting()), (1, 1, 0));
    }

    #[test]
    fn who_comes_and_finds_nothing_calls_nobody() {
        let watch = Arc::new(Watch::default());
        let ((_, wake_one), (two, wake_two)) = (counter(), counter());
        let first = watch.wait(0, wake_one, 10);
        let _second = watch.wait(0, wake_two, 10);
        watch.call_next(0);
        first.come();
        assert_eq!((calls(&two), watch.waiting()), (0, 1));
    }

    #[test]
    fn who_comes_and_finds_nothing_is_the_next_again() {
        let watch = Arc::new(Watch::default());
        let ((one, wake_one), (two, wake_two)) = (counter(), counter());
        let first = watch.wait(0, wake_one, 10);
        let _second = watch.wait(0, wake_two, 11);
        watch.call_next(0);
        first.come();
        let again = Arc::clone(&one);
        let wake = move || {
            again.fetch_add(1, Ordering::Relaxed);
        };
        let _first = watch.wait(0, Box::new(wake), 10);
        watch.call_next(0);
        assert_eq!((calls(&one), calls(&two)), (2, 0));
    }

    #[test]
    fn queues_are_called_apart_and_all_of_them_when_a_vm_was_left() {
        let watch = Arc::new(Watch::default());
        let ((one, wake_one), (two, wake_two)) = (counter(), counter());
        let _first = watch.wait(3, wake_one, 10);
        let _second = watch.wait(4, wake_two, 10);
        assert!(watch.is_waited_for(4) && !watch.is_waited_for(5));
        watch.call_next(5);
        watch.call_next(4);
        assert_eq!((calls(&one), calls(&two)), (0, 1));
        let (three, wake_three) = counter();
        let _third = watch.wait(4, wake_three, 10);
        watch.left();
        assert_eq!((calls(&one), calls(&two), calls(&three), watch.waiting()), (1, 1, 1, 0));
    }

    #[test]
    fn who_goes_is_not_called() {
        let watch = Arc::new(Watch::default());
        let (one, wake) = counter();
        drop(watch.wait(0, wake, 10));
        watch.call_next(0);
        assert_eq!((calls(&one), watch.call_late(100)), (0, None));
    }

    #[test]
    fn who_is_late_is_called_and_the_next_time_told() {
        let watch = Arc::new(Watch::default());
        let ((one, wake_one), (two, wake_two)) = (counter(), counter());
        let _first = watch.wait(0, wake_one, 10);
        let _second = watch.wait(0, wake_two, 20);
        assert_eq!((watch.call_late(9), watch.call_late(10)), (Some(10), Some(20)));
        assert_eq!((calls(&one), calls(&two)), (1, 0));
    }

    #[test]
    fn failures_are_told_and_counted() {
        let watch = Watch::default();
        watch.note(News::Failed);
        let told = Arc::new(Mutex::new(Vec::new()));
        let list = Arc::clone(&told);
        watch.on_news(Box::new(move |news| list.lock().push(news)));
        watch.note(News::Grown);
        watch.note(News::Failed);
        assert_eq!(*told.lock(), [News::Grown, News::Failed]);
        assert_eq!((watch.take_failures(), watch.take_failures()), (2, 0));
    }
}
