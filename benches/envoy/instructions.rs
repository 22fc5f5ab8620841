//! Instructions of Envoy outside the kernel. Other work on the machine does not change them, so they tell small differences
//! that times do not.
//!
//! `perf stat` counts them during each turn, where the machine has counters; many virtual machines have none. On demand
//! valgrind's `callgrind` counts them anywhere, in an Envoy that is slowed down for that and measured in no other way.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::bootstrap::Answer;
use crate::envoy::{Envoy, Setup};
use crate::failure::{Doing as _, Outcome, fail};
use crate::load;
use crate::requests::Bench;
use crate::variants::Variant;
use crate::workloads::Workload;

const EVENT: &str = "instructions:u";

/// A counter that works here.
#[derive(Debug)]
pub struct Counter {
    output: PathBuf,
}

impl Counter {
    /// `None` where `perf` is not there, may not, or has no counters.
    pub fn find(folder: &Path) -> Option<Self> {
        let counter = Self { output: folder.join("perf.csv") };
        let (program, arguments) = counter.command(&[]);
        let status = Command::new(program).args(arguments).arg("true").stderr(Stdio::null()).status().ok()?;
        (status.success() && counter.read().is_some()).then_some(counter)
    }

    /// What goes before a command, so that a process is watched while it runs.
    pub fn wrapper(&self, pid: u32) -> Vec<String> {
        let (program, mut arguments) = self.command(&["-p", &pid.to_string()]);
        arguments.insert(0, program);
        arguments
    }

    fn command(&self, more: &[&str]) -> (String, Vec<String>) {
        let output = self.output.display().to_string();
        let words = ["stat", "-x", ",", "-e", EVENT, "-o", &output].into_iter().chain(more.iter().copied());
        ("perf".to_owned(), words.chain(["--"]).map(str::to_owned).collect())
    }

    /// What was counted last.
    pub fn read(&self) -> Option<f64> {
        let text = fs::read_to_string(&self.output).ok()?;
        let line = text.lines().find(|line| line.contains(EVENT))?;
        line.split(',').next()?.parse().ok()
    }
}

/// Requests that valgrind counts.
const COUNTED: u64 = 300;
/// Load before: V8's optimising compiler has to have done its work.
const WARM_UP: Duration = Duration::from_millis(1500);

/// What valgrind counts for a request. Its own file, for `callgrind_annotate`, stays in `target/bench/callgrind`.
pub fn count(bench: &Bench<'_>, workload: &Workload, variant: &Variant) -> Outcome<f64> {
    let folder = bench.files.folder.join("callgrind");
    fs::create_dir_all(&folder).doing(format!("making {}", folder.display()))?;
    let output = folder.join(format!("{}-{}", workload.key, variant.key));
    // Each dump gets a number; a later one than the first is an older run's.
    let dump = output.with_extension("1");
    let _ = fs::remove_file(&dump);
    let output = format!("--callgrind-out-file={}", output.display());
    // Valgrind counts `rep movsb` once for each byte, so libc is told to copy and clear in another way.
    let tunables = "GLIBC_TUNABLES=glibc.cpu.x86_rep_movsb_threshold=1000000000:glibc.cpu.x86_rep_stosb_threshold=1000000000";
    let valgrind = ["env", tunables, "valgrind", "-q", "--tool=callgrind", "--instr-atstart=no", &output];
    let setup = Setup {
        name: format!("callgrind-{}-{}", workload.key, variant.key),
        filters: variant.filters(workload, bench.files)?,
        answer: Answer::Direct(workload.body),
        callout: bench.callout,
        workers: 1,
        has_admin: false,
        cache: None,
        wrapper: valgrind.map(str::to_owned).to_vec(),
    };
    let (envoy, response) = Envoy::start(bench.files, &setup)?;
    if !variant.is_baseline() {
        (workload.check)(&response)
            .doing(format!("{} under valgrind ({})", variant.title, response.status))?;
    }
    let run = |requests| load::run(&[], envoy.address, requests, &bench.files.folder);
    let first = run(200)?;
    run(load::requests_within(first.rate(), WARM_UP))?;
    control(&envoy, "--instr=on")?;
    // The first requests are translated anew, and are not counted.
    run(50)?;
    control(&envoy, "--zero")?;
    run(COUNTED)?;
    control(&envoy, "--dump")?;
    let text = fs::read_to_string(&dump).doing(format!("reading {}", dump.display()))?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: ")?.parse::<f64>().ok());
    Ok(total.doing(format!("{} has no total", dump.display()))? / COUNTED as f64)
}

/// Tells valgrind what to do.
fn control(envoy: &Envoy, word: &str) -> Outcome<()> {
    let output = Command::new("callgrind_control")
        .args([word, &envoy.pid().to_string()])
        .output()
        .doing("no callgrind_control; apt-get install valgrind")?;
    if output.status.success() {
        return Ok(());
    }
    fail(format!("callgrind_control {word}: {}", String::from_utf8_lossy(&output.stderr)))
}
