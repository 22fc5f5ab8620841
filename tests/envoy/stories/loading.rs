//! One and the same file loads into every Envoy, by name and by path, without a complaint.

use crate::harness::envoy::on_each_envoy;
use crate::harness::{Bootstrap, Envoy, Host, Listener, Plugin, Upstream, Version};

/// What Envoy warns of if it does not know the version of the ABI that a module was built for.
const COMPLAINTS: [&str; 4] = ["ABI version", "deprecated", "abi version", "mismatch"];

/// What a plugin does that marks the responses that it saw.
const MARK: &str = "response_headers: add response x-plugin ran";

fn assert_clean(envoy: Envoy) {
    assert_eq!(envoy.complaints(), []);
    let ended = envoy.stop();
    for line in ended.log.iter().filter(|line| line.level != "debug" && line.level != "info") {
        assert!(!COMPLAINTS.iter().any(|complaint| line.text.contains(complaint)), "{}", line.text);
    }
    assert!(ended.status.success(), "{ended}");
}

on_each_envoy! {
    fn the_module_loads_by_name(version) {
        let (envoy, _upstream) = Envoy::with_plugins(version, &[Plugin::scripted("by-name", MARK)]);
        assert_eq!(envoy.client("main").get("/").header("x-plugin"), Some("ran"));
        assert_clean(envoy);
    }

    fn the_module_loads_by_file(version) {
        let plugin = Plugin::scripted("by-file", MARK).module_by_file();
        let upstream = Upstream::http1("upstream");
        let listener = Listener::new("main").plugin(Host::Graft, &plugin);
        let bootstrap = Bootstrap::new().upstream(&upstream).listener(listener);
        match Envoy::try_start(version, &bootstrap) {
            // Only from 1.38 on does Envoy know the field `module`.
            Err(ended) if version < Version::V1_38 => {
                ended.line("'module'");
            }
            Err(ended) => panic!("{ended}"),
            Ok(envoy) => {
                assert_eq!(envoy.client("main").get("/").header("x-plugin"), Some("ran"));
                assert_clean(envoy);
            }
        }
    }

    fn many_filters_share_the_module(version) {
        let upstream = Upstream::http1("upstream");
        let bootstrap = (0..4).fold(Bootstrap::new().upstream(&upstream), |bootstrap, number| {
            let plugin = Plugin::scripted(
                &format!("plugin-{number}"),
                &format!("response_headers: add response x-plugin {number}"),
            );
            bootstrap.listener(Listener::new(&format!("listener-{number}")).plugin(Host::Graft, &plugin))
        });
        let envoy = Envoy::start(version, &bootstrap);
        for number in 0..4 {
            let response = envoy.client(&format!("listener-{number}")).get("/");
            assert_eq!(response.header("x-plugin"), Some(number.to_string().as_str()));
        }
        assert_clean(envoy);
    }
}
