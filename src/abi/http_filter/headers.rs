//! Headers and trailers.

use std::ffi::c_void;
use std::marker::PhantomData;
use std::ptr;

use smallvec::SmallVec;

use super::super::buffer::{ABSENT, bytes, envoy_bytes, lend};
use super::super::table::callbacks;
use super::super::types::HeaderType;
use super::{HttpFilterHandle, raw};

type RawHeader = raw::envoy_dynamic_module_type_envoy_http_header;
type RawBuffer = raw::envoy_dynamic_module_type_envoy_buffer;

impl HttpFilterHandle {
    /// The value with this index (from 0) among those of a header. `key` in any case.
    pub fn header(&self, map: HeaderType, key: &[u8], index: usize) -> Option<&[u8]> {
        let get = callbacks().http_get_header?;
        let envoy = self.envoy()?;
        let mut value = RawBuffer::default();
        // SAFETY: F2, F3, F8, F9; the count is optional.
        let is_found = unsafe { get(envoy, map.number(), lend(key), &raw mut value, index, ptr::null_mut()) };
        // SAFETY: F7.
        is_found.then(|| unsafe { envoy_bytes(value) })
    }

    /// How many values a header has.
    pub fn header_values_len(&self, map: HeaderType, key: &[u8]) -> usize {
        let (Some(get), Some(envoy)) = (callbacks().http_get_header, self.envoy()) else { return 0 };
        let mut value = RawBuffer::default();
        let mut count = 0;
        // SAFETY: F2, F3, F8, F9.
        unsafe { get(envoy, map.number(), lend(key), &raw mut value, 0, &raw mut count) };
        count
    }

    /// How many headers a map has, each value counted.
    pub fn headers_len(&self, map: HeaderType) -> usize {
        let (Some(size), Some(envoy)) = (callbacks().http_get_headers_size, self.envoy()) else { return 0 };
        // SAFETY: F2, F3.
        unsafe { size(envoy, map.number()) }
    }

    /// Whether the map exists: trailers, and the headers of the response, do not until they have come.
    pub fn has_headers(&self, map: HeaderType) -> bool {
        if self.headers_len(map) > 0 {
            return true;
        }
        let (Some(get), Some(envoy)) = (callbacks().http_get_headers, self.envoy()) else { return false };
        // An empty map answers true and writes nothing, so one entry is room enough.
        let mut unwritten = RawHeader::default();
        // SAFETY: F2, F3, F8.
        unsafe { get(envoy, map.number(), &raw mut unwritten) }
    }

    /// All headers of a map, in Envoy's order. One call into Envoy for the number and one for all of them; up to 64
    /// headers do not allocate.
    pub fn headers(&self, map: HeaderType) -> Headers<'_> {
        let mut entries = SmallVec::new();
        let count = self.headers_len(map);
        if count > 0
            && let (Some(get), Some(envoy)) = (callbacks().http_get_headers, self.envoy())
        {
            entries.resize(count, RawHeader::default());
            // SAFETY: F2, F3, F8: the array has as many entries as Envoy has just said.
            if !unsafe { get(envoy, map.number(), entries.as_mut_ptr()) } {
                entries.clear();
            }
        }
        Headers { entries, lender: PhantomData }
    }

    /// Adds a value beside those that the header has. False if the map does not exist, and, to Envoy 1.40.0, for an
    /// empty value.
    pub fn add_header(&mut self, map: HeaderType, key: &[u8], value: &[u8]) -> bool {
        self.write_header(callbacks().http_add_header, map, key, lend(value))
    }

    /// Replaces all values of a header. False if the map does not exist. To Envoy 1.40.0 an empty value removes the
    /// header, and the answer is true.
    pub fn set_header(&mut self, map: HeaderType, key: &[u8], value: &[u8]) -> bool {
        self.write_header(callbacks().http_set_header, map, key, lend(value))
    }

    /// Removes all values of a header. False if the map does not exist; true also if the header was not there.
    pub fn remove_header(&mut self, map: HeaderType, key: &[u8]) -> bool {
        self.write_header(callbacks().http_set_header, map, key, ABSENT)
    }

    fn write_header(
        &mut self,
        write: Option<WriteHeader>,
        map: HeaderType,
        key: &[u8],
        value: raw::envoy_dynamic_module_type_module_buffer,
    ) -> bool {
        let (Some(write), Some(envoy)) = (write, self.envoy()) else { return false };
        // SAFETY: F2, F3, F9.
        unsafe { write(envoy, map.number(), lend(key), value) }
    }
}

type WriteHeader = unsafe extern "C" fn(
    *mut c_void,
    raw::envoy_dynamic_module_type_http_header_type,
    raw::envoy_dynamic_module_type_module_buffer,
    raw::envoy_dynamic_module_type_module_buffer,
) -> bool;

/// All headers of a map, borrowed from Envoy.
#[derive(Debug)]
pub struct Headers<'a> {
    /// 2 KiB on the stack: most requests and responses have fewer headers.
    entries: SmallVec<[RawHeader; 64]>,
    lender: PhantomData<&'a [u8]>,
}

impl<'a> Headers<'a> {
    /// No headers.
    pub fn none() -> Self {
        Self { entries: SmallVec::new(), lender: PhantomData }
    }

    /// Lets `fill` write `count` entries, and answers none of them if it refuses.
    ///
    /// # Safety
    /// `fill` answers true only after it has written every entry, and the bytes of each live for `'a` (F7, F8).
    pub(in crate::abi) unsafe fn collect(count: usize, fill: impl FnOnce(*mut RawHeader) -> bool) -> Self {
        let mut entries = SmallVec::new();
        if count > 0 {
            entries.resize(count, RawHeader::default());
            if !fill(entries.as_mut_ptr()) {
                entries.clear();
            }
        }
        Self { entries, lender: PhantomData }
    }

    /// How many there are, each value counted.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Key and value of each. Keys are lower case.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&'a [u8], &'a [u8])> {
        self.entries.iter().map(|entry| {
            // SAFETY: F7, the handle is borrowed for 'a.
            let key = unsafe { bytes(entry.key_ptr, entry.key_length) };
            // SAFETY: F7, as above.
            let value = unsafe { bytes(entry.value_ptr, entry.value_length) };
            (key, value)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::testing::{FakeEnvoy, FakeStream};

    fn request() -> FakeStream {
        let mut stream = FakeStream::default();
        stream.headers[0] = Some(vec![
            (b":path".to_vec(), b"/a".to_vec()),
            (b"x-two".to_vec(), b"1".to_vec()),
            (b"x-two".to_vec(), b"2".to_vec()),
        ]);
        stream
    }

    #[test]
    fn values_are_found_by_name_and_index() {
        let envoy = FakeEnvoy::install();
        envoy.inside_hook(&mut request(), |handle| {
            assert_eq!(handle.header(HeaderType::RequestHeaders, b":path", 0), Some(&b"/a"[..]));
            assert_eq!(handle.header(HeaderType::RequestHeaders, b"x-two", 1), Some(&b"2"[..]));
            assert_eq!(handle.header(HeaderType::RequestHeaders, b"x-two", 2), None);
            assert_eq!(handle.header_values_len(HeaderType::RequestHeaders, b"x-two"), 2);
            assert_eq!(handle.header_values_len(HeaderType::RequestHeaders, b"x-none"), 0);
        });
    }

    #[test]
    fn all_headers_come_in_order() {
        let envoy = FakeEnvoy::install();
        envoy.inside_hook(&mut request(), |handle| {
            let headers = handle.headers(HeaderType::RequestHeaders);
            let pairs: Vec<_> = headers.iter().collect();
            assert_eq!(pairs, [(&b":path"[..], &b"/a"[..]), (b"x-two", b"1"), (b"x-two", b"2")]);
        });
    }

    #[test]
    fn more_headers_than_fit_on_the_stack_are_all_there() {
        let envoy = FakeEnvoy::install();
        let mut stream = FakeStream::default();
        stream.headers[2] = Some((0..200).map(|n| (b"k".to_vec(), format!("{n}").into_bytes())).collect());
        envoy.inside_hook(&mut stream, |handle| {
            let headers = handle.headers(HeaderType::ResponseHeaders);
            assert_eq!(headers.len(), 200);
            assert_eq!(headers.iter().last(), Some((&b"k"[..], &b"199"[..])));
        });
    }

    #[test]
    fn an_empty_map_exists_and_an_absent_one_does_not() {
        let envoy = FakeEnvoy::install();
        let mut stream = FakeStream::default();
        stream.headers[1] = Some(Vec::new());
        envoy.inside_hook(&mut stream, |mut handle| {
            assert!(handle.has_headers(HeaderType::RequestTrailers));
            assert!(handle.headers(HeaderType::RequestTrailers).is_empty());
            assert!(!handle.has_headers(HeaderType::ResponseTrailers));
            assert!(!handle.add_header(HeaderType::ResponseTrailers, b"a", b"b"));
        });
    }

    #[test]
    fn writes_add_replace_and_remove() {
        let envoy = FakeEnvoy::install();
        let mut stream = request();
        envoy.inside_hook(&mut stream, |mut handle| {
            assert!(handle.add_header(HeaderType::RequestHeaders, b"x-two", b"3"));
            assert!(handle.set_header(HeaderType::RequestHeaders, b":path", b"/b"));
            assert_eq!(handle.header_values_len(HeaderType::RequestHeaders, b"x-two"), 3);
            assert!(handle.remove_header(HeaderType::RequestHeaders, b"x-two"));
        });
        assert_eq!(stream.headers[0], Some(vec![(b":path".to_vec(), b"/b".to_vec())]));
    }

    #[test]
    fn a_handle_kept_after_its_hook_answers_nothing() {
        let envoy = FakeEnvoy::install();
        let mut stream = request();
        let mut kept = None;
        envoy.inside_hook(&mut stream, |handle| kept = Some(handle));
        let mut handle = kept.unwrap();
        assert!(handle.is_closed());
        assert_eq!(handle.header(HeaderType::RequestHeaders, b":path", 0), None);
        assert!(!handle.has_headers(HeaderType::RequestHeaders));
        assert!(!handle.set_header(HeaderType::RequestHeaders, b":path", b"/c"));
        assert_eq!(request().headers, stream.headers);
    }
}
