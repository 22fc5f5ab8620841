//! What is left of a process when its last plugin is gone: no thread, no machine code. Other tests have threads and
//! code of their own, so this one runs itself again in a process where it is alone.

use std::fs;
use std::process::Command;

use crate::guest::Guest;
use crate::house::{House, config, crash, eventually, fragile, open, serve};

/// Set in the process where the test is alone.
const ALONE: &str = "GRAFT_TEST_ALONE";

/// Whether the clock of deadlines runs.
fn is_ticking() -> bool {
    fs::read_dir("/proc/self/task").unwrap().any(|thread| {
        // A thread that ends meanwhile has no name.
        fs::read_to_string(thread.unwrap().path().join("comm"))
            .is_ok_and(|name| name.trim() == "graft:ticker")
    })
}

/// Mappings of this process that can be executed and come from no file: compiled code.
fn compiled_mappings() -> usize {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let is_compiled = |line: &&str| {
        let mut fields = line.split_whitespace().skip(1);
        fields.next().is_some_and(|flags| flags.contains('x')) && fields.nth(3).is_none()
    };
    maps.lines().filter(is_compiled).count()
}

#[test]
fn the_last_plugin_leaves_no_thread_and_no_code() {
    if std::env::var_os(ALONE).is_none() {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "alone::the_last_plugin_leaves_no_thread_and_no_code"])
            .env(ALONE, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
        return;
    }
    let house = House::new(2);
    assert!(!is_ticking(), "a registry without plugins has no thread");
    let before = compiled_mappings();
    for _ in 0..2 {
        let (one, two) = (house.load(&config("one", &fragile())), house.load(&config("two", &Guest::new())));
        // A new thread gives itself its name.
        assert!(eventually(is_ticking), "the thread did not start");
        assert!(compiled_mappings() > before);
        serve(&two, 1);
        crash(&one, 0);
        let stream = open(&one, 0);
        drop((one, two));
        assert!(eventually(|| compiled_mappings() > before) && is_ticking(), "a stream still needs its VM");
        stream.request().unwrap();
        stream.end();
        assert!(eventually(|| !is_ticking()), "the thread did not end");
        assert_eq!(compiled_mappings(), before, "code is kept");
    }
    let refused = Guest::new().answer("proxy_on_configure", 0, "");
    house.refuse(&config("refused", &refused));
    assert!(eventually(|| !is_ticking()));
    assert_eq!(compiled_mappings(), before);
}
