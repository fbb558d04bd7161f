//! `doctor`: diagnoses common problems of a host and suggests fixes.
//!
//! `commands/doctor.rs` gathers a [`HostSnapshot`]; [`diagnose()`] judges it without touching the
//! system. Each subject has a file or a folder: the facts that are collected, the enum of its
//! findings, and the check that derives the findings from the facts. Severity, fix and sentence
//! follow from the variant: a sentence is produced by the `Display` of its finding and nowhere
//! else. Files below `/etc`, `/proc`, `/run` and `/sys` are read through a [`SysRoot`].

mod br_netfilter;
mod config;
mod context;
mod daemon;
mod diagnose;
mod diagnosis;
mod file_owner;
mod finding;
mod firewalls;
#[cfg(test)]
mod fixtures;
mod forwarding;
mod fwmark;
mod hook;
mod iptables;
mod libvirt;
mod mac;
mod networks;
mod processes;
mod report;
mod routes;
mod rules;
mod snapshot;
mod state;
mod subnets;
mod sysroot;
mod table;
mod text;
mod watch;

pub(crate) use br_netfilter::BridgeFilter;
pub(crate) use config::ConfigFile;
pub(crate) use daemon::Daemon;
pub(crate) use diagnose::diagnose;
pub(crate) use forwarding::ForwardingSysctls;
pub(crate) use fwmark::{FwmarkRules, FwmarkUsers, RoutingRule, described as described_fwmark};
pub(crate) use hook::Hooks;
pub(crate) use iptables::Iptables;
pub(crate) use libvirt::Version as LibvirtVersion;
pub(crate) use mac::MacState;
pub(crate) use report::DoctorReport;
pub(crate) use snapshot::{HostSnapshot, InterfaceSysctls, ObservedRules};
pub(crate) use state::StateFolder;
pub(crate) use sysroot::SysRoot;
pub(crate) use watch::PROCESS_NAME as WATCH_PROCESS;
