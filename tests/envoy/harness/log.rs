//! What an Envoy logged.

/// A line of Envoy's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// `info`, `warning`, …, as Envoy names them.
    pub level: String,
    /// The component that logged, such as `wasm` or `dynamic_modules`.
    pub logger: String,
    /// The text, with its line ends.
    pub text: String,
}

/// How Envoy is told to print a line: so that it can be read back. See [`Line::parse`].
pub const FORMAT: &str = "[%l][%n] %v";

impl Line {
    /// Reads a line in the form of [`FORMAT`]; what is not in that form (a crash report) has no level.
    pub fn parse(line: &str) -> Self {
        let parsed = line.strip_prefix('[').and_then(|rest| {
            let (level, rest) = rest.split_once("][")?;
            let (logger, text) = rest.split_once("] ")?;
            Some(Self { level: level.to_owned(), logger: logger.to_owned(), text: unescape(text) })
        });
        parsed.unwrap_or_else(|| Self { level: String::new(), logger: String::new(), text: line.to_owned() })
    }

    /// The line from its `wasm log` on, if a plugin wrote it. Before that stands, at most, where in Envoy's
    /// source the line was logged.
    pub fn of_plugin(&self) -> Option<&str> {
        self.text.find("wasm log").map(|start| &self.text[start..])
    }
}

/// Undoes `--log-format-escaped`, which keeps a message with line ends on one line.
fn unescape(text: &str) -> String {
    let mut plain = Vec::with_capacity(text.len());
    let mut bytes = text.bytes().peekable();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            plain.push(byte);
            continue;
        }
        match bytes.next() {
            Some(b'n') => plain.push(b'\n'),
            Some(b'r') => plain.push(b'\r'),
            Some(b't') => plain.push(b'\t'),
            Some(digit @ b'0'..=b'3') => {
                let mut value = digit - b'0';
                for _ in 0..2 {
                    let Some(digit) = bytes.next_if(|byte| (b'0'..=b'7').contains(byte)) else { break };
                    value = value * 8 + (digit - b'0');
                }
                plain.push(value);
            }
            Some(other) => plain.push(other),
            None => plain.push(b'\\'),
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_gives_its_level_logger_and_text() {
        let line = Line::parse("[info][wasm] wasm log[ p]: a\\nb \\'c\\'");
        assert_eq!((line.level.as_str(), line.logger.as_str()), ("info", "wasm"));
        assert_eq!(line.of_plugin(), Some("wasm log[ p]: a\nb 'c'"));
        assert_eq!(Line::parse("Segmentation fault").text, "Segmentation fault");
    }
}
