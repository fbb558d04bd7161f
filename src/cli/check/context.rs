//! The inputs of [`evaluate_path`](super::evaluate_path).

use std::net::IpAddr;

use virt_forward_policy::{Endpoint, Packet, config::Config, netfilter::Family, network::Network};
use virt_forward_reconcile::Inspection;
use virt_forward_ruleset::gates::Site;
use virt_forward_system::state::Record;

use crate::{
    endpoint::ResolvedEndpoint,
    host::{Forwarded, Host, Incoming},
    sysctl::SysctlView,
};

/// Questions that only the kernel can answer.
pub(crate) trait KernelLookup {
    /// Looks up what the kernel's routing does with a packet.
    ///
    /// # Errors
    ///
    /// If the kernel cannot be asked; that it drops the packet is a result.
    fn route(&self, packet: &Incoming) -> anyhow::Result<Forwarded>;

    /// Whether a neighbour on an interface answers for an address; `None` if the kernel has not
    /// tried to find out.
    ///
    /// # Errors
    ///
    /// If the kernel cannot be asked.
    fn has_neighbour(&self, address: IpAddr, interface: &str) -> anyhow::Result<Option<bool>>;
}

/// A packet, and the state of the host that it passes.
pub(crate) struct CheckContext<'a> {
    pub(crate) config: &'a Config,
    pub(crate) inspection: &'a Inspection,
    pub(crate) host: &'a Host,
    pub(crate) settings: &'a dyn SysctlView,
    pub(crate) kernel: &'a dyn KernelLookup,
    pub(crate) from: ResolvedEndpoint<'a>,
    pub(crate) to: ResolvedEndpoint<'a>,
    pub(crate) packet: Packet,
}

impl CheckContext<'_> {
    /// Whether chains of that family see the packet.
    pub(super) fn is_seen_by(&self, family: Family) -> bool {
        match family {
            Family::Inet => true,
            Family::Ip => self.to.address.is_ipv4(),
            Family::Ip6 => self.to.address.is_ipv6(),
        }
    }

    /// The firewalls that see the packet.
    pub(super) fn sites(&self) -> impl Iterator<Item = &Site> {
        let sites = self.inspection.wanted.survey.sites.iter();
        sites.filter(|site| self.is_seen_by(site.base.family))
    }

    pub(super) fn is_libvirt_flushed(&self) -> bool {
        self.inspection.wanted.is_libvirt_flushed
    }

    /// The endpoint as policy knows it.
    pub(super) fn policy_endpoint(&self, endpoint: &ResolvedEndpoint) -> Endpoint<'_> {
        let record = endpoint.network.and_then(|network| self.record(network));
        Endpoint {
            address: endpoint.address,
            network: record.map(|record| (&record.network, &record.access)),
        }
    }

    /// Whether the network was closed by `remove`.
    pub(super) fn is_admin_closed(&self, network: &Network) -> bool {
        self.record(network).is_some_and(Record::is_admin_closed)
    }

    fn record(&self, network: &Network) -> Option<&Record> {
        let mut records = self.inspection.wanted.records.iter();
        records.find(|record| record.network.name == network.name)
    }
}
