//! What Envoy tells of a call, and how one is started: shared by streams and filter configurations.

use std::ffi::c_void;
use std::ptr;

use smallvec::SmallVec;

use super::buffer::{LentHeaders, bytes, envoy_bytes, lend};
use super::raw;

type EnvoyHeader = raw::envoy_dynamic_module_type_envoy_http_header;
type EnvoyBuffer = raw::envoy_dynamic_module_type_envoy_buffer;

/// Names and values that Envoy lists for the length of a hook. Up to sixteen do not allocate.
pub type CallHeaders<'a> = SmallVec<[(&'a [u8], &'a [u8]); 16]>;

/// Part of the answer to a call.
#[derive(Debug)]
pub enum CallEvent<'a> {
    /// Headers, and whether that is all.
    Headers(CallHeaders<'a>, bool),
    /// Pieces of the body, and whether that is all.
    Data(SmallVec<[&'a [u8]; 8]>, bool),
    /// Trailers.
    Trailers(CallHeaders<'a>),
    /// Both directions have ended.
    Complete,
    /// It broke off.
    Reset,
    /// It was longer than Envoy keeps of an answer that comes at once.
    TooLong,
}

/// An answer that came at once: its parts, or why there are none.
pub(crate) type WholeAnswer<'a> = SmallVec<[CallEvent<'a>; 2]>;

/// Why a call was not started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallRefusal {
    /// `:method`, `:path` or `:authority` is missing.
    MissingHeaders,
    /// There is no such cluster.
    NoCluster,
    /// It failed on the spot, or this Envoy has no such call, or its owner is gone.
    Failed,
}

/// A call to be started. Everything is lent.
#[derive(Debug, Clone, Copy)]
pub struct CallRequest<'a> {
    /// Name of the cluster.
    pub cluster: &'a [u8],
    /// All headers.
    pub headers: &'a [(&'a [u8], &'a [u8])],
    /// The body, as far as there is one now.
    pub body: &'a [u8],
    /// Whether that is the whole request.
    pub end_of_stream: bool,
    /// Milliseconds that the answer may take; 0: for ever.
    pub timeout: u64,
}

/// Envoy's function that starts a call, for a stream or for a configuration.
pub(super) type StartCall = unsafe extern "C" fn(
    *mut c_void,
    *mut u64,
    raw::envoy_dynamic_module_type_module_buffer,
    *mut raw::envoy_dynamic_module_type_module_http_header,
    usize,
    raw::envoy_dynamic_module_type_module_buffer,
    bool,
    u64,
) -> raw::envoy_dynamic_module_type_http_callout_init_result;

/// Starts a call; answers Envoy's number for it. No hook comes before this returns: Envoy tells nothing of a call that
/// it has not given a number yet.
///
/// # Safety
/// `owner` is what `start` is about, and lives (F3, F11).
pub(super) unsafe fn start(
    start: StartCall,
    owner: *mut c_void,
    request: &CallRequest<'_>,
) -> Result<u64, CallRefusal> {
    let mut headers = LentHeaders::new(request.headers);
    let mut number = 0;
    // SAFETY: F2, F9, and the owner as the caller says.
    let result = unsafe {
        start(
            owner,
            ptr::from_mut(&mut number),
            lend(request.cluster),
            headers.as_mut_ptr(),
            headers.len(),
            lend(request.body),
            request.end_of_stream,
            request.timeout,
        )
    };
    started(result, number)
}

/// Envoy's function that starts a call whose answer comes at once, without trailers.
pub(super) type StartWholeCall =
    unsafe extern "C" fn(
        *mut c_void,
        *mut u64,
        raw::envoy_dynamic_module_type_module_buffer,
        *mut raw::envoy_dynamic_module_type_module_http_header,
        usize,
        raw::envoy_dynamic_module_type_module_buffer,
        u64,
    ) -> raw::envoy_dynamic_module_type_http_callout_init_result;

/// Starts such a call, as [`start`].
///
/// # Safety
/// As there.
pub(super) unsafe fn start_whole(
    start: StartWholeCall,
    owner: *mut c_void,
    request: &CallRequest<'_>,
) -> Result<u64, CallRefusal> {
    let mut headers = LentHeaders::new(request.headers);
    let mut number = 0;
    // SAFETY: F2, F9, and the owner as the caller says.
    let result = unsafe {
        start(
            owner,
            ptr::from_mut(&mut number),
            lend(request.cluster),
            headers.as_mut_ptr(),
            headers.len(),
            lend(request.body),
            request.timeout,
        )
    };
    started(result, number)
}

/// What Envoy answered to a start.
fn started(
    result: raw::envoy_dynamic_module_type_http_callout_init_result,
    number: u64,
) -> Result<u64, CallRefusal> {
    match result {
        raw::envoy_dynamic_module_type_http_callout_init_result_Success => Ok(number),
        raw::envoy_dynamic_module_type_http_callout_init_result_MissingRequiredHeaders => {
            Err(CallRefusal::MissingHeaders)
        }
        raw::envoy_dynamic_module_type_http_callout_init_result_ClusterNotFound => {
            Err(CallRefusal::NoCluster)
        }
        _ => Err(CallRefusal::Failed),
    }
}

/// An answer that Envoy tells at once.
///
/// # Safety
/// The arrays and their bytes are those of the hook that runs (F6).
pub(crate) unsafe fn whole_answer<'a>(
    result: raw::envoy_dynamic_module_type_http_callout_result,
    (list, length): (*const EnvoyHeader, usize),
    (chunks, chunks_length): (*const EnvoyBuffer, usize),
) -> WholeAnswer<'a> {
    match result {
        raw::envoy_dynamic_module_type_http_callout_result_Success => {
            // SAFETY: F6.
            let headers = unsafe { headers(list, length) };
            // SAFETY: F6.
            let pieces = unsafe { pieces(chunks, chunks_length) };
            [CallEvent::Headers(headers, false), CallEvent::Data(pieces, true)].into_iter().collect()
        }
        raw::envoy_dynamic_module_type_http_callout_result_ExceedResponseBufferLimit => {
            std::iter::once(CallEvent::TooLong).collect()
        }
        _ => std::iter::once(CallEvent::Reset).collect(),
    }
}

/// The headers that Envoy lists.
///
/// # Safety
/// The array and its bytes are those of the hook that runs (F6).
pub(crate) unsafe fn headers<'a>(list: *const EnvoyHeader, length: usize) -> CallHeaders<'a> {
    if list.is_null() {
        return CallHeaders::new();
    }
    (0..length)
        .map(|index| {
            // SAFETY: F6, the array has this many entries.
            let entry = unsafe { list.add(index) };
            // SAFETY: F6, as above.
            let header = unsafe { *entry };
            // SAFETY: F6.
            let name = unsafe { bytes(header.key_ptr, header.key_length) };
            // SAFETY: F6.
            let value = unsafe { bytes(header.value_ptr, header.value_length) };
            (name, value)
        })
        .collect()
}

/// The pieces of body that Envoy lists.
///
/// # Safety
/// As for [`headers`].
pub(crate) unsafe fn pieces<'a>(list: *const EnvoyBuffer, length: usize) -> SmallVec<[&'a [u8]; 8]> {
    if list.is_null() {
        return SmallVec::new();
    }
    (0..length)
        .map(|index| {
            // SAFETY: F6, the array has this many entries.
            let entry = unsafe { list.add(index) };
            // SAFETY: F6, as above.
            let buffer = unsafe { *entry };
            // SAFETY: F6.
            unsafe { envoy_bytes(buffer) }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_envoy_lists_is_read_and_null_is_nothing() {
        let listed = [EnvoyHeader {
            key_ptr: c"name".as_ptr().cast_mut(),
            key_length: 4,
            value_ptr: c"value".as_ptr().cast_mut(),
            value_length: 5,
        }];
        // SAFETY: F6, one entry with static bytes.
        let pairs = unsafe { headers(listed.as_ptr(), 1) };
        assert_eq!(pairs.as_slice(), [(&b"name"[..], &b"value"[..])]);
        // SAFETY: F6, null stands for nothing.
        assert!(unsafe { headers(ptr::null(), 3) }.is_empty());
        let listed = [EnvoyBuffer { ptr: c"piece".as_ptr().cast_mut(), length: 5 }];
        // SAFETY: F6, one entry with static bytes.
        assert_eq!(unsafe { pieces(listed.as_ptr(), 1) }.as_slice(), [&b"piece"[..]]);
        // SAFETY: F6, null stands for nothing.
        assert!(unsafe { pieces(ptr::null(), 3) }.is_empty());
    }
}
