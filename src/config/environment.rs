//! The environment variables that a VM sees through WASI.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt;

use super::error::ConfigError;
use super::node::Node;

/// The fields of `vm_config.environment_variables`.
pub(super) const FIELDS: &[&str] = &["host_env_keys", "key_values"];

/// The environment variables of a VM: nothing of Envoy's own environment but what is named here.
/// `Debug` prints the names alone.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Environment {
    /// The variables of Envoy's process that the VM sees with the value that they have there.
    pub host_env_keys: BTreeSet<String>,
    /// The variables with the values that the configuration gives them. No name is in both.
    pub key_values: BTreeMap<String, String>,
}

impl Environment {
    /// The variables and their values, by name. `lookup` asks for a variable of Envoy's process, as
    /// [`std::env::var_os`] does; one that is not set there is left out. What is no UTF-8 in its value
    /// becomes U+FFFD.
    pub fn resolve(&self, lookup: impl Fn(&str) -> Option<OsString>) -> Vec<(String, String)> {
        let host = self.host_env_keys.iter().filter_map(|name| {
            let value = lookup(name)?;
            Some((name.clone(), value.to_string_lossy().into_owned()))
        });
        let mut variables: Vec<_> =
            self.key_values.iter().map(|(name, value)| (name.clone(), value.clone())).chain(host).collect();
        variables.sort_unstable();
        variables
    }

    pub(super) fn read(node: &Node<'_>) -> Result<Self, ConfigError> {
        let fields = node.fields(FIELDS)?;
        let mut environment = Self::default();
        if let Some(node) = fields.get("key_values") {
            for (name, value) in node.entries()? {
                check_name(name, &value)?;
                let value = value.secret();
                let text = value.string()?;
                if text.contains('\0') {
                    return Err(value.unexpected("a value without NUL"));
                }
                environment.key_values.insert(name.to_owned(), text.to_owned());
            }
        }
        if let Some(node) = fields.get("host_env_keys") {
            for element in node.elements()? {
                let name = element.string()?;
                check_name(name, &element)?;
                if environment.key_values.contains_key(name)
                    || !environment.host_env_keys.insert(name.to_owned())
                {
                    return Err(element.unexpected("a name that is not given twice"));
                }
            }
        }
        Ok(environment)
    }
}

/// WASI hands variables over as `NAME=value` with a NUL at the end, which other names would garble.
fn check_name(name: &str, node: &Node<'_>) -> Result<(), ConfigError> {
    if name.is_empty() || name.contains(['=', '\0']) {
        return Err(node
            .clone()
            .secret()
            .unexpected("a variable whose name is not empty and has no = and no NUL"));
    }
    Ok(())
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment")
            .field("host_env_keys", &self.host_env_keys)
            .field("key_values", &self.key_values.keys())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::error::Subject;
    use super::*;

    fn read(value: &Value) -> Result<Environment, String> {
        let subject = Subject::Plugin("p".to_owned());
        Environment::read(&Node::root(&subject, value)).map_err(|error| error.to_string())
    }

    #[test]
    fn both_kinds_are_merged_by_name() {
        let environment = read(&json!({
            "host_env_keys": ["PATH", "ABSENT"],
            "keyValues": {"Z": "1", "A": ""},
        }))
        .unwrap();
        let variables = environment.resolve(|name| (name == "PATH").then(|| "/bin".into()));
        let expected = [("A", ""), ("PATH", "/bin"), ("Z", "1")];
        assert_eq!(variables, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn nothing_is_seen_that_is_not_named() {
        let everything = |_: &str| Some(OsString::from("secret"));
        assert_eq!(read(&json!({})).unwrap().resolve(everything), []);
    }

    #[cfg(unix)]
    #[test]
    fn a_value_that_is_not_utf_8_is_replaced() {
        use std::os::unix::ffi::OsStringExt as _;
        let environment = read(&json!({"host_env_keys": ["A"]})).unwrap();
        let variables = environment.resolve(|_| Some(OsString::from_vec(b"a\xffb".to_vec())));
        assert_eq!(variables, [("A".to_owned(), "a\u{fffd}b".to_owned())]);
    }

    #[test]
    fn wrong_variables_say_what_is_wrong() {
        let name = "expected a variable whose name is not empty and has no = and no NUL";
        for (value, expected) in [
            (
                json!({"host_env_keys": ["A", "B"], "key_values": {"B": "1"}}),
                "host_env_keys[1]: the string \"B\", expected a name that is not given twice",
            ),
            (
                json!({"host_env_keys": ["A", "A"]}),
                "host_env_keys[1]: the string \"A\", expected a name that is not given twice",
            ),
            (
                json!({"host_env_keys": "A"}),
                "host_env_keys: a string that is not quoted here, expected an array",
            ),
            (json!({"key_values": {"A": 4711}}), "key_values.A: a number, expected a string"),
            (
                json!({"key_values": {"A": "hunter2\0"}}),
                "key_values.A: a string that is not quoted here, expected a value without NUL",
            ),
            (json!({"key_values": ["A"]}), "key_values: an array, expected an object"),
            (json!({"host_env_keys": [""]}), &format!("host_env_keys[0]: an empty string, {name}")),
            (
                json!({"key_values": {"A=B": "hunter2"}}),
                &format!("key_values[\"A=B\"]: a string that is not quoted here, {name}"),
            ),
        ] {
            assert_eq!(read(&value).unwrap_err(), format!("plugin \"p\": {expected}"));
        }
    }

    #[test]
    fn debug_shows_no_values() {
        let environment = read(&json!({"key_values": {"TOKEN": "hunter2"}})).unwrap();
        let text = format!("{environment:?}");
        assert!(text.contains("TOKEN") && !text.contains("hunter2"), "{text}");
    }
}
