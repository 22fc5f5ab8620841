//! A stock Envoy 1.40.0, to try configurations in.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::{made, root};

/// How long Envoy may take to get ready, on a machine that is busy.
const PATIENCE: Duration = Duration::from_mins(1);

fn program() -> PathBuf {
    made(root().join("target/envoy/1.40.0/envoy"), "envoys")
}

/// The folder of the library: that of `$GRAFT_MODULE`, or of what `make build` made.
fn search_path() -> PathBuf {
    let module = std::env::var_os("GRAFT_MODULE")
        .map_or_else(|| root().join("target/release/libgraft.so"), PathBuf::from);
    made(module, "build").parent().expect("a folder").to_owned()
}

/// An Envoy for a bootstrap. It runs at the root, where paths of the examples begin.
fn command(bootstrap: &str, home: &TempDir) -> Command {
    for plugin in ["add-header", "redact-body", "request-id-guard"] {
        made(root().join(format!("target/plugins/{plugin}.wasm")), "plugins");
    }
    let file = home.path().join("bootstrap.yaml");
    fs::write(&file, bootstrap).expect("the bootstrap can be written");
    let mut command = Command::new(program());
    command
        .arg("-c")
        .arg(file)
        .args(["--use-dynamic-base-id", "--concurrency", "1", "--log-path"])
        .arg(home.path().join("log"))
        .env("ENVOY_DYNAMIC_MODULES_SEARCH_PATH", search_path())
        .current_dir(root())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

fn log(home: &TempDir) -> String {
    fs::read_to_string(home.path().join("log")).unwrap_or_default()
}

/// Fails unless Envoy finds a bootstrap valid.
pub fn validate(what: &str, bootstrap: &str) {
    let home = tempfile::tempdir().expect("a temporary folder");
    let status = command(bootstrap, &home).args(["--mode", "validate"]).status().expect("Envoy runs");
    assert!(status.success(), "{what} is not valid:\n{}", log(&home));
}

/// An Envoy that serves; it is killed when this is dropped.
pub struct Envoy {
    child: Child,
    home: TempDir,
    admin: String,
}

impl Envoy {
    /// Starts Envoy and waits until it serves.
    pub fn start(bootstrap: &str) -> Self {
        let home = tempfile::tempdir().expect("a temporary folder");
        let address = home.path().join("admin");
        let child = command(bootstrap, &home).arg("--admin-address-path").arg(&address).spawn();
        let mut envoy = Self { child: child.expect("Envoy runs"), home, admin: String::new() };
        envoy.admin = envoy.eventually("to have an admin interface", || {
            fs::read_to_string(&address)
                .ok()
                .map(|address| address.trim().to_owned())
                .filter(|own| !own.is_empty())
        });
        let admin = envoy.admin.clone();
        envoy.eventually("to serve", || {
            get(&admin, "/ready").filter(|answer| answer.contains("LIVE")).map(drop)
        });
        envoy
    }

    /// What the first listener answers: status line, headers, body.
    pub fn get(&self, path: &str) -> String {
        let listeners = get(&self.admin, "/listeners").expect("the listeners");
        let address = listeners.lines().find_map(|line| line.split_once("::")).expect("a listener").1;
        get(address, path).expect("an answer")
    }

    /// The statistics whose names contain a word: few, so that they come in one piece.
    pub fn stats(&self, word: &str) -> String {
        get(&self.admin, &format!("/stats?filter={word}")).expect("the statistics")
    }

    /// A page of the admin interface.
    pub fn admin(&self, path: &str) -> String {
        get(&self.admin, path).expect("a page")
    }

    fn eventually<T>(&self, what: &str, ask: impl Fn() -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            if let Some(answer) = ask() {
                return answer;
            }
            assert!(start.elapsed() < PATIENCE, "Envoy has {PATIENCE:?} {what}:\n{}", log(&self.home));
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        // Either fails only when Envoy has ended by itself.
        let _killed = self.child.kill();
        let _waited = self.child.wait();
    }
}

fn get(address: &str, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}
