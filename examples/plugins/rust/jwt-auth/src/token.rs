//! A token as it was sent, and what its claims must say.

use std::fmt::{self, Display, Formatter};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::configuration::Configuration;

/// Longest token. Each header of a request is bounded by Envoy, too.
const LONGEST: usize = 16 * 1024;

/// Why a request is not let pass. The text is for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    Missing,
    Malformed,
    Algorithm,
    Issuer,
    Audience,
    NoExpiry,
    Expired,
    NotYetValid,
    UnknownKey,
    Signature,
    /// Not the client's fault: there are no keys.
    NoKeys,
}

impl Refusal {
    /// The status of the answer.
    pub fn status(self) -> u32 {
        if self == Self::NoKeys { 503 } else { 401 }
    }

    /// The header that says how to do better (RFC 6750).
    pub fn challenge(self) -> Option<&'static str> {
        match self {
            Self::NoKeys => None,
            Self::Missing => Some("Bearer"),
            _ => Some(r#"Bearer error="invalid_token""#),
        }
    }
}

impl Display for Refusal {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Missing => "a bearer token is missing",
            Self::Malformed => "the token is malformed",
            Self::Algorithm => "the token is signed with an algorithm that is not accepted",
            Self::Issuer => "the token is of another issuer",
            Self::Audience => "the token is for another audience",
            Self::NoExpiry => "the token never expires",
            Self::Expired => "the token has expired",
            Self::NotYetValid => "the token is not valid yet",
            Self::UnknownKey => "the token is signed with an unknown key",
            Self::Signature => "the signature of the token is wrong",
            Self::NoKeys => "the keys of the issuer are not available",
        })
    }
}

/// How a token is signed.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    #[serde(rename = "ES256")]
    Es256,
}

/// The first part of a token.
#[derive(Deserialize)]
struct Header {
    alg: Value,
    kid: Option<String>,
    /// Extensions that must be understood; none are.
    crit: Option<Value>,
}

/// A token whose signature is not checked yet.
#[derive(Debug)]
pub struct Token {
    pub algorithm: Algorithm,
    /// The name of the key.
    pub key: Option<String>,
    claims: Map<String, Value>,
    /// What is signed.
    pub message: Vec<u8>,
    pub signature: Vec<u8>,
}

impl Token {
    /// Reads the value of a header `authorization`.
    ///
    /// # Errors
    /// Why it is no bearer token that can be checked.
    pub fn from_authorization(value: &[u8]) -> Result<Self, Refusal> {
        let (scheme, token) = value.split_at_checked(7).ok_or(Refusal::Missing)?;
        if !scheme.eq_ignore_ascii_case(b"bearer ") {
            return Err(Refusal::Missing);
        }
        let token = std::str::from_utf8(token).map_err(|_error| Refusal::Malformed)?.trim();
        if token.len() > LONGEST {
            return Err(Refusal::Malformed);
        }
        Self::read(token)
    }

    fn read(token: &str) -> Result<Self, Refusal> {
        let (message, signature) = token.rsplit_once('.').ok_or(Refusal::Malformed)?;
        let (header, claims) = message.split_once('.').ok_or(Refusal::Malformed)?;
        let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_error| Refusal::Malformed)?;
        if header.crit.is_some() {
            return Err(Refusal::Malformed);
        }
        Ok(Self {
            algorithm: Algorithm::deserialize(header.alg).map_err(|_error| Refusal::Algorithm)?,
            key: header.kid,
            claims: serde_json::from_slice(&decode(claims)?).map_err(|_error| Refusal::Malformed)?,
            message: message.as_bytes().to_vec(),
            signature: decode(signature)?,
        })
    }

    /// Whether the claims say what they must, at a time in seconds since the epoch.
    ///
    /// # Errors
    /// The first claim that does not.
    pub fn check(&self, configuration: &Configuration, now: u64) -> Result<(), Refusal> {
        if self.claims.get("iss").and_then(Value::as_str) != Some(&configuration.issuer) {
            return Err(Refusal::Issuer);
        }
        if !configuration.audiences.is_empty() && !self.is_for(&configuration.audiences) {
            return Err(Refusal::Audience);
        }
        let leeway = configuration.leeway_seconds;
        let expiry = self.time("exp")?.ok_or(Refusal::NoExpiry)?;
        if now >= expiry.saturating_add(leeway) {
            return Err(Refusal::Expired);
        }
        let start = self.time("nbf")?.unwrap_or(0);
        if now.saturating_add(leeway) < start { Err(Refusal::NotYetValid) } else { Ok(()) }
    }

    /// A claim as the text of a header: what is no text as JSON. Control characters do not belong into a header.
    pub fn claim(&self, name: &str) -> Option<String> {
        let text = match self.claims.get(name)? {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        (!text.chars().any(char::is_control)).then_some(text)
    }

    fn is_for(&self, audiences: &[String]) -> bool {
        let is_known = |one: &Value| one.as_str().is_some_and(|one| audiences.iter().any(|own| own == one));
        match self.claims.get("aud") {
            Some(Value::Array(several)) => several.iter().any(is_known),
            Some(one) => is_known(one),
            None => false,
        }
    }

    /// A claim in seconds since the epoch, which may have a fraction.
    fn time(&self, name: &str) -> Result<Option<u64>, Refusal> {
        let Some(claim) = self.claims.get(name) else { return Ok(None) };
        let seconds = claim.as_f64().filter(|seconds| *seconds >= 0.0).ok_or(Refusal::Malformed)?;
        // A number that is too large becomes the largest.
        Ok(Some(seconds as u64))
    }
}

/// Decodes a part of a token, or a number of a key.
///
/// # Errors
/// What is no base64 in its form for URLs, without padding.
pub fn decode(text: &str) -> Result<Vec<u8>, Refusal> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_error| Refusal::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000;

    fn token(header: &str, claims: &str) -> Result<Token, Refusal> {
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let token = format!("Bearer {}.{}.c2ln", encode(header), encode(claims));
        Token::from_authorization(token.as_bytes())
    }

    fn check(claims: &str) -> Result<(), Refusal> {
        let configuration = br#"{"issuer": "i", "audiences": ["a", "b"], "jwks": {"cluster": "idp"}}"#;
        let configuration = Configuration::read(configuration).unwrap();
        token(r#"{"alg": "RS256"}"#, claims).unwrap().check(&configuration, NOW)
    }

    #[test]
    fn a_token_has_three_parts_and_a_known_algorithm() {
        let read = token(r#"{"alg": "ES256", "kid": "one"}"#, r#"{"sub": "ann", "level": 3, "odd": "a\nb"}"#)
            .unwrap();
        assert_eq!((read.algorithm, read.key.as_deref()), (Algorithm::Es256, Some("one")));
        assert_eq!(read.signature, b"sig");
        assert_eq!(read.claim("sub").as_deref(), Some("ann"));
        assert_eq!(read.claim("level").as_deref(), Some("3"));
        assert_eq!(read.claim("odd"), None);
        assert_eq!(read.claim("name"), None);
        for wrong in ["none", "HS256", "RS512"] {
            assert_eq!(token(&format!(r#"{{"alg": "{wrong}"}}"#), "{}").err(), Some(Refusal::Algorithm));
        }
        for (wrong, why) in [
            ("", Refusal::Missing),
            ("Basic YTpi", Refusal::Missing),
            ("Bearer ", Refusal::Malformed),
            ("Bearer a.b.c", Refusal::Malformed),
            ("Bearer e30.e30", Refusal::Malformed),
            ("Bearer e30.e30.", Refusal::Malformed),
        ] {
            assert_eq!(Token::from_authorization(wrong.as_bytes()).err(), Some(why), "{wrong}");
        }
        let extended = token(r#"{"alg": "RS256", "crit": ["b64"]}"#, "{}");
        assert_eq!(extended.err(), Some(Refusal::Malformed));
    }

    #[test]
    fn the_claims_are_checked() {
        assert_eq!(check(r#"{"iss": "i", "aud": "a", "exp": 1700000001}"#), Ok(()));
        assert_eq!(check(r#"{"iss": "i", "aud": ["x", "b"], "exp": 1700000001.5, "nbf": 1}"#), Ok(()));
        for (claims, why) in [
            (r#"{"iss": "j", "aud": "a", "exp": 1700000001}"#, Refusal::Issuer),
            (r#"{"aud": "a", "exp": 1700000001}"#, Refusal::Issuer),
            (r#"{"iss": "i", "aud": "c", "exp": 1700000001}"#, Refusal::Audience),
            (r#"{"iss": "i", "exp": 1700000001}"#, Refusal::Audience),
            (r#"{"iss": "i", "aud": "a"}"#, Refusal::NoExpiry),
            (r#"{"iss": "i", "aud": "a", "exp": "1700000001"}"#, Refusal::Malformed),
            (r#"{"iss": "i", "aud": "a", "exp": -1}"#, Refusal::Malformed),
            (r#"{"iss": "i", "aud": "a", "exp": 1699999940}"#, Refusal::Expired),
            (r#"{"iss": "i", "aud": "a", "exp": 1700000001, "nbf": 1700000061}"#, Refusal::NotYetValid),
        ] {
            assert_eq!(check(claims), Err(why), "{claims}");
        }
        // The leeway, both ways.
        assert_eq!(check(r#"{"iss": "i", "aud": "a", "exp": 1699999941, "nbf": 1700000060}"#), Ok(()));
    }
}
