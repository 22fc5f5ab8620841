//! `graft.cache`: what is kept on disk, where, and for how long.

use std::ffi::OsString;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::ConfigError;
use super::node::Node;

/// The fields of `graft.cache`.
pub(super) const FIELDS: &[&str] = &["directory", "max_bytes", "max_age", "disabled"];

/// What is kept on disk.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CacheConfig {
    /// Where, if the configuration says so.
    pub directory: Option<PathBuf>,
    /// Bytes of all files in the directory together.
    pub max_bytes: u64,
    /// How long a file is kept that nobody uses.
    pub max_age: Duration,
    /// Whether nothing is read or kept.
    pub disabled: bool,
}

/// Less than one plugin takes would only be written in vain.
const MAX_BYTES: RangeInclusive<u64> = 1_048_576..=1_099_511_627_776;
/// A minute is how exactly the last use is known.
const MAX_AGE: RangeInclusive<Duration> = Duration::from_mins(1)..=Duration::from_hours(24 * 3660);

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            directory: None,
            // Compiled, a large plugin in Go takes 50 MB with its copies: twenty of them.
            max_bytes: 1_073_741_824,
            // Longer than between two restarts of most proxies.
            max_age: Duration::from_hours(24 * 30),
            disabled: false,
        }
    }
}

impl CacheConfig {
    /// Where things are kept; nowhere if neither the configuration nor the environment says so. `lookup` asks for a
    /// variable of Envoy's process, as [`std::env::var_os`] does.
    pub fn resolve(&self, lookup: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
        let path = |name: &str| lookup(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        // As their specification has it, a relative path does not count.
        let base = |name: &str| path(name).filter(|path| path.is_absolute());
        self.directory
            .clone()
            .or_else(|| path("GRAFT_CACHE_DIRECTORY"))
            .or_else(|| base("XDG_CACHE_HOME").map(|base| base.join("graft/plugins")))
            .or_else(|| base("HOME").map(|home| home.join(".cache/graft/plugins")))
    }

    pub(super) fn read(node: &Node<'_>) -> Result<Self, ConfigError> {
        let fields = node.fields(FIELDS)?;
        let default = Self::default();
        Ok(Self {
            directory: fields.read_or("directory", None, |node| absolute(node).map(Some))?,
            max_bytes: fields.read_or("max_bytes", default.max_bytes, |node| node.integer(MAX_BYTES))?,
            max_age: fields.read_or("max_age", default.max_age, |node| node.duration(MAX_AGE))?,
            disabled: fields.boolean("disabled")?,
        })
    }
}

fn absolute(node: &Node<'_>) -> Result<PathBuf, ConfigError> {
    let expected = "the absolute path of a directory";
    let path = Path::new(node.filled_string(expected)?);
    if path.is_absolute() { Ok(path.to_owned()) } else { Err(node.unexpected(expected)) }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::error::Subject;
    use super::*;

    fn read(value: &Value) -> Result<CacheConfig, String> {
        let subject = Subject::Plugin("p".to_owned());
        CacheConfig::read(&Node::root(&subject, value)).map_err(|error| error.to_string())
    }

    #[test]
    fn all_of_it_is_read() {
        assert_eq!(read(&json!({})), Ok(CacheConfig::default()));
        let config =
            read(&json!({"directory": "/c", "maxBytes": "2097152", "max_age": "3600s", "disabled": true}));
        let expected = CacheConfig {
            directory: Some("/c".into()),
            max_bytes: 2_097_152,
            max_age: Duration::from_hours(1),
            disabled: true,
        };
        assert_eq!(config, Ok(expected));
    }

    #[test]
    fn wrong_values_say_what_is_wrong() {
        for (value, expected) in [
            (
                json!({"directory": "cache"}),
                "directory: the string \"cache\", expected the absolute path of a directory",
            ),
            (
                json!({"directory": ""}),
                "directory: an empty string, expected the absolute path of a directory",
            ),
            (
                json!({"max_bytes": 0}),
                "max_bytes: the number 0, expected an integer from 1048576 to 1099511627776",
            ),
            (
                json!({"max_age": "1s"}),
                "max_age: the string \"1s\", expected seconds such as \"1.5s\", from \"60s\" to \"316224000s\"",
            ),
            (json!({"disabled": 1}), "disabled: the number 1, expected true or false"),
            (json!({"dir": "/c"}), "dir: unknown field, expected directory, max_bytes, max_age, disabled"),
        ] {
            assert_eq!(read(&value).unwrap_err(), format!("plugin \"p\": {expected}"));
        }
    }

    #[test]
    fn the_directory_comes_from_the_first_that_names_one() {
        let all = [("GRAFT_CACHE_DIRECTORY", "/g"), ("XDG_CACHE_HOME", "/x"), ("HOME", "/h")];
        let resolve = |config: &CacheConfig, variables: &[(&str, &str)]| {
            let lookup = |name: &str| {
                variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
            };
            config.resolve(lookup).map(|path| path.to_str().unwrap().to_owned())
        };
        let default = CacheConfig::default();
        let named = CacheConfig { directory: Some("/c".into()), ..CacheConfig::default() };
        assert_eq!(resolve(&named, &all).as_deref(), Some("/c"));
        assert_eq!(resolve(&default, &all).as_deref(), Some("/g"));
        assert_eq!(resolve(&default, &all[1..]).as_deref(), Some("/x/graft/plugins"));
        assert_eq!(resolve(&default, &all[2..]).as_deref(), Some("/h/.cache/graft/plugins"));
        assert_eq!(resolve(&default, &[("XDG_CACHE_HOME", "x"), ("HOME", "")]), None);
        // Not skipped in silence: whoever set it is told by the cache that it is no absolute path.
        assert_eq!(resolve(&default, &[("GRAFT_CACHE_DIRECTORY", "g")]).as_deref(), Some("g"));
    }
}
