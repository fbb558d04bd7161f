//! Who reaches whom as a grid of verdicts, in which ends that are alike can be one.

use std::collections::HashMap;

use ipnet::IpNet;
use virt_forward_policy::{Reachability, sanitize::shown};

use super::Status;

/// What an end is. Only ends of one kind are ever made one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Network,
    Outside,
    Internet,
}

/// A row, and the column with it.
#[derive(Clone, Debug)]
pub(super) struct End {
    kind: Kind,
    /// Of those that are one here, each as people know it.
    pub(super) members: Vec<String>,
}

impl End {
    /// `kube02`, `kube02 +3`
    pub(super) fn label(&self) -> String {
        let first = self.members.first().map_or("", String::as_str);
        match (self.kind, self.members.len()) {
            (_, 0 | 1) | (Kind::Internet, _) => first.to_owned(),
            (_, many) => format!("{first} +{}", many - 1),
        }
    }

    /// Whether the label does not tell all.
    pub(super) fn needs_a_legend(&self) -> bool {
        self.kind != Kind::Internet && self.members.len() > 1
    }
}

#[derive(Clone, Debug)]
pub(super) struct Grid {
    pub(super) ends: Vec<End>,
    /// By the number of the row, then of the column.
    cells: Vec<Vec<Option<Reachability>>>,
}

impl Grid {
    pub(super) fn of(status: &Status) -> Self {
        let mut ends: Vec<End> = Vec::new();
        let mut places: HashMap<&str, usize> = HashMap::new();
        for network in &status.networks {
            places.insert(&network.name, ends.len());
            ends.push(End {
                kind: Kind::Network,
                members: vec![shown(&network.name)],
            });
        }
        let outside = status.outside.iter();
        let outside = outside.flat_map(|cell| [cell.from.as_str(), cell.to.as_str()]);
        let mut outside: Vec<_> = outside.collect();
        // The Internet, which is least of interest, comes last.
        outside.sort_by_key(|name| outside_name(name).0 == Kind::Internet);
        for name in outside {
            if !places.contains_key(name) {
                places.insert(name, ends.len());
                let (kind, name) = outside_name(name);
                let members = vec![name];
                ends.push(End { kind, members });
            }
        }
        let mut grid = Self {
            cells: vec![vec![None; ends.len()]; ends.len()],
            ends,
        };
        for cell in status.reach.iter().chain(&status.outside) {
            let place = |end: &String| places.get(end.as_str()).copied();
            if let (Some(from), Some(to)) = (place(&cell.from), place(&cell.to))
                && let Some(slot) = grid.cells.get_mut(from).and_then(|row| row.get_mut(to))
            {
                *slot = Some(cell.verdict);
            }
        }
        grid
    }

    pub(super) fn verdict(&self, from: usize, to: usize) -> Option<Reachability> {
        *self.cells.get(from)?.get(to)?
    }

    /// With what is outside and alike made one.
    pub(super) fn with_outside_merged(&self) -> Self {
        self.merged(|kind| kind != Kind::Network)
    }

    /// With all that is alike made one.
    pub(super) fn all_merged(&self) -> Self {
        self.merged(|_| true)
    }

    /// In a cell of an end with itself is what its members are to each other.
    fn merged(&self, is_meant: impl Fn(Kind) -> bool) -> Self {
        // The first of those that are alike, and all of them.
        let mut classes: Vec<(usize, Vec<usize>)> = Vec::new();
        for (at, end) in self.ends.iter().enumerate() {
            let known = classes.iter_mut().find(|(first, members)| {
                let other = self.ends.get(*first);
                is_meant(end.kind)
                    && other.is_some_and(|other| other.kind == end.kind)
                    && match end.kind {
                        // Alike to one is alike to all.
                        Kind::Network => self.are_alike(*first, at, |a, b| a == b),
                        // What has no family in common with a network says nothing of it.
                        Kind::Outside | Kind::Internet => members.iter().all(|one| {
                            self.are_alike(*one, at, |a, b| a == b || a.is_none() || b.is_none())
                        }),
                    }
            });
            match known {
                Some((_, members)) => members.push(at),
                None => classes.push((at, vec![at])),
            }
        }
        let name = |at: &usize| self.ends.get(*at).map(|end| end.members.clone());
        let ends = classes.iter().filter_map(|(first, members)| {
            let kind = self.ends.get(*first)?.kind;
            let members = members.iter().filter_map(name).flatten().collect();
            Some(End { kind, members })
        });
        let cell = |from: &Vec<usize>, to: &Vec<usize>| {
            let mut pairs = from
                .iter()
                .flat_map(|from| to.iter().map(move |to| (*from, *to)));
            pairs.find_map(|(from, to)| self.verdict(from, to))
        };
        let rows = classes.iter().map(|(_, from)| {
            let cells = classes.iter().map(|(_, to)| cell(from, to));
            cells.collect()
        });
        Self {
            ends: ends.collect(),
            cells: rows.collect(),
        }
    }

    /// Whether two ends are the same to each other and to and from everybody else.
    fn are_alike(
        &self,
        one: usize,
        other: usize,
        is_same: impl Fn(Option<Reachability>, Option<Reachability>) -> bool,
    ) -> bool {
        let mut others = (0..self.ends.len()).filter(|at| *at != one && *at != other);
        is_same(self.verdict(one, other), self.verdict(other, one))
            && others.all(|at| {
                is_same(self.verdict(one, at), self.verdict(other, at))
                    && is_same(self.verdict(at, one), self.verdict(at, other))
            })
    }
}

/// `192.168.0.30`, `192.168.0.0/24`, `internet`
fn outside_name(name: &str) -> (Kind, String) {
    match name.parse::<IpNet>() {
        Ok(net) if net.prefix_len() == 0 && net.addr().is_ipv4() => {
            (Kind::Internet, "internet".to_owned())
        }
        Ok(net) if net.prefix_len() == 0 => (Kind::Internet, "internet IPv6".to_owned()),
        Ok(net) => (Kind::Outside, short(&net)),
        Err(_) => (Kind::Outside, name.to_owned()),
    }
}

/// A single address without its length.
pub(crate) fn short(net: &IpNet) -> String {
    match net.prefix_len() == net.max_prefix_len() {
        true => net.addr().to_string(),
        false => net.to_string(),
    }
}
