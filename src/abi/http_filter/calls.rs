//! Calls of a stream: they end with it.

use super::super::buffer::{LentHeaders, lend};
use super::super::call_event::{self, CallRefusal, CallRequest};
use super::super::table::callbacks;
use super::HttpFilterHandle;

impl HttpFilterHandle {
    /// Starts a call; its events come to this stream's filter with the number that is answered.
    ///
    /// # Errors
    /// Why it was not started.
    pub fn start_call(&mut self, request: &CallRequest<'_>) -> Result<u64, CallRefusal> {
        let start = callbacks().http_filter_start_http_stream.ok_or(CallRefusal::Failed)?;
        let envoy = self.envoy().ok_or(CallRefusal::Failed)?;
        // SAFETY: F2, F3.
        unsafe { call_event::start(start, envoy, request) }
    }

    /// Sends more of the request's body. Envoy may come back with the call's end.
    pub fn send_call_data(&mut self, number: u64, data: &[u8], end_of_stream: bool) -> bool {
        let (Some(send), Some(envoy)) = (callbacks().http_stream_send_data, self.envoy()) else {
            return false;
        };
        // SAFETY: F2, F3, F9.
        unsafe { send(envoy, number, lend(data), end_of_stream) }
    }

    /// Ends the request with trailers. Envoy may come back with the call's end.
    pub fn send_call_trailers(&mut self, number: u64, trailers: &[(&[u8], &[u8])]) -> bool {
        let (Some(send), Some(envoy)) = (callbacks().http_stream_send_trailers, self.envoy()) else {
            return false;
        };
        let mut trailers = LentHeaders::new(trailers);
        // SAFETY: F2, F3, F9.
        unsafe { send(envoy, number, trailers.as_mut_ptr(), trailers.len()) }
    }

    /// Ends a call. Envoy comes back with its reset.
    pub fn reset_call(&mut self, number: u64) {
        if let (Some(reset), Some(envoy)) = (callbacks().http_filter_reset_http_stream, self.envoy()) {
            // SAFETY: F2, F3.
            unsafe { reset(envoy, number) };
        }
    }
}
