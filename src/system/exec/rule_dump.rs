//! All rules of this host, as the programs for them list them: for who looks for what others do.

use std::fs;

use crate::{Result, paths};
use crate::{
    deadline::Deadline,
    exec::{command::Program, nft},
};
use virt_forward_policy::netfilter::{Engine, Family};

/// What `iptables-save` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Save {
    /// Whose tables.
    pub engine: Engine,
    /// `Ip` or `Ip6`.
    pub family: Family,
    /// Its text.
    pub text: String,
}

/// The rules of nf_tables, in nft's JSON. Those of iptables-nft are in it as far as nft
/// understands them: not what marks a packet.
pub fn of_nft(deadline: Deadline) -> Result<String> {
    nft::all_as_json(deadline)
}

/// The rules of iptables, of both kinds; only where the program is installed, and only what is
/// not made by being listed.
pub fn of_iptables(deadline: Deadline) -> Result<Vec<Save>> {
    let sources = [
        (
            Engine::Nft,
            Family::Ip,
            ["iptables-nft-save", "iptables-save"],
            None,
        ),
        (
            Engine::Nft,
            Family::Ip6,
            ["ip6tables-nft-save", "ip6tables-save"],
            None,
        ),
        (
            Engine::Legacy,
            Family::Ip,
            ["iptables-legacy-save", "iptables-save"],
            Some(paths::LEGACY_TABLES4),
        ),
        (
            Engine::Legacy,
            Family::Ip6,
            ["ip6tables-legacy-save", "ip6tables-save"],
            Some(paths::LEGACY_TABLES6),
        ),
    ];
    let mut saves = Vec::new();
    for (engine, family, names, tables) in sources {
        let is_in_use = |path| fs::read_to_string(path).is_ok_and(|text| !text.is_empty());
        if !tables.is_none_or(is_in_use) {
            continue;
        }
        let programs = names.map(|name| Program {
            name,
            package: "iptables",
        });
        let found = programs.into_iter().find(|program| program.is_there());
        if let Some(program) = found {
            let text = program.demand(&[], "", deadline)?;
            // A plain `iptables-save` may be of the other kind; only that of nf_tables says so.
            if text.is_empty() || text.contains("(nf_tables)") == (engine == Engine::Nft) {
                saves.push(Save {
                    engine,
                    family,
                    text,
                });
            }
        }
    }
    Ok(saves)
}
