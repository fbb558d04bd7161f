//! The facts about the host that the table depends on, besides its networks and the config.

use std::{collections::BTreeSet, net::IpAddr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ip {
    /// IPv4
    V4,
    /// IPv6
    V6,
}

impl Ip {
    /// The family of an address.
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

/// An interface whose forwarding virt-forward enabled.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Enabled {
    /// The name of the interface.
    pub interface: String,
    /// The family.
    pub family: Ip,
}

/// A subnet that the host reaches through an interface, by a route that the kernel's `fib`
/// expression does not see: another next hop of an IPv6 route, or a table that a rule selects.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ReturnPath {
    /// The name of the interface.
    pub interface: String,
    /// The subnet; those of one interface do not overlap.
    pub subnet: IpNet,
}

/// The facts about the host that the table depends on. They change rarely, and a change rebuilds the
/// table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Host {
    /// Interfaces whose forwarding virt-forward enabled, other than networks' bridges, which
    /// [`Member`](super::Member) has. A packet that arrives on one of them passes only where policy
    /// allows it: without virt-forward the kernel would not forward it.
    pub enabled: BTreeSet<Enabled>,
    /// The families of which some interface, a network's bridge or another, forwards because of
    /// virt-forward.
    pub restricted: BTreeSet<Ip>,
    /// virt-forward enabled `net.ipv6.conf.all.forwarding`. IPv6 packets that policy does not allow
    /// are dropped, as the kernel would not forward any of them otherwise.
    pub enabled_all_ipv6: bool,
    /// Bridges other than networks' that forward because of virt-forward. With br_netfilter the table
    /// also sees packets within a bridge, which are bridged and not forwarded.
    pub bridged: BTreeSet<String>,
    /// Sources that pass the reverse path check on an interface although `fib` does not say so.
    pub return_paths: BTreeSet<ReturnPath>,
    /// Another firewall accepts peers by their addresses alone (rich rules of firewalld), so a
    /// packet with a peer's address that fails the reverse path check is dropped, not just left
    /// unmarked.
    pub drops_forged_peers: bool,
    /// Interfaces whose sources outside are not kept, so that the host's own source NAT applies:
    /// Docker drops replies to a container's own address that do not come from its bridge.
    pub masqueraded: BTreeSet<String>,
}

impl Host {
    /// The interfaces of [`enabled`](Self::enabled) that forward the family.
    pub fn enabled_of(&self, family: Ip) -> impl Iterator<Item = &str> {
        let all = self.enabled.iter();
        all.filter(move |one| one.family == family)
            .map(|one| one.interface.as_str())
    }

    /// The return paths of a family.
    pub fn return_paths_of(&self, family: Ip) -> impl Iterator<Item = &ReturnPath> {
        let all = self.return_paths.iter();
        all.filter(move |path| Ip::of(path.subnet.addr()) == family)
    }
}
