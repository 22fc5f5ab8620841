//! Isolation `stream`: each stream has a copy of the configured VM, and what it does there is nobody else's.

use graft::config::{Code, Isolation, PluginConfig, PoolConfig};
use graft::host::calls::Command;
use graft::host::vm::CallError;
use graft::lifecycle::registry::Use;

use crate::guest::Guest;
use crate::house::{
    FIRST_WAIT, House, config, config_of, configured, crash, fragile, open, serve, try_open, word,
};

/// The plugin with a VM for each stream.
pub fn isolated(config: &PluginConfig) -> PluginConfig {
    let mut config = config.clone();
    config.graft.isolation = Isolation::Stream;
    config.graft.pool = PoolConfig::of(Isolation::Stream);
    config
}

/// A guest that counts up, in a global and in memory, and says both at each request.
fn counting() -> Guest {
    let count = "(global.set $count (i32.add (global.get $count) (i32.const 1)))
        (i32.store (i32.const 16) (i32.add (i32.load (i32.const 16)) (i32.const 1)))";
    let say = "(call $say (global.get $count)) (call $say (i32.load (i32.const 16)))";
    Guest::new()
        .with("(global $count (mut i32) (i32.const 40))")
        .on("proxy_on_configure", count)
        .on("proxy_on_request_headers", &format!("{count} {say}"))
}

#[test]
fn each_stream_begins_where_the_configuration_ended() {
    let house = House::new(2);
    let plugin = house.load(&isolated(&config("p", &counting())));
    for worker in [0, 1, 0, 0] {
        serve(&plugin, worker);
        assert_eq!(house.said(), ["42", "2"]);
    }
    let (one, two) = (open(&plugin, 0), open(&plugin, 0));
    for round in 0..3 {
        one.request().unwrap();
        assert_eq!(house.said(), [(42 + round).to_string(), (2 + round).to_string()]);
    }
    two.request().unwrap();
    assert_eq!(house.said(), ["42", "2"], "streams that live at the same time share nothing");
}

#[test]
fn shared_vms_keep_what_streams_leave_behind() {
    let house = House::new(1);
    let plugin = house.load(&config("p", &counting()));
    serve(&plugin, 0);
    serve(&plugin, 0);
    assert_eq!(house.said(), ["42", "2", "43", "3"]);
}

#[test]
fn the_code_is_started_and_configured_once_however_many_streams_come() {
    let house = House::new(2);
    let guest = Guest::new()
        .on("_initialize", &word("code"))
        .on("proxy_on_configure", &word("plugin"))
        .on("proxy_on_request_headers", &word("request"));
    let plugin = house.load(&isolated(&config("p", &guest)));
    assert_eq!(house.said(), ["code", "plugin"], "one VM for all workers is configured");
    assert_eq!(plugin.pool().vms().len(), 1);
    for worker in 0..4 {
        serve(&plugin, worker);
    }
    assert_eq!(house.said(), ["request"; 4]);
}

#[test]
fn a_crash_costs_the_guilty_stream_alone_and_never_waits() {
    let house = House::new(1);
    let plugin = house.load(&isolated(&config("p", &fragile())));
    let (before, guilty, beside) = (open(&plugin, 0), open(&plugin, 0), open(&plugin, 0));
    guilty.crash();
    assert_eq!(guilty.request(), Err(CallError::VmFailed));
    assert!(before.request().is_ok() && beside.request().is_ok());
    for _ in 0..100 {
        crash(&plugin, 0);
        serve(&plugin, 0);
    }
    assert!(before.request().is_ok() && beside.request().is_ok());
    assert!(!plugin.pool().vms()[0].lock().has_failed());
}

/// The functions of a trap's backtrace, innermost first.
fn functions_of_a_trap(config: &PluginConfig) -> Vec<String> {
    let house = House::new(1);
    let plugin = house.load(config);
    let CallError::Trapped { backtrace, .. } = open(&plugin, 0).request().unwrap_err() else { panic!() };
    backtrace.lines().filter_map(|line| line.split_once(" - ")).map(|(_, name)| name.to_owned()).collect()
}

#[test]
fn the_backtrace_of_a_copy_has_the_plugins_frames_alone() {
    let guest = Guest::new().with("(func $deep unreachable)").on("proxy_on_request_headers", "(call $deep)");
    let config = config("p", &guest);
    let shared = functions_of_a_trap(&config);
    assert_eq!(shared.first().unwrap(), "deep");
    assert_eq!(functions_of_a_trap(&isolated(&config)), shared);
}

#[test]
fn code_that_exports_the_dispatchers_name_is_copied_without_one() {
    let house = House::new(1);
    let guest = counting().with(r#"(func (export "graft_call") unreachable)"#);
    let plugin = house.load(&isolated(&config("p", &guest)));
    serve(&plugin, 0);
    assert_eq!(house.said(), ["42", "2"]);
}

#[test]
fn the_vm_of_a_stream_goes_with_it() {
    let house = House::new(1);
    let guest = Guest::new().on("proxy_on_delete", &word("deleted"));
    let plugin = house.load(&isolated(&config("p", &guest)));
    let stream = open(&plugin, 0);
    let vm = stream.0.lease.downgrade();
    stream.end();
    assert_eq!(house.said(), ["deleted"]);
    assert!(vm.upgrade().is_none());
}

#[test]
fn context_ids_in_copies_are_those_of_the_configured_vm_and_the_next() {
    let house = House::new(1);
    let guest = Guest::new()
        .on("proxy_on_context_create", "(call $say (local.get $0)) (call $say (local.get $1))")
        .on("proxy_on_delete", "(call $say (local.get $0))");
    let plugin = house.load(&isolated(&config("p", &guest)));
    assert_eq!(house.said(), ["1", "0"]);
    for _ in 0..2 {
        serve(&plugin, 0);
        assert_eq!(house.said(), ["2", "1", "2"]);
    }
}

#[test]
fn metrics_of_the_configuration_are_known_in_every_stream() {
    let house = House::new(1);
    let guest = Guest::new()
        .on(
            "proxy_on_configure",
            "(drop (call $proxy_define_metric (i32.const 0) (text \"c\") (i32.const 32)))",
        )
        .on(
            "proxy_on_request_headers",
            "(call $say (call $proxy_increment_metric (i32.load (i32.const 32)) (i64.const 2)))
             (drop (call $proxy_get_metric (i32.load (i32.const 32)) (i32.const 40)))
             (call $say64 (i64.load (i32.const 40)))",
        );
    let plugin = house.load(&isolated(&config("p", &guest)));
    serve(&plugin, 0);
    serve(&plugin, 0);
    assert_eq!(house.said(), ["0", "2", "0", "4"]);
    assert_eq!(plugin.metrics().len(), 1);
}

#[test]
fn ticks_run_in_the_configured_vm_alone() {
    let house = House::new(1);
    let guest = Guest::new()
        .on("proxy_on_configure", "(drop (call $proxy_set_tick_period_milliseconds (i32.const 1000)))")
        .on("proxy_on_request_headers", "(drop (call $proxy_set_tick_period_milliseconds (i32.const 1)))")
        .on("proxy_on_tick", &word("tick"));
    let plugin = house.load(&isolated(&config("p", &guest)));
    let stream = open(&plugin, 0);
    stream.request().unwrap();
    let agenda = &house.registry.commons().agenda;
    for expected in [&[][..], &["tick"], &["tick"]] {
        agenda.work(|| house.now());
        assert_eq!(house.said(), expected);
        house.pass(std::time::Duration::from_secs(1));
    }
}

#[test]
fn a_queue_is_told_to_the_configured_vm_whoever_registers_it() {
    let house = House::new(1);
    let register = "(drop (call $proxy_register_shared_queue (text \"q\") (i32.const 32)))";
    let guest = Guest::new()
        .on("proxy_on_configure", register)
        .on(
            "proxy_on_request_headers",
            &format!(
                "{register} (drop (call $proxy_enqueue_shared_queue (i32.load (i32.const 32)) (text \"m\")))"
            ),
        )
        .on("proxy_on_queue_ready", "(call $say (local.get $0))");
    let plugin = house.load(&isolated(&config("p", &guest)));
    serve(&plugin, 0);
    house.registry.commons().agenda.work(|| house.now());
    assert_eq!(house.said(), ["1"]);
}

#[test]
fn the_configured_vm_is_replaced_when_it_failed() {
    let house = House::new(1);
    let guest = Guest::new()
        .on("proxy_on_configure", "(drop (call $proxy_set_tick_period_milliseconds (i32.const 1000))) (drop (call $proxy_log (i32.const 2) (text \"configured\")))")
        .on("proxy_on_tick", "unreachable");
    let plugin = house.load(&isolated(&config("p", &guest)));
    house.pass(std::time::Duration::from_secs(1));
    house.registry.commons().agenda.work(|| house.now());
    assert!(plugin.pool().vms()[0].lock().has_failed());
    house.services.lines.lock().clear();
    serve(&plugin, 0);
    house.registry.keeper().work();
    assert_eq!(house.said(), ["configured"]);
    assert!(!plugin.pool().vms()[0].lock().has_failed());
}

/// Says how many bytes its configuration has, and asks for a tick; of one byte, it refuses it once the clock has moved.
fn refusing_later() -> Guest {
    Guest::new()
        .on("proxy_on_tick", "unreachable")
        .export(
            "proxy_on_configure",
            "(call $say (local.get $1))
             (drop (call $proxy_set_tick_period_milliseconds (i32.const 1000)))
             (drop (call $proxy_get_current_time_nanoseconds (i32.const 8)))
             (i32.or (i32.gt_u (local.get $1) (i32.const 1)) (i64.le_u (i64.load (i32.const 8)) (i64.const 1)))",
        )
}

/// Lets a second pass, and the ticks come that are due then. What guests and the keeper said is forgotten.
fn tick(house: &House) {
    house.pass(std::time::Duration::from_secs(1));
    house.registry.commons().agenda.work(|| house.now());
    house.services.lines.lock().clear();
}

#[test]
fn a_plugin_that_refuses_in_the_next_vm_is_asked_again_later_and_later() {
    let house = House::new(1);
    let base = isolated(&config("p", &refusing_later()));
    let (one, other) = (house.load(&configured(&base, "1")), house.load(&configured(&base, "22")));
    let keeper = house.registry.keeper();
    keeper.work();
    tick(&house);
    assert!(one.pool().vms()[0].lock().has_failed());
    keeper.restock(one.pool());
    // It returns: what is due at once is not for ever.
    let next = keeper.work();
    let asked = |said: &[String]| ["1", "2"].map(|size| said.iter().filter(|said| *said == size).count());
    assert_eq!(asked(&house.said()), [4, 1], "the other one is there, and is asked no more");
    let home = one.pool().vms().pop().unwrap();
    let roots = [&one, &other].map(|plugin| home.lock().root(plugin.plugin().key).is_some());
    assert_eq!((roots, home.lock().has_failed()), ([false, true], false));
    assert_eq!(next, Some(house.now() + u64::try_from(FIRST_WAIT.as_nanos()).unwrap()));
    assert_eq!(house.services.metric("graft_breakers_open.p"), Some(1));

    // Whoever asks meanwhile.
    keeper.restock(one.pool());
    keeper.work();
    assert_eq!(asked(&house.said()), [0, 0]);
    // A minute, with waits of 1, 2, 4, 8 and then always 10 seconds.
    let mut tries = 0;
    for _ in 0..60 {
        house.pass(std::time::Duration::from_secs(1));
        keeper.work();
        tries += asked(&house.said())[0];
    }
    assert_eq!(tries, 8);
    assert_eq!(home, one.pool().vms().pop().unwrap(), "the other plugin is in there");

    house.services.now.store(0, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(one.home(0).unwrap().0, home, "a logger's stream has it configured");
    keeper.restock(one.pool());
    keeper.work();
    assert_eq!(house.services.metric("graft_breakers_open.p"), Some(0));
}

#[test]
fn other_configurations_have_copies_of_their_own() {
    let house = House::new(1);
    let guest = Guest::new()
        .on("proxy_on_configure", "(i32.store (i32.const 16) (local.get $1))")
        .on("proxy_on_request_headers", "(call $say (i32.load (i32.const 16)))");
    let base = isolated(&config("p", &guest));
    let (one, two) = (house.load(&configured(&base, "1")), house.load(&configured(&base, "22")));
    let route = house.registry.load_variant(&one, b"333").unwrap();
    for (plugin, expected) in [(&one, "1"), (&two, "2"), (&route, "3")] {
        serve(plugin, 0);
        assert_eq!(house.said(), [expected]);
    }
}

#[test]
fn code_that_changes_tables_is_refused_with_the_setting_that_asks_for_it() {
    let house = House::new(1);
    let guest = Guest::new()
        .with("(table $t 2 funcref) (func $f) (elem declare func $f)")
        .on("proxy_on_configure", "(table.set $t (i32.const 0) (ref.func $f))");
    let plugin = config("p", &guest);
    assert!(house.registry.load(Use::Filter, &plugin).is_ok(), "shared VMs are not copied");
    let text = house.refuse(&isolated(&plugin));
    assert_eq!(
        text,
        "plugin \"p\": graft.isolation: the code cannot be copied for each stream: unsupported `table.set` \
         instruction, expected code that changes no table and drops no segment (or graft.isolation: shared)"
    );
}

#[test]
fn code_that_is_not_valid_is_refused_for_that() {
    let house = House::new(1);
    let broken = config_of("p", Code::Inline(b"\0asm\x01\0\0\0\x01".to_vec()));
    let (shared, stream) = (house.refuse(&broken), house.refuse(&isolated(&broken)));
    assert_eq!(shared, stream);
    assert!(!stream.contains("isolation"), "{stream}");
}

#[test]
fn as_many_streams_as_there_are_seats_have_a_vm() {
    let house = House::new(2);
    let mut config = isolated(&config("p", &fragile()));
    config.graft.pool.max_vms = 2;
    let plugin = house.load(&config);
    let streams = [open(&plugin, 0), open(&plugin, 0), open(&plugin, 1)];
    let error = try_open(&plugin, 0).err().unwrap();
    assert!(error.is_busy());
    assert_eq!(error.to_string(), "all VMs of this worker are busy (graft.pool.max_vms is 2)");
    assert!(try_open(&plugin, 1).is_ok(), "workers count for themselves");
    for stream in streams {
        stream.end();
        serve(&plugin, 0);
    }
}

/// Calls that the process was asked for since the last time: `+` one begins, `-` one is to end.
fn commands(house: &House) -> String {
    let commands = std::mem::take(&mut *house.services.commands.lock());
    commands
        .iter()
        .map(|(_, command)| match command {
            Command::Start(_) => '+',
            Command::Cancel(_) => '-',
            Command::Adopt(..) | Command::Send(..) | Command::Resolve(_) => panic!("{command:?}"),
        })
        .collect()
}

/// Headers of a call, as a guest hands them over.
const HEADERS: &str = "\\03\\00\\00\\00\\07\\00\\00\\00\\03\\00\\00\\00\\05\\00\\00\\00\\01\\00\\00\\00\\0a\\00\\00\\00\\04\\00\\00\\00\
    :method\\00GET\\00:path\\00/\\00:authority\\00auth\\00";

/// A guest that calls in an entry point of streams, and does not wait.
fn calling(entry_point: &'static str) -> Guest {
    let call = format!(
        "(drop (call $proxy_http_call (text \"auth\") (text \"{HEADERS}\") (i32.const 0) (i32.const 0)
            (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 16)))"
    );
    fragile().on(entry_point, &format!("(if (i32.ne (local.get $0) (i32.const 1)) (then {call}))"))
}

#[test]
fn what_a_stream_sent_and_did_not_wait_for_goes_on_after_it() {
    let house = House::new(1);
    for entry_point in ["proxy_on_context_create", "proxy_on_done", "proxy_on_delete"] {
        let plugin = house.load(&isolated(&config("p", &calling(entry_point))));
        commands(&house);
        serve(&plugin, 0);
        assert_eq!(commands(&house), "+", "{entry_point}");
    }
}

#[test]
fn no_more_calls_go_on_without_their_streams_than_one_vm_may_make() {
    let house = House::new(1);
    let mut config = isolated(&config("p", &calling("proxy_on_done")));
    config.graft.limits.callouts = 2;
    let plugin = house.load(&config);
    let end = |count: usize| (0..count).for_each(|_| serve(&plugin, 0));
    end(2);
    let under_way = std::mem::take(&mut *house.services.commands.lock());
    assert_eq!(under_way.len(), 2);
    end(1);
    assert_eq!(commands(&house), "+-", "as many go on already");
    drop(under_way);
    end(1);
    assert_eq!(commands(&house), "+", "those are over");
}

#[test]
fn calls_of_a_copy_that_crashed_end_with_it() {
    let house = House::new(1);
    let plugin = house.load(&isolated(&config("p", &calling("proxy_on_context_create"))));
    commands(&house);
    crash(&plugin, 0);
    assert_eq!(commands(&house), "+-");
}
