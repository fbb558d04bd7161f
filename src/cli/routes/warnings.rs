//! What will not work with the routes, or might not, and what to do about it.

use std::{collections::BTreeSet, net::IpAddr};

use ipnet::IpNet;
use virt_forward_policy::{
    self as policy,
    config::Config,
    network::{Mode, Network},
    overlap,
    sanitize::escape,
};

use super::plan::{Gateway, Lan};
use crate::{host::Host, settings::Settings, ways::Way};

/// What is looked at.
pub(super) struct Case<'a> {
    pub(super) config: &'a Config,
    pub(super) networks: &'a [Network],
    pub(super) host: &'a Host,
    pub(super) lan: &'a Lan,
    pub(super) gateway: Option<Gateway>,
    pub(super) settings: &'a dyn Settings,
}

impl Case<'_> {
    pub(super) fn warnings(&self) -> Vec<String> {
        let all = [
            self.nothing_to_reach(),
            self.not_of_this_host(),
            self.overlaps_of_networks(),
            self.overlaps_with_the_lan(),
            self.without_an_address(),
            self.not_let_in(),
            self.way_into_networks(),
            self.way_back_to_peers(),
            self.host_as_gateway(),
        ];
        all.concat()
    }

    fn subnets(&self) -> impl Iterator<Item = (&Network, IpNet)> {
        let networks = self.networks.iter();
        networks.flat_map(|network| network.subnets().into_iter().map(move |net| (network, net)))
    }

    fn nothing_to_reach(&self) -> Vec<String> {
        match self.networks.is_empty() {
            true => vec!["no network is active that could be reached".to_owned()],
            false => Vec::new(),
        }
    }

    /// May be right, where this host is behind another address; or a typo.
    fn not_of_this_host(&self) -> Vec<String> {
        let any = [super::plan::ANY4, super::plan::ANY6].into_iter();
        let via = any.filter_map(|any| self.lan.via(&any.into()));
        let has = |via: &IpAddr| {
            let mut own = self.host.interfaces.iter().flat_map(|one| &one.addresses);
            own.any(|own| own.addr() == *via)
        };
        let strange = via.filter(|via| !has(via));
        strange
            .map(|via| format!("{via} is no address of this host"))
            .collect()
    }

    fn overlaps_of_networks(&self) -> Vec<String> {
        let subnets: Vec<_> = self.subnets().collect();
        let mut said = Vec::new();
        for (at, (one, net)) in subnets.iter().enumerate() {
            let later = subnets.iter().skip(at + 1);
            for (other, with) in later.filter(|(_, with)| overlap(net, with)) {
                said.push(format!(
                    "{net} of {} and {with} of {} overlap: packets reach one of them only",
                    escape(&one.name),
                    escape(&other.name)
                ));
            }
        }
        said
    }

    /// A machine has its own LAN's addresses on the link: it sends none of them to a router.
    fn overlaps_with_the_lan(&self) -> Vec<String> {
        let is_bridge = |name: &str| {
            let mut bridges = self.networks.iter().filter_map(Network::routed_bridge);
            bridges.any(|bridge| bridge.as_str() == name)
        };
        let interfaces = self.host.interfaces.iter();
        let others = interfaces.filter(|one| one.name != "lo" && !is_bridge(&one.name));
        let others = others.flat_map(|one| one.addresses.iter().map(move |net| (one, net.trunc())));
        let others: Vec<_> = others.collect();
        let mut said = Vec::new();
        for (network, net) in self.subnets() {
            for (interface, lan) in others.iter().filter(|(_, lan)| overlap(&net, lan)) {
                said.push(format!(
                    "{net} of {} overlaps {lan}, which {} is in: machines there do not send to \
                     a router what they take for their neighbours'",
                    escape(&network.name),
                    interface.name
                ));
            }
        }
        said
    }

    fn without_an_address(&self) -> Vec<String> {
        let missing = self
            .subnets()
            .filter(|(_, net)| self.lan.via(net).is_none());
        let missing: Vec<_> = missing.map(|(_, net)| net.to_string()).collect();
        match missing.is_empty() {
            true => Vec::new(),
            false => vec![format!(
                "no address of this host in the LAN was found for {}: name it with --via",
                missing.join(", ")
            )],
        }
    }

    /// A route leads to a network, but libvirt refuses who comes by it.
    fn not_let_in(&self) -> Vec<String> {
        let refuses = |network: &&Network| {
            let access = policy::access_of(self.config, network);
            let is_closed = matches!(network.mode, Mode::Nat | Mode::Isolated);
            is_closed && policy::inbound_grants(self.config, network, &access).is_empty()
        };
        let names: Vec<_> = self
            .networks
            .iter()
            .filter(refuses)
            .map(|network| escape(&network.name))
            .collect();
        match names.is_empty() {
            true => Vec::new(),
            false => vec![format!(
                "nobody outside may open connections to {}: name the machines in peers of a \
                 group, or in from of an [[allow]]",
                names.join(", ")
            )],
        }
    }

    /// The way to a network's subnet has to be its bridge.
    fn way_into_networks(&self) -> Vec<String> {
        let mut said = Vec::new();
        for (network, net) in self.subnets() {
            let Some(bridge) = network.routed_bridge().map(ToString::to_string) else {
                continue;
            };
            match self.host.way_into(&net, &bridge, self.settings) {
                Way::Right => {}
                Way::Astray {
                    by,
                    is_dropped: true,
                    ..
                } => said.push(format!(
                    "rp_filter is 1 on {bridge}, and this host sends to {net} by {by}: what \
                     comes from there is dropped (net.ipv4.conf.{bridge}.rp_filter=2)"
                )),
                Way::Astray { by, .. } => said.push(format!(
                    "this host sends to {net} of {} by {by}, not by {bridge}",
                    escape(&network.name)
                )),
                Way::None => said.push(format!(
                    "this host itself has no route to {net} of {}",
                    escape(&network.name)
                )),
            }
        }
        said
    }

    /// Machines send to the address they have a route by; answers have to leave the same way.
    fn way_back_to_peers(&self) -> Vec<String> {
        let outside = self.networks.iter().flat_map(|network| {
            let access = policy::access_of(self.config, network);
            policy::external_subnets(self.config, &access)
        });
        let outside: BTreeSet<_> = outside.filter(|net| net.prefix_len() > 0).collect();
        let mut said = Vec::new();
        for net in outside {
            let Some(uplink) = self.uplink(&net) else {
                continue;
            };
            let Some(way) = self.host.way_to(net.network()) else {
                continue;
            };
            if way.interface == uplink || self.is_inside(&net) {
                continue;
            }
            let strict = match self.settings.is_strict(&uplink) && net.addr().is_ipv4() {
                true => format!(", and rp_filter is 1 on {uplink}"),
                false => String::new(),
            };
            said.push(format!(
                "{net} is let in by {} only, where this host's own route to it leads, not by \
                 {uplink}{strict}: name the address there with --via",
                way.interface
            ));
        }
        said
    }

    /// Whether it is part of a network, not outside.
    fn is_inside(&self, net: &IpNet) -> bool {
        self.subnets().any(|(_, own)| own.contains(net))
    }

    /// The interface that has the address which machines send to.
    fn uplink(&self, like: &IpNet) -> Option<String> {
        let via = self.lan.via(like)?;
        let mut interfaces = self.host.interfaces.iter();
        let has = |net: &IpNet| net.addr() == via;
        let found = interfaces.find(|one| one.addresses.iter().any(has));
        found.map(|one| one.name.clone())
    }

    fn host_as_gateway(&self) -> Vec<String> {
        if self.gateway != Some(Gateway::Host) {
            return Vec::new();
        }
        let mut said = vec![
            "answers from the Internet go from the router to the machines directly, past this \
             host: a firewall here that drops invalid packets (ufw, firewalld) may cut such \
             connections; with --gateway router they do not come by here"
                .to_owned(),
        ];
        let uplink = self.uplink(&super::plan::ANY4.into());
        if let Some(uplink) = uplink.filter(|uplink| !self.settings.forwards(uplink, true)) {
            said.push(format!(
                "this host forwards nothing that comes in by {uplink} \
                 (net.ipv4.conf.{uplink}.forwarding is 0)"
            ));
        }
        said
    }
}
