//! Code that is fetched: Envoy's `RemoteDataSource`, read as Istio reads it, and `oci`, which is ours.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::digest::Digest;
use super::error::ConfigError;
use super::image::ImageReference;
use super::node::Node;
use super::source::Retries;
use super::url::HttpUrl;

/// The fields of `vm_config.code.remote`.
pub(super) const FIELDS: &[&str] = &["http_uri", "sha256", "retry_policy"];
/// The fields of `vm_config.code.remote.http_uri`.
pub(super) const HTTP_URI_FIELDS: &[&str] = &["uri", "cluster", "timeout"];
/// The fields of `vm_config.code.remote.retry_policy`.
pub(super) const RETRY_FIELDS: &[&str] = &["num_retries", "retry_back_off"];
/// The fields of `vm_config.code.remote.retry_policy.retry_back_off`.
pub(super) const BACK_OFF_FIELDS: &[&str] = &["base_interval", "max_interval"];
/// The fields of `vm_config.code.oci`, where it is no string.
pub(super) const OCI_FIELDS: &[&str] = &["image", "sha256"];

/// Where code is fetched from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Place {
    /// A web server.
    Web(HttpUrl),
    /// An OCI registry.
    Image(ImageReference),
    /// A file, by an address of the scheme `file`.
    File(PathBuf),
}

/// Code that is fetched, and what is said of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RemoteCode {
    /// Where it is.
    pub place: Place,
    /// Of an image: the digest of its manifest. Else: of the Wasm file, unpacked.
    pub sha256: Option<Digest>,
    /// How long the whole fetch may take, where this code says so itself.
    pub timeout: Option<Duration>,
    /// How often it is tried, where this code says so itself.
    pub retries: Option<Retries>,
    /// The field that says where it is.
    field: &'static str,
}

/// Envoy's timeout of a fetch; 0 is no time at all.
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_hours(24);
const INTERVAL: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_hours(1);
const WHERE: &str =
    "an address that begins with https://, http://, oci:// or file://, or the name of an image";
const IMAGE: &str = "the name of an image, such as \"ghcr.io/acme/auth:1.0\"";
const SHA256: &str = "a SHA-256 as 64 hexadecimal digits";

impl RemoteCode {
    /// The code at a place, of which nothing else is said.
    pub fn new(place: Place) -> Self {
        Self {
            place,
            sha256: None,
            timeout: None,
            retries: None,
            field: "vm_config.code.remote.http_uri.uri",
        }
    }

    /// The path of the field that says where the code is.
    pub fn path(&self) -> &'static str {
        self.field
    }

    /// The digest that an image's manifest must have, by its name or by its `sha256`.
    pub fn pinned(&self) -> Option<Digest> {
        match &self.place {
            Place::Image(image) => self.sha256.or(image.digest()),
            Place::Web(_) | Place::File(_) => self.sha256,
        }
    }

    pub(super) fn read_remote(node: &Node<'_>) -> Result<Self, ConfigError> {
        let fields = node.fields(FIELDS)?;
        let http_uri = fields.require("http_uri", "an object with the address of the code")?;
        let uri_fields = http_uri.fields(HTTP_URI_FIELDS)?;
        // Code is not fetched by a cluster of Envoy.
        uri_fields.string("cluster")?;
        let uri = uri_fields.require("uri", WHERE)?;
        let code = Self {
            place: place(uri)?,
            sha256: fields.read_or("sha256", None, |node| sha256(node))?,
            timeout: uri_fields.read_or("timeout", None, |node| node.duration(TIMEOUT).map(Some))?,
            retries: fields.read_or("retry_policy", None, |node| retries(node).map(Some))?,
            field: "vm_config.code.remote.http_uri.uri",
        };
        code.check(fields.get("sha256").unwrap_or(node))
    }

    pub(super) fn read_oci(node: &Node<'_>) -> Result<Self, ConfigError> {
        if node.value().is_object() {
            let fields = node.fields(OCI_FIELDS)?;
            let place = image(fields.require("image", IMAGE)?)?;
            let sha256 = fields.read_or("sha256", None, |node| sha256(node))?;
            let code =
                Self { place, sha256, timeout: None, retries: None, field: "vm_config.code.oci.image" };
            return code.check(fields.get("sha256").unwrap_or(node));
        }
        let place = image(node)?;
        Ok(Self { place, sha256: None, timeout: None, retries: None, field: "vm_config.code.oci" })
    }

    /// A digest in the name and another one beside it can never both be right.
    fn check(self, sha256: &Node<'_>) -> Result<Self, ConfigError> {
        if let (Place::Image(image), Some(wanted)) = (&self.place, self.sha256)
            && image.digest().is_some_and(|digest| digest != wanted)
        {
            return Err(sha256.unexpected("the digest that the name of the image has"));
        }
        Ok(self)
    }
}

fn place(node: &Node<'_>) -> Result<Place, ConfigError> {
    // An address may hold a password or a signature.
    let secret = node.clone().secret();
    let text = secret.filled_string(WHERE)?;
    match text.split_once("://") {
        Some((scheme, rest)) => match scheme.to_ascii_lowercase().as_str() {
            "http" | "https" => HttpUrl::parse(text).map(Place::Web).ok_or_else(|| secret.unexpected(WHERE)),
            "oci" => image_named(rest).ok_or_else(|| not_secret(node).unexpected(IMAGE)),
            "file" if !rest.is_empty() => Ok(Place::File(rest.into())),
            _ => Err(secret.unexpected(WHERE)),
        },
        None => image_named(text).ok_or_else(|| not_secret(node).unexpected(WHERE)),
    }
}

fn image(node: &Node<'_>) -> Result<Place, ConfigError> {
    let text = node.filled_string(IMAGE)?;
    let name = match text.get(..6) {
        Some(scheme) if scheme.eq_ignore_ascii_case("oci://") => text.get(6..).unwrap_or_default(),
        Some(_) | None => text,
    };
    image_named(name).ok_or_else(|| not_secret(node).unexpected(IMAGE))
}

fn image_named(name: &str) -> Option<Place> {
    ImageReference::parse(name).map(Place::Image)
}

/// A name that is wrong, and that is quoted if it holds nothing that may be a secret: a user's password before an `@`, a
/// token after a `?`. Only a digest has an `@` before it, too.
fn not_secret<'a>(node: &Node<'a>) -> Node<'a> {
    let text = node.value().as_str().unwrap_or_default();
    let is_plain = match text.split_once('@') {
        Some((_, digest)) => digest.starts_with("sha") && !digest.contains('@'),
        None => true,
    };
    if is_plain && !text.contains('?') { node.clone() } else { node.clone().secret() }
}

/// Envoy's field must not be empty, so Istio writes `nil` where it has none.
fn sha256(node: &Node<'_>) -> Result<Option<Digest>, ConfigError> {
    match node.value().as_str() {
        Some("" | "nil") => Ok(None),
        Some(text) => Digest::parse(text).map(Some).ok_or_else(|| node.unexpected(SHA256)),
        None => Err(node.unexpected(SHA256)),
    }
}

fn retries(node: &Node<'_>) -> Result<Retries, ConfigError> {
    let fields = node.fields(RETRY_FIELDS)?;
    let default = Retries::default();
    let retries = fields.read_or("num_retries", 1, |node| node.integer(0..=100_u32))?;
    let mut read = Retries { attempts: retries.saturating_add(1), ..default };
    if let Some(node) = fields.get("retry_back_off") {
        let fields = node.fields(BACK_OFF_FIELDS)?;
        let base = fields.require("base_interval", "the first interval, such as \"0.5s\"")?;
        read.base_interval = base.duration(INTERVAL)?;
        let most = read.base_interval.saturating_mul(10).min(*INTERVAL.end());
        read.max_interval = fields
            .read_or("max_interval", most, |node| node.duration(read.base_interval..=*INTERVAL.end()))?;
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::error::Subject;
    use super::*;

    fn with(
        value: &Value,
        read: fn(&Node<'_>) -> Result<RemoteCode, ConfigError>,
    ) -> Result<RemoteCode, String> {
        let subject = Subject::Plugin("p".to_owned());
        read(&Node::root(&subject, value)).map_err(|error| error.to_string())
    }

    fn remote(value: &Value) -> Result<RemoteCode, String> {
        with(value, RemoteCode::read_remote)
    }

    fn oci(value: &Value) -> Result<RemoteCode, String> {
        with(value, RemoteCode::read_oci)
    }

    fn shown(code: &RemoteCode) -> String {
        match &code.place {
            Place::Web(url) => format!("web {url}"),
            Place::Image(image) => format!("image {image}"),
            Place::File(path) => format!("file {}", path.display()),
        }
    }

    #[test]
    fn an_address_is_read_as_istio_reads_it() {
        for (uri, expected) in [
            ("https://a.example/x.wasm", "web https://a.example/x.wasm"),
            ("http://a.example/x.wasm", "web http://a.example/x.wasm"),
            ("oci://ghcr.io/acme/auth:1", "image ghcr.io/acme/auth:1"),
            ("ghcr.io/acme/auth:1", "image ghcr.io/acme/auth:1"),
            ("acme/auth", "image docker.io/acme/auth:latest"),
            ("localhost:5000/auth", "image localhost:5000/auth:latest"),
            ("file:///opt/auth.wasm", "file /opt/auth.wasm"),
        ] {
            assert_eq!(shown(&remote(&json!({"http_uri": {"uri": uri}})).unwrap()), expected);
        }
    }

    #[test]
    fn every_field_of_envoys_message_is_read() {
        let digest = "ab".repeat(32);
        let code = remote(&json!({
            "httpUri": {"uri": "https://a.example/x", "cluster": "c", "timeout": "2.5s"},
            "sha256": digest,
            "retryPolicy": {"numRetries": 2, "retryBackOff": {"baseInterval": "1s", "maxInterval": "3s"}},
        }))
        .unwrap();
        assert_eq!(code.sha256.unwrap().to_string(), digest);
        assert_eq!(code.timeout, Some(Duration::from_millis(2500)));
        let (base_interval, max_interval) = (Duration::from_secs(1), Duration::from_secs(3));
        assert_eq!(code.retries, Some(Retries { attempts: 3, base_interval, max_interval }));
        let code = remote(&json!({"http_uri": {"uri": "https://a.example/x"}, "sha256": "nil"})).unwrap();
        assert_eq!((code.sha256, code.timeout, code.retries), (None, None, None));
    }

    #[test]
    fn an_image_is_a_name_or_an_object() {
        let digest = "ab".repeat(32);
        assert_eq!(shown(&oci(&json!("OCI://ghcr.io/acme/auth:1")).unwrap()), "image ghcr.io/acme/auth:1");
        let code = oci(&json!({"image": "ghcr.io/acme/auth:1", "sha256": digest})).unwrap();
        assert_eq!(code.pinned().unwrap().to_string(), digest);
        assert_eq!(code.path(), "vm_config.code.oci.image");
        let code = oci(&json!(format!("ghcr.io/acme/auth@sha256:{digest}"))).unwrap();
        assert_eq!(code.pinned().unwrap().to_string(), digest);
    }

    #[test]
    fn what_is_wrong_is_said_and_no_secret_quoted() {
        let hidden = "a string that is not quoted here";
        for (value, expected) in [
            (json!({}), "http_uri: missing, expected an object with the address of the code".to_owned()),
            (
                json!({"http_uri": "https://user:hunter2@a.example/x"}),
                format!("http_uri: {hidden}, expected an object"),
            ),
            (json!({"http_uri": {}}), format!("http_uri.uri: missing, expected {WHERE}")),
            (
                json!({"http_uri": {"uri": "ftp://user:hunter2@a.example/x"}}),
                format!("http_uri.uri: {hidden}, expected {WHERE}"),
            ),
            (
                json!({"http_uri": {"uri": "https://user:hunter2@/x"}}),
                format!("http_uri.uri: {hidden}, expected {WHERE}"),
            ),
            (
                json!({"http_uri": {"uri": "oci://Ghcr/X"}}),
                format!("http_uri.uri: the string \"oci://Ghcr/X\", expected {IMAGE}"),
            ),
            (
                json!({"http_uri": {"uri": "oci://ghcr.io/x@sha256:12"}}),
                format!("http_uri.uri: the string \"oci://ghcr.io/x@sha256:12\", expected {IMAGE}"),
            ),
            (
                json!({"http_uri": {"uri": "oci://user:hunter2@ghcr.io/x"}}),
                format!("http_uri.uri: {hidden}, expected {IMAGE}"),
            ),
            (
                json!({"http_uri": {"uri": "oci://user:hunter2@ghcr.io/x@sha256:12"}}),
                format!("http_uri.uri: {hidden}, expected {IMAGE}"),
            ),
            (
                json!({"http_uri": {"uri": "oci://ghcr.io/x?token=hunter2"}}),
                format!("http_uri.uri: {hidden}, expected {IMAGE}"),
            ),
            (
                json!({"http_uri": {"uri": "user:hunter2@ghcr.io/x"}}),
                format!("http_uri.uri: {hidden}, expected {WHERE}"),
            ),
            (
                json!({"http_uri": {"uri": "https://a.example/x"}, "sha256": "abc"}),
                "sha256: the string \"abc\", expected a SHA-256 as 64 hexadecimal digits".to_owned(),
            ),
            (
                json!({"http_uri": {"uri": "https://a.example/x"}, "retry_policy": {"retry_back_off": {}}}),
                "retry_policy.retry_back_off.base_interval: missing, expected the first interval, such as \
                 \"0.5s\""
                    .to_owned(),
            ),
        ] {
            assert_eq!(remote(&value).unwrap_err(), format!("plugin \"p\": {expected}"));
        }
        for name in
            ["oci://user:hunter2@ghcr.io/x", "user:hunter2@ghcr.io/x", "https://u:hunter2@a.example/x"]
        {
            for value in [json!(name), json!({"image": name})] {
                let error = oci(&value).unwrap_err();
                assert!(error.contains(hidden) && !error.contains("hunter2"), "{error}");
            }
        }
        let (one, other) = ("ab".repeat(32), "cd".repeat(32));
        let both = json!({"image": format!("a/b@sha256:{one}"), "sha256": other});
        let error = oci(&both).unwrap_err();
        assert!(error.ends_with("expected the digest that the name of the image has"), "{error}");
        assert_eq!(oci(&json!(5)).unwrap_err(), format!("plugin \"p\": the number 5, expected {IMAGE}"));
    }
}
