//! What a VM counts of its guest's calls: traps and their causes, and how long calls take.
//!
//! A call costs one increment. Each 64th reads the clock, twice, and its time goes to a histogram: enough for
//! percentiles of what happens often, and less than a nanosecond a call. Copies, which have to look their metric up each
//! time, do so for each 256th.

use wasmtime::Trap;

use super::{Inner, Phase, State};
use crate::engine::limits::Refusal;
use crate::host::contexts::Context;
use crate::host::hostcalls::InAllocator;
use crate::host::stream::{MetricUpdate, Services, Stream};
use crate::telemetry::stats::Stat;

/// Of so many calls of a VM one is timed. Powers of two, so that numbers may wrap.
const EVERY: u32 = 64;
const EVERY_OF_COPIES: u32 = 256;

/// Most metrics that a VM remembers, which are entry points by plugins.
const MOST_KNOWN: usize = 128;

/// Which calls are timed, and where the times go.
pub(super) struct CallTimes<M> {
    calls: u32,
    every: u32,
    /// By entry point and key of the plugin.
    known: Vec<(&'static str, u64, M)>,
}

impl<M: Clone> CallTimes<M> {
    /// Of a VM of this number. Copies, which live for a few calls, take turns that way.
    pub(super) fn new(number: u64, is_copy: bool) -> Self {
        let every = if is_copy { EVERY_OF_COPIES } else { EVERY };
        let [low, ..] = number.to_le_bytes();
        Self { calls: low.into(), every, known: Vec::new() }
    }

    /// One more call. Answers whether it is timed.
    pub(super) fn is_next_timed(&mut self) -> bool {
        self.calls = self.calls.wrapping_add(1);
        self.calls & self.every.wrapping_sub(1) == 0
    }

    fn metric(&mut self, name: &'static str, plugin: u64, define: impl FnOnce() -> M) -> M {
        let known = self.known.iter().find(|known| (known.0, known.1) == (name, plugin));
        if let Some((.., metric)) = known {
            return metric.clone();
        }
        if self.known.len() >= MOST_KNOWN {
            // Plugins came and went.
            self.known.clear();
        }
        let metric = define();
        self.known.push((name, plugin, metric.clone()));
        metric
    }
}

impl<S: Stream> Inner<S> {
    /// A call that began at this time has returned.
    #[cold]
    pub(super) fn timed(&mut self, name: &'static str, started: u64) {
        let state = self.store.data_mut();
        let took = state.services.monotonic_nanoseconds().saturating_sub(started);
        // While code starts there is no plugin; how long that takes is told by whoever starts the VM.
        let Some(root) = state.root_of(state.current).and_then(|root| state.contexts.root(root)) else {
            return;
        };
        let plugin = &root.plugin;
        let define = || state.services.stat(Stat::CallUs, &[&plugin.name, name]);
        let metric = self.times.metric(name, plugin.key, define);
        state.services.update_metric(&metric, MetricUpdate::Record(took / 1000));
        // With a stream it may wait for the next one.
        state.has_changed_metrics |= matches!(state.current, Context::Root(_));
    }

    /// A call trapped.
    pub(super) fn count_trap(&mut self, phase: Phase, error: &wasmtime::Error) {
        let plugin = self.failed_plugin.as_ref().map_or("", |plugin| &plugin.name);
        let state = self.store.data();
        let count = |stat, label| {
            let counter = state.services.stat(stat, &[plugin, label]);
            state.services.update_metric(&counter, MetricUpdate::Add(1));
        };
        let cause = state.cause(error);
        count(Stat::Traps, cause);
        if cause == DEADLINE {
            let deadline = match phase {
                Phase::Start => "start",
                Phase::Configure => "configure",
                Phase::Serve => "call",
            };
            count(Stat::DeadlineHits, deadline);
        }
        state.services.publish_metrics();
    }
}

const DEADLINE: &str = "deadline";

impl<S: Stream> State<S> {
    /// Why a call trapped, in the words of `docs/METRICS.md`.
    fn cause(&self, error: &wasmtime::Error) -> &'static str {
        let trap = error.downcast_ref::<Trap>();
        let is_in_allocator = error.downcast_ref::<InAllocator>().is_some();
        // Allocators of guests answer a refusal with a panic of theirs.
        let has_no_memory = matches!(self.limiter.last_refusal(), Some(Refusal::Memory { .. }));
        match trap {
            Some(Trap::Interrupt) => DEADLINE,
            Some(Trap::UnreachableCodeReached) if has_no_memory => "memory",
            Some(Trap::StackOverflow) => "stack",
            _ if is_in_allocator => "allocator",
            Some(Trap::UnreachableCodeReached) => "unreachable",
            Some(_) => "trap",
            None => "host",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_64th_call_is_timed_and_copies_take_turns() {
        let mut times = CallTimes::<()>::new(0, false);
        let with_clock: Vec<u32> = (1..=200).filter(|_| times.is_next_timed()).collect();
        assert_eq!(with_clock, [64, 128, 192]);
        let first_calls = (0..2560).filter(|number| CallTimes::<()>::new(*number, true).is_next_timed());
        assert_eq!(first_calls.count(), 10);
        let mut times = CallTimes::<()> { calls: u32::MAX, every: EVERY, known: Vec::new() };
        assert!(times.is_next_timed(), "numbers wrap at a multiple");
    }

    #[test]
    fn a_metric_is_defined_once_for_each_plugin_and_the_table_is_bounded() {
        let mut times = CallTimes::new(0, false);
        assert_eq!(times.metric("one", 1, || 11), 11);
        assert_eq!(times.metric("one", 1, || unreachable!()), 11);
        assert_eq!(times.metric("one", 2, || 12), 12);
        for plugin in 3..1000 {
            times.metric("one", plugin, || 0);
        }
        assert!(times.known.len() <= MOST_KNOWN);
    }
}
