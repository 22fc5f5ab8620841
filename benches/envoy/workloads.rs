//! What is done to each request.
//!
//! ```text
//!   h2load ──► listener ──► filters ──► router: a direct response        (all but f)
//!                              └──────► callout ──► server of the benchmark (f)
//! ```
//!
//! A direct response leaves nothing in the figures but Envoy and the filter: no second connection, no upstream that
//! has a slow moment.

use sha2::{Digest as _, Sha256};

use crate::client::Response;

/// Text of which the body of a response is made.
const TEXT: &str = "The quick brown fox jumps over the lazy dog; 0123456789.\n";

/// What a filter does, and how it is seen that it did.
pub struct Workload {
    pub key: &'static str,
    pub title: &'static str,
    /// The name of the plugin under `target/plugins`.
    pub plugin: &'static str,
    /// Its configuration; `{n}` is the place in the chain.
    pub configuration: &'static str,
    /// How many of the filter stand in the chain.
    pub chain: usize,
    /// The configuration of the native module, if it does this.
    pub native: Option<&'static str>,
    /// The script, if Lua does this.
    pub lua: Option<&'static str>,
    /// Bytes of the body of the direct response.
    pub body: usize,
    /// Checks a response, and gives what must be the same for all variants.
    pub check: fn(&Response) -> Result<String, String>,
}

pub const WORKLOADS: [Workload; 7] = [
    Workload {
        key: "a",
        title: "empty plugin",
        plugin: "bench-workloads",
        configuration: "empty",
        chain: 1,
        native: Some("empty"),
        lua: Some(EMPTY),
        body: 6,
        check: |response| Ok(response.text()),
    },
    Workload {
        key: "b",
        title: "one response header added",
        plugin: "add-header",
        configuration: r#"{"header": "x-served-{n}", "value": "graft"}"#,
        chain: 1,
        native: Some("header x-served-{n} graft"),
        lua: Some(HEADER),
        body: 6,
        check: |response| header(response, "x-served-1"),
    },
    Workload {
        key: "c",
        title: "all headers read, ten set",
        plugin: "bench-workloads",
        configuration: "headers",
        chain: 1,
        native: Some("headers"),
        lua: Some(HEADERS),
        body: 6,
        check: ten_headers,
    },
    Workload {
        key: "d",
        title: "64 KiB body rewritten",
        plugin: "bench-workloads",
        configuration: "body",
        chain: 1,
        native: Some("body"),
        lua: Some(BODY),
        body: LARGE,
        check: |response| {
            let is_right = response.body == body(LARGE).to_ascii_uppercase().into_bytes();
            if is_right { Ok("capitals".to_owned()) } else { Err("the body is not in capitals".to_owned()) }
        },
    },
    Workload {
        key: "e",
        title: "SHA-256 of a 64 KiB body",
        plugin: "bench-workloads",
        configuration: "hash",
        chain: 1,
        native: None,
        lua: None,
        body: LARGE,
        check: |response| {
            let wanted = format!("{:x}", Sha256::digest(body(LARGE)));
            if response.text() == wanted { Ok(wanted) } else { Err("the hash is wrong".to_owned()) }
        },
    },
    Workload {
        key: "f",
        title: "one callout per request",
        plugin: "bench-workloads",
        configuration: "callout",
        chain: 1,
        native: Some("callout"),
        lua: Some(CALLOUT),
        body: 6,
        check: |response| header(response, "x-callout"),
    },
    Workload {
        key: "g",
        title: "b, five plugins in a chain",
        plugin: "add-header",
        configuration: r#"{"header": "x-served-{n}", "value": "graft"}"#,
        chain: 5,
        native: Some("header x-served-{n} graft"),
        lua: Some(HEADER),
        body: 6,
        check: |response| (1..=5).map(|place| header(response, &format!("x-served-{place}"))).collect(),
    },
];

const LARGE: usize = 64 * 1024;

/// The body of a direct response.
pub fn body(length: usize) -> String {
    TEXT.chars().cycle().take(length).collect()
}

/// A request as browsers send it, in number and length of headers; client and h2load add `host` and `user-agent`.
pub const REQUEST_HEADERS: [(&str, &str); 8] = [
    ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("accept-language", "en-GB,en;q=0.5"),
    ("cookie", "session=0123456789abcdef0123456789abcdef; theme=dark"),
    ("referer", "https://www.example.com/articles/2024/another-title"),
    ("x-forwarded-for", "203.0.113.7"),
    ("x-client-version", "4.12.1"),
    ("x-request-id", "6f1ed002-ab5f-4f8a-9c2e-3f1d2c4b5a69"),
];

/// What the route adds to the response in every workload, so that it has as many headers as those of a web server have.
pub const RESPONSE_HEADERS: [(&str, &str); 8] = [
    ("cache-control", "public, max-age=3600, stale-while-revalidate=60"),
    ("etag", "\"33a64df551425fcc55e4d42a148795d9f25f89d4\""),
    ("last-modified", "Wed, 21 Oct 2015 07:28:00 GMT"),
    ("vary", "accept-encoding, accept-language"),
    ("content-language", "en"),
    ("strict-transport-security", "max-age=31536000; includeSubDomains"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
];

fn header(response: &Response, name: &str) -> Result<String, String> {
    match response.header(name) {
        Some("") => Err(format!("{name} is empty")),
        Some(value) => Ok(value.to_owned()),
        None => Err(format!("the response has no {name}")),
    }
}

/// The ten headers say how many were read.
fn ten_headers(response: &Response) -> Result<String, String> {
    let first = header(response, "x-bench-0")?;
    let is_plausible = first.parse().is_ok_and(|count: usize| count > RESPONSE_HEADERS.len());
    let are_same = (1..10).all(|place| response.header(&format!("x-bench-{place}")) == Some(&first));
    if is_plausible && are_same {
        Ok(first)
    } else {
        Err(format!("the ten headers say {first:?}, or differ"))
    }
}

const EMPTY: &str = "
function envoy_on_request(handle) end
function envoy_on_response(handle) end
";

/// Lua has no metrics, so it counts nothing.
const HEADER: &str = r#"
function envoy_on_response(handle)
  handle:headers():add("x-served-{n}", "graft")
end
"#;

const HEADERS: &str = r#"
function envoy_on_response(handle)
  local headers = handle:headers()
  local count = 0
  for name, value in pairs(headers) do
    if string.byte(name) ~= 58 then count = count + 1 end
  end
  count = tostring(count)
  for place = 0, 9 do headers:replace("x-bench-" .. place, count) end
end
"#;

const BODY: &str = "
function envoy_on_response(handle)
  local body = handle:body()
  body:setBytes(string.upper(body:getBytes(0, body:length())))
end
";

const CALLOUT: &str = r#"
function envoy_on_request(handle)
  local headers = handle:httpCall("callout", { [":method"] = "GET", [":path"] = "/", [":authority"] = "callout" }, nil, 5000)
  handle:streamInfo():dynamicMetadata():set("bench", "status", headers[":status"])
end
function envoy_on_response(handle)
  handle:headers():replace("x-callout", handle:streamInfo():dynamicMetadata():get("bench")["status"])
end
"#;
