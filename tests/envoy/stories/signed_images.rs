//! Images that cosign has signed run, in both of its forms; others do not, wherever they come from.

use crate::harness::envoy::on_each_envoy;
use crate::harness::origin::{House, Place, image, page};
use crate::harness::{Bootstrap, Envoy, Host, Listener, Upstream};
use crate::support::{Image, KeyPair, Layout, Registry, SignatureForm, wasm};

on_each_envoy! {
    fn what_the_right_key_has_signed_serves_and_nothing_else(version) {
        let (registry, keys, others) = (Registry::open(), KeyPair::generate(), KeyPair::generate());
        let push = |number: u32, name: &str| {
            registry.push(Layout::OciImage, &format!("plugins/{name}:1"), &wasm::generation(number))
        };
        let [tag, bundle, late] = [(1, "tag"), (2, "bundle"), (3, "late")].map(|(number, name)| push(number, name));
        keys.sign(&registry, &tag, SignatureForm::Tag);
        keys.sign(&registry, &bundle, SignatureForm::Bundle);
        let by = |name: &str, image_of: &Image, keys: &KeyPair| {
            image(name, &registry, &image_of.reference())
                .set("graft.source.verification_key.inline", keys.public_pem())
                .impatient()
        };
        let plugins = [
            by("tag", &tag, &keys),
            image("bundle", &registry, &bundle.pinned())
                .set("graft.source.verification_key.file", keys.public().to_str().unwrap()),
            by("of-others", &tag, &others),
            by("bundle-of-others", &bundle, &others),
            by("late", &late, &keys),
        ];
        let place = Place::new();
        let house = House::start(version, &place, &plugins);
        for (plugin, number) in [("tag", 1), ("bundle", 2)] {
            house.await_generation(plugin, number);
        }
        let served = house.upstream.served();
        for plugin in ["of-others", "bundle-of-others"] {
            house.await_complaint(plugin, &["vm_config.code.oci: ", "1 signatures and none that counts: it is not by that key"]);
            assert_eq!(house.get(plugin).status, 503);
        }
        let reason = "is not signed, expected a signature of cosign by the key of graft.source.verification_key";
        house.await_complaint("late", &["vm_config.code.oci: ", &late.digest, reason]);
        assert_eq!((house.get("late").status, house.upstream.served()), (503, served));
        keys.sign(&registry, &late, SignatureForm::Bundle);
        house.await_generation("late", 3);
        house.stop();

        // What the cache has was verified by a key; with another one that does not count.
        let again = House::start(version, &place, &[by("again", &tag, &others), by("same", &tag, &keys)]);
        again.await_generation("same", 1);
        again.await_complaint("again", &["it is not by that key"]);
        assert_eq!(again.get("again").status, 503);
        again.stop();
    }

    fn a_key_for_what_cannot_be_signed_is_refused_by_envoy(version) {
        let upstream = Upstream::http1("upstream");
        let plugin = page("a-page", "http://127.0.0.1:1/a.wasm").set("graft.source.verification_key.inline", "a key");
        let listener = Listener::new("main").plugin(Host::Graft, &plugin);
        let ended = Envoy::try_start(version, &Bootstrap::new().upstream(&upstream).listener(listener)).unwrap_err();
        ended.line("plugin \"a-page\": graft.source.verification_key");
    }
}
