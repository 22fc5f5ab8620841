//! What a plugin may call and be called with: `capability_restriction_config`.

use std::collections::BTreeSet;

use super::error::ConfigError;
use super::node::Node;

/// The fields of `capability_restriction_config`.
pub(super) const FIELDS: &[&str] = &["allowed_capabilities"];

/// The hostcalls, WASI functions and entry points that a plugin has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub enum Capabilities {
    /// All that there are.
    #[default]
    All,
    /// Those with these names, such as `proxy_log`, `fd_write` or `proxy_on_request_headers`.
    Only(BTreeSet<String>),
}

impl Capabilities {
    /// Does the plugin have the function called `name`?
    pub fn allows(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.contains(name),
        }
    }

    pub(super) fn read(node: &Node<'_>) -> Result<Self, ConfigError> {
        let fields = node.fields(FIELDS)?;
        let mut names = BTreeSet::new();
        if let Some(node) = fields.get("allowed_capabilities") {
            for (name, sanitization) in node.entries()? {
                if !sanitization.value().is_null() {
                    // Envoy's SanitizationConfig has no fields.
                    sanitization.fields(&[])?;
                }
                names.insert(name.to_owned());
            }
        }
        // No name is no restriction, as in Envoy.
        Ok(if names.is_empty() { Self::All } else { Self::Only(names) })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::error::Subject;
    use super::*;

    fn read(value: &Value) -> Result<Capabilities, String> {
        let subject = Subject::Plugin("p".to_owned());
        Capabilities::read(&Node::root(&subject, value)).map_err(|error| error.to_string())
    }

    #[test]
    fn no_name_is_no_restriction() {
        for value in [json!({}), json!({"allowed_capabilities": null}), json!({"allowed_capabilities": {}})] {
            assert_eq!(read(&value), Ok(Capabilities::All), "{value}");
        }
        assert!(Capabilities::All.allows("proxy_log"));
    }

    #[test]
    fn names_are_the_only_ones_allowed() {
        let value = json!({"allowedCapabilities": {"proxy_log": {}, "fd_write": null}});
        let capabilities = read(&value).unwrap();
        assert!(capabilities.allows("proxy_log"));
        assert!(capabilities.allows("fd_write"));
        assert!(!capabilities.allows("proxy_get_property"));
        assert!(!capabilities.allows(""));
    }

    #[test]
    fn wrong_capabilities_say_what_is_wrong() {
        for (value, expected) in [
            (
                json!({"allowed_capabilities": ["proxy_log"]}),
                "allowed_capabilities: an array, expected an object",
            ),
            (
                json!({"allowed_capabilities": {"proxy_log": true}}),
                "allowed_capabilities.proxy_log: the boolean true, expected an object",
            ),
            (
                json!({"allowed_capabilities": {"proxy_log": {"x": 1}}}),
                "allowed_capabilities.proxy_log.x: unknown field, expected an empty object",
            ),
        ] {
            assert_eq!(read(&value).unwrap_err(), format!("plugin \"p\": {expected}"));
        }
    }
}
