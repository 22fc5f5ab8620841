//! What the user asks for.

use std::time::Duration;

use crate::failure::{Outcome, fail};

pub const USAGE: &str = "\
cargo bench --bench envoy -- [OPTION...]
  --workload a,b,…      only these workloads (a to g)
  --variant shared,…    only these variants (native, shared, stream, v8, lua; no filter is always there)
  --section requests,…  only these sections (requests, start, memory, crash, swap)
  --quick               fewer and shorter repeats: about two minutes
  --callgrind           counts instructions with valgrind, too: five minutes more, and the same result every time
  --update-docs         writes the result into docs/PERFORMANCE.md";

/// Which parts are run, and how long.
#[derive(Debug, Default)]
pub struct Arguments {
    workloads: Vec<String>,
    variants: Vec<String>,
    sections: Vec<String>,
    pub is_quick: bool,
    pub counts_instructions: bool,
    pub updates_docs: bool,
}

impl Arguments {
    pub fn parse(words: impl Iterator<Item = String>) -> Outcome<Self> {
        let mut arguments = Self::default();
        let mut words = words;
        while let Some(word) = words.next() {
            let list = match word.as_str() {
                // Cargo says that to every benchmark.
                "--bench" => continue,
                "--quick" => {
                    arguments.is_quick = true;
                    continue;
                }
                "--callgrind" => {
                    arguments.counts_instructions = true;
                    continue;
                }
                "--update-docs" => {
                    arguments.updates_docs = true;
                    continue;
                }
                "--workload" => &mut arguments.workloads,
                "--variant" => &mut arguments.variants,
                "--section" => &mut arguments.sections,
                other => return fail(format!("{other} is no option\n{USAGE}")),
            };
            let Some(names) = words.next() else {
                return fail(format!("{word} wants a list\n{USAGE}"));
            };
            list.extend(names.split(',').map(str::to_owned));
        }
        Ok(arguments)
    }

    pub fn wants_workload(&self, key: &str) -> bool {
        wants(&self.workloads, key)
    }

    /// `is_needed`: others are measured against it, so it cannot be left out.
    pub fn wants_variant(&self, key: &str, is_needed: bool) -> bool {
        is_needed || wants(&self.variants, key)
    }

    pub fn wants_section(&self, key: &str) -> bool {
        wants(&self.sections, key)
    }

    /// How much is measured.
    pub fn effort(&self) -> Effort {
        if self.is_quick { QUICK } else { FULL }
    }
}

fn wants(names: &[String], key: &str) -> bool {
    names.is_empty() || names.iter().any(|name| name == key)
}

/// Repeats and times.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// How often the Envoys of a workload are started afresh: where code and data happen to lie differs each time.
    pub starts: usize,
    /// How often each variant has its turn between two starts.
    pub turns: usize,
    /// How long a turn is, about.
    pub turn: Duration,
    /// Load before the first turn, so that V8's optimising compiler has done its work.
    pub warm_up: Duration,
    /// How often the start with a small plugin is timed. That with a large one, which takes many seconds and differs
    /// less, is timed once for every three.
    pub timed_starts: usize,
    /// How often memory is read, in a fresh Envoy each.
    pub memory_readings: usize,
    /// How long plugins crash.
    pub crash: Duration,
    /// How often the code of the small plugin is replaced, and that of the large one.
    pub small_updates: usize,
    pub large_updates: usize,
    /// After this the benchmark gives up.
    pub patience: Duration,
}

const FULL: Effort = Effort {
    starts: 3,
    turns: 9,
    turn: Duration::from_millis(200),
    warm_up: Duration::from_millis(700),
    timed_starts: 6,
    memory_readings: 3,
    crash: Duration::from_secs(8),
    small_updates: 6,
    large_updates: 3,
    patience: Duration::from_mins(30),
};

const QUICK: Effort = Effort {
    starts: 1,
    turns: 7,
    turn: Duration::from_millis(120),
    warm_up: Duration::from_millis(300),
    timed_starts: 1,
    memory_readings: 1,
    crash: Duration::from_secs(4),
    small_updates: 2,
    large_updates: 1,
    patience: Duration::from_mins(15),
};
