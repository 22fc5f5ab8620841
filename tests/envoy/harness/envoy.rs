//! An Envoy process.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use super::admin::Admin;
use super::client::Client;
use super::config::{Bootstrap, Host, Listener, Plugin};
use super::log::{self, Line};
use super::pace::Pace;
use super::upstream::Upstream;
use super::{eventually, files, within};

/// A release of Envoy that Graft supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    V1_37,
    V1_38,
    V1_39,
    V1_40,
}

impl Version {
    /// The release whose binary is tested.
    pub fn number(self) -> &'static str {
        match self {
            Self::V1_37 => "1.37.0",
            Self::V1_38 => "1.38.3",
            Self::V1_39 => "1.39.3",
            Self::V1_40 => "1.40.0",
        }
    }
}

/// A story, told once for every release: one test a release, so that a failure names it.
macro_rules! on_each_envoy {
    ($($(#[$attribute:meta])* fn $name:ident($version:ident) $body:block)+) => {$(
        $(#[$attribute])*
        mod $name {
            #[allow(clippy::wildcard_imports, unused_imports)]
            use super::*;

            fn story($version: $crate::harness::Version) $body

            #[test]
            fn envoy_1_37() {
                story($crate::harness::Version::V1_37);
            }

            #[test]
            fn envoy_1_38() {
                story($crate::harness::Version::V1_38);
            }

            #[test]
            fn envoy_1_39() {
                story($crate::harness::Version::V1_39);
            }

            #[test]
            fn envoy_1_40() {
                story($crate::harness::Version::V1_40);
            }
        }
    )+};
}
pub(crate) use on_each_envoy;

/// A story that is told of both hosts: of Envoy's own filter, on the newest release, and of Graft on every release.
macro_rules! on_each_host {
    ($($(#[$attribute:meta])* fn $name:ident($version:ident, $host:ident) $body:block)+) => {$(
        $(#[$attribute])*
        mod $name {
            #[allow(clippy::wildcard_imports, unused_imports)]
            use super::*;

            fn story($version: $crate::harness::Version, $host: $crate::harness::Host) $body

            #[test]
            fn built_in() {
                story($crate::harness::Version::V1_40, $crate::harness::Host::BuiltIn);
            }

            #[test]
            fn envoy_1_37() {
                story($crate::harness::Version::V1_37, $crate::harness::Host::Graft);
            }

            #[test]
            fn envoy_1_38() {
                story($crate::harness::Version::V1_38, $crate::harness::Host::Graft);
            }

            #[test]
            fn envoy_1_39() {
                story($crate::harness::Version::V1_39, $crate::harness::Host::Graft);
            }

            #[test]
            fn envoy_1_40() {
                story($crate::harness::Version::V1_40, $crate::harness::Host::Graft);
            }
        }
    )+};
}
pub(crate) use on_each_host;

/// How long an Envoy may take to start: the built-in filter compiles a large plugin for many seconds.
const START: Duration = Duration::from_mins(2);

/// An Envoy that serves.
#[derive(Debug)]
pub struct Envoy {
    process: Process,
    admin: Admin,
}

/// A process and its files. It is killed when this is dropped; if the test failed, its log is printed first.
#[derive(Debug)]
struct Process {
    child: Child,
    home: TempDir,
    version: Version,
}

/// An Envoy that ended: how, and what it had to say.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub log: Vec<Line>,
}

impl Envoy {
    /// Starts Envoy and waits until it serves.
    pub fn start(version: Version, bootstrap: &Bootstrap) -> Self {
        match Self::try_start(version, bootstrap) {
            Ok(envoy) => envoy,
            Err(ended) => panic!("Envoy {} did not start: {}", version.number(), ended),
        }
    }

    /// Starts Envoy and waits until it serves, or ends because it refuses its configuration.
    pub fn try_start(version: Version, bootstrap: &Bootstrap) -> Result<Self, Ended> {
        Self::launch(version, bootstrap, |admin| Some(admin.get("/ready")?.trim() == "LIVE"))
    }

    /// Starts Envoy and waits until its admin interface answers; it may wait for something before it serves.
    pub fn begin(version: Version, bootstrap: &Bootstrap) -> Self {
        match Self::launch(version, bootstrap, |admin| admin.get("/ready").map(|_state| true)) {
            Ok(envoy) => envoy,
            Err(ended) => panic!("Envoy {} did not start: {}", version.number(), ended),
        }
    }

    /// Whether it serves.
    pub fn is_live(&self) -> bool {
        self.admin.get("/ready").is_some_and(|state| state.trim() == "LIVE")
    }

    fn launch(
        version: Version,
        bootstrap: &Bootstrap,
        is_up: impl Fn(Admin) -> Option<bool>,
    ) -> Result<Self, Ended> {
        let mut process = Process::start(version, bootstrap, &[]);
        let address = process.home.path().join("admin");
        let admin = within(START, || {
            if let Some(status) = process.status() {
                return Some(Err(status));
            }
            let address = fs::read_to_string(&address).ok()?.trim().parse().ok()?;
            let admin = Admin(address);
            is_up(admin)?.then_some(Ok(admin))
        });
        match admin.expect("Envoy serves or ends in time") {
            Err(status) => Err(Ended { status, log: process.log() }),
            Ok(admin) => {
                bootstrap.tell_upstreams(admin);
                Ok(Self { process, admin })
            }
        }
    }

    /// Starts Envoy with one listener, `main`, and these plugins in its chain, before one HTTP/1 upstream.
    pub fn with_plugins(version: Version, plugins: &[Plugin]) -> (Self, Arc<Upstream>) {
        let upstream = Upstream::http1("upstream");
        let listener = plugins
            .iter()
            .fold(Listener::new("main"), |listener, plugin| listener.plugin(Host::Graft, plugin));
        let envoy = Self::start(version, &Bootstrap::new().upstream(&upstream).listener(listener));
        (envoy, upstream)
    }

    /// `envoy --mode validate`.
    pub fn validate(version: Version, bootstrap: &Bootstrap) -> Ended {
        let mut process = Process::start(version, bootstrap, &["--mode", "validate"]);
        let status = eventually("Envoy to validate", || process.status());
        Ended { status, log: process.log() }
    }

    pub fn admin(&self) -> Admin {
        self.admin
    }

    /// A client of a listener.
    pub fn client(&self, listener: &str) -> Client {
        let address = eventually("the listener to serve", || self.admin.listener(listener));
        Client::new(address, Pace::of_listener(self.admin, listener))
    }

    /// The address of a listener, if it serves.
    pub fn address(&self, listener: &str) -> Option<SocketAddr> {
        self.admin.listener(listener)
    }

    /// Everything logged so far.
    pub fn log(&self) -> Vec<Line> {
        self.process.log()
    }

    /// What plugins logged so far, each line from its `wasm log` on.
    pub fn plugin_log(&self) -> Vec<String> {
        self.log().iter().filter_map(Line::of_plugin).map(str::to_owned).collect()
    }

    /// Lines of Graft and of its plugins at level warning or above.
    pub fn complaints(&self) -> Vec<Line> {
        let levels = ["warning", "error", "critical"];
        self.log()
            .into_iter()
            .filter(|line| line.logger == "dynamic_modules" && levels.contains(&line.level.as_str()))
            .collect()
    }

    /// Waits until plugins have logged a line that ends with `text`.
    pub fn await_plugin_log(&self, text: &str) {
        eventually(&format!("a plugin's line that ends with {text:?}"), || {
            self.plugin_log().iter().any(|line| line.ends_with(text)).then_some(())
        });
    }

    /// Waits for a line that holds `text`.
    pub fn await_log(&self, text: &str) -> Line {
        eventually(&format!("a log line with {text:?}"), || {
            self.log().into_iter().find(|line| line.text.contains(text))
        })
    }

    /// The lines of a listener's access log so far.
    pub fn access_log(&self, listener: &str) -> Vec<String> {
        let text = fs::read_to_string(access_log(self.process.home.path(), listener)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Waits until the access log of a listener holds `count` lines.
    pub fn await_access_log(&self, listener: &str, count: usize) -> Vec<String> {
        eventually(&format!("{count} lines of access log"), || {
            let lines = self.access_log(listener);
            (lines.len() >= count).then_some(lines)
        })
    }

    /// Waits until a listener has no stream under way.
    pub fn await_quiet(&self, listener: &str) {
        let gauge = format!("http.{listener}.downstream_rq_active");
        eventually("all streams to end", || (self.admin.stat(&gauge) == Some(0)).then_some(()));
    }

    /// Publishes these listeners in place of those that there are; see [`Bootstrap::listeners_from_file`].
    pub fn publish(&self, listeners: &[Listener]) {
        write_listeners(self.process.home.path(), listeners);
    }

    /// The identity of the process.
    pub fn pid(&self) -> u32 {
        self.process.child.id()
    }

    /// The most memory that the process has held so far, in bytes.
    pub fn peak_memory(&self) -> u64 {
        self.memory("VmHWM:")
    }

    /// The memory that the process holds now, in bytes.
    pub fn resident_memory(&self) -> u64 {
        self.memory("VmRSS:")
    }

    fn memory(&self, field: &str) -> u64 {
        let path = format!("/proc/{}/status", self.pid());
        let status = fs::read_to_string(path).expect("the state of the process");
        let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("its memory");
        let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kibibytes * 1024
    }

    /// How many lines plugins have logged so far that hold `text`.
    pub fn count_plugin_log(&self, text: &str) -> usize {
        self.plugin_log().iter().filter(|line| line.contains(text)).count()
    }

    /// Waits until plugins have logged `count` lines that hold `text`.
    pub fn await_plugin_lines(&self, count: usize, text: &str) {
        eventually(&format!("{count} plugin lines with {text:?}"), || {
            (self.count_plugin_log(text) >= count).then_some(())
        });
    }

    /// Tells Envoy to end and waits until it did.
    pub fn stop(mut self) -> Ended {
        self.admin.post("/quitquitquit");
        let status = eventually("Envoy to end", || self.process.status());
        Ended { status, log: self.log() }
    }
}

impl Process {
    fn start(version: Version, bootstrap: &Bootstrap, arguments: &[&str]) -> Self {
        let home = tempfile::tempdir().expect("a temporary folder");
        let mut command = command(version, bootstrap, home.path());
        let child = command.args(arguments).spawn().expect("the Envoy binary runs");
        Self { child, home, version }
    }

    /// How it ended, if it did.
    fn status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the state of the child")
    }

    fn log(&self) -> Vec<Line> {
        let bytes = fs::read(self.home.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).lines().map(Line::parse).collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- log of Envoy {}", self.version.number());
            for line in self.log() {
                eprintln!("[{}][{}] {}", line.level, line.logger, line.text);
            }
        }
    }
}

impl Ended {
    /// The text of the first line that holds `text`; fails the test if there is none.
    pub fn line(&self, text: &str) -> &str {
        self.log
            .iter()
            .map(|line| line.text.as_str())
            .find(|line| line.contains(text))
            .unwrap_or_else(|| panic!("no line with {text:?}: {self}"))
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(formatter, "{}", self.status)?;
        self.log
            .iter()
            .try_for_each(|line| writeln!(formatter, "[{}][{}] {}", line.level, line.logger, line.text))
    }
}

fn command(version: Version, bootstrap: &Bootstrap, home: &Path) -> Command {
    let configuration = home.join("bootstrap.json");
    fs::write(&configuration, bootstrap.to_json(home).to_string()).expect("writing the bootstrap");
    if let Some(listeners) = bootstrap.dynamic_listeners() {
        write_listeners(home, listeners);
    }
    let log = File::create(home.join("log")).expect("creating the log");
    let mut command = Command::new(files::envoy(version.number()));
    command
        .arg("--config-path")
        .arg(configuration)
        .arg("--admin-address-path")
        .arg(home.join("admin"))
        .args(["--disable-hot-restart", "--log-format-escaped", "--log-format", log::FORMAT])
        .args(["--file-flush-interval-msec", "20", "--drain-time-s", "1"])
        .args(["--concurrency", &bootstrap.workers().to_string()])
        .args(["--log-level", "warning", "--component-log-level", &bootstrap.log_levels()])
        .env("ENVOY_DYNAMIC_MODULES_SEARCH_PATH", files::module_folder())
        // The user's own cache is none of ours. Each file of it is verified, so the stories may share one.
        .env("GRAFT_CACHE_DIRECTORY", files::cache_folder())
        .envs(bootstrap.environment())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    command
}

/// The file that a bootstrap with dynamic listeners watches.
pub fn listeners_file(home: &Path) -> PathBuf {
    home.join("listeners.json")
}

/// The access log of a listener.
pub fn access_log(home: &Path, listener: &str) -> PathBuf {
    home.join(format!("access-{listener}.log"))
}

/// Envoy watches for a rename: the new file takes the place of the old one at once.
fn write_listeners(home: &Path, listeners: &[Listener]) {
    let resources: Vec<_> = listeners.iter().map(|listener| listener.to_resource(home)).collect();
    let text = serde_json::json!({ "resources": resources }).to_string();
    let fresh = home.join("listeners.json.new");
    fs::write(&fresh, text).expect("writing the listeners");
    fs::rename(fresh, listeners_file(home)).expect("publishing the listeners");
}
