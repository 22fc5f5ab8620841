//! Code that is at hand: in a file, in the configuration itself, in an environment variable.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::config::Code;

/// Largest code, in bytes, unpacked: as the limit of Istio's agent. The largest plugins in use have about 20 MB.
pub const LARGEST_CODE: u64 = 256 * 1024 * 1024;

/// Why there are no bytes. The messages complete "the field …".
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// There is no such file.
    #[error("no such file {path:?}, expected the path of a Wasm file")]
    NoFile {
        /// As configured.
        path: PathBuf,
    },
    /// The file is there and cannot be read.
    #[error("{path:?} cannot be read ({source}), expected a readable Wasm file")]
    Unreadable {
        /// As configured.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A directory, a device, a pipe.
    #[error("{path:?} is no regular file, expected a Wasm file")]
    NotAFile {
        /// As configured.
        path: PathBuf,
    },
    /// More bytes than any plugin has.
    #[error("more than {LARGEST_CODE} bytes, expected a plugin of at most that size")]
    TooLarge,
    /// The environment variable is not set.
    #[error("environment variable {name:?} is not set, expected it to hold Wasm bytes")]
    NoVariable {
        /// As configured.
        name: String,
    },
}

impl FetchError {
    /// Whether the same source may have the bytes later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NoFile { .. } | Self::Unreadable { .. } | Self::NotAFile { .. } => true,
            // What is in the configuration, or in the environment of this process, stays as it is.
            Self::TooLarge | Self::NoVariable { .. } => false,
        }
    }
}

/// Reads the bytes of code. Blocks for as long as the file system does.
///
/// # Errors
/// [`FetchError`] says what stands in the way.
pub fn read(code: &Code, environment: impl FnOnce(&str) -> Option<OsString>) -> Result<Vec<u8>, FetchError> {
    match code {
        Code::File(path) => read_file(path),
        Code::Inline(bytes) => Ok(bytes.clone()),
        Code::Environment(name) => environment(name)
            .map(OsString::into_encoded_bytes)
            .ok_or_else(|| FetchError::NoVariable { name: name.clone() }),
    }
}

/// What changes when a file does: which file it is, its size, and when it was changed. A link is followed, so it may be
/// turned to another file.
///
/// # Errors
/// There is no such file, or nothing can be told of it.
pub fn revision_of_file(path: &Path) -> Result<String, FetchError> {
    let found = std::fs::metadata(path).map_err(|source| unreadable(path, source))?;
    if !found.is_file() {
        return Err(FetchError::NotAFile { path: path.to_owned() });
    }
    let (seconds, nanoseconds) = (found.mtime(), found.mtime_nsec());
    Ok(format!("{}:{} {} bytes {seconds}.{nanoseconds:09}", found.dev(), found.ino(), found.len()))
}

fn unreadable(path: &Path, source: io::Error) -> FetchError {
    let path = path.to_owned();
    if source.kind() == io::ErrorKind::NotFound {
        FetchError::NoFile { path }
    } else {
        FetchError::Unreadable { path, source }
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, FetchError> {
    let unreadable = |source: io::Error| unreadable(path, source);
    // Looked at before it is opened: opening a pipe would wait for its writer.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(FetchError::NotAFile { path: path.to_owned() });
    }
    let file = File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    // One byte more than allowed tells a file that is too large, also one that grows meanwhile.
    let limit = LARGEST_CODE.saturating_add(1);
    let read = file.take(limit).read_to_end(&mut bytes).map_err(unreadable)?;
    if u64::try_from(read).is_ok_and(|read| read > LARGEST_CODE) {
        return Err(FetchError::TooLarge);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing(_: &str) -> Option<OsString> {
        None
    }

    #[test]
    fn bytes_come_from_a_file_from_the_configuration_or_from_a_variable() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plugin.wasm");
        std::fs::write(&path, b"bytes").unwrap();
        assert_eq!(read(&Code::File(path), nothing).unwrap(), b"bytes");
        assert_eq!(read(&Code::Inline(b"inline".to_vec()), nothing).unwrap(), b"inline");
        let variable = |name: &str| (name == "CODE").then(|| OsString::from("variable"));
        assert_eq!(read(&Code::Environment("CODE".to_owned()), variable).unwrap(), b"variable");
    }

    #[test]
    fn what_stands_in_the_way_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = |code: Code| read(&code, nothing).unwrap_err().to_string();
        assert_eq!(
            error(Code::File(PathBuf::from("/no/such.wasm"))),
            "no such file \"/no/such.wasm\", expected the path of a Wasm file"
        );
        assert!(error(Code::File(folder.path().to_owned())).contains("is no regular file"));
        assert!(error(Code::Environment("CODE".to_owned())).contains("\"CODE\" is not set"));
    }
}
