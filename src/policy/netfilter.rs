//! Names of netfilter tables and chains.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::sanitize::escape;

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
    /// The keyword in nft's syntax.
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

/// The table of virt-forward.
pub const TABLE: TableName<'static> = TableName {
    family: Family::Inet,
    name: "virt_forward",
};

/// The packet filter of the kernel that a chain belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// nf_tables: nft lists it, and iptables-nft writes to it.
    Nft,
    /// x_tables, of iptables-legacy: nft does not list it, and the kernel sends no notifications.
    Legacy,
}

/// The name of a chain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ChainName {
    /// Its packet filter.
    pub engine: Engine,
    /// The table's family.
    pub family: Family,
    /// The table.
    pub table: String,
    /// The chain.
    pub chain: String,
}

impl ChainName {
    /// The name of a chain of nf_tables.
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

    /// Whether the names need no quotes in a shell and in nft.
    pub fn is_plain(&self) -> bool {
        let plain = |name: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
            !name.starts_with('-') && name.chars().all(plain)
        };
        plain(&self.table) && plain(&self.chain)
    }

    /// Whether the table belongs to the iptables programs, which refuse a table with rules that they
    /// have not made ("incompatible, use 'nft' tool").
    pub fn is_of_iptables(&self) -> bool {
        let tables = ["filter", "nat", "mangle", "raw", "security"];
        self.engine == Engine::Legacy
            || self.family != Family::Inet && tables.contains(&self.table.as_str())
    }
}

/// `ip filter FORWARD`, as in nft's syntax; `iptables-legacy filter FORWARD`. The kernel accepts any
/// name, so it is escaped.
impl fmt::Display for ChainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = match (self.engine, self.family) {
            (Engine::Nft, family) => family.word(),
            (Engine::Legacy, Family::Ip6) => "ip6tables-legacy",
            (Engine::Legacy, Family::Ip | Family::Inet) => "iptables-legacy",
        };
        write!(
            f,
            "{family} {} {}",
            escape(&self.table),
            escape(&self.chain)
        )
    }
}
