//! Tags that move while Envoy serves: what they lead to takes over without a loss, unless it is no good.

use crate::harness::envoy::on_each_envoy;
use crate::harness::load::Load;
use crate::harness::origin::{House, Place, image};
use crate::harness::report::Kind;
use crate::harness::watch::MainThreadWatch;
use crate::harness::{Bootstrap, eventually};
use crate::support::programs::run;
use crate::support::{KeyPair, Layout, Registry, SignatureForm, wasm};

/// Has a tag lead to an artifact that is a text.
fn push_a_text(registry: &Registry, reference: &str) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("notes.txt"), "no plugin").unwrap();
    let mut oras = registry.client("oras");
    oras.current_dir(folder.path()).args(["push", "--no-tty", "--plain-http", reference]);
    run(oras.args(["--artifact-type", "application/notes", "notes.txt:text/plain"]));
}

on_each_envoy! {
    fn a_tag_that_moves_takes_over_and_no_request_is_lost(version) {
        const LAST: u32 = 4;
        let registry = Registry::open();
        // Each generation in another layout.
        let push = |number: u32| {
            registry.push(Layout::ALL[number as usize % 4], "plugins/moving:1", &wasm::generation(number))
        };
        let plugin = image("moving", &registry, &push(1).reference()).polled();
        let house = House::with(version, &Place::new(), &[plugin], |bootstrap: Bootstrap| bootstrap.concurrency(2));
        house.await_generation("moving", 1);
        let load = Load::on(house.envoy.address("moving").unwrap()).rate(300).streams(2).start();
        load.await_streams(4);
        let quiet = MainThreadWatch::quiet(&house.envoy);
        let main_thread = MainThreadWatch::start(&house.envoy);
        for number in 2..=LAST {
            push(number);
            house.envoy.await_log(&format!("generation {number} takes over"));
            load.await_more(50);
        }
        let (report, answers) = (load.stop(), main_thread.stop());
        eprintln!("{version:?}: {report}; the main thread was busy for {:.1?}", answers.longest());
        answers.assert_like(&quiet);
        report.assert_nothing_was_lost();
        let generations: Vec<_> = report.generations().into_keys().collect();
        assert_eq!(generations, (1..=LAST).collect::<Vec<_>>(), "{report}");
        let streams = report.of_kind(Kind::Long);
        assert_eq!(streams.len(), 4);
        for stream in streams {
            assert_eq!((stream.generation, stream.at_end), (Some(1), Some(1)), "{stream:?}");
        }
        house.envoy.await_log("generation 1 is gone");
        assert_eq!(house.envoy.complaints(), []);
        house.stop();
    }

    fn a_tag_that_moves_to_something_bad_leaves_the_last_good_one(version) {
        const SERVES: &str = "the last good generation serves";
        let (registry, keys) = (Registry::open(), KeyPair::generate());
        let push = |name: &str, code: &[u8]| registry.push(Layout::SingleLayer, name, code);
        let (signed, any) = (push("plugins/signed:1", &wasm::generation(1)), push("plugins/any:1", &wasm::generation(1)));
        keys.sign(&registry, &signed, SignatureForm::Tag);
        let plugins = [
            image("signed", &registry, &signed.reference())
                .set("graft.source.verification_key.file", keys.public().to_str().unwrap()),
            image("any", &registry, &any.reference()),
        ];
        let house = House::start(version, &Place::new(), &plugins.map(|plugin| plugin.impatient().polled()));
        for plugin in ["signed", "any"] {
            house.await_generation(plugin, 1);
        }

        let unsigned = push("plugins/signed:1", &wasm::generation(2));
        push("plugins/any:1", b"<html>a page of errors</html>");
        house.await_complaint("signed", &["vm_config.code.oci: ", &unsigned.digest, "is not signed", SERVES]);
        house.await_complaint("any", &["vm_config.code.oci: ", "HTML", "expected a Wasm", SERVES]);
        for plugin in ["signed", "any"] {
            assert_eq!(house.generation(plugin), Some(1));
            eventually("the failure to be counted", || {
                house.get(plugin);
                house.stat("graft_load_failures", plugin).filter(|count| *count > 0)
            });
        }

        // It is tried again, so a signature that comes late is found.
        keys.sign(&registry, &unsigned, SignatureForm::Tag);
        house.await_generation("signed", 2);
        push_a_text(&registry, &any.reference());
        house.await_complaint("any", &["has no Wasm in it", "text/plain", "no single layer application/wasm", SERVES]);
        assert_eq!(house.generation("any"), Some(1));
        push("plugins/any:1", &wasm::generation(3));
        house.await_generation("any", 3);
        house.stop();
    }
}
