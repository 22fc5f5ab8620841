//! `docs/CONFIG.md` and the code say the same: each example on the page is read, each refusal is refused
//! with the line that the page shows, and the tables hold the fields that are known, no more and no less.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    ConfigError, ExtensionConfig, GraftConfig, cache, capabilities, code, environment, failure, graft,
    parse_plugin, parse_route, parse_service, plugin, pool, remote, route, service, source, swap, vm,
};

const PAGE: &str = include_str!("../../docs/CONFIG.md");

/// The fenced blocks of the page: what stands after the fence, and what is between the fences.
fn blocks() -> Vec<(&'static str, String)> {
    let mut blocks = Vec::new();
    let mut lines = PAGE.lines();
    while let Some(line) = lines.next() {
        if let Some(kind) = line.strip_prefix("```") {
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            blocks.push((kind, block.join("\n")));
        }
    }
    blocks
}

fn blocks_of(kind: &str) -> Vec<String> {
    let texts: Vec<String> =
        blocks().into_iter().filter(|(found, _)| *found == kind).map(|(_, text)| text).collect();
    assert!(!texts.is_empty(), "no {kind} on the page");
    texts
}

/// What Envoy hands over for a message that has a `filter_config`.
fn filter_config(message: &Value) -> Vec<u8> {
    let any = &message["filter_config"];
    assert_eq!(any["@type"], "type.googleapis.com/google.protobuf.Struct");
    any["value"].to_string().into_bytes()
}

#[test]
fn every_block_is_of_a_kind_that_is_tested() {
    let kinds: BTreeSet<&str> = blocks().into_iter().map(|(kind, _)| kind).collect();
    let known = [
        "json extension",
        "json filter",
        "json plugin",
        "json refused",
        "json route",
        "json route_value",
        "text",
    ];
    assert_eq!(kinds, BTreeSet::from(known));
}

#[test]
fn every_plugin_on_the_page_is_accepted() {
    for text in blocks_of("json plugin") {
        let parsed = parse_plugin("filter", text.as_bytes());
        assert!(parsed.is_ok(), "{text}\n{parsed:?}");
    }
}

#[test]
fn the_filter_on_the_page_is_accepted() {
    for text in blocks_of("json filter") {
        let filter: Value = serde_json::from_str(&text).unwrap();
        let config = &filter["typed_config"];
        let name = config["filter_name"].as_str().unwrap();
        let plugin = parse_plugin(name, &filter_config(config)).unwrap();
        assert_eq!(plugin.name, "auth");
        assert_eq!(plugin.configuration, br#"{"header":"x-user","realms":["a","b"]}"#);
    }
}

#[test]
fn the_routes_on_the_page_are_accepted() {
    for text in blocks_of("json route") {
        let route: Value = serde_json::from_str(&text).unwrap();
        let parsed = parse_route(&filter_config(&route["auth"])).unwrap();
        assert_eq!(parsed.configuration.as_deref(), Some(&br#"{"header":"x-admin"}"#[..]));
    }
    for text in blocks_of("json route_value") {
        assert!(parse_route(text.as_bytes()).unwrap().disabled);
    }
}

#[test]
fn the_extension_on_the_page_is_accepted() {
    for text in blocks_of("json extension") {
        let extension: Value = serde_json::from_str(&text).unwrap();
        let any = &extension["typed_config"]["extension_config"];
        let parsed = parse_service("graft", any["value"].to_string().as_bytes()).unwrap();
        assert_eq!(parsed.extension.startup_wait.as_secs(), 60);
        assert_eq!(parsed.plugin, None);
    }
    let default = format!("`\"{}s\"`", ExtensionConfig::default().startup_wait.as_secs());
    let row = PAGE.lines().find(|line| line.starts_with("| `graft.startup_wait` |")).unwrap();
    assert_eq!(row.split('|').nth(3).unwrap().trim(), default);
}

#[test]
fn every_refusal_on_the_page_reads_as_shown() {
    let refused = blocks_of("json refused");
    let lines = blocks_of("text");
    assert_eq!(refused.len(), lines.len());
    for (text, line) in refused.iter().zip(&lines) {
        let error: ConfigError = parse_plugin("filter", text.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), *line);
    }
}

/// The first cell of each row in the tables whose first column has this title.
fn first_cells(title: &str) -> BTreeSet<String> {
    let header = format!("| {title} |");
    let mut cells = BTreeSet::new();
    let mut lines = PAGE.lines();
    while let Some(line) = lines.next() {
        // The table of differences has a second column of its own.
        if line.starts_with(&header) && line.contains("| type | default | meaning |") {
            for row in lines.by_ref().take_while(|row| row.starts_with('|')).skip(1) {
                let cell = row.split('|').nth(1).unwrap().trim();
                assert!(cells.insert(cell.trim_matches('`').to_owned()), "{cell} twice");
            }
        }
    }
    cells
}

/// The paths of `fields` below `parent`.
fn paths(parent: &str, fields: &[&str]) -> Vec<String> {
    fields.iter().map(|field| format!("{parent}{field}")).collect()
}

#[test]
fn the_tables_hold_every_field_and_no_other() {
    let local = "vm_config.code.local.";
    let known: BTreeSet<String> = [
        paths("", plugin::FIELDS),
        paths("vm_config.", vm::FIELDS),
        paths("vm_config.code.", code::FIELDS),
        paths(local, code::LOCAL_FIELDS),
        paths(&format!("{local}watched_directory."), code::WATCHED_DIRECTORY_FIELDS),
        paths("vm_config.code.oci.", remote::OCI_FIELDS),
        paths("vm_config.code.remote.", remote::FIELDS),
        paths("vm_config.code.remote.http_uri.", remote::HTTP_URI_FIELDS),
        paths("vm_config.code.remote.retry_policy.", remote::RETRY_FIELDS),
        paths("vm_config.code.remote.retry_policy.retry_back_off.", remote::BACK_OFF_FIELDS),
        paths("vm_config.environment_variables.", environment::FIELDS),
        paths("reload_config.", failure::RELOAD_FIELDS),
        paths("reload_config.backoff.", failure::BACKOFF_FIELDS),
        paths("capability_restriction_config.", capabilities::FIELDS),
        paths("graft.", graft::FIELDS),
        paths("graft.pool.", pool::FIELDS),
        paths("graft.limits.", graft::LIMIT_FIELDS),
        paths("graft.swap.", swap::FIELDS),
        paths("graft.swap.retry.", swap::RETRY_FIELDS),
        paths("graft.swap.canary.", swap::CANARY_FIELDS),
        paths("graft.cache.", cache::FIELDS),
        paths("graft.source.", source::FIELDS),
        paths("graft.source.pull_secret.", source::PULL_SECRET_FIELDS),
        paths("graft.source.verification_key.", source::KEY_FIELDS),
        paths("graft.source.retries.", source::RETRY_FIELDS),
    ]
    .concat()
    .into_iter()
    .collect();
    assert_eq!(first_cells("field"), known);

    let of_a_route = paths("", route::FIELDS).into_iter().collect();
    assert_eq!(first_cells("field of a route"), of_a_route);

    let of_an_extension =
        [paths("", service::FIELDS), paths("graft.", service::GRAFT_FIELDS)].concat().into_iter().collect();
    assert_eq!(first_cells("field of an extension"), of_an_extension);
}

#[test]
fn the_limits_on_the_page_are_those_of_the_code() {
    let limits = GraftConfig::default().limits;
    for (field, default) in [
        ("memory_bytes", format!("{} (1 GiB)", limits.memory_bytes)),
        ("table_elements", limits.table_elements.to_string()),
        ("call_deadline", format!("`\"{}s\"`", limits.call_deadline.as_secs())),
        ("start_deadline", format!("`\"{}s\"`", limits.start_deadline.as_secs())),
        ("configure_deadline", format!("`\"{}s\"`", limits.configure_deadline.as_secs())),
    ] {
        let start = format!("| `graft.limits.{field}` |");
        let row = PAGE.lines().find(|line| line.starts_with(&start)).unwrap();
        assert_eq!(row.split('|').nth(3).unwrap().trim(), default, "{field}");
    }
}

#[test]
fn the_bounds_of_a_fetch_on_the_page_are_those_of_the_code() {
    let source = GraftConfig::default().source;
    for (field, default) in [
        ("timeout", format!("`\"{}s\"`", source.timeout.as_secs())),
        ("try_timeout", format!("`\"{}s\"`", source.try_timeout.as_secs())),
        ("max_bytes", format!("{} (256 MiB)", source.max_bytes)),
        ("max_redirects", source.max_redirects.to_string()),
        ("retries.attempts", source.retries.attempts.to_string()),
        ("retries.base_interval", format!("`\"{}s\"`", source.retries.base_interval.as_secs_f64())),
    ] {
        let start = format!("| `graft.source.{field}` |");
        let row = PAGE.lines().find(|line| line.starts_with(&start)).unwrap();
        assert_eq!(row.split('|').nth(3).unwrap().trim(), default, "{field}");
    }
}
