//! BGP neighbors.

use std::{net::IpAddr, str::FromStr};

/// A BGP neighbor, written `ADDRESS` or `ADDRESS=ASN`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Neighbor {
    pub(crate) address: IpAddr,
    /// None for the autonomous system of this host.
    pub(crate) asn: Option<u32>,
}

/// The part of a neighbor that cannot be parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NeighborError {
    Address(String),
    Asn(String),
}

impl FromStr for Neighbor {
    type Err = NeighborError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, asn) = match text.split_once('=') {
            Some((address, asn)) => (address, Some(parse_asn(asn)?)),
            None => (text, None),
        };
        match address.parse() {
            Ok(address) => Ok(Self { address, asn }),
            Err(_) => Err(NeighborError::Address(address.to_owned())),
        }
    }
}

fn parse_asn(text: &str) -> Result<u32, NeighborError> {
    match text.parse() {
        Ok(asn) if asn > 0 => Ok(asn),
        _ => Err(NeighborError::Asn(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_neighbor_is_an_address_with_an_optional_asn() {
        let parse = |text: &str| text.parse::<Neighbor>();
        assert_eq!(parse("192.168.0.30").unwrap().asn, None);
        assert_eq!(parse("fd00::1=65001").unwrap().asn, Some(65001));
        for wrong in ["", "host", "10.0.0.0/8"] {
            let error = NeighborError::Address(wrong.to_owned());
            assert_eq!(parse(wrong), Err(error));
        }
        for wrong in ["", "0", "x", "4294967296"] {
            let error = NeighborError::Asn(wrong.to_owned());
            assert_eq!(parse(&format!("192.168.0.30={wrong}")), Err(error));
        }
    }
}
