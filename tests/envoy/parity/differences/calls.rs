//! What differs in callouts and gRPC.

use super::Difference;

/// Declared differences of calls.
pub const ALL: &[Difference] = &[
    Difference {
        reason: "A call to a cluster that there is not is accepted, and its reply says that it failed: where the call is made \
            is known only when the plugin has said whether the stream waits for it. The built-in filter refuses it at once.",
        shows_in: &[
            (
                "http_callouts_refused_at_once",
                &[
                    r#"- log info: http-call nowhere 1000 "" :method GET :authority a :path /echo -> 2"#,
                    r#"- log info: http-call "" 1000 "" :method GET :authority a :path /echo -> 2"#,
                    r#"+ log info: http-call nowhere 1000 "" :method GET :authority a :path /echo -> 0"#,
                    r#"+ log info: http-call "" 1000 "" :method GET :authority a :path /echo -> 0"#,
                    "+ log info: on_http_call_response root 0 0 0",
                ],
            ),
            (
                "http_callouts_in_replies",
                &[
                    "- log info: call-status -> 0 0 (null)",
                    "+ log info: call-status -> 0 11 (null)",
                    r#"- log info: http-call nowhere 1000 "" :method GET :authority a :path / -> 2"#,
                    r#"+ log info: http-call nowhere 1000 "" :method GET :authority a :path / -> 0"#,
                    "+ log info: on_http_call_response root 0 0 0",
                    r#"+ log info: call-status -> 0 11 "reset""#,
                ],
            ),
            (
                "http_callouts_of_root_contexts",
                &[
                    "- start log info: call-status -> 0 0 (null)",
                    r#"+ start log info: call-status -> 0 11 "reset""#,
                    "+ start log info: call-status -> 0 11 (null)",
                    "+ start log info: get call :status -> 2",
                    r#"- start log info: http-call nowhere 1000 "" :method GET :authority a :path / -> 2"#,
                    r#"+ start log info: http-call nowhere 1000 "" :method GET :authority a :path / -> 0"#,
                    "+ start log info: on_http_call_response root 0 0 0",
                ],
            ),
            (
                "grpc_services",
                &[
                    "- log info: grpc-call nowhere graft.test.Echo Say message 5000 -> 4",
                    "- log info: grpc-cancel -> 2",
                    "- log info: grpc-stream nowhere graft.test.Echo Chat -> 4",
                    "+ log info: grpc-call nowhere graft.test.Echo Say message 5000 -> 0",
                    "+ log info: grpc-cancel -> 0",
                    "+ log info: grpc-stream nowhere graft.test.Echo Chat -> 0",
                    r#"- log info: grpc-call "\\x0a\\x09\\x0a\\x07nowhere" graft.test.Echo Say message 5000 -> 10"#,
                    r#"- log info: grpc-stream "\\x0a\\x09\\x0a\\x07nowhere" graft.test.Echo Chat -> 10"#,
                    r#"+ log info: grpc-call "\\x0a\\x09\\x0a\\x07nowhere" graft.test.Echo Say message 5000 -> 0"#,
                    r#"+ log info: grpc-stream "\\x0a\\x09\\x0a\\x07nowhere" graft.test.Echo Chat -> 0"#,
                    "- log info: on_grpc_close root 14",
                ],
            ),
        ],
    },
    Difference {
        reason: "Envoy adds `x-forwarded-for`, with its own address, to what a module calls.",
        shows_in: &[(
            "http_callout_messages",
            &[
                "- log info: on_http_call_response root 3 22 0",
                "- log info: pairs call -> 0 [:status=200, content-length=22, x-envoy-upstream-service-time=*]",
                r#"- log info: buffer-get call 0 2000 -> 0 "x-forwarded-for: false""#,
                "+ log info: on_http_call_response root 3 21 0",
                "+ log info: pairs call -> 0 [:status=200, content-length=21, x-envoy-upstream-service-time=*]",
                r#"+ log info: buffer-get call 0 2000 -> 0 "x-forwarded-for: true""#,
            ],
        )],
    },
    Difference {
        reason: "The trailers of a callout are sent though there is no body before them. The built-in filter leaves them out.",
        shows_in: &[(
            "http_callout_messages",
            &[
                "- log info: on_http_call_response root 8 0 0",
                "- log info: pairs call -> 0 [:status=200, x-method=POST, x-path=/echo, x-authority=callout.test, x-envoy-internal=true, x-envoy-expected-rq-timeout-ms=5000, content-length=0, x-envoy-upstream-service-time=*]",
                "+ log info: on_http_call_response root 8 0 2",
                "+ log info: pairs call -> 0 [:status=200, x-method=POST, x-path=/echo, x-authority=callout.test, x-envoy-internal=true, x-envoy-expected-rq-timeout-ms=5000, transfer-encoding=chunked, x-envoy-upstream-service-time=*]",
                "- log info: pairs call-trailers -> 0 (null)",
                "+ log info: pairs call-trailers -> 0 [x-sum=6, x-end=yes]",
            ],
        )],
    },
    Difference {
        reason: "When a reply answers the stream twice, the first answer stands. The built-in filter sends the second, and the \
            request as well if it is told to go on.",
        shows_in: &[(
            "replies_that_answer",
            &[
                "- upstream saw: GET /",
                "- upstream saw header: host: example.test",
                "- upstream saw header: x-forwarded-proto: http",
                "- upstream saw header: x-after: 1",
                "- upstream saw body: ",
                "- status: 404",
                "- header: content-length: 5",
                "+ status: 403",
                "+ header: x-plugin: yes",
                "+ header: content-length: 11",
                "- body: again",
                "+ body: not for you",
                "- access log: 404  -",
                "+ access log: 403 from_the_reply -",
                "+ log info: on_response_body stream 11 eos=1",
                r#"- log info: property response.code -> 0 "\\x94\\x01\\x00\\x00\\x00\\x00\\x00\\x00""#,
                "- log info: get response x-plugin -> 1",
                r#"+ log info: property response.code -> 0 "\\x93\\x01\\x00\\x00\\x00\\x00\\x00\\x00""#,
                r#"+ log info: property response.code_details -> 0 "from_the_reply""#,
                r#"+ log info: get response x-plugin -> 0 "yes""#,
            ],
        )],
    },
    Difference {
        reason: "Envoy does not tell a module the details of a call's end, which the built-in filter adds to the message of \
            the status, in braces or alone.",
        shows_in: &[
            (
                "grpc_calls_that_fail",
                &[
                    r#"- log info: call-status -> 0 1 "because%20of%201{via_upstream}""#,
                    r#"+ log info: call-status -> 0 1 "because%20of%201""#,
                    r#"- log info: call-status -> 0 7 "because%20of%207{via_upstream}""#,
                    r#"+ log info: call-status -> 0 7 "because%20of%207""#,
                    r#"- log info: call-status -> 0 13 "because%20of%2013{via_upstream}""#,
                    r#"+ log info: call-status -> 0 13 "because%20of%2013""#,
                    r#"- log info: call-status -> 0 16 "because%20of%2016{via_upstream}""#,
                    r#"+ log info: call-status -> 0 16 "because%20of%2016""#,
                    r#"- log info: call-status -> 0 2 "because%20of%2017{via_upstream}""#,
                    r#"+ log info: call-status -> 0 2 "because%20of%2017""#,
                    r#"- log info: call-status -> 0 5 "via_upstream""#,
                    "+ log info: call-status -> 0 5 (null)",
                    r#"- log info: call-status -> 0 3 "a%20message%20with%20%25%20and%20%C3%A4{via_upstream}""#,
                    r#"+ log info: call-status -> 0 3 "a%20message%20with%20%25%20and%20%C3%A4""#,
                    r#"- log info: call-status -> 0 12 "no%20such%20method{via_upstream}""#,
                    r#"+ log info: call-status -> 0 12 "no%20such%20method""#,
                    r#"- log info: call-status -> 0 14 "upstream request timeout{response_timeout}""#,
                    r#"+ log info: call-status -> 0 14 "upstream request timeout""#,
                    r#"- log info: call-status -> 0 14 "upstream connect error o"..."or:_Connection_refused}}" 207 bytes #7bc8d668"#,
                    r#"+ log info: call-status -> 0 14 "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure""#,
                    r#"- log info: call-status -> 0 12 "via_upstream""#,
                    "+ log info: call-status -> 0 12 (null)",
                ],
            ),
            (
                "grpc_streams",
                &[
                    r#"- log info: call-status -> 0 0 "via_upstream""#,
                    "+ log info: call-status -> 0 0 (null)",
                ],
            ),
            (
                "grpc_streams_that_fail",
                &[
                    r#"- log info: call-status -> 0 7 "not%20for%20you{via_upstream}""#,
                    r#"+ log info: call-status -> 0 7 "not%20for%20you""#,
                    r#"- log info: call-status -> 0 12 "no%20such%20method{via_upstream}""#,
                    r#"+ log info: call-status -> 0 12 "no%20such%20method""#,
                    r#"- log info: call-status -> 0 14 "upstream connect error o"..."or:_Connection_refused}}" 207 bytes #7bc8d668"#,
                    r#"+ log info: call-status -> 0 14 "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure""#,
                ],
            ),
            (
                "grpc_streams_cancelled",
                &[
                    r#"- log info: call-status -> 0 0 "via_upstream""#,
                    "+ log info: call-status -> 0 0 (null)",
                ],
            ),
            (
                "grpc_reads_at_wrong_times",
                &[
                    r#"- log info: call-status -> 0 9 "over{via_upstream}""#,
                    r#"+ log info: call-status -> 0 9 "over""#,
                ],
            ),
            (
                "grpc_of_root_contexts",
                &[
                    r#"- start log info: call-status -> 0 7 "from%20the%20tick{via_upstream}""#,
                    r#"+ start log info: call-status -> 0 7 "from%20the%20tick""#,
                ],
            ),
        ],
    },
    Difference {
        reason: "A gRPC call is over when its answer is told, so there is nothing to cancel then.",
        shows_in: &[(
            "grpc_calls_cancelled",
            &["- log info: grpc-cancel -> 0", "+ log info: grpc-cancel -> 1"],
        )],
    },
    Difference {
        reason: "The message of a gRPC call can only be read. The built-in filter lets it be written, to no effect.",
        shows_in: &[(
            "grpc_reads_at_wrong_times",
            &["- log info: buffer-set grpc 0 3 new -> 0", "+ log info: buffer-set grpc 0 3 new -> 2"],
        )],
    },
    Difference {
        reason: "The system's resolver does not say how long an address may be kept, so it is 60 seconds, as with Envoy's own \
            resolver over it. The built-in filter asks name servers itself, and says 0 where none is asked.",
        shows_in: &[(
            "names_resolved",
            &[
                r#"- start log info: buffer-get foreign 0 1000 -> 0 "\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00127.0.0.1:0\\x00""#,
                r#"+ start log info: buffer-get foreign 0 1000 -> 0 "\\x01\\x00\\x00\\x00<\\x00\\x00\\x00127.0.0.1:0\\x00""#,
                r#"- start log info: buffer-get foreign 0 1000 -> 0 "\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00[::1]:0\\x00""#,
                r#"+ start log info: buffer-get foreign 0 1000 -> 0 "\\x01\\x00\\x00\\x00<\\x00\\x00\\x00[::1]:0\\x00""#,
            ],
        )],
    },
    Difference {
        reason: "An address is told after the entry point that asked has returned. The built-in filter tells one that it has at \
            once inside the hostcall, before the plugin knows the token and before the stream waits, which then waits for ever.",
        shows_in: &[(
            "names_resolved_for_streams",
            &[
                "- status: 504",
                "- header: content-length: 14",
                "- header: content-type: text/plain",
                "+ upstream saw: GET /",
                "+ upstream saw header: host: example.test",
                "+ upstream saw header: x-forwarded-proto: http",
                "+ upstream saw header: x-resolved: 1",
                "+ upstream saw body: ",
                "+ status: 200",
                "- body: stream timeout",
                "+ header: transfer-encoding: chunked",
                "+ body: from the upstream",
                "- access log: 504 stream_idle_timeout SI",
                "+ access log: 200 via_upstream -",
                "- log info: on_resolve_dns root some",
                "- log info: effective caller -> 0",
                "- log info: add request x-resolved 1 -> 2",
                "- log info: continue request -> 0",
                "- log info: on_response_headers stream 3 eos=0",
                "- log info: on_response_body stream 14 eos=1",
                "+ log info: on_resolve_dns root some",
                "+ log info: effective caller -> 0",
                "+ log info: add request x-resolved 1 -> 0",
                "+ log info: continue request -> 0",
                "+ log info: on_response_headers stream 2 eos=0",
                "+ log info: on_response_body stream 17 eos=0",
                "+ log info: on_response_body stream 0 eos=1",
            ],
        )],
    },
];
