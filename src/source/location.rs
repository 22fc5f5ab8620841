//! Code that is at hand: in a file, in the configuration itself, in an environment variable.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

pub use super::error::FetchError;
use crate::config::Code;

/// Largest code, in bytes, unpacked: as the limit of Istio's agent. The largest plugins in use have about 20 MB.
pub const LARGEST_CODE: u64 = 256 * 1024 * 1024;

/// Reads the bytes of code. Blocks for as long as the file system does.
///
/// # Errors
/// [`FetchError`] says what stands in the way.
pub fn read(code: &Code, environment: impl FnOnce(&str) -> Option<OsString>) -> Result<Vec<u8>, FetchError> {
    match code {
        Code::File(path) => read_file(path, LARGEST_CODE),
        Code::Inline(bytes) => Ok(bytes.clone()),
        Code::Environment(name) => environment(name)
            .map(OsString::into_encoded_bytes)
            .ok_or_else(|| FetchError::NoVariable { name: name.clone() }),
        Code::Remote(_) => Err(FetchError::NotLocal),
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

/// All bytes of a file, at most so many.
pub(super) fn read_file(path: &Path, largest: u64) -> Result<Vec<u8>, FetchError> {
    let unreadable = |error: io::Error| unreadable(path, error);
    // Looked at before it is opened: opening a pipe would wait for its writer.
    let found = std::fs::metadata(path).map_err(unreadable)?;
    if !found.is_file() {
        return Err(FetchError::NotAFile { path: path.to_owned() });
    }
    let too_large = |size| FetchError::TooLarge { what: quoted(path), size, limit: largest, bound: None };
    if found.len() > largest {
        return Err(too_large(found.len()));
    }
    let file = File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::with_capacity(usize::try_from(found.len()).unwrap_or_default());
    // One byte more than allowed tells one that grows meanwhile, or that says of itself that it is empty.
    let read = file.take(largest.saturating_add(1)).read_to_end(&mut bytes).map_err(unreadable)?;
    match u64::try_from(read) {
        Ok(read) if read > largest => Err(too_large(read)),
        Ok(_) | Err(_) => Ok(bytes),
    }
}

/// A path as errors show it.
pub(super) fn quoted(path: &Path) -> String {
    format!("{:?}", path.to_string_lossy())
}

/// Why a file cannot be looked at.
pub(super) fn unreadable(path: &Path, source: io::Error) -> FetchError {
    let path = path.to_owned();
    if source.kind() == io::ErrorKind::NotFound {
        FetchError::NoFile { path }
    } else {
        FetchError::Unreadable { path, source }
    }
}

/// Why a file that is no Wasm file could not be read.
pub(super) fn reason(error: &FetchError) -> String {
    match error {
        FetchError::NoFile { .. } => "there is no such file".to_owned(),
        FetchError::Unreadable { source, .. } => source.kind().to_string(),
        FetchError::NotAFile { .. } => "it is no regular file".to_owned(),
        FetchError::TooLarge { size, limit, .. } => format!("it has {size} bytes, expected at most {limit}"),
        FetchError::NoVariable { .. }
        | FetchError::NotLocal
        | FetchError::Authorities { .. }
        | FetchError::Http(_)
        | FetchError::Image(_)
        | FetchError::Credentials(_)
        | FetchError::Signature(_)
        | FetchError::Unpack(_)
        | FetchError::WrongDigest { .. } => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

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
