//! The issuer's keys, and whether one of them signed a token.

use p256::ecdsa::signature::Verifier as _;
use rsa::BigUint;
use rsa::pkcs1v15;
use rsa::traits::PublicKeyParts as _;
use serde::Deserialize;
use sha2::Sha256;

use crate::token::{Algorithm, Refusal, Token, decode};

/// Most keys of an issuer. A token that names none is tried with each.
const MOST_KEYS: usize = 32;

/// Smallest RSA key, in bits. The largest is the `rsa` crate's matter: 4096.
const SMALLEST_RSA: usize = 2048;

/// A key set as an issuer publishes it (RFC 7517).
#[derive(Deserialize)]
struct Document {
    keys: Vec<serde_json::Value>,
}

/// A key of it. There are other kinds, and more fields.
#[derive(Deserialize)]
struct Entry {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

#[derive(Debug)]
enum Verifier {
    Rs256(pkcs1v15::VerifyingKey<Sha256>),
    Es256(p256::ecdsa::VerifyingKey),
}

#[derive(Debug)]
struct Key {
    id: Option<String>,
    verifier: Verifier,
}

/// The keys that can sign tokens.
#[derive(Debug)]
pub struct KeySet {
    keys: Vec<Key>,
}

impl KeySet {
    /// Reads a key set. Keys of other kinds or for other purposes are passed over, as RFC 7517 wants it.
    ///
    /// # Errors
    /// What is no key set, or holds no key that can be used: such a set must not take the place of a good one.
    pub fn read(text: &[u8]) -> Result<Self, String> {
        let document: Document = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        let count = document.keys.len();
        let entries = document.keys.into_iter().filter_map(|entry| Entry::deserialize(entry).ok());
        let keys: Vec<Key> = entries.filter_map(|entry| entry.key()).take(MOST_KEYS).collect();
        if keys.is_empty() { Err(format!("none of {count} keys can be used")) } else { Ok(Self { keys }) }
    }

    /// Whether one of the keys signed the token.
    ///
    /// # Errors
    /// [`Refusal::UnknownKey`] if there is none of its name and kind, [`Refusal::Signature`] if there is.
    pub fn verify(&self, token: &Token) -> Result<(), Refusal> {
        let fits = |key: &&Key| {
            key.verifier.algorithm() == token.algorithm && (token.key.is_none() || key.id == token.key)
        };
        let mut candidates = self.keys.iter().filter(fits).peekable();
        if candidates.peek().is_none() {
            return Err(Refusal::UnknownKey);
        }
        if candidates.any(|key| key.verifier.accepts(token)) { Ok(()) } else { Err(Refusal::Signature) }
    }
}

impl Entry {
    fn key(self) -> Option<Key> {
        let is_for = |own: &Option<String>, wanted: &str| own.as_deref().is_none_or(|own| own == wanted);
        if !is_for(&self.purpose, "sig") {
            return None;
        }
        let verifier = match self.kty.as_str() {
            "RSA" if is_for(&self.alg, "RS256") => self.rs256()?,
            "EC" if is_for(&self.alg, "ES256") && self.crv.as_deref() == Some("P-256") => self.es256()?,
            _ => return None,
        };
        Some(Key { id: self.kid, verifier })
    }

    fn rs256(&self) -> Option<Verifier> {
        let number = |text: &Option<String>| Some(BigUint::from_bytes_be(&decode(text.as_ref()?).ok()?));
        let key = rsa::RsaPublicKey::new(number(&self.n)?, number(&self.e)?).ok()?;
        (key.n().bits() >= SMALLEST_RSA).then(|| Verifier::Rs256(pkcs1v15::VerifyingKey::new(key)))
    }

    fn es256(&self) -> Option<Verifier> {
        let coordinate = |text: &Option<String>| <[u8; 32]>::try_from(decode(text.as_ref()?).ok()?).ok();
        let (x, y) = (coordinate(&self.x)?, coordinate(&self.y)?);
        let point = p256::EncodedPoint::from_affine_coordinates(&x.into(), &y.into(), false);
        p256::ecdsa::VerifyingKey::from_encoded_point(&point).ok().map(Verifier::Es256)
    }
}

impl Verifier {
    fn algorithm(&self) -> Algorithm {
        match self {
            Self::Rs256(_) => Algorithm::Rs256,
            Self::Es256(_) => Algorithm::Es256,
        }
    }

    fn accepts(&self, token: &Token) -> bool {
        match self {
            Self::Rs256(key) => pkcs1v15::Signature::try_from(token.signature.as_slice())
                .is_ok_and(|signature| key.verify(&token.message, &signature).is_ok()),
            Self::Es256(key) => p256::ecdsa::Signature::from_slice(&token.signature)
                .is_ok_and(|signature| key.verify(&token.message, &signature).is_ok()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JWKS: &str = include_str!("../testdata/jwks.json");

    fn token(text: &str) -> Token {
        Token::from_authorization(format!("Bearer {}", text.trim()).as_bytes()).unwrap()
    }

    fn changed(text: &str, change: impl FnOnce(&mut Token)) -> Token {
        let mut token = token(text);
        change(&mut token);
        token
    }

    #[test]
    fn tokens_of_both_kinds_are_accepted() {
        let keys = KeySet::read(JWKS.as_bytes()).unwrap();
        for good in [include_str!("../testdata/rs256.jwt"), include_str!("../testdata/es256.jwt")] {
            assert_eq!(keys.verify(&token(good)), Ok(()));
            // The name of the key is a hint.
            let unnamed = changed(good, |token| token.key = None);
            assert_eq!(keys.verify(&unnamed), Ok(()));
        }
    }

    #[test]
    fn what_was_changed_or_signed_by_others_is_refused() {
        let keys = KeySet::read(JWKS.as_bytes()).unwrap();
        for good in [include_str!("../testdata/rs256.jwt"), include_str!("../testdata/es256.jwt")] {
            let other = changed(good, |token| token.message[10] ^= 1);
            assert_eq!(keys.verify(&other), Err(Refusal::Signature));
            for signature in [vec![], vec![0; 64], vec![0; 256], vec![0xff; 64], vec![0xff; 256]] {
                assert_eq!(
                    keys.verify(&changed(good, |token| token.signature = signature)),
                    Err(Refusal::Signature)
                );
            }
            let other = changed(good, |token| token.key = Some("other".to_owned()));
            assert_eq!(keys.verify(&other), Err(Refusal::UnknownKey));
        }
        // A key is for one algorithm.
        let confused =
            changed(include_str!("../testdata/rs256.jwt"), |token| token.algorithm = Algorithm::Es256);
        assert_eq!(keys.verify(&confused), Err(Refusal::UnknownKey));
    }

    #[test]
    fn a_set_without_a_key_that_can_be_used_is_refused() {
        for wrong in [
            "",
            "{}",
            r#"{"keys": []}"#,
            r#"{"keys": [1, {"kty": "oct", "k": "AAAA"}, {"kty": "RSA", "n": "AQAB", "e": "AQAB"}]}"#,
            r#"{"keys": [{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}]}"#,
        ] {
            assert!(KeySet::read(wrong.as_bytes()).is_err(), "{wrong}");
        }
        let for_encryption = JWKS.replace("\"sig\"", "\"enc\"");
        assert_eq!(
            KeySet::read(for_encryption.as_bytes()).err().as_deref(),
            Some("none of 2 keys can be used")
        );
    }
}
