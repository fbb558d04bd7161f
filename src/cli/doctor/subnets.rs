//! Subnets that are there twice: packets reach one of them only.

use ipnet::IpNet;
use virt_forward_policy::{
    network::Network,
    overlap,
    sanitize::{argument, escape},
};

use super::{Finding, Scene, or_ok};

const CHECK: &str = "subnets";

pub(crate) fn findings(scene: &Scene) -> Vec<Finding> {
    let active: Vec<_> = scene.networks.active.iter().collect();
    let inactive = scene.networks.inactive.iter();
    let inactive: Vec<_> = inactive.filter_map(|one| one.definition.as_ref()).collect();
    let interfaces = scene.host.interfaces.iter();
    let others = interfaces.filter(|one| one.name != "lo" && !scene.is_bridge(&one.name));
    let others: Vec<_> = others
        .flat_map(|one| {
            one.addresses
                .iter()
                .map(|net| (one.name.as_str(), net.trunc()))
        })
        .collect();
    let mut found = among(&active);
    found.extend(
        active
            .iter()
            .flat_map(|network| with_host(network, &others)),
    );
    found.extend(
        inactive
            .iter()
            .flat_map(|one| not_yet(one, &active, &others)),
    );
    found.extend(wider(scene, &active));
    or_ok(found, CHECK, "none is there twice")
}

/// Each shared pair of the two networks.
fn shared(one: &Network, other: &Network) -> Option<(IpNet, IpNet)> {
    let pairs = one.subnets().into_iter();
    let mut pairs = pairs.flat_map(|net| other.subnets().into_iter().map(move |with| (net, with)));
    pairs.find(|(net, with)| overlap(net, with))
}

fn edit(network: &Network) -> String {
    let name = argument(&network.name);
    format!("virsh net-edit {name}   # another subnet; then net-destroy and net-start")
}

fn among(active: &[&Network]) -> Vec<Finding> {
    let mut found = Vec::new();
    for (at, one) in active.iter().enumerate() {
        for other in active.iter().skip(at + 1) {
            if let Some((net, with)) = shared(one, other) {
                let what = format!(
                    "{net} of {} and {with} of {} overlap: packets reach one of them only",
                    escape(&one.name),
                    escape(&other.name)
                );
                found.push(Finding::wrong(CHECK, what).with(edit(other)));
            }
        }
    }
    found
}

fn with_host(network: &Network, others: &[(&str, IpNet)]) -> Vec<Finding> {
    let mut found = Vec::new();
    for net in network.subnets() {
        for (interface, with) in others.iter().filter(|(_, with)| overlap(&net, with)) {
            let what = format!(
                "{net} of {} overlaps {with}, which {interface} is in: packets reach one of them only",
                escape(&network.name)
            );
            found.push(Finding::wrong(CHECK, what).with(edit(network)));
        }
    }
    found
}

/// One that cannot start, or should not, beside what there is.
fn not_yet(one: &Network, active: &[&Network], others: &[(&str, IpNet)]) -> Option<Finding> {
    let name = escape(&one.name);
    let in_network = active.iter().find_map(|other| {
        let (net, with) = shared(one, other)?;
        Some(format!(
            "{net} of {name}, which is not active, overlaps {with} of {}",
            escape(&other.name)
        ))
    });
    let on_host = || {
        one.subnets().into_iter().find_map(|net| {
            let (interface, with) = others.iter().find(|(_, with)| overlap(&net, with))?;
            Some(format!(
                "{net} of {name}, which is not active, overlaps {with}, which {interface} is in"
            ))
        })
    };
    let what = in_network.or_else(on_host)?;
    Some(Finding::note(CHECK, what).with(edit(one)))
}

/// A route to more than a network's own, as a VPN has: what is in the network is its own.
fn wider(scene: &Scene, active: &[&Network]) -> Vec<Finding> {
    let mut found = Vec::new();
    let routes = scene.host.routes.iter().filter(|route| {
        let is_local = scene.is_bridge(&route.interface);
        route.to.prefix_len() > 0 && !is_local && route.gateway.is_some()
    });
    for route in routes {
        let inside = active.iter().find_map(|network| {
            let mut nets = network.subnets().into_iter();
            let net = nets.find(|net| route.to.contains(net) && route.to != *net)?;
            Some((network, net))
        });
        if let Some((network, net)) = inside {
            let (to, by) = (route.to, &route.interface);
            let what = format!(
                "the route to {to} by {by} has {net} of {} in it: who has that address there is not reached",
                escape(&network.name)
            );
            found.push(Finding::note(CHECK, what).with(edit(network)));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        doctor::{
            scene::tests::{Fake, network, route},
            tests::said,
        },
        host::Interface,
    };

    #[test]
    fn overlaps_are_told_with_whom() {
        let mut fake = Fake::new();
        assert_eq!(
            said(&findings(&fake.scene())),
            ["ok subnets: none is there twice"]
        );
        fake.host
            .interfaces
            .push(Interface::new("docker0", &["10.17.4.129/25"]));
        let found = said(&findings(&fake.scene()));
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with(
            "wrong subnets: 10.17.4.0/24 of kube03 overlaps 10.17.4.128/25, which docker0 is in"
        ));
        fake.host.interfaces.pop();
        fake.networks
            .active
            .push(network("twin", "br9", "10.17.3.9"));
        assert!(
            said(&findings(&fake.scene()))[0]
                .contains("10.17.3.0/24 of kube02 and 10.17.3.0/24 of twin overlap")
        );
    }

    #[test]
    fn a_wider_route_is_only_good_to_know() {
        let mut fake = Fake::new();
        fake.host.routes.push(route("10.0.0.0/8", "eth0"));
        let found = said(&findings(&fake.scene()));
        assert!(found[0].starts_with("ok"), "{found:?}");
        assert!(
            found[1].starts_with("note subnets: the route to 10.0.0.0/8 by eth0 has 10.17.3.0/24")
        );
    }
}
