//! Whom a password is told to.

use std::sync::Mutex;

use graft::source::{CredentialError, FetchError, ImageError};
use serde_json::{Value, json};

use crate::registry::Registry;
use crate::server::{Reply, Request, Server};
use crate::world::{WASM, World, line, secret_for};

/// `u:hunter2`.
const BASIC: &str = "Basic dTpodW50ZXIy";

fn authorization(request: &Request) -> Option<&str> {
    request.header("authorization")
}

/// A registry that wants the password `hunter2` of `u`.
fn with_password() -> Registry {
    Registry::guarded(Box::new(|request| {
        (authorization(request) != Some(BASIC))
            .then(|| Reply::status(401).with("www-authenticate", "Basic realm=\"Registry\""))
    }))
}

/// A registry that wants the token `t`, which is given out at this address.
fn with_token(realm: String) -> Registry {
    Registry::guarded(Box::new(move |request| {
        (authorization(request) != Some("Bearer t")).then(|| {
            let challenge =
                format!("Bearer realm=\"{realm}\",service=\"s&1\",scope=\"repository:acme/auth:pull,push\"");
            Reply::status(401).with("www-authenticate", challenge)
        })
    }))
}

fn inline(registry: &Registry, password: &str) -> Value {
    json!({"pull_secret": {"inline": secret_for(&registry.server.host(), password)}})
}

#[test]
fn a_password_is_told_to_the_registry_that_asks_for_it() {
    let registry = with_password();
    registry.contents.artifact("1", WASM);
    assert_eq!(
        World::new().fetch(&registry.plugin("1", &inline(&registry, "u:hunter2"))).unwrap().bytes,
        WASM
    );
    let first = &registry.server.requests()[0];
    assert_eq!(authorization(first), None, "it is asked first");

    for source in
        [inline(&registry, "u:other"), json!({}), json!({"pull_secret": {"inline": "{\"auths\":{}}"}})]
    {
        let error = World::new().fetch(&registry.plugin("1", &source)).unwrap_err();
        assert!(
            error.to_string().contains("status 401 (it wants credentials: graft.source.pull_secret)"),
            "{error}"
        );
        assert!(!error.is_out_of_reach());
    }
}

#[test]
fn a_password_comes_from_a_file_or_a_variable_and_may_change() {
    let registry = with_password();
    registry.contents.artifact("1", WASM);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    let plugin = registry.plugin("1", &json!({"pull_secret": {"file": path}}));
    let error = World::new().fetch(&plugin).unwrap_err();
    assert_eq!(error.field(), Some("graft.source.pull_secret"));
    assert!(error.to_string().contains("cannot be read (there is no such file)"), "{error}");
    let host = registry.server.host();
    for (password, is_right) in [("u:other", false), ("u:hunter2", true)] {
        std::fs::write(&path, secret_for(&host, password)).unwrap();
        assert_eq!(World::new().fetch(&plugin).is_ok(), is_right);
    }
    // The variable of this test has a password for another port.
    std::fs::write(&path, "{\n\"auths\": hunter2}").unwrap();
    let error = line(World::new().fetch(&plugin));
    assert!(error.contains("config.json\" is wrong at line 2, column "), "{error}");
    let inline = registry.plugin("1", &json!({"pull_secret": {"inline": "hunter2"}}));
    let error = line(World::new().fetch(&inline));
    assert!(
        error.contains("the pull secret in graft.source.pull_secret.inline is wrong at line 1"),
        "{error}"
    );
    let variable = |name: &str| registry.plugin("1", &json!({"pull_secret": {"environment_variable": name}}));
    assert!(line(World::new().fetch(&variable("PULL_SECRET"))).contains("status 401"));
    let error = World::new().fetch(&variable("OTHER")).unwrap_err();
    assert!(matches!(error, FetchError::Credentials(CredentialError::NoVariable { .. })), "{error:?}");
}

#[test]
fn a_token_is_got_where_the_registry_says_and_asks_for_no_more_than_to_pull() {
    let service = Server::start(|request| match authorization(request) {
        Some(BASIC) => Reply::ok(*b"{\"token\": \"t\"}"),
        _ => Reply::status(401),
    });
    // Plain HTTP, on another port of the host of a registry that itself speaks plain HTTP.
    let registry = with_token(service.url("/token?a=b"));
    registry.contents.artifact("1", WASM);
    let fetched = World::new().fetch(&registry.plugin("1", &inline(&registry, "u:hunter2"))).unwrap();
    assert_eq!(fetched.bytes, WASM);
    assert_eq!(service.log(), ["GET /token?a=b&service=s%261&scope=repository%3Aacme%2Fauth%3Apull"]);
    let told: Vec<Option<String>> =
        registry.server.requests().iter().map(|request| authorization(request).map(str::to_owned)).collect();
    assert!(told.iter().flatten().all(|told| told == "Bearer t"), "{told:?}");
}

#[test]
fn a_token_is_given_to_nobody_in_particular_and_to_those_with_another_token() {
    let service = Server::start(|request| match request.method.as_str() {
        "GET" => Reply::ok(*b"{\"access_token\": \"t\"}"),
        _ if request.body.contains("grant_type=refresh_token")
            && request.body.ends_with("refresh_token=hunter2%21") =>
        {
            Reply::ok(*b"{\"access_token\": \"t\"}")
        }
        _ => Reply::status(400),
    });
    let registry = with_token(service.url("/token"));
    registry.contents.artifact("1", WASM);
    assert_eq!(World::new().fetch(&registry.plugin("1", &json!({}))).unwrap().bytes, WASM);
    assert_eq!(authorization(&service.requests()[0]), None);
    let host = registry.server.host();
    let secret = json!({"auths": {host.clone(): {"identitytoken": "hunter2!"}}}).to_string();
    let plugin = registry.plugin("1", &json!({"pull_secret": {"inline": secret}}));
    assert_eq!(World::new().fetch(&plugin).unwrap().bytes, WASM);
    let secret = json!({"auths": {host: {"registrytoken": "t"}}}).to_string();
    let before = service.log().len();
    let plugin = registry.plugin("1", &json!({"pull_secret": {"inline": secret}}));
    assert_eq!(World::new().fetch(&plugin).unwrap().bytes, WASM);
    assert_eq!(service.log().len(), before, "who has the token need not get it");
}

#[test]
fn a_token_may_stand_beside_an_empty_one() {
    for answer in [r#"{"token": "", "access_token": "t"}"#, r#"{"token": "t", "access_token": ""}"#] {
        let service = Server::start(move |_| Reply::ok(answer));
        let registry = with_token(service.url("/token"));
        registry.contents.artifact("1", WASM);
        assert_eq!(World::new().fetch(&registry.plugin("1", &json!({}))).unwrap().bytes, WASM);
    }
}

#[test]
fn a_pull_secret_that_istio_did_not_find_is_told_by_the_variable_that_it_came_by() {
    let variable = "ISTIO_META_WASM_IMAGE_PULL_SECRET";
    let config = json!({"vm_config": {
        "code": {"oci": "ghcr.io/acme/auth:1"},
        "environment_variables": {"key_values": {variable: ""}},
    }});
    let plugin = graft::config::parse_plugin("p", config.to_string().as_bytes()).unwrap();
    let error = World::new().fetch(&plugin).unwrap_err();
    assert!(error.field().unwrap().ends_with(variable), "{error:?}");
    assert!(error.to_string().contains("imagePullSecret"), "{error}");
}

#[test]
fn a_registry_cannot_have_passwords_told_in_the_open_or_to_a_metadata_service() {
    for (realm, is_realm_error) in [
        ("http://evil.example/token", true),
        ("http://169.254.169.254/latest", true),
        ("file:///etc/passwd", true),
        ("not an address", true),
        ("https://u:hunter2@a.example/", true),
        ("https://169.254.169.254/latest", false),
        ("https://[fe80::1]/", false),
    ] {
        let registry = with_token(realm.to_owned());
        registry.contents.artifact("1", WASM);
        let error = World::new().fetch(&registry.plugin("1", &inline(&registry, "u:hunter2"))).unwrap_err();
        let is_realm = matches!(error, FetchError::Image(ImageError::Realm { .. }));
        assert_eq!(is_realm, is_realm_error, "{realm}: {error:?}");
        if !is_realm_error {
            assert!(error.to_string().contains("metadata service"), "{error}");
        }
    }
}

#[test]
fn a_token_service_that_gives_none_is_named() {
    for (reply, expected) in [
        (Reply::ok(*b"{}"), "gave no token"),
        (Reply::ok(*b"<html>"), "gave no token"),
        (Reply::ok(*b"{\"token\": \"a\\r\\nx: y\"}"), "gave no token"),
        (Reply::ok(*b"{\"token\": \"\"}"), "gave no token"),
        (Reply::status(403), "status 403"),
        (Reply::ok(vec![b' '; 300_000]), "has 300000 bytes, expected at most 262144"),
    ] {
        let service = Server::start(move |_| reply.clone());
        let registry = with_token(service.url("/token"));
        let error = line(World::new().fetch(&registry.plugin("1", &json!({}))));
        assert!(error.contains(expected), "{error}");
    }
    let registry = Registry::guarded(Box::new(|_| Some(Reply::status(401))));
    let error = World::new().fetch(&registry.plugin("1", &json!({}))).unwrap_err();
    assert!(matches!(error, FetchError::Image(ImageError::Challenge { .. })), "{error:?}");
}

#[test]
fn a_store_of_blobs_is_told_no_password_and_cannot_ask_for_one() {
    let store = Server::start(|request| match request.path.as_str() {
        "/good" => Reply::ok(WASM),
        _ => Reply::status(401).with("www-authenticate", "Basic realm=\"mine\""),
    });
    let target = Mutex::new(store.url("/good"));
    let shared = std::sync::Arc::new(target);
    let own = std::sync::Arc::clone(&shared);
    let registry = Registry::guarded(Box::new(move |request| {
        if authorization(request) != Some(BASIC) {
            return Some(Reply::status(401).with("www-authenticate", "Basic realm=\"Registry\""));
        }
        request.path.contains("/blobs/").then(|| Reply::redirect(own.lock().unwrap().clone()))
    }));
    registry.contents.artifact("1", WASM);
    let plugin = registry.plugin("1", &inline(&registry, "u:hunter2"));
    assert_eq!(World::new().fetch(&plugin).unwrap().bytes, WASM);
    *shared.lock().unwrap() = store.url("/bad");
    assert!(line(World::new().fetch(&plugin)).contains("/bad answered with status 401"));
    assert!(store.requests().iter().all(|request| authorization(request).is_none()));
}
