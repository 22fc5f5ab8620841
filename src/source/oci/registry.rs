//! Talking to the registry of an image: what is asked for, and by whom.

use std::cell::RefCell;
use std::time::Duration;

use http::header::WWW_AUTHENTICATE;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::ImageError;
use super::challenge::{self, Challenge};
use super::manifest::{ACCEPTED, Descriptor, Manifest};
use crate::config::{Digest, HttpUrl, ImageReference, Secret, SourceConfig};
use crate::source::client::{Client, HEAD_REFUSED, Method, Request, Response};
use crate::source::credentials::Credentials;
use crate::source::error::FetchError;
use crate::source::http_error::{HttpError, Peer};
use crate::source::shelf::sha256;

/// Largest manifest: the limit that registries have, too.
const LARGEST_MANIFEST: u64 = 4 * 1024 * 1024;
/// Pages of a list that are read.
const MOST_PAGES: usize = 16;
/// How long it is waited for an answer that only tells whether TLS is spoken.
const PROBE: Duration = Duration::from_secs(3);
/// Largest answer of a token service.
const LARGEST_TOKEN: u64 = 256 * 1024;

/// The registry of an image, during one fetch.
pub(in crate::source) struct Registry<'a> {
    client: &'a Client<'a>,
    config: &'a SourceConfig,
    image: &'a ImageReference,
    credentials: Option<Credentials>,
    /// `https://ghcr.io/v2/acme/auth`.
    base: String,
    /// What the registry is shown, once it has asked.
    authorization: RefCell<Option<Secret>>,
}

#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
}

impl<'a> Registry<'a> {
    /// The registry of an image. One that is listed as insecure is asked first whether it speaks TLS.
    pub(in crate::source) fn new(
        client: &'a Client<'a>,
        config: &'a SourceConfig,
        image: &'a ImageReference,
        credentials: Option<Credentials>,
    ) -> Result<Self, FetchError> {
        let address = |scheme: &str| format!("{scheme}://{}/v2/", image.host());
        let tls = url(&address("https"), image)?;
        let is_plain = config.is_insecure(tls.host(), tls.port())
            && !speaks_tls(client, &tls, &url(&address("http"), image)?)?;
        let scheme = if is_plain { "http" } else { "https" };
        let base = format!("{}{}", address(scheme), image.repository());
        Ok(Self { client, config, image, credentials, base, authorization: RefCell::new(None) })
    }

    /// The image that this is about.
    pub(in crate::source) fn image(&self) -> &ImageReference {
        self.image
    }

    /// The manifest that a tag leads to, and its digest, which is computed.
    pub(in crate::source) fn manifest(&self, tag: &str) -> Result<(Digest, Manifest), FetchError> {
        let answer =
            self.ask(Method::Get, &format!("manifests/{tag}"), Some(ACCEPTED), LARGEST_MANIFEST, &[])?;
        let digest = sha256(&answer.body);
        Ok((digest, self.parse(&answer)?))
    }

    /// The manifest with a digest.
    pub(in crate::source) fn manifest_of(&self, digest: Digest) -> Result<Manifest, FetchError> {
        let path = format!("manifests/sha256:{digest}");
        let answer = self.ask(Method::Get, &path, Some(ACCEPTED), LARGEST_MANIFEST, &[])?;
        self.check("manifest", &answer.body, digest)?;
        self.parse(&answer)
    }

    /// The manifest that a tag leads to, if there is the tag.
    pub(in crate::source) fn manifest_if_any(&self, tag: &str) -> Result<Option<Manifest>, FetchError> {
        let path = format!("manifests/{tag}");
        let answer = self.ask(Method::Get, &path, Some(ACCEPTED), LARGEST_MANIFEST, &[404])?;
        if answer.status != 200 {
            return Ok(None);
        }
        self.parse(&answer).map(Some)
    }

    /// What the registry says is attached to a manifest, of what is wanted, and at least `enough` of it: nothing, if it keeps no
    /// such list. What is not wanted is not kept from page to page.
    pub(in crate::source) fn referrers(
        &self,
        digest: Digest,
        is_wanted: impl Fn(&Descriptor) -> bool,
        enough: usize,
    ) -> Result<Vec<Descriptor>, FetchError> {
        let mut found = Vec::new();
        let mut address = format!("{}/referrers/sha256:{digest}", self.base);
        for _ in 0..MOST_PAGES {
            let answer =
                self.ask_for(Method::Get, &address, Some(ACCEPTED), LARGEST_MANIFEST, &[400, 404, 405])?;
            if answer.status != 200 || !answer.body.starts_with(b"{") {
                break;
            }
            if let Manifest::Index { manifests } = self.parse(&answer)? {
                found.extend(manifests.into_iter().filter(&is_wanted).take(enough));
            }
            if found.len() >= enough {
                break;
            }
            let own = url(&address, self.image)?;
            match answer.header("link").and_then(next_page).and_then(|link| own.join(link)) {
                Some(next) if next.is_same_origin(&own) => address = next.uri().to_string(),
                Some(_) | None => break,
            }
        }
        Ok(found)
    }

    /// The digest of the manifest that a tag leads to, without the manifest if the registry says it.
    pub(in crate::source) fn digest_of(&self, tag: &str) -> Result<Digest, FetchError> {
        let answer = self.ask(Method::Head, &format!("manifests/{tag}"), Some(ACCEPTED), 0, &HEAD_REFUSED)?;
        let told = answer.header("docker-content-digest").filter(|_| answer.status == 200);
        match told.and_then(Digest::parse_named) {
            Some(digest) => Ok(digest),
            None => Ok(self.manifest(tag)?.0),
        }
    }

    /// What a manifest names.
    pub(in crate::source) fn blob(&self, blob: &Descriptor, largest: u64) -> Result<Vec<u8>, FetchError> {
        let digest = blob.digest(&self.image.to_string())?;
        if blob.size > largest {
            let what = format!("the layer of {}", self.image);
            return Err(FetchError::TooLarge { what, size: blob.size, limit: largest, bound: None });
        }
        let answer = self.ask(Method::Get, &format!("blobs/sha256:{digest}"), None, blob.size, &[])?;
        let found = u64::try_from(answer.body.len()).unwrap_or(u64::MAX);
        if found != blob.size {
            let image = self.image.to_string();
            return Err(ImageError::WrongSize { image, found, expected: blob.size }.into());
        }
        self.check("layer", &answer.body, digest)?;
        Ok(answer.body)
    }

    fn parse(&self, answer: &Response) -> Result<Manifest, FetchError> {
        Ok(Manifest::parse(&answer.body, answer.header("content-type"), &self.image.to_string())?)
    }

    fn check(&self, what: &'static str, bytes: &[u8], expected: Digest) -> Result<(), ImageError> {
        let found = sha256(bytes);
        if found == expected {
            return Ok(());
        }
        Err(ImageError::WrongDigest { image: self.image.to_string(), what, found, expected })
    }

    /// Asks, and once more when the registry has said what it wants to be shown.
    fn ask(
        &self,
        method: Method<'_>,
        path: &str,
        accept: Option<&str>,
        largest: u64,
        also: &[u16],
    ) -> Result<Response, FetchError> {
        self.ask_for(method, &format!("{}/{path}", self.base), accept, largest, also)
    }

    fn ask_for(
        &self,
        method: Method<'_>,
        address: &str,
        accept: Option<&str>,
        largest: u64,
        also: &[u16],
    ) -> Result<Response, FetchError> {
        let url = url(address, self.image)?;
        let also = [also, &[401]].concat();
        let send = || {
            let authorization = self.authorization.borrow().clone();
            let request =
                Request { method, accept, authorization, also: &also, ..Request::of_registry(&url, largest) };
            self.client.send(&request)
        };
        let mut answer = send()?;
        // A store of blobs that the registry has sent us to has no say in whom passwords are told to.
        if answer.status == 401 && answer.url.is_same_origin(&url) {
            let header = |value: &http::HeaderValue| value.to_str().ok().map(str::to_owned);
            let headers: Vec<String> =
                answer.headers.get_all(WWW_AUTHENTICATE).iter().filter_map(header).collect();
            self.authorize(&url, challenge::best(headers.iter().map(String::as_str)))?;
            answer = send()?;
        }
        if answer.status == 401 {
            let url = answer.url.to_string();
            return Err(
                HttpError::Status { url, status: 401, retry_after: None, peer: Peer::Registry }.into()
            );
        }
        Ok(answer)
    }

    /// Makes up what the registry is shown from now on.
    fn authorize(&self, url: &HttpUrl, challenge: Option<Challenge>) -> Result<(), FetchError> {
        let registry = || self.image.registry().to_owned();
        let authorization = match (challenge, &self.credentials) {
            (None, _) => return Err(ImageError::Challenge { registry: registry() }.into()),
            (Some(Challenge::Bearer { .. }), Some(Credentials::Registry(token))) => bearer(token.expose()),
            (Some(Challenge::Bearer { realm, service }), credentials) => {
                self.token(url, &realm, service, credentials.as_ref())?
            }
            (Some(Challenge::Basic), Some(Credentials::Basic(basic))) => basic.clone(),
            (Some(Challenge::Basic), None | Some(Credentials::Identity(_) | Credentials::Registry(_))) => {
                let url = url.to_string();
                return Err(
                    HttpError::Status { url, status: 401, retry_after: None, peer: Peer::Registry }.into()
                );
            }
        };
        *self.authorization.borrow_mut() = Some(authorization);
        Ok(())
    }

    /// Gets a token of the service that the registry names.
    fn token(
        &self,
        url: &HttpUrl,
        realm: &str,
        service: Option<String>,
        credentials: Option<&Credentials>,
    ) -> Result<Secret, FetchError> {
        let registry = self.image.registry().to_owned();
        let refused = |realm: String| ImageError::Realm { registry: registry.clone(), realm };
        let Some(service_url) = HttpUrl::parse(realm) else {
            return Err(refused("what is no address".to_owned()).into());
        };
        let is_trusted = service_url.is_https()
            || !url.is_https() && service_url.host().eq_ignore_ascii_case(url.host())
            || self.config.is_insecure(service_url.host(), service_url.port());
        if !is_trusted || service_url.authorization().is_some() {
            return Err(refused(service_url.to_string()).into());
        }
        // Never more than what is needed, whatever the registry would have us ask for.
        let scope = format!("repository:{}:pull", self.image.repository());
        let mut query = format!("scope={}", escaped(&scope));
        if let Some(service) = service {
            query = format!("service={}&{query}", escaped(&service));
        }
        let no_token = || ImageError::NoToken { registry: registry.clone(), realm: service_url.to_string() };
        let answer = if let Some(Credentials::Identity(token)) = credentials {
            let form = format!(
                "grant_type=refresh_token&client_id=graft&{query}&refresh_token={}",
                escaped(token.expose())
            );
            let method = Method::Post(&Secret::new(form));
            self.client.send(&Request { method, ..Request::of_registry(&service_url, LARGEST_TOKEN) })?
        } else {
            let joint = if realm.contains('?') { '&' } else { '?' };
            let address = HttpUrl::parse(&format!("{realm}{joint}{query}")).ok_or_else(no_token)?;
            let authorization = match credentials {
                Some(Credentials::Basic(basic)) => Some(basic.clone()),
                Some(Credentials::Identity(_) | Credentials::Registry(_)) | None => None,
            };
            self.client.send(&Request { authorization, ..Request::of_registry(&address, LARGEST_TOKEN) })?
        };
        let token: Token = serde_json::from_slice(&answer.body).map_err(|_| no_token())?;
        // Some services write both names, and leave one of them empty.
        let is_token =
            |token: &String| !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        let token = token.token.filter(is_token).or(token.access_token.filter(is_token));
        Ok(bearer(&token.ok_or_else(no_token)?))
    }
}

/// Whether a registry that may do without speaks TLS. It does not if it answers without: a connection that fails says nothing,
/// and is tried again.
fn speaks_tls(client: &Client<'_>, tls: &HttpUrl, plain: &HttpUrl) -> Result<bool, HttpError> {
    let probe = |url: &HttpUrl| {
        let request = Request { also: &[401, 403, 404], ..Request::of_registry(url, LARGEST_MANIFEST) };
        client.send_once(&request, PROBE)
    };
    let is_plain = || match probe(plain) {
        // With 400 servers say that they are spoken to without the TLS that they want.
        Err(HttpError::Status { status, .. }) => status != 400,
        answer => answer.is_ok(),
    };
    client.retrying(|| match probe(tls) {
        Err(
            error @ (HttpError::Tls { .. } | HttpError::Unreachable { .. } | HttpError::Malformed { .. }),
        ) => {
            if is_plain() {
                Ok(false)
            } else {
                Err(error)
            }
        }
        // It is slow; or it takes the beginning of TLS for that of a request, and waits for the end.
        Err(HttpError::TimedOut { .. } | HttpError::NoTime { .. }) => Ok(!is_plain()),
        Ok(_)
        | Err(
            HttpError::Forbidden { .. }
            | HttpError::Status { .. }
            | HttpError::TooManyRedirects { .. }
            | HttpError::Downgrade { .. }
            | HttpError::Lost { .. }
            | HttpError::Truncated { .. }
            | HttpError::TooLarge { .. },
        ) => Ok(true),
    })
}

fn bearer(token: &str) -> Secret {
    Secret::new(format!("Bearer {token}"))
}

/// The address of the next page of a list: `</v2/…>; rel="next"`.
fn next_page(link: &str) -> Option<&str> {
    let (address, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
    parameters.contains("next").then_some(address)
}

/// An address of the registry.
fn url(text: &str, image: &ImageReference) -> Result<HttpUrl, ImageError> {
    HttpUrl::parse(text).ok_or_else(|| ImageError::Manifest {
        image: image.to_string(),
        problem: "has no address".to_owned(),
    })
}

/// Text as it stands in a query or a form.
fn escaped(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_for_a_query() {
        assert_eq!(escaped("repository:a/b:pull"), "repository%3Aa%2Fb%3Apull");
        assert_eq!(escaped("é &=+~"), "%C3%A9%20%26%3D%2B%7E");
    }
}
