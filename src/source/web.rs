//! Code on a web server.

use super::client::{Client, Method, Request, Response};
use super::error::FetchError;
use super::http_error::HttpError;
use super::shelf::sha256;
use super::unpack;
use crate::config::HttpUrl;

/// Longest mark of a version that is remembered.
const LONGEST_MARK: usize = 256;

/// What an address leads to.
pub(super) enum Answer {
    /// What it led to before.
    Same,
    /// This.
    New { wasm: Vec<u8>, revision: String },
}

/// Asks for the code, unless it is still that of the revision.
pub(super) fn fetch(
    client: &Client<'_>,
    url: &HttpUrl,
    known: Option<&str>,
    largest: u64,
) -> Result<Answer, FetchError> {
    let tag = known.and_then(|known| known.strip_prefix("etag "));
    let request = Request { if_none_match: tag, also: &[304], ..Request::get(url, largest) };
    let answer = client.send(&request)?;
    if answer.status == 304 {
        return if tag.is_some() { Ok(Answer::Same) } else { Err(not_modified(url).into()) };
    }
    let revision = mark(&answer).unwrap_or_else(|| format!("sha256:{}", sha256(&answer.body)));
    Ok(Answer::New { wasm: unpack::wasm(answer.body, largest)?, revision })
}

/// A server that says that nothing has changed, and was not asked that.
pub(super) fn not_modified(url: &HttpUrl) -> HttpError {
    HttpError::Status { url: url.to_string(), status: 304, retry_after: None }
}

/// What tells the version that is there now from others. Where the server has no mark for it, the code is fetched.
pub(super) fn revision(client: &Client<'_>, url: &HttpUrl, largest: u64) -> Result<String, FetchError> {
    let head = Request { method: Method::Head, ..Request::get(url, largest) };
    match client.send(&head) {
        Ok(answer) => {
            if let Some(mark) = mark(&answer) {
                return Ok(mark);
            }
        }
        // Some servers, and signed addresses, know no HEAD.
        Err(HttpError::Status { status, .. }) if (400..500).contains(&status) => {}
        Err(error) => return Err(error.into()),
    }
    let answer = client.send(&Request::get(url, largest))?;
    Ok(mark(&answer).unwrap_or_else(|| format!("sha256:{}", sha256(&answer.body))))
}

/// The server's own mark of a version.
fn mark(answer: &Response) -> Option<String> {
    let header = |name: &str| answer.header(name).filter(|text| text.len() <= LONGEST_MARK);
    let tag = header("etag").map(|tag| format!("etag {tag}"));
    tag.or_else(|| header("last-modified").map(|date| format!("modified {date}")))
}
