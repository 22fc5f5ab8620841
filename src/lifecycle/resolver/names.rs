//! One name, and what the system knows of it.
//!
//! What is an address, and what cannot be a name, is answered here, as by the resolver of the built-in host: no name
//! server learns of it, and `127.1` is not another way to write an address.

use std::net::{IpAddr, ToSocketAddrs as _};

use crate::host::calls::Found;

/// Longest name, and longest part of one between dots (RFC 1035).
const LONGEST: usize = 255;
const LONGEST_LABEL: usize = 63;

/// What the system's library says of a name that nobody has (`EAI_NONAME`, `EAI_NODATA`); Rust keeps the words, not the
/// number. Any other failure says nothing about the name.
const NO_SUCH_NAME: [&str; 2] = ["Name or service not known", "No address associated with hostname"];

/// Looks up a name. Waits for name servers, for as long as the system is told to.
pub(super) fn look_up(name: &[u8]) -> Found {
    // As in the built-in host, whose resolver is written in C.
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    let Ok(name) = std::str::from_utf8(name) else { return Found::Failed };
    if let Ok(address) = name.parse::<IpAddr>() {
        return Found::Addresses(vec![address]);
    }
    match kind(name) {
        Kind::Malformed => Found::Failed,
        Kind::Nobodys => Found::Addresses(Vec::new()),
        Kind::Name => ask(name),
    }
}

/// What a text is that is no address.
enum Kind {
    Name,
    /// It can have no address.
    Nobodys,
    Malformed,
}

fn kind(name: &str) -> Kind {
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.is_empty() {
        Kind::Nobodys
    } else if name.len() > LONGEST
        || !name.bytes().all(is_allowed)
        || name.split('.').any(|label| label.is_empty() || label.len() > LONGEST_LABEL)
    {
        Kind::Malformed
    } else if name.rsplit('.').next().is_some_and(is_nobodys) {
        Kind::Nobodys
    } else {
        Kind::Name
    }
}

/// A last label that no name has: a number, or `invalid` (RFC 6761).
fn is_nobodys(label: &str) -> bool {
    label.bytes().all(|byte| byte.is_ascii_digit()) || label.eq_ignore_ascii_case("invalid")
}

fn ask(name: &str) -> Found {
    match (name, 0).to_socket_addrs() {
        Ok(all) => Found::Addresses(all.map(|address| address.ip()).collect()),
        Err(error) => {
            let words = error.to_string();
            if NO_SUCH_NAME.iter().any(|end| words.ends_with(end)) {
                Found::Addresses(Vec::new())
            } else {
                Found::Failed
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_their_own_and_localhost_is_this_machine() {
        for address in ["127.0.0.1", "::1", "2001:db8::1"] {
            assert_eq!(look_up(address.as_bytes()), Found::Addresses(vec![address.parse().unwrap()]));
        }
        for name in ["localhost", "LOCALHOST", "localhost\0a b"] {
            let Found::Addresses(addresses) = look_up(name.as_bytes()) else { panic!("{name} failed") };
            assert!(!addresses.is_empty() && addresses.iter().all(IpAddr::is_loopback), "{addresses:?}");
        }
    }

    #[test]
    fn what_can_have_no_address_has_none() {
        for name in ["", ".", "127.1", "1.2.3.4.5", "300.0.0.1", "7", "nowhere.invalid", "a.INVALID."] {
            assert_eq!(look_up(name.as_bytes()), Found::Addresses(Vec::new()), "{name}");
        }
    }

    #[test]
    fn what_is_no_name_fails() {
        let long = ["a".repeat(64), "a.".repeat(200)];
        let wrong = ["a..b", ".a", "not a name", "[::1]", "127.0.0.1:80", "a/b", "\u{fc}ber"];
        for name in wrong.into_iter().chain(long.iter().map(String::as_str)) {
            assert_eq!(look_up(name.as_bytes()), Found::Failed, "{name}");
        }
        assert_eq!(look_up(b"\xff"), Found::Failed);
    }
}
