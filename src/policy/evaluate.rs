//! One packet that opens a connection: who lets it pass, and who does not.

use std::{fmt, net::IpAddr};

use serde::Serialize;

use crate::Access;
use crate::{
    config::{AllowRule, Config, Group, PortRange, RuleEndpoint},
    network::{Mode, Network},
    sanitize::shown,
};

/// What it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Packet {
    /// To that port.
    Tcp(u16),
    /// To that port.
    Udp(u16),
    /// A ping.
    Icmp,
}

/// `tcp 443`, `icmp`
impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Packet::Tcp(port) => write!(f, "tcp {port}"),
            Packet::Udp(port) => write!(f, "udp {port}"),
            Packet::Icmp => f.write_str("icmp"),
        }
    }
}

impl Packet {
    fn is_of(self, allow: &AllowRule) -> bool {
        let has = |list: &[PortRange], port| {
            list.iter()
                .any(|one| (one.first..=one.last).contains(&port))
        };
        match self {
            Packet::Tcp(port) => has(&allow.tcp, port),
            Packet::Udp(port) => has(&allow.udp, port),
            Packet::Icmp => allow.icmp,
        }
    }

    /// The line of an `[[allow]]` that lets it pass.
    fn line(self) -> String {
        match self {
            Packet::Tcp(port) => format!("tcp = [{port}]"),
            Packet::Udp(port) => format!("udp = [{port}]"),
            Packet::Icmp => "icmp = true".to_owned(),
        }
    }
}

/// One end of its way.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint<'a> {
    /// The address.
    pub address: IpAddr,
    /// The network that it is in, with its access; nothing where it is outside.
    pub network: Option<(&'a Network, &'a Access)>,
}

impl Endpoint<'_> {
    fn network(&self) -> Option<&Network> {
        self.network.map(|(network, _)| network)
    }

    fn groups(&self) -> &[String] {
        self.network.map_or(&[], |(_, access)| &access.groups)
    }

    /// Whether its address is none of its network's own.
    fn is_foreign(&self) -> bool {
        self.network.is_some_and(|(network, access)| {
            let own = match access.is_empty() {
                true => network.subnets(),
                false => access.own.clone(),
            };
            !own.iter().any(|own| own.contains(&self.address))
        })
    }

    /// How a rule would name it.
    fn name(&self) -> String {
        match self.network() {
            Some(network) => shown(&network.name),
            None => self.address.to_string(),
        }
    }

    /// Whether an end of a rule takes it in; `names` tells whether it takes in a network of that
    /// access.
    fn is_at(&self, end: &RuleEndpoint, names: impl Fn(&Access) -> bool) -> bool {
        let has_address = end.subnet().is_none_or(|net| net.contains(&self.address));
        match self.network {
            Some((_, access)) => names(access) && has_address,
            None => end.subnet().is_some() && has_address,
        }
    }
}

/// What becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Our table marks it, and the gates let it pass.
    AllowedByPolicy {
        /// What opens it.
        why: String,
        /// It arrives with its own address, whatever libvirt masquerades.
        keeps_source: bool,
    },
    /// We have no part in it, and libvirt lets it pass.
    AllowedByLibvirt {
        /// What libvirt does.
        why: String,
    },
    /// Nobody lets it pass.
    Denied {
        /// Who refuses it.
        why: String,
        /// Lines of the config that would open it.
        remedy: Vec<String>,
    },
}

/// What the config, and else libvirt, makes of a packet.
pub fn evaluate(config: &Config, packet: Packet, from: &Endpoint, to: &Endpoint) -> Decision {
    if from.is_foreign() {
        return of_a_foreign_source(from, to);
    }
    let group = config
        .groups
        .iter()
        .find_map(|group| by_group(group, from, to));
    if let Some((why, keeps_source)) = group {
        return Decision::AllowedByPolicy { why, keeps_source };
    }
    let rules = config.numbered_allows().filter(|(number, allow)| {
        from.is_at(&allow.from, |access| access.from.contains(number))
            && to.is_at(&allow.to, |access| access.to.contains(number))
    });
    let rules: Vec<_> = rules.collect();
    if let Some((number, _)) = rules.iter().find(|(_, allow)| packet.is_of(allow)) {
        return Decision::AllowedByPolicy {
            why: format!("allow {number} lets {packet} pass"),
            keeps_source: to.network.is_some(),
        };
    }
    match alone(from.network(), to.network(), to.address.is_ipv4()) {
        Ok(why) => Decision::AllowedByLibvirt {
            why: why.to_owned(),
        },
        Err(why) => {
            let others: Vec<_> = rules
                .iter()
                .map(|(number, allow)| format!("allow {number} is for {allow} only"))
                .collect();
            let why = match others.is_empty() {
                true => format!("no group and no rule opens it, and {why}"),
                false => format!("{}, and {why}", others.join(", ")),
            };
            Decision::Denied {
                why,
                remedy: remedy(packet, from, to),
            }
        }
    }
}

/// A guest may send with any address; only its network's own opens anything. libvirt's rules
/// let no other out either (src/network/network_iptables.c, `iptablesForwardAllowOut`).
fn of_a_foreign_source(from: &Endpoint, to: &Endpoint) -> Decision {
    let alone = match from.network().map(|network| network.mode) {
        Some(Mode::Open) => alone(from.network(), to.network(), to.address.is_ipv4()),
        _ => Err("libvirt rejects what it sends"),
    };
    match alone {
        Ok(why) => Decision::AllowedByLibvirt {
            why: why.to_owned(),
        },
        Err(why) => Decision::Denied {
            why: format!(
                "{} is no address of {}, so nothing opens it, and {why}",
                from.address,
                from.name()
            ),
            remedy: Vec::new(),
        },
    }
}

/// Why a group opens it, and whether it keeps its source.
fn by_group(group: &Group, from: &Endpoint, to: &Endpoint) -> Option<(String, bool)> {
    let has = |endpoint: &Endpoint| endpoint.groups().contains(&group.name);
    let is_peer = |endpoint: &Endpoint| {
        endpoint.network.is_none()
            && group
                .peers
                .iter()
                .any(|net| net.contains(&endpoint.address))
    };
    let peer =
        |endpoint: &Endpoint| format!("{} is a peer of group {}", endpoint.address, group.name);
    if has(from) && has(to) {
        Some((format!("both are in group {}", group.name), true))
    } else if is_peer(from) && has(to) {
        Some((peer(from), true))
    } else if has(from) && is_peer(to) {
        Some((peer(to), group.keep_source))
    } else {
        None
    }
}

fn remedy(packet: Packet, from: &Endpoint, to: &Endpoint) -> Vec<String> {
    let end = |key: &str, endpoint: &Endpoint| format!("{key} = {:?}", endpoint.name());
    vec![
        "[[allow]]".to_owned(),
        end("from", from),
        end("to", to),
        packet.line(),
    ]
}

/// Whether libvirt's own rules let new connections pass.
pub fn libvirt_allows(from: &Endpoint, to: &Endpoint) -> bool {
    alone(from.network(), to.network(), to.address.is_ipv4()).is_ok()
}

/// What libvirt's own rules do with a new connection, its answers included
/// (src/network/network_nftables.c and network_iptables.c: what the rules of the receiving
/// network accept is not seen by those of the sending one). Nothing stands for outside.
pub(super) fn alone(
    from: Option<&Network>,
    to: Option<&Network>,
    is_ipv4: bool,
) -> Result<&'static str, &'static str> {
    let mode = |network: &Network| match network.mode {
        // Routed, unless it is masqueraded too.
        Mode::Nat if !network.is_masqueraded(is_ipv4) => Mode::Route,
        mode => mode,
    };
    if let Some(from) = from {
        if mode(from) == Mode::Isolated {
            return Err("libvirt lets nothing out of an isolated network, nor an answer in");
        }
        if from.forward_dev.is_some() && to.is_some() {
            return Err("libvirt forwards the first through its forward dev alone");
        }
    }
    let Some(to) = to else {
        return Ok("libvirt lets its networks out");
    };
    match (mode(to), &to.forward_dev) {
        (Mode::Nat | Mode::Isolated, _) => Err("libvirt rejects what comes in"),
        (_, Some(_)) if from.is_some() => {
            Err("libvirt forwards the second through its forward dev alone")
        }
        (Mode::Route, _) => Ok("libvirt routes to the second"),
        (Mode::Open | Mode::Unrouted, _) => Ok("libvirt has no rules for the second"),
        (Mode::Unknown, _) => Err("what libvirt does in the second's mode is not known"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        access_of,
        fixtures::{config, network, with},
    };

    #[test]
    fn a_packet_is_judged_by_group_by_rule_and_by_libvirt() {
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
                Decision::AllowedByPolicy { why, keeps_source } => {
                    format!("ours {keeps_source}: {why}")
                }
                Decision::AllowedByLibvirt { why } => format!("libvirt: {why}"),
                Decision::Denied { why, remedy } => format!("no: {why}; {}", remedy.join(" ")),
            }
        };
        let tcp = Packet::Tcp(443);
        for (packet, from, to, words) in [
            (
                tcp,
                "10.17.3.21",
                "10.17.4.21",
                "ours true: both are in group kube",
            ),
            (
                tcp,
                "192.168.0.30",
                "10.17.4.21",
                "ours true: 192.168.0.30 is a peer",
            ),
            (
                tcp,
                "10.17.4.21",
                "192.168.0.30",
                "ours false: 192.168.0.30 is a peer",
            ),
            (
                tcp,
                "10.17.7.9",
                "10.17.4.21",
                "ours true: allow 1 lets tcp 443 pass",
            ),
            (
                Packet::Icmp,
                "10.17.7.9",
                "10.17.4.21",
                "no: allow 1 is for tcp 443 only, and libvirt rejects",
            ),
            (
                tcp,
                "10.17.7.9",
                "10.17.4.22",
                "no: no group and no rule opens it, and libvirt rejects",
            ),
            (tcp, "10.17.4.21", "10.17.7.9", "no: no group"),
            (
                Packet::Icmp,
                "192.168.0.31",
                "10.17.9.21",
                "ours true: allow 2",
            ),
            (
                Packet::Udp(53),
                "192.168.0.31",
                "10.17.9.21",
                "no: allow 2 is for icmp only",
            ),
            (
                tcp,
                "10.17.9.21",
                "8.8.8.8",
                "no: no group and no rule opens it, and libvirt lets nothing out",
            ),
            (
                tcp,
                "10.17.4.21",
                "8.8.8.8",
                "libvirt: libvirt lets its networks out",
            ),
            (
                tcp,
                "10.17.7.9",
                "10.17.3.21",
                "libvirt: libvirt routes to the second",
            ),
            (
                tcp,
                "fd00:7::9",
                "fd00:4::21",
                "libvirt: libvirt routes to the second",
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
        let decision = evaluate(&config, tcp, &forged, &to);
        let Decision::Denied { why, remedy } = decision else {
            panic!("{decision:?}");
        };
        assert!(
            why.starts_with("10.17.4.99 is no address of kube02"),
            "{why}"
        );
        assert!(remedy.is_empty());
        let remedy = said(tcp, "192.168.0.99", "10.17.4.21");
        assert!(
            remedy.ends_with(r#"[[allow]] from = "192.168.0.99" to = "kube03" tcp = [443]"#),
            "{remedy}"
        );
    }
}
