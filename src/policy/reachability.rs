//! Values of the reachability matrix.

use std::fmt;

use ipnet::IpNet;
use serde::Serialize;

/// Whether new connections pass one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Reachability {
    /// All traffic passes.
    Open,
    /// Some traffic passes.
    Limited,
    /// No traffic passes.
    Closed,
}

/// A row or a column of the matrix.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(untagged)]
pub enum MatrixEndpoint {
    /// A network, by its name.
    Network(String),
    /// An external subnet; one of all addresses stands for the Internet.
    External(IpNet),
}

impl MatrixEndpoint {
    /// The subnet, where the endpoint is external.
    pub fn external(&self) -> Option<IpNet> {
        match self {
            Self::Network(_) => None,
            Self::External(net) => Some(*net),
        }
    }

    /// The network's name, where the endpoint is a network.
    pub fn network(&self) -> Option<&str> {
        match self {
            Self::Network(name) => Some(name),
            Self::External(_) => None,
        }
    }
}

/// The name as it is, not escaped; or the subnet.
impl fmt::Display for MatrixEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(name) => f.write_str(name),
            Self::External(net) => write!(f, "{net}"),
        }
    }
}
