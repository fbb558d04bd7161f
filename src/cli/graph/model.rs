//! What is in the picture, whatever it is written in.

use ipnet::IpNet;
use virt_forward_policy::{
    self as policy,
    config::{AllowRule, Config, RuleEndpoint, Selector},
    network::Network,
    sanitize::escape,
};
use virt_forward_system::state::Record;

use super::cards::{inactive, listed, look, notes};
use crate::{
    guests::Guests,
    status::{NetworkStatus, Status, short},
};

/// What it is made from.
pub(crate) struct Source<'a> {
    pub(crate) title: String,
    pub(crate) config: &'a Config,
    pub(crate) records: &'a [Record],
    pub(crate) status: &'a Status,
    /// Defined, and not active.
    pub(crate) inactive: &'a [Network],
    pub(crate) guests: &'a Guests,
}

/// The picture.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    pub(crate) title: String,
    pub(crate) networks: Vec<Card>,
    pub(crate) groups: Vec<Group>,
    pub(crate) outside: Vec<Outside>,
    pub(crate) links: Vec<Link>,
}

/// How a network looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    Open,
    /// By rules alone.
    Partial,
    /// On purpose.
    Closed,
    /// It should be open.
    Wrong,
    /// Not active.
    Inactive,
}

/// A network.
#[derive(Debug)]
pub(crate) struct Card {
    pub(crate) name: String,
    pub(crate) look: Look,
    /// The look in a word or two.
    pub(crate) state: String,
    /// `nat, virbr0`
    pub(crate) kind: String,
    pub(crate) subnets: Vec<String>,
    /// What libvirt does with what nothing of ours opens, and what is wrong.
    pub(crate) notes: Vec<String>,
    pub(crate) fault: Option<String>,
    pub(crate) guests: Vec<String>,
    /// The group whose box it is drawn in.
    pub(crate) home: Option<usize>,
    /// All that it is in.
    pub(crate) groups: Vec<usize>,
}

impl Card {
    /// All of it, for pictures that have text alone.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("{} ({})", self.name, self.state), self.kind.clone()];
        lines.extend(self.subnets.iter().cloned());
        lines.extend(self.notes.iter().cloned());
        lines.extend(self.fault.clone());
        lines.extend(self.guests.iter().map(|guest| format!("• {guest}")));
        lines
    }
}

/// Networks that reach each other.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) name: String,
}

/// What is outside, and of one role.
#[derive(Debug)]
pub(crate) struct Outside {
    pub(crate) names: Vec<String>,
}

/// One end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum End {
    Network(usize),
    Group(usize),
    Outside(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Both ways, everything.
    Peers,
    /// One way, and limited.
    Rule,
    /// A network that is in another group beside the one it is drawn in.
    Member,
}

/// From each of some ends to each of others.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) kind: Kind,
    pub(crate) label: String,
    pub(crate) from: Vec<End>,
    pub(crate) to: Vec<End>,
    /// Nobody at one of its sides is reached, or gets out, as things are.
    pub(crate) is_dead: bool,
}

impl Graph {
    pub(crate) fn of(source: &Source) -> Self {
        let mut graph = Self {
            title: source.title.clone(),
            ..Self::default()
        };
        let members = |name: &String| {
            let mut records = source.records.iter();
            records.any(|record| record.access.groups.contains(name))
        };
        let config = source.config;
        for group in &config.groups {
            // One that nobody is in shows only what does not work.
            if members(&group.name) {
                let name = group.name.clone();
                graph.groups.push(Group { name });
            }
        }
        for (record, status) in source.records.iter().zip(&source.status.networks) {
            graph.add_network(source, record, status);
        }
        graph
            .networks
            .extend(source.inactive.iter().filter_map(inactive));
        // What is outside is drawn for what it reaches.
        if graph.networks.is_empty() {
            return graph;
        }
        let nets = graph.add_outside(config, source.records);
        graph.link_peers(config, &nets);
        graph.link_rules(config, source.records, &nets);
        graph.tell_dead_links();
        graph
    }

    fn tell_dead_links(&mut self) {
        let lives = |card: &Card| matches!(card.look, Look::Open | Look::Partial);
        let end_lives = |end: &End| match end {
            End::Network(at) => self.networks.get(*at).is_some_and(lives),
            End::Group(at) => {
                let mut cards = self.networks.iter();
                cards.any(|card| card.groups.contains(at) && lives(card))
            }
            End::Outside(_) => true,
        };
        for link in &mut self.links {
            let is_alive = link.from.iter().any(end_lives) && link.to.iter().any(end_lives);
            if !is_alive && link.kind != Kind::Member {
                link.is_dead = true;
                link.label.push_str(", but nothing passes now");
            }
        }
    }

    fn group(&self, name: &str) -> Option<usize> {
        self.groups.iter().position(|group| group.name == name)
    }

    fn add_network(&mut self, source: &Source, record: &Record, status: &NetworkStatus) {
        let network = &record.network;
        let (look, state) = look(network, status);
        let groups = status.access.groups.iter();
        let groups: Vec<_> = groups.filter_map(|name| self.group(name)).collect();
        let home = groups.first().copied();
        let others: Vec<_> = groups.iter().copied().skip(1).collect();
        let at = self.networks.len();
        for group in others {
            self.links.push(Link {
                kind: Kind::Member,
                label: "also in".to_owned(),
                from: vec![End::Network(at)],
                to: vec![End::Group(group)],
                is_dead: false,
            });
        }
        let guests = source.guests.get(&network.name);
        self.networks.push(Card {
            name: escape(&network.name),
            look,
            state,
            kind: format!("{}, {}", status.mode, status.bridge),
            subnets: status.subnets.clone(),
            notes: notes(network, source.status),
            fault: status.fault.as_ref().map(ToString::to_string),
            guests: guests.map(|guests| listed(guests)).unwrap_or_default(),
            home,
            groups,
        });
    }

    /// A box for all that have the same part in groups and rules; each net with its box.
    fn add_outside(&mut self, config: &Config, records: &[Record]) -> Vec<(IpNet, usize)> {
        let networks = records.iter().map(|record| &record.network);
        let mut roles: Vec<(Vec<String>, usize)> = Vec::new();
        let mut nets = Vec::new();
        for net in policy::external_endpoints(config, networks) {
            let role = role(config, &net);
            let known = roles.iter().find(|(other, _)| *other == role);
            let at = known.map_or(self.outside.len(), |(_, at)| *at);
            let name = outside_name(&net);
            match self.outside.get_mut(at) {
                Some(known) => known.names.push(name),
                None => {
                    self.outside.push(Outside { names: vec![name] });
                    roles.push((role, at));
                }
            }
            nets.push((net, at));
        }
        nets
    }

    fn link_peers(&mut self, config: &Config, nets: &[(IpNet, usize)]) {
        for group in &config.groups {
            let Some(at) = self.group(&group.name) else {
                continue;
            };
            let peers = nets.iter().filter(|(net, _)| group.peers.contains(net));
            let mut from: Vec<_> = peers.map(|(_, at)| End::Outside(*at)).collect();
            from.dedup();
            let mut seen = Vec::new();
            from.retain(|end| {
                !seen.contains(end) && {
                    seen.push(*end);
                    true
                }
            });
            let label = match group.keep_source {
                true => "peers, both ways, never masqueraded",
                false => "peers, both ways",
            };
            for end in from {
                self.links.push(Link {
                    kind: Kind::Peers,
                    label: label.to_owned(),
                    from: vec![end],
                    to: vec![End::Group(at)],
                    is_dead: false,
                });
            }
        }
    }

    /// Groups in place of networks, where all members of one are meant.
    fn grouped(&self, mut networks: Vec<usize>) -> Vec<End> {
        let mut ends = Vec::new();
        for group in 0..self.groups.len() {
            let all = self.networks.iter().enumerate();
            let all = all
                .filter(|(_, card)| card.groups.contains(&group))
                .map(|(at, _)| at);
            let all: Vec<_> = all.collect();
            if all.len() > 1 && all.iter().all(|at| networks.contains(at)) {
                networks.retain(|at| !all.contains(at));
                ends.push(End::Group(group));
            }
        }
        ends.extend(networks.into_iter().map(End::Network));
        ends
    }

    fn link_rules(&mut self, config: &Config, records: &[Record], nets: &[(IpNet, usize)]) {
        for allow in &config.allows {
            let of = |end: &RuleEndpoint, is_from: bool| {
                let has = |record: &Record| match is_from {
                    true => record.access.from.contains(&allow.id),
                    false => record.access.to.contains(&allow.id),
                };
                let meant = records.iter().enumerate().filter(|(_, record)| has(record));
                let networks = meant.map(|(at, _)| at);
                match &end.selector {
                    Selector::Group(name) => self.group(name).map(End::Group).into_iter().collect(),
                    Selector::Networks(_) => self.grouped(networks.collect()),
                    Selector::Subnet(subnet) | Selector::Outside(subnet) => {
                        let outside = nets.iter().filter(|(net, _)| net == subnet);
                        let outside = outside.map(|(_, at)| End::Outside(*at));
                        outside.chain(self.grouped(networks.collect())).collect()
                    }
                }
            };
            let (from, to) = (of(&allow.from, true), of(&allow.to, false));
            let label = rule_label(allow, nets);
            let kind = Kind::Rule;
            self.links.push(Link {
                kind,
                label,
                from,
                to,
                is_dead: false,
            });
        }
    }
}

/// `allow 1: tcp 443 to 10.17.4.21`, where an end is part of a network.
fn rule_label(allow: &AllowRule, nets: &[(IpNet, usize)]) -> String {
    let part = |word: &str, end: &RuleEndpoint| {
        let subnet = end
            .subnet()
            .filter(|own| !nets.iter().any(|(net, _)| net == own));
        subnet
            .map(|net| format!(" {word} {}", short(&net)))
            .unwrap_or_default()
    };
    let (from, to) = (part("from", &allow.from), part("to", &allow.to));
    format!("allow {}: {}{from}{to}", allow.id, allow.traffic)
}

/// What somebody outside has a part in: who has the same is drawn as one.
fn role(config: &Config, net: &IpNet) -> Vec<String> {
    let groups = config
        .groups
        .iter()
        .filter(|group| group.peers.contains(net));
    let mut role: Vec<_> = groups.map(|group| format!("peer {}", group.name)).collect();
    for allow in &config.allows {
        for (key, end) in [("from", &allow.from), ("to", &allow.to)] {
            if end.subnet().as_ref() == Some(net) {
                role.push(format!("{key} {}", allow.id));
            }
        }
    }
    role
}

fn outside_name(net: &IpNet) -> String {
    match net.prefix_len() {
        0 => format!("anyone, {net}"),
        _ => short(net),
    }
}
