//! A supply of plain data: what is in it is what a registry somewhere would have now, or why it has nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use graft::config::PluginConfig;
use graft::lifecycle::supply::{Revision, Supplied, Supply};
use graft::source::location::FetchError;
use parking_lot::Mutex;

use crate::guest::Guest;

/// See the module's text.
#[derive(Default)]
pub struct Supplier {
    now: Mutex<Option<Supplied>>,
    /// How often bytes were asked for.
    pub fetches: AtomicUsize,
    /// How often something else was wanted than what is known already.
    pub renewals: AtomicUsize,
    /// Whether it says that they are on this machine.
    pub is_at_hand: bool,
}

impl Supplier {
    /// One whose bytes are far away.
    pub fn far() -> Arc<Self> {
        Arc::default()
    }

    /// One whose bytes are on this machine.
    pub fn near() -> Arc<Self> {
        Arc::new(Self { is_at_hand: true, ..Self::default() })
    }

    /// The source has a guest now, under the name of a revision.
    pub fn offer(&self, revision: &str, guest: &Guest) {
        self.offer_bytes(revision, guest.wasm());
    }

    /// The source has some bytes now.
    pub fn offer_bytes(&self, revision: &str, bytes: Vec<u8>) {
        *self.now.lock() = Some(Supplied { bytes, revision: Revision(revision.to_owned()) });
    }

    pub fn fetches(&self) -> usize {
        self.fetches.load(Ordering::Relaxed)
    }

    fn get(&self) -> Result<Supplied, FetchError> {
        self.now.lock().clone().ok_or_else(|| FetchError::NoFile { path: "far/away.wasm".into() })
    }
}

impl Supply for Supplier {
    fn fetch(&self, _config: &PluginConfig, renew: bool) -> Result<Supplied, FetchError> {
        self.fetches.fetch_add(1, Ordering::Relaxed);
        self.renewals.fetch_add(usize::from(renew), Ordering::Relaxed);
        self.get()
    }

    fn revision(&self, _config: &PluginConfig) -> Result<Revision, FetchError> {
        self.get().map(|supplied| supplied.revision)
    }

    fn check(&self, _config: &PluginConfig) -> Result<(), FetchError> {
        Ok(())
    }

    fn is_at_hand(&self, _config: &PluginConfig) -> bool {
        self.is_at_hand
    }
}
