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

/// So much is read of what an entry says of the next one.
const LONGEST_NAME: u64 = 64 * 1024;

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
        "what was fetched is an archive with {files} files and none that is called {PLUGIN}, expected it, one file alone, or one alone whose name ends in .wasm"
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

/// The file of an archive that is called `plugin.wasm` in whatever folder, or else the only file that there is, or the only one
/// whose name ends in `.wasm`.
///
/// The headers are read as they are. The library would else read long names whole, and keep a list of the pieces of a sparse file,
/// before an entry is seen.
fn file_of_archive(reader: impl Read, limit: u64) -> Result<Vec<u8>, UnpackError> {
    let failed = |error: &std::io::Error| corrupt("tar", limit, error);
    let mut archive = tar::Archive::new(reader);
    let (mut only, mut module) = (None, None);
    let (mut files, mut modules) = (0_usize, 0_usize);
    let mut long_name = None;
    for (number, entry) in archive.entries().map_err(|error| failed(&error))?.raw(true).enumerate() {
        if number >= ENTRIES {
            return Err(UnpackError::TooManyEntries { limit: ENTRIES });
        }
        let mut entry = entry.map_err(|error| failed(&error))?;
        let kind = entry.header().entry_type();
        if kind.is_gnu_longname() || kind.is_pax_local_extensions() {
            // Of the next entry. One may come behind the other.
            long_name = name_in(&mut entry).map_err(|error| failed(&error))?.or(long_name);
            continue;
        }
        if kind.is_gnu_sparse() {
            return Err(UnpackError::Corrupt { format: "tar", reason: "it has a sparse file".to_owned() });
        }
        let path = long_name.take().unwrap_or_else(|| entry.path_bytes().into_owned());
        if !kind.is_file() {
            continue;
        }
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        files = files.saturating_add(1);
        if name == PLUGIN.as_bytes() {
            return whole(entry, limit);
        }
        // macOS puts what it knows of a file beside it, under its name behind these two characters.
        let is_module = name.ends_with(b".wasm") && !name.starts_with(b"._");
        modules = modules.saturating_add(usize::from(is_module));
        if is_module && modules == 1 {
            module = Some(whole(entry, limit)?);
        } else if files == 1 {
            only = Some(whole(entry, limit)?);
        }
    }
    let found = if modules == 0 && files == 1 { only } else { module.filter(|_| modules == 1) };
    found.ok_or(UnpackError::NoPlugin { files })
}

/// The name that an entry has for the next one, if it has one: as GNU's tar writes it, or as a record of POSIX.
fn name_in(entry: &mut tar::Entry<'_, impl Read>) -> std::io::Result<Option<Vec<u8>>> {
    let is_gnu = entry.header().entry_type().is_gnu_longname();
    let mut bytes = Vec::new();
    entry.take(LONGEST_NAME).read_to_end(&mut bytes)?;
    if is_gnu {
        return Ok(Some(bytes.strip_suffix(b"\0").unwrap_or(&bytes).to_owned()));
    }
    let records = tar::PaxExtensions::new(&bytes).filter_map(Result::ok);
    Ok(records
        .filter(|record| record.key_bytes() == b"path")
        .last()
        .map(|record| record.value_bytes().to_owned()))
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
        for other in [&[("a", &b"1"[..]), ("b", MODULE)], &[("a.wasm", MODULE), ("b.wasm", MODULE)]] {
            assert_eq!(wasm(tar(other), 100_000), Err(UnpackError::NoPlugin { files: 2 }));
        }
        assert_eq!(wasm_of_layer(&tar(&[]), 100_000), Err(UnpackError::NoPlugin { files: 0 }));
    }

    #[test]
    fn the_only_module_among_other_files_is_taken() {
        for files in [
            &[("README.wasm.md", &b"x"[..]), ("a/auth.wasm", MODULE), ("LICENSE", b"y")][..],
            &[("./._auth.wasm", b"x"), ("./auth.wasm", MODULE)],
            &[("auth.wasm", MODULE), ("x", b"y")],
        ] {
            assert_eq!(wasm(tar(files), 100_000).unwrap(), MODULE, "{files:?}");
        }
    }

    #[test]
    fn long_names_are_understood_as_gnu_and_posix_write_them() {
        let folder = format!("{}/plugin.wasm", "long/".repeat(40));
        // As GNU writes it.
        assert_eq!(wasm_of_layer(&tar(&[("README", b"x"), (&folder, MODULE)]), 100_000).unwrap(), MODULE);
        let mut builder = tar::Builder::new(Vec::new());
        builder.append_pax_extensions([("mtime", &b"1.5"[..]), ("path", folder.as_bytes())]).unwrap();
        let mut header = tar::Header::new_ustar();
        header.set_size(8);
        builder.append_data(&mut header, "short", MODULE).unwrap();
        header.set_size(1);
        builder.append_data(&mut header, "after.wasm", &b"x"[..]).unwrap();
        assert_eq!(wasm_of_layer(&builder.into_inner().unwrap(), 100_000).unwrap(), MODULE);
    }

    /// The list of its pieces would need several times the memory of the archive.
    #[test]
    fn a_sparse_file_is_refused_before_its_pieces_are_read() {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::GNUSparse);
        header.set_path("plugin.wasm").unwrap();
        header.set_size(0);
        let gnu = header.as_gnu_mut().unwrap();
        gnu.set_is_extended(true);
        header.set_cksum();
        let mut archive = header.as_bytes().to_vec();
        // What follows is damaged: who reads it says so.
        archive.extend([b'x'; 10_240]);
        let expected = UnpackError::Corrupt { format: "tar", reason: "it has a sparse file".to_owned() };
        assert_eq!(wasm_of_layer(&archive, 100_000), Err(expected));
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
