//! The `graft` block: what Envoy's own filter does not have.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::cache::CacheConfig;
use super::error::ConfigError;
use super::node::Node;
pub use super::pool::{Isolation, PoolConfig};
use super::source::SourceConfig;
use super::swap::SwapConfig;

/// The fields of `graft`.
pub(super) const FIELDS: &[&str] =
    &["isolation", "pool", "limits", "cache", "strict_local_responses", "swap", "source"];

/// The fields of `graft.limits`.
pub(super) const LIMIT_FIELDS: &[&str] = &[
    "memory_bytes",
    "table_elements",
    "call_deadline",
    "start_deadline",
    "configure_deadline",
    "callouts",
    "callout_bytes",
    "shared_bytes",
    "log_lines_per_second",
];

/// What is Graft's alone. The default is what a plugin gets that has no such block.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct GraftConfig {
    /// Which streams share a VM.
    pub isolation: Isolation,
    /// How many VMs there are.
    pub pool: PoolConfig,
    /// What one VM may use.
    pub limits: Limits,
    /// What is kept on disk.
    pub cache: CacheConfig,
    /// Whether a local response that would reach nobody is refused, in place of OK as in Envoy's own filter.
    pub strict_local_responses: bool,
    /// How it is loaded, and how a new version takes over.
    pub swap: SwapConfig,
    /// How code is fetched.
    pub source: SourceConfig,
}

/// What one VM may use. A guest that asks for more is refused it; one that takes longer is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Size to which the memory of the VM may grow, in bytes.
    pub memory_bytes: u64,
    /// Number of elements to which each of its tables may grow.
    pub table_elements: u32,
    /// How long one call of an entry point may run, in a stream or in a root context.
    pub call_deadline: Duration,
    /// How long the start of a VM may run: its start function and `proxy_on_vm_start`, each.
    pub start_deadline: Duration,
    /// How long `proxy_on_configure` may run.
    pub configure_deadline: Duration,
    /// Number of callouts that may be under way.
    pub callouts: u32,
    /// Bytes that their requests and replies may hold, all together.
    pub callout_bytes: u64,
    /// Bytes that the shared data and the queues of a `vm_id` may hold. Of plugins with the same `vm_id`, the first that
    /// is loaded decides.
    pub shared_bytes: u64,
    /// Log lines a second of all VMs with the same key, on average over ten seconds; 0: any number.
    pub log_lines_per_second: u32,
}

/// A page of Wasm at least, and at most what Envoy's own filter gives a plugin.
const MEMORY_BYTES: RangeInclusive<u64> = 65_536..=1_073_741_824;
/// Ten times the default; room for more would be kept free for each VM.
const TABLE_ELEMENTS: RangeInclusive<u32> = 1..=1_000_000;
/// None at all is a choice; a million is more than a worker has sockets.
const CALLOUTS: RangeInclusive<u32> = 0..=1_000_000;
const BYTES: RangeInclusive<u64> = 0..=1_099_511_627_776;
/// More than any disk takes; 0 is no limit.
const LOG_LINES: RangeInclusive<u32> = 0..=10_000_000;
/// A deadline cannot be turned off: a guest that loops for ever would hold its worker for ever.
const DEADLINE: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_hours(1);

impl Default for Limits {
    fn default() -> Self {
        Self {
            // What Envoy's own filter gives a plugin, so that none runs short that ran there.
            memory_bytes: 1_073_741_824,
            // Ten times the table of a large plugin in Go.
            table_elements: 100_000,
            // No call of a plugin that works comes near; a worker that is held up for longer drops
            // connections.
            call_deadline: Duration::from_secs(1),
            // Start-up parses rules and builds tables: plugins are known that need a few seconds.
            start_deadline: Duration::from_secs(10),
            configure_deadline: Duration::from_secs(10),
            // As many as Envoy lets a cluster have requests by default (its circuit breaker's 1,024), about.
            callouts: 1000,
            // A large set of keys is a megabyte; sixteen leave room for several at once.
            callout_bytes: 16 * 1024 * 1024,
            shared_bytes: 16 * 1024 * 1024,
            // A busy plugin that logs a line a request stays below; one in a loop fills a gigabyte in hours instead of in
            // seconds.
            log_lines_per_second: 1000,
        }
    }
}

impl GraftConfig {
    pub(super) fn read(node: &Node<'_>) -> Result<Self, ConfigError> {
        let fields = node.fields(FIELDS)?;
        let isolation = fields.read_or("isolation", Isolation::default(), Isolation::read)?;
        let pool = PoolConfig::of(isolation);
        Ok(Self {
            isolation,
            pool: fields.read_or("pool", pool, |node| PoolConfig::read(node, isolation))?,
            limits: fields.read_or("limits", Limits::default(), Limits::read)?,
            cache: fields.read_or("cache", CacheConfig::default(), CacheConfig::read)?,
            strict_local_responses: fields.boolean("strict_local_responses")?,
            swap: fields.read_or("swap", SwapConfig::default(), SwapConfig::read)?,
            source: fields.read_or("source", SourceConfig::default(), SourceConfig::read)?,
        })
    }
}

impl Limits {
    fn read(node: &Node<'_>) -> Result<Self, ConfigError> {
        let fields = node.fields(LIMIT_FIELDS)?;
        let default = Self::default();
        Ok(Self {
            memory_bytes: fields
                .read_or("memory_bytes", default.memory_bytes, |node| node.integer(MEMORY_BYTES))?,
            table_elements: fields
                .read_or("table_elements", default.table_elements, |node| node.integer(TABLE_ELEMENTS))?,
            call_deadline: fields
                .read_or("call_deadline", default.call_deadline, |node| node.duration(DEADLINE))?,
            start_deadline: fields
                .read_or("start_deadline", default.start_deadline, |node| node.duration(DEADLINE))?,
            configure_deadline: fields
                .read_or("configure_deadline", default.configure_deadline, |node| node.duration(DEADLINE))?,
            callouts: fields.read_or("callouts", default.callouts, |node| node.integer(CALLOUTS))?,
            callout_bytes: fields
                .read_or("callout_bytes", default.callout_bytes, |node| node.integer(BYTES))?,
            shared_bytes: fields.read_or("shared_bytes", default.shared_bytes, |node| node.integer(BYTES))?,
            log_lines_per_second: fields.read_or(
                "log_lines_per_second",
                default.log_lines_per_second,
                |node| node.integer(LOG_LINES),
            )?,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::error::Subject;
    use super::*;

    fn read(value: &Value) -> Result<GraftConfig, String> {
        let subject = Subject::Plugin("p".to_owned());
        GraftConfig::read(&Node::root(&subject, value)).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_absent_has_its_default() {
        for value in [json!({}), json!({"limits": {}}), json!({"limits": null})] {
            assert_eq!(read(&value), Ok(GraftConfig::default()), "{value}");
        }
    }

    #[test]
    fn limits_are_read() {
        let config = read(&json!({"limits": {
            "memoryBytes": "134217728",
            "table_elements": 20,
            "call_deadline": "0.25s",
            "start_deadline": "60s",
            "configureDeadline": "3s",
            "callouts": 5,
            "callout_bytes": 1000,
            "sharedBytes": "2000",
            "log_lines_per_second": 0,
        }}));
        assert_eq!(
            config.unwrap().limits,
            Limits {
                memory_bytes: 134_217_728,
                table_elements: 20,
                call_deadline: Duration::from_millis(250),
                start_deadline: Duration::from_mins(1),
                configure_deadline: Duration::from_secs(3),
                callouts: 5,
                callout_bytes: 1000,
                shared_bytes: 2000,
                log_lines_per_second: 0,
            }
        );
    }

    #[test]
    fn a_limit_out_of_range_says_the_range() {
        let seconds = "expected seconds such as \"1.5s\", from \"0.001s\" to \"3600s\"";
        for (limits, expected) in [
            (
                json!({"memory_bytes": 65_535}),
                "memory_bytes: the number 65535, expected an integer from 65536 to 1073741824",
            ),
            (
                json!({"memory_bytes": "1GiB"}),
                "memory_bytes: the string \"1GiB\", expected an integer from 65536 to 1073741824",
            ),
            (
                json!({"table_elements": 0}),
                "table_elements: the number 0, expected an integer from 1 to 1000000",
            ),
            (json!({"call_deadline": "0s"}), &format!("call_deadline: the string \"0s\", {seconds}")),
            (json!({"start_deadline": 10}), &format!("start_deadline: the number 10, {seconds}")),
            (
                json!({"memory": 1}),
                "memory: unknown field, expected memory_bytes, table_elements, call_deadline, \
                 start_deadline, configure_deadline, callouts, callout_bytes, shared_bytes, log_lines_per_second",
            ),
        ] {
            assert_eq!(
                read(&json!({"limits": limits})).unwrap_err(),
                format!("plugin \"p\": limits.{expected}")
            );
        }
        assert_eq!(
            read(&json!({"insulation": "stream"})).unwrap_err(),
            "plugin \"p\": insulation: unknown field, did you mean isolation?, expected isolation, pool, limits, \
             cache, strict_local_responses, swap, source"
        );
    }
}
