//! How clients are told passwords of registries: by docker's `config.json`, which holds them or names a program that does.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use base64::Engine as _;
use serde_json::json;
use tempfile::TempDir;

/// A `config.json` of docker's, which is also what a pull secret holds: a user's password at a registry.
pub fn docker_config(host: &str, user: &str, password: &str) -> String {
    let secret = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    json!({ "auths": { host: { "auth": secret } } }).to_string()
}

/// A credential helper: the program `docker-credential-test-helper`, which knows one registry's password.
#[derive(Debug)]
pub struct CredentialHelper {
    folder: TempDir,
    host: String,
}

/// `$0` is in the folder of the answer. It is asked for with `get` and the registry's host on standard input.
const PROGRAM: &str = r#"#!/bin/sh
folder=$(dirname "$0")
read -r host
echo "$1 $host" >>"$folder/asked"
if [ "$1" = get ] && [ -e "$folder/$host" ]; then
    cat "$folder/$host"
else
    echo "credentials not found in native keychain"
    exit 1
fi
"#;

impl CredentialHelper {
    pub fn new(host: &str, user: &str, password: &str) -> Self {
        let helper = Self { folder: tempfile::tempdir().expect("a temporary folder"), host: host.to_owned() };
        let program = helper.folder().join("docker-credential-test-helper");
        fs::write(&program, PROGRAM).expect("writing the program");
        fs::set_permissions(program, fs::Permissions::from_mode(0o755)).expect("a program that runs");
        helper.set_password(user, password);
        helper
    }

    /// The folder that has to be in `PATH`.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What `PATH` has to be, for the program and all others to be found.
    pub fn path_variable(&self) -> String {
        format!("{}:{}", self.folder().display(), std::env::var("PATH").unwrap_or_default())
    }

    /// A `config.json` that names the program for the registry.
    pub fn docker_config(&self) -> String {
        json!({ "credHelpers": { self.host.as_str(): "test-helper" } }).to_string()
    }

    /// From now on it answers this.
    pub fn set_password(&self, user: &str, password: &str) {
        let answer = json!({ "ServerURL": self.host, "Username": user, "Secret": password }).to_string();
        let fresh = self.folder().join("fresh");
        fs::write(&fresh, answer).expect("writing the password");
        fs::rename(fresh, self.folder().join(&self.host)).expect("replacing the password");
    }

    /// What it was asked, such as `get 127.0.0.1:5000`.
    pub fn asked(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder().join("asked")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}
