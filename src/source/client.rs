//! One request of a fetch, with all its bounds.
//!
//! The HTTP library makes connections and speaks; what it must not decide is decided here: where a redirect may lead, who is
//! told a password, how much and for how long is read. It follows no redirect itself, uses no proxy, and decodes nothing.

use std::io::Read as _;
use std::time::Duration;

use http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, IF_NONE_MATCH, LOCATION, RETRY_AFTER,
    TRANSFER_ENCODING,
};
use http::{HeaderMap, HeaderName};
use ureq::{Agent, RequestBuilder};

use super::clock::Clock;
use super::guard::GuardedResolver;
use super::http_error::{Asked, HttpError, Peer};
use super::retry::retrying;
use super::tls::Trust;
use crate::config::{HttpUrl, Retries, Secret, SourceConfig};

/// Statuses by which servers refuse a HEAD whose GET goes well: those that do not know it, and those that let in by a signature
/// of the whole request, the method included.
pub(super) const HEAD_REFUSED: [u16; 5] = [400, 403, 404, 405, 501];

/// Most bytes of the headers of an answer.
const LARGEST_HEADERS: usize = 64 * 1024;

/// Tries of a request when there is something on the shelf to fall back to.
const ATTEMPTS_WITH_A_FALLBACK: u32 = 2;

/// Makes the requests of one fetch.
pub(super) struct Client<'a> {
    /// Looks at certificates.
    strict: Agent,
    /// Does not: for hosts that are listed as insecure, if any are.
    lax: Option<Agent>,
    config: &'a SourceConfig,
    clock: &'a dyn Clock,
    retries: Retries,
    is_worth_another: fn(&HttpError) -> bool,
    /// When the fetch ends, by the clock.
    deadline: Duration,
    /// The field that says so.
    bound: &'static str,
}

/// How a request is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method<'a> {
    Get,
    Head,
    /// With this body, a form.
    Post(&'a Secret),
}

/// What is asked for.
#[derive(Debug, Clone)]
pub(super) struct Request<'a> {
    pub(super) method: Method<'a>,
    pub(super) url: &'a HttpUrl,
    pub(super) peer: Peer,
    pub(super) accept: Option<&'a str>,
    /// Told to the server of `url` and to no other.
    pub(super) authorization: Option<Secret>,
    pub(super) if_none_match: Option<&'a str>,
    /// Statuses that are answers, beside 200.
    pub(super) also: &'a [u16],
    /// Most bytes of the answer.
    pub(super) largest: u64,
}

/// What came.
#[derive(Debug)]
pub(super) struct Response {
    /// Who answered, after redirects.
    pub(super) url: HttpUrl,
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    /// Whether a body that was cut would have been noticed: its end was announced, and is not that of the connection alone.
    pub(super) is_whole: bool,
}

impl<'a> Request<'a> {
    /// A GET of at most so many bytes, of a web server.
    pub(super) fn page(url: &'a HttpUrl, largest: u64) -> Self {
        Self { peer: Peer::WebServer, ..Self::of_registry(url, largest) }
    }

    /// A GET of at most so many bytes, of a registry or of its token service.
    pub(super) fn of_registry(url: &'a HttpUrl, largest: u64) -> Self {
        Self {
            method: Method::Get,
            url,
            peer: Peer::Registry,
            accept: None,
            authorization: url.authorization().cloned(),
            if_none_match: None,
            also: &[],
            largest,
        }
    }
}

impl Response {
    /// A header as text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl<'a> Client<'a> {
    /// A client for a fetch that begins now and takes at most so long, as that field says.
    pub(super) fn new(
        config: &'a SourceConfig,
        trust: &Trust,
        clock: &'a dyn Clock,
        ((timeout, bound), retries): ((Duration, &'static str), Retries),
    ) -> Self {
        let agent = |is_lax: bool| {
            let (tls, connector) = trust.parts(is_lax);
            let settings = Agent::config_builder()
                .tls_config(tls)
                .http_status_as_error(false)
                .max_redirects(0)
                .max_redirects_will_error(false)
                .max_response_header_size(LARGEST_HEADERS)
                // The address that a proxy connects to cannot be looked at.
                .proxy(None)
                .user_agent(concat!("graft/", env!("CARGO_PKG_VERSION")))
                .max_idle_connections_per_host(1)
                .build();
            let resolver = GuardedResolver::new(config.allowed_addresses.clone());
            Agent::with_parts(settings, connector, resolver)
        };
        let lax = (!config.insecure_registries.is_empty()).then(|| agent(true));
        let deadline = clock.now().saturating_add(timeout);
        let is_worth_another = HttpError::is_retryable;
        Self { strict: agent(false), lax, config, clock, retries, is_worth_another, deadline, bound }
    }

    /// Largest code.
    pub(super) fn max_bytes(&self) -> u64 {
        self.config.max_bytes
    }

    /// How long the fetch may still take.
    pub(super) fn left(&self) -> Duration {
        self.deadline.saturating_sub(self.clock.now())
    }

    /// The same client for a fetch that has something to fall back to, which somebody may wait for: a request is tried
    /// twice, and once if there was no answer in time.
    pub(super) fn with_fallback(mut self) -> Self {
        self.retries.attempts = self.retries.attempts.min(ATTEMPTS_WITH_A_FALLBACK);
        self.is_worth_another = |error| error.is_retryable() && !matches!(error, HttpError::TimedOut { .. });
        self
    }

    /// Makes a request, and again while that may help.
    pub(super) fn send(&self, request: &Request<'_>) -> Result<Response, HttpError> {
        let within = self.config.try_timeout;
        self.retrying(|| self.send_once(request, within))
    }

    /// Does something, and again while that may help.
    pub(super) fn retrying<T>(&self, attempt: impl FnMut() -> Result<T, HttpError>) -> Result<T, HttpError> {
        retrying(self.retries, self.is_worth_another, self.clock, self.deadline, attempt)
    }

    /// Makes a request and follows where it leads, once, within so much time.
    pub(super) fn send_once(&self, request: &Request<'_>, within: Duration) -> Result<Response, HttpError> {
        let (each, left) = (within.min(self.config.try_timeout), self.left());
        let (within, field) =
            if each < left { (each, "graft.source.try_timeout") } else { (left, self.bound) };
        if within.is_zero() {
            return Err(HttpError::NoTime { url: request.url.to_string(), field });
        }
        let asked = Asked { peer: request.peer, within, field };
        let end = self.clock.now().saturating_add(within);
        let mut url = request.url.clone();
        for _ in 0..=self.config.max_redirects {
            let time = end.saturating_sub(self.clock.now());
            let shown = url.to_string();
            if time.is_zero() {
                return Err(HttpError::timed_out(shown, asked));
            }
            let answer = self
                .call(request, &url, time)
                .map_err(|error| HttpError::from_client(error, &shown, asked))?;
            let status = answer.status().as_u16();
            let is_redirect = matches!(status, 301 | 302 | 303 | 307 | 308);
            if !is_redirect || matches!(request.method, Method::Post(_)) {
                return read(request, url, asked, answer);
            }
            url = self.redirected(&url, &answer)?;
        }
        let url = request.url.to_string();
        Err(HttpError::TooManyRedirects { url, limit: self.config.max_redirects })
    }

    fn redirected(&self, from: &HttpUrl, answer: &http::Response<ureq::Body>) -> Result<HttpUrl, HttpError> {
        let location = answer.headers().get(LOCATION).and_then(|location| location.to_str().ok());
        let to = location.and_then(|location| from.join(location));
        let Some(to) = to else { return Err(HttpError::Lost { url: from.to_string() }) };
        // Unless the list says of the new host that it may speak HTTP.
        if from.is_https() && !to.is_https() && !self.config.is_insecure(to.host(), to.port()) {
            return Err(HttpError::Downgrade { url: from.to_string(), to: to.to_string() });
        }
        Ok(to)
    }

    fn call(
        &self,
        request: &Request<'_>,
        url: &HttpUrl,
        time: Duration,
    ) -> Result<http::Response<ureq::Body>, ureq::Error> {
        let lax = self.lax.as_ref().filter(|_| self.config.is_insecure(url.host(), url.port()));
        let agent = lax.unwrap_or(&self.strict);
        let mut headers: Vec<(HeaderName, &str)> = Vec::new();
        headers.extend(request.accept.map(|accept| (ACCEPT, accept)));
        headers.extend(request.if_none_match.map(|tag| (IF_NONE_MATCH, tag)));
        let authorization = if url.is_same_origin(request.url) {
            request.authorization.as_ref()
        } else {
            // A redirect may bring its own.
            url.authorization()
        };
        headers.extend(authorization.map(|secret| (AUTHORIZATION, secret.expose())));
        match request.method {
            Method::Get => with(agent.get(url.uri()), headers, time).call(),
            Method::Head => with(agent.head(url.uri()), headers, time).call(),
            Method::Post(form) => {
                headers.push((CONTENT_TYPE, "application/x-www-form-urlencoded"));
                with(agent.post(url.uri()), headers, time).send(form.expose())
            }
        }
    }
}

/// A request with these headers, for so long.
fn with<B>(
    mut request: RequestBuilder<B>,
    headers: Vec<(HeaderName, &str)>,
    time: Duration,
) -> RequestBuilder<B> {
    for (name, value) in headers {
        request = request.header(name, value);
    }
    request.config().timeout_global(Some(time)).build()
}

fn read(
    request: &Request<'_>,
    url: HttpUrl,
    asked: Asked,
    answer: http::Response<ureq::Body>,
) -> Result<Response, HttpError> {
    let shown = || url.to_string();
    let (parts, body) = answer.into_parts();
    let status = parts.status.as_u16();
    let header = |name: HeaderName| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let seconds = |text: &str| text.trim().parse().ok().map(Duration::from_secs);
    if status != 200 {
        if request.also.contains(&status) {
            return Ok(Response { url, status, headers: parts.headers, body: Vec::new(), is_whole: true });
        }
        let retry_after = header(RETRY_AFTER).and_then(seconds);
        return Err(HttpError::Status { url: shown(), status, retry_after, peer: request.peer });
    }
    let is_whole = [CONTENT_LENGTH, TRANSFER_ENCODING].iter().any(|name| parts.headers.contains_key(name));
    let mut bytes = Vec::new();
    if request.method != Method::Head {
        let announced: Option<u64> = header(CONTENT_LENGTH).and_then(|text| text.parse().ok());
        let too_large = || HttpError::TooLarge {
            url: shown(),
            found: announced,
            limit: request.largest,
            peer: request.peer,
        };
        if announced.is_some_and(|length| length > request.largest) {
            return Err(too_large());
        }
        // In one piece. That there is not so much memory, reading will tell.
        let length = announced.and_then(|length| usize::try_from(length).ok()).unwrap_or_default();
        drop(bytes.try_reserve_exact(length));
        // One byte more than allowed tells an answer that is too large.
        let result = body.into_reader().take(request.largest.saturating_add(1)).read_to_end(&mut bytes);
        let received = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let truncated = || HttpError::Truncated {
            url: shown(),
            received,
            expected: announced.map_or_else(|| "more".to_owned(), |length| length.to_string()),
        };
        match result {
            Ok(_) if received > request.largest => return Err(too_large()),
            Ok(_) if announced.is_some_and(|length| length != received) => return Err(truncated()),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Err(truncated()),
            Err(error) => return Err(HttpError::from_client(error.into(), &shown(), asked)),
        }
    }
    Ok(Response { url, status, headers: parts.headers, body: bytes, is_whole })
}
