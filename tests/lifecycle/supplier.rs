//! A supply of plain data: what is in it is what a registry somewhere would have now, or why it has nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use graft::config::{Code, PluginConfig};
use graft::engine::code::Wasm;
use graft::lifecycle::supply::{Freshness, Revision, Supplied, Supply};
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
    /// How often more was wanted than the pull policy asks for.
    pub renewals: AtomicUsize,
    /// Called while bytes are fetched.
    pub on_fetch: Mutex<Option<Box<dyn Fn() + Send + Sync>>>,
    /// Whether they cannot be fetched, and another try would not help.
    pub fails_for_good: AtomicBool,
    /// Whether it says that they are on this machine.
    pub is_at_hand: AtomicBool,
    /// Whether the pull policy is content with nothing but what the source says.
    pub is_always_asked: AtomicBool,
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
        Ok(Supplied { wasm: Wasm::new(bytes), revision: Revision(revision), is_kept: false, warning: None })
    }
}

impl Supply for Supplier {
    fn fetch(&self, config: &PluginConfig, freshness: Freshness) -> Result<Supplied, FetchError> {
        self.fetches.fetch_add(1, Ordering::Relaxed);
        self.renewals.fetch_add(usize::from(freshness != Freshness::ByPolicy), Ordering::Relaxed);
        if let Some(on_fetch) = &*self.on_fetch.lock() {
            on_fetch();
        }
        if self.fails_for_good.load(Ordering::Relaxed) {
            return Err(FetchError::NotLocal);
        }
        if matches!(config.vm.code, Code::Remote(_)) {
            drop(self.silence.lock());
        }
        let Some(bytes) = self.kept.lock().clone().filter(|_| freshness != Freshness::Anew) else {
            return self.get();
        };
        let is_enough = freshness == Freshness::ByPolicy && !self.is_always_asked.load(Ordering::Relaxed);
        let warning = match self.get() {
            _ if is_enough => None,
            // What it names is here.
            Ok(now) if *now.wasm.bytes() == *bytes => None,
            Ok(now) => return Ok(now),
            Err(error) => Some(error),
        };
        let revision = Revision("kept".to_owned());
        Ok(Supplied { wasm: Wasm::new(bytes), revision, is_kept: true, warning })
    }

    fn revision(&self, _config: &PluginConfig) -> Result<Revision, FetchError> {
        self.get().map(|supplied| supplied.revision)
    }

    fn check(&self, _config: &PluginConfig) -> Result<(), FetchError> {
        Ok(())
    }

    fn at_hand(&self, config: &PluginConfig) -> Option<Result<Supplied, FetchError>> {
        self.is_kept(config).then(|| self.fetch(config, Freshness::ByPolicy))
    }

    fn is_kept(&self, _config: &PluginConfig) -> bool {
        self.is_at_hand.load(Ordering::Relaxed)
    }
}
