//! A route's configuration: the plugin is off there, or has another `configuration` (a root context of its own in
//! the same VMs).
//!
//! Envoy does not say which filter a route's configuration is for, only the name that the user gave it
//! (`filter_name`, or `per_route_config_name` to 1.37). Where that is the name of a plugin, the configuration is tried
//! when both are there, whichever comes first, and refused if the plugin refuses it. Where it is not, it is tried
//! when the first stream comes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock};

use super::http_config::HttpConfig;
use super::module;
use super::services::EnvoyServices;
use super::stream::EnvoyStream;
use crate::config;
use crate::host::stream::Services as _;
use crate::host::vm::StartError;
use crate::lifecycle::failure::BackOff;
use crate::lifecycle::generation::Generation;
use crate::lifecycle::slot::edition::Edition;
use crate::telemetry::{self, Level};

/// See the module's text. Made on the main thread; read by all workers.
#[derive(Debug)]
pub struct RouteConfig {
    /// The name that the user gave it.
    name: String,
    /// The plugin is off for this route.
    pub is_disabled: bool,
    configuration: Option<Arc<[u8]>>,
    /// A plugin of its name took it.
    is_accepted: AtomicBool,
    variants: RwLock<Vec<Variant>>,
}

/// The plugin's generation with this route's configuration. The edition has it: a route that nobody takes keeps no old one.
#[derive(Debug)]
struct Variant {
    edition: Weak<Edition<EnvoyStream>>,
    variant: Result<Weak<Generation<EnvoyStream>>, Failure>,
}

/// Why there is none, and when that is tried again: what the plugin has refused never, anything else later and later.
#[derive(Debug)]
struct Failure {
    error: StartError,
    in_a_row: u32,
    again_at: u64,
}

impl Failure {
    /// After so many others, at a moment of the clock that never goes back.
    fn new(error: StartError, before: u32, back_off: BackOff, now: u64) -> Self {
        let again_at = match &error {
            StartError::ConfigureRefused | StartError::VmStartRefused | StartError::WrongType(_) => u64::MAX,
            StartError::Instantiate(_)
            | StartError::Trapped(_)
            | StartError::Copy(_)
            | StartError::NoPlace(_) => now.saturating_add(telemetry::nanoseconds(back_off.wait(before))),
        };
        Self { error, in_a_row: before.saturating_add(1), again_at }
    }
}

impl Variant {
    fn is_of(&self, edition: &Arc<Edition<EnvoyStream>>) -> bool {
        self.edition.as_ptr() == Arc::as_ptr(edition)
    }

    /// A later edition took over, and nobody asks for this one any more.
    fn is_orphan(&self) -> bool {
        self.edition.strong_count() == 0
    }

    /// `None`: it has to be made.
    fn get(&self, services: &EnvoyServices) -> Option<Result<Arc<Generation<EnvoyStream>>, StartError>> {
        match &self.variant {
            Ok(variant) => variant.upgrade().map(Ok),
            Err(failure) if failure.again_at <= services.monotonic_nanoseconds() => None,
            Err(failure) => Some(Err(failure.error.clone())),
        }
    }
}

impl Drop for RouteConfig {
    fn drop(&mut self) {
        // First: whoever looks takes the route for one that is there as long as the bytes are.
        let had_its_own = self.configuration.take().is_some();
        // Loads make variants, too, which the route has not heard of.
        if let (Ok(module), true) = (module::module(), had_its_own) {
            module.registry.forget_routes();
        }
    }
}

/// A route's configuration that its plugin refuses.
#[derive(Debug, thiserror::Error)]
#[error("plugin {plugin:?}: per-route configuration {route:?}: configuration: the plugin {error}")]
pub struct RouteError {
    plugin: String,
    route: String,
    error: StartError,
}

/// What is there now, so that each side finds the other.
#[derive(Default)]
struct Known {
    configs: Vec<Weak<HttpConfig>>,
    routes: Vec<Weak<RouteConfig>>,
}

static KNOWN: Mutex<Known> = Mutex::new(Known { configs: Vec::new(), routes: Vec::new() });

impl RouteConfig {
    /// `on_http_filter_per_route_config_new`. `None` refuses it; the reason is one line in the log.
    pub fn new(name: &[u8], bytes: &[u8]) -> Option<Arc<Self>> {
        let name = String::from_utf8_lossy(name).into_owned();
        let parsed = match config::parse_route(bytes) {
            Ok(parsed) => parsed,
            Err(error) => {
                telemetry::log(Level::Error, format_args!("graft: {name:?}: {error}"));
                return None;
            }
        };
        let route = Arc::new(Self {
            name,
            is_disabled: parsed.disabled,
            configuration: parsed.configuration.map(Arc::from),
            is_accepted: AtomicBool::new(false),
            variants: RwLock::default(),
        });
        let configs = Known::add_route(&route);
        let tried =
            configs.iter().filter(|config| config.name == route.name).map(|config| route.try_on(config));
        let refusals: Vec<RouteError> = tried.filter_map(Result::err).collect();
        for error in &refusals {
            telemetry::log(Level::Error, format_args!("graft: {error}"));
        }
        // There may be several plugins of that name, an old one that drains among them: one that accepts is enough.
        (refusals.is_empty() || route.is_accepted.load(Ordering::Relaxed)).then_some(route)
    }

    /// The generation that a stream of this route begins on.
    ///
    /// # Errors
    /// The plugin refuses this route's configuration (tried once; the answer stays), or does not start with it for now.
    pub fn generation(
        &self,
        edition: &Arc<Edition<EnvoyStream>>,
    ) -> Result<Arc<Generation<EnvoyStream>>, StartError> {
        let Some(configuration) = &self.configuration else { return Ok(Arc::clone(edition.generation())) };
        let module = match module::module() {
            Ok(module) => module,
            Err(error) => return Err(StartError::Instantiate(error.to_string())),
        };
        let find = |variants: &[Variant]| {
            variants.iter().find(|variant| variant.is_of(edition))?.get(&module.services)
        };
        {
            let variants = self.variants.read();
            let has_old = variants.len() > 1 && variants.iter().any(Variant::is_orphan);
            if let Some(variant) = find(&variants).filter(|_| !has_old) {
                return variant;
            }
        }
        let mut variants = self.variants.write();
        variants.retain(|variant| !variant.is_orphan());
        if let Some(variant) = find(&variants) {
            return variant;
        }
        let last = variants.extract_if(.., |variant| variant.is_of(edition)).last();
        let failure = last.and_then(|last| last.variant.err());
        let failures = failure.as_ref().map_or(0, |failure| failure.in_a_row);
        let made = if let Some(failure) = failure {
            // Meanwhile others get the answer of the last try: this one may take as long as a deadline, on their workers too.
            let last = Err(Failure { again_at: u64::MAX, ..failure });
            variants.push(Variant { edition: Arc::downgrade(edition), variant: last });
            drop(variants);
            let made = module.registry.load_route(edition, configuration);
            variants = self.variants.write();
            variants.retain(|variant| !variant.is_of(edition));
            made
        } else {
            module.registry.load_route(edition, configuration)
        };
        let variant = made.as_ref().map(Arc::downgrade).map_err(|error| {
            let back_off = edition.generation().pool().rules().back_off;
            Failure::new(error.clone(), failures, back_off, module.services.monotonic_nanoseconds())
        });
        variants.push(Variant { edition: Arc::downgrade(edition), variant });
        made
    }

    fn try_on(&self, config: &HttpConfig) -> Result<(), RouteError> {
        let (Some(configuration), false) = (&self.configuration, self.is_disabled) else { return Ok(()) };
        // Later generations are tried before they are published.
        config.slot.add_route(configuration);
        let Some(edition) = config.slot.stable_edition() else { return Ok(()) };
        let tried = self.generation(&edition).map_err(|error| RouteError {
            plugin: config.name.clone(),
            route: self.name.clone(),
            error,
        });
        self.is_accepted.fetch_or(tried.is_ok(), Ordering::Relaxed);
        if tried.is_err() {
            // Another plugin of its name may take it; no later version of this one is held up by it.
            config.slot.remove_route(configuration);
        }
        tried.map(drop)
    }
}

/// A filter configuration was made: the routes of its name are tried on it.
///
/// # Errors
/// A route's configuration that this plugin refuses, and no other of its name has accepted.
pub(super) fn configured(config: &Arc<HttpConfig>) -> Result<(), RouteError> {
    let routes = Known::add_config(config);
    for route in routes.iter().filter(|route| route.name == config.name) {
        let was_accepted = route.is_accepted.load(Ordering::Relaxed);
        match route.try_on(config) {
            Ok(()) => {}
            Err(error) if was_accepted => telemetry::log(Level::Warn, format_args!("graft: {error}")),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl Known {
    fn add_route(route: &Arc<RouteConfig>) -> Vec<Arc<HttpConfig>> {
        let mut known = KNOWN.lock();
        known.forget_the_dead();
        known.routes.push(Arc::downgrade(route));
        known.configs.iter().filter_map(Weak::upgrade).collect()
    }

    fn add_config(config: &Arc<HttpConfig>) -> Vec<Arc<RouteConfig>> {
        let mut known = KNOWN.lock();
        known.forget_the_dead();
        known.configs.push(Arc::downgrade(config));
        known.routes.iter().filter_map(Weak::upgrade).collect()
    }

    fn forget_the_dead(&mut self) {
        self.configs.retain(|config| config.strong_count() > 0);
        self.routes.retain(|route| route.strong_count() > 0);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_may_pass_is_tried_again_later_and_later() {
        let back_off = BackOff { base: Duration::from_secs(1), longest: Duration::from_secs(3) };
        let (mut failures, mut waits) = (0, Vec::new());
        for _ in 0..4 {
            let failure = Failure::new(StartError::NoPlace(8), failures, back_off, 5);
            waits.push((failure.again_at - 5) / 1_000_000_000);
            failures = failure.in_a_row;
        }
        assert_eq!(waits, [1, 2, 3, 3]);
        let refusal = Failure::new(StartError::ConfigureRefused, 0, back_off, 5);
        assert_eq!(refusal.again_at, u64::MAX);
    }
}
