//! Spans of the stream in Envoy's tracing. Since Envoy 1.38.

use std::ffi::c_void;
use std::ptr;
use std::thread::{self, ThreadId};

use super::super::buffer::lend;
use super::super::table::callbacks;
use super::HttpFilterHandle;

/// A span below the stream's. It ends, and is reported, when it is dropped.
#[derive(Debug)]
pub struct ChildSpan {
    /// Envoy's span, as an address: `Send` without a promise of ours.
    span: usize,
    made_on: ThreadId,
}

impl HttpFilterHandle {
    /// Whether the stream has a span that can be told something.
    pub fn has_span(&self) -> bool {
        self.span().is_some()
    }

    /// The stream's span. `None` if it has none.
    fn span(&self) -> Option<*mut c_void> {
        let get = callbacks().http_get_active_span?;
        let envoy = self.envoy()?;
        // SAFETY: F2, F3.
        let span: *mut c_void = unsafe { get(envoy) };
        (!span.is_null()).then_some(span)
    }

    /// Tags the stream's span, or a child of it. False if there is no span.
    pub fn set_span_tag(&mut self, child: Option<&ChildSpan>, key: &[u8], value: &[u8]) -> bool {
        let span = match child {
            Some(child) => child.here(),
            None => self.span(),
        };
        let (Some(set), Some(span), Some(_)) = (callbacks().http_span_set_tag, span, self.envoy()) else {
            return false;
        };
        // SAFETY: F2, F9, F13.
        unsafe { set(span, lend(key), lend(value)) };
        true
    }

    /// Notes an event in the stream's span, with the time. False if there is no span.
    pub fn log_to_span(&mut self, event: &[u8]) -> bool {
        let (Some(log), Some(span), Some(envoy)) = (callbacks().http_span_log, self.span(), self.envoy())
        else {
            return false;
        };
        // SAFETY: F2, F3, F9, F13.
        unsafe { log(envoy, span, lend(event)) };
        true
    }

    /// Begins a span below the stream's. `None` if that has none.
    pub fn start_child_span(&mut self, operation: &[u8]) -> Option<ChildSpan> {
        let start = callbacks().http_span_spawn_child?;
        // A span that could not be finished is not begun.
        callbacks().http_child_span_finish?;
        let (span, envoy) = (self.span()?, self.envoy()?);
        // SAFETY: F2, F3, F9, F13.
        let child: *mut c_void = unsafe { start(envoy, span, lend(operation)) };
        (!child.is_null())
            .then(|| ChildSpan { span: child.expose_provenance(), made_on: thread::current().id() })
    }
}

impl ChildSpan {
    /// The span, on the worker that began it: a tracer keeps its buffers by worker.
    fn here(&self) -> Option<*mut c_void> {
        (thread::current().id() == self.made_on).then(|| ptr::with_exposed_provenance_mut(self.span))
    }
}

impl Drop for ChildSpan {
    fn drop(&mut self) {
        // On another thread it is rather lost than reported.
        if let (Some(finish), Some(span)) = (callbacks().http_child_span_finish, self.here()) {
            // SAFETY: F2, F13.
            unsafe { finish(span) };
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::abi::testing::{FakeEnvoy, FakeStream};

    #[test]
    fn a_span_is_told_tags_events_and_children() {
        let envoy = FakeEnvoy::install();
        let mut stream = FakeStream { has_span: true, ..FakeStream::default() };
        envoy.inside_hook(&mut stream, |mut handle| {
            assert!(handle.has_span());
            assert!(handle.set_span_tag(None, b"key", b"value"));
            assert!(handle.log_to_span(b"event"));
            let child = handle.start_child_span(b"work").unwrap();
            assert!(handle.set_span_tag(Some(&child), b"k", b"v"));
        });
        let told = ["tag key=value", "event event", "child work", "child tag k=v", "child finished"];
        assert_eq!(stream.told, told);
    }

    #[test]
    fn without_a_span_nothing_is_told() {
        let envoy = FakeEnvoy::install();
        envoy.inside_hook(&mut FakeStream::default(), |mut handle| {
            assert!(!handle.has_span());
            assert!(!handle.set_span_tag(None, b"key", b"value"));
            assert!(!handle.log_to_span(b"event"));
            assert!(handle.start_child_span(b"work").is_none());
        });
    }
}
