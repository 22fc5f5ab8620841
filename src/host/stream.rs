//! The two traits by which a host reaches the proxy that it runs in, and what a guest asks of a stream.
//!
//! [`Stream`] is one exchange, [`Services`] the process. The bridge implements both over Envoy, [`super::testing`]
//! over plain data. They are generic parameters, not trait objects: a hostcall compiles to direct calls.
//!
//! A `Stream` only *answers and edits*. What could make the proxy call back into us while a VM is locked (a
//! local response, resuming, closing) is not on it: those are [`Effect`]s, queued while the guest runs and applied
//! by the owner of the stream after the VM was left.

use smallvec::SmallVec;

use super::calls::{Command, Request, Start};
use super::types::{Direction, HeaderMap, MetricType};
use crate::telemetry::Level;
use crate::telemetry::stats::Stat;

/// A list of header names and values, borrowed from the proxy. On the stack for ordinary maps.
pub type Headers<'a> = SmallVec<[(&'a [u8], &'a [u8]); 32]>;

/// One exchange, as entry points and hostcalls see it. Every method is called on the thread that owns the
/// exchange, while the proxy waits. A map or body that is not there is answered as absent.
pub trait Stream: Send + 'static {
    /// The process that the stream lives in.
    type Services: Services;

    /// Whether this is a TCP connection, whose bytes are its bodies (those of the client are the request's) and which
    /// has no maps.
    fn is_connection(&self) -> bool {
        false
    }

    /// Whether a map exists. Trailers exist when the peer sent some.
    fn has_map(&self, map: HeaderMap) -> bool;

    /// The first value of a header. Names match in any letter case.
    fn header(&self, map: HeaderMap, name: &[u8]) -> Option<&[u8]>;

    /// All headers in order; repeated ones repeat. Empty if there is no map.
    fn headers(&self, map: HeaderMap) -> Headers<'_>;

    /// The number of headers; 0 if there is no map.
    fn header_count(&self, map: HeaderMap) -> usize;

    /// Adds a header, beside those of the same name. `false`: the proxy refused.
    fn add_header(&mut self, map: HeaderMap, name: &[u8], value: &[u8]) -> bool;

    /// Sets a header to one value. `false`: the proxy refused.
    fn set_header(&mut self, map: HeaderMap, name: &[u8], value: &[u8]) -> bool;

    /// Removes a header, all its values. Removing what is not there is fine.
    fn remove_header(&mut self, map: HeaderMap, name: &[u8]) -> bool;

    /// Bytes of body at hand: the chunk of this hook, and with `buffered` also those that were held back before.
    fn body_len(&self, direction: Direction, buffered: bool) -> usize;

    /// Copies body bytes from an offset on; answers how many.
    fn copy_body(&self, direction: Direction, buffered: bool, start: usize, target: &mut [u8]) -> usize;

    /// Replaces the first `length` bytes of the body at hand by others.
    fn replace_body(&mut self, direction: Direction, buffered: bool, length: usize, bytes: &[u8]) -> bool;

    /// Puts bytes behind the body at hand.
    fn append_body(&mut self, direction: Direction, buffered: bool, bytes: &[u8]) -> bool;

    /// Looks up a property by its path (parts joined by NUL) and writes its wire form to `value`, which is empty.
    ///
    /// # Errors
    /// Why there is no value.
    fn property(&mut self, path: &[u8], value: &mut Vec<u8>) -> Result<(), NoProperty>;

    /// Stores a property of the plugin's own, and how long it is kept. `false`: the proxy refused (there are too many).
    fn set_property(&mut self, path: &[u8], value: &[u8], span: LifeSpan) -> bool;

    /// Has the proxy make an object of its own of a text and store it, under the name of the object's factory.
    ///
    /// # Errors
    /// There is no such factory, or it refused the text.
    fn set_filter_state_object(
        &mut self,
        _name: &[u8],
        _text: &[u8],
        _span: LifeSpan,
    ) -> Result<(), Refusal> {
        Err(Refusal::Unavailable)
    }

    /// A value of metadata. `None`: there is none, or its type cannot be told.
    fn metadata(&mut self, _source: MetadataSource, _namespace: &[u8], _key: &[u8]) -> Option<MetadataValue> {
        None
    }

    /// The keys of a namespace, or the namespaces.
    fn metadata_keys(&mut self, _source: MetadataSource, _namespace: Option<&[u8]>) -> Vec<Vec<u8>> {
        Vec::new()
    }

    /// Sets a value of the stream's own metadata.
    ///
    /// # Errors
    /// The value is of a type that cannot be set.
    fn set_metadata(
        &mut self,
        _namespace: &[u8],
        _key: &[u8],
        _value: &MetadataValue,
    ) -> Result<(), Refusal> {
        Err(Refusal::Unavailable)
    }

    /// Tags the stream's span, or a child of it.
    ///
    /// # Errors
    /// There is no such span.
    fn set_span_tag(&mut self, _child: Option<u32>, _key: &[u8], _value: &[u8]) -> Result<(), Refusal> {
        Err(Refusal::Unavailable)
    }

    /// Notes an event in the stream's span.
    ///
    /// # Errors
    /// There is no span.
    fn log_to_span(&mut self, _event: &[u8]) -> Result<(), Refusal> {
        Err(Refusal::Unavailable)
    }

    /// Begins a span below the stream's; answers its number, which is not 0.
    ///
    /// # Errors
    /// There is no span, or it has too many children.
    fn start_child_span(&mut self, _operation: &[u8]) -> Result<u32, Refusal> {
        Err(Refusal::Unavailable)
    }

    /// Ends a child span.
    ///
    /// # Errors
    /// There is none of this number.
    fn finish_child_span(&mut self, _child: u32) -> Result<(), Refusal> {
        Err(Refusal::Unavailable)
    }

    /// Has the proxy send the request to this host (address and port) of the route's cluster; `is_strict`: or to none.
    ///
    /// # Errors
    /// It is no address, or too late.
    fn override_upstream_host(&mut self, _host: &[u8], _is_strict: bool) -> Result<(), Refusal> {
        Err(Refusal::Unavailable)
    }

    /// Has the proxy choose the route anew.
    fn clear_route_cache(&mut self);

    /// Starts a call. The proxy does not come back into us meanwhile.
    fn start_call(&mut self, request: &Request) -> Start;

    /// Whether [`wake`](Self::wake) brings its owner here.
    fn can_wake(&self) -> bool;

    /// Another context did something to this stream: brings its owner to it, on the thread that owns it. Called on any
    /// thread, by one that is inside the VM.
    fn wake(&self);

    /// Changes a metric. The stream is a place from which the proxy accepts it. `false`: it was not at hand, and the
    /// process has the change, as by [`Services::update_metric`].
    fn update_metric(
        &mut self,
        services: &Self::Services,
        metric: &<Self::Services as Services>::Metric,
        update: MetricUpdate,
    ) -> bool;
}

/// Why the proxy did not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// What it shall work on is not there.
    NoSuch,
    /// It does not take this argument.
    Invalid,
    /// It cannot do that at all (an older one), or not now.
    Unavailable,
}

/// How long filter state is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LifeSpan {
    /// As long as the stream's filters.
    #[default]
    FilterChain,
    /// As long as the request, over internal redirects.
    Request,
    /// As long as the client's connection, for all its streams.
    Connection,
}

/// What metadata belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetadataSource {
    /// The stream itself; filters set it.
    Dynamic,
    /// The route that was chosen.
    Route,
    /// The route's cluster.
    Cluster,
    /// The upstream host that was chosen.
    Host,
    /// That host's locality.
    HostLocality,
}

/// A value of metadata.
#[derive(Clone, Debug, PartialEq)]
pub enum MetadataValue {
    /// UTF-8, if Envoy keeps to its own rules.
    Text(Vec<u8>),
    /// A number.
    Number(f64),
    /// True or false.
    Boolean(bool),
    /// Elements that are none of them lists.
    List(Vec<MetadataValue>),
}

/// Why a property has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoProperty {
    /// No such name, or nothing there now.
    Absent,
    /// There is one, and it has no wire form.
    Unserializable,
}

/// The process. Called on any thread.
pub trait Services: Send + Sync + 'static {
    /// A metric that was defined; cheap to clone.
    type Metric: Clone + Send + Sync + 'static;

    /// Whether lines of a level are wanted now.
    fn is_log_enabled(&self, level: Level) -> bool;

    /// The lowest level that is wanted now. `None`: none at all.
    fn log_level(&self) -> Option<Level>;

    /// Writes one line. The bytes are a guest's: any at all.
    fn log(&self, level: Level, line: &[u8]);

    /// Wall clock, in nanoseconds since 1970.
    fn realtime_nanoseconds(&self) -> u64;

    /// A clock that never goes back, in nanoseconds since some start.
    fn monotonic_nanoseconds(&self) -> u64;

    /// The metric of a name and a kind; the same one for the same name.
    fn define_metric(&self, kind: MetricType, name: &str) -> Self::Metric;

    /// Changes a metric where no stream is at hand. The proxy shows it after [`publish_metrics`](Self::publish_metrics).
    fn update_metric(&self, metric: &Self::Metric, update: MetricUpdate);

    /// Has the proxy show what was changed without a stream, as soon as it can. Once after many changes is enough.
    fn publish_metrics(&self);

    /// A statistic of Graft's own, with the values of its labels; the same metric for the same values.
    fn stat(&self, stat: Stat, labels: &[&str]) -> Self::Metric;

    /// Whether calls can be made without a stream.
    fn can_call(&self) -> bool;

    /// Takes commands for calls of a VM that no stream has in hand. Replies go to the agenda, under the VM's number.
    fn submit(&self, vm: u64, commands: Vec<Command>);

    /// The value of a counter or a gauge.
    fn read_metric(&self, metric: &Self::Metric) -> u64;
}

/// How a metric changes. Which ones a kind takes is decided in [`super::metrics`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricUpdate {
    /// Adds to a counter or a gauge.
    Add(u64),
    /// Takes from a gauge.
    Subtract(u64),
    /// Sets a gauge.
    Set(u64),
    /// Records a value of a histogram.
    Record(u64),
}

/// What a guest asked of a stream, to be applied after the guest was left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// `proxy_send_local_response`.
    LocalResponse(Box<LocalResponse>),
    /// `proxy_continue_stream` (and `proxy_continue_request`, `proxy_continue_response`).
    Continue(Direction),
    /// `proxy_close_stream`.
    Close(Direction),
}

/// A reply made here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalResponse {
    /// HTTP status. Not checked: a guest can ask for any number.
    pub status: u32,
    /// For logs: `%RESPONSE_CODE_DETAILS%`. White space is `_`, as Envoy wants it.
    pub details: Vec<u8>,
    /// The body; may be empty.
    pub body: Vec<u8>,
    /// Headers to add; names in lower case.
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    /// A status of 0 to 16 for gRPC clients; `None`: derived from the HTTP status.
    pub grpc_status: Option<u32>,
}

/// What a guest asked for, in order. More than two in one entry point are rare.
pub type Effects = SmallVec<[Effect; 2]>;
