//! Plugins get their configurations, the environment that these name, and nothing else of the process.

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

    fn a_plugin_reads_its_configurations(version) {
        let plugin = Plugin::scripted("configured", "
            configure: buffer-get plugin-config 0 10
            configure: buffer-get vm-config 0 100
            request_headers: buffer-get plugin-config 0 10
            request_headers: buffer-get vm-config 0 100
        ")
        .vm_configuration("# a comment");
        let (envoy, _upstream) = Envoy::with_plugins(version, &[plugin]);
        envoy.await_plugin_log(r#"wasm log: buffer-get plugin-config 0 10 -> 0 "configure:""#);
        envoy.await_plugin_log(r##"wasm log: buffer-get vm-config 0 100 -> 0 "# a comment""##);
        envoy.client("main").get("/");
        // The plugin's configuration is handed out in on_configure only, the VM's always.
        envoy.await_plugin_log("wasm log configured: buffer-get plugin-config 0 10 -> 1");
        envoy.await_plugin_log(r##"wasm log configured: buffer-get vm-config 0 100 -> 0 "# a comment""##);
    }
}
