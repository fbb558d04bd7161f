//! The firewalls of this host: gates, chains that block allowed traffic, and programs that write
//! rules.

mod blocking;
mod docker;
mod egress;
mod firewalld;
mod gates;
mod owners;

pub(crate) use blocking::{BlockingChainFinding, check as check_blocking_chains};
pub(crate) use docker::{DockerFinding, check as check_docker};
pub(crate) use egress::{EgressFinding, check as check_egress};
pub(crate) use firewalld::{FirewalldFinding, check as check_firewalld};
pub(crate) use gates::{
    GateFinding, chains_with_gates, check as check_gates, check_without_table, uninspected,
};
pub(crate) use owners::{OwnerFinding, check as check_owners};
