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
    before: Counts,
    members: Mutex<Members<S>>,
}

struct Members<S: Stream> {
    /// The plugin with configurations of routes.
    variants: Vec<Variant<S>>,
    /// Of all of them. `None`: the edition is retired.
    duties: Option<Vec<Duty<S>>>,
}

struct Variant<S: Stream> {
    generation: Arc<Generation<S>>,
    before: Counts,
}

/// Streams of a generation: those of all editions that have it. So what was before it came to one is none of that one's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Those that have begun, or tried to.
    pub(super) begun: u64,
    /// Those of them that failed.
    pub(super) failures: u64,
}

impl Counts {
    fn of<S: Stream>(generation: &Generation<S>) -> Self {
        // In this order: one that begins and fails meanwhile is no failure without a stream.
        let failures = generation.failures();
        Self { begun: generation.begun(), failures }
    }

    fn since(self, before: Self) -> Self {
        Self {
            begun: self.begun.saturating_sub(before.begun),
            failures: self.failures.saturating_sub(before.failures),
        }
    }

    fn and(self, other: Self) -> Self {
        Self {
            begun: self.begun.saturating_add(other.begun),
            failures: self.failures.saturating_add(other.failures),
        }
    }
}

impl<S: Stream> Clone for Variant<S> {
    fn clone(&self) -> Self {
        Self { generation: Arc::clone(&self.generation), before: self.before }
    }
}

impl<S: Stream> Edition<S> {
    /// A generation goes on duty. `None`: its streams were ended, so none may begin there.
    pub(super) fn new(generation: &Arc<Generation<S>>) -> Option<Self> {
        let duty = generation.go_on_duty()?;
        let members = Members { variants: Vec::new(), duties: Some(vec![duty]) };
        let (generation, before) = (Arc::clone(generation), Counts::of(generation));
        Some(Self { generation, before, members: Mutex::new(members) })
    }

    /// The same generations go on duty once more, with the streams that have begun since they came to this one. `None` as
    /// for [`new`](Self::new).
    pub(super) fn renewed(&self) -> Option<Self> {
        let renewed = Self { before: self.before, ..Self::new(&self.generation)? };
        for variant in self.variants() {
            let _may_have_ended = renewed.add(&variant.generation, variant.before);
        }
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
            if self.add(&variant, Counts::of(&variant)) {
                return Ok(variant);
            }
        }
    }

    /// Answers whether streams may begin on it.
    fn add(&self, variant: &Arc<Generation<S>>, before: Counts) -> bool {
        let mut members = self.members.lock();
        let Members { variants, duties } = &mut *members;
        if self.is_of(variant) || variants.iter().any(|other| Arc::ptr_eq(&other.generation, variant)) {
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
        variants.push(Variant { generation: Arc::clone(variant), before });
        true
    }

    /// Those that are there now. Whoever has these may be the last to hold one: to be dropped without a lock.
    fn variants(&self) -> Vec<Variant<S>> {
        self.members.lock().variants.clone()
    }

    /// Has the variants of another edition of its generation.
    pub(super) fn adopt(&self, other: &Self) {
        for Variant { generation, .. } in other.variants() {
            let _may_have_ended = self.add(&generation, Counts::of(&generation));
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

    /// Streams that have begun since its generations came to it. Those of a variant that another edition has as well are left
    /// out: nobody knows on which of the two they began.
    pub(super) fn counts_beside(&self, other: &Self) -> Counts {
        let theirs = other.keys();
        let members = self.members.lock();
        members
            .variants
            .iter()
            .filter(|variant| !theirs.contains(&variant.generation.plugin().key))
            .map(|variant| Counts::of(&variant.generation).since(variant.before))
            .fold(Counts::of(&self.generation).since(self.before), Counts::and)
    }

    /// The numbers of its generations.
    fn keys(&self) -> Vec<u64> {
        let members = self.members.lock();
        let variants = members.variants.iter().map(|variant| &variant.generation);
        std::iter::once(&self.generation).chain(variants).map(|generation| generation.plugin().key).collect()
    }

    fn sum(&self, count: impl Fn(&Generation<S>) -> u64) -> u64 {
        let members = self.members.lock();
        members
            .variants
            .iter()
            .map(|variant| count(&variant.generation))
            .fold(count(&self.generation), u64::saturating_add)
    }

    /// Streams of those of its generations that are nobody's duty may go on no longer: each is left to the failure policy when
    /// its next event comes. If nobody else is in their VMs, these are given up now, and who waits in them is told. Waits
    /// for guest calls that run.
    pub(super) fn end_streams(&self) {
        let mut has_ended = self.generation.end_streams();
        for variant in self.variants() {
            has_ended |= variant.generation.end_streams();
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
