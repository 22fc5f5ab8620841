//! Where code comes from: a place in a configuration becomes bytes.
//!
//! Bytes are only read here, and bounded; whether they are Wasm is for `engine` to say.

pub mod location;
