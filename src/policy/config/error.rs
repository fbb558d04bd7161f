//! Errors of the config file, as types; the texts are made here and nowhere else.

use std::{fmt, io};

use ipnet::IpNet;

use super::{name::MAX_NAME, on_error::OnError, pattern::MAX_PATTERN};
use crate::sanitize::escape;

/// Why a config is rejected. Nothing is opened then.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file exists and cannot be read.
    #[error("cannot read {path}: {why}")]
    Unreadable {
        /// The file.
        path: String,
        /// The system's error.
        why: io::Error,
    },
    /// The file is not a valid config.
    #[error("{path}, line {line}: {}", escape(&.fault.to_string()))]
    Wrong {
        /// The file.
        path: String,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong in that line.
        fault: ConfigFault,
        /// `on_error` of the same file, as far as it can be read: an administrator who wants failing
        /// networks refused wants that for an invalid file, too.
        on_error: OnError,
    },
}

impl ConfigError {
    /// The effect on a network that starts under this config.
    pub fn on_error(&self) -> OnError {
        match self {
            Self::Unreadable { .. } => OnError::Ignore,
            Self::Wrong { on_error, .. } => *on_error,
        }
    }
}

/// What is wrong in a line of the config. Values are the file's own text, not yet escaped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigFault {
    /// The TOML parser rejects the text, a key or the type of a value.
    #[error("{}{message}", prefix(.key.as_deref()))]
    Toml {
        /// The key that the line sets, if it sets one.
        key: Option<String>,
        /// The parser's message.
        message: String,
    },
    /// `mark` is not a single bit.
    #[error("mark: {0:#x} is not one bit of 32, like 0x10000000")]
    Mark(i64),
    /// A table lacks a key.
    #[error("{table} has no {key}")]
    MissingKey {
        /// The table.
        table: Table,
        /// The key.
        key: &'static str,
    },
    /// Two tables of one kind have the same name.
    #[error("name: duplicate {table} name \"{name}\"")]
    DuplicateName {
        /// The kind of table.
        table: Table,
        /// The name.
        name: String,
    },
    /// A name that cannot be part of a set's name.
    #[error(
        "name: invalid {table} name \"{name}\": use 1 to {MAX_NAME} letters, digits, '_', '-' or '.'"
    )]
    InvalidName {
        /// The kind of table.
        table: Table,
        /// The name.
        name: String,
    },
    /// A rule's name that could be a rule's number.
    #[error("name: invalid {table} name \"{name}\": a number identifies a rule without a name", table = Table::Allow)]
    NumericName {
        /// The name.
        name: String,
    },
    /// Neither an address nor a subnet.
    #[error(
        "{key}: invalid subnet \"{text}\": write it like \"192.168.0.0/24\" or \"fd00:1::/64\""
    )]
    InvalidSubnet {
        /// The key.
        key: &'static str,
        /// The value.
        text: String,
    },
    /// A subnet with bits set behind its prefix.
    #[error("{key}: \"{text}\" is a host address in {subnet}: write the address or the subnet")]
    HostBits {
        /// The key.
        key: &'static str,
        /// The value.
        text: String,
        /// The subnet of that prefix.
        subnet: IpNet,
    },
    /// An empty pattern.
    #[error("{key}: empty name: write a network's name, or \"*\" for all networks")]
    EmptyPattern {
        /// The key.
        key: &'static str,
    },
    /// A pattern longer than any network's name.
    #[error("{key}: name longer than {MAX_PATTERN} bytes: \"{text}\"")]
    LongPattern {
        /// The key.
        key: &'static str,
        /// The value.
        text: String,
    },
    /// A pattern with wildcards that do not make a glob.
    #[error("{key}: invalid glob \"{text}\": {reason}")]
    InvalidGlob {
        /// The key.
        key: &'static str,
        /// The value.
        text: String,
        /// The parser's message.
        reason: String,
    },
    /// A rule without tcp, udp and icmp.
    #[error("{table} permits no traffic: set tcp, udp or icmp", table = Table::Allow)]
    EmptyRule,
    /// A rule from one address family to the other.
    #[error("to: {from} and {to} are of different address families")]
    MixedFamilies {
        /// The subnet of `from`.
        from: IpNet,
        /// The subnet of `to`.
        to: IpNet,
    },
    /// A value that is not a port.
    #[error(
        "{key}: invalid port \"{text}\": write a number from 1 to 65535, or a range like \"30000-32767\""
    )]
    InvalidPort {
        /// The key.
        key: &'static str,
        /// The value, or the part of a range.
        text: String,
    },
    /// A value of a type that ports do not have.
    #[error("{key}: {value} is neither a port nor a range of ports")]
    PortType {
        /// The key.
        key: &'static str,
        /// The value, in TOML.
        value: String,
    },
    /// A range that ends before it starts.
    #[error("{key}: invalid port range \"{text}\": start is greater than end")]
    EmptyRange {
        /// The key.
        key: &'static str,
        /// The value.
        text: String,
    },
    /// A chain in `extra` of `[gates]` that cannot have a gate.
    #[error("extra: invalid chain \"{text}\": {reason}")]
    InvalidChain {
        /// The value.
        text: String,
        /// What is wrong with it.
        reason: ChainFault,
    },
}

/// `key: `, where there is a key.
fn prefix(key: Option<&str>) -> String {
    key.map(|key| format!("{key}: ")).unwrap_or_default()
}

/// The kinds of tables that the config repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// `[[group]]`
    Group,
    /// `[[allow]]`
    Allow,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Group => "[[group]]",
            Self::Allow => "[[allow]]",
        })
    }
}

/// Why a chain cannot have a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainFault {
    /// Not three words.
    #[error("write FAMILY TABLE CHAIN, like \"inet filter forward\"")]
    Words,
    /// A family whose forward hook sees no routed packets.
    #[error("the family must be ip, ip6 or inet")]
    Family,
    /// A chain of `inet virt_forward`.
    #[error("virt_forward is virt-forward's own table")]
    OwnTable,
    /// A name that rules cannot quote safely.
    #[error("names may have letters, digits, '_', '-', '.', '/' and '\\' only")]
    Characters,
}

/// A fault at a byte of the text.
#[derive(Debug)]
pub(super) struct ParseError {
    pub(super) at: usize,
    pub(super) fault: ConfigFault,
}

impl ParseError {
    pub(super) fn new(at: usize, fault: ConfigFault) -> Self {
        Self { at, fault }
    }
}
