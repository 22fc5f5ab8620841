//! Names to addresses: what a guest asks with `envoy_resolve_dns`, and the form of the answer.
//!
//! ```text
//!   u32 n │ n × u32 seconds that the address may be kept │ n × "address:0" with a NUL behind it
//! ```
//!
//! The host resolves nothing itself: `lifecycle` does, with the system's resolver, on threads of its own.

use std::net::{IpAddr, SocketAddr};

use super::{Held, Reply, Token};

/// How long an address may be kept. The system's resolver does not say; this is what Envoy's own resolver over it tells
/// (`envoy.network.dns_resolver.getaddrinfo`).
const SECONDS: u32 = 60;

/// A name to be resolved.
#[derive(Debug)]
pub struct Lookup {
    /// What the guest knows it by.
    pub token: Token,
    /// Any bytes: a guest gave them.
    pub name: Vec<u8>,
    _held: Held,
}

impl Lookup {
    pub(in crate::host) fn new(token: Token, name: Vec<u8>, held: Held) -> Self {
        Self { token, name, _held: held }
    }
}

#[cfg(test)]
impl Lookup {
    /// With holdings of its own, for tests of who resolves.
    pub(crate) fn of_its_own(token: Token, name: &str) -> Self {
        Self::new(token, name.as_bytes().to_vec(), Held::of_its_own())
    }
}

/// What became of a lookup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Addresses, in the order in which they are to be tried; none: nobody has the name.
    Addresses(Vec<IpAddr>),
    /// Nothing is known: it is no name, or no name server answered.
    Failed,
}

impl Reply {
    /// The answer to a lookup. As in the built-in host (which asks its resolver with `DnsLookupFamily::Auto`) it has the
    /// IPv6 addresses or, if there are none, the IPv4 ones; for a lookup that failed, no bytes.
    pub fn of_lookup(found: &Found) -> Self {
        let Found::Addresses(all) = found else { return Self::Addresses(Vec::new()) };
        let has_newer = all.iter().any(IpAddr::is_ipv6);
        let mut addresses: Vec<IpAddr> = Vec::new();
        for address in all.iter().filter(|address| address.is_ipv6() == has_newer) {
            // The system lists an address once for each kind of socket.
            if !addresses.contains(address) {
                addresses.push(*address);
            }
        }
        let mut bytes = u32::try_from(addresses.len()).unwrap_or(0).to_le_bytes().to_vec();
        bytes.extend(addresses.iter().flat_map(|_| SECONDS.to_le_bytes()));
        for address in addresses {
            bytes.extend_from_slice(SocketAddr::new(address, 0).to_string().as_bytes());
            bytes.push(0);
        }
        Self::Addresses(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(addresses: &[&str]) -> Vec<u8> {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        Reply::of_lookup(&Found::Addresses(addresses)).addresses().unwrap().to_vec()
    }

    #[test]
    fn addresses_stand_behind_their_times_in_the_order_of_the_resolver() {
        let expected = b"\x02\0\0\0\x3c\0\0\0\x3c\0\0\x00127.0.0.2:0\x00127.0.0.1:0\0";
        assert_eq!(answer(&["127.0.0.2", "127.0.0.1", "127.0.0.2"]), expected);
    }

    #[test]
    fn the_newer_family_goes_before_the_older() {
        assert_eq!(answer(&["127.0.0.1", "::1"]), b"\x01\0\0\0\x3c\0\0\0[::1]:0\0");
    }

    #[test]
    fn no_addresses_are_a_count_of_zero_and_a_failure_is_no_bytes() {
        assert_eq!(answer(&[]), b"\0\0\0\0");
        assert_eq!(Reply::of_lookup(&Found::Failed), Reply::Addresses(Vec::new()));
    }
}
