//! Plugins call foreign functions: those of the built-in filter, and ours.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::json;

use crate::harness::envoy::on_each_envoy;
use crate::harness::message::{Field, message, word};
use crate::harness::{Bootstrap, Envoy, Host, Listener, Plugin, Request, Upstream, Version, eventually};

/// A line of a script that calls a function.
fn call(callback: &str, name: &str, argument: &[u8]) -> String {
    format!("{callback}: foreign {name} {}\n", word(argument))
}

/// `graft_set_metadata` with a value of one field.
fn metadata(key: &str, value: (u8, Field)) -> Vec<u8> {
    let value = message(&[value]);
    message(&[(1, Field::Bytes(b"ns")), (2, Field::Bytes(key.as_bytes())), (3, Field::Bytes(&value))])
}

/// An Envoy with one plugin, whose listener and upstream are given.
fn with_listener(version: Version, listener: Listener, upstreams: &[&std::sync::Arc<Upstream>]) -> Envoy {
    let bootstrap =
        upstreams.iter().fold(Bootstrap::new(), |bootstrap, upstream| bootstrap.upstream(upstream));
    Envoy::start(version, &bootstrap.listener(listener))
}

/// What the plugin's calls answered: each line from its arrow on.
fn answers(envoy: &Envoy) -> Vec<String> {
    envoy
        .plugin_log()
        .iter()
        .filter(|line| line.contains("foreign "))
        .filter_map(|line| line.split_once(" -> ").map(|(_, answer)| answer.to_owned()))
        .collect()
}

on_each_envoy! {
    fn a_plugin_evaluates_an_expression_over_the_request(version) {
        let (envoy, _upstream) = Envoy::with_plugins(version, &[Plugin::scripted("expressions", &[
            call("configure", "expr_create", b"request.headers['x-id'] + request.url_path"),
            call("configure", "expr_create", b"request.method == 'GET' && request.path.startsWith('/a')"),
            call("configure", "expr_create", b"has(request.headers.absent) ? 'has' : 'has not'"),
            call("request_headers", "expr_evaluate", &[0; 4]),
            call("request_headers", "expr_evaluate", &[1, 0, 0, 0]),
            call("request_headers", "expr_evaluate", &[2, 0, 0, 0]),
            call("request_headers", "expr_delete", &[2, 0, 0, 0]),
            call("request_headers", "expr_evaluate", &[2, 0, 0, 0]),
        ].concat())]);
        envoy.client("main").send(&Request::get("/a/b?x=1").header("x-id", "7"));
        let answers = answers(&envoy);
        let evaluated = [r#"0 "7/a/b""#, r#"0 "\x01""#, r#"0 "has not""#, "0 (null)", "1 (outputs written)"];
        assert_eq!(answers[answers.len() - 5..], evaluated);
    }

    fn metadata_that_a_plugin_sets_is_logged_and_can_be_read(version) {
        let get = |key: &str| message(&[(1, Field::Bytes(b"ns")), (2, Field::Bytes(key.as_bytes()))]);
        let plugin = Plugin::scripted("metadata", &[
            call("request_headers", "graft_set_metadata", &metadata("text", (3, Field::Bytes(b"value")))),
            call("request_headers", "graft_set_metadata", &metadata("number", (2, Field::Double(1.5)))),
            call("request_headers", "graft_set_metadata", &metadata("boolean", (4, Field::Number(1)))),
            call("response_headers", "graft_get_metadata", &get("text")),
            call("response_headers", "graft_get_metadata", &get("number")),
            call("response_headers", "expr_create", b"metadata.filter_metadata['ns']['number'] > 1.0"),
            call("response_headers", "expr_evaluate", &[0; 4]),
        ].concat());
        let listener = Listener::new("main")
            .plugin(Host::Graft, &plugin)
            .access_log("%DYNAMIC_METADATA(ns:text)% %DYNAMIC_METADATA(ns:number)% %DYNAMIC_METADATA(ns:boolean)%");
        let envoy = with_listener(version, listener, &[&Upstream::http1("upstream")]);
        envoy.client("main").get("/");
        let logged = &envoy.await_access_log("main", 1)[0];
        let answers = answers(&envoy);
        if version == Version::V1_37 {
            assert_eq!(logged, "value 1.5 -");
            assert_eq!(answers[2], "10 (outputs written)");
        } else {
            assert_eq!(logged, "value 1.5 true");
            assert_eq!(answers[2], "0 (null)");
        }
        assert_eq!(answers[3], r#"0 "\x1a\x05value""#);
        assert_eq!(answers[4], r#"0 "\x11\x00\x00\x00\x00\x00\x00\xf8?""#);
        assert_eq!(answers[6], r#"0 "\x01""#);
    }

    fn spans_that_a_plugin_describes_reach_the_tracer(version) {
        let tag = message(&[(1, Field::Bytes(b"the.tag")), (2, Field::Bytes(b"of the plugin"))]);
        let child_tag = message(&[
            (1, Field::Bytes(b"child.tag")),
            (2, Field::Bytes(b"of the child")),
            (3, Field::Number(1)),
        ]);
        let plugin = Plugin::scripted("spans", &[
            call("request_headers", "graft_set_span_tag", &tag),
            call("request_headers", "graft_log_to_span", b"an event"),
            call("request_headers", "graft_start_child_span", b"some work"),
            call("request_headers", "graft_set_span_tag", &child_tag),
            call("response_headers", "graft_finish_child_span", &[1, 0, 0, 0]),
            call("response_headers", "graft_finish_child_span", &[1, 0, 0, 0]),
        ].concat());
        let collector = Upstream::http1("collector");
        let listener = Listener::new("main")
            .plugin(Host::Graft, &plugin)
            .manager("generate_request_id", true)
            .manager("tracing", json!({
                "random_sampling": { "value": 100 },
                "provider": {
                    "name": "envoy.tracers.zipkin",
                    "typed_config": {
                        "@type": "type.googleapis.com/envoy.config.trace.v3.ZipkinConfig",
                        "collector_cluster": "collector",
                        "collector_endpoint": "/spans",
                        "collector_endpoint_version": "HTTP_JSON",
                    },
                },
            }));
        let envoy = with_listener(version, listener, &[&Upstream::http1("upstream"), &collector]);
        // The tracer sends five spans at once.
        for _ in 0..6 {
            envoy.client("main").get("/");
        }
        if version == Version::V1_37 {
            // Six calls in each of six requests: there is no span to work on, and that is told to the plugin alone.
            let answers = eventually("the answers", || Some(answers(&envoy)).filter(|answers| answers.len() == 36));
            assert!(answers.iter().all(|answer| answer == "1 (outputs written)"), "{answers:?}");
            assert!(envoy.complaints().is_empty(), "{:?}", envoy.complaints());
            let sent = eventually("spans", || collector.take_seen().into_iter().next());
            let sent = String::from_utf8(sent.body).expect("text");
            assert!(!sent.contains("the.tag") && !sent.contains("some work"), "{sent}");
            assert!(envoy.stop().status.success());
            return;
        }
        let expected = ["0 (null)", "0 (null)", r#"0 "\x01\x00\x00\x00""#, "0 (null)", "0 (null)", "1 (outputs written)"];
        assert_eq!(answers(&envoy)[..6], expected);
        let sent = eventually("spans", || {
            let seen = collector.take_seen();
            seen.first().map(|request| String::from_utf8(request.body.clone()).unwrap())
        });
        for part in [r#""the.tag":"of the plugin""#, "an event", "some work", r#""child.tag":"of the child""#] {
            assert!(sent.contains(part), "{part} in {sent}");
        }
    }

    fn a_plugin_chooses_the_upstream_host(version) {
        let upstream = Upstream::http1("upstream");
        let choose = |address: &str, strict: u8| {
            message(&[(1, Field::Bytes(address.as_bytes())), (2, Field::Number(strict))])
        };
        let here = upstream.address().to_string();
        let line = |path: &str, argument: &[u8]| {
            format!(
                "request_headers: if-header request x-choose {path} foreign graft_override_upstream_host {}\n",
                word(argument)
            )
        };
        let plugin = Plugin::scripted("hosts", &[
            line("here", &choose(&here, 1)),
            line("elsewhere", &choose("127.0.0.1:1", 1)),
            line("elsewhere-if-there", &choose("127.0.0.1:1", 0)),
            line("nonsense", &choose("no address", 1)),
        ].concat());
        let listener = Listener::new("main").plugin(Host::Graft, &plugin);
        let envoy = with_listener(version, listener, &[&upstream]);
        let status = |choice: &str| {
            envoy.client("main").send(&Request::get("/").header("x-choose", choice)).status
        };
        let statuses = ["here", "elsewhere", "elsewhere-if-there", "nonsense"].map(status);
        if version == Version::V1_37 {
            assert_eq!(statuses, [200; 4]);
            assert_eq!(answers(&envoy), ["10 (outputs written)"; 4]);
        } else {
            assert_eq!(statuses, [200, 503, 200, 200]);
            assert_eq!(answers(&envoy), ["0 (null)", "0 (null)", "0 (null)", "2 (outputs written)"]);
        }
    }

    fn a_plugin_makes_filter_state_of_envoys_own(version) {
        let object = |name: &str, text: &str| {
            message(&[(1, Field::Bytes(name.as_bytes())), (2, Field::Bytes(text.as_bytes()))])
        };
        let name = "envoy.tcp_proxy.cluster";
        let plugin = Plugin::scripted("state", &[
            call("request_headers", "set_envoy_filter_state", &object(name, "the-cluster")),
            call("request_headers", "set_envoy_filter_state", &object("nobody.knows", "x")),
        ].concat());
        let listener = Listener::new("main")
            .plugin(Host::Graft, &plugin)
            .access_log("%FILTER_STATE(envoy.tcp_proxy.cluster:PLAIN)%");
        let envoy = with_listener(version, listener, &[&Upstream::http1("upstream")]);
        envoy.client("main").get("/");
        let logged = &envoy.await_access_log("main", 1)[0];
        if version == Version::V1_37 {
            assert_eq!(answers(&envoy), ["10 (outputs written)"; 2]);
        } else {
            assert!(logged.contains("the-cluster"), "{logged}");
            assert_eq!(answers(&envoy), ["0 (null)", "1 (outputs written)"]);
        }
    }

    fn a_property_that_was_declared_so_lives_as_long_as_the_connection(version) {
        let declared = message(&[(1, Field::Bytes(b"kept")), (3, Field::Number(1)), (5, Field::Number(2))]);
        let plugin = Plugin::scripted("declared", &[
            call("configure", "declare_property", &declared),
            "request_headers: property kept\nrequest_headers: set-property kept value\n".to_owned(),
        ].concat());
        let (envoy, _upstream) = Envoy::with_plugins(version, &[plugin]);
        let mut connection = TcpStream::connect(envoy.address("main").unwrap()).unwrap();
        for last in ["", "connection: close\r\n"] {
            connection.write_all(format!("GET / HTTP/1.1\r\nhost: a\r\n{last}\r\n").as_bytes()).unwrap();
            envoy.await_plugin_log("set-property kept value -> 0");
        }
        connection.read_to_end(&mut Vec::new()).unwrap();
        let log = envoy.plugin_log();
        let read: Vec<_> = log.iter().filter(|line| line.contains(" property kept -> ")).collect();
        let second = if version == Version::V1_40 { r#"-> 0 "value""# } else { "-> 1" };
        assert!(read[0].ends_with("-> 1") && read[1].ends_with(second), "{read:?}");
    }
}
