//! Reading and writing a guest's memory by addresses that the guest chose.
//!
//! Every function answers `None` for a range that is not wholly inside the memory; nothing is read or written
//! then. Addresses and lengths are `u32`, as the guest has them, so sums are done in `usize` and cannot wrap.

/// Where a range of guest memory lies as indexes, or `None` if it leaves the memory.
fn range(memory: &[u8], address: u32, length: u32) -> Option<std::ops::Range<usize>> {
    let start = usize::try_from(address).ok()?;
    let end = start.checked_add(usize::try_from(length).ok()?)?;
    (end <= memory.len()).then_some(start..end)
}

/// The bytes at an address.
pub fn read(memory: &[u8], address: u32, length: u32) -> Option<&[u8]> {
    memory.get(range(memory, address, length)?)
}

/// The bytes at an address, to be written.
pub fn slice_mut(memory: &mut [u8], address: u32, length: u32) -> Option<&mut [u8]> {
    let range = range(memory, address, length)?;
    memory.get_mut(range)
}

/// Whether a `u32` can be written at an address. Asked before a hostcall acts, so that a hostcall with a bad
/// result address has changed nothing.
pub fn is_word(memory: &[u8], address: u32) -> bool {
    range(memory, address, 4).is_some()
}

/// Writes a little-endian `u32`.
pub fn write_u32(memory: &mut [u8], address: u32, value: u32) -> Option<()> {
    slice_mut(memory, address, 4)?.copy_from_slice(&value.to_le_bytes());
    Some(())
}

/// Writes a little-endian `u64`.
pub fn write_u64(memory: &mut [u8], address: u32, value: u64) -> Option<()> {
    slice_mut(memory, address, 8)?.copy_from_slice(&value.to_le_bytes());
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_that_ends_at_the_end_is_inside() {
        let memory = [1, 2, 3, 4];
        assert_eq!(read(&memory, 0, 4), Some(&memory[..]));
        assert_eq!(read(&memory, 4, 0), Some(&[][..]));
    }

    #[test]
    fn a_range_that_leaves_the_memory_is_refused() {
        let mut memory = [0; 8];
        for (address, length) in [(0, 9), (8, 1), (9, 0), (u32::MAX, 1), (1, u32::MAX), (u32::MAX, u32::MAX)]
        {
            assert_eq!(read(&memory, address, length), None, "{address} {length}");
            assert!(slice_mut(&mut memory, address, length).is_none());
        }
        assert!(is_word(&memory, 4));
        assert!(!is_word(&memory, 5));
        assert_eq!(write_u64(&mut memory, 1, 1), None);
        assert_eq!(memory, [0; 8]);
    }

    #[test]
    fn words_are_little_endian() {
        let mut memory = [0; 8];
        write_u32(&mut memory, 1, 0x0403_0201).unwrap();
        assert_eq!(memory, [0, 1, 2, 3, 4, 0, 0, 0]);
        write_u64(&mut memory, 0, 1).unwrap();
        assert_eq!(memory, [1, 0, 0, 0, 0, 0, 0, 0]);
    }
}
