//! `graft.source`: how code is fetched, with which rights, and what it must be signed with.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::code::Code;
use super::environment::Environment;
use super::error::ConfigError;
use super::network::Network;
use super::node::Node;
use super::remote::Place;
use super::secret::Secret;
use super::url::HttpUrl;

/// The fields of `graft.source`.
pub(super) const FIELDS: &[&str] = &[
    "pull_policy",
    "pull_secret",
    "credential_helpers",
    "verification_key",
    "ca_file",
    "insecure_registries",
    "allowed_addresses",
    "timeout",
    "try_timeout",
    "max_bytes",
    "max_redirects",
    "retries",
];
/// The fields of `graft.source.pull_secret`.
pub(super) const PULL_SECRET_FIELDS: &[&str] = &["file", "environment_variable", "inline"];
/// The fields of `graft.source.verification_key`.
pub(super) const KEY_FIELDS: &[&str] = &["file", "inline"];
/// The fields of `graft.source.retries`.
pub(super) const RETRY_FIELDS: &[&str] = &["attempts", "base_interval", "max_interval"];

/// How code is fetched. The default is what a plugin gets that has no such block.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SourceConfig {
    /// Whether what is in the cache is good enough; `None`: depends on the place.
    pub pull_policy: Option<PullPolicy>,
    /// Where the passwords of registries are: a `config.json` of Docker.
    pub pull_secret: Option<PullSecret>,
    /// The credential helpers of Docker that may be run: `ecr-login` is the program `docker-credential-ecr-login`.
    pub credential_helpers: Vec<String>,
    /// Where the public keys are of which one must have signed an image.
    pub verification_key: Option<VerificationKey>,
    /// Certificates of the authorities that are trusted, in place of those of the system.
    pub ca_file: Option<PathBuf>,
    /// Hosts whose certificate is not looked at, and which may speak HTTP; `*`: all.
    pub insecure_registries: Vec<String>,
    /// Link-local addresses, and those of metadata services, that code may be fetched from all the same.
    pub allowed_addresses: Vec<Network>,
    /// How long a fetch may take with everything that belongs to it.
    pub timeout: Duration,
    /// How long one request of it may take.
    pub try_timeout: Duration,
    /// Largest code, packed and unpacked.
    pub max_bytes: u64,
    /// How many redirects a request follows.
    pub max_redirects: u32,
    /// How often a request is tried.
    pub retries: Retries,
}

/// When the source is asked, although there is code in the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PullPolicy {
    /// When there is nothing in the cache.
    IfNotPresent,
    /// Always. What is fetched is only what has changed.
    Always,
}

/// Where a `config.json` of Docker is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PullSecret {
    /// In this file, which is read anew for each fetch.
    File(PathBuf),
    /// In this environment variable of Envoy's process.
    Environment(String),
    /// Here.
    Inline(Secret),
}

/// Where public keys are, as PEM.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum VerificationKey {
    /// In this file, which is read anew for each fetch.
    File(PathBuf),
    /// Here.
    Inline(String),
}

/// How often a request is tried, and how long it waits in between: each time twice as long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Retries {
    /// Tries, the first one included.
    pub attempts: u32,
    /// The first wait.
    pub base_interval: Duration,
    /// The longest wait.
    pub max_interval: Duration,
}

const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_hours(24);
const INTERVAL: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_hours(1);
const ATTEMPTS: RangeInclusive<u32> = 1..=100;
/// What the engine is given is in memory whole.
const BYTES: RangeInclusive<u64> = 1..=1_073_741_824;
const REDIRECTS: RangeInclusive<u32> = 0..=20;
const POLICY: &str = "one of if_not_present, always";
const HOST: &str = "a host with or without a port, such as \"registry.example:5000\", or \"*\"";

impl Default for Retries {
    fn default() -> Self {
        // Those of Istio's agent.
        Self { attempts: 5, base_interval: Duration::from_millis(500), max_interval: Duration::from_secs(10) }
    }
}

impl Default for SourceConfig {
    fn default() -> Self {
        Self {
            pull_policy: None,
            pull_secret: None,
            credential_helpers: Vec::new(),
            verification_key: None,
            ca_file: None,
            insecure_registries: Vec::new(),
            allowed_addresses: Vec::new(),
            // These are Istio's.
            timeout: Duration::from_secs(30),
            try_timeout: Duration::from_secs(15),
            max_bytes: 256 * 1024 * 1024,
            max_redirects: 10,
            retries: Retries::default(),
        }
    }
}

impl SourceConfig {
    pub(super) fn read(node: &Node<'_>) -> Result<Self, ConfigError> {
        let fields = node.fields(FIELDS)?;
        let default = Self::default();
        Ok(Self {
            pull_policy: fields.read_or("pull_policy", None, PullPolicy::read)?,
            pull_secret: fields.read_or("pull_secret", None, |node| PullSecret::read(node).map(Some))?,
            credential_helpers: fields.read_or("credential_helpers", Vec::new(), |node| {
                node.elements()?.map(|element| helper(&element)).collect()
            })?,
            verification_key: fields
                .read_or("verification_key", None, |node| VerificationKey::read(node).map(Some))?,
            ca_file: fields.read_or("ca_file", None, |node| {
                Ok(Some(node.file_path("the path of a file of certificates (PEM)")?.into()))
            })?,
            insecure_registries: fields.read_or("insecure_registries", Vec::new(), |node| {
                node.elements()?.map(|element| host(&element)).collect()
            })?,
            allowed_addresses: fields.read_or("allowed_addresses", Vec::new(), |node| {
                node.elements()?.map(|element| network(&element)).collect()
            })?,
            timeout: fields.read_or("timeout", default.timeout, |node| node.duration(TIMEOUT))?,
            try_timeout: fields.read_or("try_timeout", default.try_timeout, |node| node.duration(TIMEOUT))?,
            max_bytes: fields.read_or("max_bytes", default.max_bytes, |node| node.integer(BYTES))?,
            max_redirects: fields
                .read_or("max_redirects", default.max_redirects, |node| node.integer(REDIRECTS))?,
            retries: fields.read_or("retries", default.retries, Retries::read)?,
        })
    }

    /// Takes what Istio's control plane hands over to its agent among the variables of a VM. They are not the plugin's
    /// business. What stands in `graft.source` counts before them.
    pub(super) fn take_over(&mut self, environment: &mut Environment) {
        if let Some(text) = environment.key_values.remove("ISTIO_META_WASM_IMAGE_PULL_SECRET") {
            self.pull_secret.get_or_insert_with(|| PullSecret::Inline(Secret::new(text)));
        }
        if let Some(text) = environment.key_values.remove("ISTIO_META_WASM_IMAGE_PULL_POLICY") {
            self.pull_policy = self.pull_policy.or_else(|| PullPolicy::of(&text));
        }
        // It has Istio's agent ask again for what moves. Here that is asked for with each load, and by `poll_interval`.
        environment.key_values.remove("ISTIO_META_WASM_PLUGIN_RESOURCE_VERSION");
    }

    /// Whoever asks for signed code must not be given code that nobody could have signed.
    pub(super) fn check(&self, code: &Code, node: &Node<'_>) -> Result<(), ConfigError> {
        let is_image = matches!(code, Code::Remote(remote) if matches!(remote.place, Place::Image(_)));
        if self.verification_key.is_none() || is_image {
            return Ok(());
        }
        let mut at = node.location();
        at.path.push_str(if at.path.is_empty() { "" } else { "." });
        at.path.push_str("graft.source.verification_key");
        Err(ConfigError::Unexpected {
            at,
            found: "a key for code that is no image".to_owned(),
            expected: "an image in vm_config.code.oci, since only images have signatures".to_owned(),
        })
    }

    /// When code that is not pinned is asked for, although it is in the cache. Istio's rule: a name that is made to be moved is
    /// asked for. That is a page, and the tag `latest`.
    pub fn pull_policy_of(&self, place: &Place) -> PullPolicy {
        let by_place = match place {
            Place::Image(image) if image.tag() != "latest" => PullPolicy::IfNotPresent,
            Place::Image(_) | Place::Web(_) | Place::File(_) => PullPolicy::Always,
        };
        self.pull_policy.unwrap_or(by_place)
    }

    /// Whether the host may be asked without a certificate that is trusted. The port counts where the list has one.
    pub fn is_insecure(&self, host: &str, port: u16) -> bool {
        self.insecure_registries.iter().any(|listed| {
            listed == "*"
                || listed.eq_ignore_ascii_case(host)
                || listed.eq_ignore_ascii_case(&format!("{host}:{port}"))
        })
    }
}

impl PullPolicy {
    /// What a name says; the one that names no policy leaves it to the place.
    fn read(node: &Node<'_>) -> Result<Option<Self>, ConfigError> {
        let name = node.value().as_str();
        match name.and_then(Self::of) {
            Some(policy) => Ok(Some(policy)),
            None if matches!(name, Some("UNSPECIFIED_POLICY" | "")) => Ok(None),
            None => Err(node.unexpected(POLICY)),
        }
    }

    /// The policy of this name, of ours or of Istio's.
    fn of(text: &str) -> Option<Self> {
        match text {
            "if_not_present" | "IfNotPresent" => Some(Self::IfNotPresent),
            "always" | "Always" => Some(Self::Always),
            _ => None,
        }
    }
}

impl PullSecret {
    fn read(node: &Node<'_>) -> Result<Self, ConfigError> {
        let fields = node.fields(PULL_SECRET_FIELDS)?;
        Ok(match fields.one_of(PULL_SECRET_FIELDS)? {
            ("file", node) => Self::File(node.file_path("the path of a config.json of Docker")?.into()),
            ("environment_variable", node) => Self::Environment(node.variable_name()?.to_owned()),
            (_, node) => {
                Self::Inline(Secret::new(node.clone().secret().filled_string("a config.json of Docker")?))
            }
        })
    }
}

impl VerificationKey {
    fn read(node: &Node<'_>) -> Result<Self, ConfigError> {
        let fields = node.fields(KEY_FIELDS)?;
        Ok(match fields.one_of(KEY_FIELDS)? {
            ("file", node) => Self::File(node.file_path("the path of a file of public keys (PEM)")?.into()),
            (_, node) => {
                let text = node.filled_string("public keys (PEM)")?;
                if !text.contains("-----BEGIN PUBLIC KEY-----") {
                    // Somebody may have put the private key here.
                    return Err(node
                        .clone()
                        .secret()
                        .unexpected("a key that begins with -----BEGIN PUBLIC KEY-----"));
                }
                Self::Inline(text.to_owned())
            }
        })
    }
}

impl Retries {
    fn read(node: &Node<'_>) -> Result<Self, ConfigError> {
        let fields = node.fields(RETRY_FIELDS)?;
        let default = Self::default();
        let base_interval =
            fields.read_or("base_interval", default.base_interval, |node| node.duration(INTERVAL))?;
        let most = default.max_interval.max(base_interval);
        Ok(Self {
            attempts: fields.read_or("attempts", default.attempts, |node| node.integer(ATTEMPTS))?,
            base_interval,
            max_interval: fields
                .read_or("max_interval", most, |node| node.duration(base_interval..=*INTERVAL.end()))?,
        })
    }
}

fn helper(node: &Node<'_>) -> Result<String, ConfigError> {
    let expected = "the name of a credential helper of Docker, such as \"ecr-login\"";
    let name = node.filled_string(expected)?;
    if name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')) {
        return Ok(name.to_owned());
    }
    Err(node.unexpected(expected))
}

fn host(node: &Node<'_>) -> Result<String, ConfigError> {
    let text = node.filled_string(HOST)?;
    if text.contains('@') {
        // A password stands before it.
        return Err(node.clone().secret().unexpected(HOST));
    }
    let is_host = HttpUrl::parse(&format!("https://{text}")).is_some_and(|url| {
        url.uri().path() == "/" && url.uri().query().is_none() && !text.contains(['/', '#'])
    });
    if text == "*" || is_host {
        return Ok(text.to_owned());
    }
    Err(node.unexpected(HOST))
}

fn network(node: &Node<'_>) -> Result<Network, ConfigError> {
    let expected = "an address or a range of addresses, such as \"169.254.0.0/16\"";
    Network::parse(node.filled_string(expected)?).ok_or_else(|| node.unexpected(expected))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::error::Subject;
    use super::super::{ImageReference, RemoteCode};
    use super::*;

    fn read(value: &Value) -> Result<SourceConfig, String> {
        let subject = Subject::Plugin("p".to_owned());
        SourceConfig::read(&Node::root(&subject, value)).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_absent_has_its_default() {
        for value in [json!({}), json!({"retries": {}}), json!({"pull_secret": null})] {
            assert_eq!(read(&value), Ok(SourceConfig::default()), "{value}");
        }
    }

    #[test]
    fn every_field_is_read() {
        let config = read(&json!({
            "pullPolicy": "always",
            "pullSecret": {"file": "/etc/docker/config.json"},
            "credentialHelpers": ["ecr-login"],
            "verificationKey": {"file": "/etc/graft/cosign.pub"},
            "caFile": "/etc/ca.pem",
            "insecureRegistries": ["registry.example:5000", "*"],
            "allowedAddresses": ["169.254.0.0/16"],
            "timeout": "60s",
            "tryTimeout": "20s",
            "maxBytes": 1000,
            "maxRedirects": 0,
            "retries": {"attempts": 2, "baseInterval": "1s", "maxInterval": "2s"},
        }))
        .unwrap();
        let expected = SourceConfig {
            pull_policy: Some(PullPolicy::Always),
            pull_secret: Some(PullSecret::File("/etc/docker/config.json".into())),
            credential_helpers: vec!["ecr-login".to_owned()],
            verification_key: Some(VerificationKey::File("/etc/graft/cosign.pub".into())),
            ca_file: Some("/etc/ca.pem".into()),
            insecure_registries: vec!["registry.example:5000".to_owned(), "*".to_owned()],
            allowed_addresses: vec![Network::parse("169.254.0.0/16").unwrap()],
            timeout: Duration::from_mins(1),
            try_timeout: Duration::from_secs(20),
            max_bytes: 1000,
            max_redirects: 0,
            retries: Retries {
                attempts: 2,
                base_interval: Duration::from_secs(1),
                max_interval: Duration::from_secs(2),
            },
        };
        assert_eq!(config, expected);
    }

    #[test]
    fn policies_have_istios_spellings_and_its_rule_for_what_moves() {
        use PullPolicy::{Always, IfNotPresent};
        let image = |name: &str| Place::Image(ImageReference::parse(name).unwrap());
        let page = Place::Web(HttpUrl::parse("https://a.example/x").unwrap());
        for (policy, of_a_version, of_what_moves) in [
            (json!(null), IfNotPresent, Always),
            (json!("UNSPECIFIED_POLICY"), IfNotPresent, Always),
            (json!("IfNotPresent"), IfNotPresent, IfNotPresent),
            (json!("if_not_present"), IfNotPresent, IfNotPresent),
            (json!("Always"), Always, Always),
        ] {
            let config = read(&json!({"pull_policy": policy})).unwrap();
            assert_eq!(config.pull_policy_of(&image("a/b:1.0")), of_a_version, "{policy}");
            for place in [&image("a/b:latest"), &image("a/b"), &page] {
                assert_eq!(config.pull_policy_of(place), of_what_moves, "{policy} {place:?}");
            }
        }
    }

    #[test]
    fn wrong_values_say_what_is_wrong_and_quote_no_secret() {
        for (value, expected) in [
            (
                json!({"pull_policy": "never"}),
                "pull_policy: the string \"never\", expected one of if_not_present, always",
            ),
            (
                json!({"pull_secret": {}}),
                "pull_secret: missing, expected one of file, environment_variable, inline",
            ),
            (
                json!({"pull_secret": {"inline": {"auths": "hunter2"}}}),
                "pull_secret.inline: an object, expected a config.json of Docker",
            ),
            (
                json!({"pull_secret": "hunter2"}),
                "pull_secret: a string that is not quoted here, expected an object",
            ),
            (
                json!({"pull_secret": {"file": "{\"auths\": {}}"}}),
                "pull_secret.file: a string that is not quoted here, expected the path of a config.json of Docker",
            ),
            (
                json!({"pull_secret": {"environment_variable": "{\"auths\": {}}"}}),
                "pull_secret.environment_variable: a string that is not quoted here, expected the name of an \
                 environment variable",
            ),
            (
                json!({"credential_helpers": ["../x"]}),
                "credential_helpers[0]: the string \"../x\", expected the name of a credential helper of Docker, such \
                 as \"ecr-login\"",
            ),
            (
                json!({"verification_key": {"inline": "-----BEGIN PRIVATE KEY-----hunter2"}}),
                "verification_key.inline: a string that is not quoted here, expected a key that begins with \
                 -----BEGIN PUBLIC KEY-----",
            ),
            (
                json!({"insecure_registries": ["http://x"]}),
                "insecure_registries[0]: the string \"http://x\", expected a host with or without a port, such as \
                 \"registry.example:5000\", or \"*\"",
            ),
            (
                json!({"insecure_registries": ["u:hunter2@x"]}),
                "insecure_registries[0]: a string that is not quoted here, expected a host with or without a port, \
                 such as \"registry.example:5000\", or \"*\"",
            ),
            (
                json!({"allowed_addresses": ["all"]}),
                "allowed_addresses[0]: the string \"all\", expected an address or a range of addresses, such as \
                 \"169.254.0.0/16\"",
            ),
            (
                json!({"retries": {"base_interval": "2s", "max_interval": "1s"}}),
                "retries.max_interval: the string \"1s\", expected seconds such as \"1.5s\", from \"2s\" to \"3600s\"",
            ),
            (json!({"max_bytes": 0}), "max_bytes: the number 0, expected an integer from 1 to 1073741824"),
        ] {
            assert_eq!(read(&value).unwrap_err(), format!("plugin \"p\": {expected}"));
        }
        let config = read(&json!({"pull_secret": {"inline": "{\"auths\":\"hunter2\"}"}})).unwrap();
        assert!(!format!("{config:?}").contains("hunter2"), "{config:?}");
    }

    #[test]
    fn what_istio_hands_over_is_taken_and_the_plugin_does_not_see_it() {
        let mut environment = Environment::default();
        for (name, value) in [
            ("ISTIO_META_WASM_IMAGE_PULL_SECRET", "hunter2"),
            ("ISTIO_META_WASM_IMAGE_PULL_POLICY", "Always"),
            ("ISTIO_META_WASM_PLUGIN_RESOURCE_VERSION", "7"),
            ("OTHER", "x"),
        ] {
            environment.key_values.insert(name.to_owned(), value.to_owned());
        }
        let mut all = environment.clone();
        let mut config = SourceConfig::default();
        config.take_over(&mut environment);
        assert_eq!(config.pull_secret, Some(PullSecret::Inline(Secret::new("hunter2"))));
        assert_eq!(config.pull_policy, Some(PullPolicy::Always));
        assert_eq!(environment.key_values.keys().collect::<Vec<_>>(), ["OTHER"]);

        let own = Some(PullSecret::Environment("AUTH".to_owned()));
        let mut config = SourceConfig { pull_secret: own.clone(), ..SourceConfig::default() };
        config.take_over(&mut all);
        assert_eq!(config.pull_secret, own);
        assert_eq!(all.key_values.len(), 1);
    }

    #[test]
    fn a_key_for_code_that_nobody_signs_is_refused() {
        let config = read(&json!({"verification_key": {"file": "/k"}})).unwrap();
        let subject = Subject::Plugin("p".to_owned());
        let value = json!({});
        let root = Node::root(&subject, &value);
        let image = Place::Image(ImageReference::parse("a/b").unwrap());
        assert_eq!(config.check(&Code::Remote(Box::new(RemoteCode::new(image))), &root), Ok(()));
        let web = Place::Web(HttpUrl::parse("https://a.example/x").unwrap());
        for code in [Code::Inline(Vec::new()), Code::Remote(Box::new(RemoteCode::new(web)))] {
            assert_eq!(
                config.check(&code, &root).unwrap_err().to_string(),
                "plugin \"p\": graft.source.verification_key: a key for code that is no image, expected an image in \
                 vm_config.code.oci, since only images have signatures"
            );
        }
    }

    #[test]
    fn insecure_hosts_are_listed_with_or_without_their_port() {
        let config = |hosts: &[&str]| read(&json!({"insecure_registries": hosts})).unwrap();
        assert!(config(&["a.example"]).is_insecure("A.example", 5000));
        assert!(config(&["a.example:5000"]).is_insecure("a.example", 5000));
        assert!(!config(&["a.example:5000"]).is_insecure("a.example", 443));
        assert!(config(&["*"]).is_insecure("b.example", 443));
        assert!(!config(&[]).is_insecure("a.example", 443));
    }
}
