//! How tables and chains of the kernel are named.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::sanitize::shown;

/// The family of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    Ip,
    /// IPv6.
    Ip6,
    /// Both.
    Inet,
}

impl Family {
    /// nft's word for it.
    pub fn word(self) -> &'static str {
        match self {
            Family::Ip => "ip",
            Family::Ip6 => "ip6",
            Family::Inet => "inet",
        }
    }
}

/// A table, named by its family and name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableName<'a> {
    /// `ip`, `ip6`, `inet`.
    pub family: Family,
    /// The name.
    pub name: &'a str,
}

/// Ours, and only ours.
pub const TABLE: TableName<'static> = TableName {
    family: Family::Inet,
    name: "virt_forward",
};

/// Which of the kernel's two packet filters a chain is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// nf_tables: what nft shows, and what iptables-nft writes.
    Nft,
    /// x_tables, of iptables-legacy: nft does not see it, and no notification tells of it.
    Legacy,
}

/// A chain, named.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ChainName {
    /// The packet filter that it is in.
    pub engine: Engine,
    /// The table's family.
    pub family: Family,
    /// The table.
    pub table: String,
    /// The chain.
    pub chain: String,
}

impl ChainName {
    /// A chain of nf_tables.
    pub fn nft(family: Family, table: &str, chain: &str) -> Self {
        Self {
            engine: Engine::Nft,
            family,
            table: table.to_owned(),
            chain: chain.to_owned(),
        }
    }

    /// Another chain of the same table.
    pub fn beside(&self, chain: &str) -> Self {
        Self {
            chain: chain.to_owned(),
            ..self.clone()
        }
    }

    /// Whether both are in one table.
    pub fn is_beside(&self, other: &Self) -> bool {
        *self == other.beside(&self.chain)
    }

    /// Whether the names are words that a shell and nft take as they stand.
    pub fn is_plain(&self) -> bool {
        let plain = |name: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
            !name.starts_with('-') && name.chars().all(plain)
        };
        plain(&self.table) && plain(&self.chain)
    }

    /// Whether the table is one of the iptables programs': they refuse one that holds rules
    /// which they have not made ("incompatible, use 'nft' tool").
    pub fn is_of_iptables(&self) -> bool {
        let tables = ["filter", "nat", "mangle", "raw", "security"];
        self.engine == Engine::Legacy
            || self.family != Family::Inet && tables.contains(&self.table.as_str())
    }
}

/// `ip filter FORWARD`, as nft names a chain; `iptables-legacy filter FORWARD`. The kernel takes
/// any name.
impl fmt::Display for ChainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = match (self.engine, self.family) {
            (Engine::Nft, family) => family.word(),
            (Engine::Legacy, Family::Ip6) => "ip6tables-legacy",
            (Engine::Legacy, Family::Ip | Family::Inet) => "iptables-legacy",
        };
        write!(f, "{family} {} {}", shown(&self.table), shown(&self.chain))
    }
}
