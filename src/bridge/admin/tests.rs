//! The desk over plugins of a fake process.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::*;
use crate::abi::testing::FakeEnvoy;
use crate::bridge::metrics::Metrics;
use crate::config::parse_plugin;
use crate::host::testing::{FakeServices, FakeStream};
use crate::lifecycle::registry::Workers;

const GUEST: &str = r#"(module
    (memory (export "memory") 1)
    (func (export "proxy_abi_version_0_2_1"))
    (func (export "malloc") (param i32) (result i32) (i32.const 1024)))"#;

struct House {
    registry: Registry<FakeStream>,
    slots: Vec<Arc<Slot<FakeStream>>>,
    metrics: Metrics,
}

impl House {
    /// A process with these plugins, in one VM each.
    fn with(plugins: &[(&str, &str)]) -> Self {
        let services = Arc::new(FakeServices::default());
        let registry = Registry::new(services, Workers { places: 2, prepared: 1 }).unwrap();
        let code = STANDARD.encode(wat::parse_str(GUEST).unwrap());
        let open = |(name, configuration): &(&str, &str)| {
            let plugin = serde_json::json!({
                "name": name,
                "configuration": configuration,
                "vm_config": { "code": { "local": { "inline_bytes": code } } },
                "graft": { "swap": { "poll_interval": "5s" } },
            });
            let config = parse_plugin("filter", plugin.to_string().as_bytes()).unwrap();
            registry.open(Use::Filter, &config, false).unwrap()
        };
        let slots = plugins.iter().map(open).collect();
        Self { registry, slots, metrics: Metrics::default() }
    }

    fn ask(&self, method: &str, target: &str) -> (u32, String) {
        let totals = |plugin: &str| self.metrics.totals(plugin);
        let desk = Desk { registry: &self.registry, totals: &totals, is_starting: false };
        let answer = desk.answer(method.as_bytes(), target.as_bytes());
        (answer.status, answer.body)
    }
}

#[test]
fn the_page_tells_of_each_plugin_in_a_few_lines() {
    let house = House::with(&[("auth", "one"), ("quota", "two")]);
    let (status, page) = house.ask("GET", "/graft");
    assert_eq!(status, 200);
    let lines: Vec<&str> = page.lines().collect();
    assert!(lines[0].ends_with(": 2 plugins") && lines[1].is_empty(), "{page}");
    assert!(lines[2].starts_with("auth (filter): serving for "), "{page}");
    let source = "  source      ";
    assert!(lines[3].starts_with(source) && lines[3].ends_with(", looked at every 5 s"), "{page}");
    assert_eq!(lines[4], "  isolation   shared: streams of a worker share a VM");
    let counts = "loads 0, load failures 0, rollbacks 0, traps 0, deadline hits 0, streams failed 0";
    assert_eq!(lines[5], format!("  counts      {counts}"));
    assert!(
        lines[6].starts_with("  generation  role     streams  begun  failures  VMs  memory  age"),
        "{page}"
    );
    assert!(lines[7].contains("  serving  0        0      0         1    64 KiB "), "{page}");
    assert!(lines[7].contains("sha256:"), "{page}");
    let (_, one) = house.ask("GET", "/graft?plugin=quota");
    assert!(one.contains("1 plugin\n") && !one.contains("auth"), "{one}");
}

#[test]
fn the_next_try_that_is_promised_is_one_that_comes() {
    for (swap, expected) in [
        (serde_json::json!({ "poll_interval": "5s" }), "when the source changes"),
        (serde_json::json!({}), "with the next configuration"),
    ] {
        let house = House::with(&[]);
        let plugin = serde_json::json!({
            "name": "auth",
            "vm_config": { "code": { "local": { "inline_bytes": STANDARD.encode("no Wasm") } } },
            "graft": { "swap": swap },
        });
        let config = parse_plugin("filter", plugin.to_string().as_bytes()).unwrap();
        let _slot = house.registry.open(Use::Filter, &config, true).unwrap();
        house.registry.loader().work();
        let (_, page) = house.ask("GET", "/graft");
        let line = format!("  next try    {expected}, or with POST /graft/reload\n");
        assert!(page.contains(&line), "{page}");
    }
}

#[test]
fn the_page_for_programs_has_the_keys_of_the_documentation_and_no_others() {
    let house = House::with(&[("auth", "")]);
    let (status, body) = house.ask("GET", "/graft?format=json");
    assert_eq!(status, 200);
    let mut page: Value = serde_json::from_str(&body).unwrap();
    page["plugins"][0]["canary"] = json::canary(&crate::lifecycle::slot::status::TrialStatus {
        number: 2,
        percent: 10,
        left: std::time::Duration::from_millis(1500),
    });
    assert_eq!(page["plugins"][0]["canary"]["seconds_left"], 1.5);
    let mut keys = BTreeSet::new();
    collect("", &page, &mut keys);
    let documented: BTreeSet<String> = include_str!("../../../docs/ADMIN.md")
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | ").map(|(key, _)| key.to_owned()))
        .filter(|key| !key.starts_with('/'))
        .collect();
    assert_eq!(keys, documented);
}

/// The paths of all values that are no objects.
fn collect(path: &str, value: &Value, keys: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let dot = if path.is_empty() { "" } else { "." };
                collect(&format!("{path}{dot}{name}"), value, keys);
            }
        }
        Value::Array(elements) => {
            for element in elements {
                collect(&format!("{path}[]"), element, keys);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            keys.insert(path.to_owned());
        }
    }
}

#[test]
fn a_command_goes_to_every_plugin_of_the_name() {
    let house = House::with(&[("auth", "one"), ("auth", "two"), ("quota", "")]);
    let (status, body) = house.ask("POST", "/graft/reload?plugin=auth");
    assert_eq!((status, body.lines().count()), (200, 2), "{body}");
    assert!(
        body.lines().all(|line| line.starts_with("\"auth\" (filter, ") && line.ends_with("reload asked for"))
    );
    assert_eq!(house.slots.len(), 3);
}

#[test]
fn what_is_wrong_with_a_request_is_said() {
    let house = House::with(&[("a\"b\n", ""), ("quota", "")]);
    for (method, target, status, body) in [
        ("GET", "/graft/reload?plugin=quota", 405, "expected POST\n"),
        (
            "POST",
            "/graft/reload",
            400,
            "plugin: missing, expected the name of a plugin, as in /graft/reload?plugin=NAME\n",
        ),
        (
            "POST",
            "/graft/reload?plugin=",
            400,
            "plugin: missing, expected the name of a plugin, as in /graft/reload?plugin=NAME\n",
        ),
        (
            "POST",
            "/graft/promote?plugin=x",
            404,
            "plugin: \"x\", expected one of those that there are: \"a\"b\\n\", \"quota\"\n",
        ),
        ("GET", "/graft?format=xml", 400, "format: \"xml\", expected text or json\n"),
        ("GET", "/graft/unknown", 404, "there is no such page\n"),
    ] {
        assert_eq!(house.ask(method, target), (status, body.to_owned()), "{method} {target}");
    }
    let (status, body) = house.ask("POST", "/graft/rollback?plugin=quota");
    assert!(status == 409 && body.contains("no generation is on trial"), "{status} {body}");
    let nobody = House::with(&[]);
    let (status, body) = nobody.ask("POST", "/graft/reload?plugin=x");
    assert!(status == 404 && body.ends_with(": none\n"), "{body}");
}

#[test]
fn pages_are_added_once_and_taken_away() {
    let envoy = FakeEnvoy::install();
    let config = envoy.config();
    let pages = Pages::open(config.handle_of(), true);
    let others = Pages::open(envoy.config().handle_of(), true);
    assert!(others.added.is_empty());
    let paths = ["/graft", "POST /graft/reload", "POST /graft/promote", "POST /graft/rollback"];
    let added = envoy.admin_pages();
    assert!(added.iter().zip(paths).all(|(page, path)| page.starts_with(&format!("{path}: "))), "{added:?}");
    others.close();
    assert_eq!(envoy.admin_pages().len(), 4);
    pages.close();
    assert!(envoy.admin_pages().is_empty());
    assert!(Pages::open(config.handle_of(), false).added.is_empty());
}
