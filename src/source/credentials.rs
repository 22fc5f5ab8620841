//! Who asks: the credentials for a registry, from a `config.json` as Docker and Kubernetes write it.
//!
//! ```text
//!  credHelpers[registry] ─► a helper   else   auths[registry]   else   credsStore ─► a helper   else   nobody
//! ```
//!
//! The name of an entry is that of a registry, with or without a path, or a pattern such as `*.example.com`. Of several that fit,
//! the one with the longest path counts, and a name before a pattern. An address counts for its host when nothing else fits.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::{helper, location};
use crate::config::{ImageReference, PullSecret, Secret, SourceConfig};

/// Largest `config.json`.
const LARGEST: u64 = 1024 * 1024;
/// What Docker's clients and helpers call Docker's own registry.
const DOCKER_KEY: &str = "https://index.docker.io/v1/";
/// Its names in the names of entries.
const DOCKER_HOSTS: [&str; 3] = ["docker.io", "index.docker.io", "registry-1.docker.io"];

/// What a registry is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Credentials {
    /// A name and a password: the value of an `authorization` header.
    Basic(Secret),
    /// A token that other tokens are got with.
    Identity(Secret),
    /// A token for the registry itself.
    Registry(Secret),
}

/// Why there are no credentials although there should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// The file is not there, or not readable.
    #[error("the pull secret {path:?} cannot be read ({reason}), expected a config.json of Docker")]
    Unreadable {
        /// As configured.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The environment variable is not set.
    #[error(
        "the environment variable {name:?} of the pull secret is not set, expected a config.json of Docker in it"
    )]
    NoVariable {
        /// As configured.
        name: String,
    },
    /// Istio's control plane hands over an empty one where there is none.
    #[error(
        "Istio's control plane found no pull secret, expected the Secret that imagePullSecret of the WasmPlugin names, with a \
         .dockerconfigjson"
    )]
    NoSecretOfIstio,
    /// Something else than a `config.json`.
    #[error(
        "the pull secret {place} is wrong at line {line}, column {column}, expected a config.json of Docker"
    )]
    NotAConfig {
        /// The file, or the environment variable, or that it is in the configuration.
        place: String,
        /// Line of the text, from 1; 0: the whole.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// An entry with half of what it should have.
    #[error(
        "the entry {key:?} of the pull secret is wrong, expected auth (base64 of name:password), or username and password"
    )]
    Entry {
        /// The name of the entry.
        key: String,
    },
    /// A program that may not be run.
    #[error(
        "the pull secret names the credential helper {name:?}, expected one that graft.source.credential_helpers lists"
    )]
    HelperNotAllowed {
        /// Its name.
        name: String,
    },
    /// The program did not help.
    #[error(
        "the credential helper {name:?} gave no answer ({reason}), expected JSON with Username and Secret"
    )]
    Helper {
        /// Its name.
        name: String,
        /// What it did.
        reason: String,
    },
}

/// A `config.json` of Docker. What else stands in it is not of interest.
#[derive(Deserialize, Default)]
struct DockerConfig {
    #[serde(default)]
    auths: Option<BTreeMap<String, Entry>>,
    #[serde(default, rename = "credHelpers")]
    helpers: Option<BTreeMap<String, String>>,
    #[serde(default, rename = "credsStore")]
    store: Option<String>,
}

#[derive(Deserialize, Default)]
struct Entry {
    #[serde(default)]
    auth: Option<String>,
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    password: Option<String>,
    #[serde(default, rename = "identitytoken")]
    identity: Option<String>,
    #[serde(default, rename = "registrytoken")]
    registry: Option<String>,
}

#[derive(Deserialize)]
struct HelperAnswer {
    #[serde(rename = "Username")]
    user: String,
    #[serde(rename = "Secret")]
    secret: String,
}

/// The credentials that the pull secret of a configuration has for the registry of an image.
pub(super) fn of_image(
    config: &SourceConfig,
    image: &ImageReference,
    environment: &dyn Fn(&str) -> Option<OsString>,
    left: Duration,
) -> Result<Option<Credentials>, CredentialError> {
    let text = match &config.pull_secret {
        None => return Ok(None),
        // One that stands in graft.source is not empty.
        Some(PullSecret::Inline(secret)) if secret.expose().is_empty() => {
            return Err(CredentialError::NoSecretOfIstio);
        }
        Some(PullSecret::Inline(secret)) => secret.expose().as_bytes().to_vec(),
        Some(PullSecret::Environment(name)) => environment(name)
            .map(OsString::into_encoded_bytes)
            .ok_or_else(|| CredentialError::NoVariable { name: name.clone() })?,
        Some(PullSecret::File(path)) => location::read_file(path, LARGEST).map_err(|error| {
            CredentialError::Unreadable { path: path.clone(), reason: location::reason(&error) }
        })?,
    };
    let docker: DockerConfig = serde_json::from_slice(&text).map_err(|error| {
        // Its own words quote what they did not expect.
        let place = match &config.pull_secret {
            Some(PullSecret::File(path)) => location::quoted(path),
            Some(PullSecret::Environment(name)) => format!("in the environment variable {name:?}"),
            Some(PullSecret::Inline(_)) | None => "in graft.source.pull_secret.inline".to_owned(),
        };
        CredentialError::NotAConfig { place, line: error.line(), column: error.column() }
    })?;
    let ask = |name: &str| {
        if !config.credential_helpers.iter().any(|allowed| allowed == name) {
            return Err(CredentialError::HelperNotAllowed { name: name.chars().take(64).collect() });
        }
        let server = if image.is_docker() { DOCKER_KEY } else { image.registry() };
        helper::run(name, server, left)?.map(|answer| of_helper(name, &answer)).transpose()
    };
    if let Some((_, name)) = best(docker.helpers.iter().flatten(), image) {
        return ask(name);
    }
    let entry = best(docker.auths.iter().flatten(), image);
    let found = entry.map(|(key, entry)| of_entry(key, entry)).transpose()?.flatten();
    match (found, docker.store.as_deref()) {
        (None, Some(store)) if !store.is_empty() => ask(store),
        (found, _) => Ok(found),
    }
}

/// The entry whose name fits an image best.
fn best<'a, T>(
    entries: impl Iterator<Item = (&'a String, T)>,
    image: &ImageReference,
) -> Option<(&'a String, T)> {
    let ranked = entries.filter_map(|(key, entry)| Some((rank(key, image)?, key, entry)));
    ranked.max_by_key(|(rank, _, _)| *rank).map(|(_, key, entry)| (key, entry))
}

/// How well the name of an entry fits an image: `None`, not at all; otherwise whether its path does, the length of the path that
/// it begins with, and whether it names the host itself, not a pattern that it fits.
fn rank(key: &str, image: &ImageReference) -> Option<(bool, usize, bool)> {
    let name = key.trim_start_matches("https://").trim_start_matches("http://");
    let (host, path) = name.split_once('/').unwrap_or((name, ""));
    let is_host = if image.is_docker() {
        DOCKER_HOSTS.iter().any(|docker| fits_host(host, docker))
    } else {
        fits_host(host, image.registry())
    };
    let path = path.trim_end_matches('/');
    // The versions of the API are no part of a repository's name.
    let path = if matches!(path, "v1" | "v2") { "" } else { path };
    let repository = image.repository();
    let fits = path.is_empty()
        || repository == path
        || repository.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
    let is_pattern = host.contains('*');
    if !is_host {
        None
    } else if fits {
        Some((true, path.len(), !is_pattern))
    } else {
        // Docker itself takes an address for its host, whatever path it has.
        (name != key && !is_pattern).then_some((false, 0, true))
    }
}

/// Whether a host is the one of an entry's name, in which a `*` stands for a part between dots, or a piece of one, as Kubernetes
/// has it. The port is no part of that.
fn fits_host(pattern: &str, host: &str) -> bool {
    let split = |text| match str::rsplit_once(text, ':') {
        Some((name, port)) => (name, Some(port)),
        None => (text, None),
    };
    let ((wanted, wanted_port), (name, port)) = (split(pattern), split(host));
    let (mut wanted, mut parts) = (wanted.split('.'), name.split('.'));
    wanted_port == port
        && loop {
            match (wanted.next(), parts.next()) {
                (Some(pattern), Some(label)) if fits_part(pattern, label) => {}
                (None, None) => break true,
                _ => break false,
            }
        }
}

fn fits_part(pattern: &str, part: &str) -> bool {
    let (pattern, part) = (pattern.to_ascii_lowercase(), part.to_ascii_lowercase());
    let Some((start, end)) = pattern.split_once('*') else { return pattern == part };
    // What stands between several of them is looked for in order.
    let Some(mut rest) = part.strip_prefix(start) else { return false };
    let mut pieces = end.split('*');
    let last = pieces.next_back().unwrap_or_default();
    for piece in pieces {
        match rest.split_once(piece) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

fn of_entry(key: &str, entry: &Entry) -> Result<Option<Credentials>, CredentialError> {
    let filled = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    if let Some(token) = filled(&entry.registry) {
        return Ok(Some(Credentials::Registry(Secret::new(token))));
    }
    if let Some(token) = filled(&entry.identity) {
        return Ok(Some(Credentials::Identity(Secret::new(token))));
    }
    let wrong = || CredentialError::Entry { key: key.chars().take(128).collect() };
    if let Some(auth) = filled(&entry.auth) {
        let bytes = STANDARD.decode(auth.trim()).map_err(|_| wrong())?;
        // Docker pads with NUL.
        let text = String::from_utf8(bytes).map_err(|_| wrong())?;
        let text = text.trim_end_matches('\0');
        if !text.contains(':') {
            return Err(wrong());
        }
        return Ok(Some(Credentials::Basic(Secret::new(format!("Basic {}", STANDARD.encode(text))))));
    }
    match (filled(&entry.username), filled(&entry.password)) {
        (Some(user), Some(password)) if !user.contains(':') => Ok(Some(basic(&user, &password))),
        (None, None) => Ok(None),
        (Some(_), _) | (None, Some(_)) => Err(wrong()),
    }
}

fn of_helper(name: &str, answer: &[u8]) -> Result<Credentials, CredentialError> {
    let answer: HelperAnswer = serde_json::from_slice(answer).map_err(|_| CredentialError::Helper {
        name: name.to_owned(),
        reason: "what it wrote is something else".to_owned(),
    })?;
    // Docker's mark of a token.
    if answer.user == "<token>" {
        return Ok(Credentials::Identity(Secret::new(answer.secret)));
    }
    Ok(basic(&answer.user, &answer.secret))
}

fn basic(user: &str, password: &str) -> Credentials {
    Credentials::Basic(Secret::new(format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(json: &str, image: &str) -> Result<Option<Credentials>, CredentialError> {
        let config = SourceConfig {
            pull_secret: Some(PullSecret::Inline(Secret::new(json))),
            ..SourceConfig::default()
        };
        let image = ImageReference::parse(image).unwrap();
        of_image(&config, &image, &|_| None, Duration::from_secs(1))
    }

    fn password(json: &str, image: &str) -> Option<String> {
        match ask(json, image).unwrap() {
            Some(Credentials::Basic(secret)) => {
                let text = secret.expose().strip_prefix("Basic ").unwrap().to_owned();
                Some(String::from_utf8(STANDARD.decode(text).unwrap()).unwrap())
            }
            Some(other) => panic!("{other:?}"),
            None => None,
        }
    }

    /// `u:p`.
    const AUTH: &str = r#"{"auth": "dTpw"}"#;

    #[test]
    fn entries_are_found_by_every_name_of_a_registry() {
        for (key, image, is_found) in [
            ("ghcr.io", "ghcr.io/acme/auth", true),
            ("https://ghcr.io", "ghcr.io/acme/auth", true),
            ("https://ghcr.io/v2/", "ghcr.io/acme/auth", true),
            ("ghcr.io/acme", "ghcr.io/acme/auth", true),
            ("ghcr.io/acme/auth", "ghcr.io/acme/auth", true),
            ("ghcr.io/ac", "ghcr.io/acme/auth", false),
            ("https://ghcr.io/api/v2/", "ghcr.io/acme/auth", true),
            ("ghcr.io/api/v2/", "ghcr.io/acme/auth", false),
            ("https://ghcr.io.evil.example/api/v2/", "ghcr.io/acme/auth", false),
            ("ghcr.io:443", "ghcr.io/acme/auth", false),
            ("localhost:5000", "localhost:5000/auth", true),
            ("localhost", "localhost:5000/auth", false),
            ("https://index.docker.io/v1/", "acme/auth", true),
            ("docker.io", "acme/auth", true),
            ("registry-1.docker.io", "auth", true),
            ("evil.example/ghcr.io", "ghcr.io/acme/auth", false),
            ("*.example.com", "eu.example.com/auth", true),
            ("*.EXAMPLE.com", "EU.example.com/auth", true),
            ("https://*.example.com/acme", "eu.example.com/acme/auth", true),
            ("*.example.com", "example.com/auth", false),
            ("*.example.com", "a.eu.example.com/auth", false),
            ("*.*.example.com", "a.eu.example.com/auth", true),
            ("reg*.example.com", "registry.example.com/auth", true),
            ("r*st*y.example.com", "registry.example.com/auth", true),
            ("r*st*x.example.com", "registry.example.com/auth", false),
            ("*.example.com", "eu.example.com:5000/auth", false),
            ("*.example.com:5000", "eu.example.com:5000/auth", true),
            ("*", "ghcr.io/acme/auth", false),
            ("*.io", "ghcr.io/acme/auth", true),
            ("*.docker.io", "acme/auth", true),
            ("[::1]:5000", "[::1]:5000/auth", true),
        ] {
            let json = format!(r#"{{"auths": {{"{key}": {AUTH}}}}}"#);
            assert_eq!(password(&json, image).is_some(), is_found, "{key} {image}");
        }
    }

    #[test]
    fn the_entry_with_the_longest_path_counts() {
        let json = r#"{"auths": {
            "ghcr.io": {"username": "a", "password": "1"},
            "ghcr.io/acme": {"username": "b", "password": "2"},
            "ghcr.io/acme/other": {"username": "c", "password": "3"}
        }}"#;
        assert_eq!(password(json, "ghcr.io/acme/auth").unwrap(), "b:2");
        let json = r#"{"auths": {
            "*.io": {"username": "a", "password": "1"},
            "ghcr.io": {"username": "b", "password": "2"},
            "*.io/acme": {"username": "c", "password": "3"}
        }}"#;
        assert_eq!(password(json, "ghcr.io/auth").unwrap(), "b:2");
        assert_eq!(password(json, "ghcr.io/acme/auth").unwrap(), "c:3");
        let json = r#"{"auths": {
            "https://ghcr.io/api/v2/": {"username": "a", "password": "1"},
            "*.io": {"username": "b", "password": "2"}
        }}"#;
        assert_eq!(
            password(json, "ghcr.io/auth").unwrap(),
            "b:2",
            "an address counts where nothing else does"
        );
        // Helpers are chosen by the same rule.
        let json = r#"{"credHelpers": {"*.io": "one", "ghcr.io": "two", "ghcr.io/acme": "three"}}"#;
        for (image, name) in [("quay.io/x", "one"), ("ghcr.io/x", "two"), ("ghcr.io/acme/x", "three")] {
            let error = ask(json, image).unwrap_err();
            assert_eq!(error, CredentialError::HelperNotAllowed { name: name.to_owned() });
        }
    }

    #[test]
    fn entries_have_several_forms() {
        for (entry, expected) in [
            (AUTH, Some("u:p")),
            (r#"{"auth": "dTpwOng="}"#, Some("u:p:x")),
            (r#"{"username": "u", "password": "p"}"#, Some("u:p")),
            ("{}", None),
            (r#"{"auth": ""}"#, None),
        ] {
            let json = format!(r#"{{"auths": {{"a.io": {entry}}}}}"#);
            assert_eq!(password(&json, "a.io/x").as_deref(), expected, "{entry}");
        }
        let token = ask(r#"{"auths": {"a.io": {"auth": "dTpw", "identitytoken": "t"}}}"#, "a.io/x");
        assert_eq!(token.unwrap(), Some(Credentials::Identity(Secret::new("t"))));
        assert_eq!(ask("{}", "a.io/x").unwrap(), None);
    }

    #[test]
    fn what_is_wrong_is_said_without_what_it_says() {
        for json in [
            " ",
            "null hunter2",
            r#"{"auths": "hunter2"}"#,
            r#"{"auths": {"a.io": {"auth": "hunter2!"}}}"#,
            r#"{"auths": {"a.io": {"auth": "aHVudGVyMg=="}}}"#,
            r#"{"auths": {"a.io": {"username": "hunter2"}}}"#,
        ] {
            let error = ask(json, "a.io/x").unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
    }

    #[test]
    fn a_secret_that_istio_did_not_find_is_told_as_that() {
        assert_eq!(ask("", "a.io/x").unwrap_err(), CredentialError::NoSecretOfIstio);
    }

    #[test]
    fn a_helper_that_is_not_listed_is_not_run() {
        for json in [r#"{"credHelpers": {"a.io": "x"}}"#, r#"{"credsStore": "x"}"#] {
            let error = ask(json, "a.io/x").unwrap_err();
            assert_eq!(error, CredentialError::HelperNotAllowed { name: "x".to_owned() });
        }
        assert_eq!(ask(r#"{"credHelpers": {"b.io": "x"}}"#, "a.io/x").unwrap(), None);
    }
}
