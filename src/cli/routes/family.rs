//! IPv4 and IPv6.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IpFamily {
    V4,
    V6,
}

impl IpFamily {
    pub(super) const BOTH: [Self; 2] = [Self::V4, Self::V6];

    pub(super) fn contains(self, address: &IpAddr) -> bool {
        address.is_ipv4() == (self == Self::V4)
    }

    pub(super) fn unspecified(self) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::UNSPECIFIED.into(),
            Self::V6 => Ipv6Addr::UNSPECIFIED.into(),
        }
    }

    /// `0.0.0.0/0` or `::/0`.
    pub(super) fn default_destination(self) -> IpNet {
        IpNet::new_assert(self.unspecified(), 0)
    }

    pub(super) fn digit(self) -> u8 {
        match self {
            Self::V4 => 4,
            Self::V6 => 6,
        }
    }

    pub(super) fn max_prefix_len(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }
}
