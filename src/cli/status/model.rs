//! All that there is to say, as values.

use serde::Serialize;
use virt_forward_policy::{Access, Reach, config::Config, netfilter::Family};
use virt_forward_reconcile::{Inspection, Preview};
use virt_forward_ruleset::gates::{Obstacle, Site, State};
use virt_forward_system::state::Record;

use super::{gates::gates, reach};
use crate::{host::Host, settings::Settings};

/// What was looked at.
pub(crate) struct Seen<'a> {
    pub(crate) config: &'a Config,
    pub(crate) inspection: &'a Inspection,
    pub(crate) host: &'a Host,
    pub(crate) settings: &'a dyn Settings,
}

/// All that `status --json` says.
#[derive(Debug, Serialize)]
pub(crate) struct Status {
    pub(crate) networks: Vec<NetworkStatus>,
    pub(super) table: &'static str,
    /// Whether libvirt's own rules are there where it needs them.
    pub(super) libvirt: &'static str,
    /// Whether firewalld lets peers through, where it runs.
    pub(super) firewalld: &'static str,
    /// What the config and the networks do not agree in, and what could not be seen.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) troubles: Vec<String>,
    /// The config opens nothing at all; no fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) note: Option<String>,
    pub(super) gates: Vec<GateStatus>,
    pub(super) sysctls: Vec<SysctlStatus>,
    /// Networks among themselves.
    pub(super) reach: Vec<Reach>,
    /// A network and a subnet outside, each pair both ways. `0.0.0.0/0` and `::/0` stand for
    /// the Internet, where the host has a way there.
    pub(crate) outside: Vec<Reach>,
}

#[derive(Debug, Serialize)]
pub(crate) struct NetworkStatus {
    pub(crate) name: String,
    pub(crate) bridge: String,
    pub(crate) mode: &'static str,
    pub(crate) subnets: Vec<String>,
    #[serde(flatten)]
    pub(crate) access: Access,
    pub(crate) state: NetworkState,
    /// Why it is not as wanted, or is closed whatever the config says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fault: Option<String>,
    /// Closed until it starts again, whatever the config says.
    pub(crate) held: bool,
    #[serde(skip)]
    pub(super) is_bridge_there: bool,
}

/// In the order in which a packet would meet what is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum NetworkState {
    /// The config names it nowhere.
    Closed,
    /// The bridge is not there, or not up.
    Down,
    /// Forwarding is off on its bridge.
    Unforwarded,
    /// Not in our table.
    Missing,
    /// A firewall in use has no working gate.
    Blocked,
    /// As wanted.
    Open,
}

impl NetworkState {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Down => "down",
            Self::Unforwarded => "unforwarded",
            Self::Missing => "missing",
            Self::Blocked => "blocked",
            Self::Open => "open",
        }
    }

    /// Whether it is what the config wants.
    pub(crate) fn is_right(self) -> bool {
        matches!(self, Self::Open | Self::Closed)
    }
}

#[derive(Debug, Serialize)]
pub(super) struct GateStatus {
    pub(super) owner: &'static str,
    #[serde(rename = "where")]
    pub(super) place: String,
    pub(super) state: &'static str,
    /// It stands without our table: it accepts whatever carries the mark, whoever set it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) stale: bool,
    /// Where we cannot or should not open it, what does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) remedy: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) commands: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct SysctlStatus {
    pub(super) key: String,
    pub(super) value: Option<String>,
    pub(super) wanted: String,
}

impl Status {
    pub(crate) fn of(seen: &Seen) -> Self {
        let inspection = seen.inspection;
        let wanted = &inspection.wanted;
        let records = wanted.records.iter();
        let networks: Vec<_> = records.map(|record| network_status(record, seen)).collect();
        let (reach, outside) = reach::of(seen, &networks);
        Self {
            networks,
            table: match (&inspection.table, inspection.is_table_right()) {
                (_, true) => "right",
                (None, false) => "missing",
                (Some(_), false) => "differs",
            },
            libvirt: match wanted.is_libvirt_flushed {
                true => "flushed",
                false => "right",
            },
            firewalld: match wanted.is_firewalld_closed {
                true => "closed",
                false => "right",
            },
            troubles: troubles(wanted),
            note: seen.config.opens_nothing().map(|why| why.to_string()),
            gates: gates(inspection, seen.config.mark),
            sysctls: wanted
                .settings
                .iter()
                .map(|setting| SysctlStatus {
                    key: setting.wanted.key.name(),
                    value: setting.value.clone(),
                    wanted: setting.wanted.value.clone(),
                })
                .collect(),
            reach,
            outside,
        }
    }

    pub(crate) fn are_networks_right(&self) -> bool {
        self.networks.iter().all(|network| network.state.is_right())
    }
}

fn troubles(wanted: &Preview) -> Vec<String> {
    let misfits = wanted.misfits.iter().map(ToString::to_string);
    let unseen = wanted.trouble.iter().map(ToString::to_string);
    let absent = wanted.survey.absent.iter().map(|chain| {
        format!("{chain}, in extra of [gates], is no chain that forwarded packets come to")
    });
    misfits.chain(unseen).chain(absent).collect()
}

/// The chains that refuse what none of their rules accepts.
pub(super) fn certain(wanted: &Preview) -> impl Iterator<Item = &Obstacle> {
    let obstacles = wanted.survey.obstacles.iter();
    obstacles.filter(|obstacle| obstacle.is_certain)
}

fn network_status(record: &Record, seen: &Seen) -> NetworkStatus {
    let network = &record.network;
    let bridge = network.known_bridge().as_ref().map(ToString::to_string);
    let bridge = bridge.unwrap_or_default();
    let (state, fault) = state(record, &bridge, seen);
    NetworkStatus {
        name: network.name.clone(),
        state,
        fault: match (&network.fault, record.is_admin_closed()) {
            (Some(why), _) => Some(why.to_string()),
            (None, true) => Some("kept closed until it starts again".to_owned()),
            (None, false) => fault,
        },
        held: record.is_admin_closed(),
        is_bridge_there: seen.host.interface(&bridge).is_some(),
        bridge,
        mode: network.mode.word(),
        subnets: network.subnets().iter().map(ToString::to_string).collect(),
        access: record.access.clone(),
    }
}

/// With the first thing that is wrong.
fn state(record: &Record, bridge: &str, seen: &Seen) -> (NetworkState, Option<String>) {
    let wanted = &seen.inspection.wanted;
    let mut of_bridge = wanted
        .settings
        .iter()
        .filter(|setting| setting.wanted.key.interface() == bridge && !setting.is_right());
    let quoted = format!("\"{bridge}\"");
    let table = seen.inspection.table.as_ref();
    let fault = |state, why: String| (state, Some(why));
    if record.access.is_none() {
        return (NetworkState::Closed, None);
    }
    match seen.host.interface(bridge) {
        None => return fault(NetworkState::Down, format!("{bridge} is not there")),
        Some(one) if !one.is_up => {
            return fault(NetworkState::Down, format!("{bridge} is not up"));
        }
        Some(_) => {}
    }
    if let Some(setting) = of_bridge.next() {
        let (key, value) = (setting.wanted.key.name(), setting.value.as_deref());
        let why = format!("{key} is {}", value.unwrap_or("not there"));
        return fault(NetworkState::Unforwarded, why);
    }
    if !table.is_some_and(|table| table.contains(&quoted)) {
        let why = "it is not in the table inet virt_forward".to_owned();
        return fault(NetworkState::Missing, why);
    }
    match blocked_by(record, wanted) {
        Some(why) => fault(NetworkState::Blocked, why),
        None => (NetworkState::Open, None),
    }
}

/// The firewall that keeps out what our table lets in.
fn blocked_by(record: &Record, wanted: &Preview) -> Option<String> {
    let concerns = |family: Family| match family {
        Family::Inet => true,
        Family::Ip => !record.network.subnets4().is_empty(),
        Family::Ip6 => !record.network.subnets6().is_empty(),
    };
    let sites = wanted.survey.sites.iter();
    let mut sites = sites.filter(|site: &&Site| concerns(site.base.family));
    let shut = sites.find_map(|site| match site.state {
        State::Missing => Some(format!("there is no gate in {}", site.chain())),
        State::Sunk => Some(format!(
            "other rules stand before the gate in {}",
            site.chain()
        )),
        State::Standing | State::High | State::Unneeded => None,
    });
    shut.or_else(|| {
        let mut obstacles = certain(wanted).filter(|one| concerns(one.chain.family));
        let chain = &obstacles.next()?.chain;
        Some(format!("{chain} refuses it"))
    })
}
