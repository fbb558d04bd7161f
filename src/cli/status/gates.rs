//! Every firewall that is in use, and what stands in the way.

use std::collections::BTreeMap;

use virt_forward_policy::{config::MarkBit, network::BridgeName};
use virt_forward_reconcile::Inspection;
use virt_forward_ruleset::gates::{GateState, Remedy, Site};
use virt_forward_system::state::Record;

use super::model::GateStatus;
use crate::output;

pub(super) fn gates(inspection: &Inspection, mark: MarkBit) -> Vec<GateStatus> {
    let wanted = &inspection.wanted;
    let has_table = inspection.table.is_some();
    let stands = |state| matches!(state, GateState::Present | GateState::Shadowed);
    let groups = bridges_by_group(&wanted.records);
    let sites = wanted.survey.all().map(|site: &Site| GateStatus {
        owner: site.owner,
        place: site.chain().to_string(),
        state: site.state.word(),
        stale: !has_table && stands(site.state),
        remedy: None,
        commands: Vec::new(),
    });
    let obstacles = wanted.survey.obstacles.iter().map(|obstacle| {
        let Remedy { what, lines } = obstacle.remedy(mark, &groups);
        GateStatus {
            owner: "unknown",
            place: obstacle.chain.to_string(),
            state: obstacle.word(),
            stale: false,
            remedy: Some(what),
            commands: lines,
        }
    });
    let outsiders = wanted.outsiders.iter().map(|outsider| GateStatus {
        owner: "firewalld",
        place: match &outsider.zone {
            Some(zone) => format!("zone {zone}, of {}", outsider.bridge),
            None => format!("default zone, of {}", outsider.bridge),
        },
        state: match &outsider.zone {
            Some(_) => "may refuse",
            None => "refuses",
        },
        stale: false,
        remedy: Some("run".to_owned()),
        commands: vec![outsider.remedy()],
    });
    sites.chain(obstacles).chain(outsiders).collect()
}

fn bridges_by_group(records: &[Record]) -> Vec<Vec<&BridgeName>> {
    let mut groups: BTreeMap<&String, Vec<&BridgeName>> = BTreeMap::new();
    for record in records {
        for group in &record.access.groups {
            let of_group = groups.entry(group).or_default();
            of_group.extend(record.network.routed_bridge());
        }
    }
    groups.into_values().collect()
}

impl GateStatus {
    /// What is wrong with it, and what to do.
    pub(super) fn remark(&self, any_open: bool, width: usize) -> Option<String> {
        let Self { place, state, .. } = self;
        if let Some(remedy) = &self.remedy {
            let what = match self.owner {
                "firewalld" => "firewalld's",
                _ => "the chain",
            };
            let text = format!("{what} {place} {state} what is open here: {remedy}");
            let mut text = output::wrapped(&text, width);
            for line in &self.commands {
                text.push_str(&format!("\n  {line}"));
            }
            return any_open.then_some(text);
        }
        let is = |known: GateState| *state == known.word();
        let text = if is(GateState::NotNeeded) {
            return None;
        } else if self.stale {
            let remedy = if any_open { "apply" } else { "remove --all" };
            format!(
                "the gate in {place} stands without our table: it accepts every packet that \
                 carries the mark, whoever set it: virt-forward {remedy}"
            )
        } else if any_open && !is(GateState::Present) {
            format!("the gate in {place} is {state}: virt-forward apply")
        } else if !any_open && !is(GateState::Missing) {
            format!("a gate was left in {place}: virt-forward remove --all")
        } else {
            return None;
        };
        Some(output::wrapped(&text, width))
    }
}
