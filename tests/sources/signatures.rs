//! Who has signed an image: as cosign 2 and cosign 3 write it, and as they do not.

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use graft::config::PluginConfig;
use graft::source::{FetchError, Origin, SignatureError};
use serde_json::{Value, json};

use crate::registry::{Contents, OCI_INDEX, OCI_MANIFEST, Registry};
use crate::server::Reply;
use crate::world::{WASM, World, line};

const PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const STATEMENT: &str = "application/vnd.in-toto+json";
const SIGNED: &str = "https://sigstore.dev/cosign/sign/v1";

struct Signer(EcdsaKeyPair);

impl Signer {
    fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap())
    }

    fn pem(&self) -> String {
        let der: PublicKeyX509Der<'_> = self.0.public_key().as_der().unwrap();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der.as_ref()))
    }

    fn sign(&self, message: &[u8]) -> String {
        STANDARD.encode(self.0.sign(&SystemRandom::new(), message).unwrap().as_ref())
    }

    /// What cosign 2 puts under the tag of an image: signatures that name these digests.
    fn payloads(&self, contents: &Contents, image: &str, named: &[&str]) {
        let layers: Vec<Value> = named
            .iter()
            .map(|digest| {
                let payload = json!({
                    "critical": {
                        "identity": {"docker-reference": "a.io/acme/auth"},
                        "image": {"docker-manifest-digest": format!("sha256:{digest}")},
                        "type": "cosign container image signature",
                    },
                    "optional": null,
                });
                let bytes = payload.to_string().into_bytes();
                let mut layer = contents.blob(PAYLOAD, &bytes);
                layer["annotations"] = json!({"dev.cosignproject.cosign/signature": self.sign(&bytes)});
                layer
            })
            .collect();
        contents.image(&format!("sha256-{image}.sig"), &layers);
    }

    /// What cosign 3 attaches to an image: the entry of a list of referrers.
    fn bundle(&self, contents: &Contents, named: &str, predicate: &str) -> Value {
        let statement = json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"digest": {"sha256": named}}],
            "predicateType": predicate,
            "predicate": {},
        });
        let payload = statement.to_string();
        let message = format!("DSSEv1 {} {STATEMENT} {} {payload}", STATEMENT.len(), payload.len());
        let bundle = json!({
            "mediaType": BUNDLE,
            "verificationMaterial": {"publicKey": {"hint": "x"}},
            "dsseEnvelope": {
                "payload": STANDARD.encode(&payload),
                "payloadType": STATEMENT,
                "signatures": [{"sig": self.sign(message.as_bytes())}],
            },
        });
        let layer = contents.blob(BUNDLE, bundle.to_string().as_bytes());
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": BUNDLE,
            "config": contents.blob("application/vnd.oci.empty.v1+json", b"{}"),
            "layers": [layer],
            "subject": {"mediaType": OCI_MANIFEST, "digest": format!("sha256:{named}"), "size": 1},
        });
        let digest = contents.manifest("unused", &manifest);
        json!({
            "mediaType": OCI_MANIFEST,
            "digest": format!("sha256:{digest}"),
            "size": manifest.to_string().len(),
            "artifactType": BUNDLE,
        })
    }
}

fn list(contents: &Contents, path: &str, entries: &[Value]) {
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries});
    contents.put(path, OCI_INDEX, index.to_string());
}

fn signed_by(registry: &Registry, reference: &str, keys: &[&Signer]) -> PluginConfig {
    let pem: String = keys.iter().map(|key| key.pem()).collect();
    registry.plugin(reference, &json!({"verification_key": {"inline": pem}}))
}

fn refusal(registry: &Registry, keys: &[&Signer]) -> SignatureError {
    let error = World::new().fetch(&signed_by(registry, "1", keys)).unwrap_err();
    let FetchError::Signature(error) = error else { panic!("{error:?}") };
    error
}

#[test]
fn an_image_with_a_signature_of_cosign_2_runs() {
    let (registry, signer) = (Registry::new(), Signer::new());
    let digest = registry.contents.artifact("1", WASM);
    signer.payloads(&registry.contents, &digest, &[&digest]);
    assert_eq!(World::new().fetch(&signed_by(&registry, "1", &[&signer])).unwrap().bytes, WASM);
    // One of several keys, one of several signatures.
    let other = Signer::new();
    signer.payloads(&registry.contents, &digest, &[&"0".repeat(64), &digest]);
    assert_eq!(World::new().fetch(&signed_by(&registry, "1", &[&other, &signer])).unwrap().bytes, WASM);
}

#[test]
fn an_image_with_a_bundle_of_cosign_3_runs() {
    let (registry, signer) = (Registry::new(), Signer::new());
    let digest = registry.contents.artifact("1", WASM);
    let entry = signer.bundle(&registry.contents, &digest, SIGNED);
    for path in [format!("referrers/sha256:{digest}"), format!("manifests/sha256-{digest}")] {
        list(&registry.contents, &path, std::slice::from_ref(&entry));
        assert_eq!(World::new().fetch(&signed_by(&registry, "1", &[&signer])).unwrap().bytes, WASM, "{path}");
        registry.contents.remove(&path);
    }
    // A list of other things leads to the tag.
    let other = json!({"mediaType": OCI_MANIFEST, "digest": format!("sha256:{digest}"), "size": 1, "artifactType": "x/y"});
    list(&registry.contents, &format!("referrers/sha256:{digest}"), &[other]);
    list(&registry.contents, &format!("manifests/sha256-{digest}"), &[entry]);
    assert_eq!(World::new().fetch(&signed_by(&registry, "1", &[&signer])).unwrap().bytes, WASM);
}

#[test]
fn a_list_of_referrers_may_have_pages() {
    let signer = Signer::new();
    let registry = Registry::guarded(Box::new(|request| {
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).to_string();
        let is_first = path.contains("/referrers/") && query.is_empty();
        is_first.then(|| Reply::ok(index).with("link", format!("<{path}?n=1>; rel=\"next\"")))
    }));
    let digest = registry.contents.artifact("1", WASM);
    let entry = signer.bundle(&registry.contents, &digest, SIGNED);
    list(&registry.contents, &format!("referrers/sha256:{digest}"), &[entry]);
    assert_eq!(World::new().fetch(&signed_by(&registry, "1", &[&signer])).unwrap().bytes, WASM);
}

#[test]
fn an_image_that_nobody_has_signed_does_not_run() {
    let (registry, signer) = (Registry::new(), Signer::new());
    let digest = registry.contents.artifact("1", WASM);
    let error = refusal(&registry, &[&signer]);
    assert!(matches!(error, SignatureError::Unsigned { .. }), "{error:?}");
    assert!(error.to_string().contains(&format!("acme/auth:1 (sha256:{digest}) is not signed")), "{error}");
    // What says how an image was built does not say that it is good.
    let sbom = signer.bundle(&registry.contents, &digest, "https://spdx.dev/Document");
    list(&registry.contents, &format!("referrers/sha256:{digest}"), &[sbom]);
    let error = refusal(&registry, &[&signer]).to_string();
    assert!(error.contains("it is by that key, and is of the kind \"https://spdx.dev/Document\""), "{error}");
}

#[test]
fn a_signature_by_somebody_else_does_not_count() {
    let (registry, signer, other) = (Registry::new(), Signer::new(), Signer::new());
    let digest = registry.contents.artifact("1", WASM);
    other.payloads(&registry.contents, &digest, &[&digest]);
    let error = refusal(&registry, &[&signer]).to_string();
    assert!(error.contains("has 1 signatures and none that counts: it is not by that key"), "{error}");
    let entry = other.bundle(&registry.contents, &digest, SIGNED);
    list(&registry.contents, &format!("referrers/sha256:{digest}"), &[entry]);
    let error = refusal(&registry, &[&signer]).to_string();
    assert!(error.contains("has 2 signatures and none that counts: it is not by that key"), "{error}");
}

#[test]
fn a_signature_of_another_image_does_not_count() {
    let (registry, signer) = (Registry::new(), Signer::new());
    let good = registry.contents.artifact("good", b"\0asm good");
    let digest = registry.contents.artifact("1", WASM);
    signer.payloads(&registry.contents, &digest, &[&good]);
    let error = refusal(&registry, &[&signer]).to_string();
    assert!(error.contains(&format!("it is by that key, and signs sha256:{good}")), "{error}");
    registry.contents.remove(&format!("manifests/sha256-{digest}.sig"));
    let entry = signer.bundle(&registry.contents, &good, SIGNED);
    list(&registry.contents, &format!("referrers/sha256:{digest}"), &[entry]);
    let error = refusal(&registry, &[&signer]).to_string();
    assert!(error.contains(&format!("it is by that key, and signs sha256:{good}")), "{error}");
}

#[test]
fn damaged_signatures_do_not_count_and_do_not_hide_a_good_one() {
    let (registry, signer) = (Registry::new(), Signer::new());
    let contents = &registry.contents;
    let digest = contents.artifact("1", WASM);
    let tag = format!("manifests/sha256-{digest}.sig");
    let bare = contents.blob(PAYLOAD, b"{}");
    let mut gone = contents.blob(PAYLOAD, b"gone");
    gone["digest"] = json!("md5:0");
    for (manifest, expected) in [
        ("nonsense".to_owned(), "cannot be read (the registry's list of signatures is damaged)"),
        (
            json!({"schemaVersion": 2, "layers": [bare]}).to_string(),
            "cannot be read (no annotation with a signature)",
        ),
        (json!({"schemaVersion": 2, "layers": [gone]}).to_string(), "cannot be read (a damaged layer)"),
    ] {
        contents.put(&tag, OCI_MANIFEST, manifest);
        let error = refusal(&registry, &[&signer]).to_string();
        assert!(error.contains(expected), "{error}");
    }
    contents.put(&tag, OCI_MANIFEST, "nonsense");
    let entry = signer.bundle(contents, &digest, SIGNED);
    let damaged = json!({"mediaType": OCI_MANIFEST, "digest": "sha256:0", "size": 1, "artifactType": BUNDLE});
    list(contents, &format!("referrers/sha256:{digest}"), &[damaged, entry]);
    assert_eq!(World::new().fetch(&signed_by(&registry, "1", &[&signer])).unwrap().bytes, WASM);
}

#[test]
fn a_registry_that_fails_to_show_signatures_is_no_registry_without_signatures() {
    let signer = Signer::new();
    let registry =
        Registry::guarded(Box::new(|request| request.path.contains("sha256-").then(|| Reply::status(503))));
    registry.contents.artifact("1", WASM);
    let error = World::new().fetch(&signed_by(&registry, "1", &[&signer])).unwrap_err();
    assert!(error.is_out_of_reach(), "{error}");
}

#[test]
fn what_was_verified_by_a_key_is_verified_anew_for_another() {
    let (registry, signer, other) = (Registry::new(), Signer::new(), Signer::new());
    let digest = registry.contents.artifact("1", WASM);
    signer.payloads(&registry.contents, &digest, &[&digest]);
    let world = World::new();
    let pinned = format!("sha256:{digest}");
    // Unverified on the shelf: that does not count for those who want a signature.
    world.fetch(&registry.plugin(&pinned, &json!({}))).unwrap();
    assert_eq!(world.fetch(&signed_by(&registry, &pinned, &[&signer])).unwrap().origin, Origin::Network);
    assert_eq!(world.fetch(&signed_by(&registry, &pinned, &[&signer])).unwrap().origin, Origin::Shelf);
    let error = line(world.fetch(&signed_by(&registry, &pinned, &[&other])));
    assert!(error.contains("it is not by that key"), "{error}");
    assert!(world.at_hand(&signed_by(&registry, &pinned, &[&other])).is_none());
}

/// What was asked of signatures.
fn of_signatures(registry: &Registry) -> Vec<String> {
    registry.log().into_iter().filter(|line| line.contains("sha256-") || line.contains("referrers")).collect()
}

#[test]
fn who_has_found_a_good_signature_looks_for_no_other() {
    let (registry, signer) = (Registry::new(), Signer::new());
    let digest = registry.contents.artifact("1", WASM);
    signer.payloads(&registry.contents, &digest, &[&digest]);
    World::new().fetch(&signed_by(&registry, "1", &[&signer])).unwrap();
    assert_eq!(of_signatures(&registry), [format!("GET manifests/sha256-{digest}.sig")]);
}

#[test]
fn a_registry_that_fails_with_one_form_may_have_a_good_signature_in_the_other() {
    let signer = Signer::new();
    for broken in [".sig", "/referrers/"] {
        let registry = Registry::guarded(Box::new(move |request| {
            request.path.contains(broken).then(|| Reply::status(500))
        }));
        let digest = registry.contents.artifact("1", WASM);
        let plugin = signed_by(&registry, "1", &[&signer]);
        // It may be there, so that it is not signed is not said.
        let error = World::new().fetch(&plugin).unwrap_err();
        assert!(error.to_string().contains("status 500"), "{broken}: {error}");
        signer.payloads(&registry.contents, &digest, &[&digest]);
        let entry = signer.bundle(&registry.contents, &digest, SIGNED);
        list(&registry.contents, &format!("referrers/sha256:{digest}"), &[entry]);
        assert_eq!(World::new().fetch(&plugin).unwrap().bytes, WASM, "{broken}");
    }
}

#[test]
fn a_bundle_that_is_not_there_does_not_hide_a_good_one() {
    let (registry, signer) = (Registry::new(), Signer::new());
    let digest = registry.contents.artifact("1", WASM);
    let entry = signer.bundle(&registry.contents, &digest, SIGNED);
    let gone = json!({
        "mediaType": OCI_MANIFEST,
        "digest": format!("sha256:{}", "0".repeat(64)),
        "size": 1,
        "artifactType": BUNDLE,
    });
    list(&registry.contents, &format!("referrers/sha256:{digest}"), &[gone, entry]);
    assert_eq!(World::new().fetch(&signed_by(&registry, "1", &[&signer])).unwrap().bytes, WASM);
}

#[test]
fn a_list_without_an_end_is_given_up_and_what_is_no_signature_is_not_kept() {
    let signer = Signer::new();
    let registry = Registry::guarded(Box::new(|request| {
        let (path, _) = request.path.split_once('?').unwrap_or((&request.path, ""));
        let other = json!({"mediaType": "x", "digest": "sha256:0", "size": 1, "artifactType": "x/y"});
        let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": vec![other; 4000]});
        let page = || Reply::ok(index.to_string()).with("link", format!("<{path}?n=1>; rel=\"next\""));
        path.contains("/referrers/").then(page)
    }));
    registry.contents.artifact("1", WASM);
    assert!(matches!(refusal(&registry, &[&signer]), SignatureError::Unsigned { .. }));
    let pages = registry.log().iter().filter(|line| line.contains("referrers")).count();
    assert_eq!(pages, 16);
}

#[test]
fn plugins_with_different_keys_keep_their_proofs_beside_each_other() {
    let (registry, one, other) = (Registry::new(), Signer::new(), Signer::new());
    let digest = registry.contents.artifact("1", WASM);
    one.payloads(&registry.contents, &digest, &[&digest]);
    let entry = other.bundle(&registry.contents, &digest, SIGNED);
    list(&registry.contents, &format!("referrers/sha256:{digest}"), &[entry]);
    let world = World::new();
    let pinned = format!("sha256:{digest}");
    for reference in ["1", &pinned] {
        let plugins = [
            signed_by(&registry, reference, &[&one]),
            signed_by(&registry, reference, &[&other]),
            registry.plugin(reference, &json!({})),
        ];
        for plugin in &plugins {
            world.fetch(plugin).unwrap();
        }
        for plugin in &plugins {
            assert!(world.at_hand(plugin).is_some(), "{reference}");
        }
        // A key that is added takes nothing away, and one that is replaced takes all.
        let stranger = Signer::new();
        for (keys, is_there) in [
            (vec![&one, &stranger], true),
            (vec![&stranger, &one], true),
            (vec![&one, &other], true),
            (vec![&stranger], false),
        ] {
            assert_eq!(world.at_hand(&signed_by(&registry, reference, &keys)).is_some(), is_there);
        }
    }
}

#[test]
fn what_nobody_has_signed_takes_the_place_of_nothing_that_is() {
    let (registry, signer) = (Registry::new(), Signer::new());
    let digest = registry.contents.artifact("1", WASM);
    signer.payloads(&registry.contents, &digest, &[&digest]);
    let world = World::new();
    let (careful, any) = (signed_by(&registry, "1", &[&signer]), registry.plugin("1", &json!({})));
    world.fetch(&careful).unwrap();
    // The tag moves to what is not signed, and somebody takes it.
    registry.contents.artifact("1", b"\0asm new");
    assert_eq!(world.renew(&any).unwrap().bytes, b"\0asm new");
    assert_eq!(world.at_hand(&careful).unwrap().unwrap().bytes, WASM);
    assert!(matches!(
        world.renew(&careful).unwrap_err(),
        FetchError::Signature(SignatureError::Unsigned { .. })
    ));
}

#[test]
fn a_tag_leads_to_what_it_led_to_last_whichever_key_has_signed_that() {
    let (registry, old, new) = (Registry::new(), Signer::new(), Signer::new());
    let (world, plugin) = (World::new(), signed_by(&registry, "1", &[&old, &new]));
    for (code, signer) in [(WASM, &old), (b"\0asm new", &new), (b"\0asm newer", &old)] {
        let digest = registry.contents.artifact("1", code);
        signer.payloads(&registry.contents, &digest, &[&digest]);
        assert_eq!(world.renew(&plugin).unwrap().bytes, code);
        assert_eq!(world.at_hand(&plugin).unwrap().unwrap().bytes, code);
    }
}

#[test]
fn keys_come_from_a_file_too_and_must_be_keys() {
    let (registry, signer) = (Registry::new(), Signer::new());
    let digest = registry.contents.artifact("1", WASM);
    signer.payloads(&registry.contents, &digest, &[&digest]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cosign.pub");
    let plugin = registry.plugin("1", &json!({"verification_key": {"file": path}}));
    for (text, expected) in [
        (None, Some("cannot be read (there is no such file)")),
        (Some("nothing".to_owned()), Some("cosign.pub\": no public key, expected public keys as PEM")),
        (Some(signer.pem()), None),
    ] {
        if let Some(text) = text {
            std::fs::write(&path, text).unwrap();
        }
        match (World::new().fetch(&plugin), expected) {
            (Ok(fetched), None) => assert_eq!(fetched.bytes, WASM),
            (Err(error), Some(expected)) => {
                assert_eq!(error.field(), Some("graft.source.verification_key"));
                assert!(error.to_string().contains(expected), "{error}");
            }
            (result, _) => panic!("{result:?}"),
        }
    }
}
