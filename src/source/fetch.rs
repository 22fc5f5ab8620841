//! The door of this layer: what a configuration wants, fetched or taken from the shelf.
//!
//! ```text
//!  pinned, and on the shelf ───────────────────────────────────────────► shelf
//!  if_not_present, and what the name led to is on the shelf ───────────► shelf
//!  else: ask the source ─┬ it leads to what is on the shelf ───────────► shelf
//!                        ├ it leads to something new ──────────────────► network, and onto the shelf
//!                        └ nobody answers who is believed, not pinned ─► shelf, with a warning
//! ```

use std::ffi::OsString;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::client::Client;
use super::clock::Clock;
use super::error::FetchError;
use super::name::{Name, by_key};
use super::oci::{self, Registry};
use super::shelf::{self, Record, Shelf, sha256};
use super::signature::{self, Keys};
use super::tls::Authorities;
use super::{credentials, location, web};
use crate::config::{Code, HttpUrl, ImageReference, Place, PullPolicy, RemoteCode, SourceConfig};

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
    authorities: Authorities,
}

impl Sources {
    /// Sources that wait by this clock, and read variables with this function.
    pub fn new(
        clock: Arc<dyn Clock>,
        variables: impl Fn(&str) -> Option<OsString> + Send + Sync + 'static,
    ) -> Self {
        Self { clock, variables: Box::new(variables), authorities: Authorities::default() }
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
            Place::Web(url) => page_at_hand(wanted, remote, url).map(Ok),
            Place::Image(image) => match Keys::of(wanted.source) {
                Ok(keys) => image_at_hand(wanted, remote, image, keys.as_ref()).map(Ok),
                Err(error) => Some(Err(error.into())),
            },
        }
    }

    /// Whether a version of the code is on this machine, be it new enough or not: the one that is used if nobody can be asked.
    pub fn is_known(&self, wanted: &Wanted<'_>) -> bool {
        let remote = match wanted.code {
            Code::Remote(remote) => remote,
            Code::File(_) | Code::Inline(_) | Code::Environment(_) => return true,
        };
        match &remote.place {
            Place::File(_) => true,
            Place::Web(url) => known(wanted, &[page_name(wanted, remote, url)]).is_some(),
            Place::Image(image) => Keys::of(wanted.source).is_ok_and(|keys| {
                known(wanted, &image_names(wanted, remote, image, keys.as_ref())).is_some()
            }),
        }
    }

    /// Gets the code. Blocks for at most the timeout of the fetch, if the system keeps to it.
    ///
    /// # Errors
    /// [`FetchError`] says what stands in the way.
    pub fn fetch(&self, wanted: &Wanted<'_>) -> Result<Fetched, FetchError> {
        let remote = match wanted.code {
            Code::Remote(remote) => remote,
            Code::File(_) | Code::Inline(_) | Code::Environment(_) => return self.local(wanted.code),
        };
        match &remote.place {
            Place::File(path) => file(path, remote, wanted.source),
            Place::Web(url) => match page_at_hand(wanted, remote, url) {
                Some(fetched) => Ok(fetched),
                None => self.fetch_page(wanted, remote, url),
            },
            Place::Image(image) => {
                let keys = Keys::of(wanted.source)?;
                match image_at_hand(wanted, remote, image, keys.as_ref()) {
                    Some(fetched) => Ok(fetched),
                    None => self.fetch_image(wanted, remote, image, keys.as_ref()),
                }
            }
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
        Ok(Revision(match (&remote.place, remote.pinned()) {
            (Place::File(path), _) => return location::revision_of_file(path).map(Revision),
            (_, Some(digest)) => format!("sha256:{digest}"),
            (Place::Web(url), None) => web::revision(&self.client(wanted, remote, false)?, url)?,
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
        let known = match remote.sha256 {
            // There is but one right answer, which is not on the shelf.
            Some(_) => None,
            None => known(wanted, &[page_name(wanted, remote, url)]),
        };
        let pulled = self.pull_page(wanted, remote, url, known.as_ref());
        or_known(pulled, wanted.shelf, known.as_ref())
    }

    fn pull_page(
        &self,
        wanted: &Wanted<'_>,
        remote: &RemoteCode,
        url: &HttpUrl,
        known: Option<&Record>,
    ) -> Result<Fetched, FetchError> {
        let store = wanted.shelf;
        let client = self.client(wanted, remote, known.is_some())?;
        let page = match (web::fetch(&client, url, known.map(|record| record.revision.as_str()))?, known) {
            (Some(page), _) => page,
            (None, known) => match known.and_then(|record| on_shelf(store, record)) {
                Some(fetched) => return Ok(fetched),
                // Somebody has taken it away meanwhile.
                None => web::fetch(&client, url, None)?.ok_or_else(|| web::not_modified(url))?,
            },
        };
        let found = sha256(&page.wasm);
        let revision = match remote.sha256 {
            Some(expected) if expected != found => return Err(FetchError::WrongDigest { found, expected }),
            Some(digest) => format!("sha256:{digest}"),
            None => page.revision,
        };
        // What may have been cut would be found again and again.
        if page.is_whole || remote.sha256.is_some() {
            shelf::keep_wasm(store, &page.wasm);
            Record::of(revision.clone(), &page.wasm).write(store, page_name(wanted, remote, url));
        }
        Ok(Fetched::of_network(page.wasm, revision))
    }

    fn fetch_image(
        &self,
        wanted: &Wanted<'_>,
        remote: &RemoteCode,
        image: &ImageReference,
        keys: Option<&Keys>,
    ) -> Result<Fetched, FetchError> {
        let known = match remote.pinned() {
            // A digest that is not on the shelf has nothing to fall back to.
            Some(_) => None,
            None => known(wanted, &image_names(wanted, remote, image, keys)),
        };
        let pulled = self.pull_image(wanted, remote, image, keys, known.is_some());
        or_known(pulled, wanted.shelf, known.as_ref())
    }

    fn pull_image(
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
        // Under the name of the key by which it was verified.
        let keep_tag = |record: &Record, key| {
            if remote.pinned().is_none() {
                record.write(store, Name::of_tag(image, source, key));
            }
        };
        for key in by_key(keys, |key| key) {
            let name = Name::of_image(image, digest, source, key);
            if let Some(record) = Record::read(store, &[name])
                && let Some(fetched) = on_shelf(store, &record)
            {
                keep_tag(&record, key);
                return Ok(fetched);
            }
        }
        let key = keys.map(|keys| signature::verify(&registry, keys, digest)).transpose()?;
        let bytes = oci::wasm(&registry, resolved, source.max_bytes)?;
        shelf::keep_wasm(store, &bytes);
        let record = Record::of(format!("sha256:{digest}"), &bytes);
        record.write(store, Name::of_image(image, digest, source, key));
        keep_tag(&record, key);
        Ok(Fetched::of_network(bytes, record.revision))
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
        let time = match remote.timeout {
            Some(timeout) => (timeout, "vm_config.code.remote.http_uri.timeout"),
            None => (source.timeout, "graft.source.timeout"),
        };
        let retries = remote.retries.unwrap_or(source.retries);
        let client = Client::new(source, &self.authorities.of(source)?, &*self.clock, (time, retries));
        Ok(if has_fallback { client.with_fallback() } else { client })
    }
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources").finish_non_exhaustive()
    }
}

impl Fetched {
    fn of_network(bytes: Vec<u8>, revision: String) -> Self {
        Self { bytes, revision: Revision(revision), origin: Origin::Network, warning: None }
    }

    fn of_shelf(bytes: Vec<u8>, revision: String) -> Self {
        Self { bytes, revision: Revision(revision), origin: Origin::Shelf, warning: None }
    }
}

fn on_shelf(shelf: &dyn Shelf, record: &Record) -> Option<Fetched> {
    Some(Fetched::of_shelf(record.wasm(shelf)?, record.revision.clone()))
}

/// What a name led to last. Its Wasm is not read before it is needed.
fn known(wanted: &Wanted<'_>, names: &[Name]) -> Option<Record> {
    Record::read(wanted.shelf, names).filter(|record| record.has_wasm(wanted.shelf))
}

/// What was pulled; or what is known, with a warning, if nobody has answered who is believed.
fn or_known(
    pulled: Result<Fetched, FetchError>,
    shelf: &dyn Shelf,
    known: Option<&Record>,
) -> Result<Fetched, FetchError> {
    let error = match pulled {
        Err(error) if error.is_unanswered() => error,
        result => return result,
    };
    match known.and_then(|record| on_shelf(shelf, record)) {
        Some(fetched) => Ok(Fetched { warning: Some(error), ..fetched }),
        None => Err(error),
    }
}

/// What is on the shelf of a page, if that is enough.
fn page_at_hand(wanted: &Wanted<'_>, remote: &RemoteCode, url: &HttpUrl) -> Option<Fetched> {
    if must_ask(wanted, remote) {
        return None;
    }
    on_shelf(wanted.shelf, &Record::read(wanted.shelf, &[page_name(wanted, remote, url)])?)
}

/// What is on the shelf of an image, if that is enough.
fn image_at_hand(
    wanted: &Wanted<'_>,
    remote: &RemoteCode,
    image: &ImageReference,
    keys: Option<&Keys>,
) -> Option<Fetched> {
    if must_ask(wanted, remote) {
        return None;
    }
    on_shelf(wanted.shelf, &Record::read(wanted.shelf, &image_names(wanted, remote, image, keys))?)
}

fn page_name(wanted: &Wanted<'_>, remote: &RemoteCode, url: &HttpUrl) -> Name {
    match remote.sha256 {
        // Whoever knows a digest need not have the right to what has it: an address that led there is asked for, too.
        Some(digest) => Name::of_pinned_page(url, digest, wanted.source),
        None => Name::of_page(url, wanted.source),
    }
}

fn image_names(
    wanted: &Wanted<'_>,
    remote: &RemoteCode,
    image: &ImageReference,
    keys: Option<&Keys>,
) -> Vec<Name> {
    match remote.pinned() {
        Some(digest) => by_key(keys, |key| Name::of_image(image, digest, wanted.source, key)),
        None => by_key(keys, |key| Name::of_tag(image, wanted.source, key)),
    }
}

/// Whether the source is asked although there may be something on the shelf.
fn must_ask(wanted: &Wanted<'_>, remote: &RemoteCode) -> bool {
    remote.pinned().is_none()
        && (wanted.renew || wanted.source.pull_policy_of(&remote.place) == PullPolicy::Always)
}

/// Code in a file, which is named by an address.
fn file(path: &Path, remote: &RemoteCode, source: &SourceConfig) -> Result<Fetched, FetchError> {
    let revision = Revision(location::revision_of_file(path)?);
    let bytes = location::read_file(path, source.max_bytes).map_err(FetchError::by_max_bytes)?;
    if let Some(expected) = remote.sha256 {
        let found = sha256(&bytes);
        if found != expected {
            return Err(FetchError::WrongDigest { found, expected });
        }
    }
    Ok(Fetched { bytes, revision, origin: Origin::Local, warning: None })
}
