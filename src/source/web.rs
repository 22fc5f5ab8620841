//! Code on a web server.

use super::client::{Client, HEAD_REFUSED, Method, Request, Response};
use super::error::FetchError;
use super::http_error::{HttpError, Peer};
use super::shelf::sha256;
use super::unpack;
use crate::config::HttpUrl;

/// Longest mark of a version that is remembered.
const LONGEST_MARK: usize = 256;

/// What an address leads to.
pub(super) struct Page {
    pub(super) wasm: Vec<u8>,
    pub(super) revision: String,
    /// Whether it is certain that nothing is missing at its end.
    pub(super) is_whole: bool,
}

/// Asks for the code. `None`: it still is that of the revision.
pub(super) fn fetch(
    client: &Client<'_>,
    url: &HttpUrl,
    known: Option<&str>,
) -> Result<Option<Page>, FetchError> {
    let tag = known.and_then(|known| known.strip_prefix("etag "));
    let request = Request { if_none_match: tag, also: &[304], ..Request::page(url, client.max_bytes()) };
    let answer = client.send(&request)?;
    if answer.status == 304 {
        return if tag.is_some() { Ok(None) } else { Err(not_modified(url).into()) };
    }
    let revision = mark(&answer).unwrap_or_else(|| format!("sha256:{}", sha256(&answer.body)));
    let is_whole = answer.is_whole;
    Ok(Some(Page { wasm: unpack::wasm(answer.body, client.max_bytes())?, revision, is_whole }))
}

/// A server that says that nothing has changed, and was not asked that.
pub(super) fn not_modified(url: &HttpUrl) -> HttpError {
    HttpError::Status { url: url.to_string(), status: 304, retry_after: None, peer: Peer::WebServer }
}

/// What tells the version that is there now from others. Where the server has no mark for it, the code is fetched.
pub(super) fn revision(client: &Client<'_>, url: &HttpUrl) -> Result<String, FetchError> {
    let get = Request::page(url, client.max_bytes());
    let answer = client.send(&Request { method: Method::Head, also: &HEAD_REFUSED, ..get.clone() })?;
    // One that is refused has the mark of something else.
    if let Some(mark) = mark(&answer).filter(|_| answer.status == 200) {
        return Ok(mark);
    }
    let answer = client.send(&get)?;
    Ok(mark(&answer).unwrap_or_else(|| format!("sha256:{}", sha256(&answer.body))))
}

/// The server's own mark of a version.
fn mark(answer: &Response) -> Option<String> {
    let header = |name: &str| answer.header(name).filter(|text| text.len() <= LONGEST_MARK);
    let tag = header("etag").map(|tag| format!("etag {tag}"));
    tag.or_else(|| header("last-modified").map(|date| format!("modified {date}")))
}
