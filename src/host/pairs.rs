//! The codec of pairs: how header maps, and the maps and lists of properties, cross to a guest and back.
//!
//! ```text
//! count: u32 | (key length: u32, value length: u32) × count | (key, 0x00, value, 0x00) × count
//! ```
//!
//! Integers are little-endian; a length does not count its 0x00. A map without pairs is encoded as no
//! bytes at all.
//!
//! Both directions are used on the request path, so neither allocates: [`encode_into`] writes where the
//! guest's allocator gave room (ask [`encoded_len`] how much), and [`decode`] gives an iterator over the
//! guest's own bytes.
//!
//! What a guest sends is hostile, and is checked whole before the first pair is given. The limits, and that
//! a violation means *no pairs* and not an error, are those of Envoy's built-in filter: a plugin that sends
//! nonsense to `proxy_set_header_map_pairs` empties the map under both.

use std::iter::FusedIterator;

use thiserror::Error;

/// The longest encoding that [`decode`] reads, in bytes. What is longer counts as no pairs.
pub const LONGEST: usize = 1024 * 1024;

/// The most pairs that [`decode`] reads. A longer list counts as no pairs.
pub const MOST: u32 = 1024;

/// Why pairs could not be encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// Their number, or the length of one, or of the whole, is beyond what 32 bits can say to a guest.
    #[error("the pairs do not fit 32-bit lengths")]
    TooLong,
    /// The room given is not the length that [`encoded_len`] computes.
    #[error("the pairs need exactly their encoded length, not {given} bytes")]
    WrongRoom {
        /// The bytes of room that were given.
        given: usize,
    },
}

/// How many bytes `pairs` take when encoded; 0 when there are none.
///
/// # Errors
/// [`EncodeError::TooLong`] when that does not fit 32 bits.
pub fn encoded_len<K, V>(pairs: impl IntoIterator<Item = (K, V)>) -> Result<u32, EncodeError>
where
    K: AsRef<[u8]>,
    V: AsRef<[u8]>,
{
    // The count, and then for each pair two lengths and two terminators.
    const COUNT: u32 = 4;
    const PAIR: u32 = 2 * 4 + 2;

    let total = pairs.into_iter().try_fold(0_u32, |total, (key, value)| {
        let total = if total == 0 { COUNT } else { total };
        total.checked_add(PAIR)?.checked_add(length(key.as_ref())?)?.checked_add(length(value.as_ref())?)
    });
    total.ok_or(EncodeError::TooLong)
}

/// Encodes `pairs` into `room`, whose length must be the one that [`encoded_len`] gives for them.
///
/// The pairs are walked three times: to count, for the lengths, for the bytes.
///
/// # Errors
/// [`EncodeError::WrongRoom`] when the length is another one, [`EncodeError::TooLong`] when a length or
/// the count does not fit 32 bits. What `room` then holds is undefined (but initialised).
pub fn encode_into<K, V, I>(room: &mut [u8], pairs: I) -> Result<(), EncodeError>
where
    I: IntoIterator<Item = (K, V)>,
    I::IntoIter: Clone,
    K: AsRef<[u8]>,
    V: AsRef<[u8]>,
{
    let pairs = pairs.into_iter();
    let wrong_room = EncodeError::WrongRoom { given: room.len() };
    let count = u32::try_from(pairs.clone().count()).map_err(|_| EncodeError::TooLong)?;
    let mut rest = room;
    if count > 0 {
        rest = put(rest, &count.to_le_bytes()).ok_or(wrong_room)?;
    }
    for (key, value) in pairs.clone() {
        for part in [key.as_ref(), value.as_ref()] {
            let length = length(part).ok_or(EncodeError::TooLong)?;
            rest = put(rest, &length.to_le_bytes()).ok_or(wrong_room)?;
        }
    }
    for (key, value) in pairs {
        for part in [key.as_ref(), value.as_ref()] {
            rest = put(rest, part).ok_or(wrong_room)?;
            rest = put(rest, &[0]).ok_or(wrong_room)?;
        }
    }
    if rest.is_empty() { Ok(()) } else { Err(wrong_room) }
}

/// The pairs that `bytes` encode, as slices of them.
///
/// None when `bytes` are not exactly one valid encoding within [`LONGEST`] and [`MOST`]: a terminator that
/// is missing, a length that leads outside, a byte too many.
pub fn decode(bytes: &[u8]) -> Pairs<'_> {
    parse(bytes).unwrap_or_default()
}

/// An iterator over decoded pairs, as `(key, value)`; see [`decode`].
#[derive(Clone, Debug, Default)]
pub struct Pairs<'a> {
    /// The two lengths of each pair that is left.
    lengths: &'a [[[u8; 4]; 2]],
    /// The bytes of each pair that is left, with their terminators.
    text: &'a [u8],
}

impl<'a> Pairs<'a> {
    /// Takes the next pair; nothing when there is none or when it is not well formed.
    fn advance(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        let ([key, value], lengths) = self.lengths.split_first()?;
        let (key, text) = terminated(self.text, u32::from_le_bytes(*key))?;
        let (value, text) = terminated(text, u32::from_le_bytes(*value))?;
        *self = Self { lengths, text };
        Some((key, value))
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        self.advance()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.lengths.len(), Some(self.lengths.len()))
    }
}

impl ExactSizeIterator for Pairs<'_> {}
impl FusedIterator for Pairs<'_> {}

/// The pairs in `bytes`, walked once to the end to see that each is well formed and that nothing follows.
fn parse(bytes: &[u8]) -> Option<Pairs<'_>> {
    if bytes.len() > LONGEST {
        return None;
    }
    let (count, rest) = bytes.split_first_chunk::<4>()?;
    let count = u32::from_le_bytes(*count);
    if count > MOST {
        return None;
    }
    let (lengths, text) = rest.split_at_checked((count as usize).checked_mul(8)?)?;
    let (words, _) = lengths.as_chunks::<4>();
    let (lengths, _) = words.as_chunks::<2>();
    let pairs = Pairs { lengths, text };

    let mut walk = pairs.clone();
    while !walk.lengths.is_empty() {
        walk.advance()?;
    }
    walk.text.is_empty().then_some(pairs)
}

/// Splits off the first `length` bytes of `text` and the 0x00 that must follow them.
fn terminated(text: &[u8], length: u32) -> Option<(&[u8], &[u8])> {
    let (part, rest) = text.split_at_checked(length as usize)?;
    let (terminator, rest) = rest.split_first()?;
    (*terminator == 0).then_some((part, rest))
}

/// The length of `part` as a guest reads it.
fn length(part: &[u8]) -> Option<u32> {
    u32::try_from(part.len()).ok()
}

/// Writes `bytes` at the start of `room`, for the room that is left; nothing when it is too small.
fn put<'a>(room: &'a mut [u8], bytes: &[u8]) -> Option<&'a mut [u8]> {
    let (place, rest) = room.split_at_mut_checked(bytes.len())?;
    place.copy_from_slice(bytes);
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Owned = Vec<(Vec<u8>, Vec<u8>)>;

    /// One pair, `k` = `vv`, written by hand.
    const ONE: &[u8] = b"\x01\0\0\0\x01\0\0\0\x02\0\0\0k\0vv\0";

    fn encode(pairs: &Owned) -> Vec<u8> {
        let pairs = pairs.iter().map(|(key, value)| (key, value));
        let mut room = vec![0xaa; encoded_len(pairs.clone()).unwrap() as usize];
        encode_into(&mut room, pairs).unwrap();
        room
    }

    fn owned(pairs: Pairs<'_>) -> Owned {
        pairs.map(|(key, value)| (key.to_vec(), value.to_vec())).collect()
    }

    /// Numbers that look random and are the same in each run (xorshift).
    struct Numbers(u64);

    impl Numbers {
        fn below(&mut self, bound: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            usize::try_from(self.0 >> 11).unwrap().checked_rem(bound).unwrap()
        }

        fn bytes(&mut self, bound: usize) -> Vec<u8> {
            let length = self.below(bound);
            (0..length).map(|_| u8::try_from(self.below(256)).unwrap()).collect()
        }

        fn pairs(&mut self, bound: usize) -> Owned {
            let count = self.below(bound);
            (0..count).map(|_| (self.bytes(20), self.bytes(60))).collect()
        }
    }

    #[test]
    fn the_layout_is_the_one_that_guests_know() {
        assert_eq!(encode(&vec![(b"k".to_vec(), b"vv".to_vec())]), ONE);
        assert_eq!(owned(decode(ONE)), [(b"k".to_vec(), b"vv".to_vec())]);
        let two = encode(&vec![(b":path".to_vec(), b"/".to_vec()), (Vec::new(), Vec::new())]);
        assert_eq!(two, b"\x02\0\0\0\x05\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0:path\0/\0\0\0");
    }

    #[test]
    fn text_is_encoded_as_bytes_are() {
        let pairs = [("k", "vv")];
        let mut room = [0; 17];
        assert_eq!(encoded_len(pairs), Ok(17));
        encode_into(&mut room, pairs).unwrap();
        assert_eq!(room, ONE);
    }

    #[test]
    fn no_pairs_are_no_bytes() {
        let none: [(&str, &str); 0] = [];
        assert_eq!(encoded_len(none), Ok(0));
        assert_eq!(encode_into(&mut [], none), Ok(()));
        assert_eq!(encode_into(&mut [0; 4], none), Err(EncodeError::WrongRoom { given: 4 }));
        assert_eq!(decode(b"").len(), 0);
        assert_eq!(decode(b"\0").len(), 0);
        assert_eq!(decode(b"\0\0\0\0").len(), 0);
    }

    #[test]
    fn encoding_into_any_other_room_fails() {
        for given in (0..40).filter(|given| *given != ONE.len()) {
            let mut room = vec![0; given];
            assert_eq!(encode_into(&mut room, [("k", "vv")]), Err(EncodeError::WrongRoom { given }));
        }
    }

    #[test]
    fn a_length_beyond_32_bits_is_an_error_and_not_a_wrap() {
        // The same MiB 4,096 times: 4 GiB that are never held.
        let mib = vec![0_u8; 1024 * 1024];
        let pairs = std::iter::repeat_n((&mib, ""), 4096);
        assert_eq!(encoded_len(pairs.clone()), Err(EncodeError::TooLong));
        assert!(encoded_len(pairs.take(4095)).is_ok());
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
        for _ in 0..500 {
            let pairs = numbers.pairs(30);
            let bytes = encode(&pairs);
            assert_eq!(decode(&bytes).len(), pairs.len());
            assert_eq!(owned(decode(&bytes)), pairs);
        }
    }

    #[test]
    fn decoded_pairs_are_slices_of_what_was_given() {
        let bytes = ONE.to_vec();
        let (key, value) = decode(&bytes).next().unwrap();
        assert!(bytes.as_ptr_range().contains(&key.as_ptr()));
        assert!(bytes.as_ptr_range().contains(&value.as_ptr()));
    }

    #[test]
    fn an_iterator_that_is_at_its_end_stays_there() {
        let mut pairs = decode(ONE);
        assert_eq!(pairs.size_hint(), (1, Some(1)));
        assert!(pairs.next().is_some());
        assert_eq!(pairs.size_hint(), (0, Some(0)));
        assert!(pairs.next().is_none());
        assert!(pairs.next().is_none());
    }

    #[test]
    fn every_encoding_that_is_cut_or_has_a_byte_too_many_is_no_pairs() {
        let mut numbers = Numbers(7);
        for _ in 0..50 {
            let mut bytes = encode(&numbers.pairs(8));
            if bytes.is_empty() {
                continue;
            }
            for end in 0..bytes.len() {
                assert_eq!(decode(&bytes[..end]).len(), 0, "cut at {end} of {bytes:?}");
            }
            bytes.push(0);
            assert_eq!(decode(&bytes).len(), 0, "{bytes:?}");
        }
    }

    #[test]
    fn a_missing_terminator_is_no_pairs() {
        for terminator in [13, 16] {
            let mut bytes = ONE.to_vec();
            assert_eq!(bytes[terminator], 0);
            bytes[terminator] = b'x';
            assert_eq!(decode(&bytes).len(), 0, "at {terminator}");
        }
    }

    #[test]
    fn lengths_near_the_end_of_32_bits_are_no_pairs() {
        for length in [3_u32, 0x7fff_ffff, 0x8000_0000, 0xffff_fff0, 0xffff_fffe, 0xffff_ffff] {
            for field in [0, 4, 8] {
                let mut bytes = ONE.to_vec();
                bytes[field..field + 4].copy_from_slice(&length.to_le_bytes());
                assert_eq!(decode(&bytes).len(), 0, "{length:#x} at {field}");
            }
        }
    }

    #[test]
    fn the_limits_are_exact() {
        let most = vec![(b"k".to_vec(), b"v".to_vec()); 1024];
        assert_eq!(decode(&encode(&most)).len(), 1024);
        let more = vec![(b"k".to_vec(), b"v".to_vec()); 1025];
        assert_eq!(decode(&encode(&more)).len(), 0);

        // 14 bytes are not the value's.
        let longest = vec![(Vec::new(), vec![b'v'; LONGEST - 14])];
        assert_eq!(encode(&longest).len(), LONGEST);
        assert_eq!(decode(&encode(&longest)).len(), 1);
        let longer = vec![(Vec::new(), vec![b'v'; LONGEST - 13])];
        assert_eq!(decode(&encode(&longer)).len(), 0);
    }

    #[test]
    fn mutated_encodings_give_no_pairs_or_pairs_that_encode_to_the_same_bytes() {
        let mut numbers = Numbers(0x5eed);
        let mut accepted = 0_u32;
        for _ in 0..20_000 {
            let mut bytes = encode(&numbers.pairs(5));
            for _ in 0..=numbers.below(3) {
                if !bytes.is_empty() {
                    let at = numbers.below(bytes.len());
                    bytes[at] = u8::try_from(numbers.below(256)).unwrap();
                }
            }
            let pairs = decode(&bytes);
            if pairs.len() > 0 {
                accepted += 1;
                assert_eq!(encode(&owned(pairs)), bytes);
            }
        }
        assert!(accepted > 100, "the mutations must leave some encodings valid, not {accepted}");
    }

    #[test]
    fn arbitrary_bytes_are_read_without_leaving_them() {
        let mut numbers = Numbers(42);
        for _ in 0..20_000 {
            let mut bytes = numbers.bytes(64);
            // A count that is small gets further.
            if let Some(count) = bytes.get_mut(1..4) {
                count.fill(0);
            }
            for (key, value) in decode(&bytes) {
                assert!(key.len() + value.len() < bytes.len());
            }
        }
    }
}
