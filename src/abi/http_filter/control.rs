//! What ends, resumes and steers a stream.
//!
//! All but the route cache and the buffer limits *re-enter*: before they return, Envoy may call other hooks of the
//! same filter, and to Envoy 1.39 even destroy it. So nothing of ours may be held across them (no lock, no borrow),
//! and when they have returned the handle may be closed.

use std::ffi::c_void;

use super::super::buffer::{LentHeaders, lend};
use super::super::table::callbacks;
use super::super::types::ResetReason;
use super::HttpFilterHandle;

impl HttpFilterHandle {
    /// Answers the request here: in the request's direction instead of the upstream, in the response's direction
    /// instead of the response, which is a reset if its headers have already left. The hook that does this must then
    /// answer with a stop. Envoy does not call the response hooks of this filter for it.
    ///
    /// `details` says why, for access logs; spaces are not allowed in it. Envoy adds `grpc-status` 0 for gRPC
    /// requests, unless `headers` names another.
    pub fn send_response(&mut self, status: u32, headers: &[(&[u8], &[u8])], body: &[u8], details: &[u8]) {
        let (Some(send), Some(envoy)) = (callbacks().http_send_response, self.envoy()) else { return };
        let mut headers = LentHeaders::new(headers);
        // SAFETY: F2, F3, F9.
        unsafe { send(envoy, status, headers.as_mut_ptr(), headers.len(), lend(body), lend(details)) }
    }

    /// Begins an answer in parts. `headers` must have `:status`.
    pub fn send_response_headers(&mut self, headers: &[(&[u8], &[u8])], end_of_stream: bool) {
        let (Some(send), Some(envoy)) = (callbacks().http_send_response_headers, self.envoy()) else {
            return;
        };
        let mut headers = LentHeaders::new(headers);
        // SAFETY: F2, F3, F9.
        unsafe { send(envoy, headers.as_mut_ptr(), headers.len(), end_of_stream) }
    }

    /// Goes on with an answer in parts.
    pub fn send_response_data(&mut self, data: &[u8], end_of_stream: bool) {
        let (Some(send), Some(envoy)) = (callbacks().http_send_response_data, self.envoy()) else { return };
        // SAFETY: F2, F3, F9.
        unsafe { send(envoy, lend(data), end_of_stream) }
    }

    /// Ends an answer in parts.
    pub fn send_response_trailers(&mut self, trailers: &[(&[u8], &[u8])]) {
        let (Some(send), Some(envoy)) = (callbacks().http_send_response_trailers, self.envoy()) else {
            return;
        };
        let mut trailers = LentHeaders::new(trailers);
        // SAFETY: F2, F3, F9.
        unsafe { send(envoy, trailers.as_mut_ptr(), trailers.len()) }
    }

    /// Names the host (address and port) that the load balancer shall choose; `is_strict`: it or none. False if it is
    /// no address. `None` before Envoy 1.38.
    pub fn override_upstream_host(&mut self, host: &[u8], is_strict: bool) -> Option<bool> {
        let set = callbacks().http_set_upstream_override_host?;
        let envoy = self.envoy()?;
        // SAFETY: F2, F3, F9.
        Some(unsafe { set(envoy, lend(host), is_strict) })
    }

    /// Resumes a request that a hook stopped. Nothing happens if it is not stopped; to Envoy 1.38 also not if the
    /// other direction answered Continue last.
    pub fn continue_decoding(&mut self) {
        self.tell(callbacks().http_filter_continue_decoding);
    }

    /// Resumes a response that a hook stopped. Only then: where there is no response yet, Envoy crashes.
    pub fn continue_encoding(&mut self) {
        self.tell(callbacks().http_filter_continue_encoding);
    }

    /// Ends the stream without an answer. False if this Envoy (before 1.38) cannot do that.
    pub fn reset_stream(&mut self, reason: ResetReason, details: &[u8]) -> bool {
        let (Some(reset), Some(envoy)) = (callbacks().http_filter_reset_stream, self.envoy()) else {
            return false;
        };
        // SAFETY: F2, F3, F9.
        unsafe { reset(envoy, reason.number(), lend(details)) };
        true
    }

    /// Makes Envoy choose the route again, with the request headers as they are then.
    pub fn clear_route_cache(&mut self) {
        self.tell(callbacks().http_clear_route_cache);
    }

    /// How many bytes of a body Envoy buffers when a filter stops the iteration. `None` before Envoy 1.38.
    pub fn buffer_limit(&self) -> Option<u64> {
        let limit = callbacks().http_get_buffer_limit?;
        let envoy = self.envoy()?;
        // SAFETY: F2, F3.
        Some(unsafe { limit(envoy) })
    }

    /// Sets that limit for this stream. False before Envoy 1.38.
    pub fn set_buffer_limit(&mut self, bytes: u64) -> bool {
        let (Some(set), Some(envoy)) = (callbacks().http_set_buffer_limit, self.envoy()) else {
            return false;
        };
        // SAFETY: F2, F3.
        unsafe { set(envoy, bytes) };
        true
    }

    fn tell(&mut self, callback: Option<unsafe extern "C" fn(*mut c_void)>) {
        let (Some(callback), Some(envoy)) = (callback, self.envoy()) else { return };
        // SAFETY: F2, F3.
        unsafe { callback(envoy) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::testing::{FakeEnvoy, FakeStream, SentResponse};

    #[test]
    fn a_response_arrives_whole() {
        let envoy = FakeEnvoy::install();
        let mut stream = FakeStream::default();
        envoy.inside_hook(&mut stream, |mut handle| {
            handle.send_response(403, &[(b"x-why", b"tier")], b"no", b"denied");
        });
        assert_eq!(
            stream.responses,
            [SentResponse {
                status: 403,
                headers: vec![(b"x-why".to_vec(), b"tier".to_vec())],
                body: b"no".to_vec(),
                details: b"denied".to_vec(),
            }]
        );
    }

    #[test]
    fn a_response_in_parts_arrives_in_order() {
        let envoy = FakeEnvoy::install();
        let mut stream = FakeStream::default();
        envoy.inside_hook(&mut stream, |mut handle| {
            handle.send_response_headers(&[(b":status", b"200")], false);
            handle.send_response_data(b"part", false);
            handle.send_response_trailers(&[(b"grpc-status", b"0")]);
        });
        assert_eq!(stream.told, ["headers :status=200", "data part", "trailers grpc-status=0"]);
    }

    #[test]
    fn resuming_and_steering_reach_envoy() {
        let envoy = FakeEnvoy::install();
        let mut stream = FakeStream::default();
        envoy.inside_hook(&mut stream, |mut handle| {
            handle.continue_decoding();
            handle.continue_encoding();
            handle.clear_route_cache();
            assert!(handle.set_buffer_limit(9));
            assert_eq!(handle.buffer_limit(), Some(9));
            assert!(handle.reset_stream(ResetReason::LocalReset, b"over"));
        });
        assert_eq!(
            stream.told,
            ["continue_decoding", "continue_encoding", "clear_route_cache", "reset over"]
        );
    }

    #[test]
    fn an_envoy_that_cannot_reset_says_so() {
        let envoy = FakeEnvoy::install();
        envoy.remove_callbacks(|table| {
            table.http_filter_reset_stream = None;
            table.http_get_buffer_limit = None;
            table.http_set_buffer_limit = None;
        });
        envoy.inside_hook(&mut FakeStream::default(), |mut handle| {
            assert!(!handle.reset_stream(ResetReason::LocalReset, b""));
            assert_eq!(handle.buffer_limit(), None);
            assert!(!handle.set_buffer_limit(1));
        });
    }
}
