//! A wrong configuration is refused, and one line of the log says whose it is, which field, what was found
//! and what was expected.

use serde_json::json;

use crate::harness::envoy::on_each_envoy;
use crate::harness::guests::Guests;
use crate::harness::{Bootstrap, Envoy, Host, Listener, Plugin, Upstream, eventually};

/// A wrong plugin, and words of the line that refuses it.
struct Wrong {
    plugin: Plugin,
    words: Vec<&'static str>,
}

/// Every way in which a plugin can be wrong.
fn wrongs(guests: &Guests) -> Vec<Wrong> {
    let wrong = |plugin: Plugin, words: &[&'static str]| Wrong { plugin, words: words.to_vec() };
    let good = |name: &str| Plugin::scripted(name, "");
    vec![
        wrong(
            good("unknown-field").set("vm_config.code.local.file_name", "x"),
            &["vm_config.code.local.file_name", "unknown field", "filename", "expected"],
        ),
        wrong(
            good("wrong-type").set("failure_policy", json!(["FAIL_OPEN"])),
            &["failure_policy", "expected"],
        ),
        wrong(
            good("wrong-name").set("failure_policy", "FAIL_SOMEHOW"),
            &["failure_policy", "FAIL_SOMEHOW", "FAIL_OPEN"],
        ),
        wrong(
            Plugin::new("missing-file", &guests.nowhere()),
            &["vm_config.code.local.filename", "no such file", "nowhere.wasm", "expected"],
        ),
        wrong(
            Plugin::new("not-wasm", &guests.add_bytes("not-wasm", b"#!/bin/sh\n")),
            &["vm_config.code.local.filename", "expected a Wasm module"],
        ),
        wrong(
            Plugin::new("broken-wasm", &guests.add_bytes("broken", b"\0asm\x01\0\0\0\x01\xff\xff\xff")),
            &["vm_config.code.local.filename", "invalid", "expected"],
        ),
        wrong(
            Plugin::new(
                "no-marker",
                &guests.add_whole("no-marker", "(module (memory (export \"memory\") 1))"),
            ),
            &["vm_config.code.local.filename", "proxy_abi_version", "expected"],
        ),
        wrong(
            Plugin::new(
                "unknown-import",
                &guests.add("unknown-import", r#"(import "env" "proxy_fly" (func (param i32)))"#),
            ),
            &["vm_config.code.local.filename", "env", "proxy_fly", "expected"],
        ),
        wrong(
            Plugin::new(
                "wrong-import",
                &guests.add("wrong-import", r#"(import "env" "proxy_log" (func (param i64)))"#),
            ),
            &["vm_config.code.local.filename", "proxy_log"],
        ),
        wrong(
            Plugin::new(
                "wrong-export",
                &guests.add("wrong-export", r#"(func (export "proxy_on_request_headers") (param i64))"#),
            ),
            &["vm_config.code.local.filename", "proxy_on_request_headers", "expected"],
        ),
        wrong(
            Plugin::new("no-vm-start", &guests.add("no-vm-start", REFUSES_VM_START)),
            &["proxy_on_vm_start", "false", "expected"],
        ),
        wrong(
            Plugin::new("no-configure", &guests.add("no-configure", REFUSES_CONFIGURATION)),
            &["configuration", "proxy_on_configure", "false", "expected"],
        ),
        wrong(
            Plugin::new("traps", &guests.add("traps", TRAPS_AT_START)),
            &["vm_config.code.local.filename", "proxy_on_configure"],
        ),
    ]
}

const REFUSES_VM_START: &str =
    r#"(func (export "proxy_on_vm_start") (param i32 i32) (result i32) (i32.const 0))"#;

const REFUSES_CONFIGURATION: &str =
    r#"(func (export "proxy_on_configure") (param i32 i32) (result i32) (i32.const 0))"#;

const TRAPS_AT_START: &str =
    r#"(func (export "proxy_on_configure") (param i32 i32) (result i32) unreachable)"#;

/// The words that are not in the line, for a message of the test.
fn missing<'a>(line: &str, wrong: &'a Wrong) -> Vec<&'a str> {
    wrong.words.iter().copied().filter(|word| !line.contains(word)).collect()
}

on_each_envoy! {
    fn envoy_refuses_to_start_with_a_wrong_plugin(version) {
        let guests = Guests::new();
        let upstream = Upstream::http1("upstream");
        for wrong in wrongs(&guests) {
            let name = wrong.plugin.name().to_owned();
            let listener = Listener::new("main").plugin(Host::Graft, &wrong.plugin);
            let bootstrap = Bootstrap::new().upstream(&upstream).listener(listener);
            match Envoy::try_start(version, &bootstrap) {
                Ok(envoy) => panic!("{name} was accepted: {:?}", envoy.log()),
                Err(ended) => {
                    assert!(!ended.status.success());
                    let line = ended.line(&format!("plugin {name:?}"));
                    assert_eq!(missing(line, &wrong), Vec::<&str>::new(), "{name}: {line}");
                }
            }
        }
    }

    fn an_update_with_a_wrong_plugin_changes_nothing(version) {
        let guests = Guests::new();
        let upstream = Upstream::http1("upstream");
        let good = Listener::new("main")
            .plugin(Host::Graft, &Plugin::scripted("good", "response_headers: add response x-plugin good"));
        let bootstrap = Bootstrap::new().upstream(&upstream).listener(good).listeners_from_file();
        let envoy = Envoy::start(version, &bootstrap);
        let client = envoy.client("main");
        // Those that are found out without starting a VM.
        for (before, wrong) in (0..).zip(wrongs(&guests).into_iter().take(8)) {
            assert_eq!(client.get("/").header("x-plugin"), Some("good"));
            // Otherwise it would be accepted with traffic, and the last good generation would go on.
            let plugin = wrong.plugin.clone().set("graft.swap.load", "blocking");
            envoy.publish(&[Listener::new("main").plugin(Host::Graft, &plugin)]);
            eventually("the update to be rejected", || {
                envoy.admin().stat("listener_manager.lds.update_rejected").filter(|count| *count > before)
            });
            let line = envoy.await_log(&format!("plugin {:?}", wrong.plugin.name())).text;
            assert_eq!(missing(&line, &wrong), Vec::<&str>::new(), "{line}");
        }
        assert_eq!(client.get("/").header("x-plugin"), Some("good"));
        assert!(envoy.stop().status.success());
    }
}
