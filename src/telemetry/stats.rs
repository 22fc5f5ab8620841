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
}

impl Stat {
    /// All of them, each in the place of its number.
    pub const ALL: [Self; 1] = [Self::LogLinesLeftOut];

    /// How it counts.
    pub const fn kind(self) -> Kind {
        match self {
            Self::LogLinesLeftOut => Kind::Counter,
        }
    }

    /// Its name, without the prefix that Envoy gives all metrics of modules.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LogLinesLeftOut => "graft_log_lines_left_out",
        }
    }

    /// The names of its labels; each metric of it has as many values.
    pub const fn labels(self) -> &'static [&'static str] {
        match self {
            Self::LogLinesLeftOut => &["plugin"],
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
            let row = format!("| `{}` | {kind} | {} |", stat.name(), labels.join(", "));
            assert!(documentation.contains(&row), "docs/METRICS.md has no row that begins with: {row}");
        }
    }
}
