//! Plugins get the environment that their configuration names, and nothing else of the process.

use serde_json::json;

use crate::harness::envoy::on_each_envoy;
use crate::harness::{Bootstrap, Envoy, Host, Listener, Plugin, Upstream};

on_each_envoy! {
    fn a_plugin_gets_the_variables_that_it_is_given(version) {
        let upstream = Upstream::http1("upstream");
        let plugin = Plugin::scripted("variables", "request_headers: environment")
            .set("vm_config.environment_variables.key_values", json!({ "OWN": "value", "EMPTY": "" }))
            .set("vm_config.environment_variables.host_env_keys", json!(["FROM_HOST", "NOT_THERE"]));
        let bare = Plugin::scripted("bare", "request_headers: environment");
        let envoy = Envoy::start(version, &Bootstrap::new()
            .upstream(&upstream)
            .variable("FROM_HOST", "host value")
            .variable("SECRET", "hidden")
            .listener(Listener::new("variables").plugin(Host::Graft, &plugin))
            .listener(Listener::new("bare").plugin(Host::Graft, &bare)));
        envoy.client("variables").get("/");
        envoy.await_plugin_log("environment -> 0 [EMPTY=, FROM_HOST=host value, OWN=value]");
        envoy.client("bare").get("/");
        envoy.await_plugin_log("environment -> 0 []");
    }
}
