//! Images of OCI registries.
//!
//! ```text
//!  tag or digest ─► manifest ─┬ of an image ──────────► layout ─► blob ─► Wasm
//!                             └ index ─► manifest of the one for Wasm ─┘
//! ```
//!
//! A manifest is what its digest says, or is refused; a blob is what the manifest says. So whoever knows the digest of a
//! manifest need not trust the registry.

mod challenge;
mod manifest;
mod registry;

pub(super) use manifest::{Descriptor, Manifest};
pub(super) use registry::Registry;

use self::manifest::Layout;
use super::error::FetchError;
use super::unpack;
use crate::config::Digest;

/// Why a registry's answers are no image with Wasm. Names of registries and images hold no secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// The manifest is not one.
    #[error("the manifest of {image} {problem}, expected one of an image (OCI, or Docker's version 2)")]
    Manifest {
        /// The image.
        image: String,
        /// What is wrong.
        problem: String,
    },
    /// An index of other things.
    #[error(
        "{image} is an index of {count} images and none for Wasm, expected one with the architecture wasm, one image alone, or \
         one for linux/amd64"
    )]
    NotInIndex {
        /// The image.
        image: String,
        /// How many there are.
        count: usize,
    },
    /// An image of something else.
    #[error("{image} has no Wasm in it: {problems}; expected one of these forms")]
    Layout {
        /// The image.
        image: String,
        /// What is missing for each form.
        problems: String,
    },
    /// Content that is not what its digest says.
    #[error("the {what} of {image} has the digest sha256:{found}, expected sha256:{expected}")]
    WrongDigest {
        /// The image.
        image: String,
        /// Manifest or layer.
        what: &'static str,
        /// Of what came.
        found: Digest,
        /// As named.
        expected: Digest,
    },
    /// Content of another length than the manifest says.
    #[error("the layer of {image} has {found} bytes, expected {expected} as the manifest says")]
    WrongSize {
        /// The image.
        image: String,
        /// What came.
        found: u64,
        /// As the manifest says.
        expected: u64,
    },
    /// The registry sends us to get a token where no password should be told.
    #[error("the registry {registry} asks for a token of {realm}, expected an https address")]
    Realm {
        /// The registry.
        registry: String,
        /// Where it sends us.
        realm: String,
    },
    /// The registry wants a proof of a kind that is not known.
    #[error(
        "the registry {registry} wants credentials in a form that is not known here, expected Basic or Bearer"
    )]
    Challenge {
        /// The registry.
        registry: String,
    },
    /// The token service answers something else.
    #[error("{realm}, the token service of the registry {registry}, gave no token, expected JSON with one")]
    NoToken {
        /// The registry.
        registry: String,
        /// The address of the service.
        realm: String,
    },
}

/// The manifest that a name leads to.
pub(super) struct Resolved {
    /// Of the manifest that the name leads to, be it an index or not: this is what is pinned and what is signed.
    pub(super) digest: Digest,
    manifest: Manifest,
}

/// The manifest of an image, by its digest or else by its tag.
pub(super) fn resolve(registry: &Registry<'_>, pinned: Option<Digest>) -> Result<Resolved, FetchError> {
    let (digest, manifest) = match pinned {
        Some(digest) => (digest, registry.manifest_of(digest)?),
        None => registry.manifest(registry.image().tag())?,
    };
    Ok(Resolved { digest, manifest })
}

/// The Wasm of an image.
pub(super) fn wasm(registry: &Registry<'_>, resolved: Resolved, largest: u64) -> Result<Vec<u8>, FetchError> {
    let image = registry.image().to_string();
    let manifest = match resolved.manifest {
        Manifest::Index { manifests } => {
            let chosen = manifest::for_wasm(&manifests)
                .ok_or_else(|| ImageError::NotInIndex { image: image.clone(), count: manifests.len() })?;
            registry.manifest_of(chosen.digest(&image)?)?
        }
        image @ Manifest::Image { .. } => image,
    };
    let Manifest::Image { is_docker, layers } = &manifest else {
        let problem = "is an index in an index".to_owned();
        return Err(ImageError::Manifest { image, problem }.into());
    };
    let mut problems = Vec::new();
    for candidate in Layout::candidates(*is_docker, layers, &image)? {
        let (Layout::Archive(layer) | Layout::Raw(layer)) = candidate;
        let bytes = registry.blob(layer, largest).map_err(FetchError::by_max_bytes)?;
        let found = match candidate {
            Layout::Archive(_) => unpack::wasm_of_layer(&bytes, largest),
            Layout::Raw(_) => unpack::checked(bytes),
        };
        match found {
            Ok(wasm) => return Ok(wasm),
            Err(problem) => problems.push(problem),
        }
    }
    if let ([_], Some(only)) = (problems.as_slice(), problems.first()) {
        return Err(only.clone().into());
    }
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    Err(ImageError::Layout { image, problems: problems.join("; ") }.into())
}
