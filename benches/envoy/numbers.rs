//! Medians, and numbers as people read them.

/// The middle one; the mean of the middle two. Nothing is 0.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let upper = values.len() / 2;
    let at = |place: usize| values.get(place).copied().unwrap_or_default();
    if values.len() % 2 == 1 { at(upper) } else { f64::midpoint(at(upper), at(upper.saturating_sub(1))) }
}

/// Three digits or so.
pub fn short(value: f64) -> String {
    match value.abs() {
        0.0..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

pub fn mebibytes(bytes: f64) -> String {
    short(bytes / 1024.0 / 1024.0)
}
