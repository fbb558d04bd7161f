//! All rules of this host as nft and iptables list them, for diagnosis.

use std::fs;

use crate::{Result, paths};
use crate::{
    deadline::Deadline,
    exec::{command::Program, nft},
};
use virt_forward_policy::netfilter::{Engine, Family};

/// The output of `iptables-save`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IptablesSave {
    /// The backend.
    pub engine: Engine,
    /// `Ip` or `Ip6`.
    pub family: Family,
    /// The text.
    pub text: String,
}

/// The rules of nf_tables in nft's JSON. It includes those of iptables-nft as far as nft
/// understands them; nft does not understand the targets that set a mark.
pub fn nft_json(deadline: Deadline) -> Result<String> {
    nft::list_ruleset_json(deadline)
}

/// The rules of both iptables backends, if their programs are installed. Tables of iptables-legacy
/// that are not in use are left out, because listing them would create them.
pub fn iptables_saves(deadline: Deadline) -> Result<Vec<IptablesSave>> {
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
        let found = programs.into_iter().find(|program| program.is_installed());
        if let Some(program) = found {
            let text = program.run_checked(&[], "", deadline)?;
            // Plain `iptables-save` may belong to the other backend; iptables-nft-save says so in
            // its first line.
            if text.is_empty() || text.contains("(nf_tables)") == (engine == Engine::Nft) {
                saves.push(IptablesSave {
                    engine,
                    family,
                    text,
                });
            }
        }
    }
    Ok(saves)
}
