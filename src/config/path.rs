//! Paths of fields, and what else an error quotes from a configuration: one line, and a short one.

/// How many bytes of a string, or of a field's name, are quoted.
const MAX_QUOTED: usize = 48;

/// The path of the field called `key` in the object at `path`. A name that is no identifier is quoted.
pub(super) fn field(path: &str, key: &str) -> String {
    let is_plain = !key.is_empty()
        && key.len() <= MAX_QUOTED
        && key.chars().all(|c| c.is_ascii_alphanumeric() || "_-@".contains(c));
    match (is_plain, path) {
        (true, "") => key.to_owned(),
        (true, path) => format!("{path}.{key}"),
        (false, path) => format!("{path}[{}]", quoted(key)),
    }
}

/// The path of the element at `index` of the array at `path`.
pub(super) fn element(path: &str, index: usize) -> String {
    format!("{path}[{index}]")
}

/// A string in quotes, on one line and cut.
pub(super) fn quoted(text: &str) -> String {
    let end = text.floor_char_boundary(MAX_QUOTED);
    match text.get(..end) {
        Some(start) if end < text.len() => format!("{:?}", format!("{start}…")),
        Some(_) | None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_no_identifiers_are_quoted() {
        for (path, key, expected) in [
            ("", "a", "a"),
            ("a", "b_c", "a.b_c"),
            ("a", "@type", "a.@type"),
            ("a", "b.c", "a[\"b.c\"]"),
            ("", "", "[\"\"]"),
            ("a", "b\nc", "a[\"b\\nc\"]"),
        ] {
            assert_eq!(field(path, key), expected);
        }
        assert_eq!(element("a", 3), "a[3]");
    }

    #[test]
    fn long_text_is_cut_between_letters() {
        assert_eq!(quoted("short"), "\"short\"");
        assert_eq!(quoted(&"é".repeat(24)), format!("\"{}\"", "é".repeat(24)));
        assert_eq!(quoted(&"é".repeat(25)), format!("\"{}…\"", "é".repeat(24)));
        let cut = format!("[\"{}…\"]", "x".repeat(48));
        assert_eq!(field("", &"x".repeat(1000)), cut);
    }
}
