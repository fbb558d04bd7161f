//! The interfaces through which the host reaches a subnet, by all of its routing.
//!
//! Input: the routing rules and routes of one family, and subnets outside. Output: the interfaces that
//! lead to them, and the return paths that the kernel's own reverse path check does not accept.
//!
//! That check (`fib saddr . iif oif exists`) looks up one route, for an unmarked packet. It ignores the
//! other next hops of an IPv6 route, and the tables that only marked packets reach, by which a host
//! with two uplinks replies through the one that a connection arrived on. [`survey`] includes them: it
//! looks up every address once for each [kind of reply](rules::Reply) that the routing rules
//! distinguish.
//!
//! A table for marked packets usually has only a default route, which would make every address valid
//! on its uplink, addresses of directly connected subnets included. A route therefore counts for an
//! address only if no other kind of reply takes a more specific route through other interfaces.

mod rules;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use rules::Reply;
pub use rules::{Action, Condition, From, RoutingRule};

use crate::table::{Ip, ReturnPath};
use virt_forward_policy::overlap;

/// A route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The number of its table.
    pub table: u32,
    /// The destination.
    pub to: IpNet,
    /// The metric: of several routes with the same table and destination the lowest is used.
    pub metric: u32,
    /// The next hops.
    pub way: Way,
}

/// The next hops of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// The interfaces of the next hops.
    Interfaces(BTreeSet<String>),
    /// None: `local`, `blackhole`, `unreachable` or `prohibit`.
    Nowhere,
    /// `throw`: the next rule follows.
    Throw,
}

/// The routing rules and routes of one family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routing {
    /// The rules, by priority.
    pub rules: Vec<RoutingRule>,
    /// The routes, in any order.
    pub routes: Vec<Route>,
}

/// A network whose guests send replies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The bridge.
    pub bridge: String,
    /// One of the network's subnets.
    pub subnet: IpNet,
}

/// The maximum number of return paths in the table. Beyond it only the kernel's own check applies.
pub const MOST: usize = 4096;
/// The maximum number of parts into which a survey divides the subnets.
const MOST_PARTS: usize = 64 * 1024;

/// The result of a survey.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Every interface that leads to one of the subnets, or to a part of it, with the family.
    pub ways: BTreeSet<(String, Ip)>,
    /// The paths that the kernel's check does not accept; those of one interface do not overlap.
    pub return_paths: BTreeSet<ReturnPath>,
    /// Whether there are more return paths than the table can hold; `return_paths` is then empty.
    pub is_too_much: bool,
}

impl Found {
    /// The result together with that of the other family.
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

/// The interfaces and return paths to `subnets`, of one family, for replies of `sources`.
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

/// The interfaces of all routes to the subnets or to parts of them.
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

/// The route that a lookup finds: its prefix length and its interfaces.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Answer {
    length: u8,
    interfaces: BTreeSet<String>,
}

struct Look<'a> {
    rules: &'a [RoutingRule],
    replies: Vec<Reply>,
    ways: BTreeSet<(String, Ip)>,
    paths: BTreeMap<String, Vec<IpNet>>,
    parts: usize,
}

impl Look<'_> {
    /// Divides `subnet` into parts that every route and rule contains as a whole or not at all.
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

    /// Records the interfaces of a part that routes and rules do not divide.
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

    /// The route of a reply to addresses of `part`; `None` if there is none.
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

/// The best route of a table: the longest prefix, then the lowest metric, with the next hops of all
/// routes that have both. The set is empty for a route without next hops, and absent for `throw`.
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
