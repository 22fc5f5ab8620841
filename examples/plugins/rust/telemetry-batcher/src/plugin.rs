//! The plugin: a root context that reads the queue and sends. Its streams do nothing.

use std::time::Duration;

use log::{error, warn};
use proxy_wasm::hostcalls::{define_metric, increment_metric};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{ContextType, LogLevel, MetricType};

use crate::batch::{Backlog, Configuration};

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::<Plugin>::default());
}}

/// The plugin: made once for each configuration.
#[derive(Default)]
struct Plugin {
    batcher: Option<Batcher>,
}

struct Batcher {
    configuration: Configuration,
    queue: u32,
    backlog: Backlog,
    sent: Option<u32>,
    dropped: Option<u32>,
}

fn add(metric: Option<u32>, count: usize) {
    if let (Some(metric), Ok(count @ 1..)) = (metric, i64::try_from(count)) {
        let _ = increment_metric(metric, count);
    }
}

impl Plugin {
    /// Takes what is on the queue. The host wakes one of the VMs that read a queue, but any may take what is there.
    fn collect(&mut self) {
        let Some(mut batcher) = self.batcher.take() else { return };
        while let Ok(Some(record)) = self.dequeue_shared_queue(batcher.queue) {
            if !batcher.backlog.add(record) {
                add(batcher.dropped, 1);
            }
        }
        self.batcher = Some(batcher);
    }

    /// Sends the next batch, if there is one and none is on its way.
    fn send(&mut self) {
        let Some(mut batcher) = self.batcher.take() else { return };
        if let Some((body, _count)) = batcher.backlog.next() {
            let configuration = &batcher.configuration;
            let headers = vec![
                (":method", "POST"),
                (":path", configuration.path.as_str()),
                (":authority", configuration.authority.as_deref().unwrap_or(&configuration.cluster)),
                ("content-type", "application/x-ndjson"),
            ];
            let timeout = Duration::from_millis(configuration.timeout_ms.into());
            let call = self.dispatch_http_call(&configuration.cluster, headers, Some(&body), vec![], timeout);
            if let Err(status) = call {
                warn!("{} cannot be asked: {status:?}", batcher.configuration.cluster);
                batcher.backlog.finish(false);
            }
        }
        self.batcher = Some(batcher);
    }
}

impl Context for Plugin {
    fn on_http_call_response(&mut self, _token: u32, headers: usize, _body: usize, _trailers: usize) {
        // Without headers there was no answer.
        let status = (headers > 0).then(|| self.get_http_call_response_header_bytes(":status")).flatten();
        let has_arrived = status.as_ref().is_some_and(|status| status.first() == Some(&b'2'));
        if let Some(batcher) = &mut self.batcher {
            if !has_arrived {
                let status = String::from_utf8_lossy(status.as_deref().unwrap_or(b"no answer")).into_owned();
                warn!("a batch was not taken and goes again: {status}");
            }
            let count = batcher.backlog.finish(has_arrived);
            add(batcher.sent, count);
            if batcher.backlog.is_due() {
                self.send();
            }
        }
    }
}

impl RootContext for Plugin {
    fn on_configure(&mut self, _size: usize) -> bool {
        let bytes = self.get_plugin_configuration().unwrap_or_default();
        match Configuration::read(&bytes) {
            Ok(configuration) => {
                let counter = |name| define_metric(MetricType::Counter, name).ok();
                self.set_tick_period(Duration::from_millis(configuration.interval_ms.into()));
                self.batcher = Some(Batcher {
                    queue: self.register_shared_queue(&configuration.queue),
                    backlog: Backlog::new(configuration.batch, configuration.backlog),
                    configuration,
                    sent: counter("telemetry_sent"),
                    dropped: counter("telemetry_dropped"),
                });
                true
            }
            Err(problem) => {
                error!("the configuration is not understood: {problem}");
                false
            }
        }
    }

    fn on_queue_ready(&mut self, _queue: u32) {
        self.collect();
        if self.batcher.as_ref().is_some_and(|batcher| batcher.backlog.is_due()) {
            self.send();
        }
    }

    // A wake-up may have been missed while this VM was started anew, so the queue is looked at, too.
    fn on_tick(&mut self) {
        self.collect();
        if let Some(batcher) = &mut self.batcher {
            batcher.backlog.retry();
        }
        self.send();
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Idle))
    }
}

/// A stream, for hosts that run the plugin as a filter.
struct Idle;

impl Context for Idle {}

impl HttpContext for Idle {}
