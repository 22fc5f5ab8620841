//! What all VMs of a process have in common: the process itself, shared data and queues, the agenda.

use std::sync::Arc;

use super::agenda::Agenda;
use super::shared::Shared;
use super::stream::Stream;

/// See the module's text. One per process (and one per test).
pub struct Commons<S: Stream> {
    /// Log, clocks, metrics, calls.
    pub services: Arc<S::Services>,
    /// Shared data and queues.
    pub shared: Shared,
    /// Ticks, wake-ups, replies.
    pub agenda: Agenda<S>,
}

impl<S: Stream> Commons<S> {
    /// The commons of a process.
    pub fn new(services: Arc<S::Services>) -> Arc<Self> {
        Arc::new(Self { services, shared: Shared::default(), agenda: Agenda::default() })
    }
}

impl<S: Stream> std::fmt::Debug for Commons<S> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Commons").field("shared", &self.shared).finish_non_exhaustive()
    }
}
