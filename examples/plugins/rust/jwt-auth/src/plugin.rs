//! The plugin: a root context that keeps the keys of its VM up to date, and what its streams share with it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, UNIX_EPOCH};

use log::{error, info, warn};
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{ContextType, LogLevel};

use crate::configuration::Configuration;
use crate::keys::KeySet;
use crate::refresh::{NOT_THERE, State};
use crate::stream::{Stream, Waiting};
use crate::token::{Refusal, Token};

/// How often a VM looks whether there are new keys. It is also how long a request may wait for them needlessly.
const TICK: Duration = Duration::from_millis(100);

/// Instead of the number of a change: whatever is there.
const OVERWRITE: u32 = 0;

/// Largest key set, in bytes.
const LARGEST: usize = 256 * 1024;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::<Plugin>::default());
}}

/// The plugin: made once for each configuration, it makes a [`Stream`] for each request.
#[derive(Default)]
struct Plugin {
    shared: Rc<Shared>,
}

/// What the root context and its streams share.
#[derive(Default)]
pub struct Shared {
    pub configuration: Configuration,
    /// The keys, as this VM has them.
    keys: RefCell<Option<KeySet>>,
    /// When these were fetched.
    fetched: Cell<u64>,
    /// Requests that wait for keys.
    pub waiting: RefCell<Vec<Waiting>>,
    /// Whether the host lets streams alone make calls (Graft on Envoy 1.37), so that requests have to fetch.
    is_left_to_streams: Cell<bool>,
}

/// Milliseconds since the epoch.
pub fn now() -> u64 {
    let now = hostcalls::get_current_time().unwrap_or(UNIX_EPOCH);
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl Shared {
    /// When the keys that this VM has were fetched; 0: it has none.
    pub fn fetched(&self) -> u64 {
        self.fetched.get()
    }

    /// What all VMs know, and the number of its last change.
    pub fn state(&self) -> (State, u32) {
        let (bytes, change) =
            hostcalls::get_shared_data(&self.configuration.jwks.name("state")).unwrap_or_default();
        (State::from_bytes(&bytes.unwrap_or_default()), change.unwrap_or(NOT_THERE))
    }

    /// Tells all VMs, unless one of them was faster.
    fn set_state(&self, state: State, change: u32) -> bool {
        let name = self.configuration.jwks.name("state");
        hostcalls::set_shared_data(&name, Some(&state.to_bytes()), Some(change)).is_ok()
    }

    /// Whether the token is good, as far as this VM's keys tell.
    pub fn verify(&self, token: &Token) -> Result<(), Refusal> {
        self.keys.borrow().as_ref().map_or(Err(Refusal::NoKeys), |keys| keys.verify(token))
    }

    /// Takes over keys that another VM has fetched.
    pub fn look(&self) {
        let (state, _) = self.state();
        if state.fetched != self.fetched.get() {
            let (text, _) =
                hostcalls::get_shared_data(&self.configuration.jwks.name("keys")).unwrap_or_default();
            if let Ok(keys) = KeySet::read(&text.unwrap_or_default()) {
                *self.keys.borrow_mut() = Some(keys);
                self.fetched.set(state.fetched);
            }
        }
    }

    /// Asks that keys are fetched soon, because a token names one that is not known.
    pub fn hasten(&self) {
        let (state, change) = self.state();
        if let Some(hastened) = state.hasten(&self.configuration.jwks, now()) {
            self.set_state(hastened, change);
        }
    }

    /// Fetches the keys for all VMs, if it is time and no other VM does.
    ///
    /// From the root context, or from a request that has to wait. A fetch that failed is tried again by a tick or,
    /// where that cannot call, by the next request.
    pub fn fetch(&self, context: &dyn Context) {
        let jwks = &self.configuration.jwks;
        let (state, change) = self.state();
        let Some(claimed) = state.claim(jwks, now()) else { return };
        if !self.set_state(claimed, change) {
            return;
        }
        let headers = vec![
            (":method", "GET"),
            (":path", jwks.path.as_str()),
            (":authority", jwks.authority()),
            ("accept", "application/json"),
        ];
        let timeout = Duration::from_millis(jwks.timeout_ms);
        let call = context.dispatch_http_call(&jwks.cluster, headers, None, vec![], timeout);
        if let Err(status) = call {
            // Given back, so that a request can take it on at once.
            let (_, change) = self.state();
            self.set_state(state, change);
            if !self.is_left_to_streams.replace(true) {
                info!("{} cannot be asked from here ({status:?}); requests will", jwks.cluster);
            }
        }
    }

    /// The answer to the call that [`Self::fetch`] made.
    pub fn receive(&self, context: &dyn Context, headers: usize, body_size: usize) {
        // Without headers there was no answer.
        let status = (headers > 0).then(|| context.get_http_call_response_header_bytes(":status")).flatten();
        let keys = if status.as_deref() != Some(b"200") {
            Err(String::from_utf8_lossy(status.as_deref().unwrap_or(b"no answer")).into_owned())
        } else if body_size > LARGEST {
            Err(format!("{body_size} bytes are no key set"))
        } else {
            let text = context.get_http_call_response_body(0, body_size).unwrap_or_default();
            KeySet::read(&text).map(|_keys| text)
        };
        match keys {
            Ok(text) => {
                let name = self.configuration.jwks.name("keys");
                // The keys first: who sees the new state must find them.
                let is_set = hostcalls::set_shared_data(&name, Some(&text), None).is_ok();
                self.finish(is_set);
                self.look();
            }
            Err(problem) => {
                warn!("the keys of {} are not to be had: {problem}", self.configuration.jwks.cluster);
                self.finish(false);
            }
        }
        self.settle();
    }

    fn finish(&self, has_succeeded: bool) {
        let (state, _) = self.state();
        // Whatever others have said meanwhile: it is this VM that knows.
        self.set_state(state.finish(&self.configuration.jwks, now(), has_succeeded), OVERWRITE);
    }

    /// Lets those go that need not wait any longer.
    fn settle(&self) {
        let now = now();
        let waiting = std::mem::take(&mut *self.waiting.borrow_mut());
        let rest = waiting.into_iter().filter(|one| !one.settle(self, now)).collect();
        *self.waiting.borrow_mut() = rest;
    }
}

impl Context for Plugin {
    fn on_http_call_response(&mut self, _token: u32, headers: usize, body_size: usize, _trailers: usize) {
        self.shared.receive(self, headers, body_size);
    }
}

impl RootContext for Plugin {
    fn on_configure(&mut self, _size: usize) -> bool {
        let bytes = self.get_plugin_configuration().unwrap_or_default();
        match Configuration::read(&bytes) {
            Ok(configuration) => {
                self.shared = Rc::new(Shared { configuration, ..Shared::default() });
                // The first tick fetches, and not this callback: hosts try a configuration in a VM that they throw away,
                // and its call with it.
                self.set_tick_period(TICK);
                true
            }
            Err(problem) => {
                error!("the configuration is not understood: {problem}");
                false
            }
        }
    }

    fn on_tick(&mut self) {
        self.shared.look();
        if !self.shared.is_left_to_streams.get() {
            self.shared.fetch(self);
        }
        self.shared.settle();
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream::new(id, Rc::clone(&self.shared))))
    }
}
