//! Calls that did not return, in words for the guest's author.

use std::fmt;
use std::sync::Arc;

use wasmtime::{Trap, WasmBacktrace};

use super::{CallError, Inner, Phase, State};
use crate::host::stream::Stream;

impl<S: Stream> State<S> {
    /// Why guest code ended, in words for its author: the trap, the deadline, and what it was refused before.
    pub(super) fn reason(&self, phase: Phase, error: &wasmtime::Error) -> String {
        let deadlines = &self.settings.deadlines;
        let mut reason = match error.downcast_ref::<Trap>() {
            Some(Trap::Interrupt) => match phase {
                Phase::Start => {
                    format!("did not return within graft.limits.start_deadline ({:?})", deadlines.start)
                }
                Phase::Configure => {
                    format!(
                        "did not return within graft.limits.configure_deadline ({:?})",
                        deadlines.configure
                    )
                }
                Phase::Serve => {
                    format!("did not return within graft.limits.call_deadline ({:?})", deadlines.call)
                }
            },
            Some(trap) => trap.to_string(),
            None => error.root_cause().to_string(),
        };
        if let Some(refusal) = self.limiter.last_refusal() {
            use fmt::Write as _;
            let _writing_to_a_string_does_not_fail = write!(reason, "; before that, {refusal}");
        }
        reason
    }
}

impl<S: Stream> Inner<S> {
    /// The call that a context made has trapped.
    #[cold]
    pub(super) fn trapped(
        &mut self,
        phase: Phase,
        entry_point: &'static str,
        error: &wasmtime::Error,
    ) -> CallError {
        let state = self.store.data();
        // Asked now: the context that ran may be gone when the failure is logged.
        self.failed_plugin = state
            .root_of(state.current)
            .and_then(|root| state.contexts.root(root))
            .map(|root| Arc::clone(&root.plugin));
        self.failed_stream = state.current_id();
        self.count_trap(phase, error);
        let reason = self.store.data().reason(phase, error);
        let dispatcher = self.dispatcher.as_ref().map(|dispatcher| dispatcher.function);
        CallError::Trapped { entry_point, reason, backtrace: backtrace(error, dispatcher) }
    }
}

/// The frames in the form of the built-in host, which tools know. A dispatcher is none of the plugin's.
fn backtrace(error: &wasmtime::Error, dispatcher: Option<u32>) -> String {
    use fmt::Write as _;
    let mut lines = String::new();
    let frames = error.downcast_ref::<WasmBacktrace>().map_or(&[][..], WasmBacktrace::frames).iter();
    let mut frames = frames.filter(|frame| Some(frame.func_index()) != dispatcher).peekable();
    if frames.peek().is_some() {
        lines.push_str("\nProxy-Wasm plugin in-VM backtrace:");
    }
    for (number, frame) in frames.enumerate() {
        let name = frame.func_name().unwrap_or("(unknown)");
        let _writing_to_a_string_does_not_fail = match frame.module_offset() {
            Some(offset) => write!(lines, "\n  {number}:  {offset:#x} - {name}"),
            None => write!(lines, "\n  {number}:  {name}"),
        };
    }
    lines
}
