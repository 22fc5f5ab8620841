//! Graft's pages on Envoy's admin endpoint: the state of all plugins, and commands.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::admin::AdminAnswer;
use crate::harness::envoy::on_each_envoy;
use crate::harness::guests::Guests;
use crate::harness::{Bootstrap, Envoy, Host, Listener, Plugin, Upstream, Version, eventually, files};
use crate::support::wasm::{self, GENERATION};

/// Envoy 1.37 has no pages for extensions.
fn has_pages(version: Version) -> bool {
    version != Version::V1_37
}

/// An Envoy with a plugin and the extension. The upstream is in the bootstrap.
fn start(version: Version, plugin: &Plugin) -> Envoy {
    let upstream = Upstream::http1("upstream");
    let listener = Listener::new("main").plugin(Host::Graft, plugin);
    Envoy::start(version, &Bootstrap::new().upstream(&upstream).listener(listener).extension(&json!({})))
}

/// A plugin whose first generation is on disk.
fn first(guests: &Guests) -> Plugin {
    Plugin::new("changes", &guests.add_bytes("code", &wasm::generation(1)))
}

fn get(envoy: &Envoy, path: &str) -> AdminAnswer {
    envoy.admin().exchange("GET", path).expect("the admin endpoint answers")
}

fn post(envoy: &Envoy, path: &str) -> (u16, String) {
    let answer = envoy.admin().exchange("POST", path).expect("the admin endpoint answers");
    (answer.status, answer.body)
}

/// The state of the plugin `changes`.
fn state(envoy: &Envoy) -> Value {
    let answer = get(envoy, "/graft?format=json&plugin=changes");
    assert_eq!(answer.status, 200, "{}", answer.body);
    let page: Value = serde_json::from_str(&answer.body).unwrap();
    page["plugins"][0].clone()
}

fn roles(envoy: &Envoy) -> Vec<Value> {
    state(envoy)["generations"].as_array().unwrap().iter().map(|found| found["role"].clone()).collect()
}

/// Which generation answers.
fn serving(envoy: &Envoy) -> Option<String> {
    envoy.client("main").get("/").header(GENERATION).map(str::to_owned)
}

on_each_envoy! {
    fn what_is_loaded_shows_as_a_page_and_as_json(version) {
        let guests = Guests::new();
        let envoy = start(version, &first(&guests));
        assert_eq!(serving(&envoy).as_deref(), Some("1"));
        let page = get(&envoy, "/graft");
        if !has_pages(version) {
            assert_eq!(page.status, 404);
            envoy.await_log("graft: no pages under /graft");
            return;
        }
        assert_eq!((page.status, page.header("content-type")), (200, Some("text/plain")));
        // A browser takes it for text whatever is in it.
        assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
        for expected in ["1 plugin\n", "changes (filter): serving for", "code.wasm", "generation", "sha256:"] {
            assert!(page.body.contains(expected), "{expected}: {}", page.body);
        }
        let state = state(&envoy);
        assert_eq!((&state["stage"], &state["use"], &state["isolation"]), (&json!("serving"), &json!("filter"), &json!("shared")));
        assert_eq!((&state["last_error"], &state["canary"]), (&Value::Null, &Value::Null));
        let generation = &state["generations"][0];
        assert_eq!((&generation["role"], &generation["begun"], &generation["failures"]), (&json!("serving"), &json!(1), &json!(0)));
        assert!(generation["vms"].as_u64() >= Some(1) && generation["memory_bytes"].as_u64() >= Some(65_536));
        assert!(get(&envoy, "/").body.contains("graft/reload"), "the list of pages");
        assert!(envoy.stop().status.success());
    }

    fn a_changed_file_is_loaded_when_somebody_asks(version) {
        if !has_pages(version) {
            return;
        }
        let guests = Guests::new();
        let envoy = start(version, &first(&guests));
        assert_eq!(serving(&envoy).as_deref(), Some("1"));
        guests.add_bytes("code", &wasm::generation(2));
        let (status, body) = post(&envoy, "/graft/reload?plugin=chang%65s");
        assert_eq!(status, 200, "{body}");
        assert!(body.starts_with("\"changes\" (filter, ") && body.ends_with("reload asked for\n"), "{body}");
        eventually("the new code", || (serving(&envoy).as_deref() == Some("2")).then_some(()));
        assert_eq!(state(&envoy)["counts"]["loads"], 2);
        assert!(envoy.stop().status.success());
    }

    fn a_load_that_failed_shows_and_the_last_good_generation_with_it(version) {
        if !has_pages(version) {
            return;
        }
        let guests = Guests::new();
        let envoy = start(version, &first(&guests));
        guests.add_bytes("code", b"no Wasm at all");
        assert_eq!(post(&envoy, "/graft/reload?plugin=changes").0, 200);
        let failed = eventually("the failure", || Some(state(&envoy)).filter(|state| state["stage"] == "failed"));
        assert!(failed["last_error"].as_str().unwrap().contains("expected a Wasm module"), "{failed:#}");
        assert_eq!((&failed["generations"][0]["role"], &failed["counts"]["load_failures"]), (&json!("serving"), &json!(1)));
        assert_eq!(failed["retry_in_seconds"], Value::Null, "the same bytes stay wrong");
        let page = get(&envoy, "/graft").body;
        assert!(page.contains("last error") && page.contains("with the next configuration, or with POST"), "{page}");
        assert_eq!(serving(&envoy).as_deref(), Some("1"));
        assert!(envoy.stop().status.success());
    }

    fn a_trial_is_decided_by_hand(version) {
        if !has_pages(version) {
            return;
        }
        let guests = Guests::new();
        let plugin = first(&guests)
            .set("graft.swap.canary.percent", 50)
            .set("graft.swap.canary.duration", "3600s");
        let envoy = start(version, &plugin);
        assert_eq!(serving(&envoy).as_deref(), Some("1"));
        let (status, body) = post(&envoy, "/graft/promote?plugin=changes");
        assert!(status == 409 && body.contains("no generation is on trial"), "{status}: {body}");

        for (number, command, winner) in [(2, "rollback", 1), (3, "promote", 3)] {
            guests.add_bytes("code", &wasm::generation(number));
            assert_eq!(post(&envoy, "/graft/reload?plugin=changes").0, 200);
            eventually("the trial", || (roles(&envoy) == ["serving", "on_trial"]).then_some(()));
            let canary = state(&envoy)["canary"].clone();
            assert!(canary["percent"] == 50 && canary["seconds_left"].as_f64() > Some(3500.0), "{canary}");
            assert!(get(&envoy, "/graft").body.contains("50 % of new streams, 59 min"));
            assert_eq!(post(&envoy, &format!("/graft/{command}?plugin=changes")).0, 200);
            eventually("the end of the trial", || (roles(&envoy) == ["serving"]).then_some(()));
            let all: Vec<_> = (0..4).filter_map(|_| serving(&envoy)).collect();
            assert_eq!(all, vec![winner.to_string(); 4], "{command}");
        }
        assert_eq!(state(&envoy)["counts"]["rollbacks"], 1);
        assert!(envoy.stop().status.success());
    }

    fn wrong_commands_are_refused_with_what_was_expected(version) {
        if !has_pages(version) {
            return;
        }
        let guests = Guests::new();
        let envoy = start(version, &first(&guests));
        for command in ["reload", "promote", "rollback"] {
            let path = format!("/graft/{command}");
            let refused = get(&envoy, &format!("{path}?plugin=changes"));
            assert_eq!(refused.status, 405, "{command}: {}", refused.body);
            let (status, body) = post(&envoy, &path);
            assert!(status == 400 && body.contains(&format!("as in {path}?plugin=NAME")), "{status}: {body}");
            let (status, body) = post(&envoy, &format!("{path}?plugin=other"));
            assert_eq!((status, body.as_str()), (404, "plugin: \"other\", expected one of those that there are: \"changes\"\n"));
        }
        assert_eq!(get(&envoy, "/graft?plugin=other").status, 404);
        assert_eq!(get(&envoy, "/graft?format=yaml").body, "format: \"yaml\", expected text or json\n");
        assert_eq!(get(&envoy, "/graft/other").status, 404);
        assert_eq!(state(&envoy)["counts"]["loads"], 1);
        assert!(envoy.stop().status.success());
    }

    /// The compiler keeps all cores busy; the main thread is not among those who wait.
    fn the_page_answers_while_a_large_plugin_compiles(version) {
        if !has_pages(version) {
            return;
        }
        let guests = Guests::new();
        let envoy = start(version, &first(&guests).set("graft.cache.disabled", true));
        guests.add_bytes("code", &std::fs::read(files::plugin("sdk-go")).unwrap());
        assert_eq!(post(&envoy, "/graft/reload?plugin=changes").0, 200);
        eventually("the compiler to begin", || (state(&envoy)["stage"] == "compiling").then_some(()));
        // A page of Envoy's own at the same time tells what the client and the machine's cores take.
        let (mut times, mut of_envoy) = (Vec::new(), Vec::new());
        eventually("the compiler to end", || {
            let asked = Instant::now();
            let stage = state(&envoy)["stage"].clone();
            times.push(asked.elapsed());
            let asked = Instant::now();
            assert_eq!(get(&envoy, "/ready").status, 200);
            of_envoy.push(asked.elapsed());
            (stage != "compiling").then_some(())
        });
        let count = times.len();
        let [median, own] = [&mut times, &mut of_envoy].map(|times| {
            times.sort_unstable();
            times[count / 2]
        });
        let slowest = [&times, &of_envoy].map(|times| times[count - 1]);
        eprintln!(
            "{version:?}: {count} answers while it compiles, median {median:.1?} (Envoy's own page: {own:.1?}), slowest \
             {slowest:.1?}"
        );
        assert!(count > 4 && median < own + Duration::from_millis(5), "{count}: {median:?}, {own:?}");
        assert!(envoy.stop().status.success());
    }

    fn names_are_shown_on_one_line_and_found_by_their_encoded_form(version) {
        if !has_pages(version) {
            return;
        }
        let name = "<script>alert(1)</script>\n\u{1b}[2J\"&";
        let guests = Guests::new();
        let envoy = start(version, &first(&guests).named(name));
        let page = get(&envoy, "/graft");
        let line = "<script>alert(1)</script>\\n\\u{1b}[2J\"& (filter): serving";
        assert!(page.body.lines().any(|found| found.starts_with(line)), "{}", page.body);
        assert_eq!((page.header("content-type"), page.header("x-content-type-options")), (Some("text/plain"), Some("nosniff")));
        let json: Value = serde_json::from_str(&get(&envoy, "/graft?format=json").body).unwrap();
        assert_eq!(json["plugins"][0]["plugin"], name);
        let encoded: String = name.bytes().flat_map(|byte| format!("%{byte:02x}").into_bytes()).map(char::from).collect();
        assert_eq!(post(&envoy, &format!("/graft/reload?plugin={encoded}")).0, 200);
        assert!(envoy.stop().status.success());
    }

    fn one_of_two_extensions_has_the_pages_and_a_service_shows_on_them(version) {
        let upstream = Upstream::http1("upstream");
        let service = Plugin::scripted("service", "configure: tick-period 20");
        let bootstrap = Bootstrap::new()
            .upstream(&upstream)
            .listener(Listener::new("main"))
            .service(&service, true)
            .extension(&json!({}));
        let envoy = Envoy::start(version, &bootstrap);
        envoy.await_log("graft: no pages under /graft");
        if has_pages(version) {
            let page = get(&envoy, "/graft").body;
            assert!(page.contains("service (singleton): serving"), "{page}");
        }
        assert!(envoy.stop().status.success());
    }
}
