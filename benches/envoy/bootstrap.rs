//! Configurations of Envoy: one listener, filters, and a route.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::workloads::{RESPONSE_HEADERS, body};

/// What stands behind the filters.
#[derive(Clone, Copy, Debug)]
pub enum Answer {
    /// A direct response with a body of so many bytes.
    Direct(usize),
    /// The cluster of [`Bootstrap::callout`].
    Upstream,
}

#[derive(Debug)]
pub struct Bootstrap {
    pub listener: SocketAddr,
    /// Where the admin interface listens, if there is one.
    pub admin: Option<SocketAddr>,
    pub filters: Vec<Value>,
    pub answer: Answer,
    /// The server of the cluster `callout`.
    pub callout: SocketAddr,
}

const MANAGER: &str = "type.googleapis.com/\
    envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const ROUTER: &str = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";

impl Bootstrap {
    pub fn to_json(&self) -> Value {
        let mut filters = self.filters.clone();
        filters.push(json!({ "name": "router", "typed_config": { "@type": ROUTER } }));
        let mut route = json!({ "match": { "prefix": "/" } });
        match self.answer {
            Answer::Direct(length) => {
                route["direct_response"] =
                    json!({ "status": 200, "body": { "inline_string": body(length) } });
                let headers = RESPONSE_HEADERS.iter().map(|(name, value)| {
                    json!({ "header": { "key": name, "value": value }, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD" })
                });
                route["response_headers_to_add"] = headers.collect();
            }
            Answer::Upstream => route["route"] = json!({ "cluster": "callout" }),
        }
        let manager = json!({
            "@type": MANAGER,
            "stat_prefix": "bench",
            "generate_request_id": false,
            "http_filters": filters,
            "route_config": {
                "max_direct_response_body_size_bytes": 1 << 20,
                "virtual_hosts": [{ "name": "all", "domains": ["*"], "routes": [route] }],
            },
        });
        let mut bootstrap = json!({
            "node": { "id": "bench", "cluster": "bench" },
            // Statistics are written while nothing is measured, if at all.
            "stats_flush_interval": "60s",
            "static_resources": {
                "listeners": [{
                    "name": "bench",
                    "address": { "socket_address": socket(self.listener) },
                    "filter_chains": [{ "filters": [{ "name": "http", "typed_config": manager }] }],
                }],
                "clusters": [{
                    "name": "callout",
                    "connect_timeout": "5s",
                    "load_assignment": {
                        "cluster_name": "callout",
                        "endpoints": [{ "lb_endpoints": [
                            { "endpoint": { "address": { "socket_address": socket(self.callout) } } },
                        ] }],
                    },
                }],
            },
        });
        if let Some(admin) = self.admin {
            bootstrap["admin"] = json!({ "address": { "socket_address": socket(admin) } });
        }
        bootstrap
    }
}

fn socket(address: SocketAddr) -> Value {
    json!({ "address": address.ip().to_string(), "port_value": address.port() })
}
