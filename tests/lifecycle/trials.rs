//! A new generation on trial: its share of streams, what counts against it, and how it ends.

use std::sync::Arc;
use std::time::Duration;

use graft::config::{CanaryConfig, PluginConfig};
use graft::host::testing::FakeStream;
use graft::lifecycle::slot::status::Role;
use graft::lifecycle::slot::{Command, CommandError, Current, Stage};

use crate::house::{House, Loaded, configured, open};
use crate::served::{Held, Served, answer, answers, auth_with, begin, saying, sizing};
use crate::supplier::Supplier;

const SECOND: Duration = Duration::from_secs(1);

/// A configuration whose new generations are on trial for a quarter of the streams for a minute.
fn careful() -> PluginConfig {
    auth_with(|config| {
        config.graft.swap.poll_interval = Some(SECOND);
        config.graft.swap.canary = Some(CanaryConfig {
            percent: 25,
            duration: Duration::from_mins(1),
            max_failures: 2,
            max_failure_percent: 10,
        });
    })
}

/// A plugin with one generation that serves, and another on trial.
fn trial() -> Served {
    let trial = Served::with(&careful(), &saying(1));
    trial.offer(2);
    trial.house.after(SECOND);
    trial
}

/// Streams come and go; answers what they heard. Those on the generation with this number fail.
fn streams(trial: &Served, number: usize, failing: &str) -> Vec<String> {
    (0..number)
        .map(|_| {
            let stream = begin(&trial.slot);
            stream.request().unwrap();
            let said = trial.house.said().pop().unwrap();
            if said == failing {
                stream.0.note_failure();
                stream.0.note_failure();
            }
            stream.end();
            said
        })
        .collect()
}

#[test]
fn a_share_of_the_streams_begins_on_it_and_then_all() {
    let trial = trial();
    let said = streams(&trial, 40, "");
    assert_eq!(said.iter().filter(|said| *said == "2").count(), 10);
    assert_eq!(said[..8], ["1", "1", "1", "2", "1", "1", "1", "2"], "evenly");
    let roles: Vec<Role> = trial.slot.status().generations.iter().map(|found| found.role).collect();
    assert_eq!(roles, [Role::Serving, Role::OnTrial(25)]);
    trial.house.after(Duration::from_secs(59));
    assert_eq!(streams(&trial, 2, ""), ["1", "1"]);
    trial.house.after(SECOND);
    assert_eq!(streams(&trial, 3, ""), ["2", "2", "2"]);
    assert_eq!(trial.slot.status().generations[0].revision, "2");
}

#[test]
fn too_many_failures_roll_it_back_and_it_is_not_tried_again() {
    let trial = trial();
    streams(&trial, 8, "2");
    trial.house.after(SECOND);
    assert!(streams(&trial, 8, "2").contains(&"2".to_owned()), "two are forgiven");
    trial.house.after(SECOND);
    assert_eq!(streams(&trial, 8, "2"), ["1"; 8]);
    let status = trial.slot.status();
    assert_eq!(status.stage, Stage::Failed);
    assert_eq!(status.last_error.as_deref(), Some("4 of its 4 streams failed"));
    trial.house.after(Duration::from_mins(10));
    assert_eq!(streams(&trial, 4, ""), ["1"; 4]);
    trial.offer(3);
    trial.house.after(SECOND);
    assert!(streams(&trial, 4, "").contains(&"3".to_owned()), "another revision is on trial");
}

#[test]
fn failures_of_the_one_that_serves_do_not_count() {
    let trial = trial();
    streams(&trial, 40, "1");
    trial.house.after(Duration::from_mins(1));
    assert_eq!(streams(&trial, 2, ""), ["2", "2"]);
}

#[test]
fn commands_decide_at_once() {
    let trial = trial();
    trial.command(Command::Promote).unwrap();
    assert_eq!(streams(&trial, 4, ""), ["2"; 4]);
    assert_eq!(trial.command(Command::Rollback), Err(CommandError::NoPrevious));
    assert_eq!(trial.command(Command::Promote), Err(CommandError::NoTrial));

    trial.offer(3);
    trial.house.after(SECOND);
    assert!(streams(&trial, 4, "").contains(&"3".to_owned()));
    trial.command(Command::Rollback).unwrap();
    assert_eq!(streams(&trial, 4, ""), ["2"; 4]);
    trial.command(Command::Reload).unwrap();
    assert!(streams(&trial, 4, "").contains(&"3".to_owned()), "somebody asks for it again");
}

#[test]
fn a_trial_that_is_over_leaves_one_generation() {
    for command in [Command::Promote, Command::Rollback] {
        let trial = trial();
        trial.command(command).unwrap();
        trial.house.after(SECOND);
        assert_eq!(trial.slot.status().generations.len(), 1, "{command:?}");
    }
}

#[test]
fn one_can_go_back_to_the_generation_that_was_replaced_while_it_is_kept() {
    let config = auth_with(|config| {
        config.graft.swap.poll_interval = Some(SECOND);
        config.graft.swap.keep_previous = Duration::from_mins(1);
    });
    let trial = Served::with(&config, &saying(1));
    assert_eq!(trial.command(Command::Rollback), Err(CommandError::NoPrevious), "there is nothing before");
    trial.offer(2);
    trial.house.after(SECOND);
    assert_eq!(streams(&trial, 2, ""), ["2", "2"]);
    trial.house.after(Duration::from_secs(59));
    trial.command(Command::Rollback).unwrap();
    assert_eq!(streams(&trial, 2, ""), ["1", "1"]);
    trial.house.after(Duration::from_mins(10));
    assert_eq!(streams(&trial, 2, ""), ["1", "1"], "what was taken back does not come by itself");
    assert_eq!(trial.slot.status().last_error.as_deref(), Some("rolled back by command"));
    assert_eq!(trial.command(Command::Rollback), Err(CommandError::NoPrevious));
    trial.command(Command::Reload).unwrap();
    assert_eq!(streams(&trial, 2, ""), ["2", "2"], "somebody asks for it again");
    trial.house.after(Duration::from_secs(61));
    assert_eq!(trial.command(Command::Rollback), Err(CommandError::NoPrevious), "it is kept no longer");
    assert_eq!(trial.slot.status().generations.len(), 1);
}

#[test]
fn a_rollback_is_of_what_served_when_it_was_asked_for() {
    let supply = Supplier::far();
    supply.offer("1", &saying(1));
    let house = Arc::new(House::supplied(1, &supply));
    let slot = house.open(&auth_with(|config| config.graft.swap.keep_previous = Duration::from_hours(1)));
    house.registry.loader().work();
    let reload = |number: u32| {
        supply.offer(&number.to_string(), &saying(number));
        house.registry.command(&slot, Command::Reload).unwrap();
        house.registry.loader().work();
    };
    reload(2);
    let commands = {
        let (house, slot) = (Arc::downgrade(&house), Arc::downgrade(&slot));
        move || {
            let (house, slot) = (house.upgrade().unwrap(), slot.upgrade().unwrap());
            house.registry.command(&slot, Command::Rollback).unwrap();
        }
    };
    *supply.on_fetch.lock() = Some(Box::new(commands));
    // The third takes over before the loader comes to the command.
    reload(3);
    *supply.on_fetch.lock() = None;
    assert_eq!(answer(&house, &slot), "3", "the second is not what is wanted back");
    house.registry.command(&slot, Command::Rollback).unwrap();
    house.registry.loader().work();
    assert_eq!(answer(&house, &slot), "2");
}

#[test]
fn a_stream_that_cannot_begin_counts() {
    let trial = trial();
    let traps = saying(3).on("proxy_on_context_create", "(if (local.get $1) (then unreachable))");
    trial.supply.offer("3", &traps);
    trial.house.after(SECOND);
    let begun = (0..12).filter(|_| trial.slot.current().unwrap().begin(0, FakeStream::default()).is_ok());
    assert_eq!(begun.count(), 9);
    trial.house.after(SECOND);
    assert_eq!(trial.answers(4), ["1"; 4]);
    assert_eq!(trial.slot.status().last_error.as_deref(), Some("3 of its 3 streams failed"));
}

#[test]
fn a_second_trial_counts_anew() {
    let trial = trial();
    // It is there for as long as this stream is.
    let _stays: Vec<_> = (0..4).map(|_| begin(&trial.slot)).collect();
    streams(&trial, 16, "2");
    trial.house.after(SECOND);
    assert_eq!(trial.slot.status().stage, Stage::Failed);
    trial.command(Command::Reload).unwrap();
    let number = |role| {
        let found = trial.slot.status().generations;
        found.iter().find(|found| found.role == role).map(|found| found.number)
    };
    assert_eq!(number(Role::OnTrial(25)), Some(2), "the same generation");
    trial.house.after(SECOND);
    assert!(streams(&trial, 8, "2").contains(&"2".to_owned()));
    trial.house.after(SECOND);
    assert_eq!(number(Role::OnTrial(25)), Some(2), "two are forgiven again");
    streams(&trial, 8, "2");
    trial.house.after(SECOND);
    assert_eq!(trial.slot.status().last_error.as_deref(), Some("4 of its 4 streams failed"));
}

#[test]
fn a_source_that_goes_back_to_what_serves_ends_the_trial() {
    let trial = trial();
    trial.offer(1);
    trial.house.after(SECOND);
    assert_eq!((trial.slot.status().trial, trial.answers(4)), (None, vec!["1".to_owned(); 4]));
    assert_eq!((trial.slot.status().stage, trial.slot.status().last_error), (Stage::Serving, None));
    assert_eq!(trial.stat("rollbacks"), 1);
    trial.offer(2);
    trial.house.after(SECOND);
    assert!(trial.slot.status().trial.is_some(), "nobody has refused it");
}

#[test]
fn what_was_taken_back_stays_so_when_the_source_has_had_what_serves() {
    let trial = trial();
    trial.command(Command::Rollback).unwrap();
    assert_eq!(trial.slot.status().stage, Stage::Failed);
    trial.offer(1);
    trial.house.after(SECOND);
    assert_eq!((trial.slot.status().stage, trial.slot.status().last_error), (Stage::Serving, None));
    trial.offer(2);
    trial.house.after(SECOND);
    assert_eq!((trial.slot.status().trial, trial.answers(4)), (None, vec!["1".to_owned(); 4]));
}

#[test]
fn a_configuration_is_on_trial_against_the_one_that_it_replaces() {
    let trial = Served::with(&careful(), &saying(1));
    trial.offer(2);
    let new = trial.house.open(&configured(&careful(), "another"));
    trial.house.registry.loader().work();
    assert_eq!(answers(&trial.house, &new, 4), ["1", "1", "1", "2"]);
    trial.slot.release();
    trial.house.after(Duration::from_secs(59));
    assert_eq!(answers(&trial.house, &new, 4), ["1", "1", "1", "2"], "Envoy has given the other one up");
    trial.house.after(SECOND);
    assert_eq!(answers(&trial.house, &new, 4), ["2"; 4]);
}

#[test]
fn a_configuration_is_not_on_trial_against_one_of_another_place() {
    let trial = Served::with(&careful(), &saying(1));
    let other = auth_with(|config| {
        *config = configured(&careful(), "another");
        config.graft.swap.poll_interval = None;
        config.graft.swap.keep_previous = Duration::from_hours(1);
    });
    trial.offer(2);
    let new = trial.house.open(&other);
    trial.house.registry.loader().work();
    for _ in 0..20 {
        begin(&new).0.note_failure();
    }
    trial.house.after(Duration::from_secs(4));
    assert!(new.status().trial.is_some(), "it may be given up yet");
    trial.house.after(SECOND);
    assert_eq!((new.status().trial, answers(&trial.house, &new, 4)), (None, vec!["2".to_owned(); 4]));
    let back = trial.house.registry.command(&new, Command::Rollback);
    assert_eq!(back, Err(CommandError::NoPrevious), "what serves elsewhere is not what served here");
}

#[test]
fn nor_is_the_next_version_while_that_is_not_decided() {
    for withdraw in [false, true] {
        let trial = Served::with(&careful(), &saying(1));
        trial.offer(2);
        let new = trial.house.open(&configured(&careful(), "another"));
        trial.house.registry.loader().work();
        if withdraw {
            trial.house.registry.command(&new, Command::Rollback).unwrap();
            trial.house.registry.loader().work();
        }
        trial.offer(3);
        trial.house.registry.command(&new, Command::Reload).unwrap();
        trial.house.registry.loader().work();
        assert_eq!(answers(&trial.house, &new, 4), ["1", "1", "1", "3"]);
        trial.house.after(Duration::from_secs(5));
        assert_eq!((new.status().trial, answers(&trial.house, &new, 2)), (None, vec!["3".to_owned(); 2]));
    }
}

#[test]
fn a_trial_of_what_nobody_used_meanwhile_begins_anew() {
    let trial = trial();
    trial.slot.release();
    trial.house.after(Duration::from_mins(2));
    // Its source is not there yet.
    trial.supply.withdraw();
    let again = trial.house.open(&careful());
    assert!(Arc::ptr_eq(&again, &trial.slot));
    trial.house.after(SECOND);
    assert!(trial.slot.status().trial.is_some());
    trial.house.after(Duration::from_mins(1));
    assert_eq!(trial.answers(4), ["2"; 4]);
}

/// What a route makes of the plugin where it is on trial.
fn route_on_trial(trial: &Served, slot: &Held) -> Loaded {
    let mut streams = std::iter::repeat_with(|| slot.current().unwrap()).take(4);
    let candidate = streams.find(Current::is_candidate).unwrap();
    trial.house.registry.load_route(candidate.edition(), &Arc::from(&b"route"[..])).unwrap()
}

/// Streams come to a route, and fail.
fn fail(route: &Loaded, number: usize) {
    for _ in 0..number {
        let stream = open(route, 0);
        stream.0.note_failure();
        stream.end();
    }
}

/// Another configuration of the same code, on trial against the one that it replaces.
fn replaced(trial: &Served) -> Held {
    let new = trial.house.open(&configured(&careful(), "another"));
    trial.house.registry.loader().work();
    trial.slot.release();
    assert!(new.status().trial.is_some());
    new
}

#[test]
fn a_route_that_what_serves_has_as_well_does_not_count() {
    let trial = Served::with(&careful(), &sizing());
    let stable = trial.slot.stable_edition().unwrap();
    let bytes = Arc::from(&b"route"[..]);
    let route = trial.house.registry.load_route(&stable, &bytes).unwrap();
    fail(&route, 20);
    let new = replaced(&trial);
    let same = route_on_trial(&trial, &new);
    assert_eq!(same.plugin().key, route.plugin().key);
    fail(&route, 20);
    trial.house.after(SECOND);
    assert!(new.status().trial.is_some(), "whose streams are they?");
    trial.house.after(Duration::from_mins(1));
    assert_eq!((new.status().trial, new.status().last_error), (None, None));
    assert_eq!(answers(&trial.house, &new, 4), ["7"; 4]);
}

#[test]
fn a_route_counts_from_when_it_came_to_what_is_on_trial() {
    let trial = Served::with(&careful(), &sizing());
    let elsewhere = trial.house.load(&configured(&careful(), "route"));
    fail(&elsewhere, 20);
    let new = replaced(&trial);
    let route = route_on_trial(&trial, &new);
    assert_eq!(route.plugin().key, elsewhere.plugin().key);
    trial.house.after(SECOND);
    assert!(new.status().trial.is_some());
    fail(&route, 2);
    trial.house.after(SECOND);
    assert!(new.status().trial.is_some(), "two are forgiven");
    fail(&route, 1);
    trial.house.after(SECOND);
    assert_eq!(new.status().last_error.as_deref(), Some("3 of its 3 streams failed"));
}

#[test]
fn who_is_no_stream_that_begins_takes_no_turn() {
    let trial = trial();
    let numbers: Vec<(u64, u64, u64)> = (0..8)
        .map(|_| {
            let current = trial.slot.current().unwrap();
            // A logger; and the same stream, which waited.
            let (logger, again) = (trial.slot.serving(false), trial.slot.serving(current.is_candidate()));
            (current.plugin().key, logger.unwrap().plugin().key, again.unwrap().plugin().key)
        })
        .collect();
    let stable = trial.slot.stable().unwrap().plugin().key;
    let of_trial = numbers.iter().filter(|(current, ..)| *current != stable).count();
    assert_eq!(of_trial, 2, "a quarter of the streams: {numbers:?}");
    assert!(
        numbers.iter().all(|(current, logger, again)| current == again && *logger == stable),
        "{numbers:?}"
    );
    trial.command(Command::Rollback).unwrap();
    assert_eq!(trial.slot.serving(true).unwrap().plugin().key, stable, "its generation is gone meanwhile");
}

#[test]
fn what_was_rolled_back_is_not_tried_again_before_something_has_taken_over() {
    let trial = trial();
    trial.command(Command::Rollback).unwrap();
    trial.offer(3);
    trial.house.after(SECOND);
    assert!(trial.slot.status().trial.is_some());
    trial.command(Command::Rollback).unwrap();
    trial.offer(2);
    trial.house.after(SECOND);
    assert_eq!((trial.slot.status().trial, trial.answers(4)), (None, vec!["1".to_owned(); 4]));
    trial.offer(4);
    trial.house.after(SECOND);
    trial.command(Command::Promote).unwrap();
    trial.offer(2);
    trial.house.after(SECOND);
    assert!(trial.slot.status().trial.is_some(), "beside another version it may do well");
}

#[test]
fn what_was_rolled_back_is_not_tried_again_when_one_goes_back_further() {
    let trial = Served::with(
        &auth_with(|config| {
            *config = careful();
            config.graft.swap.keep_previous = Duration::from_hours(1);
        }),
        &saying(1),
    );
    trial.offer(2);
    trial.house.after(SECOND);
    trial.command(Command::Promote).unwrap();
    trial.house.after(SECOND);
    trial.offer(3);
    trial.house.after(SECOND);
    trial.command(Command::Rollback).unwrap();
    trial.house.after(SECOND);
    assert_eq!(trial.answers(4), ["2"; 4]);
    trial.command(Command::Rollback).unwrap();
    for _ in 0..3 {
        trial.house.after(SECOND);
    }
    assert_eq!((trial.slot.status().trial, trial.answers(4)), (None, vec!["1".to_owned(); 4]));
}
