//! `graft.isolation` and `graft.pool`: which streams share a VM, and how many VMs there are.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::error::ConfigError;
use super::node::Node;

/// The fields of `graft.pool`.
pub(super) const FIELDS: &[&str] = &["spare_vms", "max_vms", "max_wait"];

/// Which streams share a VM.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Isolation {
    /// Those of a worker, as in Envoy's own filter: plugins may keep state between streams.
    #[default]
    Shared,
    /// None: each stream has a VM of its own, a copy of the configured one, which goes with it.
    Stream,
}

/// How many VMs a plugin has (all plugins with the same VM key together).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PoolConfig {
    /// Started and configured VMs that wait for a worker whose own has failed or is busy; for all workers together.
    pub spare_vms: u32,
    /// VMs that one worker may have at once.
    pub max_vms: u32,
    /// How long a stream waits for one of them.
    pub max_wait: Duration,
}

/// A spare costs the memory of a VM for as long as nothing fails.
const SPARE_VMS: RangeInclusive<u32> = 0..=64;
/// The engine has room for 16,384 in the whole process.
const MAX_VMS: RangeInclusive<u32> = 1..=16_384;
/// No wait at all is a choice. A minute is longer than clients wait.
const MAX_WAIT: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_mins(1);

impl Default for PoolConfig {
    fn default() -> Self {
        Self::of(Isolation::default())
    }
}

impl PoolConfig {
    /// What a plugin gets that does not say.
    pub fn of(isolation: Isolation) -> Self {
        Self {
            spare_vms: match isolation {
                // One crash at a time is what happens; a second worker that crashes meanwhile starts a VM itself.
                Isolation::Shared => 1,
                // A copy takes microseconds.
                Isolation::Stream => 0,
            },
            max_vms: match isolation {
                // The worker's own, and another for streams that begin while a tick runs there.
                Isolation::Shared => 2,
                // As many as Envoy lets a cluster have requests by default (its circuit breaker's 1,024), about.
                Isolation::Stream => 1000,
            },
            // As long as one call of a plugin may take by default: whatever is in the way is over then.
            max_wait: Duration::from_secs(1),
        }
    }

    pub(super) fn read(node: &Node<'_>, isolation: Isolation) -> Result<Self, ConfigError> {
        let fields = node.fields(FIELDS)?;
        let default = Self::of(isolation);
        Ok(Self {
            spare_vms: fields.read_or("spare_vms", default.spare_vms, |node| node.integer(SPARE_VMS))?,
            max_vms: fields.read_or("max_vms", default.max_vms, |node| node.integer(MAX_VMS))?,
            max_wait: fields.read_or("max_wait", default.max_wait, |node| node.duration(MAX_WAIT))?,
        })
    }
}

impl Isolation {
    pub(super) fn read(node: &Node<'_>) -> Result<Self, ConfigError> {
        match node.value().as_str() {
            Some("shared") => Ok(Self::Shared),
            Some("stream") => Ok(Self::Stream),
            Some(_) | None => Err(node.unexpected("shared or stream")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::error::Subject;
    use super::*;

    fn read(value: &Value, isolation: Isolation) -> Result<PoolConfig, String> {
        let subject = Subject::Plugin("p".to_owned());
        PoolConfig::read(&Node::root(&subject, value), isolation).map_err(|error| error.to_string())
    }

    #[test]
    fn the_defaults_follow_the_isolation() {
        for isolation in [Isolation::Shared, Isolation::Stream] {
            assert_eq!(read(&json!({}), isolation), Ok(PoolConfig::of(isolation)));
        }
        assert_eq!(PoolConfig::of(Isolation::Shared).spare_vms, 1);
        assert_eq!(PoolConfig::of(Isolation::Stream).max_vms, 1000);
    }

    #[test]
    fn what_is_given_is_read() {
        let value = json!({"spareVms": 3, "max_vms": "7", "max_wait": "0s"});
        let expected = PoolConfig { spare_vms: 3, max_vms: 7, max_wait: Duration::ZERO };
        assert_eq!(read(&value, Isolation::Shared), Ok(expected));
    }

    #[test]
    fn what_is_wrong_says_what_was_expected() {
        for (value, expected) in [
            (json!({"max_vms": 0}), "max_vms: the number 0, expected an integer from 1 to 16384"),
            (json!({"spare_vms": 65}), "spare_vms: the number 65, expected an integer from 0 to 64"),
            (
                json!({"max_wait": "61s"}),
                "max_wait: the string \"61s\", expected seconds such as \"1.5s\", from \"0s\" to \"60s\"",
            ),
            (json!({"min": 1}), "min: unknown field, expected spare_vms, max_vms, max_wait"),
        ] {
            assert_eq!(read(&value, Isolation::Shared).unwrap_err(), format!("plugin \"p\": {expected}"));
        }
    }
}
