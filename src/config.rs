//! What a user writes, typed and validated.
//!
//! Envoy hands over the `filter_config` of a filter, or of a route, as bytes: a `Struct` as JSON text or
//! encoded, or whatever a `StringValue` holds. [`parse_plugin`] and [`parse_route`] turn these bytes
//! into types in which every default is filled in and every rule is checked, so that no other layer
//! looks at JSON. `docs/CONFIG.md` is the same for readers; a test holds the two together.
//!
//! ```text
//!  bytes ─► document ─► envelope ─► node, fields ─┬► plugin ─┬► vm ─┬► code ─► remote (image, url)
//!           bytes to    `config:`,  values with   │          │      └► environment
//!           values      `@type`     their paths   │          ├► capabilities, failure
//!                                                 │          ├► graft (what is ours) ─► pool, source
//!                                                 └► route   └► any ─► wire (an Any to bytes)
//! ```
//!
//! Three rules hold everywhere. The fields are those of Envoy's `PluginConfig` in their protobuf JSON
//! form, in snake case and in camel case. What is not known is refused, with its path and the nearest
//! known name: a field that is ignored in silence is a plugin that runs with less protection than its
//! operator believes. What may be secret (configurations, environment values, inline code) is printed
//! by no error and by no `Debug`.
//!
//! The fields are read by hand from a tree rather than derived, because the protobuf JSON form has two
//! names for each field, integers as text, enums as numbers and `null` as absence, and because the
//! messages of a derived reader quote values, secret ones too.

mod any;
mod cache;
mod capabilities;
mod code;
mod digest;
mod document;
mod envelope;
mod environment;
mod error;
mod failure;
mod fields;
mod graft;
mod image;
mod nearest;
mod network;
mod node;
mod number;
mod path;
mod plugin;
mod pool;
mod remote;
mod route;
mod secret;
mod service;
mod source;
mod swap;
mod url;
mod vm;
mod wire;

#[cfg(test)]
mod documentation;
#[cfg(test)]
mod mutations;

pub use cache::CacheConfig;
pub use capabilities::Capabilities;
pub use code::Code;
pub use digest::Digest;
pub use environment::Environment;
pub use error::{ConfigError, Location, Subject};
pub use failure::{FailurePolicy, ReloadConfig};
pub use graft::{GraftConfig, Isolation, Limits, PoolConfig};
pub use image::ImageReference;
pub use network::Network;
pub use plugin::{PluginConfig, parse_plugin};
pub use remote::{Place, RemoteCode};
pub use route::{RouteConfig, parse_route};
pub use secret::Secret;
pub use service::{ExtensionConfig, ServiceConfig, parse_service};
pub use source::{PullPolicy, PullSecret, Retries, SourceConfig, VerificationKey};
pub use swap::{CanaryConfig, CompileMode, LoadMode, Retry, SwapConfig};
pub use url::HttpUrl;
pub use vm::VmConfig;
