//! The configuration of a plugin, from the bytes that Envoy hands over with a filter.

use std::fmt;

use super::any;
use super::capabilities::Capabilities;
use super::document;
use super::envelope;
use super::error::{ConfigError, Subject};
use super::failure::{FailurePolicy, ReloadConfig};
use super::graft::GraftConfig;
use super::node::Node;
use super::vm::VmConfig;

/// The fields of a plugin's configuration: those of `envoy.extensions.wasm.v3.PluginConfig`, and `graft`.
pub(super) const FIELDS: &[&str] = &[
    "name",
    "root_id",
    "vm_config",
    "configuration",
    "fail_open",
    "failure_policy",
    "reload_config",
    "capability_restriction_config",
    "allow_on_headers_stop_iteration",
    "graft",
];

/// A configured use of code. `Debug` prints no configuration.
#[derive(Clone, PartialEq, Eq)]
pub struct PluginConfig {
    /// The name of the plugin in logs, in stats and to itself; the slot that its generations are
    /// published in. Where the configuration gives none, the name of the filter.
    pub name: String,
    /// The configuration gives a name. One that does not is not found again by it: the filters of a chain may have the same.
    pub is_named: bool,
    /// Which of the plugins that the code holds this is, to the code.
    pub root_id: String,
    /// The code and its VM.
    pub vm: VmConfig,
    /// What the plugin reads in `proxy_on_configure`.
    pub configuration: Vec<u8>,
    /// What becomes of streams whose VM failed.
    pub failure_policy: FailurePolicy,
    /// How soon a VM that failed is replaced.
    pub reload: ReloadConfig,
    /// What the plugin may call and be called with.
    pub capabilities: Capabilities,
    /// Does the action 1 of a headers entry point stop headers alone, letting the body arrive? It stops
    /// everything otherwise.
    pub allow_on_headers_stop_iteration: bool,
    /// What Envoy's own filter does not have.
    pub graft: GraftConfig,
}

/// Reads the configuration of a plugin.
///
/// `bytes` are those that Envoy hands over for the filter called `filter_name`: the `Struct` in
/// `filter_config` as JSON text or encoded, or the contents of a `StringValue` there, which are JSON text. What is left out has its
/// default, and whatever is wrong is reported with its path.
pub fn parse_plugin(filter_name: &str, bytes: &[u8]) -> Result<PluginConfig, ConfigError> {
    let filter = Subject::Plugin(filter_name.to_owned());
    let document = document::parse(&filter, bytes)?;
    PluginConfig::read_named(filter_name, &envelope::open(Node::root(&filter, &document))?)
}

impl PluginConfig {
    /// The configuration at a node. It has its own name, or else that of what it is attached to.
    pub(super) fn read_named(attached_to: &str, node: &Node<'_>) -> Result<Self, ConfigError> {
        // Errors name the plugin as the user does, so the name is looked at before anything else.
        let name = node
            .value()
            .get("name")
            .and_then(serde_json::Value::as_str)
            .filter(|name| !name.is_empty())
            .unwrap_or(attached_to);
        let subject = Subject::Plugin(name.to_owned());
        Self::read(name, &node.clone().of(&subject))
    }

    /// The field at `path` holds `found` where `expected` should be. For the layers that use a value and
    /// find it wrong; neither text may quote a secret.
    pub fn unexpected(
        &self,
        path: &str,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> ConfigError {
        ConfigError::unexpected(&self.name, path, found, expected)
    }

    fn read(name: &str, node: &Node<'_>) -> Result<Self, ConfigError> {
        let fields = node.fields(FIELDS)?;
        // The name was looked at already; here it is checked.
        let is_named = !fields.string("name")?.is_empty();
        let (mut vm, vm_capabilities) =
            VmConfig::read(fields.require("vm_config", "an object with the code of the plugin")?)?;
        let capabilities =
            fields.read_or("capability_restriction_config", Capabilities::default(), Capabilities::read)?;
        let mut graft = fields.read_or("graft", GraftConfig::default(), GraftConfig::read)?;
        graft.source.take_over(&mut vm.environment);
        graft.source.check(&vm.code, node)?;
        Ok(Self {
            name: name.to_owned(),
            is_named,
            root_id: fields.string("root_id")?,
            vm,
            configuration: fields.read_or("configuration", Vec::new(), any::read)?,
            failure_policy: FailurePolicy::read(&fields)?,
            reload: fields.read_or("reload_config", ReloadConfig::default(), ReloadConfig::read)?,
            // As in Envoy 1.40, where the field moved: the one in vm_config counts, even if it is empty.
            capabilities: vm_capabilities.unwrap_or(capabilities),
            allow_on_headers_stop_iteration: fields.boolean("allow_on_headers_stop_iteration")?,
            graft,
        })
    }
}

impl fmt::Debug for PluginConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginConfig")
            .field("name", &self.name)
            .field("is_named", &self.is_named)
            .field("root_id", &self.root_id)
            .field("vm", &self.vm)
            .field("configuration", &format_args!("<{} bytes>", self.configuration.len()))
            .field("failure_policy", &self.failure_policy)
            .field("reload", &self.reload)
            .field("capabilities", &self.capabilities)
            .field("allow_on_headers_stop_iteration", &self.allow_on_headers_stop_iteration)
            .field("graft", &self.graft)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::config::{Code, Limits, wire};

    fn read(value: &Value) -> Result<PluginConfig, String> {
        parse_plugin("filter", value.to_string().as_bytes()).map_err(|error| error.to_string())
    }

    /// A configuration that is right, with `more` added to it.
    fn with(more: &Value) -> Value {
        let mut value = json!({"name": "auth", "vm_config": {"code": {"local": {"filename": "/x"}}}});
        let object = value.as_object_mut().unwrap();
        object.extend(more.as_object().unwrap().clone());
        value
    }

    #[test]
    fn code_alone_is_enough() {
        let plugin = read(&json!({"vm_config": {"code": {"local": {"filename": "/x"}}}})).unwrap();
        assert_eq!(plugin.name, "filter");
        assert_eq!(plugin.root_id, "");
        assert_eq!(plugin.vm.code, Code::File("/x".into()));
        assert_eq!(plugin.configuration, b"");
        assert_eq!(plugin.failure_policy, FailurePolicy::Closed);
        assert_eq!(plugin.reload.base_interval, Duration::from_secs(1));
        assert_eq!(plugin.reload.max_interval, Duration::from_secs(10));
        assert_eq!(plugin.capabilities, Capabilities::All);
        assert!(!plugin.allow_on_headers_stop_iteration);
        assert_eq!(plugin.graft.limits, Limits::default());
    }

    #[test]
    fn both_spellings_say_the_same() {
        let snake = json!({
            "name": "auth",
            "root_id": "r",
            "vm_config": {"vm_id": "v", "code": {"local": {"inline_string": "x"}}},
            "configuration": {"a_b": 1},
            "failure_policy": "FAIL_RELOAD",
            "reload_config": {"backoff": {"base_interval": "2s", "max_interval": "5s"}},
            "allow_on_headers_stop_iteration": true,
            "graft": {"limits": {"memory_bytes": 65536}},
        });
        let camel = json!({
            "name": "auth",
            "rootId": "r",
            "vmConfig": {"vmId": "v", "code": {"local": {"inlineString": "x"}}},
            "configuration": {"a_b": 1},
            "failurePolicy": "FAIL_RELOAD",
            "reloadConfig": {"backoff": {"baseInterval": "2s", "maxInterval": "5s"}},
            "allowOnHeadersStopIteration": true,
            "graft": {"limits": {"memoryBytes": 65536}},
        });
        let plugin = read(&snake).unwrap();
        assert_eq!(plugin, read(&camel).unwrap());
        assert_eq!(plugin.name, "auth");
        assert_eq!(plugin.root_id, "r");
        assert_eq!(plugin.configuration, br#"{"a_b":1}"#);
        assert_eq!(plugin.failure_policy, FailurePolicy::Reload);
        assert_eq!(plugin.reload.base_interval, Duration::from_secs(2));
        assert_eq!(plugin.reload.max_interval, Duration::from_secs(5));
        assert!(plugin.allow_on_headers_stop_iteration);
        assert_eq!(plugin.graft.limits.memory_bytes, 65_536);
    }

    #[test]
    fn the_order_in_which_envoy_prints_makes_no_difference() {
        let one = br#"{"vm_config":{"code":{"local":{"filename":"/x"}}},"configuration":{"a":1,"b":2}}"#;
        let other = b"{\n \"configuration\": {\n  \"b\": 2.0,\n  \"a\": 1\n },\n \"vm_config\":
            {\"code\": {\"local\": {\"filename\": \"/x\"}}}\n}\n";
        assert_eq!(parse_plugin("f", one), parse_plugin("f", other));
    }

    #[test]
    fn an_encoded_struct_says_the_same_as_its_json() {
        let value = with(&json!({"configuration": {"n": [1, 2.5], "t": "x"}, "graft": {"limits": {}}}));
        let encoded = wire::structure(value.as_object().unwrap());
        assert_eq!(parse_plugin("f", &encoded), parse_plugin("f", value.to_string().as_bytes()));
    }

    #[test]
    fn an_empty_name_is_no_name() {
        let plugin = read(&with(&json!({"name": ""}))).unwrap();
        assert_eq!(plugin.name, "filter");
    }

    #[test]
    fn errors_name_the_plugin_and_the_path_from_the_root() {
        for (value, expected) in [
            (
                json!({}),
                "plugin \"filter\": vm_config: missing, expected an object with the code of the plugin",
            ),
            (json!({"name": 5}), "plugin \"filter\": name: the number 5, expected a string"),
            (
                with(&json!({"vm_confg": {}})),
                "plugin \"auth\": vm_confg: unknown field, did you mean vm_config?, expected name, \
                 root_id, vm_config, configuration, fail_open, failure_policy, reload_config, \
                 capability_restriction_config, allow_on_headers_stop_iteration, graft",
            ),
            (
                json!({"config": {"name": "auth", "vmConfig": {"code": {"local": {"filenam": "/x"}}}}}),
                "plugin \"auth\": config.vmConfig.code.local.filenam: unknown field, did you mean \
                 config.vmConfig.code.local.filename?, expected filename, inline_bytes, \
                 inline_string, environment_variable, watched_directory",
            ),
            (
                with(&json!({"configuration": 4711})),
                "plugin \"auth\": configuration: a number, expected a string, an object, an array, \
                 or an Any with an @type",
            ),
            (
                with(&json!({"graft": {"limits": {"call_deadline": "soon"}}})),
                "plugin \"auth\": graft.limits.call_deadline: the string \"soon\", expected seconds \
                 such as \"1.5s\", from \"0.001s\" to \"3600s\"",
            ),
        ] {
            assert_eq!(read(&value).unwrap_err(), expected);
        }
    }

    #[test]
    fn the_capabilities_of_the_vm_count_before_those_of_the_plugin() {
        let only = |name: &str| json!({"allowed_capabilities": {name: {}}});
        let code = json!({"local": {"filename": "/x"}});
        let both = |vm: &Value| {
            read(&json!({
                "vm_config": {"code": code, "capability_restriction_config": vm},
                "capability_restriction_config": only("proxy_log"),
            }))
            .unwrap()
            .capabilities
        };
        assert!(both(&Value::Null).allows("proxy_log"));
        assert!(!both(&Value::Null).allows("fd_write"));
        assert!(both(&only("fd_write")).allows("fd_write"));
        assert!(!both(&only("fd_write")).allows("proxy_log"));
        assert_eq!(both(&json!({})), Capabilities::All);
    }

    #[test]
    fn other_layers_report_with_the_name_of_the_plugin() {
        let plugin = read(&with(&json!({}))).unwrap();
        let error =
            plugin.unexpected(plugin.vm.code.path(), "no such file \"/x\"", "the path of a Wasm file");
        assert_eq!(
            error.to_string(),
            "plugin \"auth\": vm_config.code.local.filename: no such file \"/x\", \
             expected the path of a Wasm file"
        );
    }

    #[test]
    fn debug_shows_no_configuration() {
        let plugin = read(&with(&json!({"configuration": "hunter2"}))).unwrap();
        assert_eq!(plugin.configuration, b"hunter2");
        assert!(!format!("{plugin:?}").contains("hunter2"), "{plugin:?}");
    }
}
