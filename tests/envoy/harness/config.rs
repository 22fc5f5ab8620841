//! Bootstraps of Envoy, built from what a story is about.
//!
//! A [`Plugin`] is what a user writes: the JSON form of `envoy.extensions.wasm.v3.PluginConfig`. The same
//! plugin becomes a filter of either [`Host`], which is how a user moves from one to the other.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::admin::Admin;
use super::envoy::{access_log, listeners_file};
use super::files;
use super::tcp::{TcpProxy, TcpUpstream};
use super::upstream::{Protocol, Upstream};

/// Which filter runs a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// This project.
    Graft,
    /// Envoy's own `envoy.filters.http.wasm`, with V8.
    BuiltIn,
}

/// A configured plugin.
#[derive(Clone, Debug)]
pub struct Plugin {
    name: String,
    settings: Value,
    module: Module,
}

/// How the filter configuration names the library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Module {
    Named,
    AtPath,
    Closable,
}

impl Plugin {
    /// A plugin whose code is a file.
    pub fn new(name: &str, code: &Path) -> Self {
        let settings = json!({
            "name": name,
            "vm_config": { "runtime": "envoy.wasm.runtime.v8", "code": { "local": { "filename": code } } },
        });
        Self { name: name.to_owned(), settings, module: Module::Named }
    }

    /// A plugin whose code is whatever `vm_config.code` says.
    pub fn with_code(name: &str, code: &Value) -> Self {
        let settings = json!({ "name": name, "vm_config": { "code": code } });
        Self { name: name.to_owned(), settings, module: Module::Named }
    }

    /// A plugin of this repository, by the name that `make plugins` gives it; it is also the plugin's.
    pub fn built(name: &str) -> Self {
        Self::new(name, &files::plugin(name))
    }

    /// The scripted plugin of this repository: each line says what it does in which callback. White space
    /// around lines is of no account.
    pub fn scripted(name: &str, lines: &str) -> Self {
        let lines: Vec<_> = lines.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        Self::built("hostcalls").named(name).configuration(&lines.join("\n"))
    }

    /// The same plugin by another name.
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self.set("name", name)
    }

    /// Sets a field of the `PluginConfig`, by its path: `"vm_config.vm_id"`.
    pub fn set(mut self, path: &str, value: impl Into<Value>) -> Self {
        let mut place = &mut self.settings;
        for field in path.split('.') {
            place = &mut place[field];
        }
        *place = value.into();
        self
    }

    /// The plugin's configuration, as a string.
    pub fn configuration(self, text: &str) -> Self {
        self.set("configuration", string_value(text))
    }

    /// The VM's configuration, as a string.
    pub fn vm_configuration(self, text: &str) -> Self {
        self.set("vm_config.configuration", string_value(text))
    }

    /// Names the library by its path instead of by its name (Envoy 1.38 and newer).
    pub fn module_by_file(mut self) -> Self {
        self.module = Module::AtPath;
        self
    }

    /// Lets Envoy unload the library with its last user, as far as the library lets it.
    pub fn module_may_be_closed(mut self) -> Self {
        self.module = Module::Closable;
        self
    }

    /// The name of the plugin and of its filter.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The entry in a list of HTTP filters.
    pub fn filter(&self, host: Host) -> Value {
        let configuration = match host {
            Host::BuiltIn => json!({
                "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
                "config": self.settings,
            }),
            Host::Graft => json!({
                "@type": FILTER,
                "dynamic_module_config": self.module_config(),
                "filter_name": self.name,
                "filter_config": { "@type": STRUCT, "value": self.settings_with_isolation() },
            }),
        };
        json!({ "name": self.name, "typed_config": configuration })
    }

    /// The settings, with the isolation of `GRAFT_ISOLATION` where they do not say one: the stories can be told with a VM
    /// for each stream, to see what becomes of them.
    fn settings_with_isolation(&self) -> Value {
        let mut settings = self.settings.clone();
        if let Ok(isolation) = std::env::var("GRAFT_ISOLATION")
            && settings["graft"]["isolation"].is_null()
        {
            settings["graft"]["isolation"] = isolation.into();
        }
        settings
    }

    /// The entry in a list of network filters.
    pub fn network_filter(&self, host: Host) -> Value {
        let configuration = match host {
            Host::BuiltIn => json!({
                "@type": "type.googleapis.com/envoy.extensions.filters.network.wasm.v3.Wasm",
                "config": self.settings,
            }),
            Host::Graft => json!({
                "@type": NETWORK_FILTER,
                "dynamic_module_config": self.module_config(),
                "filter_name": self.name,
                "filter_config": { "@type": STRUCT, "value": self.settings },
            }),
        };
        json!({ "name": self.name, "typed_config": configuration })
    }

    /// The entry in a list of access loggers.
    pub fn access_logger(&self, host: Host) -> Value {
        let configuration = match host {
            Host::BuiltIn => json!({
                "@type": "type.googleapis.com/envoy.extensions.access_loggers.wasm.v3.WasmAccessLog",
                "config": self.settings,
            }),
            Host::Graft => json!({
                "@type": ACCESS_LOG,
                "dynamic_module_config": self.module_config(),
                "logger_name": self.name,
                "logger_config": { "@type": STRUCT, "value": self.settings },
            }),
        };
        json!({ "name": self.name, "typed_config": configuration })
    }

    /// The bootstrap extension, Graft's: the plugin without a filter.
    pub fn service(&self, is_singleton: bool) -> Value {
        let configuration = json!({
            "@type": SERVICE,
            "dynamic_module_config": self.module_config(),
            "extension_name": self.name,
            "extension_config": {
                "@type": STRUCT,
                "value": { "config": self.settings, "singleton": is_singleton },
            },
        });
        json!({ "name": self.name, "typed_config": configuration })
    }

    fn module_config(&self) -> Value {
        match self.module {
            Module::Named => {
                // The name says nothing about where; so a missing library is told here, with the command.
                files::module();
                json!({ "name": "graft", "do_not_close": true })
            }
            Module::Closable => json!({ "name": "graft", "do_not_close": false }),
            Module::AtPath => {
                json!({ "module": { "local": { "filename": files::module() } }, "do_not_close": true })
            }
        }
    }
}

const STRUCT: &str = "type.googleapis.com/google.protobuf.Struct";
const FILTER: &str =
    "type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter";
const PER_ROUTE: &str =
    "type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilterPerRoute";
const NETWORK_FILTER: &str =
    "type.googleapis.com/envoy.extensions.filters.network.dynamic_modules.v3.DynamicModuleNetworkFilter";
const ACCESS_LOG: &str =
    "type.googleapis.com/envoy.extensions.access_loggers.dynamic_modules.v3.DynamicModuleAccessLog";
const SERVICE: &str = "type.googleapis.com/\
    envoy.extensions.bootstrap.dynamic_modules.v3.DynamicModuleBootstrapExtension";
const CONNECTION_MANAGER: &str = "type.googleapis.com/\
    envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";

/// A string as an Any in its JSON form.
pub fn string_value(text: &str) -> Value {
    json!({ "@type": "type.googleapis.com/google.protobuf.StringValue", "value": text })
}

/// A route by prefix. Routes are tried in their order.
#[derive(Clone, Debug)]
pub struct Route(Value);

impl Route {
    /// Sends what begins with `prefix` to a cluster.
    pub fn new(prefix: &str, cluster: &str) -> Self {
        Self(json!({ "match": { "prefix": prefix }, "route": { "cluster": cluster } }))
    }

    /// Sends requests that carry a header to a cluster.
    pub fn by_header(name: &str, cluster: &str) -> Self {
        let header = json!({ "name": name, "present_match": true });
        Self(json!({ "match": { "prefix": "/", "headers": [header] }, "route": { "cluster": cluster } }))
    }

    /// Sets a field of Envoy's `Route`, by its path.
    pub fn set(mut self, path: &str, value: impl Into<Value>) -> Self {
        let mut place = &mut self.0;
        for field in path.split('.') {
            place = &mut place[field];
        }
        *place = value.into();
        self
    }

    /// Gives Graft's filter `filter` a configuration of its own on this route.
    pub fn with_filter_config(self, filter: &str, configuration: &Value) -> Self {
        let per_route = json!({
            "@type": PER_ROUTE,
            "dynamic_module_config": { "name": "graft", "do_not_close": true },
            "per_route_config_name": filter,
            "filter_config": { "@type": STRUCT, "value": configuration },
        });
        self.set("typed_per_filter_config", json!({ filter: per_route }))
    }
}

/// A listener on a free port of the loopback interface, with an HTTP connection manager.
#[derive(Clone, Debug)]
pub struct Listener {
    name: String,
    filters: Vec<Value>,
    routes: Vec<Route>,
    buffer_limit: Option<u32>,
    idle_timeout: &'static str,
    access_log: String,
    loggers: Vec<Value>,
    settings: Vec<(String, Value)>,
    router: Value,
    manager: Vec<(&'static str, Value)>,
}

impl Listener {
    /// A listener that sends everything to the cluster `upstream`.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            filters: Vec::new(),
            routes: Vec::new(),
            buffer_limit: None,
            idle_timeout: "10s",
            access_log: "%RESPONSE_CODE% %RESPONSE_CODE_DETAILS% %RESPONSE_FLAGS%".to_owned(),
            loggers: Vec::new(),
            settings: Vec::new(),
            // The headers x-envoy-* hold times, which differ from run to run.
            router: json!({ "suppress_envoy_headers": true }),
            manager: Vec::new(),
        }
    }

    /// Adds a plugin to the end of the chain.
    pub fn plugin(self, host: Host, plugin: &Plugin) -> Self {
        self.filter(plugin.filter(host))
    }

    /// Adds any HTTP filter to the end of the chain.
    pub fn filter(mut self, filter: Value) -> Self {
        self.filters.push(filter);
        self
    }

    /// Sets a field of the connection manager.
    pub fn set(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.settings.push((field.to_owned(), value.into()));
        self
    }

    /// Has a plugin log what the listener serves.
    pub fn access_logger(mut self, host: Host, plugin: &Plugin) -> Self {
        self.loggers.push(plugin.access_logger(host));
        self
    }

    /// Adds a route before the one that takes everything.
    pub fn route(mut self, route: Route) -> Self {
        self.routes.push(route);
        self
    }

    /// How much of a body Envoy buffers.
    pub fn buffer_limit(mut self, bytes: u32) -> Self {
        self.buffer_limit = Some(bytes);
        self
    }

    /// How long a stream may be silent before Envoy ends it. It is what ends a stream that a plugin holds.
    pub fn idle_timeout(mut self, time: &'static str) -> Self {
        self.idle_timeout = time;
        self
    }

    /// The format of a line of the access log.
    pub fn access_log(mut self, format: &str) -> Self {
        format.clone_into(&mut self.access_log);
        self
    }

    /// Sets a field of the HTTP connection manager.
    pub fn manager(mut self, field: &'static str, value: impl Into<Value>) -> Self {
        self.manager.push((field, value.into()));
        self
    }

    fn to_json(&self, home: &Path) -> Value {
        let mut filters = self.filters.clone();
        let mut router = self.router.clone();
        router["@type"] = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router".into();
        filters.push(json!({ "name": "envoy.filters.http.router", "typed_config": router }));
        let mut all: Vec<_> = self.routes.iter().map(|route| route.0.clone()).collect();
        all.push(Route::new("/", "upstream").0);
        let access_log_format = format!("{}\n", self.access_log);
        let mut loggers = self.loggers.clone();
        loggers.push(json!({
            "name": "file",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
                "path": access_log(home, &self.name),
                "log_format": { "text_format_source": { "inline_string": access_log_format } },
            },
        }));
        let mut manager = json!({
            "@type": CONNECTION_MANAGER,
            "stat_prefix": self.name,
            "stream_idle_timeout": self.idle_timeout,
            // How long Envoy lets a client read before it closes for good: enough here, and no second lost.
            "delayed_close_timeout": "0.1s",
            "generate_request_id": false,
            "http_protocol_options": { "enable_trailers": true },
            "http_filters": filters,
            "route_config": {
                "name": "routes",
                "virtual_hosts": [{ "name": "all", "domains": ["*"], "routes": all }],
            },
            "access_log": loggers,
        });
        for (field, value) in &self.settings {
            manager[field] = value.clone();
        }
        for (field, value) in &self.manager {
            manager[*field] = value.clone();
        }
        let mut listener = json!({
            "name": self.name,
            "address": { "socket_address": { "address": "127.0.0.1", "port_value": 0 } },
            "filter_chains": [{ "filters": [{ "name": "http", "typed_config": manager }] }],
        });
        if let Some(bytes) = self.buffer_limit {
            listener["per_connection_buffer_limit_bytes"] = bytes.into();
        }
        listener
    }

    /// The listener as a resource of the listener discovery service.
    pub fn to_resource(&self, home: &Path) -> Value {
        let mut resource = self.to_json(home);
        resource["@type"] = "type.googleapis.com/envoy.config.listener.v3.Listener".into();
        resource
    }
}

/// A whole configuration.
#[derive(Debug)]
pub struct Bootstrap {
    listeners: Vec<Listener>,
    from_file: bool,
    upstreams: Vec<Arc<Upstream>>,
    clusters: Vec<Value>,
    services: Vec<Value>,
    tcp_proxies: Vec<TcpProxy>,
    tcp_upstreams: Vec<Arc<TcpUpstream>>,
    workers: u32,
    log_level: &'static str,
    environment: Vec<(String, String)>,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self::new()
    }
}

impl Bootstrap {
    pub fn new() -> Self {
        Self {
            listeners: Vec::new(),
            from_file: false,
            upstreams: Vec::new(),
            clusters: Vec::new(),
            services: Vec::new(),
            tcp_proxies: Vec::new(),
            tcp_upstreams: Vec::new(),
            workers: 1,
            log_level: "debug",
            environment: Vec::new(),
        }
    }

    pub fn listener(mut self, listener: Listener) -> Self {
        self.listeners.push(listener);
        self
    }

    /// Adds a cluster, named as the upstream is.
    pub fn upstream(mut self, upstream: &Arc<Upstream>) -> Self {
        self.upstreams.push(Arc::clone(upstream));
        self
    }

    /// Adds a cluster of one address, for callouts.
    pub fn cluster(mut self, name: &str, address: SocketAddr, protocol: Protocol) -> Self {
        self.clusters.push(cluster(name, address, protocol));
        self
    }

    /// Lets the last cluster have one connection and one request that waits for it.
    pub fn with_room_for_one(mut self) -> Self {
        if let Some(cluster) = self.clusters.last_mut() {
            cluster["circuit_breakers"] =
                json!({ "thresholds": [{ "max_connections": 1, "max_pending_requests": 1 }] });
        }
        self
    }

    /// Adds a plugin that runs without a filter, once or once for each worker.
    pub fn service(mut self, plugin: &Plugin, is_singleton: bool) -> Self {
        self.services.push(plugin.service(is_singleton));
        self
    }

    /// Adds Graft's bootstrap extension without a plugin. `settings` is its `graft` block.
    pub fn extension(mut self, settings: &Value) -> Self {
        let configuration = json!({
            "@type": SERVICE,
            "dynamic_module_config": { "name": "graft", "do_not_close": true },
            "extension_name": "graft",
            "extension_config": { "@type": STRUCT, "value": { "graft": settings } },
        });
        self.services.push(json!({ "name": "graft", "typed_config": configuration }));
        self
    }

    pub fn tcp_proxy(mut self, listener: TcpProxy) -> Self {
        self.tcp_proxies.push(listener);
        self
    }

    /// Adds a cluster, named as the upstream is.
    pub fn tcp_upstream(mut self, upstream: &Arc<TcpUpstream>) -> Self {
        self.tcp_upstreams.push(Arc::clone(upstream));
        self
    }

    /// Takes the listeners from a file that Envoy watches, so that [`super::Envoy::publish`] can replace
    /// them.
    pub fn listeners_from_file(mut self) -> Self {
        self.from_file = true;
        self
    }

    pub fn concurrency(mut self, workers: u32) -> Self {
        self.workers = workers;
        self
    }

    /// The level of what plugins log, under either host.
    pub fn log_level(mut self, level: &'static str) -> Self {
        self.log_level = level;
        self
    }

    /// A variable in the environment of the process.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn to_json(&self, home: &Path) -> Value {
        let of_upstreams = self
            .upstreams
            .iter()
            .map(|upstream| cluster(upstream.name(), upstream.address(), upstream.protocol()));
        let mut clusters: Vec<_> = of_upstreams.chain(self.clusters.iter().cloned()).collect();
        clusters.extend(self.tcp_upstreams.iter().map(|upstream| upstream.cluster()));
        let mut bootstrap = json!({
            "node": { "id": "the-node", "cluster": "the-node-cluster" },
            "admin": { "address": { "socket_address": { "address": "127.0.0.1", "port_value": 0 } } },
            "static_resources": { "clusters": clusters },
            "bootstrap_extensions": self.services,
            // Histograms are merged when statistics are flushed.
            "stats_flush_interval": "0.2s",
        });
        if self.from_file {
            bootstrap["dynamic_resources"]["lds_config"] = json!({
                "resource_api_version": "V3",
                "path_config_source": { "path": listeners_file(home), "watched_directory": { "path": home } },
            });
        } else {
            let mut listeners: Vec<_> =
                self.listeners.iter().map(|listener| listener.to_json(home)).collect();
            listeners.extend(self.tcp_proxies.iter().map(TcpProxy::to_json));
            bootstrap["static_resources"]["listeners"] = listeners.into();
        }
        bootstrap
    }

    pub(super) fn dynamic_listeners(&self) -> Option<&[Listener]> {
        self.from_file.then_some(self.listeners.as_slice())
    }

    pub(super) fn workers(&self) -> u32 {
        self.workers
    }

    pub(super) fn log_levels(&self) -> String {
        format!("wasm:{0},dynamic_modules:{0}", self.log_level)
    }

    pub(super) fn environment(&self) -> Vec<(String, String)> {
        self.environment.clone()
    }

    pub(super) fn tell_upstreams(&self, admin: Admin) {
        self.upstreams.iter().for_each(|upstream| upstream.serve_behind(admin));
    }
}

fn cluster(name: &str, address: SocketAddr, protocol: Protocol) -> Value {
    let protocol = match protocol {
        Protocol::Http1 => json!({ "http_protocol_options": { "enable_trailers": true } }),
        Protocol::Http2 => json!({ "http2_protocol_options": {} }),
    };
    let socket = json!({ "address": address.ip().to_string(), "port_value": address.port() });
    json!({
        "name": name,
        "connect_timeout": "5s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": { "socket_address": socket } } }] }],
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": protocol,
            },
        },
    })
}
