//! The plugin: one callout a request, which waits for the answer.

use std::rc::Rc;
use std::time::Duration;

use log::{error, warn};
use proxy_wasm::hostcalls::{define_metric, increment_metric};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel, MetricType};

use crate::policy::{Configuration, OnError, Verdict};

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::<Plugin>::default());
}}

/// The plugin: made once for each configuration, it makes a [`Stream`] for each request.
#[derive(Default)]
struct Plugin {
    settings: Option<Rc<Settings>>,
}

/// What all streams share.
struct Settings {
    configuration: Configuration,
    allowed: Option<u32>,
    denied: Option<u32>,
    failed: Option<u32>,
}

/// Metrics are for the operator: one that the host refuses is no reason to refuse a request.
fn count(metric: Option<u32>) {
    if let Some(metric) = metric {
        let _ = increment_metric(metric, 1);
    }
}

impl Context for Plugin {}

impl RootContext for Plugin {
    fn on_configure(&mut self, _size: usize) -> bool {
        let bytes = self.get_plugin_configuration().unwrap_or_default();
        match Configuration::read(&bytes) {
            Ok(configuration) => {
                let counter = |name| define_metric(MetricType::Counter, name).ok();
                self.settings = Some(Rc::new(Settings {
                    configuration,
                    allowed: counter("ext_authz_allowed"),
                    denied: counter("ext_authz_denied"),
                    failed: counter("ext_authz_failed"),
                }));
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
        let settings = Rc::clone(self.settings.as_ref()?);
        Some(Box::new(Stream { settings, is_asking: false }))
    }
}

/// One request.
struct Stream {
    settings: Rc<Settings>,
    /// Whether the answer of the service is awaited.
    is_asking: bool,
}

impl Stream {
    fn configuration(&self) -> &Configuration {
        &self.settings.configuration
    }

    /// There is no verdict: what then is the user's choice.
    fn decide_without_service(&self) -> Action {
        count(self.settings.failed);
        match self.configuration().on_error {
            OnError::Allow => Action::Continue,
            OnError::Deny => {
                let headers = vec![("content-type", "text/plain")];
                self.send_http_response(503, headers, Some(b"authorisation is not available\n"));
                Action::Pause
            }
        }
    }

    fn deny(&self, status: u32, body_size: usize) {
        count(self.settings.denied);
        let answer = self.get_http_call_response_headers_bytes();
        let body = self.get_http_call_response_body(0, body_size).unwrap_or_default();
        self.send_http_response(status, self.configuration().for_client(&answer), Some(&body));
    }

    fn allow(&self) {
        count(self.settings.allowed);
        let answer = self.get_http_call_response_headers_bytes();
        for (name, value) in self.configuration().for_upstream(&answer) {
            self.add_http_request_header_bytes(name, value);
        }
        self.resume_http_request();
    }
}

impl Context for Stream {
    fn on_http_call_response(&mut self, _token: u32, headers: usize, body_size: usize, _trailers: usize) {
        self.is_asking = false;
        // Without headers there was no answer.
        let status = (headers > 0).then(|| self.get_http_call_response_header_bytes(":status")).flatten();
        let status = status.and_then(|status| std::str::from_utf8(&status).ok()?.parse().ok());
        match Configuration::verdict(status) {
            Verdict::Allow => self.allow(),
            Verdict::Deny(status) => self.deny(status, body_size),
            Verdict::Unknown => {
                warn!("no verdict of {}: {status:?}", self.configuration().cluster);
                if self.decide_without_service() == Action::Continue {
                    self.resume_http_request();
                }
            }
        }
    }
}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        // As bytes: a client may send what is no text.
        let request = self.get_http_request_headers_bytes();
        let question = self.configuration().question(&request);
        // What the upstream is to believe the service says, no client may say.
        for name in &self.configuration().upstream_headers {
            self.remove_http_request_header(name);
        }
        let question = question.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let configuration = self.configuration();
        let timeout = Duration::from_millis(configuration.timeout_ms.into());
        match self.dispatch_http_call(&configuration.cluster, question, None, vec![], timeout) {
            Ok(_token) => {
                self.is_asking = true;
                Action::Pause
            }
            Err(status) => {
                warn!("{} cannot be asked: {status:?}", configuration.cluster);
                self.decide_without_service()
            }
        }
    }

    // A host that lets the body come while the headers wait (allow_on_headers_stop_iteration) is told to wait, too.
    fn on_http_request_body(&mut self, _size: usize, _end_of_stream: bool) -> Action {
        if self.is_asking { Action::Pause } else { Action::Continue }
    }

    fn on_http_request_trailers(&mut self, _count: usize) -> Action {
        if self.is_asking { Action::Pause } else { Action::Continue }
    }
}
