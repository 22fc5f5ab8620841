//! Several plugins in one chain: requests pass them in order, responses in reverse.

use crate::harness::envoy::on_each_envoy;
use crate::harness::{Answer, Envoy, Plugin, Request, header};

/// Adds its letter to a header in both directions, and to both ends of whole bodies.
fn letter(letter: &str) -> Plugin {
    Plugin::scripted(
        letter,
        &format!(
            "
        request_headers: add request x-chain {letter}
        request_body: if-not-eos return 1
        request_body: buffer-set request 0 0 {letter}
        response_headers: add response x-chain {letter}
        response_body: if-not-eos return 1
        response_body: buffer-set response 0 0 {letter}
    "
        ),
    )
}

on_each_envoy! {
    fn plugins_act_in_their_order(version) {
        let (envoy, upstream) = Envoy::with_plugins(version, &[letter("a"), letter("b"), letter("c")]);
        upstream.answer(Answer::ok(&[b"answer ", b"body"]));
        let response = envoy.client("main").send(&Request::post("/", &[b"request ", b"body"]));
        let chain = |headers: &crate::harness::Headers| {
            let values = headers.iter().filter(|(name, _)| name == "x-chain");
            values.map(|(_, value)| value.as_str()).collect::<String>()
        };
        let seen = upstream.take_one();
        assert_eq!(chain(&seen.headers), "abc");
        assert_eq!(seen.body, b"cbarequest body");
        assert_eq!(chain(&response.headers), "cba");
        assert_eq!(response.text(), "abcanswer body");
    }

    fn an_answer_of_one_plugin_passes_those_before_it(version) {
        let answers = Plugin::scripted("answers", "
            request_headers: if-header request x-do answer reply 403 \"not for you\"
        ");
        let (envoy, upstream) = Envoy::with_plugins(version, &[letter("a"), answers, letter("c")]);
        let response = envoy.client("main").send(&Request::get("/").header("x-do", "answer"));
        assert_eq!(response.status, 403);
        assert_eq!(header(&response.headers, "x-chain"), Some("a"));
        assert!(upstream.take_seen().is_empty());
    }

    fn plugins_of_several_sdks_work_together(version) {
        let (envoy, upstream) = Envoy::with_plugins(version, &[
            Plugin::built("sdk-http").configuration("Rust"),
            Plugin::built("journal").configuration(","),
            Plugin::built("legacy").configuration(""),
            Plugin::built("sdk-assemblyscript").configuration("AssemblyScript"),
        ]);
        let response = envoy.client("main").get("/");
        assert_eq!(response.status, 200);
        assert_eq!(response.header("x-legacy"), Some("0.1.0"));
        assert!(response.header("x-journal").is_some_and(|journal| journal.starts_with("request-headers:GET")));
        assert!(response.headers.iter().any(|(name, value)| name == "x-greeting" && value == "Rust"));
        assert_eq!(response.text(), "from the upstream -- Rust");
        assert_eq!(header(&upstream.take_one().headers, "x-legacy"), Some("0.1.0"));
    }
}
