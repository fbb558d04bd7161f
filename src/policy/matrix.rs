//! Reachability between networks.

use crate::{
    access::Access,
    config::Config,
    libvirt::libvirt_verdict,
    network::Network,
    reachability::{MatrixEndpoint, Reachability},
    reason::{LibvirtEffect, Reason, RuleGrant},
};

/// One cell of the reachability matrix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatrixCell {
    /// The endpoint that opens connections.
    pub from: MatrixEndpoint,
    /// The endpoint that accepts them.
    pub to: MatrixEndpoint,
    /// Why they pass or do not.
    pub reason: Reason,
}

impl MatrixCell {
    /// Whether new connections pass.
    pub fn reachability(&self) -> Reachability {
        self.reason.reachability()
    }
}

/// The cells of every ordered pair of `networks`, each given with its access.
pub fn matrix(config: &Config, networks: &[(&Network, &Access)]) -> Vec<MatrixCell> {
    let mut cells = Vec::new();
    for from in networks {
        for to in networks {
            if from.0.name != to.0.name {
                cells.push(MatrixCell {
                    from: MatrixEndpoint::Network(from.0.name.clone()),
                    to: MatrixEndpoint::Network(to.0.name.clone()),
                    reason: reason(config, *from, *to),
                });
            }
        }
    }
    cells
}

/// Rules count only where libvirt rejects connections: otherwise they limit nothing.
fn reason(config: &Config, from: (&Network, &Access), to: (&Network, &Access)) -> Reason {
    let mut groups = from.1.groups.iter();
    if let Some(group) = groups.find(|group| to.1.groups.contains(group)) {
        return Reason::SameGroup {
            group: group.clone(),
        };
    }
    let verdict = libvirt_verdict(Some(from.0), Some(to.0), true);
    let rules = grants(config, from.1, to.1);
    if !verdict.allows() && !rules.is_empty() {
        return Reason::AllowRules { rules };
    }
    Reason::NoCommonGroup {
        libvirt: LibvirtEffect::new(verdict, from.0.is_masqueraded(true)),
    }
}

/// The rules that permit traffic from one network to the other.
fn grants(config: &Config, from: &Access, to: &Access) -> Vec<RuleGrant> {
    let rules = config.allows.iter();
    rules
        .filter(|rule| from.from.contains(&rule.id) && to.to.contains(&rule.id))
        .map(|rule| RuleGrant::new(rule, rule.from.subnet(), rule.to.subnet()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fixtures::network, network::Mode};

    #[test]
    fn the_matrix_distinguishes_access_by_group_from_access_by_libvirt() {
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
            let reason = reason(&config, from, to);
            (reason.reachability(), reason.to_string())
        };
        let (open, why) = verdict((&routed, &all), (&nat, &all));
        assert_eq!(
            (open, why.as_str()),
            (Reachability::Open, "both in group all")
        );
        let (open, why) = verdict((&nat, &none), (&routed, &all));
        assert_eq!(open, Reachability::Open);
        assert_eq!(
            why,
            "no common group, but libvirt routes to the destination network, source masqueraded"
        );
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
