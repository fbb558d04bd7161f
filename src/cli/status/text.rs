//! The status for people.

use std::fmt::Write;

use virt_forward_policy::sanitize::{argument, escape};

use super::{
    fault::{NetworkFault, NetworkState},
    matrix::matrix,
    model::{FirewalldState, LibvirtState, NetworkStatus, Status, SysctlStatus, TableState},
};
use crate::{
    output::{self, Cell, Table},
    terminal::{Style, Terminal},
};

impl Status {
    /// Networks, reachability and problems.
    pub(crate) fn for_people(&self, screen: &Terminal) -> String {
        if self.networks.is_empty() {
            let none = "no network is active\n";
            return format!("{none}{}{}", self.note(screen), self.remarks(screen));
        }
        let mut text = self.networks_for_people(screen);
        text.push('\n');
        text.push_str(&matrix(self, screen));
        text.push_str(&self.note(screen));
        text.push_str(&self.remarks(screen));
        text
    }

    fn note(&self, screen: &Terminal) -> String {
        let note = self.note.iter();
        note.map(|note| format!("\n{}\n", output::wrapped(note, screen.width)))
            .collect()
    }

    fn networks_for_people(&self, screen: &Terminal) -> String {
        let mut table = Table::new(2);
        let heads = ["NETWORK", "BRIDGE", "MODE", "STATE", "GROUPS", "SUBNETS"];
        table.head(heads);
        for network in &self.networks {
            let mut subnets = network.subnets.iter();
            table.rows.push(vec![
                Cell::plain(escape(&network.name)),
                Cell::plain(&network.bridge),
                Cell::plain(network.mode),
                Cell::new(network.state.tone(), network.state.word()),
                Cell::plain(network.access.groups.join(" ")),
                Cell::plain(subnets.next().cloned().unwrap_or_default()),
            ]);
            // Further subnets go below the first: two would be too wide for a terminal.
            for subnet in subnets {
                let mut row = vec![Cell::default(); heads.len() - 1];
                row.push(Cell::plain(subnet));
                table.rows.push(row);
            }
        }
        if table.width() <= screen.width {
            return table.text(screen);
        }
        self.networks.iter().map(|one| one.folded(screen)).collect()
    }

    /// The problems, each with its solution.
    fn remarks(&self, screen: &Terminal) -> String {
        let mut remarks = Vec::new();
        let wrapped = |text: &str| output::wrapped(text, screen.width);
        match self.table {
            TableState::Right => {}
            TableState::Missing => {
                remarks.push(wrapped(
                    "the table inet virt_forward is missing: virt-forward apply",
                ));
            }
            TableState::Differs => {
                remarks.push(wrapped(
                    "the table inet virt_forward is out of sync: virt-forward apply",
                ));
            }
        }
        if self.libvirt == LibvirtState::Flushed {
            remarks.push(wrapped(
                "libvirt's own rules are gone: another program flushed them. libvirt cannot start \
                 a network before its daemon restarts: systemctl restart libvirtd (or virtnetworkd)",
            ));
        }
        if self.firewalld == FirewalldState::Closed {
            remarks.push(wrapped(
                "firewalld lacks the rules for peers: virt-forward apply",
            ));
        }
        remarks.extend(self.troubles.iter().map(|trouble| wrapped(trouble)));
        let mut networks = self.networks.iter();
        let is_any_open = networks.any(|network| !network.access.is_empty());
        let gates = self.gates.iter();
        remarks.extend(gates.filter_map(|gate| gate.problem(is_any_open, screen.width)));
        let sysctls = self.sysctls.iter().filter_map(SysctlStatus::problem);
        remarks.extend(sysctls.map(|text| wrapped(&text)));
        let networks = self.networks.iter();
        remarks.extend(networks.filter_map(|network| network.problem(screen.width)));
        if remarks.is_empty() {
            return String::new();
        }
        format!("\n{}\n", screen.paint(Style::Bad, &remarks.join("\n")))
    }
}

impl NetworkState {
    fn tone(self) -> Style {
        match self {
            Self::Open => Style::Good,
            Self::Closed => Style::Quiet,
            Self::Down | Self::Unforwarded | Self::Missing | Self::Blocked => Style::Bad,
        }
    }
}

impl NetworkStatus {
    /// The network in a few lines, for terminals too narrow for the table.
    fn folded(&self, screen: &Terminal) -> String {
        let width = screen.width;
        let state = self.state.word();
        let name = output::cut(&escape(&self.name), width.saturating_sub(state.len() + 1));
        let (name, state) = (
            screen.paint(Style::Head, &name),
            screen.paint(self.state.tone(), state),
        );
        let mut text = format!("{name} {state}\n");
        let bridge = format!("{} {}", self.mode, self.bridge);
        let subnets = self.subnets.join(" ");
        let groups = self.access.groups.join(" ");
        for (head, line) in [("  ", &bridge), ("  in ", &groups), ("  ", &subnets)] {
            if !line.is_empty() {
                let _ = writeln!(text, "{}", output::hanging_indent(head, line, width));
            }
        }
        text
    }

    /// The problem with the network that `virt-forward apply` alone does not solve.
    fn problem(&self, width: usize) -> Option<String> {
        let Self { name, bridge, .. } = self;
        let (label, word) = (escape(name), argument(name));
        let (text, command) = match self.fault.as_ref()? {
            NetworkFault::BridgeMissing { .. } => (
                format!("{bridge} does not exist, although libvirt has {label} active:"),
                format!("virsh net-destroy {word}; virsh net-start {word}"),
            ),
            NetworkFault::BridgeDown { .. } => {
                return Some(format!("{bridge} is not up: ip link set {bridge} up"));
            }
            NetworkFault::Held => (
                format!("{label} is kept closed until it starts again:"),
                format!("virt-forward apply {word}"),
            ),
            NetworkFault::Unmanaged => (
                format!("{label} is active, but no hook reported its start:"),
                format!("virt-forward apply {word}"),
            ),
            NetworkFault::Xml(_) if self.held => (
                format!("{label} is kept closed until it starts again:"),
                format!("virt-forward apply {word}"),
            ),
            NetworkFault::Xml(_)
            | NetworkFault::Sysctl { .. }
            | NetworkFault::NotInTable
            | NetworkFault::GateMissing { .. }
            | NetworkFault::GateShadowed { .. }
            | NetworkFault::ChainBlocks { .. } => return None,
        };
        Some(format!("{}\n  {command}", output::wrapped(&text, width)))
    }
}

impl SysctlStatus {
    /// The difference to the desired value, if any.
    fn problem(&self) -> Option<String> {
        let Self { key, value, wanted } = self;
        match value {
            Some(value) if value == wanted => None,
            Some(value) => Some(format!(
                "{key} is {value}, not {wanted}: virt-forward apply"
            )),
            None => Some(format!("{key} does not exist: virt-forward apply")),
        }
    }
}
