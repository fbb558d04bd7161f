//! What would be done, and what is there: for `--dry-run` and `status`. Nothing is changed.

use super::{members, settings};
use crate::{
    Result,
    config::Config,
    gates::{self, Place, State},
    kernel::{deadline::Deadline, nft, rules, scratch, sysctl},
    network::Network,
    policy,
    state::Record,
    sysctls::{Seen, Setting},
    table::{self, Batch, TABLE},
};

/// What is wanted for some networks.
#[derive(Debug)]
pub struct Preview {
    /// Each with the groups that the config opens it for.
    pub records: Vec<Record>,
    /// nft's text of our table; nothing where no network is open.
    pub table: Option<String>,
    /// Every gate that is wanted, and whether it stands.
    pub gates: Vec<GateSeen>,
    /// Every setting that is wanted, and what it is now.
    pub settings: Vec<SettingSeen>,
}

/// A place where a firewall is in use.
#[derive(Clone, Debug)]
pub struct GateSeen {
    /// Where.
    pub place: &'static Place,
    /// Whether a gate of ours stands there.
    pub state: State,
}

/// A setting that open networks need.
#[derive(Clone, Debug)]
pub struct SettingSeen {
    /// Which, and what it should be.
    pub wanted: Setting,
    /// What it is; nothing where the bridge is gone.
    pub value: Option<String>,
}

impl SettingSeen {
    /// Whether it is as it should be.
    pub fn is_right(&self) -> bool {
        self.value.as_ref() == Some(&self.wanted.value)
    }
}

/// What is there, beside what is wanted.
#[derive(Debug)]
pub struct Inspection {
    /// What is wanted.
    pub wanted: Preview,
    /// nft's text of our table as it is.
    pub table: Option<String>,
}

impl Inspection {
    /// Whether our table is what it should be, to the letter.
    pub fn is_table_right(&self) -> bool {
        match (&self.table, &self.wanted.table) {
            (Some(seen), Some(wanted)) => table::same(seen, wanted),
            (None, None) => true,
            _ => false,
        }
    }

    /// Whether everything is.
    pub fn is_all_right(&self) -> bool {
        let open = self.wanted.table.is_some();
        let gate_right = |gate: &GateSeen| match open {
            true => gate.state == State::Standing,
            false => gate.state == State::Missing,
        };
        self.is_table_right()
            && self.wanted.gates.iter().all(gate_right)
            && self.wanted.settings.iter().all(SettingSeen::is_right)
    }
}

/// What `config` wants for `networks`.
pub fn preview(config: &Config, networks: Vec<Network>, deadline: Deadline) -> Result<Preview> {
    let records: Vec<_> = networks
        .into_iter()
        .filter(|network| network.routed_bridge().is_some())
        .map(|network| Record {
            groups: policy::groups_of(config, &network),
            network,
        })
        .collect();
    let members = members(&records);
    let table = match members.is_empty() {
        true => None,
        false => {
            let mut batch = Batch::default();
            table::whole(&mut batch, &table::Layout::of(config), &members);
            scratch::listed(&batch, TABLE, deadline)?
        }
    };
    let settings = settings::wanted(&records)
        .into_iter()
        .map(|wanted| SettingSeen {
            value: sysctl::Kernel.value(&wanted.key),
            wanted,
        });
    Ok(Preview {
        table,
        gates: gates_seen(deadline)?,
        settings: settings.collect(),
        records,
    })
}

/// What is there, for `networks` that are active.
pub fn inspect(config: &Config, networks: Vec<Network>, deadline: Deadline) -> Result<Inspection> {
    Ok(Inspection {
        wanted: preview(config, networks, deadline)?,
        table: nft::list(TABLE, deadline)?,
    })
}

fn gates_seen(deadline: Deadline) -> Result<Vec<GateSeen>> {
    let mut seen = Vec::new();
    for place in gates::places() {
        let state = gates::state(place, &rules::rules(place, deadline)?);
        if state != State::Unused {
            seen.push(GateSeen { place, state });
        }
    }
    Ok(seen)
}
