//! The scenarios, by what they are about. Each is a function, and becomes a test of its name.

use super::scenario::Scenario;

macro_rules! scenarios {
    ($($group:ident { $($name:ident),+ $(,)? })+) => {
        $(mod $group;)+

        /// Every scenario by its name, in the order of the report.
        pub const ALL: &[(&str, fn() -> Scenario)] = &[$($((stringify!($name), $group::$name)),+),+];

        mod both_hosts_agree_on {
            $($(
                #[test]
                fn $name() {
                    crate::parity::runner::run(stringify!($name), &super::$group::$name());
                }
            )+)+
        }
    };
}

scenarios! {
    headers {
        header_reads,
        request_header_writes,
        response_header_writes,
        pseudo_header_writes,
        empty_header_values,
        odd_header_pairs,
    }
    bodies {
        body_reads,
        body_edits_of_each_chunk,
        whole_bodies_replaced,
        bodies_emptied,
        chunks_held_and_dropped,
        bodies_of_a_mebibyte,
        request_body_over_the_limit,
        response_body_over_the_limit,
        response_body_over_the_limit_after_its_headers,
        bodies_without_chunks,
    }
    trailers {
        trailer_reads_and_writes,
        trailers_removed,
        trailers_created,
        trailers_over_http2,
    }
    actions {
        actions_without_bodies,
        actions_of_request_headers,
        actions_of_request_headers_that_stop_iteration,
        actions_of_request_body,
        actions_of_request_trailers,
        actions_of_response_headers,
        actions_of_response_headers_that_stop_iteration,
        actions_of_response_body,
        actions_of_response_trailers,
        held_streams_resumed,
        resumed_in_the_same_callback,
    }
    phases {
        header_maps_in_wrong_phases,
        header_map_writes_in_wrong_phases,
        buffers_in_wrong_phases,
        buffer_writes_in_wrong_phases,
        stream_control_at_the_start,
        stream_control_at_the_end,
        unknown_numbers,
        other_contexts,
    }
    replies {
        reply_from_request_headers,
        reply_from_request_body,
        reply_from_request_trailers,
        reply_from_response_headers,
        reply_from_response_body,
        reply_from_response_trailers,
        reply_to_grpc,
        reply_with_odd_arguments,
        reply_twice,
        answers_of_others,
        close_from_each_callback,
    }
    failures {
        panic_in_each_callback,
        panic_in_a_later_callback,
        panic_in_context_create,
        streams_after_a_panic,
        traps_of_all_kinds,
        failures_that_pass,
    }
    properties {
        request_properties,
        response_properties,
        connection_properties,
        environment_properties,
        properties_set_by_the_plugin,
    }
    foreign {
        compression,
        expressions,
        expressions_out_of_place,
        signatures,
        signing,
        declared_properties,
        filter_state_objects,
        foreign_calls_that_fail,
    }
    system {
        metrics,
        logs,
        clocks_and_random,
        environment_variables,
        configurations,
        route_cache,
        capabilities,
    }
    callouts {
        http_callouts_from_each_callback,
        http_callouts_refused_at_once,
        http_callouts_that_fail,
        http_callout_messages,
        parallel_http_callouts,
        http_callouts_in_replies,
        replies_read_at_wrong_times,
        replies_that_resume,
        replies_that_edit,
        replies_that_answer,
        replies_after_the_stream,
        http_callouts_of_root_contexts,
        names_resolved,
        names_resolved_for_streams,
    }
    grpc {
        grpc_calls,
        grpc_metadata,
        grpc_calls_that_fail,
        grpc_services,
        grpc_calls_cancelled,
        grpc_streams,
        grpc_streams_that_fail,
        grpc_streams_cancelled,
        grpc_reads_at_wrong_times,
        grpc_of_root_contexts,
    }
    state {
        shared_data,
        shared_data_of_other_vms,
        queues,
        queues_between_vms,
        ticks,
        tick_periods_changed,
    }
    access_logs {
        logged_exchanges,
        exchanges_that_never_reached_a_filter,
        hostcalls_while_a_root_logs,
        a_filter_that_is_a_logger_too,
        a_logger_that_traps,
    }
    connections {
        connection_callbacks,
        connection_bytes,
        connections_held,
        connections_closed,
        connection_properties_and_maps,
        connection_properties_set,
        connections_that_trap,
    }
    sdks {
        rust_sdk,
        go_sdk,
        assemblyscript,
        cpp,
        abi_0_1_0,
        example_add_header,
        example_request_id_guard,
        example_redact_body,
    }
}
