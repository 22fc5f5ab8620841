//! An edition: a generation as one slot has it, with what routes make of it.
//!
//! ```text
//!   slot X ── edition ──┬── generation A          Generations are shared: whatever slot or route wants the same finds
//!                       └── generation B, of a    the same. An edition is one slot's own. So what is replaced is an
//!   slot Y ── edition ───── generation B  route   edition, and streams of a generation are ended when no edition has it.
//! ```
//!
//! An edition is on duty from its beginning, and its generations with it, until it is [retired](Edition::retire). That is
//! for good: a slot that goes back to its generation makes another one.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::host::stream::Stream;
use crate::host::vm::StartError;
use crate::lifecycle::generation::{Duty, Generation};
use crate::lifecycle::inventory::Inventory;

/// See the module's text. Any thread.
pub struct Edition<S: Stream> {
    generation: Arc<Generation<S>>,
    members: Mutex<Members<S>>,
}

struct Members<S: Stream> {
    /// The plugin with configurations of routes.
    variants: Vec<Arc<Generation<S>>>,
    /// Of all of them. `None`: the edition is retired.
    duties: Option<Vec<Duty<S>>>,
}

impl<S: Stream> Edition<S> {
    /// A generation goes on duty. `None`: its streams were ended, so none may begin there.
    pub(super) fn new(generation: &Arc<Generation<S>>) -> Option<Self> {
        let duty = generation.go_on_duty()?;
        let members = Members { variants: Vec::new(), duties: Some(vec![duty]) };
        Some(Self { generation: Arc::clone(generation), members: Mutex::new(members) })
    }

    /// The same generations go on duty once more. `None` as for [`new`](Self::new).
    pub(super) fn renewed(&self) -> Option<Self> {
        let renewed = Self::new(&self.generation)?;
        renewed.adopt(self);
        Some(renewed)
    }

    /// The generation that streams begin on.
    pub fn generation(&self) -> &Arc<Generation<S>> {
        &self.generation
    }

    /// Whether it is an edition of a generation.
    pub(super) fn is_of(&self, generation: &Arc<Generation<S>>) -> bool {
        Arc::ptr_eq(&self.generation, generation)
    }

    /// The plugin with the configuration of a route, for as long as the edition is there.
    ///
    /// # Errors
    /// The plugin refused the configuration or trapped on it.
    pub(in crate::lifecycle) fn variant(
        &self,
        inventory: &Inventory<S>,
        configuration: &[u8],
    ) -> Result<Arc<Generation<S>>, StartError> {
        loop {
            let variant = inventory.load_variant(&self.generation, configuration)?;
            // One whose streams were ended meanwhile is not found again.
            if self.add(&variant) {
                return Ok(variant);
            }
        }
    }

    /// Answers whether streams may begin on it.
    fn add(&self, variant: &Arc<Generation<S>>) -> bool {
        let mut members = self.members.lock();
        let Members { variants, duties } = &mut *members;
        if self.is_of(variant) || variants.iter().any(|other| Arc::ptr_eq(other, variant)) {
            return true;
        }
        match duties {
            Some(duties) => match variant.go_on_duty() {
                Some(duty) => duties.push(duty),
                None => return false,
            },
            None if variant.has_ended() => return false,
            None => {}
        }
        variants.push(Arc::clone(variant));
        true
    }

    /// Has the variants of another edition of its generation.
    pub(super) fn adopt(&self, other: &Self) {
        let variants = other.members.lock().variants.clone();
        for variant in &variants {
            let _may_have_ended = self.add(variant);
        }
    }

    /// It is off duty from here on.
    pub(super) fn retire(&self) {
        let duties = self.members.lock().duties.take();
        drop(duties);
    }

    /// How many streams are on it. So with the others.
    pub(super) fn streams(&self) -> u64 {
        self.sum(Generation::streams)
    }

    /// How many have begun on it.
    pub(super) fn begun(&self) -> u64 {
        self.sum(Generation::begun)
    }

    /// How many of those failed.
    pub(super) fn failures(&self) -> u64 {
        self.sum(Generation::failures)
    }

    /// How many are on those of its generations that are nobody's duty.
    pub(super) fn forsaken(&self) -> u64 {
        self.sum(|generation| if generation.is_on_duty() { 0 } else { generation.streams() })
    }

    /// How many of those may go on yet.
    pub(super) fn overdue(&self) -> u64 {
        let may_go_on = |generation: &Generation<S>| !generation.is_on_duty() && !generation.has_ended();
        self.sum(|generation| if may_go_on(generation) { generation.streams() } else { 0 })
    }

    fn sum(&self, count: impl Fn(&Generation<S>) -> u64) -> u64 {
        let members = self.members.lock();
        members
            .variants
            .iter()
            .map(|variant| count(variant))
            .fold(count(&self.generation), u64::saturating_add)
    }

    /// Streams of those of its generations that are nobody's duty may go on no longer: each is left to the failure policy when
    /// its next event comes. If nobody else is in their VMs, these are given up now, and who waits in them is told. Waits
    /// for guest calls that run.
    pub(super) fn end_streams(&self) {
        let variants = self.members.lock().variants.clone();
        let mut has_ended = self.generation.end_streams();
        for variant in &variants {
            has_ended |= variant.end_streams();
        }
        if has_ended && self.generation.pool().generations() == 0 {
            self.generation.pool().abandon();
        }
    }
}

impl<S: Stream> std::fmt::Debug for Edition<S> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Edition")
            .field("generation", &self.generation.plugin().key)
            .finish_non_exhaustive()
    }
}
