//! The door of this layer: what a configuration wants, fetched or taken from the shelf.
//!
//! ```text
//!  pinned, and on the shelf ───────────────────────────────────────────► shelf
//!  if_not_present, and what the name led to is on the shelf ───────────► shelf
//!  else: ask the source ─┬ it leads to what is on the shelf ───────────► shelf
//!                        ├ it leads to something new ──────────────────► network, and onto the shelf
//!                        └ it cannot be reached, and is not pinned ────► shelf, with a warning
//! ```

use std::ffi::OsString;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use ureq::tls::{Certificate, PemItem, parse_pem};

use super::client::{Client, Roots};
use super::clock::Clock;
use super::error::FetchError;
use super::oci::{self, Registry};
use super::shelf::{self, Name, Record, Shelf, sha256};
use super::signature::{self, Keys};
use super::{credentials, location, web};
use crate::config::{Code, Digest, HttpUrl, ImageReference, Place, PullPolicy, RemoteCode, SourceConfig};

/// Largest file of certificates.
const LARGEST_CA_FILE: u64 = 16 * 1024 * 1024;
/// Tries of a request when there is something on the shelf to fall back to.
const ATTEMPTS_WITH_A_FALLBACK: u32 = 2;

/// What is wanted.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    /// Where it is.
    pub code: &'a Code,
    /// How it is fetched.
    pub source: &'a SourceConfig,
    /// What is known already.
    pub shelf: &'a dyn Shelf,
    /// Ask the source also where the pull policy is content with the shelf.
    pub renew: bool,
}

/// What was got.
#[derive(Debug)]
pub struct Fetched {
    /// The Wasm.
    pub bytes: Vec<u8>,
    /// Which version of the source they are.
    pub revision: Revision,
    /// Where they were.
    pub origin: Origin,
    /// Why the source was not asked as it should have been, if they are from the shelf in its stead.
    pub warning: Option<FetchError>,
}

/// A version of a source. Another one means that the source may have changed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Revision(String);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where bytes were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// In a file, in the configuration, in a variable.
    Local,
    /// On a server.
    Network,
    /// On the shelf.
    Shelf,
}

/// Variables of the process.
type Variables = Box<dyn Fn(&str) -> Option<OsString> + Send + Sync>;

/// All sources of the process.
pub struct Sources {
    clock: Arc<dyn Clock>,
    variables: Variables,
    /// Of the system: read once.
    roots: OnceLock<Roots>,
}

impl Sources {
    /// Sources that wait by this clock, and read variables with this function.
    pub fn new(
        clock: Arc<dyn Clock>,
        variables: impl Fn(&str) -> Option<OsString> + Send + Sync + 'static,
    ) -> Self {
        Self { clock, variables: Box::new(variables), roots: OnceLock::new() }
    }

    /// What can be had without asking anybody: local code, and what is on the shelf and good enough. `None`: somebody must be
    /// asked, which takes time.
    pub fn at_hand(&self, wanted: &Wanted<'_>) -> Option<Result<Fetched, FetchError>> {
        let remote = match wanted.code {
            Code::Remote(remote) => remote,
            Code::File(_) | Code::Inline(_) | Code::Environment(_) => return Some(self.local(wanted.code)),
        };
        match &remote.place {
            Place::File(path) => Some(file(path, remote, wanted.source)),
            Place::Web(url) => {
                let pinned = remote.sha256.and_then(|digest| {
                    let bytes = shelf::wasm(wanted.shelf, digest)?;
                    Some(Ok(of_shelf(bytes, format!("sha256:{digest}"))))
                });
                pinned.or_else(|| {
                    let is_enough = remote.sha256.is_none()
                        && !wanted.renew
                        && wanted.source.pull_policy_of(&remote.place) == PullPolicy::IfNotPresent;
                    let record = Record::read(wanted.shelf, page_name(url, wanted.source), None)?;
                    is_enough.then(|| on_shelf(wanted.shelf, &record)).flatten().map(Ok)
                })
            }
            Place::Image(image) => {
                let keys = match Keys::of(wanted.source) {
                    Ok(keys) => keys.map(|keys| keys.fingerprint()),
                    Err(error) => return Some(Err(error.into())),
                };
                image_on_shelf(wanted, remote, image, keys).map(Ok)
            }
        }
    }

    /// Gets the code. Blocks for at most the timeout of the fetch, if the system keeps to it.
    ///
    /// # Errors
    /// [`FetchError`] says what stands in the way.
    pub fn fetch(&self, wanted: &Wanted<'_>) -> Result<Fetched, FetchError> {
        if let Some(result) = self.at_hand(wanted) {
            return result;
        }
        match wanted.code {
            Code::File(_) | Code::Inline(_) | Code::Environment(_) => self.local(wanted.code),
            Code::Remote(remote) => match &remote.place {
                Place::File(path) => file(path, remote, wanted.source),
                Place::Web(url) => self.fetch_page(wanted, remote, url),
                Place::Image(image) => self.fetch_image(wanted, remote, image),
            },
        }
    }

    /// Which version the source has now. Cheaper than to fetch it, where the source allows it.
    ///
    /// # Errors
    /// As for [`fetch`](Self::fetch).
    pub fn revision(&self, wanted: &Wanted<'_>) -> Result<Revision, FetchError> {
        let remote = match wanted.code {
            Code::Remote(remote) => remote,
            Code::File(path) => return location::revision_of_file(path).map(Revision),
            Code::Inline(_) | Code::Environment(_) => {
                return self.local(wanted.code).map(|code| code.revision);
            }
        };
        let largest = wanted.source.max_bytes;
        Ok(Revision(match (&remote.place, remote.pinned()) {
            (Place::File(path), _) => return location::revision_of_file(path).map(Revision),
            (_, Some(digest)) => format!("sha256:{digest}"),
            (Place::Web(url), None) => web::revision(&self.client(wanted, remote, false)?, url, largest)?,
            (Place::Image(image), None) => {
                let client = self.client(wanted, remote, false)?;
                let registry = self.registry(&client, wanted.source, image)?;
                format!("sha256:{}", registry.digest_of(image.tag())?)
            }
        }))
    }

    fn local(&self, code: &Code) -> Result<Fetched, FetchError> {
        // Before the bytes: a change in between is then seen, if once too often.
        let revision = match code {
            Code::File(path) => Some(Revision(location::revision_of_file(path)?)),
            Code::Inline(_) | Code::Environment(_) | Code::Remote(_) => None,
        };
        let bytes = location::read(code, &self.variables)?;
        let revision = revision.unwrap_or_else(|| Revision(format!("sha256:{}", sha256(&bytes))));
        Ok(Fetched { bytes, revision, origin: Origin::Local, warning: None })
    }

    fn fetch_page(
        &self,
        wanted: &Wanted<'_>,
        remote: &RemoteCode,
        url: &HttpUrl,
    ) -> Result<Fetched, FetchError> {
        let (store, largest) = (wanted.shelf, wanted.source.max_bytes);
        let name = page_name(url, wanted.source);
        // With a digest there is but one right answer, which is not on the shelf.
        let known = if remote.sha256.is_none() { Record::read(store, name, None) } else { None };
        let fallback = known.as_ref().and_then(|record| on_shelf(store, record));
        let client = self.client(wanted, remote, fallback.is_some())?;
        let tag = fallback.as_ref().map(|fetched| fetched.revision.0.as_str());
        let (wasm, revision) = match (web::fetch(&client, url, tag, largest), fallback) {
            (Ok(web::Answer::Same), Some(fetched)) => return Ok(fetched),
            (Ok(web::Answer::New { wasm, revision }), _) => (wasm, revision),
            (Err(error), Some(fetched)) if error.is_out_of_reach() => return Ok(fetched.instead(error)),
            // No condition was made, so it is no answer.
            (Ok(web::Answer::Same), None) => return Err(web::not_modified(url).into()),
            (Err(error), _) => return Err(error),
        };
        let found = sha256(&wasm);
        if let Some(expected) = remote.sha256.filter(|expected| *expected != found) {
            return Err(FetchError::WrongDigest { found, expected });
        }
        shelf::keep_wasm(store, &wasm);
        Record::of(revision.clone(), &wasm, None).write(store, name);
        let revision = remote.sha256.map_or(revision, |digest| format!("sha256:{digest}"));
        Ok(Fetched { bytes: wasm, revision: Revision(revision), origin: Origin::Network, warning: None })
    }

    fn fetch_image(
        &self,
        wanted: &Wanted<'_>,
        remote: &RemoteCode,
        image: &ImageReference,
    ) -> Result<Fetched, FetchError> {
        let keys = Keys::of(wanted.source)?;
        let fingerprint = keys.as_ref().map(Keys::fingerprint);
        // A digest that is not on the shelf has nothing to fall back to.
        let fallback = match remote.pinned() {
            Some(_) => None,
            None => Record::read(wanted.shelf, tag_name(image, wanted.source), fingerprint)
                .and_then(|record| on_shelf(wanted.shelf, &record)),
        };
        match (self.pull(wanted, remote, image, keys.as_ref(), fallback.is_some()), fallback) {
            (Err(error), Some(fetched)) if error.is_out_of_reach() => Ok(fetched.instead(error)),
            (result, _) => result,
        }
    }

    fn pull(
        &self,
        wanted: &Wanted<'_>,
        remote: &RemoteCode,
        image: &ImageReference,
        keys: Option<&Keys>,
        has_fallback: bool,
    ) -> Result<Fetched, FetchError> {
        let (store, source) = (wanted.shelf, wanted.source);
        let client = self.client(wanted, remote, has_fallback)?;
        let registry = self.registry(&client, source, image)?;
        let resolved = oci::resolve(&registry, remote.pinned())?;
        let digest = resolved.digest;
        let fingerprint = keys.map(Keys::fingerprint);
        let by_digest = digest_name(image, digest, source);
        let known = Record::read(store, by_digest, fingerprint)
            .and_then(|record| Some((on_shelf(store, &record)?, record)));
        let (fetched, record) = if let Some(known) = known {
            known
        } else {
            if let Some(keys) = keys {
                signature::verify(&registry, keys, digest)?;
            }
            let bytes = oci::wasm(&registry, resolved, source.max_bytes)?;
            shelf::keep_wasm(store, &bytes);
            let record = Record::of(format!("sha256:{digest}"), &bytes, fingerprint);
            record.write(store, by_digest);
            let revision = Revision(record.revision.clone());
            (Fetched { bytes, revision, origin: Origin::Network, warning: None }, record)
        };
        if remote.pinned().is_none() {
            record.write(store, tag_name(image, source));
        }
        Ok(fetched)
    }

    fn registry<'a>(
        &self,
        client: &'a Client<'a>,
        source: &'a SourceConfig,
        image: &'a ImageReference,
    ) -> Result<Registry<'a>, FetchError> {
        let credentials = credentials::of_image(source, image, &self.variables, client.left())?;
        Registry::new(client, source, image, credentials)
    }

    fn client<'a>(
        &'a self,
        wanted: &Wanted<'a>,
        remote: &RemoteCode,
        has_fallback: bool,
    ) -> Result<Client<'a>, FetchError> {
        let source = wanted.source;
        let time = remote.timeout.unwrap_or(source.timeout);
        let retries = remote.retries.unwrap_or(source.retries);
        let client = Client::new(source, &self.roots(source)?, &*self.clock, (time, retries));
        Ok(if has_fallback { client.with_attempts(ATTEMPTS_WITH_A_FALLBACK) } else { client })
    }

    /// The authorities that are trusted.
    fn roots(&self, source: &SourceConfig) -> Result<Roots, FetchError> {
        let Some(path) = &source.ca_file else {
            let of_system = || {
                let found = rustls_native_certs::load_native_certs().certs;
                Arc::new(found.iter().map(|der| Certificate::from_der(der).to_owned()).collect())
            };
            return Ok(Arc::clone(self.roots.get_or_init(of_system)));
        };
        let failed = |reason: String| FetchError::Authorities { path: path.clone(), reason };
        let pem =
            location::read_file(path, LARGEST_CA_FILE).map_err(|error| failed(location::reason(&error)))?;
        let mut certificates = Vec::new();
        for item in parse_pem(&pem) {
            match item {
                Ok(PemItem::Certificate(certificate)) => certificates.push(certificate),
                Ok(_) => {}
                Err(_) => return Err(failed("damaged PEM".to_owned())),
            }
        }
        if certificates.is_empty() {
            return Err(failed("there are none".to_owned()));
        }
        Ok(Arc::new(certificates))
    }
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources").finish_non_exhaustive()
    }
}

impl Fetched {
    /// This, in the place of what could not be fetched.
    fn instead(self, error: FetchError) -> Self {
        Self { warning: Some(error), ..self }
    }
}

fn of_shelf(bytes: Vec<u8>, revision: String) -> Fetched {
    Fetched { bytes, revision: Revision(revision), origin: Origin::Shelf, warning: None }
}

fn on_shelf(shelf: &dyn Shelf, record: &Record) -> Option<Fetched> {
    Some(of_shelf(record.wasm(shelf)?, record.revision.clone()))
}

/// What is on the shelf of an image, if the pull policy is content with it.
fn image_on_shelf(
    wanted: &Wanted<'_>,
    remote: &RemoteCode,
    image: &ImageReference,
    keys: Option<Digest>,
) -> Option<Fetched> {
    let source = wanted.source;
    let name = match remote.pinned() {
        Some(digest) => digest_name(image, digest, source),
        None if wanted.renew || source.pull_policy_of(&remote.place) == PullPolicy::Always => return None,
        None => tag_name(image, source),
    };
    on_shelf(wanted.shelf, &Record::read(wanted.shelf, name, keys)?)
}

fn page_name(url: &HttpUrl, source: &SourceConfig) -> Name {
    let authorization = url.authorization().map_or("", |secret| secret.expose());
    Name::new("web", &format!("{}{authorization}\n{}", trust(source), url.uri()), source)
}

fn tag_name(image: &ImageReference, source: &SourceConfig) -> Name {
    let tag = image.tag();
    let trust = trust(source);
    Name::new("image", &format!("{trust}{}/{}:{tag}", image.registry(), image.repository()), source)
}

/// Which servers were believed. What a name led to is whatever they said, so it is for those alone who believe the same; a
/// digest needs no belief.
fn trust(source: &SourceConfig) -> String {
    format!("{:?}\n{:?}\n", source.ca_file, source.insecure_registries)
}

fn digest_name(image: &ImageReference, digest: Digest, source: &SourceConfig) -> Name {
    Name::new("image", &format!("{}/{}@{digest}", image.registry(), image.repository()), source)
}

/// Code in a file, which is named by an address.
fn file(path: &Path, remote: &RemoteCode, source: &SourceConfig) -> Result<Fetched, FetchError> {
    let revision = Revision(location::revision_of_file(path)?);
    let bytes = location::read_file(path, source.max_bytes)?;
    if let Some(expected) = remote.sha256 {
        let found = sha256(&bytes);
        if found != expected {
            return Err(FetchError::WrongDigest { found, expected });
        }
    }
    Ok(Fetched { bytes, revision, origin: Origin::Local, warning: None })
}
