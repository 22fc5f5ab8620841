//! The supply of bytes, as the lifecycle sees it: something that can be asked for a plugin's code, and whether it has
//! changed. [`Local`] is what needs no network; tests have supplies of plain data.

use std::ffi::OsString;

use crate::config::{Code, PluginConfig};
use crate::source::location::{self, FetchError};

/// What is asked for bytes. Called on loader threads, and on the main thread before traffic flows.
pub trait Supply: Send + Sync + 'static {
    /// The bytes, and what they are a revision of. Takes as long as the source takes, within its own limits.
    ///
    /// # Errors
    /// Why there are none; whether another try may help says [`FetchError::is_retryable`].
    fn fetch(&self, config: &PluginConfig) -> Result<Supplied, FetchError>;

    /// What the source holds now, without its bytes where that is possible.
    ///
    /// # Errors
    /// As for [`fetch`](Self::fetch).
    fn revision(&self, config: &PluginConfig) -> Result<Revision, FetchError>;

    /// What can be told at once, without the bytes.
    ///
    /// # Errors
    /// The source is certainly wrong.
    fn check(&self, config: &PluginConfig) -> Result<(), FetchError>;

    /// Whether the bytes are on this machine, so that it takes no time to have them.
    fn is_at_hand(&self, config: &PluginConfig) -> bool;
}

/// Bytes of code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Supplied {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// What they are a revision of.
    pub revision: Revision,
}

/// What changes when a source changes: a digest, a file's time and size. Only to be compared, and shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision(pub String);

/// Files, inline bytes, environment variables.
#[derive(Debug)]
pub struct Local;

impl Supply for Local {
    fn fetch(&self, config: &PluginConfig) -> Result<Supplied, FetchError> {
        // The revision first: if the file changes in between, the next look sees another one.
        let revision = self.revision(config)?;
        let environment = |name: &str| -> Option<OsString> { std::env::var_os(name) };
        Ok(Supplied { bytes: location::read(&config.vm.code, environment)?, revision })
    }

    fn revision(&self, config: &PluginConfig) -> Result<Revision, FetchError> {
        match &config.vm.code {
            Code::File(path) => location::revision_of_file(path).map(Revision),
            // What is in the configuration does not change, nor does the environment of a process.
            Code::Inline(_) | Code::Environment(_) => Ok(Revision(String::new())),
            Code::Remote(_) => Err(FetchError::NotLocal),
        }
    }

    fn check(&self, config: &PluginConfig) -> Result<(), FetchError> {
        self.revision(config).map(drop)
    }

    fn is_at_hand(&self, _config: &PluginConfig) -> bool {
        true
    }
}
