//! Addresses: every pointer of every hostcall, pointed outside. The answer is `INVALID_MEMORY_ACCESS`, and nothing
//! has changed: not the stream, not the metrics, not a byte of the guest.

use graft::host::hostcalls::V0_1_0;

use crate::background::{pairs_literal, pairs_text};
use crate::guest::{Guest, MEMORY, call, exchange, hostcalls};

/// A parameter, or for bytes the two parameters, of a hostcall.
#[derive(Clone, Copy)]
enum Parameter {
    /// Any number.
    Number(i64),
    /// Address and length of bytes that the hostcall reads.
    Bytes(i64, i64),
    /// Address of a result of this many bytes.
    Result(i64, i64),
}

use Parameter::{Bytes, Number, Result};

/// A name that the exchange has, put at 16.
const NAME: Parameter = Bytes(16, 3);
const VALUE: [Parameter; 2] = [Result(8, 4), Result(12, 4)];

/// The headers of a request.
const HEADERS: [(&str, &str); 3] = [(":method", "GET"), (":path", "/"), (":authority", "a")];

/// The token of the gRPC stream that the guest opens when it is configured: the first call, of the third kind.
const STREAM: Parameter = Number(1 << 2 | 2);

/// Every hostcall that takes an address, with arguments that succeed while a request body arrives.
fn table() -> Vec<(&'static str, Vec<Parameter>)> {
    let empty = Bytes(0, 0);
    let length = i64::try_from(pairs_literal(&HEADERS).len() / 3).unwrap();
    let headers = Bytes(64, length);
    vec![
        ("proxy_log", vec![Number(2), NAME]),
        ("proxy_get_log_level", vec![Result(8, 4)]),
        ("proxy_get_current_time_nanoseconds", vec![Result(8, 8)]),
        ("proxy_get_property", [&[Bytes(32, 12)], &VALUE[..]].concat()),
        ("proxy_set_property", vec![NAME, NAME]),
        ("proxy_call_foreign_function", [&[Bytes(512, 8), NAME], &VALUE[..]].concat()),
        ("proxy_send_local_response", vec![Number(200), NAME, NAME, empty, Number(-1)]),
        ("proxy_get_header_map_pairs", [&[Number(0)], &VALUE[..]].concat()),
        ("proxy_set_header_map_pairs", vec![Number(0), empty]),
        ("proxy_get_header_map_size", vec![Number(0), Result(8, 4)]),
        ("proxy_get_header_map_value", [&[Number(0), NAME], &VALUE[..]].concat()),
        ("proxy_add_header_map_value", vec![Number(0), NAME, NAME]),
        ("proxy_replace_header_map_value", vec![Number(0), NAME, NAME]),
        ("proxy_remove_header_map_value", vec![Number(0), NAME]),
        ("proxy_get_buffer_bytes", [&[Number(0), Number(0), Number(9)], &VALUE[..]].concat()),
        ("proxy_get_buffer_status", [&[Number(0)], &VALUE[..]].concat()),
        ("proxy_set_buffer_bytes", vec![Number(0), Number(0), Number(1), NAME]),
        ("proxy_define_metric", vec![Number(0), NAME, Result(8, 4)]),
        ("proxy_get_metric", vec![Number(0), Result(8, 8)]),
        ("proxy_get_configuration", VALUE.to_vec()),
        ("proxy_get_shared_data", [&[NAME], &VALUE[..], &[Result(20, 4)]].concat()),
        ("proxy_set_shared_data", vec![NAME, NAME, Number(0)]),
        ("proxy_register_shared_queue", vec![NAME, Result(8, 4)]),
        ("proxy_resolve_shared_queue", vec![empty, NAME, Result(8, 4)]),
        ("proxy_enqueue_shared_queue", vec![Number(1), NAME]),
        ("proxy_dequeue_shared_queue", [&[Number(1)], &VALUE[..]].concat()),
        ("proxy_http_call", vec![NAME, headers, NAME, empty, Number(1000), Result(8, 4)]),
        ("proxy_grpc_call", vec![NAME, NAME, NAME, empty, NAME, Number(1000), Result(8, 4)]),
        ("proxy_grpc_stream", vec![NAME, NAME, NAME, empty, Result(8, 4)]),
        ("proxy_grpc_send", vec![STREAM, NAME, Number(0)]),
        ("envoy_resolve_dns", vec![NAME, Result(8, 4)]),
        ("proxy_get_status", vec![Result(8, 4), Result(12, 4), Result(20, 4)]),
    ]
}

/// Hostcalls that take no address.
const WITHOUT: &[&str] = &[
    "proxy_increment_metric",
    "proxy_record_metric",
    "proxy_set_effective_context",
    "proxy_done",
    "proxy_continue_request",
    "proxy_continue_response",
    "proxy_clear_route_cache",
    "proxy_continue_stream",
    "proxy_close_stream",
    "proxy_set_tick_period_milliseconds",
    "proxy_grpc_cancel",
    "proxy_grpc_close",
];

fn arguments(parameters: &[Parameter]) -> Vec<i64> {
    parameters
        .iter()
        .flat_map(|parameter| match *parameter {
            Number(number) => vec![number],
            Bytes(address, length) => vec![address, length],
            Result(address, _) => vec![address],
        })
        .collect()
}

/// What a parameter becomes when it points outside; nothing for one that cannot.
fn outside(parameter: Parameter) -> Vec<Parameter> {
    const TOP: i64 = 0xffff_ffff;
    let end = i64::from(MEMORY);
    match parameter {
        Number(_) => vec![],
        Bytes(..) => [
            (end, 1),
            (end - 1, 2),
            (end + 1, 0),
            (TOP, 0),
            (TOP, 1),
            (TOP, TOP),
            (0, TOP),
            (0, end + 1),
            (16, TOP - 15),
            (TOP - 2, 3),
            (0x8000_0000, 0x8000_0000),
        ]
        .map(|(address, length)| Bytes(address, length))
        .to_vec(),
        Result(_, size) => [end - size + 1, end - 1, end, end + 1, 0x8000_0000, TOP - size + 1, TOP]
            .map(|address| Result(address, size))
            .to_vec(),
    }
}

/// Each way in which one parameter of a row points outside.
fn bad_rows(parameters: &[Parameter]) -> Vec<Vec<i64>> {
    let mut rows = Vec::new();
    for (number, parameter) in parameters.iter().enumerate() {
        for bad in outside(*parameter) {
            let mut row = parameters.to_vec();
            row[number] = bad;
            rows.push(arguments(&row));
        }
    }
    rows
}

/// A sum over all memory but the place where `$say` writes digits: two are equal if nothing was stored meanwhile.
const SUM: &str = "(func $sum (result i64) (local $at i32) (local $sum i64)
    (loop $bytes
        (if (i32.or (i32.lt_u (local.get $at) (i32.const 960)) (i32.ge_u (local.get $at) (i32.const 1000)))
            (then (local.set $sum (i64.add
                (i64.mul (local.get $sum) (i64.const 1099511628211))
                (i64.load8_u (local.get $at))))))
        (br_if $bytes (i32.lt_u
            (local.tee $at (i32.add (local.get $at) (i32.const 1))) (i32.const 131072))))
    (local.get $sum))";

/// A guest that holds the request's headers and runs this when the body arrives. It has a metric, a shared value, a
/// queue with a message and an open gRPC stream.
fn guest(hostcall: &str, body: &str) -> Guest {
    let guest =
        if V0_1_0.iter().any(|row| row.name == hostcall) { Guest::new().abi("0_1_0") } else { Guest::new() };
    let prepare = format!(
        r#"(drop (call $proxy_define_metric (i32.const 0) (text "m") (i32.const 48)))
           (drop (call $proxy_set_shared_data (text "x-a") (text "value") (i32.const 0)))
           (drop (call $proxy_register_shared_queue (text "x-a") (i32.const 48)))
           (drop (call $proxy_enqueue_shared_queue (i32.load (i32.const 48)) (text "message")))
           (drop (call $proxy_grpc_stream (text "a") (text "b") (text "c") {} (i32.const 48)))"#,
        pairs_text(&[])
    );
    guest
        .allowing_stop_iteration()
        .data(512, "compress")
        .data(16, "x-a")
        .data(32, "request\\00path")
        .data(64, &pairs_literal(&HEADERS))
        .with(SUM)
        .on("proxy_on_configure", &prepare)
        .answer("proxy_on_request_headers", 1, "")
        .on("proxy_on_request_body", body)
}

#[test]
fn an_address_outside_is_refused_before_anything_is_done() {
    for (hostcall, parameters) in table() {
        let rows = bad_rows(&parameters);
        let calls: String = rows.iter().map(|row| format!("(call $say {})", call(hostcall, row))).collect();
        let sum = "(call $say64 (call $sum))";
        let mut vm = guest(hostcall, &format!("{sum} {calls} {sum}")).vm_configuration("vm").start();
        let stream = vm.open(exchange());
        vm.request_headers(stream).unwrap();
        vm.request_body(stream).unwrap();

        let mut said = vm.said();
        let (before, after) = (said.remove(0), said.pop().unwrap());
        for (row, status) in rows.iter().zip(&said) {
            assert_eq!(status, "6", "{hostcall} {row:x?}");
        }
        assert_eq!(said.len(), rows.len());
        assert_eq!(before, after, "{hostcall}: the guest's memory");
        assert_eq!(*vm.stream(stream), exchange(), "{hostcall}: the stream");
        assert_eq!(vm.effects(stream), [], "{hostcall}: effects");
        assert_eq!(vm.vm.metrics().count(), 1, "{hostcall}: metrics");
        let shared = &vm.vm.commons().shared;
        let data = &shared.space("", 0).data;
        assert_eq!(data.keys(b"", 0), [Box::from(&b"x-a"[..])], "{hostcall}: keys");
        assert_eq!(&*data.get(b"x-a", 0).unwrap().value, b"value", "{hostcall}: shared data");
        let queue = shared.queue(1).unwrap();
        assert_eq!((queue.pop().as_deref(), queue.pop()), (Some(&b"message"[..]), None), "{hostcall}: queue");
        assert!(shared.queue(2).is_none(), "{hostcall}: queues");
        vm.vm.pass_on();
        assert_eq!(vm.services.commands.lock().len(), 1, "{hostcall}: calls");
    }
}

#[test]
fn the_same_calls_succeed_with_addresses_inside_also_at_the_very_end() {
    for (hostcall, parameters) in table() {
        let end = i64::from(MEMORY);
        let at_the_end: Vec<Parameter> = parameters
            .iter()
            .map(|parameter| match *parameter {
                Result(_, size) => Result(end - size, size),
                Bytes(_, 0) => Bytes(end, 0),
                Number(_) | Bytes(..) => *parameter,
            })
            .collect();
        for row in [arguments(&parameters), arguments(&at_the_end)] {
            let mut vm = guest(hostcall, &format!("(call $say {})", call(hostcall, &row))).start();
            let stream = vm.open(exchange());
            vm.request_headers(stream).unwrap();
            vm.request_body(stream).unwrap();
            assert_eq!(vm.said().last().unwrap(), "0", "{hostcall} {row:x?}");
        }
    }
}

#[test]
fn the_table_above_has_every_hostcall_with_its_number_of_parameters() {
    for row in hostcalls() {
        match table().iter().find(|(name, _)| *name == row.name) {
            Some((_, parameters)) => assert_eq!(arguments(parameters).len(), row.parameters, "{}", row.name),
            None => assert!(WITHOUT.contains(&row.name), "{}", row.name),
        }
    }
}

#[test]
fn results_may_lie_anywhere_even_on_each_other() {
    let mut vm = guest(
        "",
        "(call $say (call $proxy_get_buffer_bytes (i32.const 0) (i32.const 0) (i32.const 9) (i32.const 9) (i32.const 9)))
         (call $say (i32.load (i32.const 9)))",
    )
    .start();
    let stream = vm.open(exchange());
    vm.request_headers(stream).unwrap();
    vm.request_body(stream).unwrap();
    assert_eq!(vm.said(), ["0", "5"], "the length is written last; addresses need no alignment");
}
