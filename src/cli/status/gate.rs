//! The gates, and the chains that have none and block what is allowed.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use virt_forward_policy::{config::MarkBit, network::BridgeName};
use virt_forward_reconcile::Inspection;
use virt_forward_ruleset::gates::{BlockingChain, GateState, Remedy, Site, UnzonedBridge};
use virt_forward_system::state::Record;

use crate::output;

#[derive(Debug, Serialize)]
pub(super) struct GateStatus {
    owner: &'static str,
    #[serde(rename = "where")]
    place: String,
    state: PlaceState,
    /// The gate exists without our table: it accepts every packet with the mark, whatever set it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
    /// What opens the place, where virt-forward cannot or should not.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    commands: Vec<String>,
}

/// What was found in a place where packets can be blocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PlaceState {
    /// A chain that has, or should have, a gate.
    Gate(GateState),
    /// A chain that gets no gate; it blocks allowed packets for certain, or may.
    Chain { is_certain: bool },
    /// A zone of firewalld that is not libvirt's; it blocks guests for certain, or may.
    Zone { is_certain: bool },
}

impl PlaceState {
    /// The word in messages and in JSON.
    fn word(self) -> &'static str {
        match self {
            Self::Gate(state) => state.word(),
            Self::Chain { is_certain } | Self::Zone { is_certain } => {
                if is_certain {
                    "refuses"
                } else {
                    "may refuse"
                }
            }
        }
    }
}

impl Serialize for PlaceState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

pub(super) fn gates(inspection: &Inspection, mark: MarkBit) -> Vec<GateStatus> {
    let wanted = &inspection.wanted;
    let has_table = inspection.table.is_some();
    let groups = bridges_by_group(&wanted.records);
    let mut gates = Vec::new();
    for site in wanted.survey.all() {
        gates.push(of_site(site, has_table));
    }
    for obstacle in &wanted.survey.obstacles {
        gates.push(of_chain(obstacle, mark, &groups));
    }
    gates.extend(wanted.outsiders.iter().map(of_zone));
    gates
}

fn of_site(site: &Site, has_table: bool) -> GateStatus {
    let exists = matches!(site.state, GateState::Present | GateState::Shadowed);
    GateStatus {
        owner: site.owner.as_str(),
        place: site.chain().to_string(),
        state: PlaceState::Gate(site.state),
        stale: !has_table && exists,
        remedy: None,
        commands: Vec::new(),
    }
}

fn of_chain(obstacle: &BlockingChain, mark: MarkBit, groups: &[Vec<&BridgeName>]) -> GateStatus {
    let Remedy { what, lines } = obstacle.remedy(mark, groups);
    GateStatus {
        owner: "unknown",
        place: obstacle.chain.to_string(),
        state: PlaceState::Chain {
            is_certain: obstacle.is_certain,
        },
        stale: false,
        remedy: Some(what),
        commands: lines,
    }
}

fn of_zone(outsider: &UnzonedBridge) -> GateStatus {
    let bridge = &outsider.bridge;
    GateStatus {
        owner: "firewalld",
        place: match &outsider.zone {
            Some(zone) => format!("zone {zone}, of {bridge}"),
            None => format!("default zone, of {bridge}"),
        },
        state: PlaceState::Zone {
            is_certain: outsider.zone.is_none(),
        },
        stale: false,
        remedy: Some("run".to_owned()),
        commands: vec![outsider.remedy()],
    }
}

fn bridges_by_group(records: &[Record]) -> Vec<Vec<&BridgeName>> {
    let mut groups: BTreeMap<&String, Vec<&BridgeName>> = BTreeMap::new();
    for record in records {
        for group in &record.access.groups {
            let bridges = groups.entry(group).or_default();
            bridges.extend(record.network.routed_bridge());
        }
    }
    groups.into_values().collect()
}

impl GateStatus {
    /// The problem with it, if any, and what solves it; `is_any_open` tells whether gates are needed.
    pub(super) fn problem(&self, is_any_open: bool, width: usize) -> Option<String> {
        match self.state {
            PlaceState::Gate(state) => {
                let text = self.gate_problem(state, is_any_open)?;
                Some(output::wrapped(&text, width))
            }
            PlaceState::Chain { .. } if is_any_open => Some(self.block("the chain", width)),
            PlaceState::Zone { .. } if is_any_open => Some(self.block("firewalld's", width)),
            PlaceState::Chain { .. } | PlaceState::Zone { .. } => None,
        }
    }

    fn block(&self, kind: &str, width: usize) -> String {
        let Self { place, .. } = self;
        let (word, remedy) = (
            self.state.word(),
            self.remedy.as_deref().unwrap_or_default(),
        );
        let text = format!("{kind} {place} {word} what is open here: {remedy}");
        let mut text = output::wrapped(&text, width);
        for line in &self.commands {
            text.push_str("\n  ");
            text.push_str(line);
        }
        text
    }

    fn gate_problem(&self, state: GateState, is_any_open: bool) -> Option<String> {
        let Self { place, stale, .. } = self;
        if state == GateState::NotNeeded {
            return None;
        }
        if *stale {
            let command = if is_any_open { "apply" } else { "remove --all" };
            return Some(format!(
                "the gate in {place} exists without the table inet virt_forward and accepts every \
                 packet with the mark: virt-forward {command}"
            ));
        }
        if is_any_open && state != GateState::Present {
            let word = state.word();
            return Some(format!("the gate in {place} is {word}: virt-forward apply"));
        }
        if !is_any_open && state != GateState::Missing {
            return Some(format!("stale gate in {place}: virt-forward remove --all"));
        }
        None
    }
}
