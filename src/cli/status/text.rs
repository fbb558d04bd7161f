//! A status for people.

use std::fmt::Write;

use virt_forward_policy::sanitize::{argument, shown};

use super::{NetworkState, NetworkStatus, Status, matrix::matrix};
use crate::{
    output::{self, Cell, Table},
    paint::{Screen, Tone},
};

impl Status {
    /// Networks, who reaches whom, and what is wrong.
    pub(crate) fn for_people(&self, screen: &Screen) -> String {
        if self.networks.is_empty() {
            let none = "no network is active that could be opened\n";
            return format!("{none}{}{}", self.note(screen), self.remarks(screen));
        }
        let mut text = self.networks_for_people(screen);
        text.push('\n');
        text.push_str(&matrix(self, screen));
        text.push_str(&self.note(screen));
        text.push_str(&self.remarks(screen));
        text
    }

    fn note(&self, screen: &Screen) -> String {
        let note = self.note.iter();
        note.map(|note| format!("\n{}\n", output::wrapped(note, screen.width)))
            .collect()
    }

    fn networks_for_people(&self, screen: &Screen) -> String {
        let mut table = Table::new(2);
        let heads = ["NETWORK", "BRIDGE", "MODE", "STATE", "GROUPS", "SUBNETS"];
        table.head(heads);
        for network in &self.networks {
            let mut subnets = network.subnets.iter();
            table.rows.push(vec![
                Cell::plain(shown(&network.name)),
                Cell::plain(&network.bridge),
                Cell::plain(network.mode),
                Cell::new(network.state.tone(), network.state.word()),
                Cell::plain(network.access.groups.join(" ")),
                Cell::plain(subnets.next().cloned().unwrap_or_default()),
            ]);
            // A subnet a line, under the first: two would be too wide for a terminal.
            for subnet in subnets {
                let mut row = vec![Cell::default(); heads.len() - 1];
                row.push(Cell::plain(subnet));
                table.rows.push(row);
            }
        }
        match table.width() <= screen.width {
            true => table.text(screen),
            false => self.networks.iter().map(|one| one.folded(screen)).collect(),
        }
    }

    /// What is wrong, each with what to do.
    fn remarks(&self, screen: &Screen) -> String {
        let mut remarks = Vec::new();
        let wrapped = |text: &str| output::wrapped(text, screen.width);
        match self.table {
            "missing" => remarks.push(wrapped("our table is not there: virt-forward apply")),
            "differs" => {
                remarks.push(wrapped(
                    "our table is not as it should be: virt-forward apply",
                ));
            }
            _ => {}
        }
        let mut networks = self.networks.iter();
        let any_open = networks.any(|network| !network.access.is_empty());
        if self.libvirt == "flushed" {
            remarks.push(wrapped(
                "libvirt's own rules are gone: somebody flushed them. It cannot start a network \
                 before its daemon restarts: systemctl restart libvirtd (or virtnetworkd)",
            ));
        }
        if self.firewalld == "closed" {
            remarks.push(wrapped("firewalld keeps the peers out: virt-forward apply"));
        }
        remarks.extend(self.troubles.iter().map(|trouble| wrapped(trouble)));
        let gates = self.gates.iter();
        remarks.extend(gates.filter_map(|gate| gate.remark(any_open, screen.width)));
        let is_wrong = |value: &Option<String>, wanted| value.as_ref() != Some(wanted);
        let settings = self.sysctls.iter();
        for setting in settings.filter(|one| is_wrong(&one.value, &one.wanted)) {
            let value = setting.value.as_deref().unwrap_or("not there");
            let (key, wanted) = (&setting.key, &setting.wanted);
            remarks.push(wrapped(&format!(
                "{key} is {value}, not {wanted}: virt-forward apply"
            )));
        }
        let down = |network: &&NetworkStatus| network.state == NetworkState::Down;
        let networks = self.networks.iter();
        remarks.extend(networks.filter(down).map(NetworkStatus::down_remark));
        for network in self.networks.iter().filter(|network| network.held) {
            let name = shown(&network.name);
            let remark = wrapped(&format!("{name} is kept closed until it starts again:"));
            let name = argument(&network.name);
            remarks.push(format!("{remark}\n  virt-forward apply {name}"));
        }
        match remarks.is_empty() {
            true => String::new(),
            false => format!("\n{}\n", screen.paint(Tone::Bad, &remarks.join("\n"))),
        }
    }
}

impl NetworkState {
    fn tone(self) -> Tone {
        match self {
            Self::Open => Tone::Good,
            Self::Closed => Tone::Quiet,
            Self::Down | Self::Unforwarded | Self::Missing | Self::Blocked => Tone::Bad,
        }
    }
}

impl NetworkStatus {
    /// In some lines, where the terminal is too narrow for the table.
    fn folded(&self, screen: &Screen) -> String {
        let width = screen.width;
        let state = self.state.word();
        let name = output::cut(&shown(&self.name), width.saturating_sub(state.len() + 1));
        let (name, state) = (
            screen.paint(Tone::Head, &name),
            screen.paint(self.state.tone(), state),
        );
        let mut text = format!("{name} {state}\n");
        let bridge = format!("{} {}", self.mode, self.bridge);
        let subnets = self.subnets.join(" ");
        let groups = self.access.groups.join(" ");
        for (head, line) in [("  ", &bridge), ("  in ", &groups), ("  ", &subnets)] {
            if !line.is_empty() {
                let _ = writeln!(text, "{}", output::hanging(head, line, width));
            }
        }
        text
    }

    /// What to do about a bridge that is not up.
    fn down_remark(&self) -> String {
        let Self { name, bridge, .. } = self;
        match self.is_bridge_there {
            true => format!("{bridge} is not up: ip link set {bridge} up"),
            false => format!(
                "{bridge} is gone, though libvirt takes {} for active:\n  \
                 virsh net-destroy {name}; virsh net-start {name}",
                shown(name),
                name = argument(name)
            ),
        }
    }
}
