//! The table of names: which attribute of Envoy's answers a path of two parts, or one of the old names of one part.

use crate::abi::AttributeId;
use crate::abi::process::Release;

/// How an attribute is asked for, and so its wire form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text.
    Text(AttributeId),
    /// 8 bytes.
    Int(AttributeId),
    /// Whether the client gave a certificate.
    Mtls,
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
    /// The first release of Envoy whose attribute has a value. Older ones log an error when they are asked.
    pub(super) since: Release,
}

macro_rules! first_of {
    ($first:expr $(, $rest:expr)*) => {
        $first
    };
}

macro_rules! names {
    ($( $group:ident { $( $name:ident = $kind:ident $(($id:ident))? $(since $since:ident)? ),* $(,)? } )*) => {
        const NAMES: &[Name] = &[$($(
            Name {
                group: stringify!($group),
                member: stringify!($name),
                kind: Kind::$kind $((AttributeId::$id))?,
                since: first_of!($(Release::$since,)? Release::V1_37),
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
        code = ResponseCode, code_details = Text(ResponseCodeDetails) since V1_39, flags = Int(ResponseFlags) since V1_39,
        grpc_status = GrpcStatus, size = ResponseSize, total_size = ResponseTotalSize,
        headers_bytes = ResponseHeadersBytes, backend_latency = BackendLatency,
    }
    source { address = Text(SourceAddress), port = Int(SourcePort) }
    destination { address = Text(DestinationAddress), port = Int(DestinationPort) }
    connection {
        id = Int(ConnectionId), mtls = Mtls,
        requested_server_name = TextOrEmpty(ConnectionRequestedServerName) since V1_39,
        tls_version = Text(ConnectionTlsVersion),
        subject_local_certificate = Text(ConnectionSubjectLocalCertificate),
        subject_peer_certificate = Text(ConnectionSubjectPeerCertificate),
        dns_san_local_certificate = Text(ConnectionDnsSanLocalCertificate),
        dns_san_peer_certificate = Text(ConnectionDnsSanPeerCertificate),
        uri_san_local_certificate = Text(ConnectionUriSanLocalCertificate),
        uri_san_peer_certificate = Text(ConnectionUriSanPeerCertificate),
        sha256_peer_certificate_digest = Text(ConnectionSha256PeerCertificateDigest),
        transport_failure_reason = Text(ConnectionTransportFailureReason) since V1_39,
        termination_details = Text(ConnectionTerminationDetails) since V1_39,
    }
    upstream {
        address = Text(UpstreamAddress), port = Int(UpstreamPort), tls_version = Text(UpstreamTlsVersion) since V1_39,
        subject_local_certificate = Text(UpstreamSubjectLocalCertificate) since V1_39,
        subject_peer_certificate = Text(UpstreamSubjectPeerCertificate) since V1_39,
        dns_san_local_certificate = Text(UpstreamDnsSanLocalCertificate) since V1_39,
        dns_san_peer_certificate = Text(UpstreamDnsSanPeerCertificate) since V1_39,
        uri_san_local_certificate = Text(UpstreamUriSanLocalCertificate) since V1_39,
        uri_san_peer_certificate = Text(UpstreamUriSanPeerCertificate) since V1_39,
        sha256_peer_certificate_digest = Text(UpstreamSha256PeerCertificateDigest) since V1_39,
        local_address = Text(UpstreamLocalAddress) since V1_39,
        transport_failure_reason = UpstreamFailure since V1_39, num_endpoints = Endpoints since V1_38,
        request_attempt_count = Int(UpstreamRequestAttemptCount) since V1_39,
        server_name = Text(UpstreamRequestedServerName) since V1_40,
    }
    xds {
        route_name = Text(XdsRouteName), virtual_host_name = Text(XdsVirtualHostName) since V1_40,
        filter_chain_name = Text(XdsFilterChainName) since V1_40, listener_direction = Int(XdsListenerDirection) since V1_40,
        virtual_cluster_name = Text(XdsVirtualClusterName) since V1_40,
    }
}

/// Names of one part, with the path that they stand for: `connection_id`, which the built-in host still has, and those that
/// it had up to 1.32.
const SINGLE: &[(&str, (&str, &str))] = &[
    ("connection_id", ("connection", "id")),
    ("route_name", ("xds", "route_name")),
    ("listener_direction", ("xds", "listener_direction")),
    ("filter_chain_name", ("xds", "filter_chain_name")),
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
];

/// The attribute of a path of two parts.
pub(super) fn find(group: &[u8], name: &[u8]) -> Option<Name> {
    NAMES.iter().find(|row| row.group.as_bytes() == group && row.member.as_bytes() == name).copied()
}

/// The attribute of a path of one part.
pub(super) fn find_single(name: &[u8]) -> Option<Name> {
    let (_, (group, member)) = SINGLE.iter().find(|(single, _)| single.as_bytes() == name)?;
    find(group.as_bytes(), member.as_bytes())
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
