//! The text of the log: each drift that was repaired, and each object that another program reverts.

use virt_forward_policy::{netfilter::TABLE, sanitize::escape};
use virt_forward_reconcile::{Drift, Subject};

/// The largest number of actors that one line names.
const MAX_NAMED: usize = 3;

/// The line for a repair. `actors` are the processes that have changed rules since the check before.
pub(super) fn repaired(drift: &[Drift], actors: &[String]) -> String {
    if let ([one], [actor]) = (drift, actors)
        && is_about_rules(one)
    {
        return clause(one, &format!(" by {}", escape(actor)));
    }
    let clauses: Vec<_> = drift.iter().map(|one| clause(one, "")).collect();
    format!("{}{}", clauses.join("; "), changed_by(actors))
}

/// The line for repairs that only repeated those of an earlier line.
pub(super) fn repaired_again(times: usize, subjects: &[Subject], actors: &[String]) -> String {
    let times = match times {
        1 => "once more".to_owned(),
        times => format!("{times} more times"),
    };
    let subjects: Vec<_> = subjects.iter().map(subject).collect();
    format!(
        "repaired {times}: {}{}",
        subjects.join(", "),
        changed_by(actors)
    )
}

/// The line for an object that another program keeps reverting.
pub(super) fn contested(contested: &Subject) -> String {
    format!(
        "slowed repairs of {} (another program keeps reverting them)",
        subject(contested)
    )
}

fn is_about_rules(drift: &Drift) -> bool {
    matches!(
        drift,
        Drift::TableMissing
            | Drift::TableChanged
            | Drift::SetChanged { .. }
            | Drift::GateMissing { .. }
    )
}

/// `by` names the one actor that may have caused it, or is empty.
fn clause(drift: &Drift, by: &str) -> String {
    let object = subject(&drift.subject());
    let rebuilt = |cause: &str| format!("rebuilt {} ({cause})", table());
    match drift {
        Drift::TableMissing => format!("restored {object} (removed{by})"),
        Drift::TableChanged | Drift::SetChanged { .. } => {
            format!("restored {object} (changed{by})")
        }
        Drift::GateMissing { .. } => format!("restored {object} (removed or displaced{by})"),
        Drift::StaleTable | Drift::StaleGate { .. } => {
            format!("removed stale {object} (no network is known)")
        }
        Drift::Sysctl { value, .. } => format!("restored {object} (was {value})"),
        Drift::FirewalldLacksPeers => format!("restored {object} (missing)"),
        Drift::NetworkGone { bridge, .. } => {
            format!("closed {object} (its bridge {bridge} is gone)")
        }
        Drift::NetworkInactive { .. } => format!("closed {object} (not active in libvirt)"),
        Drift::NetworkActive { .. } => format!("updated {object} (active in libvirt)"),
        Drift::InterruptedRun => rebuilt("a previous run was interrupted"),
        Drift::ConfigChanged => rebuilt("the configuration changed"),
        Drift::HostConflictsChanged => {
            rebuilt("the host's addresses or routes conflict with other parts of the configuration")
        }
        Drift::ForwardingChanged => rebuilt("the set of forwarding interfaces changed"),
        Drift::RoutingChanged => rebuilt("the host's routes changed"),
        Drift::FirewalldToggled => rebuilt("firewalld started or stopped"),
        Drift::DockerAccessChanged => rebuilt("Docker's published containers changed"),
        Drift::UnreadableNetworksChanged => {
            rebuilt("the set of networks with an unreadable definition changed")
        }
    }
}

fn subject(subject: &Subject) -> String {
    match subject {
        Subject::PreviousRun => "the result of an interrupted run".to_owned(),
        Subject::Table => table(),
        Subject::Set(set) => format!("set {set} of {}", table()),
        Subject::Gate(chain) => format!("gate in {chain}"),
        Subject::Config => "the configuration".to_owned(),
        Subject::HostConflicts => "conflicts with the host's addresses".to_owned(),
        Subject::Forwarding => "the set of forwarding interfaces".to_owned(),
        Subject::Routing => "the host's routes".to_owned(),
        Subject::Firewalld => "the rules against forged peers".to_owned(),
        Subject::DockerAccess => "the rules for Docker's containers".to_owned(),
        Subject::Sysctl(key) => format!("sysctl {}", key.name()),
        Subject::FirewalldPeers => "peer rules of firewalld's policy virt-forward".to_owned(),
        Subject::Network(name) => format!("network {}", escape(name)),
        Subject::UnreadableNetworks => "the set of unreadable networks".to_owned(),
    }
}

fn table() -> String {
    format!("table {} {}", TABLE.family.word(), TABLE.name)
}

/// The processes that have changed rules, as far as the kernel names them; each once.
fn changed_by(actors: &[String]) -> String {
    let mut names: Vec<String> = Vec::new();
    for actor in actors {
        // A process chooses its own name.
        let name = escape(actor);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let more = names.len().saturating_sub(MAX_NAMED);
    names.truncate(MAX_NAMED);
    match (names.is_empty(), more) {
        (true, _) => String::new(),
        (false, 0) => format!("; rules changed by {}", names.join(", ")),
        (false, more) => format!("; rules changed by {} and {more} more", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use virt_forward_policy::netfilter::{ChainName, Family};

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    fn gate() -> Drift {
        Drift::GateMissing {
            chain: ChainName::nft(Family::Ip, "filter", "FORWARD"),
        }
    }

    #[test]
    fn one_drift_and_one_actor_are_cause_and_effect() {
        assert_eq!(
            repaired(&[Drift::TableMissing], &words("nft[12515]")),
            "restored table inet virt_forward (removed by nft[12515])"
        );
        assert_eq!(
            repaired(&[gate()], &[]),
            "restored gate in ip filter FORWARD (removed or displaced)"
        );
    }

    #[test]
    fn several_actors_are_named_once_each_and_not_all_of_them() {
        assert_eq!(
            repaired(
                &[Drift::TableChanged, gate()],
                &words("nft[1] nft[1] nft[2] nft[3] nft[4]")
            ),
            "restored table inet virt_forward (changed); restored gate in ip filter FORWARD \
             (removed or displaced); rules changed by nft[1], nft[2], nft[3] and 1 more"
        );
    }

    #[test]
    fn a_change_that_is_not_of_rules_has_no_actor() {
        let gone = Drift::NetworkGone {
            network: "n\n1".to_owned(),
            bridge: "virbr1".parse().unwrap(),
        };
        assert_eq!(
            repaired(&[gone], &words("libvirtd[7]")),
            "closed network n\\n1 (its bridge virbr1 is gone); rules changed by libvirtd[7]"
        );
    }

    #[test]
    fn repeated_repairs_are_counted() {
        let subjects = [gate().subject(), Subject::Table];
        assert_eq!(
            repaired_again(4, &subjects, &words("libvirtd[7]")),
            "repaired 4 more times: gate in ip filter FORWARD, table inet virt_forward; rules \
             changed by libvirtd[7]"
        );
        assert_eq!(
            repaired_again(1, &subjects[1..], &[]),
            "repaired once more: table inet virt_forward"
        );
    }
}
