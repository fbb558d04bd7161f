//! The traffic that an `[[allow]]` rule permits.

use std::fmt;

use serde::Serialize;

/// Ports and protocols that may pass.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Traffic {
    /// TCP destination ports, ascending and disjoint.
    pub tcp: Vec<PortRange>,
    /// UDP destination ports, ascending and disjoint.
    pub udp: Vec<PortRange>,
    /// Echo requests of ICMP and ICMPv6, and the replies to them; no other type.
    pub icmp: bool,
}

impl Traffic {
    /// Whether nothing may pass.
    pub fn is_empty(&self) -> bool {
        self.tcp.is_empty() && self.udp.is_empty() && !self.icmp
    }
}

/// `tcp 6443, 30000-32767; udp 53; icmp`
impl fmt::Display for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        for (protocol, ports) in [("tcp", &self.tcp), ("udp", &self.udp)] {
            let ports: Vec<_> = ports.iter().map(ToString::to_string).collect();
            if !ports.is_empty() {
                parts.push(format!("{protocol} {}", ports.join(", ")));
            }
        }
        if self.icmp {
            parts.push("icmp".to_owned());
        }
        f.write_str(&parts.join("; "))
    }
}

/// A range of ports, or a single one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct PortRange {
    /// The first port, at least 1.
    pub first: u16,
    /// The last port, not less than the first.
    pub last: u16,
}

impl PortRange {
    /// Whether the port is in the range.
    pub fn contains(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }
}

/// `6443`, `30000-32767`
impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}
