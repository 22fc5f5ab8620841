//! Graft's own statistics: the table of what there is.
//!
//! Each is a metric of Envoy with labels, defined with every configuration of Envoy's that takes labels (HTTP filters,
//! services), and may change on any thread. To add one: an entry here and a row in `docs/METRICS.md`; then whoever
//! knows the labels' values asks the process for the metric once (`Services::stat`) and changes it as often as it
//! likes: `Stream::update_metric` where a stream is at hand, which tells Envoy at once, or `Services::update_metric` and
//! `Services::publish_metrics` anywhere else.

/// How a statistic counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Samples.
    Histogram,
}

/// A statistic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stat {
    /// Log lines of plugins that `graft.limits.log_lines_per_second` has left out.
    LogLinesLeftOut,
    /// Versions of a plugin that are loaded.
    GenerationsActive,
    /// Streams of a version.
    StreamsActive,
    /// Streams that wait for a VM.
    StreamsWaiting,
    /// VMs at work: homes and others.
    VmsActive,
    /// VMs that wait for work.
    VmsSpare,
    /// VMs of single streams.
    StreamVmsActive,
    /// Linear memory of all of them.
    MemoryBytes,
    /// Places whose next VM has to wait because the last ones failed.
    BreakersOpen,
    /// VMs that were started.
    VmsCreated,
    /// VMs whose guest trapped.
    VmsRetired,
    /// Spares that went to work.
    SparesUsed,
    /// VMs that a worker started itself while a stream waited.
    VmsStartedInline,
    /// VMs that did not start, and roots that did not in a VM that runs.
    StartFailures,
    /// Guest calls that trapped.
    Traps,
    /// Those of them that did not return in time.
    DeadlineHits,
    /// Calls that a limit refused.
    CalloutsRefused,
    /// Streams that had to wait for a VM.
    Waits,
    /// Those of them that got none.
    WaitTimeouts,
    /// Streams that the failure policy decided on.
    StreamsFailed,
    /// How long a stream waited.
    WaitMs,
    /// How long a guest call took.
    CallUs,
    /// How long a VM took to start.
    VmStartUs,
    /// Versions of a plugin that were loaded.
    Loads,
    /// Those that could not be.
    LoadFailures,
    /// Versions that were on trial and did badly.
    Rollbacks,
    /// Streams that waited for the first version of a plugin, and got it.
    LoadWaits,
    /// Those that waited in vain.
    LoadWaitTimeouts,
    /// How long it took to load a version.
    LoadMs,
}

impl Stat {
    /// All of them, each in the place of its number.
    pub const ALL: [Self; 29] = [
        Self::LogLinesLeftOut,
        Self::GenerationsActive,
        Self::StreamsActive,
        Self::StreamsWaiting,
        Self::VmsActive,
        Self::VmsSpare,
        Self::StreamVmsActive,
        Self::MemoryBytes,
        Self::BreakersOpen,
        Self::VmsCreated,
        Self::VmsRetired,
        Self::SparesUsed,
        Self::VmsStartedInline,
        Self::StartFailures,
        Self::Traps,
        Self::DeadlineHits,
        Self::CalloutsRefused,
        Self::Waits,
        Self::WaitTimeouts,
        Self::StreamsFailed,
        Self::WaitMs,
        Self::CallUs,
        Self::VmStartUs,
        Self::Loads,
        Self::LoadFailures,
        Self::Rollbacks,
        Self::LoadWaits,
        Self::LoadWaitTimeouts,
        Self::LoadMs,
    ];

    /// How it counts.
    pub const fn kind(self) -> Kind {
        match self {
            Self::LogLinesLeftOut
            | Self::VmsCreated
            | Self::VmsRetired
            | Self::SparesUsed
            | Self::VmsStartedInline
            | Self::StartFailures
            | Self::Traps
            | Self::DeadlineHits
            | Self::CalloutsRefused
            | Self::Waits
            | Self::WaitTimeouts
            | Self::StreamsFailed
            | Self::Loads
            | Self::LoadFailures
            | Self::Rollbacks
            | Self::LoadWaits
            | Self::LoadWaitTimeouts => Kind::Counter,
            Self::GenerationsActive
            | Self::StreamsActive
            | Self::StreamsWaiting
            | Self::VmsActive
            | Self::VmsSpare
            | Self::StreamVmsActive
            | Self::MemoryBytes
            | Self::BreakersOpen => Kind::Gauge,
            Self::WaitMs | Self::CallUs | Self::VmStartUs | Self::LoadMs => Kind::Histogram,
        }
    }

    /// Its name, without the prefix that Envoy gives all metrics of modules. What is measured has its unit at the end.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LogLinesLeftOut => "graft_log_lines_left_out",
            Self::GenerationsActive => "graft_generations_active",
            Self::StreamsActive => "graft_streams_active",
            Self::StreamsWaiting => "graft_streams_waiting",
            Self::VmsActive => "graft_vms_active",
            Self::VmsSpare => "graft_vms_spare",
            Self::StreamVmsActive => "graft_stream_vms_active",
            Self::MemoryBytes => "graft_memory_bytes",
            Self::BreakersOpen => "graft_breakers_open",
            Self::VmsCreated => "graft_vms_created",
            Self::VmsRetired => "graft_vms_retired",
            Self::SparesUsed => "graft_spares_used",
            Self::VmsStartedInline => "graft_vms_started_inline",
            Self::StartFailures => "graft_start_failures",
            Self::Traps => "graft_traps",
            Self::DeadlineHits => "graft_deadline_hits",
            Self::CalloutsRefused => "graft_callouts_refused",
            Self::Waits => "graft_waits",
            Self::WaitTimeouts => "graft_wait_timeouts",
            Self::StreamsFailed => "graft_streams_failed",
            Self::WaitMs => "graft_wait_ms",
            Self::CallUs => "graft_call_us",
            Self::VmStartUs => "graft_vm_start_us",
            Self::Loads => "graft_loads",
            Self::LoadFailures => "graft_load_failures",
            Self::Rollbacks => "graft_rollbacks",
            Self::LoadWaits => "graft_load_waits",
            Self::LoadWaitTimeouts => "graft_load_wait_timeouts",
            Self::LoadMs => "graft_load_ms",
        }
    }

    /// The names of its labels; each metric of it has as many values.
    pub const fn labels(self) -> &'static [&'static str] {
        match self {
            Self::LogLinesLeftOut
            | Self::GenerationsActive
            | Self::StreamsWaiting
            | Self::VmsActive
            | Self::VmsSpare
            | Self::StreamVmsActive
            | Self::MemoryBytes
            | Self::BreakersOpen
            | Self::VmsCreated
            | Self::VmsRetired
            | Self::SparesUsed
            | Self::VmsStartedInline
            | Self::StartFailures
            | Self::CalloutsRefused
            | Self::Waits
            | Self::WaitTimeouts
            | Self::WaitMs
            | Self::VmStartUs
            | Self::Loads
            | Self::LoadFailures
            | Self::Rollbacks
            | Self::LoadWaits
            | Self::LoadWaitTimeouts
            | Self::LoadMs => &["plugin"],
            Self::StreamsActive => &["plugin", "generation"],
            Self::Traps => &["plugin", "cause"],
            Self::DeadlineHits => &["plugin", "deadline"],
            Self::StreamsFailed => &["plugin", "policy"],
            Self::CallUs => &["plugin", "entry_point"],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stands_in_its_place_under_a_name_of_grafts() {
        for (place, stat) in Stat::ALL.into_iter().enumerate() {
            assert_eq!(stat as usize, place, "{stat:?}");
            assert!(stat.name().starts_with("graft_"), "{stat:?}");
            assert!(!stat.labels().is_empty(), "{stat:?}: without labels it would be a plugin's");
        }
    }

    #[test]
    fn each_is_documented() {
        let documentation = include_str!("../../docs/METRICS.md");
        for stat in Stat::ALL {
            let kind = format!("{:?}", stat.kind()).to_lowercase();
            let labels: Vec<String> = stat.labels().iter().map(|label| format!("`{label}`")).collect();
            let row = format!("\n| `{}` | {kind} | {} | ", stat.name(), labels.join(", "));
            let Some((_, rest)) = documentation.split_once(&row) else {
                panic!("docs/METRICS.md has no row that begins with: {row}");
            };
            let line = rest.lines().next().unwrap_or_default();
            let cells: Vec<&str> = line.trim_end_matches('|').split(" | ").map(str::trim).collect();
            let [unit, meaning] = cells[..] else { panic!("expected a unit and a meaning: {row}{line}") };
            assert!(meaning.len() > 10, "{row}{line}");
            for (ending, expected) in [("_ms", "ms"), ("_us", "µs"), ("_bytes", "bytes")] {
                assert_eq!(stat.name().ends_with(ending), unit == expected, "{row}{line}");
            }
        }
        let rows = documentation.lines().filter(|line| line.starts_with("| `graft_")).count();
        assert_eq!(rows, Stat::ALL.len(), "docs/METRICS.md has a row of a statistic that there is not");
    }

    #[test]
    fn what_goes_up_and_down_is_named_after_what_there_is_now() {
        for stat in Stat::ALL {
            let is_level = ["_active", "_spare", "_waiting", "_open", "_bytes"]
                .iter()
                .any(|ending| stat.name().ends_with(ending));
            assert_eq!(is_level, stat.kind() == Kind::Gauge, "{stat:?}");
        }
    }
}
