//! Plugins of every SDK that users have, and the examples of this repository. That each does what it does
//! under Envoy's own filter is the parity runner's matter; here each works on every Envoy.

use crate::harness::envoy::on_each_envoy;
use crate::harness::{Answer, Envoy, Plugin, Request, header};

on_each_envoy! {
    fn the_rust_sdk_works(version) {
        let plugin = Plugin::built("sdk-http").configuration("Hello");
        let (envoy, upstream) = Envoy::with_plugins(version, &[plugin]);
        let client = envoy.client("main");
        let response = client.send(&Request::post("/", &[b"some ", b"body"]).trailers(&[("x-check", "sum")]));
        assert_eq!(response.status, 200);
        assert_eq!(response.header("x-greeting"), Some("Hello"));
        assert_eq!(response.header("x-plugin"), Some("sdk-http"));
        let seen = upstream.take_one();
        assert_eq!(header(&seen.headers, "x-greeting"), Some("Hello"));
        assert_eq!(header(&seen.trailers, "x-checked"), Some("yes"));
        // A plugin edits its own answers, too.
        let local = client.get("/local");
        assert_eq!((local.status, local.text().as_str()), (418, "Hello from inside -- Hello"));
        assert_eq!(client.get("/panic").status, 503);
        assert_eq!(client.get("/").status, 200);
    }

    fn the_go_sdk_works(version) {
        let (envoy, upstream) = Envoy::with_plugins(version, &[Plugin::built("sdk-go").configuration("Hello")]);
        let client = envoy.client("main");
        let response = client.send(&Request::post("/", &[b"some ", b"body"]));
        assert_eq!(response.header("x-greeting"), Some("Hello"));
        assert_eq!(response.text(), "from the upstream -- Hello");
        assert_eq!(upstream.take_one().body, b"SOME BODY");
        let local = client.get("/local");
        assert_eq!((local.status, local.text().as_str()), (418, "Hello from inside -- Hello"));
        assert_eq!(client.get("/panic").status, 503);
        assert_eq!(client.get("/").status, 200);
    }

    fn assemblyscript_works(version) {
        let (envoy, _upstream) =
            Envoy::with_plugins(version, &[Plugin::built("sdk-assemblyscript").configuration("Hello")]);
        let client = envoy.client("main");
        assert!(client.get("/").header("x-greeting").is_some());
        assert_ne!(client.get("/local").status, 200);
    }

    fn cpp_works(version) {
        let (envoy, _upstream) = Envoy::with_plugins(version, &[Plugin::built("journal").configuration(",")]);
        let journal = envoy.client("main").get("/").header("x-journal").map(str::to_owned);
        assert_eq!(journal.as_deref(), Some("request-headers:GET,response-headers:200"));
    }

    fn the_oldest_abi_works(version) {
        let (envoy, upstream) = Envoy::with_plugins(version, &[Plugin::built("legacy").configuration("old")]);
        let client = envoy.client("main");
        assert_eq!(client.get("/").header("x-legacy"), Some("0.1.0"));
        assert_eq!(header(&upstream.take_one().headers, "x-legacy"), Some("0.1.0"));
        assert_eq!(client.send(&Request::get("/").header("x-do", "resume")).status, 200);
        envoy.await_plugin_log("plugin configuration 0 \"old\"");
        // Up to 0.1.0 a header that is not there is an empty one.
        envoy.await_plugin_log("absent header 0 \"\"");
    }

    fn the_examples_work(version) {
        let (envoy, upstream) = Envoy::with_plugins(version, &[
            Plugin::built("add-header").configuration(r#"{"header": "x-served-by", "value": "graft"}"#),
            Plugin::built("request-id-guard").configuration("x-request-id"),
            Plugin::built("redact-body").configuration("password"),
        ]);
        let client = envoy.client("main");
        assert_eq!(client.get("/").status, 403);
        let json: [&[u8]; 2] = [br#"{"user": "ann", "pass"#, br#"word": "secret"}"#];
        upstream.answer(Answer::ok(&json).header("content-type", "application/json"));
        let response = client.send(&Request::get("/").header("x-request-id", "1"));
        assert_eq!(response.status, 200);
        assert_eq!(response.header("x-served-by"), Some("graft"));
        assert!(!response.text().contains("secret") && response.text().contains("ann"), "{}", response.text());
    }
}
