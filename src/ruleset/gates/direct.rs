//! Docker's drops of direct access to containers. Docker 28 and later drops, before routing, packets to
//! a container's own address that arrive on an interface other than the container's bridge or one in
//! `com.docker.network.bridge.trusted_host_interfaces`. They would drop guests' replies to a container
//! that kept its address; replies to a masqueraded container go to an address of the host.
//!
//! Input: Docker's rules. Output: the bridges whose containers have to be masqueraded.

use std::{collections::BTreeSet, net::IpAddr};

/// A rule that matches packets to one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectAccessRule {
    /// The destination.
    pub to: IpAddr,
    /// The interfaces that they arrive on.
    pub by: By,
    /// Whether it drops them; otherwise it accepts them.
    pub drops: bool,
}

/// A condition on the interface that a packet arrives on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// One of these.
    Only(BTreeSet<String>),
    /// Any but these.
    AllBut(BTreeSet<String>),
}

impl DirectAccessRule {
    fn is_about(&self, to: IpAddr, interface: &str) -> bool {
        self.to == to
            && match &self.by {
                By::Only(names) => names.contains(interface),
                By::AllBut(names) => !names.contains(interface),
            }
    }
}

/// Whether a packet to `to` that arrives on `interface` is dropped. The first rule that matches decides.
pub fn drops(rules: &[DirectAccessRule], to: IpAddr, interface: &str) -> bool {
    let mut rules = rules.iter();
    rules
        .find(|rule| rule.is_about(to, interface))
        .is_some_and(|rule| rule.drops)
}

/// The bridges of containers whose own addresses are out of reach for packets from one of `bridges`.
pub fn masqueraded(rules: &[DirectAccessRule], bridges: &BTreeSet<String>) -> BTreeSet<String> {
    let is_dropped = |to| bridges.iter().any(|bridge| drops(rules, to, bridge));
    let mut of_containers = BTreeSet::new();
    for rule in rules {
        if let By::AllBut(names) = &rule.by
            && rule.drops
            && is_dropped(rule.to)
        {
            of_containers.extend(names.difference(bridges).cloned());
        }
    }
    of_containers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn rule(to: &str, by: By, drops: bool) -> DirectAccessRule {
        let to = to.parse().unwrap();
        DirectAccessRule { to, by, drops }
    }

    #[test]
    fn a_container_that_some_guest_cannot_reply_to_is_masqueraded() {
        let bridges = names(&["virbr1", "virbr2"]);
        let drop = |by: &[&str]| rule("172.17.0.2", By::AllBut(names(by)), true);
        let trust = |by| rule("172.17.0.2", By::Only(names(&[by])), false);
        let of = |rules: &[DirectAccessRule]| masqueraded(rules, &bridges);
        assert_eq!(of(&[]), names(&[]));
        assert_eq!(of(&[drop(&["docker0"])]), names(&["docker0"]));
        let [one, both] = [&[trust("virbr1")][..], &[trust("virbr1"), trust("virbr2")]]
            .map(|trusted| [trusted, &[drop(&["docker0"])]].concat());
        assert_eq!(of(&one), names(&["docker0"]));
        assert_eq!(of(&both), names(&[]));
        // As Docker writes it for nftables.
        assert_eq!(of(&[drop(&["br-1", "virbr1"])]), names(&["br-1"]));
        assert_eq!(of(&[drop(&["br-1", "virbr1", "virbr2"])]), names(&[]));
        // An accept after the drop, and one for another container.
        assert_eq!(
            of(&[drop(&["docker0"]), trust("virbr1"), trust("virbr2")]),
            names(&["docker0"])
        );
        let other = rule("172.17.0.3", By::Only(names(&["virbr1", "virbr2"])), false);
        assert_eq!(of(&[other, drop(&["docker0"])]), names(&["docker0"]));
        let to = "172.17.0.2".parse().unwrap();
        assert!(drops(&[drop(&["docker0"])], to, "virbr1"));
        assert!(!drops(&[drop(&["docker0"])], to, "docker0"));
        assert!(!drops(
            &[drop(&["docker0"])],
            "172.17.0.3".parse().unwrap(),
            "virbr1"
        ));
    }
}
