//! Plugins over time: what is loaded, which VMs it runs in, and what happens when one of them dies.
//!
//! ```text
//!   configuration ──► Registry ──► Generation ──► Pool ──► Vm (one a worker)
//!                     digest→code    plugin,        VM key     ├ root context of generation 1
//!                     key→pool       root context   template   └ root context of generation 2
//! ```
//!
//! - [`registry`]: one per process. The same bytes are compiled once, plugins with the same VM key share VMs, and
//!   the same plugin configured twice is one generation.
//! - [`generation`]: one loaded version of a plugin. Streams begin on it; when nobody holds it any more, its root
//!   contexts end.
//! - [`pool`]: the VMs of a key. A VM that failed is replaced when the next stream comes.
//! - [`keeper`]: makes spare VMs, and calls streams that have waited for too long.
//! - [`failure`]: crash loops wait.
//! - [`agenda`] and [`resolver`]: the threads of ours that work for VMs.
//! - [`tally`]: what a pool tells of itself in the statistics.
//! - [`error`]: why a plugin could not be loaded, with the configuration's field.
//!
//! Nothing here knows Envoy: it is generic over the host's `Stream`.

pub mod agenda;
pub mod error;
pub mod failure;
pub mod generation;
pub mod keeper;
pub mod pool;
pub mod registry;
pub mod resolver;
pub mod tally;
