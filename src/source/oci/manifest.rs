//! What a registry says about an image, and where in it the Wasm is.

use std::fmt;

use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::ImageError;
use crate::config::Digest;

/// The types of manifests that are asked for.
pub(super) const ACCEPTED: &str = "application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json";

const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const INDEXES: [&str; 2] =
    ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];
const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
const OCI_LAYERS: [&str; 2] =
    ["application/vnd.oci.image.layer.v1.tar+gzip", "application/vnd.oci.image.layer.v1.tar"];
const MODULE_LAYER: &str = "application/vnd.module.wasm.content.layer.v1+wasm";
/// Of the CNCF's Wasm artifacts, now and before; and what `oras push` and others write into the layer.
const ARTIFACT_LAYERS: [&str; 3] =
    ["application/wasm", "application/vnd.wasm.content.layer.v1+wasm", MODULE_LAYER];

/// Most entries of a manifest: a registry could otherwise have us keep many times the bytes that it sends.
const MOST_ENTRIES: usize = 4096;
/// What is attached to an image and is none: signatures, and what says how it was built or what is in it.
const ATTACHED: [&str; 6] = [
    "application/vnd.dev.sigstore.bundle",
    "application/vnd.dev.cosign.",
    "application/vnd.cncf.notary.",
    "application/vnd.in-toto",
    "application/spdx",
    "application/vnd.cyclonedx",
];

/// Something that a manifest names.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::source) struct Descriptor {
    #[serde(default)]
    pub(in crate::source) media_type: String,
    digest: String,
    pub(in crate::source) size: u64,
    #[serde(default)]
    platform: Option<Platform>,
    #[serde(default)]
    pub(in crate::source) artifact_type: Option<String>,
    #[serde(default)]
    annotations: Option<Annotations>,
}

/// The annotations that somebody here looks at. What else there is is not kept.
#[derive(Debug, Clone, Deserialize)]
struct Annotations {
    /// Of the payload that is this layer, by cosign 2.
    #[serde(default, rename = "dev.cosignproject.cosign/signature")]
    signature: Option<String>,
    /// What is said in the bundle that this leads to, by cosign 3.
    #[serde(default, rename = "dev.sigstore.bundle.predicateType")]
    predicate: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
struct Platform {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
}

/// A manifest of either kind, as it is written.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    #[serde(default)]
    schema_version: u32,
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    layers: Option<Entries>,
    #[serde(default)]
    manifests: Option<Entries>,
}

/// The first [`MOST_ENTRIES`], and whether there are more.
#[derive(Default)]
struct Entries {
    kept: Vec<Descriptor>,
    has_more: bool,
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of descriptors")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Entries, A::Error> {
                let mut entries = Entries::default();
                while entries.kept.len() < MOST_ENTRIES {
                    match list.next_element()? {
                        Some(entry) => entries.kept.push(entry),
                        None => return Ok(entries),
                    }
                }
                while list.next_element::<IgnoredAny>()?.is_some() {
                    entries.has_more = true;
                }
                Ok(entries)
            }
        }

        deserializer.deserialize_seq(Reader)
    }
}

/// A manifest.
#[derive(Debug)]
pub(in crate::source) enum Manifest {
    /// Of an image.
    Image {
        /// Docker's own format.
        is_docker: bool,
        layers: Vec<Descriptor>,
    },
    /// Of several images.
    Index { manifests: Vec<Descriptor> },
}

impl Descriptor {
    /// The signature of what it names, as base64.
    pub(in crate::source) fn signature(&self) -> Option<&str> {
        self.annotations.as_ref()?.signature.as_deref()
    }

    /// What is said in the bundle that it leads to.
    pub(in crate::source) fn predicate(&self) -> Option<&str> {
        self.annotations.as_ref()?.predicate.as_deref()
    }

    /// The digest, if it is of the one kind that is used.
    pub(in crate::source) fn digest(&self, image: &str) -> Result<Digest, ImageError> {
        Digest::parse_named(&self.digest).ok_or_else(|| ImageError::Manifest {
            image: image.to_owned(),
            problem: format!("names {:?}, which is no SHA-256", short(&self.digest)),
        })
    }
}

impl Manifest {
    /// Reads a manifest; the content type counts where it does not say itself what it is.
    pub(in crate::source) fn parse(
        bytes: &[u8],
        content_type: Option<&str>,
        image: &str,
    ) -> Result<Self, ImageError> {
        let wrong =
            |problem: &str| ImageError::Manifest { image: image.to_owned(), problem: problem.to_owned() };
        let document: Document = serde_json::from_slice(bytes).map_err(|error| {
            wrong(&format!("cannot be read (line {}, column {})", error.line(), error.column()))
        })?;
        if document.schema_version != 2 {
            return Err(wrong(&format!("is of version {}", document.schema_version)));
        }
        let content_type = content_type.map(|text| text.split(';').next().unwrap_or_default().trim());
        let media_type = document.media_type.as_deref().or(content_type).unwrap_or_default();
        let whole = |entries: Entries| {
            if entries.has_more {
                return Err(wrong(&format!("has more than {MOST_ENTRIES} entries")));
            }
            Ok(entries.kept)
        };
        match (document.layers, document.manifests) {
            (Some(layers), None) => {
                Ok(Self::Image { is_docker: media_type == DOCKER_MANIFEST, layers: whole(layers)? })
            }
            (None, Some(manifests)) => Ok(Self::Index { manifests: whole(manifests)? }),
            // Registries in Go write an empty list as null.
            (None, None) if INDEXES.contains(&media_type) => Ok(Self::Index { manifests: Vec::new() }),
            // What one client takes for an image and another one for an index could be signed as one and run as the other.
            (Some(_), Some(_)) => Err(wrong("is both of an image and an index")),
            (None, None) => Err(wrong("has neither layers nor manifests")),
        }
    }
}

/// The image for Wasm in an index: by its platform, or the only one, or that for Linux on amd64, which is what Istio takes.
pub(super) fn for_wasm(manifests: &[Descriptor]) -> Option<&Descriptor> {
    let is_wasm =
        |platform: &Platform| platform.architecture.starts_with("wasm") || platform.os.starts_with("wasi");
    let is_default = |platform: &Platform| platform.architecture == "amd64" && platform.os == "linux";
    let is_attached = |descriptor: &Descriptor| {
        let kind = descriptor.artifact_type.as_deref().unwrap_or_default();
        // What a build tool puts beside an image to describe it says that it is for no platform.
        ATTACHED.iter().any(|attached| kind.starts_with(attached))
            || descriptor.platform.as_ref().is_some_and(|platform| platform.os == "unknown")
    };
    let images: Vec<&Descriptor> = manifests.iter().filter(|descriptor| !is_attached(descriptor)).collect();
    if let [only] = images.as_slice() {
        return Some(only);
    }
    let mut for_each = images.iter().copied();
    let for_wasm = for_each.clone().find(|image| image.platform.as_ref().is_some_and(is_wasm));
    // One that does not say what it is for is for that, too.
    for_wasm.or_else(|| for_each.find(|image| image.platform.as_ref().is_none_or(is_default)))
}

/// Where in an image the Wasm may be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Layout<'a> {
    /// The file `plugin.wasm` in this archive.
    Archive(&'a Descriptor),
    /// This, as it is.
    Raw(&'a Descriptor),
}

impl<'a> Layout<'a> {
    /// The places in which the Wasm may be, of which the first counts that has it: those of the three forms that Istio takes,
    /// in its order, and that of the CNCF's artifacts. Never none.
    pub(super) fn candidates(
        is_docker: bool,
        layers: &'a [Descriptor],
        image: &str,
    ) -> Result<Vec<Self>, ImageError> {
        let last = layers.last();
        let last_type = last.map_or("none", |layer| layer.media_type.as_str());
        let failed = |problems: String| ImageError::Layout { image: image.to_owned(), problems };
        if is_docker {
            return match last {
                Some(layer) if layer.media_type == DOCKER_LAYER => Ok(vec![Self::Archive(layer)]),
                Some(_) | None => Err(failed(format!(
                    "as an image of Docker, the last layer is of the type {:?}, not {DOCKER_LAYER}",
                    short(last_type)
                ))),
            };
        }
        let archive = last.filter(|layer| OCI_LAYERS.contains(&layer.media_type.as_str()));
        let raw = match layers {
            [layer] => Some(layer).filter(|layer| ARTIFACT_LAYERS.contains(&layer.media_type.as_str())),
            [_, _] => layers.iter().find(|layer| layer.media_type == MODULE_LAYER),
            _ => None,
        };
        let found: Vec<Self> = archive.map(Self::Archive).into_iter().chain(raw.map(Self::Raw)).collect();
        if found.is_empty() {
            return Err(failed(format!(
                "as an image with an archive, the last layer is of the type {:?}, not {}; as a module with its \
                 configuration, there are {} layers, not two of which one is {MODULE_LAYER}; as a Wasm artifact, there \
                 is no single layer application/wasm",
                short(last_type),
                OCI_LAYERS[0],
                layers.len()
            )));
        }
        Ok(found)
    }
}

/// The start of what a registry wrote.
fn short(text: &str) -> String {
    text.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(types: &[&str]) -> Vec<Descriptor> {
        let layer = |(number, media_type): (usize, &&str)| Descriptor {
            media_type: (*media_type).to_owned(),
            digest: format!("sha256:{number:064}"),
            size: 1,
            platform: None,
            artifact_type: None,
            annotations: None,
        };
        types.iter().enumerate().map(layer).collect()
    }

    fn layout(is_docker: bool, types: &[&str]) -> Result<String, String> {
        let layers = layers(types);
        let number = |layer: &Descriptor| layer.digest.chars().last().unwrap();
        let shown = |candidate: &Layout<'_>| match candidate {
            Layout::Archive(layer) => format!("archive {}", number(layer)),
            Layout::Raw(layer) => format!("raw {}", number(layer)),
        };
        Layout::candidates(is_docker, &layers, "a.io/x:1")
            .map(|found| found.iter().map(shown).collect::<Vec<_>>().join(", "))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_forms_of_istio_and_the_artifact_are_found() {
        for (is_docker, types, expected) in [
            (true, &[DOCKER_LAYER, DOCKER_LAYER][..], "archive 1"),
            (false, &[OCI_LAYERS[0]], "archive 0"),
            (false, &["x", OCI_LAYERS[1]], "archive 1"),
            (false, &["application/vnd.module.wasm.config.v1+json", MODULE_LAYER], "raw 1"),
            (false, &[MODULE_LAYER, "x"], "raw 0"),
            (false, &[MODULE_LAYER, OCI_LAYERS[0]], "archive 1, raw 0"),
            (false, &["application/wasm"], "raw 0"),
            (false, &[ARTIFACT_LAYERS[1]], "raw 0"),
        ] {
            assert_eq!(layout(is_docker, types).unwrap(), expected, "{types:?}");
        }
    }

    #[test]
    fn what_is_missing_for_each_form_is_said() {
        let error = layout(false, &["a", "b", "c"]).unwrap_err();
        for part in
            ["a.io/x:1 has no Wasm", "\"c\"", "there are 3 layers", "no single layer application/wasm"]
        {
            assert!(error.contains(part), "{error}");
        }
        assert!(layout(true, &[]).unwrap_err().contains("the type \"none\""));
        assert!(layout(true, &["application/wasm"]).is_err());
        assert!(layout(false, &[MODULE_LAYER, "x", "y"]).is_err());
    }

    fn index(platforms: &[&str]) -> Option<String> {
        let entries: Vec<String> = platforms
            .iter()
            .enumerate()
            .map(|(number, platform)| format!(r#"{{"digest": "{number}", "size": 1{platform}}}"#))
            .collect();
        let text = format!(r#"{{"schemaVersion": 2, "manifests": [{}]}}"#, entries.join(","));
        match Manifest::parse(text.as_bytes(), None, "a.io/x").unwrap() {
            Manifest::Index { manifests } => for_wasm(&manifests).map(|found| found.digest.clone()),
            Manifest::Image { .. } => panic!("an index"),
        }
    }

    #[test]
    fn the_image_for_wasm_is_chosen_or_the_only_one() {
        let linux = r#", "platform": {"os": "linux", "architecture": "amd64"}"#;
        let wasi = r#", "platform": {"os": "wasip1", "architecture": "wasm"}"#;
        let unknown = r#", "platform": {"os": "unknown", "architecture": "unknown"}"#;
        assert_eq!(index(&[linux, wasi]).as_deref(), Some("1"));
        assert_eq!(index(&[""]).as_deref(), Some("0"));
        assert_eq!(index(&[linux, unknown]).as_deref(), Some("0"));
        let arm = r#", "platform": {"os": "linux", "architecture": "arm64"}"#;
        assert_eq!(index(&[arm, linux, linux]).as_deref(), Some("1"), "as Istio takes it");
        assert_eq!(index(&[arm, linux, wasi]).as_deref(), Some("2"));
        assert_eq!(index(&[arm, ""]).as_deref(), Some("1"));
        assert_eq!(index(&[arm]).as_deref(), Some("0"));
        assert_eq!(index(&[arm, arm]), None);
        assert_eq!(index(&[]), None);
    }

    #[test]
    fn a_list_that_is_null_is_empty() {
        for (text, content_type) in [
            (r#"{"schemaVersion": 2, "manifests": null}"#, Some(INDEXES[0])),
            (
                r#"{"schemaVersion": 2, "manifests": null, "mediaType": "application/vnd.oci.image.index.v1+json"}"#,
                None,
            ),
        ] {
            let parsed = Manifest::parse(text.as_bytes(), content_type, "a.io/x").unwrap();
            assert!(matches!(parsed, Manifest::Index { manifests } if manifests.is_empty()), "{text}");
        }
    }

    #[test]
    fn what_is_attached_to_an_image_is_none_and_an_artifact_is_one() {
        let artifact = r#", "artifactType": "application/vnd.wasm.config.v0+json""#;
        for kind in [
            "application/vnd.dev.sigstore.bundle.v0.3+json",
            "application/vnd.dev.cosign.artifact.sig.v1+json",
            "application/vnd.cncf.notary.signature",
            "application/vnd.in-toto+json",
            "application/spdx+json",
        ] {
            let attached = format!(r#", "artifactType": "{kind}""#);
            assert_eq!(index(&[&attached, artifact]).as_deref(), Some("1"), "{kind}");
        }
        assert_eq!(index(&[artifact]).as_deref(), Some("0"));
    }

    #[test]
    fn a_manifest_has_a_bounded_number_of_entries_and_keeps_what_is_looked_at() {
        let entry = r#"{"digest": "0", "size": 1, "annotations": {"a": "b", "dev.cosignproject.cosign/signature": "s"}}"#;
        let read = |count: usize| {
            let text = format!(r#"{{"schemaVersion": 2, "layers": [{}]}}"#, vec![entry; count].join(","));
            Manifest::parse(text.as_bytes(), None, "a.io/x").map_err(|error| error.to_string())
        };
        let Ok(Manifest::Image { layers, .. }) = read(MOST_ENTRIES) else { panic!("an image") };
        assert_eq!(
            (layers.len(), layers[0].signature(), layers[0].predicate()),
            (MOST_ENTRIES, Some("s"), None)
        );
        let error = read(MOST_ENTRIES + 1).unwrap_err();
        assert!(error.contains("has more than 4096 entries"), "{error}");
    }

    #[test]
    fn what_is_no_manifest_is_refused() {
        for (text, expected) in [
            ("", "cannot be read (line 1, column 0)"),
            ("[[]]", "cannot be read"),
            ("{}", "is of version 0"),
            (r#"{"schemaVersion": 1}"#, "is of version 1"),
            (r#"{"schemaVersion": 2}"#, "has neither layers nor manifests"),
            (r#"{"schemaVersion": 2, "layers": [], "manifests": []}"#, "is both of an image and an index"),
            (r#"{"schemaVersion": 2, "layers": [{"size": -1}]}"#, "cannot be read"),
        ] {
            let error = Manifest::parse(text.as_bytes(), None, "a.io/x").unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let twice = format!("sha256:sha256:{}", "0".repeat(64));
        for digest in ["sha512:00", "sha256:00", &"0".repeat(64), &twice] {
            let mut descriptor = layers(&["x"]).remove(0);
            descriptor.digest = digest.to_owned();
            assert!(descriptor.digest("a.io/x").is_err(), "{digest}");
        }
    }
}
