//! The numbers of the attributes that Envoy knows.

use super::types::c_enum;

c_enum! {
    /// A fact about a stream. Each variant names the property path that it stands for; which of them an Envoy really
    /// answers, and as string, integer or bool, is in `docs/COMPATIBILITY.md`.
    pub enum AttributeId {
        /// `request.path`.
        RequestPath = envoy_dynamic_module_type_attribute_id_RequestPath,
        /// `request.url_path`.
        RequestUrlPath = envoy_dynamic_module_type_attribute_id_RequestUrlPath,
        /// `request.host`.
        RequestHost = envoy_dynamic_module_type_attribute_id_RequestHost,
        /// `request.scheme`.
        RequestScheme = envoy_dynamic_module_type_attribute_id_RequestScheme,
        /// `request.method`.
        RequestMethod = envoy_dynamic_module_type_attribute_id_RequestMethod,
        /// `request.headers`.
        RequestHeaders = envoy_dynamic_module_type_attribute_id_RequestHeaders,
        /// `request.referer`.
        RequestReferer = envoy_dynamic_module_type_attribute_id_RequestReferer,
        /// `request.useragent`.
        RequestUserAgent = envoy_dynamic_module_type_attribute_id_RequestUserAgent,
        /// `request.time`.
        RequestTime = envoy_dynamic_module_type_attribute_id_RequestTime,
        /// `request.id`.
        RequestId = envoy_dynamic_module_type_attribute_id_RequestId,
        /// `request.protocol`.
        RequestProtocol = envoy_dynamic_module_type_attribute_id_RequestProtocol,
        /// `request.query`.
        RequestQuery = envoy_dynamic_module_type_attribute_id_RequestQuery,
        /// `request.duration`.
        RequestDuration = envoy_dynamic_module_type_attribute_id_RequestDuration,
        /// `request.size`.
        RequestSize = envoy_dynamic_module_type_attribute_id_RequestSize,
        /// `request.total_size`.
        RequestTotalSize = envoy_dynamic_module_type_attribute_id_RequestTotalSize,
        /// `response.code`.
        ResponseCode = envoy_dynamic_module_type_attribute_id_ResponseCode,
        /// `response.code_details`.
        ResponseCodeDetails = envoy_dynamic_module_type_attribute_id_ResponseCodeDetails,
        /// `response.flags`.
        ResponseFlags = envoy_dynamic_module_type_attribute_id_ResponseFlags,
        /// `response.grpc_status`.
        ResponseGrpcStatus = envoy_dynamic_module_type_attribute_id_ResponseGrpcStatus,
        /// `response.headers`.
        ResponseHeaders = envoy_dynamic_module_type_attribute_id_ResponseHeaders,
        /// `response.trailers`.
        ResponseTrailers = envoy_dynamic_module_type_attribute_id_ResponseTrailers,
        /// `response.size`.
        ResponseSize = envoy_dynamic_module_type_attribute_id_ResponseSize,
        /// `response.total_size`.
        ResponseTotalSize = envoy_dynamic_module_type_attribute_id_ResponseTotalSize,
        /// `response.backend_latency`.
        ResponseBackendLatency = envoy_dynamic_module_type_attribute_id_ResponseBackendLatency,
        /// `source.address`.
        SourceAddress = envoy_dynamic_module_type_attribute_id_SourceAddress,
        /// `source.port`.
        SourcePort = envoy_dynamic_module_type_attribute_id_SourcePort,
        /// `destination.address`.
        DestinationAddress = envoy_dynamic_module_type_attribute_id_DestinationAddress,
        /// `destination.port`.
        DestinationPort = envoy_dynamic_module_type_attribute_id_DestinationPort,
        /// `connection.id`.
        ConnectionId = envoy_dynamic_module_type_attribute_id_ConnectionId,
        /// `connection.mtls`.
        ConnectionMtls = envoy_dynamic_module_type_attribute_id_ConnectionMtls,
        /// `connection.requested_server_name`.
        ConnectionRequestedServerName = envoy_dynamic_module_type_attribute_id_ConnectionRequestedServerName,
        /// `connection.tls_version`.
        ConnectionTlsVersion = envoy_dynamic_module_type_attribute_id_ConnectionTlsVersion,
        /// `connection.subject_local_certificate`.
        ConnectionSubjectLocalCertificate = envoy_dynamic_module_type_attribute_id_ConnectionSubjectLocalCertificate,
        /// `connection.subject_peer_certificate`.
        ConnectionSubjectPeerCertificate = envoy_dynamic_module_type_attribute_id_ConnectionSubjectPeerCertificate,
        /// `connection.dns_san_local_certificate`.
        ConnectionDnsSanLocalCertificate = envoy_dynamic_module_type_attribute_id_ConnectionDnsSanLocalCertificate,
        /// `connection.dns_san_peer_certificate`.
        ConnectionDnsSanPeerCertificate = envoy_dynamic_module_type_attribute_id_ConnectionDnsSanPeerCertificate,
        /// `connection.uri_san_local_certificate`.
        ConnectionUriSanLocalCertificate = envoy_dynamic_module_type_attribute_id_ConnectionUriSanLocalCertificate,
        /// `connection.uri_san_peer_certificate`.
        ConnectionUriSanPeerCertificate = envoy_dynamic_module_type_attribute_id_ConnectionUriSanPeerCertificate,
        /// `connection.sha256_peer_certificate_digest`.
        ConnectionSha256PeerCertificateDigest = envoy_dynamic_module_type_attribute_id_ConnectionSha256PeerCertificateDigest,
        /// `connection.transport_failure_reason`.
        ConnectionTransportFailureReason = envoy_dynamic_module_type_attribute_id_ConnectionTransportFailureReason,
        /// `connection.termination_details`.
        ConnectionTerminationDetails = envoy_dynamic_module_type_attribute_id_ConnectionTerminationDetails,
        /// `upstream.address`.
        UpstreamAddress = envoy_dynamic_module_type_attribute_id_UpstreamAddress,
        /// `upstream.port`.
        UpstreamPort = envoy_dynamic_module_type_attribute_id_UpstreamPort,
        /// `upstream.tls_version`.
        UpstreamTlsVersion = envoy_dynamic_module_type_attribute_id_UpstreamTlsVersion,
        /// `upstream.subject_local_certificate`.
        UpstreamSubjectLocalCertificate = envoy_dynamic_module_type_attribute_id_UpstreamSubjectLocalCertificate,
        /// `upstream.subject_peer_certificate`.
        UpstreamSubjectPeerCertificate = envoy_dynamic_module_type_attribute_id_UpstreamSubjectPeerCertificate,
        /// `upstream.dns_san_local_certificate`.
        UpstreamDnsSanLocalCertificate = envoy_dynamic_module_type_attribute_id_UpstreamDnsSanLocalCertificate,
        /// `upstream.dns_san_peer_certificate`.
        UpstreamDnsSanPeerCertificate = envoy_dynamic_module_type_attribute_id_UpstreamDnsSanPeerCertificate,
        /// `upstream.uri_san_local_certificate`.
        UpstreamUriSanLocalCertificate = envoy_dynamic_module_type_attribute_id_UpstreamUriSanLocalCertificate,
        /// `upstream.uri_san_peer_certificate`.
        UpstreamUriSanPeerCertificate = envoy_dynamic_module_type_attribute_id_UpstreamUriSanPeerCertificate,
        /// `upstream.sha256_peer_certificate_digest`.
        UpstreamSha256PeerCertificateDigest = envoy_dynamic_module_type_attribute_id_UpstreamSha256PeerCertificateDigest,
        /// `upstream.local_address`.
        UpstreamLocalAddress = envoy_dynamic_module_type_attribute_id_UpstreamLocalAddress,
        /// `upstream.transport_failure_reason`.
        UpstreamTransportFailureReason = envoy_dynamic_module_type_attribute_id_UpstreamTransportFailureReason,
        /// `upstream.request_attempt_count`.
        UpstreamRequestAttemptCount = envoy_dynamic_module_type_attribute_id_UpstreamRequestAttemptCount,
        /// `upstream.cx_pool_ready_duration`.
        UpstreamCxPoolReadyDuration = envoy_dynamic_module_type_attribute_id_UpstreamCxPoolReadyDuration,
        /// `upstream.locality`.
        UpstreamLocality = envoy_dynamic_module_type_attribute_id_UpstreamLocality,
        /// `xds.node`.
        XdsNode = envoy_dynamic_module_type_attribute_id_XdsNode,
        /// `xds.cluster_name`.
        XdsClusterName = envoy_dynamic_module_type_attribute_id_XdsClusterName,
        /// `xds.cluster_metadata`.
        XdsClusterMetadata = envoy_dynamic_module_type_attribute_id_XdsClusterMetadata,
        /// `xds.listener_direction`.
        XdsListenerDirection = envoy_dynamic_module_type_attribute_id_XdsListenerDirection,
        /// `xds.listener_metadata`.
        XdsListenerMetadata = envoy_dynamic_module_type_attribute_id_XdsListenerMetadata,
        /// `xds.route_name`.
        XdsRouteName = envoy_dynamic_module_type_attribute_id_XdsRouteName,
        /// `xds.route_metadata`.
        XdsRouteMetadata = envoy_dynamic_module_type_attribute_id_XdsRouteMetadata,
        /// `xds.virtual_host_name`.
        XdsVirtualHostName = envoy_dynamic_module_type_attribute_id_XdsVirtualHostName,
        /// `xds.virtual_host_metadata`.
        XdsVirtualHostMetadata = envoy_dynamic_module_type_attribute_id_XdsVirtualHostMetadata,
        /// `xds.upstream_host_metadata`.
        XdsUpstreamHostMetadata = envoy_dynamic_module_type_attribute_id_XdsUpstreamHostMetadata,
        /// `xds.filter_chain_name`.
        XdsFilterChainName = envoy_dynamic_module_type_attribute_id_XdsFilterChainName,
        /// Whether the request is a health check. Since Envoy 1.38.
        HealthCheck = envoy_dynamic_module_type_attribute_id_HealthCheck,
        /// `upstream.server_name`, since Envoy 1.40.
        UpstreamRequestedServerName = envoy_dynamic_module_type_attribute_id_UpstreamRequestedServerName,
        /// `xds.virtual_cluster_name`, since Envoy 1.40.
        XdsVirtualClusterName = envoy_dynamic_module_type_attribute_id_XdsVirtualClusterName,
        /// `upstream.protocol`, since Envoy 1.40.
        UpstreamProtocol = envoy_dynamic_module_type_attribute_id_UpstreamProtocol,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_count_from_zero_without_a_gap() {
        let numbers: Vec<u32> = AttributeId::ALL.iter().map(|id| id.number()).collect();
        assert_eq!(numbers, (0..71).collect::<Vec<u32>>());
    }

    #[test]
    fn the_numbers_that_differ_between_releases_are_the_last_ones() {
        assert_eq!(AttributeId::XdsFilterChainName.number(), 66);
        assert_eq!(AttributeId::HealthCheck.number(), 67);
        assert_eq!(AttributeId::UpstreamProtocol.number(), 70);
    }
}
