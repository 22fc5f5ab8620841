//! Public keys, and whether one of them made a signature.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ECDSA_P521_SHA256_ASN1,
    ECDSA_P521_SHA512_ASN1, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, VerificationAlgorithm,
};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject as _;
use sha2::{Digest as _, Sha256};

use super::SignatureError;
use crate::config::{Digest, SourceConfig, VerificationKey};
use crate::source::location;

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

/// Keys of which one must have signed.
#[derive(Debug)]
pub(in crate::source) struct Keys {
    parsed: Vec<ParsedPublicKey>,
    fingerprint: Digest,
}

impl Keys {
    /// The keys of a configuration, if it has any.
    pub(in crate::source) fn of(config: &SourceConfig) -> Result<Option<Self>, SignatureError> {
        match &config.verification_key {
            None => Ok(None),
            Some(VerificationKey::Inline(text)) => Self::parse(text.as_bytes()).map(Some),
            Some(VerificationKey::File(path)) => {
                let bytes = location::read_file(path, LARGEST).map_err(|error| {
                    SignatureError::KeyUnreadable { path: path.clone(), reason: location::reason(&error) }
                })?;
                Self::parse(&bytes).map(Some)
            }
        }
    }

    /// Reads keys as PEM: each `-----BEGIN PUBLIC KEY-----`.
    fn parse(pem: &[u8]) -> Result<Self, SignatureError> {
        let no_key = |problem| SignatureError::NoKey { problem };
        let mut parsed = Vec::new();
        let mut ders = Vec::new();
        for key in SubjectPublicKeyInfoDer::pem_slice_iter(pem) {
            let der = key.map_err(|_| no_key("damaged PEM"))?;
            let of_its_kind: Vec<ParsedPublicKey> = ALGORITHMS
                .iter()
                .filter_map(|algorithm| ParsedPublicKey::new(*algorithm, der.as_ref()).ok())
                .collect();
            if of_its_kind.is_empty() {
                return Err(no_key("a key of a kind that is not known here"));
            }
            parsed.extend(of_its_kind);
            ders.push(der.as_ref().to_vec());
        }
        if ders.is_empty() {
            return Err(no_key("no public key"));
        }
        // The order in which they stand does not matter.
        ders.sort_unstable();
        let mut hash = Sha256::new();
        for der in &ders {
            hash.update(u64::try_from(der.len()).unwrap_or(u64::MAX).to_le_bytes());
            hash.update(der);
        }
        Ok(Self { parsed, fingerprint: Digest::new(hash.finalize().into()) })
    }

    /// What tells these keys from others.
    pub(in crate::source) fn fingerprint(&self) -> Digest {
        self.fingerprint
    }

    /// Whether one of them has signed the message.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
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

    pub(in crate::source::signature) fn p256() -> (EcdsaKeyPair, Keys) {
        let (pair, text) = ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING);
        (pair, Keys::parse(text.as_bytes()).unwrap())
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
            let keys = Keys::parse(text.as_bytes()).unwrap();
            assert!(keys.verify(b"message", signature), "{text}");
            assert!(!keys.verify(b"massage", signature));
            assert!(!keys.verify(b"message", &signature[1..]));
            let others = cases.iter().filter(|(other, _)| other != text);
            assert!(others.clone().all(|(_, other)| !keys.verify(b"message", other)));
        }
        let all: String = cases.iter().map(|(text, _)| text.as_str()).collect();
        let keys = Keys::parse(all.as_bytes()).unwrap();
        assert!(cases.iter().all(|(_, signature)| keys.verify(b"message", signature)));
    }

    #[test]
    fn a_fingerprint_is_that_of_the_keys_in_any_order() {
        let (_, one) = ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING);
        let (_, other) = ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING);
        let fingerprint = |text: String| Keys::parse(text.as_bytes()).unwrap().fingerprint();
        assert_eq!(fingerprint(format!("{one}{other}")), fingerprint(format!("{other}{one}")));
        assert_ne!(fingerprint(one), fingerprint(other));
    }

    #[test]
    fn what_is_no_public_key_is_refused() {
        for (text, expected) in [
            ("", "no public key"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "no public key"),
            (&pem(b"nonsense"), "a key of a kind that is not known here"),
            ("-----BEGIN PUBLIC KEY-----\n!\n-----END PUBLIC KEY-----\n", "damaged PEM"),
        ] {
            let error = Keys::parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
