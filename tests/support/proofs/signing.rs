//! Images are signed in both forms, and only the right key finds the signature good.

use crate::support::{Authority, KeyPair, Layout, Registry, SignatureForm, wasm};

#[test]
fn a_signature_in_either_form_is_good_for_its_key_and_its_image_alone() {
    let registry = Registry::open();
    let (keys, others) = (KeyPair::generate(), KeyPair::generate());
    assert!(keys.public_pem().starts_with("-----BEGIN PUBLIC KEY-----"));
    for (form, name) in SignatureForm::ALL.into_iter().zip(["plugins/tag:v1", "plugins/bundle:v1"]) {
        let image = registry.push(Layout::Docker, name, &wasm::generation(1));
        assert!(keys.verify(&registry, &image, form).is_err(), "{form:?}: nobody has signed yet");
        keys.sign(&registry, &image, form);
        keys.verify(&registry, &image, form).unwrap();
        assert!(others.verify(&registry, &image, form).is_err(), "{form:?}: another key");
        let other = registry.push(Layout::Docker, name, &wasm::generation(2));
        assert!(keys.verify(&registry, &other, form).is_err(), "{form:?}: another image");
    }
}

#[test]
fn the_forms_are_kept_under_different_tags() {
    let registry = Registry::open();
    let keys = KeyPair::generate();
    let image = registry.push(Layout::SingleLayer, "plugins/one:v1", &wasm::generation(1));
    let place = format!("{}:sha256-{}", image.repository, image.sha256());
    keys.sign(&registry, &image, SignatureForm::Tag);
    let kind = registry.manifest(&format!("{place}.sig"))["layers"][0]["mediaType"].clone();
    assert_eq!(kind, "application/vnd.dev.cosign.simplesigning.v1+json");
    keys.sign(&registry, &image, SignatureForm::Bundle);
    let kind = registry.manifest(&place)["manifests"][0]["artifactType"].clone();
    assert_eq!(kind, "application/vnd.dev.sigstore.bundle.v0.3+json");
}

#[test]
fn images_of_a_registry_with_a_password_and_https_are_signed_too() {
    let authority = Authority::new();
    let registry = Registry::setup().basic_auth("writer", "secret").tls(&authority).start();
    let keys = KeyPair::generate();
    for form in SignatureForm::ALL {
        let image = registry.push(Layout::OciImage, "plugins/one:v1", &wasm::generation(1));
        keys.sign(&registry, &image, form);
        keys.verify(&registry, &image, form).unwrap();
    }
}
