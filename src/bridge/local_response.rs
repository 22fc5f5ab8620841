//! A plugin's local response, on its way to Envoy.
//!
//! In the built-in host a reply that a plugin makes during the request runs through the plugin's own response entry
//! points, and plugins rely on it (one that adds a header to every response adds it to its own 403 too). Envoy skips
//! them for a dynamic module's reply. So the reply is shown to the plugin here, before Envoy gets it: [`LocalReply`]
//! holds the headers and the body that Envoy would make of it.
//!
//! Envoy turns a reply to a gRPC request into trailers-only, but knows no status for a dynamic module's reply: it is
//! added as a header, which Envoy honours.

use crate::abi::{HeaderType, HttpFilterHandle};
use crate::host::stream::{Headers, LocalResponse};
use crate::host::types::HeaderMap;

/// Owned headers, in order.
type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// Content type of a body whose reply names none.
const DEFAULT_TYPE: &[u8] = b"text/plain";

/// A reply that its plugin may still edit.
#[derive(Clone, Debug)]
pub(super) struct LocalReply {
    headers: Pairs,
    /// The body; the plugin may replace it.
    pub(super) body: Vec<u8>,
    details: Vec<u8>,
    status: u32,
    is_grpc: bool,
    /// The client asked with HEAD.
    is_head: bool,
    /// Envoy's content type for a body without one; Envoy adds it itself.
    has_default_type: bool,
}

impl LocalReply {
    /// What Envoy would make of a response for this stream.
    pub(super) fn new(envoy: &HttpFilterHandle, response: LocalResponse) -> Self {
        let is_head = envoy.header(HeaderType::RequestHeaders, b":method", 0) == Some(b"HEAD");
        Self::make(is_grpc(envoy), is_head, response)
    }

    /// Another response for the same stream.
    pub(super) fn replaced_by(&self, response: LocalResponse) -> Self {
        Self::make(self.is_grpc, self.is_head, response)
    }

    fn make(is_grpc: bool, is_head: bool, response: LocalResponse) -> Self {
        let mut headers: Pairs = vec![(b":status".to_vec(), response.status.to_string().into_bytes())];
        // Envoy sets these from the reply.
        headers.extend(response.headers.into_iter().filter(|(name, _)| !name.starts_with(b":")));
        let mut reply = Self {
            headers,
            body: response.body,
            details: response.details,
            status: response.status,
            is_grpc,
            is_head,
            has_default_type: false,
        };
        if is_grpc {
            reply.make_grpc(response.grpc_status);
        } else if !reply.body.is_empty() {
            let length = reply.body.len().to_string();
            reply.set_header(b"content-length", length.as_bytes());
            if reply.header(HeaderMap::ResponseHeaders, b"content-type").is_none() {
                reply.has_default_type = reply.add_header(b"content-type", DEFAULT_TYPE);
            }
        }
        reply
    }

    /// gRPC clients get a 200 with the status in a header; the body becomes the message.
    fn make_grpc(&mut self, grpc_status: Option<u32>) {
        self.set_header(b":status", b"200");
        self.set_header(b"content-type", b"application/grpc");
        if self.header(HeaderMap::ResponseHeaders, b"grpc-status").is_none() {
            let status = grpc_status.unwrap_or_else(|| grpc_status_of(self.status));
            self.add_header(b"grpc-status", status.to_string().as_bytes());
        }
        if !self.body.is_empty() {
            let message = percent_encoded(&self.body);
            self.set_header(b"grpc-message", &message);
        }
    }

    /// Whether there is a body to show.
    pub(super) fn has_body(&self) -> bool {
        !self.is_grpc && !self.is_head && !self.body.is_empty()
    }

    pub(super) fn header(&self, map: HeaderMap, name: &[u8]) -> Option<&[u8]> {
        let is_it = |(own, _): &&(Vec<u8>, Vec<u8>)| own.eq_ignore_ascii_case(name);
        let headers = (map == HeaderMap::ResponseHeaders).then_some(&self.headers)?;
        headers.iter().find(is_it).map(|(_, value)| value.as_slice())
    }

    pub(super) fn headers(&self, map: HeaderMap) -> Headers<'_> {
        if map != HeaderMap::ResponseHeaders {
            return Headers::new();
        }
        self.headers.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect()
    }

    pub(super) fn add_header(&mut self, name: &[u8], value: &[u8]) -> bool {
        self.headers.push((name.to_ascii_lowercase(), value.to_vec()));
        true
    }

    pub(super) fn set_header(&mut self, name: &[u8], value: &[u8]) -> bool {
        let is_it = |(own, _): &&mut (Vec<u8>, Vec<u8>)| own.eq_ignore_ascii_case(name);
        match self.headers.iter_mut().find(is_it) {
            Some((_, old)) => {
                value.clone_into(old);
                true
            }
            None => self.add_header(name, value),
        }
    }

    pub(super) fn remove_header(&mut self, name: &[u8]) -> bool {
        self.headers.retain(|(own, _)| !own.eq_ignore_ascii_case(name));
        true
    }

    /// Hands the reply to Envoy. Envoy can come back into the filter from here.
    pub(super) fn send(self, envoy: &mut HttpFilterHandle) {
        let status = if self.is_grpc { self.status } else { self.edited_status() };
        // Envoy makes these itself from the reply.
        let is_envoys = |name: &[u8], value: &[u8]| {
            let is_default = self.has_default_type && !self.body.is_empty() && value == DEFAULT_TYPE;
            name.starts_with(b":")
                || name == b"content-length"
                || name == b"content-type" && (self.is_grpc || is_default)
                || name == b"grpc-message" && self.is_grpc
        };
        let headers: Vec<(&[u8], &[u8])> = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_slice(), value.as_slice()))
            .filter(|(name, value)| !is_envoys(name, value))
            .collect();
        envoy.send_response(status, &headers, &self.body, &self.details);
    }

    /// The status, which the plugin may have changed in `:status`.
    fn edited_status(&self) -> u32 {
        self.header(HeaderMap::ResponseHeaders, b":status")
            .and_then(|status| std::str::from_utf8(status).ok()?.parse().ok())
            .unwrap_or(self.status)
    }
}

/// Whether a stream's client speaks gRPC: the content type is `application/grpc` or `application/grpc+…`.
pub(super) fn is_grpc(envoy: &HttpFilterHandle) -> bool {
    let content_type = envoy.header(HeaderType::RequestHeaders, b"content-type", 0).unwrap_or_default();
    match content_type.strip_prefix(b"application/grpc") {
        Some([] | [b'+', ..]) => true,
        Some(_) | None => false,
    }
}

/// The gRPC status of an HTTP status (gRPC's "HTTP to gRPC Status Code Mapping").
fn grpc_status_of(status: u32) -> u32 {
    const UNKNOWN: u32 = 2;
    const PERMISSION_DENIED: u32 = 7;
    const UNIMPLEMENTED: u32 = 12;
    const INTERNAL: u32 = 13;
    const UNAVAILABLE: u32 = 14;
    const UNAUTHENTICATED: u32 = 16;
    match status {
        400 => INTERNAL,
        401 => UNAUTHENTICATED,
        403 => PERMISSION_DENIED,
        404 => UNIMPLEMENTED,
        429 | 502..=504 => UNAVAILABLE,
        _ => UNKNOWN,
    }
}

/// `grpc-message`: printable ASCII but `%` stays, the rest is percent-encoded.
fn percent_encoded(message: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(message.len());
    for byte in message {
        match byte {
            b'%' => encoded.extend_from_slice(b"%25"),
            b' '..=b'~' => encoded.push(*byte),
            _ => encoded.extend_from_slice(format!("%{byte:02X}").as_bytes()),
        }
    }
    encoded
}

/// Answers a stream whose plugin failed, as the built-in host: 503, gRPC status "unavailable".
pub(super) fn send_failure(envoy: &mut HttpFilterHandle) {
    let headers: &[(&[u8], &[u8])] = if is_grpc(envoy) { &[(b"grpc-status", b"14")] } else { &[] };
    envoy.send_response(503, headers, b"", b"wasm_fail_stream");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(headers: &[(&[u8], &[u8])]) -> LocalReply {
        LocalReply {
            headers: headers.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect(),
            body: b"no".to_vec(),
            details: Vec::new(),
            status: 403,
            is_grpc: false,
            is_head: false,
            has_default_type: false,
        }
    }

    #[test]
    fn a_plugin_can_edit_its_own_reply() {
        let mut reply = reply(&[(b":status", b"403"), (b"x-a", b"1")]);
        reply.set_header(b"X-A", b"2");
        reply.add_header(b"X-B", b"3");
        reply.remove_header(b"x-c");
        reply.set_header(b":status", b"401");
        assert_eq!(reply.header(HeaderMap::ResponseHeaders, b"x-a"), Some(&b"2"[..]));
        assert_eq!(reply.headers(HeaderMap::ResponseHeaders).len(), 3);
        assert_eq!(reply.edited_status(), 401);
        assert!(reply.headers(HeaderMap::ResponseTrailers).is_empty());
    }

    #[test]
    fn a_grpc_reply_carries_its_status_in_a_header() {
        let mut reply = reply(&[(b":status", b"403")]);
        reply.is_grpc = true;
        reply.make_grpc(None);
        let header = |name: &[u8]| reply.header(HeaderMap::ResponseHeaders, name).map(<[u8]>::to_vec);
        assert_eq!(header(b"grpc-status"), Some(b"7".to_vec()));
        assert_eq!(header(b":status"), Some(b"200".to_vec()));
        assert_eq!(header(b"grpc-message"), Some(b"no".to_vec()));
        assert!(!reply.has_body());
    }

    #[test]
    fn http_statuses_have_grpc_statuses() {
        let mapped = [200, 400, 401, 403, 404, 429, 500, 502, 503, 504].map(grpc_status_of);
        assert_eq!(mapped, [2, 13, 16, 7, 12, 14, 2, 14, 14, 14]);
        assert_eq!(percent_encoded("a%é".as_bytes()), b"a%25%C3%A9");
    }
}
