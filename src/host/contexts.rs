//! Contexts: the guest's objects for plugins (roots) and for streams, and which of them is running.
//!
//! Ids count from 1 in each VM and are not used again; the guest sees them. The host itself finds contexts by
//! [`RootIndex`] and [`StreamIndex`], places in two tables, so that a request costs no search.
//!
//! What a stream's guest may touch depends on where the stream is. The rules are those of the built-in host: a
//! map or body is *available* from the entry point that brings it until the guest lets it go on.

use std::sync::Arc;

use super::calls::{Command, Reply, Token};
use super::foreign::{Declarations, Expressions};
use super::stream::{Effect, Effects, Stream};
use super::types::{Direction, HeaderMap, Status};
use super::vm::ENTRY_BYTES;

/// A configured use of code, as its guest and its log lines see it.
#[derive(Debug)]
pub struct Plugin {
    /// Distinguishes plugins in one VM; never used again in a process.
    pub key: u64,
    /// Name, for logs and the property `plugin_name`.
    pub name: String,
    /// Which of its implementations the guest shall use: the property `plugin_root_id`.
    pub root_id: String,
    /// What `proxy_on_configure` reads.
    pub configuration: Vec<u8>,
    /// Whether "stop iteration" at headers lets the body arrive (`allow_on_headers_stop_iteration`).
    pub allow_on_headers_stop_iteration: bool,
}

impl Plugin {
    /// What stands between `wasm log` and the message in a line of a stream: name, root id, VM id, those that are
    /// not empty.
    pub fn log_prefix(&self, vm_id: &str) -> String {
        prefix(&[&self.name, &self.root_id, vm_id])
    }

    /// The same for a root context, which has no name in the built-in host.
    pub fn root_log_prefix(&self, vm_id: &str) -> String {
        prefix(&[&self.root_id, vm_id])
    }
}

fn prefix(parts: &[&str]) -> String {
    parts.iter().filter(|part| !part.is_empty()).fold(String::new(), |line, part| line + " " + part)
}

/// The id that a guest knows a context by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContextId(pub u32);

/// Place of a root context in its VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RootIndex(pub(super) usize);

/// Place of a stream context in its VM. Its owner gives it back with `end_stream`, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamIndex(pub(super) usize);

/// A context, or the VM itself (while code starts and while memory is allocated).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// No plugin yet: `_initialize`, `_start`, `malloc`.
    Vm,
    /// A plugin.
    Root(RootIndex),
    /// An exchange.
    Stream(StreamIndex),
}

/// Where a root context is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootState {
    /// Serves, or is being configured.
    Active,
    /// Its plugin is gone; it ends with its last stream.
    Retired,
    /// `proxy_on_done` answered false: it ends when the guest calls `proxy_done`.
    AwaitingDone,
    /// The guest called `proxy_done`: `proxy_on_delete` is due.
    Done,
}

/// The guest's object for a plugin.
#[derive(Debug, Clone)]
pub struct Root {
    /// For the guest.
    pub id: ContextId,
    /// What it is the object of.
    pub plugin: Arc<Plugin>,
    pub(super) log_prefix: Arc<str>,
    pub(super) stream_log_prefix: Arc<str>,
    pub(super) state: RootState,
    pub(super) streams: usize,
    /// Nanoseconds between ticks, if it wants any.
    pub(super) tick: Option<u64>,
    /// Foreign functions: what was declared, and made.
    pub(super) declarations: Declarations,
    pub(super) expressions: Expressions,
    /// What `proxy_get_status` tells it and its streams: code and message of its last call that failed or closed.
    pub(super) status: (u32, Vec<u8>),
}

impl Root {
    /// Itself in a copy of its VM: it has no stream there, and ticks in the VM that was copied.
    fn copy(&self) -> Self {
        Self { streams: 0, tick: None, ..self.clone() }
    }
}

/// The state of one direction of a stream: what its guest may touch now.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::struct_excessive_bools)] // Four facts that are true or not, each on its own.
pub struct Half {
    /// Headers arrived and the guest did not let them go on.
    pub headers: bool,
    /// Body bytes are at hand.
    pub body: bool,
    /// Trailers arrived and the guest did not let them go on.
    pub trailers: bool,
    /// The guest asked to buffer: the body at hand includes what was held back.
    pub buffering: bool,
}

impl Half {
    /// Whether there is a body to read and to write.
    pub fn has_body(&self) -> bool {
        self.body || self.buffering
    }
}

/// The guest's object for an exchange.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools)] // Facts, each on its own.
pub struct StreamContext<S> {
    /// For the guest.
    pub id: ContextId,
    /// The plugin that it belongs to.
    pub root: RootIndex,
    /// The proxy's side.
    pub stream: S,
    /// Request direction.
    pub request: Half,
    /// Response direction.
    pub response: Half,
    /// Inside `proxy_on_log`: maps are those of the finished exchange.
    pub is_logging: bool,
    /// An exchange that is shown to its root context, in the root's name ([`Vm::log_as_root`](super::vm::Vm::log_as_root)).
    pub is_of_root: bool,
    pub(super) is_created: bool,
    pub(super) is_done: bool,
    pub(super) effects: Effects,
    /// What the guest asked of calls that this stream has in hand.
    pub(super) commands: Vec<Command>,
    /// What arrived for its calls while it was not at hand.
    pub(super) replies: Vec<(Token, Reply)>,
    /// What its guest declared from it.
    pub(super) declarations: Declarations,
    kept_bytes: usize,
}

/// Most bytes that a guest has the proxy keep with one stream beside its body: headers, metadata, filter state, spans.
/// Far above what any peer takes, whose headers are some ten kilobytes; a guest that holds its streams could fill the
/// process otherwise, in as many calls as it likes. What it takes away again is not given back, so that nothing has to
/// be measured anew.
const MOST_KEPT_BYTES: usize = 4 * 1024 * 1024;

impl<S: Stream> StreamContext<S> {
    /// Counts what the proxy is asked to keep until the stream ends.
    ///
    /// # Errors
    /// It is more than a stream may have; nothing was counted.
    pub(super) fn keep(&mut self, bytes: usize) -> Result<(), Status> {
        let kept = self.kept_bytes.saturating_add(bytes).saturating_add(ENTRY_BYTES);
        if kept > MOST_KEPT_BYTES {
            return Err(Status::InternalFailure);
        }
        self.kept_bytes = kept;
        Ok(())
    }

    /// A direction's state.
    pub fn half(&self, direction: Direction) -> &Half {
        match direction {
            Direction::Request => &self.request,
            Direction::Response => &self.response,
        }
    }

    pub(super) fn half_mut(&mut self, direction: Direction) -> &mut Half {
        match direction {
            Direction::Request => &mut self.request,
            Direction::Response => &mut self.response,
        }
    }

    /// Whether a map can be read now.
    pub fn is_readable(&self, map: HeaderMap) -> bool {
        if self.is_logging {
            // As in the built-in host: access logs have no request trailers.
            return map != HeaderMap::RequestTrailers && self.stream.has_map(map);
        }
        self.is_writable(map)
    }

    /// Whether a map can be changed now.
    pub fn is_writable(&self, map: HeaderMap) -> bool {
        let half = self.half(map.direction());
        match map {
            HeaderMap::RequestHeaders | HeaderMap::ResponseHeaders => half.headers,
            HeaderMap::RequestTrailers | HeaderMap::ResponseTrailers => half.trailers,
        }
    }

    /// Whether the guest asked for something that was not taken yet.
    pub(super) fn has_wishes(&self) -> bool {
        !self.effects.is_empty() || !self.commands.is_empty()
    }

    /// Whether the guest answered already, in an effect that was not taken yet.
    pub(super) fn has_local_response(&self) -> bool {
        self.effects.iter().any(|effect| matches!(effect, Effect::LocalResponse(_)))
    }

    /// Queues what the guest asked for, each thing once: a guest that asks in an endless loop does not fill memory, and
    /// what it asks for last is not lost.
    pub(super) fn ask(&mut self, effect: Effect) {
        if let Effect::Continue(_) = effect
            && !self.stream.is_connection()
        {
            // As in the built-in host: whichever direction resumes, the request's objects are let go.
            self.request.headers = false;
            self.request.body = false;
            self.request.trailers = false;
        }
        if !self.effects.contains(&effect) {
            self.effects.push(effect);
        }
    }
}

/// All contexts of a VM.
#[derive(Debug)]
pub(super) struct Contexts<S> {
    last_id: u32,
    has_wrapped: bool,
    roots: Vec<Option<Root>>,
    streams: Vec<Place<S>>,
    first_free: Option<usize>,
}

/// The root contexts of a VM, apart from it.
#[derive(Clone, Debug)]
pub(super) struct Roots {
    last_id: u32,
    has_wrapped: bool,
    table: Vec<Option<Root>>,
}

/// A place in the table of streams. A context is *out* while a hostcall works on it.
#[derive(Debug)]
enum Place<S> {
    Free { next: Option<usize> },
    Here(Box<StreamContext<S>>),
    Out,
}

impl<S: Stream> Contexts<S> {
    pub(super) fn new() -> Self {
        Self { last_id: 0, has_wrapped: false, roots: Vec::new(), streams: Vec::new(), first_free: None }
    }

    /// The roots, for copies of the VM.
    pub(super) fn roots(&self) -> Roots {
        let roots = self.roots.iter().map(|place| place.as_ref().map(Root::copy)).collect();
        Roots { last_id: self.last_id, has_wrapped: self.has_wrapped, table: roots }
    }

    /// The contexts of a copy: these roots, and no stream yet.
    pub(super) fn of(roots: &Roots) -> Self {
        let Roots { last_id, has_wrapped, table: roots } = roots.clone();
        Self { last_id, has_wrapped, roots, streams: Vec::new(), first_free: None }
    }

    /// The next id. After four thousand million streams (a few days of a busy worker) ids begin again, without those
    /// that are in use: roots live long. 0 stays the VM's own.
    fn next_id(&mut self) -> ContextId {
        loop {
            if let Some(id) = self.last_id.checked_add(1) {
                self.last_id = id;
            } else {
                self.last_id = 1;
                self.has_wrapped = true;
            }
            if !self.has_wrapped || self.find(self.last_id).is_none() {
                return ContextId(self.last_id);
            }
        }
    }

    pub(super) fn add_root(&mut self, plugin: Arc<Plugin>, vm_id: &str) -> RootIndex {
        let root = Root {
            id: self.next_id(),
            log_prefix: plugin.root_log_prefix(vm_id).into(),
            stream_log_prefix: plugin.log_prefix(vm_id).into(),
            plugin,
            state: RootState::Active,
            streams: 0,
            tick: None,
            declarations: Declarations::default(),
            expressions: Expressions::default(),
            status: (0, Vec::new()),
        };
        let free = self.roots.iter_mut().position(|place| place.is_none());
        let index = free.unwrap_or(self.roots.len());
        match self.roots.get_mut(index) {
            Some(place) => *place = Some(root),
            None => self.roots.push(Some(root)),
        }
        RootIndex(index)
    }

    pub(super) fn find_root(&self, key: u64) -> Option<RootIndex> {
        let matches = |root: &Root| root.plugin.key == key && root.state == RootState::Active;
        self.roots.iter().position(|place| place.as_ref().is_some_and(matches)).map(RootIndex)
    }

    pub(super) fn find_root_by_id(&self, id: u32) -> Option<RootIndex> {
        let is_it = |place: &Option<Root>| place.as_ref().is_some_and(|root| root.id.0 == id);
        self.roots.iter().position(is_it).map(RootIndex)
    }

    pub(super) fn root(&self, index: RootIndex) -> Option<&Root> {
        self.roots.get(index.0)?.as_ref()
    }

    pub(super) fn root_mut(&mut self, index: RootIndex) -> Option<&mut Root> {
        self.roots.get_mut(index.0)?.as_mut()
    }

    pub(super) fn remove_root(&mut self, index: RootIndex) {
        if let Some(place) = self.roots.get_mut(index.0) {
            *place = None;
        }
    }

    /// A root that is to be deleted.
    pub(super) fn done_root(&self) -> Option<RootIndex> {
        let is_done = |place: &Option<Root>| place.as_ref().is_some_and(|root| root.state == RootState::Done);
        self.roots.iter().position(is_done).map(RootIndex)
    }

    pub(super) fn add_stream(&mut self, root: RootIndex, stream: S) -> StreamIndex {
        let context = Box::new(StreamContext {
            id: self.next_id(),
            root,
            stream,
            request: Half::default(),
            response: Half::default(),
            is_logging: false,
            is_of_root: false,
            is_created: false,
            is_done: false,
            effects: Effects::new(),
            commands: Vec::new(),
            replies: Vec::new(),
            declarations: Declarations::default(),
            kept_bytes: 0,
        });
        if let Some(root) = self.root_mut(root) {
            root.streams = root.streams.saturating_add(1);
        }
        let index = self.first_free.unwrap_or(self.streams.len());
        match self.streams.get_mut(index) {
            Some(place) => {
                if let Place::Free { next } = place {
                    self.first_free = *next;
                }
                *place = Place::Here(context);
            }
            None => self.streams.push(Place::Here(context)),
        }
        StreamIndex(index)
    }

    /// An exchange that a root context is to log: it stands in the root's place, with the root's id. `None`: there is
    /// no such root.
    pub(super) fn add_log(&mut self, root: RootIndex, exchange: S) -> Option<(StreamIndex, ContextId)> {
        let id = self.root(root)?.id;
        let index = self.add_stream(root, exchange);
        let context = self.stream_mut(index)?;
        context.id = id;
        context.is_of_root = true;
        context.is_logging = true;
        Some((index, id))
    }

    pub(super) fn stream(&self, index: StreamIndex) -> Option<&StreamContext<S>> {
        match self.streams.get(index.0)? {
            Place::Here(context) => Some(context),
            Place::Free { .. } | Place::Out => None,
        }
    }

    pub(super) fn streams(&self) -> impl Iterator<Item = &StreamContext<S>> {
        self.streams.iter().filter_map(|place| match place {
            Place::Here(context) => Some(&**context),
            Place::Free { .. } | Place::Out => None,
        })
    }

    pub(super) fn stream_mut(&mut self, index: StreamIndex) -> Option<&mut StreamContext<S>> {
        match self.streams.get_mut(index.0)? {
            Place::Here(context) => Some(context),
            Place::Free { .. } | Place::Out => None,
        }
    }

    /// Takes a context out, so that a hostcall can use it and the VM at once. [`Self::put_stream`] brings it back.
    pub(super) fn take_stream(&mut self, index: StreamIndex) -> Option<Box<StreamContext<S>>> {
        let place = self.streams.get_mut(index.0)?;
        if !matches!(place, Place::Here(_)) {
            return None;
        }
        match std::mem::replace(place, Place::Out) {
            Place::Here(context) => Some(context),
            Place::Free { .. } | Place::Out => None,
        }
    }

    pub(super) fn put_stream(&mut self, index: StreamIndex, context: Box<StreamContext<S>>) {
        if let Some(place) = self.streams.get_mut(index.0) {
            *place = Place::Here(context);
        }
    }

    /// Ends a stream's context; answers its root and whether that has no stream left.
    pub(super) fn remove_stream(&mut self, index: StreamIndex) -> Option<(RootIndex, bool)> {
        let context = self.take_stream(index)?;
        if let Some(place) = self.streams.get_mut(index.0) {
            *place = Place::Free { next: self.first_free };
            self.first_free = Some(index.0);
        }
        let root = self.root_mut(context.root)?;
        root.streams = root.streams.saturating_sub(1);
        Some((context.root, root.streams == 0))
    }

    /// The context of a guest's id. A search, for `proxy_set_effective_context` alone.
    pub(super) fn find(&self, id: u32) -> Option<Context> {
        let root = self.roots.iter().position(|place| place.as_ref().is_some_and(|root| root.id.0 == id));
        if let Some(index) = root {
            return Some(Context::Root(RootIndex(index)));
        }
        let is_it = |place: &Place<S>| matches!(place, Place::Here(context) if context.id.0 == id);
        self.streams.iter().position(is_it).map(|index| Context::Stream(StreamIndex(index)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::testing::FakeStream;

    fn plugin() -> Arc<Plugin> {
        Arc::new(Plugin {
            key: 1,
            name: String::new(),
            root_id: String::new(),
            configuration: Vec::new(),
            allow_on_headers_stop_iteration: false,
        })
    }

    #[test]
    fn ids_that_begin_again_leave_out_those_in_use() {
        let mut contexts = Contexts::<FakeStream>::new();
        let root = contexts.add_root(plugin(), "");
        let long_lived = contexts.add_stream(root, FakeStream::default());
        contexts.last_id = u32::MAX - 1;
        let ids: Vec<u32> = (0..3)
            .map(|_| {
                let index = contexts.add_stream(root, FakeStream::default());
                contexts.stream(index).unwrap().id.0
            })
            .collect();
        assert_eq!(ids, [u32::MAX, 3, 4]);
        assert_eq!(contexts.find(2), Some(Context::Stream(long_lived)));
    }

    #[test]
    fn a_context_that_is_out_is_not_there_until_it_is_put_back() {
        let mut contexts = Contexts::<FakeStream>::new();
        let root = contexts.add_root(plugin(), "");
        let index = contexts.add_stream(root, FakeStream::default());
        let out = contexts.take_stream(index).unwrap();
        assert!(contexts.stream(index).is_none() && contexts.stream_mut(index).is_none());
        assert!(contexts.take_stream(index).is_none());
        assert!(contexts.remove_stream(index).is_none());
        contexts.put_stream(index, out);
        assert_eq!(contexts.remove_stream(index), Some((root, true)));
    }
}
