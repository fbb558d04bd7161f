//! The name of a bridge, checked once.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::text;

/// Longest interface name the kernel takes (`IFNAMSIZ` less the final NUL).
const LONGEST: usize = 15;

/// An interface name that means the same to the kernel, nft, iptables and a path.
///
/// The kernel takes any byte but `/`, `:` and white space. A trailing `*` is a wildcard
/// to nft and a trailing `+` to iptables, a `"` ends nft's quotes, `..` leaves a folder.
/// `all` and `default` are no interfaces but folders of /proc/sys/net/*/conf that concern all
/// of them. So neither of these is taken, and only letters, digits, `_`, `-` and `.`, which is
/// what libvirt's own schema says but for `\` (src/conf/schemas/basictypes.rng, `deviceName`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BridgeName(String);

/// Why a name is no [`BridgeName`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "bridge name \"{}\" cannot be used in a rule: 1 to 15 letters, digits, '_', '-' or '.'",
    text::shown(.0)
)]
pub struct BadBridgeName(String);

impl BridgeName {
    /// The name as the kernel knows it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BridgeName {
    type Err = BadBridgeName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let fits = (1..=LONGEST).contains(&name.len());
        let special = [".", "..", "all", "default"].contains(&name);
        let plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-' | b'.');
        if fits && !special && name.bytes().all(plain) {
            Ok(Self(name.to_owned()))
        } else {
            Err(BadBridgeName(name.to_owned()))
        }
    }
}

impl TryFrom<String> for BridgeName {
    type Error = BadBridgeName;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        name.parse()
    }
}

impl From<BridgeName> for String {
    fn from(name: BridgeName) -> Self {
        name.0
    }
}

impl fmt::Display for BridgeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_libvirt_makes_and_refuses_what_nft_or_a_path_misreads() {
        for good in ["virbr0", "virbr_kube02", "br-lan.100", "123456789012345"] {
            assert_eq!(good.parse::<BridgeName>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            ".",
            "..",
            "virbr*",
            "virbr+",
            "a\"b",
            "a b",
            "a/b",
            "a\nb",
            "ä",
            "all",
            "default",
            "1234567890123456",
        ] {
            assert!(bad.parse::<BridgeName>().is_err(), "{bad:?}");
        }
    }
}
