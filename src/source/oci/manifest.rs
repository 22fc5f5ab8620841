//! What a registry says about an image, and where in it the Wasm is.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::ImageError;
use crate::config::Digest;

/// The types of manifests that are asked for.
pub(super) const ACCEPTED: &str = "application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json";

const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
const OCI_LAYERS: [&str; 2] =
    ["application/vnd.oci.image.layer.v1.tar+gzip", "application/vnd.oci.image.layer.v1.tar"];
const MODULE_LAYER: &str = "application/vnd.module.wasm.content.layer.v1+wasm";
/// Of the CNCF's Wasm artifacts, now and before; and what `oras push` and others write into the layer.
const ARTIFACT_LAYERS: [&str; 3] =
    ["application/wasm", "application/vnd.wasm.content.layer.v1+wasm", MODULE_LAYER];

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
    pub(in crate::source) annotations: Option<BTreeMap<String, String>>,
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
    layers: Option<Vec<Descriptor>>,
    #[serde(default)]
    manifests: Option<Vec<Descriptor>>,
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
    /// The digest, if it is of the one kind that is used.
    pub(in crate::source) fn digest(&self, image: &str) -> Result<Digest, ImageError> {
        self.digest.strip_prefix("sha256:").and_then(Digest::parse).ok_or_else(|| ImageError::Manifest {
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
        match (document.layers, document.manifests) {
            (Some(layers), None) => Ok(Self::Image { is_docker: media_type == DOCKER_MANIFEST, layers }),
            (None, Some(manifests)) => Ok(Self::Index { manifests }),
            // What one client takes for an image and another one for an index could be signed as one and run as the other.
            (Some(_), Some(_)) => Err(wrong("is both of an image and an index")),
            (None, None) => Err(wrong("has neither layers nor manifests")),
        }
    }
}

/// The image for Wasm in an index: by its platform, or the only one.
pub(super) fn for_wasm(manifests: &[Descriptor]) -> Option<&Descriptor> {
    let is_wasm = |descriptor: &&Descriptor| {
        descriptor.platform.as_ref().is_some_and(|platform| {
            platform.architecture.starts_with("wasm") || platform.os.starts_with("wasi")
        })
    };
    // What a build tool puts beside an image to describe it says that it is for no platform.
    let is_image = |descriptor: &&Descriptor| {
        descriptor.platform.as_ref().is_none_or(|platform| platform.os != "unknown")
            && descriptor.artifact_type.is_none()
    };
    let mut images = manifests.iter().filter(is_image);
    manifests.iter().find(is_wasm).or_else(|| match (images.next(), images.next()) {
        (Some(only), None) => Some(only),
        (None, _) | (Some(_), Some(_)) => None,
    })
}

/// Where in an image the Wasm is.
#[derive(Debug)]
pub(super) enum Layout<'a> {
    /// The file `plugin.wasm` in this archive.
    Archive(&'a Descriptor),
    /// This, as it is.
    Raw(&'a Descriptor),
}

impl<'a> Layout<'a> {
    /// Finds the Wasm: in the three forms that Istio takes, in its order, and in that of the CNCF's artifacts.
    pub(super) fn of(is_docker: bool, layers: &'a [Descriptor], image: &str) -> Result<Self, ImageError> {
        let last = layers.last();
        let last_type = last.map_or("none", |layer| layer.media_type.as_str());
        let failed = |problems: String| ImageError::Layout { image: image.to_owned(), problems };
        if is_docker {
            return match last {
                Some(layer) if layer.media_type == DOCKER_LAYER => Ok(Self::Archive(layer)),
                Some(_) | None => Err(failed(format!(
                    "as an image of Docker, the last layer is of the type {:?}, not {DOCKER_LAYER}",
                    short(last_type)
                ))),
            };
        }
        if let Some(layer) = last.filter(|layer| OCI_LAYERS.contains(&layer.media_type.as_str())) {
            return Ok(Self::Archive(layer));
        }
        let modules = || layers.iter().find(|layer| layer.media_type == MODULE_LAYER);
        match (layers, modules()) {
            ([layer], _) if ARTIFACT_LAYERS.contains(&layer.media_type.as_str()) => Ok(Self::Raw(layer)),
            ([_, _], Some(layer)) => Ok(Self::Raw(layer)),
            _ => Err(failed(format!(
                "as an image with an archive, the last layer is of the type {:?}, not {}; as a module with its \
                 configuration, there are {} layers, not two of which one is {MODULE_LAYER}; as a Wasm artifact, there \
                 is no single layer application/wasm",
                short(last_type),
                OCI_LAYERS[0],
                layers.len()
            ))),
        }
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
        match Layout::of(is_docker, &layers, "a.io/x:1") {
            Ok(Layout::Archive(layer)) => {
                Ok(format!("archive {}", layer.digest.trim_start_matches("sha256:0")))
            }
            Ok(Layout::Raw(layer)) => Ok(format!("raw {}", &layer.digest[70..])),
            Err(error) => Err(error.to_string()),
        }
        .map(|text| text.replace(&"0".repeat(62), ""))
    }

    #[test]
    fn the_forms_of_istio_and_the_artifact_are_found() {
        for (is_docker, types, expected) in [
            (true, &[DOCKER_LAYER, DOCKER_LAYER][..], "archive 1"),
            (false, &[OCI_LAYERS[0]], "archive 0"),
            (false, &["x", OCI_LAYERS[1]], "archive 1"),
            (false, &["application/vnd.module.wasm.config.v1+json", MODULE_LAYER], "raw 1"),
            (false, &[MODULE_LAYER, "x"], "raw 0"),
            (false, &["application/wasm"], "raw 0"),
            (false, &[ARTIFACT_LAYERS[1]], "raw 0"),
        ] {
            let found = layout(is_docker, types).unwrap();
            assert_eq!(found.chars().next(), expected.chars().next(), "{types:?}");
            assert!(found.ends_with(&expected[expected.len() - 1..]), "{types:?}: {found}");
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
        assert_eq!(index(&[linux, linux]), None);
        assert_eq!(index(&[]), None);
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
        for digest in ["sha512:00", "sha256:00", &"0".repeat(64)] {
            let mut descriptor = layers(&["x"]).remove(0);
            descriptor.digest = digest.to_owned();
            assert!(descriptor.digest("a.io/x").is_err(), "{digest}");
        }
    }
}
