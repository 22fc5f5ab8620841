//! When the source is asked although there is something on the shelf, and what is there when it is gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::time::Duration;

use graft::source::cache::{Cache, Limits};
use graft::source::{FetchError, HttpError, Kind, Origin, Sources, SystemClock, Wanted};
use serde_json::{Value, json};

use crate::registry::Registry;
use crate::server::{Reply, Server, Tls};
use crate::world::{WASM, World, line, page, pinned_page, sha256};

const NEW: &[u8] = b"\0asm new";

/// A registry that answers with the status, unless it is 200.
fn with_status() -> (Registry, Arc<AtomicU16>) {
    let status = Arc::new(AtomicU16::new(200));
    let own = Arc::clone(&status);
    let registry = Registry::guarded(Box::new(move |_| match own.load(Ordering::Relaxed) {
        200 => None,
        status => Some(Reply::status(status)),
    }));
    (registry, status)
}

#[test]
fn what_is_pinned_and_on_the_shelf_is_asked_of_nobody() {
    let registry = Registry::new();
    let digest = registry.contents.artifact("1", WASM);
    let world = World::new();
    let by_name = registry.plugin(&format!("sha256:{digest}"), &json!({"pull_policy": "always"}));
    assert!(world.at_hand(&by_name).is_none());
    assert_eq!(world.fetch(&by_name).unwrap().origin, Origin::Network);
    let asked = registry.log().len();
    let fetched = world.fetch(&by_name).unwrap();
    assert_eq!((fetched.bytes.as_slice(), fetched.origin), (WASM, Origin::Shelf));
    assert_eq!(fetched.revision.to_string(), format!("sha256:{digest}"));
    assert!(world.renew(&by_name).is_ok() && world.at_hand(&by_name).is_some());
    assert_eq!(registry.log().len(), asked);

    let server = Server::start(|_| Reply::ok(WASM));
    let page = pinned_page(&server.url("/x"), &sha256(NEW));
    assert!(world.fetch(&page).is_err());
    let page = pinned_page(&server.url("/x"), &sha256(WASM));
    assert_eq!(world.fetch(&page).unwrap().origin, Origin::Network);
    let asked = server.log().len();
    assert_eq!(world.fetch(&page).unwrap().origin, Origin::Shelf);
    assert_eq!(server.log().len(), asked);
    let _port = server.leave();
    assert_eq!(world.fetch(&page).unwrap().bytes, WASM, "nobody listens");
}

#[test]
fn who_knows_the_digest_of_private_code_does_not_find_it_by_that() {
    let (registry, world) = (Registry::new(), World::new());
    let digest = registry.contents.artifact("1", WASM);
    let secret = json!({"pull_secret": {"inline": "{\"auths\": {}}"}});
    world.fetch(&registry.plugin("1", &secret)).unwrap();
    let server = Server::start(|request| match request.header("authorization") {
        Some(_) => Reply::ok(WASM),
        None => Reply::status(401),
    });
    let private = pinned_page(&format!("http://u:hunter2@{}/x", server.host()), &sha256(WASM));
    assert!(world.at_hand(&private).is_none(), "an image is no page");
    world.fetch(&private).unwrap();
    assert!(world.at_hand(&private).is_some());
    for other in [
        pinned_page(&server.url("/x"), &sha256(WASM)),
        pinned_page(&format!("http://u:other@{}/x", server.host()), &sha256(WASM)),
        pinned_page("https://a.invalid/x", &sha256(WASM)),
        registry.plugin(&format!("sha256:{digest}"), &json!({})),
    ] {
        assert!(world.at_hand(&other).is_none(), "{:?}", other.vm.code);
    }
    assert!(line(world.fetch(&pinned_page(&server.url("/x"), &sha256(WASM)))).contains("status 401"));
}

#[test]
fn what_was_fetched_without_a_certificate_is_not_for_those_who_want_one() {
    let (registry, world) = (Registry::new(), World::new());
    let digest = registry.contents.artifact("1", WASM);
    let listed = registry.plugin("1", &json!({}));
    world.fetch(&listed).unwrap();
    assert!(world.at_hand(&listed).is_some());
    let server = Server::start(|_| Reply::ok(WASM));
    let url = server.url("/x");
    let kept = json!({"pull_policy": "if_not_present"});
    world.fetch(&page(&url, &kept)).unwrap();
    assert!(world.at_hand(&page(&url, &kept)).is_some());
    for source in [json!({"insecure_registries": []}), json!({"ca_file": "/etc/graft/ca.pem"})] {
        assert!(world.at_hand(&registry.plugin("1", &source)).is_none(), "{source}");
    }
    for trust in [json!({"insecure_registries": ["*"]}), json!({"ca_file": "/etc/graft/ca.pem"})] {
        let mut source = kept.clone();
        source.as_object_mut().unwrap().extend(trust.as_object().unwrap().clone());
        assert!(world.at_hand(&page(&url, &source)).is_none(), "{source}");
    }
    // A digest says what is right, whoever gave it out.
    world.fetch(&registry.plugin(&format!("sha256:{digest}"), &json!({}))).unwrap();
    let pinned = registry.plugin(&format!("sha256:{digest}"), &json!({"insecure_registries": []}));
    assert!(world.at_hand(&pinned).is_some());
}

#[test]
fn a_tag_is_asked_for_by_the_pull_policy() {
    for (tag, source, is_asked) in [
        ("1", json!({}), false),
        ("1", json!({"pull_policy": "Always"}), true),
        ("latest", json!({}), true),
        ("latest", json!({"pull_policy": "UNSPECIFIED_POLICY"}), true),
        ("latest", json!({"pull_policy": "IfNotPresent"}), false),
    ] {
        let (registry, world) = (Registry::new(), World::new());
        registry.contents.artifact(tag, WASM);
        let plugin = registry.plugin(tag, &source);
        assert_eq!(world.fetch(&plugin).unwrap().origin, Origin::Network);
        let before = registry.log().len();
        assert_eq!(world.fetch(&plugin).unwrap().origin, Origin::Shelf, "it has not changed");
        assert_eq!(registry.log().len() > before, is_asked, "{tag} {source}");
        assert!(!registry.log()[before..].iter().any(|line| line.contains("blobs")));

        registry.contents.artifact(tag, NEW);
        let expected = if is_asked { NEW } else { WASM };
        assert_eq!(world.fetch(&plugin).unwrap().bytes, expected, "{tag} {source}");
        assert_eq!(world.at_hand(&plugin).is_none(), is_asked);
        // When somebody has seen that the tag has moved.
        assert_eq!(world.renew(&plugin).unwrap().bytes, NEW);
        assert_eq!(world.fetch(&plugin).unwrap().bytes, NEW);
    }
}

#[test]
fn what_must_be_asked_for_may_be_known_all_the_same() {
    let (registry, server) = (Registry::new(), Server::start(|_| Reply::ok(WASM)));
    let digest = registry.contents.artifact("latest", WASM);
    for (plugin, is_at_hand) in [
        (registry.plugin("latest", &json!({})), false),
        (registry.plugin(&format!("sha256:{digest}"), &json!({})), true),
        (page(&server.url("/x"), &json!({})), false),
        (pinned_page(&server.url("/x"), &sha256(WASM)), true),
    ] {
        let world = World::new();
        assert!(!world.is_known(&plugin));
        world.fetch(&plugin).unwrap();
        assert!(world.is_known(&plugin));
        assert_eq!(world.at_hand(&plugin).is_some(), is_at_hand);
        world.shelf.0.lock().unwrap().retain(|(kind, _), _| *kind == Kind::Reference);
        assert!(!world.is_known(&plugin));
    }
}

#[test]
fn a_server_that_has_fallen_silent_is_asked_once() {
    let is_silent = Arc::new(AtomicBool::new(false));
    let silent = Arc::clone(&is_silent);
    let server =
        Server::start(move |_| if silent.load(Ordering::Relaxed) { Reply::Silence } else { Reply::ok(WASM) });
    let world = World::new();
    let plugin = page(&server.url("/x"), &json!({"try_timeout": "0.3s"}));
    world.fetch(&plugin).unwrap();
    is_silent.store(true, Ordering::Relaxed);
    let fetched = world.fetch(&plugin).unwrap();
    assert_eq!((fetched.origin, fetched.warning.is_some()), (Origin::Shelf, true));
    assert_eq!((server.log().len(), world.sleeps()), (2, vec![]));
}

#[test]
fn a_registry_that_is_gone_is_not_missed() {
    let (registry, status) = with_status();
    let digest = registry.contents.artifact("latest", WASM);
    let world = World::new();
    let plugin = registry.plugin("latest", &json!({"retries": {"attempts": 5}}));
    world.fetch(&plugin).unwrap();
    status.store(503, Ordering::Relaxed);
    let fetched = world.fetch(&plugin).unwrap();
    assert_eq!((fetched.bytes.as_slice(), fetched.origin), (WASM, Origin::Shelf));
    assert_eq!(fetched.revision.to_string(), format!("sha256:{digest}"));
    let warning = fetched.warning.unwrap();
    assert!(warning.is_out_of_reach() && warning.to_string().contains("status 503"), "{warning}");
    assert_eq!(world.sleeps(), [500], "it is not tried as often");

    // A registry that says no is believed.
    for refusal in [401, 403, 404] {
        status.store(refusal, Ordering::Relaxed);
        assert!(world.fetch(&plugin).is_err(), "{refusal}");
    }
    // Without a shelf there is nothing to fall back to.
    status.store(503, Ordering::Relaxed);
    assert!(World::new().fetch(&plugin).is_err());
    let _port = registry.server.leave();
    assert_eq!(world.fetch(&plugin).unwrap().bytes, WASM, "nobody listens");
}

#[test]
fn a_private_image_is_not_given_to_those_without_the_secret() {
    let registry = Registry::new();
    registry.contents.artifact("1", WASM);
    let world = World::new();
    let with = |secret: &Value| registry.plugin("1", &json!({"pull_secret": secret}));
    let mine = with(&json!({"inline": "{\"auths\": {}}"}));
    world.fetch(&mine).unwrap();
    assert!(world.at_hand(&mine).is_some());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    for other in
        [json!(null), json!({"inline": "{}"}), json!({"file": path}), json!({"environment_variable": "X"})]
    {
        assert!(world.at_hand(&with(&other)).is_none(), "{other}");
    }
    // A password that has changed in its file is the same right.
    std::fs::write(&path, "{}").unwrap();
    let by_file = with(&json!({"file": path}));
    world.fetch(&by_file).unwrap();
    std::fs::write(&path, "{\"auths\": {}}").unwrap();
    assert!(world.at_hand(&by_file).is_some());
}

#[test]
fn a_page_is_asked_for_with_the_mark_of_what_is_on_the_shelf() {
    let version = Arc::new(AtomicU16::new(1));
    let own = Arc::clone(&version);
    let server = Server::start(move |request| {
        let tag = format!("\"v{}\"", own.load(Ordering::Relaxed));
        match (request.header("if-none-match"), own.load(Ordering::Relaxed)) {
            (_, 0) => Reply::status(500),
            (Some(known), _) if known == tag => Reply::status(304),
            (_, 1) => Reply::ok(WASM).with("etag", tag),
            _ => Reply::ok(NEW).with("etag", tag),
        }
    });
    let world = World::new();
    // A page may change, so it is asked for each time: Istio's rule, whatever the policy is called there.
    let always = page(&server.url("/x"), &json!({}));
    let present = page(&server.url("/x"), &json!({"pull_policy": "if_not_present"}));
    assert_eq!(world.fetch(&always).unwrap().origin, Origin::Network);
    assert!(world.at_hand(&always).is_none() && world.at_hand(&present).is_some());
    let again = world.fetch(&always).unwrap();
    assert_eq!((again.bytes.as_slice(), again.origin), (WASM, Origin::Shelf));
    assert_eq!(again.revision.to_string(), "etag \"v1\"");
    version.store(2, Ordering::Relaxed);
    let asked = server.log().len();
    assert_eq!(world.fetch(&present).unwrap().bytes, WASM);
    assert_eq!(server.log().len(), asked, "nobody is asked");
    assert_eq!(world.renew(&present).unwrap().bytes, NEW);
    assert_eq!(world.fetch(&present).unwrap().bytes, NEW);
    version.store(0, Ordering::Relaxed);
    let fetched = world.fetch(&always).unwrap();
    assert_eq!((fetched.bytes.as_slice(), fetched.warning.is_some()), (NEW, true));
}

/// A connection that breaks ends it like one that is closed.
#[test]
fn a_page_that_may_have_been_cut_is_not_kept() {
    let head = "HTTP/1.1 200 OK\r\nconnection: close\r\netag: \"v1\"\r\n\r\n";
    let server = Server::start(move |_| Reply::Raw([head.as_bytes(), WASM].concat()));
    let world = World::new();
    let present = page(&server.url("/x"), &json!({"pull_policy": "if_not_present"}));
    assert_eq!(world.fetch(&present).unwrap().bytes, WASM);
    assert!(world.at_hand(&present).is_none() && world.shelf.0.lock().unwrap().is_empty());
    // Its digest says that this one was not.
    let pinned = pinned_page(&server.url("/x"), &sha256(WASM));
    assert_eq!(world.fetch(&pinned).unwrap().bytes, WASM);
    assert!(world.at_hand(&pinned).is_some());
}

#[test]
fn a_page_whose_code_is_gone_from_the_shelf_is_fetched_without_a_condition() {
    let server = Server::start(|request| match request.header("if-none-match") {
        Some(_) => Reply::status(304),
        None => Reply::ok(WASM).with("etag", "\"v1\""),
    });
    let (world, page) = (World::new(), page(&server.url("/x"), &json!({})));
    world.fetch(&page).unwrap();
    world.shelf.0.lock().unwrap().retain(|(kind, _), _| *kind == Kind::Reference);
    assert_eq!(world.fetch(&page).unwrap().origin, Origin::Network);
    assert_eq!(server.log().len(), 2);
    // It seems to be there, and is not what was written.
    for bytes in world.shelf.0.lock().unwrap().iter_mut().filter(|((kind, _), _)| *kind == Kind::Wasm) {
        *bytes.1 = b"\0asm changed".to_vec();
    }
    assert_eq!(world.fetch(&page).unwrap().bytes, WASM);
    assert_eq!(server.log().len(), 4);
}

#[test]
fn what_is_on_the_shelf_is_read_when_it_is_handed_out() {
    let registry = Registry::new();
    registry.contents.artifact("latest", WASM);
    let (world, plugin) = (World::new(), registry.plugin("latest", &json!({})));
    world.fetch(&plugin).unwrap();
    registry.contents.artifact("latest", NEW);
    let before = world.shelf.reads();
    assert_eq!(world.fetch(&plugin).unwrap().bytes, NEW);
    assert_eq!(world.shelf.reads(), before, "what it would have fallen back to is not read");
    assert_eq!(world.fetch(&plugin).unwrap().origin, Origin::Shelf);
    assert_eq!(world.shelf.reads(), before + 1);
}

/// A source that cannot be asked as it should be, or in whose place somebody else answers, has not said anything.
#[test]
fn what_was_fetched_last_is_used_if_nobody_answers_who_is_believed() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let tls = Tls::new();
    std::fs::write(file("ca.pem"), &tls.authority).unwrap();
    std::fs::write(file("config.json"), "{}").unwrap();
    let registry = Registry::secure(&tls);
    registry.contents.artifact("latest", WASM);
    let server = Server::start_tls(&tls, |_| Reply::ok(WASM).with("etag", "\"v1\""));
    let image = registry.plugin(
        "latest",
        &json!({
            "insecure_registries": [],
            "ca_file": file("ca.pem"),
            "pull_secret": {"file": file("config.json")},
        }),
    );
    let web = page(&server.https("/x"), &json!({"ca_file": file("ca.pem"), "retries": {"attempts": 1}}));
    let world = World::new();
    for plugin in [&image, &web] {
        assert_eq!(world.fetch(plugin).unwrap().origin, Origin::Network);
    }
    let stale = |plugin| {
        let fetched = world.fetch(plugin).unwrap();
        assert_eq!((fetched.bytes.as_slice(), fetched.origin), (WASM, Origin::Shelf));
        fetched.warning.unwrap()
    };
    // Somebody in between, with another certificate.
    std::fs::write(file("ca.pem"), Tls::new().authority).unwrap();
    for plugin in [&image, &web] {
        let warning = stale(plugin);
        assert!(matches!(warning, FetchError::Http(HttpError::Tls { .. })), "{warning:?}");
        assert!(World::new().fetch(plugin).is_err(), "nothing to fall back to");
    }
    std::fs::write(file("ca.pem"), "nothing").unwrap();
    for plugin in [&image, &web] {
        assert!(matches!(stale(plugin), FetchError::Authorities { .. }));
    }
    std::fs::write(file("ca.pem"), &tls.authority).unwrap();
    for text in [Some("half a fi"), None] {
        match text {
            Some(text) => std::fs::write(file("config.json"), text).unwrap(),
            None => std::fs::remove_file(file("config.json")).unwrap(),
        }
        assert!(matches!(stale(&image), FetchError::Credentials(_)));
    }
}

#[test]
fn an_answer_that_is_no_http_is_no_answer() {
    let is_broken = Arc::new(AtomicU16::new(0));
    let own = Arc::clone(&is_broken);
    let server = Server::start(move |_| match own.load(Ordering::Relaxed) {
        0 => Reply::ok(WASM),
        _ => Reply::Raw(b"SSH-2.0-OpenSSH\r\n\r\n".to_vec()),
    });
    let (world, page) = (World::new(), page(&server.url("/x"), &json!({})));
    world.fetch(&page).unwrap();
    is_broken.store(1, Ordering::Relaxed);
    let warning = world.fetch(&page).unwrap().warning.unwrap();
    assert!(matches!(warning, FetchError::Http(HttpError::Malformed { .. })), "{warning:?}");
}

#[test]
fn a_server_that_says_that_nothing_has_changed_since_nothing_is_wrong() {
    let server = Server::start(|_| Reply::status(304));
    let error = World::new().fetch(&page(&server.url("/x"), &json!({}))).unwrap_err();
    assert!(matches!(error, FetchError::Http(_)) && error.to_string().contains("status 304"), "{error}");
}

#[test]
fn a_shelf_that_has_lost_or_changed_something_is_filled_again() {
    let registry = Registry::new();
    let digest = registry.contents.artifact("1", WASM);
    let world = World::new();
    let plugin = registry.plugin(&format!("sha256:{digest}"), &json!({}));
    world.fetch(&plugin).unwrap();
    for bytes in world.shelf.0.lock().unwrap().iter_mut().filter(|((kind, _), _)| *kind == Kind::Wasm) {
        *bytes.1 = b"\0asm changed".to_vec();
    }
    let fetched = world.fetch(&plugin).unwrap();
    assert_eq!((fetched.bytes.as_slice(), fetched.origin), (WASM, Origin::Network));
    world.shelf.0.lock().unwrap().retain(|(kind, _), _| *kind == Kind::Reference);
    assert_eq!(world.fetch(&plugin).unwrap().origin, Origin::Network);
    assert_eq!(world.fetch(&plugin).unwrap().origin, Origin::Shelf);
}

#[test]
fn the_cache_on_disk_is_a_shelf_that_another_process_finds_again() {
    let registry = Registry::new();
    let digest = registry.contents.artifact("1", WASM);
    let plugin = registry.plugin("1", &json!({}));
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("cache");
    let limits = Limits { max_bytes: 1_000_000, max_age: Duration::from_hours(1) };
    for origin in [Origin::Network, Origin::Shelf] {
        let shelf = Cache::open(&directory, limits).unwrap();
        let sources = Sources::new(Arc::new(SystemClock::new()), |_| None);
        let wanted =
            Wanted { code: &plugin.vm.code, source: &plugin.graft.source, shelf: &shelf, renew: false };
        let fetched = sources.fetch(&wanted).unwrap();
        assert_eq!((fetched.bytes.as_slice(), fetched.origin), (WASM, origin));
        assert_eq!(fetched.revision.to_string(), format!("sha256:{digest}"));
    }
}
