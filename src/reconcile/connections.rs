//! Connections that the table accepted and that policy does not allow any more.
//!
//! The table drops their packets as soon as it has changed. Their conntrack entries are deleted, too:
//! otherwise a new connection between the same ports, which libvirt may accept, would be dropped as
//! well, and without the table libvirt would accept their remaining packets.

use std::collections::BTreeSet;

use crate::Result;
use virt_forward_policy::{Policy, config::Config, network::Network};
use virt_forward_ruleset::table::Ip;
use virt_forward_system::{deadline::Deadline, netlink::conntrack, state::Record};

/// Deletes all of them, when nothing is open any more.
pub(super) fn end_all(deadline: Deadline) -> Result<()> {
    Ok(conntrack::delete_matching(
        None,
        |connection| connection.is_labelled,
        deadline,
    )?)
}

/// Deletes those of networks that are closed now.
pub(super) fn end_of(networks: &[&Network], deadline: Deadline) -> Result<()> {
    let subnets: Vec<_> = networks.iter().flat_map(|one| one.subnets()).collect();
    if subnets.is_empty() {
        return Ok(());
    }
    let is_meant = |connection: &conntrack::Connection| {
        connection.is_labelled
            && connection.concerns(|address| subnets.iter().any(|net| net.contains(address)))
    };
    let families: BTreeSet<_> = subnets.iter().map(|net| Ip::of(net.addr())).collect();
    let only = families.first().copied().filter(|_| families.len() == 1);
    Ok(conntrack::delete_matching(only, is_meant, deadline)?)
}

/// Deletes those that `config` does not allow between the networks of `records`.
pub(super) fn end_disallowed(
    config: &Config,
    records: &[Record],
    deadline: Deadline,
) -> Result<()> {
    // A closed network is not external: a rule that allows its subnet does not apply to it. If an open
    // network has the same subnet, the connections are those of the open one.
    let (closed, open): (Vec<_>, Vec<_>) =
        records.iter().partition(|record| record.access.is_empty());
    let networks = closed.into_iter().chain(open);
    let networks = networks.map(|record| (&record.network, &record.access));
    let policy = Policy::new(config, networks);
    let is_meant = |connection: &conntrack::Connection| {
        connection.is_labelled && !policy.allows(&connection.flow())
    };
    Ok(conntrack::delete_matching(None, is_meant, deadline)?)
}
