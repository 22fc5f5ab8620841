//! What cosign 2 writes: a payload that names an image, and beside it the signature of the payload.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::{Flaw, Keys};
use crate::config::Digest;
use crate::source::oci::Descriptor;

const TYPE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const KIND: &str = "cosign container image signature";

#[derive(Deserialize)]
struct Payload {
    critical: Critical,
}

#[derive(Deserialize)]
struct Critical {
    image: Image,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Image {
    #[serde(rename = "docker-manifest-digest")]
    digest: String,
}

/// Whether the layer is a payload.
pub(super) fn is_one(layer: &Descriptor) -> bool {
    layer.media_type == TYPE
}

/// The key that has signed the payload, if the payload names the image with the digest.
pub(super) fn check(bytes: &[u8], layer: &Descriptor, keys: &Keys, digest: Digest) -> Result<Digest, Flaw> {
    let text = layer.signature().ok_or(Flaw::Malformed("no annotation with a signature"))?;
    let signature = STANDARD.decode(text).map_err(|_| Flaw::Malformed("a signature that is no base64"))?;
    // Before it is read: what nobody has signed need not be understood.
    let key = keys.verify(bytes, &signature).ok_or(Flaw::WrongKey)?;
    let payload: Payload =
        serde_json::from_slice(bytes).map_err(|_| Flaw::Malformed("a payload that names no image"))?;
    if payload.critical.kind != KIND {
        return Err(Flaw::WrongKind(payload.critical.kind.chars().take(100).collect()));
    }
    let named = payload.critical.image.digest;
    if named != format!("sha256:{digest}") {
        return Err(Flaw::WrongDigest(named.chars().take(100).collect()));
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::keys::tests::{p256, sign};
    use super::*;
    use crate::source::shelf::sha256;

    fn payload(digest: Digest) -> Vec<u8> {
        json!({
            "critical": {
                "identity": {"docker-reference": "a.io/x"},
                "image": {"docker-manifest-digest": format!("sha256:{digest}")},
                "type": KIND,
            },
            "optional": null,
        })
        .to_string()
        .into_bytes()
    }

    fn layer(signature: Option<&str>) -> Descriptor {
        let mut layer = json!({"mediaType": TYPE, "digest": "sha256:00", "size": 1});
        if let Some(signature) = signature {
            layer["annotations"] = json!({"dev.cosignproject.cosign/signature": signature});
        }
        serde_json::from_value(layer).unwrap()
    }

    #[test]
    fn a_payload_counts_that_is_signed_by_the_key_and_names_the_image() {
        let (pair, keys) = p256();
        let (_, others) = p256();
        let digest = sha256(b"manifest");
        let bytes = payload(digest);
        let signed = layer(Some(&STANDARD.encode(sign(&pair, &bytes))));
        assert_eq!(check(&bytes, &signed, &keys, digest).ok(), keys.fingerprints().next());
        assert_eq!(check(&bytes, &signed, &others, digest), Err(Flaw::WrongKey));
        assert_eq!(check(&payload(sha256(b"x")), &signed, &keys, digest), Err(Flaw::WrongKey));
        let named = Flaw::WrongDigest(format!("sha256:{digest}"));
        assert_eq!(check(&bytes, &signed, &keys, sha256(b"other")), Err(named));
    }

    #[test]
    fn what_is_written_otherwise_does_not_count() {
        let (pair, keys) = p256();
        let digest = sha256(b"manifest");
        let signed = |bytes: &[u8]| layer(Some(&STANDARD.encode(sign(&pair, bytes))));
        assert!(matches!(check(b"{}", &layer(None), &keys, digest), Err(Flaw::Malformed(_))));
        assert!(matches!(check(b"{}", &layer(Some("!")), &keys, digest), Err(Flaw::Malformed(_))));
        assert!(matches!(check(b"{}", &signed(b"{}"), &keys, digest), Err(Flaw::Malformed(_))));
        let text = String::from_utf8(payload(digest)).unwrap().replace(KIND, "other");
        let kind = Flaw::WrongKind("other".to_owned());
        assert_eq!(check(text.as_bytes(), &signed(text.as_bytes()), &keys, digest), Err(kind));
    }
}
