//! Code of a web server: packed or not, by its SHA-256, by TLS with an authority of one's own, behind a password; and a page
//! that changes.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

use crate::harness::envoy::on_each_envoy;
use crate::harness::origin::{House, Place, page};
use crate::support::wasm::{self, sha256};
use crate::support::{Authority, Layout, Registry, WebServer};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

on_each_envoy! {
    fn code_of_a_web_server_serves_if_it_is_what_was_asked_for(version) {
        let authority = Authority::new();
        let [open, secure] = [WebServer::open(), WebServer::setup().tls(&authority).start()];
        let private = WebServer::setup().basic_auth("reader", "hunter2").start();
        let code = wasm::generation(1);
        let plain = open.put_compressed("plain.wasm", &code);
        let packed = open.put("packed.wasm.gz", &gzip(&code));
        let by_tls = secure.put("a.wasm", &code);
        let behind = private.put("a.wasm", &code).replace("http://", "http://reader:hunter2@");
        let good = [
            page("plain", &plain),
            page("pinned", &plain).set("vm_config.code.remote.sha256", sha256(&code)),
            page("packed", &packed).set("vm_config.code.remote.sha256", sha256(&code)),
            page("tls", &by_tls).set("graft.source.ca_file", authority.root().to_str().unwrap()),
            page("insecure", &by_tls).set("graft.source.insecure_registries", json!(["127.0.0.1"])),
            page("password", &behind),
        ];
        let text = open.put("text.html", b"<!DOCTYPE html><title>Not found</title>");
        let bad = [
            (page("other", &plain).set("vm_config.code.remote.sha256", "0".repeat(64)), sha256(&code)),
            // The SHA-256 is that of the Wasm, not of what it is packed in.
            (page("of-the-file", &packed).set("vm_config.code.remote.sha256", sha256(&gzip(&code))), sha256(&code)),
            (page("text", &text), "HTML".to_owned()),
            (page("missing", &open.url("missing")), "status 404 (there is no such thing)".to_owned()),
            (page("stranger", &by_tls), "graft.source.ca_file".to_owned()),
            (page("nobody", &behind.replace("reader:hunter2@", "")), "status 401".to_owned()),
        ];
        let bad = bad.map(|(plugin, reason)| (plugin.impatient(), reason));
        let all: Vec<_> = good.iter().chain(bad.iter().map(|(plugin, _)| plugin)).cloned().collect();
        let house = House::start(version, &Place::new(), &all);
        for plugin in &good {
            assert_eq!(house.generation(plugin.name()), Some(1), "{}", plugin.name());
        }
        let served = house.upstream.served();
        for (plugin, reason) in &bad {
            house.await_complaint(plugin.name(), &["vm_config.code.remote", reason]);
            assert_eq!(house.get(plugin.name()).status, 503, "{}", plugin.name());
        }
        assert_eq!(house.upstream.served(), served);
        let log = house.stop().log;
        assert!(!log.iter().any(|line| line.text.contains("hunter2")), "{log:?}");
    }

    fn a_page_that_changes_takes_over(version) {
        let server = WebServer::open();
        let url = server.put("a.wasm", &wasm::generation(1));
        let house = House::start(version, &Place::new(), &[page("changing", &url).polled()]);
        assert_eq!(house.generation("changing"), Some(1));
        server.put("a.wasm", &wasm::generation(22));
        house.await_generation("changing", 22);
        let asked = server.asked();
        assert!(asked.iter().any(|asked| asked.method == "HEAD"), "it is asked for its mark alone: {asked:?}");
        house.stop();
    }

    fn a_registry_is_trusted_by_its_authority_or_by_the_list(version) {
        let authority = Authority::new();
        let registry = Registry::setup().tls(&authority).start();
        let plain = Registry::open();
        let push = |registry: &Registry| {
            json!({"oci": registry.push(Layout::SingleLayer, "plugins/a:1", &wasm::generation(1)).reference()})
        };
        let (secure, open) = (push(&registry), push(&plain));
        let plugin = |name: &str, code| crate::harness::Plugin::with_code(name, code).impatient();
        let house = House::start(version, &Place::new(), &[
            plugin("authority", &secure).set("graft.source.ca_file", authority.root().to_str().unwrap()),
            plugin("listed", &secure).set("graft.source.insecure_registries", json!([registry.host()])),
            plugin("all", &open).set("graft.source.insecure_registries", json!(["*"])),
            plugin("stranger", &secure),
            plugin("no-tls", &open),
            plugin("no-file", &secure).set("graft.source.ca_file", "/that/nobody/made"),
        ]);
        for plugin in ["authority", "listed", "all"] {
            house.await_generation(plugin, 1);
        }
        let served = house.upstream.served();
        for (plugin, words) in [
            ("stranger", ["vm_config.code.oci: TLS with https://", "expected a certificate of an authority that is known"]),
            ("no-tls", ["vm_config.code.oci: TLS with https://", ""]),
            ("no-file", ["graft.source.ca_file: ", "expected certificates as PEM"]),
        ] {
            house.await_complaint(plugin, &words);
            assert_eq!(house.get(plugin).status, 503, "{plugin}");
        }
        assert_eq!(house.upstream.served(), served);
        house.stop();
    }
}
