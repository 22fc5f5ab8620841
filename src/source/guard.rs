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
        let addresses = self.system.resolve(uri, config, timeout)?;
        // All of them: a name that leads to both is not to be trusted with either.
        match addresses.iter().find(|address| is_forbidden(address.ip(), &self.allowed)) {
            Some(address) => Err(ureq::Error::Other(Box::new(Forbidden(address.ip())))),
            None => Ok(addresses),
        }
    }
}

/// Metadata services outside of the link-local range: of AWS by IPv6, of Alibaba, of Oracle.
const METADATA: [IpAddr; 3] = [
    IpAddr::V6(std::net::Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V4(std::net::Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 0, 192)),
];

/// Whether the address is one that code is not fetched from.
fn is_forbidden(address: IpAddr, allowed: &[Network]) -> bool {
    let address = unmapped(address);
    let is_link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    (is_link_local || METADATA.contains(&address)) && !allowed.iter().any(|network| network.holds(address))
}

/// The IPv4 address that an IPv6 address stands for: mapped (`::ffff:…`), compatible (`::…`), of NAT64 (`64:ff9b::…`), of 6to4
/// (`2002:…`). Or the address itself.
fn unmapped(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let (high, low) = match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => (high, low),
        // `::` and `::1` are what they are.
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => (high, low),
        _ => return address,
    };
    IpAddr::V4(((u32::from(high) << 16) | u32::from(low)).into())
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
            "100.100.100.200",
            "192.0.0.192",
        ] {
            assert!(is_refused(address, &[]), "{address}");
        }
        for address in ["127.0.0.1", "::1", "10.0.0.1", "169.253.1.1", "fec0::1", "fd00::1", "8.8.8.8", "::"]
        {
            assert!(!is_refused(address, &[]), "{address}");
        }
    }

    #[test]
    fn what_is_allowed_is_not_refused() {
        assert!(!is_refused("169.254.169.254", &["169.254.169.254"]));
        assert!(!is_refused("::ffff:169.254.169.254", &["169.254.0.0/16"]));
        assert!(is_refused("169.254.169.253", &["169.254.169.254"]));
        assert!(!is_refused("fe80::1", &["fe80::/10"]));
    }
}
