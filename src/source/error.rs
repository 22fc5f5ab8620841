//! Why there are no bytes.

use std::io;
use std::path::PathBuf;

use super::credentials::CredentialError;
use super::http_error::HttpError;
use super::oci::ImageError;
use super::signature::SignatureError;
use super::unpack::UnpackError;
use crate::config::Digest;

/// Why there are no bytes. The messages complete "the field …", quote no secret, and are one line.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// There is no such file.
    #[error("no such file {path:?}, expected the path of a Wasm file")]
    NoFile {
        /// As configured.
        path: PathBuf,
    },
    /// The file is there and cannot be read.
    #[error("{path:?} cannot be read ({source}), expected a readable Wasm file")]
    Unreadable {
        /// As configured.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A directory, a device, a pipe.
    #[error("{path:?} is no regular file, expected a Wasm file")]
    NotAFile {
        /// As configured.
        path: PathBuf,
    },
    /// More bytes than there may be.
    #[error("{what} has {size} bytes, expected at most {limit}{}", bound.map(|bound| format!(" ({bound})")).unwrap_or_default())]
    TooLarge {
        /// The file, or the layer of an image.
        what: String,
        /// How many it has, or at least so many.
        size: u64,
        /// The limit.
        limit: u64,
        /// The field that sets the limit, if one does.
        bound: Option<&'static str>,
    },
    /// The environment variable is not set.
    #[error("environment variable {name:?} is not set, expected it to hold Wasm bytes")]
    NoVariable {
        /// As configured.
        name: String,
    },
    /// The code is somewhere else, and was asked for where only local code is.
    #[error("code that must be fetched, expected code that is at hand")]
    NotLocal,
    /// The certificates of authorities cannot be read.
    #[error("the certificates in {path:?} cannot be read ({reason}), expected certificates as PEM")]
    Authorities {
        /// `graft.source.ca_file`.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A server did not answer as it should.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// A registry's answers are no image with Wasm.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The pull secret is no good.
    #[error(transparent)]
    Credentials(#[from] CredentialError),
    /// The image is not signed as it should be.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// What was fetched is no Wasm.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    /// What was fetched is something else than what was asked for.
    #[error("the Wasm that was fetched has the SHA-256 {found}, expected {expected}")]
    WrongDigest {
        /// Of what came.
        found: Digest,
        /// As configured.
        expected: Digest,
    },
}

impl FetchError {
    /// Whether the source may have the code later, without a change of the configuration: a file that comes, an image that is
    /// pushed, or signed.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NoFile { .. }
            | Self::Unreadable { .. }
            | Self::NotAFile { .. }
            | Self::TooLarge { .. }
            | Self::Authorities { .. }
            | Self::Http(_)
            | Self::Image(_)
            | Self::Credentials(_)
            | Self::Signature(_)
            | Self::Unpack(_)
            | Self::WrongDigest { .. } => true,
            // What is in the configuration, or in the environment of this process, stays as it is.
            Self::NoVariable { .. } | Self::NotLocal => false,
        }
    }

    /// Whether nobody has answered who is to be believed: the source is out of reach, somebody else answers in its place, or it
    /// could not be asked as it should be. What it gave out last is good enough then. A source that says no is believed.
    pub(super) fn is_unanswered(&self) -> bool {
        match self {
            Self::Http(error) => error.is_unanswered(),
            Self::Credentials(_) | Self::Authorities { .. } => true,
            Self::NoFile { .. }
            | Self::Unreadable { .. }
            | Self::NotAFile { .. }
            | Self::TooLarge { .. }
            | Self::NoVariable { .. }
            | Self::NotLocal
            | Self::Image(_)
            | Self::Signature(_)
            | Self::Unpack(_)
            | Self::WrongDigest { .. } => false,
        }
    }

    /// Whether the source gave no answer, as opposed to a wrong one, and may give one soon.
    pub fn is_out_of_reach(&self) -> bool {
        match self {
            Self::Http(error) => error.is_retryable(),
            // A helper asks a service of its own.
            Self::Credentials(error) => matches!(error, CredentialError::Helper { .. }),
            Self::NoFile { .. }
            | Self::Unreadable { .. }
            | Self::NotAFile { .. }
            | Self::TooLarge { .. }
            | Self::NoVariable { .. }
            | Self::NotLocal
            | Self::Authorities { .. }
            | Self::Image(_)
            | Self::Signature(_)
            | Self::Unpack(_)
            | Self::WrongDigest { .. } => false,
        }
    }

    /// The same; if it is too large, that it is so by `graft.source.max_bytes`.
    pub(super) fn by_max_bytes(mut self) -> Self {
        if let Self::TooLarge { bound, .. } = &mut self {
            *bound = Some("graft.source.max_bytes");
        }
        self
    }

    /// Whether it is about a file, which may come at any moment.
    pub fn is_of_a_file(&self) -> bool {
        matches!(self, Self::NoFile { .. } | Self::Unreadable { .. } | Self::NotAFile { .. })
    }

    /// The field that is to blame, where it is not the one that says where the code is.
    pub fn field(&self) -> Option<&'static str> {
        match self {
            Self::Authorities { .. } => Some("graft.source.ca_file"),
            Self::Credentials(CredentialError::NoSecretOfIstio) => {
                Some("vm_config.environment_variables.key_values.ISTIO_META_WASM_IMAGE_PULL_SECRET")
            }
            Self::Credentials(_) => Some("graft.source.pull_secret"),
            Self::Signature(error) => error.is_of_the_key().then_some("graft.source.verification_key"),
            Self::WrongDigest { .. } => Some("vm_config.code.remote.sha256"),
            Self::NoFile { .. }
            | Self::Unreadable { .. }
            | Self::NotAFile { .. }
            | Self::TooLarge { .. }
            | Self::NoVariable { .. }
            | Self::NotLocal
            | Self::Http(_)
            | Self::Image(_)
            | Self::Unpack(_) => None,
        }
    }
}
