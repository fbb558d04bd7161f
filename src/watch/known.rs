//! Which networks there are, as libvirt tells, and which of them are new.

use std::collections::{BTreeMap, BTreeSet};

use virt_forward_policy::network::Network;

/// libvirt's networks, by name.
#[derive(Debug, Default)]
pub(super) struct Known {
    active: BTreeMap<String, Network>,
    /// Those of them whose bridge was there at the last look.
    present: BTreeMap<String, Network>,
}

impl Known {
    /// These are active, and no others. The bridges of those that were until now.
    pub(super) fn are(&mut self, networks: Vec<Network>) -> Vec<String> {
        let named = networks.into_iter();
        let now = named.map(|network| (network.name.clone(), network));
        let before = std::mem::replace(&mut self.active, now.collect()).into_values();
        let ended = before.filter(|network| !self.has(network));
        let bridges = ended.filter_map(|network| network.known_bridge());
        bridges.map(String::from).collect()
    }

    /// The networks that have come since the last look, or are not as they were; `has` tells
    /// whether there is such an interface.
    pub(super) fn new_ones(&mut self, has: impl Fn(&Network) -> bool) -> Vec<Network> {
        let active = self.active.iter();
        let now: BTreeMap<_, _> = active
            .filter(|(_, network)| has(network))
            .map(|(name, network)| (name.clone(), network.clone()))
            .collect();
        let is_new =
            |(name, network): &(&String, &Network)| self.present.get(*name) != Some(*network);
        let new = now.iter().filter(is_new);
        let new = new.map(|(_, network)| network.clone()).collect();
        self.present = now;
        new
    }

    /// Those that are active.
    pub(super) fn all(&self) -> impl Iterator<Item = &Network> {
        self.active.values()
    }

    /// All of them are taken for new ones at the next look.
    pub(super) fn forget(&mut self) {
        self.present.clear();
    }

    /// The bridges of networks that are active.
    pub(super) fn bridges(&self) -> BTreeSet<String> {
        let bridges = self.active.values().filter_map(Network::known_bridge);
        bridges.map(String::from).collect()
    }

    /// Whether libvirt has a network of that name active with that bridge.
    pub(super) fn has(&self, network: &Network) -> bool {
        let known = self.active.get(&network.name);
        known.is_some_and(|known| known.known_bridge() == network.known_bridge())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use virt_forward_policy::network::read;

    fn network(name: &str, address: &str) -> Network {
        let xml = format!(
            "<network><name>{name}</name><forward mode='nat'/><bridge name='br{name}'/>\
             <ip address='{address}' prefix='24'/></network>"
        );
        read(xml.as_bytes()).unwrap()
    }

    #[test]
    fn only_what_is_new_is_told_and_only_once() {
        let mut known = Known::default();
        let (a, b) = (network("a", "10.0.0.1"), network("b", "10.0.1.1"));
        assert!(known.are(vec![a.clone(), b.clone()]).is_empty());
        // The bridge of b is not there yet.
        assert_eq!(
            known.new_ones(|network| network.name == "a"),
            std::slice::from_ref(&a)
        );
        assert_eq!(known.new_ones(|_| true), std::slice::from_ref(&b));
        assert!(known.new_ones(|_| true).is_empty());
        let other = network("a", "10.0.7.1");
        assert!(known.are(vec![other.clone(), b.clone()]).is_empty());
        assert_eq!(known.new_ones(|_| true), std::slice::from_ref(&other));
        assert_eq!(known.are(vec![other.clone()]), ["brb"]);
        assert!(known.has(&other) && !known.has(&b));
        assert!(known.new_ones(|_| true).is_empty());
        assert_eq!(known.bridges().into_iter().collect::<Vec<_>>(), ["bra"]);
        known.are(vec![other, b.clone()]);
        assert_eq!(known.new_ones(|_| true), [b]);
        known.forget();
        assert_eq!(known.new_ones(|_| true).len(), 2);
    }
}
