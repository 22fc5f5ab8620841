//! What a request costs: each workload under each variant.
//!
//! For a workload, all variants have an Envoy of their own, and take turns under load: what changes on the machine
//! meanwhile hits all of them alike. The Envoys are started afresh several times, since where code and data happen to
//! lie makes a difference. A figure is the median of all turns; what a filter adds is the median of the differences to
//! the turn of no filter in the same round.

use std::net::SocketAddr;

use crate::arguments::{Arguments, Effort};
use crate::bootstrap::Answer;
use crate::client::Response;
use crate::envoy::{Envoy, Setup};
use crate::failure::{Doing as _, Outcome, fail};
use crate::files::Files;
use crate::instructions::{self, Counter};
use crate::load;
use crate::numbers::median;
use crate::process::cpu_time;
use crate::variants::Variant;
use crate::workloads::{WORKLOADS, Workload};

/// One turn of a variant.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub rate: f64,
    pub p50: f64,
    pub p99: f64,
    /// Microseconds for each request.
    pub cpu: f64,
    /// For each request.
    pub instructions: Option<f64>,
}

/// All turns of a variant under a workload.
#[derive(Debug)]
pub struct Cell {
    pub workload: &'static str,
    pub variant: &'static str,
    pub samples: Vec<Sample>,
    /// What valgrind counted for each request.
    pub counted: Option<f64>,
}

impl Cell {
    pub fn median(&self, of: impl Fn(&Sample) -> f64) -> f64 {
        median(self.samples.iter().map(of).collect())
    }

    pub fn instructions(&self) -> Option<f64> {
        let counts: Option<Vec<f64>> = self.samples.iter().map(|sample| sample.instructions).collect();
        self.counted.or_else(|| counts.filter(|counts| !counts.is_empty()).map(median))
    }
}

/// Everything that was measured.
#[derive(Debug, Default)]
pub struct Cells(pub Vec<Cell>);

impl Cells {
    pub fn find(&self, workload: &str, variant: &str) -> Option<&Cell> {
        self.0.iter().find(|cell| cell.workload == workload && cell.variant == variant)
    }

    /// What the variant's filter adds to a request, in microseconds of Envoy's time.
    pub fn added(&self, workload: &str, variant: &str) -> Option<f64> {
        let (cell, none) = (self.find(workload, variant)?, self.find(workload, "none")?);
        let pairs = cell.samples.iter().zip(&none.samples);
        let differences: Vec<f64> = pairs.map(|(sample, none)| sample.cpu - none.cpu).collect();
        (!differences.is_empty()).then(|| median(differences))
    }

    /// The same in instructions.
    pub fn added_instructions(&self, workload: &str, variant: &str) -> Option<f64> {
        Some(self.find(workload, variant)?.instructions()? - self.find(workload, "none")?.instructions()?)
    }

    pub fn have_instructions(&self) -> bool {
        self.0.iter().any(|cell| cell.instructions().is_some())
    }
}

/// The measurement's surroundings.
pub struct Bench<'a> {
    pub files: &'a Files,
    pub effort: Effort,
    pub callout: SocketAddr,
    pub counter: Option<Counter>,
}

/// Adds to `cells`, so that what was measured before a failure is not lost.
pub fn measure(
    bench: &Bench<'_>,
    variants: &[Variant],
    arguments: &Arguments,
    cells: &mut Cells,
    notes: &mut Vec<String>,
) -> Outcome<()> {
    for workload in WORKLOADS.iter().filter(|workload| arguments.wants_workload(workload.key)) {
        eprintln!("{} {}", workload.key, workload.title);
        let variants: Vec<Variant> =
            variants.iter().filter(|variant| variant.does(workload)).copied().collect();
        let mut found: Vec<Cell> = variants
            .iter()
            .map(|variant| Cell {
                workload: workload.key,
                variant: variant.key,
                samples: Vec::new(),
                counted: None,
            })
            .collect();
        for _ in 0..bench.effort.starts {
            measure_once(bench, workload, &variants, &mut found)?;
        }
        if arguments.counts_instructions {
            for (variant, cell) in variants.iter().zip(&mut found) {
                // Valgrind has less room for addresses than V8 reserves for a chain of plugins.
                match instructions::count(bench, workload, variant) {
                    Ok(counted) => cell.counted = Some(counted),
                    Err(failure) => {
                        notes.push(format!("No instructions of workload {}: {failure}.", workload.key));
                    }
                }
            }
        }
        cells.0.extend(found);
    }
    Ok(())
}

/// One start of all Envoys, with all their turns.
fn measure_once(
    bench: &Bench<'_>,
    workload: &Workload,
    variants: &[Variant],
    cells: &mut [Cell],
) -> Outcome<()> {
    let mut running = Vec::new();
    for variant in variants {
        running.push(start(bench, workload, variant)?);
    }
    check(workload, variants, &running)?;
    let mut turns = Vec::new();
    for (envoy, _) in &running {
        turns.push(warm_up(bench, envoy)?);
    }
    for turn in 0..bench.effort.turns {
        // Each round begins with another variant.
        for place in 0..running.len() {
            let place = (place + turn) % running.len();
            let (Some((envoy, _)), Some(requests), Some(cell)) =
                (running.get(place), turns.get(place), cells.get_mut(place))
            else {
                continue;
            };
            cell.samples.push(sample(bench, envoy, *requests)?);
        }
    }
    Ok(())
}

fn start(bench: &Bench<'_>, workload: &Workload, variant: &Variant) -> Outcome<(Envoy, Response)> {
    let setup = Setup {
        name: format!("{}-{}", workload.key, variant.key),
        filters: variant.filters(workload, bench.files)?,
        answer: Answer::Direct(workload.body),
        callout: bench.callout,
        workers: 1,
        has_admin: false,
        cache: None,
        wrapper: Vec::new(),
    };
    Envoy::start(bench.files, &setup).doing(format!("{} under {}", variant.title, workload.title))
}

/// Nothing is won by doing less: every variant must have done the work, and to the same effect.
fn check(workload: &Workload, variants: &[Variant], running: &[(Envoy, Response)]) -> Outcome<()> {
    let mut effect: Option<String> = None;
    for (variant, (_, response)) in variants.iter().zip(running) {
        let what = format!("{} under {}", variant.title, workload.title);
        if response.status != 200 {
            return fail(format!("{what} answers with status {}", response.status));
        }
        if variant.is_baseline() {
            continue;
        }
        let found = (workload.check)(response).doing(&what)?;
        if effect.as_ref().is_some_and(|effect| *effect != found) {
            return fail(format!("{what} has the effect {found:?}, others have {effect:?}"));
        }
        effect = Some(found);
    }
    Ok(())
}

/// Gives the number of requests for a turn.
fn warm_up(bench: &Bench<'_>, envoy: &Envoy) -> Outcome<u64> {
    let run = |requests| load::run(&[], envoy.address, requests, &bench.files.folder);
    let first = run(500)?;
    let second = run(load::requests_within(first.rate(), bench.effort.warm_up))?;
    Ok(load::requests_within(second.rate(), bench.effort.turn))
}

fn sample(bench: &Bench<'_>, envoy: &Envoy, requests: u64) -> Outcome<Sample> {
    let wrapper = bench.counter.as_ref().map(|counter| counter.wrapper(envoy.pid())).unwrap_or_default();
    let before = cpu_time(envoy.pid())?;
    let load = load::run(&wrapper, envoy.address, requests, &bench.files.folder)?;
    let cpu = cpu_time(envoy.pid())?.saturating_sub(before);
    let count = bench.counter.as_ref().and_then(Counter::read);
    Ok(Sample {
        rate: load.rate(),
        p50: load.percentile(0.5),
        p99: load.percentile(0.99),
        cpu: cpu.as_secs_f64() * 1e6 / requests as f64,
        instructions: count.map(|count| count / requests as f64),
    })
}
