//! The configuration that a route, a virtual host or a weighted cluster gives a plugin, from the bytes
//! that Envoy hands over with `typed_per_filter_config`. Envoy's own filter has nothing like it.

use std::fmt;

use super::any;
use super::document;
use super::error::{ConfigError, Subject};
use super::node::Node;

/// The fields of a per-route configuration.
pub(super) const FIELDS: &[&str] = &["disabled", "configuration"];

/// What a plugin is on a route. With neither field it is what it is elsewhere, which takes back what a
/// virtual host said. `Debug` prints no configuration.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RouteConfig {
    /// Do streams of this route go by the plugin?
    pub disabled: bool,
    /// What the plugin reads in `proxy_on_configure` for this route, in the place of its own
    /// configuration. `Some` of no bytes is an empty configuration.
    pub configuration: Option<Vec<u8>>,
}

/// Reads the configuration of a plugin on a route. `bytes` are as in
/// [`parse_plugin`](super::parse_plugin), but that there may be none.
pub fn parse_route(bytes: &[u8]) -> Result<RouteConfig, ConfigError> {
    if bytes.is_empty() {
        // The empty Struct, as Envoy 1.37 and 1.38 hand it over: `{}`.
        return Ok(RouteConfig::default());
    }
    let document = document::parse(&Subject::Route, bytes)?;
    let fields = Node::root(&Subject::Route, &document).fields(FIELDS)?;
    let disabled = fields.boolean("disabled")?;
    let Some(node) = fields.get("configuration") else {
        return Ok(RouteConfig { disabled, configuration: None });
    };
    let configuration = Some(any::read(node)?);
    match fields.get("disabled") {
        Some(switch) if disabled => Err(node.conflict(switch)),
        Some(_) | None => Ok(RouteConfig { disabled, configuration }),
    }
}

impl fmt::Debug for RouteConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = self.configuration.as_ref().map(Vec::len);
        f.debug_struct("RouteConfig")
            .field("disabled", &self.disabled)
            .field("configuration_bytes", &length)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<RouteConfig, String> {
        parse_route(json.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_route_configures_a_plugin_or_turns_it_off() {
        for (json, disabled, configuration) in [
            ("", false, None),
            ("{}", false, None),
            (r#"{"disabled": true}"#, true, None),
            (r#"{"disabled": false}"#, false, None),
            (r#"{"configuration": "a"}"#, false, Some(&b"a"[..])),
            (r#"{"configuration": ""}"#, false, Some(b"")),
            (r#"{"configuration": {"a": 1.0}}"#, false, Some(br#"{"a":1}"#)),
            (r#"{"configuration": null}"#, false, None),
            (r#"{"disabled": false, "configuration": "a"}"#, false, Some(b"a")),
        ] {
            let expected = RouteConfig { disabled, configuration: configuration.map(<[u8]>::to_vec) };
            assert_eq!(read(json), Ok(expected), "{json}");
        }
    }

    #[test]
    fn a_wrong_route_says_what_is_wrong() {
        for (json, expected) in [
            (" ", "empty, expected filter_config with the fields of a plugin's configuration"),
            ("[]", "an array, expected an object"),
            (r#"{"disabled": 1}"#, "disabled: the number 1, expected true or false"),
            (
                r#"{"disable": true}"#,
                "disable: unknown field, did you mean disabled?, expected disabled, configuration",
            ),
            (
                r#"{"disabled": true, "configuration": "hunter2"}"#,
                "configuration: set beside disabled, expected only one of them",
            ),
            (
                r#"{"configuration": {"@type": "x/google.protobuf.BytesValue", "value": "?hunter2"}}"#,
                "configuration.value: a string that is not quoted here, expected bytes as base64",
            ),
        ] {
            let error = read(json).unwrap_err();
            assert_eq!(error, format!("per-route configuration: {expected}"));
        }
    }

    #[test]
    fn debug_shows_no_configuration() {
        let route = read(r#"{"configuration": "hunter2"}"#).unwrap();
        assert!(!format!("{route:?}").contains("hunter2"), "{route:?}");
    }
}
