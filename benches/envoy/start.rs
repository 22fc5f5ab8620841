//! From the start of an Envoy to its first answer, through a small plugin and a large one.
//!
//! Each host is started twice with the same folder for caches: the first time it is empty. A host that keeps no compiled
//! code takes the same time twice.

use std::fs;

use serde_json::{Value, json};

use crate::bootstrap::Answer;
use crate::cached;
use crate::envoy::{Envoy, Setup};
use crate::failure::{Doing as _, Outcome, fail};
use crate::goals;
use crate::numbers::{median, short};
use crate::report::{Section, Table};
use crate::requests::Bench;
use crate::variants::{Host, Plugin, Variant};

/// The plugins: what the answer has when they ran.
const PLUGINS: [(&str, &str, &str); 2] = [
    ("add-header", r#"{"header": "x-small", "value": "graft"}"#, "x-small"),
    ("bench-large", "{}", "x-large"),
];

/// Goals.
const COLD_OF_V8: f64 = 1.0;
const WARM_OF_V8: f64 = 0.05;

pub fn measure(bench: &Bench<'_>, variants: &[Variant]) -> Outcome<Section> {
    let mut table = Table::new(&["plugin", "wasm, MiB", "variant", "cold, s", "cache warm, s"]);
    let mut goals = Table::new(&["the plugin's part", "cold / V8", "goal", "cache warm / V8", "goal"]);
    let mut bare = 0.0;
    let mut json = Vec::new();
    for (place, (file, configuration, header)) in PLUGINS.into_iter().enumerate() {
        let path = bench.files.plugin(file)?;
        let size =
            fs::metadata(&path).doing(format!("reading {}", path.display()))?.len() as f64 / 1024.0 / 1024.0;
        let mut found = Vec::new();
        for variant in variants.iter().filter(|variant| variant.runs_plugins() || variant.is_baseline()) {
            // No filter starts as fast whatever the plugin is that it does not have.
            if variant.is_baseline() && place > 0 {
                continue;
            }
            eprintln!("start: {file}, {}", variant.title);
            let plugin = Plugin { file, name: "bench-start", configuration, failure_policy: "FAIL_CLOSED" };
            let often =
                if place == 0 { bench.effort.timed_starts } else { bench.effort.timed_starts.div_ceil(3) };
            let times = start_often(bench, variant, &plugin, header, often)?;
            let [cold, warm] = [0, 1].map(|run| {
                median(times.iter().filter_map(|times: &[f64; 2]| times.get(run).copied()).collect())
            });
            if variant.is_baseline() {
                bare = f64::midpoint(cold, warm);
            }
            found.push((variant.key, [cold - bare, warm - bare]));
            let name = if variant.is_baseline() { "none" } else { file };
            let size_shown = if variant.is_baseline() { String::new() } else { short(size) };
            table.row([name.to_owned(), size_shown, variant.title.to_owned(), short(cold), short(warm)]);
            json.push(json!({ "plugin": name, "variant": variant.key, "cold_s": cold, "warm_s": warm }));
        }
        let of = |key: &str| found.iter().find(|(its, _)| *its == key).map(|(_, times)| *times);
        let ratios = of("shared").zip(of("v8")).map(|(shared, v8)| [shared[0] / v8[0], shared[1] / v8[0]]);
        let cells = [
            goals::at_most(COLD_OF_V8, ratios.map(|ratios| ratios[0])),
            goals::at_most(WARM_OF_V8, ratios.map(|ratios| ratios[1])),
        ];
        goals.row(std::iter::once(format!("{file}, Graft `shared`")).chain(cells.into_iter().flatten()));
    }
    Ok(Section {
        key: "start",
        title: "From Envoy's start to the first answer",
        note: "The two columns are two starts with one folder for caches, empty at the first; the first Envoy ends when the code is optimised. Below it is what the plugin adds to \
               the start without a filter, against what it adds with the built-in filter."
            .to_owned(),
        tables: vec![table, goals],
        json: Value::from(json),
    })
}

/// Seconds of each first and second start.
fn start_often(
    bench: &Bench<'_>,
    variant: &Variant,
    plugin: &Plugin<'_>,
    header: &str,
    often: usize,
) -> Outcome<Vec<[f64; 2]>> {
    let mut times = Vec::new();
    for _ in 0..often {
        let cache = bench.files.folder.join("cache");
        // It may not be there yet.
        let _ = fs::remove_dir_all(&cache);
        fs::create_dir_all(&cache).doing(format!("making {}", cache.display()))?;
        let setup = Setup {
            name: format!("start-{}-{}", plugin.file, variant.key),
            filters: variant.plugin(plugin, bench.files)?.into_iter().collect(),
            answer: Answer::Direct(6),
            callout: bench.callout,
            workers: 1,
            has_admin: false,
            cache: Some(&cache),
            wrapper: Vec::new(),
        };
        let mut pair = [0.0; 2];
        for time in &mut pair {
            let (envoy, response) = Envoy::start(bench.files, &setup)?;
            let is_right = variant.is_baseline() || response.header(header).is_some();
            if response.status != 200 || !is_right {
                return fail(format!("{}: the first answer has no {header}", variant.title));
            }
            *time = envoy.start.as_secs_f64();
            // That of copies is the second.
            match variant.host {
                Host::Graft("{}") => cached::wait(&cache, 1)?,
                Host::Graft(_) => cached::wait(&cache, 2)?,
                Host::None | Host::Native | Host::BuiltIn | Host::Lua => {}
            }
        }
        times.push(pair);
    }
    Ok(times)
}
