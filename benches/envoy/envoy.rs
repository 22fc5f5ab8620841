//! An Envoy process: started, waited for, and ended whatever happens.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::bootstrap::{Answer, Bootstrap};
use crate::client::{self, Response};
use crate::failure::{Doing as _, Outcome, fail};
use crate::files::Files;

/// The built-in filter compiles a large plugin for many seconds.
const PATIENCE: Duration = Duration::from_mins(2);

/// What to start.
#[derive(Debug)]
pub struct Setup<'a> {
    /// Names its files under `target/bench`.
    pub name: String,
    pub filters: Vec<Value>,
    pub answer: Answer,
    pub callout: SocketAddr,
    pub workers: usize,
    pub has_admin: bool,
    /// The folder that takes the place of the user's cache, if it matters.
    pub cache: Option<&'a Path>,
    /// What goes before Envoy's command.
    pub wrapper: Vec<String>,
}

#[derive(Debug)]
pub struct Envoy {
    child: Child,
    pub address: SocketAddr,
    /// The admin interface, if it has one.
    pub admin: Option<SocketAddr>,
    log: PathBuf,
    /// From its start to the first answer.
    pub start: Duration,
}

impl Envoy {
    /// Starts Envoy; [`Self::wait`] waits for it.
    pub fn spawn(files: &Files, setup: &Setup<'_>) -> Outcome<(Self, Instant)> {
        let address = free_address()?;
        let admin = if setup.has_admin { Some(free_address()?) } else { None };
        let (configuration, log) = write(files, setup, address, admin)?;
        let output = File::create(&log).doing(format!("creating {}", log.display()))?;
        let mut command = command(files, &configuration, setup);
        let start = Instant::now();
        let child = command
            .stdout(Stdio::null())
            .stderr(output)
            .spawn()
            .doing("starting Envoy through `setpriv` (of the package util-linux)")?;
        Ok((Self { child, address, admin, log, start: Duration::ZERO }, start))
    }

    /// Starts Envoy and waits for its first answer.
    pub fn start(files: &Files, setup: &Setup<'_>) -> Outcome<(Self, Response)> {
        let (mut envoy, start) = Self::spawn(files, setup)?;
        let response = envoy.wait(start)?;
        Ok((envoy, response))
    }

    /// Waits for the first answer.
    pub fn wait(&mut self, start: Instant) -> Outcome<Response> {
        while start.elapsed() < PATIENCE {
            if let Ok(response) = client::get(self.address, &[]) {
                self.start = start.elapsed();
                return Ok(response);
            }
            if let Some(status) = self.child.try_wait().doing("the state of Envoy")? {
                return fail(format!(
                    "Envoy ended with {status}; {}: {}",
                    self.log.display(),
                    self.log_end()
                ));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        fail(format!("Envoy did not answer in {PATIENCE:?}; its log is {}", self.log.display()))
    }

    /// `envoy --mode validate`: what it has against a configuration, if anything.
    pub fn validate(files: &Files, setup: &Setup<'_>) -> Outcome<Result<(), String>> {
        let (configuration, _) = write(files, setup, free_address()?, None)?;
        let output = command(files, &configuration, setup)
            .args(["--mode", "validate"])
            .output()
            .doing("running Envoy to validate a configuration")?;
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        let first = errors.lines().find(|line| line.contains("graft") || line.contains("rror"));
        Ok(if output.status.success() { Ok(()) } else { Err(first.unwrap_or(&errors).to_owned()) })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The end of its log.
    pub fn log_end(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(4).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `setpriv` has the kernel kill Envoy when the benchmark ends, however that comes.
fn command(files: &Files, configuration: &Path, setup: &Setup<'_>) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL"])
        .args(&setup.wrapper)
        .arg(&files.envoy)
        .arg("--config-path")
        .arg(configuration)
        .args(["--concurrency", &setup.workers.to_string()])
        .args(["--disable-hot-restart", "--log-level", "warning"])
        .stdin(Stdio::null());
    match setup.cache {
        Some(cache) => {
            command.env_remove("GRAFT_CACHE_DIRECTORY").env("XDG_CACHE_HOME", cache).env("HOME", cache)
        }
        None => command.env("GRAFT_CACHE_DIRECTORY", files.folder.join("graft-cache")),
    };
    command
}

/// Writes the configuration; gives its place and that of the log.
fn write(
    files: &Files,
    setup: &Setup<'_>,
    listener: SocketAddr,
    admin: Option<SocketAddr>,
) -> Outcome<(PathBuf, PathBuf)> {
    let folder = files.folder.join("envoy");
    fs::create_dir_all(&folder).doing(format!("making {}", folder.display()))?;
    let configuration = folder.join(format!("{}.json", setup.name));
    let bootstrap = Bootstrap {
        listener,
        admin,
        filters: setup.filters.clone(),
        answer: setup.answer,
        callout: setup.callout,
    };
    fs::write(&configuration, bootstrap.to_json().to_string())
        .doing(format!("writing {}", configuration.display()))?;
    Ok((configuration, folder.join(format!("{}.log", setup.name))))
}

/// An address that nobody listens on. Envoy could choose one itself, but then it would have to be asked for it, and the
/// time to its first answer would be longer.
fn free_address() -> Outcome<SocketAddr> {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).doing("finding a free port")
}
