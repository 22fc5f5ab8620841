//! The configurations that pages show.

use std::fmt::Write as _;

use crate::envoy::{Envoy, validate};
use crate::markdown::Page;
use crate::support::{Authority, KeyPair, Layout, Registry, SignatureForm, docker_config};
use crate::{made, root, text};

/// Where the examples of pages say that plugins are, and where they are here.
const CODE: [&str; 2] = ["/etc/envoy/", "target/plugins/"];

/// The first bootstrap that the repository has, with another list of filters before the router.
fn bootstrap_with(filter: &str) -> String {
    let quickstart = text("envoy/quickstart.yaml");
    let (before, rest) = quickstart.split_once("          http_filters:\n").expect("the filters");
    let (_, after) = rest.split_once("          # The last filter").expect("the router");
    let mut bootstrap = format!("{before}          http_filters:\n");
    for line in filter.replace(CODE[0], CODE[1]).lines() {
        writeln!(bootstrap, "          {line}").expect("writing to a string");
    }
    bootstrap + "          #" + after
}

/// Lines without the white space that all of them begin with.
fn dedented(lines: &str) -> String {
    let indent = lines.lines().map(|line| line.len() - line.trim_start().len()).min().unwrap_or(0);
    lines.lines().map(|line| &line[indent..]).collect::<Vec<_>>().join("\n")
}

/// The lines below the one that ends with `key`, as long as they stand deeper than it.
fn below(text: &str, key: &str) -> String {
    let mut lines = text.lines().skip_while(|line| line.trim() != key);
    let indent = |line: &str| line.len() - line.trim_start().len();
    let depth = indent(lines.next().unwrap_or_else(|| panic!("no line {key:?}")));
    let lines: Vec<_> = lines.take_while(|line| indent(line) > depth).collect();
    dedented(&lines.join("\n"))
}

#[test]
fn the_readme_quotes_the_quickstart() {
    let quoted = Page::read("README.md").block("yaml quickstart");
    let file = text("envoy/quickstart.yaml");
    let first = quoted.lines().next().expect("a line");
    let found = file.lines().find(|line| line.trim() == first).expect("the first line is in the file");
    let indent = " ".repeat(found.len() - first.len());
    let indented = quoted.trim_end().replace('\n', &format!("\n{indent}"));
    assert!(file.contains(&indented), "README.md quotes envoy/quickstart.yaml otherwise than it is");
}

#[test]
fn the_quickstart_does_what_it_says() {
    let bootstrap = text("envoy/quickstart.yaml").replace("10000", "0").replace("9901", "0");
    let envoy = Envoy::start(&bootstrap);
    let answer = envoy.get("/");
    assert!(answer.contains("x-served-by: graft") && answer.ends_with("hello\n"), "{answer}");
    let stats = envoy.stats("add_header");
    assert!(stats.contains("dynamicmodulescustom.add_header_responses: 1"), "{stats}");
}

#[test]
fn the_configuration_by_route_does_what_it_says() {
    let bootstrap = text("envoy/per-route.yaml").replace("10000", "0").replace("9901", "0");
    let envoy = Envoy::start(&bootstrap);
    assert!(envoy.get("/").contains("x-served-by: everything"));
    assert!(envoy.get("/api").contains("x-served-by: the API"));
    let plain = envoy.get("/plain");
    assert!(plain.ends_with("plain\n") && !plain.contains("x-served-by"), "{plain}");
}

#[test]
fn a_vm_for_each_stream_does_what_it_says() {
    let bootstrap = text("envoy/isolation.yaml").replace("10000", "0").replace("9901", "0");
    let envoy = Envoy::start(&bootstrap);
    for _ in 0..2 {
        assert!(envoy.get("/").contains("x-served-by: a VM of its own"));
    }
}

#[test]
fn the_hot_swap_does_what_it_says() {
    let bootstrap = text("envoy/hot-swap.yaml").replace("10000", "0").replace("9901", "0");
    let envoy = Envoy::start(&bootstrap);
    assert!(envoy.get("/").contains("x-served-by: graft"));
    let page = envoy.admin("/graft");
    assert!(page.contains("add-header (filter): serving") && page.contains("looked at every 1 s"), "{page}");
}

#[test]
fn a_plugin_from_a_registry_does_what_it_says() {
    let (authority, keys) = (Authority::new(), KeyPair::generate());
    let mut registry = Registry::setup().basic_auth("envoy", "secret").tls(&authority).start();
    let code =
        std::fs::read(made(root().join("target/plugins/add-header.wasm"), "plugins")).expect("the plugin");
    let image = registry.push(Layout::SingleLayer, "acme/add-header:1.0", &code);
    keys.sign(&registry, &image, SignatureForm::Bundle);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let secret = folder.path().join("config.json");
    std::fs::write(&secret, docker_config(&registry.host(), "envoy", "secret")).expect("the pull secret");
    let cache = folder.path().join("cache");
    let mut bootstrap = text("envoy/oci.yaml").replace("10000", "0").replace("9901", "0");
    for (said, here) in [
        ("registry.example.com/acme/add-header:1.0", image.reference().as_str()),
        ("/etc/envoy/registry/config.json", &secret.to_string_lossy()),
        ("/etc/envoy/registry/cosign.pub", &keys.public().to_string_lossy()),
        ("/etc/envoy/registry/ca.pem", &authority.root().to_string_lossy()),
        ("/var/cache/envoy/graft", &cache.to_string_lossy()),
    ] {
        assert!(bootstrap.contains(said), "{said}");
        bootstrap = bootstrap.replace(said, here);
    }
    for what in ["the registry is asked", "the cache has it, and the registry is down"] {
        let envoy = Envoy::start(&bootstrap);
        let answer = envoy.get("/");
        assert!(answer.contains("x-served-by: a registry"), "{what}: {answer}");
        registry.stop();
    }
}

#[test]
fn the_logger_and_the_connections_are_valid() {
    validate("envoy/logger-and-tcp.yaml", &text("envoy/logger-and-tcp.yaml"));
}

#[test]
fn the_service_is_valid() {
    validate("envoy/service.yaml", &text("envoy/service.yaml"));
}

#[test]
fn the_bootstrap_of_the_demo_is_valid() {
    validate("envoy/demo.yaml", &text("envoy/demo.yaml"));
}

#[test]
fn who_comes_from_the_built_in_filter_keeps_his_configuration() {
    let readme = Page::read("README.md");
    let (before, after) = (readme.block("yaml before"), readme.block("yaml after"));
    assert_eq!(below(&before, "config:"), below(&after, "value:"));
    validate("the configuration before", &bootstrap_with(&before));
    validate("the configuration after", &bootstrap_with(&after));
    let envoy = Envoy::start(&bootstrap_with(&after).replace("10000", "0").replace("9901", "0"));
    assert!(envoy.get("/").contains("x-served-by: graft"));
}

#[test]
fn the_filters_that_example_plugins_show_are_valid() {
    for name in ["ext-authz", "jwt-auth", "rate-limit", "telemetry-batcher"] {
        let path = format!("examples/plugins/rust/{name}/README.md");
        let envoy = Envoy::start(
            &bootstrap_with(&Page::read(&path).block("yaml filter"))
                .replace("10000", "0")
                .replace("9901", "0"),
        );
        // An Envoy that serves has configured the plugin, which refuses what it does not know. What a request gets
        // without the cluster of the example is the plugin's answer, or the upstream's.
        let expected = match name {
            "ext-authz" => "HTTP/1.1 503",
            "jwt-auth" => "HTTP/1.1 401",
            _ => "HTTP/1.1 200",
        };
        let answer = envoy.get("/");
        assert!(answer.starts_with(expected), "{name}: {answer}");
    }
}

#[test]
fn metrics_can_have_the_names_of_the_built_in_filter() {
    let line = Page::read("docs/METRICS.md").block("yaml module");
    let after = Page::read("README.md").block("yaml after");
    let plain = "dynamic_module_config: { name: graft, do_not_close: true }";
    assert!(after.contains(plain));
    let renamed =
        bootstrap_with(&after.replace(plain, line.trim())).replace("10000", "0").replace("9901", "0");
    let envoy = Envoy::start(&renamed);
    envoy.get("/");
    let stats = envoy.stats("add_header");
    assert!(stats.contains("wasmcustom.add_header_responses: 1"), "{stats}");
    assert!(!stats.contains("dynamicmodulescustom"), "{stats}");
}
