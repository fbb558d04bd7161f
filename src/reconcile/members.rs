//! The networks as our table has them.

use virt_forward_ruleset::table::Member;
use virt_forward_system::state::Record;

/// The members of a table for these networks.
pub(crate) fn members(records: &[Record]) -> Vec<Member> {
    records.iter().filter_map(member).collect()
}

/// The member for one network; none where the host does not route it.
pub(crate) fn member(record: &Record) -> Option<Member> {
    let member = Member::new(&record.network, &record.access)?;
    Some(member.with_enabled(&record.enabled))
}

/// Whether the elements of the record that is `known` are some of those of `record`, so that
/// nothing has to be taken out.
pub(crate) fn is_less_of(known: &Record, record: &Record) -> bool {
    let is_closed_same = known.access.is_empty() && known.network.name == record.network.name;
    let is_same = known.network == record.network && known.access == record.access;
    (is_same || is_closed_same) && known.enabled.is_subset(&record.enabled)
}

/// Whether some network is open, so that a table is needed.
pub(crate) fn is_any_open(records: &[Record]) -> bool {
    records
        .iter()
        .any(|record| record.network.routed_bridge().is_some() && !record.access.is_empty())
}
