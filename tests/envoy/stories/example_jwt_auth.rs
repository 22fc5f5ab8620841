//! The example `jwt-auth`: tokens are checked with keys that one VM fetches for all.

use std::sync::Arc;

use serde_json::json;

use crate::harness::envoy::on_each_host;
use crate::harness::{
    Answer, Bootstrap, Client, Envoy, Host, Listener, Plugin, Request, Response, Upstream, Version,
    eventually, header,
};

/// The files of the plugin's own tests.
macro_rules! testdata {
    ($name:literal) => {
        include_str!(concat!("../../../examples/plugins/rust/jwt-auth/testdata/", $name))
    };
}

const JWKS: &str = testdata!("jwks.json");
const GOOD: [&str; 2] = [testdata!("rs256.jwt"), testdata!("es256.jwt")];

struct Scene {
    envoy: Envoy,
    upstream: Arc<Upstream>,
    issuer: Arc<Upstream>,
}

fn keys() -> Answer {
    Answer::ok(&[JWKS.as_bytes()]).header("content-type", "application/json")
}

/// An Envoy whose issuer answers in this way.
fn scene(version: Version, host: Host, workers: u32, answer: Answer) -> Scene {
    scene_that_waits(version, host, workers, answer, 8000)
}

/// The same, with so many milliseconds for the first keys.
fn scene_that_waits(version: Version, host: Host, workers: u32, answer: Answer, wait_ms: u32) -> Scene {
    let (upstream, issuer) = (Upstream::http1("upstream"), Upstream::http1("idp"));
    issuer.answer(answer);
    let configuration = json!({
        "issuer": "https://idp.example",
        "audiences": ["shop"],
        "jwks": { "cluster": "idp", "authority": "idp.example", "path": "/keys", "retry_seconds": 1 },
        "wait_ms": wait_ms,
        "claims_to_headers": { "sub": "x-user", "name": "x-name" },
    });
    let plugin = Plugin::built("jwt-auth")
        .set("vm_config.vm_id", "jwt-auth")
        .configuration(&configuration.to_string());
    let listener = Listener::new("main").plugin(host, &plugin);
    let bootstrap =
        Bootstrap::new().upstream(&upstream).upstream(&issuer).listener(listener).concurrency(workers);
    Scene { envoy: Envoy::start(version, &bootstrap), upstream, issuer }
}

fn request(token: &str) -> Request {
    Request::post("/", &[b"some ", b"body"]).header("authorization", &format!("Bearer {}", token.trim()))
}

fn refusal(response: &Response) -> (u16, String) {
    (response.status, response.text().trim_end().to_owned())
}

fn ask(client: &Client, token: &str) -> (u16, String) {
    refusal(&client.send(&request(token)))
}

on_each_host! {
    fn a_good_token_passes_and_its_claims_become_headers(version, host) {
        let Scene { envoy, upstream, issuer } = scene(version, host, 1, keys());
        let client = envoy.client("main");
        for token in GOOD {
            // The first may have to wait for the keys.
            let forged = request(token).header("x-user", "root").header("x-name", "root");
            let response = client.send(&forged);
            assert_eq!((response.status, response.text().as_str()), (200, "from the upstream"));
            let seen = upstream.take_one();
            let users: Vec<_> = seen.headers.iter().filter(|(name, _)| name == "x-user").collect();
            assert_eq!(users.len(), 1, "{users:?}");
            assert_eq!(users[0].1, "ann");
            assert_eq!(header(&seen.headers, "x-name"), None, "what a client forged");
            assert_eq!(seen.body, b"some body");
        }
        let asked = issuer.take_one();
        assert_eq!((asked.method.as_str(), asked.path.as_str()), ("GET", "/keys"));
        assert_eq!(header(&asked.headers, "host"), Some("idp.example"));
    }

    fn a_bad_token_is_refused_and_the_answer_says_why(version, host) {
        let Scene { envoy, upstream, issuer: _issuer } = scene(version, host, 1, keys());
        let client = envoy.client("main");
        assert_eq!(ask(&client, GOOD[0]).0, 200);
        upstream.take_one();
        for (token, why) in [
            (testdata!("expired.jwt"), "the token has expired"),
            (testdata!("audience.jwt"), "the token is for another audience"),
            (testdata!("changed.jwt"), "the signature of the token is wrong"),
            (testdata!("unknown-key.jwt"), "the token is signed with an unknown key"),
            ("a.b.c", "the token is malformed"),
        ] {
            let response = client.send(&request(token));
            assert_eq!(refusal(&response), (401, why.to_owned()));
            assert_eq!(response.header("www-authenticate"), Some(r#"Bearer error="invalid_token""#));
        }
        let response = client.get("/");
        assert_eq!(refusal(&response), (401, "a bearer token is missing".to_owned()));
        assert_eq!(response.header("www-authenticate"), Some("Bearer"));
        assert!(upstream.take_seen().is_empty(), "a request that was refused went on");
    }

    fn all_workers_use_one_fetch(version, host) {
        let Scene { envoy, upstream, issuer } = scene(version, host, 4, keys());
        let client = envoy.client("main");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for token in GOOD.into_iter().cycle().take(6) {
                        assert_eq!(ask(&client, token).0, 200);
                    }
                });
            }
        });
        assert_eq!(upstream.take_seen().len(), 48);
        issuer.take_one();
    }

    fn requests_wait_for_the_first_keys(version, host) {
        let Scene { envoy, upstream, issuer } = scene(version, host, 1, Answer::status(503));
        let client = envoy.client("main");
        std::thread::scope(|scope| {
            let good = scope.spawn(|| ask(&client, GOOD[0]));
            let changed = scope.spawn(|| ask(&client, testdata!("changed.jwt")));
            envoy.await_plugin_lines(1, "the keys of idp are not to be had: 503");
            issuer.answer(keys());
            // Where root contexts cannot make calls, the next request fetches.
            eventually("a request to pass", || (ask(&client, GOOD[1]).0 == 200).then_some(()));
            let (good, changed) = (good.join().expect("the client"), changed.join().expect("the client"));
            if host == Host::BuiltIn || version != Version::V1_37 {
                assert_eq!(good, (200, "from the upstream".to_owned()));
                assert_eq!(changed, (401, "the signature of the token is wrong".to_owned()));
            } else {
                // The fetch of the next request may come too late for those that wait.
                let in_time = |verdict: u16, answer: &(u16, String)| [verdict, 503].contains(&answer.0);
                assert!(in_time(200, &good) && in_time(401, &changed), "{good:?} {changed:?}");
            }
        });
        assert!(!upstream.take_seen().is_empty());
    }

    fn without_keys_a_request_is_answered_in_time(version, host) {
        let Scene { envoy, upstream, issuer: _issuer } = scene_that_waits(version, host, 1, Answer::ok(&[b"{}"]), 1500);
        let why = "the keys of the issuer are not available".to_owned();
        let started = std::time::Instant::now();
        assert_eq!(ask(&envoy.client("main"), GOOD[0]), (503, why));
        let waited = started.elapsed();
        assert!((1400..8000).contains(&waited.as_millis()), "{waited:?}");
        assert!(upstream.take_seen().is_empty());
        // Who waits and leaves costs nothing; what is wrong is said without waiting.
        assert_eq!(ask(&envoy.client("main"), testdata!("expired.jwt")).0, 401);
    }

    fn a_key_that_is_new_is_fetched(version, host) {
        let old = JWKS.replace("\"ec-1\"", "\"ec-0\"");
        let Scene { envoy, upstream, issuer } = scene(version, host, 1, Answer::ok(&[old.as_bytes()]));
        let client = envoy.client("main");
        assert_eq!(ask(&client, GOOD[0]).0, 200);
        issuer.answer(keys());
        // At once the keys are too fresh to be asked for again; a second later they are not.
        eventually("the new key", || (ask(&client, GOOD[1]).0 == 200).then_some(()));
        let fetches = issuer.take_seen().len();
        assert!((2..=3).contains(&fetches), "{fetches} fetches");
        assert!(upstream.take_seen().len() >= 2);
    }
}
