//! How a stream begins: on which generation, and in which VM.

use std::sync::Arc;

use super::HttpFilter;
use crate::abi::HttpFilterHandle;
use crate::bridge::entering;
use crate::bridge::http_stream::HttpStream;
use crate::bridge::route_config::RouteConfig;
use crate::bridge::stream::EnvoyStream;
use crate::bridge::{module, worker};
use crate::host::vm::StartError;
use crate::lifecycle::generation::{BeginError, Begun, Generation};

/// What a stream begins on.
pub(super) enum Chosen<'a> {
    /// That of the filter configuration. Not counted for each stream: all workers would write to the same place.
    Base(&'a Arc<Generation<EnvoyStream>>),
    /// That of a route.
    Variant(Arc<Generation<EnvoyStream>>),
}

impl std::ops::Deref for Chosen<'_> {
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
            Some(Err(error)) => self.settle(envoy, Err(error.into())),
            None => {}
        }
    }

    /// What the stream begins on. `None`: it does not begin here, or has begun.
    pub(super) fn generation(&self, envoy: &HttpFilterHandle) -> Option<Result<Chosen<'_>, StartError>> {
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
            _ => Some(self.routed(envoy)),
        }
    }

    /// The generation of the stream's route.
    fn routed(&self, envoy: &HttpFilterHandle) -> Result<Chosen<'_>, StartError> {
        let base = &self.config.generation;
        match envoy.route_config::<RouteConfig>() {
            Some(route) => route.generation(base).map(Chosen::Variant),
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
        let Ok(generation) = self.routed(envoy) else { return false };
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
