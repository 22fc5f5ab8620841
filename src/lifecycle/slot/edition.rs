//! An edition: a generation as one slot has it, with what routes make of it.
//!
//! ```text
//!   slot X ── edition ──┬── generation A          Generations are shared: whatever slot or route wants the same finds
//!                       └── generation B, of a    the same. An edition is one slot's own. So what is replaced is an
//!   slot Y ── edition ───── generation B  route   edition, and streams of a generation are ended when no edition has it.
//! ```
//!
//! An edition is on duty from its beginning, and its generations with it, until it is [retired](Edition::retire). That is
//! for good: a slot that goes back to its generation makes another one. What a route makes of the plugin goes with the
//! last route that configures it so.

use std::sync::{Arc, Weak};

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
    /// The plugin with configurations of routes, each on duty if the edition is.
    variants: Vec<(Variant<S>, Option<Duty<S>>)>,
    /// What has begun on those that went with their routes.
    gone: Counts,
    /// `None`: the edition is retired.
    duty: Option<Duty<S>>,
}

struct Variant<S: Stream> {
    generation: Arc<Generation<S>>,
    before: Counts,
    /// The configurations of those that have it, each for as long as its route is there.
    routes: Vec<Weak<[u8]>>,
}

/// What went with its routes: to be dropped without a lock, for guests say goodbye.
#[must_use]
pub(super) struct Forgotten<S: Stream> {
    _variants: Vec<(Variant<S>, Option<Duty<S>>)>,
    /// One whose routes are gone has streams yet.
    pub(super) are_more: bool,
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
        Self { generation: Arc::clone(&self.generation), before: self.before, routes: self.routes.clone() }
    }
}

impl<S: Stream> Edition<S> {
    /// A generation goes on duty. `None`: its streams were ended, so none may begin there.
    pub(super) fn new(generation: &Arc<Generation<S>>) -> Option<Self> {
        let duty = generation.go_on_duty()?;
        let members = Members { variants: Vec::new(), gone: Counts::default(), duty: Some(duty) };
        let (generation, before) = (Arc::clone(generation), Counts::of(generation));
        Some(Self { generation, before, members: Mutex::new(members) })
    }

    /// The same generations go on duty once more, with the streams that have begun since they came to this one. `None` as
    /// for [`new`](Self::new).
    pub(super) fn renewed(&self) -> Option<Self> {
        let renewed = Self { before: self.before, ..Self::new(&self.generation)? };
        for variant in self.variants() {
            let _may_have_ended = renewed.add(variant);
        }
        renewed.members.lock().gone = self.members.lock().gone;
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

    /// The plugin with the configuration of a route, for as long as the edition and the route are there.
    ///
    /// # Errors
    /// The plugin refused the configuration or trapped on it.
    pub(in crate::lifecycle) fn variant(
        &self,
        inventory: &Inventory<S>,
        configuration: &Arc<[u8]>,
    ) -> Result<Arc<Generation<S>>, StartError> {
        loop {
            let generation = inventory.load_variant(&self.generation, configuration)?;
            // One whose streams were ended meanwhile is not found again.
            let (before, routes) = (Counts::of(&generation), vec![Arc::downgrade(configuration)]);
            if self.add(Variant { generation: Arc::clone(&generation), before, routes }) {
                return Ok(generation);
            }
        }
    }

    /// Answers whether streams may begin on it.
    fn add(&self, variant: Variant<S>) -> bool {
        if self.is_of(&variant.generation) {
            return true;
        }
        let mut members = self.members.lock();
        let Members { variants, duty, .. } = &mut *members;
        let is_it = |other: &&mut (Variant<S>, _)| Arc::ptr_eq(&other.0.generation, &variant.generation);
        if let Some((known, _)) = variants.iter_mut().find(is_it) {
            known.routes.retain(|route| route.strong_count() > 0);
            let is_new = |route: &Weak<[u8]>| !known.routes.iter().any(|other| other.ptr_eq(route));
            let new: Vec<_> = variant.routes.into_iter().filter(is_new).collect();
            known.routes.extend(new);
            return true;
        }
        let duty = match duty {
            Some(_) => match variant.generation.go_on_duty() {
                Some(duty) => Some(duty),
                None => return false,
            },
            None if variant.generation.has_ended() => return false,
            None => None,
        };
        variants.push((variant, duty));
        true
    }

    /// Lets the variants go whose routes are gone, each when it has no streams.
    pub(super) fn forget_routes(&self) -> Forgotten<S> {
        let mut members = self.members.lock();
        let Members { variants, gone, .. } = &mut *members;
        let is_over = |variant: &Variant<S>| variant.routes.iter().all(|route| route.strong_count() == 0);
        let forgotten: Vec<_> = variants
            .extract_if(.., |(variant, _)| is_over(variant) && variant.generation.streams() == 0)
            .collect();
        *gone = forgotten.iter().map(|(variant, _)| Counts::of(&variant.generation)).fold(*gone, Counts::and);
        let are_more = variants.iter().any(|(variant, _)| is_over(variant));
        Forgotten { _variants: forgotten, are_more }
    }

    /// Those that are there now. Whoever has these may be the last to hold one: to be dropped without a lock.
    fn variants(&self) -> Vec<Variant<S>> {
        self.members.lock().variants.iter().map(|(variant, _)| variant.clone()).collect()
    }

    /// Has the variants of another edition of its generation.
    pub(super) fn adopt(&self, other: &Self) {
        for variant in other.variants() {
            let before = Counts::of(&variant.generation);
            let _may_have_ended = self.add(Variant { before, ..variant });
        }
    }

    /// It is off duty from here on.
    pub(super) fn retire(&self) {
        let mut members = self.members.lock();
        let of_variants = members.variants.iter_mut().map(|(_, duty)| duty.take()).collect::<Vec<_>>();
        let duties = (members.duty.take(), of_variants);
        drop(members);
        drop(duties);
    }

    /// How many streams are on it. So with the others.
    pub(super) fn streams(&self) -> u64 {
        self.sum(Generation::streams)
    }

    /// How many have begun on it.
    pub(super) fn begun(&self) -> u64 {
        self.sum(Generation::begun).saturating_add(self.members.lock().gone.begun)
    }

    /// How many of those failed.
    pub(super) fn failures(&self) -> u64 {
        self.sum(Generation::failures).saturating_add(self.members.lock().gone.failures)
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
            .map(|(variant, _)| variant)
            .filter(|variant| !theirs.contains(&variant.generation.plugin().key))
            .map(|variant| Counts::of(&variant.generation).since(variant.before))
            .fold(Counts::of(&self.generation).since(self.before), Counts::and)
    }

    /// The numbers of its generations.
    fn keys(&self) -> Vec<u64> {
        let members = self.members.lock();
        let variants = members.variants.iter().map(|(variant, _)| &variant.generation);
        std::iter::once(&self.generation).chain(variants).map(|generation| generation.plugin().key).collect()
    }

    fn sum(&self, count: impl Fn(&Generation<S>) -> u64) -> u64 {
        let members = self.members.lock();
        members
            .variants
            .iter()
            .map(|(variant, _)| count(&variant.generation))
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
