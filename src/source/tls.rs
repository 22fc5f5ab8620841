//! TLS: whose certificates are trusted. Authorities are read and parsed once, not at each connection.

use std::fmt;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::unversioned::transport::{ConnectionDetails, Connector, RustlsConnector, TcpConnector, Transport};

use super::error::FetchError;
use super::location;
use super::shelf::sha256;
use crate::config::{Digest, SourceConfig};

/// Largest file of certificates.
const LARGEST: u64 = 16 * 1024 * 1024;
/// Files of certificates that are remembered, by what is in them.
const MOST_FILES: usize = 8;

/// All authorities that somebody in this process trusts.
#[derive(Default)]
pub(super) struct Authorities {
    /// Of the system: read once.
    system: OnceLock<Trust>,
    /// Of files: read each time, since they may change, and parsed if they have.
    files: Mutex<Vec<(Digest, Trust)>>,
}

/// Who is trusted. Copies share what was parsed.
#[derive(Clone)]
pub(super) struct Trust {
    roots: Arc<Vec<Certificate<'static>>>,
    /// Looks at certificates.
    strict: Arc<RustlsConnector>,
    /// Does not.
    lax: Arc<RustlsConnector>,
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust").field("roots", &self.roots.len()).finish_non_exhaustive()
    }
}

impl Authorities {
    /// Those that a configuration trusts.
    pub(super) fn of(&self, config: &SourceConfig) -> Result<Trust, FetchError> {
        let Some(path) = &config.ca_file else {
            let of_system = || {
                let found = rustls_native_certs::load_native_certs().certs;
                Trust::new(found.iter().map(|der| Certificate::from_der(der).to_owned()).collect())
            };
            return Ok(self.system.get_or_init(of_system).clone());
        };
        let failed = |reason: String| FetchError::Authorities { path: path.clone(), reason };
        let pem = location::read_file(path, LARGEST).map_err(|error| failed(location::reason(&error)))?;
        let digest = sha256(&pem);
        let mut files = self.files.lock();
        if let Some((_, trust)) = files.iter().find(|(known, _)| *known == digest) {
            return Ok(trust.clone());
        }
        let trust = Trust::new(certificates(&pem).map_err(|reason| failed(reason.to_owned()))?);
        files.truncate(MOST_FILES.saturating_sub(1));
        files.insert(0, (digest, trust.clone()));
        Ok(trust)
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<Certificate<'static>>, &'static str> {
    let mut certificates = Vec::new();
    for item in parse_pem(pem) {
        match item {
            Ok(PemItem::Certificate(certificate)) => certificates.push(certificate),
            Ok(_) => {}
            Err(_) => return Err("damaged PEM"),
        }
    }
    if certificates.is_empty() { Err("there are none") } else { Ok(certificates) }
}

impl Trust {
    fn new(roots: Vec<Certificate<'static>>) -> Self {
        Self { roots: Arc::new(roots), strict: Arc::default(), lax: Arc::default() }
    }

    /// What the HTTP library is told of TLS, and what makes its connections.
    pub(super) fn parts(&self, is_lax: bool) -> (TlsConfig, impl Connector) {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(provider)
            .root_certs(RootCerts::Specific(Arc::clone(&self.roots)))
            .disable_verification(is_lax)
            .build();
        let tls = Shared(Arc::clone(if is_lax { &self.lax } else { &self.strict }));
        (config, ().chain(TcpConnector::default()).chain(tls))
    }
}

/// TLS with what was parsed for the first connection.
#[derive(Debug)]
struct Shared(Arc<RustlsConnector>);

impl<In: Transport> Connector<In> for Shared {
    type Out = <RustlsConnector as Connector<In>>::Out;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        // Each request has a timeout of its own, which makes its whole configuration one of its own, and the library parses the
        // authorities anew for those. Of TLS it says what all others of this connector say.
        let details = ConnectionDetails {
            uri: details.uri,
            addrs: details.addrs.clone(),
            config: details.config,
            request_level: false,
            resolver: details.resolver,
            now: details.now,
            timeout: details.timeout,
            current_time: Arc::clone(&details.current_time),
            run_connector: Arc::clone(&details.run_connector),
            register_shutdown: Arc::clone(&details.register_shutdown),
        };
        self.0.connect(&details, chained)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_are_parsed_once_and_anew_when_their_file_changes() {
        let certificate = || {
            let key = rcgen::KeyPair::generate().unwrap();
            rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap().pem()
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let (authorities, system) = (Authorities::default(), SourceConfig::default());
        let file = SourceConfig { ca_file: Some(path.clone()), ..SourceConfig::default() };
        let is_same = |one: &Trust, other: &Trust| Arc::ptr_eq(&one.strict, &other.strict);
        std::fs::write(&path, certificate()).unwrap();
        let first = authorities.of(&file).unwrap();
        assert!(is_same(&first, &authorities.of(&file).unwrap()));
        assert!(is_same(&authorities.of(&system).unwrap(), &authorities.of(&system).unwrap()));
        assert!(!is_same(&first, &authorities.of(&system).unwrap()));
        for _ in 0..MOST_FILES * 2 {
            std::fs::write(&path, certificate()).unwrap();
            assert!(!is_same(&first, &authorities.of(&file).unwrap()));
        }
        assert_eq!(authorities.files.lock().len(), MOST_FILES);
        for (text, reason) in
            [("nothing", "there are none"), ("-----BEGIN CERTIFICATE-----\n!", "damaged PEM")]
        {
            std::fs::write(&path, text).unwrap();
            let error = authorities.of(&file).unwrap_err();
            assert!(error.to_string().contains(reason), "{error}");
        }
    }
}
