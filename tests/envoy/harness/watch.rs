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

impl MainThreadWatch {
    /// Asks a hundred times a second at most, one question after the other.
    pub fn start(admin: Admin) -> Self {
        Self(Sampler::start(Duration::from_millis(10), move || {
            let asked = Instant::now();
            admin.get("/ready")?;
            Some(asked.elapsed())
        }))
    }

    /// The longest that an answer took.
    pub fn stop(self) -> Duration {
        self.0.stop().into_iter().max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_that_of_the_last_third() {
        assert_eq!(Memory(vec![1, 5, 9, 10, 90, 10, 10, 10, 10]).growth(), 0);
        assert_eq!(Memory(vec![1, 1, 1, 10, 10, 10, 30, 30, 30]).growth(), 20);
        assert_eq!(Memory(Vec::new()).growth(), 0);
    }
}
