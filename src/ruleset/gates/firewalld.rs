//! firewalld with its nftables backend. The daemon owns its table (`flags owner`, since 2.0) and
//! rebuilds it at every reload, so it gets no gate.
//!
//! firewalld forwards everything between the zones that libvirt puts its bridges in, `libvirt` and
//! `libvirt-routed` (libvirt, src/network/libvirt.zone: target ACCEPT). Packets from other zones need a
//! policy object: virt-forward's, from any zone to `libvirt`, has no permanent rule and gets one rich
//! rule at run time for each peer and each subnet that it may reach.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::{Firewall, Owner, chain_model::Chain};
use virt_forward_policy::{
    InboundGrant,
    config::PortRange,
    network::{BridgeName, Mode, Network},
};

/// The rich rules that accept what `grant` allows, limited to the ports of its `[[allow]]` rule if it
/// has one: firewalld alone keeps other packets out of networks that libvirt routes, most often with
/// IPv6.
pub fn rich_rules(grant: &InboundGrant) -> Vec<String> {
    let InboundGrant { from, to, allow } = grant;
    let family = match from {
        IpNet::V4(_) => "ipv4",
        IpNet::V6(_) => "ipv6",
    };
    let rule = |what: &str| {
        // firewalld refuses a source of prefix length 0.
        let source = match from.prefix_len() {
            0 => String::new(),
            _ => format!(" source address=\"{from}\""),
        };
        format!("rule family=\"{family}\"{source} destination address=\"{to}\"{what} accept")
    };
    let Some(allow) = allow else {
        return vec![rule("")];
    };
    let ports = |protocol: &'static str, ports: &[PortRange]| {
        let words = ports
            .iter()
            .map(move |ports| format!(" port port=\"{ports}\" protocol=\"{protocol}\""));
        words.collect::<Vec<_>>()
    };
    // firewalld takes this name for the protocol of the rule's family.
    let icmp = allow
        .traffic
        .icmp
        .then(|| " icmp-type name=\"echo-request\"".to_owned());
    let tcp = ports("tcp", &allow.traffic.tcp).into_iter();
    let words = tcp.chain(ports("udp", &allow.traffic.udp)).chain(icmp);
    words.map(|what| rule(&what)).collect()
}

/// The zone that libvirt puts the bridge of `network` in, of the `zones` that firewalld has (libvirt,
/// src/network/bridge_driver_linux.c, `networkAddFirewallRules`). `None` if it uses no zone, or not in
/// every version.
pub fn libvirts_zone(network: &Network, zones: &BTreeSet<String>) -> Option<String> {
    let zone = match (&network.zone, network.mode) {
        (Some(zone), Mode::Isolated | Mode::Nat | Mode::Route) => zone,
        (None, Mode::Route) if zones.contains("libvirt-routed") => "libvirt-routed",
        (None, Mode::Isolated | Mode::Nat | Mode::Route) => "libvirt",
        (_, Mode::Open | Mode::Unrouted | Mode::Unknown) => return None,
    };
    zones.contains(zone).then(|| zone.to_owned())
}

/// A bridge that is in a firewalld zone that may not let its guests through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnzonedBridge {
    /// The bridge.
    pub bridge: BridgeName,
    /// The zone; `None` for the default zone, which lets no guest through unless the administrator
    /// changed it.
    pub zone: Option<String>,
}

impl UnzonedBridge {
    /// `bridge` in that zone, unless the zone lets guests through.
    pub fn new(bridge: &BridgeName, zone: Option<String>) -> Option<Self> {
        let passes = ["libvirt", "libvirt-routed", "trusted"];
        let is_fine = zone.as_deref().is_some_and(|zone| passes.contains(&zone));
        (!is_fine).then(|| Self {
            bridge: bridge.clone(),
            zone,
        })
    }

    /// The shell command that lets its guests through.
    pub fn remedy(&self) -> String {
        format!(
            "firewall-cmd --zone=libvirt --change-interface={}",
            self.bridge
        )
    }
}

pub(super) struct Firewalld;

impl Firewall for Firewalld {
    fn owner(&self) -> Owner {
        Owner::Firewalld
    }

    fn is_in(&self, base: &Chain) -> bool {
        base.name.table == "firewalld"
    }

    fn passes(&self, base: &Chain) -> bool {
        self.is_in(base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use virt_forward_policy::network::read;

    #[test]
    fn the_zone_of_a_bridge_is_the_one_that_libvirt_uses() {
        let zones = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let all = zones(&["libvirt", "libvirt-routed", "public", "dmz"]);
        let zone = |forward: &str, zone: &str, zones: &BTreeSet<String>| {
            let xml = format!(
                "<network><name>a</name>{forward}<bridge name='br0' {zone}/>\
                 <ip address='10.0.0.1' prefix='24'/></network>"
            );
            libvirts_zone(&read(xml.as_bytes()).unwrap(), zones)
        };
        let found = |forward, own| zone(forward, own, &all).unwrap_or_default();
        assert_eq!(found("", ""), "libvirt");
        assert_eq!(found("<forward mode='nat'/>", ""), "libvirt");
        assert_eq!(found("<forward mode='route'/>", ""), "libvirt-routed");
        assert_eq!(found("<forward mode='route'/>", "zone='dmz'"), "dmz");
        assert_eq!(
            found("<forward mode='nat'/>", "zone='other'"),
            "",
            "there is none"
        );
        assert_eq!(found("<forward mode='open'/>", "zone='dmz'"), "");
        // libvirt before 8.10.
        let old = zones(&["libvirt"]);
        let routed = zone("<forward mode='route'/>", "", &old);
        assert_eq!(routed.as_deref(), Some("libvirt"));
    }
}
