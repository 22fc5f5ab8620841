//! What a server was asked, read from its access log in the combined format.

use std::fs;
use std::path::Path;

/// A request, as a line of an access log tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    pub method: String,
    /// Path and query.
    pub path: String,
    pub status: u16,
    /// What the client calls itself.
    pub agent: String,
}

/// The requests of a log, in the order in which they were done. What is no line of the format is something else's.
pub fn read(log: &Path) -> Vec<Logged> {
    fs::read_to_string(log).unwrap_or_default().lines().filter_map(parse).collect()
}

/// `127.0.0.1 - - [date] "GET /v2/ HTTP/1.1" 200 2 "" "crane"`
fn parse(line: &str) -> Option<Logged> {
    let (_, rest) = line.split_once("] \"")?;
    let (request, rest) = rest.split_once("\" ")?;
    let mut words = request.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    words.next()?.starts_with("HTTP/").then_some(())?;
    let status = rest.split(' ').next()?.parse().ok()?;
    let agent = rest.rsplit('"').nth(1).unwrap_or_default().to_owned();
    Some(Logged { method, path, status, agent })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_format_is_read_and_others_are_not() {
        let line = r#"127.0.0.1 - user [25/Nov/2026:20:56:05 +0000] "HEAD /v2/a?b=c HTTP/1.1" 401 87 "" "crane/0.22""#;
        let logged = Logged {
            method: "HEAD".to_owned(),
            path: "/v2/a?b=c".to_owned(),
            status: 401,
            agent: "crane/0.22".to_owned(),
        };
        assert_eq!(parse(line), Some(logged));
        assert_eq!(parse(r#"time="now" level=info msg="listening on [::]""#), None);
    }
}
