//! Web servers that want something: time, memory, a password, or that somebody asks where they cannot.

use std::time::{Duration, Instant};

use graft::source::{FetchError, HttpError, UnpackError};
use serde_json::{Value, json};

use crate::server::{Reply, Server, Tls};
use crate::world::{WASM, World, gzip, page};

/// One try, and little room.
fn tight() -> Value {
    json!({"try_timeout": "20s", "retries": {"attempts": 1}, "max_bytes": 1_000_000})
}

/// One try of a third of a second.
fn hasty() -> Value {
    json!({"try_timeout": "0.3s", "retries": {"attempts": 1}})
}

fn head(length: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").into_bytes()
}

/// Longer than anything that has an end takes here, however busy the machine is.
const LONG: Duration = Duration::from_mins(1);

/// What a server gets for a reply, and how long it took.
fn fetch(reply: Reply, source: &Value) -> (FetchError, Duration) {
    let server = Server::start(move |_| reply.clone());
    let start = Instant::now();
    let error = World::new().fetch(&page(&server.url("/x"), source)).unwrap_err();
    (error, start.elapsed())
}

#[test]
fn slow_servers_are_given_up() {
    for reply in [
        Reply::Silence,
        Reply::Drip(b"HTTP/1.1 200 OK\r\nx-".to_vec()),
        Reply::Drip(head("1000000")),
        Reply::Drip(b"HTTP/1.1 200 OK\r\n\r\n".to_vec()),
    ] {
        let (error, time) = fetch(reply, &hasty());
        assert!(matches!(error, FetchError::Http(HttpError::TimedOut { .. })), "{error:?}");
        assert!(error.to_string().ends_with("(graft.source.try_timeout)"), "{error}");
        assert!(time < LONG, "{time:?}");
    }
}

#[test]
fn the_whole_fetch_has_an_end_too() {
    let source = json!({"timeout": "0.3s"});
    let (error, time) = fetch(Reply::Drip(head("1000000")), &source);
    let line = error.to_string();
    assert!(
        line.contains("did not answer within 0.3 s") && line.ends_with("(graft.source.timeout)"),
        "{line}"
    );
    assert!(time < LONG, "{time:?}");
}

#[test]
fn answers_without_an_end_are_given_up() {
    for reply in [
        Reply::Endless(b"HTTP/1.1 200 OK\r\n\r\n".to_vec()),
        Reply::Endless(head("1000001")),
        Reply::Endless(head("99999999999999")),
        Reply::ok(vec![0; 1_000_001]),
    ] {
        let source = json!({"retries": {"attempts": 1}, "max_bytes": 1_000_000});
        let (error, _) = fetch(reply, &source);
        assert!(matches!(error, FetchError::Http(HttpError::TooLarge { limit: 1_000_000, .. })), "{error:?}");
    }
    let mut chunks = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..40 {
        chunks.extend(b"10000\r\n");
        chunks.extend(vec![0; 65_536]);
        chunks.extend(b"\r\n");
    }
    let (error, _) = fetch(Reply::Raw(chunks), &tight());
    assert!(matches!(error, FetchError::Http(HttpError::TooLarge { .. })), "{error:?}");
}

#[test]
fn headers_without_an_end_are_given_up() {
    let mut endless = b"HTTP/1.1 200 OK\r\nx: ".to_vec();
    endless.extend(vec![b'a'; 10_000_000]);
    let source = json!({"retries": {"attempts": 1}});
    let mut many = b"HTTP/1.1 200 OK\r\n".to_vec();
    many.extend(b"x: y\r\n".repeat(1_000_000));
    for bytes in [endless, many] {
        let (error, _) = fetch(Reply::Raw(bytes), &source);
        let FetchError::Http(HttpError::Malformed { reason, .. }) = &error else { panic!("{error:?}") };
        assert!(reason.contains("header"), "{error}");
    }
}

#[test]
fn answers_that_end_early_are_told_and_tried_again() {
    for (reply, received) in [
        (Reply::Raw([head("100"), WASM.to_vec()].concat()), 8),
        (Reply::Raw(head("100")), 0),
        (Reply::Raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n64\r\n\0asm".to_vec()), 4),
    ] {
        let (error, _) = fetch(reply, &tight());
        let FetchError::Http(HttpError::Truncated { received: found, .. }) = &error else {
            panic!("{error:?}")
        };
        assert_eq!(*found, received);
        assert!(error.is_out_of_reach());
    }
}

#[test]
fn what_is_no_http_is_told() {
    let text = |text: &str| Reply::Raw(text.as_bytes().to_vec());
    for reply in [
        text("SSH-2.0-OpenSSH\r\n\r\n"),
        text("HTTP/1.1 abc\r\n\r\n"),
        text("HTTP/1.1 200 OK\r\n: x\r\n\r\n"),
        Reply::Drip(Vec::new()),
    ] {
        let (error, _) = fetch(reply, &tight());
        assert!(matches!(error, FetchError::Http(HttpError::Malformed { .. })), "{error:?}");
    }
    // Empty lines in front of an answer that does not come.
    let (error, _) = fetch(text("\r\n\r\n\r\n"), &tight());
    assert!(matches!(error, FetchError::Http(HttpError::Unreachable { .. })), "{error:?}");
}

#[test]
fn a_bomb_does_not_go_off() {
    let bomb = gzip(&vec![0_u8; 200_000_000]);
    assert!(bomb.len() < 1_000_000, "{}", bomb.len());
    let (error, _) = fetch(Reply::ok(bomb), &json!({"max_bytes": 1_000_000}));
    assert!(matches!(error, FetchError::Unpack(UnpackError::TooLarge { limit: 1_000_000 })), "{error:?}");
}

#[test]
fn redirects_end() {
    let server = Server::start(|request| Reply::redirect(format!("{}x", request.path)));
    let error = World::new().fetch(&page(&server.url("/"), &json!({}))).unwrap_err();
    assert!(error.to_string().contains("redirects more than 10 times"), "{error}");
    assert_eq!(server.log().len(), 11);
    let error = World::new().fetch(&page(&server.url("/"), &json!({"max_redirects": 0}))).unwrap_err();
    assert!(error.to_string().contains("more than 0 times"), "{error}");
}

#[test]
fn redirects_to_nowhere_are_refused() {
    for location in ["file:///etc/passwd", "ftp://a.example/x", "https://", "http://a.example:99999/"] {
        let (error, _) = fetch(Reply::redirect(location), &tight());
        assert!(matches!(error, FetchError::Http(HttpError::Lost { .. })), "{location}: {error:?}");
    }
    let (error, _) = fetch(Reply::status(302), &tight());
    assert!(matches!(error, FetchError::Http(HttpError::Lost { .. })), "{error:?}");
}

#[test]
fn nobody_is_led_from_tls_to_none() {
    let plain = Server::start(|_| Reply::ok(WASM));
    let (tls, target) = (Tls::new(), plain.url("/there?sig=hunter2"));
    let server = Server::start_tls(&tls, move |_| Reply::redirect(&target));
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("ca.pem");
    std::fs::write(&authority, &tls.authority).unwrap();
    let error = World::new().fetch(&page(&server.https("/x"), &json!({"ca_file": authority}))).unwrap_err();
    assert!(matches!(error, FetchError::Http(HttpError::Downgrade { .. })), "{error:?}");
    assert_eq!(plain.log().len(), 0);
}

#[test]
fn metadata_services_are_not_asked() {
    for url in [
        "http://169.254.169.254/latest/meta-data/",
        "http://[fe80::1]/",
        "http://[fd00:ec2::254]/",
        "http://[fd20:ce::254]/",
        "http://168.63.129.16/",
        "http://[::ffff:0:169.254.169.254]/",
        "http://[64:ff9b:1::169.254.169.254]/",
        "http://[::ffff:169.254.169.254]/",
        "http://[::ffff:a9fe:a9fe]/",
        // Forms in which the system, too, reads an address.
        "http://2852039166/",
        "http://0xa9fea9fe/",
        "http://0251.0376.0251.0376/",
        "http://169.254.43518/",
    ] {
        let (world, source) = (World::new(), tight());
        let error = world.fetch(&page(url, &source)).unwrap_err();
        assert!(matches!(error, FetchError::Http(HttpError::Forbidden { .. })), "{url}: {error:?}");
        assert!(error.to_string().contains("graft.source.allowed_addresses"), "{error}");
        assert!(!error.is_out_of_reach());
        let (error, _) = fetch(Reply::redirect(url), &source);
        assert!(matches!(error, FetchError::Http(HttpError::Forbidden { .. })), "{url}: {error:?}");
    }
}

#[test]
fn a_password_in_an_address_is_told_to_its_server_alone() {
    let other = Server::start(|_| Reply::ok(WASM));
    let target = other.url("/there");
    let server = Server::start(move |request| match request.path.as_str() {
        "/a" => Reply::redirect("/b"),
        "/b" => Reply::redirect(&target),
        _ => Reply::status(404),
    });
    let with_password = |path: &str| format!("http://u:hunter2@{}{path}", server.host());
    assert_eq!(World::new().fetch(&page(&with_password("/a"), &json!({}))).unwrap().bytes, WASM);
    let told: Vec<bool> = server
        .requests()
        .iter()
        .map(|request| request.header("authorization") == Some("Basic dTpodW50ZXIy"))
        .collect();
    assert_eq!(told, [true, true]);
    assert_eq!(other.requests()[0].header("authorization"), None);
    // No error has it.
    let error = World::new().fetch(&page(&with_password("/x?token=hunter2"), &json!({}))).unwrap_err();
    assert!(error.to_string().contains("/x?<redacted> answered with status 404"), "{error}");
}
