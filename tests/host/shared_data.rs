//! Shared data: `proxy_get_shared_data`, `proxy_set_shared_data`.

use std::sync::Arc;

use graft::host::types::Status;

use crate::background::Background;
use crate::guest::{Guest, exchange};
use crate::phases::unusual;

/// Gets the value of `key`: says the status, shows the value, says the change number.
const GET: &str = r#"
    (i64.store (i32.const 8) (i64.const 0)) (i32.store (i32.const 16) (i32.const 0))
    (call $say (call $proxy_get_shared_data (text "key") (i32.const 8) (i32.const 12) (i32.const 16)))
    (call $show (i32.const 8)) (call $say (i32.load (i32.const 16)))"#;

/// Sets it, whatever it is.
fn set(value: &str) -> String {
    format!(r#"(call $say (call $proxy_set_shared_data (text "key") (text "{value}") (i32.const 0)))"#)
}

/// Sets it if its change number is the one that was got, plus this.
fn change(value: &str, off_by: i32) -> String {
    format!(
        r#"(call $say (call $proxy_set_shared_data (text "key") (text "{value}")
            (i32.add (i32.load (i32.const 16)) (i32.const {off_by}))))"#
    )
}

#[test]
fn what_is_not_there_is_not_found() {
    assert_eq!(Guest::new().on("proxy_on_configure", GET).start().said(), ["1", "", "0"]);
}

#[test]
fn a_value_is_read_as_it_was_written_with_a_number_that_is_never_zero() {
    let said = Guest::new().on("proxy_on_configure", &[&set("va\\00lue"), GET].concat()).start().said();
    assert_eq!(said[..3], ["0", "0", "va\0lue"]);
    assert_ne!(said[3], "0");
}

#[test]
fn an_empty_value_is_there_and_costs_no_allocation() {
    let guest = Guest::new().export("malloc", "unreachable");
    let said = guest.on("proxy_on_configure", &[&set(""), GET].concat()).start().said();
    assert_eq!(said[..3], ["0", "0", ""]);
}

#[test]
fn a_key_may_be_empty_and_any_bytes() {
    for key in ["", "\\00\\ff", "k"] {
        let body = [&set("v"), GET].concat().replace("(text \"key\")", &format!("(text \"{key}\")"));
        assert_eq!(Guest::new().on("proxy_on_configure", &body).start().said()[..3], ["0", "0", "v"]);
    }
}

#[test]
fn a_change_needs_the_number_of_the_last_one() {
    let body = [&set("1"), GET, &change("2", 0), &change("3", 0), GET].concat();
    let said = Guest::new().on("proxy_on_configure", &body).start().said();
    assert_eq!(said[4..7], ["0", "8", "0"], "the first wins, the second has seen an old value");
    assert_eq!(said[7], "2");
    assert_ne!(said[3], said[8], "each change has a number of its own");
}

#[test]
fn zero_means_whatever_is_there_and_a_new_key_takes_any_number() {
    let body = [change("1", 77).as_str(), GET, &change("2", 1), &set("3"), GET].concat();
    let said = Guest::new().on("proxy_on_configure", &body).start().said();
    assert_eq!((said[0].as_str(), said[4].as_str(), said[5].as_str()), ("0", "8", "0"));
    assert_eq!(said[7], "3");
}

/// How VMs agree who makes a value: the first one to write a number that no value has.
#[test]
fn of_two_that_make_a_value_with_a_number_that_none_has_the_first_succeeds() {
    let make = |value: &str| {
        format!(r#"(call $say (call $proxy_set_shared_data (text "key") (text "{value}") (i32.const -1)))"#)
    };
    let body = [&make("1"), &make("2"), GET].concat();
    let said = Guest::new().on("proxy_on_configure", &body).start().said();
    assert_eq!(said[..4], ["0", "8", "0", "1"]);
}

#[test]
fn all_vms_of_an_id_see_the_same_data_and_others_do_not() {
    let writer = Background::new(Guest::new().named("", "", "one").on("proxy_on_configure", &set("v")));
    let reader = |vm_id: &str| {
        let guest = Guest::new().named("", "", vm_id).on("proxy_on_configure", GET);
        writer.said();
        drop(Background::of(&guest.link_in(&writer.commons).unwrap()));
        writer.said().remove(0)
    };
    assert_eq!(reader("one"), "0");
    assert_eq!(reader("two"), "1");
    assert_eq!(reader(""), "1");
}

#[test]
fn data_lives_as_long_as_a_vm_or_code_of_its_id() {
    let linked = Guest::new().on("proxy_on_configure", &[GET, &set("v")].concat()).link().unwrap();
    let commons = Background::of(&linked).commons;
    let first = Background::of(&linked);
    assert_eq!(first.said()[..6], ["1", "", "0", "0", "0", "v"], "the second VM finds what the first left");
    drop(first);
    drop(linked);
    let again = Guest::new().on("proxy_on_configure", GET).link_in(&commons).unwrap();
    assert_eq!(Background::of(&again).said()[0], "1");
}

#[test]
fn what_does_not_fit_is_refused_and_what_was_there_stays() {
    let big = "x".repeat(2000);
    let body = [&set("small"), &set(&big), GET].concat();
    let said = Guest::new().shared_bytes(1000).on("proxy_on_configure", &body).start().said();
    assert_eq!(said[..4], ["0", "10", "0", "small"]);
}

#[test]
fn a_guest_that_writes_new_keys_for_ever_is_stopped_at_the_bound() {
    let body = r"(local $left i32) (local $refused i32)
        (local.set $left (i32.const 100000))
        (loop $again
            (i32.store (i32.const 16) (local.get $left))
            (local.set $refused (i32.add (local.get $refused) (i32.ne (i32.const 0)
                (call $proxy_set_shared_data (i32.const 16) (i32.const 4) (i32.const 0) (i32.const 0) (i32.const 0)))))
            (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
        (call $say (local.get $refused))";
    let vm = Guest::new().shared_bytes(6800).on("proxy_on_configure", body).start();
    assert_eq!(vm.said(), ["99900"]);
    assert_eq!(vm.vm.commons().shared.space("", 0).data.keys(b"", 0).len(), 100);
}

#[test]
fn data_can_be_read_and_written_in_every_phase() {
    assert_eq!(unusual(Guest::new(), Status::Ok, "proxy_set_shared_data", &[16, 3, 16, 3, 0]), []);
    assert_eq!(unusual(Guest::new(), Status::NotFound, "proxy_get_shared_data", &[16, 3, 8, 12, 20]), []);
}

#[test]
fn a_guest_whose_allocator_has_nothing_gets_no_value() {
    let guest = Guest::new().export("malloc", "(i32.const 0)");
    let vm = guest.on("proxy_on_configure", &[&set("v"), GET].concat()).start();
    assert_eq!(vm.said(), ["0", "6", "", "0"], "and none of the results is written");
}

#[test]
fn compare_and_set_loses_nothing_when_many_threads_count() {
    let body = r#"(local $done i32)
        (loop $again
            (drop (call $proxy_get_shared_data (text "key") (i32.const 8) (i32.const 12) (i32.const 16)))
            (i64.store (i32.const 32) (i64.load (i32.load (i32.const 8))))
            (i64.store (i32.const 32) (i64.add (i64.load (i32.const 32)) (i64.const 1)))
            (local.set $done (i32.eqz (call $proxy_set_shared_data
                (text "key") (i32.const 32) (i32.const 8) (i32.load (i32.const 16)))))
            (global.set $heap (i32.const 65536))
            (br_if $again (i32.eqz (local.get $done))))"#;
    let guest = Guest::new()
        .on("proxy_on_vm_start", &set("\\00\\00\\00\\00\\00\\00\\00\\00").replace("(call $say", "(drop"))
        .on("proxy_on_request_headers", body);
    let linked = guest.link().unwrap();
    let vms: Vec<Background> = (0..4).map(|_| Background::of(&linked)).collect();
    let commons = Arc::clone(&vms[0].commons);
    std::thread::scope(|scope| {
        for vm in &vms {
            scope.spawn(move || {
                let stream = vm.open(exchange());
                for _ in 0..500 {
                    let direction = graft::host::types::Direction::Request;
                    vm.lease.lock().on_headers(stream, direction, true).unwrap();
                }
            });
        }
    });
    let counted = commons.shared.space("", 0).data.get(b"key", 0).unwrap();
    assert_eq!(*counted.value, 2000_u64.to_le_bytes());
}
