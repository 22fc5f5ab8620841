//! Whether somebody whom the operator trusts has signed an image: the signatures that cosign writes, by a public key.
//!
//! ```text
//!  cosign 2:  tag sha256-<digest>.sig ─► an image of payloads ───► payload names the digest, annotation signs the payload
//!  cosign 3:  referrers of <digest>, or tag sha256-<digest> ─► bundles ─► statement names the digest, envelope signs it
//! ```
//!
//! What is signed is the digest of the manifest that the name of the image leads to. The cryptography is that of aws-lc. No
//! transparency log is asked, and no certificate looked at: the key alone counts.

mod bundle;
mod keys;
mod payload;

use std::path::PathBuf;

pub(super) use keys::Keys;

use super::error::FetchError;
use super::oci::{Descriptor, Manifest, Registry};
use crate::config::Digest;

/// Signatures of an image that are looked at.
const MOST: usize = 32;
/// Largest signature with what it signs.
const LARGEST: u64 = 4 * 1024 * 1024;

/// Why an image is not run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The file of the keys cannot be read.
    #[error("the keys in {path:?} cannot be read ({reason}), expected public keys as PEM")]
    KeyUnreadable {
        /// As configured.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The keys are none.
    #[error(
        "{problem}, expected public keys as PEM: ECDSA (P-256, P-384, P-521), RSA from 2048 bits, or Ed25519"
    )]
    NoKey {
        /// What is wrong.
        problem: &'static str,
    },
    /// Nobody has signed it.
    #[error(
        "{image} (sha256:{digest}) is not signed, expected a signature of cosign by the key of graft.source.verification_key"
    )]
    Unsigned {
        /// The image.
        image: String,
        /// Of its manifest.
        digest: Digest,
    },
    /// It is signed, and not as it should be.
    #[error(
        "{image} (sha256:{digest}) has {count} signatures and none that counts: {flaw}; expected one by the key of \
         graft.source.verification_key"
    )]
    Refused {
        /// The image.
        image: String,
        /// Of its manifest.
        digest: Digest,
        /// How many signatures were looked at.
        count: usize,
        /// What is wrong with the one that is the nearest.
        flaw: Flaw,
    },
}

/// What is wrong with a signature. The later ones are nearer to a good one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Flaw {
    /// It is not written as cosign writes it.
    #[error("it cannot be read ({0})")]
    Malformed(&'static str),
    /// Somebody else made it, or what it signs was changed.
    #[error("it is not by that key")]
    WrongKey,
    /// It is by the key, and says something else than that the image is good.
    #[error("it is by that key, and is of the kind {0:?}")]
    WrongKind(String),
    /// It is by the key, and of another image.
    #[error("it is by that key, and signs {0}")]
    WrongDigest(String),
}

impl SignatureError {
    /// Whether the key is to blame, not the image.
    pub(super) fn is_of_the_key(&self) -> bool {
        match self {
            Self::KeyUnreadable { .. } | Self::NoKey { .. } => true,
            Self::Unsigned { .. } | Self::Refused { .. } => false,
        }
    }
}

/// Looks for a signature of a manifest by one of the keys.
pub(super) fn verify(registry: &Registry<'_>, keys: &Keys, digest: Digest) -> Result<(), FetchError> {
    let mut flaws = Vec::new();
    for found in [payloads(registry, keys, digest), bundles(registry, keys, digest)] {
        match found {
            Ok(Some(more)) => flaws.extend(more),
            Ok(None) => return Ok(()),
            // Whoever keeps the image can put there what is no signature; that another one counts is not his to say.
            Err(FetchError::Image(_) | FetchError::TooLarge { .. }) => {
                flaws.push(Flaw::Malformed("the registry's list of signatures is damaged"));
            }
            Err(error) => return Err(error),
        }
    }
    let image = registry.image().to_string();
    let count = flaws.len();
    Err(match flaws.into_iter().max() {
        Some(flaw) => SignatureError::Refused { image, digest, count, flaw },
        None => SignatureError::Unsigned { image, digest },
    }
    .into())
}

/// The signatures of cosign 2. `None`: one of them counts; else what is wrong with each.
fn payloads(registry: &Registry<'_>, keys: &Keys, digest: Digest) -> Result<Option<Vec<Flaw>>, FetchError> {
    let mut flaws = Vec::new();
    let Some((_, manifest)) = registry.manifest_if_any(&format!("sha256-{digest}.sig"))? else {
        return Ok(Some(flaws));
    };
    let Manifest::Image { layers, .. } = manifest else {
        return Ok(Some(vec![Flaw::Malformed("an index")]));
    };
    for layer in layers.iter().filter(|layer| payload::is_one(layer)).take(MOST) {
        let result =
            signed_bytes(registry, layer)?.and_then(|bytes| payload::check(&bytes, layer, keys, digest));
        match result {
            Ok(()) => return Ok(None),
            Err(flaw) => flaws.push(flaw),
        }
    }
    Ok(Some(flaws))
}

/// The signatures of cosign 3, as [`payloads`].
fn bundles(registry: &Registry<'_>, keys: &Keys, digest: Digest) -> Result<Option<Vec<Flaw>>, FetchError> {
    let mut found = registry.referrers(digest)?;
    found.retain(bundle::is_one);
    if found.is_empty() {
        // Where a registry keeps no list, clients keep one under a tag.
        let index = registry.manifest_if_any(&format!("sha256-{digest}"))?;
        if let Some((_, Manifest::Index { manifests })) = index {
            found = manifests;
            found.retain(bundle::is_one);
        }
    }
    let mut flaws = Vec::new();
    for descriptor in found.iter().take(MOST) {
        match bundle_flaw(registry, descriptor, keys, digest) {
            Ok(None) => return Ok(None),
            Ok(Some(flaw)) => flaws.push(flaw),
            Err(FetchError::Image(_) | FetchError::TooLarge { .. }) => {
                flaws.push(Flaw::Malformed("a damaged bundle"));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Some(flaws))
}

fn bundle_flaw(
    registry: &Registry<'_>,
    descriptor: &Descriptor,
    keys: &Keys,
    digest: Digest,
) -> Result<Option<Flaw>, FetchError> {
    let manifest = registry.manifest_of(descriptor.digest(&registry.image().to_string())?)?;
    let Manifest::Image { layers, .. } = manifest else {
        return Ok(Some(Flaw::Malformed("an index in the place of a bundle")));
    };
    let Some(layer) = layers.first() else {
        return Ok(Some(Flaw::Malformed("a bundle without a layer")));
    };
    Ok(signed_bytes(registry, layer)?.and_then(|bytes| bundle::check(&bytes, keys, digest)).err())
}

/// The bytes of a layer; a layer that is not what it is said to be is one more signature that does not count.
fn signed_bytes(registry: &Registry<'_>, layer: &Descriptor) -> Result<Result<Vec<u8>, Flaw>, FetchError> {
    match registry.blob(layer, LARGEST) {
        Ok(bytes) => Ok(Ok(bytes)),
        Err(FetchError::Image(_) | FetchError::TooLarge { .. }) => {
            Ok(Err(Flaw::Malformed("a damaged layer")))
        }
        Err(error) => Err(error),
    }
}
