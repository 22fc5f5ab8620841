//! Plugins whose code comes from elsewhere, and Envoys for them with a cache of their own.
//!
//! ```text
//!   Registry, WebServer, hostile servers ◄── image(…), page(…) ── House: a listener for each plugin ── SteadyUpstream
//!                                                                   └── Place: the cache, which may outlive it
//! ```

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::config::{Bootstrap, Host, Listener, Plugin};
use super::envoy::{Ended, Envoy, Version};
use super::steady_upstream::SteadyUpstream;
use super::upstream::Protocol;
use super::{Response, eventually};
use crate::support::Registry;
use crate::support::wasm::GENERATION;

/// A directory for a cache that nobody has made yet. It goes with the last that has it.
#[derive(Clone, Debug)]
pub struct Place {
    _folder: Arc<TempDir>,
    pub directory: PathBuf,
}

impl Default for Place {
    fn default() -> Self {
        Self::new()
    }
}

impl Place {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let directory = folder.path().join("graft");
        Self { _folder: Arc::new(folder), directory }
    }

    pub fn files(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(&self.directory).expect("the directory of the cache");
        files.map(|file| file.expect("a file of the cache").path()).collect()
    }
}

/// A plugin in an image of a registry, which is listed as insecure.
pub fn image(name: &str, registry: &Registry, reference: &str) -> Plugin {
    of_registry(name, registry, &json!({ "oci": reference }))
}

/// The same, with any spelling of `vm_config.code`.
pub fn of_registry(name: &str, registry: &Registry, code: &Value) -> Plugin {
    Plugin::with_code(name, code).set("graft.source.insecure_registries", json!([registry.host()]))
}

/// A plugin at an address.
pub fn page(name: &str, url: &str) -> Plugin {
    Plugin::with_code(name, &json!({ "remote": { "http_uri": { "uri": url } } }))
}

impl Plugin {
    /// Whose sources are asked once, whose requests soon have the failure policy, and which is soon tried again.
    pub fn impatient(self) -> Self {
        self.set("graft.source.retries.attempts", 1)
            .set("graft.swap.max_wait", "0.3s")
            .set("graft.swap.retry", json!({ "base_interval": "0.3s", "max_interval": "0.6s" }))
    }

    /// Whose source is looked at every second.
    pub fn polled(self) -> Self {
        self.set("graft.swap.poll_interval", "1s")
    }
}

/// An Envoy with a listener for each plugin, named after it.
#[derive(Debug)]
pub struct House {
    pub envoy: Envoy,
    pub upstream: Arc<SteadyUpstream>,
    _place: Place,
}

impl House {
    pub fn start(version: Version, place: &Place, plugins: &[Plugin]) -> Self {
        Self::with(version, place, plugins, |bootstrap| bootstrap)
    }

    /// The same, with more in the bootstrap.
    pub fn with(
        version: Version,
        place: &Place,
        plugins: &[Plugin],
        more: impl FnOnce(Bootstrap) -> Bootstrap,
    ) -> Self {
        let upstream = SteadyUpstream::start();
        let bootstrap = Bootstrap::new()
            .cluster("upstream", upstream.address(), Protocol::Http2)
            .variable("GRAFT_CACHE_DIRECTORY", &place.directory.to_string_lossy())
            .log_level("info");
        let listener = |plugin: &Plugin| Listener::new(plugin.name()).plugin(Host::Graft, plugin);
        let bootstrap = plugins.iter().map(listener).fold(bootstrap, Bootstrap::listener);
        Self { envoy: Envoy::start(version, &more(bootstrap)), upstream, _place: place.clone() }
    }

    /// A request that the plugin sees.
    pub fn get(&self, plugin: &str) -> Response {
        self.envoy.client(plugin).get("/")
    }

    /// The generation of [`crate::support::wasm::generation`] that answers; nothing if none did.
    pub fn generation(&self, plugin: &str) -> Option<u32> {
        let response = self.get(plugin);
        response.header(GENERATION).filter(|_| response.status == 200)?.parse().ok()
    }

    /// Waits until a generation answers.
    pub fn await_generation(&self, plugin: &str, number: u32) {
        eventually(&format!("generation {number} of {plugin}"), || {
            (self.generation(plugin) == Some(number)).then_some(())
        });
    }

    /// Waits for an error, or a warning, that is told of a plugin and holds all of these words.
    pub fn await_complaint(&self, plugin: &str, words: &[&str]) -> String {
        let subject = format!("graft: plugin {plugin:?}: ");
        let is_it = |text: &str| text.starts_with(&subject) && words.iter().all(|word| text.contains(word));
        eventually(&format!("a complaint of {plugin} with {words:?}"), || {
            self.envoy.complaints().into_iter().map(|line| line.text).find(|text| is_it(text))
        })
    }

    /// A statistic of Graft's about a plugin.
    pub fn stat(&self, name: &str, plugin: &str) -> Option<u64> {
        self.envoy.admin().stat(&format!("dynamicmodulescustom.{name}.plugin.{plugin}"))
    }

    /// Ends Envoy, which ends well.
    pub fn stop(self) -> Ended {
        let ended = self.envoy.stop();
        assert!(ended.status.success(), "{ended}");
        ended
    }
}
