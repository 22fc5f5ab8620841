//! That nothing grows: streams by the hundred thousand and traps by the thousand leave the process as large as it was.
//!
//! Other tests would be seen in the size, so each of these runs itself again in a process where it is alone.
//! `GRAFT_STREAMS` is the number of streams (200,000 unless set); there is a trap for each twenty of them.

use std::fs;
use std::process::Command;

use graft::config::PluginConfig;

use crate::guest::Guest;
use crate::house::{House, Loaded, crash, fragile, serve};
use crate::isolation::isolated;

/// Set in the process where a test is alone.
const ALONE: &str = "GRAFT_TEST_ALONE";

/// What an allocator may keep; a leak of 16 bytes a stream is more.
const SLACK: usize = 3 * 1024 * 1024;

/// Bytes of memory that this process holds.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

/// A guest that uses some memory, and calls of the host that keep something for the stream; requests without headers
/// trap.
fn busy() -> Guest {
    fragile()
        .on("proxy_on_context_create", "(memory.fill (i32.const 32768) (i32.const 7) (i32.const 16384))")
        .on(
            "proxy_on_response_headers",
            "(drop (call $proxy_define_metric (i32.const 0) (text \"c\") (i32.const 32)))",
        )
}

fn run(name: &str, config: impl Fn(&PluginConfig) -> PluginConfig) {
    if std::env::var_os(ALONE).is_none() {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(ALONE, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
        print!("{said}");
        return;
    }
    let streams = std::env::var("GRAFT_STREAMS").map_or(200_000, |number| number.parse().unwrap());
    let house = House::new(2);
    let plugin = house.load(&config(&crate::house::config("p", &busy())));
    serve_many(&house, &plugin, streams / 10);
    let before = resident();
    serve_many(&house, &plugin, streams);
    let after = resident();
    println!("{name}: {streams} streams, {} traps: {before} bytes before, {after} after", streams / 20);
    assert!(after < before + SLACK, "{before} bytes before, {after} after");
}

/// Streams, every twentieth of which traps.
fn serve_many(house: &House, plugin: &Loaded, streams: usize) {
    for round in 0..streams / 20 {
        let worker = round % 2;
        for _ in 0..19 {
            serve(plugin, worker);
        }
        crash(plugin, worker);
        house.registry.keeper().work();
        // What the process of the test keeps is not the library's.
        house.services.lines.lock().clear();
    }
}

#[test]
fn streams_and_traps_leave_nothing_behind_in_shared_vms() {
    run("memory::streams_and_traps_leave_nothing_behind_in_shared_vms", Clone::clone);
}

#[test]
fn streams_and_traps_leave_nothing_behind_with_a_vm_for_each() {
    run("memory::streams_and_traps_leave_nothing_behind_with_a_vm_for_each", isolated);
}
