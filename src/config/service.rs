//! The configuration of a bootstrap extension: Envoy's `envoy.extensions.wasm.v3.WasmService`.

use super::any::message_name;
use super::document;
use super::error::{ConfigError, Subject};
use super::node::Node;
use super::plugin::PluginConfig;
use super::pool::Isolation;

/// The message of Envoy's own extension.
const BUILT_IN: &str = "envoy.extensions.wasm.v3.WasmService";

/// Its fields.
pub(super) const FIELDS: &[&str] = &["@type", "config", "singleton"];

/// A plugin that runs without a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceConfig {
    /// The plugin.
    pub plugin: PluginConfig,
    /// One VM for the process; otherwise one for each worker.
    pub is_singleton: bool,
}

/// Reads the `extension_config` of a bootstrap extension.
///
/// # Errors
/// A field that is unknown, missing or wrong, with its path.
pub fn parse_service(extension_name: &str, bytes: &[u8]) -> Result<ServiceConfig, ConfigError> {
    let subject = Subject::Plugin(extension_name.to_owned());
    let document = document::parse(&subject, bytes)?;
    let root = Node::root(&subject, &document);
    let fields = root.fields(FIELDS)?;
    if let Some(node) = fields.get("@type")
        && message_name(node.string()?) != Some(BUILT_IN)
    {
        return Err(node.unexpected(&format!("no @type, or that of {BUILT_IN}")));
    }
    let is_singleton = fields.boolean("singleton")?;
    let node = fields.require("config", "the fields of a plugin's configuration")?;
    let plugin = PluginConfig::read_named(extension_name, node)?;
    if plugin.graft.isolation == Isolation::Stream {
        let expected = "shared, because a service has no streams";
        return Err(plugin.unexpected("config.graft.isolation", "the string \"stream\"", expected));
    }
    Ok(ServiceConfig { plugin, is_singleton })
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
        assert_eq!((service.plugin.name.as_str(), service.is_singleton), ("keys", true));
        let url = "type.googleapis.com/envoy.extensions.wasm.v3.WasmService";
        assert!(!read(&json!({"@type": url, "config": plugin})).unwrap().is_singleton);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (value, expected) in [
            (json!({}), "plugin \"ext\": config: missing, expected the fields of a plugin's configuration"),
            (
                json!({"config": {}, "singletons": true}),
                "plugin \"ext\": singletons: unknown field, did you mean singleton?, expected @type, config, singleton",
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
