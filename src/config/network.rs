//! Ranges of addresses, as users write them: `169.254.169.254`, `fd00:ec2::/32`.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// An address and how many of its first bits count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    length: u8,
}

impl Network {
    /// Reads an address, or an address with the length of its prefix.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let length = match length {
            Some(length) if length.bytes().all(|byte| byte.is_ascii_digit()) => length.parse().ok()?,
            Some(_) => return None,
            None => most,
        };
        (length <= most).then_some(Self { address, length })
    }

    /// Whether the address is one of the range. An IPv4 address is never one of a range of IPv6.
    pub fn holds(&self, address: IpAddr) -> bool {
        let mask = |bits: u128, width: u8| {
            let ignored = u32::from(width.saturating_sub(self.length));
            bits.checked_shr(ignored).unwrap_or(0)
        };
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                mask(u32::from(own).into(), 32) == mask(u32::from(other).into(), 32)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => mask(bits(own), 128) == mask(bits(other), 128),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

fn bits(address: Ipv6Addr) -> u128 {
    u128::from(address)
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_what_begins_alike() {
        for (range, address, holds) in [
            ("169.254.169.254", "169.254.169.254", true),
            ("169.254.169.254", "169.254.169.253", false),
            ("169.254.0.0/16", "169.254.7.8", true),
            ("169.254.0.0/16", "169.253.7.8", false),
            ("0.0.0.0/0", "8.8.8.8", true),
            ("::/0", "fe80::1", true),
            ("::/0", "8.8.8.8", false),
            ("fd00:ec2::254", "fd00:ec2::254", true),
            ("fe80::/10", "febf::1", true),
            ("fe80::/10", "fec0::1", false),
        ] {
            let found = Network::parse(range).unwrap().holds(address.parse().unwrap());
            assert_eq!(found, holds, "{range} {address}");
        }
        for wrong in ["", "x", "1.2.3.4/33", "::/129", "1.2.3.4/", "1.2.3.4/+1", "1.2.3/8"] {
            assert_eq!(Network::parse(wrong), None, "{wrong}");
        }
    }
}
