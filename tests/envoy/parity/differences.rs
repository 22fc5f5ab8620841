//! What differs, and why.

/// The declared difference of a scenario
pub fn of(_scenario: &str) -> Vec<String> {
    Vec::new()
}
