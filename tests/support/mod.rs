//! Where plugins come from, for real: a registry, a web server, the clients that fill them, and servers that misbehave.
//!
//! ```text
//!   Image ── crane, oras, cosign ──► Registry (docker-registry: open, basic auth, or tokens of a TokenServer)
//!   files ─────────────────────────► WebServer (nginx: basic auth, TLS, gzip)
//!   Answer ────────────────────────► HttpServer (in this process: slow, endless, cut off, …)
//! ```
//!
//! Everything listens on loopback, is told apart by its port, counts what it was asked, and ends with the value that started
//! it. When a test fails, the logs of its servers are printed. `make sources` brings the programs; one that is missing fails
//! the test with that command.
//!
//! This folder is a part of several test binaries, which take it in by its path; its own, `tests/support/main.rs`, shows that
//! each piece does what it says.

pub mod access_log;
pub mod credentials;
pub mod daemon;
pub mod hostile;
pub mod http_server;
pub mod image;
pub mod patience;
pub mod programs;
pub mod registry;
pub mod signing;
pub mod tls;
pub mod token_server;
pub mod wasm;
pub mod web_server;

pub use credentials::{CredentialHelper, docker_config};
pub use image::{Image, Layout};
pub use registry::Registry;
pub use signing::{KeyPair, SignatureForm};
pub use tls::Authority;
pub use token_server::TokenServer;
pub use web_server::WebServer;
