//! The state of all plugins for programs. `docs/ADMIN.md` says what each key means; keys stay.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{Picture, use_of};
use crate::bridge::metrics::Totals;
use crate::config::Isolation;
use crate::lifecycle::slot::status::{GenerationStatus, Role, Status, TrialStatus};

/// The whole page.
pub(super) fn render(picture: &Picture) -> String {
    let plugins = picture.plugins.iter().map(|(status, totals)| plugin(status, totals)).collect();
    let page = object([
        ("version", env!("CARGO_PKG_VERSION").into()),
        ("starting", picture.is_starting.into()),
        ("plugins", Value::Array(plugins)),
    ]);
    format!("{page:#}\n")
}

fn plugin(status: &Status, totals: &Totals) -> Value {
    object([
        ("plugin", status.plugin.as_str().into()),
        ("use", use_of(status.purpose).into()),
        ("source", status.source.as_str().into()),
        (
            "isolation",
            match status.isolation {
                Isolation::Shared => "shared".into(),
                Isolation::Stream => "stream".into(),
            },
        ),
        ("poll_interval_seconds", status.poll_interval.map(seconds).into()),
        ("stage", status.stage.to_string().into()),
        ("stage_seconds", seconds(status.stage_for).into()),
        ("last_error", status.last_error.as_deref().into()),
        ("retry_in_seconds", status.retry_in.map(seconds).into()),
        ("optimizer_error", status.optimizer_error.as_deref().into()),
        ("optimizer_retry_in_seconds", status.optimizer_retry_in.map(seconds).into()),
        ("waiting_streams", status.waiting.into()),
        ("canary", status.trial.as_ref().map_or(Value::Null, canary)),
        ("generations", status.generations.iter().map(generation).collect()),
        ("counts", totals.list().into_iter().map(|(name, count)| (name, Value::from(count))).collect()),
    ])
}

pub(super) fn canary(trial: &TrialStatus) -> Value {
    object([
        ("generation", trial.number.into()),
        ("percent", trial.percent.into()),
        ("seconds_left", seconds(trial.left).into()),
    ])
}

fn generation(status: &GenerationStatus) -> Value {
    let role = match status.role {
        Role::Serving => "serving",
        Role::OnTrial(_percent) => "on_trial",
        Role::Draining => "draining",
    };
    let revision = Some(status.revision.as_str()).filter(|revision| !revision.is_empty());
    object([
        ("number", status.number.into()),
        ("role", role.into()),
        ("digest", format!("sha256:{}", status.digest).into()),
        ("revision", revision.into()),
        ("tier", if status.is_optimized { "optimized".into() } else { "baseline".into() }),
        ("age_seconds", seconds(status.age).into()),
        ("streams", status.streams.into()),
        ("begun", status.begun.into()),
        ("failures", status.failures.into()),
        ("vms", status.vms.into()),
        ("memory_bytes", status.memory_bytes.into()),
    ])
}

fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
}

/// Seconds, to the millisecond.
fn seconds(time: Duration) -> f64 {
    let milliseconds = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(milliseconds).as_secs_f64()
}
