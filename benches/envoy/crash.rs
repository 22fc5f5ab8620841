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
use crate::client::{self, Connection};
use crate::envoy::{Envoy, Setup};
use crate::failure::{Failure, Outcome, fail};
use crate::numbers::short;
use crate::report::{Section, Table};
use crate::requests::Bench;
use crate::upstream;
use crate::variants::{Plugin, Variant};

const CLIENTS: u32 = 8;
/// 400 good requests a second, all clients together.
const PAUSE: Duration = Duration::from_millis(20);
const CRASH_PAUSE: Duration = Duration::from_millis(50);
/// How long the upstream takes.
const HELD: Duration = Duration::from_millis(5);
/// A new connection after so many requests: it goes to any of the workers.
const KEPT: u32 = 10;

/// A request's time, and what was wrong with its answer, if anything.
struct Exchange {
    begin: Instant,
    end: Instant,
    wrong: Option<String>,
}

impl Exchange {
    fn overlaps(&self, other: &Self) -> bool {
        self.begin <= other.end && other.begin <= self.end
    }
}

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
            CLIENTS * 1000 / u32::try_from(PAUSE.as_millis()).unwrap_or(1),
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
        cache: None,
        wrapper: Vec::new(),
    };
    let (envoy, first) = Envoy::start(bench.files, &setup)?;
    if first.status != 200 || first.header("x-survived").is_none() {
        return fail(format!("{}: the plugin does not mark a good request", variant.title));
    }
    let (address, end) = (envoy.address, Instant::now() + bench.effort.crash);
    let clients: Vec<_> = (0..CLIENTS).map(|_| std::thread::spawn(move || send_good(address, end))).collect();
    let crashes = send_crashing(address, end);
    let mut good = Vec::new();
    for client in clients {
        good.extend(client.join().map_err(|_| Failure("a client of the benchmark panicked".to_owned()))?);
    }
    good.sort_by_key(|exchange| exchange.end);
    Ok((good, crashes))
}

fn send_good(address: SocketAddr, end: Instant) -> Vec<Exchange> {
    let mut exchanges = Vec::new();
    let mut connection = None;
    let mut next = Instant::now();
    for count in 0.. {
        if next >= end {
            break;
        }
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        next += PAUSE;
        if count % KEPT == 0 {
            connection = None;
        }
        let begin = Instant::now();
        let opened = connection.take().map_or_else(|| Connection::open(address), Ok);
        let answer = opened.and_then(|mut opened| opened.get(&[]).map(|response| (opened, response)));
        let wrong = match answer {
            Err(error) => Some(format!("{:?}", error.kind())),
            Ok((opened, response)) => {
                if response.header("connection") != Some("close") {
                    connection = Some(opened);
                }
                let is_marked = response.header("x-survived") == Some("yes");
                match response.status {
                    200 if is_marked => None,
                    200 => Some("200 without the mark".to_owned()),
                    status => Some(format!("status {status}")),
                }
            }
        };
        exchanges.push(Exchange { begin, end: Instant::now(), wrong });
    }
    exchanges
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
        exchanges.push(Exchange { begin, end: Instant::now(), wrong });
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
