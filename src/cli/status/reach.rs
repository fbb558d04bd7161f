//! Who reaches whom now, faults of this host included.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::IpNet;
use virt_forward_policy::{
    self as policy, Access, MatrixCell, Reachability,
    config::Config,
    netfilter::{ChainName, Family},
    network::Network,
    sanitize::shown,
};
use virt_forward_reconcile::Preview;

use super::model::{NetworkStatus, Seen, certain};
use crate::host::Host;

/// Among networks, and between them and what is outside. A network that should be open and is
/// not is in no group's reach, and what libvirt lets through by itself passes no other firewall.
pub(super) fn of(seen: &Seen, networks: &[NetworkStatus]) -> (Vec<MatrixCell>, Vec<MatrixCell>) {
    let wanted = &seen.inspection.wanted;
    let none = Access::default();
    let pairs = wanted.records.iter().zip(networks);
    let pairs: Vec<(&Network, &Access)> = pairs
        .map(|(record, status)| {
            let is_open = status.fault.is_none();
            (
                &record.network,
                if is_open { &record.access } else { &none },
            )
        })
        .collect();
    let config = &wanted.usable;
    let ends = ends(config, &pairs, seen.host);
    let faults = Faults::of(wanted, networks);
    let mut reach = policy::matrix(config, &pairs);
    for cell in &mut reach {
        faults.tell(cell, policy::NO_GROUP, true);
    }
    let mut outside = policy::external_matrix(config, &pairs, &ends);
    for cell in &mut outside {
        let end: Option<IpNet> = cell.from.parse().or_else(|_| cell.to.parse()).ok();
        faults.tell(
            cell,
            policy::NO_PEER,
            end.is_none_or(|end| end.addr().is_ipv4()),
        );
        if let Some(end) = end {
            faults.tell_of_uplink(cell, &end, seen);
        }
    }
    (reach, outside)
}

/// What the config names outside, and the Internet where there is a way to it.
fn ends(config: &Config, pairs: &[(&Network, &Access)], host: &Host) -> Vec<IpNet> {
    let mut ends = policy::external_endpoints(config, pairs.iter().map(|(network, _)| *network));
    let worlds: [IpAddr; 2] = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
    for world in worlds {
        let net = IpNet::new_assert(world, 0);
        if host.way_to(world).is_some() && !ends.contains(&net) {
            ends.push(net);
        }
    }
    ends
}

/// What is wrong with networks, and who refuses what.
struct Faults<'a> {
    /// By network: what is wrong with it, in a clause.
    of: BTreeMap<&'a str, String>,
    /// The first chain that refuses everything; over IPv4, over IPv6.
    refuses: [Option<&'a ChainName>; 2],
    /// The first that refuses what we do not mark.
    refuses_unmarked: [Option<&'a ChainName>; 2],
    is_firewalld_closed: bool,
}

impl<'a> Faults<'a> {
    fn of(wanted: &'a Preview, networks: &'a [NetworkStatus]) -> Self {
        let wrong = networks.iter().filter(|network| !network.state.is_right());
        let clause = |network: &NetworkStatus| {
            format!("{} is {}", shown(&network.name), network.state.word())
        };
        let families = [Family::Ip, Family::Ip6];
        Self {
            of: wrong
                .map(|network| (network.name.as_str(), clause(network)))
                .collect(),
            refuses: families.map(|family| {
                let mut chains = certain(wanted).map(|obstacle| &obstacle.chain);
                chains.find(|chain| sees(chain.family, family))
            }),
            // In a chain of libvirt's, its own rules accept before the chain's policy refuses.
            refuses_unmarked: families.map(|family| {
                let mut sites = wanted.survey.sites.iter();
                let site = sites.find(|site| {
                    site.refuses && site.owner != "libvirt" && sees(site.base.family, family)
                });
                site.filter(|site| site.spot.is_some())
                    .map(|site| &site.base)
            }),
            is_firewalld_closed: wanted.is_firewalld_closed,
        }
    }

    /// Puts into `cell`, whose reason begins with `prefix` where we do not open it, what is wrong.
    fn tell(&self, cell: &mut MatrixCell, prefix: &str, is_ipv4: bool) {
        let fault = |end: &String| self.of.get(end.as_str());
        if let Some(fault) = fault(&cell.from).or_else(|| fault(&cell.to)) {
            cell.why = cell.why.replacen(prefix, fault, 1);
        }
        let [refuses, unmarked] = [&self.refuses, &self.refuses_unmarked]
            .map(|[ipv4, ipv6]| if is_ipv4 { *ipv4 } else { *ipv6 });
        if let Some(chain) = refuses {
            close(cell, format!("{chain} refuses it"));
        } else if let Some(chain) = unmarked
            && !cell.is_ours
            && cell.verdict != Reachability::Closed
        {
            close(
                cell,
                format!(
                    "{chain} refuses what no group, no rule of the config and no rule of its own opens"
                ),
            );
        }
    }

    /// Everything that comes from outside, answers too, has to be forwarded there.
    fn tell_of_uplink(&self, cell: &mut MatrixCell, end: &IpNet, seen: &Seen) {
        let is_inward = cell.from.parse::<IpNet>().is_ok();
        if self.is_firewalld_closed && is_inward && cell.is_ours {
            close(
                cell,
                "firewalld has not been told of who may come in".to_owned(),
            );
        }
        let is_ipv4 = end.addr().is_ipv4();
        if let Some(route) = seen.host.way_to(end.addr())
            && cell.verdict != Reachability::Closed
            && !seen.settings.forwards(&route.interface, is_ipv4)
        {
            let interface = &route.interface;
            close(
                cell,
                format!("{interface} forwards nothing that comes in by it"),
            );
        }
    }
}

fn close(cell: &mut MatrixCell, why: String) {
    cell.verdict = Reachability::Closed;
    cell.why = why;
}

fn sees(chain: Family, family: Family) -> bool {
    chain == Family::Inet || chain == family
}
