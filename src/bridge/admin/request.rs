//! What a request to the admin endpoint asks for: a path and parameters.

/// The target of a request, such as `/graft?format=json`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// Before the question mark, as it is.
    pub(super) path: String,
    /// Decoded.
    parameters: Vec<(String, String)>,
}

impl Target {
    /// Takes a target apart. What is no text is replaced: no page and no plugin has such a name.
    pub(super) fn parse(target: &[u8]) -> Self {
        let target = String::from_utf8_lossy(target);
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let parameters = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| (decode(name), decode(value)))
            .collect();
        Self { path: path.to_owned(), parameters }
    }

    /// A parameter; the first, if it is there twice.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

/// Undoes the percent encoding. As with Envoy's own pages a plus is a plus.
fn decode(text: &str) -> String {
    let mut bytes = text.bytes();
    let mut plain = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        match escaped(bytes.clone()) {
            Some(value) if byte == b'%' => {
                plain.push(value);
                bytes.nth(1);
            }
            Some(_) | None => plain.push(byte),
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

/// The byte that two digits stand for.
fn escaped(mut digits: impl Iterator<Item = u8>) -> Option<u8> {
    let mut digit = || char::from(digits.next()?).to_digit(16);
    let (high, low) = (digit()?, digit()?);
    u8::try_from(high.checked_mul(16)?.checked_add(low)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_path_and_decoded_parameters() {
        let target = Target::parse(b"/graft/reload?plugin=a%20b%26c+d&x&&format=json&plugin=other");
        assert_eq!(target.path, "/graft/reload");
        assert_eq!(target.parameter("plugin"), Some("a b&c+d"));
        assert_eq!((target.parameter("x"), target.parameter("y")), (Some(""), None));
        assert_eq!(target.parameter("format"), Some("json"));
        assert_eq!(Target::parse(b"/graft").parameter(""), None);
    }

    #[test]
    fn what_is_no_encoding_stays_as_it_is() {
        for (text, expected) in [
            ("100%", "100%"),
            ("%4", "%4"),
            ("%zz%41", "%zzA"),
            ("%25%32%35", "%25"),
            ("%c3%a9", "\u{e9}"),
            ("%ff", "\u{fffd}"),
        ] {
            assert_eq!(decode(text), expected, "{text}");
        }
        assert_eq!(Target::parse(b"/\xff?plugin=\xff").parameter("plugin"), Some("\u{fffd}"));
    }
}
