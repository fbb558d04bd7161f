//! Pairs of networks: who reaches whom.

use serde::Serialize;

use crate::{Access, evaluate::alone};
use crate::{
    config::{Config, RuleEndpoint},
    network::Network,
};

/// Whether new connections pass one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Reachability {
    /// Everything passes.
    Open,
    /// Some of it passes.
    Limited,
    /// Nothing passes.
    Closed,
}

/// One cell of the matrix of who reaches whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MatrixCell {
    /// The network that opens the connection, or the subnet outside.
    pub from: String,
    /// The network that is reached, or the subnet outside.
    pub to: String,
    /// Whether it is.
    pub verdict: Reachability,
    /// What decides it.
    pub why: String,
    /// Our rules open it: libvirt and the gates let it pass.
    #[serde(skip)]
    pub is_ours: bool,
}

/// What a [`MatrixCell`] begins with where no group opens it.
pub const NO_GROUP: &str = "in no common group";

/// Every ordered pair of `networks`, each with what it is open for now.
pub fn matrix(config: &Config, networks: &[(&Network, &Access)]) -> Vec<MatrixCell> {
    let mut cells = Vec::new();
    for from in networks {
        for to in networks {
            if from.0.name != to.0.name {
                cells.push(reach(config, *from, *to));
            }
        }
    }
    cells
}

/// libvirt may let through more than our rules name.
fn reach(config: &Config, from: (&Network, &Access), to: (&Network, &Access)) -> MatrixCell {
    let shared = from
        .1
        .groups
        .iter()
        .find(|group| to.1.groups.contains(group));
    let (is_ours, (verdict, why)) = match (shared, limited(config, from.1, to.1)) {
        (Some(group), _) => (true, (Reachability::Open, format!("both in group {group}"))),
        (None, limited) => match (without_us(from.0, to.0), limited) {
            ((Reachability::Closed, _), Some(why)) => (true, (Reachability::Limited, why)),
            (as_it_is, _) => (false, as_it_is),
        },
    };
    MatrixCell {
        from: from.0.name.clone(),
        to: to.0.name.clone(),
        verdict,
        why,
        is_ours,
    }
}

/// The rules that let something pass from one to the other:
/// `allow 1: tcp 6443; allow 3: icmp, to 10.17.4.21/32`
fn limited(config: &Config, from: &Access, to: &Access) -> Option<String> {
    let both = config
        .numbered_allows()
        .filter(|(number, _)| from.from.contains(number) && to.to.contains(number));
    let said = both.map(|(number, allow)| {
        let end = |word: &str, end: &RuleEndpoint| {
            let net = end.subnet();
            net.map(|net| format!(", {word} {net}")).unwrap_or_default()
        };
        let (from, to) = (end("from", &allow.from), end("to", &allow.to));
        format!("allow {number}: {allow}{from}{to}")
    });
    let said: Vec<_> = said.collect();
    (!said.is_empty()).then(|| said.join("; "))
}

/// What becomes of new IPv4 connections that nothing of ours opens.
fn without_us(from: &Network, to: &Network) -> (Reachability, String) {
    let hidden = match from.is_masqueraded(true) {
        true => ", with the host's address as source",
        false => "",
    };
    match alone(Some(from), Some(to), true) {
        Ok(why) => (Reachability::Open, format!("{NO_GROUP}, but {why}{hidden}")),
        Err(why) => (Reachability::Closed, format!("{NO_GROUP}, and {why}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fixtures::network, network::Mode};

    #[test]
    fn the_matrix_tells_what_a_group_opens_from_what_libvirt_lets_through() {
        let (nat, routed, iso) = (
            network("nat", Mode::Nat),
            network("routed", Mode::Route),
            network("iso", Mode::Isolated),
        );
        let config = Config::default();
        let all = Access {
            groups: vec!["all".to_owned()],
            ..Access::default()
        };
        let none = Access::default();
        let verdict = |from: (&Network, &Access), to: (&Network, &Access)| {
            let cell = reach(&config, from, to);
            (cell.verdict, cell.why)
        };
        let (open, why) = verdict((&routed, &all), (&nat, &all));
        assert_eq!(
            (open, why.as_str()),
            (Reachability::Open, "both in group all")
        );
        let (open, why) = verdict((&nat, &none), (&routed, &all));
        assert_eq!(open, Reachability::Open);
        assert!(why.contains("host's address"), "{why}");
        assert_eq!(
            verdict((&routed, &none), (&nat, &none)).0,
            Reachability::Closed
        );
        assert_eq!(verdict((&nat, &all), (&iso, &none)).0, Reachability::Closed);
        assert_eq!(
            verdict((&iso, &none), (&routed, &none)).0,
            Reachability::Closed
        );
        assert_eq!(matrix(&config, &[(&nat, &all), (&iso, &none)]).len(), 2);
    }
}
