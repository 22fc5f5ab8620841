//! Plugins over time: what is loaded, which VMs it runs in, and what happens when one of them dies.
//!
//! ```text
//!   configuration ──► Registry ──► Slot ──► Generation ──► Pool ──► Vm (one a worker)
//!                                   ▲         plugin,        VM key     ├ root context of generation 1
//!                       Loader ─────┘         root context   template   └ root context of generation 2
//!                       Supply, Inventory
//! ```
//!
//! - [`registry`]: one per process: the slot of each plugin.
//! - [`slot`]: where a plugin's generations are published, one after the other.
//! - [`loader`]: the threads that make them. [`supply`]: what gives them bytes.
//! - [`inventory`]: what is loaded. The same bytes are compiled once, plugins with the same VM key share VMs, and the
//!   same plugin configured twice is one generation.
//! - [`generation`]: one loaded version of a plugin. Streams begin on it; when nobody holds it any more, its root
//!   contexts end.
//! - [`pool`]: the VMs of a key. A VM that failed is replaced when the next stream comes.
//! - [`keeper`]: makes spare VMs, replaces those in which no stream begins, and calls streams that have waited for too
//!   long.
//! - [`caches`]: what compiled code is kept in.
//! - [`failure`]: crash loops wait.
//! - [`agenda`] and [`resolver`]: the threads of ours that work for VMs.
//! - `attempt`: a panic of ours ends none of our threads.
//! - [`tally`]: what a pool tells of itself in the statistics.
//! - [`error`]: why a plugin could not be loaded, with the configuration's field.
//!
//! Nothing here knows Envoy: it is generic over the host's `Stream`.

pub mod agenda;
mod attempt;
pub mod caches;
pub mod error;
pub mod failure;
pub mod generation;
pub mod inventory;
pub mod keeper;
pub mod loader;
pub mod pool;
pub mod registry;
pub mod resolver;
pub mod slot;
pub mod supply;
pub mod tally;
