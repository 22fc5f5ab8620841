//! Shared queues: `proxy_register_shared_queue`, `proxy_resolve_shared_queue`, `proxy_enqueue_shared_queue`,
//! `proxy_dequeue_shared_queue`, and `proxy_on_queue_ready` for the root that registered last, of those that are there.

use graft::host::testing::FakeStream;
use graft::host::types::{Direction, Status};
use graft::host::vm::{Lease, Role, Vm};

use crate::background::Background;
use crate::guest::{Guest, Linked, exchange, plugin};
use crate::phases::unusual;

/// Registers `queue`; its token is at 16.
const REGISTER: &str = r#"(call $say (call $proxy_register_shared_queue (text "queue") (i32.const 16)))"#;

/// Puts a message into the queue whose token is at 16.
fn push(message: &str) -> String {
    format!(r#"(call $say (call $proxy_enqueue_shared_queue (i32.load (i32.const 16)) (text "{message}")))"#)
}

/// Takes one out and shows it.
const POP: &str = "(i64.store (i32.const 8) (i64.const 0))
    (call $say (call $proxy_dequeue_shared_queue (i32.load (i32.const 16)) (i32.const 8) (i32.const 12)))
    (call $show (i32.const 8))";

/// Says the root and the token of a wake-up.
const READY: &str = "(call $say (local.get $0)) (call $say (local.get $1))";

fn resolve(vm_id: &str, name: &str) -> String {
    format!(
        r#"(i32.store (i32.const 16) (i32.const 0))
           (call $say (call $proxy_resolve_shared_queue (text "{vm_id}") (text "{name}") (i32.const 16)))
           (call $say (i32.load (i32.const 16)))"#
    )
}

/// What a guest says that runs this when it is configured.
fn said(parts: &[&str]) -> Vec<String> {
    Guest::new().named("", "", "mine").on("proxy_on_configure", &parts.concat()).start().said()
}

#[test]
fn messages_come_out_in_order_and_then_it_is_empty() {
    assert_eq!(
        said(&[REGISTER, &push("one"), &push(""), &push("th\\00ree"), POP, POP, POP, POP]),
        ["0", "0", "0", "0", "0", "one", "0", "", "0", "th\0ree", "7", ""]
    );
}

#[test]
fn a_queue_is_resolved_by_vm_id_and_name() {
    let other = resolve("other", "queue");
    assert_eq!(
        said(&[
            REGISTER,
            &resolve("mine", "queue"),
            &resolve("", "queue"),
            &resolve("mine", "queues"),
            &other,
            &resolve("\\ff", "queue")
        ]),
        ["0", "0", "1", "0", "1", "1", "0", "1", "0", "1", "0"],
        "an empty VM id is one's own; what is not there is not found, and no token is written"
    );
}

#[test]
fn registering_again_gives_the_same_token_and_another_name_another() {
    let say = "(call $say (i32.load (i32.const 16)))";
    let other = REGISTER.replace("\"queue\"", "\"\"");
    assert_eq!(said(&[REGISTER, say, REGISTER, say, &other, say]), ["0", "1", "0", "1", "0", "2"]);
}

#[test]
fn a_token_of_no_queue_is_not_found() {
    for token in ["0", "2", "-1"] {
        let token = format!("(i32.store (i32.const 16) (i32.const {token}))");
        assert_eq!(said(&[REGISTER, &token, &push("x"), POP]), ["0", "1", "1", ""]);
    }
}

#[test]
fn the_root_that_registered_is_told_of_each_message() {
    let vm = Background::new(
        Guest::new()
            .on("proxy_on_configure", REGISTER)
            .on("proxy_on_request_headers", &[push("a"), push("b")].concat())
            .on("proxy_on_queue_ready", READY),
    );
    let stream = vm.open(exchange());
    vm.lease.lock().on_headers(stream, Direction::Request, true).unwrap();
    assert_eq!(vm.said(), ["0", "0", "0"], "the writer goes on; the agenda tells the reader");
    vm.at(0);
    assert_eq!(vm.said(), ["1", "1", "1", "1"]);
    vm.at(0);
    assert_eq!(vm.said(), [""; 0]);
}

#[test]
fn a_message_wakes_the_reader_in_another_vm_of_another_id() {
    let reader = Background::new(
        Guest::new()
            .named("", "", "reader")
            .on("proxy_on_configure", REGISTER)
            .on("proxy_on_queue_ready", &[READY, POP].concat()),
    );
    let body = [resolve("reader", "queue"), push("hello")].concat();
    let guest = Guest::new().named("", "", "writer").on("proxy_on_configure", &body);
    let writer = Background::of(&guest.link_in(&reader.commons).unwrap());
    assert_eq!(reader.said(), ["0", "0", "1", "0"]);
    writer.at(0);
    assert_eq!(reader.said(), ["1", "1", "0", "hello"]);
}

/// A plugin that registers the queue. Streams put a message there; if they have no headers, they trap after that. Who is
/// told takes one message out and says a number: that of the VM, by which responses set it.
fn collecting() -> Linked {
    let push = push("x").replace("(call $say", "(drop");
    let trap = "(if (i32.eqz (local.get $1)) (then unreachable))";
    Guest::new()
        .on("proxy_on_configure", &REGISTER.replace("(call $say", "(drop"))
        .on("proxy_on_request_headers", &[&push, trap].concat())
        .on("proxy_on_response_headers", "(i32.store (i32.const 80) (local.get $1))")
        .on(
            "proxy_on_queue_ready",
            "(drop (call $proxy_dequeue_shared_queue (i32.load (i32.const 16)) (i32.const 8) (i32.const 12)))
             (call $say (i32.load (i32.const 80)))",
        )
        .link()
        .unwrap()
}

/// A VM of that plugin with a number.
fn collector(linked: &Linked, number: usize) -> Background {
    let vm = Background::of(linked);
    let response_headers = Some(vec![(b"name".to_vec(), b"value".to_vec()); number]);
    let stream = vm.open(FakeStream { response_headers, ..exchange() });
    vm.lease.lock().on_headers(stream, Direction::Response, true).unwrap();
    vm.lease.lock().end_stream(stream);
    vm
}

/// A stream puts a message into the queue.
fn write(vm: &Background) {
    let stream = vm.open(exchange());
    vm.lease.lock().on_headers(stream, Direction::Request, true).unwrap();
    vm.lease.lock().end_stream(stream);
}

/// What is said when the agenda has been worked off.
fn told(vm: &Background) -> Vec<String> {
    vm.at(0);
    vm.said()
}

#[test]
fn only_the_last_that_registered_is_told_and_when_it_goes_the_one_before_it() {
    let linked = collecting();
    let (first, second) = (collector(&linked, 1), collector(&linked, 2));
    write(&first);
    assert_eq!(told(&first), ["2"]);
    let third = collector(&linked, 3);
    write(&first);
    assert_eq!(told(&first), ["3"]);
    write(&first);
    drop(third);
    assert_eq!(told(&first), ["2"], "also of what the third was to be told of");
    drop(second);
    write(&first);
    assert_eq!(told(&first), ["1"]);
}

#[test]
fn a_vm_in_which_a_plugin_is_tried_takes_no_queue() {
    let linked = collecting();
    let serving = collector(&linked, 1);
    let mut trial = Vm::start(&linked.template).unwrap();
    trial.create_root(&linked.plugin).unwrap();
    write(&serving);
    assert_eq!(told(&serving), ["1"]);
    drop(trial);
    write(&serving);
    assert_eq!(told(&serving), ["1"]);
}

#[test]
fn a_vm_that_goes_to_work_is_told_of_what_nobody_was_told_of() {
    let linked = collecting();
    let writer = collector(&linked, 1);
    writer.retire();
    let mut reader = Vm::start(&linked.template).unwrap();
    reader.create_root(&linked.plugin).unwrap();
    for _ in 0..3 {
        writer.commons.shared.queue(1).unwrap().push(b"x").unwrap();
    }
    assert_eq!(told(&writer), [""; 0], "nobody is there");
    let _reader = Lease::new(reader, &std::sync::Arc::default());
    assert_eq!(told(&writer), ["0", "0", "0"]);
    assert_eq!(told(&writer), [""; 0], "once");
}

#[test]
fn a_vm_that_helps_out_is_told_while_there_is_nobody_else() {
    let linked = collecting();
    let home = collector(&linked, 1);
    let mut spare = Vm::start(&linked.template).unwrap();
    spare.rest();
    spare.create_root(&linked.plugin).unwrap();
    let spare = Lease::apart(spare, &std::sync::Arc::default());
    spare.activate(Role::Other);
    write(&home);
    assert_eq!(told(&home), ["1"]);
    write(&home);
    home.retire();
    assert_eq!(told(&home), ["0"]);
}

#[test]
fn messages_of_a_reader_that_fails_or_loses_its_root_go_to_the_one_before_it() {
    let linked = collecting();
    let (first, second, third) = (collector(&linked, 1), collector(&linked, 2), collector(&linked, 3));
    let stream = third.open(FakeStream { request_headers: Some(Vec::new()), ..exchange() });
    write(&third);
    third.lease.lock().on_headers(stream, Direction::Request, true).unwrap_err();
    third.services.lines.lock().clear();
    assert_eq!(told(&first), ["2", "2"], "what it put there before it trapped, too");
    write(&first);
    second.retire();
    write(&first);
    assert_eq!(told(&first), ["1", "1"]);
}

#[test]
fn a_root_that_registers_in_the_same_vm_takes_over() {
    let vm = Background::new(
        Guest::new()
            .on("proxy_on_configure", REGISTER)
            .on("proxy_on_request_headers", &push("x"))
            .on("proxy_on_queue_ready", READY),
    );
    vm.lease.lock().create_root(&std::sync::Arc::new(plugin(2, "second", b""))).unwrap();
    let stream = vm.open(exchange());
    vm.said();
    vm.lease.lock().on_headers(stream, Direction::Request, true).unwrap();
    vm.at(0);
    assert_eq!(vm.said(), ["0", "2", "1"]);
}

#[test]
fn a_stream_registers_for_its_root() {
    let vm = Background::new(
        Guest::new()
            .on("proxy_on_request_headers", &[REGISTER, &push("x")].concat())
            .on("proxy_on_queue_ready", READY),
    );
    let stream = vm.open(exchange());
    vm.lease.lock().on_headers(stream, Direction::Request, true).unwrap();
    vm.at(0);
    assert_eq!(vm.said(), ["0", "0", "1", "1"]);
}

#[test]
fn a_reader_that_is_gone_or_has_no_entry_point_is_not_told_and_the_message_stays() {
    for guest in [Guest::new(), Guest::new().on("proxy_on_queue_ready", READY)] {
        let reader = Background::new(guest.named("", "", "reader").on("proxy_on_configure", REGISTER));
        let body = [resolve("reader", "queue"), push("kept")].concat();
        let writer = Guest::new().on("proxy_on_configure", &body).on("proxy_on_request_headers", POP);
        reader.retire();
        let writer = Background::of(&writer.link_in(&reader.commons).unwrap());
        reader.said();
        writer.at(0);
        assert_eq!(reader.said(), [""; 0]);
        let stream = writer.open(exchange());
        writer.lease.lock().on_headers(stream, Direction::Request, true).unwrap();
        assert_eq!(writer.said(), ["0", "kept"]);
    }
}

#[test]
fn a_wake_up_that_traps_is_logged_and_the_queue_lives_on() {
    let vm = Background::new(
        Guest::new()
            .named("careless", "", "")
            .on("proxy_on_configure", &[REGISTER, &push("a"), &push("b")].concat())
            .export("proxy_on_queue_ready", "unreachable"),
    );
    vm.said();
    vm.at(0);
    let lines = vm.services.log();
    assert_eq!(lines.len(), 1, "once, though two messages were there: {lines:?}");
    assert!(
        lines[0].starts_with("graft: plugin \"careless\": Function: proxy_on_queue_ready failed"),
        "{lines:?}"
    );
    assert_eq!(vm.commons.shared.queue(1).unwrap().pop().as_deref(), Some(&b"a"[..]));
}

#[test]
fn a_queue_that_nobody_reads_is_full_some_time() {
    let body = r"(local.set $left (i32.const 100000))
        (loop $again
            (local.set $put (i32.add (local.get $put) (i32.eqz
                (call $proxy_enqueue_shared_queue (i32.load (i32.const 16)) (i32.const 0) (i32.const 36)))))
            (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
        (call $say (local.get $put))";
    let full = push("x");
    let body = ["(local $left i32) (local $put i32)", REGISTER, body, &full, POP, &full].concat();
    let said = Guest::new().shared_bytes(1000).on("proxy_on_configure", &body).start().said();
    assert_eq!(said[..3], ["0", "10", "10"], "a hundred bytes each, with what an entry costs");
    assert_eq!((said[3].as_str(), said[5].as_str()), ("0", "0"), "there is room again");
}

#[test]
fn wake_ups_for_a_reader_that_cannot_run_now_stay_as_few_as_messages() {
    // A writer that puts in and takes out for ever: the agenda has not run, and does not grow.
    let body = format!(
        "(local $left i32) (local.set $left (i32.const 100000))
         (loop $again {} {} (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))",
        push("x").replace("(call $say", "(drop"),
        "(drop (call $proxy_dequeue_shared_queue (i32.load (i32.const 16)) (i32.const 8) (i32.const 12)))
         (global.set $heap (i32.const 65536))"
    );
    let vm = Background::new(
        Guest::new()
            .on("proxy_on_configure", REGISTER)
            .on("proxy_on_request_headers", &body)
            .on("proxy_on_queue_ready", READY),
    );
    write(&vm);
    vm.said();
    vm.at(0);
    assert_eq!(vm.said(), ["1", "1"]);
}

#[test]
fn names_and_queues_are_bounded() {
    let long = "q".repeat(4097);
    let register = REGISTER.replace("queue\"", &format!("{long}\""));
    assert_eq!(said(&[&register]), ["10"]);
    let many = r"(local $left i32) (local $refused i32)
        (local.set $left (i32.const 5000))
        (loop $again
            (i32.store (i32.const 32) (local.get $left))
            (local.set $refused (i32.add (local.get $refused) (i32.ne (i32.const 0)
                (call $proxy_register_shared_queue (i32.const 32) (i32.const 4) (i32.const 16)))))
            (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
        (call $say (local.get $refused))";
    assert_eq!(said(&[many]), ["904"]);
}

#[test]
fn queues_can_be_used_in_every_phase() {
    let guest = || Guest::new().data(16, "queue");
    assert_eq!(unusual(guest(), Status::Ok, "proxy_register_shared_queue", &[16, 5, 8]), []);
    assert_eq!(unusual(guest(), Status::NotFound, "proxy_resolve_shared_queue", &[0, 0, 16, 5, 8]), []);
    assert_eq!(unusual(guest(), Status::NotFound, "proxy_enqueue_shared_queue", &[1, 16, 5]), []);
    assert_eq!(unusual(guest(), Status::NotFound, "proxy_dequeue_shared_queue", &[1, 8, 12]), []);
}
