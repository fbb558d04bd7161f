//! The host's routing as a whole, as values: which interfaces it would send to a subnet through.
//!
//! The kernel's own reverse path check (`fib saddr . iif oif exists`) looks one route up, for an
//! unmarked packet. It does not see the other next hops of an IPv6 route, nor the tables that
//! only marked packets reach, which is how a host with two uplinks answers by the one that a
//! connection came in by. [`survey`] sees them: it looks every address up once for each
//! [kind of reply](rules::Reply) that rules of routing tell apart.
//!
//! A table for marked packets mostly has a default route alone, so that it would make every
//! address valid on its uplink, those of directly connected subnets among them. A route therefore
//! counts for an address only where no other reply takes a more specific route that leaves by
//! other interfaces.

mod rules;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use rules::Reply;
pub use rules::{Action, Condition, From, Rule};

use crate::table::{Ip, ReturnPath};
use virt_forward_policy::overlap;

/// A route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The number of its table.
    pub table: u32,
    /// What it is for.
    pub to: IpNet,
    /// Of several with the same table and subnet the lowest is used.
    pub metric: u32,
    /// Where it leads.
    pub way: Way,
}

/// Where a route leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// Through these interfaces: one, or one for each next hop.
    Interfaces(BTreeSet<String>),
    /// Nowhere: to the host itself, or `blackhole`, `unreachable`, `prohibit`.
    Nowhere,
    /// On to the next rule: `throw`.
    Throw,
}

/// Rules and routes of one family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routing {
    /// By priority.
    pub rules: Vec<Rule>,
    /// In no order.
    pub routes: Vec<Route>,
}

/// A network that replies come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its bridge.
    pub bridge: String,
    /// One of its subnets.
    pub subnet: IpNet,
}

/// The most return paths that the table holds: beyond that the kernel's own check has to do.
pub const MOST: usize = 4096;
/// The most parts that a look divides the subnets into.
const MOST_PARTS: usize = 64 * 1024;

/// What a look at the routing found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Every interface that leads to one of the subnets, or to a part of it, and the family.
    pub ways: BTreeSet<(String, Ip)>,
    /// Those that the kernel's check does not know; those of one interface do not overlap.
    pub return_paths: BTreeSet<ReturnPath>,
    /// There is more than the table can hold: `return_paths` is empty.
    pub is_too_much: bool,
}

impl Found {
    /// With what the look at the other family found.
    #[must_use]
    pub fn and(mut self, other: Found) -> Self {
        self.ways.extend(other.ways);
        self.return_paths.extend(other.return_paths);
        self.is_too_much |= other.is_too_much;
        if self.is_too_much || self.return_paths.len() > MOST {
            self.is_too_much = true;
            self.return_paths.clear();
        }
        self
    }
}

/// Looks for the ways to `subnets`, of one family, for replies of `sources`.
pub fn survey(routing: &Routing, subnets: &[IpNet], sources: &[Source]) -> Found {
    let bounds: Vec<IpNet> = routing.rules.iter().filter_map(|rule| rule.to).collect();
    let routes: Vec<&Route> = routing.routes.iter().collect();
    let mut look = Look {
        rules: &routing.rules,
        replies: rules::replies(&routing.rules, sources),
        ways: BTreeSet::new(),
        paths: BTreeMap::new(),
        parts: 0,
    };
    let subnets = IpNet::aggregate(&subnets.to_vec());
    for subnet in &subnets {
        look.divide(*subnet, &routes, &bounds);
    }
    if look.parts > MOST_PARTS {
        return Found {
            ways: every_way(&routing.routes, &subnets),
            return_paths: BTreeSet::new(),
            is_too_much: true,
        };
    }
    let paths = look.paths.iter().flat_map(|(interface, subnets)| {
        let merged = IpNet::aggregate(subnets).into_iter();
        merged.map(|subnet| ReturnPath {
            interface: interface.clone(),
            subnet,
        })
    });
    let found = Found {
        return_paths: paths.collect(),
        ways: look.ways,
        is_too_much: false,
    };
    found.and(Found::default())
}

/// The interfaces of all routes to the subnets, and to parts of them.
fn every_way(routes: &[Route], subnets: &[IpNet]) -> BTreeSet<(String, Ip)> {
    let leads_there = |route: &&Route| subnets.iter().any(|subnet| overlap(subnet, &route.to));
    let ways = routes.iter().filter(leads_there).flat_map(|route| {
        let family = Ip::of(route.to.addr());
        let interfaces = match &route.way {
            Way::Interfaces(interfaces) => Some(interfaces),
            Way::Nowhere | Way::Throw => None,
        };
        let interfaces = interfaces.into_iter().flatten();
        interfaces.map(move |interface| (interface.clone(), family))
    });
    ways.collect()
}

/// The longest prefix, and the interfaces that it leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Answer {
    length: u8,
    interfaces: BTreeSet<String>,
}

struct Look<'a> {
    rules: &'a [Rule],
    replies: Vec<Reply>,
    ways: BTreeSet<(String, Ip)>,
    paths: BTreeMap<String, Vec<IpNet>>,
    parts: usize,
}

impl Look<'_> {
    /// Divides `subnet` into parts that every route and rule either holds whole or not at all.
    fn divide(&mut self, subnet: IpNet, routes: &[&Route], bounds: &[IpNet]) {
        if self.parts > MOST_PARTS {
            return;
        }
        let is_within = |net: &IpNet| *net != subnet && subnet.contains(net);
        let near: Vec<&Route> = routes
            .iter()
            .filter(|one| overlap(&one.to, &subnet))
            .copied()
            .collect();
        let within: Vec<IpNet> = bounds
            .iter()
            .filter(|net| is_within(net))
            .copied()
            .collect();
        let halves = subnet.subnets(subnet.prefix_len() + 1);
        let is_whole = within.is_empty() && !near.iter().any(|one| is_within(&one.to));
        match halves {
            Ok(halves) if !is_whole => {
                for half in halves {
                    self.divide(half, &near, &within);
                }
            }
            _ => {
                self.parts += 1;
                self.judge(subnet, &near);
            }
        }
    }

    /// A part that is the same to every route and rule.
    fn judge(&mut self, part: IpNet, routes: &[&Route]) {
        let answers = self
            .replies
            .iter()
            .map(|reply| self.answer(reply, part, routes));
        let answers: Vec<Option<Answer>> = answers.collect();
        let mut seen = BTreeSet::new();
        let mut valid = BTreeSet::new();
        for (reply, answer) in self.replies.iter().zip(&answers) {
            let Some(answer) = answer else { continue };
            let is_single = part.addr().is_ipv4() || answer.interfaces.len() == 1;
            for interface in &answer.interfaces {
                let is_outdone = answers.iter().flatten().any(|other| {
                    other.length > answer.length && !other.interfaces.contains(interface)
                });
                if reply.is_plain && is_single {
                    seen.insert(interface.clone());
                }
                if reply.is_plain || !is_outdone {
                    valid.insert(interface.clone());
                }
            }
        }
        let family = Ip::of(part.addr());
        let ways = valid.iter().map(|interface| (interface.clone(), family));
        self.ways.extend(ways);
        for interface in valid.difference(&seen) {
            self.paths.entry(interface.clone()).or_default().push(part);
        }
    }

    /// The route that a reply to addresses of `part` takes; nothing where it has none.
    fn answer(&self, reply: &Reply, part: IpNet, routes: &[&Route]) -> Option<Answer> {
        for rule in reply.rules(self.rules, part) {
            let Action::Lookup { table, suppressed } = rule.action else {
                return Some(Answer {
                    length: 0,
                    interfaces: BTreeSet::new(),
                });
            };
            match best(routes, table, part) {
                Some((length, Some(interfaces))) if suppressed.is_none_or(|most| length > most) => {
                    return Some(Answer { length, interfaces });
                }
                _ => {}
            }
        }
        None
    }
}

/// The best route of a table: the longest prefix, of these the lowest metric, with the next hops
/// of all that have both. A route that leads nowhere has no interfaces, `throw` no set of them.
fn best(routes: &[&Route], table: u32, part: IpNet) -> Option<(u8, Option<BTreeSet<String>>)> {
    let fits = |route: &&&Route| route.table == table && route.to.contains(&part);
    let rank = |route: &Route| (std::cmp::Reverse(route.to.prefix_len()), route.metric);
    let all = routes.iter().filter(fits);
    let top = all.clone().map(|route| rank(route)).min()?;
    let mut interfaces = Some(BTreeSet::new());
    for route in all.filter(|route| rank(route) == top) {
        match &route.way {
            Way::Interfaces(hops) => {
                interfaces
                    .get_or_insert_default()
                    .extend(hops.iter().cloned());
            }
            Way::Nowhere => {}
            Way::Throw => interfaces = None,
        }
    }
    Some((top.0.0, interfaces))
}
