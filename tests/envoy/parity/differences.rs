//! What differs between the built-in filter and Graft, line by line, and why.
//!
//! A line is a [`Change::summary`](super::observe::Change::summary), without the place: `-` is what only the built-in
//! filter does, `+` what only Graft does; a line with both signs is one that stands elsewhere. The changes of a
//! scenario must be exactly those that are declared here for it.

/// A difference and its reason.
pub struct Difference {
    /// One sentence for the users of both filters.
    pub reason: &'static str,
    /// The scenarios in which it shows, and their lines.
    pub shows_in: &'static [(&'static str, &'static [&'static str])],
}

/// Every declared difference.
pub const ALL: &[Difference] = &[];

/// The declared lines of a scenario, sorted.
pub fn of(scenario: &str) -> Vec<&'static str> {
    let mut lines: Vec<_> = ALL
        .iter()
        .flat_map(|difference| difference.shows_in)
        .filter(|(name, _)| *name == scenario)
        .flat_map(|(_, lines)| lines.iter().copied())
        .collect();
    lines.sort_unstable();
    lines
}

#[cfg(test)]
mod tests {
    use super::super::scenarios;
    use super::*;

    #[test]
    fn every_difference_names_a_scenario_that_there_is() {
        for (name, lines) in ALL.iter().flat_map(|difference| difference.shows_in) {
            assert!(scenarios::ALL.iter().any(|(known, _)| known == name), "no scenario is called {name}");
            assert!(!lines.is_empty(), "{name} has no lines");
        }
    }

    #[test]
    fn a_line_has_one_reason() {
        for (name, _) in scenarios::ALL {
            let mut lines = of(name);
            let all = lines.len();
            lines.dedup();
            assert_eq!(lines.len(), all, "a line of {name} is declared twice");
        }
    }
}
