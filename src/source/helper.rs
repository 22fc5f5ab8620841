//! Credential helpers of Docker: programs that know the password of a registry.
//!
//! `docker-credential-NAME get` reads the registry's name from its input and writes JSON. Which program is run stands in the
//! pull secret, which may be written by somebody with fewer rights than Envoy has; so only those run that the operator has
//! listed in `graft.source.credential_helpers`. They get a time and so many bytes.

use std::io::{self, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

use super::credentials::CredentialError;

/// Longest run. A helper asks its cloud for a token.
const TIME: Duration = Duration::from_secs(10);
/// Most bytes of an answer; tokens of clouds have a few thousand.
const LARGEST_ANSWER: usize = 64 * 1024;
/// How often it is looked what the helper has written, and whether it has ended.
const LOOK: Duration = Duration::from_millis(5);

/// What the helper called `name` answers for a registry; `None`: it has no credentials for it.
pub(super) fn run(name: &str, registry: &str, left: Duration) -> Result<Option<Vec<u8>>, CredentialError> {
    converse(Command::new(format!("docker-credential-{name}")), name, registry, left)
}

fn converse(
    mut program: Command,
    name: &str,
    registry: &str,
    left: Duration,
) -> Result<Option<Vec<u8>>, CredentialError> {
    let failed = |reason: String| CredentialError::Helper { name: name.to_owned(), reason };
    let in_vain = |error: io::Error| failed(error.kind().to_string());
    let end = Instant::now().checked_add(TIME.min(left));
    let child = program
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        // It may quote what it knows.
        .stderr(Stdio::null())
        // What it starts is ended with it.
        .process_group(0)
        .spawn()
        .map_err(|error| failed(format!("it cannot be run: {}", error.kind())))?;
    let mut helper = Helper { child, is_over: false };
    if let Some(mut stdin) = helper.child.stdin.take() {
        // Shorter than any pipe, so this does not wait.
        drop(stdin.write_all(registry.as_bytes()));
    }
    let mut answer = Answer::of(&mut helper.child).map_err(in_vain)?;
    let status = loop {
        answer.read().map_err(in_vain)?;
        if answer.bytes.len() > LARGEST_ANSWER {
            return Err(failed(format!("it wrote more than {LARGEST_ANSWER} bytes")));
        }
        let has_ended = helper.has_ended().map_err(in_vain)?;
        if has_ended && answer.is_whole() {
            break helper.end().map_err(in_vain)?;
        }
        if end.is_none_or(|end| Instant::now() >= end) {
            // A child of the helper may keep the output open.
            let reason = if has_ended { "its output did not end" } else { "it took too long" };
            return Err(failed(reason.to_owned()));
        }
        std::thread::sleep(LOOK);
    };
    let bytes = answer.bytes;
    if status.success() {
        return Ok(Some(bytes));
    }
    // The words that Docker's own clients look for.
    if bytes.starts_with(b"credentials not found") {
        return Ok(None);
    }
    Err(failed(
        status
            .code()
            .map_or_else(|| "a signal ended it".to_owned(), |code| format!("it ended with code {code}")),
    ))
}

/// A program that runs, and what it has started. All of it ends when this is dropped.
struct Helper {
    child: Child,
    is_over: bool,
}

impl Helper {
    /// Whether it has. Its number stays its own until [`end`](Self::end), so that nobody else is killed in its place.
    fn has_ended(&self) -> io::Result<bool> {
        let Some(pid) = self.pid() else { return Ok(true) };
        let how = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        Ok(rustix::process::waitid(WaitId::Pid(pid), how)?.is_some())
    }

    /// Ends what is left of it.
    fn end(&mut self) -> io::Result<ExitStatus> {
        if let Some(group) = self.pid() {
            // There may be nobody any more.
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
        }
        self.is_over = true;
        self.child.wait()
    }

    fn pid(&self) -> Option<Pid> {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        // Once it was waited for, its number may be another's.
        if !self.is_over {
            drop(self.end());
        }
    }
}

/// What a helper has written so far, read without waiting: one that does neither read nor write holds nobody up.
struct Answer {
    output: Option<ChildStdout>,
    bytes: Vec<u8>,
}

impl Answer {
    fn of(child: &mut Child) -> io::Result<Self> {
        let output = child.stdout.take();
        if let Some(output) = &output {
            rustix::fs::fcntl_setfl(output, OFlags::NONBLOCK)?;
        }
        Ok(Self { output, bytes: Vec::new() })
    }

    fn is_whole(&self) -> bool {
        self.output.is_none()
    }

    /// Reads what is there, and not much more than there may be.
    fn read(&mut self) -> io::Result<()> {
        let mut buffer = [0; 4096];
        while let Some(output) = &mut self.output {
            match output.read(&mut buffer) {
                Ok(0) => self.output = None,
                Ok(count) => self.bytes.extend(buffer.iter().take(count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if self.bytes.len() > LARGEST_ANSWER {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a script answers that is asked for the registry `a.io`.
    fn ask(script: &str, left: Duration) -> Result<Option<String>, String> {
        let mut shell = Command::new("sh");
        shell.args(["-c", script, "helper"]);
        match converse(shell, "x", "a.io", left) {
            Ok(answer) => Ok(answer.map(|bytes| String::from_utf8(bytes).unwrap())),
            Err(error) => Err(error.to_string()),
        }
    }

    const LONG: Duration = Duration::from_mins(1);

    #[test]
    fn a_helper_is_told_the_registry_and_its_answer_is_read() {
        let answer = ask(r#"read host; printf '%s %s' "$1" "$host""#, LONG);
        assert_eq!(answer, Ok(Some("get a.io".to_owned())));
        assert_eq!(ask("echo credentials not found in native keychain; exit 1", LONG), Ok(None));
    }

    #[test]
    fn a_helper_that_does_not_help_is_named_and_not_quoted() {
        for (script, expected) in [
            ("echo hunter2; echo hunter2 >&2; exit 3", "it ended with code 3"),
            ("kill -9 $$", "a signal ended it"),
            ("head -c 10000000 /dev/zero", "it wrote more than 65536 bytes"),
        ] {
            let error = ask(script, LONG).unwrap_err();
            assert!(error.starts_with("the credential helper \"x\" gave no answer"), "{error}");
            assert!(error.contains(expected) && !error.contains("hunter2"), "{error}");
        }
        let error = run("that-nobody-has", "a.io", LONG).unwrap_err().to_string();
        assert!(error.contains("it cannot be run: entity not found"), "{error}");
    }

    #[test]
    fn a_helper_that_does_not_end_is_ended_with_all_that_it_has_started() {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("pids");
        let note = format!("echo $$ >>{0}; sleep 60 & echo $! >>{0}", list.display());
        let short = Duration::from_secs(3);
        for (rest, left, expected) in [
            ("; sleep 60", short, "it took too long"),
            // It ends, and what it has started holds its output open.
            ("; exit 0", short, "its output did not end"),
            ("; head -c 10000000 /dev/zero", LONG, "it wrote more than 65536 bytes"),
        ] {
            let error = ask(&format!("{note}{rest}"), left).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        // One that answers, and leaves somebody behind who holds nothing.
        let answer = ask(&format!("{note}; echo {{}}").replace("60 &", "60 >/dev/null &"), LONG);
        assert_eq!(answer, Ok(Some("{}\n".to_owned())));
        let pids = std::fs::read_to_string(list).unwrap();
        assert_eq!(pids.lines().count(), 8);
        let is_there = |pid: &str| {
            // A zombie is for its parent to look at, which is not us.
            let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            status.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(" Z"))
        };
        let start = Instant::now();
        while pids.lines().any(is_there) {
            assert!(start.elapsed() < Duration::from_secs(30), "{pids}");
            std::thread::sleep(LOOK);
        }
    }
}
