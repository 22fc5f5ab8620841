//! Calls of a filter configuration: they outlive the stream that asked. Main thread, since Envoy 1.38.

use super::super::buffer::{LentHeaders, lend};
use super::super::call_event::{self, CallRefusal, CallRequest};
use super::super::config_address::{ConfigScheduler, SchedulerCallbacks};
use super::super::table::callbacks;
use super::HttpFilterConfigHandle;

/// Whether this Envoy has calls of configurations.
pub fn has_config_calls() -> bool {
    callbacks().http_filter_config_start_http_stream.is_some()
        && callbacks().http_filter_config_scheduler_new.is_some()
}

impl HttpFilterConfigHandle {
    /// A scheduler for this configuration. `None` where there is none, or the configuration is gone.
    pub fn scheduler(&self) -> Option<ConfigScheduler> {
        let table = callbacks();
        let callbacks = SchedulerCallbacks {
            new: table.http_filter_config_scheduler_new,
            commit: table.http_filter_config_scheduler_commit,
            delete: table.http_filter_config_scheduler_delete,
        };
        ConfigScheduler::new(&self.address, callbacks)
    }

    /// Starts a call; its events come to this configuration with the number that is answered.
    ///
    /// # Errors
    /// Why it was not started; on another thread than the main thread it is never.
    pub fn start_call(&self, request: &CallRequest<'_>) -> Result<u64, CallRefusal> {
        let start = callbacks().http_filter_config_start_http_stream.ok_or(CallRefusal::Failed)?;
        self.address
            .on_main(|envoy| {
                // SAFETY: F2, F11 under the lock, on the main thread.
                unsafe { call_event::start(start, envoy, request) }
            })
            .unwrap_or(Err(CallRefusal::Failed))
    }

    /// Sends more of the request's body. Envoy may come back with the call's end.
    pub fn send_call_data(&self, number: u64, data: &[u8], end_of_stream: bool) -> bool {
        let Some(send) = callbacks().http_filter_config_stream_send_data else { return false };
        self.address
            .on_main(|envoy| {
                // SAFETY: F2, F9, F11 under the lock, on the main thread.
                unsafe { send(envoy, number, lend(data), end_of_stream) }
            })
            .unwrap_or(false)
    }

    /// Ends the request with trailers. Envoy may come back with the call's end.
    pub fn send_call_trailers(&self, number: u64, trailers: &[(&[u8], &[u8])]) -> bool {
        let Some(send) = callbacks().http_filter_config_stream_send_trailers else { return false };
        let mut trailers = LentHeaders::new(trailers);
        self.address
            .on_main(|envoy| {
                // SAFETY: F2, F9, F11 under the lock, on the main thread.
                unsafe { send(envoy, number, trailers.as_mut_ptr(), trailers.len()) }
            })
            .unwrap_or(false)
    }

    /// Ends a call. Envoy comes back with its reset.
    pub fn reset_call(&self, number: u64) {
        if let Some(reset) = callbacks().http_filter_config_reset_http_stream {
            self.address.on_main(|envoy| {
                // SAFETY: F2, F11 under the lock, on the main thread.
                unsafe { reset(envoy, number) };
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::abi::testing::FakeEnvoy;

    fn request() -> CallRequest<'static> {
        CallRequest { cluster: b"auth", headers: &[], body: b"", end_of_stream: false, timeout: 0 }
    }

    /// Does something on another thread, which has an Envoy as well; answers what that was told.
    fn elsewhere<T: Send>(action: impl FnOnce() -> T + Send) -> (T, Vec<String>) {
        thread::scope(|scope| {
            let elsewhere = scope.spawn(|| {
                let envoy = FakeEnvoy::install();
                let answer = action();
                (answer, envoy.told_of_calls())
            });
            elsewhere.join().unwrap()
        })
    }

    #[test]
    fn a_call_is_made_on_the_thread_that_made_the_configuration_alone() {
        let envoy = FakeEnvoy::install();
        let config = envoy.config();
        let handle = config.handle();
        assert_eq!(handle.start_call(&request()), Ok(1));
        assert!(handle.send_call_data(1, b"x", true));
        assert!(handle.send_call_trailers(1, &[]));
        handle.reset_call(1);
        let expected = ["start 1: auth [] \"\" false 0", "data 1: \"x\" true", "trailers 1: ", "reset 1"];
        assert_eq!(envoy.told_of_calls(), expected);

        let (answers, told) = elsewhere(|| {
            handle.reset_call(1);
            (
                handle.start_call(&request()),
                handle.send_call_data(1, b"", true),
                handle.send_call_trailers(1, &[]),
            )
        });
        assert_eq!(answers, (Err(CallRefusal::Failed), false, false));
        assert_eq!(told, [""; 0]);
    }

    #[test]
    fn a_configuration_that_is_gone_makes_no_calls_and_is_not_scheduled() {
        let envoy = FakeEnvoy::install();
        let config = envoy.config();
        let handle = config.handle();
        let scheduler = handle.scheduler().unwrap();
        config.close();
        envoy.told_of_calls();
        assert_eq!(handle.start_call(&request()), Err(CallRefusal::Failed));
        assert!(!scheduler.commit(7));
        assert!(handle.scheduler().is_none());
        assert_eq!(envoy.told_of_calls(), [""; 0]);
        drop(scheduler);
        assert_eq!(envoy.told_of_calls(), ["delete scheduler 1"]);
    }

    #[test]
    fn any_thread_may_schedule() {
        let envoy = FakeEnvoy::install();
        let config = envoy.config();
        let handle = config.handle();
        let scheduler = handle.scheduler().unwrap();
        let (is_committed, told) = elsewhere(|| scheduler.commit(7));
        assert!(is_committed);
        assert_eq!(told, ["scheduler 1: 7"]);
    }

    #[test]
    fn an_envoy_without_these_calls_is_known() {
        let envoy = FakeEnvoy::install();
        assert!(has_config_calls());
        envoy.remove_callbacks(|table| table.http_filter_config_start_http_stream = None);
        assert!(!has_config_calls());
        assert_eq!(envoy.config().handle().start_call(&request()), Err(CallRefusal::Failed));
    }
}
