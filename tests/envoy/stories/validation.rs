//! `envoy --mode validate` tells a good configuration from a wrong one, and ends.

use crate::harness::envoy::on_each_envoy;
use crate::harness::guests::Guests;
use crate::harness::{Bootstrap, Envoy, Host, Listener, Plugin, Upstream};

fn bootstrap(plugin: &Plugin) -> Bootstrap {
    Bootstrap::new()
        .upstream(&Upstream::http1("upstream"))
        .listener(Listener::new("main").plugin(Host::Graft, plugin))
}

on_each_envoy! {
    fn a_good_configuration_is_valid(version) {
        let ended = Envoy::validate(version, &bootstrap(&Plugin::scripted("good", "")));
        assert!(ended.status.success(), "{ended}");
    }

    fn a_wrong_configuration_is_not(version) {
        let guests = Guests::new();
        let ended = Envoy::validate(version, &bootstrap(&Plugin::new("wrong", &guests.nowhere())));
        assert!(!ended.status.success(), "{ended}");
        let line = ended.line("plugin \"wrong\"");
        assert!(line.contains("vm_config.code.local.filename") && line.contains("no such file"), "{line}");

        let refuses = Plugin::scripted("script", "no such callback: log info x");
        let ended = Envoy::validate(version, &bootstrap(&refuses));
        assert!(!ended.status.success(), "{ended}");
        ended.line("plugin \"script\"");
    }
}
