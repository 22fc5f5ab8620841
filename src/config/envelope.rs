//! What may be wrapped around a plugin's configuration.
//!
//! Envoy's own filter holds the configuration in a field called `config`. Who comes from there may keep
//! it, and even the `@type` beside it, as it was:
//!
//! ```json
//! { "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm", "config": { … } }
//! { "config": { … } }
//! { … }
//! ```

use super::any::message_name;
use super::error::ConfigError;
use super::node::Node;

/// The message of Envoy's own filter.
const BUILT_IN: &str = "envoy.extensions.filters.http.wasm.v3.Wasm";

/// The fields of the wrapping.
const FIELDS: [&str; 2] = ["@type", "config"];

/// The node that holds the fields of the plugin's configuration.
pub(super) fn open(root: Node<'_>) -> Result<Node<'_>, ConfigError> {
    let Some(object) = root.value().as_object() else {
        return Err(root.unexpected("an object with the fields of a plugin's configuration"));
    };
    let is_wrapped = object.contains_key("@type") || (object.contains_key("config") && object.len() == 1);
    if !is_wrapped {
        return Ok(root);
    }
    let fields = root.fields(&FIELDS)?;
    if let Some(node) = fields.get("@type")
        && message_name(node.string()?) != Some(BUILT_IN)
    {
        return Err(node.unexpected(&format!("no @type, or that of {BUILT_IN}")));
    }
    fields.require("config", "the fields of a plugin's configuration").cloned()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::error::Subject;
    use super::*;

    fn opened(value: &Value) -> Result<(String, Value), String> {
        let subject = Subject::Plugin("p".to_owned());
        open(Node::root(&subject, value))
            .map(|node| (node.location().path, node.value().clone()))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn each_wrapping_is_taken_off() {
        let plugin = json!({"name": "n"});
        let url = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
        for (value, path) in [
            (plugin.clone(), ""),
            (json!({"config": plugin}), "config"),
            (json!({"@type": url, "config": plugin}), "config"),
        ] {
            assert_eq!(opened(&value), Ok((path.to_owned(), plugin.clone())), "{value}");
        }
    }

    #[test]
    fn config_beside_other_fields_is_no_wrapping() {
        let value = json!({"config": {}, "name": "n"});
        assert_eq!(opened(&value), Ok((String::new(), value)));
    }

    #[test]
    fn a_wrong_wrapping_is_refused() {
        for (value, expected) in [
            (
                json!([]),
                "plugin \"p\": an array, expected an object with the fields of a plugin's configuration",
            ),
            (
                json!({"@type": "x/acme.Wasm", "config": {}}),
                "plugin \"p\": @type: the string \"x/acme.Wasm\", expected no @type, or that of \
                 envoy.extensions.filters.http.wasm.v3.Wasm",
            ),
            (
                json!({"@type": "x/envoy.extensions.filters.http.wasm.v3.Wasm", "name": "n"}),
                "plugin \"p\": name: unknown field, expected @type, config",
            ),
            (
                json!({"@type": "x/envoy.extensions.filters.http.wasm.v3.Wasm"}),
                "plugin \"p\": config: missing, expected the fields of a plugin's configuration",
            ),
        ] {
            assert_eq!(opened(&value).unwrap_err(), expected);
        }
    }
}
