//! Configuration that Envoy takes from files while it runs: filters by extension discovery (ECDS), listeners by LDS.
//!
//! A file is replaced by another that is moved to its place, which Envoy watches for; its own counters tell when it has read
//! the new one, and what it made of it.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::config::{Host, Listener, Plugin};
use super::envoy::Envoy;
use super::eventually;

/// What Envoy made of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Accepted,
    Refused,
}

/// A filter whose configuration is in a file of its own.
#[derive(Debug)]
pub struct Discovered {
    folder: TempDir,
    host: Host,
    name: String,
    kind: Value,
}

impl Discovered {
    /// A filter that begins as this plugin. All that follow go by its name, as filters do.
    pub fn new(host: Host, plugin: &Plugin) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let name = plugin.name().to_owned();
        let kind = plugin.filter(host)["typed_config"]["@type"].clone();
        let discovered = Self { folder, host, name, kind };
        discovered.publish(plugin);
        discovered
    }

    /// The entry in a list of HTTP filters.
    pub fn filter(&self) -> Value {
        json!({
            "name": self.name,
            "config_discovery": {
                "config_source": {
                    "resource_api_version": "V3",
                    "path_config_source": {
                        "path": self.file(),
                        "watched_directory": { "path": self.folder.path() },
                    },
                },
                "type_urls": [self.kind],
            },
        })
    }

    /// Puts another configuration in the place of the one that is there.
    pub fn publish(&self, plugin: &Plugin) {
        let resource = json!({
            "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
            "name": self.name,
            "typed_config": plugin.filter(self.host)["typed_config"],
        });
        let text = json!({ "resources": [resource] }).to_string();
        // A number in the file's name would do as well: what counts is the move.
        let fresh = self.folder.path().join("fresh");
        fs::write(&fresh, text).expect("writing the filter");
        fs::rename(fresh, self.file()).expect("publishing the filter");
    }

    /// The same, and waits until Envoy has counted it.
    pub fn update(&self, envoy: &Envoy, plugin: &Plugin) -> Verdict {
        count(envoy, &format!("extension_config_discovery.http_filter.{}.", self.name), || {
            self.publish(plugin);
        })
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("filter.json")
    }
}

/// Publishes listeners in place of those that there are, and waits until Envoy has counted it; see
/// [`super::Bootstrap::listeners_from_file`].
pub fn update_listeners(envoy: &Envoy, listeners: &[Listener]) -> Verdict {
    count(envoy, "listener_manager.lds.", || envoy.publish(listeners))
}

/// Changes a file, and waits until one of the counters of its subscription has moved.
fn count(envoy: &Envoy, prefix: &str, change: impl FnOnce()) -> Verdict {
    let read = |counter: &str| envoy.admin().stat(&format!("{prefix}{counter}")).unwrap_or(0);
    let [accepted, refused] = ["update_success", "update_rejected"];
    let before = (read(accepted), read(refused));
    change();
    eventually(&format!("Envoy to count an update of {prefix}"), || {
        if read(accepted) > before.0 {
            return Some(Verdict::Accepted);
        }
        (read(refused) > before.1).then_some(Verdict::Refused)
    })
}
