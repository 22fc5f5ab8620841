//! Under what is known of a source lies on the shelf.
//!
//! A record is found without a question to anybody, so all that the source would have asked for is part of its name: who comes
//! with the same pull secret, the same password, the same idea of which servers are to be believed, and of who must have signed,
//! as the one who fetched it. Whoever differs in one of these neither finds the record nor overwrites it.

use sha2::{Digest as _, Sha256};

use super::signature::Keys;
use crate::config::{Digest, HttpUrl, ImageReference, PullSecret, SourceConfig};

/// Under what a record lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Name([u8; 32]);

impl Name {
    /// The name of something, for those who have this pull secret, verified by the key with this fingerprint.
    pub(super) fn new(kind: &str, what: &str, config: &SourceConfig, key: Option<Digest>) -> Self {
        let mut hash = Sha256::new();
        let (form, value) = match &config.pull_secret {
            None => ("", String::new()),
            // Their contents may change: whoever may name the file has the right that its contents give.
            Some(PullSecret::File(path)) => ("file", path.to_string_lossy().into_owned()),
            Some(PullSecret::Environment(name)) => ("environment", name.clone()),
            Some(PullSecret::Inline(secret)) => ("inline", secret.expose().to_owned()),
        };
        let key = key.map(|key| key.to_string()).unwrap_or_default();
        for part in [kind, what, form, &value, &key] {
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    /// What an address leads to.
    pub(super) fn of_page(url: &HttpUrl, config: &SourceConfig) -> Self {
        Self::new("web", &format!("{}{}", trust(config), address(url)), config, None)
    }

    /// The code with a digest, which an address led to.
    pub(super) fn of_pinned_page(url: &HttpUrl, digest: Digest, config: &SourceConfig) -> Self {
        Self::new("web", &format!("{}\n{digest}", address(url)), config, None)
    }

    /// What a tag leads to.
    pub(super) fn of_tag(image: &ImageReference, config: &SourceConfig, key: Option<Digest>) -> Self {
        let what = format!("{}{}/{}:{}", trust(config), image.registry(), image.repository(), image.tag());
        Self::new("image", &what, config, key)
    }

    /// The image with a digest.
    pub(super) fn of_image(
        image: &ImageReference,
        digest: Digest,
        config: &SourceConfig,
        key: Option<Digest>,
    ) -> Self {
        Self::new("image", &format!("{}/{}@{digest}", image.registry(), image.repository()), config, key)
    }

    /// The key on the shelf.
    pub(super) fn key(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The names under which something may lie for those who want it signed by one of these keys: one for each, so a key that is
/// added takes nothing away. Without keys it is the one that says nothing of a signature.
pub(super) fn by_key<T>(keys: Option<&Keys>, name: impl Fn(Option<Digest>) -> T) -> Vec<T> {
    match keys {
        Some(keys) => keys.fingerprints().map(|key| name(Some(key))).collect(),
        None => vec![name(None)],
    }
}

/// Which servers were believed. What a name led to is whatever they said, so it is for those alone who believe the same; a
/// digest needs no belief.
fn trust(config: &SourceConfig) -> String {
    format!("{:?}\n{:?}\n", config.ca_file, config.insecure_registries)
}

/// An address with all of its secrets.
fn address(url: &HttpUrl) -> String {
    let authorization = url.authorization().map_or("", |secret| secret.expose());
    format!("{authorization}\n{}", url.uri())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;
    use crate::source::shelf::sha256;

    #[test]
    fn whoever_asks_otherwise_has_another_name() {
        let config = SourceConfig::default();
        let with = |change: fn(&mut SourceConfig)| {
            let mut config = SourceConfig::default();
            change(&mut config);
            config
        };
        let secret = with(|config| config.pull_secret = Some(PullSecret::Inline(Secret::new("x"))));
        let by_file = with(|config| config.pull_secret = Some(PullSecret::File("x".into())));
        let authority = with(|config| config.ca_file = Some("/ca.pem".into()));
        let insecure = with(|config| config.insecure_registries = vec!["a.io".to_owned()]);
        let [one, other] = ["a.io/x:1", "a.io/x:2"].map(|name| ImageReference::parse(name).unwrap());
        let [page, with_password, with_query] = ["https://a.io/x", "https://u:p@a.io/x", "https://a.io/x?t"]
            .map(|url| HttpUrl::parse(url).unwrap());
        let (digest, key) = (sha256(b"x"), Some(sha256(b"key")));
        let names = [
            Name::of_tag(&one, &config, None),
            Name::of_tag(&one, &config, key),
            Name::of_tag(&one, &config, Some(sha256(b"other"))),
            Name::of_tag(&one, &secret, None),
            Name::of_tag(&one, &by_file, None),
            Name::of_tag(&one, &authority, None),
            Name::of_tag(&one, &insecure, None),
            Name::of_tag(&other, &config, None),
            Name::of_image(&one, digest, &config, None),
            Name::of_image(&one, digest, &config, key),
            Name::of_page(&page, &config),
            Name::of_page(&page, &authority),
            Name::of_page(&with_password, &config),
            Name::of_page(&with_query, &config),
            Name::of_pinned_page(&page, digest, &config),
            Name::of_pinned_page(&with_password, digest, &config),
        ];
        for (number, name) in names.iter().enumerate() {
            assert!(!names[..number].contains(name), "{number}");
        }
        // A digest is what it is, whoever was believed.
        assert_eq!(Name::of_image(&one, digest, &config, key), Name::of_image(&one, digest, &insecure, key));
        let pinned = |config: &SourceConfig| Name::of_pinned_page(&page, digest, config);
        assert_eq!(pinned(&config), pinned(&authority));
    }
}
