//! What of the host itself, beside its networks and the config, the table depends on.

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

/// An interface whose forwarding virt-forward switched on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Enabled {
    /// The interface, as the kernel knows it.
    pub interface: String,
    /// The family that it forwards now.
    pub family: Ip,
}

/// A subnet that the host's routing reaches through an interface in a way that the kernel's
/// `fib` expression does not see: another next hop of an IPv6 route, a table behind a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ReturnPath {
    /// The interface.
    pub interface: String,
    /// The subnet; those of one interface do not overlap.
    pub subnet: IpNet,
}

/// What the table has to know of the host. It changes rarely: a change rebuilds the table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Host {
    /// Interfaces other than networks' bridges; for those see [`Member::enabled`](super::Member).
    /// What comes in by one of them passes only where policy allows it: without virt-forward the
    /// kernel would not forward it at all.
    pub enabled: BTreeSet<Enabled>,
    /// The families of which some interface, a network's bridge or another, forwards because of
    /// virt-forward.
    pub restricted: BTreeSet<Ip>,
    /// virt-forward switched on `net.ipv6.conf.all.forwarding`: IPv6 packets that policy does not
    /// allow are dropped, as the kernel would not forward any without it.
    pub enabled_all_ipv6: bool,
    /// Bridges that are no network's and that forward because of virt-forward. With br_netfilter
    /// the table sees what passes within a bridge, which nobody's forwarding has to do with.
    pub bridged: BTreeSet<String>,
    /// Sources that are no forged ones when they come in by that interface.
    pub return_paths: BTreeSet<ReturnPath>,
    /// Another firewall accepts peers by their addresses alone (rich rules of firewalld), so a
    /// packet with a peer's address that fails the reverse path check is dropped, not just left
    /// unmarked.
    pub drops_forged_peers: bool,
    /// Interfaces whose outside sources are left to the host's own source NAT: Docker drops
    /// replies to a container's own address that do not come from its bridge.
    pub masqueraded: BTreeSet<String>,
}

impl Host {
    /// The interfaces of [`enabled`](Self::enabled) of a family.
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
