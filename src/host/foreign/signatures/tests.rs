//! Keys of every type, made here, sign and verify in every form.

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair as RsaPair, KeySize};
use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;

/// A private key and its public one, as DER.
struct Keys {
    private: Vec<u8>,
    public: Vec<u8>,
}

fn rsa() -> Keys {
    let pair = RsaPair::generate(KeySize::Rsa2048).unwrap();
    let private: Pkcs8V1Der = pair.as_der().unwrap();
    let public: PublicKeyX509Der = pair.public_key().as_der().unwrap();
    Keys { private: private.as_ref().to_vec(), public: public.as_ref().to_vec() }
}

fn curve(algorithm: &'static EcdsaSigningAlgorithm) -> Keys {
    let pair = EcdsaKeyPair::generate(algorithm).unwrap();
    let public: PublicKeyX509Der = pair.public_key().as_der().unwrap();
    let private = pair.to_pkcs8v1().unwrap();
    Keys { private: private.as_ref().to_vec(), public: public.as_ref().to_vec() }
}

fn pem(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let lines: Vec<&str> =
        body.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

fn message(fields: &[(u64, &[u8])]) -> Vec<u8> {
    let mut message = Vec::new();
    for (number, bytes) in fields {
        wire::put_bytes(&mut message, *number, bytes);
    }
    message
}

/// The result, the signature, and the error of an answer of `sign`.
fn signed(answer: &[u8]) -> (bool, Vec<u8>, String) {
    let mut all = (false, Vec::new(), String::new());
    wire::read(answer, |number, value| {
        match number {
            1 => all.0 = value.number()? == 1,
            2 => all.1 = value.bytes()?.to_vec(),
            3 => all.2 = value.text()?.to_owned(),
            _ => return None,
        }
        Some(())
    })
    .unwrap();
    all
}

/// The error of an answer of `verify_signature`; empty: it verified.
fn verified(answer: &[u8]) -> String {
    let (mut is_right, mut error) = (false, String::new());
    wire::read(answer, |number, value| {
        match number {
            1 => is_right = value.number()? == 1,
            2 => error = value.text()?.to_owned(),
            _ => return None,
        }
        Some(())
    })
    .unwrap();
    assert_eq!(is_right, error.is_empty());
    error
}

#[test]
fn each_pair_of_key_and_hash_signs_what_it_verifies() {
    let keys = [
        (KeyType::Rsa, rsa()),
        (KeyType::P256, curve(&ECDSA_P256_SHA256_ASN1_SIGNING)),
        (KeyType::P384, curve(&ECDSA_P384_SHA384_ASN1_SIGNING)),
        (KeyType::P521, curve(&ECDSA_P521_SHA512_ASN1_SIGNING)),
    ];
    for (key_type, keys) in &keys {
        let pem = pem("PRIVATE KEY", &keys.private);
        for (name, hash) in Hash::NAMES {
            let sign = message(&[(1, name.as_bytes()), (2, &keys.private), (3, b"text")]);
            let (is_signed, signature, error) = signed(&answer_sign(&sign).unwrap());
            let can_sign = find(*key_type, hash).is_some_and(|row| !matches!(row.signing, Signing::No));
            assert_eq!(is_signed, can_sign, "{key_type:?} {name}: {error}");
            if !can_sign {
                assert_eq!(error, "Failed to initialize digest sign.");
                continue;
            }
            let verify = |text: &[u8], signature: &[u8]| {
                let fields = [(1, name.as_bytes()), (2, &keys.public), (3, signature), (4, text)];
                verified(&answer_verify(&message(&fields)).unwrap())
            };
            assert_eq!(verify(b"text", &signature), "", "{key_type:?} {name}");
            let wrong = "Failed to verify digest. Error code: 0";
            assert_eq!(verify(b"other text", &signature), wrong);
            assert_eq!(verify(b"text", b""), wrong);
            let from_pem = message(&[(1, name.as_bytes()), (3, b"text"), (4, pem.as_bytes())]);
            let (_, signature, _) = signed(&answer_sign(&from_pem).unwrap());
            assert_eq!(verify(b"text", &signature), "");
        }
    }
}

#[test]
fn a_public_key_can_be_pem() {
    let keys = curve(&ECDSA_P256_SHA256_ASN1_SIGNING);
    let sign = message(&[(1, b"SHA256"), (2, &keys.private), (3, b"text")]);
    let (_, signature, _) = signed(&answer_sign(&sign).unwrap());
    let pem = pem("PUBLIC KEY", &keys.public);
    let verify = message(&[(1, b"Sha256"), (3, &signature), (4, b"text"), (5, pem.as_bytes())]);
    assert_eq!(verified(&answer_verify(&verify).unwrap()), "");
}

#[test]
fn what_is_no_key_or_two_keys_or_no_message_is_a_bad_argument() {
    let keys = curve(&ECDSA_P256_SHA256_ASN1_SIGNING);
    let pem = pem("PUBLIC KEY", &keys.public);
    let bare = keys.public.get(keys.public.len() - 65..).unwrap();
    let verifies: [&[(u64, &[u8])]; 5] = [
        &[(1, b"sha256")],
        &[(1, b"sha256"), (2, b"no key")],
        &[(1, b"sha256"), (2, bare)],
        &[(1, b"sha256"), (2, &keys.public), (5, pem.as_bytes())],
        &[(1, b"sha256"), (5, b"-----BEGIN PUBLIC KEY-----")],
    ];
    for fields in verifies {
        assert_eq!(answer_verify(&message(fields)), Err(Status::BadArgument), "{fields:?}");
    }
    assert_eq!(answer_verify(b"\x0a\xff"), Err(Status::BadArgument));
    assert_eq!(answer_sign(b"\x0a\xff"), Err(Status::BadArgument));
    assert_eq!(answer_sign(&message(&[(1, b"sha256"), (2, &keys.public)])), Err(Status::BadArgument));
}

#[test]
fn a_hash_that_nobody_knows_is_named_in_the_error() {
    let keys = curve(&ECDSA_P256_SHA256_ASN1_SIGNING);
    let verify = answer_verify(&message(&[(1, b"md5"), (2, &keys.public)])).unwrap();
    assert_eq!(verified(&verify), "md5 is not supported.");
    let sign = answer_sign(&message(&[(1, b"md5"), (2, &keys.private)])).unwrap();
    assert_eq!(signed(&sign), (false, Vec::new(), "md5 is not supported.".to_owned()));
}

#[test]
fn a_key_of_another_type_is_a_key_that_verifies_nothing() {
    let pair = Ed25519KeyPair::generate().unwrap();
    let public: PublicKeyX509Der = pair.public_key().as_der().unwrap();
    let verify = answer_verify(&message(&[(1, b"sha256"), (2, public.as_ref())])).unwrap();
    assert_eq!(verified(&verify), "Failed to initialize digest verify.");
    let private = pair.to_pkcs8v1().unwrap();
    let sign = answer_sign(&message(&[(1, b"sha256"), (2, private.as_ref()), (3, b"text")])).unwrap();
    assert_eq!(signed(&sign), (false, Vec::new(), "Failed to initialize digest sign.".to_owned()));
}
