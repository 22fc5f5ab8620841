//! What is known already, and the records of it.
//!
//! A shelf keeps bytes by a digest, and says nothing when it cannot. Wasm is found by its own SHA-256; what an image or an
//! address led to last time is a [`Record`], found by a [`Name`]. Who asks is part of the name: a private image is on the
//! shelf only for those who come with the same pull secret as the one who fetched it, since no registry is asked then.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::cache::{Cache, Kind};
use crate::config::{Digest, PullSecret, SourceConfig};

/// Keeps bytes. Neither call fails: what is not there must be had elsewhere, and what cannot be kept is fetched again.
pub trait Shelf: Send + Sync {
    /// The bytes, as they were written.
    fn read(&self, kind: Kind, key: &[u8; 32]) -> Option<Vec<u8>>;
    /// Keeps the bytes, if it can.
    fn write(&self, kind: Kind, key: &[u8; 32], bytes: &[u8]);
}

impl Shelf for Cache {
    fn read(&self, kind: Kind, key: &[u8; 32]) -> Option<Vec<u8>> {
        Self::read(self, kind, key)
    }

    fn write(&self, kind: Kind, key: &[u8; 32], bytes: &[u8]) {
        Self::write(self, kind, key, bytes);
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
    /// Fingerprint of the keys by which its signature was verified, in hexadecimal; empty: none was asked for.
    #[serde(default)]
    keys: String,
}

/// Under what a record lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Name([u8; 32]);

impl Name {
    /// The name of something, for those who have this pull secret.
    pub(super) fn new(kind: &str, what: &str, config: &SourceConfig) -> Self {
        let mut hash = Sha256::new();
        let (form, value) = match &config.pull_secret {
            None => ("", String::new()),
            // Their contents may change: whoever may name the file has the right that its contents give.
            Some(PullSecret::File(path)) => ("file", path.to_string_lossy().into_owned()),
            Some(PullSecret::Environment(name)) => ("environment", name.clone()),
            Some(PullSecret::Inline(secret)) => ("inline", secret.expose().to_owned()),
        };
        for part in [kind, what, form, &value] {
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }
}

impl Record {
    /// Wasm that was fetched just now, verified by the keys with this fingerprint.
    pub(super) fn of(revision: String, wasm: &[u8], keys: Option<Digest>) -> Self {
        let keys = keys.map(|keys| keys.to_string()).unwrap_or_default();
        Self { revision, wasm: sha256(wasm).to_string(), keys }
    }

    /// The record of that name, if its Wasm may be used by those who ask for signatures by these keys.
    pub(super) fn read(shelf: &dyn Shelf, name: Name, keys: Option<Digest>) -> Option<Self> {
        let record: Self = serde_json::from_slice(&shelf.read(Kind::Reference, &name.0)?).ok()?;
        let is_verified = keys.is_none_or(|keys| record.keys == keys.to_string());
        is_verified.then_some(record)
    }

    /// Keeps the record under that name.
    pub(super) fn write(&self, store: &dyn Shelf, name: Name) {
        if let Ok(bytes) = serde_json::to_vec(self) {
            store.write(Kind::Reference, &name.0, &bytes);
        }
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
    use crate::config::Secret;

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
    fn a_record_leads_to_its_wasm_for_those_who_have_the_same_rights() {
        let shelf = Memory::default();
        let config = SourceConfig::default();
        let name = Name::new("oci", "a/b:1", &config);
        keep_wasm(&shelf, b"\0asm");
        Record::of("sha256:1".to_owned(), b"\0asm", None).write(&shelf, name);
        let record = Record::read(&shelf, name, None).unwrap();
        assert_eq!((record.revision.as_str(), record.wasm(&shelf)), ("sha256:1", Some(b"\0asm".to_vec())));

        let secret = |text: &str| SourceConfig {
            pull_secret: Some(PullSecret::Inline(Secret::new(text))),
            ..config.clone()
        };
        for other in [
            Name::new("oci", "a/b:2", &config),
            Name::new("web", "a/b:1", &config),
            Name::new("oci", "a/b:1", &secret("x")),
        ] {
            assert_eq!(Record::read(&shelf, other, None), None);
        }
    }

    #[test]
    fn a_record_serves_only_the_keys_that_it_was_verified_by() {
        let shelf = Memory::default();
        let name = Name::new("oci", "a/b:1", &SourceConfig::default());
        let (one, other) = (Some(sha256(b"one")), Some(sha256(b"other")));
        Record::of("r".to_owned(), b"\0asm", None).write(&shelf, name);
        assert_eq!(Record::read(&shelf, name, one), None);
        Record::of("r".to_owned(), b"\0asm", one).write(&shelf, name);
        assert!(Record::read(&shelf, name, one).is_some());
        assert!(Record::read(&shelf, name, None).is_some());
        assert_eq!(Record::read(&shelf, name, other), None);
    }

    #[test]
    fn what_a_shelf_got_wrong_is_not_used() {
        let shelf = Memory::default();
        let digest = sha256(b"\0asm");
        shelf.write(Kind::Wasm, digest.as_bytes(), b"other");
        assert_eq!(wasm(&shelf, digest), None);
        let name = Name::new("oci", "a/b:1", &SourceConfig::default());
        shelf.write(Kind::Reference, &name.0, b"{");
        assert_eq!(Record::read(&shelf, name, None), None);
    }
}
