//! What surrounds a fetch: configurations as users write them, a clock that nobody waits for, a shelf in memory.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use graft::config::{PluginConfig, parse_plugin};
use graft::source::{Clock, FetchError, Fetched, Kind, Revision, Shelf, Sources, Wanted};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// The smallest Wasm.
pub const WASM: &[u8] = b"\0asm\x01\0\0\0";

/// Goes on with the time, and faster while somebody sleeps.
pub struct Dream {
    start: Instant,
    pub sleeps: Mutex<Vec<Duration>>,
}

impl Clock for Dream {
    fn now(&self) -> Duration {
        self.start.elapsed() + self.sleeps.lock().unwrap().iter().sum::<Duration>()
    }

    fn sleep(&self, time: Duration) {
        self.sleeps.lock().unwrap().push(time);
    }
}

type Kept = HashMap<(Kind, [u8; 32]), Vec<u8>>;

#[derive(Default)]
pub struct Memory(pub Mutex<Kept>, AtomicUsize);

impl Memory {
    /// How often Wasm was read.
    pub fn reads(&self) -> usize {
        self.1.load(Ordering::Relaxed)
    }
}

impl Shelf for Memory {
    fn has(&self, kind: Kind, key: &[u8; 32]) -> bool {
        self.0.lock().unwrap().contains_key(&(kind, *key))
    }

    fn read(&self, kind: Kind, key: &[u8; 32]) -> Option<Vec<u8>> {
        self.1.fetch_add(usize::from(kind == Kind::Wasm), Ordering::Relaxed);
        self.0.lock().unwrap().get(&(kind, *key)).cloned()
    }

    fn write(&self, kind: Kind, key: &[u8; 32], bytes: &[u8]) {
        self.0.lock().unwrap().insert((kind, *key), bytes.to_vec());
    }
}

pub struct World {
    pub clock: Arc<Dream>,
    pub shelf: Memory,
    sources: Sources,
}

impl World {
    pub fn new() -> Self {
        let clock = Arc::new(Dream { start: Instant::now(), sleeps: Mutex::default() });
        let variable =
            |name: &str| (name == "PULL_SECRET").then(|| secret_for("127.0.0.1", "u:hunter2").into());
        let sources = Sources::new(Arc::clone(&clock) as Arc<dyn Clock>, variable);
        Self { clock, shelf: Memory::default(), sources }
    }

    fn with<T>(&self, plugin: &PluginConfig, renew: bool, ask: impl FnOnce(&Sources, &Wanted<'_>) -> T) -> T {
        let (code, source) = (&plugin.vm.code, &plugin.graft.source);
        ask(&self.sources, &Wanted { code, source, shelf: &self.shelf, renew })
    }

    pub fn fetch(&self, plugin: &PluginConfig) -> Result<Fetched, FetchError> {
        checked(self.with(plugin, false, Sources::fetch))
    }

    pub fn renew(&self, plugin: &PluginConfig) -> Result<Fetched, FetchError> {
        checked(self.with(plugin, true, Sources::fetch))
    }

    pub fn at_hand(&self, plugin: &PluginConfig) -> Option<Result<Fetched, FetchError>> {
        self.with(plugin, false, Sources::at_hand).map(checked)
    }

    pub fn is_known(&self, plugin: &PluginConfig) -> bool {
        self.with(plugin, false, Sources::is_known)
    }

    pub fn revision(&self, plugin: &PluginConfig) -> Result<Revision, FetchError> {
        checked(self.with(plugin, false, Sources::revision))
    }

    pub fn sleeps(&self) -> Vec<u128> {
        self.clock.sleeps.lock().unwrap().iter().map(Duration::as_millis).collect()
    }
}

/// Each error of each test is one line, and has none of the secrets of the tests in it.
fn checked<T>(result: Result<T, FetchError>) -> Result<T, FetchError> {
    if let Err(error) = &result {
        for text in [error.to_string(), format!("{error:?}")] {
            for secret in ["hunter2", "aHVudGVyMg", "dTpodW50ZXIy"] {
                assert!(!text.contains(secret), "{text}");
            }
            assert!(!text.contains('\n') && text.len() < 2_000, "{text}");
        }
    }
    result
}

/// The line of an error.
pub fn line<T: std::fmt::Debug>(result: Result<T, FetchError>) -> String {
    result.unwrap_err().to_string()
}

/// A plugin whose code is there, with `graft.source`.
pub fn plugin(code: &Value, source: &Value) -> PluginConfig {
    let value = json!({"vm_config": {"code": code}, "graft": {"source": source}});
    parse_plugin("p", value.to_string().as_bytes()).unwrap()
}

/// Code of an address.
pub fn page(url: &str, source: &Value) -> PluginConfig {
    plugin(&json!({"remote": {"http_uri": {"uri": url}}}), source)
}

/// Code of an address, with its SHA-256.
pub fn pinned_page(url: &str, sha256: &str) -> PluginConfig {
    plugin(&json!({"remote": {"http_uri": {"uri": url}, "sha256": sha256}}), &json!({}))
}

/// A `config.json` of Docker for a host.
pub fn secret_for(host: &str, password: &str) -> String {
    use base64::Engine as _;
    let auth = base64::engine::general_purpose::STANDARD.encode(password);
    json!({"auths": {host: {"auth": auth}}}).to_string()
}

pub fn sha256(bytes: &[u8]) -> String {
    graft::config::Digest::new(Sha256::digest(bytes).into()).to_string()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(u64::try_from(bytes.len()).unwrap());
        header.set_mode(0o644);
        builder.append_data(&mut header, path, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}
