//! Values that several tables of the config have.

use std::net::IpAddr;

use ipnet::IpNet;
use toml::Spanned;

use super::{
    error::{ConfigFault, ParseError},
    pattern::{MAX_PATTERN, Pattern},
};

/// Parses `192.168.0.0/24`, `fd00:1::/64`, or a single address.
pub(super) fn subnet(value: &Spanned<String>, key: &'static str) -> Result<IpNet, ParseError> {
    parse_subnet(value.get_ref(), key).map_err(|fault| ParseError::new(value.span().start, fault))
}

fn parse_subnet(text: &str, key: &'static str) -> Result<IpNet, ConfigFault> {
    let address = text.parse::<IpAddr>().map(IpNet::from);
    let Ok(subnet) = address.or_else(|_| text.parse::<IpNet>()) else {
        let text = text.to_owned();
        return Err(ConfigFault::InvalidSubnet { key, text });
    };
    if subnet.trunc() != subnet {
        return Err(ConfigFault::HostBits {
            key,
            text: text.to_owned(),
            subnet: subnet.trunc(),
        });
    }
    Ok(subnet)
}

/// Parses a network's name, or a glob.
pub(super) fn pattern(value: Spanned<String>, key: &'static str) -> Result<Pattern, ParseError> {
    let at = value.span().start;
    parse_pattern(value.into_inner(), key).map_err(|fault| ParseError::new(at, fault))
}

fn parse_pattern(text: String, key: &'static str) -> Result<Pattern, ConfigFault> {
    if text.is_empty() {
        return Err(ConfigFault::EmptyPattern { key });
    }
    if text.len() > MAX_PATTERN {
        return Err(ConfigFault::LongPattern { key, text });
    }
    Pattern::new(text.clone()).map_err(|error| ConfigFault::InvalidGlob {
        key,
        text,
        reason: error.kind().to_string(),
    })
}
