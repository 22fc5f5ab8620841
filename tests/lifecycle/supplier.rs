//! A supply of plain data: what is in it is what a registry somewhere would have now, or why it has nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use graft::config::{Code, PluginConfig};
use graft::engine::code::Wasm;
use graft::lifecycle::supply::{Revision, Supplied, Supply};
use graft::source::location::FetchError;
use parking_lot::Mutex;

use crate::guest::Guest;

/// See the module's text.
#[derive(Default)]
pub struct Supplier {
    now: Mutex<Option<(String, Vec<u8>)>>,
    /// What is kept of what the source had once.
    kept: Mutex<Option<Vec<u8>>>,
    /// Whoever holds it is a server that does not answer.
    pub silence: Mutex<()>,
    /// How often bytes were asked for.
    pub fetches: AtomicUsize,
    /// How often something else was wanted than what is known already.
    pub renewals: AtomicUsize,
    /// Called while bytes are fetched.
    pub on_fetch: Mutex<Option<Box<dyn Fn() + Send + Sync>>>,
    /// Whether they cannot be fetched, and another try would not help.
    pub fails_for_good: AtomicBool,
    /// Whether it says that they are on this machine.
    pub is_at_hand: AtomicBool,
}

impl Supplier {
    /// One whose bytes are far away.
    pub fn far() -> Arc<Self> {
        Arc::default()
    }

    /// One whose bytes are on this machine.
    pub fn near() -> Arc<Self> {
        Arc::new(Self { is_at_hand: true.into(), ..Self::default() })
    }

    /// The source has a guest now, under the name of a revision.
    pub fn offer(&self, revision: &str, guest: &Guest) {
        self.offer_bytes(revision, guest.wasm());
    }

    /// The source has some bytes now.
    pub fn offer_bytes(&self, revision: &str, bytes: Vec<u8>) {
        *self.now.lock() = Some((revision.to_owned(), bytes));
    }

    /// Some bytes are kept since the last time that the source was asked.
    pub fn keep(&self, bytes: Vec<u8>) {
        *self.kept.lock() = Some(bytes);
    }

    /// Nothing is on this machine any more.
    pub fn forget(&self) {
        self.is_at_hand.store(false, Ordering::Relaxed);
    }

    /// The source has nothing any more.
    pub fn withdraw(&self) {
        *self.now.lock() = None;
    }

    pub fn fetches(&self) -> usize {
        self.fetches.load(Ordering::Relaxed)
    }

    fn get(&self) -> Result<Supplied, FetchError> {
        let now = self.now.lock().clone();
        let (revision, bytes) = now.ok_or_else(|| FetchError::NoFile { path: "far/away.wasm".into() })?;
        Ok(Supplied { wasm: Wasm::new(bytes), revision: Revision(revision), is_kept: false })
    }
}

impl Supply for Supplier {
    fn fetch(&self, config: &PluginConfig, renew: bool) -> Result<Supplied, FetchError> {
        self.fetches.fetch_add(1, Ordering::Relaxed);
        self.renewals.fetch_add(usize::from(renew), Ordering::Relaxed);
        if let Some(on_fetch) = &*self.on_fetch.lock() {
            on_fetch();
        }
        if self.fails_for_good.load(Ordering::Relaxed) {
            return Err(FetchError::NotLocal);
        }
        if matches!(config.vm.code, Code::Remote(_)) {
            drop(self.silence.lock());
        }
        match self.kept.lock().clone() {
            Some(bytes) if !renew => {
                let revision = Revision("kept".to_owned());
                Ok(Supplied { wasm: Wasm::new(bytes), revision, is_kept: true })
            }
            Some(_) | None => self.get(),
        }
    }

    fn revision(&self, _config: &PluginConfig) -> Result<Revision, FetchError> {
        self.get().map(|supplied| supplied.revision)
    }

    fn check(&self, _config: &PluginConfig) -> Result<(), FetchError> {
        Ok(())
    }

    fn at_hand(&self, config: &PluginConfig) -> Option<Result<Supplied, FetchError>> {
        self.is_kept(config).then(|| self.fetch(config, false))
    }

    fn is_kept(&self, _config: &PluginConfig) -> bool {
        self.is_at_hand.load(Ordering::Relaxed)
    }
}
