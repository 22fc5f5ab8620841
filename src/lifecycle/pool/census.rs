//! How many VMs a pool has, for those who must not wait.
//!
//! A worker whose home failed holds its place while it starts another VM, which takes as long as the guest likes. So a
//! place that is held for longer than a look takes is counted as it is then: without a home.

use std::time::Duration;

use super::Pool;
use crate::host::stream::Stream;

/// For longer nobody holds a place who starts no VM.
const LOOK: Duration = Duration::from_micros(100);

/// See the module's text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// VMs, spares included. Those of single streams are not.
    pub vms: usize,
    /// Bytes of their memory.
    pub memory_bytes: usize,
}

impl<S: Stream> Pool<S> {
    /// How many VMs there are. Enters none, and waits for none that starts.
    pub fn census(&self) -> Census {
        let mut census = Census::default();
        let mut add = |memory_bytes: usize| {
            census.vms = census.vms.saturating_add(1);
            census.memory_bytes = census.memory_bytes.saturating_add(memory_bytes);
        };
        self.spares.vms().iter().for_each(|vm| add(vm.memory_bytes()));
        for place in self.places() {
            if let Some(place) = place.try_lock_for(LOOK) {
                place.vms().filter(|vm| !vm.has_failed()).for_each(|vm| add(vm.memory_bytes()));
            }
        }
        census
    }
}
