//! What a network's card says.

use virt_forward_policy::{
    Reachability,
    network::{Mode, Network},
    sanitize::escape,
};

use super::model::{Card, Look};
use crate::{
    guests::Guest,
    status::{NetworkState, NetworkStatus, Status},
};

/// More guests of a network are counted.
const GUESTS: usize = 8;

pub(super) fn look(network: &Network, status: &NetworkStatus) -> (Look, String) {
    let (look, word) = match status.state {
        NetworkState::Open if status.access.groups.is_empty() => (Look::Partial, "open in part"),
        NetworkState::Open => (Look::Open, "open"),
        NetworkState::Closed if status.held => (Look::Closed, "kept closed"),
        NetworkState::Closed if network.mode == Mode::Isolated => (Look::Closed, "isolated"),
        NetworkState::Closed => (Look::Closed, "closed"),
        wrong => (Look::Wrong, wrong.word()),
    };
    (look, word.to_owned())
}

/// What passes without us, as the host is now.
pub(super) fn notes(network: &Network, status: &Status) -> Vec<String> {
    let passes = |from: &str, to: &str| {
        let mut cells = status.outside.iter();
        let cell = cells.find(|cell| cell.from.to_string() == from && cell.to.to_string() == to);
        cell.is_none_or(|cell| cell.verdict != Reachability::Closed)
    };
    let name = network.name.as_str();
    let mut notes = Vec::new();
    match network.mode {
        Mode::Isolated => notes.push("libvirt lets nothing out".to_owned()),
        _ if !passes(name, "0.0.0.0/0") && !network.subnets4().is_empty() => {
            notes.push("nothing goes out".to_owned());
        }
        Mode::Nat => notes.push("masqueraded to outside".to_owned()),
        Mode::Route if passes("0.0.0.0/0", name) => {
            notes.push("routed: anyone comes in".to_owned());
        }
        Mode::Open if passes("0.0.0.0/0", name) => {
            notes.push("no rules of libvirt: anyone comes in".to_owned());
        }
        Mode::Route | Mode::Open | Mode::Unrouted | Mode::Unknown => {}
    }
    let is_routed_by_6 = network.mode == Mode::Nat && !network.nat_ipv6;
    if is_routed_by_6 && !network.subnets6().is_empty() && passes("::/0", name) {
        notes.push("IPv6 is routed: anyone comes in".to_owned());
    }
    notes
}

pub(super) fn inactive(network: &Network) -> Option<Card> {
    let bridge = network.routed_bridge()?;
    Some(Card {
        name: escape(&network.name),
        look: Look::Inactive,
        state: "not active".to_owned(),
        kind: format!("{}, {bridge}", network.mode.word()),
        subnets: network.subnets().iter().map(ToString::to_string).collect(),
        notes: Vec::new(),
        fault: None,
        guests: Vec::new(),
        home: None,
        groups: Vec::new(),
    })
}

/// `node1 10.17.3.21`
pub(super) fn listed(guests: &[Guest]) -> Vec<String> {
    let line = |guest: &Guest| {
        let addresses = guest.addresses.iter().map(ToString::to_string);
        let words: Vec<_> = std::iter::once(escape(&guest.name))
            .chain(addresses)
            .collect();
        words.join(" ")
    };
    // "and 1 more" takes the room of that one.
    let room = if guests.len() > GUESTS {
        GUESTS - 1
    } else {
        GUESTS
    };
    let mut lines: Vec<_> = guests.iter().take(room).map(line).collect();
    if guests.len() > room {
        lines.push(format!("and {} more", guests.len() - room));
    }
    lines
}
