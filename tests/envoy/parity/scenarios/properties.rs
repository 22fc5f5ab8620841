//! The tree of attributes.

use crate::harness::{Answer, Request};
use crate::parity::scenario::{Scenario, script};

/// Reads a list of properties, `operation path`, in these callbacks.
fn reads(callbacks: &[&str], properties: &[&str]) -> String {
    callbacks
        .iter()
        .flat_map(|callback| properties.iter().map(move |property| format!("{callback}: {property}")))
        .collect::<Vec<_>>()
        .join("\n")
}

const PHASES: [&str; 5] = ["request_headers", "response_headers", "response_body", "log", "done"];

pub fn request_properties() -> Scenario {
    let properties = [
        "property request.path",
        "property request.url_path",
        "property request.host",
        "property request.scheme",
        "property request.method",
        "property request.referer",
        "property request.useragent",
        "property request.id",
        "property request.protocol",
        "property request.query",
        "property request headers x-request",
        "property request headers x-twice",
        "property request headers x-missing",
        "property-size request.headers",
        "property-size request.time",
        "property-size request.duration",
        "property-int request.size",
        "property-int request.total_size",
        "property-int request.headers_bytes",
        "property request.unknown",
        "property request",
        "property \"\"",
        "property unknown",
    ];
    let request = Request::post("/path/to?x=1&y=2", &[b"request one, ", b"request two"])
        .header("x-request", "value")
        .header("x-twice", "first")
        .header("x-twice", "second")
        .header("referer", "https://example.test/from")
        .header("user-agent", "the harness")
        .header("x-request-id", "11111111-2222-3333-4444-555555555555")
        .trailers(&[("x-request-trailer", "value")]);
    script("`request.*`", &reads(&PHASES, &properties)).step(request, Answer::ok(&[b"answer"])).get("/")
}

pub fn response_properties() -> Scenario {
    let properties = [
        "property-int response.code",
        "property response.code_details",
        "property-int response.flags",
        "property-int response.grpc_status",
        "property response headers x-response",
        "property-size response.headers",
        "property response trailers x-response-trailer",
        "property-size response.trailers",
        "property-int response.size",
        "property-int response.total_size",
        "property-int response.headers_bytes",
        "property-size response.backend_latency",
        "property response.unknown",
    ];
    let grpc = Answer::ok(&[b"\0\0\0\0\x02ok"])
        .header("content-type", "application/grpc")
        .trailers(&[("grpc-status", "5"), ("grpc-message", "not there")]);
    script("`response.*`", &reads(&PHASES, &properties))
        .everything()
        .step(Request::grpc("/package.Service/Method"), grpc)
}

pub fn connection_properties() -> Scenario {
    let properties = [
        "property-size source.address",
        "property-status source.port",
        "property-size destination.address",
        "property-status destination.port",
        "property-status connection.id",
        "property-int connection.mtls",
        "property connection.requested_server_name",
        "property connection.tls_version",
        "property connection.subject_local_certificate",
        "property connection.subject_peer_certificate",
        "property connection.dns_san_peer_certificate",
        "property connection.uri_san_peer_certificate",
        "property connection.sha256_peer_certificate_digest",
        "property connection.termination_details",
        "property connection.transport_failure_reason",
        "property-status upstream.address",
        "property-status upstream.port",
        "property-status upstream.local_address",
        "property upstream.tls_version",
        "property upstream.transport_failure_reason",
        "property-int upstream.request_attempt_count",
        "property-int upstream.num_endpoints",
        "property-size upstream.cx_pool_ready_duration",
        "property-status connection_id",
    ];
    script("`source.*`, `destination.*`, `connection.*`, `upstream.*`", &reads(&PHASES, &properties))
        .everything()
}

pub fn environment_properties() -> Scenario {
    let properties = [
        "property plugin_name",
        "property plugin_root_id",
        "property plugin_vm_id",
        "property xds.cluster_name",
        "property xds.route_name",
        "property xds.virtual_host_name",
        "property xds.filter_chain_name",
        "property-int xds.listener_direction",
        "property xds.node.id",
        "property xds.node.cluster",
        "property-status xds.node",
        "property-status xds.cluster_metadata",
        "property-status xds.route_metadata",
        "property-status xds.listener_metadata",
        "property-status xds.upstream_host_metadata",
        "property-status metadata",
        "property-status filter_state",
        "property cluster_name",
        "property route_name",
        "property node.id",
        "property-int listener_direction",
    ];
    let callbacks = ["vm_start", "configure", "request_headers", "response_headers", "log"];
    script("`plugin_*`, `xds.*`, and the names that Envoy 1.33 removed", "")
        .everywhere(&reads(&callbacks, &properties))
        .set("root_id", "the-root")
        .set("vm_config.vm_id", "the-vm")
        .everything()
}

pub fn properties_set_by_the_plugin() -> Scenario {
    script(
        "set_property and reading it back, in every phase",
        "
        configure: set-property my_key \"at the start\"
        configure: property my_key
        request_headers: property my_key
        request_headers: set-property my_key first
        request_headers: property my_key
        request_headers: set-property my_key second
        request_headers: property my_key
        request_headers: set-property nested key value
        request_headers: property nested key
        request_headers: property wasm.my_key
        request_headers: property filter_state.wasm.my_key
        request_headers: property filter_state wasm.my_key
        request_headers: set-property empty \"\"
        request_headers: property empty
        request_headers: set-property \"\" nameless
        request_headers: property \"\"
        response_headers: property my_key
        response_headers: set-property my_key third
        log: property my_key
        log: set-property my_key fourth
        done: property my_key
        delete: property my_key
        ",
    )
    .everything()
}
