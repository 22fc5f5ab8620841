//! What was promised: added CPU time, as ratios.

use crate::numbers::short;
use crate::report::Table;
use crate::requests::Cells;
use crate::workloads::WORKLOADS;

/// What the time of one variant may be, against that of another.
#[derive(Clone, Copy, Debug)]
enum Goal {
    /// At most so many times as much.
    Times(f64),
    /// At most so many microseconds more.
    Plus(f64),
}

/// A column of the table of ratios: a variant, what it is compared with, and the goals by workload.
struct Column {
    variant: &'static str,
    against: &'static str,
    title: &'static str,
    goals: &'static [(&'static str, Goal)],
}

const COLUMNS: [Column; 3] = [
    Column {
        variant: "shared",
        against: "v8",
        title: "Graft `shared` / V8",
        goals: &[
            ("a", Goal::Times(0.4)),
            ("b", Goal::Times(0.4)),
            ("c", Goal::Times(0.45)),
            ("d", Goal::Times(0.7)),
            ("e", Goal::Times(1.0)),
            ("f", Goal::Times(0.9)),
            ("g", Goal::Times(0.4)),
        ],
    },
    Column {
        variant: "shared",
        against: "native",
        title: "Graft `shared` / native",
        goals: &[
            ("a", Goal::Plus(2.0)),
            ("b", Goal::Plus(2.0)),
            ("c", Goal::Times(1.8)),
            ("d", Goal::Times(1.2)),
        ],
    },
    Column {
        variant: "stream",
        against: "v8",
        title: "Graft `stream` / V8",
        goals: &[
            ("a", Goal::Times(1.0)),
            ("b", Goal::Times(1.0)),
            ("c", Goal::Times(0.7)),
            ("d", Goal::Times(0.8)),
            ("e", Goal::Times(1.05)),
            ("f", Goal::Times(1.0)),
        ],
    },
];

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    Time,
    Instructions,
}

/// The ratios with the goals beside them. Goals are for times; as instructions they are only something to look at.
pub fn table(cells: &Cells, measure: Measure) -> Table {
    let added = |workload: &str, variant: &str| match measure {
        Measure::Time => cells.added(workload, variant),
        Measure::Instructions => cells.added_instructions(workload, variant),
    };
    let mut titles = vec![if measure == Measure::Time { "added CPU" } else { "added instructions" }];
    for column in &COLUMNS {
        titles.extend([column.title, "goal"]);
    }
    let mut table = Table::new(&titles);
    for workload in &WORKLOADS {
        let mut row = vec![format!("{} {}", workload.key, workload.title)];
        for column in &COLUMNS {
            let goal = column.goals.iter().find(|(key, _)| *key == workload.key).map(|(_, goal)| *goal);
            // Microseconds are no instructions.
            let goal = goal.filter(|goal| measure == Measure::Time || matches!(goal, Goal::Times(_)));
            let pair = added(workload.key, column.variant).zip(added(workload.key, column.against));
            row.extend(compare(goal, pair));
        }
        if row.iter().skip(1).step_by(2).any(|cell| cell != "–") {
            table.row(row);
        }
    }
    table
}

/// What was found, and the goal with a mark whether it is reached.
fn compare(goal: Option<Goal>, found: Option<(f64, f64)>) -> [String; 2] {
    let shown = match (goal, found) {
        (_, None) => "–".to_owned(),
        (Some(Goal::Plus(_)), Some((added, against))) => format!("{} µs more", short(added - against)),
        (_, Some((added, against))) => format!("{:.2}", added / against),
    };
    let goal = match goal {
        None => "–".to_owned(),
        Some(Goal::Times(times)) => {
            let is_reached = found.map(|(added, against)| added <= against * times);
            format!("≤ {times}{}", reached(is_reached))
        }
        Some(Goal::Plus(more)) => {
            let is_reached = found.map(|(added, against)| added <= against + more);
            format!("≤ {more} µs more{}", reached(is_reached))
        }
    };
    [shown, goal]
}

/// A number that should not be larger than the goal, and the goal with the mark.
pub fn at_most(goal: f64, found: Option<f64>) -> [String; 2] {
    let shown = found.map_or_else(|| "–".to_owned(), short);
    [shown, format!("≤ {goal}{}", reached(found.map(|found| found <= goal)))]
}

fn reached(is_reached: Option<bool>) -> &'static str {
    match is_reached {
        Some(true) => " ✓",
        Some(false) => " ✗",
        None => "",
    }
}
