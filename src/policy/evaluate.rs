//! The decision about one packet that opens a connection.

use crate::{
    config::{AllowRule, Config, Group},
    decision::{Decision, Denial, ExampleRule, Grant},
    libvirt::{libvirt_verdict, libvirt_verdict_on_foreign_source},
    packet::{Endpoint, Packet},
};

/// Decides about `packet` by groups, then by rules, then by libvirt's own rules.
pub fn evaluate(config: &Config, packet: Packet, from: &Endpoint, to: &Endpoint) -> Decision {
    if from.is_foreign() {
        return evaluate_foreign_source(from, to);
    }
    if let Some((grant, keeps_source)) = by_groups(config, from, to) {
        return Decision::AllowedByPolicy {
            grant,
            keeps_source,
        };
    }
    let rules = rules_between(config, from, to);
    if let Some(rule) = rules.iter().find(|rule| packet.is_in(&rule.traffic)) {
        let rule = rule.id.clone();
        return Decision::AllowedByPolicy {
            grant: Grant::Rule { rule, packet },
            keeps_source: to.network.is_some(),
        };
    }
    let libvirt = libvirt_verdict(from.network(), to.network(), to.address.is_ipv4());
    if libvirt.allows() {
        return Decision::AllowedByLibvirt(libvirt);
    }
    let other = rules.iter();
    Decision::Denied(Denial::NoGrant {
        other: other
            .map(|rule| (rule.id.clone(), rule.traffic.clone()))
            .collect(),
        libvirt,
        example: ExampleRule::new(from, to, packet),
    })
}

fn evaluate_foreign_source(from: &Endpoint, to: &Endpoint) -> Decision {
    let is_ipv4 = to.address.is_ipv4();
    let libvirt = libvirt_verdict_on_foreign_source(from.network(), to.network(), is_ipv4);
    if libvirt.allows() {
        return Decision::AllowedByLibvirt(libvirt);
    }
    let network = from.network();
    Decision::Denied(Denial::ForeignSource {
        source: from.address,
        network: network.map(|one| one.name.clone()).unwrap_or_default(),
        libvirt,
    })
}

/// The first group that allows it, and whether any group that allows it keeps the source address.
fn by_groups(config: &Config, from: &Endpoint, to: &Endpoint) -> Option<(Grant, bool)> {
    let groups = config.groups.iter();
    let mut grants = groups.filter_map(|group| by_group(group, from, to));
    let (grant, keeps_source) = grants.next()?;
    let keeps_source = keeps_source || grants.any(|(_, keeps_source)| keeps_source);
    Some((grant, keeps_source))
}

fn by_group(group: &Group, from: &Endpoint, to: &Endpoint) -> Option<(Grant, bool)> {
    let is_member = |end: &Endpoint| end.groups().contains(&group.name);
    let is_peer = |end: &Endpoint| {
        end.network.is_none() && group.peers.iter().any(|net| net.contains(&end.address))
    };
    let name = || group.name.clone();
    let peer = |end: &Endpoint| Grant::Peer {
        peer: end.address,
        group: name(),
    };
    if is_member(from) && is_member(to) {
        Some((Grant::SameGroup { group: name() }, true))
    } else if is_peer(from) && is_member(to) {
        Some((peer(from), true))
    } else if is_member(from) && is_peer(to) {
        Some((peer(to), group.keep_source))
    } else {
        None
    }
}

/// The rules whose endpoints mean these two.
fn rules_between<'a>(config: &'a Config, from: &Endpoint, to: &Endpoint) -> Vec<&'a AllowRule> {
    let rules = config.allows.iter().filter(|rule| {
        from.is_meant(&rule.from, |access| access.from.contains(&rule.id))
            && to.is_meant(&rule.to, |access| access.to.contains(&rule.id))
    });
    rules.collect()
}

/// Whether libvirt's own rules accept new connections from one endpoint to the other.
pub fn libvirt_allows(from: &Endpoint, to: &Endpoint) -> bool {
    libvirt_verdict(from.network(), to.network(), to.address.is_ipv4()).allows()
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::{
        fixtures::{config, network, with},
        membership::access_of,
        network::Mode,
    };

    #[test]
    fn a_packet_is_allowed_by_group_by_rule_or_by_libvirt() {
        let config = config(
            "[[group]]\nname='kube'\nnetworks=['kube*']\npeers=['192.168.0.30']\n\
             [[allow]]\nfrom='dmz'\nto='10.17.4.21'\ntcp=[443]\n\
             [[allow]]\nfrom='192.168.0.31'\nto='iso'\nicmp=true",
        );
        let networks = [
            with(
                network("kube02", Mode::Route),
                &["10.17.3.1/24", "fd00:3::1/64"],
            ),
            with(
                network("kube03", Mode::Nat),
                &["10.17.4.1/24", "fd00:4::1/64"],
            ),
            with(network("dmz", Mode::Nat), &["10.17.7.1/24", "fd00:7::1/64"]),
            with(network("iso", Mode::Isolated), &["10.17.9.1/24"]),
        ];
        let accesses: Vec<_> = networks.iter().map(|one| access_of(&config, one)).collect();
        let said = |packet, from: &str, to: &str| {
            let endpoint = |address: &str| {
                let address: IpAddr = address.parse().unwrap();
                let mut all = networks.iter().zip(&accesses);
                let network =
                    all.find(|(one, _)| one.subnets().iter().any(|net| net.contains(&address)));
                Endpoint { address, network }
            };
            match evaluate(&config, packet, &endpoint(from), &endpoint(to)) {
                Decision::AllowedByPolicy {
                    grant,
                    keeps_source,
                } => format!("policy {keeps_source}: {grant}"),
                Decision::AllowedByLibvirt(libvirt) => format!("libvirt: {libvirt}"),
                Decision::Denied(denial) => {
                    let example = denial.example().map(ExampleRule::lines).unwrap_or_default();
                    format!("denied: {denial}; {}", example.join(" "))
                }
            }
        };
        let tcp = Packet::Tcp(443);
        for (packet, from, to, words) in [
            (
                tcp,
                "10.17.3.21",
                "10.17.4.21",
                "policy true: both are in group kube",
            ),
            (
                tcp,
                "192.168.0.30",
                "10.17.4.21",
                "policy true: 192.168.0.30 is a peer",
            ),
            (
                tcp,
                "10.17.4.21",
                "192.168.0.30",
                "policy false: 192.168.0.30 is a peer",
            ),
            (
                tcp,
                "10.17.7.9",
                "10.17.4.21",
                "policy true: allow 1 permits tcp 443",
            ),
            (
                Packet::Icmp,
                "10.17.7.9",
                "10.17.4.21",
                "denied: allow 1 is for tcp 443 only, and libvirt rejects inbound connections; ",
            ),
            (
                tcp,
                "10.17.7.9",
                "10.17.4.22",
                "denied: no group or rule allows it, and libvirt rejects inbound connections; ",
            ),
            (tcp, "10.17.4.21", "10.17.7.9", "denied: no group or rule"),
            (
                Packet::Icmp,
                "192.168.0.31",
                "10.17.9.21",
                "policy true: allow 2",
            ),
            (
                Packet::Udp(53),
                "192.168.0.31",
                "10.17.9.21",
                "denied: allow 2 is for icmp only",
            ),
            (
                tcp,
                "10.17.9.21",
                "8.8.8.8",
                "denied: no group or rule allows it, and libvirt rejects packets from an isolated network and replies to it; ",
            ),
            (
                tcp,
                "10.17.4.21",
                "8.8.8.8",
                "libvirt: libvirt accepts outbound connections",
            ),
            (
                tcp,
                "10.17.7.9",
                "10.17.3.21",
                "libvirt: libvirt routes to the destination network",
            ),
            (
                tcp,
                "fd00:7::9",
                "fd00:4::21",
                "libvirt: libvirt routes to the destination network",
            ),
            (tcp, "192.168.0.99", "10.17.3.21", "libvirt: libvirt routes"),
        ] {
            let said = said(packet, from, to);
            assert!(said.starts_with(words), "{from} {to}: {said}");
        }
        let forged = Endpoint {
            address: "10.17.4.99".parse().unwrap(),
            network: Some((&networks[0], &accesses[0])),
        };
        let to = Endpoint {
            address: "10.17.4.21".parse().unwrap(),
            network: Some((&networks[1], &accesses[1])),
        };
        let Decision::Denied(denial) = evaluate(&config, tcp, &forged, &to) else {
            panic!("the source is foreign");
        };
        assert_eq!(
            denial.to_string(),
            "10.17.4.99 is not an address of kube02, so no group or rule applies, \
             and libvirt rejects packets with that source"
        );
        assert_eq!(denial.example(), None);
        let remedy = said(tcp, "192.168.0.99", "10.17.4.21");
        assert!(
            remedy.ends_with(r#"[[allow]] from = "192.168.0.99" to = "kube03" tcp = [443]"#),
            "{remedy}"
        );
    }
}
