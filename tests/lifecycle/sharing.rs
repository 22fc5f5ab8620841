//! What is one and what is apart: code by its bytes, VMs by their key, generations by all of it.

use std::collections::BTreeSet;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use graft::config::{Code, FailurePolicy, PluginConfig};

use crate::guest::Guest;
use crate::house::{
    House, Loaded, allowing_only, config, config_of, configured, file, open, serve, share_vms, variables,
    with_limits, with_vm,
};

/// Counts requests in a global and in memory, and says both.
fn counting() -> Guest {
    Guest::new().with("(global $count (mut i32) (i32.const 0))").on(
        "proxy_on_request_headers",
        "(global.set $count (i32.add (global.get $count) (i32.const 1)))
         (i32.store (i32.const 16) (i32.add (i32.load (i32.const 16)) (i32.const 1)))
         (call $say (global.get $count)) (call $say (i32.load (i32.const 16)))",
    )
}

/// Where the machine code of a plugin lies: the same place only if it was compiled once.
fn machine_code(plugin: &Loaded) -> usize {
    plugin.pool().template().code().module().image_range().start.addr()
}

/// Every change that must give other VMs.
fn differences(base: &PluginConfig) -> Vec<PluginConfig> {
    let mut slow = base.clone();
    slow.reload.base_interval = Duration::from_secs(3);
    vec![
        base.clone(),
        with_vm(base, |vm| vm.vm_id.push_str("other")),
        with_vm(base, |vm| vm.configuration = b"other".to_vec()),
        with_vm(base, |vm| vm.environment.key_values = variables(&[("A", "1")])),
        with_vm(base, |vm| vm.environment.key_values = variables(&[("A", "2")])),
        with_vm(base, |vm| vm.environment.key_values = variables(&[("A", "1"), ("B", "")])),
        with_vm(base, |vm| vm.environment.host_env_keys = BTreeSet::from(["CARGO_PKG_NAME".to_owned()])),
        with_vm(base, |vm| vm.code = Code::Inline(Guest::new().wasm())),
        with_limits(base, |limits| limits.memory_bytes += 1),
        with_limits(base, |limits| limits.table_elements += 1),
        with_limits(base, |limits| limits.call_deadline *= 2),
        with_limits(base, |limits| limits.start_deadline *= 2),
        allowing_only(base, &["proxy_log", "proxy_on_request_headers"]),
        allowing_only(base, &["proxy_log"]),
        slow,
    ]
}

#[test]
fn the_same_bytes_are_compiled_once_whatever_runs_them() {
    let house = House::new(1);
    let base = config("p", &counting());
    let folder = tempfile::tempdir().unwrap();
    let from_a_file = config_of("file", Code::File(file(&folder, &counting().wasm())));
    let one = house.load(&base);
    for other in [with_vm(&base, |vm| vm.vm_id.push_str("other")), from_a_file] {
        assert_eq!(machine_code(&house.load(&other)), machine_code(&one));
    }
    let other_bytes = house.load(&config("p", &Guest::new()));
    assert_ne!(machine_code(&other_bytes), machine_code(&one));
}

#[test]
fn code_stays_compiled_while_any_of_its_pools_lives() {
    let house = House::new(1);
    let base = config("p", &counting());
    let first = house.load(&base);
    // The pool that came last goes first.
    drop(house.load(&with_vm(&base, |vm| vm.vm_id.push_str("second"))));
    let third = house.load(&with_vm(&base, |vm| vm.vm_id.push_str("third")));
    assert_eq!(machine_code(&third), machine_code(&first));
}

#[test]
fn plugins_of_one_key_share_memory_and_globals() {
    let house = House::new(1);
    let base = config("one", &counting());
    let (one, two) = (house.load(&base), house.load(&PluginConfig { name: "two".to_owned(), ..base }));
    assert!(share_vms(&one, &two) && !Arc::ptr_eq(&one, &two));
    serve(&one, 0);
    serve(&two, 0);
    serve(&one, 0);
    assert_eq!(house.services.log()[..2], ["wasm log one: 1", "wasm log one: 1"]);
    assert_eq!(house.said(), ["1", "1", "2", "2", "3", "3"]);
}

#[test]
fn plugins_of_one_vm_have_root_contexts_of_their_own() {
    let house = House::new(1);
    let guest = Guest::new()
        .on("proxy_on_configure", "(call $say (local.get $0)) (call $say (local.get $1))")
        .on("proxy_on_context_create", "(if (local.get $1) (then (call $say (local.get $1))))");
    let base = config("p", &guest);
    let one = house.load(&configured(&base, "a"));
    assert_eq!(house.said(), ["1", "1"], "root 1, a configuration of 1 byte");
    let two = house.load(&configured(&base, "bbb"));
    // First the canary, whose root is its first; then the VM that the plugins share.
    assert_eq!(house.said(), ["1", "3", "2", "3"]);
    open(&one, 0).end();
    open(&two, 0).end();
    assert_eq!(house.said(), ["1", "2"], "the root that each stream's context belongs to");
}

#[test]
fn any_difference_of_the_key_gives_other_vms() {
    let house = House::new(1);
    let plugins: Vec<Loaded> =
        differences(&config("p", &counting())).iter().map(|config| house.load(config)).collect();
    for (number, one) in plugins.iter().enumerate() {
        for (other_number, other) in plugins.iter().enumerate().skip(number + 1) {
            assert!(!share_vms(one, other), "{number} and {other_number}");
        }
    }
    for plugin in &plugins {
        house.said();
        serve(plugin, 0);
        let said = house.said();
        assert!(said.is_empty() || said == ["1", "1"], "each counts alone: {said:?}");
    }
}

#[test]
fn the_parts_of_a_key_cannot_be_shifted_against_each_other() {
    let house = House::new(1);
    let base = config("p", &counting());
    let pairs = [
        [
            with_vm(&base, |vm| (vm.vm_id, vm.configuration) = ("ab".to_owned(), b"c".to_vec())),
            with_vm(&base, |vm| (vm.vm_id, vm.configuration) = ("a".to_owned(), b"bc".to_vec())),
        ],
        [
            with_vm(&base, |vm| vm.environment.key_values = variables(&[("AB", "C")])),
            with_vm(&base, |vm| vm.environment.key_values = variables(&[("A", "BC")])),
        ],
        // Names of capabilities are not names of variables, though the one list ends where the other begins.
        [
            allowing_only(&base, &["proxy_log", "x", "y"]),
            with_vm(&allowing_only(&base, &["proxy_log"]), |vm| {
                vm.environment.key_values = variables(&[("x", "y")]);
            }),
        ],
    ];
    for [one, other] in pairs {
        assert!(!share_vms(&house.load(&one), &house.load(&other)), "{one:?} {other:?}");
    }
}

#[test]
fn what_is_no_part_of_the_key_shares_vms_and_makes_another_generation() {
    let house = House::new(1);
    let base = config("p", &counting());
    let plugin = house.load(&base);
    for other in [
        PluginConfig { name: "other".to_owned(), ..base.clone() },
        PluginConfig { root_id: "other".to_owned(), ..base.clone() },
        configured(&base, "other"),
        PluginConfig { allow_on_headers_stop_iteration: true, ..base.clone() },
    ] {
        let other = house.load(&other);
        assert!(share_vms(&plugin, &other) && !Arc::ptr_eq(&plugin, &other), "{:?}", other.plugin());
    }
}

#[test]
fn the_same_plugin_is_one_generation_however_often_it_is_configured() {
    let house = House::new(2);
    let base = config("p", &counting().on("proxy_on_configure", "(call $say (i32.const 7))"));
    let plugin = house.load(&base);
    assert_eq!(house.said(), ["7", "7"], "in each worker's VM");
    // What becomes of failed streams is the filter's affair, not the guest's.
    for again in [base.clone(), PluginConfig { failure_policy: FailurePolicy::Open, ..base }] {
        assert!(Arc::ptr_eq(&plugin, &house.load(&again)));
    }
    assert!(house.said().is_empty(), "nothing was configured again");
}

#[test]
fn two_threads_that_load_the_same_plugin_get_one_generation() {
    let house = House::new(1);
    let config = config("p", &counting());
    let together = Barrier::new(4);
    let plugins: Vec<Loaded> = std::thread::scope(|scope| {
        let load = || {
            together.wait();
            house.load(&config)
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(load)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(plugins.iter().all(|plugin| Arc::ptr_eq(plugin, &plugins[0])));
}

#[test]
fn a_guest_sees_the_environment_that_is_configured() {
    let house = House::new(1);
    // environ_sizes_get stores the number of variables and the bytes that they take.
    let guest = Guest::new()
        .import(
            r#"(import "wasi_snapshot_preview1" "environ_sizes_get"
                (func $environ_sizes_get (param i32 i32) (result i32)))"#,
        )
        .on(
            "proxy_on_vm_start",
            "(drop (call $environ_sizes_get (i32.const 8) (i32.const 12)))
             (call $say (i32.load (i32.const 8))) (call $say (i32.load (i32.const 12)))",
        );
    let config = with_vm(&config("p", &guest), |vm| {
        vm.environment.key_values = variables(&[("A", "1")]);
        // Cargo sets the one, nobody sets the other.
        vm.environment.host_env_keys =
            ["CARGO_PKG_NAME", "NOBODY_SETS_THIS"].map(str::to_owned).into_iter().collect();
    });
    let _plugin = house.load(&config);
    assert_eq!(
        house.said(),
        ["2".to_owned(), ("A=1".len() + 1 + "CARGO_PKG_NAME=graft".len() + 1).to_string()]
    );
}
