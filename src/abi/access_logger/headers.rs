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
