//! A private certificate authority, and certificates that it issued for the loopback address. Made by `openssl`, good for
//! two days.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::programs::run;

/// A certificate and its key, as PEM files.
#[derive(Clone, Debug)]
pub struct Certificate {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// An authority that nobody knows unless told.
#[derive(Debug)]
pub struct Authority {
    folder: TempDir,
    root: Certificate,
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = generate(folder.path(), "authority", "CA:TRUE", None);
        Self { folder, root }
    }

    /// The certificate of the authority: what a client is told to trust.
    pub fn root(&self) -> &Path {
        &self.root.certificate
    }

    /// A certificate for `127.0.0.1` and `localhost`.
    pub fn issue(&self, name: &str) -> Certificate {
        generate(self.folder.path(), name, "CA:FALSE", Some(&self.root))
    }
}

/// A certificate that is its own authority.
pub fn self_signed(folder: &Path, name: &str) -> Certificate {
    generate(folder, name, "CA:TRUE", None)
}

/// Makes a certificate and its key in a folder, signed by an issuer or by itself.
fn generate(folder: &Path, name: &str, kind: &str, issuer: Option<&Certificate>) -> Certificate {
    let file = |extension| folder.join(format!("{name}.{extension}"));
    let made = Certificate { certificate: file("pem"), key: file("key") };
    let configuration = file("conf");
    let text = format!(
        "[req]\nprompt = no\ndistinguished_name = name\nx509_extensions = extensions\n\
         [name]\nCN = {name}\n\
         [extensions]\nbasicConstraints = critical, {kind}\nsubjectKeyIdentifier = hash\n\
         subjectAltName = IP:127.0.0.1, DNS:localhost\n"
    );
    fs::write(&configuration, text).expect("writing what the certificate says");
    let mut command = Command::new("openssl");
    command
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
        .args(["-noenc", "-sha256", "-days", "2"])
        .arg("-config")
        .arg(configuration)
        .arg("-keyout")
        .arg(&made.key)
        .arg("-out")
        .arg(&made.certificate);
    if let Some(issuer) = issuer {
        command.arg("-CA").arg(&issuer.certificate).arg("-CAkey").arg(&issuer.key);
    }
    run(&mut command);
    made
}

/// The bytes of the first block of a PEM file.
pub fn der(pem: &Path) -> Vec<u8> {
    use base64::Engine as _;
    let text = fs::read_to_string(pem).expect("a PEM file");
    let lines = text.lines().skip_while(|line| !line.starts_with("-----BEGIN")).skip(1);
    let body: String = lines.take_while(|line| !line.starts_with("-----END")).collect();
    base64::engine::general_purpose::STANDARD.decode(body).expect("base64")
}
