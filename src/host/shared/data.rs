//! Shared data: keys and values with change numbers, for compare-and-set.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Budget, ENTRY, next_change};

/// A value as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The bytes.
    pub value: Arc<[u8]>,
    /// The number of the change that wrote it; never 0.
    pub change: u32,
    /// When it ends, in nanoseconds of the clock that never goes back. `None`: never.
    expires: Option<u64>,
}

impl Entry {
    fn is_alive(&self, now: u64) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }
}

/// Why a value was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The value is not the one that the writer has seen.
    #[error("the value has been changed meanwhile")]
    Changed,
    /// The VM id holds as many bytes as it may.
    #[error("the shared bytes of the VM id are used up (graft.limits.shared_bytes)")]
    Full,
}

/// The data of a VM id. `now` is always the clock that never goes back, in nanoseconds.
#[derive(Debug)]
pub struct Data {
    entries: Mutex<HashMap<Box<[u8]>, Entry>>,
    budget: Arc<Budget>,
}

impl Data {
    pub(super) fn new(budget: Arc<Budget>) -> Self {
        Self { entries: Mutex::default(), budget }
    }

    /// A value. Cheap: it is not copied.
    pub fn get(&self, key: &[u8], now: u64) -> Option<Entry> {
        let mut entries = self.entries.lock();
        let entry = entries.get(key)?;
        if entry.is_alive(now) {
            return Some(entry.clone());
        }
        self.remove(&mut entries, key);
        None
    }

    /// Writes a value. `change` is the number that the writer has seen, 0 for "whatever is there"; a key that is not
    /// there takes any number, as in the built-in host. After `lifetime` nanoseconds the value is gone; `None`: never.
    ///
    /// # Errors
    /// Another change came first, or there is no room; nothing was written.
    pub fn set(
        &self,
        key: &[u8],
        value: &[u8],
        change: u32,
        now: u64,
        lifetime: Option<u64>,
    ) -> Result<(), WriteError> {
        let mut entries = self.entries.lock();
        let old = entries.get(key);
        if old.is_some_and(|old| change != 0 && old.change != change && old.is_alive(now)) {
            return Err(WriteError::Changed);
        }
        let held = old.map_or(0, |old| size(key, &old.value));
        if !self.budget.replace(held, size(key, value)) {
            return Err(WriteError::Full);
        }
        let expires = lifetime.map(|lifetime| now.saturating_add(lifetime));
        entries.insert(key.into(), Entry { value: value.into(), change: next_change(), expires });
        Ok(())
    }

    /// Removes a value; `change` as for [`set`](Self::set). Answers whether it was there.
    ///
    /// # Errors
    /// Another change came first.
    pub fn delete(&self, key: &[u8], change: u32, now: u64) -> Result<bool, WriteError> {
        let mut entries = self.entries.lock();
        let Some(entry) = entries.get(key) else { return Ok(false) };
        let is_alive = entry.is_alive(now);
        if is_alive && change != 0 && entry.change != change {
            return Err(WriteError::Changed);
        }
        self.remove(&mut entries, key);
        Ok(is_alive)
    }

    /// The keys that begin so, sorted.
    pub fn keys(&self, prefix: &[u8], now: u64) -> Vec<Box<[u8]>> {
        let entries = self.entries.lock();
        let mut keys: Vec<Box<[u8]>> = entries
            .iter()
            .filter(|(key, entry)| key.starts_with(prefix) && entry.is_alive(now))
            .map(|(key, _)| key.clone())
            .collect();
        keys.sort_unstable();
        keys
    }

    fn remove(&self, entries: &mut HashMap<Box<[u8]>, Entry>, key: &[u8]) {
        if let Some(entry) = entries.remove(key) {
            self.budget.replace(size(key, &entry.value), 0);
        }
    }
}

fn size(key: &[u8], value: &[u8]) -> usize {
    key.len().saturating_add(value.len()).saturating_add(ENTRY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(limit: usize) -> Data {
        Data::new(Arc::new(Budget { limit, used: Mutex::new(0) }))
    }

    #[test]
    fn a_value_is_changed_by_who_has_seen_the_last_one() {
        let data = data(1000);
        data.set(b"k", b"1", 77, 0, None).unwrap();
        let seen = data.get(b"k", 0).unwrap();
        assert_eq!((&*seen.value, seen.change > 0), (&b"1"[..], true));
        data.set(b"k", b"2", seen.change, 0, None).unwrap();
        assert_eq!(data.set(b"k", b"3", seen.change, 0, None), Err(WriteError::Changed));
        assert_eq!(data.delete(b"k", seen.change, 0), Err(WriteError::Changed));
        data.set(b"k", b"4", 0, 0, None).unwrap();
        assert_eq!(&*data.get(b"k", 0).unwrap().value, b"4");
    }

    #[test]
    fn what_has_expired_is_not_there_and_gives_its_bytes_back() {
        let data = data(200);
        data.set(b"k", &[1; 100], 0, 100, Some(50)).unwrap();
        assert!(data.get(b"k", 149).is_some());
        assert_eq!(data.keys(b"", 149), [Box::from(&b"k"[..])]);
        assert!(data.keys(b"", 150).is_empty());
        assert!(data.get(b"k", 150).is_none());
        data.set(b"other", &[1; 100], 0, 0, None).unwrap();
    }

    #[test]
    fn keys_are_listed_by_prefix_and_deleted() {
        let data = data(1000);
        for key in [&b"b/2"[..], b"a/1", b"b/1"] {
            data.set(key, b"", 0, 0, None).unwrap();
        }
        assert_eq!(data.keys(b"b/", 0), [Box::from(&b"b/1"[..]), Box::from(&b"b/2"[..])]);
        assert_eq!(data.delete(b"b/1", 0, 0), Ok(true));
        assert_eq!(data.delete(b"b/1", 0, 0), Ok(false));
        assert_eq!(data.keys(b"b/", 0).len(), 1);
    }

    #[test]
    fn what_does_not_fit_is_not_written() {
        let data = data(ENTRY + 10);
        assert_eq!(data.set(b"k", &[0; 10], 0, 0, None), Err(WriteError::Full));
        assert!(data.get(b"k", 0).is_none());
        data.set(b"k", &[0; 9], 0, 0, None).unwrap();
        assert_eq!(data.set(b"l", b"", 0, 0, None), Err(WriteError::Full));
    }
}
