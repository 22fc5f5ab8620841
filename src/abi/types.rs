//! The enums of the ABI.
//!
//! An enum that goes to Envoy becomes its number; a number that comes from Envoy becomes an enum only through
//! `TryFrom`, because an Envoy newer than we are may know more of them.

use std::ffi::c_uint;

use super::raw;

/// A number of the ABI that no variant stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownNumber(pub c_uint);

/// Declares an enum whose variants are constants of the C header, with the conversions in both directions.
macro_rules! c_enum {
    (
        $(#[$meta:meta])*
        pub enum $name:ident { $( $(#[$variant_meta:meta])* $variant:ident = $number:ident, )+ }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u32)]
        pub enum $name { $( $(#[$variant_meta])* $variant = $crate::abi::raw::$number, )+ }

        impl $name {
            /// Every variant, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$( Self::$variant, )+];

            /// The number that the ABI gives this variant.
            pub const fn number(self) -> ::std::ffi::c_uint {
                self as ::std::ffi::c_uint
            }
        }

        impl TryFrom<::std::ffi::c_uint> for $name {
            type Error = $crate::abi::types::UnknownNumber;

            fn try_from(number: ::std::ffi::c_uint) -> Result<Self, $crate::abi::types::UnknownNumber> {
                match number {
                    $( $crate::abi::raw::$number => Ok(Self::$variant), )+
                    unknown => Err($crate::abi::types::UnknownNumber(unknown)),
                }
            }
        }

        impl From<$name> for ::std::ffi::c_uint {
            fn from(value: $name) -> Self {
                value.number()
            }
        }
    };
}
pub(super) use c_enum;

c_enum! {
    /// How important a log line is; the numbers are those of Proxy-Wasm too.
    pub enum Level {
        /// Every step.
        Trace = envoy_dynamic_module_type_log_level_Trace,
        /// For whoever looks for a fault.
        Debug = envoy_dynamic_module_type_log_level_Debug,
        /// What happened.
        Info = envoy_dynamic_module_type_log_level_Info,
        /// Something that should be looked at.
        Warn = envoy_dynamic_module_type_log_level_Warn,
        /// Something failed.
        Error = envoy_dynamic_module_type_log_level_Error,
        /// Something failed that should never fail.
        Critical = envoy_dynamic_module_type_log_level_Critical,
        /// As a threshold: nothing is logged.
        Off = envoy_dynamic_module_type_log_level_Off,
    }
}

c_enum! {
    /// One of the four header maps of a stream.
    pub enum HeaderType {
        /// The headers of the request.
        RequestHeaders = envoy_dynamic_module_type_http_header_type_RequestHeader,
        /// The trailers of the request.
        RequestTrailers = envoy_dynamic_module_type_http_header_type_RequestTrailer,
        /// The headers of the response.
        ResponseHeaders = envoy_dynamic_module_type_http_header_type_ResponseHeader,
        /// The trailers of the response.
        ResponseTrailers = envoy_dynamic_module_type_http_header_type_ResponseTrailer,
    }
}

c_enum! {
    /// One of the four body buffers of a stream. The whole body so far is *buffered* followed by *received*, unless
    /// the two are one object ([`is_received_buffered`](super::HttpFilterHandle::is_received_buffered)).
    pub enum BodyType {
        /// The chunk of the request body hook that runs; there is none outside that hook.
        ReceivedRequest = envoy_dynamic_module_type_http_body_type_ReceivedRequestBody,
        /// What Envoy holds of the request body because a filter stopped the iteration.
        BufferedRequest = envoy_dynamic_module_type_http_body_type_BufferedRequestBody,
        /// The chunk of the response body hook that runs; there is none outside that hook.
        ReceivedResponse = envoy_dynamic_module_type_http_body_type_ReceivedResponseBody,
        /// What Envoy holds of the response body because a filter stopped the iteration.
        BufferedResponse = envoy_dynamic_module_type_http_body_type_BufferedResponseBody,
    }
}

/// One of the two directions of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the client to the upstream; Envoy calls it decoding.
    Request,
    /// From the upstream to the client; Envoy calls it encoding.
    Response,
}

c_enum! {
    /// Where metadata comes from.
    pub enum MetadataSource {
        /// What filters wrote while this stream ran.
        Dynamic = envoy_dynamic_module_type_metadata_source_Dynamic,
        /// The route's.
        Route = envoy_dynamic_module_type_metadata_source_Route,
        /// The cluster's that the route chose.
        Cluster = envoy_dynamic_module_type_metadata_source_Cluster,
        /// The upstream host's; there is none before a host is chosen.
        Host = envoy_dynamic_module_type_metadata_source_Host,
        /// That of the upstream host's locality.
        HostLocality = envoy_dynamic_module_type_metadata_source_HostLocality,
    }
}

c_enum! {
    /// How long filter state is kept.
    pub enum LifeSpan {
        /// As long as the stream's filters.
        FilterChain = envoy_dynamic_module_type_filter_state_life_span_FilterChain,
        /// As long as the request.
        Request = envoy_dynamic_module_type_filter_state_life_span_Request,
        /// As long as the connection.
        Connection = envoy_dynamic_module_type_filter_state_life_span_Connection,
    }
}

c_enum! {
    /// What a reset tells the peer.
    pub enum ResetReason {
        /// The stream failed here.
        LocalReset = envoy_dynamic_module_type_http_filter_stream_reset_reason_LocalReset,
        /// The stream was refused before any of it was processed, so the peer may retry.
        LocalRefusedStreamReset = envoy_dynamic_module_type_http_filter_stream_reset_reason_LocalRefusedStreamReset,
    }
}

c_enum! {
    /// The answer to a headers hook.
    pub enum HeadersStatus {
        /// Go on to the next filter.
        Continue = envoy_dynamic_module_type_on_http_filter_headers_status_Continue,
        /// Hold the headers; body and trailers still come to this filter.
        StopIteration = envoy_dynamic_module_type_on_http_filter_headers_status_StopIteration,
        /// Go on, but keep the stream open although it ended with these headers, to add a body.
        ContinueAndDontEndStream = envoy_dynamic_module_type_on_http_filter_headers_status_ContinueAndDontEndStream,
        /// Hold everything and buffer the body; too much body ends the stream with 413 or 500.
        StopAllIterationAndBuffer = envoy_dynamic_module_type_on_http_filter_headers_status_StopAllIterationAndBuffer,
        /// Hold everything and buffer the body; too much body makes the sender wait.
        StopAllIterationAndWatermark =
            envoy_dynamic_module_type_on_http_filter_headers_status_StopAllIterationAndWatermark,
    }
}

c_enum! {
    /// The answer to a body hook.
    pub enum BodyStatus {
        /// Go on to the next filter with what was buffered and this chunk.
        Continue = envoy_dynamic_module_type_on_http_filter_body_status_Continue,
        /// Hold the chunk in the buffer; too much body ends the stream with 413 or 500.
        StopIterationAndBuffer = envoy_dynamic_module_type_on_http_filter_body_status_StopIterationAndBuffer,
        /// Hold the chunk in the buffer; too much body makes the sender wait.
        StopIterationAndWatermark = envoy_dynamic_module_type_on_http_filter_body_status_StopIterationAndWatermark,
        /// Drop the chunk.
        StopIterationNoBuffer = envoy_dynamic_module_type_on_http_filter_body_status_StopIterationNoBuffer,
    }
}

c_enum! {
    /// The answer to a trailers hook.
    pub enum TrailersStatus {
        /// Go on to the next filter.
        Continue = envoy_dynamic_module_type_on_http_filter_trailers_status_Continue,
        /// Hold the trailers, and with them the end of the stream.
        StopIteration = envoy_dynamic_module_type_on_http_filter_trailers_status_StopIteration,
    }
}

c_enum! {
    /// The answer to the local reply hook.
    pub enum LocalReplyStatus {
        /// Send the reply.
        Continue = envoy_dynamic_module_type_on_http_filter_local_reply_status_Continue,
        /// Reset the stream instead.
        ContinueAndResetStream = envoy_dynamic_module_type_on_http_filter_local_reply_status_ContinueAndResetStream,
    }
}

c_enum! {
    /// The answer to the hooks of a connection.
    pub enum ConnectionStatus {
        /// Go on to the next filter.
        Continue = envoy_dynamic_module_type_on_network_filter_data_status_Continue,
        /// Hold the bytes; no filter behind this one sees the connection until it goes on.
        StopIteration = envoy_dynamic_module_type_on_network_filter_data_status_StopIteration,
    }
}

c_enum! {
    /// What became of a connection.
    pub enum ConnectionEvent {
        /// The client closed it.
        RemoteClose = envoy_dynamic_module_type_network_connection_event_RemoteClose,
        /// It was closed here.
        LocalClose = envoy_dynamic_module_type_network_connection_event_LocalClose,
        /// It is established.
        Connected = envoy_dynamic_module_type_network_connection_event_Connected,
        /// It is established, with early data.
        ConnectedZeroRtt = envoy_dynamic_module_type_network_connection_event_ConnectedZeroRtt,
    }
}

/// The answer of a hook of a stream.
pub(crate) trait Answer {
    /// What crosses the line for it.
    type Raw;

    /// The answer of a hook that cannot do its work: after a panic, or for a stream that has no filter. The stream
    /// must fail, so nothing of it goes on: a plugin that decides who may pass must not be passed because it broke.
    const CLOSED: Self;

    /// What Envoy gets.
    fn into_raw(self) -> Self::Raw;
}

macro_rules! answer {
    ($name:ident, $closed:ident) => {
        impl Answer for $name {
            type Raw = c_uint;
            const CLOSED: Self = Self::$closed;

            fn into_raw(self) -> c_uint {
                self.number()
            }
        }
    };
}

answer!(HeadersStatus, StopIteration);
answer!(BodyStatus, StopIterationNoBuffer);
answer!(TrailersStatus, StopIteration);
answer!(ConnectionStatus, StopIteration);
// A local reply already ends the stream.
answer!(LocalReplyStatus, Continue);

impl Answer for () {
    type Raw = ();
    const CLOSED: Self = ();

    fn into_raw(self) {}
}

/// Why Envoy refused to define or to update a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricError {
    /// No metric has this id, or its kind or its use of labels is another.
    NotFound,
    /// There are more or fewer label values than the metric has labels.
    InvalidLabels,
    /// Metrics can be defined only while a filter configuration is made.
    Frozen,
    /// This Envoy has no such callback, or what the metric belongs to is gone.
    Unavailable,
    /// A result that the ABI does not know today.
    Unknown(c_uint),
}

impl std::fmt::Display for MetricError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotFound => f.write_str("no such metric"),
            Self::InvalidLabels => f.write_str("wrong number of labels"),
            Self::Frozen => f.write_str("metrics can no longer be defined"),
            Self::Unavailable => f.write_str("this Envoy cannot do that"),
            Self::Unknown(number) => write!(f, "unknown metrics result {number}"),
        }
    }
}

impl std::error::Error for MetricError {}

impl MetricError {
    /// What a callback's result means.
    pub(super) fn check(result: raw::envoy_dynamic_module_type_metrics_result) -> Result<(), Self> {
        match result {
            raw::envoy_dynamic_module_type_metrics_result_Success => Ok(()),
            raw::envoy_dynamic_module_type_metrics_result_MetricNotFound => Err(Self::NotFound),
            raw::envoy_dynamic_module_type_metrics_result_InvalidLabels => Err(Self::InvalidLabels),
            raw::envoy_dynamic_module_type_metrics_result_Frozen => Err(Self::Frozen),
            unknown => Err(Self::Unknown(unknown)),
        }
    }
}

/// What Envoy calls a metric: an index among those of the same filter configuration, the same kind (counter, gauge,
/// histogram) and the same use of labels (with, without). The number alone says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MetricId(pub(super) usize);

/// When things happened to a stream, in nanoseconds; `None` for what has not happened. Since Envoy 1.40.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TimingInfo {
    /// When the request began, since the Unix epoch. All that follow count from here.
    pub start_unix_ns: Option<u64>,
    /// The last byte of the request was received.
    pub last_downstream_byte_received_ns: Option<u64>,
    /// The first byte was sent to the upstream.
    pub first_upstream_byte_sent_ns: Option<u64>,
    /// The last byte was sent to the upstream.
    pub last_upstream_byte_sent_ns: Option<u64>,
    /// The first byte was received from the upstream.
    pub first_upstream_byte_received_ns: Option<u64>,
    /// The last byte was received from the upstream.
    pub last_upstream_byte_received_ns: Option<u64>,
    /// The first byte was sent to the client.
    pub first_downstream_byte_sent_ns: Option<u64>,
    /// The last byte was sent to the client.
    pub last_downstream_byte_sent_ns: Option<u64>,
    /// The stream was complete.
    pub request_complete_ns: Option<u64>,
}

impl From<raw::envoy_dynamic_module_type_timing_info> for TimingInfo {
    fn from(raw: raw::envoy_dynamic_module_type_timing_info) -> Self {
        // Envoy writes -1 for a moment that has not come.
        let moment = |nanoseconds: i64| u64::try_from(nanoseconds).ok();
        Self {
            start_unix_ns: moment(raw.start_time_unix_ns),
            last_downstream_byte_received_ns: moment(raw.last_downstream_rx_byte_received_ns),
            first_upstream_byte_sent_ns: moment(raw.first_upstream_tx_byte_sent_ns),
            last_upstream_byte_sent_ns: moment(raw.last_upstream_tx_byte_sent_ns),
            first_upstream_byte_received_ns: moment(raw.first_upstream_rx_byte_received_ns),
            last_upstream_byte_received_ns: moment(raw.last_upstream_rx_byte_received_ns),
            first_downstream_byte_sent_ns: moment(raw.first_downstream_tx_byte_sent_ns),
            last_downstream_byte_sent_ns: moment(raw.last_downstream_tx_byte_sent_ns),
            request_complete_ns: moment(raw.request_complete_duration_ns),
        }
    }
}
