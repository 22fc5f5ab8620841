//! What is not about a message: metrics, logs, clocks, the environment, configurations, routing.

use serde_json::json;

use crate::parity::scenario::{Scenario, script, scripts};

pub fn metrics() -> Scenario {
    script(
        "counters, gauges and histograms: defined, changed, read back",
        "
        configure: define-metric counter a_counter
        configure: define-metric gauge a_gauge
        configure: define-metric histogram a_histogram
        configure: define-metric counter a.dotted.name
        configure: define-metric counter \"\"
        configure: get-metric a_counter
        request_headers: increment-metric a_counter 1
        request_headers: increment-metric a_counter 10
        request_headers: get-metric a_counter
        request_headers: increment-metric a_counter 0
        request_headers: increment-metric a_counter -1
        request_headers: record-metric a_counter 5
        request_headers: get-metric a_counter
        request_headers: increment-metric a_gauge 5
        request_headers: increment-metric a_gauge -2
        request_headers: get-metric a_gauge
        request_headers: record-metric a_gauge 42
        request_headers: get-metric a_gauge
        request_headers: increment-metric a_gauge -100
        request_headers: get-metric a_gauge
        request_headers: record-metric a_gauge 0
        request_headers: increment-metric a_histogram 1
        request_headers: record-metric a_histogram 100
        request_headers: get-metric a_histogram
        request_headers: increment-metric a.dotted.name 3
        request_headers: get-metric a.dotted.name
        response_headers: define-metric counter a_late_counter
        response_headers: increment-metric a_late_counter 2
        response_headers: get-metric a_late_counter
        response_headers: define-metric counter a_counter
        response_headers: get-metric a_counter
        log: increment-metric a_counter 1
        log: get-metric a_counter
        ",
    )
    .get("/")
    .get("/again")
}

pub fn logs() -> Scenario {
    script(
        "log lines of every level, of every length, of several lines, and standard output",
        "
        request_headers: log trace \"at trace\"
        request_headers: log debug \"at debug\"
        request_headers: log info \"at info\"
        request_headers: log warn \"at warn\"
        request_headers: log error \"at error\"
        request_headers: log critical \"at critical\"
        request_headers: log-level
        request_headers: log info \"\"
        request_headers: log info \"two\\nlines\"
        request_headers: log info \"a tab\\tand a quote \\\"\"
        request_headers: log info \"{} %s %n\"
        request_headers: log info \"long \"**1000
        request_headers: stdout \"to standard output\\n\"
        request_headers: stdout \"without an end\"
        request_headers: stdout \"two\\nlines\\n\"
        request_headers: stderr \"to standard error\\n\"
        configure: stdout \"at the start\\n\"
        configure: log-level
        ",
    )
    .set("root_id", "the-root")
    .set("vm_config.vm_id", "the-vm")
    .get("/")
}

pub fn clocks_and_random() -> Scenario {
    script(
        "the time hostcall, WASI clocks, random bytes",
        "
        configure: time
        request_headers: time
        request_headers: clock 0
        request_headers: clock 1
        request_headers: clock 2
        request_headers: clock 9
        request_headers: random 16
        request_headers: random 0
        request_headers: random 65536
        request_headers: random 65537
        ",
    )
    .get("/")
}

pub fn environment_variables() -> Scenario {
    script("variables of the plugin's configuration and of the host", "request_headers: environment")
        .set("vm_config.environment_variables.key_values", json!({ "ONE": "1", "EMPTY": "" }))
        .set("vm_config.environment_variables.host_env_keys", json!(["PATH_OF_NOTHING", "TWO"]))
        .get("/")
}

pub fn configurations() -> Scenario {
    script(
        "reading the configurations of VM and plugin, where they can be read",
        "
        configure: buffer-status plugin-config
        configure: buffer-get plugin-config 0 20
        configure: buffer-get plugin-config 10 1000000
        configure: buffer-status vm-config
        configure: buffer-get vm-config 0 100
        request_headers: buffer-get plugin-config 0 20
        request_headers: buffer-get vm-config 0 100
        ",
    )
    .get("/")
}

pub fn route_cache() -> Scenario {
    let look = "request_headers: property xds.route_name\nresponse_headers: property xds.route_name";
    let cases = [
        ("by-header", "request_headers: add request x-other-route 1"),
        ("by-path", "request_headers: replace request :path /other/path"),
        (
            "after-a-look",
            "request_headers: property xds.route_name\nrequest_headers: add request x-other-route 1",
        ),
        ("from-a-body", "request_body: add request x-other-route 1"),
        ("not", ""),
    ];
    cases
        .iter()
        .fold(scripts("a header that decides the route, added by the plugin"), |scenario, (name, lines)| {
            scenario.case(name, &format!("{lines}\n{look}")).everything()
        })
}

pub fn capabilities() -> Scenario {
    let allowed = [
        "proxy_on_context_create",
        "proxy_on_vm_start",
        "proxy_on_configure",
        "proxy_on_request_headers",
        "proxy_on_response_headers",
        "proxy_on_log",
        "proxy_log",
        "proxy_get_buffer_bytes",
        "proxy_get_header_map_value",
        "fd_write",
    ];
    let allowed: serde_json::Map<_, _> = allowed.iter().map(|name| ((*name).to_owned(), json!({}))).collect();
    script(
        "a plugin that may call, and be called by, a list of functions only",
        "
        request_headers: get request :path
        request_headers: add request x-denied 1
        request_headers: property request.path
        request_headers: random 16
        request_body: get request :path
        response_headers: reply 418 denied
        log: get response :status
        ",
    )
    .set("capability_restriction_config.allowed_capabilities", allowed)
    .everything()
}
