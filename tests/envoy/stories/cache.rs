//! What one Envoy has compiled the next one loads from the cache; and what is wrong there costs time, never a request.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use crate::harness::envoy::on_each_envoy;
use crate::harness::log::Line;
use crate::harness::origin::Place;
use crate::harness::{Bootstrap, Envoy, Host, Listener, Plugin, Upstream, Version};

/// Envoy with a plugin that marks responses, and with the directory in its environment.
fn bootstrap(plugin: &Plugin, directory: &Path) -> Bootstrap {
    Bootstrap::new()
        .upstream(&Upstream::http1("upstream"))
        .variable("GRAFT_CACHE_DIRECTORY", directory.to_str().unwrap())
        .log_level("info")
        .listener(Listener::new("main").plugin(Host::Graft, plugin))
}

fn marking() -> Plugin {
    Plugin::scripted("marking", "response_headers: add response x-plugin ran")
}

/// Starts an Envoy that serves; answers what it says of code and of its cache.
fn lines(version: Version, bootstrap: &Bootstrap) -> Vec<Line> {
    let envoy = Envoy::start(version, bootstrap);
    assert_eq!(envoy.client("main").get("/").header("x-plugin"), Some("ran"));
    let ended = envoy.stop();
    assert!(ended.status.success(), "{ended}");
    let is_ours = |line: &Line| line.text.starts_with("graft: ") && line.logger == "dynamic_modules";
    ended.log.into_iter().filter(is_ours).collect()
}

fn has(lines: &[Line], text: &str) -> bool {
    lines.iter().any(|line| line.text.contains(text))
}

fn compiles(lines: &[Line]) -> bool {
    assert!(has(lines, " compiled in ") != has(lines, " loaded from the cache in "), "{lines:?}");
    has(lines, " compiled in ")
}

on_each_envoy! {
    fn the_second_envoy_does_not_compile(version) {
        let place = Place::new();
        let bootstrap = bootstrap(&marking(), &place.directory);
        assert!(compiles(&lines(version, &bootstrap)));
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
        assert_eq!(mode(&place.directory), 0o700);
        assert_eq!(place.files().iter().map(|path| mode(path)).collect::<Vec<_>>(), [0o600]);
        let second = lines(version, &bootstrap);
        assert!(!compiles(&second));
        assert!(second.iter().all(|line| line.level == "info"), "{second:?}");
    }

    fn what_validation_has_compiled_is_there_when_envoy_starts(version) {
        let place = Place::new();
        let plugin = marking().set("graft.isolation", "stream");
        let bootstrap = bootstrap(&plugin, &place.directory);
        assert!(Envoy::validate(version, &bootstrap).status.success());
        assert_eq!(place.files().len(), 2, "the code, and that of the copies");
        assert!(!compiles(&lines(version, &bootstrap)));
    }

    fn a_file_that_was_changed_is_made_anew(version) {
        let place = Place::new();
        let bootstrap = bootstrap(&marking(), &place.directory);
        lines(version, &bootstrap);
        let file = &place.files()[0];
        let mut bytes = fs::read(file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(file, bytes).unwrap();
        let second = lines(version, &bootstrap);
        assert!(compiles(&second));
        let warning = second.iter().find(|line| line.level == "warning").unwrap();
        assert!(warning.text.contains("has another digest than its header says"), "{warning:?}");
        assert!(warning.text.contains("it is discarded and made anew"), "{warning:?}");
        assert!(!compiles(&lines(version, &bootstrap)));
    }

    fn a_directory_that_is_everybodys_is_not_used_and_traffic_is_served(version) {
        let place = Place::new();
        fs::create_dir(&place.directory).unwrap();
        fs::set_permissions(&place.directory, fs::Permissions::from_mode(0o777)).unwrap();
        let first = lines(version, &bootstrap(&marking(), &place.directory));
        assert!(compiles(&first));
        let expected = format!(
            "graft: no cache: directory \"{}\" has mode 0777, expected 0700: what lies there is run as code; \
             plugins are compiled at each start",
            place.directory.display()
        );
        let warnings: Vec<&str> =
            first.iter().filter(|line| line.level == "warning").map(|line| line.text.as_str()).collect();
        assert_eq!(warnings, [expected]);
        assert!(place.files().is_empty());
    }

    fn a_plugin_may_have_a_cache_of_its_own_or_none(version) {
        let (place, other) = (Place::new(), Place::new());
        let own = marking().set("graft.cache.directory", other.directory.to_str().unwrap());
        lines(version, &bootstrap(&own, &place.directory));
        assert!(!place.directory.exists());
        assert_eq!(other.files().len(), 1);
        let none = own.set("graft.cache.disabled", true);
        assert!(compiles(&lines(version, &bootstrap(&none, &place.directory))));
    }
}
