//! A worker's place in a pool: its VMs, the first of which is its home.

use crate::host::stream::Stream;
use crate::host::vm::{Lease, Look};
use crate::lifecycle::failure::{Breaker, Past};

/// See the module's text. Locked by its worker alone, but for the moments in which plugins come and go.
pub(super) struct Place<S: Stream> {
    home: Occupant<S>,
    /// VMs for streams that began while another thread was in the home (a tick, say). They stay.
    others: Vec<Lease<S>>,
    pub(super) breaker: Breaker,
}

/// What is in the home.
pub(super) enum Occupant<S: Stream> {
    /// Nothing yet.
    Nobody,
    /// A VM, that may have failed meanwhile.
    Vm(Lease<S>),
    /// The last VM did not start. The one before it is forgotten, however well it served.
    Broken,
}

/// What a worker finds.
pub(super) enum Found<S: Stream> {
    /// A VM that is free.
    Free(Lease<S>),
    /// Another thread is inside every one.
    Busy,
    /// The home has to be filled; what became of its last VM.
    Empty(Option<Past>),
}

impl<S: Stream> Place<S> {
    pub(super) fn empty() -> Self {
        Self { home: Occupant::Nobody, others: Vec::new(), breaker: Breaker::default() }
    }

    /// Whether nobody has wanted a VM here.
    pub(super) fn is_unused(&self) -> bool {
        matches!(self.home, Occupant::Nobody)
    }

    /// A VM for a stream.
    pub(super) fn find(&mut self) -> Found<S> {
        match &self.home {
            Occupant::Nobody => return Found::Empty(None),
            Occupant::Broken => return Found::Empty(Some(Past::Unstarted)),
            Occupant::Vm(lease) => match lease.look() {
                Look::Free => return Found::Free(lease.clone()),
                Look::Failed { has_served: true } => return Found::Empty(Some(Past::Served)),
                Look::Failed { has_served: false } => return Found::Empty(Some(Past::Fruitless)),
                Look::Busy => {}
            },
        }
        // One that failed is with its streams, and nobody misses it here.
        self.others.retain(|lease| !matches!(lease.look(), Look::Failed { .. }));
        let free = self.others.iter().find(|lease| lease.look() == Look::Free);
        free.map_or(Found::Busy, |lease| Found::Free(lease.clone()))
    }

    pub(super) fn settle(&mut self, home: Occupant<S>) {
        self.home = home;
    }

    pub(super) fn add(&mut self, other: Lease<S>) {
        self.others.push(other);
    }

    pub(super) fn home(&self) -> Option<&Lease<S>> {
        match &self.home {
            Occupant::Vm(lease) => Some(lease),
            Occupant::Nobody | Occupant::Broken => None,
        }
    }

    /// How many VMs are here.
    pub(super) fn count(&self) -> usize {
        self.others.len().saturating_add(usize::from(self.home().is_some()))
    }

    /// The VMs that are here.
    pub(super) fn vms(&self) -> impl Iterator<Item = &Lease<S>> {
        self.home().into_iter().chain(&self.others)
    }
}
