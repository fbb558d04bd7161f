//! Rules of iptables-legacy, which no trace shows: the one that dropped a packet has counted it.

use virt_forward_policy::netfilter::ChainName;

use super::report::{HitChain, HitRule, RuleHit, RuleVerdict};

/// A chain, a line of `iptables -S`, and the number of packets that it has counted.
pub(super) type Count = (ChainName, String, u64);

/// The first rule or policy that drops or rejects, and counted a packet between two listings.
pub(super) fn drop_between(before: &[Count], after: &[Count]) -> Option<RuleHit> {
    let mut pairs = before.iter().zip(after);
    let (_, (chain, line, _)) = pairs.find(|((_, old_line, old_count), (_, line, count))| {
        old_line == line && old_count < count && drops(line)
    })?;
    Some(RuleHit {
        chain: HitChain::Legacy(chain.clone()),
        rule: if is_policy(line) {
            HitRule::Policy
        } else {
            HitRule::Iptables {
                spec: line.clone(),
                handle: None,
            }
        },
        verdict: RuleVerdict::Drop,
    })
}

fn drops(line: &str) -> bool {
    if is_policy(line) {
        line.ends_with("DROP")
    } else {
        line.contains("-j DROP") || line.contains("-j REJECT")
    }
}

/// `-P FORWARD DROP`
fn is_policy(line: &str) -> bool {
    line.starts_with("-P")
}

#[cfg(test)]
mod tests {
    use virt_forward_policy::netfilter::{Engine, Family};

    use super::*;

    fn counts(counts: &[(&str, u64)]) -> Vec<Count> {
        let chain = ChainName {
            engine: Engine::Legacy,
            family: Family::Ip,
            table: "filter".to_owned(),
            chain: "FORWARD".to_owned(),
        };
        let count = |(line, packets): &(&str, u64)| (chain.clone(), (*line).to_owned(), *packets);
        counts.iter().map(count).collect()
    }

    #[test]
    fn the_rule_that_drops_and_counted_a_packet_is_found() {
        let before = counts(&[
            ("-P FORWARD DROP", 4),
            ("-A FORWARD -j X", 7),
            ("-A FORWARD -j DROP", 0),
        ]);
        let dropped = counts(&[
            ("-P FORWARD DROP", 4),
            ("-A FORWARD -j X", 8),
            ("-A FORWARD -j DROP", 1),
        ]);
        let hit = drop_between(&before, &dropped).unwrap();
        assert_eq!(hit.chain.to_string(), "iptables-legacy filter FORWARD");
        assert_eq!(
            hit.rule,
            HitRule::Iptables {
                spec: "-A FORWARD -j DROP".to_owned(),
                handle: None
            }
        );
        let by_policy = counts(&[("-P FORWARD DROP", 5)]);
        let hit = drop_between(&before, &by_policy).unwrap();
        assert_eq!(hit.rule, HitRule::Policy);
    }

    #[test]
    fn a_policy_that_accepts_drops_nothing() {
        let before = counts(&[("-P FORWARD ACCEPT", 4)]);
        let after = counts(&[("-P FORWARD ACCEPT", 5)]);
        assert_eq!(drop_between(&before, &after), None);
    }
}
