//! Passwords of registries: from everywhere that they may stand, changed while Envoy runs, and told to nobody.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use serde_json::json;

use crate::harness::envoy::on_each_envoy;
use crate::harness::origin::{House, Place, image};
use crate::harness::{Envoy, Plugin};
use crate::support::{CredentialHelper, Layout, Registry, TokenServer, docker_config, wasm};

const USER: &str = "reader";
/// How each password of these stories begins.
const SECRET: &str = "hunter2";

/// Fails if one of the passwords stands in some text, as it is or as requests carry it.
fn assert_has_no_secret(what: &str, text: &str) {
    // Base64 of whole groups of three bytes is the same whatever follows.
    let carried = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:hunte"));
    for secret in [SECRET, &carried] {
        let found = text.lines().find(|line| line.contains(secret));
        assert!(found.is_none(), "{what}: {found:?}");
    }
    assert!(!text.is_empty(), "{what}");
}

fn assert_tells_nothing(envoy: &Envoy, pages: &[&str]) {
    for page in pages {
        assert_has_no_secret(page, &envoy.admin().get(page).unwrap());
    }
    let log: Vec<_> = envoy.log().into_iter().map(|line| line.text).collect();
    assert_has_no_secret("the log", &log.join("\n"));
}

fn replace(file: &Path, text: &str) {
    let fresh = file.with_extension("fresh");
    fs::write(&fresh, text).unwrap();
    fs::rename(fresh, file).unwrap();
}

on_each_envoy! {
    fn passwords_let_plugins_in_may_change_and_are_told_nobody(version) {
        let folder = tempfile::tempdir().unwrap();
        let secret_file = |name: &str| folder.path().join(name);
        let mut basic = Registry::setup().basic_auth(USER, "hunter2-of-old").start();
        let tokens = Arc::new(TokenServer::start(USER, "hunter2-for-a-token"));
        let guarded = Registry::setup().tokens(&tokens, USER, "hunter2-for-a-token").start();
        let helper = CredentialHelper::new(&basic.host(), USER, "hunter2-of-old");
        let config = |password: &str| docker_config(&basic.host(), USER, password);
        replace(&secret_file("basic.json"), &config("hunter2-of-old"));
        replace(&secret_file("tokens.json"), &docker_config(&guarded.host(), USER, "hunter2-for-a-token"));
        replace(&secret_file("helper.json"), &helper.docker_config());

        let reference = basic.push(Layout::SingleLayer, "plugins/a:1", &wasm::generation(1)).reference();
        let of_tokens = guarded.push(Layout::OciImage, "plugins/a:1", &wasm::generation(1)).reference();
        let with_file = |plugin: Plugin, name: &str| {
            plugin.set("graft.source.pull_secret.file", secret_file(name).to_str().unwrap())
        };
        let plugins = [
            with_file(image("file", &basic, &reference), "basic.json"),
            with_file(image("helper", &basic, &reference), "helper.json")
                .set("graft.source.credential_helpers", json!(["test-helper"])),
            image("variable", &basic, &reference)
                .set("graft.source.pull_secret.environment_variable", "PULL_SECRET"),
            with_file(image("token", &guarded, &of_tokens), "tokens.json")
                // The registry, and the token server, which speaks HTTP too.
                .set("graft.source.insecure_registries", json!(["localhost", "127.0.0.1"])),
        ];
        let variable = config("hunter2-of-old");
        let house = House::with(version, &Place::new(), &plugins.map(|plugin| plugin.impatient().polled()), |bootstrap| {
            bootstrap.variable("PULL_SECRET", &variable).variable("PATH", &helper.path_variable())
        });
        for plugin in ["file", "helper", "variable", "token"] {
            house.await_generation(plugin, 1);
        }
        assert!(helper.asked().contains(&format!("get {}", basic.host())), "{:?}", helper.asked());
        assert!(tokens.grants().iter().any(|grant| grant.user.as_deref() == Some(USER) && grant.is_given));

        basic.set_password("hunter2-of-late");
        basic.push(Layout::SingleLayer, "plugins/a:1", &wasm::generation(2));
        for plugin in ["file", "helper", "variable"] {
            house.await_complaint(plugin, &["whether it has changed is not to be known", "status 401 (it wants credentials"]);
            assert_eq!(house.generation(plugin), Some(1), "{plugin}");
        }
        replace(&secret_file("basic.json"), &docker_config(&basic.host(), USER, "hunter2-of-late"));
        helper.set_password(USER, "hunter2-of-late");
        for plugin in ["file", "helper"] {
            house.await_generation(plugin, 2);
        }
        assert_eq!(house.generation("variable"), Some(1), "a variable of a process stays as it is");
        assert_tells_nothing(&house.envoy, &["/stats", "/config_dump", "/listeners", "/clusters"]);
        house.stop();
    }

    fn a_password_that_is_wrong_or_not_to_be_had_is_told_by_its_field(version) {
        let registry = Registry::setup().basic_auth(USER, "hunter2-right").start();
        let reference = registry.push(Layout::SingleLayer, "plugins/a:1", &wasm::generation(1)).reference();
        let config = |password: &str| docker_config(&registry.host(), USER, password);
        let plugin = |name: &str| image(name, &registry, &reference).impatient();
        let inline = |name: &str, text: &str| plugin(name).set("graft.source.pull_secret.inline", text);
        let helper = json!({"credHelpers": {registry.host(): "of-a-stranger"}}).to_string();
        let good = [
            inline("inline", &config("hunter2-right")),
            // As Istio's control plane writes it.
            plugin("istio").set(
                "vm_config.environment_variables.key_values.ISTIO_META_WASM_IMAGE_PULL_SECRET",
                config("hunter2-right"),
            ),
        ];
        let bad = [
            (plugin("nobody"), "vm_config.code.oci: ", "status 401 (it wants credentials: graft.source.pull_secret)"),
            (inline("wrong", &config("hunter2-wrong")), "vm_config.code.oci: ", "status 401 (it wants credentials"),
            (inline("damaged", "{hunter2-damaged"), "graft.source.pull_secret: ", "expected a config.json of Docker"),
            (inline("stranger", &helper), "graft.source.pull_secret: ", "graft.source.credential_helpers"),
            (
                plugin("unset").set("graft.source.pull_secret.environment_variable", "THAT_NOBODY_SETS"),
                "graft.source.pull_secret: ",
                "\"THAT_NOBODY_SETS\" of the pull secret is not set",
            ),
            (
                plugin("no-file").set("graft.source.pull_secret.file", "/that/nobody/made"),
                "graft.source.pull_secret: ",
                "cannot be read",
            ),
        ];
        let all: Vec<_> = good.iter().chain(bad.iter().map(|(plugin, ..)| plugin)).cloned().collect();
        let house = House::start(version, &Place::new(), &all);
        for plugin in &good {
            house.await_generation(plugin.name(), 1);
        }
        let served = house.upstream.served();
        for (plugin, field, reason) in &bad {
            house.await_complaint(plugin.name(), &[field, reason]);
            assert_eq!(house.get(plugin.name()).status, 503, "{}", plugin.name());
        }
        assert_eq!(house.upstream.served(), served);
        // What stands in a configuration, Envoy shows in its /config_dump.
        assert_tells_nothing(&house.envoy, &["/stats", "/listeners", "/clusters"]);
        house.stop();
    }
}
