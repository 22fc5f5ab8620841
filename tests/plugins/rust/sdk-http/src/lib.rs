//! An ordinary plugin of the Rust SDK, as its users write them: traits, safe hostcalls, `log` macros.
//!
//! It greets in the name of its configuration, answers a path itself, pauses a request body until it is whole,
//! rewrites response bodies, counts, and reads properties. The SDK panics on a status that it does not expect,
//! so what works here shows that a host answers as the SDK wants.

use std::time::UNIX_EPOCH;

use log::{info, warn};
use proxy_wasm::hostcalls::{define_metric, get_metric, increment_metric, record_metric};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel, MetricType};

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(Root::default()));
}}

/// The plugin: one greeting and its metrics.
#[derive(Default)]
struct Root {
    greeting: String,
    metrics: Metrics,
}

/// Ids of the metrics, by kind.
#[derive(Clone, Copy, Default)]
struct Metrics {
    requests: u32,
    last_body: u32,
    body_sizes: u32,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_vm_start(&mut self, _: usize) -> bool {
        let configuration = self.get_vm_configuration().unwrap_or_default();
        info!("vm started with {:?}", String::from_utf8_lossy(&configuration));
        true
    }

    fn on_configure(&mut self, _: usize) -> bool {
        let configuration = self.get_plugin_configuration().unwrap_or_default();
        self.greeting = String::from_utf8_lossy(&configuration).into_owned();
        if self.greeting.is_empty() {
            warn!("no greeting: refused");
            return false;
        }
        let define = |kind, name| define_metric(kind, name).unwrap_or_default();
        self.metrics = Metrics {
            requests: define(MetricType::Counter, "sdk_http_requests"),
            last_body: define(MetricType::Gauge, "sdk_http_last_body_bytes"),
            body_sizes: define(MetricType::Histogram, "sdk_http_body_bytes"),
        };
        info!("configured to greet with {:?}", self.greeting);
        true
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream { id, greeting: self.greeting.clone(), metrics: self.metrics }))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

/// One request and its response.
struct Stream {
    id: u32,
    greeting: String,
    metrics: Metrics,
}

impl Stream {
    fn text_property(&self, path: &[&str]) -> String {
        self.get_property(path.to_vec())
            .map_or_else(String::new, |value| String::from_utf8_lossy(&value).into_owned())
    }
}

impl Context for Stream {
    fn on_done(&mut self) -> bool {
        info!("done");
        true
    }
}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, count: usize, end_of_stream: bool) -> Action {
        let _ = increment_metric(self.metrics.requests, 1);
        info!(
            "request {} {} of {count} headers, end {end_of_stream}",
            self.get_http_request_header(":method").unwrap_or_default(),
            self.text_property(&["request", "path"]),
        );
        match self.get_http_request_header(":path").as_deref() {
            Some("/local") => {
                let body = format!("{} from inside", self.greeting);
                self.send_http_response(418, vec![("x-greeting", &self.greeting)], Some(body.as_bytes()));
                return Action::Pause;
            }
            Some("/panic") => panic!("asked to"),
            _ => {}
        }
        self.add_http_request_header("x-greeting", &self.greeting);
        self.set_http_request_header("x-repeated", Some("once"));
        self.set_http_request_header("x-unwanted", None);
        // A body is counted when it is whole: its size changes, so its length must not be announced.
        if !end_of_stream {
            self.set_http_request_header("content-length", None);
        }
        Action::Continue
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        if !end_of_stream {
            return Action::Pause;
        }
        let _ = record_metric(self.metrics.last_body, size as u64);
        let _ = record_metric(self.metrics.body_sizes, size as u64);
        let body = self.get_http_request_body(0, size).unwrap_or_default();
        let mut upper = body.to_ascii_uppercase();
        upper.extend_from_slice(b" (in capitals)");
        self.set_http_request_body(0, size, &upper);
        info!("request body of {size} bytes in capitals");
        Action::Continue
    }

    fn on_http_request_trailers(&mut self, count: usize) -> Action {
        info!("{count} request trailers, x-check {:?}", self.get_http_request_trailer("x-check"));
        self.set_http_request_trailer("x-checked", Some("yes"));
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        info!("response {}", self.get_http_response_header(":status").unwrap_or_default());
        self.add_http_response_header("x-greeting", &self.greeting);
        self.add_http_response_header("x-protocol", &self.text_property(&["request", "protocol"]));
        self.add_http_response_header("x-plugin", &self.text_property(&["plugin_name"]));
        if !end_of_stream {
            self.set_http_response_header("content-length", None);
        }
        Action::Continue
    }

    fn on_http_response_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        if end_of_stream {
            // Past the end of the buffer is an append.
            self.set_http_response_body(size, 0, format!(" -- {}", self.greeting).as_bytes());
        }
        Action::Continue
    }

    fn on_http_response_trailers(&mut self, count: usize) -> Action {
        info!("{count} response trailers");
        self.set_http_response_trailer("x-checked", Some("yes"));
        Action::Continue
    }

    fn on_log(&mut self) {
        let now = self.get_current_time().duration_since(UNIX_EPOCH).is_ok();
        let requests = get_metric(self.metrics.requests).unwrap_or_default();
        info!("logged stream {} with a clock {now}, requests counted {}", self.id > 0, requests > 0);
    }
}
