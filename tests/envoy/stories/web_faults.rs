//! Servers that misbehave: Envoy lives, says what is wrong, and serves others meanwhile.

use std::time::Duration;

use serde_json::json;

use crate::harness::envoy::on_each_envoy;
use crate::harness::guests::Guests;
use crate::harness::load::Load;
use crate::harness::origin::{House, Place, page};
use crate::harness::watch::MainThreadWatch;
use crate::harness::{Plugin, eventually};
use crate::support::hostile::{self, Answer};
use crate::support::wasm;

on_each_envoy! {
    fn servers_that_misbehave_disturb_nobody(version) {
        let code = wasm::generation(1);
        let cases = [
            ("endless", Answer::Endless, "has more than 1000000 bytes"),
            ("truncated", Answer::Truncated { body: code.clone(), at: 100 }, "ended after 100 bytes, expected"),
            ("longer", Answer::WrongLength { body: code.clone(), said: 100_000 }, "expected 100000"),
            ("shorter", Answer::WrongLength { body: code.clone(), said: 50 }, "expected"),
            ("circle", Answer::RedirectLoop, "redirects more than 10 times"),
            ("nowhere", Answer::Redirect("ftp://127.0.0.1/".to_owned()), "redirects without a location"),
            ("silence", Answer::Silence, "did not answer within 0.4 s"),
            (
                "drip",
                Answer::Drip { body: code.clone(), bytes: 1, pause: Duration::from_millis(100) },
                "did not answer within 0.4 s",
            ),
            ("nonsense", Answer::Nonsense, "no valid HTTP"),
            ("broken", Answer::Status(500), "status 500"),
        ];
        let servers: Vec<_> = cases.iter().map(|(_, answer, _)| hostile::always(answer.clone())).collect();
        let plugins = cases.iter().zip(&servers).map(|((name, ..), server)| {
            page(name, &server.url("/a.wasm"))
                .impatient()
                .set("graft.source.max_bytes", 1_000_000)
                .set("graft.source.try_timeout", "0.4s")
        });
        // One that heals: it fails twice, and has a third try.
        let healing = hostile::fails_at_first(503, 2, code.clone());
        let heals = page("heals", &healing.url("/a.wasm"))
            .set("graft.source.retries", json!({"attempts": 3, "base_interval": "0.1s"}));
        let guests = Guests::new();
        let good = Plugin::new("good", &guests.add_bytes("good", &wasm::generation(7)));
        let all: Vec<_> = plugins.chain([heals, good]).collect();
        let house = House::start(version, &Place::new(), &all);
        let load = Load::on(eventually("the listener", || house.envoy.address("good"))).rate(100).streams(1).start();
        load.await_streams(2);
        let main_thread = MainThreadWatch::start(&house.envoy);
        for (name, _, reason) in &cases {
            house.await_complaint(name, &["vm_config.code.remote.http_uri.uri: ", reason]);
            assert_eq!(house.get(name).status, 503, "{name}");
        }
        assert_eq!(house.generation("heals"), Some(1));
        assert_eq!(healing.count(), 3);
        load.await_more(20);
        let answers = main_thread.stop();
        // With the same load.
        let quiet = MainThreadWatch::quiet(&house.envoy);
        let report = load.stop();
        report.assert_nothing_was_lost();
        assert_eq!(report.generations().into_keys().collect::<Vec<_>>(), [7]);
        eprintln!("{version:?}: {report}; the main thread was busy for {:.1?}", answers.longest());
        answers.assert_like(&quiet);
        house.stop();
    }

    fn no_address_of_a_metadata_service_is_asked(version) {
        const METADATA: &str = "http://169.254.169.254/latest/meta-data";
        let redirects = hostile::always(Answer::Redirect(METADATA.to_owned()));
        let image = |name: &str, reference: &str| Plugin::with_code(name, &json!({"oci": reference}));
        let plugins = [
            page("page", METADATA),
            page("mapped", "http://[::ffff:169.254.169.254]/latest"),
            page("redirected", &redirects.url("/a.wasm")),
            image("image", "169.254.169.254/plugins/a:1").set("graft.source.insecure_registries", json!(["*"])),
        ];
        let house = House::start(version, &Place::new(), &plugins.map(Plugin::impatient));
        for plugin in ["page", "mapped", "redirected", "image"] {
            house.await_complaint(plugin, &["link-local or of a metadata service", "graft.source.allowed_addresses"]);
            assert_eq!(house.get(plugin).status, 503, "{plugin}");
        }
        assert_eq!(house.upstream.served(), 0);
        house.stop();
    }
}
