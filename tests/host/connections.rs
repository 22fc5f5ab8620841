//! TCP connections: their entry points and hostcalls. And exchanges that a root context logs.

use graft::host::stream::Effect;
use graft::host::testing::FakeStream;
use graft::host::types::{ConnectionAction, Direction, PeerType};
use graft::host::vm::CallError;

use crate::guest::{Guest, VALUE, exchange};

/// A connection with bytes from both sides.
fn connection() -> FakeStream {
    FakeStream {
        is_connection: true,
        request_body: (Vec::new(), b"from the client".to_vec()),
        response_body: (Vec::new(), b"from the server".to_vec()),
        ..FakeStream::default()
    }
}

/// Says the status of reading a buffer and, if there are bytes, shows them.
fn reading(buffer: u32) -> String {
    format!(
        "(call $say (call $proxy_get_buffer_bytes (i32.const {buffer}) (i32.const 0) (i32.const 100)
            (i32.const {VALUE}) (i32.const {})))
         (call $show (i32.const {VALUE}))",
        VALUE + 4
    )
}

#[test]
fn a_connection_without_entry_points_goes_on() {
    let mut vm = Guest::new().start();
    let stream = vm.open(connection());
    assert_eq!(vm.vm.on_new_connection(stream), Ok(ConnectionAction::Continue));
    for direction in [Direction::Request, Direction::Response] {
        assert_eq!(vm.vm.on_data(stream, direction, true), Ok(ConnectionAction::Continue));
        assert_eq!(vm.vm.on_close(stream, direction, PeerType::Remote), Ok(()));
    }
    assert_eq!(vm.vm.finish_connection(stream), Ok(()));
}

#[test]
fn every_answer_but_zero_holds() {
    for (answer, action) in [
        (0, ConnectionAction::Continue),
        (1, ConnectionAction::StopIteration),
        (7, ConnectionAction::StopIteration),
        (u32::MAX, ConnectionAction::StopIteration),
    ] {
        let mut vm = Guest::new()
            .answer("proxy_on_new_connection", answer, "")
            .answer("proxy_on_downstream_data", answer, "")
            .answer("proxy_on_upstream_data", answer, "")
            .start();
        let stream = vm.open(connection());
        assert_eq!(vm.vm.on_new_connection(stream), Ok(action), "{answer}");
        assert_eq!(vm.vm.on_data(stream, Direction::Request, false), Ok(action), "{answer}");
        assert_eq!(vm.vm.on_data(stream, Direction::Response, false), Ok(action), "{answer}");
    }
}

#[test]
fn the_guest_is_told_of_sizes_ends_and_peers() {
    let say_all = "(call $say (local.get 1)) (call $say (local.get 2))";
    let mut vm = Guest::new()
        .on("proxy_on_downstream_data", say_all)
        .on("proxy_on_upstream_data", say_all)
        .on("proxy_on_downstream_connection_close", "(call $say (local.get 1))")
        .on("proxy_on_upstream_connection_close", "(call $say (local.get 1))")
        .start();
    let stream = vm.open(FakeStream { response_body: Default::default(), ..connection() });
    vm.vm.on_data(stream, Direction::Request, false).unwrap();
    vm.vm.on_data(stream, Direction::Response, true).unwrap();
    vm.vm.on_close(stream, Direction::Response, PeerType::Unknown).unwrap();
    vm.vm.on_close(stream, Direction::Request, PeerType::Remote).unwrap();
    assert_eq!(vm.said(), ["15", "0", "0", "1", "0", "2"]);
}

#[test]
fn bytes_are_at_hand_in_their_own_entry_point_and_while_they_are_held() {
    let mut vm = Guest::new()
        .on("proxy_on_new_connection", &reading(2))
        .answer("proxy_on_downstream_data", 1, &(reading(2) + &reading(3) + &reading(0)))
        .on("proxy_on_upstream_data", &(reading(2) + &reading(3)))
        .start();
    let stream = vm.open(connection());
    vm.vm.on_new_connection(stream).unwrap();
    vm.vm.on_data(stream, Direction::Request, false).unwrap();
    vm.vm.on_data(stream, Direction::Response, false).unwrap();
    let expected =
        ["0", "", "0", "from the client", "0", "", "0", "", "0", "from the client", "0", "from the server"];
    assert_eq!(vm.said(), expected);
}

#[test]
fn buffers_of_connections_are_not_there_on_http_streams() {
    let mut vm = Guest::new().on("proxy_on_request_body", &(reading(2) + &reading(3))).start();
    let stream = vm.open(exchange());
    vm.request_body(stream).unwrap();
    assert_eq!(vm.said(), ["0", "", "0", ""]);
}

/// What is asked for by these lines, in a connection's bytes and in an exchange's headers.
fn asked(body: &str) -> [(Vec<String>, Vec<Effect>); 2] {
    let mut vm =
        Guest::new().on("proxy_on_downstream_data", body).on("proxy_on_request_headers", body).start();
    let (tcp, http) = (vm.open(connection()), vm.open(exchange()));
    vm.vm.on_data(tcp, Direction::Request, false).unwrap();
    let of_tcp = (vm.said(), vm.effects(tcp));
    vm.request_headers(http).unwrap();
    [of_tcp, (vm.said(), vm.effects(http))]
}

#[test]
fn a_connection_is_resumed_and_closed_by_its_own_names() {
    let call = |name: &str, stream: u32| format!("(call $say (call ${name} (i32.const {stream})))");
    for (line, status, of_tcp, of_http) in [
        (call("proxy_continue_stream", 0), "0", None, Some(Effect::Continue(Direction::Request))),
        (call("proxy_continue_stream", 2), "0", Some(Effect::Continue(Direction::Request)), None),
        (call("proxy_continue_stream", 3), "12", None, None),
        (call("proxy_close_stream", 1), "0", None, Some(Effect::Close(Direction::Response))),
        (call("proxy_close_stream", 2), "0", Some(Effect::Close(Direction::Request)), None),
        (call("proxy_close_stream", 3), "0", Some(Effect::Close(Direction::Response)), None),
    ] {
        let [tcp, http] = asked(&line);
        assert_eq!(
            (tcp.0.last().map(String::as_str), tcp.1),
            (Some(status), Vec::from_iter(of_tcp)),
            "{line}"
        );
        assert_eq!(
            (http.0.last().map(String::as_str), http.1),
            (Some(status), Vec::from_iter(of_http)),
            "{line}"
        );
    }
}

#[test]
fn the_end_of_a_connection_is_done_then_log_then_delete() {
    let mut vm = Guest::new()
        .on("proxy_on_done", "(call $say (i32.const 1))")
        .on("proxy_on_log", "(call $say (i32.const 2))")
        .on("proxy_on_delete", "(call $say (i32.const 3))")
        .start();
    let stream = vm.open(connection());
    vm.vm.finish_connection(stream).unwrap();
    vm.vm.end_stream(stream);
    assert_eq!(vm.said(), ["1", "2", "3"]);
}

#[test]
fn a_trap_in_any_entry_point_of_a_connection_kills_the_vm() {
    for name in
        ["proxy_on_new_connection", "proxy_on_downstream_data", "proxy_on_downstream_connection_close"]
    {
        let mut vm = Guest::new().on(name, "(unreachable)").start();
        let stream = vm.open(connection());
        let called = vm
            .vm
            .on_new_connection(stream)
            .and_then(|_| vm.vm.on_data(stream, Direction::Request, false))
            .and_then(|_| vm.vm.on_close(stream, Direction::Request, PeerType::Local));
        assert!(
            matches!(called, Err(CallError::Trapped { entry_point, .. }) if entry_point == name),
            "{name}"
        );
        assert_eq!(vm.vm.on_data(stream, Direction::Request, false), Err(CallError::VmFailed));
    }
}

#[test]
fn a_root_logs_an_exchange_under_its_own_id() {
    let get = "(call $say (local.get 0))
        (call $say (call $proxy_get_header_map_value (i32.const 0) (text \":path\") (i32.const 8) (i32.const 12)))
        (call $say (call $proxy_set_property (text \"mine\") (text \"value\")))
        (call $say (call $proxy_set_effective_context (local.get 0)))
        (call $say (call $proxy_get_header_map_value (i32.const 0) (text \":path\") (i32.const 8) (i32.const 12)))";
    let mut vm =
        Guest::new().on("proxy_on_log", get).on("proxy_on_delete", "(call $say (i32.const 99))").start();
    let root = vm.root();
    vm.vm.log_as_root(root, exchange()).unwrap();
    assert_eq!(vm.said(), ["1", "0", "1", "0", "0"]);
    assert_eq!(vm.vm.streams().count(), 0, "no context is left");
}

#[test]
fn a_trap_while_a_root_logs_kills_the_vm_and_leaves_no_context() {
    let mut vm = Guest::new().on("proxy_on_log", "(unreachable)").start();
    let root = vm.root();
    assert!(matches!(vm.vm.log_as_root(root, exchange()), Err(CallError::Trapped { .. })));
    assert_eq!(vm.vm.log_as_root(root, exchange()), Err(CallError::VmFailed));
    assert_eq!(vm.vm.streams().count(), 0);
}
