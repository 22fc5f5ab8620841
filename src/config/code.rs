//! Where the code of a plugin comes from: Envoy's `AsyncDataSource`. What must be fetched is in [`remote`](super::remote).

use std::fmt;
use std::path::PathBuf;

use super::error::ConfigError;
use super::node::Node;
use super::remote::{Place, RemoteCode};

/// The fields of `vm_config.code`. `oci` is ours.
pub(super) const FIELDS: &[&str] = &["local", "remote", "oci"];

/// The fields of `vm_config.code.local`.
pub(super) const LOCAL_FIELDS: &[&str] =
    &["filename", "inline_bytes", "inline_string", "environment_variable", "watched_directory"];

/// The fields of `vm_config.code.local.watched_directory`.
pub(super) const WATCHED_DIRECTORY_FIELDS: &[&str] = &["path"];

/// Where the bytes of the code are. Nothing is read yet, and nothing is known of what they hold.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Code {
    /// In this file.
    File(PathBuf),
    /// Here.
    Inline(Vec<u8>),
    /// In the environment variable of this name, as it is in the process of Envoy.
    Environment(String),
    /// On a web server or in an OCI registry.
    Remote(Box<RemoteCode>),
}

impl Code {
    /// The path of the field that says so, for errors about what it led to.
    pub fn path(&self) -> &'static str {
        match self {
            Self::File(_) => "vm_config.code.local.filename",
            Self::Inline(_) => "vm_config.code.local",
            Self::Environment(_) => "vm_config.code.local.environment_variable",
            Self::Remote(remote) => remote.path(),
        }
    }

    /// Whether it is a file, which may be read while it is written.
    pub fn is_file(&self) -> bool {
        match self {
            Self::File(_) => true,
            Self::Remote(remote) => matches!(remote.place, Place::File(_)),
            Self::Inline(_) | Self::Environment(_) => false,
        }
    }

    pub(super) fn read(node: &Node<'_>) -> Result<Self, ConfigError> {
        let fields = node.fields(FIELDS)?;
        let (name, source) = fields.one_of(FIELDS)?;
        match name {
            "local" => Self::read_local(source),
            "remote" => Ok(Self::Remote(Box::new(RemoteCode::read_remote(source)?))),
            _ => Ok(Self::Remote(Box::new(RemoteCode::read_oci(source)?))),
        }
    }

    fn read_local(node: &Node<'_>) -> Result<Self, ConfigError> {
        let fields = node.fields(LOCAL_FIELDS)?;
        if let Some(directory) = fields.get("watched_directory") {
            // Envoy's own filter takes the field and never watches the directory.
            directory
                .fields(WATCHED_DIRECTORY_FIELDS)?
                .require("path", "a directory")?
                .filled_string("a directory")?;
        }
        let (name, source) =
            fields.one_of(&["filename", "inline_bytes", "inline_string", "environment_variable"])?;
        match name {
            "filename" => {
                let path = source.file_path("the path of a Wasm file")?;
                Ok(Self::File(path.strip_prefix("file://").unwrap_or(path).into()))
            }
            "environment_variable" => Ok(Self::Environment(source.variable_name()?.to_owned())),
            "inline_bytes" => Self::inline(source, source.clone().secret().base64()?),
            _ => Self::inline(source, source.clone().secret().string()?.as_bytes().to_vec()),
        }
    }

    fn inline(source: &Node<'_>, bytes: Vec<u8>) -> Result<Self, ConfigError> {
        if bytes.is_empty() {
            return Err(source.unexpected("the bytes of a Wasm file"));
        }
        Ok(Self::Inline(bytes))
    }
}

/// Where it is, for people.
impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Inline(bytes) => write!(f, "{} bytes in the configuration", bytes.len()),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::Remote(remote) => match &remote.place {
                Place::Web(url) => url.fmt(f),
                Place::Image(image) => write!(f, "image {image}"),
                Place::File(path) => write!(f, "file {}", path.display()),
            },
        }
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Inline(bytes) => write!(f, "Inline(<{} bytes>)", bytes.len()),
            Self::Environment(name) => f.debug_tuple("Environment").field(name).finish(),
            Self::Remote(remote) => f.debug_tuple("Remote").field(remote).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::error::Subject;
    use super::*;

    fn read(value: &Value) -> Result<Code, String> {
        let subject = Subject::Plugin("p".to_owned());
        Code::read(&Node::root(&subject, value)).map_err(|error| error.to_string())
    }

    #[test]
    fn local_code_has_four_sources() {
        for (local, expected) in [
            (json!({"filename": "/x.wasm"}), Code::File("/x.wasm".into())),
            (json!({"filename": "file:///x.wasm"}), Code::File("/x.wasm".into())),
            (json!({"inline_bytes": "AGFzbQ=="}), Code::Inline(b"\0asm".to_vec())),
            (json!({"inlineString": "(module)"}), Code::Inline(b"(module)".to_vec())),
            (json!({"environmentVariable": "CODE"}), Code::Environment("CODE".to_owned())),
            (json!({"filename": "x", "watched_directory": {"path": "/d"}}), Code::File("x".into())),
        ] {
            assert_eq!(read(&json!({"local": local})), Ok(expected), "{local}");
        }
    }

    #[test]
    fn wrong_code_says_what_is_wrong() {
        for (value, expected) in [
            (json!({}), "missing, expected one of local, remote, oci"),
            (json!({"local": null}), "missing, expected one of local, remote, oci"),
            (json!("x.wasm"), "a string that is not quoted here, expected an object"),
            (
                json!({"local": {"filename": "https://user:hunter2@a.example/x"}}),
                "local.filename: a string that is not quoted here, expected the path of a Wasm file",
            ),
            (json!({"filename": "x"}), "filename: unknown field, expected local, remote, oci"),
            (
                json!({"local": {}}),
                "local: missing, expected one of filename, inline_bytes, inline_string, \
                 environment_variable",
            ),
            (
                json!({"local": {"filename": ""}}),
                "local.filename: an empty string, expected the path of a Wasm file",
            ),
            (
                json!({"local": {"filename": ["x"]}}),
                "local.filename: an array, expected the path of a Wasm file",
            ),
            (
                json!({"local": {"filename": "x", "inline_string": "y"}}),
                "local.inline_string: set beside local.filename, expected only one of them",
            ),
            (
                json!({"local": {"inline_bytes": ""}}),
                "local.inline_bytes: an empty string, expected the bytes of a Wasm file",
            ),
            (
                json!({"local": {"inline_bytes": "!"}}),
                "local.inline_bytes: a string that is not quoted here, expected bytes as base64",
            ),
            (
                json!({"local": {"environment_variable": ""}}),
                "local.environment_variable: an empty string, expected the name of an \
                 environment variable",
            ),
            (
                json!({"local": {"filename": "x", "watched_directory": {}}}),
                "local.watched_directory.path: missing, expected a directory",
            ),
            (
                json!({"remote": {"sha256": "00"}}),
                "remote.http_uri: missing, expected an object with the address of the code",
            ),
            (
                json!({"oci": "Ghcr.io/Acme"}),
                "oci: the string \"Ghcr.io/Acme\", expected the name of an image, such as \
                 \"ghcr.io/acme/auth:1.0\"",
            ),
            (
                json!({"local": {"filename": "x"}, "oci": "y"}),
                "oci: set beside local, expected only one of them",
            ),
        ] {
            assert_eq!(read(&value).unwrap_err(), format!("plugin \"p\": {expected}"));
        }
    }

    #[test]
    fn debug_shows_no_code() {
        let code = Code::Inline(b"hunter2".to_vec());
        assert_eq!(format!("{code:?}"), "Inline(<7 bytes>)");
    }
}
