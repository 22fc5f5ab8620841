//! Keys of signatures, from DER and PEM.
//!
//! What a key is (RSA, which curve) is found by having the library parse it as each in turn; there are five.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1,
    ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1, ECDSA_P521_SHA512_ASN1_SIGNING, ED25519,
    EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, ParsedPublicKey,
    RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, RsaKeyPair, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Types of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyType {
    /// 1024 to 8192 bits; signing from 2048 bits.
    Rsa,
    /// NIST P-256.
    P256,
    /// NIST P-384.
    P384,
    /// NIST P-521.
    P521,
    /// A key, and none that signs hashes.
    Ed25519,
}

/// A `SubjectPublicKeyInfo`.
pub(super) struct PublicKey {
    der: Vec<u8>,
    key_type: KeyType,
}

const PUBLIC: [(KeyType, &dyn VerificationAlgorithm); 5] = [
    (KeyType::Rsa, &RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY),
    (KeyType::P256, &ECDSA_P256_SHA256_ASN1),
    (KeyType::P384, &ECDSA_P384_SHA384_ASN1),
    (KeyType::P521, &ECDSA_P521_SHA512_ASN1),
    (KeyType::Ed25519, &ED25519),
];

const CURVES: [(KeyType, &EcdsaSigningAlgorithm); 3] = [
    (KeyType::P256, &ECDSA_P256_SHA256_ASN1_SIGNING),
    (KeyType::P384, &ECDSA_P384_SHA384_ASN1_SIGNING),
    (KeyType::P521, &ECDSA_P521_SHA512_ASN1_SIGNING),
];

impl PublicKey {
    /// A key from its DER. `None`: it is none.
    pub(super) fn from_der(der: &[u8]) -> Option<Self> {
        // The library also takes bare keys, which the built-in host does not.
        if !is_public_key_info(der) {
            return None;
        }
        let (key_type, _) =
            PUBLIC.into_iter().find(|(_, algorithm)| ParsedPublicKey::new(*algorithm, der).is_ok())?;
        Some(Self { der: der.to_vec(), key_type })
    }

    /// A key from `-----BEGIN PUBLIC KEY-----`.
    pub(super) fn from_pem(text: &str) -> Option<Self> {
        Self::from_der(&decode_pem(text, &["PUBLIC KEY"])?)
    }

    pub(super) fn key_type(&self) -> KeyType {
        self.key_type
    }

    pub(super) fn der(&self) -> &[u8] {
        &self.der
    }
}

/// A private key.
pub(super) enum PrivateKey {
    Rsa(Box<RsaKeyPair>),
    /// Parsed again for the hash that it is to sign: the library has a type of key for each.
    Ecdsa {
        der: Vec<u8>,
        curve: KeyType,
    },
    Ed25519,
}

impl PrivateKey {
    /// A key from its PKCS #8. `None`: it is none.
    pub(super) fn from_der(der: &[u8]) -> Option<Self> {
        if let Ok(pair) = RsaKeyPair::from_pkcs8(der) {
            return Some(Self::Rsa(Box::new(pair)));
        }
        let is_on = |curve| EcdsaKeyPair::from_pkcs8(curve, der).is_ok();
        if let Some((curve, _)) = CURVES.into_iter().find(|(_, curve)| is_on(curve)) {
            return Some(Self::Ecdsa { der: der.to_vec(), curve });
        }
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).is_ok().then_some(Self::Ed25519)
    }

    /// A key from `-----BEGIN PRIVATE KEY-----`, or in the older forms that name the type.
    pub(super) fn from_pem(text: &str) -> Option<Self> {
        let der = decode_pem(text, &["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"])?;
        if let Some(key) = Self::from_der(&der) {
            return Some(key);
        }
        if let Ok(pair) = RsaKeyPair::from_der(&der) {
            return Some(Self::Rsa(Box::new(pair)));
        }
        let is_on = |curve| EcdsaKeyPair::from_private_key_der(curve, &der).is_ok();
        let (curve, _) = CURVES.into_iter().find(|(_, curve)| is_on(curve))?;
        Some(Self::Ecdsa { der, curve })
    }

    pub(super) fn key_type(&self) -> KeyType {
        match self {
            Self::Rsa(_) => KeyType::Rsa,
            Self::Ecdsa { curve, .. } => *curve,
            Self::Ed25519 => KeyType::Ed25519,
        }
    }
}

/// Whether DER is a sequence that begins with a sequence (the algorithm), as a `SubjectPublicKeyInfo` does.
fn is_public_key_info(der: &[u8]) -> bool {
    const SEQUENCE: u8 = 0x30;
    let [SEQUENCE, length, rest @ ..] = der else { return false };
    // From 128 on, a length is a count of bytes that have it.
    let skipped = if *length < 0x80 { 0 } else { usize::from(length & 0x7f) };
    rest.get(skipped) == Some(&SEQUENCE)
}

/// The first block of PEM with one of these labels.
fn decode_pem(text: &str, labels: &[&str]) -> Option<Vec<u8>> {
    let mut rest = text;
    loop {
        let (_, after) = rest.split_once("-----BEGIN ")?;
        let (label, after) = after.split_once("-----")?;
        if !labels.contains(&label) {
            rest = after;
            continue;
        }
        let (body, _) = after.split_once(&format!("-----END {label}-----"))?;
        let body: String = body.chars().filter(|character| !character.is_ascii_whitespace()).collect();
        return STANDARD.decode(body).ok();
    }
}
