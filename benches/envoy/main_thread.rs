//! How long Envoy's main thread lets others wait: its admin interface is asked again and again.
//!
//! What an answer takes includes that some other thread had the processor. So what counts is the difference to what the same
//! questions take, in the median, at a time when nothing is done; and of several times the median: a machine that is busy
//! makes an answer late now and then, a main thread that is busy makes one late each time.

use std::net::SocketAddr;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::client::Connection;
use crate::failure::{Doing as _, Failure, Outcome};

/// Between an answer and the next question.
pub const PAUSE: Duration = Duration::from_millis(2);

/// When a question was asked, and when it was answered.
type Question = (Instant, Instant);

/// Asks until it is stopped.
pub struct Watch {
    stop: Sender<()>,
    thread: JoinHandle<Vec<Question>>,
}

/// All questions of a watch.
pub struct Questions(Vec<Question>);

impl Watch {
    pub fn start(admin: SocketAddr) -> Outcome<Self> {
        let mut connection = Connection::open(admin).doing("a connection to the admin interface")?;
        let (stop, stopped) = channel();
        let thread = std::thread::spawn(move || {
            let mut questions = Vec::new();
            while stopped.recv_timeout(PAUSE) == Err(RecvTimeoutError::Timeout) {
                let asked = Instant::now();
                if connection.get_path("/ready", &[]).is_err() {
                    break;
                }
                questions.push((asked, Instant::now()));
            }
            questions
        });
        Ok(Self { stop, thread })
    }

    pub fn stop(self) -> Outcome<Questions> {
        drop(self.stop);
        let questions = self.thread.join();
        Ok(Questions(questions.map_err(|_| Failure("the watch of the main thread panicked".to_owned()))?))
    }
}

impl Questions {
    /// The longest that an answer took which was waited for in this time; nothing if none was.
    pub fn longest_within(&self, begin: Instant, end: Instant) -> Option<Duration> {
        self.within(begin, end).max()
    }

    /// What answers took in the median which were waited for in this time.
    pub fn median_within(&self, begin: Instant, end: Instant) -> Option<Duration> {
        let mut within: Vec<Duration> = self.within(begin, end).collect();
        within.sort_unstable();
        within.get(within.len() / 2).copied()
    }

    fn within(&self, begin: Instant, end: Instant) -> impl Iterator<Item = Duration> + '_ {
        let within = self.0.iter().filter(move |(asked, answered)| *asked <= end && begin <= *answered);
        within.map(|(asked, answered)| answered.duration_since(*asked))
    }
}
