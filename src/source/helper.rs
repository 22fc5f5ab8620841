//! Credential helpers of Docker: programs that know the password of a registry.
//!
//! `docker-credential-NAME get` reads the registry's name from its input and writes JSON. Which program is run stands in the
//! pull secret, which may be written by somebody with fewer rights than Envoy has; so only those run that the operator has
//! listed in `graft.source.credential_helpers`. They get a time and so many bytes.

use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::credentials::CredentialError;

/// Longest run. A helper asks its cloud for a token.
const TIME: Duration = Duration::from_secs(10);
/// Most bytes of an answer; tokens of clouds have a few thousand.
const LARGEST_ANSWER: u64 = 64 * 1024;
/// How often it is looked whether the helper has ended.
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
    let end = Instant::now().checked_add(TIME.min(left));
    let mut child = program
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        // It may quote what it knows.
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| failed(format!("it cannot be run: {}", error.kind())))?;
    let answer = ask(&mut child, registry);
    let is_over = || end.is_none_or(|end| Instant::now() >= end);
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if !is_over() => std::thread::sleep(LOOK),
            Ok(None) => {
                end_of(&mut child);
                return Err(failed("it took too long".to_owned()));
            }
            Err(error) => {
                end_of(&mut child);
                return Err(failed(error.kind().to_string()));
            }
        }
    };
    // A child of the helper may keep the output open.
    let time = end.map_or(Duration::ZERO, |end| end.saturating_duration_since(Instant::now()));
    let bytes = answer.recv_timeout(time).map_err(|_| failed("its output did not end".to_owned()))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > LARGEST_ANSWER) {
        return Err(failed(format!("it wrote more than {LARGEST_ANSWER} bytes")));
    }
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

/// Hands the question over and reads the answer, beside this thread: a helper that does neither read nor write holds nobody up.
fn ask(child: &mut Child, registry: &str) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    if let Some(mut stdin) = child.stdin.take() {
        // Shorter than any pipe, so this does not wait.
        drop(stdin.write_all(registry.as_bytes()));
    }
    if let Some(stdout) = child.stdout.take() {
        let read = move || {
            let mut bytes = Vec::new();
            drop(stdout.take(LARGEST_ANSWER.saturating_add(1)).read_to_end(&mut bytes));
            drop(sender.send(bytes));
        };
        // Without a thread there is no answer, which the receiver is told.
        drop(std::thread::Builder::new().name("graft:helper".to_owned()).spawn(read));
    }
    receiver
}

fn end_of(child: &mut Child) {
    drop(child.kill());
    drop(child.wait());
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
    fn a_helper_that_does_not_end_is_ended() {
        let start = Instant::now();
        let error = ask("exec sleep 60", Duration::from_millis(100)).unwrap_err();
        assert!(error.contains("it took too long"), "{error}");
        // It ends, and what it has started holds its output open.
        let error = ask("sleep 60 & exit 0", Duration::from_millis(100)).unwrap_err();
        assert!(error.contains("its output did not end"), "{error}");
        assert!(start.elapsed() < Duration::from_secs(30));
    }
}
