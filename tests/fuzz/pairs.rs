//! Bytes that are pairs, almost pairs, or nothing of the kind, into the codec of pairs.

use graft::host::pairs::{LONGEST, MOST, decode, encode_into, encoded_len};

use crate::for_a_while;
use crate::numbers::Numbers;

type Owned = Vec<(Vec<u8>, Vec<u8>)>;

fn some(numbers: &mut Numbers) -> Owned {
    let most = *numbers.pick(&[2, 8, 40, 1100]);
    let count = numbers.below(most);
    (0..count).map(|_| (numbers.bytes(20), numbers.bytes(40))).collect()
}

fn encode(pairs: &Owned) -> Vec<u8> {
    let pairs = pairs.iter().map(|(name, value)| (name, value));
    let mut room = vec![0; usize::try_from(encoded_len(pairs.clone()).unwrap()).unwrap()];
    encode_into(&mut room, pairs).unwrap();
    room
}

/// Changes a few bytes, or the length, or a whole number.
fn spoil(numbers: &mut Numbers, bytes: &mut Vec<u8>) {
    for _ in 0..=numbers.below(3) {
        if bytes.is_empty() {
            return;
        }
        let at = numbers.below(bytes.len());
        match numbers.below(5) {
            0 => bytes[at] = numbers.any().to_le_bytes()[0],
            1 => bytes.truncate(at),
            2 => bytes.insert(at, 0),
            3 => drop(bytes.remove(at)),
            _ => {
                let number = *numbers.pick(&[0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_fff0, u32::MAX]);
                if let Some(word) = bytes.get_mut(at / 4 * 4..at / 4 * 4 + 4) {
                    word.copy_from_slice(&number.to_le_bytes());
                }
            }
        }
    }
}

#[test]
fn pairs_are_read_whole_or_not_at_all() {
    let (mut accepted, mut refused) = (0_u64, 0_u64);
    let cases = for_a_while("pairs_are_read", |numbers| {
        let pairs = some(numbers);
        let mut bytes = encode(&pairs);
        let is_readable = pairs.len() <= usize::try_from(MOST).unwrap() && bytes.len() <= LONGEST;
        let read: Owned = decode(&bytes).map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
        assert_eq!(read, if is_readable { pairs } else { Owned::new() });

        spoil(numbers, &mut bytes);
        let read: Owned = decode(&bytes).map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
        if read.is_empty() {
            refused += 1;
        } else {
            accepted += 1;
            assert_eq!(encode(&read), bytes, "what is accepted is an encoding, to the byte");
        }
        let noise = numbers.bytes(64);
        assert!(decode(&noise).all(|(name, value)| name.len() + value.len() < noise.len()));
    });
    assert!(cases < 1000 || (accepted > 0 && refused > 0), "{accepted} accepted, {refused} refused");
}
