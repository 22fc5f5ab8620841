//! A SHA-256 as users write it.

use std::fmt;

/// A SHA-256. Shown in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest that these bytes are.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads 64 hexadecimal digits, which may stand behind `sha256:`.
    pub fn parse(text: &str) -> Option<Self> {
        Self::of_digits(text.strip_prefix("sha256:").unwrap_or(text))
    }

    /// The same, with the name of the algorithm, as registries write it.
    pub fn parse_named(text: &str) -> Option<Self> {
        Self::of_digits(text.strip_prefix("sha256:")?)
    }

    fn of_digits(digits: &str) -> Option<Self> {
        let digits = digits.as_bytes();
        let mut bytes = [0_u8; 32];
        let (pairs, rest) = digits.as_chunks::<2>();
        if pairs.len() != bytes.len() || !rest.is_empty() {
            return None;
        }
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = (value(*high)? << 4) | value(*low)?;
        }
        Some(Self(bytes))
    }

    /// The raw bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

fn value(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_64_hexadecimal_digits() {
        let text = "00ff".repeat(16);
        let digest = Digest::parse(&text).unwrap();
        assert_eq!(digest.to_string(), text);
        assert_eq!(Digest::parse(&format!("sha256:{}", text.to_uppercase())), Some(digest));
        assert_eq!(format!("{digest:?}"), format!("sha256:{text}"));
        for wrong in
            ["", "sha256:", "00", &"0".repeat(63), &"0".repeat(65), &"0g".repeat(32), &"é".repeat(32)]
        {
            assert_eq!(Digest::parse(wrong), None, "{wrong}");
        }
        let named = format!("sha256:{text}");
        assert_eq!(Digest::parse_named(&named), Some(digest));
        assert_eq!(Digest::parse_named(&text), None);
        let twice = format!("sha256:{named}");
        assert_eq!((Digest::parse(&twice), Digest::parse_named(&twice)), (None, None));
    }
}
