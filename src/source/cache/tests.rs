//! What a cache refuses, what it throws away, and what it keeps.

#![allow(clippy::arithmetic_side_effects, reason = "a test that meets the unexpected fails")]

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tempfile::TempDir;

use super::*;

const KEY: [u8; 32] = [0xab; 32];
const OTHER: [u8; 32] = [0xcd; 32];
const LIMITS: Limits = Limits { max_bytes: 10_000, max_age: Duration::from_hours(24) };

/// A cache in a folder of its own, with a clock that a test moves.
struct Place {
    _folder: TempDir,
    cache: Cache,
    seconds: Arc<AtomicU64>,
}

impl Place {
    fn new() -> Self {
        Self::with(LIMITS)
    }

    fn with(limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let seconds = Arc::new(AtomicU64::new(2_000_000_000));
        let clock = Arc::clone(&seconds);
        let now = move || at(clock.load(Ordering::Relaxed));
        let directory = folder.path().join("cache");
        let cache =
            Cache::with(&directory, limits, rustix::process::geteuid().as_raw(), Box::new(now)).unwrap();
        Self { _folder: folder, cache, seconds }
    }

    /// The cache of another process in the same folder.
    fn another(&self) -> Cache {
        let clock = Arc::clone(&self.seconds);
        let now = move || at(clock.load(Ordering::Relaxed));
        let us = rustix::process::geteuid().as_raw();
        Cache::with(self.cache.directory(), LIMITS, us, Box::new(now)).unwrap()
    }

    fn now(&self) -> SystemTime {
        (self.cache.clock)()
    }

    fn pass(&self, time: Duration) {
        self.seconds.fetch_add(time.as_secs(), Ordering::Relaxed);
    }

    fn path(&self, key: &[u8; 32]) -> PathBuf {
        self.cache.directory().join(name(Kind::Wasm, key))
    }

    fn write(&self, key: &[u8; 32], bytes: &[u8]) {
        self.cache.write(Kind::Wasm, key, bytes);
    }

    fn read(&self, key: &[u8; 32]) -> Option<Vec<u8>> {
        self.cache.read(Kind::Wasm, key)
    }

    /// What lies there, by name.
    fn names(&self) -> Vec<String> {
        let files = fs::read_dir(self.cache.directory()).unwrap();
        let mut names: Vec<String> =
            files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// How a file came to be wrong.
type Spoil = fn(&Path);

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Changes the bytes of a file.
fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

#[test]
fn what_is_written_is_read() {
    let place = Place::new();
    assert_eq!(place.read(&KEY), None);
    place.write(&KEY, b"bytes");
    assert_eq!(place.read(&KEY).as_deref(), Some(&b"bytes"[..]));
    place.write(&KEY, b"");
    assert_eq!(place.read(&KEY).as_deref(), Some(&b""[..]));
    assert_eq!(place.read(&OTHER), None);
    assert_eq!(place.cache.read(Kind::Compiled, &KEY), None);
    assert_eq!(place.names(), [name(Kind::Wasm, &KEY)]);
}

#[test]
fn everything_is_made_for_this_user_alone() {
    let place = Place::new();
    place.write(&KEY, b"bytes");
    assert_eq!(mode(place.cache.directory()), 0o700);
    assert_eq!(mode(&place.path(&KEY)), 0o600);
}

#[test]
fn a_file_that_is_not_what_was_written_is_thrown_away() {
    let spoils: &[(&str, Spoil)] = &[
        ("empty", |path| fs::write(path, b"").unwrap()),
        ("half a header", |path| change(path, |bytes| bytes.truncate(40))),
        ("a header alone", |path| change(path, |bytes| bytes.truncate(88))),
        ("truncated", |path| change(path, |bytes| bytes.truncate(bytes.len() - 1))),
        ("grown", |path| change(path, |bytes| bytes.push(0))),
        ("garbage", |path| fs::write(path, [0x5a; 500]).unwrap()),
        ("another magic", |path| change(path, |bytes| bytes[0] ^= 1)),
        ("another version", |path| change(path, |bytes| bytes[8] ^= 1)),
        ("another kind", |path| change(path, |bytes| bytes[12] ^= 1)),
        ("another key", |path| change(path, |bytes| bytes[16] ^= 1)),
        ("a huge length", |path| change(path, |bytes| bytes[48..56].fill(0xff))),
        ("another digest", |path| change(path, |bytes| bytes[56] ^= 1)),
        ("one bit", |path| change(path, |bytes| *bytes.last_mut().unwrap() ^= 1)),
        ("readable by the group", |path| set_mode(path, 0o640)),
        ("readable by all", |path| set_mode(path, 0o604)),
        ("writable by all", |path| set_mode(path, 0o602)),
        ("a link", |path| {
            let real = path.with_extension("real");
            fs::rename(path, &real).unwrap();
            symlink(&real, path).unwrap();
        }),
        ("a dangling link", |path| {
            fs::remove_file(path).unwrap();
            symlink("/no/such/file", path).unwrap();
        }),
        ("a pipe", |path| {
            fs::remove_file(path).unwrap();
            let status = std::process::Command::new("mkfifo").args(["-m", "600"]).arg(path).status();
            assert!(status.unwrap().success());
        }),
        ("a socket", |path| {
            fs::remove_file(path).unwrap();
            drop(std::os::unix::net::UnixListener::bind(path).unwrap());
        }),
    ];
    for (what, spoil) in spoils {
        let place = Place::new();
        place.write(&KEY, b"some bytes");
        spoil(&place.path(&KEY));
        assert_eq!(place.read(&KEY), None, "{what}");
        assert!(fs::symlink_metadata(place.path(&KEY)).is_err(), "{what} is still there");
        place.write(&KEY, b"new bytes");
        assert_eq!(place.read(&KEY).as_deref(), Some(&b"new bytes"[..]), "{what}");
    }
}

#[test]
fn a_file_that_was_renamed_is_not_another() {
    let place = Place::new();
    place.write(&KEY, b"bytes");
    fs::rename(place.path(&KEY), place.path(&OTHER)).unwrap();
    assert_eq!(place.read(&OTHER), None);
    place.write(&KEY, b"bytes");
    fs::rename(place.path(&KEY), place.cache.directory().join(name(Kind::Compiled, &KEY))).unwrap();
    assert_eq!(place.cache.read(Kind::Compiled, &KEY), None);
    assert_eq!(place.names(), [""; 0]);
}

#[test]
fn a_directory_in_the_place_of_a_file_is_left_and_is_no_failure() {
    let place = Place::new();
    fs::create_dir(place.path(&KEY)).unwrap();
    assert_eq!(place.read(&KEY), None);
    place.write(&KEY, b"bytes");
    assert_eq!(place.read(&KEY), None);
    assert_eq!(place.names(), [name(Kind::Wasm, &KEY)], "nothing unfinished is left");
    assert_eq!(place.cache.purge(place.now()), Purged::default());
}

/// Everything that another user could have made has that user as its owner.
#[test]
fn what_belongs_to_somebody_else_is_not_used() {
    let place = Place::new();
    place.write(&KEY, b"bytes");
    let directory = place.cache.directory();
    let us = rustix::process::geteuid().as_raw();
    let clock = || -> Clock { Box::new(SystemTime::now) };
    let error = Cache::with(directory, LIMITS, us + 1, clock()).unwrap_err().to_string();
    let expected = format!(
        "directory {directory:?} belongs to user {us}, expected {}, the user of this process",
        us + 1
    );
    assert_eq!(error, expected);
    // A file of somebody else, in a folder of ours.
    let folder = Folder::open(directory, us).unwrap();
    let folder = folder.of(us + 1);
    let unfit = folder.open_file(&name(Kind::Wasm, &KEY)).unwrap_err();
    assert_eq!(
        unfit.to_string(),
        format!("belongs to user {us}, expected {}, the user of this process", us + 1)
    );
    assert!(unfit.is_to_be_discarded());
}

#[test]
fn a_directory_that_others_may_use_is_refused_with_what_was_found_and_expected() {
    let folder = tempfile::tempdir().unwrap();
    let open = |path: &Path| Cache::open(path, LIMITS).unwrap_err().to_string();
    let path = folder.path().join("cache");
    fs::create_dir(&path).unwrap();
    for (mode, shown) in [(0o755, "0755"), (0o770, "0770"), (0o701, "0701"), (0o1777, "1777")] {
        set_mode(&path, mode);
        let expected =
            format!("directory {path:?} has mode {shown}, expected 0700: what lies there is run as code");
        assert_eq!(open(&path), expected);
    }
    set_mode(&path, 0o700);
    Cache::open(&path, LIMITS).unwrap();

    let link = folder.path().join("link");
    symlink(&path, &link).unwrap();
    let expected = format!("directory {link:?} is a symbolic link, expected a directory");
    assert_eq!(open(&link), expected);
    assert_eq!(open(&link.join("")), expected, "a slash at the end changes nothing");
    assert_eq!(open(&link.join(".")), expected, "nor does a dot");

    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    assert_eq!(open(&file), format!("directory {file:?} is a regular file, expected a directory"));
    let below = file.join("cache");
    assert!(open(&below).starts_with(&format!("directory {below:?} cannot be used (")), "{}", open(&below));
    assert_eq!(open(Path::new("cache")), "directory \"cache\" is a relative path, expected an absolute one");
}

#[test]
fn a_directory_that_cannot_be_made_is_no_cache() {
    let error = Cache::open(Path::new("/proc/no/cache"), LIMITS).unwrap_err().to_string();
    assert!(error.starts_with("directory \"/proc/no/cache\" cannot be made ("), "{error}");
}

#[test]
fn a_directory_that_changes_meanwhile_is_looked_at_anew() {
    let place = Place::new();
    place.write(&KEY, b"bytes");
    set_mode(place.cache.directory(), 0o755);
    assert_eq!(place.read(&KEY), None);
    place.write(&OTHER, b"bytes");
    set_mode(place.cache.directory(), 0o700);
    assert_eq!(place.read(&KEY).as_deref(), Some(&b"bytes"[..]));
    assert_eq!(place.read(&OTHER), None);
    fs::remove_dir_all(place.cache.directory()).unwrap();
    assert_eq!(place.read(&KEY), None);
    place.write(&KEY, b"again");
    assert_eq!(place.read(&KEY).as_deref(), Some(&b"again"[..]));
}

#[test]
fn what_is_larger_than_the_cache_is_not_kept() {
    let place = Place::new();
    place.write(&KEY, &[1; 10_000]);
    assert_eq!(place.names(), [""; 0]);
}

#[test]
fn the_least_recently_used_go_first() {
    let place = Place::new();
    let keys: Vec<[u8; 32]> = (0..5).map(|number| [number; 32]).collect();
    for key in &keys[..4] {
        place.write(key, &[0; 2000]);
        place.pass(Duration::from_mins(2));
    }
    assert!(place.read(&keys[0]).is_some());
    place.pass(Duration::from_mins(2));
    // The fifth is too much; the second is the one that was not used for longest.
    place.write(&keys[4], &[0; 2000]);
    let left: Vec<bool> = keys.iter().map(|key| place.path(key).exists()).collect();
    assert_eq!(left, [true, false, true, true, true]);
    assert!(place.cache.ledger.lock().bytes <= LIMITS.max_bytes);
}

/// The clock of the test stands still, or goes back: what was written last is what somebody waits for.
#[test]
fn what_was_just_written_goes_last() {
    let place = Place::new();
    for number in 0..20 {
        let key = [number; 32];
        place.write(&key, &[0; 2000]);
        assert!(place.read(&key).is_some(), "{number}");
        if number > 10 {
            place.seconds.fetch_sub(10, Ordering::Relaxed);
        }
    }
    assert!(place.cache.ledger.lock().bytes <= LIMITS.max_bytes);
}

#[test]
fn times_of_use_differ_within_a_second() {
    let place = Place::new();
    let folder = Folder::open(place.cache.directory(), rustix::process::geteuid().as_raw()).unwrap();
    for (key, nanoseconds) in [(KEY, 2), (OTHER, 1)] {
        place.write(&key, b"bytes");
        let time = place.now() + Duration::from_nanos(nanoseconds);
        fs::File::open(place.path(&key)).unwrap().set_modified(time).unwrap();
    }
    let mut files = folder.files().unwrap();
    files.sort_by_key(|stored| stored.used);
    assert_eq!(files[0].name, name(Kind::Wasm, &OTHER));
}

#[test]
fn what_is_there_is_known_without_reading_it() {
    let place = Place::new();
    assert!(!place.cache.has(Kind::Wasm, &KEY));
    place.write(&KEY, b"bytes");
    assert!(place.cache.has(Kind::Wasm, &KEY) && !place.cache.has(Kind::Compiled, &KEY));
    set_mode(&place.path(&KEY), 0o644);
    assert!(!place.cache.has(Kind::Wasm, &KEY), "it would not be read");
}

#[test]
fn what_nobody_used_for_long_goes_but_not_when_the_cache_is_opened() {
    let place = Place::new();
    place.write(&KEY, b"old");
    place.pass(LIMITS.max_age + Duration::from_secs(1));
    let again = place.another();
    again.write(Kind::Wasm, &OTHER, b"new");
    assert_eq!(again.read(Kind::Wasm, &KEY).as_deref(), Some(&b"old"[..]), "a process that begins finds it");
    assert_eq!(place.cache.purge(place.now()), Purged::default(), "reading is using");

    place.pass(LIMITS.max_age + Duration::from_secs(1));
    let third = place.another();
    third.write(Kind::Wasm, &OTHER, b"new");
    assert_eq!(place.names().len(), 2, "not within the first hour");
    place.pass(LIMITS.max_age + Duration::from_secs(1));
    third.write(Kind::Wasm, &OTHER, b"newer");
    assert_eq!(place.names(), [name(Kind::Wasm, &OTHER)], "once an hour a write has an eye on it");
}

/// A process that ran for months has to find at its next start what it runs, while others come and go.
#[test]
fn what_a_process_uses_does_not_grow_old() {
    let place = Place::new();
    place.write(&KEY, b"running");
    let (runs, other) = (place.another(), place.another());
    assert!(runs.read(Kind::Wasm, &KEY).is_some());
    for _ in 0..5 {
        place.pass(Duration::from_hours(23));
        other.write(Kind::Compiled, &OTHER, b"of another process");
        runs.look_after();
    }
    other.look_after();
    assert_eq!(place.names().len(), 2);
    // It ends, and does not come back.
    drop((runs, place.cache.ledger.lock().used.drain()));
    place.pass(LIMITS.max_age + Duration::from_secs(1));
    other.look_after();
    assert_eq!(place.names(), [name(Kind::Compiled, &OTHER)], "nothing was written, and it was looked after");
}

#[test]
fn what_runs_goes_last_if_it_cannot_be_made_anew() {
    let place = Place::new();
    place.write(&KEY, &[0; 1000]);
    // New versions of something else, with what they are compiled to.
    for number in 0..4 {
        place.pass(Duration::from_mins(2));
        place.write(&[number; 32], &[0; 500]);
        place.cache.write(Kind::Compiled, &[number; 32], &[0; 3000]);
    }
    assert!(place.path(&KEY).exists());
    assert!(place.cache.ledger.lock().bytes <= LIMITS.max_bytes);
    // Of what no process runs, the age alone counts.
    let other = place.another();
    place.pass(Duration::from_mins(2));
    other.write(Kind::Compiled, &OTHER, &[0; 3000]);
    other.write(Kind::Compiled, &KEY, &[0; 3000]);
    assert!(!place.path(&KEY).exists());
}

#[test]
fn unfinished_files_of_the_dead_go_and_files_of_others_stay() {
    let place = Place::new();
    place.write(&KEY, b"bytes");
    let aged = |age: Duration, name: &str| {
        let path = place.cache.directory().join(name);
        fs::write(&path, vec![0; 20_000]).unwrap();
        fs::File::open(&path).unwrap().set_modified(place.now() - age).unwrap();
    };
    aged(Duration::from_hours(2), ".new-1-2-3");
    aged(Duration::from_mins(2), ".new-4-5-6");
    aged(Duration::from_hours(1000), "notes.txt");
    aged(Duration::from_hours(1000), "wasm-abc");
    let purged = place.cache.purge(place.now());
    assert_eq!(purged.bytes, 20_000, "the dead one");
    let kept = name(Kind::Wasm, &KEY);
    assert_eq!(
        place.names(),
        [".new-4-5-6", "notes.txt", &kept, "wasm-abc"],
        "none is taken for the other's size"
    );
}

#[test]
fn a_file_that_is_purged_while_it_is_read_can_be_read() {
    let place = Place::new();
    place.write(&KEY, b"bytes");
    let folder = Folder::open(place.cache.directory(), rustix::process::geteuid().as_raw()).unwrap();
    let file = folder.open_file(&name(Kind::Wasm, &KEY)).unwrap();
    let other = place.another();
    place.pass(LIMITS.max_age * 2);
    assert_eq!(other.purge(place.now()), Purged { files: 1, bytes: 93 });
    assert_eq!(entry::read(&file, Kind::Wasm, &KEY).unwrap(), b"bytes");
}

#[test]
fn times_of_use_are_kept_to_the_minute() {
    let place = Place::new();
    place.write(&KEY, b"bytes");
    let used = || fs::metadata(place.path(&KEY)).unwrap().modified().unwrap();
    let written = used();
    place.pass(Duration::from_secs(59));
    place.read(&KEY);
    assert_eq!(used(), written);
    place.pass(Duration::from_secs(1));
    place.read(&KEY);
    assert_eq!(used(), place.now());
    // A clock that goes back changes nothing.
    place.seconds.fetch_sub(100_000, Ordering::Relaxed);
    assert!(place.read(&KEY).is_some());
    assert_eq!(place.cache.purge(place.now()), Purged::default());
}

#[test]
fn limits_may_change() {
    let place = Place::new();
    place.write(&KEY, &[0; 2000]);
    place.cache.set_limits(Limits { max_bytes: 1000, ..LIMITS });
    place.write(&OTHER, b"bytes");
    assert_eq!(place.names(), [name(Kind::Wasm, &OTHER)]);
}

/// Each thread has a cache of its own in the same folder, as another process would have.
#[test]
fn many_may_write_read_and_purge_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("cache");
    let content = |number: u8| vec![number; 1000 + usize::from(number)];
    std::thread::scope(|scope| {
        for thread in 0..6_u8 {
            let directory = &directory;
            scope.spawn(move || {
                let limits = Limits { max_bytes: 5000, max_age: Duration::from_hours(1) };
                let cache = Cache::open(directory, limits).unwrap();
                for round in 0..150_u8 {
                    let number = (round + thread) % 8;
                    match thread {
                        0 | 1 => cache.write(Kind::Wasm, &[number; 32], &content(number)),
                        2..=4 => {
                            if let Some(read) = cache.read(Kind::Wasm, &[number; 32]) {
                                assert_eq!(read, content(number));
                            }
                        }
                        _ => drop(cache.purge(SystemTime::now())),
                    }
                }
            });
        }
    });
    let cache = Cache::open(&directory, LIMITS).unwrap();
    cache.write(Kind::Wasm, &KEY, b"bytes");
    assert_eq!(cache.read(Kind::Wasm, &KEY).as_deref(), Some(&b"bytes"[..]));
    let unfinished = fs::read_dir(&directory)
        .unwrap()
        .filter(|file| file.as_ref().unwrap().file_name().to_str().unwrap().starts_with(".new-"));
    assert_eq!(unfinished.count(), 0);
}
