/*
 * The part of Envoy's dynamic module ABI that Graft uses, declared in Graft's own words.
 *
 * Two kinds of functions cross the line between Envoy and a module:
 *   - a *hook*, `envoy_dynamic_module_on_*`, is defined by the module and called by Envoy;
 *   - a *callback*, `envoy_dynamic_module_callback_*`, is defined by Envoy and called by the module.
 * The names, the order of the parameters and the numbers of the enums are Envoy's; they did not change from
 * Envoy 1.37 to 1.40, they only grew. A comment `since 1.38` says which release brought a function; what has
 * none is in 1.37.
 *
 * Each function is declared as a function type, named like the function with `_fn` at the end. From the types
 * src/abi/callbacks.h makes the weak references to the callbacks (what an older Envoy lacks is a null pointer then,
 * and never a library that fails to load) and the list of hooks that src/exports.rs is compared with.
 *
 * build.rs has this file read twice: by the C compiler for src/abi/callbacks.c, by bindgen for src/abi/raw.rs.
 *
 * Sections: 1 types, 2 process, 3 HTTP filter configuration, 4 headers, 5 body, 6 attributes, metadata and
 * filter state, 7 stream control, 8 metrics, 9 route configuration, 10 hooks, 11 access logger,
 * 12 network filter.
 */
#ifndef GRAFT_ENVOY_DYNAMIC_MODULE_H
#define GRAFT_ENVOY_DYNAMIC_MODULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ------------------------------------------------------------------------------------------------------------
 * 1. Types
 * ------------------------------------------------------------------------------------------------------------ */

/* Pointers. `_envoy_ptr`: Envoy's object, which the module only hands back. `_module_ptr`: the module's object,
 * which Envoy only hands back. */
typedef void* envoy_dynamic_module_type_http_filter_config_envoy_ptr;
typedef const void* envoy_dynamic_module_type_http_filter_config_module_ptr;
typedef const void* envoy_dynamic_module_type_http_filter_per_route_config_module_ptr;
typedef void* envoy_dynamic_module_type_http_filter_envoy_ptr;
typedef const void* envoy_dynamic_module_type_http_filter_module_ptr;

/* What on_program_init answers: a string with static storage and a final NUL. */
typedef const char* envoy_dynamic_module_type_abi_version_module_ptr;

/* Bytes that the module owns; valid during the call that carries them. */
typedef struct {
  const char* ptr;
  size_t length;
} envoy_dynamic_module_type_module_buffer;

/* Bytes that Envoy owns; `ptr` may be null when `length` is 0. */
typedef struct {
  const char* ptr;
  size_t length;
} envoy_dynamic_module_type_envoy_buffer;

typedef struct {
  const char* key_ptr;
  size_t key_length;
  const char* value_ptr;
  size_t value_length;
} envoy_dynamic_module_type_module_http_header;

typedef struct {
  const char* key_ptr;
  size_t key_length;
  const char* value_ptr;
  size_t value_length;
} envoy_dynamic_module_type_envoy_http_header;

typedef enum {
  envoy_dynamic_module_type_log_level_Trace,
  envoy_dynamic_module_type_log_level_Debug,
  envoy_dynamic_module_type_log_level_Info,
  envoy_dynamic_module_type_log_level_Warn,
  envoy_dynamic_module_type_log_level_Error,
  envoy_dynamic_module_type_log_level_Critical,
  envoy_dynamic_module_type_log_level_Off,
} envoy_dynamic_module_type_log_level;

typedef enum {
  envoy_dynamic_module_type_http_header_type_RequestHeader,
  envoy_dynamic_module_type_http_header_type_RequestTrailer,
  envoy_dynamic_module_type_http_header_type_ResponseHeader,
  envoy_dynamic_module_type_http_header_type_ResponseTrailer,
} envoy_dynamic_module_type_http_header_type;

/* `Received`: the chunk of the body hook that runs, which exists only inside that hook.
 * `Buffered`: what Envoy kept of the body so far because a filter stopped the iteration. */
typedef enum {
  envoy_dynamic_module_type_http_body_type_ReceivedRequestBody,
  envoy_dynamic_module_type_http_body_type_BufferedRequestBody,
  envoy_dynamic_module_type_http_body_type_ReceivedResponseBody,
  envoy_dynamic_module_type_http_body_type_BufferedResponseBody,
} envoy_dynamic_module_type_http_body_type;

/* How long filter state is kept. */
typedef enum {
  envoy_dynamic_module_type_filter_state_life_span_FilterChain,
  envoy_dynamic_module_type_filter_state_life_span_Request,
  envoy_dynamic_module_type_filter_state_life_span_Connection,
} envoy_dynamic_module_type_filter_state_life_span;

/* A span of Envoy's tracing, good inside the hook that asked for it. */
typedef void* envoy_dynamic_module_type_span_envoy_ptr;

/* A span that the module began and owns until it finishes it. Can be used wherever a span can. */
typedef void* envoy_dynamic_module_type_child_span_module_ptr;

typedef enum {
  envoy_dynamic_module_type_metadata_source_Dynamic,
  envoy_dynamic_module_type_metadata_source_Route,
  envoy_dynamic_module_type_metadata_source_Cluster,
  envoy_dynamic_module_type_metadata_source_Host,
  envoy_dynamic_module_type_metadata_source_HostLocality,
} envoy_dynamic_module_type_metadata_source;

typedef enum {
  envoy_dynamic_module_type_metrics_result_Success,
  envoy_dynamic_module_type_metrics_result_MetricNotFound,
  envoy_dynamic_module_type_metrics_result_InvalidLabels,
  envoy_dynamic_module_type_metrics_result_Frozen,
} envoy_dynamic_module_type_metrics_result;

typedef enum {
  envoy_dynamic_module_type_http_filter_stream_reset_reason_LocalReset,
  envoy_dynamic_module_type_http_filter_stream_reset_reason_LocalRefusedStreamReset,
} envoy_dynamic_module_type_http_filter_stream_reset_reason;

/* Whether a call was started. */
typedef enum {
  envoy_dynamic_module_type_http_callout_init_result_Success,
  envoy_dynamic_module_type_http_callout_init_result_MissingRequiredHeaders,
  envoy_dynamic_module_type_http_callout_init_result_ClusterNotFound,
  envoy_dynamic_module_type_http_callout_init_result_DuplicateCalloutId,
  envoy_dynamic_module_type_http_callout_init_result_CannotCreateRequest,
} envoy_dynamic_module_type_http_callout_init_result;

/* How a one-shot callout ended. */
typedef enum {
  envoy_dynamic_module_type_http_callout_result_Success,
  envoy_dynamic_module_type_http_callout_result_Reset,
  envoy_dynamic_module_type_http_callout_result_ExceedResponseBufferLimit,
} envoy_dynamic_module_type_http_callout_result;

/* Why a callout that streams was reset. */
typedef enum {
  envoy_dynamic_module_type_http_stream_reset_reason_ConnectionFailure,
  envoy_dynamic_module_type_http_stream_reset_reason_ConnectionTermination,
  envoy_dynamic_module_type_http_stream_reset_reason_LocalReset,
  envoy_dynamic_module_type_http_stream_reset_reason_LocalRefusedStreamReset,
  envoy_dynamic_module_type_http_stream_reset_reason_Overflow,
  envoy_dynamic_module_type_http_stream_reset_reason_RemoteReset,
  envoy_dynamic_module_type_http_stream_reset_reason_RemoteRefusedStreamReset,
  envoy_dynamic_module_type_http_stream_reset_reason_ProtocolError,
} envoy_dynamic_module_type_http_stream_reset_reason;

/* Nanoseconds; -1 where the moment has not come. All but the first count from the start of the request, so what
 * happened to the connection before it is negative. The order is that of 1.40.0, which fills in 19 numbers and then,
 * in the same order, 19 flags; one of the numbers we cannot name. `room` is ours: if a later Envoy fills in more,
 * it must not be our stack that it writes to. */
typedef struct {
  int64_t start_time_unix_ns;
  int64_t downstream_connection_begin_ns;
  int64_t downstream_handshake_complete_ns;
  int64_t unnamed_ns;
  int64_t last_downstream_header_rx_byte_received_ns;
  int64_t last_downstream_rx_byte_received_ns;
  int64_t upstream_connect_start_ns;
  int64_t upstream_connect_complete_ns;
  int64_t upstream_handshake_complete_ns;
  int64_t first_upstream_tx_byte_sent_ns;
  int64_t last_upstream_tx_byte_sent_ns;
  int64_t first_upstream_rx_byte_received_ns;
  int64_t first_upstream_rx_body_byte_received_ns;
  int64_t last_upstream_rx_byte_received_ns;
  int64_t first_downstream_tx_byte_sent_ns;
  int64_t last_downstream_tx_byte_sent_ns;
  int64_t last_downstream_ack_received_ns;
  int64_t request_complete_duration_ns;
  int64_t downstream_connection_end_ns;
  bool has_moment[19];
  uint64_t room[16];
} envoy_dynamic_module_type_timing_info;

/* Facts about a stream that Envoy knows by number. An Envoy answers false for a number that it does not know, and
 * for many that it knows; docs/COMPATIBILITY.md says which are served by which release. */
typedef enum {
  envoy_dynamic_module_type_attribute_id_RequestPath,
  envoy_dynamic_module_type_attribute_id_RequestUrlPath,
  envoy_dynamic_module_type_attribute_id_RequestHost,
  envoy_dynamic_module_type_attribute_id_RequestScheme,
  envoy_dynamic_module_type_attribute_id_RequestMethod,
  envoy_dynamic_module_type_attribute_id_RequestHeaders,
  envoy_dynamic_module_type_attribute_id_RequestReferer,
  envoy_dynamic_module_type_attribute_id_RequestUserAgent,
  envoy_dynamic_module_type_attribute_id_RequestTime,
  envoy_dynamic_module_type_attribute_id_RequestId,
  envoy_dynamic_module_type_attribute_id_RequestProtocol,
  envoy_dynamic_module_type_attribute_id_RequestQuery,
  envoy_dynamic_module_type_attribute_id_RequestDuration,
  envoy_dynamic_module_type_attribute_id_RequestSize,
  envoy_dynamic_module_type_attribute_id_RequestTotalSize,
  envoy_dynamic_module_type_attribute_id_ResponseCode,
  envoy_dynamic_module_type_attribute_id_ResponseCodeDetails,
  envoy_dynamic_module_type_attribute_id_ResponseFlags,
  envoy_dynamic_module_type_attribute_id_ResponseGrpcStatus,
  envoy_dynamic_module_type_attribute_id_ResponseHeaders,
  envoy_dynamic_module_type_attribute_id_ResponseTrailers,
  envoy_dynamic_module_type_attribute_id_ResponseSize,
  envoy_dynamic_module_type_attribute_id_ResponseTotalSize,
  envoy_dynamic_module_type_attribute_id_ResponseBackendLatency,
  envoy_dynamic_module_type_attribute_id_SourceAddress,
  envoy_dynamic_module_type_attribute_id_SourcePort,
  envoy_dynamic_module_type_attribute_id_DestinationAddress,
  envoy_dynamic_module_type_attribute_id_DestinationPort,
  envoy_dynamic_module_type_attribute_id_ConnectionId,
  envoy_dynamic_module_type_attribute_id_ConnectionMtls,
  envoy_dynamic_module_type_attribute_id_ConnectionRequestedServerName,
  envoy_dynamic_module_type_attribute_id_ConnectionTlsVersion,
  envoy_dynamic_module_type_attribute_id_ConnectionSubjectLocalCertificate,
  envoy_dynamic_module_type_attribute_id_ConnectionSubjectPeerCertificate,
  envoy_dynamic_module_type_attribute_id_ConnectionDnsSanLocalCertificate,
  envoy_dynamic_module_type_attribute_id_ConnectionDnsSanPeerCertificate,
  envoy_dynamic_module_type_attribute_id_ConnectionUriSanLocalCertificate,
  envoy_dynamic_module_type_attribute_id_ConnectionUriSanPeerCertificate,
  envoy_dynamic_module_type_attribute_id_ConnectionSha256PeerCertificateDigest,
  envoy_dynamic_module_type_attribute_id_ConnectionTransportFailureReason,
  envoy_dynamic_module_type_attribute_id_ConnectionTerminationDetails,
  envoy_dynamic_module_type_attribute_id_UpstreamAddress,
  envoy_dynamic_module_type_attribute_id_UpstreamPort,
  envoy_dynamic_module_type_attribute_id_UpstreamTlsVersion,
  envoy_dynamic_module_type_attribute_id_UpstreamSubjectLocalCertificate,
  envoy_dynamic_module_type_attribute_id_UpstreamSubjectPeerCertificate,
  envoy_dynamic_module_type_attribute_id_UpstreamDnsSanLocalCertificate,
  envoy_dynamic_module_type_attribute_id_UpstreamDnsSanPeerCertificate,
  envoy_dynamic_module_type_attribute_id_UpstreamUriSanLocalCertificate,
  envoy_dynamic_module_type_attribute_id_UpstreamUriSanPeerCertificate,
  envoy_dynamic_module_type_attribute_id_UpstreamSha256PeerCertificateDigest,
  envoy_dynamic_module_type_attribute_id_UpstreamLocalAddress,
  envoy_dynamic_module_type_attribute_id_UpstreamTransportFailureReason,
  envoy_dynamic_module_type_attribute_id_UpstreamRequestAttemptCount,
  envoy_dynamic_module_type_attribute_id_UpstreamCxPoolReadyDuration,
  envoy_dynamic_module_type_attribute_id_UpstreamLocality,
  envoy_dynamic_module_type_attribute_id_XdsNode,
  envoy_dynamic_module_type_attribute_id_XdsClusterName,
  envoy_dynamic_module_type_attribute_id_XdsClusterMetadata,
  envoy_dynamic_module_type_attribute_id_XdsListenerDirection,
  envoy_dynamic_module_type_attribute_id_XdsListenerMetadata,
  envoy_dynamic_module_type_attribute_id_XdsRouteName,
  envoy_dynamic_module_type_attribute_id_XdsRouteMetadata,
  envoy_dynamic_module_type_attribute_id_XdsVirtualHostName,
  envoy_dynamic_module_type_attribute_id_XdsVirtualHostMetadata,
  envoy_dynamic_module_type_attribute_id_XdsUpstreamHostMetadata,
  envoy_dynamic_module_type_attribute_id_XdsFilterChainName,
  envoy_dynamic_module_type_attribute_id_HealthCheck,                 /* since 1.38 */
  envoy_dynamic_module_type_attribute_id_UpstreamRequestedServerName, /* since 1.40 */
  envoy_dynamic_module_type_attribute_id_XdsVirtualClusterName,       /* since 1.40 */
  envoy_dynamic_module_type_attribute_id_UpstreamProtocol,            /* since 1.40 */
} envoy_dynamic_module_type_attribute_id;

/* What hooks answer. The numbers are those of Envoy's own filter statuses. */
typedef enum {
  envoy_dynamic_module_type_on_http_filter_headers_status_Continue,
  envoy_dynamic_module_type_on_http_filter_headers_status_StopIteration,
  envoy_dynamic_module_type_on_http_filter_headers_status_ContinueAndDontEndStream,
  envoy_dynamic_module_type_on_http_filter_headers_status_StopAllIterationAndBuffer,
  envoy_dynamic_module_type_on_http_filter_headers_status_StopAllIterationAndWatermark,
} envoy_dynamic_module_type_on_http_filter_headers_status;

typedef enum {
  envoy_dynamic_module_type_on_http_filter_body_status_Continue,
  envoy_dynamic_module_type_on_http_filter_body_status_StopIterationAndBuffer,
  envoy_dynamic_module_type_on_http_filter_body_status_StopIterationAndWatermark,
  envoy_dynamic_module_type_on_http_filter_body_status_StopIterationNoBuffer,
} envoy_dynamic_module_type_on_http_filter_body_status;

typedef enum {
  envoy_dynamic_module_type_on_http_filter_trailers_status_Continue,
  envoy_dynamic_module_type_on_http_filter_trailers_status_StopIteration,
} envoy_dynamic_module_type_on_http_filter_trailers_status;

typedef enum {
  envoy_dynamic_module_type_on_http_filter_local_reply_status_Continue,
  envoy_dynamic_module_type_on_http_filter_local_reply_status_ContinueAndResetStream,
} envoy_dynamic_module_type_on_http_filter_local_reply_status;

/* ------------------------------------------------------------------------------------------------------------
 * 2. Process. Any thread.
 * ------------------------------------------------------------------------------------------------------------ */

/* Writes a line to Envoy's logger `dynamic_modules`, if the level is on. */
typedef void envoy_dynamic_module_callback_log_fn(envoy_dynamic_module_type_log_level level,
                                                  envoy_dynamic_module_type_module_buffer message);

typedef bool envoy_dynamic_module_callback_log_enabled_fn(envoy_dynamic_module_type_log_level level);

/* Since 1.39. */
typedef envoy_dynamic_module_type_log_level envoy_dynamic_module_callback_get_log_level_fn(void);

/* Since 1.40. Never called: that it exists tells which version string the host wants. */
typedef void envoy_dynamic_module_callback_log_v2_fn(envoy_dynamic_module_type_log_level level,
                                                     envoy_dynamic_module_type_module_buffer message,
                                                     envoy_dynamic_module_type_module_buffer source_file,
                                                     uint32_t source_line);

/* The number of workers. Since 1.38. Main thread. */
typedef uint32_t envoy_dynamic_module_callback_get_concurrency_fn(void);

/* Whether Envoy only checks its configuration (--mode validate). Since 1.38. Main thread. */
typedef bool envoy_dynamic_module_callback_is_validation_mode_fn(void);

/* ------------------------------------------------------------------------------------------------------------
 * 3. HTTP filter configuration. Definitions of metrics are possible only inside on_http_filter_config_new.
 * ------------------------------------------------------------------------------------------------------------ */

typedef envoy_dynamic_module_type_metrics_result envoy_dynamic_module_callback_http_filter_config_define_counter_fn(
    envoy_dynamic_module_type_http_filter_config_envoy_ptr config, envoy_dynamic_module_type_module_buffer name,
    envoy_dynamic_module_type_module_buffer* label_names, size_t label_names_length, size_t* id_out);

typedef envoy_dynamic_module_type_metrics_result envoy_dynamic_module_callback_http_filter_config_define_gauge_fn(
    envoy_dynamic_module_type_http_filter_config_envoy_ptr config, envoy_dynamic_module_type_module_buffer name,
    envoy_dynamic_module_type_module_buffer* label_names, size_t label_names_length, size_t* id_out);

typedef envoy_dynamic_module_type_metrics_result envoy_dynamic_module_callback_http_filter_config_define_histogram_fn(
    envoy_dynamic_module_type_http_filter_config_envoy_ptr config, envoy_dynamic_module_type_module_buffer name,
    envoy_dynamic_module_type_module_buffer* label_names, size_t label_names_length, size_t* id_out);

/* Updates without a stream, from any thread. Since 1.39. */
typedef envoy_dynamic_module_type_metrics_result envoy_dynamic_module_callback_http_filter_config_increment_counter_fn(
    envoy_dynamic_module_type_http_filter_config_envoy_ptr config, size_t id,
    envoy_dynamic_module_type_module_buffer* label_values, size_t label_values_length, uint64_t value);

typedef envoy_dynamic_module_type_metrics_result envoy_dynamic_module_callback_http_filter_config_increment_gauge_fn(
    envoy_dynamic_module_type_http_filter_config_envoy_ptr config, size_t id,
    envoy_dynamic_module_type_module_buffer* label_values, size_t label_values_length, uint64_t value);

typedef envoy_dynamic_module_type_metrics_result envoy_dynamic_module_callback_http_filter_config_decrement_gauge_fn(
    envoy_dynamic_module_type_http_filter_config_envoy_ptr config, size_t id,
    envoy_dynamic_module_type_module_buffer* label_values, size_t label_values_length, uint64_t value);

typedef envoy_dynamic_module_type_metrics_result envoy_dynamic_module_callback_http_filter_config_set_gauge_fn(
    envoy_dynamic_module_type_http_filter_config_envoy_ptr config, size_t id,
    envoy_dynamic_module_type_module_buffer* label_values, size_t label_values_length, uint64_t value);

typedef envoy_dynamic_module_type_metrics_result envoy_dynamic_module_callback_http_filter_config_record_histogram_value_fn(
    envoy_dynamic_module_type_http_filter_config_envoy_ptr config, size_t id,
    envoy_dynamic_module_type_module_buffer* label_values, size_t label_values_length, uint64_t value);

/* ------------------------------------------------------------------------------------------------------------
 * 4. Headers and trailers. This section and all that follow: inside a hook of the filter, on its worker.
 *    All of them answer false, or 0, when the map does not exist (yet).
 * ------------------------------------------------------------------------------------------------------------ */

/* The value with this index among those of `key`; `count_out` (may be null) gets how many there are. */
typedef bool envoy_dynamic_module_callback_http_get_header_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter, envoy_dynamic_module_type_http_header_type type,
    envoy_dynamic_module_type_module_buffer key, envoy_dynamic_module_type_envoy_buffer* value_out, size_t index,
    size_t* count_out);

typedef size_t envoy_dynamic_module_callback_http_get_headers_size_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter, envoy_dynamic_module_type_http_header_type type);

/* Fills an array of http_get_headers_size elements. */
typedef bool envoy_dynamic_module_callback_http_get_headers_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter, envoy_dynamic_module_type_http_header_type type,
    envoy_dynamic_module_type_envoy_http_header* headers_out);

/* Adds a value beside those that are there. To 1.40.0 an empty value is refused. */
typedef bool envoy_dynamic_module_callback_http_add_header_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter, envoy_dynamic_module_type_http_header_type type,
    envoy_dynamic_module_type_module_buffer key, envoy_dynamic_module_type_module_buffer value);

/* Replaces all values; a null value removes the header, and to 1.40.0 an empty one does so too. */
typedef bool envoy_dynamic_module_callback_http_set_header_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter, envoy_dynamic_module_type_http_header_type type,
    envoy_dynamic_module_type_module_buffer key, envoy_dynamic_module_type_module_buffer value);

/* ------------------------------------------------------------------------------------------------------------
 * 5. Body
 * ------------------------------------------------------------------------------------------------------------ */

typedef size_t envoy_dynamic_module_callback_http_get_body_size_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter, envoy_dynamic_module_type_http_body_type type);

typedef size_t envoy_dynamic_module_callback_http_get_body_chunks_size_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter, envoy_dynamic_module_type_http_body_type type);

/* Fills an array of http_get_body_chunks_size elements. */
typedef bool envoy_dynamic_module_callback_http_get_body_chunks_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter, envoy_dynamic_module_type_http_body_type type,
    envoy_dynamic_module_type_envoy_buffer* chunks_out);

typedef bool envoy_dynamic_module_callback_http_append_body_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter, envoy_dynamic_module_type_http_body_type type,
    envoy_dynamic_module_type_module_buffer data);

/* Removes bytes from the front: as many as asked, or all. */
typedef bool envoy_dynamic_module_callback_http_drain_body_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter, envoy_dynamic_module_type_http_body_type type,
    size_t number_of_bytes);

/* Whether the received and the buffered body are one and the same object. Since 1.38. */
typedef bool envoy_dynamic_module_callback_http_received_buffered_request_body_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter);

typedef bool envoy_dynamic_module_callback_http_received_buffered_response_body_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter);

/* ------------------------------------------------------------------------------------------------------------
 * 6. Attributes, metadata, filter state
 * ------------------------------------------------------------------------------------------------------------ */

typedef bool envoy_dynamic_module_callback_http_filter_get_attribute_string_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter, envoy_dynamic_module_type_attribute_id id,
    envoy_dynamic_module_type_envoy_buffer* value_out);

typedef bool envoy_dynamic_module_callback_http_filter_get_attribute_int_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter, envoy_dynamic_module_type_attribute_id id,
    uint64_t* value_out);

/* Since 1.38. */
typedef bool envoy_dynamic_module_callback_http_filter_get_attribute_bool_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter, envoy_dynamic_module_type_attribute_id id,
    bool* value_out);

/* A value of another type than asked for answers false and writes a line at level error into Envoy's log. */
typedef bool envoy_dynamic_module_callback_http_get_metadata_string_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter, envoy_dynamic_module_type_metadata_source source,
    envoy_dynamic_module_type_module_buffer name_space, envoy_dynamic_module_type_module_buffer key,
    envoy_dynamic_module_type_envoy_buffer* value_out);

typedef bool envoy_dynamic_module_callback_http_get_metadata_number_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter, envoy_dynamic_module_type_metadata_source source,
    envoy_dynamic_module_type_module_buffer name_space, envoy_dynamic_module_type_module_buffer key,
    double* value_out);

/* This one and the rest of the metadata: since 1.38. */
typedef bool envoy_dynamic_module_callback_http_get_metadata_bool_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter, envoy_dynamic_module_type_metadata_source source,
    envoy_dynamic_module_type_module_buffer name_space, envoy_dynamic_module_type_module_buffer key, bool* value_out);

typedef size_t envoy_dynamic_module_callback_http_get_metadata_keys_count_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter, envoy_dynamic_module_type_metadata_source source,
    envoy_dynamic_module_type_module_buffer name_space);

typedef bool envoy_dynamic_module_callback_http_get_metadata_keys_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter, envoy_dynamic_module_type_metadata_source source,
    envoy_dynamic_module_type_module_buffer name_space, envoy_dynamic_module_type_envoy_buffer* keys_out);

typedef size_t envoy_dynamic_module_callback_http_get_metadata_namespaces_count_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter, envoy_dynamic_module_type_metadata_source source);

typedef bool envoy_dynamic_module_callback_http_get_metadata_namespaces_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter, envoy_dynamic_module_type_metadata_source source,
    envoy_dynamic_module_type_envoy_buffer* name_spaces_out);

/* Lists. A value that is no list answers false, and that is logged at debug only. */
typedef bool envoy_dynamic_module_callback_http_get_metadata_list_size_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter, envoy_dynamic_module_type_metadata_source source,
    envoy_dynamic_module_type_module_buffer name_space, envoy_dynamic_module_type_module_buffer key,
    size_t* size_out);

typedef bool envoy_dynamic_module_callback_http_get_metadata_list_string_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter, envoy_dynamic_module_type_metadata_source source,
    envoy_dynamic_module_type_module_buffer name_space, envoy_dynamic_module_type_module_buffer key, size_t index,
    envoy_dynamic_module_type_envoy_buffer* value_out);

typedef bool envoy_dynamic_module_callback_http_get_metadata_list_number_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter, envoy_dynamic_module_type_metadata_source source,
    envoy_dynamic_module_type_module_buffer name_space, envoy_dynamic_module_type_module_buffer key, size_t index,
    double* value_out);

typedef bool envoy_dynamic_module_callback_http_get_metadata_list_bool_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter, envoy_dynamic_module_type_metadata_source source,
    envoy_dynamic_module_type_module_buffer name_space, envoy_dynamic_module_type_module_buffer key, size_t index,
    bool* value_out);

/* Sets a value of the dynamic metadata; the bool since 1.38. */
typedef void envoy_dynamic_module_callback_http_set_dynamic_metadata_string_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter, envoy_dynamic_module_type_module_buffer name_space,
    envoy_dynamic_module_type_module_buffer key, envoy_dynamic_module_type_module_buffer value);

typedef void envoy_dynamic_module_callback_http_set_dynamic_metadata_number_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter, envoy_dynamic_module_type_module_buffer name_space,
    envoy_dynamic_module_type_module_buffer key, double value);

typedef void envoy_dynamic_module_callback_http_set_dynamic_metadata_bool_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter, envoy_dynamic_module_type_module_buffer name_space,
    envoy_dynamic_module_type_module_buffer key, bool value);

/* Filter state whose object is a plain string. */
typedef bool envoy_dynamic_module_callback_http_get_filter_state_bytes_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter, envoy_dynamic_module_type_module_buffer key,
    envoy_dynamic_module_type_envoy_buffer* value_out);

/* To 1.38 a key that is set stays as it is, although the answer is true. */
typedef bool envoy_dynamic_module_callback_http_set_filter_state_bytes_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter, envoy_dynamic_module_type_module_buffer key,
    envoy_dynamic_module_type_module_buffer value);

/* Any object that can be written as a string, which lives until the next call of this callback. Since 1.38. */
typedef bool envoy_dynamic_module_callback_http_get_filter_state_typed_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter, envoy_dynamic_module_type_module_buffer key,
    envoy_dynamic_module_type_envoy_buffer* value_out);

/* Makes the object with the factory that is registered under the key. Since 1.38. */
typedef bool envoy_dynamic_module_callback_http_set_filter_state_typed_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter, envoy_dynamic_module_type_module_buffer key,
    envoy_dynamic_module_type_module_buffer value);

/* Sets a plain string that is kept for a life span; `sharing` 0: by no upstream filter. Since 1.40. */
typedef bool envoy_dynamic_module_callback_http_set_filter_state_value_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter, envoy_dynamic_module_type_module_buffer key,
    envoy_dynamic_module_type_module_buffer value, envoy_dynamic_module_type_filter_state_life_span life_span,
    uint32_t sharing);

/* Spans: since 1.38. Null if the stream is not traced. */
typedef envoy_dynamic_module_type_span_envoy_ptr envoy_dynamic_module_callback_http_get_active_span_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter);

typedef void envoy_dynamic_module_callback_http_span_set_tag_fn(envoy_dynamic_module_type_span_envoy_ptr span,
                                                                envoy_dynamic_module_type_module_buffer key,
                                                                envoy_dynamic_module_type_module_buffer value);

typedef void envoy_dynamic_module_callback_http_span_log_fn(envoy_dynamic_module_type_http_filter_envoy_ptr filter,
                                                            envoy_dynamic_module_type_span_envoy_ptr span,
                                                            envoy_dynamic_module_type_module_buffer event);

typedef envoy_dynamic_module_type_child_span_module_ptr envoy_dynamic_module_callback_http_span_spawn_child_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter, envoy_dynamic_module_type_span_envoy_ptr span,
    envoy_dynamic_module_type_module_buffer operation);

/* Reports the span and frees it. */
typedef void envoy_dynamic_module_callback_http_child_span_finish_fn(
    envoy_dynamic_module_type_child_span_module_ptr span);

/* ------------------------------------------------------------------------------------------------------------
 * 7. Stream control. Those marked (re-enters) may call hooks of the same filter before they return, and to 1.39
 *    even on_http_filter_destroy.
 * ------------------------------------------------------------------------------------------------------------ */

/* Answers the request here (re-enters). `body` and `details` may be empty. */
typedef void envoy_dynamic_module_callback_http_send_response_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter, uint32_t status_code,
    envoy_dynamic_module_type_module_http_header* headers, size_t headers_length,
    envoy_dynamic_module_type_module_buffer body, envoy_dynamic_module_type_module_buffer details);

/* The same in parts (re-enter). */
typedef void envoy_dynamic_module_callback_http_send_response_headers_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter, envoy_dynamic_module_type_module_http_header* headers,
    size_t headers_length, bool end_stream);

typedef void envoy_dynamic_module_callback_http_send_response_data_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter, envoy_dynamic_module_type_module_buffer data,
    bool end_stream);

typedef void envoy_dynamic_module_callback_http_send_response_trailers_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter, envoy_dynamic_module_type_module_http_header* trailers,
    size_t trailers_length);

/* Resume what a hook stopped (re-enter). Ignored when the last answer in that direction was Continue. */
typedef void envoy_dynamic_module_callback_http_filter_continue_decoding_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter);

typedef void envoy_dynamic_module_callback_http_filter_continue_encoding_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter);

/* Ends the stream without an answer (re-enters). Since 1.38. */
typedef void envoy_dynamic_module_callback_http_filter_reset_stream_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter,
    envoy_dynamic_module_type_http_filter_stream_reset_reason reason,
    envoy_dynamic_module_type_module_buffer details);

typedef void envoy_dynamic_module_callback_http_clear_route_cache_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter);

/* The host, as address and port, that the load balancer shall choose. False if it is no address. Since 1.38. */
typedef bool envoy_dynamic_module_callback_http_set_upstream_override_host_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter, envoy_dynamic_module_type_module_buffer host,
    bool is_strict);

/*
 * A stream's scheduler: its events come to the stream's own worker, as on_http_filter_scheduled. The module owns it
 * and deletes it. Up to 1.38 a commit must not race with the end of the stream.
 */
typedef void* envoy_dynamic_module_type_http_filter_scheduler_module_ptr;

typedef envoy_dynamic_module_type_http_filter_scheduler_module_ptr
envoy_dynamic_module_callback_http_filter_scheduler_new_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter);

typedef void envoy_dynamic_module_callback_http_filter_scheduler_commit_fn(
    envoy_dynamic_module_type_http_filter_scheduler_module_ptr scheduler, uint64_t event_id);

typedef void envoy_dynamic_module_callback_http_filter_scheduler_delete_fn(
    envoy_dynamic_module_type_http_filter_scheduler_module_ptr scheduler);

/*
 * A call with one answer, without trailers, as that of an extension; it ends with the stream, and shares its numbers with
 * the calls below. No hook comes while it is being started. Since 1.37 with this signature.
 */
typedef envoy_dynamic_module_type_http_callout_init_result envoy_dynamic_module_callback_http_filter_http_callout_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter, uint64_t* callout_id,
    envoy_dynamic_module_type_module_buffer cluster, envoy_dynamic_module_type_module_http_header* headers,
    size_t headers_length, envoy_dynamic_module_type_module_buffer body, uint64_t timeout_milliseconds);

/*
 * Calls of a stream, with the answer in parts. They end with the stream. `stream_id` is Envoy's number for the call.
 * No hook comes while a call is being started; sending and resetting re-enter. Since 1.37, which frees the request's
 * headers too early when the cluster has no room for another pending request, and crashes.
 */
typedef envoy_dynamic_module_type_http_callout_init_result
envoy_dynamic_module_callback_http_filter_start_http_stream_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter, uint64_t* stream_id,
    envoy_dynamic_module_type_module_buffer cluster, envoy_dynamic_module_type_module_http_header* headers,
    size_t headers_length, envoy_dynamic_module_type_module_buffer body, bool end_of_stream,
    uint64_t timeout_milliseconds);
typedef void envoy_dynamic_module_callback_http_filter_reset_http_stream_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter, uint64_t stream_id);
typedef bool envoy_dynamic_module_callback_http_stream_send_data_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter, uint64_t stream_id,
    envoy_dynamic_module_type_module_buffer data, bool end_of_stream);
typedef bool envoy_dynamic_module_callback_http_stream_send_trailers_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter, uint64_t stream_id,
    envoy_dynamic_module_type_module_http_header* trailers, size_t trailers_length);

/* The same for a configuration: main thread, since 1.38. */
typedef envoy_dynamic_module_type_http_callout_init_result
envoy_dynamic_module_callback_http_filter_config_start_http_stream_fn(
    envoy_dynamic_module_type_http_filter_config_envoy_ptr config, uint64_t* stream_id,
    envoy_dynamic_module_type_module_buffer cluster, envoy_dynamic_module_type_module_http_header* headers,
    size_t headers_length, envoy_dynamic_module_type_module_buffer body, bool end_of_stream,
    uint64_t timeout_milliseconds);
typedef void envoy_dynamic_module_callback_http_filter_config_reset_http_stream_fn(
    envoy_dynamic_module_type_http_filter_config_envoy_ptr config, uint64_t stream_id);
typedef bool envoy_dynamic_module_callback_http_filter_config_stream_send_data_fn(
    envoy_dynamic_module_type_http_filter_config_envoy_ptr config, uint64_t stream_id,
    envoy_dynamic_module_type_module_buffer data, bool end_of_stream);
typedef bool envoy_dynamic_module_callback_http_filter_config_stream_send_trailers_fn(
    envoy_dynamic_module_type_http_filter_config_envoy_ptr config, uint64_t stream_id,
    envoy_dynamic_module_type_module_http_header* trailers, size_t trailers_length);

/* A configuration's scheduler: its events come to the main thread, as on_http_filter_config_scheduled. Since 1.37. */
typedef void* envoy_dynamic_module_type_http_filter_config_scheduler_module_ptr;

typedef envoy_dynamic_module_type_http_filter_config_scheduler_module_ptr
envoy_dynamic_module_callback_http_filter_config_scheduler_new_fn(
    envoy_dynamic_module_type_http_filter_config_envoy_ptr config);
typedef void envoy_dynamic_module_callback_http_filter_config_scheduler_commit_fn(
    envoy_dynamic_module_type_http_filter_config_scheduler_module_ptr scheduler, uint64_t event_id);
typedef void envoy_dynamic_module_callback_http_filter_config_scheduler_delete_fn(
    envoy_dynamic_module_type_http_filter_config_scheduler_module_ptr scheduler);

/* Bytes that Envoy buffers for a filter that stopped the iteration. Since 1.38. */
typedef uint64_t envoy_dynamic_module_callback_http_get_buffer_limit_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter);

typedef void envoy_dynamic_module_callback_http_set_buffer_limit_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter, uint64_t limit);

/* The worker of this stream, counted from 0. Since 1.38. */
typedef uint32_t envoy_dynamic_module_callback_http_filter_get_worker_index_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter);

/* The cluster that the route chose. Since 1.38. */
typedef bool envoy_dynamic_module_callback_http_get_cluster_name_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter, envoy_dynamic_module_type_envoy_buffer* name_out);

/* Hosts of the route's cluster at a priority. Since 1.38. */
typedef bool envoy_dynamic_module_callback_http_get_cluster_host_count_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter, uint32_t priority, size_t* total_count,
    size_t* healthy_count, size_t* degraded_count);

/* Since 1.40. */
typedef void envoy_dynamic_module_callback_http_get_timing_info_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter, envoy_dynamic_module_type_timing_info* timing_out);

/* ------------------------------------------------------------------------------------------------------------
 * 8. Metrics of a stream. Counters, gauges and histograms, and those with and without labels, have ids of their own.
 * ------------------------------------------------------------------------------------------------------------ */

typedef envoy_dynamic_module_type_metrics_result envoy_dynamic_module_callback_http_filter_increment_counter_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter, size_t id,
    envoy_dynamic_module_type_module_buffer* label_values, size_t label_values_length, uint64_t value);

typedef envoy_dynamic_module_type_metrics_result envoy_dynamic_module_callback_http_filter_increment_gauge_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter, size_t id,
    envoy_dynamic_module_type_module_buffer* label_values, size_t label_values_length, uint64_t value);

typedef envoy_dynamic_module_type_metrics_result envoy_dynamic_module_callback_http_filter_decrement_gauge_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter, size_t id,
    envoy_dynamic_module_type_module_buffer* label_values, size_t label_values_length, uint64_t value);

typedef envoy_dynamic_module_type_metrics_result envoy_dynamic_module_callback_http_filter_set_gauge_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter, size_t id,
    envoy_dynamic_module_type_module_buffer* label_values, size_t label_values_length, uint64_t value);

typedef envoy_dynamic_module_type_metrics_result envoy_dynamic_module_callback_http_filter_record_histogram_value_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter, size_t id,
    envoy_dynamic_module_type_module_buffer* label_values, size_t label_values_length, uint64_t value);

/* ------------------------------------------------------------------------------------------------------------
 * 9. Route configuration
 * ------------------------------------------------------------------------------------------------------------ */

/* What on_http_filter_per_route_config_new gave for the route, or else the virtual host, of this stream; or null. */
typedef envoy_dynamic_module_type_http_filter_per_route_config_module_ptr envoy_dynamic_module_callback_get_most_specific_route_config_fn(envoy_dynamic_module_type_http_filter_envoy_ptr filter);

/* ------------------------------------------------------------------------------------------------------------
 * 10. Hooks. All are exported for every Envoy; an Envoy ignores those that it does not know.
 * ------------------------------------------------------------------------------------------------------------ */

/* Once for each mapping of the library, main thread, before anything else. Null refuses to load. */
typedef envoy_dynamic_module_type_abi_version_module_ptr envoy_dynamic_module_on_program_init_fn(void);

/* A filter in a listener's (or cluster's) configuration, main thread. Null refuses the configuration. */
typedef envoy_dynamic_module_type_http_filter_config_module_ptr envoy_dynamic_module_on_http_filter_config_new_fn(
    envoy_dynamic_module_type_http_filter_config_envoy_ptr config_envoy, envoy_dynamic_module_type_envoy_buffer name,
    envoy_dynamic_module_type_envoy_buffer config);

/* After the last stream that used the configuration: main thread, or the worker of that stream. */
typedef void envoy_dynamic_module_on_http_filter_config_destroy_fn(
    envoy_dynamic_module_type_http_filter_config_module_ptr config);

/* Optional: an event of the configuration's scheduler, main thread. */
typedef void envoy_dynamic_module_on_http_filter_config_scheduled_fn(
    envoy_dynamic_module_type_http_filter_config_envoy_ptr config_envoy,
    envoy_dynamic_module_type_http_filter_config_module_ptr config, uint64_t event_id);

/* Optional, since 1.38: the answers to callouts of the configuration, main thread. */
typedef void envoy_dynamic_module_on_http_filter_config_http_callout_done_fn(
    envoy_dynamic_module_type_http_filter_config_envoy_ptr config_envoy,
    envoy_dynamic_module_type_http_filter_config_module_ptr config, uint64_t callout_id,
    envoy_dynamic_module_type_http_callout_result result, envoy_dynamic_module_type_envoy_http_header* headers,
    size_t headers_length, envoy_dynamic_module_type_envoy_buffer* body_chunks, size_t body_chunks_length);
typedef void envoy_dynamic_module_on_http_filter_config_http_stream_headers_fn(
    envoy_dynamic_module_type_http_filter_config_envoy_ptr config_envoy,
    envoy_dynamic_module_type_http_filter_config_module_ptr config, uint64_t stream_id,
    envoy_dynamic_module_type_envoy_http_header* headers, size_t headers_length, bool end_of_stream);
typedef void envoy_dynamic_module_on_http_filter_config_http_stream_data_fn(
    envoy_dynamic_module_type_http_filter_config_envoy_ptr config_envoy,
    envoy_dynamic_module_type_http_filter_config_module_ptr config, uint64_t stream_id,
    const envoy_dynamic_module_type_envoy_buffer* data, size_t data_length, bool end_of_stream);
typedef void envoy_dynamic_module_on_http_filter_config_http_stream_trailers_fn(
    envoy_dynamic_module_type_http_filter_config_envoy_ptr config_envoy,
    envoy_dynamic_module_type_http_filter_config_module_ptr config, uint64_t stream_id,
    envoy_dynamic_module_type_envoy_http_header* trailers, size_t trailers_length);
typedef void envoy_dynamic_module_on_http_filter_config_http_stream_complete_fn(
    envoy_dynamic_module_type_http_filter_config_envoy_ptr config_envoy,
    envoy_dynamic_module_type_http_filter_config_module_ptr config, uint64_t stream_id);
typedef void envoy_dynamic_module_on_http_filter_config_http_stream_reset_fn(
    envoy_dynamic_module_type_http_filter_config_envoy_ptr config_envoy,
    envoy_dynamic_module_type_http_filter_config_module_ptr config, uint64_t stream_id,
    envoy_dynamic_module_type_http_stream_reset_reason reason);

/* The `typed_per_filter_config` of a route, main thread. Null refuses the configuration. */
typedef envoy_dynamic_module_type_http_filter_per_route_config_module_ptr envoy_dynamic_module_on_http_filter_per_route_config_new_fn(envoy_dynamic_module_type_envoy_buffer name,
                                                         envoy_dynamic_module_type_envoy_buffer config);
typedef void envoy_dynamic_module_on_http_filter_per_route_config_destroy_fn(
    envoy_dynamic_module_type_http_filter_per_route_config_module_ptr config);

/* A stream. This one and all that follow run on the worker of the stream. To 1.37 no callback may be called from
 * inside this hook. Null fails the stream (to 1.39: the hooks below are called with a null filter). */
typedef envoy_dynamic_module_type_http_filter_module_ptr envoy_dynamic_module_on_http_filter_new_fn(
    envoy_dynamic_module_type_http_filter_config_module_ptr config,
    envoy_dynamic_module_type_http_filter_envoy_ptr filter_envoy);

typedef envoy_dynamic_module_type_on_http_filter_headers_status envoy_dynamic_module_on_http_filter_request_headers_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter_envoy,
    envoy_dynamic_module_type_http_filter_module_ptr filter, bool end_of_stream);
typedef envoy_dynamic_module_type_on_http_filter_body_status envoy_dynamic_module_on_http_filter_request_body_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter_envoy,
    envoy_dynamic_module_type_http_filter_module_ptr filter, bool end_of_stream);
typedef envoy_dynamic_module_type_on_http_filter_trailers_status envoy_dynamic_module_on_http_filter_request_trailers_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter_envoy,
    envoy_dynamic_module_type_http_filter_module_ptr filter);

/* Not called for a response that this filter sent itself. */
typedef envoy_dynamic_module_type_on_http_filter_headers_status envoy_dynamic_module_on_http_filter_response_headers_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter_envoy,
    envoy_dynamic_module_type_http_filter_module_ptr filter, bool end_of_stream);
typedef envoy_dynamic_module_type_on_http_filter_body_status envoy_dynamic_module_on_http_filter_response_body_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter_envoy,
    envoy_dynamic_module_type_http_filter_module_ptr filter, bool end_of_stream);
typedef envoy_dynamic_module_type_on_http_filter_trailers_status envoy_dynamic_module_on_http_filter_response_trailers_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter_envoy,
    envoy_dynamic_module_type_http_filter_module_ptr filter);

/* Optional, since 1.38: some filter, or Envoy, answers this stream itself. */
typedef envoy_dynamic_module_type_on_http_filter_local_reply_status envoy_dynamic_module_on_http_filter_local_reply_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter_envoy,
    envoy_dynamic_module_type_http_filter_module_ptr filter, uint32_t response_code,
    envoy_dynamic_module_type_envoy_buffer details, bool reset_imminent);

/* The stream is over; headers and attributes can still be read, for the last time. */
typedef void envoy_dynamic_module_on_http_filter_stream_complete_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter_envoy,
    envoy_dynamic_module_type_http_filter_module_ptr filter);
typedef void envoy_dynamic_module_on_http_filter_destroy_fn(envoy_dynamic_module_type_http_filter_module_ptr filter);

/* An event of the stream's scheduler. */
typedef void envoy_dynamic_module_on_http_filter_scheduled_fn(envoy_dynamic_module_type_http_filter_envoy_ptr filter_envoy,
                                                   envoy_dynamic_module_type_http_filter_module_ptr filter,
                                                   uint64_t event_id);

/* The downstream connection takes no more bytes for now, and takes some again. */
typedef void envoy_dynamic_module_on_http_filter_downstream_above_write_buffer_high_watermark_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter_envoy,
    envoy_dynamic_module_type_http_filter_module_ptr filter);
typedef void envoy_dynamic_module_on_http_filter_downstream_below_write_buffer_low_watermark_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter_envoy,
    envoy_dynamic_module_type_http_filter_module_ptr filter);

/* The answers to callouts of the stream. */
typedef void envoy_dynamic_module_on_http_filter_http_callout_done_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter_envoy,
    envoy_dynamic_module_type_http_filter_module_ptr filter, uint64_t callout_id,
    envoy_dynamic_module_type_http_callout_result result, envoy_dynamic_module_type_envoy_http_header* headers,
    size_t headers_length, envoy_dynamic_module_type_envoy_buffer* body_chunks, size_t body_chunks_length);
typedef void envoy_dynamic_module_on_http_filter_http_stream_headers_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter_envoy,
    envoy_dynamic_module_type_http_filter_module_ptr filter, uint64_t stream_id,
    envoy_dynamic_module_type_envoy_http_header* headers, size_t headers_length, bool end_of_stream);
typedef void envoy_dynamic_module_on_http_filter_http_stream_data_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter_envoy,
    envoy_dynamic_module_type_http_filter_module_ptr filter, uint64_t stream_id,
    const envoy_dynamic_module_type_envoy_buffer* data, size_t data_length, bool end_of_stream);
typedef void envoy_dynamic_module_on_http_filter_http_stream_trailers_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter_envoy,
    envoy_dynamic_module_type_http_filter_module_ptr filter, uint64_t stream_id,
    envoy_dynamic_module_type_envoy_http_header* trailers, size_t trailers_length);
typedef void envoy_dynamic_module_on_http_filter_http_stream_complete_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter_envoy,
    envoy_dynamic_module_type_http_filter_module_ptr filter, uint64_t stream_id);
typedef void envoy_dynamic_module_on_http_filter_http_stream_reset_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter_envoy,
    envoy_dynamic_module_type_http_filter_module_ptr filter, uint64_t stream_id,
    envoy_dynamic_module_type_http_stream_reset_reason reason);

/* ---- Bootstrap extension. Main thread, all of it. ---- */

typedef void* envoy_dynamic_module_type_bootstrap_extension_config_envoy_ptr;
typedef const void* envoy_dynamic_module_type_bootstrap_extension_config_module_ptr;
typedef void* envoy_dynamic_module_type_bootstrap_extension_envoy_ptr;
typedef const void* envoy_dynamic_module_type_bootstrap_extension_module_ptr;
typedef void* envoy_dynamic_module_type_bootstrap_extension_timer_module_ptr;
typedef void* envoy_dynamic_module_type_bootstrap_extension_config_scheduler_module_ptr;
typedef void (*envoy_dynamic_module_type_event_cb)(void* context);

/* Envoy does not serve before this was called once for each extension. Since 1.38. */
typedef void envoy_dynamic_module_callback_bootstrap_extension_config_signal_init_complete_fn(envoy_dynamic_module_type_bootstrap_extension_config_envoy_ptr config);

/* A call with one answer: headers and body, no trailers. No hook comes while it is being started. Since 1.38. */
typedef envoy_dynamic_module_type_http_callout_init_result envoy_dynamic_module_callback_bootstrap_extension_http_callout_fn(
    envoy_dynamic_module_type_bootstrap_extension_config_envoy_ptr config, uint64_t* callout_id, envoy_dynamic_module_type_module_buffer cluster,
    envoy_dynamic_module_type_module_http_header* headers, size_t headers_length, envoy_dynamic_module_type_module_buffer body,
    uint64_t timeout_milliseconds);

/* Its events come as on_bootstrap_extension_config_scheduled; commit on any thread. Since 1.38. */
typedef envoy_dynamic_module_type_bootstrap_extension_config_scheduler_module_ptr
envoy_dynamic_module_callback_bootstrap_extension_config_scheduler_new_fn(envoy_dynamic_module_type_bootstrap_extension_config_envoy_ptr config);
typedef void envoy_dynamic_module_callback_bootstrap_extension_config_scheduler_commit_fn(
    envoy_dynamic_module_type_bootstrap_extension_config_scheduler_module_ptr scheduler, uint64_t event_id);
typedef void envoy_dynamic_module_callback_bootstrap_extension_config_scheduler_delete_fn(
    envoy_dynamic_module_type_bootstrap_extension_config_scheduler_module_ptr scheduler);

/* Metrics: definitions and updates at any time, on the main thread. Since 1.38. */
typedef envoy_dynamic_module_type_metrics_result envoy_dynamic_module_callback_bootstrap_extension_config_define_counter_fn(
    envoy_dynamic_module_type_bootstrap_extension_config_envoy_ptr config, envoy_dynamic_module_type_module_buffer name,
    envoy_dynamic_module_type_module_buffer* label_names, size_t label_names_length, size_t* id_out);
typedef envoy_dynamic_module_type_metrics_result envoy_dynamic_module_callback_bootstrap_extension_config_define_gauge_fn(
    envoy_dynamic_module_type_bootstrap_extension_config_envoy_ptr config, envoy_dynamic_module_type_module_buffer name,
    envoy_dynamic_module_type_module_buffer* label_names, size_t label_names_length, size_t* id_out);
typedef envoy_dynamic_module_type_metrics_result envoy_dynamic_module_callback_bootstrap_extension_config_define_histogram_fn(
    envoy_dynamic_module_type_bootstrap_extension_config_envoy_ptr config, envoy_dynamic_module_type_module_buffer name,
    envoy_dynamic_module_type_module_buffer* label_names, size_t label_names_length, size_t* id_out);
typedef envoy_dynamic_module_type_metrics_result envoy_dynamic_module_callback_bootstrap_extension_config_increment_counter_fn(
    envoy_dynamic_module_type_bootstrap_extension_config_envoy_ptr config, size_t id,
    envoy_dynamic_module_type_module_buffer* label_values, size_t label_values_length, uint64_t value);
typedef envoy_dynamic_module_type_metrics_result envoy_dynamic_module_callback_bootstrap_extension_config_increment_gauge_fn(
    envoy_dynamic_module_type_bootstrap_extension_config_envoy_ptr config, size_t id,
    envoy_dynamic_module_type_module_buffer* label_values, size_t label_values_length, uint64_t value);
typedef envoy_dynamic_module_type_metrics_result envoy_dynamic_module_callback_bootstrap_extension_config_decrement_gauge_fn(
    envoy_dynamic_module_type_bootstrap_extension_config_envoy_ptr config, size_t id,
    envoy_dynamic_module_type_module_buffer* label_values, size_t label_values_length, uint64_t value);
typedef envoy_dynamic_module_type_metrics_result envoy_dynamic_module_callback_bootstrap_extension_config_set_gauge_fn(
    envoy_dynamic_module_type_bootstrap_extension_config_envoy_ptr config, size_t id,
    envoy_dynamic_module_type_module_buffer* label_values, size_t label_values_length, uint64_t value);
typedef envoy_dynamic_module_type_metrics_result envoy_dynamic_module_callback_bootstrap_extension_config_record_histogram_value_fn(
    envoy_dynamic_module_type_bootstrap_extension_config_envoy_ptr config, size_t id,
    envoy_dynamic_module_type_module_buffer* label_values, size_t label_values_length, uint64_t value);

/* Pages of the admin endpoint: a path, to which requests are matched up to their query. False: there is no endpoint, or the path is
 * taken. A page that mutates is for POST alone. Envoy keeps the configuration as long as it has a page. Since 1.38. */
typedef bool envoy_dynamic_module_callback_bootstrap_extension_register_admin_handler_fn(
    envoy_dynamic_module_type_bootstrap_extension_config_envoy_ptr config, envoy_dynamic_module_type_module_buffer path,
    envoy_dynamic_module_type_module_buffer help, bool is_removable, bool mutates);
typedef bool envoy_dynamic_module_callback_bootstrap_extension_remove_admin_handler_fn(
    envoy_dynamic_module_type_bootstrap_extension_config_envoy_ptr config, envoy_dynamic_module_type_module_buffer path);
/* Inside on_bootstrap_extension_admin_request: the body of the answer, which Envoy copies and serves as text/plain. Since 1.38. */
typedef void envoy_dynamic_module_callback_bootstrap_extension_admin_set_response_fn(
    envoy_dynamic_module_type_bootstrap_extension_config_envoy_ptr config, envoy_dynamic_module_type_module_buffer body);

/* Null refuses the configuration. */
typedef envoy_dynamic_module_type_bootstrap_extension_config_module_ptr envoy_dynamic_module_on_bootstrap_extension_config_new_fn(envoy_dynamic_module_type_bootstrap_extension_config_envoy_ptr config_envoy, envoy_dynamic_module_type_envoy_buffer name, envoy_dynamic_module_type_envoy_buffer config);
typedef void envoy_dynamic_module_on_bootstrap_extension_config_destroy_fn(envoy_dynamic_module_type_bootstrap_extension_config_module_ptr config);
/* Null refuses the extension. */
typedef envoy_dynamic_module_type_bootstrap_extension_module_ptr envoy_dynamic_module_on_bootstrap_extension_new_fn(envoy_dynamic_module_type_bootstrap_extension_config_module_ptr config, envoy_dynamic_module_type_bootstrap_extension_envoy_ptr extension_envoy);
typedef void envoy_dynamic_module_on_bootstrap_extension_destroy_fn(envoy_dynamic_module_type_bootstrap_extension_module_ptr extension);
/* Clusters are ready; workers start after this. */
typedef void envoy_dynamic_module_on_bootstrap_extension_server_initialized_fn(envoy_dynamic_module_type_bootstrap_extension_envoy_ptr extension_envoy, envoy_dynamic_module_type_bootstrap_extension_module_ptr extension);
/* Once, on the main thread, whatever its name says. */
typedef void envoy_dynamic_module_on_bootstrap_extension_worker_thread_initialized_fn(envoy_dynamic_module_type_bootstrap_extension_envoy_ptr extension_envoy, envoy_dynamic_module_type_bootstrap_extension_module_ptr extension);

/* Mandatory since 1.38, all of them. */
typedef void envoy_dynamic_module_on_bootstrap_extension_drain_started_fn(envoy_dynamic_module_type_bootstrap_extension_envoy_ptr extension_envoy, envoy_dynamic_module_type_bootstrap_extension_module_ptr extension);
/* Envoy waits until the completion was called, once. */
typedef void envoy_dynamic_module_on_bootstrap_extension_shutdown_fn(envoy_dynamic_module_type_bootstrap_extension_envoy_ptr extension_envoy, envoy_dynamic_module_type_bootstrap_extension_module_ptr extension, envoy_dynamic_module_type_event_cb completion, void* completion_context);
typedef void envoy_dynamic_module_on_bootstrap_extension_config_scheduled_fn(envoy_dynamic_module_type_bootstrap_extension_config_envoy_ptr config_envoy, envoy_dynamic_module_type_bootstrap_extension_config_module_ptr config, uint64_t event_id);
typedef void envoy_dynamic_module_on_bootstrap_extension_http_callout_done_fn(envoy_dynamic_module_type_bootstrap_extension_config_envoy_ptr config_envoy, envoy_dynamic_module_type_bootstrap_extension_config_module_ptr config, uint64_t callout_id, envoy_dynamic_module_type_http_callout_result result, envoy_dynamic_module_type_envoy_http_header* headers, size_t headers_length, envoy_dynamic_module_type_envoy_buffer* body_chunks, size_t body_chunks_length);
typedef void envoy_dynamic_module_on_bootstrap_extension_timer_fired_fn(envoy_dynamic_module_type_bootstrap_extension_config_envoy_ptr config_envoy, envoy_dynamic_module_type_bootstrap_extension_config_module_ptr config, envoy_dynamic_module_type_bootstrap_extension_timer_module_ptr timer);
typedef void envoy_dynamic_module_on_bootstrap_extension_file_changed_fn(envoy_dynamic_module_type_bootstrap_extension_config_envoy_ptr config_envoy, envoy_dynamic_module_type_bootstrap_extension_config_module_ptr config, envoy_dynamic_module_type_envoy_buffer path, uint32_t events);
/* Answers the HTTP status. */
typedef uint32_t envoy_dynamic_module_on_bootstrap_extension_admin_request_fn(envoy_dynamic_module_type_bootstrap_extension_config_envoy_ptr config_envoy, envoy_dynamic_module_type_bootstrap_extension_config_module_ptr config, envoy_dynamic_module_type_envoy_buffer method, envoy_dynamic_module_type_envoy_buffer path, envoy_dynamic_module_type_envoy_buffer body);
typedef void envoy_dynamic_module_on_bootstrap_extension_cluster_add_or_update_fn(envoy_dynamic_module_type_bootstrap_extension_config_envoy_ptr config_envoy, envoy_dynamic_module_type_bootstrap_extension_config_module_ptr config, envoy_dynamic_module_type_envoy_buffer name);
typedef void envoy_dynamic_module_on_bootstrap_extension_cluster_removal_fn(envoy_dynamic_module_type_bootstrap_extension_config_envoy_ptr config_envoy, envoy_dynamic_module_type_bootstrap_extension_config_module_ptr config, envoy_dynamic_module_type_envoy_buffer name);
typedef void envoy_dynamic_module_on_bootstrap_extension_listener_add_or_update_fn(envoy_dynamic_module_type_bootstrap_extension_config_envoy_ptr config_envoy, envoy_dynamic_module_type_bootstrap_extension_config_module_ptr config, envoy_dynamic_module_type_envoy_buffer name);
typedef void envoy_dynamic_module_on_bootstrap_extension_listener_removal_fn(envoy_dynamic_module_type_bootstrap_extension_config_envoy_ptr config_envoy, envoy_dynamic_module_type_bootstrap_extension_config_module_ptr config, envoy_dynamic_module_type_envoy_buffer name);
/* ------------------------------------------------------------------------------------------------------------
 * 11. Access logger. A configuration is made on the main thread; each thread has a logger of its own, and each
 * exchange is shown to the logger of its worker in on_access_logger_log, whose `logger` is that exchange then.
 * ------------------------------------------------------------------------------------------------------------ */

typedef void* envoy_dynamic_module_type_access_logger_config_envoy_ptr;
typedef const void* envoy_dynamic_module_type_access_logger_config_module_ptr;
typedef void* envoy_dynamic_module_type_access_logger_envoy_ptr;
typedef const void* envoy_dynamic_module_type_access_logger_module_ptr;

/* Why an exchange is shown: `Start`, `Connected` and `Periodic` are of exchanges that go on. */
typedef enum {
  envoy_dynamic_module_type_access_log_type_NotSet,
  envoy_dynamic_module_type_access_log_type_TcpUpstreamConnected,
  envoy_dynamic_module_type_access_log_type_TcpPeriodic,
  envoy_dynamic_module_type_access_log_type_TcpConnectionEnd,
  envoy_dynamic_module_type_access_log_type_DownstreamStart,
  envoy_dynamic_module_type_access_log_type_DownstreamPeriodic,
  envoy_dynamic_module_type_access_log_type_DownstreamEnd,
  envoy_dynamic_module_type_access_log_type_UpstreamPoolReady,
  envoy_dynamic_module_type_access_log_type_UpstreamPeriodic,
  envoy_dynamic_module_type_access_log_type_UpstreamEnd,
  envoy_dynamic_module_type_access_log_type_DownstreamTunnelSuccessfullyEstablished,
  envoy_dynamic_module_type_access_log_type_UdpTunnelUpstreamConnected,
  envoy_dynamic_module_type_access_log_type_UdpPeriodic,
  envoy_dynamic_module_type_access_log_type_UdpSessionEnd,
} envoy_dynamic_module_type_access_log_type;

/* `room` is ours, here and below: see `timing_info`. */
typedef struct {
  uint64_t bytes_received;
  uint64_t bytes_sent;
  uint64_t wire_bytes_received;
  uint64_t wire_bytes_sent;
  uint64_t room[8];
} envoy_dynamic_module_type_bytes_info;

/* Nanoseconds; -1 where the moment has not come. All but the first count from the start. */
typedef struct {
  int64_t start_time_unix_ns;
  int64_t request_complete_duration_ns;
  int64_t first_upstream_tx_byte_sent_ns;
  int64_t last_upstream_tx_byte_sent_ns;
  int64_t first_upstream_rx_byte_received_ns;
  int64_t last_upstream_rx_byte_received_ns;
  int64_t first_downstream_tx_byte_sent_ns;
  int64_t last_downstream_tx_byte_sent_ns;
  uint64_t room[32];
} envoy_dynamic_module_type_access_log_timing_info;

/* Definitions: inside on_access_logger_config_new. Updates: any thread, as long as the configuration lives. */
typedef envoy_dynamic_module_type_metrics_result envoy_dynamic_module_callback_access_logger_config_define_counter_fn(
    envoy_dynamic_module_type_access_logger_config_envoy_ptr config, envoy_dynamic_module_type_module_buffer name,
    size_t* id_out);
typedef envoy_dynamic_module_type_metrics_result envoy_dynamic_module_callback_access_logger_config_define_gauge_fn(
    envoy_dynamic_module_type_access_logger_config_envoy_ptr config, envoy_dynamic_module_type_module_buffer name,
    size_t* id_out);
typedef envoy_dynamic_module_type_metrics_result envoy_dynamic_module_callback_access_logger_config_define_histogram_fn(
    envoy_dynamic_module_type_access_logger_config_envoy_ptr config, envoy_dynamic_module_type_module_buffer name,
    size_t* id_out);
typedef envoy_dynamic_module_type_metrics_result envoy_dynamic_module_callback_access_logger_increment_counter_fn(
    envoy_dynamic_module_type_access_logger_config_envoy_ptr config, size_t id, uint64_t value);
typedef envoy_dynamic_module_type_metrics_result envoy_dynamic_module_callback_access_logger_increment_gauge_fn(
    envoy_dynamic_module_type_access_logger_config_envoy_ptr config, size_t id, uint64_t value);
typedef envoy_dynamic_module_type_metrics_result envoy_dynamic_module_callback_access_logger_decrement_gauge_fn(
    envoy_dynamic_module_type_access_logger_config_envoy_ptr config, size_t id, uint64_t value);
typedef envoy_dynamic_module_type_metrics_result envoy_dynamic_module_callback_access_logger_set_gauge_fn(
    envoy_dynamic_module_type_access_logger_config_envoy_ptr config, size_t id, uint64_t value);
typedef envoy_dynamic_module_type_metrics_result envoy_dynamic_module_callback_access_logger_record_histogram_value_fn(
    envoy_dynamic_module_type_access_logger_config_envoy_ptr config, size_t id, uint64_t value);

/* Header maps. There are no request trailers. */
typedef size_t envoy_dynamic_module_callback_access_logger_get_headers_size_fn(
    envoy_dynamic_module_type_access_logger_envoy_ptr logger, envoy_dynamic_module_type_http_header_type map);
typedef bool envoy_dynamic_module_callback_access_logger_get_headers_fn(
    envoy_dynamic_module_type_access_logger_envoy_ptr logger, envoy_dynamic_module_type_http_header_type map,
    envoy_dynamic_module_type_envoy_http_header* headers_out);
typedef bool envoy_dynamic_module_callback_access_logger_get_header_value_fn(
    envoy_dynamic_module_type_access_logger_envoy_ptr logger, envoy_dynamic_module_type_http_header_type map,
    envoy_dynamic_module_type_module_buffer key, envoy_dynamic_module_type_envoy_buffer* value_out, size_t index,
    size_t* count_out);

/* Facts. One that is text answers false where there is none. */
typedef bool envoy_dynamic_module_callback_access_logger_get_response_code_details_fn(
    envoy_dynamic_module_type_access_logger_envoy_ptr logger, envoy_dynamic_module_type_envoy_buffer* value_out);
typedef bool envoy_dynamic_module_callback_access_logger_get_protocol_fn(
    envoy_dynamic_module_type_access_logger_envoy_ptr logger, envoy_dynamic_module_type_envoy_buffer* value_out);
typedef bool envoy_dynamic_module_callback_access_logger_get_request_id_fn(
    envoy_dynamic_module_type_access_logger_envoy_ptr logger, envoy_dynamic_module_type_envoy_buffer* value_out);
typedef bool envoy_dynamic_module_callback_access_logger_get_route_name_fn(
    envoy_dynamic_module_type_access_logger_envoy_ptr logger, envoy_dynamic_module_type_envoy_buffer* value_out);
typedef bool envoy_dynamic_module_callback_access_logger_get_upstream_cluster_fn(
    envoy_dynamic_module_type_access_logger_envoy_ptr logger, envoy_dynamic_module_type_envoy_buffer* value_out);
typedef bool envoy_dynamic_module_callback_access_logger_get_requested_server_name_fn(
    envoy_dynamic_module_type_access_logger_envoy_ptr logger, envoy_dynamic_module_type_envoy_buffer* value_out);
typedef bool envoy_dynamic_module_callback_access_logger_get_downstream_tls_version_fn(
    envoy_dynamic_module_type_access_logger_envoy_ptr logger, envoy_dynamic_module_type_envoy_buffer* value_out);
typedef bool envoy_dynamic_module_callback_access_logger_get_downstream_peer_subject_fn(
    envoy_dynamic_module_type_access_logger_envoy_ptr logger, envoy_dynamic_module_type_envoy_buffer* value_out);
typedef bool envoy_dynamic_module_callback_access_logger_get_downstream_peer_cert_digest_fn(
    envoy_dynamic_module_type_access_logger_envoy_ptr logger, envoy_dynamic_module_type_envoy_buffer* value_out);
typedef bool envoy_dynamic_module_callback_access_logger_get_upstream_transport_failure_reason_fn(
    envoy_dynamic_module_type_access_logger_envoy_ptr logger, envoy_dynamic_module_type_envoy_buffer* value_out);
typedef bool envoy_dynamic_module_callback_access_logger_get_downstream_local_address_fn(
    envoy_dynamic_module_type_access_logger_envoy_ptr logger, envoy_dynamic_module_type_envoy_buffer* address_out,
    uint32_t* port_out);
typedef bool envoy_dynamic_module_callback_access_logger_get_downstream_remote_address_fn(
    envoy_dynamic_module_type_access_logger_envoy_ptr logger, envoy_dynamic_module_type_envoy_buffer* address_out,
    uint32_t* port_out);
typedef bool envoy_dynamic_module_callback_access_logger_get_upstream_local_address_fn(
    envoy_dynamic_module_type_access_logger_envoy_ptr logger, envoy_dynamic_module_type_envoy_buffer* address_out,
    uint32_t* port_out);
typedef bool envoy_dynamic_module_callback_access_logger_get_upstream_remote_address_fn(
    envoy_dynamic_module_type_access_logger_envoy_ptr logger, envoy_dynamic_module_type_envoy_buffer* address_out,
    uint32_t* port_out);
typedef uint32_t envoy_dynamic_module_callback_access_logger_get_response_code_fn(
    envoy_dynamic_module_type_access_logger_envoy_ptr logger);
typedef uint64_t envoy_dynamic_module_callback_access_logger_get_response_flags_fn(
    envoy_dynamic_module_type_access_logger_envoy_ptr logger);
typedef uint64_t envoy_dynamic_module_callback_access_logger_get_connection_id_fn(
    envoy_dynamic_module_type_access_logger_envoy_ptr logger);
typedef uint32_t envoy_dynamic_module_callback_access_logger_get_attempt_count_fn(
    envoy_dynamic_module_type_access_logger_envoy_ptr logger);
typedef bool envoy_dynamic_module_callback_access_logger_is_mtls_fn(
    envoy_dynamic_module_type_access_logger_envoy_ptr logger);
typedef void envoy_dynamic_module_callback_access_logger_get_bytes_info_fn(
    envoy_dynamic_module_type_access_logger_envoy_ptr logger, envoy_dynamic_module_type_bytes_info* bytes_out);
typedef void envoy_dynamic_module_callback_access_logger_get_timing_info_fn(
    envoy_dynamic_module_type_access_logger_envoy_ptr logger,
    envoy_dynamic_module_type_access_log_timing_info* timing_out);
/* Since 1.38. */
typedef bool envoy_dynamic_module_callback_access_logger_get_attribute_string_fn(
    envoy_dynamic_module_type_access_logger_envoy_ptr logger, envoy_dynamic_module_type_attribute_id id,
    envoy_dynamic_module_type_envoy_buffer* value_out);
/* Since 1.38. */
typedef bool envoy_dynamic_module_callback_access_logger_get_attribute_int_fn(
    envoy_dynamic_module_type_access_logger_envoy_ptr logger, envoy_dynamic_module_type_attribute_id id,
    uint64_t* value_out);
/* Since 1.38. */
typedef bool envoy_dynamic_module_callback_access_logger_get_attribute_bool_fn(
    envoy_dynamic_module_type_access_logger_envoy_ptr logger, envoy_dynamic_module_type_attribute_id id,
    bool* value_out);

/* What filters left in the dynamic metadata. A value of dynamic metadata that is no text answers false. */
typedef bool envoy_dynamic_module_callback_access_logger_get_dynamic_metadata_fn(
    envoy_dynamic_module_type_access_logger_envoy_ptr logger, envoy_dynamic_module_type_module_buffer name_space,
    envoy_dynamic_module_type_module_buffer key, envoy_dynamic_module_type_envoy_buffer* value_out);
/* Since 1.39. */
typedef bool envoy_dynamic_module_callback_access_logger_get_dynamic_metadata_number_fn(
    envoy_dynamic_module_type_access_logger_envoy_ptr logger, envoy_dynamic_module_type_module_buffer name_space,
    envoy_dynamic_module_type_module_buffer key, double* value_out);
/* Since 1.39. */
typedef bool envoy_dynamic_module_callback_access_logger_get_dynamic_metadata_bool_fn(
    envoy_dynamic_module_type_access_logger_envoy_ptr logger, envoy_dynamic_module_type_module_buffer name_space,
    envoy_dynamic_module_type_module_buffer key, bool* value_out);

/* Hooks. A null configuration refuses Envoy's. Loggers come and go on their own threads; a null logger logs nothing. */
typedef envoy_dynamic_module_type_access_logger_config_module_ptr envoy_dynamic_module_on_access_logger_config_new_fn(
    envoy_dynamic_module_type_access_logger_config_envoy_ptr config_envoy, envoy_dynamic_module_type_envoy_buffer name,
    envoy_dynamic_module_type_envoy_buffer config);
typedef void envoy_dynamic_module_on_access_logger_config_destroy_fn(
    envoy_dynamic_module_type_access_logger_config_module_ptr config);
typedef envoy_dynamic_module_type_access_logger_module_ptr envoy_dynamic_module_on_access_logger_new_fn(
    envoy_dynamic_module_type_access_logger_config_module_ptr config,
    envoy_dynamic_module_type_access_logger_envoy_ptr logger_envoy);
typedef void envoy_dynamic_module_on_access_logger_log_fn(
    envoy_dynamic_module_type_access_logger_envoy_ptr logger_envoy,
    envoy_dynamic_module_type_access_logger_module_ptr logger, envoy_dynamic_module_type_access_log_type log_type);
typedef void envoy_dynamic_module_on_access_logger_destroy_fn(
    envoy_dynamic_module_type_access_logger_module_ptr logger);
/* Before a logger goes: what it keeps back should be written. */
typedef void envoy_dynamic_module_on_access_logger_flush_fn(envoy_dynamic_module_type_access_logger_module_ptr logger);

/* ------------------------------------------------------------------------------------------------------------
 * 12. Network filter: TCP connections. All but the configuration's on the worker of the connection. *Read* is what
 * comes from the client, *write* what goes to it.
 * ------------------------------------------------------------------------------------------------------------ */

typedef void* envoy_dynamic_module_type_network_filter_config_envoy_ptr;
typedef const void* envoy_dynamic_module_type_network_filter_config_module_ptr;
typedef void* envoy_dynamic_module_type_network_filter_envoy_ptr;
typedef const void* envoy_dynamic_module_type_network_filter_module_ptr;
typedef void* envoy_dynamic_module_type_network_filter_scheduler_module_ptr;
typedef void* envoy_dynamic_module_type_network_filter_config_scheduler_module_ptr;

typedef enum {
  envoy_dynamic_module_type_on_network_filter_data_status_Continue,
  envoy_dynamic_module_type_on_network_filter_data_status_StopIteration,
} envoy_dynamic_module_type_on_network_filter_data_status;

typedef enum {
  envoy_dynamic_module_type_network_connection_event_RemoteClose,
  envoy_dynamic_module_type_network_connection_event_LocalClose,
  envoy_dynamic_module_type_network_connection_event_Connected,
  envoy_dynamic_module_type_network_connection_event_ConnectedZeroRtt,
} envoy_dynamic_module_type_network_connection_event;

typedef enum {
  envoy_dynamic_module_type_network_connection_close_type_FlushWrite,
  envoy_dynamic_module_type_network_connection_close_type_NoFlush,
  envoy_dynamic_module_type_network_connection_close_type_FlushWriteAndDelay,
  envoy_dynamic_module_type_network_connection_close_type_Abort,
  envoy_dynamic_module_type_network_connection_close_type_AbortReset,
} envoy_dynamic_module_type_network_connection_close_type;

/* Metrics, without labels. */
typedef envoy_dynamic_module_type_metrics_result envoy_dynamic_module_callback_network_filter_config_define_counter_fn(
    envoy_dynamic_module_type_network_filter_config_envoy_ptr config, envoy_dynamic_module_type_module_buffer name,
    size_t* id_out);
typedef envoy_dynamic_module_type_metrics_result envoy_dynamic_module_callback_network_filter_config_define_gauge_fn(
    envoy_dynamic_module_type_network_filter_config_envoy_ptr config, envoy_dynamic_module_type_module_buffer name,
    size_t* id_out);
typedef envoy_dynamic_module_type_metrics_result envoy_dynamic_module_callback_network_filter_config_define_histogram_fn(
    envoy_dynamic_module_type_network_filter_config_envoy_ptr config, envoy_dynamic_module_type_module_buffer name,
    size_t* id_out);
typedef envoy_dynamic_module_type_metrics_result envoy_dynamic_module_callback_network_filter_increment_counter_fn(
    envoy_dynamic_module_type_network_filter_envoy_ptr filter, size_t id, uint64_t value);
typedef envoy_dynamic_module_type_metrics_result envoy_dynamic_module_callback_network_filter_increment_gauge_fn(
    envoy_dynamic_module_type_network_filter_envoy_ptr filter, size_t id, uint64_t value);
typedef envoy_dynamic_module_type_metrics_result envoy_dynamic_module_callback_network_filter_decrement_gauge_fn(
    envoy_dynamic_module_type_network_filter_envoy_ptr filter, size_t id, uint64_t value);
typedef envoy_dynamic_module_type_metrics_result envoy_dynamic_module_callback_network_filter_set_gauge_fn(
    envoy_dynamic_module_type_network_filter_envoy_ptr filter, size_t id, uint64_t value);
typedef envoy_dynamic_module_type_metrics_result envoy_dynamic_module_callback_network_filter_record_histogram_value_fn(
    envoy_dynamic_module_type_network_filter_envoy_ptr filter, size_t id, uint64_t value);
/* The same without a connection. Since 1.39. */
typedef envoy_dynamic_module_type_metrics_result envoy_dynamic_module_callback_network_filter_config_increment_counter_fn(
    envoy_dynamic_module_type_network_filter_config_envoy_ptr config, size_t id, uint64_t value);
typedef envoy_dynamic_module_type_metrics_result envoy_dynamic_module_callback_network_filter_config_increment_gauge_fn(
    envoy_dynamic_module_type_network_filter_config_envoy_ptr config, size_t id, uint64_t value);
typedef envoy_dynamic_module_type_metrics_result envoy_dynamic_module_callback_network_filter_config_decrement_gauge_fn(
    envoy_dynamic_module_type_network_filter_config_envoy_ptr config, size_t id, uint64_t value);
typedef envoy_dynamic_module_type_metrics_result envoy_dynamic_module_callback_network_filter_config_set_gauge_fn(
    envoy_dynamic_module_type_network_filter_config_envoy_ptr config, size_t id, uint64_t value);
typedef envoy_dynamic_module_type_metrics_result envoy_dynamic_module_callback_network_filter_config_record_histogram_value_fn(
    envoy_dynamic_module_type_network_filter_config_envoy_ptr config, size_t id, uint64_t value);
/* Its events come as on_network_filter_config_scheduled, on the main thread; commit on any thread. */
typedef envoy_dynamic_module_type_network_filter_config_scheduler_module_ptr envoy_dynamic_module_callback_network_filter_config_scheduler_new_fn(
    envoy_dynamic_module_type_network_filter_config_envoy_ptr config);
typedef void envoy_dynamic_module_callback_network_filter_config_scheduler_commit_fn(
    envoy_dynamic_module_type_network_filter_config_scheduler_module_ptr scheduler, uint64_t event_id);
typedef void envoy_dynamic_module_callback_network_filter_config_scheduler_delete_fn(
    envoy_dynamic_module_type_network_filter_config_scheduler_module_ptr scheduler);

/* The two buffers: inside their hook, and while a hook has stopped them. */
typedef size_t envoy_dynamic_module_callback_network_filter_get_read_buffer_size_fn(
    envoy_dynamic_module_type_network_filter_envoy_ptr filter);
typedef size_t envoy_dynamic_module_callback_network_filter_get_read_buffer_chunks_size_fn(
    envoy_dynamic_module_type_network_filter_envoy_ptr filter);
typedef bool envoy_dynamic_module_callback_network_filter_get_read_buffer_chunks_fn(
    envoy_dynamic_module_type_network_filter_envoy_ptr filter, envoy_dynamic_module_type_envoy_buffer* chunks_out);
typedef bool envoy_dynamic_module_callback_network_filter_drain_read_buffer_fn(
    envoy_dynamic_module_type_network_filter_envoy_ptr filter, size_t length);
typedef bool envoy_dynamic_module_callback_network_filter_prepend_read_buffer_fn(
    envoy_dynamic_module_type_network_filter_envoy_ptr filter, envoy_dynamic_module_type_module_buffer data);
typedef bool envoy_dynamic_module_callback_network_filter_append_read_buffer_fn(
    envoy_dynamic_module_type_network_filter_envoy_ptr filter, envoy_dynamic_module_type_module_buffer data);
typedef size_t envoy_dynamic_module_callback_network_filter_get_write_buffer_size_fn(
    envoy_dynamic_module_type_network_filter_envoy_ptr filter);
typedef size_t envoy_dynamic_module_callback_network_filter_get_write_buffer_chunks_size_fn(
    envoy_dynamic_module_type_network_filter_envoy_ptr filter);
typedef bool envoy_dynamic_module_callback_network_filter_get_write_buffer_chunks_fn(
    envoy_dynamic_module_type_network_filter_envoy_ptr filter, envoy_dynamic_module_type_envoy_buffer* chunks_out);
typedef bool envoy_dynamic_module_callback_network_filter_drain_write_buffer_fn(
    envoy_dynamic_module_type_network_filter_envoy_ptr filter, size_t length);
typedef bool envoy_dynamic_module_callback_network_filter_prepend_write_buffer_fn(
    envoy_dynamic_module_type_network_filter_envoy_ptr filter, envoy_dynamic_module_type_module_buffer data);
typedef bool envoy_dynamic_module_callback_network_filter_append_write_buffer_fn(
    envoy_dynamic_module_type_network_filter_envoy_ptr filter, envoy_dynamic_module_type_module_buffer data);

/* Control (re-enters). */
typedef void envoy_dynamic_module_callback_network_filter_continue_reading_fn(
    envoy_dynamic_module_type_network_filter_envoy_ptr filter);
typedef void envoy_dynamic_module_callback_network_filter_close_with_details_fn(
    envoy_dynamic_module_type_network_filter_envoy_ptr filter,
    envoy_dynamic_module_type_network_connection_close_type how, envoy_dynamic_module_type_module_buffer details);

/* Facts. */
typedef uint64_t envoy_dynamic_module_callback_network_filter_get_connection_id_fn(
    envoy_dynamic_module_type_network_filter_envoy_ptr filter);
typedef bool envoy_dynamic_module_callback_network_filter_get_local_address_fn(
    envoy_dynamic_module_type_network_filter_envoy_ptr filter, envoy_dynamic_module_type_envoy_buffer* address_out,
    uint32_t* port_out);
typedef bool envoy_dynamic_module_callback_network_filter_get_remote_address_fn(
    envoy_dynamic_module_type_network_filter_envoy_ptr filter, envoy_dynamic_module_type_envoy_buffer* address_out,
    uint32_t* port_out);
typedef bool envoy_dynamic_module_callback_network_filter_get_upstream_host_address_fn(
    envoy_dynamic_module_type_network_filter_envoy_ptr filter, envoy_dynamic_module_type_envoy_buffer* address_out,
    uint32_t* port_out);
typedef bool envoy_dynamic_module_callback_network_filter_get_requested_server_name_fn(
    envoy_dynamic_module_type_network_filter_envoy_ptr filter, envoy_dynamic_module_type_envoy_buffer* value_out);
typedef bool envoy_dynamic_module_callback_network_filter_get_upstream_host_cluster_fn(
    envoy_dynamic_module_type_network_filter_envoy_ptr filter, envoy_dynamic_module_type_envoy_buffer* value_out);
typedef bool envoy_dynamic_module_callback_network_filter_get_ssl_subject_fn(
    envoy_dynamic_module_type_network_filter_envoy_ptr filter, envoy_dynamic_module_type_envoy_buffer* value_out);
typedef bool envoy_dynamic_module_callback_network_filter_is_ssl_fn(
    envoy_dynamic_module_type_network_filter_envoy_ptr filter);
/* Since 1.39. */
typedef bool envoy_dynamic_module_callback_network_filter_get_attribute_string_fn(
    envoy_dynamic_module_type_network_filter_envoy_ptr filter, envoy_dynamic_module_type_attribute_id id,
    envoy_dynamic_module_type_envoy_buffer* value_out);
/* Since 1.39. */
typedef bool envoy_dynamic_module_callback_network_filter_get_attribute_int_fn(
    envoy_dynamic_module_type_network_filter_envoy_ptr filter, envoy_dynamic_module_type_attribute_id id,
    uint64_t* value_out);
/* Since 1.39. */
typedef bool envoy_dynamic_module_callback_network_filter_get_attribute_bool_fn(
    envoy_dynamic_module_type_network_filter_envoy_ptr filter, envoy_dynamic_module_type_attribute_id id,
    bool* value_out);

/* What filters leave on the connection. To 1.38 a key that is set stays as it is. */
typedef bool envoy_dynamic_module_callback_network_get_filter_state_bytes_fn(
    envoy_dynamic_module_type_network_filter_envoy_ptr filter, envoy_dynamic_module_type_module_buffer key,
    envoy_dynamic_module_type_envoy_buffer* value_out);
typedef bool envoy_dynamic_module_callback_network_set_filter_state_bytes_fn(
    envoy_dynamic_module_type_network_filter_envoy_ptr filter, envoy_dynamic_module_type_module_buffer key,
    envoy_dynamic_module_type_module_buffer value);
typedef bool envoy_dynamic_module_callback_network_get_dynamic_metadata_string_fn(
    envoy_dynamic_module_type_network_filter_envoy_ptr filter, envoy_dynamic_module_type_module_buffer name_space,
    envoy_dynamic_module_type_module_buffer key, envoy_dynamic_module_type_envoy_buffer* value_out);
typedef bool envoy_dynamic_module_callback_network_get_dynamic_metadata_number_fn(
    envoy_dynamic_module_type_network_filter_envoy_ptr filter, envoy_dynamic_module_type_module_buffer name_space,
    envoy_dynamic_module_type_module_buffer key, double* value_out);

/* A connection's scheduler, as a stream's. */
typedef envoy_dynamic_module_type_network_filter_scheduler_module_ptr envoy_dynamic_module_callback_network_filter_scheduler_new_fn(
    envoy_dynamic_module_type_network_filter_envoy_ptr filter);
typedef void envoy_dynamic_module_callback_network_filter_scheduler_commit_fn(
    envoy_dynamic_module_type_network_filter_scheduler_module_ptr scheduler, uint64_t event_id);
typedef void envoy_dynamic_module_callback_network_filter_scheduler_delete_fn(
    envoy_dynamic_module_type_network_filter_scheduler_module_ptr scheduler);

/* A call with one answer, as that of an extension; it ends with the connection. No hook comes while it is being started. */
typedef envoy_dynamic_module_type_http_callout_init_result envoy_dynamic_module_callback_network_filter_http_callout_fn(
    envoy_dynamic_module_type_network_filter_envoy_ptr filter, uint64_t* callout_id,
    envoy_dynamic_module_type_module_buffer cluster, envoy_dynamic_module_type_module_http_header* headers,
    size_t headers_length, envoy_dynamic_module_type_module_buffer body, uint64_t timeout_milliseconds);

/* Hooks. As those of HTTP filters; a null filter closes the connection (to 1.38: has its hooks called with null). */
typedef envoy_dynamic_module_type_network_filter_config_module_ptr envoy_dynamic_module_on_network_filter_config_new_fn(
    envoy_dynamic_module_type_network_filter_config_envoy_ptr config_envoy,
    envoy_dynamic_module_type_envoy_buffer name, envoy_dynamic_module_type_envoy_buffer config);
typedef void envoy_dynamic_module_on_network_filter_config_destroy_fn(
    envoy_dynamic_module_type_network_filter_config_module_ptr config);
typedef void envoy_dynamic_module_on_network_filter_config_scheduled_fn(
    envoy_dynamic_module_type_network_filter_config_module_ptr config, uint64_t event_id);
typedef envoy_dynamic_module_type_network_filter_module_ptr envoy_dynamic_module_on_network_filter_new_fn(
    envoy_dynamic_module_type_network_filter_config_module_ptr config,
    envoy_dynamic_module_type_network_filter_envoy_ptr filter_envoy);
typedef envoy_dynamic_module_type_on_network_filter_data_status envoy_dynamic_module_on_network_filter_new_connection_fn(
    envoy_dynamic_module_type_network_filter_envoy_ptr filter_envoy,
    envoy_dynamic_module_type_network_filter_module_ptr filter);
typedef envoy_dynamic_module_type_on_network_filter_data_status envoy_dynamic_module_on_network_filter_read_fn(
    envoy_dynamic_module_type_network_filter_envoy_ptr filter_envoy,
    envoy_dynamic_module_type_network_filter_module_ptr filter, size_t data_length, bool end_of_stream);
typedef envoy_dynamic_module_type_on_network_filter_data_status envoy_dynamic_module_on_network_filter_write_fn(
    envoy_dynamic_module_type_network_filter_envoy_ptr filter_envoy,
    envoy_dynamic_module_type_network_filter_module_ptr filter, size_t data_length, bool end_of_stream);
typedef void envoy_dynamic_module_on_network_filter_event_fn(
    envoy_dynamic_module_type_network_filter_envoy_ptr filter_envoy,
    envoy_dynamic_module_type_network_filter_module_ptr filter,
    envoy_dynamic_module_type_network_connection_event event);
typedef void envoy_dynamic_module_on_network_filter_http_callout_done_fn(
    envoy_dynamic_module_type_network_filter_envoy_ptr filter_envoy,
    envoy_dynamic_module_type_network_filter_module_ptr filter, uint64_t callout_id,
    envoy_dynamic_module_type_http_callout_result result, envoy_dynamic_module_type_envoy_http_header* headers,
    size_t headers_length, envoy_dynamic_module_type_envoy_buffer* body_chunks, size_t body_chunks_length);
typedef void envoy_dynamic_module_on_network_filter_destroy_fn(
    envoy_dynamic_module_type_network_filter_module_ptr filter);
typedef void envoy_dynamic_module_on_network_filter_scheduled_fn(
    envoy_dynamic_module_type_network_filter_envoy_ptr filter_envoy,
    envoy_dynamic_module_type_network_filter_module_ptr filter, uint64_t event_id);
typedef void envoy_dynamic_module_on_network_filter_above_write_buffer_high_watermark_fn(
    envoy_dynamic_module_type_network_filter_envoy_ptr filter_envoy,
    envoy_dynamic_module_type_network_filter_module_ptr filter);
typedef void envoy_dynamic_module_on_network_filter_below_write_buffer_low_watermark_fn(
    envoy_dynamic_module_type_network_filter_envoy_ptr filter_envoy,
    envoy_dynamic_module_type_network_filter_module_ptr filter);

#ifdef __cplusplus
}
#endif

#endif /* GRAFT_ENVOY_DYNAMIC_MODULE_H */
