//! The external subnets that a network may talk to.

use ipnet::IpNet;

use crate::{
    access::Access,
    config::{AllowRule, Config},
    network::Network,
    subnets::intersection,
};

/// The subnets, external or not, that a network with this access may open connections to or accept
/// them from.
pub fn external_subnets(config: &Config, access: &Access) -> Vec<IpNet> {
    let mut subnets: Vec<_> = peers_of(config, &access.groups).collect();
    for rule in &config.allows {
        if access.from.contains(&rule.id) {
            subnets.extend(rule.to.subnet());
        }
        if access.to.contains(&rule.id) {
            subnets.extend(rule.from.subnet());
        }
    }
    subnets
}

/// Connections that may come in from one subnet to another, which is a network's own or part of it.
#[derive(Clone, Debug)]
pub struct InboundGrant<'a> {
    /// The source.
    pub from: IpNet,
    /// The destination.
    pub to: IpNet,
    /// The rule that limits them; nothing where all traffic may pass.
    pub allow: Option<&'a AllowRule>,
}

/// The connections that may come in to `network` from external subnets.
pub fn inbound_grants<'a>(
    config: &'a Config,
    network: &Network,
    access: &Access,
) -> Vec<InboundGrant<'a>> {
    let mut grants = Vec::new();
    for from in peers_of(config, &access.groups) {
        let allow = None;
        let own = access.own.iter();
        grants.extend(own.map(|&to| InboundGrant { from, to, allow }));
    }
    let on_bridge = network.ip_subnets();
    for rule in &config.allows {
        let Some(from) = rule.from.subnet() else {
            continue;
        };
        if !access.to.contains(&rule.id) {
            continue;
        }
        let destinations: Vec<_> = match rule.to.subnet() {
            None => access.own.clone(),
            Some(to) => on_bridge
                .iter()
                .filter_map(|own| intersection(own, &to))
                .collect(),
        };
        let allow = Some(rule);
        let destinations = destinations.into_iter();
        grants.extend(destinations.map(|to| InboundGrant { from, to, allow }));
    }
    grants.retain(|grant| grant.from.addr().is_ipv4() == grant.to.addr().is_ipv4());
    grants
}

/// The peers of the groups with these names.
fn peers_of(config: &Config, groups: &[String]) -> impl Iterator<Item = IpNet> {
    let groups = config
        .groups
        .iter()
        .filter(|group| groups.contains(&group.name));
    groups.flat_map(|group| group.peers.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fixtures::{config, network, with},
        membership::access_of,
        network::Mode,
    };

    #[test]
    fn grants_join_subnets_of_one_family() {
        let config = config(
            "[[group]]\nname='kube'\nnetworks=['kube*']\npeers=['192.168.0.30','fd01::/64']\n\
             [[allow]]\nfrom='192.168.0.0/24'\nto='kube'\ntcp=[443]\n\
             [[allow]]\nfrom='0.0.0.0/0'\nto='10.17.4.21'\nicmp=true\n\
             [[allow]]\nfrom='kube'\nto='172.16.0.0/12'\nicmp=true",
        );
        let kube = with(
            network("kube03", Mode::Nat),
            &["10.17.4.1/24", "fd00::1/64"],
        );
        let access = access_of(&config, &kube);
        let inward: Vec<_> = inbound_grants(&config, &kube, &access)
            .iter()
            .map(|one| {
                let limit = one
                    .allow
                    .map_or("all".to_owned(), |rule| rule.traffic.to_string());
                format!("{} {} {limit}", one.from, one.to)
            })
            .collect();
        assert_eq!(
            inward,
            [
                "192.168.0.30/32 10.17.4.0/24 all",
                "fd01::/64 fd00::/64 all",
                "192.168.0.0/24 10.17.4.0/24 tcp 443",
                "0.0.0.0/0 10.17.4.21/32 icmp",
            ]
        );
        let outside: Vec<_> = external_subnets(&config, &access)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            outside,
            [
                "192.168.0.30/32",
                "fd01::/64",
                "192.168.0.0/24",
                "0.0.0.0/0",
                "172.16.0.0/12"
            ]
        );
    }
}
