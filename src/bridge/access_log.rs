//! Access loggers: a plugin that logs every exchange of a listener, those too that no filter of its has seen.
//!
//! ```text
//!   on_access_logger_config_new ──► LogConfig (the plugin is loaded, as for a filter)
//!   on_access_logger_log        ──► the worker's VM ──► proxy_on_log of the plugin's *root* context
//! ```
//!
//! As with the built-in access logger it is the root context that logs: no context is made for an exchange, and a
//! plugin that is a filter as well, with the same configuration, logs in the root context of its filter.

use std::sync::Arc;
use std::time::Duration;

use super::callouts::Carrying;
use super::entering;
use super::loading::{self, Held};
use super::log_stream::LogStream;
use super::metrics::{Outlet, Place};
use super::stream::EnvoyStream;
use super::{module, worker};
use crate::abi::{AccessLogConfigHandle, AccessLogHandle};
use crate::host::stream::Services as _;
use crate::telemetry::gate::Gate;
use crate::telemetry::{self, Level};

/// Lines about exchanges that could not be logged, and in which time.
const LINES: u32 = 10;
const EVERY: Duration = Duration::from_secs(10);

/// One use of a plugin as an access logger. Made on the main thread; read by all workers.
#[derive(Debug)]
pub struct LogConfig {
    name: String,
    slot: Held,
    /// What Envoy calls the plugin's metrics here, and a way to it at any time.
    pub(super) outlet: Outlet,
    /// For updates of metrics.
    pub(super) envoy: AccessLogConfigHandle,
    /// Lines about exchanges that could not be logged: each is one of many, where one is.
    failures: Gate,
}

/// A logger of one thread.
#[derive(Debug)]
pub struct AccessLogger {
    config: Arc<LogConfig>,
}

impl LogConfig {
    /// `on_access_logger_config_new`: loads the plugin. `None` refuses the configuration; the reason is one line in the
    /// log.
    pub fn new(envoy: AccessLogConfigHandle, name: &[u8], config: &[u8]) -> Option<Arc<Self>> {
        let loading::Loaded { plugin, slot, module } = loading::load(name, config, &Carrying::new(None))?;
        let place = Place::Logger(envoy.clone());
        let outlet = Outlet::open(&module.services.metrics, place, &slot.metrics());
        Some(Arc::new(Self { name: plugin.name, slot, outlet, envoy, failures: Gate::new(LINES, EVERY) }))
    }

    /// `on_access_logger_config_destroy`: Envoy's configuration is gone.
    pub fn on_destroy(&self) {
        self.outlet.close();
        self.slot.release();
    }
}

impl AccessLogger {
    /// `on_access_logger_new`.
    pub fn new(config: &Arc<LogConfig>) -> Self {
        Self { config: Arc::clone(config) }
    }

    /// `on_access_logger_log`: an exchange is shown to the plugin. Also shown in the middle of one, if Envoy is
    /// configured to; the plugin sees each once, when it is over.
    pub fn on_log(&self, exchange: AccessLogHandle) {
        if exchange.timing_info().request_complete_ns.is_none() {
            return;
        }
        if let (Err(why), Ok(module)) = (self.log(exchange), module::module()) {
            let line =
                format_args!("graft: plugin {:?}: an exchange could not be logged: {why}", self.config.name);
            let now = module.services.monotonic_nanoseconds();
            telemetry::log_sparingly(&self.config.failures, now, Level::Error, line);
        }
    }

    fn log(&self, exchange: AccessLogHandle) -> Result<(), String> {
        /// A guest's own hostcall ended the exchange: its VM cannot be entered again before it returns, and afterwards
        /// there is no exchange to be asked.
        const INSIDE: &str = "its end came while a plugin of this thread runs";
        if entering::is_inside() {
            return Err(INSIDE.to_owned());
        }
        let current = self.config.slot.serving(false).map_err(|error| error.to_string())?;
        let (lease, root) = current.home(worker::index()).map_err(|error| error.to_string())?;
        drop(current);
        if let Ok(module) = module::module()
            && module.services.metrics.is_any_waiting(self.config.outlet.ids())
        {
            module.services.metrics.carry(&self.config.envoy, self.config.outlet.ids());
        }
        let stream = LogStream::new(Arc::clone(&self.config), exchange);
        let entered = entering::enter(&lease, |vm| {
            let logged = vm.log_as_root(root, EnvoyStream::Log(stream));
            if let Err(error) = &logged {
                vm.log_failure(error);
            }
        });
        entered.ok_or_else(|| INSIDE.to_owned())
    }
}
