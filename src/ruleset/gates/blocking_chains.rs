//! Chains that refuse allowed packets and cannot have a gate, each with the commands that open it.

use virt_forward_policy::{
    config::MarkBit,
    netfilter::{ChainName, Engine, Family},
    network::BridgeName,
};

/// Why a chain has no gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoGateReason {
    /// No known firewall uses it, and the config does not name it.
    Unknown,
    /// A running program owns the table, so no other can add a rule.
    Owned,
    /// It runs before the table `inet virt_forward`, so packets are not marked yet.
    Early,
    /// It has more rules than the survey reads, and stands above the gate.
    Long,
}

/// A chain that refuses allowed packets, or may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockingChain {
    /// The chain.
    pub chain: ChainName,
    /// The reason that it has no gate.
    pub why: NoGateReason,
    /// Whether it refuses every packet that none of its rules accepts. Otherwise it has rules that
    /// refuse some packets, which may be allowed ones.
    pub is_certain: bool,
}

impl BlockingChain {
    pub(super) fn new(chain: &ChainName, why: NoGateReason, is_certain: bool) -> Self {
        Self {
            chain: chain.clone(),
            why,
            is_certain,
        }
    }

    /// The word for output and JSON.
    pub fn word(&self) -> &'static str {
        if self.is_certain {
            "refuses"
        } else {
            "may refuse"
        }
    }

    /// The commands that open it; `groups` are the bridges that may reach each other.
    pub fn remedy(&self, mark: MarkBit, groups: &[Vec<&BridgeName>]) -> Remedy {
        let name = &self.chain;
        if !name.is_plain() {
            return Remedy {
                what: "its name contains characters that are unsafe in a shell command".to_owned(),
                lines: Vec::new(),
            };
        }
        match (self.why, name.is_of_iptables()) {
            (NoGateReason::Long, _) => Remedy {
                what: "it has more rules than virt-forward reads, and the gate is below it; if it \
                       refuses every packet, add rules to it that accept allowed packets"
                    .to_owned(),
                lines: Vec::new(),
            },
            (NoGateReason::Owned, _) => Remedy {
                what: format!(
                    "only the program that owns this table can let it accept the mark {mark}"
                ),
                lines: Vec::new(),
            },
            (NoGateReason::Unknown, false) => Remedy {
                what: format!("add \"{name}\" to extra of [gates] in the config, or run"),
                lines: vec![format!(
                    "nft insert rule {name} meta mark and {mark} != 0 accept"
                )],
            },
            (NoGateReason::Unknown, true) => Remedy {
                what: "run".to_owned(),
                lines: vec![format!(
                    "{} -t {} -I {} -m mark --mark {mark}/{mark} -j ACCEPT",
                    program(name),
                    name.table,
                    name.chain
                )],
            },
            (NoGateReason::Early, is_of_iptables) => open_by_bridges(name, is_of_iptables, groups),
        }
    }
}

/// The means by which the administrator can open a [`BlockingChain`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remedy {
    /// A sentence, which the commands follow.
    pub what: String,
    /// Shell commands; empty where no command helps.
    pub lines: Vec<String>,
}

/// A chain that runs before packets are marked is opened by the bridges of each group.
fn open_by_bridges(name: &ChainName, is_of_iptables: bool, groups: &[Vec<&BridgeName>]) -> Remedy {
    let mut lines = Vec::new();
    for bridges in groups.iter().filter(|bridges| bridges.len() > 1) {
        if is_of_iptables {
            lines.extend(by_pairs(name, bridges));
        } else {
            lines.push(by_set(name, bridges));
        }
    }
    let todo = if lines.is_empty() {
        "add rules to it that accept allowed packets"
    } else {
        "to open it between the networks of a group, run"
    };
    let what = format!("it runs before packets are marked; {todo}");
    Remedy { what, lines }
}

/// The iptables program for the chain.
fn program(name: &ChainName) -> &'static str {
    match (name.engine, name.family) {
        (Engine::Nft, Family::Ip6) => "ip6tables",
        (Engine::Nft, _) => "iptables",
        (Engine::Legacy, Family::Ip6) => "ip6tables-legacy",
        (Engine::Legacy, _) => "iptables-legacy",
    }
}

/// One nft rule for all pairs of bridges.
fn by_set(name: &ChainName, bridges: &[&BridgeName]) -> String {
    let quoted: Vec<_> = bridges
        .iter()
        .map(|bridge| format!("\"{bridge}\""))
        .collect();
    let set = quoted.join(", ");
    format!("nft 'insert rule {name} iifname {{ {set} }} oifname {{ {set} }} accept'")
}

/// One iptables rule for each pair of bridges.
fn by_pairs(name: &ChainName, bridges: &[&BridgeName]) -> Vec<String> {
    let mut lines = Vec::new();
    for from in bridges {
        for to in bridges.iter().filter(|to| *to != from) {
            lines.push(format!(
                "{} -t {} -I {} -i {from} -o {to} -j ACCEPT",
                program(name),
                name.table,
                name.chain
            ));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_never_contains_a_name_that_a_shell_would_interpret() {
        for (chain, lines) in [
            ("f", 1),
            ("f;reboot", 0),
            ("$(reboot)", 0),
            ("-F", 0),
            ("'", 0),
        ] {
            let obstacle = BlockingChain {
                chain: ChainName::nft(Family::Ip, "filter", chain),
                why: NoGateReason::Unknown,
                is_certain: true,
            };
            let remedy = obstacle.remedy(MarkBit::DEFAULT, &[]);
            assert_eq!(remedy.lines.len(), lines, "{chain}");
        }
        let odd = ChainName::nft(Family::Ip, "t", "a\u{1b}[2J");
        assert!(!odd.to_string().contains('\u{1b}'));
    }
}
