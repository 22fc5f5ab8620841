//! What is known already, and the records of it.
//!
//! A shelf keeps bytes by a digest, and says nothing when it cannot. Wasm is found by its own SHA-256; what an image or an
//! address led to last time is a [`Record`], found by a [`Name`], and it is by records alone that code is
//! found.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::cache::{Cache, Kind};
use super::name::Name;
use crate::config::Digest;

/// Keeps bytes. Neither call fails: what is not there must be had elsewhere, and what cannot be kept is fetched again.
pub trait Shelf: Send + Sync {
    /// The bytes, as they were written.
    fn read(&self, kind: Kind, key: &[u8; 32]) -> Option<Vec<u8>>;
    /// Keeps the bytes, if it can.
    fn write(&self, kind: Kind, key: &[u8; 32], bytes: &[u8]);
    /// Whether there is something to be read, as far as that can be told without reading it.
    fn has(&self, kind: Kind, key: &[u8; 32]) -> bool {
        self.read(kind, key).is_some()
    }
}

impl Shelf for Cache {
    fn read(&self, kind: Kind, key: &[u8; 32]) -> Option<Vec<u8>> {
        Self::read(self, kind, key)
    }

    fn write(&self, kind: Kind, key: &[u8; 32], bytes: &[u8]) {
        Self::write(self, kind, key, bytes);
    }

    fn has(&self, kind: Kind, key: &[u8; 32]) -> bool {
        Self::has(self, kind, key)
    }
}

/// Keeps nothing.
#[derive(Debug, Clone, Copy)]
pub struct NoShelf;

impl Shelf for NoShelf {
    fn read(&self, _: Kind, _: &[u8; 32]) -> Option<Vec<u8>> {
        None
    }

    fn write(&self, _: Kind, _: &[u8; 32], _: &[u8]) {}
}

/// What a name led to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// What the source called that version: the digest of a manifest, a tag of HTTP.
    pub(super) revision: String,
    /// SHA-256 of the Wasm, in hexadecimal.
    wasm: String,
    /// When it was written, in nanoseconds since 1970.
    #[serde(default)]
    written: u64,
}

impl Record {
    /// Wasm that was fetched just now.
    pub(super) fn of(revision: String, wasm: &[u8]) -> Self {
        Self { revision, wasm: sha256(wasm).to_string(), written: 0 }
    }

    /// The record that was written last under one of those names.
    pub(super) fn read(shelf: &dyn Shelf, names: &[Name]) -> Option<Self> {
        let read = |name: &Name| -> Option<Self> {
            serde_json::from_slice(&shelf.read(Kind::Reference, name.key())?).ok()
        };
        names.iter().filter_map(read).max_by_key(|record| record.written)
    }

    /// Keeps the record under that name.
    pub(super) fn write(&self, store: &dyn Shelf, name: Name) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
        let record = Self { written: u64::try_from(now).unwrap_or(u64::MAX), ..self.clone() };
        if let Ok(bytes) = serde_json::to_vec(&record) {
            store.write(Kind::Reference, name.key(), &bytes);
        }
    }

    /// Whether the Wasm that it is about seems to be there.
    pub(super) fn has_wasm(&self, store: &dyn Shelf) -> bool {
        Digest::parse(&self.wasm).is_some_and(|digest| store.has(Kind::Wasm, digest.as_bytes()))
    }

    /// The Wasm that it is about.
    pub(super) fn wasm(&self, store: &dyn Shelf) -> Option<Vec<u8>> {
        wasm(store, Digest::parse(&self.wasm)?)
    }
}

/// The Wasm with that digest.
pub(super) fn wasm(shelf: &dyn Shelf, digest: Digest) -> Option<Vec<u8>> {
    // Whatever a shelf promises: what is run is what was asked for.
    shelf.read(Kind::Wasm, digest.as_bytes()).filter(|bytes| sha256(bytes) == digest)
}

/// Keeps Wasm.
pub(super) fn keep_wasm(shelf: &dyn Shelf, bytes: &[u8]) {
    shelf.write(Kind::Wasm, sha256(bytes).as_bytes(), bytes);
}

/// The digest of some bytes.
pub(super) fn sha256(bytes: &[u8]) -> Digest {
    Digest::new(Sha256::digest(bytes).into())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use parking_lot::Mutex;

    use super::*;
    use crate::config::SourceConfig;

    type Kept = HashMap<(Kind, [u8; 32]), Vec<u8>>;

    /// A shelf in memory.
    #[derive(Default)]
    struct Memory(Mutex<Kept>);

    impl Shelf for Memory {
        fn read(&self, kind: Kind, key: &[u8; 32]) -> Option<Vec<u8>> {
            self.0.lock().get(&(kind, *key)).cloned()
        }

        fn write(&self, kind: Kind, key: &[u8; 32], bytes: &[u8]) {
            self.0.lock().insert((kind, *key), bytes.to_vec());
        }
    }

    #[test]
    fn a_record_leads_to_its_wasm() {
        let shelf = Memory::default();
        let config = SourceConfig::default();
        let [one, other] = ["a/b:1", "a/b:2"].map(|what| Name::new("oci", what, &config, None));
        let record = Record::of("sha256:1".to_owned(), b"\0asm");
        record.write(&shelf, one);
        assert!(!record.has_wasm(&shelf));
        keep_wasm(&shelf, b"\0asm");
        assert!(record.has_wasm(&shelf));
        let found = Record::read(&shelf, &[other, one]).unwrap();
        assert_eq!((found.revision.as_str(), found.wasm(&shelf)), ("sha256:1", Some(b"\0asm".to_vec())));
        assert_eq!(Record::read(&shelf, &[other]), None);
        Record::of("sha256:2".to_owned(), b"\0asm").write(&shelf, other);
        assert_eq!(Record::read(&shelf, &[one, other]).unwrap().revision, "sha256:2", "the newest");
        record.write(&shelf, one);
        assert_eq!(Record::read(&shelf, &[one, other]).unwrap().revision, "sha256:1");
    }

    #[test]
    fn what_a_shelf_got_wrong_is_not_used() {
        let shelf = Memory::default();
        let digest = sha256(b"\0asm");
        shelf.write(Kind::Wasm, digest.as_bytes(), b"other");
        assert_eq!(wasm(&shelf, digest), None);
        let name = Name::new("oci", "a/b:1", &SourceConfig::default(), None);
        shelf.write(Kind::Reference, name.key(), b"{");
        assert_eq!(Record::read(&shelf, &[name]), None);
    }
}
