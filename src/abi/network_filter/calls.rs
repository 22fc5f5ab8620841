//! Calls of a connection: each has one answer, and ends with the connection.

use super::super::call_event::{self, CallRefusal, CallRequest};
use super::super::table::callbacks;
use super::ConnectionHandle;

impl ConnectionHandle {
    /// Starts a call. Its answer comes with `on_call_done`.
    ///
    /// # Errors
    /// Why it was not started.
    pub fn start_call(&mut self, request: &CallRequest<'_>) -> Result<u64, CallRefusal> {
        let start = callbacks().network_filter_http_callout.ok_or(CallRefusal::Failed)?;
        let envoy = self.envoy().ok_or(CallRefusal::Failed)?;
        // SAFETY: F3.
        unsafe { call_event::start_whole(start, envoy, request) }
    }
}
