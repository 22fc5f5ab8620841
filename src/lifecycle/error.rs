//! Why a plugin could not be loaded, put together with the field of the configuration that led to it.

use crate::config::{ConfigError, PluginConfig};
use crate::engine::EngineError;
use crate::engine::code::CompileError;
use crate::host::template::LinkError;
use crate::host::vm::StartError;
use crate::source::location::FetchError;

/// Why a plugin could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The configuration is wrong by itself.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The bytes of the code are not to be had.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// They are not on this machine, and the configuration is not to wait for them.
    #[error(
        "the code is not in the cache, expected it to be there (vm_config.nack_on_code_cache_miss is set); {}",
        if *is_fetched { "it is fetched now, so that it will be when the configuration comes again" }
        else { "nothing is fetched while a configuration is validated" }
    )]
    NotAtHand {
        /// It is fetched all the same.
        is_fetched: bool,
    },
    /// They are what could not be loaded before.
    #[error("{0}")]
    AsBefore(String),
    /// The bytes are not code.
    #[error("{0}")]
    Compile(#[from] CompileError),
    /// The code does not fit a Proxy-Wasm host.
    #[error("the code {0}")]
    Link(#[from] LinkError),
    /// The code or the plugin did not start.
    #[error("the plugin {0}")]
    Start(#[from] StartError),
    /// A route's configuration of the plugin, which it took before.
    #[error("per-route configuration: the plugin {0}")]
    Route(StartError),
    /// The system gives no thread for the agenda.
    #[error("no thread for timers and replies: {0}, expected the system to allow one more")]
    Thread(String),
    /// The engine did not start.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Most characters of a description: some twenty lines.
const LONGEST: usize = 4096;

impl LoadError {
    /// Whether the same configuration may succeed later, without another code.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Fetch(error) => error.is_retryable(),
            Self::NotAtHand { .. } | Self::Start(_) | Self::Route(_) | Self::Thread(_) | Self::Engine(_) => {
                true
            }
            Self::Config(_) | Self::AsBefore(_) | Self::Compile(_) | Self::Link(_) => false,
        }
    }

    /// Whether the bytes themselves are wrong.
    pub fn is_of_code(&self) -> bool {
        matches!(self, Self::Compile(_) | Self::Link(_))
    }

    /// Whether it is likely to pass soon, so that it is worth waiting for.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Fetch(error) => error.is_out_of_reach() || error.is_of_a_file(),
            Self::Config(_)
            | Self::AsBefore(_)
            | Self::NotAtHand { .. }
            | Self::Compile(_)
            | Self::Link(_)
            | Self::Start(_)
            | Self::Route(_)
            | Self::Thread(_)
            | Self::Engine(_) => false,
        }
    }

    /// One line for the log: plugin, field, what was found, what was expected. (A trap adds its backtrace.)
    pub fn describe(&self, config: &PluginConfig) -> String {
        if let Self::Config(error) = self {
            return error.to_string();
        }
        format!("plugin {:?}: {}", config.name, self.describe_in_plugin(config))
    }

    /// The same for whoever knows which plugin it is. Servers and guests have their words in it, so it has an end.
    pub fn describe_in_plugin(&self, config: &PluginConfig) -> String {
        let mut text = match self.field(config) {
            Some(field) => format!("{field}: {self}"),
            None => self.to_string(),
        };
        if let Some((end, _)) = text.char_indices().nth(LONGEST) {
            text.truncate(end);
            text.push('…');
        }
        text
    }

    fn field(&self, config: &PluginConfig) -> Option<&'static str> {
        Some(match self {
            Self::Compile(CompileError::Snapshot(_)) => "graft.isolation",
            Self::Fetch(error) => error.field().unwrap_or(config.vm.code.path()),
            Self::NotAtHand { .. } | Self::Compile(_) | Self::Link(_) => config.vm.code.path(),
            Self::Route(_) => "configuration",
            Self::Start(error) => match error {
                StartError::ConfigureRefused => "configuration",
                StartError::VmStartRefused => "vm_config.configuration",
                StartError::Instantiate(_) | StartError::WrongType(_) | StartError::Trapped(_) => {
                    config.vm.code.path()
                }
                StartError::Copy(_) => "graft.isolation",
                StartError::NoPlace(_) => "graft.pool.max_vms",
            },
            Self::Config(_) | Self::Engine(_) | Self::Thread(_) | Self::AsBefore(_) => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse_plugin;

    #[test]
    fn a_description_names_the_field_and_has_an_end() {
        let config = r#"{"name": "auth", "vm_config": {"code": {"local": {"filename": "a.wasm"}}}}"#;
        let config = parse_plugin("auth", config.as_bytes()).unwrap();
        let error = LoadError::from(CompileError::Invalid { reason: "é".repeat(10_000) });
        let text = error.describe_in_plugin(&config);
        assert!(text.starts_with("vm_config.code.local.filename: an invalid Wasm module: éé"), "{text}");
        assert_eq!(text.chars().count(), LONGEST + 1);
        assert_eq!(error.describe(&config), format!("plugin \"auth\": {text}"));
        let before = LoadError::AsBefore("vm_config.code: it was so".to_owned());
        assert_eq!(before.describe_in_plugin(&config), "vm_config.code: it was so");
    }
}
