//! Signatures of images, by cosign with a pair of keys; nothing of them is told to a public log.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::image::Image;
use super::programs::{attempt, run, tool};
use super::registry::Registry;

/// How a signature is kept beside its image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureForm {
    /// As an image with the tag `sha256-….sig`: what cosign 1 and 2 write.
    Tag,
    /// As a bundle of sigstore that refers to the image: what cosign 3 writes unless told otherwise.
    Bundle,
}

impl SignatureForm {
    pub const ALL: [Self; 2] = [Self::Tag, Self::Bundle];

    /// What signing and verifying both need to be told.
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Tag => &["--new-bundle-format=false"],
            Self::Bundle => &[],
        }
    }
}

/// A pair of keys.
#[derive(Debug)]
pub struct KeyPair {
    folder: TempDir,
}

/// Neither logs nor time-stamps are asked for a signature.
const NO_SERVICES: &str = r#"{"mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
    "rekorTlogConfig": {}, "tsaConfig": {}}"#;
/// None of them is trusted either; without this file cosign would fetch the public ones.
const NO_TRUST: &str = r#"{"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1"}"#;

impl KeyPair {
    pub fn generate() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("services.json"), NO_SERVICES).expect("writing the services");
        fs::write(folder.path().join("trust.json"), NO_TRUST).expect("writing who is trusted");
        let mut cosign = std::process::Command::new(tool("cosign"));
        cosign.current_dir(folder.path()).env("HOME", folder.path()).env("COSIGN_PASSWORD", "");
        run(cosign.arg("generate-key-pair"));
        Self { folder }
    }

    /// The public key, a PEM file.
    pub fn public(&self) -> PathBuf {
        self.folder.path().join("cosign.pub")
    }

    /// The public key, as PEM.
    pub fn public_pem(&self) -> String {
        fs::read_to_string(self.public()).expect("the public key")
    }

    /// Signs an image: the manifest that it was when it was pushed.
    pub fn sign(&self, registry: &Registry, image: &Image, form: SignatureForm) {
        let mut cosign = registry.client("cosign");
        cosign.current_dir(self.folder.path()).env("COSIGN_PASSWORD", "").args(["sign", "--yes"]);
        cosign.args(["--key", "cosign.key"]).args(form.arguments());
        match form {
            SignatureForm::Tag => cosign.args(["--use-signing-config=false", "--tlog-upload=false"]),
            SignatureForm::Bundle => {
                cosign.args(["--signing-config", "services.json", "--trusted-root", "trust.json"])
            }
        };
        run(cosign.args(connection(registry)).arg(image.pinned()));
    }

    /// What cosign says about a signature of an image.
    pub fn verify(&self, registry: &Registry, image: &Image, form: SignatureForm) -> Result<String, String> {
        let mut cosign = registry.client("cosign");
        cosign.current_dir(self.folder.path()).args([
            "verify",
            "--insecure-ignore-tlog",
            "--key",
            "cosign.pub",
        ]);
        cosign.args(form.arguments());
        if form == SignatureForm::Bundle {
            cosign.args(["--trusted-root", "trust.json"]);
        }
        attempt(cosign.args(connection(registry)).arg(image.pinned()))
    }
}

/// How cosign reaches a registry.
fn connection(registry: &Registry) -> Vec<String> {
    match registry.authority() {
        Some(root) => vec!["--registry-cacert".to_owned(), root.display().to_string()],
        None => vec!["--allow-http-registry".to_owned()],
    }
}
