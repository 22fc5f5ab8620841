//! Names to addresses, by the system's resolver: `graft:resolver`, a few threads that the first lookup starts.
//!
//! The system's resolver holds the thread that asks, for as long as its name servers do not answer, and cannot be
//! interrupted. So neither Envoy's threads nor the agenda ask it. Plugins are hostile: VMs take turns, one VM never
//! holds all threads, and what may wait is bounded; the rest has failed at once.

mod names;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::thread;

use parking_lot::{Condvar, Mutex};

use crate::host::calls::{Found, Lookup, Token};

/// Most threads. A lookup waits more than it works.
const MOST_THREADS: usize = 4;

/// Most threads that work for one VM, so that names of one that lead nowhere do not stop the others.
const MOST_FOR_ONE: usize = 2;

/// Most lookups that wait, of all VMs. Each VM has a bound of its own too (`graft.limits.callouts`), but VMs come and go.
const MOST_WAITING: usize = 10_000;

/// Who asks. Called on any thread.
pub trait Asker: Send + Sync + 'static {
    /// Whether a VM lives, so that an answer would find it.
    fn has(&self, vm: u64) -> bool;

    /// What became of a name that a VM asked for.
    fn answer(&self, vm: u64, token: Token, found: &Found);

    /// Asks the system.
    fn look_up(&self, name: &[u8]) -> Found {
        names::look_up(name)
    }
}

/// See the module's text. One per process.
#[derive(Debug)]
pub struct Resolver<A: Asker>(Arc<Desk<A>>);

#[derive(Debug)]
struct Desk<A> {
    asker: A,
    work: Mutex<Work>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Work {
    /// By VM.
    waiting: BTreeMap<u64, VecDeque<Lookup>>,
    count: usize,
    /// The VM whose turn it was last.
    last: u64,
    /// VMs that threads work for now.
    busy: Vec<u64>,
    threads: usize,
    idle: usize,
}

impl<A: Asker> Resolver<A> {
    /// A resolver without threads yet.
    pub fn new(asker: A) -> Self {
        Self(Arc::new(Desk { asker, work: Mutex::default(), changed: Condvar::new() }))
    }

    /// Takes a lookup; its answer comes later, on another thread, or at once if too many wait.
    pub fn resolve(&self, vm: u64, lookup: Lookup) {
        let desk = &self.0;
        let mut work = desk.work.lock();
        if work.count >= MOST_WAITING {
            drop(work);
            return desk.asker.answer(vm, lookup.token, &Found::Failed);
        }
        work.add(vm, lookup);
        if work.idle >= work.count || work.threads >= MOST_THREADS {
            desk.changed.notify_one();
            return;
        }
        work.threads = work.threads.saturating_add(1);
        drop(work);
        let of_thread = Arc::clone(desk);
        let spawned =
            thread::Builder::new().name("graft:resolver".to_owned()).spawn(move || of_thread.work_for_ever());
        if spawned.is_err() {
            desk.has_no_thread();
        }
    }
}

impl<A: Asker> Desk<A> {
    fn work_for_ever(&self) {
        let mut done_for = None;
        loop {
            let (vm, lookup) = self.next(done_for);
            // A VM that is gone has nobody to be told.
            if self.asker.has(vm) {
                let found = self.asker.look_up(&lookup.name);
                self.asker.answer(vm, lookup.token, &found);
            }
            done_for = Some(vm);
        }
    }

    fn next(&self, done_for: Option<u64>) -> (u64, Lookup) {
        let mut work = self.work.lock();
        if let Some(place) = work.busy.iter().position(|vm| Some(*vm) == done_for) {
            work.busy.swap_remove(place);
        }
        loop {
            if let Some(next) = work.take() {
                return next;
            }
            work.idle = work.idle.saturating_add(1);
            self.changed.wait(&mut work);
            work.idle = work.idle.saturating_sub(1);
        }
    }

    /// The system gives no thread. If there is none at all, nobody would ever answer.
    fn has_no_thread(&self) {
        let mut work = self.work.lock();
        work.threads = work.threads.saturating_sub(1);
        if work.threads > 0 {
            return;
        }
        work.count = 0;
        let waiting = std::mem::take(&mut work.waiting);
        drop(work);
        for (vm, lookups) in waiting {
            for lookup in lookups {
                self.asker.answer(vm, lookup.token, &Found::Failed);
            }
        }
    }
}

impl Work {
    fn add(&mut self, vm: u64, lookup: Lookup) {
        self.count = self.count.saturating_add(1);
        self.waiting.entry(vm).or_default().push_back(lookup);
    }

    /// The next lookup: of the first VM behind the last one that does not have its threads.
    fn take(&mut self) -> Option<(u64, Lookup)> {
        let has_its_threads = |vm: u64| self.busy.iter().filter(|busy| **busy == vm).count() >= MOST_FOR_ONE;
        let behind = self.waiting.range(self.last.saturating_add(1)..);
        let vm = behind.chain(&self.waiting).map(|(vm, _)| *vm).find(|vm| !has_its_threads(*vm))?;
        let lookups = self.waiting.get_mut(&vm)?;
        let lookup = lookups.pop_front()?;
        if lookups.is_empty() {
            self.waiting.remove(&vm);
        }
        self.count = self.count.saturating_sub(1);
        self.last = vm;
        self.busy.push(vm);
        Some((vm, lookup))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;
    use std::time::Duration;

    /// Records answers, and lets names that begin with `slow` wait until a gate is opened.
    #[derive(Clone, Default)]
    struct Plain(Arc<(Mutex<Seen>, Condvar)>);

    #[derive(Clone, Debug, Default)]
    struct Seen {
        /// VM, token, what was found.
        answers: Vec<(u64, u32, Found)>,
        names: Vec<String>,
        is_open: bool,
    }

    impl Asker for Plain {
        fn has(&self, vm: u64) -> bool {
            vm != 9
        }

        fn answer(&self, vm: u64, token: Token, found: &Found) {
            self.0.0.lock().answers.push((vm, token.0, found.clone()));
            self.0.1.notify_all();
        }

        fn look_up(&self, name: &[u8]) -> Found {
            let name = String::from_utf8_lossy(name).into_owned();
            let mut seen = self.0.0.lock();
            seen.names.push(name.clone());
            self.0.1.notify_all();
            while name.starts_with("slow") && !seen.is_open {
                self.0.1.wait(&mut seen);
            }
            here()
        }
    }

    impl Plain {
        fn open(&self) {
            self.0.0.lock().is_open = true;
            self.0.1.notify_all();
        }

        fn seen(&self) -> Seen {
            self.0.0.lock().clone()
        }

        fn await_that(&self, what: impl Fn(&Seen) -> bool) {
            let mut seen = self.0.0.lock();
            while !what(&seen) {
                assert!(!self.0.1.wait_for(&mut seen, Duration::from_secs(20)).timed_out(), "{seen:?}");
            }
        }
    }

    fn here() -> Found {
        Found::Addresses(vec![IpAddr::from([127, 0, 0, 1])])
    }

    fn lookup(token: u32, name: &str) -> Lookup {
        Lookup::of_its_own(Token(token), name)
    }

    #[test]
    fn a_name_is_answered_to_who_asked() {
        let asker = Plain::default();
        let resolver = Resolver::new(asker.clone());
        resolver.resolve(1, lookup(3, "one"));
        resolver.resolve(9, lookup(7, "of a VM that is gone"));
        resolver.resolve(2, lookup(11, "two"));
        asker.await_that(|seen| seen.answers.len() == 2);
        let Seen { mut answers, names, .. } = asker.seen();
        answers.sort_by_key(|(vm, ..)| *vm);
        assert_eq!(answers, [(1, 3, here()), (2, 11, here())]);
        assert!(!names.iter().any(|name| name.contains("gone")), "{names:?}");
    }

    #[test]
    fn a_vm_whose_names_lead_nowhere_stops_no_other() {
        let asker = Plain::default();
        let resolver = Resolver::new(asker.clone());
        for number in 0..20 {
            resolver.resolve(1, lookup(number, "slow"));
        }
        asker.await_that(|seen| seen.names.len() == MOST_FOR_ONE);
        resolver.resolve(2, lookup(3, "two"));
        asker.await_that(|seen| seen.answers.iter().any(|(vm, ..)| *vm == 2));
        assert_eq!(asker.seen().names.iter().filter(|name| *name == "slow").count(), MOST_FOR_ONE);
        asker.open();
        asker.await_that(|seen| seen.answers.len() == 21);
        assert!(resolver.0.work.lock().threads <= MOST_THREADS);
    }

    #[test]
    fn what_waits_is_bounded_and_the_rest_has_failed() {
        let asker = Plain::default();
        let resolver = Resolver::new(asker.clone());
        for _ in 0..=MOST_WAITING + MOST_FOR_ONE {
            resolver.resolve(1, lookup(3, "slow"));
        }
        asker.await_that(|seen| !seen.answers.is_empty());
        assert!(asker.seen().answers.iter().all(|(.., found)| *found == Found::Failed));
        asker.open();
        asker.await_that(|seen| seen.answers.len() == MOST_WAITING + MOST_FOR_ONE + 1);
    }

    #[test]
    fn vms_take_turns() {
        let mut work = Work::default();
        for (vm, token) in [(1, 10), (1, 11), (2, 20), (3, 30), (2, 21)] {
            work.add(vm, lookup(token, ""));
        }
        let taken: Vec<u32> = std::iter::from_fn(|| work.take()).map(|(_, lookup)| lookup.token.0).collect();
        // One VM has two threads at most: its third lookup would wait until one is done.
        assert_eq!(taken, [10, 20, 30, 11, 21]);
        assert_eq!(work.count, 0);
    }
}
