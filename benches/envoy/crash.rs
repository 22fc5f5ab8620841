//! Good requests while others crash their plugin, every 50 ms.
//!
//! Clients send good requests at a steady pace to an Envoy of two workers, whose upstream takes some milliseconds for an
//! answer, so that there is always a stream that a crash can hit. A good request failed if its answer is not that of the
//! upstream with the plugin's mark; whether it was under way while a crashing one was is told apart.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::bootstrap::Answer;
use crate::client;
use crate::envoy::{Envoy, Setup};
use crate::failure::{Outcome, fail};
use crate::numbers::short;
use crate::report::{Section, Table};
use crate::requests::Bench;
use crate::steady::{Exchange, Load, Pace};
use crate::upstream;
use crate::variants::{Plugin, Variant};

/// 400 good requests a second.
const PACE: Pace = Pace { clients: 8, pause: Duration::from_millis(20) };
const CRASH_PAUSE: Duration = Duration::from_millis(50);
/// How long the upstream takes.
const HELD: Duration = Duration::from_millis(5);

pub fn measure(bench: &Bench<'_>, variants: &[Variant]) -> Outcome<Section> {
    let slow = upstream::serve(HELD)?;
    let mut table = Table::new(&[
        "variant",
        "crashes",
        "good requests",
        "failed",
        "failed, %",
        "of these under way at a crash",
        "longest time without a good answer, ms",
        "what failed looked like",
    ]);
    let mut json = Vec::new();
    for variant in variants.iter().filter(|variant| variant.runs_plugins()) {
        eprintln!("crash: {}", variant.title);
        let (good, crashes) = run(bench, variant, slow)?;
        let hits = crashes.iter().filter(|crash| crash.wrong.is_some()).count();
        let failed: Vec<&Exchange> = good.iter().filter(|exchange| exchange.wrong.is_some()).collect();
        let under_way =
            failed.iter().filter(|exchange| crashes.iter().any(|crash| crash.overlaps(exchange))).count();
        let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
        for wrong in failed.iter().filter_map(|exchange| exchange.wrong.as_deref()) {
            *kinds.entry(wrong).or_default() += 1;
        }
        let kinds: Vec<String> = kinds.iter().map(|(kind, count)| format!("{count} × {kind}")).collect();
        let part = 100.0 * failed.len() as f64 / good.len().max(1) as f64;
        let gap = longest_gap(&good).as_secs_f64() * 1e3;
        table.row([
            variant.title.to_owned(),
            hits.to_string(),
            good.len().to_string(),
            failed.len().to_string(),
            short(part),
            under_way.to_string(),
            short(gap),
            kinds.join(", "),
        ]);
        json.push(json!({
            "variant": variant.key, "crashes": hits, "good": good.len(), "failed": failed.len(),
            "failed_percent": part, "failed_under_way": under_way, "longest_gap_ms": gap,
        }));
    }
    Ok(Section {
        key: "crash",
        title: "A plugin that crashes under load",
        note: format!(
            "Two workers, `failure_policy: FAIL_RELOAD`, one crashing request every {} ms among {} good ones a second, whose \
             upstream takes {} ms. The goal: `shared` fails none but those under way on the VM that crashed, `stream` none.",
            CRASH_PAUSE.as_millis(),
            PACE.rate(),
            HELD.as_millis(),
        ),
        tables: vec![table],
        json: Value::from(json),
    })
}

/// Good and crashing exchanges.
fn run(bench: &Bench<'_>, variant: &Variant, slow: SocketAddr) -> Outcome<(Vec<Exchange>, Vec<Exchange>)> {
    let plugin = Plugin {
        file: "bench-workloads",
        name: "bench-crash",
        configuration: "panic",
        failure_policy: "FAIL_RELOAD",
    };
    let setup = Setup {
        name: format!("crash-{}", variant.key),
        filters: variant.plugin(&plugin, bench.files)?.into_iter().collect(),
        answer: Answer::Upstream,
        callout: slow,
        workers: 2,
        has_admin: false,
        cache: None,
        wrapper: Vec::new(),
    };
    let (envoy, first) = Envoy::start(bench.files, &setup)?;
    if first.status != 200 || first.header("x-survived").is_none() {
        return fail(format!("{}: the plugin does not mark a good request", variant.title));
    }
    let load = Load::start(envoy.address, PACE, |response| match response.header("x-survived") {
        Some("yes") => Ok(String::new()),
        _ => Err("200 without the mark".to_owned()),
    });
    let crashes = send_crashing(envoy.address, Instant::now() + bench.effort.crash);
    let good = load.stop()?;
    Ok((good, crashes))
}

fn send_crashing(address: SocketAddr, end: Instant) -> Vec<Exchange> {
    let mut exchanges = Vec::new();
    let mut next = Instant::now();
    while next < end {
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        next += CRASH_PAUSE;
        let begin = Instant::now();
        let wrong = match client::get(address, &[("x-panic", "yes")]) {
            Ok(response) if response.status == 200 => None,
            Ok(response) => Some(response.status.to_string()),
            Err(error) => Some(error.to_string()),
        };
        exchanges.push(Exchange { begin, end: Instant::now(), mark: String::new(), wrong });
    }
    exchanges
}

/// Between two good answers, of any client; the beginning and the end of the run count as such.
fn longest_gap(exchanges: &[Exchange]) -> Duration {
    let begin = exchanges.iter().map(|exchange| exchange.begin).min();
    let good = exchanges.iter().filter(|exchange| exchange.wrong.is_none()).map(|exchange| exchange.end);
    let end = exchanges.last().map(|exchange| exchange.end);
    let moments: Vec<Instant> = begin.into_iter().chain(good).chain(end).collect();
    let gaps =
        moments.iter().zip(moments.iter().skip(1)).map(|(before, after)| after.duration_since(*before));
    gaps.max().unwrap_or_default()
}
