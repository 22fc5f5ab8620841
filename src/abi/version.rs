//! The version string that this host wants from `on_program_init`.
//!
//! The signatures that we use are the same from Envoy 1.37 to 1.40, yet each release asks for another string:
//!
//! | Envoy           | string                          | else                        |
//! | --------------- | ------------------------------- | --------------------------- |
//! | 1.37.0          | the SHA-256 of its own header   | the library is refused      |
//! | 1.37.1 to 1.39  | `v0.1.0`                        | a warning                   |
//! | 1.40            | `v0.2.0`                        | a warning                   |
//!
//! No callback tells Envoy's version, so the host is known by what it has. 1.40 is the first with `log_v2`, 1.38
//! the first with `get_concurrency`. Of what has neither, 1.37.0 carries the hash that it compares with among its
//! constants, and 1.37.1 no longer does; so we look for it there.

use std::ffi::{CStr, c_int, c_void};
use std::ptr;

use super::table::callbacks;

const V0_1_0: &CStr = c"v0.1.0";
const V0_2_0: &CStr = c"v0.2.0";
/// The hash of the header of Envoy 1.37.0.
const V1_37_0: &CStr = c"4dae397a7c9ff0238d318d57ea656ce8b3fbff595787dcd7ee2ff5b79c9fe10f";

/// What to answer to this host. Main thread; on Envoy 1.37 it reads through some 30 MB of constants once.
pub(crate) fn wanted_by_host() -> &'static CStr {
    let host = callbacks();
    if host.log_v2.is_some() {
        V0_2_0
    } else if host.get_concurrency.is_some() || !main_program_contains(V1_37_0.to_bytes_with_nul()) {
        V0_1_0
    } else {
        V1_37_0
    }
}

/// Whether the bytes stand among the constants of the program that this process runs (its libraries not counted).
fn main_program_contains(needle: &[u8]) -> bool {
    let mut search = Search { needle, is_found: false };
    // SAFETY: F10, `visit` gets back the address of `search`, which outlives the call.
    unsafe { libc::dl_iterate_phdr(Some(visit), (&raw mut search).cast::<c_void>()) };
    search.is_found
}

struct Search<'a> {
    needle: &'a [u8],
    is_found: bool,
}

/// Gets the objects of the process one after the other, the main program first, and ends the iteration there.
unsafe extern "C" fn visit(object: *mut libc::dl_phdr_info, _size: usize, search: *mut c_void) -> c_int {
    // SAFETY: F10, `main_program_contains` passed this address.
    let search = unsafe { &mut *search.cast::<Search<'_>>() };
    // SAFETY: F10, the loader passes an object that lives during this call.
    let object = unsafe { &*object };
    if !object.dlpi_phdr.is_null() {
        // SAFETY: F10, the loader says how many program headers there are.
        let segments =
            unsafe { std::slice::from_raw_parts(object.dlpi_phdr, usize::from(object.dlpi_phnum)) };
        search.is_found =
            segments.iter().any(|segment| segment_contains(object.dlpi_addr, segment, search.needle));
    }
    1
}

fn segment_contains(base: libc::Elf64_Addr, segment: &libc::Elf64_Phdr, needle: &[u8]) -> bool {
    let is_constant = segment.p_type == libc::PT_LOAD
        && segment.p_flags & libc::PF_R != 0
        && segment.p_flags & libc::PF_W == 0;
    let (Ok(address), Ok(length)) =
        (usize::try_from(base.wrapping_add(segment.p_vaddr)), usize::try_from(segment.p_filesz))
    else {
        return false;
    };
    if !is_constant || address == 0 || length < needle.len() {
        return false;
    }
    let start = ptr::with_exposed_provenance::<c_void>(address);
    // SAFETY: F10, a readable segment of the main program is mapped from its start for its length in the file.
    let hit = unsafe { libc::memmem(start, length, needle.as_ptr().cast::<c_void>(), needle.len()) };
    !hit.is_null()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::testing::FakeEnvoy;

    #[test]
    fn the_newest_callbacks_ask_for_the_newest_string() {
        let _envoy = FakeEnvoy::install();
        assert_eq!(wanted_by_host(), V0_2_0);
    }

    #[test]
    fn without_log_v2_the_host_is_older() {
        let envoy = FakeEnvoy::install();
        envoy.remove_callbacks(|table| table.log_v2 = None);
        assert_eq!(wanted_by_host(), V0_1_0);
    }

    #[test]
    fn constants_of_the_main_program_are_found_and_others_are_not() {
        // A test is a main program itself, and the constant of Envoy 1.37.0 is part of it.
        assert!(main_program_contains(V1_37_0.to_bytes_with_nul()));
        let absent: Vec<u8> =
            V1_37_0.to_bytes().iter().map(|byte| std::hint::black_box(byte) ^ 0x55).collect();
        assert!(!main_program_contains(&absent));
    }

    #[test]
    fn a_host_that_has_the_hash_and_none_of_the_newer_callbacks_gets_the_hash() {
        let envoy = FakeEnvoy::install();
        envoy.remove_callbacks(|table| {
            table.log_v2 = None;
            table.get_concurrency = None;
        });
        assert_eq!(wanted_by_host(), V1_37_0);
    }
}
