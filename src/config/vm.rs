//! `vm_config`: the code of a plugin and the VM that it runs in.

use std::fmt;

use super::any;
use super::capabilities::Capabilities;
use super::code::Code;
use super::environment::Environment;
use super::error::ConfigError;
use super::node::Node;

/// The fields of `vm_config`.
pub(super) const FIELDS: &[&str] = &[
    "vm_id",
    "runtime",
    "code",
    "configuration",
    "allow_precompiled",
    "nack_on_code_cache_miss",
    "environment_variables",
    "capability_restriction_config",
];

/// The runtime under which Envoy's own filter runs plugins that are compiled into Envoy.
const NULL_RUNTIME: &str = "envoy.wasm.runtime.null";

/// What a VM is made of. Plugins for which all of it is the same share their VMs. `Debug` prints no
/// configuration.
#[derive(Clone, PartialEq, Eq)]
pub struct VmConfig {
    /// Keeps plugins with the same code apart that would share VMs otherwise. May be empty.
    pub vm_id: String,
    /// Where the code comes from.
    pub code: Code,
    /// What the code reads in `proxy_on_vm_start`.
    pub configuration: Vec<u8>,
    /// The environment variables that the code sees.
    pub environment: Environment,
    /// Refuse the configuration when code that must be fetched is not there yet, instead of waiting.
    /// Local code is always there.
    pub nack_on_code_cache_miss: bool,
}

impl VmConfig {
    /// The VM, and what its plugins may call if `vm_config` says so itself.
    pub(super) fn read(node: &Node<'_>) -> Result<(Self, Option<Capabilities>), ConfigError> {
        let fields = node.fields(FIELDS)?;
        // Users of Envoy's own filter have these two. There is one runtime here, and code compiled by
        // somebody else is never run: Graft keeps a cache of what it compiled itself.
        if let Some(runtime) = fields.get("runtime")
            && runtime.string()? == NULL_RUNTIME
        {
            return Err(runtime.unexpected("a runtime that runs Wasm code"));
        }
        fields.boolean("allow_precompiled")?;
        let capabilities = match fields.get("capability_restriction_config") {
            Some(node) => Some(Capabilities::read(node)?),
            None => None,
        };
        let vm = Self {
            vm_id: fields.string("vm_id")?,
            code: Code::read(fields.require("code", "where the Wasm code comes from")?)?,
            configuration: fields.read_or("configuration", Vec::new(), any::read)?,
            environment: fields.read_or(
                "environment_variables",
                Environment::default(),
                Environment::read,
            )?,
            nack_on_code_cache_miss: fields.boolean("nack_on_code_cache_miss")?,
        };
        Ok((vm, capabilities))
    }
}

impl fmt::Debug for VmConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VmConfig")
            .field("vm_id", &self.vm_id)
            .field("code", &self.code)
            .field("configuration", &format_args!("<{} bytes>", self.configuration.len()))
            .field("environment", &self.environment)
            .field("nack_on_code_cache_miss", &self.nack_on_code_cache_miss)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::error::Subject;
    use super::*;

    fn read(value: &Value) -> Result<(VmConfig, Option<Capabilities>), String> {
        let subject = Subject::Plugin("p".to_owned());
        VmConfig::read(&Node::root(&subject, value)).map_err(|error| error.to_string())
    }

    #[test]
    fn code_alone_is_enough() {
        let (vm, capabilities) = read(&json!({"code": {"local": {"filename": "/x"}}})).unwrap();
        assert_eq!(
            vm,
            VmConfig {
                vm_id: String::new(),
                code: Code::File("/x".into()),
                configuration: Vec::new(),
                environment: Environment::default(),
                nack_on_code_cache_miss: false,
            }
        );
        assert_eq!(capabilities, None);
    }

    #[test]
    fn every_field_is_read() {
        let (vm, capabilities) = read(&json!({
            "vm_id": "v",
            "runtime": "envoy.wasm.runtime.v8",
            "code": {"local": {"inline_string": "x"}},
            "configuration": {"a": 1},
            "allow_precompiled": true,
            "nack_on_code_cache_miss": true,
            "environment_variables": {"key_values": {"K": "V"}},
            "capability_restriction_config": {"allowed_capabilities": {"proxy_log": {}}},
        }))
        .unwrap();
        assert_eq!(vm.vm_id, "v");
        assert_eq!(vm.code, Code::Inline(b"x".to_vec()));
        assert_eq!(vm.configuration, br#"{"a":1}"#);
        assert!(vm.nack_on_code_cache_miss);
        assert_eq!(vm.environment.resolve(|_| None), [("K".to_owned(), "V".to_owned())]);
        assert!(!capabilities.unwrap().allows("proxy_get_property"));
    }

    #[test]
    fn a_wrong_vm_says_what_is_wrong() {
        let code = json!({"local": {"filename": "/x"}});
        for (value, expected) in [
            (json!({}), "code: missing, expected where the Wasm code comes from"),
            (json!({"code": null}), "code: missing, expected where the Wasm code comes from"),
            (json!([]), "an array, expected an object"),
            (json!({"code": code, "vm_id": 5}), "vm_id: the number 5, expected a string"),
            (
                json!({"code": code, "runtime": "envoy.wasm.runtime.null"}),
                "runtime: the string \"envoy.wasm.runtime.null\", expected a runtime that runs Wasm code",
            ),
            (
                json!({"code": code, "allow_precompiled": 1}),
                "allow_precompiled: the number 1, expected true or false",
            ),
            (
                json!({"code": code, "configuration": {"@type": "x/y"}}),
                "configuration.@type: the string \"x/y\", expected a type URL that ends in \
                 /google.protobuf. and one of StringValue, BytesValue, Struct, Empty, BoolValue, \
                 Int32Value, Int64Value, UInt32Value, UInt64Value, FloatValue, DoubleValue",
            ),
        ] {
            assert_eq!(read(&value).unwrap_err(), format!("plugin \"p\": {expected}"));
        }
    }

    #[test]
    fn debug_shows_no_configuration() {
        let value = json!({"code": {"local": {"inline_string": "hunter2"}}, "configuration": "hunter2"});
        let (vm, _) = read(&value).unwrap();
        assert!(!format!("{vm:?}").contains("hunter2"), "{vm:?}");
    }
}
