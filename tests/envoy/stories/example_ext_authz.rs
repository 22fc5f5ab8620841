//! The example `ext-authz`: a service is asked about each request.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use serde_json::json;

use crate::harness::callout_upstream::refusing_address;
use crate::harness::envoy::on_each_host;
use crate::harness::upstream::Protocol;
use crate::harness::{Answer, Bootstrap, Envoy, Host, Listener, Plugin, Request, Upstream, Version, header};

/// An Envoy with the plugin before an upstream, and the service that it asks.
struct Scene {
    envoy: Envoy,
    upstream: Arc<Upstream>,
    service: Arc<Upstream>,
}

fn plugin(cluster: &str, on_error: &str, timeout_ms: u32) -> Plugin {
    let configuration = json!({
        "cluster": cluster,
        "path_prefix": "/check",
        "timeout_ms": timeout_ms,
        "request_headers": ["authorization", "x-tenant"],
        "upstream_headers": ["x-user"],
        "client_headers": ["www-authenticate", "content-type", "set-cookie"],
        "on_error": on_error,
    });
    Plugin::built("ext-authz").configuration(&configuration.to_string())
}

fn scene(version: Version, host: Host) -> Scene {
    let (upstream, service) = (Upstream::http1("upstream"), Upstream::http1("authz"));
    let listener = Listener::new("main").plugin(host, &plugin("authz", "deny", 10_000));
    let bootstrap = Bootstrap::new().upstream(&upstream).upstream(&service).listener(listener);
    Scene { envoy: Envoy::start(version, &bootstrap), upstream, service }
}

/// An Envoy whose service is at an address, with a listener for each answer to its failure.
fn scene_of_failure(version: Version, host: Host, address: SocketAddr) -> (Envoy, Arc<Upstream>) {
    let upstream = Upstream::http1("upstream");
    let listener = |on_error: &str| {
        Listener::new(on_error).plugin(host, &plugin("authz", on_error, 300).set("vm_config.vm_id", on_error))
    };
    let bootstrap = Bootstrap::new()
        .upstream(&upstream)
        .cluster("authz", address, Protocol::Http1)
        .listener(listener("deny"))
        .listener(listener("allow"));
    (Envoy::start(version, &bootstrap), upstream)
}

/// Without a verdict the one listener answers 503 and the other lets pass.
fn there_is_no_verdict(envoy: &Envoy, upstream: &Upstream) {
    let response = envoy.client("deny").get("/");
    assert_eq!((response.status, response.text().as_str()), (503, "authorisation is not available\n"));
    assert!(upstream.take_seen().is_empty());
    let forged = Request::post("/", &[b"some ", b"body"]).header("x-user", "root");
    let response = envoy.client("allow").send(&forged);
    assert_eq!((response.status, response.text().as_str()), (200, "from the upstream"));
    let seen = upstream.take_one();
    assert_eq!(header(&seen.headers, "x-user"), None, "what a client forged");
    assert_eq!(seen.body, b"some body");
}

on_each_host! {
    fn a_request_that_is_allowed_passes_with_the_headers_of_the_service(version, host) {
        let Scene { envoy, upstream, service } = scene(version, host);
        service.answer(Answer::status(200).header("x-user", "ann").header("x-internal", "secret"));
        let request = Request::post("/account?id=1", &[b"some ", b"body"])
            .header("authorization", "Bearer 1")
            .header("x-tenant", "blue")
            .header("x-user", "root")
            .header("cookie", "not for the service");
        let response = envoy.client("main").send(&request);
        assert_eq!((response.status, response.text().as_str()), (200, "from the upstream"));

        let asked = service.take_one();
        assert_eq!((asked.method.as_str(), asked.path.as_str()), ("POST", "/check/account?id=1"));
        assert_eq!(header(&asked.headers, "host"), Some("example.test"));
        assert_eq!(header(&asked.headers, "authorization"), Some("Bearer 1"));
        assert_eq!(header(&asked.headers, "x-tenant"), Some("blue"));
        assert_eq!(header(&asked.headers, "cookie"), None);
        assert!(asked.body.is_empty(), "the service does not get the body");

        let seen = upstream.take_one();
        let users: Vec<_> = seen.headers.iter().filter(|(name, _)| name == "x-user").collect();
        assert_eq!(users.len(), 1, "{users:?}");
        assert_eq!(users[0].1, "ann");
        assert_eq!(header(&seen.headers, "x-internal"), None);
        assert_eq!(seen.body, b"some body");
    }

    fn a_request_that_is_refused_gets_the_answer_of_the_service(version, host) {
        let Scene { envoy, upstream, service } = scene(version, host);
        let client = envoy.client("main");
        for status in [401, 403, 302] {
            let answer = Answer::ok(&[b"who are ", b"you?"]).with_status(status);
            service.answer(
                answer
                    .header("www-authenticate", "Basic")
                    .header("set-cookie", "a=1")
                    .header("set-cookie", "b=2")
                    .header("x-internal", "secret"),
            );
            let response = client.send(&Request::post("/", &[b"some ", b"body"]));
            assert_eq!((response.status, response.text().as_str()), (status, "who are you?"));
            assert_eq!(response.header("www-authenticate"), Some("Basic"));
            let cookies = response.headers.iter().filter(|(name, _)| name == "set-cookie").count();
            assert_eq!(cookies, 2);
            assert_eq!(response.header("x-internal"), None);
        }
        assert_eq!(service.take_seen().len(), 3);
        assert!(upstream.take_seen().is_empty(), "a request that was refused went on");
        // The same plugin still lets others pass.
        service.answer(Answer::status(200));
        assert_eq!(client.get("/").status, 200);
    }

    fn without_an_answer_in_time_the_configuration_decides(version, host) {
        // Connections are made by the kernel; nobody ever reads.
        let silent = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let (envoy, upstream) = scene_of_failure(version, host, silent.local_addr().expect("the port"));
        there_is_no_verdict(&envoy, &upstream);
    }

    fn without_a_service_the_configuration_decides(version, host) {
        let (envoy, upstream) = scene_of_failure(version, host, refusing_address());
        there_is_no_verdict(&envoy, &upstream);
    }

    fn a_service_that_has_failed_gives_no_verdict(version, host) {
        let Scene { envoy, upstream, service } = scene(version, host);
        let client = envoy.client("main");
        service.answer(Answer::ok(&[b"a stack trace"]).with_status(500));
        let response = client.get("/");
        assert_eq!((response.status, response.text().as_str()), (503, "authorisation is not available\n"));
        service.answer(Answer::status(200).broken().header("content-length", "5"));
        assert_eq!(client.get("/").status, 503);
        assert!(upstream.take_seen().is_empty());
    }

    fn a_cluster_that_is_not_there_gives_no_verdict(version, host) {
        let upstream = Upstream::http1("upstream");
        let listener = Listener::new("main").plugin(host, &plugin("nowhere", "deny", 10_000));
        let envoy = Envoy::start(version, &Bootstrap::new().upstream(&upstream).listener(listener));
        assert_eq!(envoy.client("main").get("/").status, 503);
        assert!(upstream.take_seen().is_empty());
    }
}
