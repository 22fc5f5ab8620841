//! The table of hooks, for the compiler to compare with the header.

#[allow(clippy::wildcard_imports, reason = "the hooks by their names")]
use super::*;
use super::{access_logger, network, watermarks};

/// Every hook of the header. A hook that is declared and not exported, or exported with another signature, does not
/// compile.
#[cfg_attr(not(test), expect(dead_code, reason = "that it compiles is what it is for"))]
pub(super) const HOOKS: raw::graft_hook_table = raw::graft_hook_table {
    on_program_init: Some(envoy_dynamic_module_on_program_init),
    on_http_filter_config_new: Some(envoy_dynamic_module_on_http_filter_config_new),
    on_http_filter_config_destroy: Some(envoy_dynamic_module_on_http_filter_config_destroy),
    on_http_filter_config_scheduled: Some(envoy_dynamic_module_on_http_filter_config_scheduled),
    on_http_filter_config_http_callout_done: Some(
        envoy_dynamic_module_on_http_filter_config_http_callout_done,
    ),
    on_http_filter_config_http_stream_headers: Some(
        calls::envoy_dynamic_module_on_http_filter_config_http_stream_headers,
    ),
    on_http_filter_config_http_stream_data: Some(
        calls::envoy_dynamic_module_on_http_filter_config_http_stream_data,
    ),
    on_http_filter_config_http_stream_trailers: Some(
        calls::envoy_dynamic_module_on_http_filter_config_http_stream_trailers,
    ),
    on_http_filter_config_http_stream_complete: Some(
        calls::envoy_dynamic_module_on_http_filter_config_http_stream_complete,
    ),
    on_http_filter_config_http_stream_reset: Some(
        calls::envoy_dynamic_module_on_http_filter_config_http_stream_reset,
    ),
    on_http_filter_per_route_config_new: Some(envoy_dynamic_module_on_http_filter_per_route_config_new),
    on_http_filter_per_route_config_destroy: Some(
        envoy_dynamic_module_on_http_filter_per_route_config_destroy,
    ),
    on_http_filter_new: Some(envoy_dynamic_module_on_http_filter_new),
    on_http_filter_request_headers: Some(envoy_dynamic_module_on_http_filter_request_headers),
    on_http_filter_request_body: Some(envoy_dynamic_module_on_http_filter_request_body),
    on_http_filter_request_trailers: Some(envoy_dynamic_module_on_http_filter_request_trailers),
    on_http_filter_response_headers: Some(envoy_dynamic_module_on_http_filter_response_headers),
    on_http_filter_response_body: Some(envoy_dynamic_module_on_http_filter_response_body),
    on_http_filter_response_trailers: Some(envoy_dynamic_module_on_http_filter_response_trailers),
    on_http_filter_local_reply: Some(envoy_dynamic_module_on_http_filter_local_reply),
    on_http_filter_stream_complete: Some(envoy_dynamic_module_on_http_filter_stream_complete),
    on_http_filter_destroy: Some(envoy_dynamic_module_on_http_filter_destroy),
    on_http_filter_scheduled: Some(envoy_dynamic_module_on_http_filter_scheduled),
    on_http_filter_downstream_above_write_buffer_high_watermark: Some(
        watermarks::envoy_dynamic_module_on_http_filter_downstream_above_write_buffer_high_watermark,
    ),
    on_http_filter_downstream_below_write_buffer_low_watermark: Some(
        watermarks::envoy_dynamic_module_on_http_filter_downstream_below_write_buffer_low_watermark,
    ),
    on_http_filter_http_callout_done: Some(calls::envoy_dynamic_module_on_http_filter_http_callout_done),
    on_http_filter_http_stream_headers: Some(calls::envoy_dynamic_module_on_http_filter_http_stream_headers),
    on_http_filter_http_stream_data: Some(calls::envoy_dynamic_module_on_http_filter_http_stream_data),
    on_http_filter_http_stream_trailers: Some(
        calls::envoy_dynamic_module_on_http_filter_http_stream_trailers,
    ),
    on_http_filter_http_stream_complete: Some(
        calls::envoy_dynamic_module_on_http_filter_http_stream_complete,
    ),
    on_http_filter_http_stream_reset: Some(calls::envoy_dynamic_module_on_http_filter_http_stream_reset),
    on_access_logger_config_new: Some(access_logger::envoy_dynamic_module_on_access_logger_config_new),
    on_access_logger_config_destroy: Some(
        access_logger::envoy_dynamic_module_on_access_logger_config_destroy,
    ),
    on_access_logger_new: Some(access_logger::envoy_dynamic_module_on_access_logger_new),
    on_access_logger_log: Some(access_logger::envoy_dynamic_module_on_access_logger_log),
    on_access_logger_destroy: Some(access_logger::envoy_dynamic_module_on_access_logger_destroy),
    on_access_logger_flush: Some(access_logger::envoy_dynamic_module_on_access_logger_flush),
    on_network_filter_config_new: Some(network::envoy_dynamic_module_on_network_filter_config_new),
    on_network_filter_config_destroy: Some(network::envoy_dynamic_module_on_network_filter_config_destroy),
    on_network_filter_config_scheduled: Some(
        network::envoy_dynamic_module_on_network_filter_config_scheduled,
    ),
    on_network_filter_new: Some(network::envoy_dynamic_module_on_network_filter_new),
    on_network_filter_new_connection: Some(network::envoy_dynamic_module_on_network_filter_new_connection),
    on_network_filter_read: Some(network::envoy_dynamic_module_on_network_filter_read),
    on_network_filter_write: Some(network::envoy_dynamic_module_on_network_filter_write),
    on_network_filter_event: Some(network::envoy_dynamic_module_on_network_filter_event),
    on_network_filter_http_callout_done: Some(
        network::envoy_dynamic_module_on_network_filter_http_callout_done,
    ),
    on_network_filter_destroy: Some(network::envoy_dynamic_module_on_network_filter_destroy),
    on_network_filter_scheduled: Some(network::envoy_dynamic_module_on_network_filter_scheduled),
    on_network_filter_above_write_buffer_high_watermark: Some(
        watermarks::envoy_dynamic_module_on_network_filter_above_write_buffer_high_watermark,
    ),
    on_network_filter_below_write_buffer_low_watermark: Some(
        watermarks::envoy_dynamic_module_on_network_filter_below_write_buffer_low_watermark,
    ),
    on_bootstrap_extension_config_new: Some(
        bootstrap::envoy_dynamic_module_on_bootstrap_extension_config_new,
    ),
    on_bootstrap_extension_config_destroy: Some(
        bootstrap::envoy_dynamic_module_on_bootstrap_extension_config_destroy,
    ),
    on_bootstrap_extension_new: Some(bootstrap::envoy_dynamic_module_on_bootstrap_extension_new),
    on_bootstrap_extension_destroy: Some(bootstrap::envoy_dynamic_module_on_bootstrap_extension_destroy),
    on_bootstrap_extension_server_initialized: Some(
        bootstrap::envoy_dynamic_module_on_bootstrap_extension_server_initialized,
    ),
    on_bootstrap_extension_worker_thread_initialized: Some(
        bootstrap::envoy_dynamic_module_on_bootstrap_extension_worker_thread_initialized,
    ),
    on_bootstrap_extension_drain_started: Some(
        bootstrap::envoy_dynamic_module_on_bootstrap_extension_drain_started,
    ),
    on_bootstrap_extension_shutdown: Some(bootstrap::envoy_dynamic_module_on_bootstrap_extension_shutdown),
    on_bootstrap_extension_config_scheduled: Some(
        bootstrap::envoy_dynamic_module_on_bootstrap_extension_config_scheduled,
    ),
    on_bootstrap_extension_http_callout_done: Some(
        bootstrap::envoy_dynamic_module_on_bootstrap_extension_http_callout_done,
    ),
    on_bootstrap_extension_timer_fired: Some(
        bootstrap::envoy_dynamic_module_on_bootstrap_extension_timer_fired,
    ),
    on_bootstrap_extension_file_changed: Some(
        bootstrap::envoy_dynamic_module_on_bootstrap_extension_file_changed,
    ),
    on_bootstrap_extension_admin_request: Some(
        bootstrap::envoy_dynamic_module_on_bootstrap_extension_admin_request,
    ),
    on_bootstrap_extension_cluster_add_or_update: Some(
        bootstrap::envoy_dynamic_module_on_bootstrap_extension_cluster_add_or_update,
    ),
    on_bootstrap_extension_cluster_removal: Some(
        bootstrap::envoy_dynamic_module_on_bootstrap_extension_cluster_removal,
    ),
    on_bootstrap_extension_listener_add_or_update: Some(
        bootstrap::envoy_dynamic_module_on_bootstrap_extension_listener_add_or_update,
    ),
    on_bootstrap_extension_listener_removal: Some(
        bootstrap::envoy_dynamic_module_on_bootstrap_extension_listener_removal,
    ),
};
