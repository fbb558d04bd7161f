//! `status`: what is open, what is in the way, who reaches whom.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;
use virt_forward_core::{
    Error,
    config::{Config, MarkBit},
    gates::{Obstacle, Remedy, Site, State},
    names::Family,
    network::{BridgeName, Network},
    policy::{self, Access, Reach, Verdict},
    reconcile::{self, Inspection, Preview},
    state::Record,
    text::shown,
};

use super::{config, deadline};
use crate::{args::Args, exit::Exit, host::Host, networks::Networks, output};

/// Widest picture for a terminal; a matrix that does not fit is given as a list.
const WIDEST: usize = 80;

/// Prints the state of things.
pub(crate) fn status(args: &Args, json: bool, check: bool) -> Result<Exit> {
    let config = config(args)?;
    let networks = Networks::find(args.connect.as_deref())?;
    let unknown = Error::unknown_ends(&config, |name| networks.has(name));
    let mut inspection = reconcile::inspect(&config, networks.active, deadline())?;
    inspection.wanted.misfits.extend(unknown);
    let status = Status::of(&inspection, &config, &Host::ask()?);
    let text = match json {
        true => serde_json::to_string_pretty(&status)? + "\n",
        false => status.for_people(),
    };
    output::print(&text)?;
    match check && !(inspection.is_all_right() && status.are_networks_right()) {
        true => Ok(Exit::Differs),
        false => Ok(Exit::Done),
    }
}

/// All that `status --json` says.
#[derive(Serialize)]
struct Status {
    networks: Vec<NetworkStatus>,
    table: &'static str,
    /// Whether libvirt's own rules are there where it needs them.
    libvirt: &'static str,
    /// Whether firewalld lets peers through, where it runs.
    firewalld: &'static str,
    /// What the config and the networks do not agree in, and what could not be seen.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    troubles: Vec<String>,
    gates: Vec<GateStatus>,
    sysctls: Vec<SysctlStatus>,
    reach: Vec<Reach>,
}

#[derive(Serialize)]
struct NetworkStatus {
    name: String,
    bridge: String,
    mode: &'static str,
    subnets: Vec<String>,
    #[serde(flatten)]
    access: Access,
    state: NetworkState,
    /// Closed until it starts again, whatever the config says.
    held: bool,
    #[serde(skip)]
    is_bridge_there: bool,
}

impl NetworkStatus {
    /// What to do about a bridge that is not up.
    fn down_remark(&self) -> String {
        let Self { name, bridge, .. } = self;
        let name = shown(name);
        match self.is_bridge_there {
            true => format!("{bridge} is not up: ip link set {bridge} up"),
            false => format!(
                "{bridge} is gone, though libvirt takes {name} for active:\n  \
                 virsh net-destroy {name}; virsh net-start {name}"
            ),
        }
    }
}

/// In the order in which a packet would meet what is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum NetworkState {
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

#[derive(Serialize)]
struct GateStatus {
    owner: &'static str,
    #[serde(rename = "where")]
    place: String,
    state: &'static str,
    /// Where we cannot or should not open it, what does.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    commands: Vec<String>,
}

#[derive(Serialize)]
struct SysctlStatus {
    key: String,
    value: Option<String>,
    wanted: String,
}

impl Status {
    fn of(inspection: &Inspection, config: &Config, host: &Host) -> Self {
        let wanted = &inspection.wanted;
        let records = wanted.records.iter();
        let networks: Vec<_> = records
            .map(|record| network_status(record, inspection, host))
            .collect();
        Self {
            reach: reach(config, wanted, &networks),
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
            troubles: wanted
                .misfits
                .iter()
                .map(ToString::to_string)
                .chain(wanted.trouble.iter().map(ToString::to_string))
                .chain(wanted.survey.absent.iter().map(|chain| {
                    format!(
                        "{chain}, in extra of [gates], is no chain that forwarded packets come to"
                    )
                }))
                .collect(),
            gates: gates(wanted, config.mark),
            sysctls: wanted
                .settings
                .iter()
                .map(|setting| SysctlStatus {
                    key: setting.wanted.key.name(),
                    value: setting.value.clone(),
                    wanted: setting.wanted.value.clone(),
                })
                .collect(),
        }
    }

    fn are_networks_right(&self) -> bool {
        let right = |network: &NetworkStatus| {
            matches!(network.state, NetworkState::Open | NetworkState::Closed)
        };
        self.networks.iter().all(right)
    }

    fn for_people(&self) -> String {
        if self.networks.is_empty() {
            return format!(
                "no network is active that could be opened\n{}",
                self.remarks()
            );
        }
        let mut text = self.networks_for_people();
        text.push('\n');
        text.push_str(&self.reach_for_people());
        text.push_str(&self.remarks());
        text
    }

    fn networks_for_people(&self) -> String {
        let head = ["NETWORK", "BRIDGE", "MODE", "STATE", "GROUPS", "SUBNETS"];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        for network in &self.networks {
            let mut subnets = network.subnets.iter();
            rows.push(vec![
                shown(&network.name),
                network.bridge.clone(),
                network.mode.to_owned(),
                network.state.word().to_owned(),
                network.access.groups.join(" "),
                subnets.next().cloned().unwrap_or_default(),
            ]);
            // A subnet a line, under the first: two would be too wide for a terminal.
            for subnet in subnets {
                let mut row = vec![String::new(); head.len() - 1];
                row.push(subnet.clone());
                rows.push(row);
            }
        }
        output::columns(&rows)
    }

    /// From the left to the top; a list where that would be too wide.
    fn reach_for_people(&self) -> String {
        let names: Vec<_> = self.networks.iter().map(|network| &network.name).collect();
        let mut rows = vec![vec!["FROM \\ TO".to_owned()]];
        if let Some(head) = rows.first_mut() {
            head.extend(names.iter().map(|name| shown(name)));
        }
        for from in &names {
            let cells = names.iter().map(|to| self.verdict(from, to).to_owned());
            rows.push(std::iter::once(shown(from)).chain(cells).collect());
        }
        let matrix = output::columns(&rows);
        if output::width(&matrix) <= WIDEST {
            return matrix;
        }
        let mut list = vec![["FROM", "TO", "VERDICT"].map(str::to_owned).to_vec()];
        list.extend(self.reach.iter().map(|reach| {
            vec![
                shown(&reach.from),
                shown(&reach.to),
                word(reach.verdict).to_owned(),
            ]
        }));
        output::columns(&list)
    }

    fn verdict(&self, from: &str, to: &str) -> &'static str {
        let mut cells = self.reach.iter();
        let cell = cells.find(|reach| reach.from == from && reach.to == to);
        cell.map_or("-", |reach| word(reach.verdict))
    }

    /// What is wrong, each with what to do.
    fn remarks(&self) -> String {
        let mut remarks = Vec::new();
        match self.table {
            "missing" => remarks.push("our table is not there: virt-forward apply".to_owned()),
            "differs" => {
                remarks.push("our table is not as it should be: virt-forward apply".to_owned());
            }
            _ => {}
        }
        let any_open = self
            .networks
            .iter()
            .any(|network| !network.access.is_none());
        if self.libvirt == "flushed" {
            remarks.push(
                "libvirt's own rules are gone: somebody flushed them. It cannot start a network\n\
                 before its daemon restarts: systemctl restart libvirtd (or virtnetworkd)"
                    .to_owned(),
            );
        }
        if self.firewalld == "closed" {
            let todo = "firewalld keeps the peers out: virt-forward apply";
            remarks.push(todo.to_owned());
        }
        let troubles = self.troubles.iter();
        remarks.extend(troubles.map(|trouble| output::wrapped(trouble, WIDEST)));
        remarks.extend(self.gates.iter().filter_map(|gate| gate.remark(any_open)));
        for setting in self
            .sysctls
            .iter()
            .filter(|s| s.value.as_ref() != Some(&s.wanted))
        {
            let value = setting.value.as_deref().unwrap_or("not there");
            remarks.push(format!(
                "{} is {value}, not {}: virt-forward apply",
                setting.key, setting.wanted
            ));
        }
        for network in self
            .networks
            .iter()
            .filter(|n| n.state == NetworkState::Down)
        {
            remarks.push(network.down_remark());
        }
        for network in self.networks.iter().filter(|network| network.held) {
            let name = shown(&network.name);
            remarks.push(format!(
                "{name} is kept closed until it starts again: virt-forward apply {name}"
            ));
        }
        match remarks.is_empty() {
            true => String::new(),
            false => format!("\n{}\n", remarks.join("\n")),
        }
    }
}

/// Every firewall that is in use, and what stands in the way.
fn gates(wanted: &Preview, mark: MarkBit) -> Vec<GateStatus> {
    let groups = bridges_by_group(&wanted.records);
    let sites = wanted.survey.sites.iter().map(|site: &Site| GateStatus {
        owner: site.owner,
        place: site.chain().to_string(),
        state: site.state.word(),
        remedy: None,
        commands: Vec::new(),
    });
    let obstacles = wanted.survey.obstacles.iter().map(|obstacle| {
        let Remedy { what, lines } = obstacle.remedy(mark, &groups);
        GateStatus {
            owner: "unknown",
            place: obstacle.chain.to_string(),
            state: obstacle.word(),
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
    fn remark(&self, any_open: bool) -> Option<String> {
        let Self { place, state, .. } = self;
        if let Some(remedy) = &self.remedy {
            let what = if self.owner == "firewalld" {
                "firewalld's"
            } else {
                "the chain"
            };
            let text = format!("{what} {place} {state} what is open here: {remedy}");
            let mut text = output::wrapped(&text, WIDEST);
            for line in &self.commands {
                text.push_str(&format!("\n  {line}"));
            }
            return any_open.then_some(text);
        }
        let is = |known: State| *state == known.word();
        if is(State::Unneeded) {
            None
        } else if any_open && !is(State::Standing) {
            Some(format!(
                "the gate in {place} is {state}: virt-forward apply"
            ))
        } else if !any_open && !is(State::Missing) {
            let todo = "virt-forward remove --all";
            Some(format!("a gate was left in {place}: {todo}"))
        } else {
            None
        }
    }
}

impl NetworkState {
    fn word(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Down => "down",
            Self::Unforwarded => "unforwarded",
            Self::Missing => "missing",
            Self::Blocked => "blocked",
            Self::Open => "open",
        }
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Open => "open",
        Verdict::Limited => "limited",
        Verdict::Closed => "closed",
    }
}

/// The chains that refuse what none of their rules accepts.
fn certain(wanted: &Preview) -> impl Iterator<Item = &Obstacle> {
    let obstacles = wanted.survey.obstacles.iter();
    obstacles.filter(|obstacle| obstacle.is_certain)
}

/// Who reaches whom now: a network that should be open and is not is in no group's reach, and
/// what libvirt lets through by itself passes no other firewall.
fn reach(config: &Config, wanted: &Preview, networks: &[NetworkStatus]) -> Vec<Reach> {
    let records = &wanted.records;
    let refuses = certain(wanted).find(|obstacle| obstacle.chain.family != Family::Ip6);
    let none = Access::default();
    let pairs = records.iter().zip(networks).map(|(record, network)| {
        let open = network.state == NetworkState::Open;
        (&record.network, if open { &record.access } else { &none })
    });
    let mut cells = policy::matrix(config, &pairs.collect::<Vec<(&Network, &Access)>>());
    for cell in &mut cells {
        let mut ends = networks
            .iter()
            .filter(|n| n.name == cell.from || n.name == cell.to);
        let at_fault = ends.find(|n| !matches!(n.state, NetworkState::Open | NetworkState::Closed));
        if let Some(network) = at_fault {
            let fault = format!("{} is {}", network.name, network.state.word());
            cell.why = cell.why.replacen(policy::NO_GROUP, &fault, 1);
        }
        if let Some(obstacle) = refuses {
            cell.verdict = Verdict::Closed;
            cell.why = format!("{} refuses it", obstacle.chain);
        }
    }
    cells
}

fn network_status(record: &Record, inspection: &Inspection, host: &Host) -> NetworkStatus {
    let network = &record.network;
    let bridge = network
        .bridge
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default();
    NetworkStatus {
        name: network.name.clone(),
        state: state(record, &bridge, inspection, host),
        held: record.is_held,
        is_bridge_there: host.interface(&bridge).is_some(),
        bridge,
        mode: network.mode.word(),
        subnets: network.subnets().iter().map(ToString::to_string).collect(),
        access: record.access.clone(),
    }
}

fn state(record: &Record, bridge: &str, inspection: &Inspection, host: &Host) -> NetworkState {
    let wanted = &inspection.wanted;
    let of_bridge = wanted.settings.iter();
    let mut of_bridge = of_bridge.filter(|setting| setting.wanted.key.interface() == bridge);
    let quoted = format!("\"{bridge}\"");
    let in_table = inspection
        .table
        .as_ref()
        .is_some_and(|table| table.contains(&quoted));
    let concerns = |family: Family| match family {
        Family::Inet => true,
        Family::Ip => !record.network.subnets4().is_empty(),
        Family::Ip6 => !record.network.subnets6().is_empty(),
    };
    let closed = |site: &Site| matches!(site.state, State::Missing | State::Sunk);
    let mut sites = wanted.survey.sites.iter();
    let is_blocked = sites.any(|site| closed(site) && concerns(site.base.family))
        || certain(wanted).any(|obstacle| concerns(obstacle.chain.family));
    if record.access.is_none() {
        NetworkState::Closed
    } else if !host.interface(bridge).is_some_and(|one| one.is_up) {
        NetworkState::Down
    } else if of_bridge.any(|setting| !setting.is_right()) {
        NetworkState::Unforwarded
    } else if !in_table {
        NetworkState::Missing
    } else if is_blocked {
        NetworkState::Blocked
    } else {
        NetworkState::Open
    }
}
