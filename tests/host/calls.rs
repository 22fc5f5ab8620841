//! `proxy_http_call`: what a request consists of, who starts it, what is refused, and the bounds. Replies are in
//! [`replies`](crate::replies).

use std::sync::atomic::Ordering;
use std::time::Duration;

use graft::host::calls::{Command, Incoming, Kind, Refusal, Reply, Request, Start, Token};
use graft::host::testing::FakeStream;
use graft::host::types::{Direction, Status};

use crate::background::{Background, exchange_of, owned, pairs_literal, pairs_text};
use crate::guest::{Guest, Running, exchange};
use crate::phases::unusual;

/// Headers that are enough.
const HEADERS: [(&str, &str); 3] = [(":method", "POST"), (":path", "/check"), (":authority", "auth.local")];

/// A call with these parts, that says its status and its token.
fn call(cluster: &str, headers: &[(&str, &str)], body: &str, timeout: &str) -> String {
    format!(
        r#"(call $say (call $proxy_http_call (text "{cluster}") {} (text "{body}") {} (i32.const {timeout})
               (i32.const 16)))
           (call $say (i32.load (i32.const 16)))"#,
        pairs_text(headers),
        pairs_text(&[("x-trailer", "t")])
    )
}

/// The usual one.
fn usual() -> String {
    call("auth", &HEADERS, "body", "1000")
}

/// A guest that calls in request headers, and a stream whose calls begin so.
fn calling(start: Option<Start>) -> (Running, graft::host::contexts::StreamIndex) {
    let mut vm = Guest::new().on("proxy_on_request_headers", &usual()).start();
    let stream = vm.open(FakeStream { start, ..exchange() });
    vm.request_headers(stream).unwrap();
    (vm, stream)
}

/// The request that a guest which is configured has the process start.
fn request(body: &str) -> Request {
    Background::new(Guest::new().on("proxy_on_configure", body)).started()
}

/// What the call says that is made when the guest is configured.
fn said(guest: Guest, body: &str) -> Vec<String> {
    guest.on("proxy_on_configure", body).start().said()
}

#[test]
fn a_call_in_a_stream_is_the_streams_with_the_number_that_the_proxy_gave() {
    let (mut vm, stream) = calling(Some(Start::UnderWay(7)));
    assert_eq!(vm.said(), ["0", "4"], "the first token, of an HTTP call");
    let started = vm.stream(stream).calls.remove(0);
    assert_eq!((started.0.as_str(), started.2.as_slice()), ("auth", &b"body"[..]));
    let mut commands = vm.vm.take_commands(stream);
    let Some(Command::Adopt(7, exchange)) = commands.pop() else { panic!("{commands:?}") };
    assert_eq!(exchange.token(), Token(4));
    vm.vm.pass_on();
    assert!(vm.services.commands.lock().is_empty(), "the process has nothing to do with it");
}

#[test]
fn a_stream_may_start_it_after_the_guest_has_returned() {
    let (mut vm, stream) = calling(Some(Start::Later));
    assert_eq!(vm.said(), ["0", "4"]);
    let mut commands = vm.vm.take_commands(stream);
    let Some(Command::Start(request)) = commands.pop() else { panic!("{commands:?}") };
    assert_eq!((request.token, request.kind), (Token(4), Kind::Http));
}

#[test]
fn the_process_starts_what_a_stream_cannot() {
    let (mut vm, stream) = calling(Some(Start::NotHere));
    assert_eq!(vm.said(), ["0", "4"]);
    assert!(vm.vm.take_commands(stream).is_empty());
    assert!(vm.services.commands.lock().is_empty(), "not while a thread is inside");
    vm.vm.pass_on();
    let commands = std::mem::take(&mut *vm.services.commands.lock());
    assert!(matches!(commands.as_slice(), [(number, Command::Start(_))] if *number == vm.vm.number()));
}

#[test]
fn a_request_has_all_its_parts() {
    let request = request(&usual());
    assert_eq!((request.token, request.kind, request.cluster.as_str()), (Token(4), Kind::Http, "auth"));
    let mut headers = owned(&HEADERS);
    headers.extend(owned(&[("content-length", "4")]));
    assert_eq!(request.headers, headers);
    assert_eq!(request.body, b"body");
    assert_eq!(request.trailers, owned(&[("x-trailer", "t")]));
    assert!(request.is_complete);
    assert_eq!(request.timeout, Some(Duration::from_secs(1)));
    assert_eq!(request.timeout_milliseconds(), 1000);
}

#[test]
fn names_of_headers_become_lower_case_and_the_body_has_its_true_length() {
    let headers = [HEADERS[0], HEADERS[1], ("Host", "h"), ("X-A", "B"), ("Content-Length", "99")];
    let with_body = request(&call("auth", &headers, "four", "0"));
    let expected = [HEADERS[0], HEADERS[1], ("host", "h"), ("x-a", "B"), ("content-length", "4")];
    assert_eq!(with_body.headers, owned(&expected));
    let without = request(&call("auth", &headers, "", "0"));
    assert_eq!(without.headers.last().unwrap(), &owned(&[("content-length", "99")])[0], "left as it is");
}

#[test]
fn a_timeout_of_zero_is_none_and_the_longest_is_24_days() {
    assert_eq!(request(&call("auth", &HEADERS, "", "0")).timeout, None);
    assert_eq!(request(&call("auth", &HEADERS, "", "0")).timeout_milliseconds(), 0);
    let longest = request(&call("auth", &HEADERS, "", "0x7fffffff")).timeout;
    assert_eq!(longest, Some(Duration::from_millis(0x7fff_ffff)));
}

#[test]
fn wrong_arguments_are_refused_and_no_token_is_given() {
    let without = |name: &str| -> Vec<(&str, &str)> {
        HEADERS.into_iter().filter(|(header, _)| *header != name).collect()
    };
    for (what, body) in [
        ("no method", call("auth", &without(":method"), "", "0")),
        ("no path", call("auth", &without(":path"), "", "0")),
        ("no authority", call("auth", &without(":authority"), "", "0")),
        ("no headers", call("auth", &[], "", "0")),
        ("a negative timeout", call("auth", &HEADERS, "", "-1")),
        ("a cluster that is no text", call("\\ff", &HEADERS, "", "0")),
        ("noise", usual().replace(&pairs_text(&HEADERS), "(text \"noise, not pairs\")")),
    ] {
        let vm = Background::new(Guest::new().on("proxy_on_configure", &body));
        assert_eq!(vm.said(), ["2", "0"], "{what}");
        assert!(vm.commands().is_empty(), "{what}");
    }
}

#[test]
fn what_the_proxy_refuses_on_the_spot_is_a_status_and_counts_for_nothing() {
    for (refusal, status) in
        [(Refusal::NoCluster, "2"), (Refusal::MissingHeaders, "2"), (Refusal::Failed, "10")]
    {
        let mut vm = Guest::new().call_limits(1, 200).on("proxy_on_request_headers", &usual()).start();
        let stream = vm.open(FakeStream { start: Some(Start::Refused(refusal)), ..exchange() });
        vm.request_headers(stream).unwrap();
        vm.request_headers(stream).unwrap();
        assert_eq!(vm.said(), [status, "0", status, "0"]);
        vm.stream(stream).start = Some(Start::UnderWay(1));
        vm.request_headers(stream).unwrap();
        assert_eq!(vm.said(), ["0", "12"], "its place and its bytes are free, its token is not used again");
    }
}

#[test]
fn every_phase_may_call() {
    let length = i64::try_from(pairs_literal(&HEADERS).len() / 3).unwrap();
    let guest = || Guest::new().data(16, "auth").data(64, &pairs_literal(&HEADERS));
    let arguments = [16, 4, 64, length, 0, 0, 0, 0, 0, 8];
    assert_eq!(unusual(guest(), Status::Ok, "proxy_http_call", &arguments), []);
}

#[test]
fn where_the_process_makes_no_calls_streams_do_until_they_end() {
    let entry_points = ["proxy_on_configure", "proxy_on_request_headers", "proxy_on_log", "proxy_on_done"];
    let guest = entry_points.into_iter().fold(Guest::new(), |guest, entry| guest.on(entry, &usual()));
    let mut vm = guest.without_process_calls().start();
    let stream = vm.open(FakeStream { start: Some(Start::UnderWay(1)), ..exchange() });
    let said: Vec<String> = vm.services.log().into_iter().skip(1).collect();
    assert_eq!(said, ["wasm log: 10", "wasm log: 0"]);
    let line = vm.services.log().remove(0);
    assert!(line.contains("a callout was refused: this Envoy lets only streams make calls"), "{line}");
    vm.said();
    vm.request_headers(stream).unwrap();
    let said = vm.said();
    assert_eq!((said[0].as_str(), said.len()), ("0", 2));
    vm.vm.take_commands(stream);
    vm.vm.on_log(stream).unwrap();
    // The reason was told just now.
    assert_eq!(vm.said(), ["10", "0"]);
    vm.vm.end_stream(stream);
    assert_eq!(vm.said(), ["10", "0"]);
    vm.vm.pass_on();
    assert!(vm.services.commands.lock().is_empty());
    // The line comes again after a while, and says that it was wanted meanwhile.
    vm.services.now.store(20_000_000_000, Ordering::Relaxed);
    let stream = vm.open(FakeStream { start: Some(Start::UnderWay(1)), ..exchange() });
    vm.vm.on_log(stream).unwrap();
    let told =
        vm.services.log().into_iter().rfind(|line| line.contains("this Envoy lets only streams")).unwrap();
    assert!(told.ends_with(" (2 more like this were left out before)"), "{told}");
}

#[test]
fn what_a_stream_asks_for_at_its_end_goes_to_the_process() {
    for entry in ["proxy_on_log", "proxy_on_done", "proxy_on_delete"] {
        let mut vm = Guest::new().on(entry, &usual()).start();
        let stream = vm.open(FakeStream { start: Some(Start::UnderWay(1)), ..exchange() });
        vm.vm.on_log(stream).unwrap();
        vm.vm.end_stream(stream);
        assert_eq!(vm.said(), ["0", "4"], "{entry}");
        vm.vm.pass_on();
        assert_eq!(vm.services.commands.lock().len(), 1, "{entry}");
    }
}

#[test]
fn a_call_that_had_not_begun_when_its_stream_ended_is_made_by_the_process() {
    let (mut vm, stream) = calling(Some(Start::Later));
    vm.vm.end_stream(stream);
    vm.vm.pass_on();
    let commands = std::mem::take(&mut *vm.services.commands.lock());
    assert!(matches!(commands.as_slice(), [(_, Command::Start(_))]), "{commands:?}");
}

#[test]
fn one_who_acts_for_a_stream_calls_for_it() {
    let body = format!("(drop (call $proxy_set_effective_context (i32.const 2))) {}", usual());
    let mut vm = Guest::new().on("proxy_on_request_headers", &body).start();
    let first = vm.open(FakeStream { start: Some(Start::Later), ..exchange() });
    let second = vm.open(exchange());
    vm.request_headers(second).unwrap();
    vm.vm.pass_on();
    assert_eq!(vm.stream(first).calls.len(), 1);
    assert_eq!(vm.stream(first).wakes.get(), 1, "its owner has to come and do it");
    assert_eq!(vm.vm.take_commands(first).len(), 1);
    assert!(vm.stream(second).calls.is_empty());
}

#[test]
fn calls_under_way_are_bounded_and_the_first_refusal_is_told() {
    let vm = Background::new(
        Guest::new()
            .call_limits(2, 10_000)
            .on("proxy_on_configure", &[usual(), usual(), usual(), usual()].concat())
            .on("proxy_on_request_headers", &usual()),
    );
    let said = vm.said();
    assert_eq!(said[..4], ["0", "4", "0", "8"]);
    assert!(said[4].starts_with("a callout was refused: 2 are under way and hold "), "{said:?}");
    assert_eq!(said[5..], ["10", "0", "10", "0"], "told once");
    assert_eq!(vm.commands().len(), 2);
    vm.reply(Token(4), Reply::HttpFailed);
    let stream = vm.open(exchange());
    vm.lease.lock().on_headers(stream, Direction::Request, true).unwrap();
    assert_eq!(vm.said(), ["0", "12"], "one has ended, another may begin");
}

#[test]
fn bytes_of_requests_are_bounded() {
    let big = call("auth", &HEADERS, &"x".repeat(900), "0");
    let said = said(Guest::new().call_limits(100, 1000), &[big.as_str(), &usual(), &usual()].concat());
    assert_eq!((said[0].as_str(), said[1].as_str()), ("0", "4"));
    assert_eq!(said[3..], ["10", "0", "10", "0"], "{said:?}");
}

#[test]
fn bytes_of_a_reply_are_bounded_and_the_call_is_ended() {
    let vm = Background::new(
        Guest::new()
            .call_limits(100, 1000)
            .on("proxy_on_configure", &usual())
            .on("proxy_on_http_call_response", "(call $say (local.get $2)) (call $say (local.get $3))"),
    );
    vm.said();
    let mut exchange = exchange_of(vm.started());
    assert!(!exchange.feed(Incoming::Headers(&[(b":status", b"200")], false)).is_over);
    let fed = exchange.feed(Incoming::Data(&[0; 1000], false));
    assert!(fed.is_over && fed.is_aborted);
    assert_eq!(fed.replies.as_slice(), [Reply::HttpFailed]);
    assert!(exchange.feed(Incoming::Reset).replies.is_empty(), "nothing comes after the end");
    vm.reply(exchange.token(), Reply::HttpFailed);
    assert_eq!(vm.said(), ["0", "0"]);
}

#[test]
fn a_guest_that_calls_for_ever_is_bounded_in_what_it_makes_the_process_hold() {
    let body = format!(
        "(local $left i32) (local.set $left (i32.const 10000))
         (loop $again {} (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))",
        usual().replace("(call $say", "(drop")
    );
    let vm = Background::new(Guest::new().on("proxy_on_configure", &body));
    assert_eq!(vm.commands().len(), 100);
}

#[test]
fn calls_end_with_the_root_or_the_vm_that_made_them() {
    let guest = || Guest::new().on("proxy_on_configure", &usual());
    let vm = Background::new(guest());
    vm.started();
    vm.retire();
    assert!(matches!(vm.commands().as_slice(), [Command::Cancel(Token(4))]));

    let vm = Background::new(guest());
    let services = vm.services.clone();
    drop(vm);
    let commands = std::mem::take(&mut *services.commands.lock());
    assert!(matches!(commands.as_slice(), [(_, Command::Start(_)), (_, Command::Cancel(Token(4)))]));

    let vm = Background::new(guest().export("proxy_on_tick", "unreachable"));
    vm.started();
    vm.lease.lock().on_tick(1);
    assert!(matches!(vm.commands().as_slice(), [Command::Cancel(Token(4))]));
}

#[test]
fn what_a_root_asks_for_as_it_is_deleted_is_not_its_successors() {
    let vm = Background::new(
        Guest::new()
            .on("proxy_on_delete", &usual())
            .on("proxy_on_http_call_response", "(call $say (local.get $0))"),
    );
    vm.retire();
    let another = std::sync::Arc::new(crate::guest::plugin(2, "another", b""));
    vm.lease.lock().create_root(&another).unwrap();
    vm.said();
    vm.reply(Token(4), Reply::HttpFailed);
    assert_eq!(vm.said(), [""; 0], "it has the place of the one that is gone, and not its calls");
    let commands = vm.commands();
    assert!(matches!(commands.as_slice(), [Command::Start(_), Command::Cancel(Token(4))]), "{commands:?}");
}
