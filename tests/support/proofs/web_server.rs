//! nginx serves a folder, as it does for users.

use super::curl;
use crate::support::{Authority, WebServer};

#[test]
fn a_file_is_served_and_the_request_is_counted() {
    let mut server = WebServer::open();
    let url = server.put("plugin.wasm", b"old code");
    assert_eq!(curl(&[&url]).unwrap(), "old code");
    server.put("plugin.wasm", b"new code");
    assert_eq!(curl(&[&url]).unwrap(), "new code");
    assert_eq!(curl(&[&server.url("nothing")]), Err(22));
    let statuses: Vec<_> = server.asked().iter().map(|logged| logged.status).collect();
    assert_eq!(statuses, [200, 200, 404]);
    server.stop();
    assert_eq!(curl(&[&url]), Err(7));
    server.start_again();
    assert_eq!(curl(&[&url]).unwrap(), "new code");
}

#[test]
fn who_has_a_file_already_gets_no_second_copy() {
    let server = WebServer::open();
    let url = server.put("plugin.wasm", b"code");
    let head = curl(&["--head", &url]).unwrap();
    let etag = head.lines().find_map(|line| line.strip_prefix("ETag: ")).expect("an ETag").trim();
    assert_eq!(curl(&["--header", &format!("if-none-match: {etag}"), &url]).unwrap(), "");
    assert_eq!(server.asked().last().unwrap().status, 304);
}

#[test]
fn who_takes_gzip_gets_gzip() {
    let server = WebServer::open();
    let code = "code ".repeat(10_000);
    let url = server.put_compressed("plugin.wasm", code.as_bytes());
    let head = curl(&["--head", "--header", "accept-encoding: gzip", &url]).unwrap();
    assert!(head.contains("Content-Encoding: gzip"), "{head}");
    assert_eq!(curl(&["--compressed", &url]).unwrap(), code.trim());
    assert!(!curl(&["--head", &url]).unwrap().contains("gzip"));
}

#[test]
fn a_password_and_an_authority_are_wanted() {
    let authority = Authority::new();
    let server = WebServer::setup().basic_auth("reader", "secret").tls(&authority).start();
    let url = server.put("plugin.wasm", b"code");
    let root = authority.root().display().to_string();
    assert_eq!(curl(&["--user", "reader:secret", &url]), Err(60), "the certificate is of nobody known");
    assert_eq!(curl(&["--cacert", &root, &url]), Err(22));
    assert_eq!(curl(&["--cacert", &root, "--user", "reader:secret", &url]).unwrap(), "code");
}
