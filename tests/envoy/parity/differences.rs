//! What differs between the built-in filter and Graft, line by line, and why.
//!
//! A line is a [`Change::summary`](super::observe::Change::summary), without the place: `-` is what only the
//! built-in filter does, `+` what only Graft does; a line with both signs is one that stands elsewhere. A line
//! that differs in several places of a scenario is declared once. The lines of a scenario must be exactly those
//! that are declared here for it: one more fails, and so does one that is no longer seen.

mod calls;
mod foreign;
mod isolation;

/// A difference and its reason.
pub struct Difference {
    /// One sentence for the users of both filters.
    pub reason: &'static str,
    /// The scenarios in which it shows, and their lines.
    pub shows_in: &'static [(&'static str, &'static [&'static str])],
}

/// Every declared difference.
pub fn all() -> impl Iterator<Item = &'static Difference> {
    OF_STREAMS.iter().chain(calls::ALL)
}

/// Differences that need no call.
const OF_STREAMS: &[Difference] = &[
    Difference {
        reason: "Properties of a connection can be read from `proxy_on_new_connection` on, and not yet while its context is \
            created.",
        shows_in: &[(
            "connection_properties_and_maps",
            &[
                "- log info: property-status source.address -> 0",
                "- log info: property-size source.port -> 0 8 bytes",
                "- log info: property-status destination.address -> 0",
                "- log info: property-size destination.port -> 0 8 bytes",
                "- log info: property-size connection.id -> 0 8 bytes",
                "- log info: property-int connection.mtls -> 0 0",
                "- log info: property connection.requested_server_name -> 0 (null)",
                "+ log info: property-status source.address -> 1",
                "+ log info: property-size source.port -> 1",
                "+ log info: property-status destination.address -> 1",
                "+ log info: property-size destination.port -> 1",
                "+ log info: property-size connection.id -> 1",
                "+ log info: property-int connection.mtls -> 1",
                "+ log info: property connection.requested_server_name -> 1",
                "- log info: property-size request.time -> 0 8 bytes",
                "+ log info: property-size request.time -> 1",
                "- log info: property-int xds.listener_direction -> 0 0",
                "+ log info: property-int xds.listener_direction -> 1",
            ],
        )],
    },
    Difference {
        reason: "An access logger does not see filter state, and so not the properties that the filter of its plugin has \
            set: Envoy shows none to the loggers of dynamic modules.",
        shows_in: &[(
            "a_filter_that_is_a_logger_too",
            &[
                "- log info: property mine -> 0 \"value\"",
                "- log info: property filter_state wasm.mine -> 0 \"value\"",
                "+ log info: property mine -> 1",
                "+ log info: property filter_state wasm.mine -> 1",
            ],
        )],
    },
    Difference {
        reason: "The filter's stream is done before the access loggers run, because that is when Envoy tells a dynamic \
            module last of everything about the exchange. With the built-in filter it is done after them.",
        shows_in: &[(
            "a_filter_that_is_a_logger_too",
            &["- log info: on_done stream", "+ log info: on_done stream"],
        )],
    },
    Difference {
        reason: "The stream after one that trapped is served by a fresh VM. The built-in filter serves none any more, \
            unless the policy is FAIL_RELOAD.",
        shows_in: &[(
            "streams_after_a_panic",
            &[
                "- status: 503",
                "+ upstream saw: POST /",
                "+ upstream saw header: host: example.test",
                "+ upstream saw header: x-do: nothing",
                "+ upstream saw header: x-forwarded-proto: http",
                "+ upstream saw header: transfer-encoding: chunked",
                "+ upstream saw body: request one, request two",
                "+ upstream saw trailer: x-request-trailer: value",
                "+ status: 200",
                "- header: connection: close",
                "- header: content-length: 0",
                "- body: ",
                "+ header: transfer-encoding: chunked",
                "+ body: answer one, answer two",
                "+ trailer: x-response-trailer: value",
                "- access log: 503 wasm_fail_stream -",
                "+ access log: 200 via_upstream -",
                "+ log info: on_context_create stream",
                "+ log info: on_request_headers stream 6 eos=0",
                "+ log info: on_request_body stream 13 eos=0",
                "+ log info: on_request_body stream 11 eos=0",
                "+ log info: on_request_trailers stream 1",
                "+ log info: on_response_headers stream 2 eos=0",
                "+ log info: on_response_body stream 12 eos=0",
                "+ log info: on_response_body stream 10 eos=0",
                "+ log info: on_response_trailers stream 1",
                "+ log info: on_log stream",
                "+ log info: on_done stream",
                "+ log info: on_delete stream",
            ],
        )],
    },
    Difference {
        reason: "With FAIL_OPEN the stream whose callback trapped goes on without the plugin, and later ones run it \
            in a fresh VM. The built-in filter fails that stream with 503 and lets later ones pass unfiltered.",
        shows_in: &[(
            "failures_that_pass",
            &[
                "- status: 503",
                "+ upstream saw: POST /everything?x=1",
                "+ upstream saw header: host: example.test",
                "+ upstream saw header: x-request: request value",
                "+ upstream saw header: x-forwarded-proto: http",
                "+ upstream saw header: transfer-encoding: chunked",
                "+ upstream saw body: request one, request two",
                "+ upstream saw trailer: x-request-trailer: request trailer value",
                "+ status: 200",
                "+ header: x-response: response value",
                "- header: connection: close",
                "- header: content-length: 0",
                "- body: ",
                "+ header: transfer-encoding: chunked",
                "+ body: answer one, answer two",
                "+ trailer: x-response-trailer: response trailer value",
                "- end: Broken",
                "+ end: Complete",
                "- access log: 503 wasm_fail_stream -",
                "+ access log: 200 via_upstream -",
                "- access log: 200 wasm_fail_stream -",
                "+ log info: on_context_create stream",
                "+ log info: on_request_headers stream 6 eos=0",
                r"+ log error: \nthread '<unnamed>' (1) panicked at *:\nas told",
                "+ log error: note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace",
                "+ log info: on_request_body stream 13 eos=0",
                "+ log info: on_request_body stream 11 eos=0",
                "+ log info: on_request_trailers stream 1",
                "+ log info: on_response_headers stream 2 eos=0",
                "+ log info: on_response_body stream 12 eos=0",
                "+ log info: on_response_body stream 10 eos=0",
                "+ log info: on_response_trailers stream 1",
            ],
        )],
    },
    Difference {
        reason: "A local response without details has the details `dynamic_module`: Envoy puts them where a module \
            gives none.",
        shows_in: &[
            (
                "replies_that_answer",
                &[
                    "- access log: 401  -",
                    "+ access log: 401 dynamic_module -",
                    r#"+ log info: property response.code_details -> 0 "dynamic_module""#,
                    "- log info: property response.code_details -> 0 (null)",
                ],
            ),
            (
                "reply_from_request_headers",
                &[
                    "- access log: 403  -",
                    "+ access log: 403 dynamic_module -",
                    "- access log: 204  -",
                    "+ access log: 204 dynamic_module -",
                    "- log info: property response.code_details -> 0 (null)",
                    r#"+ log info: property response.code_details -> 0 "dynamic_module""#,
                ],
            ),
            (
                "reply_from_request_body",
                &[
                    "- access log: 403  -",
                    "+ access log: 403 dynamic_module -",
                    "- access log: 204  -",
                    "+ access log: 204 dynamic_module -",
                    "- log info: property response.code_details -> 0 (null)",
                    r#"+ log info: property response.code_details -> 0 "dynamic_module""#,
                ],
            ),
            (
                "reply_from_request_trailers",
                &[
                    "- access log: 403  -",
                    "+ access log: 403 dynamic_module -",
                    "- access log: 204  -",
                    "+ access log: 204 dynamic_module -",
                    "- log info: property response.code_details -> 0 (null)",
                    r#"+ log info: property response.code_details -> 0 "dynamic_module""#,
                ],
            ),
            (
                "reply_from_response_headers",
                &[
                    "- access log: 403  -",
                    "+ access log: 403 dynamic_module -",
                    "- access log: 204  -",
                    "+ access log: 204 dynamic_module -",
                    "- log info: property response.code_details -> 0 (null)",
                    r#"+ log info: property response.code_details -> 0 "dynamic_module""#,
                ],
            ),
            (
                "reply_from_response_body",
                &[
                    "- access log: 200  -",
                    "+ access log: 200 dynamic_module -",
                    "- log info: property response.code_details -> 0 (null)",
                    r#"+ log info: property response.code_details -> 0 "dynamic_module""#,
                ],
            ),
            (
                "reply_from_response_trailers",
                &[
                    "- access log: 200  -",
                    "+ access log: 200 dynamic_module -",
                    "- log info: property response.code_details -> 0 (null)",
                    r#"+ log info: property response.code_details -> 0 "dynamic_module""#,
                ],
            ),
            ("reply_to_grpc", &["- access log: 200  -", "+ access log: 200 dynamic_module -"]),
            (
                "reply_with_odd_arguments",
                &[
                    "- access log: 0  -",
                    "- access log: 99  -",
                    "- access log: 1000  -",
                    "- access log: 65535  -",
                    "+ access log: 0 dynamic_module -",
                    "+ access log: 99 dynamic_module -",
                    "+ access log: 1000 dynamic_module -",
                    "+ access log: 65535 dynamic_module -",
                    "- access log: 200  -",
                    "+ access log: 200 dynamic_module -",
                    "- log info: property response.code_details -> 0 (null)",
                    r#"+ log info: property response.code_details -> 0 "dynamic_module""#,
                ],
            ),
            (
                "reply_twice",
                &[
                    "- access log: 401  -",
                    "- access log: 402  -",
                    "+ access log: 401 dynamic_module -",
                    "+ access log: 402 dynamic_module -",
                    "- log info: property response.code_details -> 0 (null)",
                    r#"+ log info: property response.code_details -> 0 "dynamic_module""#,
                ],
            ),
            ("rust_sdk", &["- access log: 418  -", "+ access log: 418 dynamic_module -"]),
            ("go_sdk", &["- access log: 418  -", "+ access log: 418 dynamic_module -"]),
        ],
    },
    Difference {
        reason: "A stream that a plugin closes has no response code details: Envoy does not keep those of a module's \
            reset.",
        shows_in: &[
            ("replies_that_answer", &["- access log: 0 wasm_close_stream -", "+ access log: 0 - -"]),
            ("held_streams_resumed", &["- access log: 0 wasm_close_stream -", "+ access log: 0 - -"]),
            (
                "close_from_each_callback",
                &[
                    "- access log: 0 wasm_close_stream -",
                    "+ access log: 0 - -",
                    r#"- log info: property response.code_details -> 0 "wasm_close_stream""#,
                    "+ log info: property response.code_details -> 1",
                ],
            ),
        ],
    },
    Difference {
        reason: "Envoy adds the length and type of a module's local response after the module has seen it. So they \
            stand behind what the plugin adds, and a plugin cannot take the length away.",
        shows_in: &[
            (
                "rust_sdk",
                &[
                    "- header: content-type: text/plain",
                    "+ header: content-length: 26",
                    "+ header: content-type: text/plain",
                    "- header: transfer-encoding: chunked",
                ],
            ),
            (
                "go_sdk",
                &[
                    "- header: content-type: text/plain",
                    "+ header: content-length: 26",
                    "+ header: content-type: text/plain",
                    "- header: transfer-encoding: chunked",
                ],
            ),
            (
                "assemblyscript",
                &["+ header: x-greeting: assemblyscript", "- header: x-greeting: assemblyscript"],
            ),
        ],
    },
    Difference {
        reason: "In a local response to a gRPC call the status stands before the content type, because Envoy adds the \
            type last.",
        shows_in: &[(
            "reply_to_grpc",
            &["- header: content-type: application/grpc", "+ header: content-type: application/grpc"],
        )],
    },
    Difference {
        reason: "A header with an empty value cannot be written: up to Envoy 1.40.0 its callbacks take an empty value \
            for a removal.",
        shows_in: &[(
            "empty_header_values",
            &[
                "- upstream saw header: x-empty: ",
                "- upstream saw header: x-one: ",
                "- header: x-empty: ",
                "- header: x-one: ",
                "- log info: get request x-empty -> 0 (null)",
                "+ log info: get request x-empty -> 1",
                "- log info: get request x-one -> 0 (null)",
                "+ log info: get request x-one -> 1",
                "- log info: get response x-empty -> 0 (null)",
                "+ log info: get response x-empty -> 1",
                "- log info: get response x-one -> 0 (null)",
                "+ log info: get response x-one -> 1",
            ],
        )],
    },
    Difference {
        reason: "Trailers cannot be created where the peer sent none: Envoy has no callback for it.",
        shows_in: &[(
            "trailers_created",
            &[
                "- upstream saw trailer: x-created: created",
                "- trailer: x-created: created",
                "- log info: add request-trailers x-created created -> 0",
                "- log info: pairs request-trailers -> 0 [x-created=created]",
                "+ log info: add request-trailers x-created created -> 2",
                "+ log info: pairs request-trailers -> 0 (null)",
                "- log info: add response-trailers x-created created -> 0",
                "- log info: pairs response-trailers -> 0 [x-created=created]",
                "+ log info: add response-trailers x-created created -> 2",
                "+ log info: pairs response-trailers -> 0 (null)",
            ],
        )],
    },
    Difference {
        reason: "Properties that no callback of Envoy serves are not found: `xds.node`, whole metadata, the time to \
            get a connection.",
        shows_in: &[
            (
                "connection_properties",
                &[
                    "- log info: property-size upstream.cx_pool_ready_duration -> 0 8 bytes",
                    "+ log info: property-size upstream.cx_pool_ready_duration -> 1",
                ],
            ),
            (
                "environment_properties",
                &[
                    r#"- start log info: property xds.node.cluster -> 0 "the-node-cluster""#,
                    r#"- start log info: property xds.node.id -> 0 "the-node""#,
                    "+ start log info: property xds.node.cluster -> 1",
                    "+ start log info: property xds.node.id -> 1",
                    "- start log info: property-status xds.node -> 0",
                    "+ start log info: property-status xds.node -> 1",
                    r#"- log info: property xds.node.id -> 0 "the-node""#,
                    r#"- log info: property xds.node.cluster -> 0 "the-node-cluster""#,
                    "- log info: property-status xds.node -> 0",
                    "- log info: property-status xds.cluster_metadata -> 0",
                    "- log info: property-status xds.route_metadata -> 0",
                    "- log info: property-status xds.listener_metadata -> 0",
                    "+ log info: property xds.node.id -> 1",
                    "+ log info: property xds.node.cluster -> 1",
                    "+ log info: property-status xds.node -> 1",
                    "+ log info: property-status xds.cluster_metadata -> 1",
                    "+ log info: property-status xds.route_metadata -> 1",
                    "+ log info: property-status xds.listener_metadata -> 1",
                    "- log info: property-status metadata -> 0",
                    "+ log info: property-status metadata -> 1",
                    "- log info: property-status xds.upstream_host_metadata -> 3",
                    "+ log info: property-status xds.upstream_host_metadata -> 1",
                ],
            ),
        ],
    },
    Difference {
        reason: "The names of properties that Envoy 1.33 removed are still served, because published plugins use \
            them.",
        shows_in: &[(
            "environment_properties",
            &[
                "- log info: property cluster_name -> 1",
                "- log info: property route_name -> 1",
                r#"+ log info: property cluster_name -> 0 "upstream""#,
                "+ log info: property route_name -> 0 (null)",
                "- log info: property-int listener_direction -> 1",
                "+ log info: property-int listener_direction -> 0 0",
            ],
        )],
    },
    Difference {
        reason: "Properties of the request and of the response are served in every callback, with headers and \
            trailers counted; the built-in filter forgets them between the callbacks in which it hands out their \
            headers.",
        shows_in: &[
            (
                "request_properties",
                &[
                    "- log info: property-size request.headers -> 0 324 bytes",
                    "+ log info: property-size request.headers -> 0 340 bytes",
                    "- log info: property-size request.duration -> 1",
                    "+ log info: property-size request.duration -> 0 8 bytes",
                    "- log info: property request.path -> 1",
                    "- log info: property request.url_path -> 1",
                    "- log info: property request.host -> 1",
                    "- log info: property request.scheme -> 1",
                    "- log info: property request.method -> 1",
                    "- log info: property request.referer -> 1",
                    "- log info: property request.useragent -> 1",
                    "- log info: property request.id -> 1",
                    r#"+ log info: property request.path -> 0 "/path/to?x=1&y=2""#,
                    r#"+ log info: property request.url_path -> 0 "/path/to""#,
                    r#"+ log info: property request.host -> 0 "example.test""#,
                    r#"+ log info: property request.scheme -> 0 "http""#,
                    r#"+ log info: property request.method -> 0 "POST""#,
                    r#"+ log info: property request.referer -> 0 "https://example.test/from""#,
                    r#"+ log info: property request.useragent -> 0 "the harness""#,
                    r#"+ log info: property request.id -> 0 "11111111-2222-3333-4444-555555555555""#,
                    "- log info: property request.query -> 1",
                    "- log info: property request headers x-request -> 1",
                    "- log info: property request headers x-twice -> 1",
                    r#"+ log info: property request.query -> 0 "x=1&y=2""#,
                    r#"+ log info: property request headers x-request -> 0 "value""#,
                    r#"+ log info: property request headers x-twice -> 0 "first,second""#,
                    "- log info: property-size request.headers -> 0 4 bytes",
                    "- log info: property-int request.total_size -> 0 24",
                    "- log info: property-int request.headers_bytes -> 0 0",
                    "+ log info: property-int request.total_size -> 0 250",
                    "+ log info: property-int request.headers_bytes -> 0 226",
                    r#"+ log info: property request.path -> 0 "/""#,
                    r#"+ log info: property request.url_path -> 0 "/""#,
                    r#"+ log info: property request.method -> 0 "GET""#,
                    "+ log info: property request.query -> 0 (null)",
                    "+ log info: property-size request.headers -> 0 124 bytes",
                    "- log info: property-int request.total_size -> 0 0",
                    "+ log info: property-int request.total_size -> 0 70",
                    "+ log info: property-int request.headers_bytes -> 0 70",
                ],
            ),
            (
                "response_properties",
                &[
                    "- log info: property response headers x-response -> 1",
                    "- log info: property-size response.headers -> 0 4 bytes",
                    r#"+ log info: property response headers x-response -> 0 "response value""#,
                    "+ log info: property-size response.headers -> 0 122 bytes",
                    "- log info: property-int response.total_size -> 0 0",
                    "- log info: property-int response.headers_bytes -> 0 0",
                    "+ log info: property-int response.total_size -> 0 78",
                    "+ log info: property-int response.headers_bytes -> 0 78",
                    "- log info: property-int response.total_size -> 0 12",
                    "+ log info: property-int response.total_size -> 0 90",
                    "- log info: property response trailers x-response-trailer -> 1",
                    "- log info: property-size response.trailers -> 0 4 bytes",
                    r#"+ log info: property response trailers x-response-trailer -> 0 "response trailer value""#,
                    "+ log info: property-size response.trailers -> 0 54 bytes",
                    "- log info: property-int response.total_size -> 0 22",
                    "+ log info: property-int response.total_size -> 0 140",
                    "+ log info: property-size response.headers -> 0 126 bytes",
                    "+ log info: property-int response.total_size -> 0 82",
                    "+ log info: property-int response.headers_bytes -> 0 82",
                    "- log info: property-int response.grpc_status -> 0 2",
                    "+ log info: property-int response.grpc_status -> 0 5",
                    "+ log info: property-size response.trailers -> 0 57 bytes",
                    "- log info: property-int response.total_size -> 0 7",
                    "+ log info: property-int response.total_size -> 0 122",
                ],
            ),
        ],
    },
    Difference {
        reason: "The buffer of call data is empty where there is no call. The built-in filter leaves in it whatever \
            was there last, here the configuration.",
        shows_in: &[(
            "buffers_in_wrong_phases",
            &[
                r#"- start log info: buffer-get foreign 0 1 -> 0 "c""#,
                "- start log info: buffer-status foreign -> 0 9297 flags=0",
                r#"- log info: buffer-get foreign 0 1 -> 0 "c""#,
                "- log info: buffer-status foreign -> 0 9297 flags=0",
                "+ log info: buffer-get foreign 0 1 -> 0 (null)",
                "+ log info: buffer-status foreign -> 0 0 flags=0",
            ],
        )],
    },
    Difference {
        reason: "A stream that another one resumes goes on after that one's callback, in an event of its own; the \
            built-in filter resumes it at once.",
        shows_in: &[("held_streams_resumed", &["- log info: on_log stream", "+ log info: on_log stream"])],
    },
    Difference {
        reason: "The line about a capability that the configuration denies is a line of the plugin, so it says which \
                 plugin; that of the built-in filter does not.",
        shows_in: &[(
            "capabilities",
            &[
                "+ log error: Attempted call to restricted proxy-wasm capability: proxy_add_header_map_value",
                "+ log error: Attempted call to restricted proxy-wasm capability: proxy_get_property",
                "+ log error: Attempted call to restricted WASI capability: random_get",
                "+ log error: Attempted call to restricted proxy-wasm capability: proxy_send_local_response",
            ],
        )],
    },
    foreign::EMPTY_RESULT,
    foreign::EXPRESSIONS,
];

/// What differs with isolation `stream` from what it is with `shared`: `-` is shared, `+` is stream.
pub const OF_ISOLATION: &[Difference] = isolation::ALL;

/// The same, where it is a matter of time whether it shows.
pub const OF_ISOLATION_AT_TIMES: &[Difference] = isolation::AT_TIMES;

/// The declared lines of a scenario, sorted.
pub fn of(scenario: &str) -> Vec<&'static str> {
    lines(all(), scenario)
}

/// The same for the kinds of isolation.
pub fn of_isolation(scenario: &str) -> Vec<&'static str> {
    lines(OF_ISOLATION, scenario)
}

/// Lines in which the kinds of isolation may differ or not, as it happens.
pub fn of_isolation_at_times(scenario: &str) -> Vec<&'static str> {
    lines(OF_ISOLATION_AT_TIMES, scenario)
}

fn lines(differences: impl IntoIterator<Item = &'static Difference>, scenario: &str) -> Vec<&'static str> {
    let mut lines: Vec<_> = differences
        .into_iter()
        .flat_map(|difference| difference.shows_in)
        .filter(|(name, _)| *name == scenario)
        .flat_map(|(_, lines)| lines.iter().copied())
        .collect();
    lines.sort_unstable();
    lines
}

#[cfg(test)]
mod tests {
    use super::super::scenarios;
    use super::*;

    #[test]
    fn every_difference_names_a_scenario_that_there_is() {
        for (name, lines) in
            all().chain(OF_ISOLATION).chain(OF_ISOLATION_AT_TIMES).flat_map(|difference| difference.shows_in)
        {
            assert!(scenarios::ALL.iter().any(|(known, _)| known == name), "no scenario is called {name}");
            assert!(!lines.is_empty(), "{name} has no lines");
        }
    }

    #[test]
    fn a_line_has_one_reason() {
        for (name, _) in scenarios::ALL {
            for mut lines in [of(name), [of_isolation(name), of_isolation_at_times(name)].concat()] {
                let all = lines.len();
                lines.dedup();
                assert_eq!(lines.len(), all, "a line of {name} is declared twice");
            }
        }
    }
}
