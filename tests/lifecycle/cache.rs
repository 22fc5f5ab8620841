//! What is compiled once for several processes, one after the other or side by side: a registry is a process here.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use graft::config::{CacheConfig, PluginConfig};
use graft::engine::code::Origin;
use tempfile::TempDir;

use crate::guest::Guest;
use crate::house::{House, Loaded, config, serve, share_vms, word};
use crate::isolation::isolated;

/// How a file came to be wrong.
type Spoil = fn(&Path);

/// The plugin with a cache in a directory.
fn kept(config: &PluginConfig, directory: &Path) -> PluginConfig {
    let mut config = config.clone();
    config.graft.cache = CacheConfig { directory: Some(directory.to_owned()), ..CacheConfig::default() };
    config
}

/// A guest that says a word with each request.
fn guest(said: &str) -> Guest {
    Guest::new().on("proxy_on_request_headers", &word(said))
}

fn is_cached(plugin: &Loaded) -> bool {
    matches!(plugin.pool().template().code().origin(), Origin::Cached(_))
}

fn files(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).unwrap().map(|file| file.unwrap().path()).collect()
}

/// What tells a file from one that took its place.
fn inodes(directory: &Path) -> BTreeSet<u64> {
    files(directory).iter().map(|path| fs::metadata(path).unwrap().ino()).collect()
}

/// A folder, and the directory of the cache in it.
fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("cache");
    (folder, directory)
}

#[test]
fn the_second_process_does_not_compile() {
    let (_folder, directory) = place();
    let plugin = kept(&config("p", &guest("here")), &directory);
    for is_second in [false, true] {
        let house = House::new(1);
        let loaded = house.load(&plugin);
        assert_eq!(is_cached(&loaded), is_second);
        serve(&loaded, 0);
        assert_eq!(house.said(), ["here"]);
    }
    assert_eq!(files(&directory).len(), 1);
    let house = House::new(1);
    assert!(!is_cached(&house.load(&kept(&config("p", &guest("other")), &directory))));
}

#[test]
fn a_vm_for_each_stream_is_cached_before_and_after_its_configuration() {
    let (_folder, directory) = place();
    let plugin = isolated(&kept(&config("p", &guest("here")), &directory));
    for is_second in [false, true] {
        let house = House::new(1);
        let before = if is_second { inodes(&directory) } else { BTreeSet::new() };
        let loaded = house.load(&plugin);
        assert_eq!(is_cached(&loaded), is_second);
        serve(&loaded, 0);
        assert_eq!(house.said(), ["here"]);
        assert_eq!(inodes(&directory).len(), 2);
        assert_eq!(inodes(&directory) == before, is_second, "what is compiled is written");
    }
}

/// As plugins of Go do, which draw random numbers as well.
#[test]
fn what_a_plugin_has_in_memory_when_it_is_configured_is_compiled_once() {
    let (_folder, directory) = place();
    let guest = Guest::new()
        .on("proxy_on_configure", "(drop (call $proxy_get_current_time_nanoseconds (i32.const 80000)))")
        .on("proxy_on_request_headers", "(call $say (i32.load (i32.const 80000)))");
    let plugin = isolated(&kept(&config("p", &guest), &directory));
    let mut before = BTreeSet::new();
    for time in [1000_u64, 2000, 3000] {
        let house = House::new(1);
        house.pass(Duration::from_nanos(time.saturating_sub(house.now())));
        let loaded = house.load(&plugin);
        serve(&loaded, 0);
        assert_eq!(house.said(), [time.to_string()]);
        assert_eq!(inodes(&directory).len(), 2);
        assert!(before.is_empty() || inodes(&directory) == before);
        before = inodes(&directory);
    }
}

#[test]
fn a_file_that_was_tampered_with_is_made_anew() {
    let spoils: [(&str, Spoil); 4] = [
        ("corrupt", |path| {
            let mut bytes = fs::read(path).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            fs::write(path, bytes).unwrap();
        }),
        ("truncated", |path| {
            let bytes = fs::read(path).unwrap();
            fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
        }),
        ("writable by all", |path| fs::set_permissions(path, fs::Permissions::from_mode(0o666)).unwrap()),
        ("empty", |path| fs::write(path, b"").unwrap()),
    ];
    for (what, spoil) in spoils {
        let (_folder, directory) = place();
        let plugin = kept(&config("p", &guest("here")), &directory);
        House::new(1).load(&plugin);
        spoil(&files(&directory)[0]);
        for is_mended in [false, true] {
            let house = House::new(1);
            let loaded = house.load(&plugin);
            assert_eq!(is_cached(&loaded), is_mended, "{what}");
            serve(&loaded, 0);
            assert_eq!(house.said(), ["here"], "{what}");
        }
    }
}

/// The digest of the cache is right, and what it covers was not made by this engine.
#[test]
fn what_another_engine_compiled_is_made_anew() {
    use sha2::Digest as _;
    let (_folder, directory) = place();
    let plugin = kept(&config("p", &guest("here")), &directory);
    House::new(1).load(&plugin);
    let path = &files(&directory)[0];
    let original = fs::read(path).unwrap();
    // The version of wasmtime stands in the code as text, behind that of the format and its length.
    let version = original.windows(4).position(|window| window == b"\x00\x0248").unwrap();
    for (what, change) in [("another version", version + 3), ("no object file", 88)] {
        let mut bytes = original.clone();
        bytes[change] ^= 1;
        let digest: [u8; 32] = sha2::Sha256::digest(&bytes[88..]).into();
        bytes[56..88].copy_from_slice(&digest);
        fs::write(path, bytes).unwrap();
        for is_mended in [false, true] {
            assert_eq!(is_cached(&House::new(1).load(&plugin)), is_mended, "{what}");
        }
    }
}

#[test]
fn a_directory_that_cannot_be_used_costs_a_compilation_and_no_more() {
    let (folder, directory) = place();
    fs::create_dir(&directory).unwrap();
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
    for unusable in [directory.as_path(), Path::new("/proc/no/cache")] {
        let house = House::new(1);
        let loaded = house.load(&kept(&config("p", &guest("here")), unusable));
        assert!(!is_cached(&loaded));
        serve(&loaded, 0);
    }
    assert!(files(&directory).is_empty());
    drop(folder);
}

#[test]
fn where_code_is_kept_is_nothing_that_vms_differ_in() {
    let (folder, directory) = place();
    let house = House::new(1);
    let base = config("p", &guest("here"));
    let one = house.load(&kept(&base, &directory));
    let other = house.load(&kept(&base, &folder.path().join("other")));
    assert!(share_vms(&one, &other));
    let without = house.load(&base);
    assert!(share_vms(&one, &without));
}

/// Each thread is a process, with an engine of its own, that starts and ends again and again in the same directory.
#[test]
fn many_processes_may_share_a_directory_that_is_too_small() {
    let (_folder, directory) = place();
    std::thread::scope(|scope| {
        for process in 0..3 {
            let directory = &directory;
            scope.spawn(move || {
                for round in 0..4 {
                    let said = format!("{}", (process + round) % 3);
                    let mut plugin = kept(&config("p", &guest(&said)), directory);
                    // Each file is larger than half of that.
                    plugin.graft.cache.max_bytes = 20_000;
                    let house = House::new(1);
                    let loaded = house.load(&plugin);
                    serve(&loaded, 0);
                    assert_eq!(house.said(), [said]);
                }
            });
        }
    });
}
