//! Instructions of Envoy outside the kernel, counted by `perf stat` where the machine has counters (many virtual machines
//! have none). Other work on the machine does not change them, so they tell small differences that times do not.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

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
