//! The reachability matrix, in which endpoints with the same reachability can be one row.

use std::collections::{HashMap, hash_map::Entry};

use virt_forward_policy::{MatrixEndpoint, Reachability};

use super::{
    endpoint::{is_internet, label},
    model::Status,
};

/// The kind of a row. Only rows of one kind are merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Network,
    External,
    Internet,
}

/// A row of the matrix, and the column of the same endpoints.
#[derive(Clone, Debug)]
pub(super) struct MatrixRow {
    kind: Kind,
    /// The labels of the endpoints that were merged.
    pub(super) members: Vec<String>,
}

impl MatrixRow {
    /// `kube02`, `kube02 +3`
    pub(super) fn label(&self) -> String {
        let first = self.members.first().map_or("", String::as_str);
        match (self.kind, self.members.len()) {
            (_, 0 | 1) | (Kind::Internet, _) => first.to_owned(),
            (_, many) => format!("{first} +{}", many - 1),
        }
    }

    /// Whether the label stands for several endpoints, which a legend has to list.
    pub(super) fn needs_a_legend(&self) -> bool {
        self.kind != Kind::Internet && self.members.len() > 1
    }
}

#[derive(Clone, Debug)]
pub(super) struct CompactMatrix {
    pub(super) rows: Vec<MatrixRow>,
    /// By row, then by column.
    cells: Vec<Vec<Option<Reachability>>>,
}

impl CompactMatrix {
    pub(super) fn new(status: &Status) -> Self {
        let networks = status.networks.iter();
        let mut endpoints: Vec<_> = networks
            .map(|network| MatrixEndpoint::Network(network.name.clone()))
            .collect();
        let pairs = status.outside.iter();
        let external = pairs.flat_map(|pair| [&pair.from, &pair.to]);
        let mut external: Vec<_> = external.filter(|end| end.external().is_some()).collect();
        // The Internet, which is of least interest, comes last.
        external.sort_by_key(|end| kind(end) == Kind::Internet);
        endpoints.extend(external.into_iter().cloned());
        let mut rows: Vec<MatrixRow> = Vec::new();
        let mut places: HashMap<MatrixEndpoint, usize> = HashMap::new();
        for endpoint in endpoints {
            let row = MatrixRow {
                kind: kind(&endpoint),
                members: vec![label(&endpoint)],
            };
            if let Entry::Vacant(place) = places.entry(endpoint) {
                place.insert(rows.len());
                rows.push(row);
            }
        }
        let mut grid = Self {
            cells: vec![vec![None; rows.len()]; rows.len()],
            rows,
        };
        for cell in status.reach.iter().chain(&status.outside) {
            let place = |end: &MatrixEndpoint| places.get(end).copied();
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

    /// The matrix with external rows of equal reachability merged.
    pub(super) fn with_external_merged(&self) -> Self {
        self.merged(|kind| kind != Kind::Network)
    }

    /// The matrix with all rows of equal reachability merged.
    pub(super) fn all_merged(&self) -> Self {
        self.merged(|_| true)
    }

    /// The diagonal of a merged row has the reachability between its members.
    fn merged(&self, is_meant: impl Fn(Kind) -> bool) -> Self {
        // The first row of each class, and all of them.
        let mut classes: Vec<(usize, Vec<usize>)> = Vec::new();
        for (at, end) in self.rows.iter().enumerate() {
            let known = classes.iter_mut().find(|(first, members)| {
                let other = self.rows.get(*first);
                is_meant(end.kind)
                    && other.is_some_and(|other| other.kind == end.kind)
                    && match end.kind {
                        // Equality with one is equality with all.
                        Kind::Network => self.are_alike(*first, at, |a, b| a == b),
                        // Cells without an address family in common do not count.
                        Kind::External | Kind::Internet => members.iter().all(|one| {
                            self.are_alike(*one, at, |a, b| a == b || a.is_none() || b.is_none())
                        }),
                    }
            });
            match known {
                Some((_, members)) => members.push(at),
                None => classes.push((at, vec![at])),
            }
        }
        let name = |at: &usize| self.rows.get(*at).map(|end| end.members.clone());
        let rows = classes.iter().filter_map(|(first, members)| {
            let kind = self.rows.get(*first)?.kind;
            let members = members.iter().filter_map(name).flatten().collect();
            Some(MatrixRow { kind, members })
        });
        let cell = |from: &Vec<usize>, to: &Vec<usize>| {
            let mut pairs = from
                .iter()
                .flat_map(|from| to.iter().map(move |to| (*from, *to)));
            pairs.find_map(|(from, to)| self.verdict(from, to))
        };
        let cells = classes.iter().map(|(_, from)| {
            let cells = classes.iter().map(|(_, to)| cell(from, to));
            cells.collect()
        });
        Self {
            rows: rows.collect(),
            cells: cells.collect(),
        }
    }

    /// Whether two rows have the same reachability to each other, and to and from all others.
    fn are_alike(
        &self,
        one: usize,
        other: usize,
        is_same: impl Fn(Option<Reachability>, Option<Reachability>) -> bool,
    ) -> bool {
        let mut others = (0..self.rows.len()).filter(|at| *at != one && *at != other);
        is_same(self.verdict(one, other), self.verdict(other, one))
            && others.all(|at| {
                is_same(self.verdict(one, at), self.verdict(other, at))
                    && is_same(self.verdict(at, one), self.verdict(at, other))
            })
    }
}

fn kind(endpoint: &MatrixEndpoint) -> Kind {
    match endpoint {
        MatrixEndpoint::Network(_) => Kind::Network,
        MatrixEndpoint::External(net) if is_internet(net) => Kind::Internet,
        MatrixEndpoint::External(_) => Kind::External,
    }
}
