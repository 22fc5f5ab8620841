//! Arbitrary input for a while: guests that call everything with anything, bytes that are almost pairs, bytes that are
//! almost code. Nothing may panic, and whatever happens to one VM, the others do not notice.
//!
//! Cases are numbered and each draws its numbers from a seed of its own, so that one that fails is run again alone:
//! the message gives the command. `FUZZ_SECONDS` is how long each target runs (3 unless set: the ordinary test run);
//! `FUZZ_SEED` is the first case. With neither, the cases are the same in each run; with `FUZZ_SECONDS` alone they
//! begin where the clock says.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::format_collect,
    clippy::format_push_string,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test that meets the unexpected fails, and its items are nobody's interface"
)]

mod code;
#[path = "../host/guest.rs"]
#[allow(dead_code, reason = "the harness of tests/host, of which less is needed here")]
mod guest;
mod hostile;
mod life;
mod numbers;
mod pairs;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use numbers::Numbers;

/// A number from the environment.
fn setting(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is {value:?}, expected a number")))
}

/// Runs a case again and again until the time is over, each with numbers of its own; answers how many ran.
fn for_a_while(target: &str, mut case: impl FnMut(&mut Numbers)) -> u64 {
    let seconds = setting("FUZZ_SECONDS");
    let first = setting("FUZZ_SEED").unwrap_or_else(|| match seconds {
        Some(_) => u64::from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos()) << 32,
        None => 0,
    });
    println!("{target}: the first seed is {first}");
    let end = Instant::now() + Duration::from_secs(seconds.unwrap_or(3));
    let mut seed = first;
    while Instant::now() < end {
        let _told_if_it_fails = Told { target, seed };
        case(&mut Numbers::new(seed));
        seed += 1;
    }
    println!("{target}: {} cases", seed - first);
    seed - first
}

/// Says how to run a case again when it panics.
struct Told<'a> {
    target: &'a str,
    seed: u64,
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!(
                "{0} failed; again: FUZZ_SEED={1} FUZZ_SECONDS=1 cargo test --release --test fuzz {0} -- --nocapture",
                self.target, self.seed
            );
        }
    }
}
