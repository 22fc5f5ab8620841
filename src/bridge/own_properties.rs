//! What a plugin stored on its stream with `proxy_set_property`.
//!
//! It goes to Envoy's filter state too, where other filters and access logs see it; but Envoys to 1.38 refuse to
//! overwrite, so the truth is here.

/// Most properties that one stream may store, and most bytes in all of them, names and values.
const MOST: usize = 1024;
const MOST_BYTES: usize = 1024 * 1024;

/// Properties by their path, in the order in which they were stored.
#[derive(Debug, Default)]
pub(super) struct OwnProperties(Vec<(Box<[u8]>, Vec<u8>)>);

/// What became of a property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stored {
    /// It is a new one.
    New,
    /// It took the place of an older value.
    Overwritten,
}

impl OwnProperties {
    /// The value of a path.
    pub(super) fn get(&self, path: &[u8]) -> Option<&[u8]> {
        self.0.iter().find(|(own, _)| **own == *path).map(|(_, value)| value.as_slice())
    }

    /// Stores a value. `None`: there are too many.
    pub(super) fn set(&mut self, path: &[u8], value: &[u8]) -> Option<Stored> {
        let others = self.0.iter().filter(|(own, _)| **own != *path);
        let bytes = others.fold(path.len().saturating_add(value.len()), |sum, (own, value)| {
            sum.saturating_add(own.len()).saturating_add(value.len())
        });
        if bytes > MOST_BYTES {
            return None;
        }
        let is_full = self.0.len() >= MOST;
        match self.0.iter_mut().find(|(own, _)| **own == *path) {
            Some((_, old)) => {
                value.clone_into(old);
                Some(Stored::Overwritten)
            }
            None if is_full => None,
            None => {
                self.0.push((path.into(), value.to_vec()));
                Some(Stored::New)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_property_can_be_overwritten_and_a_stream_cannot_be_filled() {
        let mut own = OwnProperties::default();
        assert_eq!(own.set(b"a", b"1"), Some(Stored::New));
        assert_eq!(own.set(b"a", b"2"), Some(Stored::Overwritten));
        assert_eq!(own.get(b"a"), Some(&b"2"[..]));
        assert_eq!(own.set(b"b", &vec![0; MOST_BYTES]), None);
        for index in 1..MOST {
            assert_eq!(own.set(&index.to_le_bytes(), b""), Some(Stored::New));
        }
        assert_eq!(own.set(b"one more", b""), None);
        assert_eq!(own.set(b"a", b"3"), Some(Stored::Overwritten));
    }
}
