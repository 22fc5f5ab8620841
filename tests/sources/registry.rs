//! An OCI registry on loopback, made of what is put into it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use graft::config::PluginConfig;
use serde_json::{Value, json};

use crate::server::{Reply, Request, Server, Tls};
use crate::world::{plugin, sha256};

pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// What is asked before a request is answered.
pub type Gate = Box<dyn Fn(&Request) -> Option<Reply> + Send + Sync>;

/// The contents of the repository `acme/auth`, by what follows its name in a path.
#[derive(Clone, Default)]
pub struct Contents(Arc<Mutex<Kept>>);

/// Type and bytes.
type Kept = HashMap<String, (String, Vec<u8>)>;

impl Contents {
    pub fn put(&self, path: &str, content_type: &str, bytes: impl Into<Vec<u8>>) {
        self.0.lock().unwrap().insert(path.to_owned(), (content_type.to_owned(), bytes.into()));
    }

    /// Keeps a blob; its descriptor.
    pub fn blob(&self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = format!("sha256:{}", sha256(bytes));
        self.put(&format!("blobs/{digest}"), "application/octet-stream", bytes);
        json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
    }

    /// Keeps a manifest by its digest and a tag; its digest.
    pub fn manifest(&self, tag: &str, manifest: &Value) -> String {
        let bytes = manifest.to_string().into_bytes();
        let digest = sha256(&bytes);
        let media_type = manifest["mediaType"].as_str().unwrap_or(OCI_MANIFEST).to_owned();
        self.put(&format!("manifests/{tag}"), &media_type, bytes.clone());
        self.put(&format!("manifests/sha256:{digest}"), &media_type, bytes);
        digest
    }

    /// Keeps an image of one layer of the type `application/wasm`; its digest.
    pub fn artifact(&self, tag: &str, wasm: &[u8]) -> String {
        let layer = self.blob("application/wasm", wasm);
        self.image(tag, &[layer])
    }

    /// Keeps an image of these layers; its digest.
    pub fn image(&self, tag: &str, layers: &[Value]) -> String {
        let config = self.blob("application/vnd.oci.empty.v1+json", b"{}");
        self.manifest(
            tag,
            &json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers}),
        )
    }

    pub fn remove(&self, path: &str) {
        self.0.lock().unwrap().remove(path);
    }

    pub fn answer(&self, request: &Request) -> Reply {
        let path = request.path.split('?').next().unwrap();
        if path == "/v2/" {
            return Reply::ok(*b"{}");
        }
        let path = path.strip_prefix("/v2/acme/auth/").unwrap_or("");
        let contents = self.0.lock().unwrap();
        let Some((content_type, bytes)) = contents.get(path) else { return Reply::status(404) };
        let reply = Reply::ok(bytes.clone()).with("content-type", content_type);
        if path.starts_with("manifests/") {
            return reply.with("docker-content-digest", format!("sha256:{}", sha256(bytes)));
        }
        reply
    }
}

pub struct Registry {
    pub contents: Contents,
    pub server: Server,
}

impl Registry {
    pub fn new() -> Self {
        Self::guarded(Box::new(|_| None))
    }

    /// A registry that lets not everybody in.
    pub fn guarded(gate: Gate) -> Self {
        let contents = Contents::default();
        let own = contents.clone();
        let server = Server::start(move |request| gate(request).unwrap_or_else(|| own.answer(request)));
        Self { contents, server }
    }

    /// A registry that speaks TLS.
    pub fn secure(tls: &Tls) -> Self {
        let contents = Contents::default();
        let own = contents.clone();
        Self { contents, server: Server::start_tls(tls, move |request| own.answer(request)) }
    }

    /// A registry without TLS, which takes the beginning of TLS for that of a request and waits for the end.
    pub fn patient() -> Self {
        let contents = Contents::default();
        let own = contents.clone();
        Self { contents, server: Server::start_patient(move |request| own.answer(request)) }
    }

    /// The plugin in the image with this tag or digest.
    pub fn plugin(&self, reference: &str, source: &Value) -> PluginConfig {
        let mut all = json!({"insecure_registries": [self.server.host()], "retries": {"attempts": 1}});
        all.as_object_mut().unwrap().extend(source.as_object().unwrap().clone());
        let joint = if reference.starts_with("sha256:") { '@' } else { ':' };
        plugin(&json!({"oci": format!("{}/acme/auth{joint}{reference}", self.server.host())}), &all)
    }

    /// What was asked for, without the question whether TLS is spoken.
    pub fn log(&self) -> Vec<String> {
        let requests = self.server.log();
        requests.iter().map(|line| line.replace("/v2/acme/auth/", "")).collect()
    }
}
