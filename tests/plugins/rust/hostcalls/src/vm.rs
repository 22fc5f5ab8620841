//! What this VM knows: its root contexts with their scripts, and what operations leave for later ones.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::language::Step;

/// The lines that apply to a root context and its streams.
pub type Script = Rc<Vec<Rc<Step>>>;

#[derive(Default)]
pub struct Vm {
    /// The lines of the VM configuration, which apply to every root context of this VM.
    pub common: Vec<Rc<Step>>,
    /// Scripts of the root contexts.
    pub scripts: BTreeMap<u32, Script>,
    /// The root context of each context; a root context's is itself.
    pub roots: BTreeMap<u32, u32>,
    /// How often a context got a callback.
    pub calls: BTreeMap<(u32, &'static str), u32>,
    /// The context that the present callback is about.
    pub current: u32,
    /// Contexts that wait to be resumed, with the direction to resume.
    pub parked: Vec<(u32, u32)>,
    /// Ids of metrics by name.
    pub metrics: BTreeMap<Vec<u8>, u32>,
    /// The token of the last callout: made, or being answered.
    pub last_call: u32,
    /// Who made which callout, by its token.
    pub callers: BTreeMap<u32, u32>,
    /// Trailers of the HTTP callouts to come, encoded.
    pub trailers: Vec<u8>,
    /// Metadata of the gRPC callouts to come, encoded.
    pub metadata: Vec<u8>,
    /// The token of the last queue.
    pub last_queue: u32,
    /// The compare-and-swap number of the last read of shared data.
    pub last_cas: u32,
}

impl Vm {
    /// The root context of a context, or the context itself where nothing is known about it.
    pub fn root_of(&self, context: u32) -> u32 {
        self.roots.get(&context).copied().unwrap_or(context)
    }

    /// Whether the context is a root context.
    pub fn is_root(&self, context: u32) -> bool {
        self.root_of(context) == context
    }

    /// Counts a callback, from 1.
    pub fn count(&mut self, context: u32, callback: &'static str) -> u32 {
        let count = self.calls.entry((context, callback)).or_default();
        *count += 1;
        *count
    }

    /// The script that applies to a context.
    pub fn script_of(&self, context: u32) -> Script {
        match self.scripts.get(&self.root_of(context)) {
            Some(script) => Rc::clone(script),
            None => Rc::new(self.common.clone()),
        }
    }

    /// Forgets a context.
    pub fn forget(&mut self, context: u32) {
        self.roots.remove(&context);
        self.scripts.remove(&context);
        self.calls.retain(|(of, _), _| *of != context);
        self.parked.retain(|(of, _)| *of != context);
    }
}

thread_local! {
    static VM: RefCell<Vm> = RefCell::default();
}

/// Borrows the state for a moment: no hostcall may be made inside, since a host may call back.
pub fn with<T>(action: impl FnOnce(&mut Vm) -> T) -> T {
    VM.with_borrow_mut(action)
}
