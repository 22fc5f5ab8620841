//! What plugins of one VM id share, in all workers: data and queues.
//!
//! ```text
//!   Shared ── "vm id" ──► Space ──► data: key ─► value, change number
//!                               └─► queues: name ─► Queue ◄── token ── Shared
//! ```
//!
//! A space lives as long as a VM of its id: each template holds it, [`Shared`] only finds it. So data survives a swap
//! in which the VM id stays, and goes with the last VM, as in the built-in host. A space holds a bounded number of bytes,
//! data and queued messages together, because nothing obliges a plugin to take out what it puts in.

mod data;
mod queues;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

pub use self::data::{Data, Entry, WriteError};
pub use self::queues::{Queue, QueueFull, Reader, WakeUps};

/// What an entry costs beside its bytes, so that empty ones count too.
const ENTRY: usize = 64;

/// Longest name of a queue, in bytes. A queue is never removed while its VM id lives.
const LONGEST_NAME: usize = 4096;

/// Most queues of a VM id.
const MOST_QUEUES: usize = 4096;

/// Finds spaces by their VM id and queues by their token. One per process; any thread.
#[derive(Debug, Default)]
pub struct Shared {
    spaces: Mutex<HashMap<String, Weak<Space>>>,
    queues: Mutex<Queues>,
}

#[derive(Debug, Default)]
struct Queues {
    last_token: u32,
    by_token: HashMap<u32, Weak<Queue>>,
}

/// What the VMs of one id share.
#[derive(Debug)]
pub struct Space {
    /// `proxy_get_shared_data`, `proxy_set_shared_data`.
    pub data: Data,
    queues: Mutex<HashMap<Box<[u8]>, Arc<Queue>>>,
    budget: Arc<Budget>,
}

/// Bytes that a space may hold.
#[derive(Debug)]
pub(super) struct Budget {
    limit: usize,
    used: Mutex<usize>,
}

impl Budget {
    /// Replaces what an entry holds. `false`: too much, nothing changed.
    pub(super) fn replace(&self, old: usize, new: usize) -> bool {
        let mut used = self.used.lock();
        let after = used.saturating_sub(old).saturating_add(new);
        // What shrinks is welcome, however much there is.
        if after > self.limit && new > old {
            return false;
        }
        *used = after;
        true
    }
}

impl Shared {
    /// The space of a VM id: the one that lives, or a new one that holds at most `limit` bytes.
    pub fn space(&self, vm_id: &str, limit: usize) -> Arc<Space> {
        let mut spaces = self.spaces.lock();
        if let Some(space) = spaces.get(vm_id).and_then(Weak::upgrade) {
            return space;
        }
        spaces.retain(|_, space| space.strong_count() > 0);
        let budget = Arc::new(Budget { limit, used: Mutex::new(0) });
        let space =
            Arc::new(Space { data: Data::new(Arc::clone(&budget)), queues: Mutex::default(), budget });
        spaces.insert(vm_id.to_owned(), Arc::downgrade(&space));
        space
    }

    /// Makes a queue, or finds it. `None`: the space has too many.
    pub fn register(&self, space: &Space, name: &[u8]) -> Option<Arc<Queue>> {
        if name.len() > LONGEST_NAME {
            return None;
        }
        let mut queues = space.queues.lock();
        if let Some(queue) = queues.get(name) {
            return Some(Arc::clone(queue));
        }
        if queues.len() >= MOST_QUEUES {
            return None;
        }
        let mut by_token = self.queues.lock();
        by_token.by_token.retain(|_, queue| queue.strong_count() > 0);
        let token = by_token.next_token()?;
        let queue = Arc::new(Queue::new(token, Arc::clone(&space.budget)));
        by_token.by_token.insert(token, Arc::downgrade(&queue));
        queues.insert(name.into(), Arc::clone(&queue));
        Some(queue)
    }

    /// The token of a queue that a VM id has.
    pub fn resolve(&self, vm_id: &str, name: &[u8]) -> Option<u32> {
        let space = self.spaces.lock().get(vm_id).and_then(Weak::upgrade)?;
        let queues = space.queues.lock();
        queues.get(name).map(|queue| queue.token())
    }

    /// A queue by its token.
    pub fn queue(&self, token: u32) -> Option<Arc<Queue>> {
        self.queues.lock().by_token.get(&token).and_then(Weak::upgrade)
    }
}

impl Queues {
    /// Tokens count from 1. One that is used is left out when they begin again.
    fn next_token(&mut self) -> Option<u32> {
        let start = self.last_token;
        loop {
            self.last_token = self.last_token.wrapping_add(1).max(1);
            if !self.by_token.contains_key(&self.last_token) {
                return Some(self.last_token);
            }
            if self.last_token == start {
                return None;
            }
        }
    }
}

/// Numbers changes of data, in all spaces: no two changes have the same number.
pub(super) fn next_change() -> u32 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    /// 0 means "whatever is there" in `proxy_set_shared_data`, so no change has it.
    const NUMBERS: u64 = u32::MAX as u64;
    let number = LAST.fetch_add(1, Ordering::Relaxed).checked_rem(NUMBERS).unwrap_or(0);
    u32::try_from(number).unwrap_or(0).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_space_is_found_by_its_id_and_goes_with_its_last_holder() {
        let shared = Shared::default();
        let one = shared.space("a", 1000);
        assert!(Arc::ptr_eq(&one, &shared.space("a", 1000)));
        assert!(!Arc::ptr_eq(&one, &shared.space("b", 1000)));
        one.data.set(b"k", b"v", 0, 0, None).unwrap();
        drop(one);
        assert!(shared.space("a", 1000).data.get(b"k", 0).is_none());
    }

    #[test]
    fn queues_are_found_by_name_and_by_token_and_go_with_their_space() {
        let shared = Shared::default();
        let space = shared.space("a", 1000);
        let token = |name| shared.register(&space, name).unwrap().token();
        let other = token(b"other");
        let token = token(b"q");
        assert_eq!(shared.register(&space, b"q").unwrap().token(), token);
        assert_ne!(other, token);
        assert_eq!(shared.resolve("a", b"q"), Some(token));
        assert_eq!(shared.resolve("b", b"q"), None);
        assert!(shared.queue(token).is_some());
        drop(space);
        assert!(shared.queue(token).is_none());
    }

    #[test]
    fn a_space_has_a_bounded_number_of_queues() {
        let shared = Shared::default();
        let space = shared.space("a", 1000);
        for number in 0..MOST_QUEUES {
            assert!(shared.register(&space, &number.to_le_bytes()).is_some());
        }
        assert!(shared.register(&space, b"one more").is_none());
        assert!(shared.register(&space, &[b'x'; LONGEST_NAME + 1]).is_none());
    }

    #[test]
    fn data_and_messages_share_the_bytes() {
        let shared = Shared::default();
        let space = shared.space("a", 1000);
        let queue = shared.register(&space, b"q").unwrap();
        space.data.set(b"key", &[0; 800], 0, 0, None).unwrap();
        assert_eq!(queue.push(&[0; 100]), Err(QueueFull));
        space.data.set(b"key", &[0; 10], 0, 0, None).unwrap();
        assert!(queue.push(&[0; 100]).is_ok());
        assert_eq!(space.data.set(b"key", &[0; 800], 0, 0, None), Err(WriteError::Full));
        assert_eq!(queue.pop().unwrap().len(), 100);
        space.data.set(b"key", &[0; 800], 0, 0, None).unwrap();
    }
}
