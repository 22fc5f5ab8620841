//! What a server was asked, read from its access log in the combined format.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use super::patience::eventually;

/// What the client calls itself that only wants to see its own request in the log.
const MARK: &str = "mark/";

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

/// The requests of a log so far, of the server at a URL, in the order in which they were done.
///
/// A server writes its line after it has answered, so whoever has an answer need not find it there. So the server is asked
/// once more, and all is read when that is in the log. One that is not there any more has written all.
pub fn settled(log: &Path, url: &str) -> Vec<Logged> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mark = format!("{MARK}{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--insecure", "--output", "/dev/null", "--max-time", "30", "--user-agent"]);
    if curl.args([mark.as_str(), url]).status().expect("curl").success() {
        eventually(&format!("{mark} in {}", log.display()), || {
            read(log).iter().any(|logged| logged.agent == mark).then_some(())
        });
    }
    let mut logged = read(log);
    logged.retain(|logged| !logged.agent.starts_with(MARK));
    logged
}

/// The lines of a log. What is no line of the format is something else's.
fn read(log: &Path) -> Vec<Logged> {
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
