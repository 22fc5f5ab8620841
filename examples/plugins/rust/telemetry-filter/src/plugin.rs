//! The plugin: a record at the end of each stream.

use std::rc::Rc;
use std::time::UNIX_EPOCH;

use log::error;
use proxy_wasm::hostcalls::{define_metric, increment_metric};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel, MetricType};
use serde_json::Value;

use crate::queue::enqueue;
use crate::record::{Configuration, Record, number, text};

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::<Plugin>::default());
}}

/// The plugin: made once for each configuration, it makes a [`Stream`] for each request.
#[derive(Default)]
struct Plugin {
    configuration: Rc<Configuration>,
    dropped: Option<u32>,
}

impl Context for Plugin {}

impl RootContext for Plugin {
    fn on_configure(&mut self, _size: usize) -> bool {
        let bytes = self.get_plugin_configuration().unwrap_or_default();
        match Configuration::read(&bytes) {
            Ok(configuration) => {
                self.configuration = Rc::new(configuration);
                self.dropped = define_metric(MetricType::Counter, "telemetry_dropped").ok();
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
        let configuration = Rc::clone(&self.configuration);
        Some(Box::new(Stream { configuration, dropped: self.dropped, record: Record::default() }))
    }
}

/// One request.
struct Stream {
    configuration: Rc<Configuration>,
    dropped: Option<u32>,
    record: Record,
}

impl Context for Stream {}

impl Stream {
    fn header(&self, name: &str) -> Option<String> {
        self.get_http_request_header_bytes(name).map(|value| text(&value))
    }

    fn number(&self, path: Vec<&str>) -> Option<i64> {
        self.get_property(path).and_then(|value| number(&value))
    }
}

impl HttpContext for Stream {
    // Here the request is as the client sent it; later plugins and routes may change it.
    fn on_http_request_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        self.record.method = self.header(":method");
        self.record.host = self.header(":authority");
        self.record.path = self.header(":path");
        for name in &self.configuration.headers {
            if let Some(value) = self.header(name) {
                self.record.headers.insert(name.clone(), Value::String(value));
            }
        }
        Action::Continue
    }

    fn on_log(&mut self) {
        let since = self.get_current_time().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.record.time_ms = since.as_millis();
        // 0 is Envoy's word for no response.
        self.record.status = self.number(vec!["response", "code"]).filter(|status| *status > 0);
        self.record.response_bytes = self.number(vec!["response", "size"]);
        self.record.duration_us =
            self.number(vec!["request", "duration"]).map(|nanoseconds| nanoseconds / 1000);
        let queue = self.resolve_shared_queue(&self.configuration.queue_vm_id, &self.configuration.queue);
        // Until the batcher runs there is no queue. Telemetry is never worth a request.
        let is_queued = queue.is_some_and(|queue| enqueue(queue, &self.record.to_line()));
        if let (false, Some(dropped)) = (is_queued, self.dropped) {
            let _ = increment_metric(dropped, 1);
        }
    }
}
