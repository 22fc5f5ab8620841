//! Public keys, and whether one of them made a signature.

use std::fmt;

use aws_lc_rs::rsa::PublicEncryptingKey;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ECDSA_P521_SHA256_ASN1,
    ECDSA_P521_SHA512_ASN1, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, VerificationAlgorithm,
};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject as _;

use super::SignatureError;
use crate::config::{Digest, SourceConfig, VerificationKey};
use crate::source::location;
use crate::source::shelf::sha256;

/// Largest file of keys.
const LARGEST: u64 = 64 * 1024;

/// What a key may have signed with. cosign hashes with SHA-256 whatever the curve is, others with the hash of its size.
const ALGORITHMS: [&dyn VerificationAlgorithm; 9] = [
    &ECDSA_P256_SHA256_ASN1,
    &ECDSA_P384_SHA256_ASN1,
    &ECDSA_P384_SHA384_ASN1,
    &ECDSA_P521_SHA256_ASN1,
    &ECDSA_P521_SHA512_ASN1,
    &RSA_PKCS1_2048_8192_SHA256,
    &RSA_PKCS1_2048_8192_SHA512,
    &RSA_PSS_2048_8192_SHA256,
    &ED25519,
];

/// Where keys are that are in no file.
const INLINE: &str = "graft.source.verification_key.inline";
/// How a public key begins, as PEM.
const BEGIN: &str = "-----BEGIN PUBLIC KEY-----";

/// Keys of which one must have signed.
#[derive(Debug)]
pub(in crate::source) struct Keys(Vec<Key>);

/// A key, as what it may be: some of the algorithms fit.
struct Key {
    parsed: Vec<ParsedPublicKey>,
    fingerprint: Digest,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&self.fingerprint).finish()
    }
}

impl Keys {
    /// The keys of a configuration, if it has any.
    pub(in crate::source) fn of(config: &SourceConfig) -> Result<Option<Self>, SignatureError> {
        match &config.verification_key {
            None => Ok(None),
            Some(VerificationKey::Inline(text)) => Self::parse(text.as_bytes(), INLINE).map(Some),
            Some(VerificationKey::File(path)) => {
                let bytes = location::read_file(path, LARGEST).map_err(|error| {
                    SignatureError::KeyUnreadable { path: path.clone(), reason: location::reason(&error) }
                })?;
                Self::parse(&bytes, &location::quoted(path)).map(Some)
            }
        }
    }

    /// Reads keys as PEM: each `-----BEGIN PUBLIC KEY-----`. Where it is, errors say.
    fn parse(pem: &[u8], place: &str) -> Result<Self, SignatureError> {
        let no_key = |problem| SignatureError::NoKey { place: place.to_owned(), problem };
        // The reader passes over what it does not look for: a certificate, or a private key, whose owner thinks that it counts.
        let is_other = |line: &str| line.starts_with("-----BEGIN ") && line != BEGIN;
        if String::from_utf8_lossy(pem).lines().map(str::trim).any(is_other) {
            return Err(no_key("a PEM section that is no public key"));
        }
        let mut keys = Vec::new();
        for key in SubjectPublicKeyInfoDer::pem_slice_iter(pem) {
            let der = key.map_err(|_| no_key("damaged PEM"))?;
            keys.push(Key::parse(der.as_ref()).map_err(no_key)?);
        }
        if keys.is_empty() {
            return Err(no_key("no public key"));
        }
        Ok(Self(keys))
    }

    /// What tells each of them from others.
    pub(in crate::source) fn fingerprints(&self) -> impl Iterator<Item = Digest> {
        self.0.iter().map(|key| key.fingerprint)
    }

    /// The fingerprint of the one that has signed the message, if one has.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> Option<Digest> {
        self.0.iter().find(|key| key.has_signed(message, signature)).map(|key| key.fingerprint)
    }
}

impl Key {
    fn parse(der: &[u8]) -> Result<Self, &'static str> {
        let parsed: Vec<ParsedPublicKey> =
            ALGORITHMS.iter().filter_map(|algorithm| ParsedPublicKey::new(*algorithm, der).ok()).collect();
        if parsed.is_empty() {
            return Err("a key of a kind that is not known here");
        }
        // One that is too short is parsed, and refused with each signature.
        let is_rsa = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, der).is_ok();
        if is_rsa && PublicEncryptingKey::from_der(der).is_err() {
            return Err("an RSA key of less than 2048 bits, or more than 8192");
        }
        Ok(Self { parsed, fingerprint: sha256(der) })
    }

    fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        self.parsed.iter().any(|key| key.verify_sig(message, signature).is_ok())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::{KeyPair as RsaPair, KeySize};
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
        Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    };
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    pub(in crate::source::signature) fn pem(der: &[u8]) -> String {
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
    }

    /// A key pair, and its public key as PEM.
    pub(in crate::source::signature) fn ecdsa(
        algorithm: &'static EcdsaSigningAlgorithm,
    ) -> (EcdsaKeyPair, String) {
        let pair = EcdsaKeyPair::generate(algorithm).unwrap();
        let der: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        let text = pem(der.as_ref());
        (pair, text)
    }

    fn parse(text: &str) -> Result<Keys, String> {
        Keys::parse(text.as_bytes(), "a place").map_err(|error| error.to_string())
    }

    pub(in crate::source::signature) fn p256() -> (EcdsaKeyPair, Keys) {
        let (pair, text) = ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING);
        (pair, parse(&text).unwrap())
    }

    pub(in crate::source::signature) fn sign(pair: &EcdsaKeyPair, message: &[u8]) -> Vec<u8> {
        pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
    }

    #[test]
    fn each_kind_of_key_verifies_what_it_has_signed_and_nothing_else() {
        let random = SystemRandom::new();
        let mut cases = Vec::new();
        for algorithm in [&ECDSA_P256_SHA256_ASN1_SIGNING, &ECDSA_P384_SHA384_ASN1_SIGNING] {
            let (pair, text) = ecdsa(algorithm);
            cases.push((text, sign(&pair, b"message")));
        }
        let pair = Ed25519KeyPair::generate().unwrap();
        let der: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        cases.push((pem(der.as_ref()), pair.sign(b"message").as_ref().to_vec()));
        let pair = RsaPair::generate(KeySize::Rsa2048).unwrap();
        let der: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(&RSA_PKCS1_SHA256, &random, b"message", &mut signature).unwrap();
        cases.push((pem(der.as_ref()), signature));

        for (text, signature) in &cases {
            let keys = parse(text).unwrap();
            let own: Vec<Digest> = keys.fingerprints().collect();
            assert_eq!(keys.verify(b"message", signature), Some(own[0]), "{text}");
            assert_eq!(keys.verify(b"massage", signature), None);
            assert_eq!(keys.verify(b"message", &signature[1..]), None);
            let others = cases.iter().filter(|(other, _)| other != text);
            assert!(others.clone().all(|(_, other)| keys.verify(b"message", other).is_none()));
        }
        let all: String = cases.iter().map(|(text, _)| text.as_str()).collect();
        let keys = parse(&all).unwrap();
        let signers: Vec<Option<Digest>> =
            cases.iter().map(|(_, signature)| keys.verify(b"message", signature)).collect();
        let own: Vec<Option<Digest>> = keys.fingerprints().map(Some).collect();
        assert_eq!(signers, own, "which of them it was is told");
    }

    #[test]
    fn what_is_no_public_key_is_refused() {
        for (text, expected) in [
            ("", "no public key"),
            (&pem(b"nonsense"), "a key of a kind that is not known here"),
            ("-----BEGIN PUBLIC KEY-----\n!\n-----END PUBLIC KEY-----\n", "damaged PEM"),
            (&pem(&rsa_of_1024_bits()), "an RSA key of less than 2048 bits"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with(&format!("the keys in a place: {expected}")), "{error}");
        }
        // Beside a good one, too.
        let (_, good) = ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING);
        for kind in ["CERTIFICATE", "PRIVATE KEY", "EC PRIVATE KEY", "RSA PUBLIC KEY", "OTHER"] {
            let section = format!("-----BEGIN {kind}-----\nAAAA\n-----END {kind}-----\n");
            for text in [section.clone(), format!("{good}{section}"), format!("{section}{good}")] {
                let error = parse(&text).unwrap_err();
                assert!(error.contains("a PEM section that is no public key"), "{error}");
            }
        }
    }

    /// The public key of an RSA pair of 1024 bits: what a modulus of that size looks like is enough.
    fn rsa_of_1024_bits() -> Vec<u8> {
        let mut der =
            b"\x30\x81\x9f\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00\x03\x81\x8d\x00"
                .to_vec();
        der.extend(b"\x30\x81\x89\x02\x81\x81\x00");
        der.extend([0xc5; 128]);
        der.extend(b"\x02\x03\x01\x00\x01");
        der
    }
}
