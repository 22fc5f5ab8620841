//! What `bindgen` made of `include/envoy_dynamic_module.h` and `src/abi/callbacks.h`.
//!
//! Only `abi` and `exports` name this module. The names are Envoy's and the enums are integers; the rest of `abi`
//! gives both a Rust face.

#![allow(
    dead_code,
    missing_docs,
    non_camel_case_types,
    non_upper_case_globals,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    clippy::restriction,
    reason = "generated: names and shapes are those of the C header, and not every number has a use"
)]

include!(concat!(env!("OUT_DIR"), "/envoy_dynamic_module.rs"));
