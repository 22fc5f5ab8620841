/*
 * Two tables over include/envoy_dynamic_module.h.
 *
 * `struct graft_callback_table` has a field for each callback that Graft uses, `struct graft_hook_table` one for
 * each hook that Graft exports. Names stand here once; the types of the fields are taken from the declarations, so
 * table and header cannot disagree. bindgen turns both into Rust structs: the first is filled in by callbacks.c,
 * the second by src/exports.rs, where it makes the compiler compare every exported hook with its declaration.
 *
 * A new callback or hook: declare it in the header, name it here.
 */
#ifndef GRAFT_CALLBACKS_H
#define GRAFT_CALLBACKS_H

#include "envoy_dynamic_module.h"

#define GRAFT_CALLBACKS(ENTRY)                                          \
  /* process */                                                         \
  ENTRY(log)                                                            \
  ENTRY(log_enabled)                                                    \
  ENTRY(get_log_level)                                                  \
  ENTRY(log_v2)                                                         \
  ENTRY(get_concurrency)                                                \
  ENTRY(is_validation_mode)                                             \
  /* HTTP filter configuration */                                       \
  ENTRY(http_filter_config_define_counter)                              \
  ENTRY(http_filter_config_define_gauge)                                \
  ENTRY(http_filter_config_define_histogram)                            \
  ENTRY(http_filter_config_increment_counter)                           \
  ENTRY(http_filter_config_increment_gauge)                             \
  ENTRY(http_filter_config_decrement_gauge)                             \
  ENTRY(http_filter_config_set_gauge)                                   \
  ENTRY(http_filter_config_record_histogram_value)                      \
  /* headers and trailers */                                            \
  ENTRY(http_get_header)                                                \
  ENTRY(http_get_headers_size)                                          \
  ENTRY(http_get_headers)                                               \
  ENTRY(http_add_header)                                                \
  ENTRY(http_set_header)                                                \
  /* body */                                                            \
  ENTRY(http_get_body_size)                                             \
  ENTRY(http_get_body_chunks_size)                                      \
  ENTRY(http_get_body_chunks)                                           \
  ENTRY(http_append_body)                                               \
  ENTRY(http_drain_body)                                                \
  ENTRY(http_received_buffered_request_body)                            \
  ENTRY(http_received_buffered_response_body)                           \
  /* attributes, metadata, filter state */                              \
  ENTRY(http_filter_get_attribute_string)                               \
  ENTRY(http_filter_get_attribute_int)                                  \
  ENTRY(http_filter_get_attribute_bool)                                 \
  ENTRY(http_get_metadata_string)                                       \
  ENTRY(http_get_metadata_number)                                       \
  ENTRY(http_get_metadata_bool)                                         \
  ENTRY(http_get_metadata_keys_count)                                   \
  ENTRY(http_get_metadata_keys)                                         \
  ENTRY(http_get_metadata_namespaces_count)                             \
  ENTRY(http_get_metadata_namespaces)                                   \
  ENTRY(http_get_metadata_list_size)                                    \
  ENTRY(http_get_metadata_list_string)                                  \
  ENTRY(http_get_metadata_list_number)                                  \
  ENTRY(http_get_metadata_list_bool)                                    \
  ENTRY(http_set_dynamic_metadata_string)                               \
  ENTRY(http_set_dynamic_metadata_number)                               \
  ENTRY(http_set_dynamic_metadata_bool)                                 \
  ENTRY(http_get_filter_state_bytes)                                    \
  ENTRY(http_set_filter_state_bytes)                                    \
  ENTRY(http_get_filter_state_typed)                                    \
  ENTRY(http_set_filter_state_typed)                                    \
  ENTRY(http_set_filter_state_value)                                    \
  ENTRY(http_get_active_span)                                           \
  ENTRY(http_span_set_tag)                                              \
  ENTRY(http_span_log)                                                  \
  ENTRY(http_span_spawn_child)                                          \
  ENTRY(http_child_span_finish)                                         \
  /* stream control */                                                  \
  ENTRY(http_send_response)                                             \
  ENTRY(http_send_response_headers)                                     \
  ENTRY(http_send_response_data)                                        \
  ENTRY(http_send_response_trailers)                                    \
  ENTRY(http_filter_continue_decoding)                                  \
  ENTRY(http_filter_continue_encoding)                                  \
  ENTRY(http_filter_reset_stream)                                       \
  ENTRY(http_clear_route_cache)                                         \
  ENTRY(http_set_upstream_override_host)                                \
  ENTRY(http_filter_scheduler_new)                                      \
  ENTRY(http_filter_scheduler_commit)                                   \
  ENTRY(http_filter_scheduler_delete)                                   \
  /* bootstrap extension */                                             \
  ENTRY(bootstrap_extension_config_signal_init_complete)                \
  ENTRY(bootstrap_extension_http_callout)                               \
  ENTRY(bootstrap_extension_config_scheduler_new)                       \
  ENTRY(bootstrap_extension_config_scheduler_commit)                    \
  ENTRY(bootstrap_extension_config_scheduler_delete)                    \
  ENTRY(bootstrap_extension_register_admin_handler)                     \
  ENTRY(bootstrap_extension_remove_admin_handler)                       \
  ENTRY(bootstrap_extension_admin_set_response)                         \
  ENTRY(bootstrap_extension_config_define_counter)                      \
  ENTRY(bootstrap_extension_config_define_gauge)                        \
  ENTRY(bootstrap_extension_config_define_histogram)                    \
  ENTRY(bootstrap_extension_config_increment_counter)                   \
  ENTRY(bootstrap_extension_config_increment_gauge)                     \
  ENTRY(bootstrap_extension_config_decrement_gauge)                     \
  ENTRY(bootstrap_extension_config_set_gauge)                           \
  ENTRY(bootstrap_extension_config_record_histogram_value)              \
  /* calls */                                                           \
  ENTRY(http_filter_http_callout)                                       \
  ENTRY(http_filter_start_http_stream)                                  \
  ENTRY(http_filter_reset_http_stream)                                  \
  ENTRY(http_stream_send_data)                                          \
  ENTRY(http_stream_send_trailers)                                      \
  ENTRY(http_filter_config_start_http_stream)                           \
  ENTRY(http_filter_config_reset_http_stream)                           \
  ENTRY(http_filter_config_stream_send_data)                            \
  ENTRY(http_filter_config_stream_send_trailers)                        \
  ENTRY(http_filter_config_scheduler_new)                               \
  ENTRY(http_filter_config_scheduler_commit)                            \
  ENTRY(http_filter_config_scheduler_delete)                            \
  ENTRY(http_get_buffer_limit)                                          \
  ENTRY(http_set_buffer_limit)                                          \
  ENTRY(http_filter_get_worker_index)                                   \
  ENTRY(http_get_cluster_name)                                          \
  ENTRY(http_get_cluster_host_count)                                    \
  ENTRY(http_get_timing_info)                                           \
  /* metrics of a stream */                                             \
  ENTRY(http_filter_increment_counter)                                  \
  ENTRY(http_filter_increment_gauge)                                    \
  ENTRY(http_filter_decrement_gauge)                                    \
  ENTRY(http_filter_set_gauge)                                          \
  ENTRY(http_filter_record_histogram_value)                             \
  /* route configuration */                                             \
  ENTRY(get_most_specific_route_config)                                 \
  /* access logger */                                                   \
  ENTRY(access_logger_config_define_counter)                            \
  ENTRY(access_logger_config_define_gauge)                              \
  ENTRY(access_logger_config_define_histogram)                          \
  ENTRY(access_logger_increment_counter)                                \
  ENTRY(access_logger_increment_gauge)                                  \
  ENTRY(access_logger_decrement_gauge)                                  \
  ENTRY(access_logger_set_gauge)                                        \
  ENTRY(access_logger_record_histogram_value)                           \
  ENTRY(access_logger_get_headers_size)                                 \
  ENTRY(access_logger_get_headers)                                      \
  ENTRY(access_logger_get_header_value)                                 \
  ENTRY(access_logger_get_response_code_details)                        \
  ENTRY(access_logger_get_protocol)                                     \
  ENTRY(access_logger_get_request_id)                                   \
  ENTRY(access_logger_get_route_name)                                   \
  ENTRY(access_logger_get_upstream_cluster)                             \
  ENTRY(access_logger_get_requested_server_name)                        \
  ENTRY(access_logger_get_downstream_tls_version)                       \
  ENTRY(access_logger_get_downstream_peer_subject)                      \
  ENTRY(access_logger_get_downstream_peer_cert_digest)                  \
  ENTRY(access_logger_get_upstream_transport_failure_reason)            \
  ENTRY(access_logger_get_downstream_local_address)                     \
  ENTRY(access_logger_get_downstream_remote_address)                    \
  ENTRY(access_logger_get_upstream_local_address)                       \
  ENTRY(access_logger_get_upstream_remote_address)                      \
  ENTRY(access_logger_get_response_code)                                \
  ENTRY(access_logger_get_response_flags)                               \
  ENTRY(access_logger_get_connection_id)                                \
  ENTRY(access_logger_get_attempt_count)                                \
  ENTRY(access_logger_is_mtls)                                          \
  ENTRY(access_logger_get_bytes_info)                                   \
  ENTRY(access_logger_get_timing_info)                                  \
  ENTRY(access_logger_get_attribute_string)                             \
  ENTRY(access_logger_get_attribute_int)                                \
  ENTRY(access_logger_get_attribute_bool)                               \
  ENTRY(access_logger_get_dynamic_metadata)                             \
  ENTRY(access_logger_get_dynamic_metadata_number)                      \
  ENTRY(access_logger_get_dynamic_metadata_bool)                        \
  /* network filter */                                                  \
  ENTRY(network_filter_config_define_counter)                           \
  ENTRY(network_filter_config_define_gauge)                             \
  ENTRY(network_filter_config_define_histogram)                         \
  ENTRY(network_filter_config_increment_counter)                        \
  ENTRY(network_filter_config_increment_gauge)                          \
  ENTRY(network_filter_config_decrement_gauge)                          \
  ENTRY(network_filter_config_set_gauge)                                \
  ENTRY(network_filter_config_record_histogram_value)                   \
  ENTRY(network_filter_config_scheduler_new)                            \
  ENTRY(network_filter_config_scheduler_commit)                         \
  ENTRY(network_filter_config_scheduler_delete)                         \
  ENTRY(network_filter_increment_counter)                               \
  ENTRY(network_filter_increment_gauge)                                 \
  ENTRY(network_filter_decrement_gauge)                                 \
  ENTRY(network_filter_set_gauge)                                       \
  ENTRY(network_filter_record_histogram_value)                          \
  ENTRY(network_filter_get_read_buffer_size)                            \
  ENTRY(network_filter_get_read_buffer_chunks_size)                     \
  ENTRY(network_filter_get_read_buffer_chunks)                          \
  ENTRY(network_filter_drain_read_buffer)                               \
  ENTRY(network_filter_prepend_read_buffer)                             \
  ENTRY(network_filter_append_read_buffer)                              \
  ENTRY(network_filter_get_write_buffer_size)                           \
  ENTRY(network_filter_get_write_buffer_chunks_size)                    \
  ENTRY(network_filter_get_write_buffer_chunks)                         \
  ENTRY(network_filter_drain_write_buffer)                              \
  ENTRY(network_filter_prepend_write_buffer)                            \
  ENTRY(network_filter_append_write_buffer)                             \
  ENTRY(network_filter_continue_reading)                                \
  ENTRY(network_filter_close_with_details)                              \
  ENTRY(network_filter_get_connection_id)                               \
  ENTRY(network_filter_get_local_address)                               \
  ENTRY(network_filter_get_remote_address)                              \
  ENTRY(network_filter_get_upstream_host_address)                       \
  ENTRY(network_filter_get_requested_server_name)                       \
  ENTRY(network_filter_get_upstream_host_cluster)                       \
  ENTRY(network_filter_get_ssl_subject)                                 \
  ENTRY(network_filter_is_ssl)                                          \
  ENTRY(network_filter_get_attribute_string)                            \
  ENTRY(network_filter_get_attribute_int)                               \
  ENTRY(network_filter_get_attribute_bool)                              \
  ENTRY(network_get_filter_state_bytes)                                 \
  ENTRY(network_set_filter_state_bytes)                                 \
  ENTRY(network_get_dynamic_metadata_string)                            \
  ENTRY(network_get_dynamic_metadata_number)                            \
  ENTRY(network_filter_http_callout)                                    \
  ENTRY(network_filter_scheduler_new)                                   \
  ENTRY(network_filter_scheduler_commit)                                \
  ENTRY(network_filter_scheduler_delete)

#define GRAFT_HOOKS(ENTRY)                                              \
  ENTRY(program_init)                                                   \
  ENTRY(http_filter_config_new)                                         \
  ENTRY(http_filter_config_destroy)                                     \
  ENTRY(http_filter_config_scheduled)                                   \
  ENTRY(http_filter_config_http_callout_done)                           \
  ENTRY(http_filter_config_http_stream_headers)                         \
  ENTRY(http_filter_config_http_stream_data)                            \
  ENTRY(http_filter_config_http_stream_trailers)                        \
  ENTRY(http_filter_config_http_stream_complete)                        \
  ENTRY(http_filter_config_http_stream_reset)                           \
  ENTRY(http_filter_per_route_config_new)                               \
  ENTRY(http_filter_per_route_config_destroy)                           \
  ENTRY(http_filter_new)                                                \
  ENTRY(http_filter_request_headers)                                    \
  ENTRY(http_filter_request_body)                                       \
  ENTRY(http_filter_request_trailers)                                   \
  ENTRY(http_filter_response_headers)                                   \
  ENTRY(http_filter_response_body)                                      \
  ENTRY(http_filter_response_trailers)                                  \
  ENTRY(http_filter_local_reply)                                        \
  ENTRY(http_filter_stream_complete)                                    \
  ENTRY(http_filter_destroy)                                            \
  ENTRY(http_filter_scheduled)                                          \
  ENTRY(http_filter_downstream_above_write_buffer_high_watermark)       \
  ENTRY(http_filter_downstream_below_write_buffer_low_watermark)        \
  ENTRY(http_filter_http_callout_done)                                  \
  ENTRY(http_filter_http_stream_headers)                                \
  ENTRY(http_filter_http_stream_data)                                   \
  ENTRY(http_filter_http_stream_trailers)                               \
  ENTRY(http_filter_http_stream_complete)                               \
  ENTRY(http_filter_http_stream_reset)                                  \
  ENTRY(bootstrap_extension_config_new)                                 \
  ENTRY(bootstrap_extension_config_destroy)                             \
  ENTRY(bootstrap_extension_new)                                        \
  ENTRY(bootstrap_extension_destroy)                                    \
  ENTRY(bootstrap_extension_server_initialized)                         \
  ENTRY(bootstrap_extension_worker_thread_initialized)                  \
  ENTRY(bootstrap_extension_drain_started)                              \
  ENTRY(bootstrap_extension_shutdown)                                   \
  ENTRY(bootstrap_extension_config_scheduled)                           \
  ENTRY(bootstrap_extension_http_callout_done)                          \
  ENTRY(bootstrap_extension_timer_fired)                                \
  ENTRY(bootstrap_extension_file_changed)                               \
  ENTRY(bootstrap_extension_admin_request)                              \
  ENTRY(bootstrap_extension_cluster_add_or_update)                      \
  ENTRY(bootstrap_extension_cluster_removal)                            \
  ENTRY(bootstrap_extension_listener_add_or_update)                     \
  ENTRY(bootstrap_extension_listener_removal)\
  ENTRY(access_logger_config_new)                                       \
  ENTRY(access_logger_config_destroy)                                   \
  ENTRY(access_logger_new)                                              \
  ENTRY(access_logger_log)                                              \
  ENTRY(access_logger_destroy)                                          \
  ENTRY(access_logger_flush)                                            \
  ENTRY(network_filter_config_new)                                      \
  ENTRY(network_filter_config_destroy)                                  \
  ENTRY(network_filter_config_scheduled)                                \
  ENTRY(network_filter_new)                                             \
  ENTRY(network_filter_new_connection)                                  \
  ENTRY(network_filter_read)                                            \
  ENTRY(network_filter_write)                                           \
  ENTRY(network_filter_event)                                           \
  ENTRY(network_filter_http_callout_done)                               \
  ENTRY(network_filter_destroy)                                         \
  ENTRY(network_filter_scheduled)                                       \
  ENTRY(network_filter_above_write_buffer_high_watermark)               \
  ENTRY(network_filter_below_write_buffer_low_watermark)

/* The loader leaves a weak reference null when the program that it runs for does not define the function. */
#define GRAFT_CALLBACK(name) \
  __attribute__((weak)) envoy_dynamic_module_callback_##name##_fn envoy_dynamic_module_callback_##name;
GRAFT_CALLBACKS(GRAFT_CALLBACK)

#define GRAFT_CALLBACK_FIELD(name) envoy_dynamic_module_callback_##name##_fn* name;
#define GRAFT_HOOK_FIELD(name) envoy_dynamic_module_on_##name##_fn* on_##name;

struct graft_callback_table {
  GRAFT_CALLBACKS(GRAFT_CALLBACK_FIELD)
};

struct graft_hook_table {
  GRAFT_HOOKS(GRAFT_HOOK_FIELD)
};

/* The callbacks of the Envoy that loaded the module. Constant once the loader has resolved the library. */
extern const struct graft_callback_table graft_callbacks;

#endif /* GRAFT_CALLBACKS_H */
