//! The known name that a misspelt one was probably meant to be.

/// The name among `known` that is nearest to `name`, if one is near enough to be a slip of the pen: at
/// most a third of its letters differ. Case and underscores count for nothing, because both spellings of
/// a field are accepted.
pub(super) fn nearest(name: &str, known: &[&'static str]) -> Option<&'static str> {
    let wanted = letters(name);
    known
        .iter()
        .map(|candidate| (distance(&wanted, &letters(candidate)), *candidate))
        .filter(|(distance, candidate)| distance.saturating_mul(3) <= candidate.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The part of a name that is compared. Longer names than any field has are cut: a field name comes from
/// outside, and the distance costs the product of both lengths.
fn letters(name: &str) -> Vec<char> {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).take(64).collect()
}

/// How many letters must be added, removed, replaced or swapped with the next to make one word the other.
fn distance(left: &[char], right: &[char]) -> usize {
    // Each row holds the distances from the letters of `left` seen so far to each prefix of `right`; a swap
    // looks back two rows.
    let mut above: Vec<usize> = (0..=right.len()).collect();
    let mut two_above: Vec<usize> = Vec::new();
    let mut previous_a = None;
    for (rows, a) in (1_usize..).zip(left) {
        let mut row = Vec::with_capacity(above.len());
        row.push(rows);
        let mut last = rows;
        let mut previous_b = None;
        for (column, b) in right.iter().enumerate() {
            let next = column.saturating_add(1);
            let at = |row: &[usize], index: usize| row.get(index).copied().unwrap_or(usize::MAX);
            last = at(&above, column)
                .saturating_add(usize::from(a != b))
                .min(at(&above, next).saturating_add(1))
                .min(last.saturating_add(1));
            if previous_a == Some(b) && previous_b == Some(a) {
                last = last.min(at(&two_above, column.saturating_sub(1)).saturating_add(1));
            }
            row.push(last);
            previous_b = Some(b);
        }
        two_above = std::mem::replace(&mut above, row);
        previous_a = Some(a);
    }
    above.last().copied().unwrap_or(left.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[&str] = &["name", "root_id", "vm_config", "configuration", "fail_open"];

    #[test]
    fn a_slip_of_the_pen_finds_its_name() {
        for (written, meant) in [
            ("vm_confg", "vm_config"),
            ("vmConfig_", "vm_config"),
            ("VMCONFIG", "vm_config"),
            ("root-id", "root_id"),
            ("configurations", "configuration"),
            ("nam", "name"),
            ("failOpened", "fail_open"),
        ] {
            assert_eq!(nearest(written, KNOWN), Some(meant), "{written}");
        }
    }

    #[test]
    fn another_word_finds_nothing() {
        for written in ["", "timeout", "x", "vm", "\u{1F980}", &"z".repeat(100_000)] {
            assert_eq!(nearest(written, KNOWN), None, "{written:.20}");
        }
    }

    #[test]
    fn the_distance_counts_letters() {
        for (a, b, expected) in [
            ("", "", 0),
            ("abc", "", 3),
            ("", "abc", 3),
            ("kitten", "sitting", 3),
            ("flaw", "lawn", 2),
            ("valeu", "value", 1),
            ("avlue", "value", 1),
            ("vlaeu", "value", 2),
            ("ab", "ba", 1),
        ] {
            assert_eq!(distance(&letters(a), &letters(b)), expected, "{a} {b}");
        }
    }
}
