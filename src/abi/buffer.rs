//! Bytes that cross the line, in both directions.
//!
//! To Envoy: a slice is *lent* for the length of one call. From Envoy: a pointer and a length become a slice whose
//! lifetime the caller ties to the object that it came from.

use std::ffi::c_char;
use std::marker::PhantomData;
use std::{ptr, slice};

use smallvec::SmallVec;

use super::raw;

type EnvoyBuffer = raw::envoy_dynamic_module_type_envoy_buffer;
type ModuleBuffer = raw::envoy_dynamic_module_type_module_buffer;
type ModuleHeader = raw::envoy_dynamic_module_type_module_http_header;

/// An absent value, which is not the same as an empty one.
pub(super) const ABSENT: ModuleBuffer = ModuleBuffer { ptr: ptr::null(), length: 0 };

/// Names in C for bytes of ours. The buffer holds no lifetime: it goes into a call whose arguments outlive it (F9).
pub(super) fn lend(bytes: &[u8]) -> ModuleBuffer {
    ModuleBuffer { ptr: bytes.as_ptr().cast::<c_char>(), length: bytes.len() }
}

/// A list of byte strings as an array for C; up to eight do not allocate.
pub(super) struct Lent<'a> {
    buffers: SmallVec<[ModuleBuffer; 8]>,
    lender: PhantomData<&'a [u8]>,
}

impl<'a> Lent<'a> {
    pub(super) fn new(list: &[&'a [u8]]) -> Self {
        Self { buffers: list.iter().map(|bytes| lend(bytes)).collect(), lender: PhantomData }
    }

    /// The array. The ABI asks for a pointer to mutable memory, but Envoy only reads it (F9).
    pub(super) fn as_mut_ptr(&mut self) -> *mut ModuleBuffer {
        self.buffers.as_mut_ptr()
    }

    pub(super) fn len(&self) -> usize {
        self.buffers.len()
    }
}

/// Header pairs as an array for C; up to sixteen do not allocate.
pub(super) struct LentHeaders<'a> {
    headers: SmallVec<[ModuleHeader; 16]>,
    lender: PhantomData<&'a [u8]>,
}

impl<'a> LentHeaders<'a> {
    pub(super) fn new(list: &[(&'a [u8], &'a [u8])]) -> Self {
        let lend_pair = |(key, value): &(&[u8], &[u8])| ModuleHeader {
            key_ptr: key.as_ptr().cast::<c_char>(),
            key_length: key.len(),
            value_ptr: value.as_ptr().cast::<c_char>(),
            value_length: value.len(),
        };
        Self { headers: list.iter().map(lend_pair).collect(), lender: PhantomData }
    }

    /// The array, which Envoy only reads (F9).
    pub(super) fn as_mut_ptr(&mut self) -> *mut ModuleHeader {
        self.headers.as_mut_ptr()
    }

    pub(super) fn len(&self) -> usize {
        self.headers.len()
    }
}

/// The bytes that Envoy names with a pointer and a length.
///
/// # Safety
/// The bytes exist, and nobody writes them, for `'a` (F6, F7). A null pointer stands for no bytes.
pub(super) unsafe fn bytes<'a>(pointer: *const c_char, length: usize) -> &'a [u8] {
    if pointer.is_null() || length == 0 {
        return &[];
    }
    // SAFETY: F6 or F7, as the caller says.
    unsafe { slice::from_raw_parts(pointer.cast::<u8>(), length) }
}

/// The same for a buffer.
///
/// # Safety
/// As for [`bytes`].
pub(crate) unsafe fn envoy_bytes<'a>(buffer: EnvoyBuffer) -> &'a [u8] {
    // SAFETY: F6 or F7, as the caller says.
    unsafe { bytes(buffer.ptr, buffer.length) }
}

/// Byte strings that Envoy lists: the chunks of a body, or names. They are not copied.
///
/// Borrowed from the handle that was asked: what changes the stream needs the handle for itself, so the list cannot
/// be used after it (F7). Up to sixteen entries do not allocate.
#[derive(Debug)]
pub struct Buffers<'a> {
    buffers: SmallVec<[EnvoyBuffer; 16]>,
    lender: PhantomData<&'a [u8]>,
}

impl<'a> Buffers<'a> {
    /// Lets `fill` write `count` entries, and answers none of them if it refuses.
    ///
    /// # Safety
    /// `fill` answers true only after it has written every entry, and the bytes of each live for `'a` (F7, F8).
    pub(super) unsafe fn collect(count: usize, fill: impl FnOnce(*mut EnvoyBuffer) -> bool) -> Self {
        let mut buffers: SmallVec<[EnvoyBuffer; 16]> = SmallVec::new();
        if count > 0 {
            buffers.resize(count, EnvoyBuffer::default());
            if !fill(buffers.as_mut_ptr()) {
                buffers.clear();
            }
        }
        Self { buffers, lender: PhantomData }
    }

    /// No entries.
    pub(super) fn none() -> Self {
        Self { buffers: SmallVec::new(), lender: PhantomData }
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.buffers.len()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.buffers.is_empty()
    }

    /// How many bytes all entries have together.
    pub fn total_len(&self) -> usize {
        self.buffers.iter().fold(0, |sum, buffer| sum.saturating_add(buffer.length))
    }

    /// The entries in Envoy's order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'a [u8]> {
        self.buffers.iter().map(|buffer| {
            // SAFETY: F7, the bytes live for 'a by the contract of `collect`.
            unsafe { envoy_bytes(*buffer) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_null_pointer_stands_for_no_bytes_whatever_the_length_says() {
        // SAFETY: F6, a null pointer is allowed.
        let nothing = unsafe { bytes(ptr::null(), 7) };
        assert!(nothing.is_empty());
    }

    #[test]
    fn an_empty_value_is_not_an_absent_one() {
        assert!(!lend(b"").ptr.is_null());
        assert!(ABSENT.ptr.is_null());
    }

    #[test]
    fn entries_of_a_list_that_envoy_refuses_to_fill_are_not_seen() {
        // SAFETY: F8, the closure answers false.
        let list = unsafe { Buffers::collect(3, |_| false) };
        assert!(list.is_empty());
        assert_eq!(list.iter().count(), 0);
    }

    #[test]
    fn a_list_gives_back_what_was_filled_in() {
        let words: [&[u8]; 2] = [b"one", b"three"];
        let fill = |out: *mut EnvoyBuffer| {
            for (index, word) in words.iter().enumerate() {
                let buffer = EnvoyBuffer { ptr: word.as_ptr().cast(), length: word.len() };
                // SAFETY: F8, the array has the two entries that were asked for.
                let entry = unsafe { out.add(index) };
                // SAFETY: F8, as above.
                unsafe { entry.write(buffer) };
            }
            true
        };
        // SAFETY: F8, the closure above writes both entries.
        let list = unsafe { Buffers::collect(2, fill) };
        assert_eq!(list.iter().collect::<Vec<_>>(), words);
        assert_eq!(list.total_len(), 8);
    }
}
