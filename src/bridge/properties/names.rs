//! The table of names: which attribute of Envoy's answers a path of two parts, or one of the old names of one part.

use crate::abi::AttributeId;

/// How an attribute is asked for, and so its wire form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text.
    Text(AttributeId),
    /// 8 bytes.
    Int(AttributeId),
    /// 1 byte; what Envoy does not know is false (no TLS, no certificate).
    Flag(AttributeId),
    /// Text; what Envoy does not know is empty.
    TextOrEmpty(AttributeId),
    /// Text; empty if the path has no query.
    Query,
    /// Text; empty if there is an upstream and it did not fail.
    UpstreamFailure,
    /// Hosts of the cluster.
    Endpoints,
    /// The attribute, or `:status`.
    ResponseCode,
    /// The attribute, or `grpc-status` of trailers or headers.
    GrpcStatus,
    /// When the request began.
    RequestTime,
    /// How long it has been since.
    RequestDuration,
    /// From the first byte to the upstream until its last one came.
    BackendLatency,
    /// The attribute, `content-length`, or what came by.
    RequestSize,
    /// That and the headers.
    RequestTotalSize,
    /// The attribute, or what came by.
    ResponseSize,
    /// That, headers and trailers.
    ResponseTotalSize,
    /// Bytes of all names and values.
    RequestHeadersBytes,
    /// Bytes of all names and values.
    ResponseHeadersBytes,
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name {
    group: &'static str,
    member: &'static str,
    pub(super) kind: Kind,
}

macro_rules! names {
    ($( $group:ident { $( $name:ident = $kind:ident $(($id:ident))? ),* $(,)? } )*) => {
        const NAMES: &[Name] = &[$($(
            Name {
                group: stringify!($group),
                member: stringify!($name),
                kind: Kind::$kind $((AttributeId::$id))?,
            },
        )*)*];
    };
}

names! {
    request {
        path = Text(RequestPath), url_path = Text(RequestUrlPath), host = Text(RequestHost),
        scheme = Text(RequestScheme), method = Text(RequestMethod), referer = Text(RequestReferer),
        useragent = Text(RequestUserAgent), id = Text(RequestId), protocol = Text(RequestProtocol),
        query = Query, time = RequestTime, duration = RequestDuration,
        size = RequestSize, total_size = RequestTotalSize, headers_bytes = RequestHeadersBytes,
    }
    response {
        code = ResponseCode, code_details = Text(ResponseCodeDetails), flags = Int(ResponseFlags),
        grpc_status = GrpcStatus, size = ResponseSize, total_size = ResponseTotalSize,
        headers_bytes = ResponseHeadersBytes, backend_latency = BackendLatency,
    }
    source { address = Text(SourceAddress), port = Int(SourcePort) }
    destination { address = Text(DestinationAddress), port = Int(DestinationPort) }
    connection {
        id = Int(ConnectionId), mtls = Flag(ConnectionMtls),
        requested_server_name = TextOrEmpty(ConnectionRequestedServerName),
        tls_version = Text(ConnectionTlsVersion),
        subject_local_certificate = Text(ConnectionSubjectLocalCertificate),
        subject_peer_certificate = Text(ConnectionSubjectPeerCertificate),
        dns_san_local_certificate = Text(ConnectionDnsSanLocalCertificate),
        dns_san_peer_certificate = Text(ConnectionDnsSanPeerCertificate),
        uri_san_local_certificate = Text(ConnectionUriSanLocalCertificate),
        uri_san_peer_certificate = Text(ConnectionUriSanPeerCertificate),
        sha256_peer_certificate_digest = Text(ConnectionSha256PeerCertificateDigest),
        transport_failure_reason = Text(ConnectionTransportFailureReason),
        termination_details = Text(ConnectionTerminationDetails),
    }
    upstream {
        address = Text(UpstreamAddress), port = Int(UpstreamPort), tls_version = Text(UpstreamTlsVersion),
        subject_local_certificate = Text(UpstreamSubjectLocalCertificate),
        subject_peer_certificate = Text(UpstreamSubjectPeerCertificate),
        dns_san_local_certificate = Text(UpstreamDnsSanLocalCertificate),
        dns_san_peer_certificate = Text(UpstreamDnsSanPeerCertificate),
        uri_san_local_certificate = Text(UpstreamUriSanLocalCertificate),
        uri_san_peer_certificate = Text(UpstreamUriSanPeerCertificate),
        sha256_peer_certificate_digest = Text(UpstreamSha256PeerCertificateDigest),
        local_address = Text(UpstreamLocalAddress),
        transport_failure_reason = UpstreamFailure, num_endpoints = Endpoints,
        request_attempt_count = Int(UpstreamRequestAttemptCount),
        server_name = Text(UpstreamRequestedServerName),
    }
    xds {
        route_name = Text(XdsRouteName), virtual_host_name = Text(XdsVirtualHostName),
        filter_chain_name = Text(XdsFilterChainName), listener_direction = Int(XdsListenerDirection),
        virtual_cluster_name = Text(XdsVirtualClusterName),
    }
}

/// Names of one part: `connection_id`, which the built-in host still has, and those that it had up to 1.32.
const SINGLE: &[(&str, Kind)] = &[
    ("connection_id", Kind::Int(AttributeId::ConnectionId)),
    ("route_name", Kind::Text(AttributeId::XdsRouteName)),
    ("listener_direction", Kind::Int(AttributeId::XdsListenerDirection)),
    ("filter_chain_name", Kind::Text(AttributeId::XdsFilterChainName)),
];

/// First parts that are Envoy's, so that an unknown second part is not a plugin's own property.
const GROUPS: &[&str] = &[
    "request",
    "response",
    "source",
    "destination",
    "connection",
    "upstream",
    "xds",
    "metadata",
    "filter_state",
    "upstream_filter_state",
    "node",
    "listener_metadata",
];

/// The attribute of a path of two parts.
pub(super) fn find(group: &[u8], name: &[u8]) -> Option<Name> {
    NAMES.iter().find(|row| row.group.as_bytes() == group && row.member.as_bytes() == name).copied()
}

/// The attribute of a path of one part.
pub(super) fn find_single(name: &[u8]) -> Option<Name> {
    let (member, kind) = SINGLE.iter().find(|(single, _)| single.as_bytes() == name)?;
    Some(Name { group: "", member, kind: *kind })
}

/// Whether a first part is Envoy's.
pub(super) fn is_group(name: &[u8]) -> bool {
    GROUPS.iter().any(|group| group.as_bytes() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_found_once_by_its_names() {
        for row in NAMES {
            let found = find(row.group.as_bytes(), row.member.as_bytes()).unwrap();
            assert_eq!(found.kind, row.kind, "{}.{}", row.group, row.member);
            assert!(is_group(row.group.as_bytes()));
        }
        assert!(find(b"request", b"colour").is_none());
        assert!(find_single(b"route_name").is_some());
        assert!(find_single(b"my_own").is_none());
    }
}
