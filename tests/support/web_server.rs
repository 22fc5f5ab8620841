//! A web server: nginx on loopback, which serves a folder.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

use super::access_log::{self, Logged};
use super::daemon::{Daemon, free_address};
use super::programs::{password_line, tool};
use super::tls::{Authority, Certificate};

/// A web server before it is started.
#[derive(Debug, Default)]
pub struct Setup {
    user: Option<(String, String)>,
    tls: Option<Certificate>,
}

impl Setup {
    /// Lets in one user by basic authentication.
    pub fn basic_auth(mut self, user: &str, password: &str) -> Self {
        self.user = Some((user.to_owned(), password.to_owned()));
        self
    }

    /// Serves HTTPS, with a certificate of this authority.
    pub fn tls(mut self, authority: &Authority) -> Self {
        self.tls = Some(authority.issue("web"));
        self
    }

    /// Starts the server, with an empty folder.
    pub fn start(self) -> WebServer {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for name in ["files", "scratch"] {
            fs::create_dir(folder.path().join(name)).expect("a folder");
        }
        if let Some((user, password)) = &self.user {
            fs::write(folder.path().join("passwords"), password_line(user, password)).expect("the passwords");
        }
        let mut server =
            WebServer { is_secure: self.tls.is_some(), folder, address: free_address(), daemon: None };
        let text = server.configuration(&self);
        fs::write(server.path("configuration"), text).expect("writing the configuration");
        server.start_again();
        server
    }
}

/// A web server and the folder that it serves.
#[derive(Debug)]
pub struct WebServer {
    is_secure: bool,
    folder: TempDir,
    address: SocketAddr,
    daemon: Option<Daemon>,
}

impl WebServer {
    pub fn setup() -> Setup {
        Setup::default()
    }

    /// A server that lets in everybody, by HTTP.
    pub fn open() -> Self {
        Self::setup().start()
    }

    /// Puts a file in the place of the one that was there.
    pub fn put(&self, name: &str, content: &[u8]) -> String {
        let fresh = self.path("scratch").join("fresh");
        fs::write(&fresh, content).expect("writing a file");
        fs::rename(fresh, self.path("files").join(name)).expect("publishing a file");
        self.url(name)
    }

    /// The same; who accepts gzip gets it compressed (`content-encoding: gzip`).
    pub fn put_compressed(&self, name: &str, content: &[u8]) -> String {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(content).expect("compressing into memory");
        self.put(&format!("{name}.gz"), &encoder.finish().expect("compressing into memory"));
        self.put(name, content)
    }

    pub fn url(&self, name: &str) -> String {
        let scheme = if self.is_secure { "https" } else { "http" };
        format!("{scheme}://{}/{name}", self.address)
    }

    /// What it was asked, in the order in which it answered.
    pub fn asked(&self) -> Vec<Logged> {
        access_log::settled(&self.path("access.log"), &self.url("asked"))
    }

    /// Stops serving; the folder stays.
    pub fn stop(&mut self) {
        self.daemon = None;
    }

    /// Serves again, at the same address.
    pub fn start_again(&mut self) {
        let mut command = Command::new(tool("nginx"));
        command.arg("-p").arg(self.folder.path()).arg("-c").arg(self.path("configuration"));
        command.args(["-e", "stderr"]);
        self.daemon = Some(Daemon::start("nginx", &mut command, self.address, &self.path("log")));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn configuration(&self, setup: &Setup) -> String {
        let address = self.address;
        let file = |name: &str| self.path(name).display().to_string();
        let listen = if self.is_secure { format!("{address} ssl") } else { address.to_string() };
        let certificate = setup.tls.as_ref().map_or(String::new(), |tls| {
            let (certificate, key) = (tls.certificate.display(), tls.key.display());
            format!("ssl_certificate {certificate}; ssl_certificate_key {key};")
        });
        let password = setup.user.as_ref().map_or(String::new(), |_| {
            format!("auth_basic plugins; auth_basic_user_file {};", file("passwords"))
        });
        let mut scratch = String::new();
        for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
            let _ = write!(scratch, "{kind}_temp_path {}; ", file(&format!("scratch/{kind}")));
        }
        // One process, which is the one that was started: it ends with the test.
        format!(
            "daemon off; master_process off; pid {pid}; error_log stderr info;
             events {{ worker_connections 256; }}
             http {{
               {scratch}
               access_log {log} combined; gzip_static on; default_type application/wasm;
               server {{ listen {listen}; root {root}; {certificate} {password} }}
             }}
            ",
            pid = file("pid"),
            log = file("access.log"),
            root = file("files")
        )
    }
}
