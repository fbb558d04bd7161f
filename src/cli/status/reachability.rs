//! Reachability on this host as it is, with everything that blocks connections.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use virt_forward_policy::{
    self as policy, Access, MatrixCell, Reachability,
    config::Config,
    netfilter::{ChainName, Family},
    network::Network,
};
use virt_forward_reconcile::Preview;
use virt_forward_ruleset::gates::Owner;

use super::{
    fault::NetworkState,
    model::{NetworkStatus, PairStatus, StatusInput},
    observe::blocking_chains,
    reason::{Block, NetworkReason, PairReason},
};
use crate::host::Host;

/// Pairs of networks, and pairs of a network and an external subnet. A network that should be open
/// and is not has no access by the config, and connections that libvirt's rules accept pass no other
/// firewall for that.
pub(super) fn of(
    input: &StatusInput,
    networks: &[NetworkStatus],
) -> (Vec<PairStatus>, Vec<PairStatus>) {
    let wanted = &input.inspection.wanted;
    let none = Access::default();
    let mut pairs: Vec<(&Network, &Access)> = Vec::new();
    for (record, status) in wanted.records.iter().zip(networks) {
        let is_right = status.fault.is_none();
        let access = if is_right { &record.access } else { &none };
        pairs.push((&record.network, access));
    }
    let config = &wanted.usable;
    let subnets = external_subnets(config, &pairs, input.host);
    let host = HostBlocks::new(input, networks);
    let reach = policy::matrix(config, &pairs).into_iter();
    let outside = policy::external_matrix(config, &pairs, &subnets).into_iter();
    (
        reach.map(|cell| host.status(cell)).collect(),
        outside.map(|cell| host.status(cell)).collect(),
    )
}

/// The external subnets that the config names, and the Internet where there is a route to it.
fn external_subnets(config: &Config, pairs: &[(&Network, &Access)], host: &Host) -> Vec<IpNet> {
    let networks = pairs.iter().map(|(network, _)| *network);
    let mut subnets = policy::external_endpoints(config, networks);
    let families: [IpAddr; 2] = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
    for any in families {
        let internet = IpNet::new_assert(any, 0);
        if host.route_to(any).is_some() && !subnets.contains(&internet) {
            subnets.push(internet);
        }
    }
    subnets
}

/// A chain, or none, for IPv4 and for IPv6.
#[derive(Clone, Copy)]
struct ByFamily<'a> {
    ipv4: Option<&'a ChainName>,
    ipv6: Option<&'a ChainName>,
}

impl<'a> ByFamily<'a> {
    fn new(find: impl Fn(Family) -> Option<&'a ChainName>) -> Self {
        Self {
            ipv4: find(Family::Ip),
            ipv6: find(Family::Ip6),
        }
    }

    fn get(self, is_ipv4: bool) -> Option<&'a ChainName> {
        if is_ipv4 { self.ipv4 } else { self.ipv6 }
    }
}

/// What blocks connections on this host, whatever the config allows.
struct HostBlocks<'a> {
    input: &'a StatusInput<'a>,
    networks: &'a [NetworkStatus],
    /// The first chain that blocks all packets.
    chains: ByFamily<'a>,
    /// The first chain that blocks packets without the mark.
    unmarked: ByFamily<'a>,
}

impl<'a> HostBlocks<'a> {
    fn new(input: &'a StatusInput<'a>, networks: &'a [NetworkStatus]) -> Self {
        let wanted = &input.inspection.wanted;
        Self {
            input,
            networks,
            chains: ByFamily::new(|family| {
                let mut chains = blocking_chains(wanted).map(|obstacle| &obstacle.chain);
                chains.find(|chain| sees(chain.family, family))
            }),
            unmarked: ByFamily::new(|family| unmarked_chain(wanted, family)),
        }
    }

    /// The cell with what blocks it. Later steps override earlier ones, as their cause is nearer to
    /// what an administrator would change.
    fn status(&self, cell: MatrixCell) -> PairStatus {
        let MatrixCell { from, to, reason } = cell;
        let external = from.external().or(to.external());
        let is_ipv4 = external.is_none_or(|net| net.addr().is_ipv4());
        let networks = [from.network(), to.network()].into_iter().flatten();
        let fault = networks.filter_map(|name| self.network_state(name)).next();
        let mut reason = match (fault, reason.libvirt()) {
            (Some((network, state)), Some(libvirt)) => PairReason::Network(NetworkReason {
                network,
                state,
                libvirt,
            }),
            _ => PairReason::Policy(reason),
        };
        if let Some(block) = self.chain_block(&reason, is_ipv4) {
            reason = PairReason::Blocked(block);
        }
        if let Some(external) = external {
            let is_inbound = from.external().is_some();
            if self.input.inspection.wanted.is_firewalld_closed
                && is_inbound
                && reason.is_by_policy()
            {
                reason = PairReason::Blocked(Block::Firewalld);
            }
            if let Some(block) = self.forwarding_block(&reason, &external) {
                reason = PairReason::Blocked(block);
            }
        }
        PairStatus::new(from, to, reason)
    }

    /// The network with its state, where that is not the desired one.
    fn network_state(&self, name: &str) -> Option<(String, NetworkState)> {
        let network = self.networks.iter().find(|network| network.name == name)?;
        (!network.state.is_right()).then(|| (network.name.clone(), network.state))
    }

    fn chain_block(&self, reason: &PairReason, is_ipv4: bool) -> Option<Block> {
        if let Some(chain) = self.chains.get(is_ipv4) {
            let chain = chain.to_string();
            return Some(Block::Chain { chain });
        }
        let chain = self.unmarked.get(is_ipv4)?.to_string();
        let is_open = reason.reachability() != Reachability::Closed;
        (is_open && !reason.is_by_policy()).then_some(Block::UnmarkedInChain { chain })
    }

    /// Packets from outside, replies included, must be forwarded by the interface they arrive on.
    fn forwarding_block(&self, reason: &PairReason, external: &IpNet) -> Option<Block> {
        let route = self.input.host.route_to(external.addr())?;
        let is_ipv4 = external.addr().is_ipv4();
        let is_open = reason.reachability() != Reachability::Closed;
        let is_blocked = is_open && !self.input.settings.forwards(&route.interface, is_ipv4);
        is_blocked.then(|| Block::Forwarding {
            interface: route.interface.clone(),
        })
    }
}

/// The first chain of a firewall that blocks packets without the mark. libvirt's chains are left out:
/// their rules accept packets before the chain's policy applies.
fn unmarked_chain(wanted: &Preview, family: Family) -> Option<&ChainName> {
    let site = wanted.survey.sites.iter().find(|site| {
        site.refuses && site.owner != Owner::Libvirt && sees(site.base.family, family)
    })?;
    site.placement.is_some().then_some(&site.base)
}

fn sees(chain: Family, family: Family) -> bool {
    chain == Family::Inet || chain == family
}
