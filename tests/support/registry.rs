//! A registry: Debian's `docker-registry` on loopback, which lets in everybody, those who know a password, or those who
//! bring a token.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::access_log::{self, Logged};
use super::credentials::docker_config;
use super::daemon::{Daemon, free_address};
use super::image::{self, Image, Layout};
use super::programs::{password_line, run, tool};
use super::tls::{Authority, Certificate};
use super::token_server::{ISSUER, SERVICE, TokenServer};

/// A registry before it is started.
#[derive(Debug, Default)]
pub struct Setup {
    user: Option<(String, String)>,
    tokens: Option<Arc<TokenServer>>,
    realm: Option<String>,
    tls: Option<(PathBuf, Certificate)>,
}

impl Setup {
    /// Lets in one user by basic authentication.
    pub fn basic_auth(mut self, user: &str, password: &str) -> Self {
        self.user = Some((user.to_owned(), password.to_owned()));
        self
    }

    /// Lets in whoever brings a token that this server signed; the clients that fill the registry ask for theirs as this
    /// user.
    pub fn tokens(mut self, server: &Arc<TokenServer>, user: &str, password: &str) -> Self {
        self.tokens = Some(Arc::clone(server));
        self.basic_auth(user, password)
    }

    /// Sends those who want a token elsewhere: to somebody who should not be asked. Nobody can push then.
    pub fn realm(mut self, url: &str) -> Self {
        self.realm = Some(url.to_owned());
        self
    }

    /// Serves HTTPS, with a certificate of this authority.
    pub fn tls(mut self, authority: &Authority) -> Self {
        self.tls = Some((authority.root().to_owned(), authority.issue("registry")));
        self
    }

    /// Starts the registry.
    pub fn start(self) -> Registry {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut registry = Registry { setup: self, folder, address: free_address(), daemon: None };
        registry.write_passwords();
        let text = registry.configuration().to_string();
        fs::write(registry.path("configuration.json"), text).expect("writing the configuration");
        registry.start_again();
        registry
    }
}

/// A registry and what is in it.
#[derive(Debug)]
pub struct Registry {
    setup: Setup,
    folder: TempDir,
    address: SocketAddr,
    daemon: Option<Daemon>,
}

impl Registry {
    pub fn setup() -> Setup {
        Setup::default()
    }

    /// A registry that lets in everybody.
    pub fn open() -> Self {
        Self::setup().start()
    }

    /// The registry's part of a reference.
    ///
    /// With tokens it is a name: careful clients ask for one only where the registry itself is (oras), and at no private
    /// address that is given by its numbers (crane).
    pub fn host(&self) -> String {
        match self.setup.tokens {
            Some(_) => format!("localhost:{}", self.address.port()),
            None => self.address.to_string(),
        }
    }

    /// The certificate that its clients have to trust, if it serves HTTPS.
    pub fn authority(&self) -> Option<&Path> {
        self.setup.tls.as_ref().map(|(root, _)| root.as_path())
    }

    /// Stops serving; what was pushed stays.
    pub fn stop(&mut self) {
        self.daemon = None;
    }

    /// Serves again, at the same address.
    pub fn start_again(&mut self) {
        let mut command = Command::new(tool("docker-registry"));
        command.arg("serve").arg(self.path("configuration.json"));
        self.daemon = Some(Daemon::start("docker-registry", &mut command, self.address, &self.path("log")));
    }

    /// Pushes code as an image; `name` is repository and tag, `plugins/a:tag`.
    pub fn push(&self, layout: Layout, name: &str, code: &[u8]) -> Image {
        image::push(self, layout, name, code)
    }

    /// Has a tag say this image, whatever it said before.
    pub fn tag(&self, image: &Image, tag: &str) -> Image {
        image::tag(self, image, tag)
    }

    /// The manifest of an image, as a client of users gets it.
    pub fn manifest(&self, reference: &str) -> Value {
        let text = run(self.client("crane").args(["manifest", reference]));
        serde_json::from_str(&text).expect("a manifest is JSON")
    }

    /// From now on only this password is right, for the clients that fill the registry too.
    pub fn set_password(&mut self, password: &str) {
        let (user, right) = self.setup.user.as_mut().expect("a registry with a user");
        password.clone_into(right);
        if let Some(server) = &self.setup.tokens {
            server.set_password(user, password);
        }
        self.write_passwords();
    }

    /// What it was asked by others than the clients that fill it, in the order in which it answered.
    pub fn asked(&self) -> Vec<Logged> {
        let scheme = if self.authority().is_some() { "https" } else { "http" };
        let mut asked = access_log::settled(&self.path("log"), &format!("{scheme}://{}/v2/", self.address));
        let is_ours = |agent: &str| ["crane/", "oras/", "cosign/"].iter().any(|name| agent.starts_with(name));
        asked.retain(|logged| !is_ours(&logged.agent));
        asked
    }

    /// A client of users that knows the registry's user and authority, and nothing of the machine's own user.
    pub fn client(&self, name: &str) -> Command {
        let mut command = Command::new(tool(name));
        command.env("HOME", self.folder.path()).env("DOCKER_CONFIG", self.folder.path());
        if let Some(root) = self.authority() {
            command.env("SSL_CERT_FILE", root);
        }
        command
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What the registry checks passwords with, and what its clients send. The registry reads its file again when that
    /// changed.
    fn write_passwords(&self) {
        let Some((user, password)) = &self.setup.user else { return };
        let replace = |name: &str, text: String| {
            let fresh = self.path(&format!("{name}.new"));
            fs::write(&fresh, text).expect("writing passwords");
            fs::rename(fresh, self.path(name)).expect("replacing passwords");
        };
        replace("passwords", password_line(user, password));
        replace("config.json", docker_config(&self.host(), user, password));
    }

    fn configuration(&self) -> Value {
        let mut http = json!({ "addr": self.address.to_string(), "secret": "of no account" });
        if let Some((_, certificate)) = &self.setup.tls {
            http["tls"] = json!({ "certificate": certificate.certificate, "key": certificate.key });
        }
        let mut all = json!({
            "version": "0.1",
            "log": { "level": "info" },
            "storage": {
                "filesystem": { "rootdirectory": self.path("images") },
                "delete": { "enabled": true },
            },
            "http": http,
        });
        if let Some(server) = &self.setup.tokens {
            let realm = self.setup.realm.clone().unwrap_or_else(|| server.realm());
            all["auth"]["token"] = json!({
                "realm": realm, "service": SERVICE, "issuer": ISSUER,
                "rootcertbundle": server.certificate().certificate,
            });
        } else if self.setup.user.is_some() {
            all["auth"]["htpasswd"] = json!({ "realm": "plugins", "path": self.path("passwords") });
        }
        all
    }
}
