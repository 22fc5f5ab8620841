//! The supply of bytes, as the lifecycle sees it: something that can be asked for a plugin's code, and whether it has
//! changed. [`Sourced`] asks the sources, with the cache that the plugin has; tests have supplies of plain data.

use std::ffi::OsString;
use std::sync::Arc;

use super::caches::Caches;
use crate::config::{Code, PluginConfig};
use crate::engine::code::Wasm;
use crate::source::cache::Kind;
use crate::source::{FetchError, Fetched, NoShelf, Origin, Shelf, Sources, SystemClock, Wanted, location};

/// What is asked for bytes. Called on loader threads, and on the main thread before traffic flows.
pub trait Supply: Send + Sync + 'static {
    /// The bytes, and what they are a revision of. Takes as long as the source takes, within its own limits.
    ///
    /// # Errors
    /// Why there are none; whether another try may help says [`FetchError::is_retryable`].
    fn fetch(&self, config: &PluginConfig, freshness: Freshness) -> Result<Supplied, FetchError>;

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

    /// The bytes, if they are on this machine and good enough: nobody has to be asked, and it takes no time to have them.
    fn at_hand(&self, config: &PluginConfig) -> Option<Result<Supplied, FetchError>>;

    /// Whether bytes are on this machine, however old.
    fn is_kept(&self, config: &PluginConfig) -> bool;
}

/// What of that which is known already is good enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// What the pull policy is content with.
    ByPolicy,
    /// What the source, which is asked, says that it has. If it does not answer: what is known, with a warning.
    Asked,
    /// Nothing: the bytes come from the source.
    Anew,
}

/// Bytes of code.
#[derive(Debug)]
pub struct Supplied {
    /// The bytes.
    pub wasm: Wasm,
    /// What they are a revision of.
    pub revision: Revision,
    /// They are what the source had once, and were kept since; it may have others now. Never of code that is named by its
    /// digest: there are no others.
    pub is_kept: bool,
    /// Why they are from before, if the source should have been asked and did not answer.
    pub warning: Option<FetchError>,
}

impl Supplied {
    /// The warning, as the log and the pages of the admin endpoint have it.
    pub fn describe_warning(&self, config: &PluginConfig) -> Option<String> {
        let error = self.warning.as_ref()?;
        let field = error.field().unwrap_or(config.vm.code.path());
        Some(format!("{field}: {error}; the version that was fetched last is used ({})", self.revision.0))
    }
}

/// What changes when a source changes: a digest, a file's time and size. Only to be compared, and shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision(pub String);

/// Files, inline bytes, environment variables, web servers, registries.
#[derive(Debug)]
pub struct Sourced {
    sources: Sources,
    caches: Arc<Caches>,
}

impl Sourced {
    /// The sources of this process, by the system's clock and the process's environment.
    pub fn new(caches: Arc<Caches>) -> Self {
        Self { sources: Sources::new(Arc::new(SystemClock::new()), variable), caches }
    }

    fn with<R>(&self, config: &PluginConfig, freshness: Freshness, ask: impl FnOnce(&Wanted<'_>) -> R) -> R {
        let cache = match config.vm.code {
            Code::Remote(_) => self.caches.cache(&config.graft.cache, variable),
            // Nothing of these is kept.
            Code::File(_) | Code::Inline(_) | Code::Environment(_) => None,
        };
        let known: &dyn Shelf = match &cache {
            Some(cache) => &**cache,
            None => &NoShelf,
        };
        let unread = Unread(known);
        ask(&Wanted {
            code: &config.vm.code,
            source: &config.graft.source,
            shelf: if freshness == Freshness::Anew { &unread } else { known },
            renew: freshness != Freshness::ByPolicy,
        })
    }
}

fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

fn supplied(config: &PluginConfig, fetched: Fetched) -> Supplied {
    let is_pinned = matches!(&config.vm.code, Code::Remote(remote) if remote.pinned().is_some());
    Supplied {
        wasm: Wasm::new(fetched.bytes),
        revision: Revision(fetched.revision.to_string()),
        is_kept: fetched.origin == Origin::Shelf && !is_pinned,
        warning: fetched.warning,
    }
}

/// A shelf on which things are put, and nothing is found.
struct Unread<'a>(&'a dyn Shelf);

impl Shelf for Unread<'_> {
    fn read(&self, _: Kind, _: &[u8; 32]) -> Option<Vec<u8>> {
        None
    }

    fn write(&self, kind: Kind, key: &[u8; 32], bytes: &[u8]) {
        self.0.write(kind, key, bytes);
    }
}

impl Supply for Sourced {
    fn fetch(&self, config: &PluginConfig, freshness: Freshness) -> Result<Supplied, FetchError> {
        let fetched = self.with(config, freshness, |wanted| self.sources.fetch(wanted))?;
        Ok(supplied(config, fetched))
    }

    fn revision(&self, config: &PluginConfig) -> Result<Revision, FetchError> {
        let revision = self.with(config, Freshness::Asked, |wanted| self.sources.revision(wanted))?;
        Ok(Revision(revision.to_string()))
    }

    fn check(&self, config: &PluginConfig) -> Result<(), FetchError> {
        match &config.vm.code {
            Code::File(path) => location::revision_of_file(path).map(drop),
            Code::Inline(_) | Code::Environment(_) | Code::Remote(_) => Ok(()),
        }
    }

    fn at_hand(&self, config: &PluginConfig) -> Option<Result<Supplied, FetchError>> {
        let found = self.with(config, Freshness::ByPolicy, |wanted| self.sources.at_hand(wanted))?;
        Some(found.map(|fetched| supplied(config, fetched)))
    }

    fn is_kept(&self, config: &PluginConfig) -> bool {
        let is_remote = matches!(config.vm.code, Code::Remote(_));
        if is_remote && self.caches.cache(&config.graft.cache, variable).is_none() {
            // Nothing will ever be there, so there is nothing to wait for.
            return true;
        }
        self.with(config, Freshness::ByPolicy, |wanted| self.sources.is_known(wanted))
    }
}
