//! What the kernel counts of a process.

use std::fs;
use std::time::Duration;

use crate::failure::{Doing as _, Outcome};

/// The time that the threads of a process have run, in the kernel and outside.
///
/// `schedstat` counts nanoseconds; `stat`, which is read where the kernel has no `schedstat`, counts ticks of 10 ms.
pub fn cpu_time(pid: u32) -> Outcome<Duration> {
    let folder = format!("/proc/{pid}/task");
    let threads = fs::read_dir(&folder).doing(format!("reading {folder}"))?;
    let times: Option<Vec<u64>> = threads
        .flatten()
        .map(|thread| {
            let line = fs::read_to_string(thread.path().join("schedstat")).ok()?;
            line.split_whitespace().next()?.parse().ok()
        })
        .collect();
    match times {
        Some(times) if times.iter().any(|time| *time > 0) => Ok(Duration::from_nanos(times.iter().sum())),
        _ => ticks(pid),
    }
}

fn ticks(pid: u32) -> Outcome<Duration> {
    let path = format!("/proc/{pid}/stat");
    let line = fs::read_to_string(&path).doing(format!("reading {path}"))?;
    // The name, in brackets, may hold spaces; utime and stime are the fields 14 and 15.
    let fields = line.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>).sum::<Result<u64, _>>();
    Ok(Duration::from_millis(10 * ticks.doing(format!("reading {path}"))?))
}

/// Bytes that are resident and belong to no file: heaps, stacks, memories of VMs, compiled code. What is mapped from the
/// binary or from a library is left out: it is there once, and how much of it is resident is the kernel's choice.
pub fn memory(pid: u32) -> Outcome<f64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).doing(format!("reading {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Anonymous:"));
    let line = line.doing(format!("{path} does not say what is anonymous"))?;
    let kibibytes: f64 = line.trim().trim_end_matches(" kB").parse().doing(format!("reading {path}"))?;
    Ok(kibibytes * 1024.0)
}
