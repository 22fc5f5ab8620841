//! Header maps of an exchange that is over. Envoy keeps no request trailers for loggers.

use std::ptr;

use super::super::buffer::{envoy_bytes, lend};
use super::super::http_filter::Headers;
use super::super::table::callbacks;
use super::super::types::HeaderType;
use super::{AccessLogHandle, raw};

type RawHeader = raw::envoy_dynamic_module_type_envoy_http_header;
type RawBuffer = raw::envoy_dynamic_module_type_envoy_buffer;

impl AccessLogHandle {
    /// The value with this index (from 0) among those of a header. `key` in any case.
    pub fn header(&self, map: HeaderType, key: &[u8], index: usize) -> Option<&[u8]> {
        let get = callbacks().access_logger_get_header_value?;
        let envoy = self.envoy()?;
        let mut value = RawBuffer::default();
        // SAFETY: F2, F3, F8, F9; the count is optional.
        let is_found = unsafe { get(envoy, map.number(), lend(key), &raw mut value, index, ptr::null_mut()) };
        // SAFETY: F7.
        is_found.then(|| unsafe { envoy_bytes(value) })
    }

    /// How many headers a map has, each value counted.
    pub fn headers_len(&self, map: HeaderType) -> usize {
        let (Some(size), Some(envoy)) = (callbacks().access_logger_get_headers_size, self.envoy()) else {
            return 0;
        };
        // SAFETY: F2, F3.
        unsafe { size(envoy, map.number()) }
    }

    /// Whether the map exists.
    pub fn has_headers(&self, map: HeaderType) -> bool {
        if self.headers_len(map) > 0 {
            return true;
        }
        let (Some(get), Some(envoy)) = (callbacks().access_logger_get_headers, self.envoy()) else {
            return false;
        };
        // An empty map answers true and writes nothing, so one entry is room enough.
        let mut unwritten = RawHeader::default();
        // SAFETY: F2, F3, F8.
        unsafe { get(envoy, map.number(), &raw mut unwritten) }
    }

    /// All headers of a map, in Envoy's order.
    pub fn headers(&self, map: HeaderType) -> Headers<'_> {
        let count = self.headers_len(map);
        let asked = callbacks().access_logger_get_headers.zip(self.envoy());
        let fill = |out: *mut RawHeader| {
            // SAFETY: F2, F3, F8: the array has as many entries as Envoy has just said.
            asked.is_some_and(|(get, envoy)| unsafe { get(envoy, map.number(), out) })
        };
        // SAFETY: F7, F8, the handle is borrowed as long as the list.
        unsafe { Headers::collect(count, fill) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::AttributeId;
    use crate::abi::testing::{FakeEnvoy, FakeStream};

    fn exchange() -> FakeStream {
        let mut stream = FakeStream::default();
        stream.headers[0] = Some(vec![(b":path".to_vec(), b"/a".to_vec()), (b"x".to_vec(), b"1".to_vec())]);
        stream
    }

    #[test]
    fn an_exchange_is_asked_inside_its_hook() {
        let envoy = FakeEnvoy::install();
        envoy.inside_hook_of(&mut exchange(), |handle: AccessLogHandle| {
            assert_eq!(handle.header(HeaderType::RequestHeaders, b":path", 0), Some(&b"/a"[..]));
            assert_eq!(handle.headers(HeaderType::RequestHeaders).len(), 2);
            assert!(!handle.has_headers(HeaderType::ResponseTrailers));
            assert_eq!(handle.address(AttributeId::SourceAddress), Some((&b"127.0.0.1"[..], 80)));
            assert_eq!(handle.attribute_int(AttributeId::ResponseCode), None, "0 is no code");
            assert_eq!((handle.sizes().received, handle.sizes().sent), (3, 4));
            assert_eq!(handle.timing_info().start_unix_ns, Some(1));
            assert_eq!(handle.timing_info().request_complete_ns, None);
        });
    }

    #[test]
    fn a_handle_kept_after_its_hook_answers_nothing() {
        let envoy = FakeEnvoy::install();
        let kept = envoy.inside_hook_of(&mut exchange(), |handle: AccessLogHandle| handle);
        assert_eq!(kept.header(HeaderType::RequestHeaders, b":path", 0), None);
        assert!(kept.headers(HeaderType::RequestHeaders).is_empty());
        assert_eq!(kept.address(AttributeId::SourceAddress), None);
        assert_eq!(kept.timing_info().start_unix_ns, None);
    }
}
