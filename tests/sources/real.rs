//! Servers and clients that others have written: a registry and a web server as they are installed, filled with the clients
//! that users have, signed with cosign.

use std::sync::Arc;

use graft::config::PluginConfig;
use graft::source::{FetchError, Origin, SignatureError};
use serde_json::{Value, json};

use crate::support::{
    Authority, KeyPair, Layout, Registry, SignatureForm, TokenServer, WebServer, docker_config,
};
use crate::world::{WASM, World, line, page, pinned_page, plugin, sha256};

/// An image of a registry that speaks plain HTTP.
fn image(registry: &Registry, reference: &str, source: &Value) -> PluginConfig {
    let mut all = json!({"insecure_registries": [registry.host()]});
    all.as_object_mut().unwrap().extend(source.as_object().unwrap().clone());
    plugin(&json!({"oci": reference}), &all)
}

#[test]
fn each_layout_that_clients_push_is_fetched_by_tag_and_by_digest() {
    let registry = Registry::open();
    for layout in Layout::ALL {
        let pushed =
            registry.push(layout, &format!("plugins/{}:1", format!("{layout:?}").to_lowercase()), WASM);
        for reference in [pushed.reference(), pushed.pinned()] {
            let world = World::new();
            let plugin = image(&registry, &reference, &json!({}));
            let fetched = world.fetch(&plugin).unwrap_or_else(|error| panic!("{layout:?}: {error}"));
            assert_eq!((fetched.bytes.as_slice(), fetched.origin), (WASM, Origin::Network), "{layout:?}");
            assert_eq!(fetched.revision.to_string(), pushed.digest);
            assert_eq!(world.revision(&plugin).unwrap(), fetched.revision);
        }
    }
}

#[test]
fn what_cosign_signs_runs_and_nothing_else() {
    let (registry, keys, others) = (Registry::open(), KeyPair::generate(), KeyPair::generate());
    for form in SignatureForm::ALL {
        let name = format!("plugins/{}:1", format!("{form:?}").to_lowercase());
        let pushed = registry.push(Layout::SingleLayer, &name, WASM);
        let with = |keys: &KeyPair| {
            image(&registry, &pushed.reference(), &json!({"verification_key": {"file": keys.public()}}))
        };
        let error = World::new().fetch(&with(&keys)).unwrap_err();
        assert!(
            matches!(error, FetchError::Signature(SignatureError::Unsigned { .. })),
            "{form:?}: {error:?}"
        );
        keys.sign(&registry, &pushed, form);
        let fetched = World::new().fetch(&with(&keys)).unwrap_or_else(|error| panic!("{form:?}: {error}"));
        assert_eq!(fetched.bytes, WASM);
        let error = line(World::new().fetch(&with(&others)));
        assert!(error.contains("it is not by that key"), "{form:?}: {error}");
    }
}

#[test]
fn a_registry_with_tls_and_a_password_is_trusted_by_its_authority() {
    let authority = Authority::new();
    let registry = Registry::setup().basic_auth("u", "hunter2").tls(&authority).start();
    let pushed = registry.push(Layout::OciImage, "plugins/a:1", WASM);
    let with = |password: &str| {
        let source = json!({
            "ca_file": authority.root(),
            "pull_secret": {"inline": docker_config(&registry.host(), "u", password)},
            "retries": {"attempts": 1},
        });
        World::new().fetch(&plugin(&json!({"oci": pushed.reference()}), &source))
    };
    assert_eq!(with("hunter2").unwrap().bytes, WASM);
    assert!(line(with("other")).contains("status 401"));
    let stranger = plugin(&json!({"oci": pushed.reference()}), &json!({}));
    assert!(line(World::new().fetch(&stranger)).contains("TLS with"));
}

#[test]
fn a_registry_with_tokens_is_asked_with_one() {
    let tokens = Arc::new(TokenServer::start("u", "hunter2"));
    let registry = Registry::setup().tokens(&tokens, "u", "hunter2").start();
    let pushed = registry.push(Layout::Artifact, "plugins/a:1", WASM);
    let with = |password: &str| {
        let source = json!({
            // The registry, which speaks HTTP, and the token server, whose certificate nobody has signed.
            "insecure_registries": ["localhost", "127.0.0.1"],
            "pull_secret": {"inline": docker_config(&registry.host(), "u", password)},
            "retries": {"attempts": 1},
        });
        World::new().fetch(&plugin(&json!({"oci": pushed.reference()}), &source))
    };
    assert_eq!(with("hunter2").unwrap().bytes, WASM);
    assert!(line(with("other")).contains("answered with status 40"));
}

#[test]
fn a_registry_that_stops_is_not_missed_and_a_tag_that_moves_is_seen() {
    let mut registry = Registry::open();
    let pushed = registry.push(Layout::SingleLayer, "plugins/a:latest", WASM);
    let (world, plugin) = (World::new(), image(&registry, &pushed.reference(), &json!({})));
    world.fetch(&plugin).unwrap();
    registry.stop();
    let fetched = world.fetch(&plugin).unwrap();
    assert_eq!((fetched.bytes.as_slice(), fetched.warning.is_some()), (WASM, true));
    registry.start_again();
    let moved = registry.push(Layout::SingleLayer, "plugins/a:latest", b"\0asm new");
    assert_eq!(world.revision(&plugin).unwrap().to_string(), moved.digest);
    assert_eq!(world.fetch(&plugin).unwrap().bytes, b"\0asm new");
}

#[test]
fn a_web_server_gives_out_code_and_its_mark() {
    let authority = Authority::new();
    let server = WebServer::setup().tls(&authority).start();
    let url = server.put("a.wasm", WASM);
    let source = json!({"ca_file": authority.root(), "pull_policy": "always"});
    let world = World::new();
    let fetched = world.fetch(&page(&url, &source)).unwrap();
    assert!(fetched.revision.to_string().starts_with("etag "), "{}", fetched.revision);
    assert_eq!(world.fetch(&page(&url, &source)).unwrap().origin, Origin::Shelf, "304");
    assert_eq!(world.revision(&page(&url, &source)).unwrap(), fetched.revision);

    let server = WebServer::open();
    let packed = server.put_compressed("b.wasm", WASM);
    assert_eq!(World::new().fetch(&pinned_page(&packed, &sha256(WASM))).unwrap().bytes, WASM);
}
