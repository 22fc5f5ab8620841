//! The name of an image in an OCI registry, as Docker's clients read it.

use std::fmt;

use super::digest::Digest;

/// The registry that a name without one belongs to.
const DOCKER: &str = "docker.io";

/// `registry/repository:tag@digest`. What is not written has been filled in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ImageReference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl ImageReference {
    /// Reads a name, without the scheme `oci://`.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) if digest.starts_with("sha256:") => {
                (name, Some(Digest::parse_named(digest)?))
            }
            Some(_) => return None,
            None => (text, None),
        };
        let last = name.rfind('/').map_or(0, |slash| slash.saturating_add(1));
        let (name, tag) = match name.get(last..)?.find(':') {
            // A name of one part has no registry, so this colon is not that of a port.
            Some(colon) => {
                let (name, tag) = name.split_at_checked(last.saturating_add(colon))?;
                (name, Some(tag.strip_prefix(':')?))
            }
            None => (name, None),
        };
        if !tag.is_none_or(is_tag) {
            return None;
        }
        let (registry, repository) = match name.split_once('/') {
            Some((first, rest)) if first.contains(['.', ':']) || first.eq_ignore_ascii_case("localhost") => {
                (first, rest)
            }
            Some(_) | None => (DOCKER, name),
        };
        // Hosts are; and Docker's own has several names.
        let registry = registry.to_ascii_lowercase();
        let registry = match registry.as_str() {
            "index.docker.io" | "registry-1.docker.io" => DOCKER,
            registry => registry,
        };
        let repository = if registry == DOCKER && !repository.contains('/') {
            format!("library/{repository}")
        } else {
            repository.to_owned()
        };
        if !is_registry(registry) || !is_repository(&repository) {
            return None;
        }
        let tag = tag.map(str::to_owned);
        Some(Self { registry: registry.to_owned(), repository, tag, digest })
    }

    /// The host and, where it is written, the port of the registry. `docker.io` is the name of Docker's.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// Whether the registry is Docker's own.
    pub fn is_docker(&self) -> bool {
        self.registry == DOCKER
    }

    /// The host and the port that answer for the registry.
    pub fn host(&self) -> &str {
        if self.is_docker() { "registry-1.docker.io" } else { &self.registry }
    }

    /// The name of the repository in the registry.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag, which counts where there is no digest: `latest` where none is written.
    pub fn tag(&self) -> &str {
        self.tag.as_deref().unwrap_or("latest")
    }

    /// The digest of the manifest, if the name has one.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }
}

fn is_tag(text: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.len() <= 128
        && text.starts_with(is_word)
        && text.chars().all(|c| is_word(c) || matches!(c, '.' | '-'))
}

fn is_registry(text: &str) -> bool {
    !text.contains('@')
        && super::url::HttpUrl::parse(&format!("https://{text}/")).is_some_and(|url| url.uri().path() == "/")
}

fn is_repository(text: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_part = |part: &str| {
        part.starts_with(is_letter)
            && part.ends_with(is_letter)
            && part.chars().all(|c| is_letter(c) || matches!(c, '.' | '_' | '-'))
            && !part.contains("..")
    };
    text.len() <= 255 && text.split('/').all(is_part)
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if self.tag.is_some() || self.digest.is_none() {
            write!(f, ":{}", self.tag())?;
        }
        if let Some(digest) = self.digest {
            write!(f, "@sha256:{digest}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_completed_as_docker_does() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        for (text, expected) in [
            ("auth", "docker.io/library/auth:latest"),
            ("auth:1", "docker.io/library/auth:1"),
            ("acme/auth", "docker.io/acme/auth:latest"),
            ("index.docker.io/auth", "docker.io/library/auth:latest"),
            ("Index.docker.io/acme/auth", "docker.io/acme/auth:latest"),
            ("Docker.io/auth", "docker.io/library/auth:latest"),
            ("Registry-1.Docker.io/auth:1", "docker.io/library/auth:1"),
            ("LocalHost/auth", "localhost/auth:latest"),
            ("ghcr.io/acme/plugins/auth:v1.2-rc_3", "ghcr.io/acme/plugins/auth:v1.2-rc_3"),
            ("localhost/auth:1", "localhost/auth:1"),
            ("localhost:5000/auth", "localhost:5000/auth:latest"),
            ("127.0.0.1:5000/a/b:1", "127.0.0.1:5000/a/b:1"),
            ("[::1]:5000/auth:1", "[::1]:5000/auth:1"),
            ("GHCR.io/acme/auth:1", "ghcr.io/acme/auth:1"),
            (&format!("ghcr.io/acme/auth@{digest}"), &format!("ghcr.io/acme/auth@{digest}")),
            (&format!("ghcr.io/acme/auth:1@{digest}"), &format!("ghcr.io/acme/auth:1@{digest}")),
        ] {
            let reference = ImageReference::parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(reference.to_string(), expected);
        }
        assert_eq!(ImageReference::parse("auth").unwrap().host(), "registry-1.docker.io");
        assert_eq!(ImageReference::parse("auth").unwrap().tag(), "latest");
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for wrong in [
            "",
            "/",
            "Auth",
            "ghcr.io/",
            "ghcr.io/acme//auth",
            "ghcr.io/acme/auth:",
            "ghcr.io/acme/auth:-x",
            "ghcr.io/acme/auth@sha256:12",
            "ghcr.io/acme/auth@sha512:12",
            "ghcr.io/acme/auth@",
            "ghcr.io/../auth",
            "ghcr.io/acme/auth?x=y",
            "user@ghcr.io/acme/auth",
            "ghcr.io:port/acme/auth",
            "ghcr.io/acme/au th",
            "https://ghcr.io/acme/auth",
        ] {
            assert_eq!(ImageReference::parse(wrong), None, "{wrong}");
        }
    }
}
