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

    /// Starts a call whose answer comes at once and without trailers, with `on_call_done`.
    ///
    /// # Errors
    /// Why it was not started.
    pub fn start_whole_call(&mut self, request: &CallRequest<'_>) -> Result<u64, CallRefusal> {
        let start = callbacks().http_filter_http_callout.ok_or(CallRefusal::Failed)?;
        let envoy = self.envoy().ok_or(CallRefusal::Failed)?;
        // SAFETY: F2, F3.
        unsafe { call_event::start_whole(start, envoy, request) }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::testing::{FakeEnvoy, FakeStream};

    const HEADERS: [(&[u8], &[u8]); 2] = [(b":method", b"GET"), (b"x-a", b"1")];

    fn request() -> CallRequest<'static> {
        CallRequest { cluster: b"auth", headers: &HEADERS, body: b"hi", end_of_stream: true, timeout: 250 }
    }

    #[test]
    fn a_call_is_started_fed_and_ended_with_envoys_number() {
        let envoy = FakeEnvoy::install();
        envoy.inside_hook(&mut FakeStream::default(), |mut handle| {
            assert_eq!(handle.start_call(&request()), Ok(1));
            assert!(handle.send_call_data(1, b"more", false));
            assert!(handle.send_call_trailers(1, &[(b"t", b"2")]));
            handle.reset_call(1);
        });
        let told = envoy.told_of_calls();
        assert!(told[0].starts_with("start 1: auth [") && told[0].ends_with("] \"hi\" true 250"), "{told:?}");
        assert!(told[0].contains(":method") && told[0].contains("x-a"), "{told:?}");
        assert_eq!(told[1], "data 1: \"more\" false");
        assert!(told[2].starts_with("trailers 1: ") && told[3] == "reset 1", "{told:?}");
    }

    #[test]
    fn a_refusal_says_why() {
        let envoy = FakeEnvoy::install();
        for refusal in [CallRefusal::NoCluster, CallRefusal::MissingHeaders, CallRefusal::Failed] {
            envoy.refuse_calls(Some(refusal));
            let started =
                envoy.inside_hook(&mut FakeStream::default(), |mut handle| handle.start_call(&request()));
            assert_eq!(started, Err(refusal));
        }
    }

    #[test]
    fn a_handle_that_was_kept_too_long_and_an_envoy_without_calls_start_none() {
        let envoy = FakeEnvoy::install();
        let mut kept = envoy.inside_hook(&mut FakeStream::default(), |handle| handle);
        assert_eq!(kept.start_call(&request()), Err(CallRefusal::Failed));
        assert!(!kept.send_call_data(1, b"", true));
        assert!(!kept.send_call_trailers(1, &[]));
        kept.reset_call(1);
        assert!(envoy.told_of_calls().is_empty());
        envoy.remove_callbacks(|table| {
            table.http_filter_start_http_stream = None;
            table.http_filter_http_callout = None;
        });
        let started = envoy.inside_hook(&mut FakeStream::default(), |mut handle| {
            [handle.start_call(&request()), handle.start_whole_call(&request())]
        });
        assert_eq!(started, [Err(CallRefusal::Failed); 2]);
    }
}
