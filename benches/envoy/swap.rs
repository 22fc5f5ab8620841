//! A plugin's code and configuration are replaced under load, by extension discovery (ECDS) from a file.
//!
//! Each generation answers with its number. Its code is new, too: a custom section of it holds the number. Graft is measured
//! twice with the same code: at first its cache is empty, then a second Envoy finds what the first one has compiled.
//!
//! ```text
//!   file moved to its place ──► first answer of the new generation ──► SETTLE ──► the next update
//!   └── requests and questions to the admin interface that are under way in this time ──┘
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::bootstrap::Answer;
use crate::cached;
use crate::client::Response;
use crate::envoy::{Envoy, Setup};
use crate::failure::{Doing as _, Outcome, fail};
use crate::goals;
use crate::main_thread::{self, Watch};
use crate::numbers::{mebibytes, median, short};
use crate::process::memory;
use crate::report::{Section, Table};
use crate::requests::Bench;
use crate::steady::{Exchange, Load, Pace};
use crate::variants::{Host, Plugin, Variant};

/// 1000 requests a second.
const PACE: Pace = Pace { clients: 8, pause: Duration::from_millis(8) };
/// How long nothing is done, for comparison.
const QUIET: Duration = Duration::from_millis(1500);
/// After the first answer of a generation: the old one ends meanwhile.
const SETTLE: Duration = Duration::from_millis(800);
/// The built-in filter takes many seconds for a large plugin.
const PATIENCE: Duration = Duration::from_secs(90);
/// Goals.
const BLOCKED_MS: f64 = 5.0;
const WARM_OF_V8: f64 = 0.1;
const COLD_OF_V8: f64 = 1.0;
/// The block `graft` of a plugin that serves before its code is optimised.
const TIERED: &str = r#"{"swap": {"compile": "tiered"}}"#;

/// A plugin and its configuration, with `{n}` in place of the generation's number.
struct Changing {
    file: &'static str,
    configuration: &'static str,
    is_large: bool,
}

const PLUGINS: [Changing; 2] = [
    Changing {
        file: "add-header",
        configuration: r#"{"header": "x-small", "value": "{n}"}"#,
        is_large: false,
    },
    Changing { file: "bench-large", configuration: r#"{"template": "{n}{{.Path}}"}"#, is_large: true },
];

/// The number of the generation; the large plugin says the path behind it.
fn number(response: &Response) -> Result<String, String> {
    let said = response.header("x-small").or_else(|| response.header("x-large"));
    said.map(|said| said.trim_end_matches('/').to_owned()).ok_or_else(|| "200 without a number".to_owned())
}

/// What was found of an Envoy, in milliseconds and bytes.
struct Found {
    updates: Vec<Update>,
    requests: usize,
    failed: usize,
    /// The same without an update.
    quiet_slowest: f64,
    before: f64,
    after: f64,
}

struct Update {
    until_new: f64,
    slowest: f64,
    /// By how much longer the longest answer of the admin interface took than one does without an update, in the median.
    blocked: f64,
}

impl Found {
    fn all(&self, of: impl Fn(&Update) -> f64) -> Vec<f64> {
        self.updates.iter().map(of).collect()
    }

    fn until_new(&self) -> f64 {
        median(self.all(|update| update.until_new))
    }

    fn blocked(&self) -> f64 {
        median(self.all(|update| update.blocked))
    }
}

pub fn measure(bench: &Bench<'_>, variants: &[Variant]) -> Outcome<Section> {
    let mut table = Table::new(&[
        "plugin",
        "variant",
        "until new behaviour, ms",
        "of V8's",
        "failed requests",
        "slowest request, ms",
        "without an update, ms",
        "main thread blocked, ms",
        "memory before, MiB",
        "after",
    ]);
    let mut goals = Table::new(&[
        "plugin",
        "cold: new behaviour / V8",
        "goal",
        "warm: new behaviour / V8",
        "goal",
        "cold: main thread blocked, ms",
        "goal",
        "warm: main thread blocked, ms",
        "goal",
    ]);
    let mut json = Vec::new();
    for (place, plugin) in PLUGINS.iter().enumerate() {
        let often = if place == 0 { bench.effort.small_updates } else { bench.effort.large_updates };
        let found = measure_plugin(bench, variants, plugin, often)?;
        let of = |key: &str| found.iter().find(|(its, ..)| *its == key).map(|(_, _, found)| found);
        let v8 = of("v8").map(Found::until_new);
        for (key, title, found) in &found {
            table.row([
                plugin.file.to_owned(),
                title.clone(),
                short(found.until_new()),
                v8.map(|v8| short(found.until_new() / v8)).unwrap_or_default(),
                format!("{} of {}", found.failed, found.requests),
                short(median(found.all(|update| update.slowest))),
                short(found.quiet_slowest),
                short(found.blocked()),
                mebibytes(found.before),
                mebibytes(found.after),
            ]);
            json.push(json!({
                "plugin": plugin.file, "variant": key, "requests": found.requests, "failed": found.failed,
                "until_new_ms": found.all(|update| update.until_new),
                "slowest_ms": found.all(|update| update.slowest), "quiet_slowest_ms": found.quiet_slowest,
                "main_thread_blocked_ms": found.all(|update| update.blocked),
                "memory_before": found.before, "memory_after": found.after,
            }));
        }
        let [cold, warm] = [of("cold"), of("warm")];
        let ratio = |found: Option<&Found>| Some(found?.until_new() / v8?);
        let cells = [
            goals::at_most(COLD_OF_V8, ratio(cold)),
            goals::at_most(WARM_OF_V8, ratio(warm)),
            goals::at_most(BLOCKED_MS, cold.map(Found::blocked)),
            goals::at_most(BLOCKED_MS, warm.map(Found::blocked)),
        ];
        goals.row(std::iter::once(plugin.file.to_owned()).chain(cells.into_iter().flatten()));
    }
    Ok(Section {
        key: "swap",
        title: "New code under load",
        note: format!(
            "Two workers, {} requests a second; {} updates of the small plugin and {} of the large one by ECDS from a file, each \
             with new code and a new configuration. Times are medians of the updates. The main thread was blocked for as long as the \
             longest answer of the admin interface during an update took longer than the median one in a time without updates. \
             A large plugin serves when it is compiled quickly; the time in which it is optimised belongs to the update, and the \
             next one comes after it. Memory is that which belongs to no file, before the first update and after the last.",
            PACE.rate(),
            bench.effort.small_updates,
            bench.effort.large_updates,
        ),
        tables: vec![table, goals],
        json: Value::from(json),
    })
}

type Row = (&'static str, String, Found);

fn measure_plugin(
    bench: &Bench<'_>,
    variants: &[Variant],
    plugin: &Changing,
    often: usize,
) -> Outcome<Vec<Row>> {
    let folder = bench.files.folder.join("swap");
    // It may not be there yet.
    let _ = fs::remove_dir_all(&folder);
    let cache = folder.join("cache");
    fs::create_dir_all(&folder).doing(format!("making {}", folder.display()))?;
    let code = bench.files.plugin(plugin.file)?;
    let code = fs::read(&code).doing(format!("reading {}", code.display()))?;
    for number in 1..=1 + often {
        let path = code_of(&folder, number);
        fs::write(&path, marked(&code, number)).doing(format!("writing {}", path.display()))?;
    }
    let mut rows: Vec<Row> = Vec::new();
    for variant in variants {
        let runs: &[(&'static str, &str, Host)] = match variant.host {
            Host::BuiltIn => &[("v8", "", Host::BuiltIn)],
            // Compiling for the isolation `stream` takes twice as long, and the rest is the same.
            Host::Graft("{}") => &[
                ("tiered", ", cold, `compile: tiered`", Host::Graft(TIERED)),
                ("cold", ", cold", Host::Graft("{}")),
                ("warm", ", cache warm", Host::Graft("{}")),
            ],
            Host::Graft(_) | Host::None | Host::Native | Host::Lua => &[],
        };
        for (key, words, host) in runs {
            // A large plugin is compiled in tiers by default.
            if *key == "tiered" && plugin.is_large {
                continue;
            }
            if matches!(*key, "tiered" | "cold") {
                let _ = fs::remove_dir_all(&cache);
                fs::create_dir_all(&cache).doing(format!("making {}", cache.display()))?;
            }
            let title = format!("{}{words}", variant.title);
            eprintln!("swap: {}, {title}", plugin.file);
            let variant = Variant { host: *host, ..*variant };
            rows.push((*key, title, run(bench, &variant, plugin, &folder, often)?));
        }
    }
    Ok(rows)
}

fn code_of(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("code-{number}.wasm"))
}

/// The same code as other bytes: a custom section that nobody reads holds the number.
fn marked(code: &[u8], number: usize) -> Vec<u8> {
    let mut marked = code.to_vec();
    // Section 0, its length, and its name with the length of that.
    marked.extend([0, 15, 6]);
    marked.extend(b"number");
    marked.extend(number.to_le_bytes());
    marked
}

/// One Envoy and its updates.
fn run(
    bench: &Bench<'_>,
    variant: &Variant,
    plugin: &Changing,
    folder: &Path,
    often: usize,
) -> Outcome<Found> {
    publish(bench, variant, plugin, folder, 1)?;
    let cache = folder.join("cache");
    let setup = Setup {
        name: format!("swap-{}-{}", plugin.file, variant.key),
        filters: vec![discovered(bench, variant, plugin, folder)?],
        answer: Answer::Direct(6),
        callout: bench.callout,
        workers: 2,
        has_admin: true,
        cache: Some(&cache),
        wrapper: Vec::new(),
    };
    let (envoy, first) = Envoy::start(bench.files, &setup)?;
    if number(&first).as_deref() != Ok("1") {
        return fail(format!("{}: the first generation does not answer with its number", variant.title));
    }
    let watch = Watch::start(envoy.admin.doing("the address of the admin interface")?)?;
    let load = Load::start(envoy.address, PACE, number);
    std::thread::sleep(SETTLE);
    let quiet = Window::of(|| {
        std::thread::sleep(QUIET);
        Ok(())
    })?;
    let before = memory(envoy.pid())?;
    let mut windows = Vec::new();
    for number in 2..=1 + often {
        windows.push(Window::of(|| {
            publish(bench, variant, plugin, folder, number)?;
            let begin = Instant::now();
            while !load.has_seen(&number.to_string()) {
                if begin.elapsed() > PATIENCE {
                    return fail(format!("{}: no generation {number}; {}", variant.title, envoy.log_end()));
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            if matches!(variant.host, Host::Graft(_)) {
                cached::wait(&cache, number)?;
            }
            std::thread::sleep(SETTLE);
            Ok(())
        })?);
    }
    let after = memory(envoy.pid())?;
    let (exchanges, questions) = (load.stop()?, watch.stop()?);
    let quiet_answer = quiet.median(&questions)?;
    let update = |(number, window): (usize, &Window)| {
        let number = number.to_string();
        let first = exchanges.iter().find(|exchange| exchange.mark == number).doing("an answer")?;
        Ok(Update {
            until_new: ms(first.end.saturating_duration_since(window.begin)),
            slowest: window.slowest(&exchanges),
            blocked: (window.longest(&questions)? - quiet_answer).max(0.0),
        })
    };
    Ok(Found {
        updates: (2..).zip(&windows).map(update).collect::<Outcome<_>>()?,
        requests: exchanges.len(),
        failed: exchanges.iter().filter(|exchange| exchange.wrong.is_some()).count(),
        quiet_slowest: quiet.slowest(&exchanges),
        before,
        after,
    })
}

/// A time in which something is done.
struct Window {
    begin: Instant,
    end: Instant,
}

impl Window {
    fn of(what: impl FnOnce() -> Outcome<()>) -> Outcome<Self> {
        let begin = Instant::now();
        what()?;
        Ok(Self { begin, end: Instant::now() })
    }

    fn slowest(&self, exchanges: &[Exchange]) -> f64 {
        let within = exchanges.iter().filter(|exchange| exchange.is_within(self.begin, self.end));
        ms(within.map(Exchange::took).max().unwrap_or_default())
    }

    fn longest(&self, questions: &main_thread::Questions) -> Outcome<f64> {
        let longest = questions.longest_within(self.begin, self.end);
        Ok(ms(longest.doing("the admin interface gave no answer")?))
    }

    fn median(&self, questions: &main_thread::Questions) -> Outcome<f64> {
        let median = questions.median_within(self.begin, self.end);
        Ok(ms(median.doing("the admin interface gave no answer")?))
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

const NAME: &str = "bench-swap";

fn filter(
    bench: &Bench<'_>,
    variant: &Variant,
    plugin: &Changing,
    folder: &Path,
    number: usize,
) -> Outcome<Value> {
    let configuration = plugin.configuration.replace("{n}", &number.to_string());
    let setting = Plugin {
        file: plugin.file,
        name: NAME,
        configuration: &configuration,
        failure_policy: "FAIL_CLOSED",
    };
    let filter = variant.plugin_of(&setting, &code_of(folder, number), bench.files)?;
    filter.doing("a variant that runs plugins")
}

/// The entry in the list of filters, whose configuration is in a file.
fn discovered(bench: &Bench<'_>, variant: &Variant, plugin: &Changing, folder: &Path) -> Outcome<Value> {
    let filter = filter(bench, variant, plugin, folder, 1)?;
    Ok(json!({
        "name": NAME,
        "config_discovery": {
            "config_source": {
                "resource_api_version": "V3",
                "path_config_source": {
                    "path": folder.join("filter.json"),
                    "watched_directory": { "path": folder },
                },
            },
            "type_urls": [filter["typed_config"]["@type"]],
        },
    }))
}

/// Moves the filter's configuration to its place.
fn publish(
    bench: &Bench<'_>,
    variant: &Variant,
    plugin: &Changing,
    folder: &Path,
    number: usize,
) -> Outcome<()> {
    let resource = json!({
        "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
        "name": NAME,
        "typed_config": filter(bench, variant, plugin, folder, number)?["typed_config"],
    });
    let fresh = folder.join("fresh.json");
    let text = json!({ "resources": [resource] }).to_string();
    let moved = fs::write(&fresh, text).and_then(|()| fs::rename(&fresh, folder.join("filter.json")));
    moved.doing("publishing the filter's configuration")
}
