//! Plugins in images: each layout by each name that it can be given, and names that lead to something else.

use serde_json::{Value, json};

use crate::harness::envoy::on_each_envoy;
use crate::harness::origin::{House, Place, image, of_registry};
use crate::harness::{Bootstrap, Envoy, Host, Listener, Plugin, Upstream};
use crate::support::hostile::{self, Answer};
use crate::support::{Image, Layout, Registry, wasm};

/// A digest that nothing has.
const NONE: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Every way to write where an image is.
fn spellings(image: &Image) -> [Value; 6] {
    let (tag, pinned, sha256) = (image.reference(), image.pinned(), image.sha256());
    [
        json!({"oci": tag}),
        json!({"oci": format!("oci://{pinned}")}),
        json!({"oci": {"image": tag, "sha256": sha256}}),
        // As Istio's WasmPlugin has them in its `url`.
        json!({"remote": {"http_uri": {"uri": format!("oci://{tag}")}}}),
        json!({"remote": {"http_uri": {"uri": tag}, "sha256": sha256}}),
        json!({"remote": {"http_uri": {"uri": pinned}}}),
    ]
}

on_each_envoy! {
    fn an_image_of_each_layout_serves_by_each_of_its_names(version) {
        let registry = Registry::open();
        let mut plugins = Vec::new();
        for (number, layout) in (1..).zip(Layout::ALL) {
            let name = format!("{layout:?}").to_lowercase();
            let pushed = registry.push(layout, &format!("plugins/{name}:1"), &wasm::generation(number));
            for (spelling, code) in spellings(&pushed).iter().enumerate() {
                plugins.push((number, of_registry(&format!("{name}-{spelling}"), &registry, code)));
            }
        }
        let all: Vec<_> = plugins.iter().map(|(_, plugin)| plugin.clone()).collect();
        let house = House::start(version, &Place::new(), &all);
        for (number, plugin) in &plugins {
            assert_eq!(house.generation(plugin.name()), Some(*number), "{}", plugin.name());
        }
        assert_eq!(house.envoy.complaints(), []);
        let agents: Vec<_> = registry.asked().into_iter().map(|asked| asked.agent).collect();
        assert!(agents.iter().all(|agent| agent.starts_with("graft/")), "{agents:?}");
        house.stop();
    }

    fn a_name_that_leads_to_something_else_is_refused_and_nothing_passes_unfiltered(version) {
        let registry = Registry::open();
        let pushed = registry.push(Layout::SingleLayer, "plugins/a:1", &wasm::generation(1));
        // A registry that answers every question with its one image, or with another layer than the manifest's.
        let liar = hostile::registry(&wasm::generation(1), Answer::Whole);
        let forger = hostile::registry(&wasm::generation(1), |_| Answer::Whole(wasm::generation(2)));
        let at = |name: &str, reference: &str| {
            Plugin::with_code(name, &json!({"oci": reference}))
                .set("graft.source.insecure_registries", json!(["127.0.0.1"]))
                .impatient()
        };
        let cases = [
            (at("gone", &format!("{}@sha256:{NONE}", pushed.repository)), "status 404 (there is no such thing)"),
            (at("no-tag", &format!("{}:2", pushed.repository)), "status 404 (there is no such thing)"),
            (
                at("lied", &format!("{}/plugins/a@sha256:{NONE}", liar.address())),
                "expected sha256:000000",
            ),
            (at("forged", &format!("{}/plugins/a:1", forger.address())), "expected sha256:"),
        ];
        let plugins: Vec<_> = cases.iter().map(|(plugin, _)| plugin.clone()).collect();
        let open = at("open", &format!("{}:2", pushed.repository)).set("failure_policy", "FAIL_OPEN");
        let house = House::start(version, &Place::new(), &[&plugins[..], &[open]].concat());
        for (plugin, reason) in cases {
            house.await_complaint(plugin.name(), &["vm_config.code.oci: ", reason]);
            assert_eq!(house.get(plugin.name()).status, 503, "{}", plugin.name());
        }
        assert_eq!(house.upstream.served(), 0);
        assert_eq!((house.get("open").status, house.generation("open")), (200, None));
        // What comes later is found: it need not be asked for again.
        registry.tag(&pushed, "2");
        for plugin in ["no-tag", "open"] {
            house.await_generation(plugin, 1);
        }
        house.stop();
    }

    fn a_name_that_contradicts_its_sha256_is_refused_by_envoy(version) {
        let upstream = Upstream::http1("upstream");
        let code = json!({"oci": {"image": format!("127.0.0.1:1/a@sha256:{NONE}"), "sha256": "1".repeat(64)}});
        let listener = Listener::new("main").plugin(Host::Graft, &Plugin::with_code("two-minds", &code));
        let ended = Envoy::try_start(version, &Bootstrap::new().upstream(&upstream).listener(listener)).unwrap_err();
        let line = ended.line("plugin \"two-minds\": vm_config.code.oci.sha256: ");
        assert!(line.contains("expected the digest that the name of the image has"), "{line}");
    }

    fn an_image_that_is_pinned_is_not_asked_for_twice(version) {
        let registry = Registry::open();
        let pushed = registry.push(Layout::OciImage, "plugins/a:1", &wasm::generation(1));
        let place = Place::new();
        let plugin = image("pinned", &registry, &pushed.pinned());
        let first = House::start(version, &place, std::slice::from_ref(&plugin));
        assert_eq!(first.generation("pinned"), Some(1));
        first.stop();
        let asked = registry.asked().len();
        let second = House::start(version, &place, &[plugin]);
        assert_eq!(second.generation("pinned"), Some(1));
        assert_eq!(registry.asked().len(), asked);
        second.envoy.await_log("loaded from the cache in");
        second.stop();
    }
}
