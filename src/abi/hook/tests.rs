//! Hooks against a fake Envoy: pairing, panics, destruction inside a hook, filters that are not there.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::abi::testing::{FakeEnvoy, FakeStream};
use crate::abi::types::{BodyStatus, HeaderType, HeadersStatus, LocalReplyStatus, TrailersStatus};
use crate::abi::{MetricError, MetricId};

/// Stands for the bridge's configuration; counts itself.
struct Config {
    envoy: HttpFilterConfigHandle,
    alive: Arc<AtomicUsize>,
}

impl Drop for Config {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Stands for the bridge's filter.
#[derive(Default)]
struct Filter {
    destroyed: Rc<Cell<bool>>,
    dropped: Rc<Cell<bool>>,
}

impl Drop for Filter {
    fn drop(&mut self) {
        self.dropped.set(true);
    }
}

fn buffer(bytes: &[u8]) -> EnvoyBuffer {
    EnvoyBuffer { ptr: bytes.as_ptr().cast(), length: bytes.len() }
}

fn some_envoy_config() -> *mut c_void {
    ptr::without_provenance_mut(0x40)
}

/// A configuration as Envoy makes it. The counter says how many are alive.
fn new_config(alive: &Arc<AtomicUsize>) -> *const c_void {
    let make = |envoy, name: &[u8], config: &[u8]| {
        assert_eq!((name, config), (&b"name"[..], &b"bytes"[..]));
        alive.fetch_add(1, Ordering::SeqCst);
        Some(Arc::new(Config { envoy, alive: Arc::clone(alive) }))
    };
    // SAFETY: F6, F11, the fake's configuration is only an address.
    unsafe { config_new(some_envoy_config(), buffer(b"name"), buffer(b"bytes"), make) }
}

/// A filter as Envoy makes it.
fn new_filter(stream: &mut FakeStream, filter: Filter) -> *const c_void {
    let config = new_config(&Arc::default());
    // SAFETY: F3, F5, the configuration of the line above.
    let pointer = unsafe { filter_new(config, stream.as_envoy(), |_: &Arc<Config>, _| Some(filter)) };
    // SAFETY: F5, the filter does not use it.
    unsafe { config_destroy::<Config>(config, |_| {}) };
    pointer
}

/// A hook of the filter as Envoy calls it.
fn call<R: Answer>(
    envoy: *mut c_void,
    filter: *const c_void,
    run: impl FnOnce(&Filter, HttpFilterHandle) -> R,
) -> R::Raw {
    // SAFETY: F3, F4, F5, each test passes its own stream and filter.
    unsafe { stream_hook("on_test", OnFailure::FailStream, envoy, filter, run) }
}

fn destroy(filter: *const c_void) {
    // SAFETY: F4, F5, each test destroys its filter once.
    unsafe { filter_destroy(filter, |filter: &Filter| filter.destroyed.set(true)) }
}

#[test]
fn a_configuration_lives_from_new_to_destroy() {
    let _envoy = FakeEnvoy::install();
    let alive = Arc::new(AtomicUsize::new(0));
    let config = new_config(&alive);
    assert!(!config.is_null());
    assert_eq!(alive.load(Ordering::SeqCst), 1);
    // SAFETY: F5.
    unsafe { config_destroy::<Config>(config, |_| {}) };
    assert_eq!(alive.load(Ordering::SeqCst), 0);
}

#[test]
fn a_configuration_that_a_thread_still_holds_can_no_longer_reach_envoy() {
    let _envoy = FakeEnvoy::install();
    let mut held = None;
    let alive = Arc::new(AtomicUsize::new(1));
    let make = |envoy, _: &[u8], _: &[u8]| {
        let config = Arc::new(Config { envoy, alive });
        held = Some(Arc::clone(&config));
        Some(config)
    };
    // SAFETY: F6, F11.
    let config = unsafe { config_new(some_envoy_config(), buffer(b""), buffer(b""), make) };
    let held = held.unwrap();
    let id = held.envoy.define_counter(b"hits", &[]).unwrap();
    assert_eq!(held.envoy.increment_counter(id, &[], 1), Ok(()));
    // SAFETY: F5.
    unsafe { config_destroy::<Config>(config, |_| {}) };
    assert_eq!(held.envoy.increment_counter(id, &[], 1), Err(MetricError::Unavailable));
}

#[test]
fn a_refused_configuration_is_null_and_its_handle_is_closed() {
    let _envoy = FakeEnvoy::install();
    let mut kept = None;
    let refuse = |envoy: HttpFilterConfigHandle, _: &[u8], _: &[u8]| -> Option<Arc<Config>> {
        kept = Some(envoy);
        None
    };
    // SAFETY: F6, F11.
    let config = unsafe { config_new(some_envoy_config(), buffer(b""), buffer(b""), refuse) };
    assert!(config.is_null());
    assert_eq!(kept.unwrap().set_gauge(MetricId(0), &[], 1), Err(MetricError::Unavailable));
}

#[test]
fn a_panic_refuses_the_configuration_and_is_logged() {
    let envoy = FakeEnvoy::install();
    let make =
        |_: HttpFilterConfigHandle, _: &[u8], _: &[u8]| -> Option<Arc<Config>> { panic!("on purpose") };
    // SAFETY: F6, F11.
    assert!(unsafe { config_new(some_envoy_config(), buffer(b""), buffer(b""), make) }.is_null());
    let make = |_: &[u8], _: &[u8]| -> Option<Arc<String>> { panic!("on purpose") };
    // SAFETY: F6.
    assert!(unsafe { route_config_new(buffer(b""), buffer(b""), make) }.is_null());
    let lines: Vec<_> = envoy.log_lines().into_iter().map(|(level, _)| level).collect();
    assert_eq!(lines, [Level::Critical, Level::Critical]);
}

#[test]
fn a_route_configuration_lives_from_new_to_destroy() {
    let _envoy = FakeEnvoy::install();
    let made = Arc::new("route".to_owned());
    let given = Arc::clone(&made);
    // SAFETY: F6.
    let pointer = unsafe { route_config_new(buffer(b""), buffer(b""), |_, _| Some(given)) };
    assert_eq!(Arc::strong_count(&made), 2);
    // SAFETY: F5.
    unsafe { route_config_destroy(pointer) };
    assert_eq!(Arc::strong_count(&made), 1);
}

#[test]
fn a_filter_lives_from_new_to_destroy() {
    let _envoy = FakeEnvoy::install();
    let mut stream = FakeStream::default();
    let filter = Filter::default();
    let (destroyed, dropped) = (Rc::clone(&filter.destroyed), Rc::clone(&filter.dropped));
    let pointer = new_filter(&mut stream, filter);
    let status = call(stream.as_envoy(), pointer, |_, _| HeadersStatus::ContinueAndDontEndStream);
    assert_eq!(status, HeadersStatus::ContinueAndDontEndStream.number());
    assert!(!destroyed.get() && !dropped.get());
    destroy(pointer);
    assert!(destroyed.get() && dropped.get());
}

#[test]
fn a_filter_that_is_destroyed_inside_its_own_hook_lives_until_the_hook_returns() {
    let _envoy = FakeEnvoy::install();
    let mut stream = FakeStream::default();
    stream.headers[0] = Some(vec![(b":path".to_vec(), b"/".to_vec())]);
    let filter = Filter::default();
    let dropped = Rc::clone(&filter.dropped);
    let pointer = new_filter(&mut stream, filter);
    stream.on_reenter = Some(Box::new(move || destroy(pointer)));
    let status = call(stream.as_envoy(), pointer, |filter, mut handle| {
        assert!(handle.header(HeaderType::RequestHeaders, b":path", 0).is_some());
        handle.continue_decoding();
        assert!(filter.destroyed.get() && !filter.dropped.get());
        // Envoy's half may be gone by now.
        assert!(handle.is_closed());
        assert_eq!(handle.header(HeaderType::RequestHeaders, b":path", 0), None);
        handle.send_response(200, &[], b"", b"");
        HeadersStatus::StopIteration
    });
    assert_eq!(status, HeadersStatus::StopIteration.number());
    assert!(dropped.get());
    assert!(stream.responses.is_empty());
}

#[test]
fn a_hook_inside_a_hook_sees_the_same_filter() {
    let _envoy = FakeEnvoy::install();
    let mut stream = FakeStream::default();
    let pointer = new_filter(&mut stream, Filter::default());
    let envoy = stream.as_envoy();
    let inner = Rc::new(Cell::new(None));
    let seen = Rc::clone(&inner);
    stream.on_reenter = Some(Box::new(move || {
        seen.set(Some(call(envoy, pointer, |_, _| LocalReplyStatus::ContinueAndResetStream)));
    }));
    call(stream.as_envoy(), pointer, |_, mut handle| {
        handle.send_response(200, &[], b"", b"");
        assert!(!handle.is_closed());
        HeadersStatus::StopIteration
    });
    assert_eq!(inner.get(), Some(LocalReplyStatus::ContinueAndResetStream.number()));
    destroy(pointer);
}

#[test]
fn a_panic_fails_the_stream_and_the_filter_is_not_entered_again() {
    let envoy = FakeEnvoy::install();
    let mut stream = FakeStream::default();
    let filter = Filter::default();
    let (destroyed, dropped) = (Rc::clone(&filter.destroyed), Rc::clone(&filter.dropped));
    let pointer = new_filter(&mut stream, filter);
    let status = call::<BodyStatus>(stream.as_envoy(), pointer, |_, _| panic!("on purpose"));
    assert_eq!(status, BodyStatus::StopIterationNoBuffer.number());
    assert_eq!(stream.responses.len(), 1);
    assert_eq!(
        (stream.responses[0].status, stream.responses[0].details.as_slice()),
        (500, &b"graft_panic"[..])
    );
    let status = call::<TrailersStatus>(stream.as_envoy(), pointer, |_, _| unreachable!("entered again"));
    assert_eq!(status, TrailersStatus::StopIteration.number());
    assert_eq!(stream.responses.len(), 1);
    assert_eq!(envoy.log_lines().len(), 1);
    destroy(pointer);
    assert!(destroyed.get() && dropped.get());
}

#[test]
fn after_a_panic_a_filter_that_envoy_has_destroyed_sends_nothing() {
    let _envoy = FakeEnvoy::install();
    let mut stream = FakeStream::default();
    let pointer = new_filter(&mut stream, Filter::default());
    stream.on_reenter = Some(Box::new(move || destroy(pointer)));
    let status = call::<HeadersStatus>(stream.as_envoy(), pointer, |_, mut handle| {
        handle.continue_decoding();
        panic!("on purpose");
    });
    assert_eq!(status, HeadersStatus::StopIteration.number());
    assert!(stream.responses.is_empty());
}

#[test]
fn a_panic_at_the_end_of_a_stream_sends_nothing() {
    let _envoy = FakeEnvoy::install();
    let mut stream = FakeStream::default();
    let pointer = new_filter(&mut stream, Filter::default());
    let run = |_: &Filter, _: HttpFilterHandle| panic!("on purpose");
    // SAFETY: F3, F4, F5.
    unsafe { stream_hook::<Filter, ()>("on_test", OnFailure::LetEnd, stream.as_envoy(), pointer, run) };
    assert!(stream.responses.is_empty());
    destroy(pointer);
}

#[test]
fn a_panic_while_a_filter_is_destroyed_still_drops_it() {
    let envoy = FakeEnvoy::install();
    let filter = Filter::default();
    let dropped = Rc::clone(&filter.dropped);
    let pointer = new_filter(&mut FakeStream::default(), filter);
    // SAFETY: F4, F5.
    unsafe { filter_destroy(pointer, |_: &Filter| panic!("on purpose")) };
    assert!(dropped.get());
    assert_eq!(envoy.log_lines().len(), 1);
}

#[test]
fn a_stream_without_a_filter_fails() {
    let _envoy = FakeEnvoy::install();
    let mut stream = FakeStream::default();
    let status =
        call::<HeadersStatus>(stream.as_envoy(), ptr::null(), |_, _| unreachable!("there is no filter"));
    assert_eq!(status, HeadersStatus::StopIteration.number());
    assert_eq!(
        (stream.responses[0].status, stream.responses[0].details.as_slice()),
        (500, &b"graft_no_filter"[..])
    );
    destroy(ptr::null());
}

#[test]
fn a_filter_that_panics_while_it_is_made_is_null() {
    let envoy = FakeEnvoy::install();
    let config = new_config(&Arc::default());
    let mut stream = FakeStream::default();
    let make = |_: &Arc<Config>, _| -> Option<Filter> { panic!("on purpose") };
    // SAFETY: F3, F5.
    assert!(unsafe { filter_new(config, stream.as_envoy(), make) }.is_null());
    let make = |_: &Arc<Config>, _| Some(Filter::default());
    // SAFETY: F3, F5, null stands for a configuration that could not be made.
    assert!(unsafe { filter_new(ptr::null(), stream.as_envoy(), make) }.is_null());
    assert_eq!(envoy.log_lines().len(), 2);
    // SAFETY: F5.
    unsafe { config_destroy::<Config>(config, |_| {}) };
}

#[test]
fn the_handle_of_a_new_stream_is_closed_where_envoy_has_not_attached_it() {
    let envoy = FakeEnvoy::install();
    let config = new_config(&Arc::default());
    let mut stream = FakeStream::default();
    let is_closed = |stream: &mut FakeStream| {
        let mut is_closed = None;
        let make = |_: &Arc<Config>, handle: HttpFilterHandle| -> Option<Filter> {
            is_closed = Some(handle.is_closed());
            None
        };
        // SAFETY: F3, F5.
        assert!(unsafe { filter_new(config, stream.as_envoy(), make) }.is_null());
        is_closed
    };
    assert_eq!(is_closed(&mut stream), Some(false));
    envoy.remove_callbacks(|table| table.http_filter_get_worker_index = None);
    assert_eq!(is_closed(&mut stream), Some(true));
    // SAFETY: F5.
    unsafe { config_destroy::<Config>(config, |_| {}) };
}
