//! Images in a registry, each pushed by a client that users push with, in one of the layouts in which plugins are found.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::programs::run;
use super::registry::Registry;

/// How an image holds its plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// A docker manifest, version 2, with one layer `tar.gzip` that holds `plugin.wasm`; by crane.
    Docker,
    /// The same as an OCI image; by crane.
    OciImage,
    /// An artifact of two layers, the code as it is and a runtime configuration, with the media types of Istio's
    /// documentation; by oras.
    Artifact,
    /// An artifact whose single layer is the code as it is, `application/wasm`; by oras.
    SingleLayer,
}

impl Layout {
    pub const ALL: [Self; 4] = [Self::Docker, Self::OciImage, Self::Artifact, Self::SingleLayer];
}

/// An image that was pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Registry and repository: `127.0.0.1:5000/plugins/a`.
    pub repository: String,
    pub tag: String,
    /// Of the manifest: `sha256:…`.
    pub digest: String,
}

impl Image {
    /// The image by its tag, which may move: `127.0.0.1:5000/plugins/a:tag`.
    pub fn reference(&self) -> String {
        format!("{}:{}", self.repository, self.tag)
    }

    /// The image by its digest, which says for good what it is.
    pub fn pinned(&self) -> String {
        format!("{}@{}", self.repository, self.digest)
    }

    /// The hexadecimal digits of the digest, as the setting `sha256` wants them.
    pub fn sha256(&self) -> &str {
        self.digest.trim_start_matches("sha256:")
    }
}

/// Pushes code as an image. `name` is repository and tag, `plugins/a:tag`.
pub fn push(registry: &Registry, layout: Layout, name: &str, code: &[u8]) -> Image {
    let (repository, tag) = name.rsplit_once(':').expect("a name with a tag");
    let repository = format!("{}/{repository}", registry.host());
    let reference = format!("{repository}:{tag}");
    let work = tempfile::tempdir().expect("a temporary folder");
    fs::write(work.path().join("plugin.wasm"), code).expect("writing the code");
    match layout {
        Layout::Docker => append(registry, work.path(), &reference, &[]),
        Layout::OciImage => append(registry, work.path(), &reference, &["--oci-empty-base"]),
        Layout::Artifact => {
            const CONFIGURATION: &str = "runtime-config.json:application/vnd.module.wasm.config.v1+json";
            fs::write(work.path().join("runtime-config.json"), "{}\n").expect("writing the configuration");
            let mut oras = oras(registry, "push", work.path());
            oras.arg(reference).args(["--config", CONFIGURATION]);
            oras.arg("plugin.wasm:application/vnd.module.wasm.content.layer.v1+wasm").arg(CONFIGURATION);
            run(&mut oras);
        }
        Layout::SingleLayer => {
            let mut oras = oras(registry, "push", work.path());
            oras.arg(reference).args(["--artifact-type", "application/vnd.wasm.config.v0+json"]);
            run(oras.arg("plugin.wasm:application/wasm"));
        }
    }
    let digest = digest(registry, &format!("{repository}:{tag}"));
    Image { repository, tag: tag.to_owned(), digest }
}

/// Has a tag say this image, whatever it said before.
pub fn tag(registry: &Registry, image: &Image, tag: &str) -> Image {
    run(registry.client("crane").arg("tag").arg(image.pinned()).arg(tag));
    Image { tag: tag.to_owned(), ..image.clone() }
}

/// The digest of what a reference means now.
pub fn digest(registry: &Registry, reference: &str) -> String {
    run(registry.client("crane").args(["digest", reference]))
}

/// An image out of a layer that holds `plugin.wasm`.
fn append(registry: &Registry, work: &Path, reference: &str, arguments: &[&str]) {
    // The same code is the same image, whenever it is pushed.
    run(Command::new("tar").current_dir(work).args([
        "--create",
        "--file=layer.tar",
        "--mtime=@0",
        "--owner=0",
        "--group=0",
        "plugin.wasm",
    ]));
    let mut crane = registry.client("crane");
    crane
        .current_dir(work)
        .args(["append", "--new_layer", "layer.tar", "--new_tag", reference])
        .args(arguments);
    run(&mut crane);
}

fn oras(registry: &Registry, verb: &str, work: &Path) -> Command {
    let mut oras = registry.client("oras");
    oras.current_dir(work).args([verb, "--no-tty"]);
    match registry.authority() {
        Some(root) => oras.arg("--ca-file").arg(root),
        None => oras.arg("--plain-http"),
    };
    oras
}
