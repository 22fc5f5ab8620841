//! Why a request got no answer that can be used.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use super::guard::Forbidden;

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
    #[error("{url} did not answer within {:.1} s, expected the whole answer by then", within.as_secs_f64())]
    TimedOut {
        /// What was asked for.
        url: String,
        /// The time that there was.
        within: Duration,
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
    #[error("{url} answered with status {status}{}, expected 200", meaning(*status))]
    Status {
        /// What was asked for.
        url: String,
        /// The status.
        status: u16,
        /// When the server wants to be asked again.
        retry_after: Option<Duration>,
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
    #[error(
        "TLS with {url} failed ({reason}), expected a certificate of an authority that is known (graft.source.ca_file)"
    )]
    Tls {
        /// What was asked for.
        url: String,
        /// What the TLS library says.
        reason: String,
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
    #[error("the answer of {url} has more than {limit} bytes, expected at most that many")]
    TooLarge {
        /// What was asked for.
        url: String,
        /// So many may come.
        limit: u64,
    },
}

impl HttpError {
    /// Whether the same request may go well a little later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } | Self::Truncated { .. } => true,
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

    /// What the client says, in our words. Its own may quote the address.
    #[allow(clippy::wildcard_enum_match_arm, reason = "the client's error may grow")]
    pub(super) fn from_client(error: ureq::Error, url: &str, within: Duration) -> Self {
        let url = url.to_owned();
        let unreachable = |reason: &str| Self::Unreachable { url: url.clone(), reason: reason.to_owned() };
        match error {
            ureq::Error::Other(other) => match other.downcast_ref::<Forbidden>() {
                Some(Forbidden(address)) => Self::Forbidden { url, address: *address },
                None => unreachable("the connection failed"),
            },
            ureq::Error::Timeout(_) => Self::TimedOut { url, within },
            ureq::Error::HostNotFound => unreachable("there is no such host"),
            ureq::Error::Io(error) => Self::from_io(&error, url, within),
            ureq::Error::Rustls(error) => Self::Tls { url, reason: error.to_string() },
            ureq::Error::Tls(reason) => Self::Tls { url, reason: reason.to_owned() },
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

    fn from_io(error: &io::Error, url: String, within: Duration) -> Self {
        if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return Self::Tls { url, reason: tls.to_string() };
        }
        let kind = error.kind();
        if matches!(kind, io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock) {
            return Self::TimedOut { url, within };
        }
        Self::Unreachable { url, reason: kind.to_string() }
    }
}

fn meaning(status: u16) -> &'static str {
    match status {
        401 => " (it wants credentials: graft.source.pull_secret)",
        403 => " (the credentials do not suffice, or there are none: graft.source.pull_secret)",
        404 => " (there is no such thing)",
        429 => " (too many requests)",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16) -> HttpError {
        HttpError::Status { url: "https://a.example/x".to_owned(), status, retry_after: None }
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
    fn words_of_the_client_quote_no_address() {
        let within = Duration::from_secs(1);
        for error in [
            ureq::Error::BadUri("https://a.example/?sig=hunter2".to_owned()),
            ureq::Error::RequireHttpsOnly("https://a.example/?sig=hunter2".to_owned()),
            ureq::Error::Other("hunter2".into()),
        ] {
            let error = HttpError::from_client(error, "https://a.example/?<redacted>", within);
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
    }
}
