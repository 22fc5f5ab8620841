//! Doubles to JSON numbers.

use serde_json::Number;

/// The number that a double is in JSON: an integer if it is whole and fits in 64 bits; none if it is not
/// finite.
pub(super) fn number(value: f64) -> Option<Number> {
    // Both ends are powers of two, so they are exact as doubles.
    const MIN: f64 = -9_223_372_036_854_775_808.0;
    const MAX: f64 = 18_446_744_073_709_551_616.0;
    if value.fract() != 0.0 || !(MIN..MAX).contains(&value) {
        return Number::from_f64(value);
    }
    if value < 0.0 {
        #[expect(clippy::cast_possible_truncation, reason = "whole and within range, just checked")]
        let integer = value as i64;
        Some(integer.into())
    } else {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "whole, within range and not negative, just checked"
        )]
        let integer = value as u64;
        Some(integer.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_doubles_are_integers_as_far_as_64_bits_go() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "0"),
            (1.0, "1"),
            (-1.0, "-1"),
            (1.5, "1.5"),
            (1e15, "1000000000000000"),
            (-9_223_372_036_854_775_808.0, "-9223372036854775808"),
            (-9_223_372_036_854_777_856.0, "-9.223372036854778e+18"),
            (18_446_744_073_709_549_568.0, "18446744073709549568"),
            (18_446_744_073_709_551_616.0, "1.8446744073709552e+19"),
        ] {
            assert_eq!(number(value).unwrap().to_string(), expected);
        }
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(number(value), None);
        }
    }
}
