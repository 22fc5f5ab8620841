//! A new generation on trial: its share of streams, what counts against it, and how it ends.

use std::sync::Arc;
use std::time::Duration;

use graft::config::{CanaryConfig, PluginConfig};
use graft::host::testing::FakeStream;
use graft::lifecycle::slot::status::Role;
use graft::lifecycle::slot::{Command, CommandError, Slot, Stage};

use crate::guest::Guest;
use crate::house::{House, config};
use crate::supplier::Supplier;

const SECOND: Duration = Duration::from_secs(1);

fn named(number: u32) -> Guest {
    Guest::new().on("proxy_on_request_headers", &format!("(call $say (i32.const {number}))"))
}

struct Trial {
    house: House,
    supply: Arc<Supplier>,
    slot: Arc<Slot<FakeStream>>,
}

/// A plugin with one generation that serves, and another on trial for a quarter of the streams for a minute.
fn trial() -> Trial {
    let supply = Supplier::far();
    supply.offer("1", &named(1));
    let house = House::supplied(1, &supply);
    let mut config: PluginConfig = config("auth", &named(0));
    config.graft.swap.poll_interval = Some(SECOND);
    config.graft.swap.canary = Some(CanaryConfig {
        percent: 25,
        duration: Duration::from_mins(1),
        max_failures: 2,
        max_failure_percent: 10,
    });
    let slot = house.open(&config);
    house.registry.loader().work();
    supply.offer("2", &named(2));
    let trial = Trial { house, supply, slot };
    trial.pass(SECOND);
    trial
}

impl Trial {
    fn pass(&self, time: Duration) {
        self.house.pass(time);
        self.house.registry.loader().work();
    }

    /// Streams come and go; answers what they heard. Those on the generation with this number fail.
    fn streams(&self, number: usize, failing: &str) -> Vec<String> {
        (0..number)
            .map(|_| {
                let begun = self.slot.current().unwrap().begin(0, FakeStream::default()).unwrap();
                let stream = crate::house::Open(begun);
                stream.request().unwrap();
                let said = self.house.said().pop().unwrap();
                if said == failing {
                    stream.0.note_failure();
                }
                stream.end();
                said
            })
            .collect()
    }

    fn command(&self, command: Command) -> Result<(), CommandError> {
        self.house.registry.command(&self.slot, command)?;
        self.house.registry.loader().work();
        Ok(())
    }
}

#[test]
fn a_share_of_the_streams_begins_on_it_and_then_all() {
    let trial = trial();
    let said = trial.streams(40, "");
    assert_eq!(said.iter().filter(|said| *said == "2").count(), 10);
    assert_eq!(said[..8], ["1", "1", "1", "2", "1", "1", "1", "2"], "evenly");
    let roles: Vec<Role> = trial.slot.status().generations.iter().map(|found| found.role).collect();
    assert_eq!(roles, [Role::Serving, Role::OnTrial(25)]);
    trial.pass(Duration::from_secs(59));
    assert_eq!(trial.streams(2, ""), ["1", "1"]);
    trial.pass(SECOND);
    assert_eq!(trial.streams(3, ""), ["2", "2", "2"]);
    assert_eq!(trial.slot.status().generations[0].revision, "2");
}

#[test]
fn too_many_failures_roll_it_back_and_it_is_not_tried_again() {
    let trial = trial();
    trial.streams(8, "2");
    trial.pass(SECOND);
    assert!(trial.streams(8, "2").contains(&"2".to_owned()), "two are forgiven");
    trial.pass(SECOND);
    assert_eq!(trial.streams(8, "2"), ["1"; 8]);
    let status = trial.slot.status();
    assert_eq!(status.stage, Stage::Failed);
    assert_eq!(status.last_error.as_deref(), Some("4 of its 4 streams failed"));
    trial.pass(Duration::from_mins(10));
    assert_eq!(trial.streams(4, ""), ["1"; 4]);
    trial.supply.offer("3", &named(3));
    trial.pass(SECOND);
    assert!(trial.streams(4, "").contains(&"3".to_owned()), "another revision is on trial");
}

#[test]
fn failures_of_the_one_that_serves_do_not_count() {
    let trial = trial();
    trial.streams(40, "1");
    trial.pass(Duration::from_mins(1));
    assert_eq!(trial.streams(2, ""), ["2", "2"]);
}

#[test]
fn commands_decide_at_once() {
    let trial = trial();
    trial.command(Command::Promote).unwrap();
    assert_eq!(trial.streams(4, ""), ["2"; 4]);
    assert_eq!(trial.command(Command::Rollback), Err(CommandError::NoPrevious));
    assert_eq!(trial.command(Command::Promote), Err(CommandError::NoTrial));

    trial.supply.offer("3", &named(3));
    trial.pass(SECOND);
    assert!(trial.streams(4, "").contains(&"3".to_owned()));
    trial.command(Command::Rollback).unwrap();
    assert_eq!(trial.streams(4, ""), ["2"; 4]);
    trial.command(Command::Reload).unwrap();
    assert!(trial.streams(4, "").contains(&"3".to_owned()), "somebody asks for it again");
}

#[test]
fn a_trial_that_is_over_leaves_one_generation() {
    for command in [Command::Promote, Command::Rollback] {
        let trial = trial();
        trial.command(command).unwrap();
        trial.pass(SECOND);
        assert_eq!(trial.slot.status().generations.len(), 1, "{command:?}");
    }
}

#[test]
fn one_can_go_back_to_the_generation_that_was_replaced_while_it_is_kept() {
    let supply = Supplier::far();
    supply.offer("1", &named(1));
    let house = House::supplied(1, &supply);
    let mut config: PluginConfig = config("auth", &named(0));
    config.graft.swap.poll_interval = Some(SECOND);
    config.graft.swap.keep_previous = Duration::from_mins(1);
    let slot = house.open(&config);
    house.registry.loader().work();
    let trial = Trial { house, supply, slot };
    assert_eq!(trial.command(Command::Rollback), Err(CommandError::NoPrevious), "there is nothing before");
    trial.supply.offer("2", &named(2));
    trial.pass(SECOND);
    assert_eq!(trial.streams(2, ""), ["2", "2"]);
    trial.pass(Duration::from_secs(59));
    trial.command(Command::Rollback).unwrap();
    assert_eq!(trial.streams(2, ""), ["1", "1"]);
    trial.pass(Duration::from_mins(10));
    assert_eq!(trial.streams(2, ""), ["1", "1"], "what was taken back does not come by itself");
    assert_eq!(trial.slot.status().last_error.as_deref(), Some("rolled back by command"));
    assert_eq!(trial.command(Command::Rollback), Err(CommandError::NoPrevious));
    trial.command(Command::Reload).unwrap();
    assert_eq!(trial.streams(2, ""), ["2", "2"], "somebody asks for it again");
    trial.pass(Duration::from_secs(61));
    assert_eq!(trial.command(Command::Rollback), Err(CommandError::NoPrevious), "it is kept no longer");
    assert_eq!(trial.slot.status().generations.len(), 1);
}

#[test]
fn who_is_no_stream_that_begins_takes_no_turn() {
    let trial = trial();
    let numbers: Vec<(u64, u64, u64)> = (0..8)
        .map(|_| {
            let current = trial.slot.current().unwrap();
            // A logger; and the same stream, which waited.
            let (logger, again) = (trial.slot.look(false), trial.slot.look(current.is_candidate()));
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
    assert_eq!(trial.slot.look(true).unwrap().plugin().key, stable, "its generation is gone meanwhile");
}
