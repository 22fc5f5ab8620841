//! `graft.swap`: how a plugin is loaded, and how a new version of it takes over.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::error::ConfigError;
use super::node::Node;

/// The fields of `graft.swap`.
pub(super) const FIELDS: &[&str] =
    &["load", "compile", "max_wait", "poll_interval", "drain_deadline", "keep_previous", "retry", "canary"];

/// The fields of `graft.swap.retry`.
pub(super) const RETRY_FIELDS: &[&str] = &["base_interval", "max_interval"];

/// The fields of `graft.swap.canary`.
pub(super) const CANARY_FIELDS: &[&str] = &["percent", "duration", "max_failures", "max_failure_percent"];

/// How a plugin is loaded and replaced. The default is what a plugin gets that has no such block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SwapConfig {
    /// Who waits while a plugin is loaded.
    pub load: LoadMode,
    /// Which code serves first.
    pub compile: CompileMode,
    /// How long a stream waits for the first version of a plugin.
    pub max_wait: Duration,
    /// How often the source is looked at: whether a file has changed, whether a tag has moved. `None`: never.
    pub poll_interval: Option<Duration>,
    /// How long streams may stay on a version that was replaced. Zero: as long as they like.
    pub drain_deadline: Duration,
    /// How long the version that was replaced last is kept, streams or not, so that one can go back to it.
    pub keep_previous: Duration,
    /// When a version that could not be loaded is tried again.
    pub retry: Retry,
    /// Whether a new version has to prove itself.
    pub canary: Option<CanaryConfig>,
}

/// Who waits while a plugin is loaded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum LoadMode {
    /// Envoy, before it has served its first stream, if the code is at hand; nobody afterwards.
    #[default]
    Auto,
    /// Envoy's main thread: what is wrong is refused with the configuration.
    Blocking,
    /// Nobody but streams that have no version yet.
    Background,
}

/// Which code of a plugin serves first, if it has to be compiled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum CompileMode {
    /// As `Tiered` for large plugins with streams, as `Optimized` for all others.
    #[default]
    Auto,
    /// Code that was compiled quickly. Optimised code takes over when it is ready, in new VMs.
    Tiered,
    /// Optimised code only.
    Optimized,
}

/// Waits between tries that fail, each twice as long as the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Retry {
    /// The first.
    pub base_interval: Duration,
    /// The longest.
    pub max_interval: Duration,
}

/// A new version gets a share of new streams for a time, and then all or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CanaryConfig {
    /// Share of new streams, of a hundred.
    pub percent: u8,
    /// How long.
    pub duration: Duration,
    /// Failures (traps and local responses of 500 and above) that are forgiven, whatever their share.
    pub max_failures: u32,
    /// Share of its streams that may fail, of a hundred, when there are more failures than those.
    pub max_failure_percent: u8,
}

/// No wait at all is a choice. Five minutes are longer than clients wait.
const MAX_WAIT: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_mins(5);
/// More often than once a second is load on a registry without a gain.
const POLL_INTERVAL: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24);
const DRAIN_DEADLINE: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(24);
const RETRY_INTERVAL: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_hours(1);
/// All streams would be no trial, and none neither.
const PERCENT: RangeInclusive<u8> = 1..=99;
const CANARY_DURATION: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24);
const MAX_FAILURES: RangeInclusive<u32> = 0..=1_000_000;
const MAX_FAILURE_PERCENT: RangeInclusive<u8> = 0..=100;

impl Default for SwapConfig {
    fn default() -> Self {
        Self {
            load: LoadMode::default(),
            compile: CompileMode::default(),
            // As long as a fetch may take.
            max_wait: Duration::from_secs(30),
            poll_interval: None,
            // As long as Envoy's own listeners drain by default (--drain-time-s).
            drain_deadline: Duration::from_mins(10),
            // Its VMs cost memory.
            keep_previous: Duration::ZERO,
            retry: Retry::default(),
            canary: None,
        }
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self { base_interval: Duration::from_secs(1), max_interval: Duration::from_mins(1) }
    }
}

impl SwapConfig {
    pub(super) fn read(node: &Node<'_>) -> Result<Self, ConfigError> {
        let fields = node.fields(FIELDS)?;
        let default = Self::default();
        Ok(Self {
            load: fields.read_or("load", default.load, LoadMode::read)?,
            compile: fields.read_or("compile", default.compile, CompileMode::read)?,
            max_wait: fields.read_or("max_wait", default.max_wait, |node| node.duration(MAX_WAIT))?,
            poll_interval: fields
                .read_or("poll_interval", None, |node| node.duration(POLL_INTERVAL).map(Some))?,
            drain_deadline: fields
                .read_or("drain_deadline", default.drain_deadline, |node| node.duration(DRAIN_DEADLINE))?,
            keep_previous: fields
                .read_or("keep_previous", default.keep_previous, |node| node.duration(DRAIN_DEADLINE))?,
            retry: fields.read_or("retry", default.retry, Retry::read)?,
            canary: fields.read_or("canary", None, |node| CanaryConfig::read(node).map(Some))?,
        })
    }
}

impl LoadMode {
    fn read(node: &Node<'_>) -> Result<Self, ConfigError> {
        match node.value().as_str() {
            Some("auto") => Ok(Self::Auto),
            Some("blocking") => Ok(Self::Blocking),
            Some("background") => Ok(Self::Background),
            Some(_) | None => Err(node.unexpected("auto, blocking or background")),
        }
    }
}

impl CompileMode {
    fn read(node: &Node<'_>) -> Result<Self, ConfigError> {
        match node.value().as_str() {
            Some("auto") => Ok(Self::Auto),
            Some("tiered") => Ok(Self::Tiered),
            Some("optimized") => Ok(Self::Optimized),
            Some(_) | None => Err(node.unexpected("auto, tiered or optimized")),
        }
    }
}

impl Retry {
    fn read(node: &Node<'_>) -> Result<Self, ConfigError> {
        let fields = node.fields(RETRY_FIELDS)?;
        let default = Self::default();
        let base_interval =
            fields.read_or("base_interval", default.base_interval, |node| node.duration(RETRY_INTERVAL))?;
        let longest = default.max_interval.max(base_interval);
        let max_interval = fields
            .read_or("max_interval", longest, |node| node.duration(base_interval..=*RETRY_INTERVAL.end()))?;
        Ok(Self { base_interval, max_interval })
    }
}

impl CanaryConfig {
    fn read(node: &Node<'_>) -> Result<Self, ConfigError> {
        let fields = node.fields(CANARY_FIELDS)?;
        Ok(Self {
            percent: fields.require("percent", "an integer from 1 to 99")?.integer(PERCENT)?,
            duration: fields
                .read_or("duration", Duration::from_mins(1), |node| node.duration(CANARY_DURATION))?,
            // A handful fails on the best of days.
            max_failures: fields.read_or("max_failures", 5, |node| node.integer(MAX_FAILURES))?,
            max_failure_percent: fields
                .read_or("max_failure_percent", 5, |node| node.integer(MAX_FAILURE_PERCENT))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::error::Subject;
    use super::*;

    fn read(value: &Value) -> Result<SwapConfig, String> {
        let subject = Subject::Plugin("p".to_owned());
        SwapConfig::read(&Node::root(&subject, value)).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_absent_has_its_default() {
        for value in [json!({}), json!({"load": "auto"}), json!({"retry": {}, "canary": null})] {
            assert_eq!(read(&value), Ok(SwapConfig::default()), "{value}");
        }
    }

    #[test]
    fn every_field_is_read() {
        let swap = read(&json!({
            "load": "background",
            "compile": "tiered",
            "maxWait": "2s",
            "poll_interval": "30s",
            "drain_deadline": "0s",
            "keepPrevious": "300s",
            "retry": {"base_interval": "0.5s", "max_interval": "5s"},
            "canary": {"percent": 10, "duration": "20s", "max_failures": 0, "maxFailurePercent": "2"},
        }));
        let expected = SwapConfig {
            load: LoadMode::Background,
            compile: CompileMode::Tiered,
            max_wait: Duration::from_secs(2),
            poll_interval: Some(Duration::from_secs(30)),
            drain_deadline: Duration::ZERO,
            keep_previous: Duration::from_mins(5),
            retry: Retry { base_interval: Duration::from_millis(500), max_interval: Duration::from_secs(5) },
            canary: Some(CanaryConfig {
                percent: 10,
                duration: Duration::from_secs(20),
                max_failures: 0,
                max_failure_percent: 2,
            }),
        };
        assert_eq!(swap, Ok(expected));
    }

    #[test]
    fn a_first_wait_above_the_longest_lifts_it() {
        let swap = read(&json!({"retry": {"base_interval": "90s"}})).unwrap();
        assert_eq!(swap.retry.max_interval, Duration::from_secs(90));
    }

    #[test]
    fn what_is_wrong_says_what_was_expected() {
        for (value, expected) in [
            (json!({"load": "now"}), "load: the string \"now\", expected auto, blocking or background"),
            (json!({"compile": "fast"}), "compile: the string \"fast\", expected auto, tiered or optimized"),
            (
                json!({"poll_interval": "0.5s"}),
                "poll_interval: the string \"0.5s\", expected seconds such as \"1.5s\", from \"1s\" to \"86400s\"",
            ),
            (json!({"canary": {}}), "canary.percent: missing, expected an integer from 1 to 99"),
            (
                json!({"canary": {"percent": 100}}),
                "canary.percent: the number 100, expected an integer from 1 to 99",
            ),
            (
                json!({"retry": {"base_interval": "5s", "max_interval": "1s"}}),
                "retry.max_interval: the string \"1s\", expected seconds such as \"1.5s\", from \"5s\" to \"3600s\"",
            ),
            (
                json!({"polling": "1s"}),
                "polling: unknown field, expected load, compile, max_wait, poll_interval, drain_deadline, keep_previous, retry, canary",
            ),
        ] {
            assert_eq!(read(&value).unwrap_err(), format!("plugin \"p\": {expected}"));
        }
    }
}
