//! Metrics: definition, changes, reads, and how many there may be.

use std::sync::atomic::Ordering;

use graft::host::types::Status;

use crate::guest::{Guest, Running, exchange, plugin};
use crate::phases::unusual;

/// Defines a metric of a kind with its id at an address.
fn define(kind: u32, name: &str, at: u32) -> String {
    format!(r#"(call $say (call $proxy_define_metric (i32.const {kind}) (text "{name}") (i32.const {at})))"#)
}

/// Runs a body in `proxy_on_configure`.
fn configure(body: &str) -> Running {
    Guest::new().on("proxy_on_configure", body).start()
}

#[test]
fn ids_carry_the_kind_and_are_told() {
    let ids = "(call $say (i32.load (i32.const 16))) (call $say (i32.load (i32.const 20)))
               (call $say (i32.load (i32.const 24))) (call $say (i32.load (i32.const 28)))";
    let defines = [define(0, "c", 16), define(1, "g", 20), define(2, "h", 24), define(0, "d", 28)].concat();
    let vm = configure(&(defines + ids));
    assert_eq!(vm.said(), ["0", "0", "0", "0", "0", "1", "2", "4"]);
    assert_eq!(vm.vm.metrics().count(), 4);
}

#[test]
fn a_name_defined_again_is_another_id_of_the_same_metric() {
    let vm = configure(
        &[
            define(0, "c", 16),
            define(0, "c", 20),
            "(drop (call $proxy_increment_metric (i32.load (i32.const 16)) (i64.const 2)))
             (drop (call $proxy_increment_metric (i32.load (i32.const 20)) (i64.const 3)))
             (drop (call $proxy_get_metric (i32.load (i32.const 16)) (i32.const 32)))
             (call $say64 (i64.load (i32.const 32)))"
                .to_owned(),
        ]
        .concat(),
    );
    assert_eq!(vm.said(), ["0", "0", "5"]);
    assert_eq!(vm.services.metric("c"), Some(5));
}

#[test]
fn a_kind_that_is_none_is_a_bad_argument() {
    for kind in [3, 4, 0xffff_ffff] {
        let arguments = [kind, 16, 1, 24];
        assert_eq!(unusual(Guest::new(), Status::BadArgument, "proxy_define_metric", &arguments), []);
    }
}

#[test]
fn a_name_longer_than_any_is_a_bad_argument_and_defines_nothing() {
    let vm = Guest::new()
        .calling("proxy_on_configure", "proxy_define_metric", &[&[0, 0, 4097, 8], &[0, 0, 4096, 8]])
        .start();
    assert_eq!(vm.said(), ["2", "0"]);
    assert_eq!(vm.vm.metrics().count(), 1);
}

#[test]
fn metrics_can_be_defined_and_changed_in_every_phase() {
    assert_eq!(unusual(Guest::new().data(16, "m"), Status::Ok, "proxy_define_metric", &[0, 16, 1, 24]), []);
    for (hostcall, arguments) in [
        ("proxy_increment_metric", &[0, 1][..]),
        ("proxy_record_metric", &[0, 1]),
        ("proxy_get_metric", &[0, 32]),
    ] {
        let defined = Guest::new().data(16, "m").on("_initialize", "");
        // The first of them is called before anything is defined.
        let mut expected = vec![("root create", "1".to_owned())];
        expected.extend(
            ["vm start", "configure", "create", "request headers", "request body", "request trailers"]
                .into_iter()
                .chain(["response headers", "response body", "response trailers", "log", "done", "delete"])
                .chain(["root done", "root delete"])
                .map(|phase| (phase, "1".to_owned())),
        );
        assert_eq!(unusual(defined, Status::Ok, hostcall, arguments), expected, "{hostcall}");
    }
}

/// Status of a change and the value after it.
fn change(kind: u32, hostcall: &str, values: &[i64]) -> (Vec<String>, Option<i64>) {
    let calls: String = values
        .iter()
        .map(|value| format!("(call $say (call ${hostcall} (i32.load (i32.const 16)) (i64.const {value})))"))
        .collect();
    let vm = configure(&(define(kind, "m", 16) + &calls));
    let mut said = vm.said();
    assert_eq!(said.remove(0), "0");
    (said, vm.services.metric("m"))
}

#[test]
fn a_counter_grows_and_does_nothing_else() {
    assert_eq!(change(0, "proxy_increment_metric", &[5, 0, -1, i64::MIN, 2]).1, Some(7));
    assert_eq!(change(0, "proxy_increment_metric", &[5, 0, -1, i64::MIN, 2]).0, ["0", "2", "2", "2", "0"]);
    assert_eq!(change(0, "proxy_record_metric", &[5, 6]), (vec!["0".to_owned(), "0".to_owned()], Some(11)));
}

#[test]
fn a_gauge_goes_up_and_down_and_is_set() {
    let ok = |count| vec!["0".to_owned(); count];
    assert_eq!(change(1, "proxy_increment_metric", &[5, -3, 0]), (ok(3), Some(2)));
    assert_eq!(change(1, "proxy_record_metric", &[5, 3]), (ok(2), Some(3)));
}

#[test]
fn a_histogram_takes_values_and_no_increments() {
    assert_eq!(change(2, "proxy_increment_metric", &[1]), (vec!["2".to_owned()], Some(0)));
    assert_eq!(change(2, "proxy_record_metric", &[5, 3]), (vec!["0".to_owned(); 2], Some(8)));
}

#[test]
fn counters_and_gauges_are_read_and_histograms_are_not() {
    let read = |kind| {
        let vm = configure(&format!(
            "{} (drop (call $proxy_record_metric (i32.load (i32.const 16)) (i64.const 9)))
             (call $say (call $proxy_get_metric (i32.load (i32.const 16)) (i32.const 32)))
             (call $say64 (i64.load (i32.const 32)))",
            define(kind, "m", 16)
        ));
        vm.said()[1..].to_vec()
    };
    assert_eq!(read(0), ["0", "9"]);
    assert_eq!(read(1), ["0", "9"]);
    assert_eq!(read(2), ["2", "0"]);
}

#[test]
fn unknown_ids_are_answered_by_the_kind_that_they_carry() {
    let unknown = |hostcall, rest: i64| {
        let rows: Vec<[i64; 2]> = [0, 1, 2, 3, 4, 0xffff_ffff].map(|id| [id, rest]).to_vec();
        let rows: Vec<&[i64]> = rows.iter().map(<[i64; 2]>::as_slice).collect();
        Guest::new().calling("proxy_on_configure", hostcall, &rows).start().said()
    };
    assert_eq!(unknown("proxy_increment_metric", 1), ["1", "1", "2", "2", "1", "2"]);
    assert_eq!(unknown("proxy_record_metric", 1), ["1", "1", "1", "1", "1", "1"]);
    assert_eq!(unknown("proxy_get_metric", 32), ["1", "1", "2", "2", "1", "2"]);
}

#[test]
fn plugins_of_a_vm_share_ids_and_a_stream_changes_them() {
    let mut vm = Guest::new()
        .on("proxy_on_configure", &define(0, "requests", 16))
        .on(
            "proxy_on_request_headers",
            "(call $say (call $proxy_increment_metric (i32.load (i32.const 16)) (i64.const 1)))",
        )
        .start();
    vm.add(plugin(2, "", b"")).unwrap();
    let stream = vm.open(exchange());
    vm.request_headers(stream).unwrap();
    assert_eq!(vm.said(), ["0", "0", "0"]);
    assert_eq!(vm.services.metric("requests"), Some(1));
    assert_eq!(vm.vm.metrics().count(), 2);
}

#[test]
fn a_guest_that_defines_for_ever_is_refused_and_lives() {
    let mut vm = Guest::new()
        .with("(global $left (mut i32) (i32.const 65537))")
        .on(
            "proxy_on_configure",
            r#"(local $last i32)
               (loop $again
                    (local.set $last (call $proxy_define_metric (i32.const 1) (text "g") (i32.const 16)))
                    (global.set $left (i32.sub (global.get $left) (i32.const 1)))
                    (br_if $again (i32.and (i32.eqz (local.get $last)) (i32.ne (global.get $left) (i32.const 0)))))
               (call $say (local.get $last)) (call $say (global.get $left))
               (call $say (call $proxy_define_metric (i32.const 0) (text "c") (i32.const 16)))"#,
        )
        .start();
    assert_eq!(vm.said(), ["10", "0", "0"], "65,536 gauges, and other kinds have room of their own");
    let stream = vm.open(exchange());
    assert!(vm.request_headers(stream).is_ok());
}

#[test]
fn the_process_is_asked_once_to_show_what_a_root_context_has_changed() {
    let increment =
        "(drop (call $proxy_increment_metric (i32.load (i32.const 16)) (i64.const 1)))".repeat(100);
    let mut vm = Guest::new()
        .on("proxy_on_configure", &(define(0, "c", 16) + &increment))
        .on("proxy_on_request_headers", &increment)
        .start();
    let asked = |vm: &Running| vm.services.publications.load(Ordering::Relaxed);
    assert_eq!(asked(&vm), 0, "while the guest is inside");
    vm.vm.pass_on();
    vm.vm.pass_on();
    assert_eq!((asked(&vm), vm.services.metric("c")), (1, Some(100)));
    let stream = vm.open(exchange());
    vm.request_headers(stream).unwrap();
    vm.vm.pass_on();
    assert_eq!((asked(&vm), vm.services.metric("c")), (1, Some(200)), "a stream tells by itself");
}
