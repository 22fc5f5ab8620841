//! The folder of a cache: ours alone, looked at through a handle, so that nothing can change between a check and what is
//! done then.

use std::fs::{DirBuilder, File};
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::entry::{Unfit, describe};
use super::is_entry;

/// Rights of anybody but the owner.
const OTHERS: u32 = 0o077;

/// All bits of a mode that `chmod` sets.
const MODE: u32 = 0o7777;

/// The beginning of the name of a file that is being written.
const UNFINISHED: &str = ".new-";

/// Why there is no cache. The messages complete "the cache …", or stand alone.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// Relative to what?
    #[error("directory {path:?} is a relative path, expected an absolute one")]
    Relative {
        /// As configured.
        path: PathBuf,
    },
    /// It is not there and cannot be made.
    #[error("directory {path:?} cannot be made ({source}), expected one that can")]
    NotMade {
        /// As configured.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is there and cannot be opened or listed.
    #[error("directory {path:?} cannot be used ({source}), expected one that can")]
    Unusable {
        /// As configured.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A link, a file.
    #[error("directory {path:?} is {found}, expected a directory")]
    NotADirectory {
        /// As configured.
        path: PathBuf,
        /// What it is.
        found: &'static str,
    },
    /// Of somebody else.
    #[error("directory {path:?} belongs to user {found}, expected {expected}, the user of this process")]
    Foreign {
        /// As configured.
        path: PathBuf,
        /// Whose it is.
        found: u32,
        /// Whose it has to be.
        expected: u32,
    },
    /// Others may look or write.
    #[error("directory {path:?} has mode {found:04o}, expected 0700: what lies there is run as code")]
    Exposed {
        /// As configured.
        path: PathBuf,
        /// What others may do, too.
        found: u32,
    },
}

pub(super) fn unreadable(path: &Path, source: io::Error) -> CacheError {
    CacheError::Unusable { path: path.to_owned(), source }
}

/// See the module's text.
pub(super) struct Folder {
    handle: OwnedFd,
    owner: u32,
}

/// A file, as the folder lists it.
pub(super) struct Stored {
    pub(super) name: String,
    pub(super) bytes: u64,
    /// When it was last used.
    pub(super) used: SystemTime,
}

impl Folder {
    /// Opens it, or makes it.
    pub(super) fn open(path: &Path, owner: u32) -> Result<Self, CacheError> {
        if path.is_relative() {
            return Err(CacheError::Relative { path: path.to_owned() });
        }
        let handle = match open_directory(path) {
            Err(Errno::NOENT) => {
                let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
                made.map_err(|source| CacheError::NotMade { path: path.to_owned(), source })?;
                open_directory(path)
            }
            opened => opened,
        };
        let handle = handle.map_err(|error| not_opened(path, error))?;
        let stat = rustix::fs::fstat(&handle).map_err(|error| unreadable(path, error.into()))?;
        if stat.st_uid != owner {
            return Err(CacheError::Foreign { path: path.to_owned(), found: stat.st_uid, expected: owner });
        }
        if mode(&stat) & OTHERS != 0 {
            return Err(CacheError::Exposed { path: path.to_owned(), found: mode(&stat) });
        }
        Ok(Self { handle, owner })
    }

    /// The same folder, for files of another user.
    #[cfg(test)]
    pub(super) fn of(self, owner: u32) -> Self {
        Self { owner, ..self }
    }

    /// Opens a file to read it, if it is ours alone.
    pub(super) fn open_file(&self, name: &str) -> Result<File, Unfit> {
        // Without waiting: a pipe would have us wait for its writer.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = match rustix::fs::openat(&self.handle, name, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Err(Unfit::Absent),
            Err(Errno::LOOP) => return Err(Unfit::NotAFile("a symbolic link")),
            Err(Errno::NXIO) => return Err(Unfit::NotAFile("a device or a socket")),
            Err(error) => return Err(Unfit::Unreadable(error.into())),
        };
        let metadata = file.metadata().map_err(Unfit::Unreadable)?;
        if !metadata.is_file() {
            return Err(Unfit::NotAFile(describe(metadata.file_type())));
        }
        if metadata.uid() != self.owner {
            return Err(Unfit::Foreign { found: metadata.uid(), expected: self.owner });
        }
        if metadata.mode() & OTHERS != 0 {
            return Err(Unfit::Exposed(metadata.mode() & MODE));
        }
        Ok(file)
    }

    /// Puts a file in the place of the one that has its name, if there is one.
    pub(super) fn put(
        &self,
        name: &str,
        header: &[u8],
        bytes: &[u8],
        now: SystemTime,
        is_precious: bool,
    ) -> io::Result<()> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        // Processes in different containers may have the same number; the time tells them apart.
        let time = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let unfinished = format!("{UNFINISHED}{}-{time}-{number}", std::process::id());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.handle, &unfinished, flags, Mode::RUSR | Mode::WUSR)?;
        let mut file = File::from(file);
        let written = file
            .write_all(header)
            .and_then(|()| file.write_all(bytes))
            .and_then(|()| file.set_modified(now))
            .and_then(|()| if is_precious { file.sync_data() } else { Ok(()) })
            .and_then(|()| Ok(rustix::fs::renameat(&self.handle, &unfinished, &self.handle, name)?));
        written.inspect_err(|_failure| {
            // What cannot be removed now is found by a purge.
            let _left = self.remove(&unfinished);
        })
    }

    /// Takes a file away.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.handle, name, AtFlags::empty())?)
    }

    /// What is in it, of the cache.
    pub(super) fn files(&self) -> io::Result<Vec<Stored>> {
        let mut files = Vec::new();
        for entry in Dir::read_from(&self.handle)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            if !(is_entry(name) || name.starts_with(UNFINISHED)) {
                continue;
            }
            // One that another process has just taken away is not there.
            let Ok(stat) = rustix::fs::statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW) else {
                continue;
            };
            if FileType::from_raw_mode(stat.st_mode).is_dir() {
                continue;
            }
            files.push(Stored {
                name: name.to_owned(),
                bytes: u64::try_from(stat.st_size).unwrap_or(0),
                used: used(&stat),
            });
        }
        Ok(files)
    }
}

fn open_directory(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
}

/// What stands in the way of opening a directory, in words.
fn not_opened(path: &Path, error: Errno) -> CacheError {
    let found = std::fs::symlink_metadata(path).map(|metadata| metadata.file_type());
    match (error, found) {
        (Errno::NOTDIR | Errno::LOOP, Ok(found)) if !found.is_dir() => {
            CacheError::NotADirectory { path: path.to_owned(), found: describe(found) }
        }
        (error, _) => unreadable(path, error.into()),
    }
}

fn mode(stat: &Stat) -> u32 {
    stat.st_mode & MODE
}

fn used(stat: &Stat) -> SystemTime {
    let seconds = u64::try_from(stat.st_mtime).unwrap_or(0);
    // Files that are written one after the other have the same second.
    let nanoseconds = u32::try_from(stat.st_mtime_nsec).unwrap_or(0).min(999_999_999);
    let time = Duration::new(seconds, nanoseconds);
    SystemTime::UNIX_EPOCH.checked_add(time).unwrap_or(SystemTime::UNIX_EPOCH)
}
