//! How a stream begins: on which generation, and in which VM.

use std::sync::Arc;

use super::HttpFilter;
use crate::abi::HttpFilterHandle;
use crate::bridge::entering;
use crate::bridge::http_stream::HttpStream;
use crate::bridge::route_config::RouteConfig;
use crate::bridge::stream::EnvoyStream;
use crate::bridge::{module, worker};
use crate::lifecycle::generation::{BeginError, Begun, Generation};
use crate::lifecycle::slot::{Current, NotLoaded};

/// What a stream begins on.
pub(super) enum Chosen {
    /// That of the filter configuration.
    Base(Current<EnvoyStream>),
    /// That of a route.
    Variant(Arc<Generation<EnvoyStream>>),
}

impl std::ops::Deref for Chosen {
    type Target = Generation<EnvoyStream>;

    fn deref(&self) -> &Generation<EnvoyStream> {
        match self {
            Self::Base(generation) => generation,
            Self::Variant(generation) => generation,
        }
    }
}

impl HttpFilter {
    /// Makes the stream's context, once.
    pub(super) fn begin(&self, envoy: &HttpFilterHandle) {
        match self.generation(envoy) {
            Some(Ok(generation)) => self.settle(envoy, self.begin_on(&generation)),
            Some(Err(error)) => self.settle(envoy, Err(error)),
            None => {}
        }
    }

    /// What the stream begins on. `None`: it does not begin here, or has begun.
    pub(super) fn generation(&self, envoy: &HttpFilterHandle) -> Option<Result<Chosen, BeginError>> {
        if self.begun.get().is_some()
            || self.is_bypassed.get()
            || self.has_failed.get()
            || entering::is_inside()
        {
            return None;
        }
        match envoy.route_config::<RouteConfig>() {
            Some(route) if route.is_disabled => {
                self.is_bypassed.set(true);
                None
            }
            route => Some(self.routed(route)),
        }
    }

    /// What the plugin's streams begin on, this one included: it takes its turn in a trial once, however often it asks.
    pub(super) fn current(&self) -> Result<Current<EnvoyStream>, NotLoaded> {
        let slot = &self.config.slot;
        let current = match self.is_of_trial.get() {
            Some(is_candidate) => slot.serving(is_candidate),
            None => slot.current(),
        }?;
        self.is_of_trial.set(Some(current.is_candidate()));
        Ok(current)
    }

    /// The generation of the stream's route.
    fn routed(&self, route: Option<&Arc<RouteConfig>>) -> Result<Chosen, BeginError> {
        let base = self.current()?;
        match route {
            Some(route) => {
                let variant = route.generation(base.edition()).map_err(BeginError::from);
                // There is none to count it: a trial sees what the plugin makes of its routes all the same.
                variant.inspect_err(|error| base.note_failure(worker::index(), error)).map(Chosen::Variant)
            }
            None => Ok(Chosen::Base(base)),
        }
    }

    /// Notes how the stream's beginning went.
    pub(super) fn settle(&self, envoy: &HttpFilterHandle, begun: Result<Begun<EnvoyStream>, BeginError>) {
        if let Err(error) = &begun {
            self.config.failing.log("a stream", error);
        }
        let _was_empty = self.begun.set(begun);
        if let Ok(module) = module::module()
            && module.services.metrics.is_any_waiting(self.config.outlet.ids())
        {
            module.services.metrics.carry(envoy, self.config.outlet.ids());
        }
    }

    pub(super) fn begin_on(
        &self,
        generation: &Generation<EnvoyStream>,
    ) -> Result<Begun<EnvoyStream>, BeginError> {
        generation.begin_if_free(worker::index(), HttpStream::new(Arc::clone(&self.config)).into())
    }

    /// The VM in which the stream began has failed since, in a tick for one, and the plugin has seen nothing of the stream:
    /// it begins in another, even if it has to wait for a thread that is inside. Answers whether it does.
    pub(super) fn begin_again(&self, envoy: &HttpFilterHandle) -> bool {
        if entering::is_inside() || self.begun_again.get().is_some() {
            return false;
        }
        let route = envoy.route_config::<RouteConfig>();
        let Ok(generation) = self.routed(route) else { return false };
        let stream = HttpStream::new(Arc::clone(&self.config)).into();
        match generation.begin(worker::index(), stream) {
            Ok(begun) => self.begun_again.set(begun).is_ok(),
            Err(error) => {
                self.config.failing.log("a stream", &error);
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::super::HttpFilter;
    use super::RouteConfig;
    use crate::abi::HeadersStatus;
    use crate::abi::testing::{FakeConfig, FakeEnvoy, FakeStream};
    use crate::bridge::http_config::HttpConfig;
    use crate::bridge::module;
    use crate::host::vm::StartError;

    fn eventually(what: impl Fn() -> bool) -> bool {
        (0..1000).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            what()
        })
    }

    /// Lets all requests go on, and traps in its tick.
    const GUEST: &str = r#"(module
        (memory (export "memory") 1)
        (func (export "proxy_abi_version_0_2_1"))
        (func (export "malloc") (param i32) (result i32) (i32.const 1024))
        (func (export "proxy_on_context_create") (param i32 i32))
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0))
        (func (export "proxy_on_tick") (param i32) unreachable))"#;

    /// A plugin of a guest.
    fn load(envoy: &FakeEnvoy, config: &FakeConfig, guest: &str) -> Arc<HttpConfig> {
        let code = STANDARD.encode(wat::parse_str(guest).unwrap());
        let plugin = format!(
            r#"{{"name": "p", "vm_config": {{"runtime": "envoy.wasm.runtime.v8",
                "code": {{"local": {{"inline_bytes": "{code}"}}}}}}, "graft": {{"swap": {{"load": "blocking"}}}}}}"#
        );
        let loaded = HttpConfig::new(config.handle(), b"graft", plugin.as_bytes());
        loaded.unwrap_or_else(|| panic!("{:?}", envoy.log_lines()))
    }

    #[test]
    fn a_stream_whose_vm_fails_before_its_first_call_begins_in_another() {
        let envoy = FakeEnvoy::install();
        let config = envoy.config();
        let loaded = load(&envoy, &config, GUEST);
        let mut stream = FakeStream::default();
        let filter = envoy.inside_hook(&mut stream, |handle| HttpFilter::new(&loaded, handle)).unwrap();
        envoy.inside_hook(&mut stream, |handle| filter.begin(&handle));
        filter.begun().unwrap().lease.lock().on_tick(1);
        assert!(filter.begun().unwrap().lease.lock().has_failed());
        let status = envoy.inside_hook(&mut stream, |handle| filter.show_request_headers(handle, true));
        assert_eq!(status, HeadersStatus::Continue);
        assert!(!filter.begun().unwrap().lease.lock().has_failed());

        // What the plugin has seen is lost with its VM.
        filter.begun().unwrap().lease.lock().on_tick(1);
        let status = envoy.inside_hook(&mut stream, |handle| filter.show_request_headers(handle, true));
        assert_ne!(status, HeadersStatus::Continue);
        assert_eq!(stream.responses.len(), 1);
        filter.on_destroy();
        config.close();
    }

    #[test]
    fn a_stream_whose_end_traps_is_one_that_failed_and_counts_once() {
        let envoy = FakeEnvoy::install();
        let config = envoy.config();
        let guest = GUEST.replace("proxy_on_tick\") (param i32)", "proxy_on_log\") (param i32)");
        let loaded = load(&envoy, &config, &guest);
        let generation = loaded.slot.stable().unwrap();
        let mut stream = FakeStream::default();
        let filters: Vec<_> = (0..2)
            .map(|_| {
                let filter =
                    envoy.inside_hook(&mut stream, |handle| HttpFilter::new(&loaded, handle)).unwrap();
                envoy.inside_hook(&mut stream, |handle| filter.on_request_headers(handle, true));
                filter
            })
            .collect();
        assert_eq!((generation.begun(), generation.failures()), (2, 0));
        for filter in &filters {
            envoy.inside_hook(&mut stream, |handle| filter.on_stream_complete(handle));
            assert_eq!(
                generation.failures(),
                1,
                "the VM of the other one had failed, which is not its doing"
            );
            filter.on_destroy();
        }
        config.close();
    }

    #[test]
    fn a_stream_whose_route_the_plugin_refuses_is_one_that_failed() {
        let envoy = FakeEnvoy::install();
        let config = envoy.config();
        let refuses =
            r#"(func (export "proxy_on_configure") (param i32 i32) (result i32) (i32.eqz (local.get 1)))"#;
        let guest = format!("(module {refuses} {}", GUEST.trim_start_matches("(module"));
        let loaded = load(&envoy, &config, &guest);
        let route = RouteConfig::new(b"of nobody", br#"{"configuration": "a"}"#).unwrap();
        let generation = loaded.slot.stable().unwrap();
        let mut stream = FakeStream::default();
        let filter = envoy.inside_hook(&mut stream, |handle| HttpFilter::new(&loaded, handle)).unwrap();
        assert!(filter.routed(Some(&route)).is_err());
        assert_eq!((generation.begun(), generation.failures()), (1, 1));
        filter.on_destroy();
        config.close();
    }

    #[test]
    fn a_route_that_the_plugin_traps_on_is_tried_again() {
        let envoy = FakeEnvoy::install();
        let config = envoy.config();
        // Traps the first time, and not when shared data say that it has.
        let traps = r#"
            (import "env" "proxy_get_shared_data" (func $get (param i32 i32 i32 i32 i32) (result i32)))
            (import "env" "proxy_set_shared_data" (func $set (param i32 i32 i32 i32 i32) (result i32)))
            (func (export "proxy_on_configure") (param i32 i32) (result i32)
                (if (local.get 1) (then
                    (if (call $get (i32.const 0) (i32.const 7) (i32.const 16) (i32.const 20) (i32.const 24)) (then
                        (drop (call $set (i32.const 0) (i32.const 7) (i32.const 0) (i32.const 7) (i32.const 0)))
                        unreachable))))
                (i32.const 1))"#;
        let guest = format!("(module {traps} {}", GUEST.trim_start_matches("(module"));
        let loaded = load(&envoy, &config, &guest);
        let route = RouteConfig::new(b"of nobody", br#"{"configuration": "a"}"#).unwrap();
        let edition = loaded.slot.stable_edition().unwrap();
        assert!(matches!(route.generation(&edition), Err(StartError::Trapped(_))));
        assert!(route.generation(&edition).is_err(), "not at once");
        assert!(eventually(|| route.generation(&edition).is_ok()));
        config.close();
    }

    #[test]
    fn what_a_route_made_of_the_plugin_goes_with_the_route() {
        let envoy = FakeEnvoy::install();
        let config = envoy.config();
        let loaded = load(&envoy, &config, &GUEST.replace("proxy_on_tick", "of_that_test"));
        let route = RouteConfig::new(b"of nobody", br#"{"configuration": "a"}"#).unwrap();
        let variant = Arc::downgrade(&route.generation(&loaded.slot.stable_edition().unwrap()).unwrap());
        assert!(variant.strong_count() > 0);
        let work = || module::module().unwrap().registry.loader().work();
        work();
        assert!(variant.strong_count() > 0);
        drop(route);
        assert!(variant.strong_count() > 0, "the loader ends it");
        work();
        assert_eq!(variant.strong_count(), 0, "though the plugin is there");
        config.close();
    }

    #[test]
    fn a_route_that_nobody_takes_keeps_no_old_generation() {
        let envoy = FakeEnvoy::install();
        let config = envoy.config();
        let loaded = load(&envoy, &config, &GUEST.replace("proxy_on_tick", "of_this_test"));
        let route = RouteConfig::new(b"of nobody", br#"{"configuration": "a"}"#).unwrap();
        let edition = loaded.slot.stable_edition().unwrap();
        let (variant, again) = (route.generation(&edition).unwrap(), route.generation(&edition).unwrap());
        assert!(Arc::ptr_eq(&variant, &again) && !Arc::ptr_eq(&variant, edition.generation()));
        let generations = [Arc::downgrade(&variant), Arc::downgrade(edition.generation())];
        drop((edition, variant, again));
        config.close();
        drop(loaded);
        let are_gone = || generations.iter().all(|generation| generation.strong_count() == 0);
        // A thread of the loader ends them.
        assert!(eventually(are_gone), "though the route is there");
        drop(route);
    }
}
