//! Requests at a steady pace, whatever becomes of them, and what each was answered.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::client::{Connection, Response};
use crate::failure::{Failure, Outcome};

/// A new connection after so many requests: it goes to any of the workers.
const KEPT: u32 = 10;

/// A request's time, what its answer said, and what was wrong with it, if anything.
#[derive(Debug)]
pub struct Exchange {
    pub begin: Instant,
    pub end: Instant,
    /// What an answer that was right said of the plugin.
    pub mark: String,
    pub wrong: Option<String>,
}

impl Exchange {
    pub fn overlaps(&self, other: &Self) -> bool {
        self.is_within(other.begin, other.end)
    }

    /// Whether it was under way at some moment of a time.
    pub fn is_within(&self, begin: Instant, end: Instant) -> bool {
        self.begin <= end && begin <= self.end
    }

    pub fn took(&self) -> Duration {
        self.end.duration_since(self.begin)
    }
}

/// How many clients send, and how often each does.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    pub clients: u32,
    pub pause: Duration,
}

impl Pace {
    /// Requests a second, all clients together.
    pub fn rate(self) -> u128 {
        u128::from(self.clients) * 1000 / self.pause.as_millis().max(1)
    }
}

/// What the answer says of the plugin, or what is wrong with it.
type Judge = fn(&Response) -> Result<String, String>;

/// A load that runs, until it is stopped or dropped.
pub struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<Vec<Exchange>>>,
}

#[derive(Default)]
struct Shared {
    is_over: AtomicBool,
    marks: Mutex<HashSet<String>>,
}

impl Load {
    pub fn start(address: SocketAddr, pace: Pace, judge: Judge) -> Self {
        let shared = Arc::<Shared>::default();
        let client = |place: u32| {
            let shared = Arc::clone(&shared);
            // They take turns.
            let first = Instant::now() + pace.pause * place / pace.clients;
            std::thread::spawn(move || send(address, first, pace.pause, judge, &shared))
        };
        let clients = (0..pace.clients).map(client).collect();
        Self { shared, clients }
    }

    /// Whether an answer said that already.
    pub fn has_seen(&self, mark: &str) -> bool {
        self.shared.marks.lock().unwrap_or_else(PoisonError::into_inner).contains(mark)
    }

    /// All exchanges, in the order in which they ended.
    pub fn stop(mut self) -> Outcome<Vec<Exchange>> {
        self.shared.is_over.store(true, Ordering::Relaxed);
        let mut exchanges = Vec::new();
        for client in std::mem::take(&mut self.clients) {
            exchanges
                .extend(client.join().map_err(|_| Failure("a client of the benchmark panicked".to_owned()))?);
        }
        exchanges.sort_by_key(|exchange| exchange.end);
        Ok(exchanges)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
    }
}

fn send(
    address: SocketAddr,
    first: Instant,
    pause: Duration,
    judge: Judge,
    shared: &Shared,
) -> Vec<Exchange> {
    let mut exchanges = Vec::new();
    let mut connection = None;
    let mut next = first;
    for count in 0.. {
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        if shared.is_over.load(Ordering::Relaxed) {
            break;
        }
        next += pause;
        if count % KEPT == 0 {
            connection = None;
        }
        let begin = Instant::now();
        let opened = connection.take().map_or_else(|| Connection::open(address), Ok);
        let answer = opened.and_then(|mut opened| opened.get(&[]).map(|response| (opened, response)));
        let end = Instant::now();
        let said = match answer {
            Err(error) => Err(format!("{:?}", error.kind())),
            Ok((opened, response)) => {
                if response.header("connection") != Some("close") {
                    connection = Some(opened);
                }
                match response.status {
                    200 => judge(&response),
                    status => Err(format!("status {status}")),
                }
            }
        };
        let (mark, wrong) = match said {
            Ok(mark) => {
                let mut marks = shared.marks.lock().unwrap_or_else(PoisonError::into_inner);
                if !marks.contains(&mark) {
                    marks.insert(mark.clone());
                }
                (mark, None)
            }
            Err(wrong) => (String::new(), Some(wrong)),
        };
        exchanges.push(Exchange { begin, end, mark, wrong });
    }
    exchanges
}
