//! Addresses that code is not fetched from: link-local ones, and those of metadata services.
//!
//! Whoever may choose an address could otherwise have Envoy ask the metadata service of its cloud, which answers with
//! credentials. Addresses are looked at after a name has been looked up and right before the connection is made, for each
//! redirect anew, so neither a name nor a redirect leads there.

use std::fmt;
use std::net::IpAddr;

use ureq::config::Config;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use crate::config::Network;

/// Looks names up, and refuses what they lead to.
#[derive(Debug)]
pub(super) struct GuardedResolver {
    system: DefaultResolver,
    allowed: Vec<Network>,
}

/// The address that was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Forbidden(pub(super) IpAddr);

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is link-local or of a metadata service", self.0)
    }
}

impl std::error::Error for Forbidden {}

impl GuardedResolver {
    /// Refuses what is in none of these networks.
    pub(super) fn new(allowed: Vec<Network>) -> Self {
        Self { system: DefaultResolver::default(), allowed }
    }
}

impl Resolver for GuardedResolver {
    fn resolve(
        &self,
        uri: &http::Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        // The system's own error has no kind by which it could be told from others.
        let of_the_name = |error| {
            if matches!(error, ureq::Error::Io(_)) { ureq::Error::HostNotFound } else { error }
        };
        let addresses = self.system.resolve(uri, config, timeout).map_err(of_the_name)?;
        // All of them: a name that leads to both is not to be trusted with either.
        match addresses.iter().find(|address| is_forbidden(address.ip(), &self.allowed)) {
            Some(address) => Err(ureq::Error::Other(Box::new(Forbidden(address.ip())))),
            None => Ok(addresses),
        }
    }
}

/// Metadata services, and what else a cloud answers its own machines, outside of the link-local range.
const METADATA: [&str; 8] = [
    // AWS by IPv6: instances, and the identities of pods.
    "fd00:ec2::/32",
    // Google.
    "fd20:ce::254",
    // Azure: what hands out certificates and the configuration of a machine.
    "168.63.129.16",
    // Alibaba.
    "100.100.100.200",
    // Oracle, by IPv4 and by IPv6.
    "192.0.0.192",
    "fd00:c1::a9fe:a9fe",
    // Scaleway.
    "fd00:42::42",
    // Linode.
    "fd00:a9fe:a9fe::1",
];

/// Whether the address is one that code is not fetched from.
fn is_forbidden(address: IpAddr, allowed: &[Network]) -> bool {
    let is_allowed = |address| allowed.iter().any(|network| network.holds(address));
    let is_bad = |address| is_local(address) && !is_allowed(address);
    is_bad(address) || !is_allowed(address) && embedded(address).any(is_bad)
}

fn is_local(address: IpAddr) -> bool {
    let is_link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    is_link_local
        || METADATA.iter().filter_map(|text| Network::parse(text)).any(|network| network.holds(address))
}

/// The IPv4 addresses that an IPv6 address may stand for.
fn embedded(address: IpAddr) -> impl Iterator<Item = IpAddr> {
    let pair = |high: u16, low: u16| Some((u32::from(high) << 16) | u32::from(low));
    let mut found = [None; 4];
    if let IpAddr::V6(address) = address {
        found = match address.segments() {
            // Mapped, translated, of NAT64 with the prefix that all know.
            [0, 0, 0, 0, 0, 0xffff, high, low]
            | [0, 0, 0, 0, 0xffff, 0, high, low]
            | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
            // Of 6to4.
            | [0x2002, high, low, ..] => [pair(high, low), None, None, None],
            // Of NAT64 with a prefix of the network's own, of 48, 56, 64 or 96 bits: eight bits in the middle are no part of it.
            [0x64, 0xff9b, 1, third, fourth, fifth, sixth, seventh] => [
                pair(third, (fourth << 8) | (fifth >> 8)),
                pair((third << 8) | (fourth & 0xff), fifth),
                pair((fourth << 8) | (fifth >> 8), (fifth << 8) | (sixth >> 8)),
                pair(sixth, seventh),
            ],
            // Compatible. `::` and `::1` are what they are.
            [0, 0, 0, 0, 0, 0, high, low] if high != 0 => [pair(high, low), None, None, None],
            _ => found,
        };
    }
    found.into_iter().flatten().map(|bits| IpAddr::V4(bits.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_refused(address: &str, allowed: &[&str]) -> bool {
        let allowed: Vec<Network> = allowed.iter().map(|text| Network::parse(text).unwrap()).collect();
        is_forbidden(address.parse().unwrap(), &allowed)
    }

    #[test]
    fn link_local_addresses_and_metadata_services_are_refused_however_they_are_written() {
        for address in [
            "169.254.169.254",
            "169.254.0.1",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "64:ff9b::169.254.169.254",
            "2002:a9fe:a9fe::1",
            "fe80::1",
            "febf::1",
            "fd00:ec2::254",
            "fd00:ec2::23",
            "fd20:ce::254",
            "168.63.129.16",
            "100.100.100.200",
            "192.0.0.192",
            "fd00:c1::a9fe:a9fe",
            "fd00:42::42",
            "fd00:a9fe:a9fe::1",
            "::ffff:0:169.254.169.254",
            "::ffff:0:100.100.100.200",
            "64:ff9b:1::169.254.169.254",
            "64:ff9b:1:a9fe:a9:fe00::",
            "64:ff9b:1:a9:fe:a9fe::",
            "64:ff9b:1:0:a9:fea9:fe00:0",
        ] {
            assert!(is_refused(address, &[]), "{address}");
        }
        for address in [
            "127.0.0.1",
            "::1",
            "10.0.0.1",
            "169.253.1.1",
            "168.63.129.17",
            "fec0::1",
            "fd00::1",
            "fd00:ec3::254",
            "fd20:ce::253",
            "64:ff9b:1::8.8.8.8",
            "::ffff:0:10.0.0.1",
            "8.8.8.8",
            "::",
        ] {
            assert!(!is_refused(address, &[]), "{address}");
        }
    }

    #[test]
    fn what_is_allowed_is_not_refused() {
        assert!(!is_refused("169.254.169.254", &["169.254.169.254"]));
        assert!(!is_refused("::ffff:169.254.169.254", &["169.254.0.0/16"]));
        assert!(!is_refused("64:ff9b:1::169.254.169.254", &["169.254.0.0/16"]));
        assert!(!is_refused("64:ff9b:1::169.254.169.254", &["64:ff9b:1::/48"]));
        assert!(!is_refused("fd00:ec2::23", &["fd00:ec2::/64"]));
        assert!(is_refused("169.254.169.253", &["169.254.169.254"]));
        assert!(!is_refused("fe80::1", &["fe80::/10"]));
    }
}
