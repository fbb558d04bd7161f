//! The networks that libvirt has active, and those of them that are new.

use std::collections::{BTreeMap, BTreeSet};

use virt_forward_policy::network::Network;

/// The active networks, by name.
#[derive(Debug, Default)]
pub(super) struct NetworkTracker {
    active: BTreeMap<String, Network>,
    /// Those whose bridge existed at the last check.
    present: BTreeMap<String, Network>,
}

impl NetworkTracker {
    /// Replaces the active networks; returns the bridges of those that are active no more.
    pub(super) fn set_active(&mut self, networks: Vec<Network>) -> Vec<String> {
        let named = networks.into_iter();
        let now = named.map(|network| (network.name.clone(), network));
        let before = std::mem::replace(&mut self.active, now.collect()).into_values();
        let ended = before.filter(|network| !self.has(network));
        let bridges = ended.filter_map(|network| network.known_bridge());
        bridges.map(String::from).collect()
    }

    /// Takes the networks that are new or have changed since the last check; `has` says whether the
    /// bridge of a network exists.
    pub(super) fn take_new(&mut self, has: impl Fn(&Network) -> bool) -> Vec<Network> {
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

    /// The active networks.
    pub(super) fn all(&self) -> impl Iterator<Item = &Network> {
        self.active.values()
    }

    /// Makes all networks new for the next check.
    pub(super) fn mark_all_new(&mut self) {
        self.present.clear();
    }

    /// The bridges of active networks.
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
    fn a_network_is_new_once() {
        let mut tracker = NetworkTracker::default();
        let (a, b) = (network("a", "10.0.0.1"), network("b", "10.0.1.1"));
        assert!(tracker.set_active(vec![a.clone(), b.clone()]).is_empty());
        // The bridge of b does not exist yet.
        assert_eq!(
            tracker.take_new(|network| network.name == "a"),
            std::slice::from_ref(&a)
        );
        assert_eq!(tracker.take_new(|_| true), std::slice::from_ref(&b));
        assert!(tracker.take_new(|_| true).is_empty());
        let other = network("a", "10.0.7.1");
        assert!(
            tracker
                .set_active(vec![other.clone(), b.clone()])
                .is_empty()
        );
        assert_eq!(tracker.take_new(|_| true), std::slice::from_ref(&other));
        assert_eq!(tracker.set_active(vec![other.clone()]), ["brb"]);
        assert!(tracker.has(&other) && !tracker.has(&b));
        assert!(tracker.take_new(|_| true).is_empty());
        assert_eq!(tracker.bridges().into_iter().collect::<Vec<_>>(), ["bra"]);
        tracker.set_active(vec![other, b.clone()]);
        assert_eq!(tracker.take_new(|_| true), [b]);
        tracker.mark_all_new();
        assert_eq!(tracker.take_new(|_| true).len(), 2);
    }
}
