//! The address of code on a web server. It may hold secrets, which are not shown.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Uri;
use percent_encoding::percent_decode_str;

use super::secret::Secret;

/// An absolute `http` or `https` address. It is shown without user name, password and query: a signed address carries its
/// signature there.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct HttpUrl {
    /// Without user name and password.
    uri: Uri,
    /// The value of an `authorization` header.
    authorization: Option<Secret>,
}

impl HttpUrl {
    /// Reads an address. What follows a `#` is dropped.
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let is_https = scheme.eq_ignore_ascii_case("https");
        if !is_https && !scheme.eq_ignore_ascii_case("http") {
            return None;
        }
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end)?;
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        let path = path.split('#').next().unwrap_or_default();
        let slash = if path.starts_with('/') { "" } else { "/" };
        let scheme = if is_https { "https" } else { "http" };
        let uri: Uri = format!("{scheme}://{host}{slash}{path}").parse().ok()?;
        if uri.host().is_none_or(str::is_empty) || uri.port_u16() == Some(0) || has_bad_port(host) {
            return None;
        }
        Some(Self { uri, authorization: user.map(basic) })
    }

    /// The address, as it is asked for. Its query may be a secret.
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// What the user name and the password in the address make of an `authorization` header.
    pub fn authorization(&self) -> Option<&Secret> {
        self.authorization.as_ref()
    }

    /// Whether it is asked for with TLS.
    pub fn is_https(&self) -> bool {
        self.uri.scheme_str() == Some("https")
    }

    /// The host, an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        self.uri.host().unwrap_or_default()
    }

    /// The port, which is that of the scheme where none is written.
    pub fn port(&self) -> u16 {
        self.uri.port_u16().unwrap_or(if self.is_https() { 443 } else { 80 })
    }

    /// Whether both are the same server: scheme, host and port.
    pub fn is_same_origin(&self, other: &Self) -> bool {
        self.is_https() == other.is_https()
            && self.port() == other.port()
            && self.host().eq_ignore_ascii_case(other.host())
    }

    /// Where a `location` header of this address leads to.
    pub fn join(&self, location: &str) -> Option<Self> {
        let scheme = self.uri.scheme_str()?;
        let authority = self.uri.authority()?;
        let path = self.uri.path();
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let address = if location.split(['/', '?', '#']).next().is_some_and(|start| start.contains(':')) {
            location.to_owned()
        } else if location.starts_with("//") {
            format!("{scheme}:{location}")
        } else if location.starts_with('/') {
            format!("{scheme}://{authority}{location}")
        } else if location.starts_with('?') {
            format!("{scheme}://{authority}{path}{location}")
        } else {
            format!("{scheme}://{authority}{folder}/{location}")
        };
        Self::parse(&address)
    }
}

/// `http` reads a port lazily: one that is no number is no port to it.
fn has_bad_port(host: &str) -> bool {
    let after = host.rsplit_once(']').map_or(host, |(_, after)| after);
    after.split_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_err())
}

/// The `authorization` header of `name:password`, both with %-escapes.
fn basic(user: &str) -> Secret {
    let mut bytes: Vec<u8> = percent_decode_str(user).collect();
    if !user.contains(':') {
        bytes.push(b':');
    }
    Secret::new(format!("Basic {}", STANDARD.encode(bytes)))
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.uri.scheme_str().unwrap_or_default();
        let authority = self.uri.authority().map_or("", http::uri::Authority::as_str);
        write!(f, "{scheme}://{authority}{}", self.uri.path())?;
        if self.uri.query().is_some() {
            f.write_str("?<redacted>")?;
        }
        Ok(())
    }
}

impl fmt::Debug for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> HttpUrl {
        HttpUrl::parse(text).unwrap()
    }

    #[test]
    fn an_address_is_absolute_and_of_the_web() {
        for (text, shown) in [
            ("https://a.example/x.wasm", "https://a.example/x.wasm"),
            ("HTTP://a.example:8080", "http://a.example:8080/"),
            ("https://[::1]:5000/x", "https://[::1]:5000/x"),
            ("https://a.example?a=b", "https://a.example/?<redacted>"),
            ("https://a.example/x?sig=hunter2#part", "https://a.example/x?<redacted>"),
        ] {
            assert_eq!(url(text).to_string(), shown);
        }
        for wrong in [
            "",
            "a.example/x",
            "ftp://a.example/x",
            "https://",
            "https:///x",
            "https://a.example:port/",
            "https://a.example:0/",
            "https://a b/",
        ] {
            assert_eq!(HttpUrl::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_password_in_it_is_a_header_and_is_not_shown() {
        let url = url("https://user:p%40ss@a.example/x?token=hunter2");
        assert_eq!(url.authorization().unwrap().expose(), "Basic dXNlcjpwQHNz");
        assert_eq!(url.uri().to_string(), "https://a.example/x?token=hunter2");
        for text in [url.to_string(), format!("{url:?}")] {
            assert_eq!(text, "https://a.example/x?<redacted>");
        }
    }

    #[test]
    fn a_location_is_joined_to_the_address() {
        let base = url("https://a.example:444/folder/x.wasm?q");
        for (location, expected) in [
            ("http://b.example/y", "http://b.example/y"),
            ("//b.example/y", "https://b.example/y"),
            ("/y", "https://a.example:444/y"),
            ("y/z", "https://a.example:444/folder/y/z"),
            ("y?a=http://c", "https://a.example:444/folder/y?<redacted>"),
            ("?r", "https://a.example:444/folder/x.wasm?<redacted>"),
        ] {
            assert_eq!(base.join(location).unwrap().to_string(), expected, "{location}");
        }
        for wrong in ["file:///etc/passwd", "javascript:x", "https://"] {
            assert_eq!(base.join(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn servers_are_the_same_by_scheme_host_and_port() {
        let base = url("https://a.example/x");
        for (other, is_same) in [
            ("https://A.example:443/y", true),
            ("https://a.example:444/x", false),
            ("http://a.example:443/x", false),
            ("https://b.example/x", false),
        ] {
            assert_eq!(base.is_same_origin(&url(other)), is_same, "{other}");
        }
    }
}
