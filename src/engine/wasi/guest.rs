//! What a WASI function sees of its caller, and what it answers.
//!
//! A body gets a [`Guest`]: the bytes of the guest's memory and the host's own data, side by side, so
//! that it can read the one while it changes the other. It knows nothing of wasmtime, and can be tested
//! over an array.
//!
//! Every address and length comes from a guest and is hostile; [`GuestMemory`] answers [`Errno::FAULT`]
//! for what lies outside memory. A body that writes to several addresses checks all of them first, so that
//! a call that fails has changed nothing.

use wasmtime::{Caller, Extern};

use super::WasiHost;
use crate::engine::memory;

/// The error number that a WASI function returns when it did not succeed.
///
/// Only those that this host answers with have a name. The numbers are those of WASI preview 1; they
/// differ from the ones of Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Errno(u32);

impl Errno {
    /// No such file descriptor, or not one for this operation.
    pub(super) const BADF: Self = Self(8);
    /// Already exists; here only what reading a directory answers (see the table of functions).
    pub(super) const EXIST: Self = Self(20);
    /// An address outside the guest's memory.
    pub(super) const FAULT: Self = Self(21);
    /// An argument outside its range.
    pub(super) const INVAL: Self = Self(28);
    /// The host failed, through no fault of the guest.
    pub(super) const IO: Self = Self(29);
    /// No such file: there are none.
    pub(super) const NOENT: Self = Self(44);
    /// Never offered here.
    pub(super) const NOSYS: Self = Self(52);
    /// Not supported for this argument.
    pub(super) const NOTSUP: Self = Self(58);
    /// A number that does not fit the type of the result.
    pub(super) const OVERFLOW: Self = Self(61);
    /// The capabilities of the VM deny this function.
    pub(super) const NOTCAPABLE: Self = Self(76);
}

/// What a body answers: WASI's success carries no value, results go through addresses.
pub(super) type Answer = Result<(), Errno>;

/// The number that the guest receives for an answer; success is 0.
pub(super) fn number(answer: Answer) -> u32 {
    match answer {
        Ok(()) => 0,
        Err(Errno(number)) => number,
    }
}

/// The caller of a function, for the time of the call.
pub(super) struct Guest<'a, T> {
    /// Its memory; empty when it exports none, so that every address is then a fault.
    pub(super) memory: GuestMemory<'a>,
    /// The data of its store.
    pub(super) host: &'a mut T,
}

impl<'a, T: WasiHost> Guest<'a, T> {
    /// The guest behind `caller`.
    ///
    /// The host has resolved the memory once, after instantiation. A start section runs before that
    /// and may call WASI already: only then is the export looked up by name.
    pub(super) fn of(caller: &'a mut Caller<'_, T>) -> Self {
        let memory =
            caller.data().memory().or_else(|| caller.get_export("memory").and_then(Extern::into_memory));
        if let Some(memory) = memory {
            let (bytes, host) = memory.data_and_store_mut(caller);
            Self { memory: GuestMemory { bytes }, host }
        } else {
            Self { memory: GuestMemory { bytes: &mut [] }, host: caller.data_mut() }
        }
    }
}

/// The linear memory of a guest. Integers in it are little-endian, and need no alignment.
pub(super) struct GuestMemory<'a> {
    bytes: &'a mut [u8],
}

impl GuestMemory<'_> {
    /// The `length` bytes at `address`. A slice of no bytes too must start inside memory or at its end.
    pub(super) fn slice(&self, address: u32, length: u32) -> Result<&[u8], Errno> {
        memory::read(self.bytes, address, length).ok_or(Errno::FAULT)
    }

    /// The same bytes, to be changed.
    pub(super) fn slice_mut(&mut self, address: u32, length: u32) -> Result<&mut [u8], Errno> {
        memory::slice_mut(self.bytes, address, length).ok_or(Errno::FAULT)
    }

    /// Whether `length` bytes can be written at `address`: asked for every result before the first is written.
    pub(super) fn check(&self, address: u32, length: u32) -> Answer {
        self.slice(address, length).map(|_| ())
    }

    /// Writes `value`, already in the guest's byte order, at `address`.
    pub(super) fn write<const N: usize>(&mut self, address: u32, value: [u8; N]) -> Answer {
        let length = u32::try_from(N).map_err(|_| Errno::FAULT)?;
        self.slice_mut(address, length)?.copy_from_slice(&value);
        Ok(())
    }
}

#[cfg(test)]
impl<'a, T> Guest<'a, T> {
    /// A guest whose memory is `bytes`: a body without an engine.
    pub(super) fn over(bytes: &'a mut [u8], host: &'a mut T) -> Self {
        Self { memory: GuestMemory { bytes }, host }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Addresses and lengths around every edge that 16 bytes of memory and 32 bits have.
    const EDGES: [u32; 12] = [0, 1, 7, 8, 9, 15, 16, 17, 0x7fff_ffff, 0x8000_0000, 0xffff_fff0, 0xffff_ffff];

    #[test]
    fn a_slice_is_given_exactly_when_it_lies_inside_memory() {
        let mut bytes = [0; 16];
        let mut memory = GuestMemory { bytes: &mut bytes };
        for address in EDGES {
            for length in EDGES {
                let inside = u64::from(address) + u64::from(length) <= 16;
                let expected = if inside { Ok(length as usize) } else { Err(Errno::FAULT) };
                assert_eq!(memory.slice(address, length).map(<[u8]>::len), expected, "{address} {length}");
                assert_eq!(
                    memory.slice_mut(address, length).map(|bytes| bytes.len()),
                    expected,
                    "{address} {length}"
                );
            }
        }
    }

    #[test]
    fn a_value_is_written_whole_or_not_at_all() {
        for address in EDGES {
            let mut bytes = [0; 16];
            let mut memory = GuestMemory { bytes: &mut bytes };
            let inside = u64::from(address) + 8 <= 16;
            let expected = if inside { Ok(()) } else { Err(Errno::FAULT) };
            assert_eq!(memory.check(address, 8), expected, "{address}");
            assert_eq!(memory.write(address, [0xff; 8]), expected, "{address}");
            for (index, byte) in (0_u32..).zip(bytes) {
                let written = inside && (address..address + 8).contains(&index);
                assert_eq!(byte == 0xff, written, "{address} {index}");
            }
        }
    }

    #[test]
    fn a_guest_without_memory_has_no_valid_address() {
        let mut host = ();
        let guest = Guest::over(&mut [], &mut host);
        assert_eq!(guest.memory.check(0, 1), Err(Errno::FAULT));
        assert_eq!(guest.memory.slice(0, 1), Err(Errno::FAULT));
        assert_eq!(guest.memory.slice(1, 0), Err(Errno::FAULT));
    }

    #[test]
    fn the_numbers_are_those_of_preview_1() {
        assert_eq!(number(Ok(())), 0);
        assert_eq!(number(Err(Errno::FAULT)), 21);
        assert_eq!(number(Err(Errno::NOTCAPABLE)), 76);
    }
}
