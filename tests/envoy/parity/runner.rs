//! Runs a scenario on both sides and judges.

use std::time::Duration;

use super::differences;
use super::observe::{difference, exchange, plugin_lines, split_start};
use super::scenario::{Case, Scenario};
use crate::harness::guests::Guests;
use crate::harness::{
    Bootstrap, Envoy, Host, Listener, Plugin, Route, Upstream, Version, eventually, within,
};

/// The last log lines of a stream may come a moment after its response.
const LATE: Duration = Duration::from_secs(2);

/// How long a stream that a plugin holds is silent before Envoy ends it.
const SILENCE: &str = "0.3s";

/// One of the two hosts, and the logger that its plugins' lines go to.
struct Side {
    host: Host,
    logger: &'static str,
}

const BUILT_IN: Side = Side { host: Host::BuiltIn, logger: "wasm" };
const GRAFT: Side = Side { host: Host::Graft, logger: "dynamic_modules" };

impl Side {
    fn listener(&self, case: &Case) -> String {
        format!("{:?}-{}", self.host, case.name)
    }
}

/// Runs a scenario; fails unless the two sides differ exactly as declared.
pub fn run(name: &str, scenario: &Scenario) {
    let guests = Guests::new();
    let code = scenario.code(&guests);
    let upstream =
        if scenario.http2_upstream { Upstream::http2("upstream") } else { Upstream::http1("upstream") };
    let mut bootstrap = Bootstrap::new().upstream(&upstream).variable("TWO", "2");
    for case in &scenario.cases {
        for side in [&BUILT_IN, &GRAFT] {
            let plugin = scenario.plugin(case, &code);
            bootstrap = bootstrap.listener(listener(scenario, &side.listener(case), side.host, &plugin));
        }
    }
    let envoy = Envoy::start(Version::V1_40, &bootstrap);
    let sides = [&BUILT_IN, &GRAFT];
    let starts = sides.map(|side| plugin_lines(&envoy.log(), side.logger));
    let outside = sides.map(|side| play(scenario, &envoy, &upstream, side));

    let expected = differences::of(name);
    let observe = |index: usize| {
        let side = sides[index];
        let (start, rest) = split_start(&starts[index], &plugin_lines(&envoy.log(), side.logger));
        let mut lines: Vec<_> = start.into_iter().map(|line| format!("start {line}")).collect();
        lines.extend(outside[index].iter().cloned());
        for case in &scenario.cases {
            let log = envoy.access_log(&side.listener(case));
            lines.extend(log.into_iter().map(|line| format!("{} access log: {line}", case.name)));
        }
        lines.extend(rest);
        lines
    };
    let changes = || difference(&observe(0), &observe(1));
    if std::env::var_os("PROBE").is_some() {
        std::thread::sleep(Duration::from_millis(100));
        let mut o = format!("===== {name}: {}\n", scenario.about);
        for l in observe(0) {
            o += &format!("{l}\n");
        }
        for l in envoy.log() {
            if l.of_plugin().is_none() && l.level != "debug" {
                o += &format!("ENVOY [{}][{}] {}\n", l.level, l.logger, l.text);
            }
        }
        std::fs::write(format!("/tmp/harness/probe/{name}"), o).unwrap();
        return;
    }
    if within(LATE, || (changes() == expected).then_some(())).is_none() {
        panic!(
            "{name}: the sides do not differ as declared\n--- found (- built-in, + Graft)\n{}\n--- declared\n{}",
            changes().join("\n"),
            expected.join("\n"),
        );
    }
    assert!(envoy.stop().status.success(), "Envoy ends well");
}

fn listener(scenario: &Scenario, name: &str, host: Host, plugin: &Plugin) -> Listener {
    let mut listener = Listener::new(name)
        .idle_timeout(SILENCE)
        .route(Route::by_header("x-other-route", "upstream").set("name", "by-header"))
        .route(
            Route::new("/other", "upstream").set("name", "by-path").set("route.prefix_rewrite", "/rewritten"),
        )
        .plugin(host, plugin);
    if let Some(bytes) = scenario.buffer_limit {
        listener = listener.buffer_limit(bytes);
    }
    listener
}

/// Plays the scripts on one side; gives what is seen from outside.
fn play(scenario: &Scenario, envoy: &Envoy, upstream: &Upstream, side: &Side) -> Vec<String> {
    let mut lines = Vec::new();
    for case in &scenario.cases {
        let listener = side.listener(case);
        let client = envoy.client(&listener);
        for (index, step) in case.steps.iter().enumerate() {
            let name = format!("{} {}", case.name, index + 1);
            upstream.answer(step.answer.clone());
            let (response, beside) = match &step.meanwhile {
                None => (client.send(&step.request), None),
                Some((text, then)) => std::thread::scope(|scope| {
                    let logged = count(envoy, side, text);
                    let held = scope.spawn(|| client.send(&step.request));
                    eventually("the stream to be held", || (count(envoy, side, text) > logged).then_some(()));
                    let beside = client.send(then);
                    (held.join().expect("the client"), Some(beside))
                }),
            };
            envoy.await_quiet(&listener);
            lines.extend(exchange(&name, &response, &upstream.take_seen()));
            if let Some(beside) = beside {
                lines.extend(exchange(&format!("{name} beside"), &beside, &[]));
            }
        }
    }
    lines
}

fn count(envoy: &Envoy, side: &Side, text: &str) -> usize {
    plugin_lines(&envoy.log(), side.logger).iter().filter(|line| line.contains(text)).count()
}
