//! Runs a scenario on two sides and judges: under both hosts, and under Graft with both kinds of isolation.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
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
const LATE: Duration = Duration::from_secs(10);

/// How long a stream that a plugin holds is silent before Envoy ends it. Others are silent too, between their chunks.
const SILENCE: &str = "1.5s";

/// The same where streams wait for callouts.
const SILENCE_OF_CALLOUTS: &str = "5s";

/// One way to run plugins, and the logger that their lines go to.
struct Side {
    host: Host,
    logger: &'static str,
    /// Whether each stream has a VM of its own.
    is_isolated: bool,
}

const BUILT_IN: Side = Side { host: Host::BuiltIn, logger: "wasm", is_isolated: false };
const SHARED: Side = Side { host: Host::Graft, logger: "dynamic_modules", is_isolated: false };
const STREAM: Side = Side { host: Host::Graft, logger: "dynamic_modules", is_isolated: true };

impl Side {
    /// The name of the listener of a case.
    fn listener(&self, case: &Case) -> String {
        format!("{:?}-{}", self.host, case.name)
    }

    /// The plugin of a case, as it runs here.
    fn plugin(&self, scenario: &Scenario, case: &Case, code: &Path) -> Plugin {
        let plugin = scenario.plugin(case, code);
        if self.is_isolated { plugin.set("graft.isolation", "stream") } else { plugin }
    }
}

/// Runs a scenario under both hosts, and under Graft with a VM for each stream; fails unless they differ exactly as
/// declared. The last has an Envoy of its own, because shared data is the process's.
pub fn run(name: &str, scenario: &Scenario) {
    let hosts = Stage::new(scenario, &[&BUILT_IN, &SHARED]);
    let starts = [hosts.start(&BUILT_IN), hosts.start(&SHARED)];
    let acts = [hosts.play(&BUILT_IN), hosts.play(&SHARED)];
    judge(name, ["the built-in filter", "Graft"], &differences::of(name), &[], || {
        [hosts.observe(&BUILT_IN, &starts[0], &acts[0]), hosts.observe(&SHARED, &starts[1], &acts[1])]
    });
    let alone = Stage::new(scenario, &[&STREAM]);
    let start = alone.start(&STREAM);
    let act = alone.play(&STREAM);
    let (declared, at_times) = (differences::of_isolation(name), differences::of_isolation_at_times(name));
    judge(name, ["isolation shared", "isolation stream"], &declared, &at_times, || {
        [hosts.observe(&SHARED, &starts[1], &acts[1]), alone.observe(&STREAM, &start, &act)]
    });
    hosts.end();
    alone.end();
}

/// Fails unless what was observed differs exactly as declared, now or soon. Lines `at_times` may differ or not.
fn judge(
    name: &str,
    sides: [&str; 2],
    declared: &[&str],
    at_times: &[&str],
    observe: impl Fn() -> [Vec<Observed>; 2],
) {
    let changes = || {
        let [left, right] = observe();
        difference(&left, &right)
    };
    if std::env::var_os("GRAFT_SHOW").is_some() {
        within(LATE, || None::<()>);
        show(&changes(), &observe()[0]);
    }
    let judged = within(LATE, || {
        let mut summaries: BTreeSet<_> = changes().iter().map(Change::summary).collect();
        summaries.retain(|line| !at_times.contains(&line.as_str()));
        summaries.iter().map(String::as_str).eq(declared.iter().copied()).then_some(())
    });
    if judged.is_none() {
        let found: Vec<_> =
            changes().iter().map(|change| format!("{} [{}]", change.summary(), change.place())).collect();
        let found = found.join("\n");
        let declared = declared.join("\n");
        let [left, right] = sides;
        panic!(
            "{name}: {left} (-) and {right} (+) do not differ as declared\n--- found\n{found}\n--- declared\n{declared}"
        );
    }
}

/// An Envoy for a scenario on some sides, and what stands around it.
struct Stage<'a> {
    scenario: &'a Scenario,
    envoy: Envoy,
    upstream: Arc<Upstream>,
    callouts: Arc<CalloutUpstream>,
    tcp_upstream: Arc<TcpUpstream>,
    _guests: Guests,
}

impl<'a> Stage<'a> {
    fn new(scenario: &'a Scenario, sides: &[&Side]) -> Self {
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
            for side in sides {
                let plugin = side.plugin(scenario, case, &code);
                if scenario.attached == Attached::Tcp {
                    let proxy = TcpProxy::new(&side.listener(case), "tcp").plugin(side.host, &plugin);
                    bootstrap = bootstrap.tcp_proxy(proxy);
                    continue;
                }
                bootstrap = bootstrap.listener(listener(scenario, &side.listener(case), side.host, &plugin));
            }
        }
        let envoy = Envoy::start(Version::V1_40, &bootstrap);
        Self { scenario, envoy, upstream, callouts, tcp_upstream, _guests: guests }
    }

    /// What plugins say as they start.
    fn start(&self, side: &Side) -> Vec<Observed> {
        self.scenario.settled.iter().for_each(|text| await_more(text, 0, &self.envoy, side));
        plugin_lines(&self.envoy.log(), side.logger)
    }

    /// Plays the scripts on one side; gives what is seen from outside.
    fn play(&self, side: &Side) -> Vec<Observed> {
        match self.scenario.attached {
            Attached::Tcp => converse(self.scenario, &self.envoy, &self.tcp_upstream, side),
            Attached::Http | Attached::AccessLog | Attached::HttpAndAccessLog => {
                play(self.scenario, &self.envoy, &self.upstream, &self.callouts, side)
            }
        }
    }

    fn observe(&self, side: &Side, start: &[Observed], outside: &[Observed]) -> Vec<Observed> {
        observe(self.scenario, &self.envoy, side, start, outside)
    }

    fn end(self) {
        assert!(self.envoy.stop().status.success(), "Envoy ends well");
    }
}

/// Prints all that was observed on the first side, and what differs: for whoever writes a scenario.
fn show(changes: &[Change], first: &[Observed]) {
    for line in first {
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
