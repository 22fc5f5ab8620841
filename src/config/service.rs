//! The configuration of a bootstrap extension: Envoy's `envoy.extensions.wasm.v3.WasmService`, and what Graft's own
//! extension does besides, with a plugin or without.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::any::message_name;
use super::document;
use super::error::{ConfigError, Subject};
use super::node::Node;
use super::plugin::PluginConfig;
use super::pool::Isolation;

/// The message of Envoy's own extension.
const BUILT_IN: &str = "envoy.extensions.wasm.v3.WasmService";

/// The fields of an extension.
pub(super) const FIELDS: &[&str] = &["@type", "config", "singleton", "graft"];

/// The fields of `graft` in an extension.
pub(super) const GRAFT_FIELDS: &[&str] = &["admin", "startup_wait"];

/// Not to wait is a choice. Nobody wants a proxy that does not begin for longer than an hour.
const STARTUP_WAIT: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(1);

/// A bootstrap extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceConfig {
    /// The plugin that runs without a filter, if there is one.
    pub plugin: Option<PluginConfig>,
    /// One VM for the process; otherwise one for each worker.
    pub is_singleton: bool,
    /// What it does besides.
    pub extension: ExtensionConfig,
}

/// What an extension does for all plugins of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtensionConfig {
    /// Whether Envoy's admin endpoint has pages of Graft's.
    pub admin: bool,
    /// How long Envoy waits for plugins that are being loaded before it serves. Zero: not at all.
    pub startup_wait: Duration,
}

impl Default for ExtensionConfig {
    fn default() -> Self {
        // As long as a stream would wait.
        Self { admin: true, startup_wait: Duration::from_secs(30) }
    }
}

impl ExtensionConfig {
    fn read(node: &Node<'_>) -> Result<Self, ConfigError> {
        let fields = node.fields(GRAFT_FIELDS)?;
        let default = Self::default();
        Ok(Self {
            admin: fields.read_or("admin", default.admin, Node::boolean)?,
            startup_wait: fields
                .read_or("startup_wait", default.startup_wait, |node| node.duration(STARTUP_WAIT))?,
        })
    }
}

/// Reads the `extension_config` of a bootstrap extension. There may be none.
///
/// # Errors
/// A field that is unknown, missing or wrong, with its path.
pub fn parse_service(extension_name: &str, bytes: &[u8]) -> Result<ServiceConfig, ConfigError> {
    let extension = ExtensionConfig::default();
    if bytes.is_empty() {
        // No extension_config, or the empty Struct as some releases hand it over.
        return Ok(ServiceConfig { plugin: None, is_singleton: false, extension });
    }
    let subject = Subject::Plugin(extension_name.to_owned());
    let document = document::parse(&subject, bytes)?;
    let root = Node::root(&subject, &document);
    let fields = root.fields(FIELDS)?;
    let message = fields.get("@type");
    if let Some(node) = message
        && message_name(node.string()?) != Some(BUILT_IN)
    {
        return Err(node.unexpected(&format!("no @type, or that of {BUILT_IN}")));
    }
    let extension = fields.read_or("graft", extension, ExtensionConfig::read)?;
    let is_singleton = fields.boolean("singleton")?;
    let says_a_plugin = ["config", "singleton", "@type"].iter().any(|name| fields.get(name).is_some());
    if !says_a_plugin {
        return Ok(ServiceConfig { plugin: None, is_singleton, extension });
    }
    let node = fields.require("config", "the fields of a plugin's configuration")?;
    let plugin = PluginConfig::read_named(extension_name, node)?;
    if plugin.graft.isolation == Isolation::Stream {
        let expected = "shared, because a service has no streams";
        return Err(plugin.unexpected("config.graft.isolation", "the string \"stream\"", expected));
    }
    Ok(ServiceConfig { plugin: Some(plugin), is_singleton, extension })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(value: &Value) -> Result<ServiceConfig, String> {
        parse_service("ext", value.to_string().as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_plugin_and_its_number_are_read() {
        let plugin = json!({"name": "keys", "vm_config": {"code": {"local": {"filename": "/x"}}}});
        let service = read(&json!({"config": plugin, "singleton": true})).unwrap();
        assert_eq!((service.plugin.unwrap().name.as_str(), service.is_singleton), ("keys", true));
        assert_eq!(service.extension, ExtensionConfig::default());
        let url = "type.googleapis.com/envoy.extensions.wasm.v3.WasmService";
        assert!(!read(&json!({"@type": url, "config": plugin})).unwrap().is_singleton);
    }

    #[test]
    fn an_extension_may_have_no_plugin() {
        let own = ServiceConfig { plugin: None, is_singleton: false, extension: ExtensionConfig::default() };
        assert_eq!(read(&json!({})), Ok(own.clone()));
        assert_eq!(parse_service("ext", b""), Ok(own.clone()));
        let extension = ExtensionConfig { admin: false, startup_wait: Duration::from_millis(1500) };
        let value = json!({"graft": {"admin": false, "startup_wait": "1.5s"}});
        assert_eq!(read(&value), Ok(ServiceConfig { extension, ..own }));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (value, expected) in [
            (
                json!({"singleton": true}),
                "plugin \"ext\": config: missing, expected the fields of a plugin's configuration",
            ),
            (
                json!({"@type": "x/envoy.extensions.wasm.v3.WasmService"}),
                "plugin \"ext\": config: missing, expected the fields of a plugin's configuration",
            ),
            (
                json!({"graft": {"startup_wait": "2h"}}),
                "plugin \"ext\": graft.startup_wait: the string \"2h\", expected seconds such as \"1.5s\", from \"0s\" to \"3600s\"",
            ),
            (
                json!({"graft": {"start_wait": "2s"}}),
                "plugin \"ext\": graft.start_wait: unknown field, did you mean graft.startup_wait?, expected admin, startup_wait",
            ),
            (
                json!({"config": {}, "singletons": true}),
                "plugin \"ext\": singletons: unknown field, did you mean singleton?, expected @type, config, singleton, graft",
            ),
            (
                json!({"@type": "x/acme", "config": {}}),
                "plugin \"ext\": @type: the string \"x/acme\", expected no @type, or that of envoy.extensions.wasm.v3.WasmService",
            ),
            (
                json!({"config": {"name": "keys"}}),
                "plugin \"keys\": config.vm_config: missing, expected an object with the code of the plugin",
            ),
            (
                json!({"config": {
                    "vm_config": {"code": {"local": {"filename": "/x"}}},
                    "graft": {"isolation": "stream"},
                }}),
                "plugin \"ext\": config.graft.isolation: the string \"stream\", expected shared, because a service has no streams",
            ),
        ] {
            assert_eq!(read(&value).unwrap_err(), expected);
        }
    }
}
