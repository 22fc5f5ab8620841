//! Resident memory: what a plugin takes in each further worker, and what each further plugin takes in one.

use serde_json::{Value, json};

use crate::bootstrap::Answer;
use crate::client;
use crate::envoy::{Envoy, Setup};
use crate::failure::{Doing as _, Outcome, fail};
use crate::numbers::{mebibytes, median};
use crate::process::memory;
use crate::report::{Section, Table};
use crate::requests::Bench;
use crate::variants::{Plugin, Variant};

/// Workers and plugins beyond the first.
const FURTHER: usize = 8;

pub fn measure(bench: &Bench<'_>, variants: &[Variant]) -> Outcome<Section> {
    let mut table = Table::new(&[
        "variant",
        "1 worker, 1 plugin",
        "each further worker",
        "each further plugin",
        "the first plugin adds",
        "a plugin adds to a worker",
        "of V8's",
    ]);
    let mut rows = Vec::new();
    for variant in variants.iter().filter(|variant| variant.runs_plugins() || variant.is_baseline()) {
        eprintln!("memory: {}", variant.title);
        let one = read_often(bench, variant, 1, 1)?;
        let workers = read_often(bench, variant, 1 + FURTHER, 1)?;
        let plugins = if variant.is_baseline() { one } else { read_often(bench, variant, 1, 1 + FURTHER)? };
        rows.push((variant, one, (workers - one) / FURTHER as f64, (plugins - one) / FURTHER as f64));
    }
    let bare = rows.iter().find(|(variant, ..)| variant.is_baseline());
    let (bare, bare_worker) = bare.map(|(_, one, worker, _)| (*one, *worker)).unwrap_or_default();
    let of_v8 =
        rows.iter().find(|(variant, ..)| variant.key == "v8").map(|(_, _, worker, _)| worker - bare_worker);
    let mut json = Vec::new();
    for (variant, one, worker, plugin) in &rows {
        let mut cells = vec![variant.title.to_owned(), mebibytes(*one), mebibytes(*worker)];
        let added = worker - bare_worker;
        if variant.is_baseline() {
            cells.extend(vec![String::new(); 4]);
        } else {
            cells.extend([mebibytes(*plugin), mebibytes(one - bare), mebibytes(added)]);
            cells.push(of_v8.map(|of_v8| format!("{:.2}", added / of_v8)).unwrap_or_default());
        }
        table.row(cells);
        json.push(json!({
            "variant": variant.key, "resident": one, "each_worker": worker, "each_plugin": plugin,
            "first_plugin_adds": one - bare, "plugin_adds_to_worker": added,
        }));
    }
    Ok(Section {
        key: "memory",
        title: "Memory, MiB",
        note: format!(
            "Resident memory that belongs to no file, with a small plugin (`add-header`), after requests to every worker; {FURTHER} further workers and {FURTHER} further \
             plugins, of one code. The goal: a plugin adds to a worker at most 0.3 of what it adds under V8."
        ),
        tables: vec![table],
        json: Value::from(json),
    })
}

/// Bytes, the median of several Envoys.
fn read_often(bench: &Bench<'_>, variant: &Variant, workers: usize, plugins: usize) -> Outcome<f64> {
    let mut readings = Vec::new();
    for _ in 0..bench.effort.memory_readings {
        readings.push(read(bench, variant, workers, plugins)?);
    }
    Ok(median(readings))
}

fn read(bench: &Bench<'_>, variant: &Variant, workers: usize, plugins: usize) -> Outcome<f64> {
    let mut filters = Vec::new();
    for place in 1..=plugins {
        let plugin = Plugin {
            file: "add-header",
            name: &format!("bench-{place}"),
            configuration: &format!(r#"{{"header": "x-served-{place}", "value": "graft"}}"#),
            failure_policy: "FAIL_CLOSED",
        };
        filters.extend(variant.plugin(&plugin, bench.files)?);
    }
    let setup = Setup {
        name: format!("memory-{}", variant.key),
        filters,
        answer: Answer::Direct(6),
        callout: bench.callout,
        workers,
        has_admin: false,
        cache: None,
        wrapper: Vec::new(),
    };
    let (envoy, _) = Envoy::start(bench.files, &setup)?;
    // The kernel deals connections out to the workers by chance; so many leave none without one.
    for _ in 0..40 * workers {
        let response = client::get(envoy.address, &[]).doing("a request while memory is measured")?;
        let is_right = variant.is_baseline() || response.header(&format!("x-served-{plugins}")).is_some();
        if response.status != 200 || !is_right {
            return fail(format!("{}: an answer has no header of the plugin", variant.title));
        }
    }
    memory(envoy.pid())
}
