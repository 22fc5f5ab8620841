//! Web servers as they are.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use graft::source::{FetchError, HttpError, Origin};
use rustls::HandshakeKind;
use serde_json::{Value, json};

use crate::server::{Reply, Server, Tls};
use crate::support::patience::eventually;
use crate::world::{WASM, World, archive, gzip, line, page, pinned_page, plugin, sha256};

fn none() -> Value {
    json!({})
}

#[test]
fn code_is_fetched_and_unpacked() {
    let packed = gzip(&archive(&[("README", b"x"), ("plugin.wasm", WASM)]));
    for body in [WASM.to_vec(), gzip(WASM), archive(&[("any.wasm", WASM)]), packed] {
        let server = Server::start(move |_| Reply::ok(body.clone()));
        let fetched = World::new().fetch(&pinned_page(&server.url("/x?y=z"), &sha256(WASM))).unwrap();
        assert_eq!((fetched.bytes.as_slice(), fetched.origin), (WASM, Origin::Network));
        assert_eq!(fetched.revision.to_string(), format!("sha256:{}", sha256(WASM)));
        assert_eq!(server.log(), ["GET /x?y=z"]);
        assert!(server.requests()[0].header("user-agent").unwrap().starts_with("graft/"));
    }
}

#[test]
fn what_is_not_what_was_asked_for_is_refused() {
    let server = Server::start(|request| match request.path.as_str() {
        "/wasm" => Reply::ok(WASM),
        "/html" => Reply::ok(*b"<html>Sign in, please</html>"),
        _ => Reply::ok(*b""),
    });
    let world = World::new();
    let wrong = world.fetch(&pinned_page(&server.url("/wasm"), &sha256(b"other"))).unwrap_err();
    assert!(matches!(wrong, FetchError::WrongDigest { .. }), "{wrong}");
    assert_eq!(wrong.field(), Some("vm_config.code.remote.sha256"));
    assert!(wrong.to_string().contains(&format!(
        "has the SHA-256 {}, expected {}",
        sha256(WASM),
        sha256(b"other")
    )));
    assert!(line(world.fetch(&page(&server.url("/html"), &none()))).contains("a page of HTML"));
    assert!(line(world.fetch(&page(&server.url("/"), &none()))).contains("what was fetched is empty"));
    assert_eq!(world.shelf.0.lock().unwrap().len(), 0, "nothing of it is kept");
}

#[test]
fn a_server_that_recovers_is_asked_again_with_longer_and_longer_waits() {
    let count = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&count);
    let server = Server::start(move |_| match seen.fetch_add(1, Ordering::Relaxed) {
        0 => Reply::status(503),
        1 => Reply::status(429).with("retry-after", "3"),
        // Hangs up.
        2 => Reply::Raw(Vec::new()),
        3 => Reply::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n\0asm".to_vec()),
        _ => Reply::ok(WASM),
    });
    let world = World::new();
    assert_eq!(world.fetch(&page(&server.url("/x"), &none())).unwrap().bytes, WASM);
    assert_eq!(world.sleeps(), [500, 3000, 2000, 4000]);
    assert_eq!(server.log().len(), 5);
}

#[test]
fn a_server_that_does_not_recover_is_asked_as_often_as_configured() {
    let server = Server::start(|_| Reply::status(500));
    for (code, source, tries) in [
        (json!({"http_uri": {"uri": server.url("/a")}}), none(), 5),
        (json!({"http_uri": {"uri": server.url("/b")}}), json!({"retries": {"attempts": 2}}), 2),
        (json!({"http_uri": {"uri": server.url("/c")}, "retry_policy": {"num_retries": 2}}), none(), 3),
        (json!({"http_uri": {"uri": server.url("/d"), "timeout": "1s"}}), none(), 2),
    ] {
        let error = World::new().fetch(&plugin(&json!({"remote": code}), &source)).unwrap_err();
        assert!(error.is_out_of_reach());
        assert!(error.to_string().contains("answered with status 500, expected 200"), "{error}");
        let path = code["http_uri"]["uri"].as_str().unwrap().rsplit('/').next().unwrap();
        let asked = server.log().iter().filter(|line| line.ends_with(path)).count();
        assert_eq!(asked, tries, "{path}");
    }
}

#[test]
fn a_server_that_says_no_is_asked_once() {
    for status in [400, 401, 403, 404, 410, 501, 505, 511] {
        let server = Server::start(move |_| Reply::status(status));
        let world = World::new();
        let error = world.fetch(&page(&server.url("/x"), &none())).unwrap_err();
        assert!(
            !error.is_out_of_reach() && error.to_string().contains(&format!("status {status}")),
            "{error}"
        );
        assert_eq!((server.log().len(), world.sleeps()), (1, vec![]), "{status}");
    }
}

#[test]
fn a_name_that_does_not_resolve_is_said() {
    let error = World::new().fetch(&page("http://nobody.invalid/x", &none())).unwrap_err();
    assert!(error.is_out_of_reach(), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("is not reachable (the name of the host does not resolve)"), "{text}");
}

#[test]
fn nobody_there_is_tried_again_and_said() {
    let socket = Server::start(|_| Reply::Silence).leave();
    let url = format!("http://{}/x", socket.local_addr().unwrap());
    let world = World::new();
    let error = world.fetch(&page(&url, &none())).unwrap_err();
    assert!(
        error.is_out_of_reach() && error.to_string().contains("is not reachable (connection refused)"),
        "{error}"
    );
    assert_eq!(world.sleeps().len(), 4);
}

#[test]
fn redirects_are_followed_wherever_they_lead_on_the_web() {
    let other = Server::start(|_| Reply::ok(WASM));
    let target = other.url("/there");
    let server = Server::start(move |request| match request.path.as_str() {
        "/a/b" => Reply::status(301).with("location", "c?q"),
        "/a/c?q" => Reply::status(307).with("location", "/d"),
        _ => Reply::redirect(&target),
    });
    assert_eq!(World::new().fetch(&page(&server.url("/a/b"), &none())).unwrap().bytes, WASM);
    assert_eq!(server.log(), ["GET /a/b", "GET /a/c?q", "GET /d"]);
    assert_eq!(other.log(), ["GET /there"]);
}

#[test]
fn a_version_is_known_by_its_mark_without_fetching_it() {
    let server = Server::start(|request| match request.path.as_str() {
        "/etag" => Reply::ok(WASM).with("etag", "\"v1\"").with("last-modified", "x"),
        "/date" => Reply::ok(WASM).with("last-modified", "Wed, 21 Oct 2015 07:28:00 GMT"),
        path if request.method == "HEAD" && path.starts_with("/no-head/") => {
            // With the mark of the page that says so.
            Reply::status(path.rsplit('/').next().unwrap().parse().unwrap()).with("etag", "\"refused\"")
        }
        _ => Reply::ok(WASM),
    });
    for (path, expected, asked) in [
        ("/etag", "etag \"v1\"".to_owned(), 1),
        ("/date", "modified Wed, 21 Oct 2015 07:28:00 GMT".to_owned(), 1),
        ("/none", format!("sha256:{}", sha256(WASM)), 2),
        ("/no-head/400", format!("sha256:{}", sha256(WASM)), 2),
        ("/no-head/403", format!("sha256:{}", sha256(WASM)), 2),
        ("/no-head/404", format!("sha256:{}", sha256(WASM)), 2),
        ("/no-head/405", format!("sha256:{}", sha256(WASM)), 2),
        ("/no-head/501", format!("sha256:{}", sha256(WASM)), 2),
    ] {
        let (world, page) = (World::new(), page(&server.url(path), &none()));
        let before = server.log().len();
        assert_eq!(world.revision(&page).unwrap().to_string(), expected);
        assert_eq!(server.log().len() - before, asked, "{path}");
        assert_eq!(world.fetch(&page).unwrap().revision.to_string(), expected, "the same when it is fetched");
    }
    for (status, tries) in [(401, 1), (408, 5), (410, 1), (429, 5)] {
        let before = server.log().len();
        let error =
            World::new().revision(&page(&server.url(&format!("/no-head/{status}")), &none())).unwrap_err();
        assert!(error.to_string().contains(&format!("status {status}")), "{error}");
        assert!(server.log()[before..].iter().all(|line| line.starts_with("HEAD ")));
        assert_eq!(server.log().len() - before, tries, "{status}");
    }
    let pinned = pinned_page("https://a.invalid/x", &sha256(WASM));
    assert_eq!(World::new().revision(&pinned).unwrap().to_string(), format!("sha256:{}", sha256(WASM)));
}

/// What was parsed for TLS is kept, so what TLS itself keeps is, too: a later connection goes on with the session of the first.
#[test]
fn authorities_are_not_parsed_for_each_connection() {
    let tls = Tls::new();
    let server = Server::start_tls(&tls, |_| Reply::ok(WASM));
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("ca.pem");
    std::fs::write(&authority, &tls.authority).unwrap();
    let world = World::new();
    let kinds = |count: usize| {
        eventually("the handshakes", || Some(server.handshakes()).filter(|kinds| kinds.len() == count))
    };
    for (source, number) in [
        (json!({"ca_file": authority}), 1),
        (json!({"ca_file": authority, "timeout": "20s"}), 2),
        (json!({"ca_file": authority, "pull_policy": "always"}), 3),
    ] {
        world.fetch(&page(&server.https("/x"), &source)).unwrap();
        let last = *kinds(number).last().unwrap();
        assert_eq!(last == HandshakeKind::Resumed, number > 1, "{source}");
    }
    // Who does not look at certificates has a session of his own.
    world.fetch(&page(&server.https("/x"), &json!({"insecure_registries": ["*"]}))).unwrap();
    assert_ne!(*kinds(4).last().unwrap(), HandshakeKind::Resumed);
    // And so has who trusts somebody else.
    std::fs::write(&authority, Tls::new().authority).unwrap();
    let fetched = World::new().fetch(&page(&server.https("/y"), &json!({"ca_file": authority})));
    assert!(matches!(fetched, Err(FetchError::Http(HttpError::Tls { .. }))));
    let fetched = world.fetch(&page(&server.https("/y"), &json!({"ca_file": authority})));
    assert!(matches!(fetched, Err(FetchError::Http(HttpError::Tls { .. }))), "{fetched:?}");
}

#[test]
fn certificates_are_looked_at() {
    let tls = Tls::new();
    let server = Server::start_tls(&tls, |_| Reply::ok(WASM));
    let folder = tempfile::tempdir().unwrap();
    let (good, other, none_in_it) =
        (folder.path().join("ca.pem"), folder.path().join("other.pem"), folder.path().join("none.pem"));
    std::fs::write(&good, format!("a comment\n{}", tls.authority)).unwrap();
    std::fs::write(&other, Tls::new().authority).unwrap();
    std::fs::write(&none_in_it, "nothing").unwrap();
    let world = World::new();
    let with = |source: Value| world.fetch(&page(&server.https("/x"), &source));

    assert_eq!(with(json!({"ca_file": good})).unwrap().bytes, WASM);
    for source in [json!({}), json!({"ca_file": other, "pull_policy": "always"})] {
        let error = World::new().fetch(&page(&server.https("/y"), &source)).unwrap_err();
        assert!(matches!(&error, FetchError::Http(HttpError::Tls { .. })), "{error:?}");
        assert!(error.to_string().contains("graft.source.ca_file"), "{error}");
    }
    let host = server.host();
    assert!(World::new().fetch(&page(&server.https("/z"), &json!({"insecure_registries": [host]}))).is_ok());
    for (path, reason) in
        [(none_in_it, "there are none"), (folder.path().join("missing"), "there is no such file")]
    {
        let error = World::new().fetch(&page(&server.https("/z"), &json!({"ca_file": path}))).unwrap_err();
        assert_eq!(error.field(), Some("graft.source.ca_file"));
        assert!(error.to_string().contains(reason), "{error}");
    }
}

#[test]
fn a_file_by_its_address_is_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.wasm");
    std::fs::write(&path, WASM).unwrap();
    let url = format!("file://{}", path.display());
    let world = World::new();
    let fetched = world.at_hand(&pinned_page(&url, &sha256(WASM))).unwrap().unwrap();
    assert_eq!((fetched.bytes.as_slice(), fetched.origin), (WASM, Origin::Local));
    assert_eq!(world.revision(&page(&url, &none())).unwrap(), fetched.revision);
    let error = world.fetch(&pinned_page(&url, &sha256(b"x"))).unwrap_err();
    assert!(matches!(error, FetchError::WrongDigest { .. }), "{error}");
}
