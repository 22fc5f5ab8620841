//! What happens when a VM fails: `failure_policy`, or `fail_open` in its place, and `reload_config`.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::error::ConfigError;
use super::fields::Fields;
use super::node::Node;

/// The fields of `reload_config`.
pub(super) const RELOAD_FIELDS: &[&str] = &["backoff"];

/// The fields of `reload_config.backoff`.
pub(super) const BACKOFF_FIELDS: &[&str] = &["base_interval", "max_interval"];

/// What becomes of streams whose VM failed. The VM itself is replaced under each policy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum FailurePolicy {
    /// They are answered with 503.
    #[default]
    Closed,
    /// They go on without the plugin.
    Open,
    /// They are answered with 503. In Envoy's own filter this is what has the VM replaced.
    Reload,
}

/// How soon a VM that failed is replaced: waits grow from the one interval to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReloadConfig {
    /// The first wait.
    pub base_interval: Duration,
    /// The longest wait; never shorter than the first.
    pub max_interval: Duration,
}

impl Default for ReloadConfig {
    fn default() -> Self {
        Self { base_interval: Duration::from_secs(1), max_interval: Duration::from_secs(10) }
    }
}

/// Envoy's lower bound of a back-off; the upper bound catches slips of the unit.
const INTERVAL: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_hours(24);

impl FailurePolicy {
    /// The policy that `failure_policy`, or `fail_open` in its place, asks for.
    pub(super) fn read(fields: &Fields<'_>) -> Result<Self, ConfigError> {
        let policy = match fields.get("failure_policy") {
            Some(node) => Self::named(node)?.map(|policy| (node, policy)),
            None => None,
        };
        let fail_open = match fields.get("fail_open") {
            Some(node) if node.boolean()? => Some(node),
            Some(_) | None => None,
        };
        match (policy, fail_open) {
            (Some((node, _)), Some(fail_open)) => Err(node.conflict(fail_open)),
            (Some((_, policy)), None) => Ok(policy),
            (None, Some(_)) => Ok(Self::Open),
            (None, None) => Ok(Self::default()),
        }
    }

    /// The policy that a node names, or `None` for the one that leaves it open.
    fn named(node: &Node<'_>) -> Result<Option<Self>, ConfigError> {
        let number = match node.value().as_str() {
            Some("UNSPECIFIED") => 0,
            Some("FAIL_RELOAD") => 1,
            Some("FAIL_CLOSED") => 2,
            Some("FAIL_OPEN") => 3,
            Some(_) | None => node.integer(0..=u8::MAX).unwrap_or(u8::MAX),
        };
        match number {
            0 => Ok(None),
            1 => Ok(Some(Self::Reload)),
            2 => Ok(Some(Self::Closed)),
            3 => Ok(Some(Self::Open)),
            _ => Err(node.unexpected("one of FAIL_CLOSED, FAIL_OPEN, FAIL_RELOAD")),
        }
    }
}

impl ReloadConfig {
    pub(super) fn read(node: &Node<'_>) -> Result<Self, ConfigError> {
        let fields = node.fields(RELOAD_FIELDS)?;
        fields.read_or("backoff", Self::default(), |backoff| {
            let fields = backoff.fields(BACKOFF_FIELDS)?;
            let base_interval =
                fields.require("base_interval", "seconds such as \"1.5s\"")?.duration(INTERVAL)?;
            let default = base_interval.saturating_mul(10).min(*INTERVAL.end());
            let max_interval = fields
                .read_or("max_interval", default, |node| node.duration(base_interval..=*INTERVAL.end()))?;
            Ok(Self { base_interval, max_interval })
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::error::Subject;
    use super::*;

    fn read(value: &Value) -> Result<(FailurePolicy, ReloadConfig), String> {
        let subject = Subject::Plugin("p".to_owned());
        let read = || {
            let fields =
                Node::root(&subject, value).fields(&["failure_policy", "fail_open", "reload_config"])?;
            let reload = fields.read_or("reload_config", ReloadConfig::default(), ReloadConfig::read)?;
            Ok((FailurePolicy::read(&fields)?, reload))
        };
        read().map_err(|error: ConfigError| error.to_string())
    }

    #[test]
    fn failure_policies_have_names_and_numbers() {
        for (value, expected) in [
            (json!({}), FailurePolicy::Closed),
            (json!({"failure_policy": "UNSPECIFIED"}), FailurePolicy::Closed),
            (json!({"failure_policy": "FAIL_CLOSED"}), FailurePolicy::Closed),
            (json!({"failure_policy": "FAIL_OPEN"}), FailurePolicy::Open),
            (json!({"failure_policy": "FAIL_RELOAD"}), FailurePolicy::Reload),
            (json!({"failure_policy": 0}), FailurePolicy::Closed),
            (json!({"failure_policy": 1}), FailurePolicy::Reload),
            (json!({"failure_policy": 2}), FailurePolicy::Closed),
            (json!({"failure_policy": "3"}), FailurePolicy::Open),
            (json!({"fail_open": true}), FailurePolicy::Open),
            (json!({"fail_open": false}), FailurePolicy::Closed),
            (json!({"fail_open": true, "failure_policy": 0}), FailurePolicy::Open),
            (json!({"fail_open": false, "failure_policy": 1}), FailurePolicy::Reload),
        ] {
            assert_eq!(read(&value).unwrap().0, expected, "{value}");
        }
        for (value, expected) in [
            (
                json!({"failure_policy": "open"}),
                "failure_policy: the string \"open\", expected one of FAIL_CLOSED, FAIL_OPEN, FAIL_RELOAD",
            ),
            (
                json!({"failure_policy": 4}),
                "failure_policy: the number 4, expected one of FAIL_CLOSED, FAIL_OPEN, FAIL_RELOAD",
            ),
            (
                json!({"failure_policy": "FAIL_OPEN", "fail_open": true}),
                "failure_policy: set beside fail_open, expected only one of them",
            ),
        ] {
            assert_eq!(read(&value).unwrap_err(), format!("plugin \"p\": {expected}"));
        }
    }

    #[test]
    fn reloads_wait_between_two_intervals() {
        for (backoff, base, max) in [
            (json!(null), 1_000, 10_000),
            (json!({"base_interval": "0.5s"}), 500, 5_000),
            (json!({"base_interval": "5s", "max_interval": "5s"}), 5_000, 5_000),
            (json!({"base_interval": "86400s"}), 86_400_000, 86_400_000),
        ] {
            let (_, reload) = read(&json!({"reload_config": {"backoff": backoff}})).unwrap();
            assert_eq!(reload.base_interval, Duration::from_millis(base), "{backoff}");
            assert_eq!(reload.max_interval, Duration::from_millis(max), "{backoff}");
        }
        for (backoff, expected) in [
            (json!({}), "base_interval: missing, expected seconds such as \"1.5s\""),
            (
                json!({"base_interval": "0.0001s"}),
                "base_interval: the string \"0.0001s\", expected seconds such as \"1.5s\", \
                 from \"0.001s\" to \"86400s\"",
            ),
            (
                json!({"base_interval": "5s", "max_interval": "4s"}),
                "max_interval: the string \"4s\", expected seconds such as \"1.5s\", \
                 from \"5s\" to \"86400s\"",
            ),
        ] {
            assert_eq!(
                read(&json!({"reload_config": {"backoff": backoff}})).unwrap_err(),
                format!("plugin \"p\": reload_config.backoff.{expected}")
            );
        }
    }
}
