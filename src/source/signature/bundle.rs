//! What cosign 3 writes: a bundle of sigstore with a signed envelope (DSSE), in which a statement of in-toto names the image.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::{Flaw, Keys};
use crate::config::Digest;
use crate::source::oci::Descriptor;

/// Versions differ in what follows.
const TYPE: &str = "application/vnd.dev.sigstore.bundle";
const STATEMENT: &str = "application/vnd.in-toto+json";
/// What a statement says that is a signature of an image. Others say how it was built, or what is in it.
const SIGNED: &str = "https://sigstore.dev/cosign/sign/v1";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bundle {
    dsse_envelope: Option<Envelope>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    payload: String,
    payload_type: String,
    signatures: Vec<Signature>,
}

#[derive(Deserialize)]
struct Signature {
    sig: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statement {
    subject: Vec<Subject>,
    predicate_type: String,
}

#[derive(Deserialize)]
struct Subject {
    #[serde(default)]
    digest: BTreeMap<String, String>,
}

/// Whether what is attached to an image is such a bundle with a signature.
pub(super) fn is_one(descriptor: &Descriptor) -> bool {
    descriptor.artifact_type.as_ref().is_some_and(|artifact| artifact.starts_with(TYPE))
        && descriptor.predicate().is_none_or(|kind| kind == SIGNED)
}

/// The key that has signed the statement, if the statement names the image with the digest.
pub(super) fn check(bytes: &[u8], keys: &Keys, digest: Digest) -> Result<Digest, Flaw> {
    let bundle: Bundle =
        serde_json::from_slice(bytes).map_err(|_| Flaw::Malformed("no bundle of sigstore"))?;
    let envelope = bundle.dsse_envelope.ok_or(Flaw::Malformed("a bundle without an envelope"))?;
    let payload =
        STANDARD.decode(&envelope.payload).map_err(|_| Flaw::Malformed("a payload that is no base64"))?;
    let message = encoded(&envelope.payload_type, &payload);
    let key = envelope.signatures.iter().take(super::MOST).find_map(|signature| {
        STANDARD.decode(&signature.sig).ok().and_then(|signature| keys.verify(&message, &signature))
    });
    let key = key.ok_or(Flaw::WrongKey)?;
    if envelope.payload_type != STATEMENT {
        return Err(Flaw::WrongKind(short(&envelope.payload_type)));
    }
    let statement: Statement =
        serde_json::from_slice(&payload).map_err(|_| Flaw::Malformed("a payload that is no statement"))?;
    if statement.predicate_type != SIGNED {
        return Err(Flaw::WrongKind(short(&statement.predicate_type)));
    }
    let named: Vec<&String> =
        statement.subject.iter().filter_map(|subject| subject.digest.get("sha256")).collect();
    if named.iter().any(|named| Digest::parse(named) == Some(digest)) {
        return Ok(key);
    }
    let first =
        named.first().map_or_else(|| "nothing".to_owned(), |named| format!("sha256:{}", short(named)));
    Err(Flaw::WrongDigest(first))
}

/// What is signed of an envelope (DSSE's "pre-authentication encoding").
fn encoded(kind: &str, payload: &[u8]) -> Vec<u8> {
    let mut message = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
    message.extend_from_slice(payload);
    message
}

fn short(text: &str) -> String {
    text.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::EcdsaKeyPair;
    use serde_json::json;

    use super::super::keys::tests::{p256, sign};
    use super::*;
    use crate::source::shelf::sha256;

    fn bundle(pair: &EcdsaKeyPair, kind: &str, payload: &[u8]) -> Vec<u8> {
        let signature = STANDARD.encode(sign(pair, &encoded(kind, payload)));
        json!({
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {"publicKey": {"hint": "x"}},
            "dsseEnvelope": {
                "payload": STANDARD.encode(payload),
                "payloadType": kind,
                "signatures": [{"sig": signature}],
            },
        })
        .to_string()
        .into_bytes()
    }

    fn statement(digest: Digest, predicate: &str) -> Vec<u8> {
        json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"digest": {"sha256": digest.to_string()}, "annotations": null}],
            "predicateType": predicate,
            "predicate": {},
        })
        .to_string()
        .into_bytes()
    }

    #[test]
    fn the_encoding_is_that_of_dsse() {
        // The example of the specification.
        let message = encoded("http://example.com/HelloWorld", b"hello world");
        assert_eq!(message, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    }

    #[test]
    fn a_bundle_counts_that_is_signed_by_the_key_and_names_the_image() {
        let (pair, keys) = p256();
        let (_, others) = p256();
        let digest = sha256(b"manifest");
        let bytes = bundle(&pair, STATEMENT, &statement(digest, SIGNED));
        assert_eq!(check(&bytes, &keys, digest).ok(), keys.fingerprints().next());
        assert_eq!(check(&bytes, &others, digest), Err(Flaw::WrongKey));
        let named = Flaw::WrongDigest(format!("sha256:{digest}"));
        assert_eq!(check(&bytes, &keys, sha256(b"other")), Err(named));
    }

    #[test]
    fn a_statement_of_another_kind_is_no_signature() {
        let (pair, keys) = p256();
        let digest = sha256(b"manifest");
        let sbom = "https://spdx.dev/Document";
        let bytes = bundle(&pair, STATEMENT, &statement(digest, sbom));
        assert_eq!(check(&bytes, &keys, digest), Err(Flaw::WrongKind(sbom.to_owned())));
        let bytes = bundle(&pair, "text/plain", &statement(digest, SIGNED));
        assert_eq!(check(&bytes, &keys, digest), Err(Flaw::WrongKind("text/plain".to_owned())));
    }

    #[test]
    fn what_is_no_bundle_does_not_count() {
        let (pair, keys) = p256();
        let digest = sha256(b"manifest");
        let empty = json!({"dsseEnvelope": {"payload": "", "payloadType": STATEMENT, "signatures": []}});
        assert_eq!(check(empty.to_string().as_bytes(), &keys, digest), Err(Flaw::WrongKey));
        for bytes in [b"".to_vec(), b"{}".to_vec(), bundle(&pair, STATEMENT, b"{}")] {
            assert!(matches!(check(&bytes, &keys, digest), Err(Flaw::Malformed(_))));
        }
    }
}
