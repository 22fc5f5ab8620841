//! An Envoy for unit tests: a table of callbacks that work on plain structs.
//!
//! [`FakeEnvoy::install`] puts the table in place for this thread until it is dropped; a [`FakeStream`] is what a
//! `*_envoy_ptr` points to. Tests drive the real code on both sides: hooks through `exports` or
//! [`FakeEnvoy::inside_hook`], callbacks through the handles.

mod admin;
mod callbacks;
mod calls;
mod others;

use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;

use super::CallRefusal;
use super::attribute_id::AttributeId;
use super::config_address::ConfigAddress;
use super::hook::{ConfigHandle, ObjectHandle};
use super::http_config::HttpFilterConfigHandle;
use super::http_filter::HttpFilterHandle;
use super::running::Run;
use super::table::Callbacks;
use super::types::Level;

/// A key and a value.
pub(crate) type Pair = (Vec<u8>, Vec<u8>);

thread_local! {
    static CALLBACKS: Cell<Option<&'static Callbacks>> = const { Cell::new(None) };
    static PROCESS: RefCell<Process> = RefCell::new(Process::default());
}

/// The table that [`super::table::callbacks`] uses on this thread.
pub(super) fn installed_callbacks() -> Option<&'static Callbacks> {
    CALLBACKS.get()
}

struct Process {
    lines: Vec<(Level, String)>,
    level: Level,
    metrics: Vec<String>,
    updates: Vec<MetricUpdate>,
    is_frozen: bool,
    /// Calls and schedulers: what Envoy was told, in order.
    told: Vec<String>,
    /// Envoy's last number of a call or a scheduler.
    last_number: u64,
    refusal: Option<CallRefusal>,
    /// Path, help and whether it is for POST alone.
    pages: Vec<(String, String, bool)>,
    admin_response: String,
}

impl Default for Process {
    fn default() -> Self {
        Self {
            lines: Vec::new(),
            level: Level::Trace,
            metrics: Vec::new(),
            updates: Vec::new(),
            is_frozen: false,
            told: Vec::new(),
            last_number: 0,
            refusal: None,
            pages: Vec::new(),
            admin_response: String::new(),
        }
    }
}

/// An update of a metric that reached Envoy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MetricUpdate {
    pub(crate) what: &'static str,
    pub(crate) id: usize,
    pub(crate) labels: Vec<String>,
    pub(crate) value: u64,
}

/// The fake, as long as it is installed. Like Envoy 1.40 it has every callback; see
/// [`remove_callbacks`](Self::remove_callbacks).
pub(crate) struct FakeEnvoy(());

#[expect(clippy::unused_self, reason = "that there is a value of this type says that the fake is installed")]
impl FakeEnvoy {
    /// Becomes the Envoy of this thread.
    pub(crate) fn install() -> Self {
        assert!(CALLBACKS.get().is_none(), "one fake Envoy a thread");
        PROCESS.take();
        CALLBACKS.set(Some(Box::leak(Box::new(callbacks::complete_table()))));
        Self(())
    }

    /// Becomes an older Envoy.
    pub(crate) fn remove_callbacks(&self, remove: impl FnOnce(&mut Callbacks)) {
        let mut table = *CALLBACKS.get().unwrap();
        remove(&mut table);
        CALLBACKS.set(Some(Box::leak(Box::new(table))));
    }

    /// Runs `run` as a hook of a filter that stands at this stream's address.
    pub(crate) fn inside_hook<R>(
        &self,
        stream: &mut FakeStream,
        run: impl FnOnce(HttpFilterHandle) -> R,
    ) -> R {
        let envoy = stream.as_envoy();
        let running = Run::begin(envoy.addr());
        // SAFETY: F3, the fake's callbacks take a FakeStream.
        run(unsafe { HttpFilterHandle::from_raw(envoy, running.pass()) })
    }

    /// The same with any kind of handle: a connection, or an exchange that is over.
    pub(crate) fn inside_hook_of<H: ObjectHandle, R>(
        &self,
        stream: &mut FakeStream,
        run: impl FnOnce(H) -> R,
    ) -> R {
        let envoy = stream.as_envoy();
        let running = Run::begin(envoy.addr());
        // SAFETY: F3, the fake's callbacks take a FakeStream.
        run(unsafe { H::of(envoy, running.pass()) })
    }

    /// What was logged, in order.
    pub(crate) fn log_lines(&self) -> Vec<(Level, String)> {
        PROCESS.with_borrow(|process| process.lines.clone())
    }

    pub(crate) fn set_log_level(&self, level: Level) {
        PROCESS.with_borrow_mut(|process| process.level = level);
    }

    /// Defines a metric without labels; its id is the number of those before.
    pub(crate) fn define_metric(&self, name: &str) {
        PROCESS.with_borrow_mut(|process| process.metrics.push(name.to_owned()));
    }

    pub(crate) fn defined_metrics(&self) -> Vec<String> {
        PROCESS.with_borrow(|process| process.metrics.clone())
    }

    pub(crate) fn metric_updates(&self) -> Vec<MetricUpdate> {
        PROCESS.with_borrow(|process| process.updates.clone())
    }

    /// What this thread told of calls and schedulers since the last time, in order.
    pub(crate) fn told_of_calls(&self) -> Vec<String> {
        PROCESS.with_borrow_mut(|process| std::mem::take(&mut process.told))
    }

    /// From now on calls are refused, or started again.
    pub(crate) fn refuse_calls(&self, refusal: Option<CallRefusal>) {
        PROCESS.with_borrow_mut(|process| process.refusal = refusal);
    }

    /// The pages of the admin endpoint: method, path and help.
    pub(crate) fn admin_pages(&self) -> Vec<String> {
        let describe = |(path, help, mutates): &(String, String, bool)| {
            format!("{}{path}: {help}", if *mutates { "POST " } else { "" })
        };
        PROCESS.with_borrow(|process| process.pages.iter().map(describe).collect())
    }

    /// The body of the last answer of one of them.
    pub(crate) fn take_admin_response(&self) -> String {
        PROCESS.with_borrow_mut(|process| std::mem::take(&mut process.admin_response))
    }

    /// A filter configuration that lives until it is closed.
    pub(crate) fn config(&self) -> FakeConfig {
        FakeConfig(ConfigAddress::new(ptr::without_provenance_mut(0x40)))
    }

    /// From now on nothing can be defined.
    pub(crate) fn freeze_metrics(&self) {
        PROCESS.with_borrow_mut(|process| process.is_frozen = true);
    }
}

/// A filter configuration.
pub(crate) struct FakeConfig(Arc<ConfigAddress>);

impl FakeConfig {
    pub(crate) fn handle(&self) -> HttpFilterConfigHandle {
        // SAFETY: F11, the fake's callbacks need no configuration behind the pointer.
        unsafe { HttpFilterConfigHandle::from_raw(Arc::clone(&self.0)) }
    }

    /// The same as a configuration of another kind.
    pub(crate) fn handle_of<H: ConfigHandle>(&self) -> H {
        // SAFETY: F11, as above.
        unsafe { H::at(Arc::clone(&self.0)) }
    }

    pub(crate) fn close(&self) {
        self.0.close();
    }
}

impl Drop for FakeEnvoy {
    fn drop(&mut self) {
        CALLBACKS.set(None);
    }
}

/// A response that a filter sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SentResponse {
    pub(crate) status: u32,
    pub(crate) headers: Vec<Pair>,
    pub(crate) body: Vec<u8>,
    pub(crate) details: Vec<u8>,
}

/// A stream: fill in what the test needs, read what the filter did.
pub(crate) struct FakeStream {
    /// By the number of the `HeaderType`.
    pub(crate) headers: [Option<Vec<Pair>>; 4],
    /// By the number of the `BodyType`, in chunks.
    pub(crate) bodies: [Option<Vec<Vec<u8>>>; 4],
    pub(crate) is_received_buffered: bool,
    pub(crate) strings: Vec<(AttributeId, Vec<u8>)>,
    pub(crate) integers: Vec<(AttributeId, u64)>,
    /// Namespace, key and value, the same for every source.
    pub(crate) metadata: Vec<(Vec<u8>, Vec<u8>, Vec<u8>)>,
    pub(crate) filter_state: Vec<Pair>,
    pub(crate) buffer_limit: u64,
    /// Whether the stream is traced.
    pub(crate) has_span: bool,
    pub(crate) route_config: *const c_void,
    pub(crate) responses: Vec<SentResponse>,
    /// What else the filter told Envoy, in order.
    pub(crate) told: Vec<String>,
    /// What Envoy does inside `continue_*`, `reset_stream` and `send_response` before it returns.
    pub(crate) on_reenter: Option<Box<dyn FnMut()>>,
}

impl Default for FakeStream {
    fn default() -> Self {
        Self {
            headers: Default::default(),
            bodies: Default::default(),
            is_received_buffered: false,
            strings: Vec::new(),
            integers: Vec::new(),
            metadata: Vec::new(),
            filter_state: Vec::new(),
            buffer_limit: 1 << 20,
            has_span: false,
            route_config: ptr::null(),
            responses: Vec::new(),
            told: Vec::new(),
            on_reenter: None,
        }
    }
}

impl FakeStream {
    /// The pointer that hooks get for this stream.
    pub(crate) fn as_envoy(&mut self) -> *mut c_void {
        ptr::from_mut(self).cast::<c_void>()
    }
}
