//! Copies: VMs that begin where a configured one was when its picture was taken, each for one stream.
//!
//! A copy has the memory, the globals, the root contexts and the metrics of the configured VM, and nothing runs in it
//! before its stream: neither the start of the code nor `proxy_on_configure`. What lasts longer than a stream stays
//! with the configured VM: ticks, messages on queues, access logs.

use super::{StartError, State, Vm};
use crate::engine::Ticking;
use crate::engine::code::{Code, CompileError};
use crate::host::calls::{Calls, Orphans};
use crate::host::contexts::{Contexts, RootIndex, Roots};
use crate::host::entry_points;
use crate::host::metrics::Metrics;
use crate::host::stream::{Services, Stream};
use crate::host::template::{LinkError, Template};

/// Why a configured VM cannot be copied. The messages complete "the plugin …" or "the code …".
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// No snapshot, or it does not compile.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// The snapshot does not link.
    #[error("the code {0}")]
    Link(#[from] LinkError),
    /// Not even the first copy can be made.
    #[error("the plugin {0}")]
    Start(#[from] StartError),
}

/// What copies are made from. Any thread.
pub struct Snapshot<S: Stream> {
    template: Template<S>,
    roots: Roots,
    metrics: Metrics<<S::Services as Services>::Metric>,
    /// Tokens of calls that were begun before are not used again: the guest may remember them.
    last_call: u32,
    /// Calls that copies have left behind.
    orphans: Orphans,
    root: RootIndex,
    /// Linear memory that a copy begins with.
    memory_bytes: usize,
    _ticking: Ticking,
}

impl<S: Stream> Vm<S> {
    /// Takes the picture of a VM in which a plugin has been configured; makes one copy, to see that it can be done.
    /// Compiles, so it takes as long as that.
    ///
    /// # Errors
    /// The code holds state that cannot be copied, or is not compiled for it ([`Template::code`]).
    pub fn snapshot(&mut self, template: &Template<S>, root: RootIndex) -> Result<Snapshot<S>, CopyError> {
        let called: Vec<_> = entry_points::called().collect();
        let (store, instance) = (&mut self.inner.store, self.inner.instance);
        let code = template.code().snapshot(&template.engine, store, instance, &called)?;
        let state = self.inner.store.data();
        let mut snapshot = Snapshot {
            template: template.link_snapshot(&code)?,
            roots: state.contexts.roots(),
            metrics: state.metrics.for_copy(),
            last_call: state.calls.last(),
            orphans: Orphans::default(),
            root,
            memory_bytes: 0,
            _ticking: template.engine.keep_ticking(),
        };
        // Its functions are looked up when they are called, so it must be known that they can be.
        let mut copy = snapshot.copy()?;
        copy.entry_points.check(&mut copy.inner.store).map_err(StartError::from)?;
        snapshot.memory_bytes = copy.memory_bytes();
        Ok(snapshot)
    }

    /// Whether it is a copy, made for one stream.
    pub fn is_copy(&self) -> bool {
        self.inner.store.data().is_copy
    }
}

impl<S: Stream> Snapshot<S> {
    /// A VM of its own for a stream.
    ///
    /// # Errors
    /// There is no place for one more VM in this process.
    pub fn copy(&self) -> Result<Vm<S>, StartError> {
        let calls = Calls::new(self.template.settings.calls).after(self.last_call).of_copy(&self.orphans);
        let state = State {
            is_copy: true,
            is_restricted: false,
            ..State::of(&self.template, Contexts::of(&self.roots), self.metrics.for_copy(), calls)
        };
        Vm::instantiate(&self.template, state, None)
    }

    /// The code that copies run.
    pub fn code(&self) -> &Code {
        self.template.code()
    }

    /// Bytes of linear memory that a copy begins with.
    pub fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    /// The plugin's root context in each copy.
    pub fn root(&self) -> RootIndex {
        self.root
    }
}

impl<S: Stream> std::fmt::Debug for Snapshot<S> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Snapshot").field("code", self.template.code()).finish_non_exhaustive()
    }
}
