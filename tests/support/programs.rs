//! The programs that tests run: those of `make sources`, and a few that every machine has.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A program that `make sources` brings. One that is missing fails the test with that command.
pub fn tool(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target").join("tools").join(name);
    assert!(path.is_file(), "{} is missing; make it with `make sources`", path.display());
    path
}

/// Runs a program to its end and gives what it printed; fails the test if the program does.
pub fn run(command: &mut Command) -> String {
    attempt(command).unwrap_or_else(|complaint| panic!("{command:?}: {complaint}"))
}

/// Runs a program to its end and gives what it printed, or how it failed and what it printed about that.
pub fn attempt(command: &mut Command) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    let printed = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() {
        return Ok(printed);
    }
    Err(format!("{}: {printed}\n{}", output.status, String::from_utf8_lossy(&output.stderr).trim()))
}

/// What a server keeps of a password: bcrypt, which both docker-registry and nginx read. Four rounds of 2^n are enough for
/// tests.
pub fn password_line(user: &str, password: &str) -> String {
    let mut perl = Command::new("perl");
    perl.args(["-e", "print crypt($ARGV[0], '$2y$04$AndNowForSomethingEntu')", password]);
    format!("{user}:{}\n", run(&mut perl))
}
