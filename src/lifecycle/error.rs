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
        "the code is not in the cache, expected it to be there (vm_config.nack_on_code_cache_miss is set); it is fetched \
         now, so that it will be when the configuration comes again"
    )]
    NotAtHand,
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

impl LoadError {
    /// Whether the same configuration may succeed later, without another code.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Fetch(error) => error.is_retryable(),
            Self::NotAtHand | Self::Start(_) | Self::Route(_) | Self::Thread(_) | Self::Engine(_) => true,
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
            | Self::NotAtHand
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
        let field = match self {
            Self::Config(error) => return error.to_string(),
            Self::Compile(CompileError::Snapshot(_)) => "graft.isolation",
            Self::Fetch(error) => error.field().unwrap_or(config.vm.code.path()),
            Self::NotAtHand | Self::AsBefore(_) | Self::Compile(_) | Self::Link(_) => config.vm.code.path(),
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
            Self::Engine(_) | Self::Thread(_) => return format!("plugin {:?}: {self}", config.name),
        };
        format!("plugin {:?}: {field}: {self}", config.name)
    }
}
