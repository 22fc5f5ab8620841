//! Envoy's statistics, read through the admin interface.

use std::collections::BTreeMap;

use super::admin::Admin;

impl Admin {
    /// One counter or gauge, by its whole name; `None` if Envoy does not have it.
    pub fn stat(self, name: &str) -> Option<u64> {
        self.stats(&format!("^{}$", escape(name))).get(name)?.parse().ok()
    }

    /// The statistics whose name matches `pattern`, as Envoy prints them (a histogram is a line of
    /// quantiles).
    pub fn stats(self, pattern: &str) -> BTreeMap<String, String> {
        let text = self.get(&format!("/stats?filter={}", encode(pattern))).unwrap_or_default();
        text.lines()
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect()
    }
}

fn escape(name: &str) -> String {
    name.replace('.', "\\.")
}

/// Percent-encodes what a query cannot hold.
fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-' | b'*' | b'$' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
