//! Images in each form, and what is wrong with some.

use std::net::{SocketAddr, TcpListener, TcpStream};

use graft::source::{FetchError, HttpError, ImageError, Origin, UnpackError};
use serde_json::{Value, json};

use crate::registry::{DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, Registry};
use crate::server::{Reply, Tls};
use crate::world::{WASM, World, archive, gzip, line, plugin, sha256};

const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
const MODULE_LAYER: &str = "application/vnd.module.wasm.content.layer.v1+wasm";

fn none() -> Value {
    json!({})
}

#[test]
fn each_form_of_an_image_is_understood() {
    let registry = Registry::new();
    let contents = &registry.contents;
    let packed = gzip(&archive(&[("etc/x", b"x"), ("./plugin.wasm", WASM)]));
    let layers = |media_type: &str| {
        vec![contents.blob(media_type, &gzip(&archive(&[]))), contents.blob(media_type, &packed)]
    };
    let config = contents.blob("application/vnd.docker.container.image.v1+json", b"{}");
    contents.manifest(
        "docker",
        &json!({"schemaVersion": 2, "mediaType": DOCKER_MANIFEST, "config": config, "layers": layers(DOCKER_LAYER)}),
    );
    contents.image("compat", &layers(OCI_LAYER));
    // As clients write it that leave the type to the header.
    contents.manifest("no-type", &json!({"schemaVersion": 2, "config": config, "layers": layers(OCI_LAYER)}));
    let runtime = contents.blob("application/vnd.module.wasm.config.v1+json", b"{}");
    contents.image("module", &[runtime, contents.blob(MODULE_LAYER, WASM)]);
    contents.artifact("artifact", WASM);
    for tag in ["docker", "compat", "no-type", "module", "artifact"] {
        let fetched = World::new()
            .fetch(&registry.plugin(tag, &none()))
            .unwrap_or_else(|error| panic!("{tag}: {error}"));
        assert_eq!((fetched.bytes.as_slice(), fetched.origin), (WASM, Origin::Network), "{tag}");
    }
}

#[test]
fn an_image_is_pinned_by_the_digest_of_its_manifest() {
    let registry = Registry::new();
    let digest = registry.contents.artifact("1", WASM);
    let plugin = registry.plugin(&format!("sha256:{digest}"), &none());
    let fetched = World::new().fetch(&plugin).unwrap();
    assert_eq!(fetched.revision.to_string(), format!("sha256:{digest}"));
    assert!(registry.log().contains(&format!("GET manifests/sha256:{digest}")));

    // A registry that gives out something else for the digest.
    let other = registry.contents.artifact("2", b"\0asm other");
    registry.contents.put(
        &format!("manifests/sha256:{digest}"),
        OCI_MANIFEST,
        json!({"schemaVersion": 2, "layers": []}).to_string(),
    );
    let error = World::new().fetch(&plugin).unwrap_err();
    let FetchError::Image(ImageError::WrongDigest { what: "manifest", expected, .. }) = &error else {
        panic!("{error:?}")
    };
    assert_eq!(expected.to_string(), digest);
    assert_ne!(other, digest);
}

#[test]
fn an_index_leads_to_the_image_for_wasm() {
    let registry = Registry::new();
    let contents = &registry.contents;
    let for_linux = contents.image("linux", &[contents.blob(OCI_LAYER, b"x")]);
    let for_wasm = contents.artifact("wasm", WASM);
    let entry = |digest: &str, os: &str, architecture: &str| {
        json!({
            "mediaType": OCI_MANIFEST,
            "digest": format!("sha256:{digest}"),
            "size": 1,
            "platform": {"os": os, "architecture": architecture},
        })
    };
    let both = [entry(&for_linux, "linux", "amd64"), entry(&for_wasm, "wasip1", "wasm")];
    let index =
        contents.manifest("index", &json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": both}));
    let fetched = World::new().fetch(&registry.plugin("index", &none())).unwrap();
    assert_eq!(fetched.bytes, WASM);
    assert_eq!(fetched.revision.to_string(), format!("sha256:{index}"), "what the tag names");

    // Of those for something else, the one that Istio takes.
    let compat =
        contents.image("compat", &[contents.blob(OCI_LAYER, &gzip(&archive(&[("plugin.wasm", WASM)])))]);
    let many = [entry(&for_linux, "linux", "arm64"), entry(&compat, "linux", "amd64")];
    contents.manifest("many", &json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": many}));
    assert_eq!(World::new().fetch(&registry.plugin("many", &none())).unwrap().bytes, WASM);

    let two = [entry(&for_linux, "linux", "arm"), entry(&for_linux, "linux", "arm64")];
    contents.manifest("two", &json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": two}));
    let error = line(World::new().fetch(&registry.plugin("two", &none())));
    assert!(error.contains("is an index of 2 images and none for Wasm"), "{error}");

    let nested = [entry(&index, "wasip1", "wasm")];
    contents.manifest("nested", &json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": nested}));
    let error = line(World::new().fetch(&registry.plugin("nested", &none())));
    assert!(error.contains("is an index in an index"), "{error}");
}

#[test]
fn images_of_something_else_are_refused_with_what_was_looked_for() {
    let registry = Registry::new();
    let contents = &registry.contents;
    contents.image("helm", &[contents.blob("application/vnd.cncf.helm.chart.content.v1.tar+gzip", b"x")]);
    let error = line(World::new().fetch(&registry.plugin("helm", &none())));
    for part in
        ["acme/auth:helm has no Wasm in it", "helm.chart", OCI_LAYER, MODULE_LAYER, "application/wasm"]
    {
        assert!(error.contains(part), "{error}");
    }
    contents.image("empty", &[contents.blob(OCI_LAYER, &gzip(&archive(&[("a", b"1"), ("b", b"2")])))]);
    let error = World::new().fetch(&registry.plugin("empty", &none())).unwrap_err();
    assert!(matches!(error, FetchError::Unpack(UnpackError::NoPlugin { files: 2 })), "{error:?}");
    // A module with its configuration, whose last layer looks like that of an image with an archive.
    let module = contents.blob(MODULE_LAYER, WASM);
    contents.image("both", &[module, contents.blob(OCI_LAYER, &gzip(&archive(&[("a", b"1"), ("b", b"2")])))]);
    assert_eq!(World::new().fetch(&registry.plugin("both", &none())).unwrap().bytes, WASM);
    let module = contents.blob(MODULE_LAYER, b"hello");
    contents.image("neither", &[module, contents.blob(OCI_LAYER, b"{}")]);
    let error = World::new().fetch(&registry.plugin("neither", &none())).unwrap_err();
    assert!(matches!(error, FetchError::Image(ImageError::Layout { .. })), "{error:?}");
    for part in ["a damaged tar file", "5 bytes that begin with 68 65 6c 6c"] {
        assert!(error.to_string().contains(part), "{error}");
    }
    contents.artifact("text", b"hello");
    let error = World::new().fetch(&registry.plugin("text", &none())).unwrap_err();
    assert!(matches!(error, FetchError::Unpack(UnpackError::NotWasm { .. })), "{error:?}");
}

#[test]
fn bad_manifests_are_refused() {
    let registry = Registry::new();
    let contents = &registry.contents;
    for (bytes, expected) in [
        ("<html>", "cannot be read (line 1"),
        ("{\"schemaVersion\": 1, \"fsLayers\": []}", "is of version 1"),
        ("{\"schemaVersion\": 2}", "has neither layers nor manifests"),
        ("{\"schemaVersion\": 2, \"layers\": [], \"manifests\": []}", "is both of an image and an index"),
        (
            "{\"schemaVersion\": 2, \"layers\": [{\"mediaType\": \"application/wasm\", \"digest\": \"md5:0\", \"size\": 1}]}",
            "names \"md5:0\", which is no SHA-256",
        ),
        (
            "{\"schemaVersion\": 2, \"layers\": [{\"mediaType\": \"application/wasm\", \"digest\": \"../../x\", \"size\": 1}]}",
            "names \"../../x\"",
        ),
    ] {
        contents.put("manifests/1", OCI_MANIFEST, bytes);
        let error = World::new().fetch(&registry.plugin("1", &none())).unwrap_err();
        assert!(matches!(error, FetchError::Image(_)) && error.to_string().contains(expected), "{error}");
        assert!(!error.is_out_of_reach());
    }
    contents.put("manifests/1", OCI_MANIFEST, vec![b' '; 5_000_000]);
    let error = World::new().fetch(&registry.plugin("1", &none())).unwrap_err();
    assert!(matches!(error, FetchError::Http(HttpError::TooLarge { limit: 4_194_304, .. })), "{error:?}");
}

#[test]
fn layers_that_are_not_what_the_manifest_says_are_refused() {
    let registry = Registry::new();
    let contents = &registry.contents;
    contents.artifact("1", WASM);
    let blob = format!("blobs/sha256:{}", sha256(WASM));

    contents.put(&blob, "x", *b"\0asm\x02\0\0\0");
    let error = World::new().fetch(&registry.plugin("1", &none())).unwrap_err();
    assert!(matches!(error, FetchError::Image(ImageError::WrongDigest { what: "layer", .. })), "{error:?}");
    contents.put(&blob, "x", *b"\0asm");
    let error = World::new().fetch(&registry.plugin("1", &none())).unwrap_err();
    assert!(
        matches!(error, FetchError::Image(ImageError::WrongSize { found: 4, expected: 8, .. })),
        "{error:?}"
    );
    contents.put(&blob, "x", vec![0; 1000]);
    let error = World::new().fetch(&registry.plugin("1", &none())).unwrap_err();
    assert!(matches!(error, FetchError::Http(HttpError::TooLarge { limit: 8, .. })), "{error:?}");
    contents.remove(&blob);
    let error = line(World::new().fetch(&registry.plugin("1", &none())));
    assert!(error.contains("status 404"), "{error}");

    // A layer that says of itself that it is too large is not asked for.
    contents.put(&blob, "x", WASM);
    let before = registry.log().len();
    let error = World::new().fetch(&registry.plugin("1", &json!({"max_bytes": 7}))).unwrap_err();
    assert!(matches!(error, FetchError::TooLarge { size: 8, limit: 7, .. }), "{error:?}");
    assert!(error.is_retryable(), "the tag may move");
    let text = error.to_string();
    assert!(text.contains("/acme/auth:1 has 8 bytes, expected at most 7 (graft.source.max_bytes)"), "{text}");
    assert!(!registry.log()[before..].iter().any(|line| line.contains("blobs")));
}

#[test]
fn a_tag_is_looked_at_without_its_manifest() {
    let registry = Registry::new();
    let digest = registry.contents.artifact("1", WASM);
    let (world, plugin) = (World::new(), registry.plugin("1", &none()));
    assert_eq!(world.revision(&plugin).unwrap().to_string(), format!("sha256:{digest}"));
    assert_eq!(registry.log().last().unwrap(), "HEAD manifests/1");
    let moved = registry.contents.artifact("1", b"\0asm new");
    assert_eq!(world.revision(&plugin).unwrap().to_string(), format!("sha256:{moved}"));

    let answers = [200, 400, 403, 404, 405, 501].map(|status| (status, true));
    for (status, is_helped) in answers.into_iter().chain([408, 429, 500].map(|status| (status, false))) {
        let silent = Registry::guarded(Box::new(move |request| {
            (request.method == "HEAD").then(|| Reply::status(status))
        }));
        let digest = silent.contents.artifact("1", WASM);
        match World::new().revision(&silent.plugin("1", &none())) {
            Ok(revision) if is_helped => assert_eq!(revision.to_string(), format!("sha256:{digest}")),
            Err(error) if !is_helped => assert!(error.is_out_of_reach(), "{error}"),
            result => panic!("{status}: {result:?}"),
        }
    }
}

#[test]
fn a_registry_without_tls_that_waits_for_the_end_of_a_request_is_asked_without() {
    let registry = Registry::patient();
    registry.contents.artifact("1", WASM);
    let plugin = registry.plugin("1", &none());
    assert_eq!(World::new().fetch(&plugin).unwrap().bytes, WASM);
    let plugin = registry.plugin("1", &json!({"insecure_registries": [], "try_timeout": "0.3s"}));
    assert!(line(World::new().fetch(&plugin)).contains("did not answer"));
    assert!(registry.server.requests().iter().all(|request| request.path.starts_with("/v2/")));
}

#[test]
fn a_registry_that_is_not_listed_must_speak_tls() {
    let registry = Registry::new();
    registry.contents.artifact("1", WASM);
    let plugin = registry.plugin("1", &json!({"insecure_registries": []}));
    let error = World::new().fetch(&plugin).unwrap_err();
    assert!(
        matches!(error, FetchError::Http(HttpError::Tls { .. } | HttpError::Unreachable { .. })),
        "{error:?}"
    );
    if matches!(error, FetchError::Http(HttpError::Tls { .. })) {
        assert!(error.to_string().contains("graft.source.insecure_registries"), "{error}");
    }
    assert_eq!(registry.log(), [""; 0]);
}

/// In front of a server, and hangs up on the first connections.
fn flaky(server: SocketAddr, hang_ups: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for connection in listener.incoming().skip(hang_ups) {
            let (client, server) = (connection.unwrap(), TcpStream::connect(server).unwrap());
            for (mut from, mut to) in
                [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)]
            {
                std::thread::spawn(move || {
                    drop(std::io::copy(&mut from, &mut to));
                    drop(to.shutdown(std::net::Shutdown::Write));
                });
            }
        }
    });
    address
}

#[test]
fn a_registry_whose_first_connections_fail_is_not_taken_for_one_without_tls() {
    // A plain one that comes back is understood, too.
    for registry in [Registry::secure(&Tls::new()), Registry::new()] {
        registry.contents.artifact("1", WASM);
        // Both questions, with TLS and without.
        let address = flaky(registry.server.address, 2);
        let source = json!({"insecure_registries": [address.to_string()], "retries": {"attempts": 2}});
        let plugin = plugin(&json!({"oci": format!("{address}/acme/auth:1")}), &source);
        assert_eq!(World::new().fetch(&plugin).unwrap().bytes, WASM);
    }
}
