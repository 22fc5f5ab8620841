//! Where code comes from: a place in a configuration becomes bytes.
//!
//! Bytes are only read here, and bounded; whether they are Wasm is for `engine` to say. [`cache`] keeps them, and what was
//! made of them.

pub mod cache;
pub mod location;
