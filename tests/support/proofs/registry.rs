//! The registry takes images in each layout, and lets in whom it should.

use std::sync::Arc;

use super::curl;
use crate::support::programs::{attempt, run};
use crate::support::{
    Authority, CredentialHelper, Image, Layout, Registry, TokenServer, docker_config, wasm,
};

/// Media types of the manifest and of its layers.
fn kinds(registry: &Registry, image: &Image) -> (String, Vec<String>) {
    let manifest = registry.manifest(&image.reference());
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let layers = manifest["layers"].as_array().unwrap();
    (text(&manifest["mediaType"]), layers.iter().map(|layer| text(&layer["mediaType"])).collect())
}

#[test]
fn each_layout_is_what_its_name_says() {
    let registry = Registry::open();
    let code = wasm::generation(1);
    let oci = "application/vnd.oci.image.manifest.v1+json";
    for (layout, manifest, layers) in [
        (
            Layout::Docker,
            "application/vnd.docker.distribution.manifest.v2+json",
            &["application/vnd.docker.image.rootfs.diff.tar.gzip"][..],
        ),
        (Layout::OciImage, oci, &["application/vnd.oci.image.layer.v1.tar+gzip"]),
        (
            Layout::Artifact,
            oci,
            &[
                "application/vnd.module.wasm.content.layer.v1+wasm",
                "application/vnd.module.wasm.config.v1+json",
            ],
        ),
        (Layout::SingleLayer, oci, &["application/wasm"]),
    ] {
        let image = registry.push(layout, "plugins/one:v1", &code);
        let found = kinds(&registry, &image);
        assert_eq!((found.0.as_str(), found.1.len()), (manifest, layers.len()), "{layout:?}");
        assert_eq!(found.1, layers, "{layout:?}");
        assert!(image.digest.starts_with("sha256:") && image.sha256().len() == 64, "{image:?}");
    }
    assert_eq!(registry.asked(), [], "the clients that fill it are not counted");
}

#[test]
fn what_was_pushed_comes_back() {
    let registry = Registry::open();
    let code = wasm::generation(1);
    let image = registry.push(Layout::SingleLayer, "plugins/one:v1", &code);
    let manifest = registry.manifest(&image.pinned());
    let digest = manifest["layers"][0]["digest"].as_str().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("back").display().to_string();
    let blob = format!("http://{}/v2/plugins/one/blobs/{digest}", registry.host());
    curl(&["--output", &file, &blob]).unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), code);
}

#[test]
fn a_tag_moves() {
    let registry = Registry::open();
    let old = registry.push(Layout::Docker, "plugins/one:v1", &wasm::generation(1));
    let new = registry.push(Layout::Docker, "plugins/one:v2", &wasm::generation(2));
    assert_ne!(old.digest, new.digest);
    let moved = registry.tag(&new, "v1");
    assert_eq!(moved.reference(), old.reference());
    assert_eq!(registry.manifest(&old.reference()), registry.manifest(&new.pinned()));
}

#[test]
fn requests_of_others_are_counted() {
    let mut registry = Registry::open();
    registry.push(Layout::Docker, "plugins/one:v1", &wasm::generation(1));
    let url = format!("http://{}/v2/plugins/one/tags/list", registry.host());
    assert!(curl(&[&url]).unwrap().contains("v1"));
    let asked = registry.asked();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!((asked[0].path.as_str(), asked[0].status), ("/v2/plugins/one/tags/list", 200));
    // It goes, and comes again with what it had.
    registry.stop();
    assert_eq!(curl(&[&url]), Err(7));
    registry.start_again();
    assert!(curl(&[&url]).unwrap().contains("v1"));
    assert_eq!(registry.asked().len(), 2);
}

#[test]
fn a_password_is_asked_for_and_may_change() {
    let mut registry = Registry::setup().basic_auth("reader", "secret one").start();
    let code = wasm::generation(1);
    registry.push(Layout::Docker, "plugins/one:v1", &code);
    registry.push(Layout::SingleLayer, "plugins/one:v2", &code);
    let url = format!("http://{}/v2/", registry.host());
    assert_eq!(curl(&[&url]), Err(22));
    assert_eq!(curl(&["--user", "reader:wrong", &url]), Err(22));
    assert!(curl(&["--user", "reader:secret one", &url]).is_ok());
    registry.set_password("secret two");
    assert_eq!(curl(&["--user", "reader:secret one", &url]), Err(22));
    assert!(curl(&["--user", "reader:secret two", &url]).is_ok());
    registry.push(Layout::Docker, "plugins/one:v3", &code);
}

#[test]
fn a_token_is_asked_for() {
    let server = Arc::new(TokenServer::start("reader", "secret"));
    let mut registry = Registry::setup().tokens(&server, "reader", "secret").start();
    let code = wasm::generation(1);
    for layout in Layout::ALL {
        registry.push(layout, "plugins/one:v1", &code);
    }
    assert!(server.grants().iter().all(|grant| grant.is_given), "{:?}", server.grants());
    let scopes: Vec<_> = server.grants().into_iter().map(|grant| grant.scope).collect();
    assert!(scopes.iter().any(|scope| scope.starts_with("repository:plugins/one:")), "{scopes:?}");

    // The challenge says where tokens are to be had; the registry refuses those of nobody.
    let url = format!("http://{}/v2/plugins/one/manifests/v1", registry.host());
    let head = run(std::process::Command::new("curl").args(["--silent", "--head", &url]));
    let challenge = format!("Bearer realm=\"{}\",service=\"the-registry\"", server.realm());
    assert!(head.starts_with("HTTP/1.1 401") && head.contains(&challenge), "{head}");
    assert_eq!(curl(&["--header", "authorization: Bearer no.such.token", &url]), Err(22));

    let mut crane = registry.client("crane");
    crane.args(["digest", &format!("{}/plugins/one:v1", registry.host())]);
    assert!(attempt(&mut crane).is_ok());
    server.set_password("reader", "another");
    let complaint = attempt(&mut crane).unwrap_err();
    assert!(complaint.contains("401"), "{complaint}");
    assert!(!server.grants().last().unwrap().is_given);
    registry.set_password("a third");
    assert!(attempt(&mut crane).is_ok());
}

#[test]
fn the_realm_may_be_somebody_elses() {
    let server = Arc::new(TokenServer::start("reader", "secret"));
    let elsewhere = "http://127.0.0.1:9/token";
    let registry = Registry::setup().tokens(&server, "reader", "secret").realm(elsewhere).start();
    let url = format!("http://{}/v2/", registry.host());
    let head = run(std::process::Command::new("curl").args(["--silent", "--head", &url]));
    assert!(head.contains(elsewhere), "{head}");
}

#[test]
fn https_wants_the_authority() {
    let authority = Authority::new();
    let registry = Registry::setup().basic_auth("reader", "secret").tls(&authority).start();
    for layout in Layout::ALL {
        registry.push(layout, "plugins/one:v1", &wasm::generation(1));
    }
    let url = format!("https://{}/v2/", registry.host());
    assert_eq!(curl(&["--user", "reader:secret", &url]), Err(60), "the certificate is of nobody known");
    let root = authority.root().display().to_string();
    assert!(curl(&["--user", "reader:secret", "--cacert", &root, &url]).is_ok());
}

#[test]
fn a_pull_secret_is_what_docker_writes() {
    let secret = docker_config("registry.example:5000", "reader", "secret");
    assert_eq!(secret, r#"{"auths":{"registry.example:5000":{"auth":"cmVhZGVyOnNlY3JldA=="}}}"#);
}

#[test]
fn a_credential_helper_is_asked_by_a_real_client() {
    let mut registry = Registry::setup().basic_auth("reader", "secret").start();
    let image = registry.push(Layout::Docker, "plugins/one:v1", &wasm::generation(1));
    let host = registry.host();
    let helper = CredentialHelper::new(&host, "reader", "secret");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.json"), helper.docker_config()).unwrap();
    let mut crane = registry.client("crane");
    crane.env("DOCKER_CONFIG", folder.path()).env("PATH", helper.path_variable());
    crane.args(["digest", &image.reference()]);
    assert_eq!(run(&mut crane), image.digest);
    assert_eq!(helper.asked(), [format!("get {host}")]);
    registry.set_password("another");
    assert!(attempt(&mut crane).is_err());
    helper.set_password("reader", "another");
    assert_eq!(run(&mut crane), image.digest);
}
