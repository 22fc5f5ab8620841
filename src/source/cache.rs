//! The cache: what was fetched, and what was compiled, in a private folder on disk.
//!
//! ```text
//!   folder, 0700, ours
//!     ├── wasm-<key>         bytes of code, by their digest
//!     ├── compiled-<key>     what the engine made of them
//!     ├── reference-<key>    what a name (a tag) stood for
//!     └── .new-…             under way: written, then renamed
//! ```
//!
//! Nothing in it is believed. The folder has to be ours alone each time that it is used; each file says what it is and
//! what its digest is, and what is read is compared with that in memory ([`entry`]). What does not fit is thrown away,
//! and made anew by whoever asked. Nothing in it is needed either: a cache that cannot be used is a line in the log.
//!
//! Several processes may share a folder. A file appears whole or not at all, and one that is taken away can still be
//! read by whoever has it open, so nobody needs a lock. A file's time of modification is when it was last used, to the minute.
//! What a process has read or written it uses for as long as it runs, and needs when it starts again: with each purge it
//! marks these files as used, for the others too.

mod entry;
mod folder;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use self::entry::Unfit;
pub use self::folder::CacheError;
use self::folder::{Folder, Stored};
use crate::telemetry::gate::Gate;
use crate::telemetry::{self, Level};

/// How exactly the time is known when a file was last used: one that is used often is not written to each time.
const TOUCH: Duration = Duration::from_mins(1);

/// How often files are looked at for their age. Not when the cache is opened: a process that has run for long comes back
/// with everything old, and uses it.
const PURGE: Duration = Duration::from_hours(1);

/// After how long an unfinished file is taken for one whose writer is gone.
const UNFINISHED: Duration = Duration::from_hours(1);

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Kind {
    /// Bytes of code. The key is their digest.
    Wasm = 1,
    /// What code was compiled to.
    Compiled = 2,
    /// What a name stood for when it was last asked.
    Reference = 3,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Wasm, Self::Compiled, Self::Reference];

    fn prefix(self) -> &'static str {
        match self {
            Self::Wasm => "wasm-",
            Self::Compiled => "compiled-",
            Self::Reference => "reference-",
        }
    }

    /// Whether it may not be had again: then its bytes have to be on disk before it gets its name. After a loss of power there is
    /// the old file or the new one, or none if it was new. A file of the other kind may be torn then, and has the wrong digest.
    fn is_precious(self) -> bool {
        match self {
            Self::Wasm | Self::Reference => true,
            Self::Compiled => false,
        }
    }
}

/// How much is kept, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all files together. The least recently used ones go first, and of what this process runs what it cannot compile
    /// anew goes last.
    pub max_bytes: u64,
    /// How long a file is kept that nobody uses. A process uses what it has read or written until it ends.
    pub max_age: Duration,
}

/// What a purge took away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// How many files.
    pub files: u64,
    /// How many bytes they had.
    pub bytes: u64,
}

type Clock = Box<dyn Fn() -> SystemTime + Send + Sync>;

/// See the module's text. Any thread.
pub struct Cache {
    directory: PathBuf,
    /// Who has to own everything in it.
    owner: u32,
    ledger: Mutex<Ledger>,
    clock: Clock,
    /// Failures come with each plugin, and on a full disk with each of many.
    gate: Gate,
}

/// What is known without looking.
struct Ledger {
    limits: Limits,
    /// What the folder held when it was last looked at, and what was written since.
    bytes: u64,
    purged: SystemTime,
    /// When this process read or wrote a file last, by its name.
    used: HashMap<String, SystemTime>,
}

impl Cache {
    /// Opens the cache in a directory, which is made if it is not there.
    ///
    /// # Errors
    /// The directory cannot be made, or is not this user's alone.
    pub fn open(directory: &Path, limits: Limits) -> Result<Self, CacheError> {
        Self::with(directory, limits, rustix::process::geteuid().as_raw(), Box::new(SystemTime::now))
    }

    fn with(directory: &Path, limits: Limits, owner: u32, clock: Clock) -> Result<Self, CacheError> {
        // A slash at the end would have a symbolic link followed.
        let directory: PathBuf = directory.components().collect();
        let folder = Folder::open(&directory, owner)?;
        let now = clock();
        let files = folder.files().map_err(|source| folder::unreadable(&directory, source))?;
        // One that is unfinished counts when it is finished.
        let bytes = files.iter().filter(|stored| is_entry(&stored.name)).map(|stored| stored.bytes);
        let bytes = bytes.fold(0, u64::saturating_add);
        let cache = Self {
            directory,
            owner,
            ledger: Mutex::new(Ledger { limits, bytes, purged: now, used: HashMap::new() }),
            clock,
            gate: Gate::new(3, Duration::from_mins(1)),
        };
        cache.purge_if_due(None);
        Ok(cache)
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Has it keep so much from now on.
    pub fn set_limits(&self, limits: Limits) {
        self.ledger.lock().limits = limits;
    }

    /// Purges it if that is due. For those who come by: a process may write nothing for months.
    pub fn look_after(&self) {
        self.purge_if_due(None);
    }

    /// What was written under a key. A file that is damaged, foreign or of another key is thrown away.
    pub fn read(&self, kind: Kind, key: &[u8; 32]) -> Option<Vec<u8>> {
        let folder = self.folder()?;
        let name = name(kind, key);
        let read = folder.open_file(&name).and_then(|file| {
            let bytes = entry::read(&file, kind, key)?;
            self.touch(&file);
            self.note(&name, (self.clock)());
            Ok(bytes)
        });
        match read {
            Ok(bytes) => Some(bytes),
            Err(Unfit::Absent) => None,
            Err(unfit) => {
                let path = self.directory.join(&name);
                if unfit.is_to_be_discarded() {
                    let outcome = match folder.remove(&name) {
                        Ok(()) => "it is discarded and made anew".to_owned(),
                        Err(error) => format!("it cannot be discarded ({error})"),
                    };
                    self.warn(format_args!("{}: {unfit}; {outcome}", path.display()));
                } else {
                    self.warn(format_args!("{}: {unfit}; it is not used", path.display()));
                }
                None
            }
        }
    }

    /// Whether there is a file for a key that may be read. What is in it, a reader finds out.
    pub fn has(&self, kind: Kind, key: &[u8; 32]) -> bool {
        self.folder().is_some_and(|folder| folder.open_file(&name(kind, key)).is_ok())
    }

    /// Keeps bytes under a key, in place of those that are there. If that fails, it is told in the log alone.
    pub fn write(&self, kind: Kind, key: &[u8; 32], bytes: &[u8]) {
        let max_bytes = self.ledger.lock().limits.max_bytes;
        let header = entry::header(kind, key, bytes);
        let size = entry::size(bytes);
        // A larger file would be discarded by whoever reads it.
        let (limit, field) = if max_bytes <= entry::LARGEST {
            (max_bytes, " (graft.cache.max_bytes)")
        } else {
            (entry::LARGEST, "")
        };
        if size > limit {
            self.warn(format_args!(
                "{}: {size} bytes are not kept, expected at most {limit}{field}",
                self.directory.display()
            ));
            return;
        }
        let Some(folder) = self.folder() else { return };
        let name = name(kind, key);
        let now = (self.clock)();
        match folder.put(&name, &header, bytes, now, kind.is_precious()) {
            Ok(()) => {
                let mut ledger = self.ledger.lock();
                ledger.bytes = ledger.bytes.saturating_add(size);
                drop(ledger);
                self.note(&name, now);
                self.purge_if_due(Some(&name));
            }
            Err(error) => self.warn(format_args!(
                "{}: not written ({error}); nothing depends on it",
                self.directory.join(&name).display()
            )),
        }
    }

    /// Takes away what is too old, and, as long as the rest is too large, what was not used for the longest time. Done
    /// by itself when the cache has grown too large, and at most once an hour with a write or a [look](Self::look_after).
    pub fn purge(&self, now: SystemTime) -> Purged {
        self.purge_but(now, None)
    }

    /// The same; a file with that name goes last, however old the clock says that it is.
    fn purge_but(&self, now: SystemTime, newest: Option<&str>) -> Purged {
        self.ledger.lock().purged = now;
        let Some(folder) = self.folder() else { return Purged::default() };
        match folder.files() {
            Ok(files) => {
                let ledger = self.ledger.lock();
                let limits = ledger.limits;
                let with_use = |stored: Stored| (ledger.used.get(&stored.name).copied(), stored);
                let files: Vec<_> = files.into_iter().map(with_use).collect();
                drop(ledger);
                for (_, stored) in files.iter().filter(|(used, _)| used.is_some()) {
                    // Another process with this folder is told in this way that it is in use here.
                    if since(stored.used, now) >= TOUCH
                        && let Ok(file) = folder.open_file(&stored.name)
                    {
                        self.touch(&file);
                    }
                }
                let (left, purged) = purge(&folder, files, limits, (now, newest));
                self.ledger.lock().bytes = left;
                purged
            }
            Err(error) => {
                self.warn(format_args!("{}: not purged ({error})", self.directory.display()));
                Purged::default()
            }
        }
    }

    fn purge_if_due(&self, newest: Option<&str>) {
        let now = (self.clock)();
        let ledger = self.ledger.lock();
        let is_due = ledger.bytes > ledger.limits.max_bytes || since(ledger.purged, now) >= PURGE;
        drop(ledger);
        if is_due {
            let purged = self.purge_but(now, newest);
            telemetry::log(
                Level::Debug,
                format_args!(
                    "graft: cache {}: {} files with {} bytes purged",
                    self.directory.display(),
                    purged.files,
                    purged.bytes
                ),
            );
        }
    }

    /// The folder, looked at anew: somebody may have changed or removed it since.
    fn folder(&self) -> Option<Folder> {
        Folder::open(&self.directory, self.owner)
            .inspect_err(|error| self.warn(format_args!("{error}; it is not used")))
            .ok()
    }

    /// Remembers that this process uses a file.
    fn note(&self, name: &str, now: SystemTime) {
        self.ledger.lock().used.insert(name.to_owned(), now);
    }

    fn touch(&self, file: &std::fs::File) {
        let now = (self.clock)();
        let used = file.metadata().and_then(|metadata| metadata.modified());
        if used.is_ok_and(|used| since(used, now) >= TOUCH) {
            // On a file system that is read only now, it was used all the same.
            let _kept_as_it_is = file.set_modified(now);
        }
    }

    fn warn(&self, line: std::fmt::Arguments<'_>) {
        let now = (self.clock)().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
        let now = u64::try_from(now).unwrap_or(u64::MAX);
        telemetry::log_sparingly(&self.gate, now, Level::Warn, format_args!("graft: cache {line}"));
    }
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Cache").field("directory", &self.directory).finish_non_exhaustive()
    }
}

/// The time between two moments; none if the clock went back.
fn since(earlier: SystemTime, later: SystemTime) -> Duration {
    later.duration_since(earlier).unwrap_or_default()
}

fn name(kind: Kind, key: &[u8; 32]) -> String {
    let mut name = kind.prefix().to_owned();
    for byte in key {
        // Writing to a string cannot fail.
        let _written = write!(name, "{byte:02x}");
    }
    name
}

/// Whether a file is of a kind that may not be had again.
fn is_precious(name: &str) -> bool {
    Kind::ALL.iter().any(|kind| kind.is_precious() && name.starts_with(kind.prefix()))
}

/// Whether a file is one of a cache: others are left alone, should the directory be of another use as well.
fn is_entry(name: &str) -> bool {
    Kind::ALL.iter().any(|kind| {
        name.strip_prefix(kind.prefix())
            .is_some_and(|key| key.len() == 64 && key.bytes().all(|digit| digit.is_ascii_hexdigit()))
    })
}

/// Takes files away; answers what the others hold. With each stands when this process used it last, if it did.
fn purge(
    folder: &Folder,
    files: Vec<(Option<SystemTime>, Stored)>,
    limits: Limits,
    (now, newest): (SystemTime, Option<&str>),
) -> (u64, Purged) {
    let mut purged = Purged::default();
    let mut take_away = |stored: &Stored| {
        match folder.remove(&stored.name) {
            Ok(()) => {
                purged.files = purged.files.saturating_add(1);
                purged.bytes = purged.bytes.saturating_add(stored.bytes);
                true
            }
            // Another process was faster.
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    };
    let mut kept = Vec::new();
    for (used_here, stored) in files {
        let is_entry = is_entry(&stored.name);
        let longest = if is_entry { limits.max_age } else { UNFINISHED };
        let is_old = used_here.is_none() && since(stored.used, now) > longest;
        if !(is_old && take_away(&stored)) && is_entry {
            kept.push((used_here, stored));
        }
    }
    kept.sort_by_key(|(used_here, stored)| {
        let is_needed = used_here.is_some() && is_precious(&stored.name);
        (Some(stored.name.as_str()) == newest, is_needed, used_here.unwrap_or(stored.used))
    });
    let mut left = kept.iter().map(|(_, stored)| stored.bytes).fold(0, u64::saturating_add);
    for (_, stored) in &kept {
        if left <= limits.max_bytes {
            break;
        }
        if take_away(stored) {
            left = left.saturating_sub(stored.bytes);
        }
    }
    (left, purged)
}

#[cfg(test)]
mod tests;
