//! Calls whose VM is gone: a copy ends with its stream, and what its guest sent and did not wait for goes on.
//!
//! They are counted, or streams that each leave some behind would fill the process where an upstream never answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many calls the copies of one VM have left behind. Any thread.
#[derive(Clone, Debug, Default)]
pub(in crate::host) struct Orphans(Arc<AtomicUsize>);

/// Some of them, until it is dropped.
#[derive(Debug)]
pub(super) struct Orphaned {
    of: Orphans,
    count: usize,
}

impl Orphans {
    /// Counts more, if there are no more than a limit then.
    pub(super) fn adopt(&self, count: usize, limit: usize) -> Option<Orphaned> {
        let more = |now: usize| now.checked_add(count).filter(|sum| *sum <= limit);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Orphaned { of: self.clone(), count })
    }
}

impl Drop for Orphaned {
    fn drop(&mut self) {
        self.of.0.fetch_sub(self.count, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_no_more_than_may_be_and_room_comes_back() {
        let orphans = Orphans::default();
        let two = orphans.adopt(2, 3).unwrap();
        assert!(orphans.adopt(2, 3).is_none());
        let one = orphans.adopt(1, 3).unwrap();
        drop(two);
        assert!(orphans.adopt(3, 3).is_none());
        drop(one);
        assert!(orphans.adopt(3, 3).is_some());
    }
}
