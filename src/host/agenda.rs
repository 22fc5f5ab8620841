//! The agenda: what happens to VMs without a stream. Ticks, messages on shared queues, replies to calls of root
//! contexts.
//!
//! Envoy gives an HTTP filter no timer and no thread to run such things on, so one thread of ours works the agenda off
//! (`lifecycle` starts it). It enters each VM through the VM's lock, as the workers do; so a plugin never runs in two
//! threads at once, and a worker waits for a tick of its plugin exactly as it would if the tick ran on the worker.
//!
//! VMs are known here by a number, never used again. What is for a VM that is gone is dropped.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::calls::{Reply, Token};
use super::shared::{Queue, Reader, WakeUps};
use super::stream::Stream;
use super::vm::{Lease, WeakLease};

/// Something for a VM.
#[derive(Debug)]
pub enum Event {
    /// A message was put on a queue: `proxy_on_queue_ready` of a root context.
    QueueReady {
        /// The root context.
        reader: Reader,
        /// The queue.
        queue: Arc<Queue>,
    },
    /// Part of a reply to a callout.
    Reply(Token, Reply),
}

/// See the module's text. Any thread.
pub struct Agenda<S: Stream> {
    plan: Mutex<Plan<S>>,
    changed: Condvar,
    last_vm: AtomicU64,
}

struct Plan<S: Stream> {
    vms: HashMap<u64, WeakLease<S>>,
    /// Ticks in the order in which they are due: time, VM, root.
    ticks: BTreeSet<(u64, u64, u32)>,
    /// When a root's next tick is due: each has one at most, however often its plugin changes the period.
    due: HashMap<(u64, u32), u64>,
    events: VecDeque<(u64, Event)>,
    turns: Turns,
}

/// Whose turn it is while both ticks and events wait. Both can come without end, so each has as much of the thread's time
/// as the other.
#[derive(Default)]
struct Turns {
    /// How much longer ticks took than events, in nanoseconds, as far as the others waited meanwhile.
    ticks_lead: i64,
    /// What was begun last, and when: whether it was a tick.
    under_way: Option<(bool, u64)>,
}

/// What is to be done next.
enum Next<S: Stream> {
    Event(Lease<S>, Event),
    Tick(Lease<S>, u32),
    /// Nothing before this time, or before the agenda changes.
    Nothing(Option<u64>),
}

impl<S: Stream> Default for Agenda<S> {
    fn default() -> Self {
        let plan = Plan {
            vms: HashMap::new(),
            ticks: BTreeSet::new(),
            due: HashMap::new(),
            events: VecDeque::new(),
            turns: Turns::default(),
        };
        Self { plan: Mutex::new(plan), changed: Condvar::new(), last_vm: AtomicU64::new(0) }
    }
}

impl<S: Stream> Agenda<S> {
    /// A number for a VM.
    pub(super) fn number(&self) -> u64 {
        self.last_vm.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// From now on the VM of this number can be entered.
    pub(super) fn add(&self, vm: u64, lease: WeakLease<S>) {
        self.plan.lock().vms.insert(vm, lease);
    }

    /// The VM of this number is gone.
    pub(super) fn forget(&self, vm: u64) {
        self.plan.lock().vms.remove(&vm);
        self.forget_ticks(vm);
    }

    /// The VM of this number ticks no more.
    pub(super) fn forget_ticks(&self, vm: u64) {
        let mut plan = self.plan.lock();
        let roots: Vec<(u64, u32)> = plan.due.keys().filter(|(owner, _)| *owner == vm).copied().collect();
        for (vm, root) in roots {
            plan.set_tick(vm, root, None);
        }
    }

    /// When a root's next tick is due, in nanoseconds of the clock that never goes back; `None`: not at all.
    pub(super) fn set_tick(&self, vm: u64, root: u32, due: Option<u64>) {
        self.plan.lock().set_tick(vm, root, due);
        self.changed.notify_one();
    }

    /// Puts an event on the agenda.
    pub fn post(&self, vm: u64, event: Event) {
        self.plan.lock().events.push_back((vm, event));
        self.changed.notify_one();
    }

    /// Puts wake-ups on the agenda, if there are any.
    pub(super) fn wake(&self, queue: &Arc<Queue>, wake_ups: Option<WakeUps>) {
        if let Some(wake_ups) = wake_ups {
            self.plan.lock().wake(queue, wake_ups);
            self.changed.notify_one();
        }
    }

    /// The VM of a number, if it lives.
    pub fn lease(&self, vm: u64) -> Option<Lease<S>> {
        self.plan.lock().vms.get(&vm).and_then(WeakLease::upgrade)
    }

    /// Does all that is due; answers when the next tick is.
    pub fn work(&self, now: impl Fn() -> u64) -> Option<u64> {
        loop {
            // Taken in a statement of its own: nothing of the plan is locked while a guest runs.
            let next = self.plan.lock().next(now());
            match next {
                Next::Event(lease, Event::QueueReady { reader, queue }) => {
                    queue.woken();
                    let is_told = lease.lock().on_queue_ready(reader.root, queue.token());
                    if !is_told {
                        self.wake(&queue, queue.missed(reader));
                    }
                }
                Next::Event(lease, Event::Reply(token, reply)) => lease.lock().on_reply(token, reply),
                Next::Tick(lease, root) => lease.lock().on_tick(root),
                Next::Nothing(due) => return due,
            }
        }
    }

    /// Works until the process ends.
    pub fn work_for_ever(&self, now: impl Fn() -> u64) {
        loop {
            let due = self.work(&now);
            let mut plan = self.plan.lock();
            if !plan.events.is_empty() {
                continue;
            }
            match due.and(plan.ticks.first().map(|(due, _, _)| *due)) {
                Some(due) => {
                    let wait = Duration::from_nanos(due.saturating_sub(now()));
                    self.changed.wait_for(&mut plan, wait);
                }
                None if plan.ticks.is_empty() => self.changed.wait(&mut plan),
                None => {}
            }
        }
    }
}

impl<S: Stream> Plan<S> {
    fn set_tick(&mut self, vm: u64, root: u32, due: Option<u64>) {
        let old = match due {
            Some(due) => self.due.insert((vm, root), due),
            None => self.due.remove(&(vm, root)),
        };
        if let Some(old) = old {
            self.ticks.remove(&(old, vm, root));
        }
        if let Some(due) = due {
            self.ticks.insert((due, vm, root));
        }
    }

    fn next(&mut self, now: u64) -> Next<S> {
        let is_tick_due = self.ticks.first().is_some_and(|(due, _, _)| *due <= now);
        let next = if self.turns.is_event_next(now, is_tick_due, !self.events.is_empty()) {
            self.next_event().or_else(|| self.next_tick(now))
        } else {
            self.next_tick(now).or_else(|| self.next_event())
        };
        self.turns.under_way = next.as_ref().map(|next| (matches!(next, Next::Tick(..)), now));
        next.unwrap_or_else(|| Next::Nothing(self.ticks.first().map(|(due, _, _)| *due)))
    }

    fn next_tick(&mut self, now: u64) -> Option<Next<S>> {
        while let Some((_, vm, root)) = self.ticks.first().copied().filter(|(due, _, _)| *due <= now) {
            self.set_tick(vm, root, None);
            if let Some(lease) = self.vms.get(&vm).and_then(WeakLease::upgrade) {
                return Some(Next::Tick(lease, root));
            }
        }
        None
    }

    fn next_event(&mut self) -> Option<Next<S>> {
        while let Some((vm, event)) = self.events.pop_front() {
            match self.vms.get(&vm).and_then(WeakLease::upgrade) {
                Some(lease) => return Some(Next::Event(lease, event)),
                None => self.lack_a_vm(event),
            }
        }
        None
    }

    fn wake(&mut self, queue: &Arc<Queue>, WakeUps { reader, count }: WakeUps) {
        let event = || (reader.vm, Event::QueueReady { reader, queue: Arc::clone(queue) });
        self.events.extend(std::iter::repeat_with(event).take(count));
    }

    /// The VM of an event is gone. Others that registered the queue are told in its place.
    fn lack_a_vm(&mut self, event: Event) {
        match event {
            Event::QueueReady { reader, queue } => {
                queue.woken();
                if let Some(wake_ups) = queue.missed(reader) {
                    self.wake(&queue, wake_ups);
                }
            }
            Event::Reply(..) => {}
        }
    }
}

impl Turns {
    /// What was under way is over, and this waits now. Who does not wait has nothing to catch up on.
    fn is_event_next(&mut self, now: u64, is_tick_due: bool, has_event: bool) -> bool {
        if let Some((was_tick, began)) = self.under_way.take() {
            // At least something: they take turns on a clock that stands still.
            let took = i64::try_from(now.saturating_sub(began)).unwrap_or(i64::MAX).max(1);
            let change = if was_tick { took } else { took.saturating_neg() };
            self.ticks_lead = self.ticks_lead.saturating_add(change);
        }
        if !is_tick_due {
            self.ticks_lead = self.ticks_lead.max(0);
        }
        if !has_event {
            self.ticks_lead = self.ticks_lead.min(0);
        }
        self.ticks_lead > 0
    }
}

impl<S: Stream> std::fmt::Debug for Agenda<S> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Agenda").finish_non_exhaustive()
    }
}
