//! Plugins that differ as code, for stories in which code is replaced.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// The name of the header by which a plugin of [`generation`] is known.
pub const GENERATION: &str = "x-generation";

/// A plugin that adds `x-generation: NUMBER` to the headers of requests and of responses and to the trailers of responses.
///
/// So a response tells which generation saw its beginning and its end and, by an upstream that sends the request's header
/// back, which one saw the request.
pub fn generation(number: u32) -> Vec<u8> {
    let value = number.to_string();
    let add = |map: u32| {
        format!(
            "(drop (call $add (i32.const {map}) (i32.const 16) (i32.const {}) (i32.const 64) (i32.const {})))",
            GENERATION.len(),
            value.len()
        )
    };
    let hooks: String = [
        ("request_headers", 0, "i32 i32 i32"),
        ("response_headers", 2, "i32 i32 i32"),
        ("response_trailers", 3, "i32 i32"),
    ]
    .iter()
    .fold(String::new(), |mut hooks, (name, map, parameters)| {
        let body = add(*map);
        let _ = write!(
            hooks,
            "(func (export \"proxy_on_{name}\") (param {parameters}) (result i32) {body} (i32.const 0))"
        );
        hooks
    });
    let text = format!(
        r#"(module
          (import "env" "proxy_add_header_map_value"
            (func $add (param i32 i32 i32 i32 i32) (result i32)))
          (memory (export "memory") 1)
          (data (i32.const 16) "{GENERATION}")
          (data (i32.const 64) "{value}")
          (global $top (mut i32) (i32.const 4096))
          (func (export "malloc") (param $size i32) (result i32)
            (local $at i32)
            (if (i32.gt_u (i32.add (global.get $top) (local.get $size)) (i32.const 65536))
              (then (global.set $top (i32.const 4096))))
            (local.set $at (global.get $top))
            (global.set $top
              (i32.and (i32.add (i32.add (global.get $top) (local.get $size)) (i32.const 7)) (i32.const -8)))
            (local.get $at))
          (func (export "proxy_abi_version_0_2_1"))
          {hooks})"#
    );
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The same code as other bytes: a section that nobody reads holds a number.
pub fn marked(code: &[u8], number: u32) -> Vec<u8> {
    const NAME: &[u8] = b"number";
    let mut content = vec![u8::try_from(NAME.len()).expect("a short name")];
    content.extend_from_slice(NAME);
    content.extend(number.to_le_bytes());
    let mut marked = code.to_vec();
    // Section 0 is the custom one; its length fits into one byte.
    marked.extend([0, u8::try_from(content.len()).expect("a short section")]);
    marked.extend(content);
    marked
}

/// The SHA-256 of code, as settings want it: 64 hexadecimal digits.
pub fn sha256(code: &[u8]) -> String {
    Sha256::digest(code).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
