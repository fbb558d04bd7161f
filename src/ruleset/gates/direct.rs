//! Docker 28 and later drop, before routing, whatever comes to a container's own address by another
//! interface than the container's bridge or one that `com.docker.network.bridge.trusted_host_interfaces`
//! names. Answers of guests to a container that kept its address would end there; answers to one
//! that Docker has masqueraded go to an address of the host.

use std::{collections::BTreeSet, net::IpAddr};

/// A rule about packets to one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Where they go.
    pub to: IpAddr,
    /// The interfaces that they come in by.
    pub by: By,
    /// It drops them; else it accepts them, and no rule after it is evaluated.
    pub drops: bool,
}

/// Interfaces that packets come in by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// One of these.
    Only(BTreeSet<String>),
    /// Any but these.
    AllBut(BTreeSet<String>),
}

impl Rule {
    fn is_about(&self, to: IpAddr, interface: &str) -> bool {
        self.to == to
            && match &self.by {
                By::Only(names) => names.contains(interface),
                By::AllBut(names) => !names.contains(interface),
            }
    }
}

/// Whether a packet that comes in by `interface` for `to` is dropped.
pub fn drops(rules: &[Rule], to: IpAddr, interface: &str) -> bool {
    let mut rules = rules.iter();
    rules
        .find(|rule| rule.is_about(to, interface))
        .is_some_and(|rule| rule.drops)
}

/// The bridges of containers whose own addresses what comes in by one of `bridges` does not reach.
pub fn masqueraded(rules: &[Rule], bridges: &BTreeSet<String>) -> BTreeSet<String> {
    let is_dropped = |to| bridges.iter().any(|bridge| drops(rules, to, bridge));
    let of_containers = rules.iter().filter(|rule| is_dropped(rule.to));
    let names = of_containers.filter_map(|rule| match &rule.by {
        By::AllBut(names) if rule.drops => Some(names),
        _ => None,
    });
    let names = names.flatten().filter(|name| !bridges.contains(*name));
    names.cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn rule(to: &str, by: By, drops: bool) -> Rule {
        let to = to.parse().unwrap();
        Rule { to, by, drops }
    }

    #[test]
    fn containers_that_some_guest_cannot_answer_are_left_to_docker() {
        let bridges = names(&["virbr1", "virbr2"]);
        let drop = |by: &[&str]| rule("172.17.0.2", By::AllBut(names(by)), true);
        let trust = |by| rule("172.17.0.2", By::Only(names(&[by])), false);
        let of = |rules: &[Rule]| masqueraded(rules, &bridges);
        assert_eq!(of(&[]), names(&[]));
        assert_eq!(of(&[drop(&["docker0"])]), names(&["docker0"]));
        let [one, both] = [&[trust("virbr1")][..], &[trust("virbr1"), trust("virbr2")]]
            .map(|trusted| [trusted, &[drop(&["docker0"])]].concat());
        assert_eq!(of(&one), names(&["docker0"]));
        assert_eq!(of(&both), names(&[]));
        // As Docker writes it for nftables.
        assert_eq!(of(&[drop(&["br-1", "virbr1"])]), names(&["br-1"]));
        assert_eq!(of(&[drop(&["br-1", "virbr1", "virbr2"])]), names(&[]));
        // A trust that comes too late, or is about another container.
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
