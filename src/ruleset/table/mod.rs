//! Our table, `inet virt_forward`: it takes every decision, and nothing else does.
//!
//! ```text
//!  forward       clears the mark bit, whoever set it
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
//!                  policy does not allow (any more), and what only passes because virt-forward
//!                  switched on an interface's forwarding
//!  keep_source   an identity SNAT, so that libvirt's masquerade is skipped
//!  clear         clears the mark before the packet leaves
//! ```
//!
//! Be aware: an accept ends only its own base chain (nft(8), VERDICT STATEMENTS). This table
//! opens nothing by itself; the gates in the other firewalls do ([`crate::gates`]).

mod allow;
mod chains;
mod expr;
mod host;
mod normalize;
mod set_keys;
mod sets;

pub use chains::{FORWARD_PRIORITY, LABEL};
pub use chains::{closing, none, whole};
pub use expr::Batch;
pub(crate) use expr::{accept, counter, marked, ret};
pub use host::{Enabled, Host, Ip, ReturnPath};
pub use normalize::same;
pub use set_keys::{Element, Key, keys};
pub use sets::{Changes, Verb, add, remove};

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

/// What is the same for all networks: the chains and which sets there are.
#[derive(Clone, Debug)]
pub struct Layout {
    mark: MarkBit,
    groups: Vec<Group>,
    allows: Vec<AllowRule>,
    /// The config names an address or a subnet, which may be outside.
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
    /// The set of its bridges.
    fn set(&self) -> String {
        group_set(&self.name)
    }

    /// The sets of its peers, of each family that it has any of.
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
            of(format!("peers_{}4", self.name), IPV4, expr::Kind::Subnet4),
            of(format!("peers_{}6", self.name), IPV6, expr::Kind::Subnet6),
        ];
        all.into_iter().filter(|peers| !peers.subnets.is_empty())
    }
}

/// A set of a group's peers, of one family.
struct Peers {
    set: String,
    /// Any address of the family.
    any: IpAddr,
    kind: expr::Kind,
    subnets: Vec<IpNet>,
}

impl Peers {
    /// Whether they are all addresses of the family.
    fn is_all(&self) -> bool {
        self.subnets.iter().any(|subnet| subnet.prefix_len() == 0)
    }
}

const IPV4: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
const IPV6: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

impl Layout {
    /// The sets of bridges that networks are put into by what they are open for.
    fn sets(&self) -> Vec<String> {
        let mut sets: Vec<_> = self.groups.iter().map(Group::set).collect();
        for rule in &self.allows {
            sets.extend([from_set(&rule.id), to_set(&rule.id)]);
        }
        sets
    }

    /// The layout that `config` wants on this host.
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

/// A network in the table. A closed one is there by its bridge alone: its guests are not outside,
/// where the config may have peers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    name: String,
    bridge: KernelName,
    subnets: Vec<IpNet>,
    groups: Vec<String>,
    sets: Vec<String>,
    /// The families that its bridge forwards because of virt-forward, and for no other reason.
    enabled: BTreeSet<Ip>,
}

impl Member {
    /// The network with what its bridge forwards because of virt-forward.
    #[must_use]
    pub fn with_enabled(self, families: &BTreeSet<Ip>) -> Self {
        let enabled = families.clone();
        Self { enabled, ..self }
    }

    /// The network, open for nothing.
    fn closed(&self) -> Self {
        Self {
            subnets: Vec::new(),
            groups: Vec::new(),
            sets: Vec::new(),
            ..self.clone()
        }
    }

    /// The sets of bridges that it is in.
    fn bridge_sets(&self) -> impl Iterator<Item = &str> {
        let enabled = self.enabled.iter();
        let enabled = enabled.map(|family| chains::enabled_set(*family));
        self.sets.iter().map(String::as_str).chain(enabled)
    }

    /// Whether it is there for more than to be known.
    pub fn is_open(&self) -> bool {
        !self.sets.is_empty()
    }

    /// `network` with the access that policy gives it; nothing where the host does not route
    /// it.
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

/// The set of those whose guests are reached by it.
fn to_set(rule: &RuleId) -> String {
    format!("allow_{rule}_to")
}

/// The set of a group's bridges.
fn group_set(group: &str) -> String {
    format!("group_{group}")
}
