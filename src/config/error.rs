//! Why a configuration is refused.
//!
//! Every layer that finds fault with a configuration says it with this type, so that all lines read
//! alike: who, where, what was found, what was expected.
//!
//! ```text
//! plugin "auth": vm_config.code.local.filename: no such file "/x.wasm", expected the path of a Wasm file
//! ```

use std::fmt;

use thiserror::Error;

/// Whose configuration an error is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    /// The configuration of the plugin with this name.
    Plugin(String),
    /// The configuration that a route, a virtual host or a weighted cluster gives a plugin.
    Route,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plugin(name) => write!(f, "plugin {name:?}"),
            Self::Route => f.write_str("per-route configuration"),
        }
    }
}

/// A place in a configuration: whose it is, and the path of the field as the user spelled it, such as
/// `vm_config.environment_variables.host_env_keys[1]`. The path of the whole is empty.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Location {
    /// Whose configuration this is.
    pub subject: Subject,
    /// The path of the field from the root of that configuration.
    pub path: String,
}

impl Location {
    /// The place at `path` in the configuration of `subject`.
    pub fn new(subject: Subject, path: impl Into<String>) -> Self {
        Self { subject, path: path.into() }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.subject.fmt(f)?;
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        Ok(())
    }
}

/// Why a configuration is refused. Its text is one line and quotes nothing that may be secret.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// Envoy gave no bytes: `filter_config` is absent or empty.
    #[error("{at}: empty, expected {expected}")]
    Empty {
        /// Where.
        at: Location,
        /// What should stand there.
        expected: &'static str,
    },
    /// The bytes are no JSON text, or an object in them names a field twice.
    #[error(
        "{at}: {problem} at line {line} column {column}, \
         expected JSON text (filter_config as a google.protobuf.Struct or StringValue)"
    )]
    NotJson {
        /// Where: the innermost object or array that had begun.
        at: Location,
        /// What is wrong, without the position.
        problem: String,
        /// Line of the text, from 1.
        line: usize,
        /// Column of the text in bytes, from 1.
        column: usize,
    },
    /// A field that nobody knows.
    #[error("{at}: unknown field{}, expected {}", hint(nearest.as_deref()), names(known))]
    UnknownField {
        /// The field.
        at: Location,
        /// The known name that was probably meant.
        nearest: Option<String>,
        /// Every name that is known there.
        known: Vec<&'static str>,
    },
    /// A field that must be there is absent.
    #[error("{at}: missing, expected {expected}")]
    Missing {
        /// The field.
        at: Location,
        /// What it should hold.
        expected: String,
    },
    /// Two fields that exclude each other are both set.
    #[error("{at}: set beside {other}, expected only one of them")]
    Conflict {
        /// The field.
        at: Location,
        /// Path of the field that it excludes.
        other: String,
    },
    /// A value that is of the wrong type or out of range, or that turned out to be wrong when it was
    /// used: a file that is not there, bytes that are not Wasm, a configuration that the plugin refused.
    #[error("{at}: {found}, expected {expected}")]
    Unexpected {
        /// The field.
        at: Location,
        /// What is there, shortened; a secret is named by its type alone.
        found: String,
        /// What should be there.
        expected: String,
    },
}

impl ConfigError {
    /// The field at `path` of the plugin called `plugin` holds `found` where `expected` should be. For the
    /// layers that use a value and find it wrong; neither text may quote a secret.
    pub fn unexpected(
        plugin: &str,
        path: &str,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        Self::Unexpected {
            at: Location::new(Subject::Plugin(plugin.to_owned()), path),
            found: found.into(),
            expected: expected.into(),
        }
    }

    /// The place that the error is about.
    pub fn location(&self) -> &Location {
        match self {
            Self::Empty { at, .. }
            | Self::NotJson { at, .. }
            | Self::UnknownField { at, .. }
            | Self::Missing { at, .. }
            | Self::Conflict { at, .. }
            | Self::Unexpected { at, .. } => at,
        }
    }
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!(", did you mean {name}?"))
}

fn names(known: &[&str]) -> String {
    if known.is_empty() {
        return "an empty object".to_owned();
    }
    known.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_layer_reports_in_the_same_shape() {
        let error = ConfigError::unexpected(
            "auth",
            "vm_config.code.local.filename",
            "no such file \"/x.wasm\"",
            "the path of a Wasm file",
        );
        assert_eq!(
            error.to_string(),
            "plugin \"auth\": vm_config.code.local.filename: no such file \"/x.wasm\", \
             expected the path of a Wasm file"
        );
        assert_eq!(error.location().path, "vm_config.code.local.filename");
    }

    #[test]
    fn a_name_cannot_break_the_line() {
        let error = ConfigError::unexpected("a\nb\"c", "", "a thing", "another");
        assert_eq!(error.to_string(), r#"plugin "a\nb\"c": a thing, expected another"#);
    }
}
