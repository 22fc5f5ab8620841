//! Why a request got no answer that can be used.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use super::guard::Forbidden;

/// Who was asked. It says where the passwords for it, and the bound of its answers, are configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// A web server.
    WebServer,
    /// A registry, or its token service.
    Registry,
}

/// How a request was made: what its failures are told with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) peer: Peer,
    /// The time that there was.
    pub(super) within: Duration,
    /// The field that sets it.
    pub(super) field: &'static str,
}

/// Why a request got no answer that can be used. Addresses are without user name, password and query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// No connection, or one that broke.
    #[error("{url} is not reachable ({reason}), expected a server that answers")]
    Unreachable {
        /// What was asked for.
        url: String,
        /// What the system says.
        reason: String,
    },
    /// No answer, or not all of it, in time.
    #[error("{url} did not answer within {}, expected the whole answer by then ({field})", time(*within))]
    TimedOut {
        /// What was asked for.
        url: String,
        /// The time that there was.
        within: Duration,
        /// The field that sets it.
        field: &'static str,
    },
    /// The fetch was over before this could be asked.
    #[error("there was no time left to ask {url}, expected the fetch to end in time ({field})")]
    NoTime {
        /// What was not asked for.
        url: String,
        /// The field that says how long a fetch takes.
        field: &'static str,
    },
    /// The server is where no code is fetched from.
    #[error(
        "{url} is at the address {address}, which is link-local or of a metadata service, expected another one, or \
         graft.source.allowed_addresses to hold it"
    )]
    Forbidden {
        /// What was asked for.
        url: String,
        /// Where it is.
        address: IpAddr,
    },
    /// An answer, and not the one that was hoped for.
    #[error("{url} answered with status {status}{}, expected 200", meaning(*status, *peer))]
    Status {
        /// What was asked for.
        url: String,
        /// The status.
        status: u16,
        /// When the server wants to be asked again.
        retry_after: Option<Duration>,
        /// Who was asked.
        peer: Peer,
    },
    /// Redirects without end.
    #[error("{url} redirects more than {limit} times, expected at most graft.source.max_redirects")]
    TooManyRedirects {
        /// What was asked for first.
        url: String,
        /// The limit.
        limit: u32,
    },
    /// From TLS to none.
    #[error("{url} redirects from https to {to}, expected https to the end")]
    Downgrade {
        /// What was asked for.
        url: String,
        /// Where it leads.
        to: String,
    },
    /// A redirect to nowhere.
    #[error("{url} redirects without a location that is an http or https address, expected one")]
    Lost {
        /// What was asked for.
        url: String,
    },
    /// No TLS, or a certificate that is not trusted.
    #[error("TLS with {url} failed ({reason}), expected {expected}")]
    Tls {
        /// What was asked for.
        url: String,
        /// What the TLS library says.
        reason: String,
        /// What would help.
        expected: &'static str,
    },
    /// What came is no HTTP.
    #[error("{url} answered with what is no valid HTTP ({reason}), expected a web server")]
    Malformed {
        /// What was asked for.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The answer ended early.
    #[error("the answer of {url} ended after {received} bytes, expected {expected}")]
    Truncated {
        /// What was asked for.
        url: String,
        /// So much came.
        received: u64,
        /// So much was announced.
        expected: String,
    },
    /// The answer is too large.
    #[error("the answer of {url} has {}, expected at most {limit}{}", size(*found, *limit), bound(*peer))]
    TooLarge {
        /// What was asked for.
        url: String,
        /// So many were announced.
        found: Option<u64>,
        /// So many may come.
        limit: u64,
        /// Who was asked.
        peer: Peer,
    },
}

impl HttpError {
    /// Whether the same request may go well a little later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::TimedOut { .. }
            | Self::NoTime { .. }
            | Self::Truncated { .. } => true,
            // Istio's rule, and what asks for it.
            Self::Status { status, .. } => {
                matches!(status, 408 | 429) || (*status >= 500 && !matches!(status, 501 | 505 | 511))
            }
            Self::Forbidden { .. }
            | Self::TooManyRedirects { .. }
            | Self::Downgrade { .. }
            | Self::Lost { .. }
            | Self::Tls { .. }
            | Self::Malformed { .. }
            | Self::TooLarge { .. } => false,
        }
    }

    /// Whether nobody has answered who is to be believed, as opposed to an answer that is wrong.
    pub(super) fn is_unanswered(&self) -> bool {
        match self {
            Self::Tls { .. } | Self::Malformed { .. } => true,
            Self::Unreachable { .. }
            | Self::TimedOut { .. }
            | Self::NoTime { .. }
            | Self::Truncated { .. }
            | Self::Status { .. } => self.is_retryable(),
            Self::Forbidden { .. }
            | Self::TooManyRedirects { .. }
            | Self::Downgrade { .. }
            | Self::Lost { .. }
            | Self::TooLarge { .. } => false,
        }
    }

    /// What the client says, in our words. Its own may quote the address.
    #[allow(clippy::wildcard_enum_match_arm, reason = "the client's error may grow")]
    pub(super) fn from_client(error: ureq::Error, url: &str, asked: Asked) -> Self {
        let url = url.to_owned();
        let unreachable = |reason: &str| Self::Unreachable { url: url.clone(), reason: reason.to_owned() };
        match error {
            ureq::Error::Other(other) => match other.downcast_ref::<Forbidden>() {
                Some(Forbidden(address)) => Self::Forbidden { url, address: *address },
                None => unreachable("the connection failed"),
            },
            ureq::Error::Timeout(_) => Self::timed_out(url, asked),
            ureq::Error::HostNotFound => unreachable("the name of the host does not resolve"),
            ureq::Error::Io(error) => Self::from_io(&error, url, asked),
            ureq::Error::Rustls(error) => Self::from_tls(&error, url, asked.peer),
            ureq::Error::Tls(reason) => Self::Tls { url, reason: reason.to_owned(), expected: CERTIFICATE },
            ureq::Error::Protocol(error) => Self::Malformed { url, reason: error.to_string() },
            ureq::Error::LargeResponseHeader(..) => {
                Self::Malformed { url, reason: "its headers are too large".to_owned() }
            }
            ureq::Error::Http(_) | ureq::Error::BadUri(_) => {
                Self::Malformed { url, reason: "the request cannot be written".to_owned() }
            }
            _ => unreachable("the connection failed"),
        }
    }

    /// It did not answer in the time that there was.
    pub(super) fn timed_out(url: String, Asked { within, field, .. }: Asked) -> Self {
        Self::TimedOut { url, within, field }
    }

    fn from_tls(error: &rustls::Error, url: String, peer: Peer) -> Self {
        let expected = match (error, peer) {
            // What came is not TLS at all.
            (rustls::Error::InvalidMessage(_), Peer::Registry) => {
                "a registry that speaks TLS, or graft.source.insecure_registries to list it"
            }
            (rustls::Error::InvalidMessage(_), Peer::WebServer) => "a server that speaks TLS",
            _ => CERTIFICATE,
        };
        Self::Tls { url, reason: error.to_string(), expected }
    }

    fn from_io(error: &io::Error, url: String, asked: Asked) -> Self {
        if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return Self::from_tls(tls, url, asked.peer);
        }
        let kind = error.kind();
        if matches!(kind, io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock) {
            return Self::timed_out(url, asked);
        }
        Self::Unreachable { url, reason: kind.to_string() }
    }
}

/// What a server mostly lacks with which TLS fails.
const CERTIFICATE: &str = "a certificate of an authority that is known (graft.source.ca_file)";

/// A time, for people.
fn time(within: Duration) -> String {
    if within < Duration::from_millis(100) {
        return format!("{} ms", within.as_millis());
    }
    format!("{:.1} s", within.as_secs_f64())
}

fn meaning(status: u16, peer: Peer) -> &'static str {
    match (status, peer) {
        (401, Peer::Registry) => " (it wants credentials: graft.source.pull_secret)",
        (401, Peer::WebServer) => " (it wants a user name and a password: they may stand in the address)",
        (403, Peer::Registry) => {
            " (the credentials do not suffice, or there are none: graft.source.pull_secret)"
        }
        (404, _) => " (there is no such thing)",
        (429, _) => " (too many requests)",
        _ => "",
    }
}

fn size(found: Option<u64>, limit: u64) -> String {
    found.map_or_else(|| format!("more than {limit} bytes"), |found| format!("{found} bytes"))
}

/// A registry's answers have bounds that nobody configures, or those that its manifest says.
fn bound(peer: Peer) -> &'static str {
    match peer {
        Peer::WebServer => " (graft.source.max_bytes)",
        Peer::Registry => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16) -> HttpError {
        HttpError::Status {
            url: "https://a.example/x".to_owned(),
            status,
            retry_after: None,
            peer: Peer::Registry,
        }
    }

    #[test]
    fn what_may_pass_is_tried_again() {
        for (code, is_retryable) in [
            (500, true),
            (502, true),
            (503, true),
            (504, true),
            (429, true),
            (408, true),
            (501, false),
            (505, false),
            (511, false),
            (400, false),
            (401, false),
            (403, false),
            (404, false),
            (302, false),
        ] {
            assert_eq!(status(code).is_retryable(), is_retryable, "{code}");
        }
    }

    #[test]
    fn hints_are_for_the_one_who_was_asked() {
        let of = |code: u16, peer: Peer| {
            let url = "https://a.example/x".to_owned();
            HttpError::Status { url, status: code, retry_after: None, peer }.to_string()
        };
        for code in [401, 403] {
            assert!(of(code, Peer::Registry).contains("graft.source.pull_secret"));
            assert!(!of(code, Peer::WebServer).contains("graft.source.pull_secret"));
        }
        assert!(of(401, Peer::WebServer).contains("they may stand in the address"));
        let large = |found, peer| {
            HttpError::TooLarge { url: "https://a.example/x".to_owned(), found, limit: 5, peer }.to_string()
        };
        assert_eq!(
            large(Some(7), Peer::WebServer),
            "the answer of https://a.example/x has 7 bytes, expected at most 5 (graft.source.max_bytes)"
        );
        assert_eq!(
            large(None, Peer::Registry),
            "the answer of https://a.example/x has more than 5 bytes, expected at most 5"
        );
    }

    #[test]
    fn words_of_the_client_quote_no_address() {
        let asked = Asked {
            peer: Peer::WebServer,
            within: Duration::from_secs(1),
            field: "graft.source.try_timeout",
        };
        for error in [
            ureq::Error::BadUri("https://a.example/?sig=hunter2".to_owned()),
            ureq::Error::RequireHttpsOnly("https://a.example/?sig=hunter2".to_owned()),
            ureq::Error::Other("hunter2".into()),
        ] {
            let error = HttpError::from_client(error, "https://a.example/?<redacted>", asked);
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
    }

    #[test]
    fn a_time_that_was_too_short_is_that_of_a_field() {
        let shown = |within: Duration| {
            let asked = Asked { peer: Peer::Registry, within, field: "graft.source.timeout" };
            HttpError::from_client(ureq::Error::Timeout(ureq::Timeout::Global), "https://a.example/", asked)
                .to_string()
        };
        assert_eq!(
            shown(Duration::from_millis(1500)),
            "https://a.example/ did not answer within 1.5 s, expected the whole answer by then (graft.source.timeout)"
        );
        assert!(shown(Duration::from_millis(7)).contains(" within 7 ms, "));
    }
}
