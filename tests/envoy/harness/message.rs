//! Messages of protobuf, as plugins send them to foreign functions, and how a script writes bytes.

/// The value of a field.
#[derive(Clone, Copy)]
pub enum Field<'a> {
    /// Numbers, booleans, enums.
    Number(u8),
    Double(f64),
    Bytes(&'a [u8]),
}

/// A message of these fields; their numbers are below 16.
pub fn message(fields: &[(u8, Field)]) -> Vec<u8> {
    let mut message = Vec::new();
    for (number, field) in fields {
        match field {
            Field::Number(value) => {
                assert!(*value < 0x80, "one byte is enough for tests");
                message.extend([number << 3, *value]);
            }
            Field::Double(value) => {
                message.push(number << 3 | 1);
                message.extend(value.to_le_bytes());
            }
            Field::Bytes(bytes) => {
                message.push(number << 3 | 2);
                let mut length = bytes.len();
                while length >= 0x80 {
                    message.push(0x80 | u8::try_from(length % 0x80).unwrap());
                    length /= 0x80;
                }
                message.push(u8::try_from(length).unwrap());
                message.extend_from_slice(bytes);
            }
        }
    }
    message
}

/// Bytes as a word of a script.
pub fn word(bytes: &[u8]) -> String {
    let word = bytes.iter().map(|byte| match byte {
        b'"' | b'\\' => format!("\\x{byte:02x}"),
        b' '..=b'~' => char::from(*byte).to_string(),
        _ => format!("\\x{byte:02x}"),
    });
    format!("\"{}\"", word.collect::<String>())
}
