//! One file of the cache: a header that says what it is, and the bytes.
//!
//! ```text
//!   magic 8 | version 4 | kind 4 | key 32 | length 8 | SHA-256 of the bytes 32 | the bytes
//! ```
//!
//! Numbers are little endian. The name of a file says the kind and the key, too; the header tells a file that was
//! renamed. What is handed out has been read to memory first, and the digest is that of this memory: whatever becomes of
//! the file afterwards, these bytes are those that were written.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileTypeExt as _;

use sha2::{Digest as _, Sha256};

use super::Kind;

/// The first bytes of a file. The line end tells one that went through a text mode.
const MAGIC: [u8; 8] = *b"\x89graft\r\n";

/// The version of the format; a file of another one is made anew.
const VERSION: u32 = 1;

/// Bytes of a header.
const HEADER: usize = 88;

/// Most bytes of a file, so that a damaged length costs no more memory. Compiled code is a few times as large as its Wasm, of which
/// there may be 1 GiB (`graft.source.max_bytes`): what is larger is not kept.
pub(super) const LARGEST: u64 = 2 * 1024 * 1024 * 1024;

/// Why a file is not what was asked for. The messages complete "the file …".
#[derive(Debug, thiserror::Error)]
pub(super) enum Unfit {
    /// There is none.
    #[error("is not there")]
    Absent,
    /// The system does not let us.
    #[error("cannot be read ({0}), expected a readable file")]
    Unreadable(#[source] io::Error),
    /// A link, a directory, a pipe.
    #[error("is {0}, expected a regular file")]
    NotAFile(&'static str),
    /// Of somebody else.
    #[error("belongs to user {found}, expected {expected}, the user of this process")]
    Foreign {
        /// Whose it is.
        found: u32,
        /// Whose it has to be.
        expected: u32,
    },
    /// Others may read or write it.
    #[error("has mode {0:04o}, expected one without rights of others (0600)")]
    Exposed(u32),
    /// No header, or not ours.
    #[error("has no header of this cache, expected one of version {VERSION}")]
    NotOurs,
    /// Of another version of the format.
    #[error("has a header of version {0}, expected version {VERSION}")]
    Version(u32),
    /// A file of another name.
    #[error("holds something else, expected what its name says")]
    OtherKey,
    /// Cut, or grown.
    #[error("has {found} bytes, expected {expected}")]
    Length {
        /// Bytes of the file.
        found: u64,
        /// As the header says.
        expected: u64,
    },
    /// Changed since it was written.
    #[error("has another digest than its header says, expected what was written")]
    Digest,
}

impl Unfit {
    /// Whether the file is of no use to anybody. One that cannot be read now may be readable later.
    pub(super) fn is_to_be_discarded(&self) -> bool {
        match self {
            Self::Absent | Self::Unreadable(_) => false,
            Self::NotAFile(_)
            | Self::Foreign { .. }
            | Self::Exposed(_)
            | Self::NotOurs
            | Self::Version(_)
            | Self::OtherKey
            | Self::Length { .. }
            | Self::Digest => true,
        }
    }
}

/// What a file is, if it is no regular one.
pub(super) fn describe(kind: std::fs::FileType) -> &'static str {
    if kind.is_symlink() {
        "a symbolic link"
    } else if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_file() {
        "a regular file"
    } else {
        "a device or a socket"
    }
}

/// The header for some bytes.
pub(super) fn header(kind: Kind, key: &[u8; 32], bytes: &[u8]) -> Vec<u8> {
    let mut header = Vec::with_capacity(HEADER);
    header.extend_from_slice(&MAGIC);
    header.extend_from_slice(&VERSION.to_le_bytes());
    header.extend_from_slice(&(kind as u32).to_le_bytes());
    header.extend_from_slice(key);
    header.extend_from_slice(&length(bytes).to_le_bytes());
    header.extend_from_slice(&Sha256::digest(bytes));
    header
}

/// Size of the file that holds some bytes.
pub(super) fn size(bytes: &[u8]) -> u64 {
    length(bytes).saturating_add(length(&[0; HEADER]))
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// The bytes of a file that was opened, whole and unchanged.
pub(super) fn read(mut file: &File, kind: Kind, key: &[u8; 32]) -> Result<Vec<u8>, Unfit> {
    let size_of_file = file.metadata().map_err(Unfit::Unreadable)?.len();
    let mut header = [0; HEADER];
    file.read_exact(&mut header).map_err(|error| {
        let is_short = error.kind() == io::ErrorKind::UnexpectedEof;
        if is_short { Unfit::NotOurs } else { Unfit::Unreadable(error) }
    })?;
    let mut rest = &header[..];
    if take(&mut rest) != MAGIC {
        return Err(Unfit::NotOurs);
    }
    let version = u32::from_le_bytes(take(&mut rest));
    if version != VERSION {
        return Err(Unfit::Version(version));
    }
    if u32::from_le_bytes(take(&mut rest)) != kind as u32 || take(&mut rest) != *key {
        return Err(Unfit::OtherKey);
    }
    let expected = u64::from_le_bytes(take(&mut rest));
    let digest: [u8; 32] = take(&mut rest);
    let found = size_of_file.saturating_sub(length(&header));
    if found != expected || found > LARGEST {
        return Err(Unfit::Length { found, expected: expected.min(LARGEST) });
    }
    let mut bytes = Vec::with_capacity(usize::try_from(found).unwrap_or(0));
    // The file may change while it is read; what is read ends where it has to.
    file.take(found).read_to_end(&mut bytes).map_err(Unfit::Unreadable)?;
    if length(&bytes) != expected {
        return Err(Unfit::Length { found: length(&bytes), expected });
    }
    if Sha256::digest(&bytes)[..] != digest {
        return Err(Unfit::Digest);
    }
    Ok(bytes)
}

/// The next bytes of a header, which is as long as all of them together.
fn take<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    match rest.split_first_chunk::<N>() {
        Some((first, others)) => {
            *rest = others;
            *first
        }
        None => [0; N],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_as_long_as_it_says() {
        assert_eq!(header(Kind::Wasm, &[7; 32], b"bytes").len(), HEADER);
        assert_eq!(size(b"bytes"), 93);
    }
}
