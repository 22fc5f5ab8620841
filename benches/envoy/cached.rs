//! The cache of an Envoy, as its folder shows it: a large plugin serves before its code is optimised, and what is written then
//! is what the next Envoy finds.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::failure::{Outcome, fail};

/// Twelve seconds of the optimiser's, twice, on a machine that does something else as well.
const PATIENCE: Duration = Duration::from_secs(90);

/// Waits until so many codes are in the cache of a home directory, compiled and optimised.
pub fn wait(home: &Path, number: usize) -> Outcome<()> {
    let begin = Instant::now();
    while count(home) < number {
        if begin.elapsed() > PATIENCE {
            return fail(format!("{}: {} codes, {number} expected", home.display(), count(home)));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// None are there while there is no folder.
fn count(home: &Path) -> usize {
    let entries = fs::read_dir(home.join("graft/plugins")).into_iter().flatten().filter_map(Result::ok);
    entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("compiled-")).count()
}
