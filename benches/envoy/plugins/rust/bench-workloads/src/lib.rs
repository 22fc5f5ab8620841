//! The workloads of the benchmark, as a plugin of the Rust SDK. Its configuration, one word, says which.
//!
//! Each workload is a type of stream of its own, so that none pays for another. `benches/envoy/native/filter.c` and
//! the scripts in `benches/envoy/workloads.rs` do the same work in C and in Lua: who changes one changes all.

use std::time::Duration;

use log::error;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};
use sha2::{Digest, Sha256};

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Warn);
    proxy_wasm::set_root_context(|_| Box::new(Plugin { workload: Workload::Empty }));
}}

#[derive(Clone, Copy)]
enum Workload {
    Empty,
    Headers,
    Body,
    Hash,
    Callout,
    Panic,
}

struct Plugin {
    workload: Workload,
}

impl Context for Plugin {}

impl RootContext for Plugin {
    fn on_configure(&mut self, _size: usize) -> bool {
        let bytes = self.get_plugin_configuration().unwrap_or_default();
        self.workload = match bytes.as_slice() {
            b"empty" => Workload::Empty,
            b"headers" => Workload::Headers,
            b"body" => Workload::Body,
            b"hash" => Workload::Hash,
            b"callout" => Workload::Callout,
            b"panic" => Workload::Panic,
            other => {
                error!("no workload: {}", String::from_utf8_lossy(other));
                return false;
            }
        };
        true
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _id: u32) -> Option<Box<dyn HttpContext>> {
        Some(match self.workload {
            Workload::Empty => Box::new(Empty),
            Workload::Headers => Box::new(Headers),
            Workload::Body => Box::new(Body),
            Workload::Hash => Box::new(Hash),
            Workload::Callout => Box::new(Callout { status: None }),
            Workload::Panic => Box::new(Panic),
        })
    }
}

/// Does nothing, in all the entry points that the SDK exports.
struct Empty;

impl Context for Empty {}
impl HttpContext for Empty {}

/// Reads all response headers, and sets ten to how many there were.
struct Headers;

/// The names are those of a gateway that tells what it did.
const NAMES: [&str; 10] = [
    "x-bench-0",
    "x-bench-1",
    "x-bench-2",
    "x-bench-3",
    "x-bench-4",
    "x-bench-5",
    "x-bench-6",
    "x-bench-7",
    "x-bench-8",
    "x-bench-9",
];

impl Context for Headers {}
impl HttpContext for Headers {
    fn on_http_response_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        let headers = self.get_http_response_headers();
        let count = headers.iter().filter(|(name, _)| !name.starts_with(':')).count().to_string();
        for name in NAMES {
            self.set_http_response_header(name, Some(&count));
        }
        Action::Continue
    }
}

/// Writes the response's body in capitals.
struct Body;

impl Context for Body {}
impl HttpContext for Body {
    fn on_http_response_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        if !end_of_stream {
            return Action::Pause;
        }
        if let Some(mut body) = self.get_http_response_body(0, size) {
            body.make_ascii_uppercase();
            self.set_http_response_body(0, size, &body);
        }
        Action::Continue
    }
}

/// Replaces the response's body by its SHA-256.
struct Hash;

impl Context for Hash {}
impl HttpContext for Hash {
    fn on_http_response_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        self.set_http_response_header("content-length", None);
        Action::Continue
    }

    fn on_http_response_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        if !end_of_stream {
            return Action::Pause;
        }
        if let Some(body) = self.get_http_response_body(0, size) {
            self.set_http_response_body(0, size, &hexadecimal(&Sha256::digest(&body)));
        }
        Action::Continue
    }
}

fn hexadecimal(bytes: &[u8]) -> Vec<u8> {
    let digits = b"0123456789abcdef";
    let digit = |value: u8| digits[usize::from(value)];
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Asks the cluster `callout` before the request goes on, and puts the status of the answer into a header.
struct Callout {
    status: Option<String>,
}

impl Context for Callout {
    fn on_http_call_response(&mut self, _token: u32, _headers: usize, _body: usize, _trailers: usize) {
        self.status = self.get_http_call_response_header(":status");
        self.resume_http_request();
    }
}

impl HttpContext for Callout {
    fn on_http_request_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        let headers = vec![(":method", "GET"), (":path", "/"), (":authority", "callout")];
        match self.dispatch_http_call("callout", headers, None, vec![], Duration::from_secs(5)) {
            Ok(_) => Action::Pause,
            Err(status) => {
                error!("the callout was refused: {status:?}");
                Action::Continue
            }
        }
    }

    fn on_http_response_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        self.set_http_response_header("x-callout", self.status.as_deref());
        Action::Continue
    }
}

/// Panics on a request that asks for it, and marks the others.
struct Panic;

impl Context for Panic {}
impl HttpContext for Panic {
    fn on_http_request_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        assert!(self.get_http_request_header("x-panic").is_none(), "asked to");
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        self.add_http_response_header("x-survived", "yes");
        Action::Continue
    }
}
