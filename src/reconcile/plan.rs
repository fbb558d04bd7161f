//! Decisions about what to change, as functions of values.

use crate::Drift;

/// How an event of a network changes the kernel's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EventPlan {
    /// Elements of sets change, and nothing else of the table.
    ChangeElements,
    /// Everything is built from the records.
    Rebuild,
    /// Nothing is open, and nothing was: what an earlier boot left is removed.
    ClearLeftovers,
}

/// The facts that decide how an event is handled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EventFacts {
    /// The event concerns no other network, and the table was built for this host, is intact, and no
    /// run is pending.
    pub(crate) is_local: bool,
    /// Some network is open after the event.
    pub(crate) is_any_open: bool,
    /// The table that was built.
    pub(crate) table: BuiltTable,
}

/// The table, as the state folder has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BuiltTable {
    /// None was built.
    None,
    /// It was built, and its mark is known.
    Known,
    /// It was built by a version whose notes cannot be read.
    Unknown,
}

/// Decides how an event is handled.
pub(crate) fn plan_event(facts: EventFacts) -> EventPlan {
    match (facts.is_local, facts.is_any_open, facts.table) {
        (true, false, BuiltTable::None) => EventPlan::ClearLeftovers,
        (true, true, BuiltTable::Known) => EventPlan::ChangeElements,
        _ => EventPlan::Rebuild,
    }
}

/// A step of a repair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RepairStep {
    /// Everything is built from the records, with gates and sysctls.
    Rebuild,
    /// Gates and sysctls change, and the table stays.
    RepairGatesAndSysctls,
    /// Missing shortcuts are inserted.
    InsertShortcuts,
}

/// Decides how `drift` is repaired. `has_new_networks` says whether networks were recorded that the
/// table does not have yet.
pub(crate) fn plan_repair(
    drift: &[Drift],
    has_new_networks: bool,
    is_any_open: bool,
) -> Vec<RepairStep> {
    if has_new_networks || drift.iter().any(Drift::needs_rebuild) {
        return vec![RepairStep::Rebuild];
    }
    let mut steps = Vec::new();
    if !drift.is_empty() {
        steps.push(RepairStep::RepairGatesAndSysctls);
    }
    if is_any_open {
        steps.push(RepairStep::InsertShortcuts);
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use virt_forward_policy::netfilter::{ChainName, Family};

    fn gate() -> Drift {
        Drift::GateMissing {
            chain: ChainName::nft(Family::Ip, "filter", "FORWARD"),
        }
    }

    #[test]
    fn an_event_changes_elements_only_of_a_table_that_is_intact() {
        let facts = |is_local, is_any_open, table| EventFacts {
            is_local,
            is_any_open,
            table,
        };
        for (event, plan) in [
            (
                facts(true, true, BuiltTable::Known),
                EventPlan::ChangeElements,
            ),
            (facts(true, true, BuiltTable::Unknown), EventPlan::Rebuild),
            (facts(true, true, BuiltTable::None), EventPlan::Rebuild),
            (
                facts(true, false, BuiltTable::None),
                EventPlan::ClearLeftovers,
            ),
            // The last network has closed: a rebuild removes the table.
            (facts(true, false, BuiltTable::Known), EventPlan::Rebuild),
            (facts(false, true, BuiltTable::Known), EventPlan::Rebuild),
            (facts(false, false, BuiltTable::None), EventPlan::Rebuild),
        ] {
            assert_eq!(plan_event(event), plan, "{event:?}");
        }
    }

    #[test]
    fn without_drift_only_shortcuts_are_looked_after() {
        assert_eq!(plan_repair(&[], false, false), []);
        assert_eq!(plan_repair(&[], false, true), [RepairStep::InsertShortcuts]);
    }

    #[test]
    fn a_gate_is_repaired_without_a_rebuild_and_a_table_by_one() {
        assert_eq!(
            plan_repair(&[gate()], false, true),
            [
                RepairStep::RepairGatesAndSysctls,
                RepairStep::InsertShortcuts
            ]
        );
        for drift in [
            Drift::TableMissing,
            Drift::ConfigChanged,
            Drift::InterruptedRun,
            Drift::RoutingChanged,
        ] {
            assert_eq!(
                plan_repair(&[gate(), drift], false, true),
                [RepairStep::Rebuild]
            );
        }
    }

    #[test]
    fn a_network_without_a_record_leads_to_a_rebuild() {
        assert_eq!(plan_repair(&[], true, true), [RepairStep::Rebuild]);
    }
}
