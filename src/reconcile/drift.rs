//! Differences between the desired state and the observed one.

use virt_forward_policy::{netfilter::ChainName, network::KernelName};
use virt_forward_ruleset::sysctls::Key;

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

#[cfg(test)]
mod tests {
    use super::*;
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
