//! The plugin: buckets in shared data, changed by compare and swap.

use std::rc::Rc;
use std::time::UNIX_EPOCH;

use log::{error, warn};
use proxy_wasm::hostcalls::{define_metric, increment_metric};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel, MetricType};

use crate::bucket::{Bucket, Taken};
use crate::configuration::Configuration;

/// How often a swap is tried. Each failure means that another worker's succeeded, so with some workers a few do.
const TRIES: usize = 1000;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::<Plugin>::default());
}}

/// The plugin: made once for each configuration, it makes a [`Stream`] for each request.
#[derive(Default)]
struct Plugin {
    configuration: Option<Rc<Configuration>>,
    limited: Option<u32>,
}

impl Context for Plugin {}

impl RootContext for Plugin {
    fn on_configure(&mut self, _size: usize) -> bool {
        let bytes = self.get_plugin_configuration().unwrap_or_default();
        match Configuration::read(&bytes) {
            Ok(configuration) => {
                // Setting a key that is not there succeeds whatever is expected, so two workers that meet a new client
                // at once would both give the last token. A key that exists compares; so all are made here, before
                // there is traffic.
                for key in configuration.keys() {
                    if self.get_shared_data(&key).0.is_none() {
                        let _ = self.set_shared_data(&key, Some(&Bucket::default().to_bytes()), None);
                    }
                }
                self.configuration = Some(Rc::new(configuration));
                self.limited = define_metric(MetricType::Counter, "rate_limit_limited").ok();
                true
            }
            Err(problem) => {
                error!("the configuration is not understood: {problem}");
                false
            }
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _id: u32) -> Option<Box<dyn HttpContext>> {
        let configuration = Rc::clone(self.configuration.as_ref()?);
        Some(Box::new(Stream { configuration, limited: self.limited, left: None }))
    }
}

/// One request.
struct Stream {
    configuration: Rc<Configuration>,
    limited: Option<u32>,
    /// How many requests the client has left.
    left: Option<u64>,
}

impl Context for Stream {}

impl Stream {
    fn now(&self) -> u64 {
        let since = self.get_current_time().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }

    /// Takes a token of a bucket. `None`: others were faster every time.
    fn take(&self, key: &str) -> Option<Taken> {
        let rate = self.configuration.rate();
        for _ in 0..TRIES {
            let (value, change) = self.get_shared_data(key);
            let bucket = Bucket::from_bytes(&value.unwrap_or_default());
            let taken = bucket.take(rate, self.now());
            let Taken::Token(rest, _) = taken else { return Some(taken) };
            if self.set_shared_data(key, Some(&rest.to_bytes()), change).is_ok() {
                return Some(taken);
            }
        }
        None
    }
}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        let header = self.configuration.header.as_deref();
        let client = header.and_then(|name| self.get_http_request_header_bytes(name)).unwrap_or_default();
        match self.take(&self.configuration.key_of(&client)) {
            Some(Taken::Token(_, left)) => {
                self.left = Some(left);
                Action::Continue
            }
            Some(Taken::NoneFor(nanoseconds)) => {
                if let Some(limited) = self.limited {
                    let _ = increment_metric(limited, 1);
                }
                // Whole seconds, and never one that is too early.
                let wait = nanoseconds.div_ceil(1_000_000_000).to_string();
                let headers = vec![("retry-after", wait.as_str()), ("content-type", "text/plain")];
                self.send_http_response(429, headers, Some(b"too many requests\n"));
                Action::Pause
            }
            None => {
                warn!("a bucket is too busy; the request passes uncounted");
                Action::Continue
            }
        }
    }

    fn on_http_response_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        if let Some(left) = self.left {
            self.set_http_response_header(
                "x-ratelimit-limit",
                Some(&self.configuration.requests.to_string()),
            );
            self.set_http_response_header("x-ratelimit-remaining", Some(&left.to_string()));
        }
        Action::Continue
    }
}
