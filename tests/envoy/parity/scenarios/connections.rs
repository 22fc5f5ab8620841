//! Plugins on TCP connections.

use crate::harness::tcp::Say::{Await, AwaitEnd, Finish, Send};
use crate::parity::scenario::{Attached, Scenario, script, scripts};

/// The callbacks of a connection, in which `line` is run.
fn everywhere(line: &str) -> String {
    ["context_create: if-stream", "new_connection:", "downstream_data:", "upstream_data:", "done: if-stream", "log:", "delete: if-stream"]
        .map(|callback| format!("{callback} {line}\n"))
        .concat()
}

fn connections(about: &'static str) -> Scenario {
    scripts(about).attached(Attached::Tcp)
}

pub fn connection_callbacks() -> Scenario {
    connections("callbacks of a connection, by who closes it")
        .case("client", "")
        .talk(&[Send("one"), Await(8), Send("two"), Await(16)])
        .case("half", "")
        .talk(&[Send("one"), Await(8), Finish])
        .case("server", "")
        .talk(&[Send("one"), Await(8), Send("bye"), AwaitEnd])
        .case("silent", "")
        .talk(&[Finish])
}

pub fn connection_bytes() -> Scenario {
    connections("bytes read and edited")
        .case(
            "reads",
            "
            new_connection: buffer-get downstream 0 10
            downstream_data: buffer-get downstream 0 100
            downstream_data: buffer-get downstream 1 2
            downstream_data: buffer-get downstream 100 2
            downstream_data: buffer-status downstream
            downstream_data: buffer-status upstream
            downstream_data: buffer-get request 0 100
            upstream_data: buffer-get upstream 0 100
            upstream_data: buffer-get downstream 0 100
            upstream_data: buffer-get response 0 100
            downstream_connection_close: buffer-get downstream 0 100
            log: buffer-get upstream 0 100
            ",
        )
        .talk(&[Send("one"), Await(8), Finish])
        .case(
            "writes",
            "
            downstream_data: if-nth 1 buffer-set downstream 0 2 ON
            downstream_data: if-nth 1 buffer-set downstream 0 0 <
            downstream_data: if-nth 1 buffer-set downstream 100 0 >
            downstream_data: if-nth 1 buffer-set downstream 1 1 x
            downstream_data: if-nth 1 buffer-set upstream 0 0 x
            downstream_data: if-nth 1 buffer-set request 0 0 x
            upstream_data: if-nth 1 buffer-set upstream 0 100 replaced
            ",
        )
        .talk(&[Send("one"), Await(8), Finish])
}

pub fn connections_held() -> Scenario {
    connections("bytes held back and resumed in the same callback")
        .case("resumed", "downstream_data: if-nth 1 continue downstream\ndownstream_data: if-nth 1 return 1")
        .talk(&[Send("one"), Await(8), Finish])
}

pub fn connections_closed() -> Scenario {
    connections("connections that the plugin closes")
        .case("downstream_data", "downstream_data: close downstream")
        .talk(&[Send("one"), AwaitEnd])
        .case("as_upstream", "downstream_data: close upstream")
        .talk(&[Send("one"), AwaitEnd])
}

pub fn connection_properties_and_maps() -> Scenario {
    let lines: String = [
        "property-status source.address",
        "property-size source.port",
        "property-status destination.address",
        "property-size destination.port",
        "property-size connection.id",
        "property-int connection.mtls",
        "property connection.requested_server_name",
        "property connection.tls_version",
        "property connection.termination_details",
        "property request.path",
        "property request.protocol",
        "property request.headers x",
        "property-size request.time",
        "property response.code",
        "property xds.route_name",
        "property-int xds.listener_direction",
        "property plugin_name",
        "pairs request",
        "get request x",
        "size response",
        "add request a b",
        "reply 403 no",
        "continue request",
        "close request",
        "finish",
    ]
    .map(everywhere)
    .concat();
    script("what a connection can be asked, in each callback", &lines)
        .attached(Attached::Tcp)
        .talk(&[Send("one"), Await(8), Finish])
}

pub fn connection_properties_set() -> Scenario {
    script(
        "a connection's own properties",
        "
        new_connection: set-property mine 1
        new_connection: property mine
        downstream_data: if-nth 1 set-property mine 2
        upstream_data: property mine
        log: property mine
        log: property-int request.size
        log: property-int response.size
        ",
    )
    .attached(Attached::Tcp)
    .talk(&[Send("one"), Await(8), Finish])
}

pub fn connections_that_trap() -> Scenario {
    connections("connections whose plugin traps")
        .isolated()
        .case("new_connection", "new_connection: panic \"as told\"")
        .talk(&[AwaitEnd])
        .case("downstream_data", "downstream_data: panic \"as told\"")
        .talk(&[Send("one"), AwaitEnd])
}
