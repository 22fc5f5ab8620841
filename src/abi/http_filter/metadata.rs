//! Metadata: of the stream, the route, the cluster, the upstream host and its locality.
//!
//! Two warnings. Envoy keeps the metadata of a host only until the next question about metadata, so these questions
//! take `&mut self`: one answer at a time. And a question for a string, number or bool whose value is of another type
//! writes a line at level *error* into Envoy's log; so know the type, or ask for the list forms first, which do not.

use super::super::buffer::{Buffers, envoy_bytes, lend};
use super::super::table::callbacks;
use super::super::types::MetadataSource;
use super::{HttpFilterHandle, raw};

type RawBuffer = raw::envoy_dynamic_module_type_envoy_buffer;

impl HttpFilterHandle {
    /// A value that is a string. `None` if there is none, or if it is of another type, which Envoy logs.
    pub fn metadata_string(&mut self, source: MetadataSource, namespace: &[u8], key: &[u8]) -> Option<&[u8]> {
        let get = callbacks().http_get_metadata_string?;
        let envoy = self.envoy()?;
        let mut value = RawBuffer::default();
        // SAFETY: F2, F3, F8, F9.
        let is_found = unsafe { get(envoy, source.number(), lend(namespace), lend(key), &raw mut value) };
        // SAFETY: F7.
        is_found.then(|| unsafe { envoy_bytes(value) })
    }

    /// A value that is a number. `None` if there is none, or if it is of another type, which Envoy logs.
    pub fn metadata_number(&mut self, source: MetadataSource, namespace: &[u8], key: &[u8]) -> Option<f64> {
        let get = callbacks().http_get_metadata_number?;
        let envoy = self.envoy()?;
        let mut value = 0.0;
        // SAFETY: F2, F3, F8, F9.
        let is_found = unsafe { get(envoy, source.number(), lend(namespace), lend(key), &raw mut value) };
        is_found.then_some(value)
    }

    /// A value that is true or false. `None` if there is none, or if it is of another type, which Envoy logs. This
    /// and all that follow: `None`, or nothing, before Envoy 1.38.
    pub fn metadata_bool(&mut self, source: MetadataSource, namespace: &[u8], key: &[u8]) -> Option<bool> {
        let get = callbacks().http_get_metadata_bool?;
        let envoy = self.envoy()?;
        let mut value = false;
        // SAFETY: F2, F3, F8, F9.
        let is_found = unsafe { get(envoy, source.number(), lend(namespace), lend(key), &raw mut value) };
        is_found.then_some(value)
    }

    /// Sets a string of the stream's own metadata. False if this Envoy cannot.
    pub fn set_metadata_string(&mut self, namespace: &[u8], key: &[u8], value: &[u8]) -> bool {
        let (Some(set), Some(envoy)) = (callbacks().http_set_dynamic_metadata_string, self.envoy()) else {
            return false;
        };
        // SAFETY: F2, F3, F9.
        unsafe { set(envoy, lend(namespace), lend(key), lend(value)) };
        true
    }

    /// Sets a number of the stream's own metadata. False if this Envoy cannot.
    pub fn set_metadata_number(&mut self, namespace: &[u8], key: &[u8], value: f64) -> bool {
        let (Some(set), Some(envoy)) = (callbacks().http_set_dynamic_metadata_number, self.envoy()) else {
            return false;
        };
        // SAFETY: F2, F3, F9.
        unsafe { set(envoy, lend(namespace), lend(key), value) };
        true
    }

    /// Sets true or false in the stream's own metadata. False if this Envoy cannot, as before 1.38.
    pub fn set_metadata_bool(&mut self, namespace: &[u8], key: &[u8], value: bool) -> bool {
        let (Some(set), Some(envoy)) = (callbacks().http_set_dynamic_metadata_bool, self.envoy()) else {
            return false;
        };
        // SAFETY: F2, F3, F9.
        unsafe { set(envoy, lend(namespace), lend(key), value) };
        true
    }

    /// The keys of a namespace.
    pub fn metadata_keys(&mut self, source: MetadataSource, namespace: &[u8]) -> Buffers<'_> {
        let (Some(size), Some(keys), Some(envoy)) =
            (callbacks().http_get_metadata_keys_count, callbacks().http_get_metadata_keys, self.envoy())
        else {
            return Buffers::none();
        };
        // SAFETY: F2, F3, F9.
        let count = unsafe { size(envoy, source.number(), lend(namespace)) };
        let fill = |out| {
            // SAFETY: F2, F3, F8, F9: the array has as many entries as Envoy has just said.
            unsafe { keys(envoy, source.number(), lend(namespace), out) }
        };
        // SAFETY: F7, F8.
        unsafe { Buffers::collect(count, fill) }
    }

    /// The namespaces of a source.
    pub fn metadata_namespaces(&mut self, source: MetadataSource) -> Buffers<'_> {
        let (Some(size), Some(namespaces), Some(envoy)) = (
            callbacks().http_get_metadata_namespaces_count,
            callbacks().http_get_metadata_namespaces,
            self.envoy(),
        ) else {
            return Buffers::none();
        };
        // SAFETY: F2, F3.
        let count = unsafe { size(envoy, source.number()) };
        let fill = |out| {
            // SAFETY: F2, F3, F8: the array has as many entries as Envoy has just said.
            unsafe { namespaces(envoy, source.number(), out) }
        };
        // SAFETY: F7, F8.
        unsafe { Buffers::collect(count, fill) }
    }

    /// How many elements a value that is a list has. `None` if it is no list; that is not an error in the log.
    pub fn metadata_list_len(
        &mut self,
        source: MetadataSource,
        namespace: &[u8],
        key: &[u8],
    ) -> Option<usize> {
        let get = callbacks().http_get_metadata_list_size?;
        let envoy = self.envoy()?;
        let mut len = 0;
        // SAFETY: F2, F3, F8, F9.
        let is_found = unsafe { get(envoy, source.number(), lend(namespace), lend(key), &raw mut len) };
        is_found.then_some(len)
    }

    /// An element that is a string.
    pub fn metadata_list_string(
        &mut self,
        source: MetadataSource,
        namespace: &[u8],
        key: &[u8],
        index: usize,
    ) -> Option<&[u8]> {
        let get = callbacks().http_get_metadata_list_string?;
        let envoy = self.envoy()?;
        let mut value = RawBuffer::default();
        // SAFETY: F2, F3, F8, F9.
        let is_found =
            unsafe { get(envoy, source.number(), lend(namespace), lend(key), index, &raw mut value) };
        // SAFETY: F7.
        is_found.then(|| unsafe { envoy_bytes(value) })
    }

    /// An element that is a number.
    pub fn metadata_list_number(
        &mut self,
        source: MetadataSource,
        namespace: &[u8],
        key: &[u8],
        index: usize,
    ) -> Option<f64> {
        let get = callbacks().http_get_metadata_list_number?;
        let envoy = self.envoy()?;
        let mut value = 0.0;
        // SAFETY: F2, F3, F8, F9.
        let is_found =
            unsafe { get(envoy, source.number(), lend(namespace), lend(key), index, &raw mut value) };
        is_found.then_some(value)
    }

    /// An element that is true or false.
    pub fn metadata_list_bool(
        &mut self,
        source: MetadataSource,
        namespace: &[u8],
        key: &[u8],
        index: usize,
    ) -> Option<bool> {
        let get = callbacks().http_get_metadata_list_bool?;
        let envoy = self.envoy()?;
        let mut value = false;
        // SAFETY: F2, F3, F8, F9.
        let is_found =
            unsafe { get(envoy, source.number(), lend(namespace), lend(key), index, &raw mut value) };
        is_found.then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::testing::{FakeEnvoy, FakeStream};

    fn stream() -> FakeStream {
        let mut stream = FakeStream::default();
        stream.metadata.push((b"ns".to_vec(), b"tier".to_vec(), b"gold".to_vec()));
        stream.metadata.push((b"ns".to_vec(), b"zone".to_vec(), b"a".to_vec()));
        stream
    }

    #[test]
    fn a_string_is_found_by_namespace_and_key() {
        let envoy = FakeEnvoy::install();
        envoy.inside_hook(&mut stream(), |mut handle| {
            assert_eq!(handle.metadata_string(MetadataSource::Route, b"ns", b"tier"), Some(&b"gold"[..]));
            assert_eq!(handle.metadata_string(MetadataSource::Route, b"ns", b"none"), None);
        });
    }

    #[test]
    fn keys_of_a_namespace_are_listed() {
        let envoy = FakeEnvoy::install();
        envoy.inside_hook(&mut stream(), |mut handle| {
            let keys = handle.metadata_keys(MetadataSource::Route, b"ns");
            assert_eq!(keys.iter().collect::<Vec<_>>(), [b"tier", b"zone"]);
            assert!(handle.metadata_keys(MetadataSource::Route, b"other").is_empty());
        });
    }

    #[test]
    fn what_an_older_envoy_lacks_is_not_there() {
        let envoy = FakeEnvoy::install();
        envoy.remove_callbacks(|table| table.http_get_metadata_keys_count = None);
        envoy.inside_hook(&mut stream(), |mut handle| {
            assert!(handle.metadata_keys(MetadataSource::Route, b"ns").is_empty());
            assert_eq!(handle.metadata_bool(MetadataSource::Route, b"ns", b"tier"), None);
            assert_eq!(handle.metadata_list_len(MetadataSource::Route, b"ns", b"tier"), None);
            assert!(handle.metadata_namespaces(MetadataSource::Route).is_empty());
        });
    }
}
