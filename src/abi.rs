//! The seam to Envoy: what crosses the C line, and what keeps it safe.
//!
//! ```text
//!   Envoy ──hook──►  exports  ──►  hook        a barrier against panics, a filter that stays alive while it runs
//!                                    │
//!                                    ▼
//!                                  bridge      safe code; gets a handle for the length of the hook
//!                                    │
//!   Envoy ◄─callback─  table  ◄──  handles     HttpFilterHandle, HttpFilterConfigHandle, process
//! ```
//!
//! What stands where:
//!
//! | module | what |
//! | --- | --- |
//! | `raw`, `table` | the generated declarations; the callbacks that this Envoy has |
//! | `guard`, `hook`, `running`, `ownership` | how a hook enters: panics, re-entry, objects behind `*_module_ptr` |
//! | [`process`], `version` | log, workers, validation mode; the string for `on_program_init` |
//! | `http_config`, `http_filter` | the handles: what a filter configuration and a stream can be asked and told |
//! | `config_address`, `bootstrap` | where a configuration is and who may ask it; that of a bootstrap extension |
//! | `config_metrics` | metrics of configurations, with labels and without |
//! | `gate`, `log_gate` | until when threads of ours may ask what; whether the log may be written to |
//! | `call_event` | how calls to clusters are started, and what comes of them |
//! | `access_logger`, `network_filter` | the same of an exchange that is over, and of a TCP connection |
//! | `types`, `attribute_id`, `buffer` | enums, ids, borrowed bytes |
//!
//! This layer knows nothing of Proxy-Wasm and of Graft's configuration. It is, with `exports`, the only one that may
//! use `unsafe`; the facts that each block leans on are numbered in `docs/SAFETY.md`.

#![allow(unsafe_code, reason = "the C line; every block cites docs/SAFETY.md")]

mod access_logger;
mod attribute_id;
mod bootstrap;
mod buffer;
pub(crate) mod call_event;
mod config_address;
mod config_metrics;
mod gate;
pub(crate) mod guard;
pub(crate) mod hook;
mod http_config;
mod http_filter;
mod log_gate;
mod network_filter;
mod ownership;
pub mod process;
pub(crate) mod raw;
mod running;
mod table;
#[cfg(test)]
pub(crate) mod testing;
mod types;
pub(crate) mod version;

pub use access_logger::{AccessLogConfigHandle, AccessLogHandle, AccessLogSizes};
pub use attribute_id::AttributeId;
pub use bootstrap::BootstrapHandle;
pub use buffer::Buffers;
pub(crate) use buffer::envoy_bytes;
pub use call_event::{CallEvent, CallHeaders, CallRefusal, CallRequest};
pub use config_address::ConfigScheduler;
pub use http_config::{HttpFilterConfigHandle, has_config_calls};
pub use http_filter::{ChildSpan, Headers, HttpFilterHandle, Scheduler};
pub use network_filter::{
    ConnectionConfigHandle, ConnectionHandle, ConnectionScheduler, can_wake_connections,
};
pub use types::{
    BodyStatus, BodyType, ConnectionEvent, ConnectionStatus, Direction, HeaderType, HeadersStatus, Level,
    LifeSpan, LocalReplyStatus, MetadataSource, MetricError, MetricId, ResetReason, TimingInfo,
    TrailersStatus, UnknownNumber,
};
