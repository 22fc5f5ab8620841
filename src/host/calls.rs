//! Callouts: requests that a guest sends to a cluster, by HTTP or gRPC, and their replies.
//!
//! ```text
//!   hostcall ──► Request ──► the stream that asks (it waits for the reply)       ──► Envoy
//!                       └──► the process (root contexts, streams that do not wait) ──► Envoy
//!   Envoy ──► Incoming (headers, data, trailers, end) ──► Exchange ──► Reply ──► Vm::on_reply ──► entry point
//! ```
//!
//! Resolving a name ([`lookup`]) is a call too: the same table, the same bounds, the same way back.
//!
//! A call belongs to a root context, whoever made it, and its reply is delivered there (as in the built-in host). An
//! [`Exchange`] is the state of one call outside its VM: it collects a reply without entering the VM for every chunk,
//! and speaks gRPC, which Envoy's ABI does not.

mod exchange;
mod grpc;
mod lookup;
mod orphans;
mod table;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use self::orphans::Orphaned;
use super::contexts::Plugin;
use super::types::ReplyMap;

pub use self::exchange::{Exchange, Fed, Incoming};
pub use self::grpc::{NoTarget, Target, frame, target};
pub use self::lookup::{Found, Lookup};
pub(super) use self::orphans::Orphans;
pub(super) use self::table::{CallState, Calls, Place};

/// Names and values of headers.
pub type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// What a guest knows a call by. The low two bits say the kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(pub u32);

/// Kinds of call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// `proxy_http_call`.
    Http = 0,
    /// `proxy_grpc_call`: one message each way.
    GrpcCall = 1,
    /// `proxy_grpc_stream`: messages both ways.
    GrpcStream = 2,
    /// `envoy_resolve_dns`: addresses of a name.
    Lookup = 3,
}

impl Token {
    /// The kind that a token says.
    pub fn kind(self) -> Kind {
        match self.0 & 3 {
            0 => Kind::Http,
            1 => Kind::GrpcCall,
            2 => Kind::GrpcStream,
            _ => Kind::Lookup,
        }
    }
}

/// A call as the proxy is asked for it.
#[derive(Debug)]
pub struct Request {
    /// What the guest knows it by.
    pub token: Token,
    /// What is called, and how.
    pub kind: Kind,
    /// Name of the cluster.
    pub cluster: String,
    /// `:method`, `:path`, `:authority` and the rest.
    pub headers: Pairs,
    /// The body; empty is none.
    pub body: Vec<u8>,
    /// Trailers; empty is none.
    pub trailers: Pairs,
    /// Whether this is the whole request. A gRPC stream goes on.
    pub is_complete: bool,
    /// How long the reply may take. `None`: for ever.
    pub timeout: Option<Duration>,
    /// Bytes that it holds.
    pub held: Held,
}

impl Request {
    /// The timeout as Envoy wants it; 0: none.
    pub fn timeout_milliseconds(&self) -> u64 {
        self.timeout.map_or(0, |timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX))
    }

    /// What it holds, for the exchange that goes on when the request has been sent.
    pub fn take_held(&mut self) -> Held {
        let nothing = self.held.of.nothing(&self.held.plugin);
        std::mem::replace(&mut self.held, nothing)
    }
}

/// What a guest asks of a call that is under way, and the start of one.
#[derive(Debug)]
pub enum Command {
    /// It is under way on a stream, by this number of Envoy's.
    Adopt(u64, Box<Exchange>),
    /// Start it.
    Start(Box<Request>),
    /// Send bytes, framed already, and perhaps end the request.
    Send(Token, Outgoing, bool),
    /// End it; nothing is told to the guest.
    Cancel(Token),
    /// Resolve a name. Needs no proxy, so the process has it always, and it cannot be ended.
    Resolve(Lookup),
}

/// Bytes on their way to the proxy. They count as held until it has taken them.
#[derive(Debug, Default)]
pub struct Outgoing {
    /// What is to be sent; empty if only the end is told.
    pub bytes: Vec<u8>,
    _held: Option<Held>,
}

impl Outgoing {
    pub(super) fn new(bytes: Vec<u8>, held: Held) -> Self {
        Self { bytes, _held: Some(held) }
    }
}

#[cfg(test)]
impl Outgoing {
    /// Of holdings of its own, for tests of what carries calls.
    pub(crate) fn of_its_own(bytes: &[u8]) -> Self {
        Self::new(bytes.to_vec(), Held::of_its_own())
    }
}

/// Why a call could not be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such cluster.
    NoCluster,
    /// `:method`, `:path` or `:authority` is missing.
    MissingHeaders,
    /// It failed on the spot: no host is there, or limits are reached.
    Failed,
}

/// What became of the start of a call on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// It is under way; the stream's owner knows it by this number.
    UnderWay(u64),
    /// The stream's owner starts it when the guest has returned.
    Later,
    /// The stream is not at hand: the process has to start it.
    NotHere,
    /// It was refused.
    Refused(Refusal),
}

/// Part of a reply, for the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The whole reply to an HTTP call.
    Http {
        /// `:status` and the rest.
        headers: Pairs,
        /// The body.
        body: Vec<u8>,
        /// Trailers.
        trailers: Pairs,
    },
    /// An HTTP call that was reset, or never got under way.
    HttpFailed,
    /// Headers of a gRPC stream.
    GrpcInitial(Pairs),
    /// A message.
    GrpcMessage(Vec<u8>),
    /// Trailers of a gRPC stream.
    GrpcTrailing(Pairs),
    /// The end: gRPC status and message.
    GrpcClose(u32, Vec<u8>),
    /// Addresses of a name, as the guest reads them ([`lookup`]); no bytes: the lookup failed.
    Addresses(Vec<u8>),
}

impl Reply {
    /// A header map of this reply, if it has it.
    pub(super) fn map(&self, map: ReplyMap) -> Option<&[(Vec<u8>, Vec<u8>)]> {
        match (self, map) {
            (Self::Http { headers, .. }, ReplyMap::CallHeaders) => Some(headers),
            (Self::Http { trailers, .. }, ReplyMap::CallTrailers) if !trailers.is_empty() => Some(trailers),
            (Self::GrpcInitial(pairs), ReplyMap::GrpcInitial)
            | (Self::GrpcTrailing(pairs), ReplyMap::GrpcTrailing) => Some(pairs),
            _ => None,
        }
    }

    /// The body of an HTTP reply.
    pub(super) fn body(&self) -> Option<&[u8]> {
        if let Self::Http { body, .. } = self { Some(body) } else { None }
    }

    /// Addresses of a name.
    pub(super) fn addresses(&self) -> Option<&[u8]> {
        if let Self::Addresses(bytes) = self { Some(bytes) } else { None }
    }

    /// A gRPC message.
    pub(super) fn message(&self) -> Option<&[u8]> {
        if let Self::GrpcMessage(message) = self { Some(message) } else { None }
    }
}

/// How much the calls of a VM may hold at once: `graft.limits.callouts` and `callout_bytes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallLimits {
    /// Calls under way.
    pub calls: usize,
    /// Bytes of requests and replies.
    pub bytes: usize,
}

/// Bytes that the calls of a VM hold.
#[derive(Debug)]
pub(super) struct Holdings {
    limit: usize,
    bytes: AtomicUsize,
    /// The VM is gone; they are counted until the last one is over.
    orphaned: OnceLock<Orphaned>,
}

/// A part of them, given back when it is dropped.
#[derive(Debug)]
pub struct Held {
    of: Arc<Holdings>,
    /// Whose call it is, for the line that says it holds too much.
    plugin: Arc<Plugin>,
    bytes: usize,
}

/// More than the calls of a VM may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the callouts of its VM would hold {bytes} bytes, expected at most {limit} (graft.limits.callout_bytes)"
)]
pub struct Excess {
    /// What they would hold.
    pub bytes: usize,
    /// What they may.
    pub limit: usize,
}

impl Holdings {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, bytes: AtomicUsize::new(0), orphaned: OnceLock::new() })
    }

    /// The VM is gone, and these go on.
    fn leave(&self, orphaned: Orphaned) {
        let _first = self.orphaned.set(orphaned);
    }

    /// A part without bytes, of a plugin's call.
    pub(super) fn nothing(self: &Arc<Self>, plugin: &Arc<Plugin>) -> Held {
        Held { of: Arc::clone(self), plugin: Arc::clone(plugin), bytes: 0 }
    }
}

impl Held {
    /// Holds more.
    ///
    /// # Errors
    /// It would be too much; nothing changed.
    pub fn more(&mut self, bytes: usize) -> Result<(), Excess> {
        let before = self.of.bytes.fetch_add(bytes, Ordering::Relaxed);
        let after = before.saturating_add(bytes);
        if after > self.of.limit {
            self.of.bytes.fetch_sub(bytes, Ordering::Relaxed);
            return Err(Excess { bytes: after, limit: self.of.limit });
        }
        self.bytes = self.bytes.saturating_add(bytes);
        Ok(())
    }

    /// The plugin whose call it is.
    pub fn plugin(&self) -> &str {
        &self.plugin.name
    }
}

#[cfg(test)]
impl Held {
    /// Of holdings of its own, for tests of what carries calls.
    pub(crate) fn of_its_own() -> Self {
        Self::of_at_most(1024 * 1024)
    }

    /// The same with another limit.
    pub(crate) fn of_at_most(limit: usize) -> Self {
        let plugin = Plugin {
            key: 1,
            name: "caller".to_owned(),
            root_id: String::new(),
            configuration: Vec::new(),
            allow_on_headers_stop_iteration: false,
        };
        Holdings::new(limit).nothing(&Arc::new(plugin))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.of.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
