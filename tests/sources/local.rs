//! Local code: read whole and as it is, or refused with a reason that names the place; never waited for, never more
//! than the limit.

use std::cell::Cell;
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use graft::config::Code;
use graft::source::location::{FetchError, LARGEST_CODE, read};
use tempfile::TempDir;

fn no_variable(name: &str) -> Option<OsString> {
    panic!("{name} was asked for");
}

fn read_file(path: &Path) -> Result<Vec<u8>, FetchError> {
    read(&Code::File(path.to_owned()), no_variable)
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn a_file_is_read_whole_and_as_it_is() {
    let folder = folder();
    let path = folder.path().join("plugin.wasm");
    // All bytes, and more than any buffer on the way.
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|number| number.to_le_bytes()[0]).collect();
    for bytes in [&bytes[..], b"", b"\0"] {
        fs::write(&path, bytes).unwrap();
        assert_eq!(read_file(&path).unwrap(), bytes);
    }
}

#[test]
fn a_file_is_read_anew_each_time() {
    let folder = folder();
    let path = folder.path().join("plugin.wasm");
    for bytes in [b"one", b"two"] {
        fs::write(&path, bytes).unwrap();
        assert_eq!(read_file(&path).unwrap(), bytes);
    }
}

#[test]
fn links_are_followed_as_kubernetes_makes_them() {
    // A ConfigMap is a link to a file under a link to a folder, which is swapped.
    let folder = folder();
    for version in ["one", "two"] {
        fs::create_dir(folder.path().join(version)).unwrap();
        fs::write(folder.path().join(version).join("plugin.wasm"), version).unwrap();
    }
    let (current, path) = (folder.path().join("current"), folder.path().join("plugin.wasm"));
    symlink("current/plugin.wasm", &path).unwrap();
    for version in ["one", "two"] {
        symlink(version, folder.path().join("next")).unwrap();
        fs::rename(folder.path().join("next"), &current).unwrap();
        assert_eq!(read_file(&path).unwrap(), version.as_bytes());
    }
}

#[test]
fn a_file_that_is_not_there_is_told_from_one_that_cannot_be_read() {
    let folder = folder();
    let file = folder.path().join("file");
    fs::write(&file, b"").unwrap();
    let (broken, looping) = (folder.path().join("broken"), folder.path().join("looping"));
    symlink("nothing", &broken).unwrap();
    symlink("looping", &looping).unwrap();

    for missing in [folder.path().join("missing"), broken, PathBuf::new()] {
        let error = read_file(&missing).unwrap_err();
        assert!(matches!(&error, FetchError::NoFile { path } if *path == missing), "{error}");
        let expected = format!("no such file {missing:?}, expected the path of a Wasm file");
        assert_eq!(error.to_string(), expected);
    }
    let too_long = folder.path().join("x".repeat(300));
    for unreadable in [file.join("plugin.wasm"), looping, too_long, PathBuf::from("a\0b")] {
        let error = read_file(&unreadable).unwrap_err();
        assert!(matches!(&error, FetchError::Unreadable { path, .. } if *path == unreadable), "{error}");
        let message = error.to_string();
        assert!(message.starts_with(&format!("{unreadable:?} cannot be read (")), "{message}");
        assert!(message.ends_with("), expected a readable Wasm file"), "{message}");
    }
}

#[test]
fn what_is_no_regular_file_is_refused_and_not_waited_for() {
    let folder = folder();
    let (pipe, socket) = (folder.path().join("pipe"), folder.path().join("socket"));
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let _listener = UnixListener::bind(&socket).unwrap();
    let (sender, receiver) = mpsc::channel();
    let paths = [folder.path().to_owned(), pipe, socket, "/dev/null".into(), "/dev/zero".into()];
    // On a thread: a pipe that is opened waits for its writer, and a device has no end.
    std::thread::spawn(move || {
        for path in paths {
            sender.send((path.clone(), read_file(&path))).unwrap();
        }
    });
    for _ in 0..5 {
        let (path, result) = receiver.recv_timeout(Duration::from_mins(1)).unwrap();
        let message = result.unwrap_err().to_string();
        assert_eq!(message, format!("{path:?} is no regular file, expected a Wasm file"));
    }
}

#[test]
fn a_file_over_the_limit_is_refused() {
    let folder = folder();
    let path = folder.path().join("plugin.wasm");
    // A hole: it takes no room on the disk.
    File::create(&path).unwrap().set_len(LARGEST_CODE + 1).unwrap();
    let error = read_file(&path).unwrap_err();
    assert_eq!(error.to_string(), format!("{path:?} has 268435457 bytes, expected at most 268435456"));
    assert!(error.is_retryable(), "the file may change");
}

#[test]
fn a_file_of_just_the_limit_is_read() {
    let folder = folder();
    let path = folder.path().join("plugin.wasm");
    File::create(&path).unwrap().set_len(LARGEST_CODE).unwrap();
    assert_eq!(u64::try_from(read_file(&path).unwrap().len()).unwrap(), LARGEST_CODE);
}

#[test]
fn a_file_that_says_it_is_empty_and_is_not_is_read() {
    // Files of the kernel have no length of their own.
    let path = Path::new("/proc/self/stat");
    assert_eq!(fs::metadata(path).unwrap().len(), 0);
    assert!(!read_file(path).unwrap().is_empty());
}

#[test]
fn inline_code_is_handed_out_and_nothing_else_is_looked_at() {
    assert_eq!(read(&Code::Inline(b"\0asm".to_vec()), no_variable).unwrap(), b"\0asm");
}

#[test]
fn a_variable_is_asked_for_once_by_its_name_and_need_not_be_text() {
    let asked = Cell::new(0);
    let variable = |name: &str| {
        asked.set(asked.get() + 1);
        (name == "CODE").then(|| OsString::from_vec(vec![0xff, 0xfe, b'a']))
    };
    assert_eq!(read(&Code::Environment("CODE".to_owned()), variable).unwrap(), [0xff, 0xfe, b'a']);
    assert_eq!(asked.get(), 1);
    let error = read(&Code::Environment("OTHER".to_owned()), variable).unwrap_err();
    assert!(matches!(&error, FetchError::NoVariable { name } if name == "OTHER"));
    assert_eq!(
        error.to_string(),
        "environment variable \"OTHER\" is not set, expected it to hold Wasm bytes"
    );
}
