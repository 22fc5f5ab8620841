//! The encoding of header maps: a count, the sizes of all names and values, then each with a zero after it.

/// Encodes pairs.
#[allow(clippy::cast_possible_truncation)]
pub fn encode(pairs: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut bytes = (pairs.len() as u32).to_le_bytes().to_vec();
    for (name, value) in pairs {
        bytes.extend_from_slice(&(name.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
    }
    for part in pairs.iter().flat_map(|(name, value)| [name, value]) {
        bytes.extend_from_slice(part);
        bytes.push(0);
    }
    bytes
}

/// Shows encoded pairs as `[name=value, ...]`, in the host's order; what cannot be decoded, as bytes.
pub fn show(bytes: &[u8]) -> String {
    match decode(bytes) {
        Some(pairs) => {
            let pairs: Vec<_> = pairs
                .iter()
                .map(|(name, value)| format!("{}={}", name.escape_ascii(), value.escape_ascii()))
                .collect();
            format!("[{}]", pairs.join(", "))
        }
        None => format!("not pairs: {}", crate::operations::quote(bytes)),
    }
}

fn decode(bytes: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    let word = |at: usize| -> Option<usize> {
        Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?) as usize)
    };
    let count = word(0)?;
    let mut at = count.checked_mul(8)?.checked_add(4)?;
    let mut part = |size: usize| -> Option<&[u8]> {
        let end = at.checked_add(size)?;
        let part = bytes.get(at..end)?;
        at = (bytes.get(end) == Some(&0)).then_some(end + 1)?;
        Some(part)
    };
    (0..count).map(|index| Some((part(word(4 + index * 8)?)?, part(word(8 + index * 8)?)?))).collect()
}
