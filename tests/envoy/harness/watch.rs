//! What an Envoy does over a time: how much memory it holds, and how long its main thread lets others wait.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::admin::Admin;
use super::envoy::Envoy;

/// A thread that measures now and then until it is stopped.
#[derive(Debug)]
struct Sampler<T> {
    stop: Sender<()>,
    thread: JoinHandle<Vec<T>>,
}

impl<T: Send + 'static> Sampler<T> {
    fn start(pause: Duration, mut measure: impl FnMut() -> Option<T> + Send + 'static) -> Self {
        let (stop, stopped) = channel();
        let thread = std::thread::spawn(move || {
            let mut measured = Vec::new();
            while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                measured.extend(measure());
            }
            measured
        });
        Self { stop, thread }
    }

    fn stop(self) -> Vec<T> {
        drop(self.stop);
        self.thread.join().expect("measuring does not fail")
    }
}

/// Resident memory, twenty times a second.
#[derive(Debug)]
pub struct MemoryWatch(Sampler<u64>);

/// Bytes over time.
#[derive(Clone, Debug)]
pub struct Memory(pub Vec<u64>);

impl MemoryWatch {
    pub fn start(envoy: &Envoy) -> Self {
        let path = format!("/proc/{}/statm", envoy.pid());
        Self(Sampler::start(Duration::from_millis(50), move || {
            let text = std::fs::read_to_string(&path).ok()?;
            let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
            Some(pages * 4096)
        }))
    }

    pub fn stop(self) -> Memory {
        Memory(self.0.stop())
    }
}

impl Memory {
    pub fn most(&self) -> u64 {
        self.0.iter().copied().max().unwrap_or(0)
    }

    /// How much more was held, in the median, in the last third of the time than in the second.
    ///
    /// In the first, buffers and pools come to their size.
    pub fn growth(&self) -> i64 {
        let third = self.0.len() / 3;
        let median = |part: &[u64]| {
            let mut part = part.to_vec();
            part.sort_unstable();
            part.get(part.len() / 2).copied().unwrap_or(0)
        };
        let (second, last) = (median(&self.0[third..2 * third]), median(&self.0[2 * third..]));
        last.cast_signed() - second.cast_signed()
    }
}

/// The main thread: it serves the admin interface, and takes updates.
#[derive(Debug)]
pub struct MainThreadWatch(Sampler<Duration>);

/// Between two questions to the main thread.
const PAUSE: Duration = Duration::from_millis(10);

impl MainThreadWatch {
    /// Asks a hundred times a second at most, one question after the other.
    pub fn start(envoy: &Envoy) -> Self {
        let (admin, pid) = (envoy.admin(), envoy.pid());
        Self(Sampler::start(PAUSE, move || answer(admin, pid)))
    }

    pub fn stop(self) -> Answers {
        Answers::new(self.0.stop())
    }

    /// What answers take while nothing happens to the main thread.
    pub fn quiet(envoy: &Envoy) -> Answers {
        let answers = (0..40).filter_map(|_| {
            std::thread::sleep(PAUSE);
            answer(envoy.admin(), envoy.pid())
        });
        Answers::new(answers.collect())
    }
}

/// What one answer takes, without the time in which the thread that asks or the one that answers was ready to run and no
/// core was free: a busy machine is not a busy thread.
fn answer(admin: Admin, pid: u32) -> Option<Duration> {
    let paths = [format!("/proc/{pid}/schedstat"), "/proc/thread-self/schedstat".to_owned()];
    let kept_waiting = || paths.iter().map(|path| waits_for_a_core(path)).sum::<Duration>();
    let before = kept_waiting();
    let asked = Instant::now();
    admin.get("/ready")?;
    let took = asked.elapsed();
    Some(took.saturating_sub(kept_waiting().saturating_sub(before)))
}

/// How long a thread has waited for a core so far: the second number of its `schedstat`. None where the kernel does not count.
fn waits_for_a_core(path: &str) -> Duration {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    Duration::from_nanos(text.split(' ').nth(1).and_then(|number| number.parse().ok()).unwrap_or(0))
}

/// What answers of the main thread took, the quickest first.
#[derive(Clone, Debug, Default)]
pub struct Answers(Vec<Duration>);

impl Answers {
    fn new(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    pub fn longest(&self) -> Duration {
        self.0.last().copied().unwrap_or_default()
    }

    pub fn median(&self) -> Duration {
        self.0.get(self.0.len() / 2).copied().unwrap_or_default()
    }

    /// That the main thread did no more than when nothing happened. What takes cores away from a whole machine is seen by
    /// nobody and can make one answer late, so a single one may take a quarter of a second longer.
    #[track_caller]
    pub fn assert_like(&self, quiet: &Self) {
        assert!(self.0.len() > 10 && quiet.0.len() > 10, "{} and {} answers", self.0.len(), quiet.0.len());
        let (busy, own) = (self.median(), quiet.median());
        assert!(
            busy < own + Duration::from_millis(5),
            "the main thread answers in {busy:?}, in quiet times in {own:?}"
        );
        let (busy, own) = (self.longest(), quiet.longest());
        assert!(
            busy < own + Duration::from_millis(250),
            "the main thread was busy for {busy:?}, in quiet times for {own:?}"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_compared_with_those_of_a_quiet_time() {
        let answers = |typical: u64, longest: u64| {
            let mut times = vec![Duration::from_millis(typical); 20];
            times.push(Duration::from_millis(longest));
            Answers(times)
        };
        let is_like =
            |busy: Answers, quiet: Answers| std::panic::catch_unwind(|| busy.assert_like(&quiet)).is_ok();
        assert!(is_like(answers(1, 200), answers(1, 1)));
        assert!(is_like(answers(40, 500), answers(38, 300)), "the machine is busy");
        assert!(!is_like(answers(1, 300), answers(1, 1)), "once for long");
        assert!(!is_like(answers(8, 9), answers(1, 9)), "again and again");
    }

    #[test]
    fn growth_is_that_of_the_last_third() {
        assert_eq!(Memory(vec![1, 5, 9, 10, 90, 10, 10, 10, 10]).growth(), 0);
        assert_eq!(Memory(vec![1, 1, 1, 10, 10, 10, 30, 30, 30]).growth(), 20);
        assert_eq!(Memory(Vec::new()).growth(), 0);
    }
}
