//! Loading behind the back of the proxy: by threads, from what is kept, and for a cache alone.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use graft::config::{CanaryConfig, PluginConfig, parse_plugin};
use graft::host::testing::FakeStream;
use graft::lifecycle::registry::Use;
use graft::lifecycle::slot::{Command, Slot, Stage};

use crate::guest::Guest;
use crate::house::{House, config, eventually};
use crate::supplier::Supplier;

fn house(supply: &Arc<Supplier>) -> House {
    House::supplied(1, supply)
}

/// A process, and a source that has a guest.
fn offered() -> (House, Arc<Supplier>) {
    let supply = Supplier::far();
    supply.offer("1", &Guest::new());
    (house(&supply), supply)
}

/// A plugin whose code is on a server.
fn remote(name: &str) -> PluginConfig {
    let text = format!(
        r#"{{"name": "{name}", "vm_config": {{"code": {{"oci": "registry.test/{name}:1"}}}}, "graft": {{"cache": {{"disabled": true}}}}}}"#
    );
    parse_plugin(name, text.as_bytes()).unwrap()
}

/// One whose new versions are on trial for a minute.
fn careful() -> PluginConfig {
    let mut config = remote("auth");
    config.graft.swap.canary = Some(CanaryConfig {
        percent: 50,
        duration: Duration::from_mins(1),
        max_failures: 0,
        max_failure_percent: 0,
    });
    config
}

/// A plugin that was loaded, and then once more from a source that had something new.
fn renewed(config: &PluginConfig) -> (House, Arc<Supplier>, Arc<Slot<FakeStream>>) {
    let (house, supply) = offered();
    let slot = house.open(config);
    house.registry.loader().work();
    supply.offer("2", &Guest::new().on("proxy_on_done", ""));
    house.registry.command(&slot, Command::Reload).unwrap();
    house.registry.loader().work();
    (house, supply, slot)
}

/// One that the proxy takes only if its code is there.
fn impatient() -> PluginConfig {
    let mut config = remote("impatient");
    config.vm.nack_on_code_cache_miss = true;
    config
}

#[test]
fn threads_of_the_loader_load_by_themselves() {
    let (house, _supply) = offered();
    house.registry.loader().start();
    let slot = house.open(&remote("auth"));
    assert!(eventually(|| slot.current().is_ok()));
}

#[test]
fn a_server_that_does_not_answer_holds_up_only_who_asks_servers() {
    let (house, supply) = offered();
    house.registry.loader().start();
    let silence = supply.silence.lock();
    let waiting: Vec<_> = (0..20).map(|number| house.open(&remote(&format!("r{number}")))).collect();
    let asking = || waiting.iter().filter(|slot| slot.status().stage == Stage::Fetching).count();
    assert!(eventually(|| asking() == 6), "{}", asking());
    let local = house.open(&config("local", &Guest::new()));
    assert!(eventually(|| local.current().is_ok()));
    assert_eq!(asking(), 6);
    drop(silence);
    assert!(eventually(|| waiting.iter().all(|slot| slot.current().is_ok())));
}

#[test]
fn code_for_the_cache_alone_holds_up_nobody_either() {
    let (house, supply) = offered();
    house.registry.loader().start();
    let silence = supply.silence.lock();
    for number in 0..20 {
        let mut config = remote(&format!("r{number}"));
        config.vm.nack_on_code_cache_miss = true;
        assert!(house.registry.open(Use::Filter, &config, true).is_err());
    }
    assert!(eventually(|| supply.fetches() == 6), "{}", supply.fetches());
    let local = house.open(&config("local", &Guest::new()));
    assert!(eventually(|| local.current().is_ok()));
    drop(silence);
    assert!(eventually(|| supply.fetches() == 21));
}

#[test]
fn a_decision_on_what_nobody_uses_any_more_is_no_work() {
    let (house, _supply, slot) = renewed(&careful());
    house.registry.command(&slot, Command::Promote).unwrap();
    slot.release();
    assert_eq!(house.registry.loader().work(), None, "it comes to an end");
}

#[test]
fn a_trial_is_ended_though_the_source_does_not_answer() {
    let (house, supply) = offered();
    house.registry.loader().start();
    let slot = house.open(&careful());
    assert!(eventually(|| slot.current().is_ok()));
    supply.offer("2", &Guest::new().on("proxy_on_done", ""));
    house.registry.command(&slot, Command::Reload).unwrap();
    assert!(eventually(|| slot.status().trial.is_some()));
    let silence = supply.silence.lock();
    house.registry.command(&slot, Command::Reload).unwrap();
    assert!(eventually(|| slot.status().stage == Stage::Fetching));
    house.registry.command(&slot, Command::Rollback).unwrap();
    assert!(eventually(|| slot.status().trial.is_none()));
    drop(silence);
}

#[test]
fn bytes_that_were_kept_and_are_no_code_are_fetched_anew() {
    let supply = Supplier::far();
    supply.keep(b"\0asm\x01\0\0\0 and half of a file".to_vec());
    let house = house(&supply);
    let slot = house.open(&remote("auth"));
    house.registry.loader().work();
    assert_eq!((supply.fetches(), slot.status().stage), (2, Stage::Failed), "the source is away");
    supply.offer("2", &Guest::new());
    house.pass(Duration::from_mins(1));
    house.registry.loader().work();
    assert_eq!((slot.status().stage, slot.status().generations.len()), (Stage::Serving, 1));
}

#[test]
fn bytes_that_are_no_code_are_fetched_anew_once() {
    let bad = b"\0asm\x01\0\0\0 and half of a file".to_vec();
    let supply = Supplier::far();
    supply.keep(bad.clone());
    // Named by whatever is asked what it has now, so it need not be sent again.
    supply.offer_bytes("1", bad);
    let house = house(&supply);
    let slot = house.open(&remote("auth"));
    house.registry.loader().work();
    assert_eq!(
        (supply.fetches(), slot.status().stage),
        (2, Stage::Failed),
        "what is here, and what is there"
    );
    house.registry.command(&slot, Command::Reload).unwrap();
    house.registry.loader().work();
    assert_eq!((supply.fetches(), slot.status().stage), (4, Stage::Failed));
    assert_eq!(slot.status().retry_in, None, "it stays wrong until it changes");
    // Nor by the main thread, which looks at what is here before traffic flows.
    supply.is_at_hand.store(true, Ordering::Relaxed);
    let refused = house.registry.open(Use::Filter, &remote("other"), false).unwrap_err();
    assert!(refused.is_of_code(), "{refused}");
    assert_eq!(supply.fetches(), 6);
}

#[test]
fn a_source_that_did_not_answer_is_asked_again_while_what_was_kept_serves() {
    let supply = Supplier::far();
    supply.is_always_asked.store(true, Ordering::Relaxed);
    supply.keep(Guest::new().wasm());
    let house = house(&supply);
    let slot = house.open(&remote("auth"));
    let mut waits = Vec::new();
    for fetches in 1..=3 {
        house.registry.loader().work();
        let status = slot.status();
        assert_eq!((supply.fetches(), status.stage, status.generations.len()), (fetches, Stage::Serving, 1));
        let why = status.last_error.unwrap();
        assert!(why.contains("vm_config.code") && why.ends_with("is used (kept)"), "{why}");
        waits.push(status.retry_in.unwrap());
        house.pass(waits[waits.len() - 1]);
    }
    assert!(waits.is_sorted() && waits[0] < waits[2], "{waits:?}");
    // Nor does an equal configuration make a failure of it.
    let _equal = house.open(&remote("auth"));
    house.registry.loader().work();
    let status = slot.status();
    assert_eq!(status.stage, Stage::Serving);
    house.pass(status.retry_in.unwrap());
    supply.offer("2", &Guest::new().on("proxy_on_done", ""));
    house.registry.loader().work();
    let status = slot.status();
    assert_eq!((status.last_error, status.retry_in), (None, None));
    assert_eq!(status.generations[0].revision, "2");
}

#[test]
fn a_source_is_asked_again_while_what_was_kept_is_on_trial() {
    let (house, supply) = offered();
    let _before = house.open(&remote("auth"));
    house.registry.loader().work();
    supply.is_always_asked.store(true, Ordering::Relaxed);
    supply.keep(Guest::new().on("proxy_on_done", "").wasm());
    supply.withdraw();
    let slot = house.open(&careful());
    for _ in 0..2 {
        house.registry.loader().work();
        let status = slot.status();
        assert!(status.trial.is_some() && status.last_error.is_some());
        house.pass(status.retry_in.unwrap());
    }
}

#[test]
fn a_source_that_does_not_answer_ends_no_trial() {
    let (house, supply, slot) = renewed(&careful());
    assert!(slot.status().trial.is_some());
    supply.keep(Guest::new().wasm());
    supply.withdraw();
    house.registry.command(&slot, Command::Reload).unwrap();
    house.registry.loader().work();
    assert!(slot.status().trial.is_some() && slot.status().last_error.is_some());
}

#[test]
fn an_equal_configuration_brings_no_older_version_back() {
    let (house, supply, slot) = renewed(&remote("auth"));
    supply.keep(Guest::new().wasm());
    let _equal = house.open(&remote("auth"));
    house.registry.loader().work();
    let status = slot.status();
    assert_eq!((status.stage, status.generations[0].revision.as_str()), (Stage::Serving, "2"));
}

#[test]
fn code_that_is_not_at_hand_is_refused_where_that_is_wanted_and_fetched_for_the_next_time() {
    let supply = Supplier::far();
    supply.offer("1", &Guest::new().on("proxy_on_configure", "(call $say (i32.const 1))"));
    let house = house(&supply);
    for _ in 0..2 {
        let refused = house.registry.open(Use::Filter, &impatient(), true).unwrap_err();
        let line = refused.describe(&impatient());
        assert!(line.contains("vm_config.code.oci: the code is not in the cache"), "{line}");
    }
    assert_eq!(supply.fetches(), 0);
    house.registry.loader().work();
    assert_eq!(supply.fetches(), 1, "once for both");
    assert!(house.registry.slots().is_empty(), "nobody holds it");
    assert!(house.said().is_empty(), "and nothing runs that was refused");
}

#[test]
fn what_is_validated_alone_is_not_fetched_for_the_next_time() {
    let (house, supply) = offered();
    house.registry.loader().optimize_at_once();
    let refused = house.registry.open(Use::Filter, &impatient(), true).unwrap_err();
    let line = refused.describe(&impatient());
    assert!(line.ends_with("nothing is fetched while a configuration is validated"), "{line}");
    house.registry.loader().work();
    assert_eq!(supply.fetches(), 0);
}

#[test]
fn what_serves_already_is_not_refused_though_it_is_in_no_cache() {
    let supply = Supplier::near();
    supply.offer("1", &Guest::new());
    let house = house(&supply);
    let _serving = house.registry.open(Use::Filter, &impatient(), true).unwrap();
    house.registry.loader().work();
    supply.forget();
    assert!(house.registry.open(Use::Filter, &impatient(), true).is_ok());
}

#[test]
fn a_slot_that_is_given_up_ends_on_a_thread_of_the_loader() {
    let supply = Supplier::far();
    supply.offer("1", &Guest::new().on("proxy_on_done", "(call $say (i32.const 9))"));
    let house = house(&supply);
    house.registry.loader().start();
    let slot = house.open(&remote("auth"));
    assert!(eventually(|| slot.current().is_ok()));
    slot.release();
    house.registry.loader().let_go(&slot);
    // As one whose streams are there yet: the last to hold it is not the one to end it.
    drop(slot);
    assert!(house.said().is_empty(), "not here and now");
    assert!(eventually(|| {
        house.pass(Duration::from_millis(250));
        house.said() == ["9"]
    }));
}
