//! Runs a scenario on both sides and judges.

use std::collections::BTreeSet;
use std::time::Duration;

use super::differences;
use super::observe::{Change, Observed, difference, exchange, plugin_lines, split_start};
use super::scenario::{Attached, Case, Scenario, Step};
use crate::harness::guests::Guests;
use crate::harness::tcp::{TcpProxy, TcpUpstream, talk};
use crate::harness::{
    Bootstrap, CalloutUpstream, Client, Envoy, GrpcUpstream, Host, Listener, Plugin, Response, Route,
    Upstream, Version, eventually, within,
};

/// The last log lines of a stream may come a moment after its response.
const LATE: Duration = Duration::from_secs(2);

/// How long a stream that a plugin holds is silent before Envoy ends it.
const SILENCE: &str = "0.3s";

/// The same where streams wait for callouts.
const SILENCE_OF_CALLOUTS: &str = "5s";

/// One of the two hosts, and the logger that its plugins' lines go to.
struct Side {
    host: Host,
    logger: &'static str,
}

const SIDES: [Side; 2] =
    [Side { host: Host::BuiltIn, logger: "wasm" }, Side { host: Host::Graft, logger: "dynamic_modules" }];

impl Side {
    /// The name of the listener of a case.
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
    let callouts = CalloutUpstream::start();
    if scenario.callouts {
        bootstrap = GrpcUpstream::start().add_to(callouts.add_to(bootstrap));
    }
    let tcp_upstream = TcpUpstream::echo("tcp");
    if scenario.attached == Attached::Tcp {
        bootstrap = bootstrap.tcp_upstream(&tcp_upstream);
    }
    for case in &scenario.cases {
        for side in &SIDES {
            let plugin = scenario.plugin(case, &code);
            if scenario.attached == Attached::Tcp {
                let proxy = TcpProxy::new(&side.listener(case), "tcp").plugin(side.host, &plugin);
                bootstrap = bootstrap.tcp_proxy(proxy);
                continue;
            }
            bootstrap = bootstrap.listener(listener(scenario, &side.listener(case), side.host, &plugin));
        }
    }
    let envoy = Envoy::start(Version::V1_40, &bootstrap);
    for side in &SIDES {
        scenario.settled.iter().for_each(|text| await_more(text, 0, &envoy, side));
    }
    let starts = SIDES.each_ref().map(|side| plugin_lines(&envoy.log(), side.logger));
    let outside = SIDES.each_ref().map(|side| match scenario.attached {
        Attached::Tcp => converse(scenario, &envoy, &tcp_upstream, side),
        Attached::Http | Attached::AccessLog | Attached::HttpAndAccessLog => {
            play(scenario, &envoy, &upstream, &callouts, side)
        }
    });

    let changes = || {
        let [built_in, graft] =
            [0, 1].map(|index| observe(scenario, &envoy, &SIDES[index], &starts[index], &outside[index]));
        difference(&built_in, &graft)
    };
    let declared = differences::of(name);
    if std::env::var_os("GRAFT_SHOW").is_some() {
        within(LATE, || None::<()>);
        show(&changes(), &observe(scenario, &envoy, &SIDES[0], &starts[0], &outside[0]));
    }
    let judged = within(LATE, || {
        let summaries: BTreeSet<_> = changes().iter().map(Change::summary).collect();
        summaries.iter().map(String::as_str).eq(declared.iter().copied()).then_some(())
    });
    if judged.is_none() {
        let found: Vec<_> =
            changes().iter().map(|change| format!("{} [{}]", change.summary(), change.place())).collect();
        let found = found.join("\n");
        let declared = declared.join("\n");
        panic!("{name}: the sides do not differ as declared\n--- found\n{found}\n--- declared\n{declared}");
    }
    assert!(envoy.stop().status.success(), "Envoy ends well");
}

/// Prints all that the built-in filter did, and what differs: for whoever writes a scenario.
fn show(changes: &[Change], built_in: &[Observed]) {
    for line in built_in {
        eprintln!("{} [{}]", line.what, line.place);
    }
    eprintln!("--- changes");
    for change in changes {
        eprintln!("{} [{}]", change.summary(), change.place());
    }
}

fn listener(scenario: &Scenario, name: &str, host: Host, plugin: &Plugin) -> Listener {
    let mut listener = Listener::new(name)
        .idle_timeout(if scenario.callouts { SILENCE_OF_CALLOUTS } else { SILENCE })
        .route(Route::by_header("x-other-route", "upstream").set("name", "by-header"))
        .route(
            Route::new("/other", "upstream").set("name", "by-path").set("route.prefix_rewrite", "/rewritten"),
        );
    if scenario.attached != Attached::AccessLog {
        listener = listener.plugin(host, plugin);
    }
    if scenario.attached != Attached::Http {
        listener = listener.access_logger(host, plugin);
    }
    if let Some(bytes) = scenario.buffer_limit {
        listener = listener.buffer_limit(bytes);
    }
    listener
}

/// Plays the scripts on one side; gives what is seen from outside.
fn play(
    scenario: &Scenario,
    envoy: &Envoy,
    upstream: &Upstream,
    callouts: &CalloutUpstream,
    side: &Side,
) -> Vec<Observed> {
    let mut observed = Vec::new();
    for case in &scenario.cases {
        let listener = side.listener(case);
        let client = envoy.client(&listener);
        for (index, step) in case.steps.iter().enumerate() {
            let place = format!("{} {}", case.name, index + 1);
            upstream.answer(step.answer.clone());
            callouts.close();
            let before = step.until.map_or(0, |text| count(text, envoy, side));
            let (response, beside) = send(step, &client, envoy, side);
            envoy.await_quiet(&listener);
            callouts.open();
            if let Some(text) = step.until {
                await_more(text, before, envoy, side);
            }
            observed.extend(exchange(&place, &response, &upstream.take_seen()));
            if let Some(beside) = beside {
                observed.extend(exchange(&format!("{place} beside"), &beside, &[]));
            }
        }
    }
    observed
}

/// Holds the conversations on one side; gives what is seen from outside.
fn converse(scenario: &Scenario, envoy: &Envoy, upstream: &TcpUpstream, side: &Side) -> Vec<Observed> {
    let mut observed = Vec::new();
    for case in &scenario.cases {
        let listener = side.listener(case);
        let address = eventually("the listener to serve", || envoy.address(&listener));
        for (index, script) in case.talks.iter().enumerate() {
            let place = format!("{} {}", case.name, index + 1);
            let heard = talk(address, script);
            let active = format!("listener.{listener}.downstream_cx_active");
            eventually("the connection to end", || (envoy.admin().stat(&active) == Some(0)).then_some(()));
            observed.push(Observed::new(&place, format!("client heard: {}", heard.bytes)));
            observed.push(Observed::new(
                &place,
                format!("connection ended by the other side: {}", heard.is_ended),
            ));
            observed.push(Observed::new(&place, format!("upstream saw: {}", upstream.take_seen())));
        }
    }
    observed
}

/// Sends the request of a step, and the one beside it, if there is one.
fn send(step: &Step, client: &Client, envoy: &Envoy, side: &Side) -> (Response, Option<Response>) {
    let Some((text, then)) = &step.meanwhile else { return (client.send(&step.request), None) };
    let before = count(text, envoy, side);
    std::thread::scope(|scope| {
        let held = scope.spawn(|| client.send(&step.request));
        eventually("the stream to be held", || (count(text, envoy, side) > before).then_some(()));
        let beside = client.send(then);
        (held.join().expect("the client"), Some(beside))
    })
}

/// How many lines with a text the plugins of a side have logged.
fn count(text: &str, envoy: &Envoy, side: &Side) -> usize {
    plugin_lines(&envoy.log(), side.logger).iter().filter(|line| line.what.contains(text)).count()
}

/// Waits for one more of these lines. If it does not come, the sides differ in it.
fn await_more(text: &str, before: usize, envoy: &Envoy, side: &Side) {
    within(LATE, || (count(text, envoy, side) > before).then_some(()));
}

/// Everything that was observed of a side by now.
fn observe(
    scenario: &Scenario,
    envoy: &Envoy,
    side: &Side,
    start: &[Observed],
    outside: &[Observed],
) -> Vec<Observed> {
    let (start, mut rest) = split_start(start, &plugin_lines(&envoy.log(), side.logger));
    let mut observed: Vec<_> =
        start.into_iter().map(|line| Observed::new(&line.place, format!("start {}", line.what))).collect();
    observed.extend(outside.iter().cloned());
    for case in &scenario.cases {
        let log = envoy.access_log(&side.listener(case));
        observed.extend(log.into_iter().map(|line| Observed::new(&case.name, format!("access log: {line}"))));
    }
    if scenario.by_place {
        rest.sort_by(|one, other| one.place.cmp(&other.place));
    }
    observed.extend(rest);
    observed
}
