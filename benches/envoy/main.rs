//! The whole Envoy, side by side: without a filter, with a native module, with Graft, with Envoy's own filters.
//!
//! ```text
//!   Arguments ──► Files ──► variants that this library has
//!                              │
//!         ┌────────────┬───────┴────┬──────────┬─────────┐
//!      requests      start        memory     crash      swap     each gives a Section
//!         └────────────┴───────┬────┴──────────┴─────────┘
//!                              ▼
//!                  report: screen, target/bench, docs/PERFORMANCE.md
//! ```
//!
//! `docs/PERFORMANCE.md` says how to run it and how to read it.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    reason = "a benchmark counts with what it measures, JSON is written by index, and its items are nobody's interface"
)]

mod arguments;
mod bootstrap;
mod cached;
mod client;
mod crash;
mod envoy;
mod failure;
mod files;
mod goals;
mod instructions;
mod load;
mod main_thread;
mod memory;
mod numbers;
mod process;
mod report;
mod requests;
mod start;
mod steady;
mod swap;
mod upstream;
mod variants;
mod workloads;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use arguments::Arguments;
use bootstrap::Answer;
use envoy::{Envoy, Setup};
use failure::{Outcome, fail};
use files::{ENVOY, Files};
use instructions::Counter;
use report::Section;
use requests::{Bench, Cells};
use variants::{Host, Plugin, VARIANTS, Variant};

/// Measures a section.
type Measure = fn(&Bench<'_>, &[Variant]) -> Outcome<Section>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("bench: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Outcome<()> {
    let begin = Instant::now();
    let arguments = Arguments::parse(std::env::args().skip(1))?;
    let files = Files::find()?;
    let effort = arguments.effort();
    give_up_after(effort.patience);
    let callout = upstream::serve(Duration::ZERO)?;
    let counter = Counter::find(&files.folder);
    let mut notes = vec![surroundings()];
    if arguments.counts_instructions {
        notes.push(
            "Instructions are those outside the kernel, counted by valgrind in a run of their own."
                .to_owned(),
        );
    } else if counter.is_none() {
        notes.push("`perf stat` counts no instructions on this machine; `--callgrind` does.".to_owned());
    }
    let bench = Bench { files: &files, effort, callout, counter };
    let variants = available(&bench, &arguments, &mut notes)?;
    let mut sections = Vec::new();
    let mut outcome = Ok(());
    if arguments.wants_section("requests") {
        let mut cells = Cells::default();
        outcome = requests::measure(&bench, &variants, &arguments, &mut cells, &mut notes);
        sections.push(report::requests(&variants, &cells));
    }
    let others: [(&str, Measure); 4] = [
        ("start", start::measure),
        ("memory", memory::measure),
        ("crash", crash::measure),
        ("swap", swap::measure),
    ];
    for (key, measure) in others {
        if outcome.is_ok() && arguments.wants_section(key) {
            outcome = measure(&bench, &variants).map(|section| sections.push(section));
        }
    }
    notes.push(format!("It took {} s.", begin.elapsed().as_secs()));
    // What there is, even if something failed on the way.
    let text = report::render(&sections, &notes);
    println!("\n{text}");
    report::write(&files, &text, &sections, &notes)?;
    outcome?;
    if arguments.updates_docs {
        report::update_page(&sections, &notes)?;
    }
    Ok(())
}

/// The variants that are asked for and that this library has.
fn available(bench: &Bench<'_>, arguments: &Arguments, notes: &mut Vec<String>) -> Outcome<Vec<Variant>> {
    let mut available = Vec::new();
    for variant in
        VARIANTS.iter().filter(|variant| arguments.wants_variant(variant.key, variant.is_baseline()))
    {
        match refusal(bench, variant)? {
            None => available.push(*variant),
            Some(why) => {
                let note = format!("{} is left out; this library says: {why}", variant.title);
                eprintln!("{note}");
                notes.push(note);
            }
        }
    }
    if available.len() < 2 { fail("nothing is left to be measured") } else { Ok(available) }
}

/// What this library has against a setting; a library that refuses the default is broken.
fn refusal(bench: &Bench<'_>, variant: &Variant) -> Outcome<Option<String>> {
    let Host::Graft(block) = variant.host else { return Ok(None) };
    let plugin = Plugin {
        file: "bench-workloads",
        name: "bench-validate",
        configuration: "empty",
        failure_policy: "FAIL_CLOSED",
    };
    let setup = Setup {
        name: format!("validate-{}", variant.key),
        filters: variant.plugin(&plugin, bench.files)?.into_iter().collect(),
        answer: Answer::Direct(6),
        callout: bench.callout,
        workers: 1,
        has_admin: false,
        cache: None,
        wrapper: Vec::new(),
    };
    match Envoy::validate(bench.files, &setup)? {
        Ok(()) => Ok(None),
        Err(why) if block == "{}" => fail(format!("{} is refused: {why}", variant.title)),
        // Without the time and place of a log line.
        Err(why) => Ok(Some(why.split_once("graft: ").map_or(why.clone(), |(_, why)| why.to_owned()))),
    }
}

/// What the figures depend on.
fn surroundings() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default().to_owned();
    format!(
        "Envoy {ENVOY}, {} with {cores} cores; the machine's load before the run was {load}.",
        model.unwrap_or("a processor")
    )
}

/// A benchmark that hangs is ended, and with it every Envoy.
fn give_up_after(patience: Duration) {
    std::thread::spawn(move || {
        std::thread::sleep(patience);
        eprintln!("bench: gave up after {patience:?}");
        std::process::exit(1);
    });
}
