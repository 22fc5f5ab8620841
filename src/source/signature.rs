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
use super::http_error::HttpError;
use super::oci::{Descriptor, Manifest, Registry};
use crate::config::Digest;

/// Signatures of an image that are looked at.
const MOST: usize = 32;
/// Largest signature with what it signs.
const LARGEST: u64 = 4 * 1024 * 1024;
const LIST: &str = "the registry's list of signatures is damaged";

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
        "the keys in {place}: {problem}, expected public keys as PEM: ECDSA (P-256, P-384, P-521), RSA from 2048 bits, \
         or Ed25519"
    )]
    NoKey {
        /// The file, or that they are in the configuration.
        place: String,
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

/// What was found of signatures that do not count.
#[derive(Default)]
struct Search {
    /// What is wrong with each.
    flaws: Vec<Flaw>,
    /// Why the registry did not show all of them, if it did not: the first reason.
    failure: Option<FetchError>,
}

impl Search {
    /// What could not be read. Whoever keeps the image can put there what is no signature; that another one counts is not his to
    /// say.
    fn note(&mut self, error: FetchError, what: &'static str) {
        if is_damage(&error) {
            self.flaws.push(Flaw::Malformed(what));
        } else {
            self.failure.get_or_insert(error);
        }
    }
}

/// Whether what the registry has is wrong, or not there, as opposed to that it has not answered.
fn is_damage(error: &FetchError) -> bool {
    match error {
        FetchError::Image(_)
        | FetchError::TooLarge { .. }
        | FetchError::Http(HttpError::TooLarge { .. } | HttpError::Status { status: 404, .. }) => true,
        FetchError::NoFile { .. }
        | FetchError::Unreadable { .. }
        | FetchError::NotAFile { .. }
        | FetchError::NoVariable { .. }
        | FetchError::NotLocal
        | FetchError::Authorities { .. }
        | FetchError::Http(_)
        | FetchError::Credentials(_)
        | FetchError::Signature(_)
        | FetchError::Unpack(_)
        | FetchError::WrongDigest { .. } => false,
    }
}

/// The key by which a manifest is signed: the fingerprint of one of the keys.
pub(super) fn verify(registry: &Registry<'_>, keys: &Keys, digest: Digest) -> Result<Digest, FetchError> {
    let mut search = Search::default();
    for look in [payloads, bundles] {
        if let Some(key) = look(registry, keys, digest, &mut search) {
            return Ok(key);
        }
    }
    if let Some(failure) = search.failure {
        return Err(failure);
    }
    let image = registry.image().to_string();
    let count = search.flaws.len();
    Err(match search.flaws.into_iter().max() {
        Some(flaw) => SignatureError::Refused { image, digest, count, flaw },
        None => SignatureError::Unsigned { image, digest },
    }
    .into())
}

/// Looks at the signatures of cosign 2; the key of one that counts.
fn payloads(registry: &Registry<'_>, keys: &Keys, digest: Digest, search: &mut Search) -> Option<Digest> {
    let manifest = match registry.manifest_if_any(&format!("sha256-{digest}.sig")) {
        Ok(manifest) => manifest?,
        Err(error) => {
            search.note(error, LIST);
            return None;
        }
    };
    let Manifest::Image { layers, .. } = manifest else {
        search.flaws.push(Flaw::Malformed("an index"));
        return None;
    };
    for layer in layers.iter().filter(|layer| payload::is_one(layer)).take(MOST) {
        match registry.blob(layer, LARGEST) {
            Ok(bytes) => match payload::check(&bytes, layer, keys, digest) {
                Ok(key) => return Some(key),
                Err(flaw) => search.flaws.push(flaw),
            },
            Err(error) => search.note(error, "a damaged layer"),
        }
    }
    None
}

/// Looks at the signatures of cosign 3; the key of one that counts.
fn bundles(registry: &Registry<'_>, keys: &Keys, digest: Digest, search: &mut Search) -> Option<Digest> {
    let mut found = registry.referrers(digest, bundle::is_one, MOST).unwrap_or_else(|error| {
        search.note(error, LIST);
        Vec::new()
    });
    if found.is_empty() {
        // Where a registry keeps no list, clients keep one under a tag.
        match registry.manifest_if_any(&format!("sha256-{digest}")) {
            Ok(Some(Manifest::Index { manifests })) => found = manifests,
            Ok(Some(Manifest::Image { .. }) | None) => {}
            Err(error) => search.note(error, LIST),
        }
        found.retain(bundle::is_one);
    }
    for descriptor in found.iter().take(MOST) {
        match bundle_bytes(registry, descriptor) {
            Ok(Ok(bytes)) => match bundle::check(&bytes, keys, digest) {
                Ok(key) => return Some(key),
                Err(flaw) => search.flaws.push(flaw),
            },
            Ok(Err(flaw)) => search.flaws.push(flaw),
            Err(error) => search.note(error, "a damaged bundle"),
        }
    }
    None
}

fn bundle_bytes(
    registry: &Registry<'_>,
    descriptor: &Descriptor,
) -> Result<Result<Vec<u8>, Flaw>, FetchError> {
    let manifest = registry.manifest_of(descriptor.digest(&registry.image().to_string())?)?;
    let Manifest::Image { layers, .. } = manifest else {
        return Ok(Err(Flaw::Malformed("an index in the place of a bundle")));
    };
    let Some(layer) = layers.first() else {
        return Ok(Err(Flaw::Malformed("a bundle without a layer")));
    };
    registry.blob(layer, LARGEST).map(Ok)
}
