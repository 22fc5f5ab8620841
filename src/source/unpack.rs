//! From what was fetched to Wasm: gzip and tar are taken off, within bounds, and the magic is looked at.

use std::io::Read;

use flate2::read::MultiGzDecoder;

/// How Wasm begins; core modules and components alike.
const WASM: &[u8] = b"\0asm";
const GZIP: &[u8] = &[0x1f, 0x8b];
/// `ustar`, in the header of the first entry of an archive.
const TAR_AT: std::ops::Range<usize> = 257..262;
/// What the Wasm file of an archive is called, by the specification of Wasm images.
pub(super) const PLUGIN: &str = "plugin.wasm";
/// A gzip in a tar in a gzip is somebody's habit; more is somebody's attack.
const LAYERS: usize = 3;
/// Entries of an archive that are looked at.
const ENTRIES: usize = 10_000;

/// Why there is no Wasm in what was fetched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnpackError {
    /// The bytes are something else.
    #[error("what was fetched is {found}, expected a Wasm file, or one in a gzip or tar file")]
    NotWasm {
        /// What they look like.
        found: String,
    },
    /// More than there may be.
    #[error(
        "what was fetched has more than {limit} bytes when it is unpacked, expected at most graft.source.max_bytes"
    )]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// A damaged file.
    #[error("what was fetched is a damaged {format} file ({reason}), expected a whole one")]
    Corrupt {
        /// Its format.
        format: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// An archive without an end.
    #[error("what was fetched is an archive with more than {limit} entries, expected {PLUGIN} among so many")]
    TooManyEntries {
        /// The limit.
        limit: usize,
    },
    /// An archive of other things.
    #[error(
        "what was fetched is an archive with {files} files and none that is called {PLUGIN}, expected it or one file alone"
    )]
    NoPlugin {
        /// How many files there are.
        files: usize,
    },
}

/// The Wasm file that the bytes are, or that is packed in them.
pub(super) fn wasm(mut bytes: Vec<u8>, limit: u64) -> Result<Vec<u8>, UnpackError> {
    for _ in 0..LAYERS {
        if bytes.starts_with(GZIP) {
            bytes = bounded(MultiGzDecoder::new(bytes.as_slice()), limit, "gzip")?;
        } else if bytes.get(TAR_AT) == Some(b"ustar") {
            bytes = file_of_archive(bytes.as_slice(), limit)?;
        } else {
            break;
        }
    }
    checked(bytes)
}

/// The Wasm file in the layer of an image: an archive, packed or not.
pub(super) fn wasm_of_layer(bytes: &[u8], limit: u64) -> Result<Vec<u8>, UnpackError> {
    let file = if bytes.starts_with(GZIP) {
        // In one go: an archive need not be in memory whole.
        file_of_archive(Bounded { inner: MultiGzDecoder::new(bytes), left: limit }, limit)?
    } else {
        file_of_archive(bytes, limit)?
    };
    checked(file)
}

/// The bytes, if they begin like Wasm.
pub(super) fn checked(bytes: Vec<u8>) -> Result<Vec<u8>, UnpackError> {
    if bytes.starts_with(WASM) {
        return Ok(bytes);
    }
    let found = match bytes.get(..bytes.len().min(4)) {
        None | Some([]) => "empty".to_owned(),
        Some(start) if start.starts_with(b"<") => "a page of HTML or XML".to_owned(),
        Some(start) if start.starts_with(b"{") => "JSON".to_owned(),
        Some(start) => {
            let digits: Vec<String> = start.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{} bytes that begin with {}", bytes.len(), digits.join(" "))
        }
    };
    Err(UnpackError::NotWasm { found })
}

/// All bytes of a reader, or that there are too many.
fn bounded(reader: impl Read, limit: u64, format: &'static str) -> Result<Vec<u8>, UnpackError> {
    let mut bytes = Vec::new();
    reader
        .take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| corrupt(format, limit, &error))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > limit) {
        return Err(UnpackError::TooLarge { limit });
    }
    Ok(bytes)
}

/// The file of an archive that is called `plugin.wasm` in whatever folder, or else the only file that there is.
fn file_of_archive(reader: impl Read, limit: u64) -> Result<Vec<u8>, UnpackError> {
    let failed = |error: &std::io::Error| corrupt("tar", limit, error);
    let mut archive = tar::Archive::new(reader);
    let (mut only, mut files) = (None, 0_usize);
    for (number, entry) in archive.entries().map_err(|error| failed(&error))?.enumerate() {
        if number >= ENTRIES {
            return Err(UnpackError::TooManyEntries { limit: ENTRIES });
        }
        let entry = entry.map_err(|error| failed(&error))?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = entry.path_bytes();
        let is_plugin = path.rsplit(|byte| *byte == b'/').next() == Some(PLUGIN.as_bytes());
        drop(path);
        files = files.saturating_add(1);
        if is_plugin {
            return whole(entry, limit);
        }
        only = if files == 1 { Some(whole(entry, limit)?) } else { None };
    }
    only.ok_or(UnpackError::NoPlugin { files })
}

/// The bytes of a file of an archive: an archive that ends early ends like one that is whole.
fn whole(entry: tar::Entry<'_, impl Read>, limit: u64) -> Result<Vec<u8>, UnpackError> {
    let size = entry.size();
    let bytes = bounded(entry, limit, "tar")?;
    if u64::try_from(bytes.len()) == Ok(size) {
        return Ok(bytes);
    }
    let reason = format!("a file of {size} bytes ends after {}", bytes.len());
    Err(UnpackError::Corrupt { format: "tar", reason })
}

fn corrupt(format: &'static str, limit: u64, error: &std::io::Error) -> UnpackError {
    if error.get_ref().and_then(|inner| inner.downcast_ref::<TooMuch>()).is_some() {
        return UnpackError::TooLarge { limit };
    }
    UnpackError::Corrupt { format, reason: error.to_string() }
}

/// Hands so many bytes on, and fails with [`TooMuch`] then.
struct Bounded<R> {
    inner: R,
    left: u64,
}

#[derive(Debug, thiserror::Error)]
#[error("too many bytes")]
struct TooMuch;

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let read = u64::try_from(count).unwrap_or(u64::MAX);
        self.left = self.left.checked_sub(read).ok_or_else(|| std::io::Error::other(TooMuch))?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    const MODULE: &[u8] = b"\0asm\x01\0\0\0";

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, bytes) in files {
            let mut header = tar::Header::new_ustar();
            header.set_size(u64::try_from(bytes.len()).unwrap());
            header.set_mode(0o644);
            builder.append_data(&mut header, path, *bytes).unwrap();
        }
        builder.into_inner().unwrap()
    }

    #[test]
    fn wasm_comes_out_of_whatever_it_is_packed_in() {
        let one = tar(&[("any.wasm", MODULE)]);
        let named = tar(&[("README", b"x"), ("./a/plugin.wasm", MODULE), ("LICENSE", b"y")]);
        for packed in [
            MODULE.to_vec(),
            gzip(MODULE),
            one.clone(),
            gzip(&one),
            named.clone(),
            gzip(&named),
            gzip(&tar(&[("plugin.wasm", &gzip(MODULE))])),
        ] {
            assert_eq!(wasm(packed, 100_000).unwrap(), MODULE);
        }
        for layer in [gzip(&named), named] {
            assert_eq!(wasm_of_layer(&layer, 100_000).unwrap(), MODULE);
        }
    }

    #[test]
    fn what_is_no_wasm_is_described() {
        for (bytes, expected) in [
            (b"".to_vec(), "empty"),
            (b"<!DOCTYPE html>".to_vec(), "a page of HTML or XML"),
            (b"{\"errors\":[]}".to_vec(), "JSON"),
            (b"\x7fELF\x02".to_vec(), "5 bytes that begin with 7f 45 4c 46"),
            (gzip(&gzip(&gzip(&gzip(MODULE)))), "bytes that begin with 1f 8b 08 00"),
        ] {
            let error = wasm(bytes, 100_000).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_bomb_is_given_up_when_it_has_grown_to_the_limit() {
        let zeros = vec![0_u8; 10_000_000];
        let too_large = UnpackError::TooLarge { limit: 100_000 };
        assert_eq!(wasm(gzip(&zeros), 100_000), Err(too_large.clone()));
        let archive = tar(&[("plugin.wasm", &zeros)]);
        assert_eq!(wasm(gzip(&archive), 100_000), Err(too_large.clone()));
        assert_eq!(wasm_of_layer(&gzip(&archive), 100_000), Err(too_large.clone()));
        // In front of what is wanted.
        let archive = tar(&[("zeros", &zeros), ("plugin.wasm", MODULE)]);
        assert_eq!(wasm_of_layer(&gzip(&archive), 100_000), Err(too_large));
    }

    #[test]
    fn damaged_files_and_other_archives_are_refused() {
        let mut cut = gzip(&[7; 1000]);
        cut.truncate(cut.len() - 9);
        assert!(matches!(wasm(cut, 100_000), Err(UnpackError::Corrupt { format: "gzip", .. })));
        let mut archive = tar(&[("plugin.wasm", MODULE)]);
        archive[0] = b'x';
        assert!(matches!(wasm(archive, 100_000), Err(UnpackError::Corrupt { format: "tar", .. })));
        let other = tar(&[("a", b"1"), ("b", MODULE)]);
        assert_eq!(wasm(other, 100_000), Err(UnpackError::NoPlugin { files: 2 }));
        assert_eq!(wasm_of_layer(&tar(&[]), 100_000), Err(UnpackError::NoPlugin { files: 0 }));
    }

    #[test]
    fn an_archive_that_ends_early_is_not_whole() {
        let code = [MODULE, &[1; 2000]].concat();
        for name in ["plugin.wasm", "any.wasm"] {
            let archive = tar(&[(name, &code)]);
            assert_eq!(wasm(archive.clone(), 100_000).unwrap(), code);
            for length in [513, 600, 512 + code.len() - 1] {
                let cut = archive[..length].to_vec();
                for error in [
                    wasm(cut.clone(), 100_000).unwrap_err(),
                    wasm_of_layer(&cut, 100_000).unwrap_err(),
                    wasm_of_layer(&gzip(&cut), 100_000).unwrap_err(),
                ] {
                    assert!(
                        matches!(error, UnpackError::Corrupt { format: "tar", .. }),
                        "{length}: {error:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn an_archive_of_too_many_entries_is_given_up() {
        let archive = |count: usize| {
            let mut files = vec![("x", &b""[..]); count];
            files.push(("plugin.wasm", MODULE));
            tar(&files)
        };
        assert_eq!(wasm_of_layer(&archive(ENTRIES - 1), 10_000_000).unwrap(), MODULE);
        let error = wasm_of_layer(&archive(ENTRIES), 10_000_000).unwrap_err();
        assert_eq!(error, UnpackError::TooManyEntries { limit: ENTRIES });
    }
}
