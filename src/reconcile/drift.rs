//! Differences between the desired state and the observed one.

use std::collections::{BTreeMap, BTreeSet};

use virt_forward_policy::{netfilter::ChainName, network::KernelName};
use virt_forward_ruleset::{
    sysctls::Key,
    table::{self, Host, Ip},
};

/// One difference that a repair found. It carries no text: the log of `watch` renders it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Drift {
    /// A previous run did not finish.
    InterruptedRun,
    /// Our table does not exist.
    TableMissing,
    /// Chains or rules of our table are not those that were built.
    TableChanged,
    /// The elements of a set of our table are not those of the records.
    SetChanged {
        /// The set.
        set: String,
    },
    /// The gate of a chain is missing, shadowed or misplaced.
    GateMissing {
        /// The chain.
        chain: ChainName,
    },
    /// Our table exists while no network is known.
    StaleTable,
    /// A gate exists while no network is known.
    StaleGate {
        /// The chain.
        chain: ChainName,
    },
    /// The table was built for another configuration, or by another version.
    ConfigChanged,
    /// Other parts of the configuration conflict with the host's addresses and routes.
    HostConflictsChanged,
    /// Other interfaces forward because of virt-forward.
    ForwardingChanged,
    /// The host's routes to the external subnets are others.
    RoutingChanged,
    /// firewalld has started or stopped.
    FirewalldToggled,
    /// Docker publishes other containers.
    DockerAccessChanged,
    /// A sysctl does not have the desired value.
    Sysctl {
        /// The sysctl.
        key: Key,
        /// Its observed value.
        value: String,
    },
    /// firewalld's policy object lacks the rules for peers.
    FirewalldLacksPeers,
    /// The bridge of a recorded network does not exist.
    NetworkGone {
        /// The network.
        network: String,
        /// Its bridge.
        bridge: KernelName,
    },
    /// A network is recorded as active, and libvirt does not have it active.
    NetworkInactive {
        /// The network.
        network: String,
    },
    /// A network is recorded as not active, and libvirt has it active.
    NetworkActive {
        /// The network.
        network: String,
    },
    /// Other active networks than recorded have a definition without a known bridge.
    UnreadableNetworksChanged,
}

/// The object that a [`Drift`] is about. Repairs of one object are counted together, in whatever
/// state it was found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// The state that a previous run left.
    PreviousRun,
    /// Our table, but for the elements of its sets.
    Table,
    /// A set of our table.
    Set(String),
    /// The gate of a chain.
    Gate(ChainName),
    /// The configuration.
    Config,
    /// Addresses and routes of the host that conflict with the configuration.
    HostConflicts,
    /// The interfaces that forward.
    Forwarding,
    /// The host's routing.
    Routing,
    /// Whether firewalld runs.
    Firewalld,
    /// The containers that Docker publishes.
    DockerAccess,
    /// A sysctl.
    Sysctl(Key),
    /// The rules of firewalld's policy object.
    FirewalldPeers,
    /// A network.
    Network(String),
    /// The networks without a known bridge.
    UnreadableNetworks,
}

impl Drift {
    /// The object that differs.
    pub fn subject(&self) -> Subject {
        match self {
            Self::InterruptedRun => Subject::PreviousRun,
            Self::TableMissing | Self::TableChanged | Self::StaleTable => Subject::Table,
            Self::SetChanged { set } => Subject::Set(set.clone()),
            Self::GateMissing { chain } | Self::StaleGate { chain } => Subject::Gate(chain.clone()),
            Self::ConfigChanged => Subject::Config,
            Self::HostConflictsChanged => Subject::HostConflicts,
            Self::ForwardingChanged => Subject::Forwarding,
            Self::RoutingChanged => Subject::Routing,
            Self::FirewalldToggled => Subject::Firewalld,
            Self::DockerAccessChanged => Subject::DockerAccess,
            Self::Sysctl { key, .. } => Subject::Sysctl(key.clone()),
            Self::FirewalldLacksPeers => Subject::FirewalldPeers,
            Self::NetworkGone { network, .. }
            | Self::NetworkInactive { network }
            | Self::NetworkActive { network } => Subject::Network(network.clone()),
            Self::UnreadableNetworksChanged => Subject::UnreadableNetworks,
        }
    }
}

impl Drift {
    /// Whether only a rebuild repairs it; gates, sysctls and firewalld are repaired alone.
    pub(crate) fn needs_rebuild(&self) -> bool {
        match self {
            Self::InterruptedRun
            | Self::TableMissing
            | Self::TableChanged
            | Self::SetChanged { .. }
            | Self::ConfigChanged
            | Self::HostConflictsChanged
            | Self::ForwardingChanged
            | Self::RoutingChanged
            | Self::FirewalldToggled
            | Self::DockerAccessChanged
            | Self::NetworkGone { .. }
            | Self::NetworkInactive { .. }
            | Self::NetworkActive { .. }
            | Self::UnreadableNetworksChanged => true,
            Self::GateMissing { .. }
            | Self::StaleTable
            | Self::StaleGate { .. }
            | Self::Sysctl { .. }
            | Self::FirewalldLacksPeers => false,
        }
    }
}

/// How exactly the host has to be what the table was built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tolerance {
    /// Any difference is drift.
    Exact,
    /// The host may need less. The kernel has deleted the bridge of a network that libvirt is
    /// stopping, and with it routes and sysctls; libvirt calls the `stopped` hook next, which builds
    /// the table for what is left.
    MayShrink,
}

impl Tolerance {
    fn accepts<T: Ord>(self, built: &BTreeSet<T>, observed: &BTreeSet<T>) -> bool {
        match self {
            Self::MayShrink => observed.is_subset(built),
            Self::Exact => observed == built,
        }
    }

    fn accepts_switch(self, built: bool, observed: bool) -> bool {
        built == observed || self == Self::MayShrink && built
    }
}

/// The families that the bridge of one network forwards because of virt-forward.
#[derive(Clone, Debug)]
pub(crate) struct BridgeForwarding {
    /// According to its record.
    pub(crate) recorded: BTreeSet<Ip>,
    /// On the host as it is.
    pub(crate) observed: BTreeSet<Ip>,
}

/// The drift of a table of which only the fingerprint is known.
pub(crate) fn table_drift(built: Option<&str>, observed: Option<&str>) -> Option<Drift> {
    if observed.is_none() {
        return Some(Drift::TableMissing);
    }
    (observed != built).then_some(Drift::TableChanged)
}

/// The first set whose observed elements are not the desired ones.
pub(crate) fn set_drift(
    desired: &BTreeMap<String, BTreeSet<table::SetKey>>,
    observed: &BTreeMap<String, BTreeSet<table::SetKey>>,
) -> Option<Drift> {
    let mut sets = desired.iter();
    let (set, _) = sets.find(|(set, elements)| observed.get(*set) != Some(*elements))?;
    Some(Drift::SetChanged { set: set.clone() })
}

/// The differences between the host that the table was built for and the host as it is.
pub(crate) fn host_drift(
    built: &Host,
    observed: &Host,
    bridges: &[BridgeForwarding],
    tolerance: Tolerance,
) -> Vec<Drift> {
    let is_forwarding_same = bridges
        .iter()
        .all(|bridge| tolerance.accepts(&bridge.recorded, &bridge.observed))
        && tolerance.accepts(&built.enabled, &observed.enabled)
        && tolerance.accepts(&built.restricted, &observed.restricted)
        && tolerance.accepts_switch(built.enabled_all_ipv6, observed.enabled_all_ipv6)
        && tolerance.accepts(&built.bridged, &observed.bridged);
    let mut drift = Vec::new();
    if !is_forwarding_same {
        drift.push(Drift::ForwardingChanged);
    }
    if !tolerance.accepts(&built.return_paths, &observed.return_paths) {
        drift.push(Drift::RoutingChanged);
    }
    if built.drops_forged_peers != observed.drops_forged_peers {
        drift.push(Drift::FirewalldToggled);
    }
    if !tolerance.accepts(&built.masqueraded, &observed.masqueraded) {
        drift.push(Drift::DockerAccessChanged);
    }
    drift
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_missing_changed_or_as_built() {
        assert_eq!(table_drift(Some("1"), None), Some(Drift::TableMissing));
        assert_eq!(table_drift(None, Some("1")), Some(Drift::TableChanged));
        assert_eq!(table_drift(Some("1"), Some("2")), Some(Drift::TableChanged));
        assert_eq!(table_drift(Some("1"), Some("1")), None);
    }

    #[test]
    fn the_first_set_with_other_elements_is_named() {
        let key = |byte| table::SetKey {
            from: vec![byte],
            to: None,
            is_end: false,
        };
        let sets = |bridges: &[u8], groups: &[u8]| {
            BTreeMap::from([
                (
                    "bridges".to_owned(),
                    bridges.iter().map(|byte| key(*byte)).collect(),
                ),
                (
                    "group_all".to_owned(),
                    groups
                        .iter()
                        .map(|byte| key(*byte))
                        .collect::<BTreeSet<_>>(),
                ),
            ])
        };
        let desired = sets(&[1, 2], &[1]);
        assert_eq!(set_drift(&desired, &desired), None);
        let changed = |set: &str| {
            Some(Drift::SetChanged {
                set: set.to_owned(),
            })
        };
        assert_eq!(set_drift(&desired, &sets(&[1], &[])), changed("bridges"));
        assert_eq!(
            set_drift(&desired, &sets(&[1, 2], &[1, 2])),
            changed("group_all")
        );
        assert_eq!(set_drift(&desired, &BTreeMap::new()), changed("bridges"));
    }

    #[test]
    fn each_part_of_the_host_is_a_drift_of_its_own() {
        let built = Host::default();
        let drift = |observed: &Host| host_drift(&built, observed, &[], Tolerance::Exact);
        assert_eq!(drift(&built), []);
        let forwarding = Host {
            enabled_all_ipv6: true,
            ..Host::default()
        };
        assert_eq!(drift(&forwarding), [Drift::ForwardingChanged]);
        let firewalld = Host {
            drops_forged_peers: true,
            ..Host::default()
        };
        assert_eq!(drift(&firewalld), [Drift::FirewalldToggled]);
        let docker = Host {
            masqueraded: ["docker0".to_owned()].into(),
            ..Host::default()
        };
        assert_eq!(drift(&docker), [Drift::DockerAccessChanged]);
        let both = Host {
            bridged: ["br0".to_owned()].into(),
            ..firewalld
        };
        assert_eq!(
            drift(&both),
            [Drift::ForwardingChanged, Drift::FirewalldToggled]
        );
    }

    #[test]
    fn while_a_network_stops_the_host_may_need_less_and_not_more() {
        let more = Host {
            restricted: [Ip::V4, Ip::V6].into(),
            enabled_all_ipv6: true,
            ..Host::default()
        };
        let less = Host {
            restricted: [Ip::V4].into(),
            ..Host::default()
        };
        let drift = |built, observed, tolerance| host_drift(built, observed, &[], tolerance);
        assert_eq!(drift(&more, &less, Tolerance::MayShrink), []);
        assert_eq!(
            drift(&more, &less, Tolerance::Exact),
            [Drift::ForwardingChanged]
        );
        assert_eq!(
            drift(&less, &more, Tolerance::MayShrink),
            [Drift::ForwardingChanged]
        );
    }

    #[test]
    fn a_bridge_that_forwards_otherwise_than_recorded_is_drift() {
        let host = Host::default();
        let bridge = BridgeForwarding {
            recorded: [Ip::V4].into(),
            observed: BTreeSet::new(),
        };
        let drift = |tolerance| host_drift(&host, &host, std::slice::from_ref(&bridge), tolerance);
        assert_eq!(drift(Tolerance::Exact), [Drift::ForwardingChanged]);
        assert_eq!(drift(Tolerance::MayShrink), []);
    }

    use virt_forward_policy::netfilter::Family;

    #[test]
    fn one_object_in_two_states_is_one_subject() {
        assert_eq!(Drift::TableMissing.subject(), Drift::TableChanged.subject());
        let chain = ChainName::nft(Family::Inet, "filter", "forward");
        let (missing, stale) = (
            Drift::GateMissing {
                chain: chain.clone(),
            },
            Drift::StaleGate { chain },
        );
        assert_eq!(missing.subject(), stale.subject());
        assert_ne!(missing.subject(), Drift::TableMissing.subject());
    }
}
