//! The proofs, one file for each kind of server.

mod hostile;
mod registry;
mod signing;
mod wasm;
mod web_server;

use std::process::Command;

use crate::support::programs::attempt;

/// A client of users: `curl`, which fails for a status of 400 or more, follows redirects, and waits for half a minute. It
/// gives what it got, or its own code for what went wrong.
fn curl(arguments: &[&str]) -> Result<String, i32> {
    let mut command = Command::new("curl");
    command.args([
        "--silent",
        "--show-error",
        "--fail",
        "--location",
        "--max-time",
        "30",
        "--max-filesize",
        "1000000",
    ]);
    attempt(command.args(arguments)).map_err(|complaint| {
        let code = complaint.split("curl: (").nth(1).and_then(|rest| rest.split(')').next());
        code.and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("curl {arguments:?}: {complaint}"))
    })
}
