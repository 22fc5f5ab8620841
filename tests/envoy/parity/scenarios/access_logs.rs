//! Plugins as access loggers.

use crate::harness::{Answer, Request};
use crate::parity::scenario::{Attached, Scenario, script, scripts};

/// What a logger can read, each where there is something and where there is nothing.
const READS: &str = "
    log: pairs request
    log: pairs request-trailers
    log: pairs response
    log: pairs response-trailers
    log: get request :path
    log: get request x-none
    log: get request-trailers x-request-trailer
    log: get response-trailers x-none
    log: property-int response.code
    log: property response.code_details
    log: property-int response.flags
    log: property-int response.size
    log: property-int response.total_size
    log: property-size response.backend_latency
    log: property-int response.grpc_status
    log: property request.path
    log: property request.url_path
    log: property request.query
    log: property request.host
    log: property request.scheme
    log: property request.method
    log: property request.protocol
    log: property request.referer
    log: property request.useragent
    log: property request.id
    log: property-int request.size
    log: property-int request.total_size
    log: property-size request.time
    log: property-size request.duration
    log: property request.headers x-request
    log: property response.headers x-response
    log: property response.trailers x-response-trailer
    log: property-status source.address
    log: property-size source.port
    log: property-status destination.address
    log: property-size destination.port
    log: property-size connection.id
    log: property-int connection.mtls
    log: property connection.requested_server_name
    log: property connection.tls_version
    log: property connection.subject_peer_certificate
    log: property connection.termination_details
    log: property connection.transport_failure_reason
    log: property-status upstream.address
    log: property-size upstream.port
    log: property-status upstream.local_address
    log: property upstream.transport_failure_reason
    log: property-int upstream.request_attempt_count
    log: property xds.cluster_name
    log: property xds.route_name
    log: property xds.virtual_host_name
    log: property-int xds.listener_direction
    log: property plugin_name
    log: property plugin_root_id
    log: property plugin_vm_id
";

pub fn logged_exchanges() -> Scenario {
    script("everything that a logger reads", READS)
        .attached(Attached::AccessLog)
        .everything()
        .get("/plain?with=query")
        .step(
            Request::grpc("/service/method"),
            Answer::ok(&[]).header("content-type", "application/grpc").trailers(&[("grpc-status", "5")]),
        )
}

pub fn exchanges_that_never_reached_a_filter() -> Scenario {
    script("exchanges that Envoy ended itself", READS)
        .attached(Attached::AccessLog)
        .step(Request::get("/broken"), Answer::ok(&[b"half"]).broken())
        .step(Request::new("GET", "relative"), Answer::ok(&[]))
}

pub fn hostcalls_while_a_root_logs() -> Scenario {
    script(
        "what a root context can and cannot do while it logs",
        "
        log: size request
        log: add request x-late 1
        log: replace response x-late 1
        log: remove response x-response
        log: set-pairs response x-a b
        log: set-property mine value
        log: property mine
        log: buffer-get request 0 100
        log: buffer-status response
        log: buffer-set request 0 0 x
        log: buffer-get plugin-config 0 5
        log: buffer-get vm-config 0 5
        log: continue request
        log: continue response
        log: continue downstream
        log: close request
        log: reply 403 no
        log: effective root
        log: property request.path
        log: effective self
        log: property request.path
        log: get request :path
        log: effective 99
        log: finish
        log: define-metric counter logged_exchanges
        log: increment-metric logged_exchanges 1
        log: get-metric logged_exchanges
        ",
    )
    .attached(Attached::AccessLog)
    .everything()
}

pub fn a_filter_that_is_a_logger_too() -> Scenario {
    script(
        "one plugin as filter and as logger",
        "
        request_headers: set-property mine value
        log: if-stream property mine
        log: if-root property mine
        log: if-root property filter_state wasm.mine
        log: if-root get request :path
        ",
    )
    .attached(Attached::HttpAndAccessLog)
    .everything()
    .get("/second")
}

pub fn a_logger_that_traps() -> Scenario {
    scripts("exchanges of loggers that trap")
        .isolated()
        .attached(Attached::AccessLog)
        .case("panics", "log: panic \"as told\"")
        .get("/")
        .case("traps", "log: trap")
        .get("/")
}
