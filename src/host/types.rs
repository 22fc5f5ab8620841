//! The numbers of the ABI. Integers from a guest become these with `TryFrom`; a number that is none is an
//! ordinary error of the guest, never a panic.

use std::fmt;

/// What a hostcall answers (`Status` in the specification).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Status {
    /// Done.
    Ok = 0,
    /// No such header, property, token or buffer.
    NotFound = 1,
    /// An argument is outside its range, or not valid now.
    BadArgument = 2,
    /// A value has no wire form.
    SerializationFailure = 3,
    /// An argument could not be parsed.
    ParseFailure = 4,
    /// An address or length leaves the guest's memory, or its allocator failed.
    InvalidMemoryAccess = 6,
    /// A queue is empty.
    Empty = 7,
    /// Somebody else changed the value.
    CasMismatch = 8,
    /// The host failed, or a capability is denied.
    InternalFailure = 10,
    /// This host does not have the function.
    Unimplemented = 12,
}

/// The ABI that code is written for: the marker that it exports decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AbiVersion {
    /// 0.1.0: header callbacks without `end_of_stream`, absent headers are empty.
    V0_1_0,
    /// 0.2.0.
    V0_2_0,
    /// 0.2.1: adds `proxy_get_log_level`.
    V0_2_1,
}

impl AbiVersion {
    const MARKERS: [(&'static str, Self); 3] = [
        ("proxy_abi_version_0_1_0", Self::V0_1_0),
        ("proxy_abi_version_0_2_0", Self::V0_2_0),
        ("proxy_abi_version_0_2_1", Self::V0_2_1),
    ];

    /// The first marker among exported functions, in the order of the export section (as the built-in host).
    pub fn detect<'a>(mut exports: impl Iterator<Item = &'a str>) -> Option<Self> {
        exports.find_map(|export| {
            Self::MARKERS.iter().find(|(marker, _)| *marker == export).map(|(_, version)| *version)
        })
    }
}

impl fmt::Display for AbiVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::V0_1_0 => "0.1.0",
            Self::V0_2_0 => "0.2.0",
            Self::V0_2_1 => "0.2.1",
        })
    }
}

/// A direction of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Towards the upstream.
    Request,
    /// Towards the downstream.
    Response,
}

/// A header map that belongs to a stream and can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HeaderMap {
    /// `:method`, `:path` and the rest.
    RequestHeaders,
    /// After the request body.
    RequestTrailers,
    /// `:status` and the rest.
    ResponseHeaders,
    /// After the response body.
    ResponseTrailers,
}

impl HeaderMap {
    /// The direction that a map travels in.
    pub fn direction(self) -> Direction {
        match self {
            Self::RequestHeaders | Self::RequestTrailers => Direction::Request,
            Self::ResponseHeaders | Self::ResponseTrailers => Direction::Response,
        }
    }
}

/// Any map that a guest can name (`MapType` in the specification).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapType {
    /// One of the four maps of a stream.
    Stream(HeaderMap),
    /// A map of a reply: read only, and absent outside its entry point.
    Reply(ReplyMap),
}

/// A header map of a reply to a callout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyMap {
    /// Headers of a gRPC stream.
    GrpcInitial,
    /// Trailers of a gRPC stream.
    GrpcTrailing,
    /// Headers of an HTTP reply.
    CallHeaders,
    /// Trailers of an HTTP reply.
    CallTrailers,
}

impl TryFrom<u32> for MapType {
    type Error = Status;

    fn try_from(number: u32) -> Result<Self, Status> {
        Ok(match number {
            0 => Self::Stream(HeaderMap::RequestHeaders),
            1 => Self::Stream(HeaderMap::RequestTrailers),
            2 => Self::Stream(HeaderMap::ResponseHeaders),
            3 => Self::Stream(HeaderMap::ResponseTrailers),
            4 => Self::Reply(ReplyMap::GrpcInitial),
            5 => Self::Reply(ReplyMap::GrpcTrailing),
            6 => Self::Reply(ReplyMap::CallHeaders),
            7 => Self::Reply(ReplyMap::CallTrailers),
            _ => return Err(Status::BadArgument),
        })
    }
}

/// A buffer that a guest can name (`BufferType` in the specification).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BufferType {
    /// The body of a direction: what is held here now, not the whole body unless it is buffered.
    Body(Direction),
    /// Bytes of a TCP connection: those of the client (2) are the request's, those of the server (3) the response's.
    Network(Direction),
    /// Body of a callout's reply.
    CalloutBody,
    /// Message of a gRPC reply.
    GrpcMessage,
    /// Configuration of the VM.
    VmConfiguration,
    /// Configuration of the plugin: there while the root context is created and configured.
    PluginConfiguration,
    /// Arguments of a foreign function.
    CallData,
}

impl TryFrom<u32> for BufferType {
    type Error = Status;

    fn try_from(number: u32) -> Result<Self, Status> {
        Ok(match number {
            0 => Self::Body(Direction::Request),
            1 => Self::Body(Direction::Response),
            2 => Self::Network(Direction::Request),
            3 => Self::Network(Direction::Response),
            4 => Self::CalloutBody,
            5 => Self::GrpcMessage,
            6 => Self::VmConfiguration,
            7 => Self::PluginConfiguration,
            8 => Self::CallData,
            _ => return Err(Status::BadArgument),
        })
    }
}

/// What `proxy_continue_stream` and `proxy_close_stream` name (`StreamType` in the specification).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamType {
    /// A direction of an HTTP stream.
    Http(Direction),
    /// The client's side of a TCP connection.
    Downstream,
    /// The server's side of a TCP connection.
    Upstream,
}

impl TryFrom<u32> for StreamType {
    type Error = Status;

    fn try_from(number: u32) -> Result<Self, Status> {
        Ok(match number {
            0 => Self::Http(Direction::Request),
            1 => Self::Http(Direction::Response),
            2 => Self::Downstream,
            3 => Self::Upstream,
            _ => return Err(Status::BadArgument),
        })
    }
}

/// Who closed a connection (`PeerType` in the specification).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum PeerType {
    /// It cannot be told.
    Unknown = 0,
    /// This proxy.
    Local = 1,
    /// The other side.
    Remote = 2,
}

/// Kinds of metric (`MetricType` in the specification).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum MetricType {
    /// Only grows.
    Counter = 0,
    /// Goes up and down.
    Gauge = 1,
    /// A distribution of values.
    Histogram = 2,
}

impl TryFrom<u32> for MetricType {
    type Error = Status;

    fn try_from(number: u32) -> Result<Self, Status> {
        Ok(match number {
            0 => Self::Counter,
            1 => Self::Gauge,
            2 => Self::Histogram,
            _ => return Err(Status::BadArgument),
        })
    }
}

/// What an entry point for headers wants next. The SDKs for C++ and `AssemblyScript` expose all of Envoy's values, so a
/// guest returns 0 to 4, not only the specification's 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadersAction {
    /// Go on.
    Continue,
    /// Hold the headers; body and trailers still arrive here.
    StopIteration,
    /// Hold everything and buffer the body up to the limit.
    StopAllAndBuffer,
    /// Hold everything and stop reading when the buffer is full.
    StopAllAndWatermark,
}

impl HeadersAction {
    /// What the built-in host makes of a guest's answer: 1 holds everything unless the plugin's configuration
    /// has `allow_on_headers_stop_iteration`; 2 (once "continue and end the stream") goes on; what is above 4
    /// holds everything.
    pub fn from_guest(number: u32, allow_stop_iteration: bool) -> Self {
        match number {
            0 | 2 => Self::Continue,
            1 if allow_stop_iteration => Self::StopIteration,
            3 => Self::StopAllAndBuffer,
            _ => Self::StopAllAndWatermark,
        }
    }
}

/// What an entry point for a body wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyAction {
    /// Go on, with what was buffered.
    Continue,
    /// Hold, and keep the bytes up to the limit.
    StopAndBuffer,
    /// Hold, and stop reading when the buffer is full.
    StopAndWatermark,
    /// Hold, and drop these bytes.
    StopNoBuffer,
}

impl BodyAction {
    /// As the built-in host: what is above 3 holds and drops.
    pub fn from_guest(number: u32) -> Self {
        match number {
            0 => Self::Continue,
            1 => Self::StopAndBuffer,
            2 => Self::StopAndWatermark,
            _ => Self::StopNoBuffer,
        }
    }
}

/// What an entry point of a connection wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionAction {
    /// Go on.
    Continue,
    /// Hold the bytes.
    StopIteration,
}

impl ConnectionAction {
    /// As the built-in host: anything but 0 holds.
    pub fn from_guest(number: u32) -> Self {
        if number == 0 { Self::Continue } else { Self::StopIteration }
    }
}

/// What an entry point for trailers wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrailersAction {
    /// Go on.
    Continue,
    /// Hold.
    StopIteration,
}

impl TrailersAction {
    /// As the built-in host: anything but 0 holds.
    pub fn from_guest(number: u32) -> Self {
        if number == 0 { Self::Continue } else { Self::StopIteration }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_marker_in_the_export_section_decides() {
        let detect = |names: &[&'static str]| AbiVersion::detect(names.iter().copied());
        assert_eq!(detect(&["malloc", "proxy_abi_version_0_2_1"]), Some(AbiVersion::V0_2_1));
        assert_eq!(detect(&["proxy_abi_version_0_1_0", "proxy_abi_version_0_2_0"]), Some(AbiVersion::V0_1_0));
        assert_eq!(detect(&["proxy_abi_version_0_3_0", "malloc"]), None);
    }

    #[test]
    fn header_answers_of_every_sdk_have_a_meaning() {
        use HeadersAction::{Continue, StopAllAndBuffer, StopAllAndWatermark, StopIteration};
        let default: Vec<_> = (0..6).map(|n| HeadersAction::from_guest(n, false)).collect();
        assert_eq!(
            default,
            [
                Continue,
                StopAllAndWatermark,
                Continue,
                StopAllAndBuffer,
                StopAllAndWatermark,
                StopAllAndWatermark
            ]
        );
        assert_eq!(HeadersAction::from_guest(1, true), StopIteration);
        assert_eq!(HeadersAction::from_guest(u32::MAX, true), StopAllAndWatermark);
    }

    #[test]
    fn numbers_outside_an_enum_are_bad_arguments() {
        assert_eq!(MapType::try_from(8), Err(Status::BadArgument));
        assert_eq!(BufferType::try_from(9), Err(Status::BadArgument));
        assert_eq!(StreamType::try_from(4), Err(Status::BadArgument));
        assert_eq!(MetricType::try_from(3), Err(Status::BadArgument));
        assert_eq!(BodyAction::from_guest(9), BodyAction::StopNoBuffer);
        assert_eq!(TrailersAction::from_guest(2), TrailersAction::StopIteration);
    }
}
