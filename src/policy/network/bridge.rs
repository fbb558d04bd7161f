//! Names of bridges, checked once: names that rules can contain, and names that the kernel accepts.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::sanitize;

/// Longest interface name that the kernel accepts (`IFNAMSIZ` less the final NUL).
const LONGEST: usize = 15;

/// An interface name that means the same to the kernel, nft, iptables and a path.
///
/// The kernel accepts any byte except `/`, `:` and white space. A trailing `*` is a wildcard to nft
/// and a trailing `+` to iptables, a `"` ends nft's quotes, `..` leaves a directory, and `all` and
/// `default` are directories of /proc/sys/net/*/conf that concern all interfaces. None of these is
/// accepted, only letters, digits, `_`, `-` and `.`, as in libvirt's own schema except for `\`
/// (src/conf/schemas/basictypes.rng, `deviceName`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BridgeName(String);

/// A name that is not a [`BridgeName`], or not a [`KernelName`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "bridge name \"{}\" cannot be used in a rule: 1 to 15 letters, digits, '_', '-' or '.'",
    sanitize::escape(.0)
)]
pub struct InvalidBridgeName(String);

/// An interface name that the kernel accepts (net/core/dev.c, `dev_valid_name`): 1 to 15 bytes
/// other than `/`, `:` and white space, and neither `.` nor `..`.
///
/// A network whose bridge has such a name is known by it and stays closed, unless the name is a
/// [`BridgeName`] as well. The name goes into the set of known bridges and into nothing else: no
/// other rule, no path below /proc/sys, no command line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KernelName(String);

impl KernelName {
    /// The name in the kernel.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name in nft's syntax, where nft can express it. nft reads a trailing `*` as a wildcard unless a
    /// `\` stands before it, within the 15 bytes that a name may have, and a leading `@` in JSON
    /// as the name of a set (nftables: src/evaluate.c, `expr_evaluate_string`; src/parser_json.c,
    /// `json_parse_immediate`).
    pub fn in_nft(&self) -> Option<String> {
        let name = &self.0;
        match name.strip_suffix('*') {
            _ if name.starts_with('@') => None,
            None => Some(name.clone()),
            Some(stem) if stem.ends_with('\\') || name.len() == LONGEST => None,
            Some(stem) => Some(format!("{stem}\\*")),
        }
    }

    /// A file name that stands for this name alone: bytes other than those of a [`BridgeName`]
    /// as `%` and two hexadecimal digits.
    pub fn file_stem(&self) -> String {
        Self::stem_of(&self.0)
    }

    /// The same for the name of any interface.
    pub fn stem_of(name: &str) -> String {
        let mut stem = String::new();
        for byte in name.bytes() {
            if is_plain(byte) {
                stem.push(char::from(byte));
            } else {
                stem.push_str(&format!("%{byte:02x}"));
            }
        }
        stem
    }
}

impl FromStr for KernelName {
    type Err = InvalidBridgeName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let fits = (1..=LONGEST).contains(&name.len());
        // The kernel's isspace() includes 0xa0 (lib/ctype.c), which libvirt's XML may contain as part
        // of a character.
        let refused = |c: u8| matches!(c, 0 | b'/' | b':' | b' ' | 9..=13 | 0xa0);
        if fits && ![".", ".."].contains(&name) && !name.bytes().any(refused) {
            Ok(Self(name.to_owned()))
        } else {
            Err(InvalidBridgeName(name.to_owned()))
        }
    }
}

impl TryFrom<String> for KernelName {
    type Error = InvalidBridgeName;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        name.parse()
    }
}

impl From<KernelName> for String {
    fn from(name: KernelName) -> Self {
        name.0
    }
}

impl From<&BridgeName> for KernelName {
    fn from(name: &BridgeName) -> Self {
        Self(name.0.clone())
    }
}

/// For people: the name is foreign text.
impl fmt::Display for KernelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&sanitize::escape(&self.0))
    }
}

fn is_plain(c: u8) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-' | b'.')
}

impl BridgeName {
    /// The name in the kernel.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BridgeName {
    type Err = InvalidBridgeName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let fits = (1..=LONGEST).contains(&name.len());
        let special = [".", "..", "all", "default"].contains(&name);
        if fits && !special && name.bytes().all(is_plain) {
            Ok(Self(name.to_owned()))
        } else {
            Err(InvalidBridgeName(name.to_owned()))
        }
    }
}

impl TryFrom<String> for BridgeName {
    type Error = InvalidBridgeName;

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

    #[test]
    fn a_name_is_literal_in_nft_or_has_no_words_there() {
        let nft = |name: &str| name.parse::<KernelName>().unwrap().in_nft();
        for name in ["virbr0", "a+", "a*b", "br@ev2", "größe", "a\"b", "\\"] {
            assert_eq!(nft(name).as_deref(), Some(name));
        }
        assert_eq!(nft("virbr*").as_deref(), Some("virbr\\*"));
        assert_eq!(nft("**").as_deref(), Some("*\\*"));
        for name in ["@", "@x", "a\\*", "12345678901234*"] {
            assert_eq!(nft(name), None, "{name}");
        }
    }

    #[test]
    fn the_kernel_takes_more_names_than_a_rule_and_each_has_a_file_of_its_own() {
        let names = [
            "virbr0", "br@ev2", "virbr*", "*", "a+", "a\"b", "a\\", "größe", "all", "default",
            "%61", "a",
        ];
        let stems: std::collections::BTreeSet<_> = names
            .iter()
            .map(|name| name.parse::<KernelName>().unwrap().file_stem())
            .collect();
        assert_eq!(stems.len(), names.len());
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-.%".contains(c);
        assert!(
            stems.iter().all(|stem| stem.chars().all(plain)),
            "{stems:?}"
        );
        for bad in [
            "",
            ".",
            "..",
            "a/b",
            "a:b",
            "a b",
            "a\tb",
            "a\u{b}b",
            "1234567890123456",
        ] {
            assert!(bad.parse::<KernelName>().is_err(), "{bad:?}");
        }
    }
}
