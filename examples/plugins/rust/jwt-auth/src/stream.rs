//! One request, which may wait for keys.

use std::cell::Cell;
use std::rc::Rc;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use crate::plugin::Shared;
use crate::token::{Refusal, Token};

/// Most requests of a VM that wait. More are answered with 503 at once.
const MOST_WAITING: usize = 1000;

/// A request.
pub struct Stream {
    id: u32,
    shared: Rc<Shared>,
    is_waiting: Rc<Cell<bool>>,
}

/// A request that waits for keys.
pub struct Waiting {
    pub id: u32,
    token: Token,
    /// When it has waited long enough, in milliseconds since the epoch.
    until: u64,
    /// When the keys were fetched that did not do.
    tried: u64,
    is_waiting: Rc<Cell<bool>>,
}

impl Waiting {
    /// Lets the request go on, or refuses it, if that is clear now. `true`: it need not be looked at again.
    ///
    /// The headers were changed before it waited, because a host may run this where a stream's headers are out of reach;
    /// letting go and answering work everywhere.
    pub fn settle(&self, shared: &Shared, now: u64) -> bool {
        let verdict = match shared.verify(&self.token) {
            // Time has passed meanwhile.
            Ok(()) => self.token.check(&shared.configuration, now / 1000),
            Err(Refusal::NoKeys) if now < self.until => return false,
            Err(Refusal::UnknownKey) if now < self.until && shared.fetched() == self.tried => return false,
            Err(refusal) => Err(refusal),
        };
        self.is_waiting.set(false);
        // A stream that is gone is answered no more.
        if hostcalls::set_effective_context(self.id).is_ok() {
            match verdict {
                Ok(()) => {
                    let _ = hostcalls::resume_http_request();
                }
                Err(refusal) => refuse(refusal),
            }
        }
        true
    }
}

fn refuse(refusal: Refusal) {
    let mut headers = vec![("content-type", "text/plain")];
    headers.extend(refusal.challenge().map(|challenge| ("www-authenticate", challenge)));
    let _ = hostcalls::send_http_response(refusal.status(), headers, Some(format!("{refusal}\n").as_bytes()));
}

impl Stream {
    pub fn new(id: u32, shared: Rc<Shared>) -> Self {
        Self { id, shared, is_waiting: Rc::default() }
    }

    /// Reads the request's token and checks what can be checked without keys.
    fn token(&self) -> Result<Token, Refusal> {
        let value = self.get_http_request_header_bytes("authorization").ok_or(Refusal::Missing)?;
        let token = Token::from_authorization(&value)?;
        token.check(&self.shared.configuration, self.shared.now() / 1000)?;
        Ok(token)
    }

    fn set_claims(&self, token: &Token) {
        for (claim, header) in &self.shared.configuration.claims_to_headers {
            if let Some(value) = token.claim(claim) {
                self.set_http_request_header(header, Some(&value));
            }
        }
    }

    /// `None`: it has to wait. An error: it is refused.
    fn decide(&self) -> Result<Option<()>, Refusal> {
        let token = self.token()?;
        // If it is refused later, nobody sees them.
        self.set_claims(&token);
        let shared = &self.shared;
        let first = shared.verify(&token);
        if !matches!(first, Err(Refusal::NoKeys | Refusal::UnknownKey)) {
            return first.map(Some);
        }
        // Another VM may have fetched them since the last tick.
        shared.look();
        let Err(refusal) = shared.verify(&token) else { return Ok(Some(())) };
        if refusal == Refusal::UnknownKey {
            shared.hasten();
        }
        let now = shared.now();
        let may_wait = matches!(refusal, Refusal::NoKeys | Refusal::UnknownKey)
            && shared.configuration.wait_ms > 0
            && shared.state().0.is_about_to_change(&shared.configuration.jwks, now);
        if !may_wait || shared.waiting.borrow().len() >= MOST_WAITING {
            return Err(refusal);
        }
        shared.waiting.borrow_mut().push(Waiting {
            id: self.id,
            token,
            until: now.saturating_add(shared.configuration.wait_ms),
            tried: shared.fetched(),
            is_waiting: Rc::clone(&self.is_waiting),
        });
        self.is_waiting.set(true);
        shared.fetch(self);
        Ok(None)
    }

    fn wait_on(&self) -> Action {
        if self.is_waiting.get() { Action::Pause } else { Action::Continue }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.shared.waiting.borrow_mut().retain(|one| one.id != self.id);
    }
}

impl Context for Stream {
    // A stream that fetches for all.
    fn on_http_call_response(&mut self, _token: u32, headers: usize, body_size: usize, _trailers: usize) {
        self.shared.receive(self, headers, body_size);
    }
}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        // What the upstream is to believe, no client may say.
        for header in self.shared.configuration.claims_to_headers.values() {
            self.remove_http_request_header(header);
        }
        match self.decide() {
            Ok(Some(())) => Action::Continue,
            Ok(None) => Action::Pause,
            Err(refusal) => {
                refuse(refusal);
                Action::Pause
            }
        }
    }

    // A host that lets the body come while the headers wait (allow_on_headers_stop_iteration) is told to wait, too.
    fn on_http_request_body(&mut self, _size: usize, _end_of_stream: bool) -> Action {
        self.wait_on()
    }

    fn on_http_request_trailers(&mut self, _count: usize) -> Action {
        self.wait_on()
    }
}
