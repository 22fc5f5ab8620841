//! Adds a header to every response, and counts the responses in a metric.
//!
//! Its configuration is JSON: `{"header": "x-served-by", "value": "graft"}`. One that cannot be read is refused, so
//! Envoy says what is wrong when it loads the configuration and not when a request comes.

use std::rc::Rc;

use log::{error, info};
use proxy_wasm::hostcalls::{define_metric, increment_metric};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel, MetricType};
use serde::Deserialize;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::<Plugin>::default());
}}

/// What the user configures.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Configuration {
    /// The name of the header.
    header: String,
    /// What it says.
    value: String,
}

/// The plugin: made once for each configuration, it makes a [`Stream`] for each request.
#[derive(Default)]
struct Plugin {
    configuration: Rc<Configuration>,
    responses: Option<u32>,
}

impl Context for Plugin {}

impl RootContext for Plugin {
    fn on_configure(&mut self, _size: usize) -> bool {
        let bytes = self.get_plugin_configuration().unwrap_or_default();
        match serde_json::from_slice::<Configuration>(&bytes) {
            Ok(configuration) => {
                info!("adding {}: {}", configuration.header, configuration.value);
                self.configuration = Rc::new(configuration);
                self.responses = define_metric(MetricType::Counter, "add_header_responses").ok();
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
        Some(Box::new(Stream { configuration: Rc::clone(&self.configuration), responses: self.responses }))
    }
}

/// One request and its response.
struct Stream {
    configuration: Rc<Configuration>,
    responses: Option<u32>,
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_response_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        self.add_http_response_header(&self.configuration.header, &self.configuration.value);
        if let Some(responses) = self.responses {
            let _ = increment_metric(responses, 1);
        }
        Action::Continue
    }
}
