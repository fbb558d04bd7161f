//! The table `inet virt_forward`, which takes every decision about forwarded packets.
//!
//! Input: a [`Layout`], from the config and the host, and the [`Member`]s, which are the active
//! networks. Output: a [`Batch`] of commands for nft ([`replace_table`], [`closing`], [`delete_table`]), or set
//! elements in the form of nft and of the kernel ([`ElementChanges`], [`keys`]).
//!
//! ```text
//!  forward       clears the mark bit
//!    from_bridge   only a network's own sources go on to own_source
//!      own_source    leaves traffic within one bridge alone; a pair of one group, or a member
//!                    and a peer of it, goes to
//!        open          labels a new connection and marks the packet: the gates accept it
//!        allow_1       packets in the direction of an [[allow]] rule, by its ports
//!        reply_1       replies to them
//!      replies       replies of a labelled connection that leave by another bridge
//!    from_outside  a source that passes the reverse path check goes on to
//!      known_path    peers, and outside ends of [[allow]] rules
//!    errors        ICMP errors about allowed connections, from any router on their path
//!    unmarked      the end of every path above: drops packets of a labelled connection that
//!                  policy does not allow (any more), and packets that the kernel forwards only
//!                  because virt-forward enabled forwarding of an interface
//!  keep_source   an identity SNAT, so that libvirt's masquerade is skipped
//!  clear         clears the mark before the packet leaves
//! ```
//!
//! An `accept` ends only its own base chain (nft(8), VERDICT STATEMENTS), so this table opens
//! nothing by itself: the gates in the other firewalls do ([`crate::gates`]).

mod allow;
mod chains;
mod expr;
mod host;
mod normalize;
mod set_keys;
mod sets;
#[cfg(test)]
mod tests;
mod text;

pub use chains::{FORWARD_PRIORITY, LABEL};
pub use chains::{closing, delete_table, replace_table};
pub use expr::Batch;
pub(crate) use expr::{accept, counter, mark_bit_set, return_};
pub use host::{Enabled, Host, Ip, ReturnPath};
pub use normalize::is_equivalent;
pub use set_keys::{Element, SetKey, keys};
pub use sets::{ElementChanges, Op, add, remove};

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::IpNet;

use virt_forward_policy::{
    Access,
    config::{AllowRule, Config, MarkBit, RuleId},
    netfilter::TABLE,
    network::{KernelName, Network},
};

/// The part of the table that is the same for all networks: its chains and its sets.
#[derive(Clone, Debug)]
pub struct Layout {
    mark: MarkBit,
    groups: Vec<Group>,
    allows: Vec<AllowRule>,
    /// The config names an address or a subnet, which may be outside of all networks.
    knows_outside: bool,
    host: Host,
}

#[derive(Clone, Debug)]
struct Group {
    name: String,
    peers: Vec<IpNet>,
    keep_source: bool,
}

impl Group {
    /// The name of the set of the members' bridges.
    fn set(&self) -> String {
        group_set(&self.name)
    }

    /// The sets of the group's peers, one for each family that it has peers of.
    fn peers(&self) -> impl Iterator<Item = Peers> {
        let of = |set: String, any: IpAddr, kind| {
            let mine = self
                .peers
                .iter()
                .filter(|net| net.addr().is_ipv4() == any.is_ipv4());
            Peers {
                set,
                any,
                kind,
                subnets: mine.copied().collect(),
            }
        };
        let all = [
            of(
                format!("peers_{}4", self.name),
                IPV4,
                expr::SetKeyType::Subnet4,
            ),
            of(
                format!("peers_{}6", self.name),
                IPV6,
                expr::SetKeyType::Subnet6,
            ),
        ];
        all.into_iter().filter(|peers| !peers.subnets.is_empty())
    }
}

/// The peers of a group of one family, which have a set of their own.
struct Peers {
    set: String,
    /// An address of the family, which stands for it.
    any: IpAddr,
    kind: expr::SetKeyType,
    subnets: Vec<IpNet>,
}

impl Peers {
    /// Whether every address of the family is a peer.
    fn is_all(&self) -> bool {
        self.subnets.iter().any(|subnet| subnet.prefix_len() == 0)
    }
}

const IPV4: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
const IPV6: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

impl Layout {
    /// The names of the sets of bridges by group and by `[[allow]]` rule.
    fn sets(&self) -> Vec<String> {
        let mut sets: Vec<_> = self.groups.iter().map(Group::set).collect();
        for rule in &self.allows {
            sets.extend([from_set(&rule.id), to_set(&rule.id)]);
        }
        sets
    }

    /// The layout for `config` on this host.
    pub fn of(config: &Config, host: &Host) -> Self {
        Self {
            mark: config.mark,
            groups: config
                .groups
                .iter()
                .map(|group| Group {
                    name: group.name.clone(),
                    peers: group.peers.clone(),
                    keep_source: group.keep_source,
                })
                .collect(),
            allows: config.allows.clone(),
            knows_outside: config.references_subnets(),
            host: host.clone(),
        }
    }
}

/// A network in the table. A closed network has only its bridge in it, so that its guests do not
/// count as hosts outside, which may be peers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    name: String,
    bridge: KernelName,
    subnets: Vec<IpNet>,
    groups: Vec<String>,
    sets: Vec<String>,
    /// The families that the bridge forwards only because virt-forward enabled it.
    enabled: BTreeSet<Ip>,
}

impl Member {
    /// The network with the families that its bridge forwards only because of virt-forward.
    #[must_use]
    pub fn with_enabled(self, families: &BTreeSet<Ip>) -> Self {
        let enabled = families.clone();
        Self { enabled, ..self }
    }

    /// The network as a closed one.
    fn closed(&self) -> Self {
        Self {
            subnets: Vec::new(),
            groups: Vec::new(),
            sets: Vec::new(),
            ..self.clone()
        }
    }

    /// The sets of bridges that have the network's bridge as an element.
    fn bridge_sets(&self) -> impl Iterator<Item = &str> {
        let enabled = self.enabled.iter();
        let enabled = enabled.map(|family| chains::enabled_set(*family));
        self.sets.iter().map(String::as_str).chain(enabled)
    }

    /// Whether policy opens the network for anything.
    pub fn is_open(&self) -> bool {
        !self.sets.is_empty()
    }

    /// `network` with the access that policy gives it; `None` where the host does not route the
    /// network.
    pub fn new(network: &Network, access: &Access) -> Option<Self> {
        let groups = access.groups.iter().map(|group| group_set(group));
        let from = access.from.iter().map(from_set);
        let to = access.to.iter().map(to_set);
        Some(Self {
            name: network.name.clone(),
            bridge: network.known_bridge()?,
            subnets: access.own.clone(),
            groups: access.groups.iter().map(ToString::to_string).collect(),
            sets: groups.chain(from).chain(to).collect(),
            enabled: BTreeSet::new(),
        })
    }
}

/// The set of bridges whose guests open connections by an `[[allow]]` rule.
fn from_set(rule: &RuleId) -> String {
    format!("allow_{rule}_from")
}

/// The set of bridges whose guests an `[[allow]]` rule lets be reached.
fn to_set(rule: &RuleId) -> String {
    format!("allow_{rule}_to")
}

/// The set of the bridges of a group's members.
fn group_set(group: &str) -> String {
    format!("group_{group}")
}
