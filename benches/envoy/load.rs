//! Load, by h2load.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::failure::{Doing as _, Outcome, fail};
use crate::workloads::REQUEST_HEADERS;

/// Connections, each with one request under way: enough that the worker always has something to do.
const CONNECTIONS: u64 = 8;

/// How many requests take a time, at a rate.
pub fn requests_within(rate: f64, time: Duration) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is a count")]
    let requests = (rate * time.as_secs_f64()) as u64;
    requests.clamp(200, 100_000)
}

/// What h2load found.
#[derive(Clone, Debug)]
pub struct Load {
    pub requests: u64,
    pub seconds: f64,
    /// Times of the requests in microseconds, in ascending order.
    times: Vec<u32>,
}

impl Load {
    pub fn rate(&self) -> f64 {
        self.requests as f64 / self.seconds
    }

    /// The time that this part of the requests kept, in microseconds.
    pub fn percentile(&self, part: f64) -> f64 {
        let last = self.times.len().saturating_sub(1);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in the list")]
        let place = (part * last as f64).round() as usize;
        self.times.get(place).copied().unwrap_or_default().into()
    }
}

/// Sends so many requests, all of which must be answered with success. `wrapper` goes before the command.
pub fn run(wrapper: &[String], address: SocketAddr, requests: u64, folder: &Path) -> Outcome<Load> {
    let log = folder.join("h2load.log");
    let _ = fs::remove_file(&log);
    let mut words = wrapper.to_vec();
    words.extend(["h2load".to_owned(), "--h1".to_owned()]);
    words.extend(["-t".to_owned(), "1".to_owned(), "-c".to_owned(), CONNECTIONS.to_string()]);
    words.extend(["-n".to_owned(), requests.to_string()]);
    for (name, value) in REQUEST_HEADERS {
        words.extend(["-H".to_owned(), format!("{name}: {value}")]);
    }
    let (program, arguments) = words.split_first().doing("a command to run")?;
    let output = Command::new(program)
        .args(arguments)
        .arg("--log-file")
        .arg(&log)
        .arg(format!("http://{address}/"))
        .stdin(Stdio::null())
        .output()
        .doing("no h2load; tools/packages installs it")?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !text.contains(&format!("status codes: {requests} 2xx")) {
        let errors = String::from_utf8_lossy(&output.stderr);
        return fail(format!("not every request was answered with success:\n{text}{errors}"));
    }
    let seconds = finished(&text).doing(format!("the output of h2load is not understood:\n{text}"))?;
    let times = fs::read_to_string(&log).doing("reading the log of h2load")?;
    // A line is the time at which a request began, its status, and how long it took, in microseconds.
    let mut times: Vec<u32> =
        times.lines().filter_map(|line| line.split('\t').nth(2)?.parse().ok()).collect();
    times.sort_unstable();
    Ok(Load { requests, seconds: seconds.as_secs_f64(), times })
}

/// The time in a line as `finished in 1.02s, 20000.00 req/s, …`.
fn finished(text: &str) -> Option<Duration> {
    let word = text.lines().find_map(|line| line.strip_prefix("finished in "))?.split(',').next()?;
    let digits = word.trim_end_matches(char::is_alphabetic);
    let number: f64 = digits.parse().ok()?;
    match word.strip_prefix(digits)? {
        "s" => Some(Duration::from_secs_f64(number)),
        "ms" => Some(Duration::from_secs_f64(number / 1e3)),
        "us" => Some(Duration::from_secs_f64(number / 1e6)),
        _ => None,
    }
}
