//! The program nft(8).

use std::{io, thread, time::Duration};

use crate::netlink::uapi::{NFPROTO_INET, NFT_MSG_GETRULE, NFTA_RULE_TABLE};
use crate::{Error, Result};
use crate::{
    deadline::Deadline,
    exec::command::{Held, Program},
    netlink::{socket::dump, trace::Place},
};
use virt_forward_policy::netfilter::TableName;
use virt_forward_ruleset::table::Batch;

/// How often it is looked whether nft has done what it was told.
const PAUSE: Duration = Duration::from_millis(5);

const NFT: Program = Program {
    name: "nft",
    package: "nftables",
};

/// Carries out `batch`, all of it or nothing.
pub fn apply(batch: &Batch, deadline: Deadline) -> Result<()> {
    if batch.is_empty() {
        return Ok(());
    }
    let json = batch.to_json().map_err(|why| Error::Failed {
        what: "making the rules' JSON".to_owned(),
        stderr: why.to_string(),
    })?;
    NFT.demand(&["-j", "-f", "-"], &json, deadline).map(drop)
}

/// The text of `table`, without what counters have counted; `None` where it is not there.
pub fn list(table: TableName<'_>, deadline: Deadline) -> Result<Option<String>> {
    let args = ["-s", "list", "table", table.family.word(), table.name];
    match NFT.demand(&args, "", deadline) {
        Ok(text) => Ok(Some(text)),
        Err(Error::Failed { stderr, .. }) if stderr.contains("No such file or directory") => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Whether nft runs at all, and may speak to the kernel.
pub fn check(deadline: Deadline) -> Result<()> {
    NFT.demand(&["list", "tables"], "", deadline).map(drop)
}

/// All rules, in nft's JSON.
pub(crate) fn all_as_json(deadline: Deadline) -> Result<String> {
    NFT.demand(&["-j", "list", "ruleset"], "", deadline)
}

/// The rules of a chain, first to last, each with its handle.
pub(crate) fn rules(chain: &Place, deadline: Deadline) -> Result<Vec<(u64, String)>> {
    let Place {
        family,
        table,
        chain,
    } = chain;
    let args = ["-a", "-s", "list", "chain", family, table, chain];
    Ok(rules_in(&NFT.demand(&args, "", deadline)?))
}

/// The rules in what `nft -a list chain` lists. A rule with a long set in it takes more than one
/// line.
pub fn rules_in(listed: &str) -> Vec<(u64, String)> {
    let mut rules = Vec::new();
    let mut words: Vec<&str> = Vec::new();
    for line in listed.lines().map(str::trim) {
        if ["table ", "chain ", "type "]
            .iter()
            .any(|head| line.starts_with(head))
        {
            words.clear();
            continue;
        }
        match line.rsplit_once(" # handle ") {
            Some((text, handle)) => {
                words.push(text);
                if let Ok(handle) = handle.parse() {
                    rules.push((handle, words.join(" ")));
                }
                words.clear();
            }
            None => words.push(line),
        }
    }
    rules
}

/// A table of the family inet that the kernel takes away once this is dropped, however we
/// end: nft owns it, and it ends with us.
#[derive(Debug)]
pub struct Lent(#[expect(dead_code, reason = "it is held, not read")] Held);

impl Lent {
    /// Makes the table `name` with these chains and rules, each in nft's words after `add`.
    ///
    /// Needs Linux 5.12, the first with `flags owner`.
    pub fn new(name: &str, objects: &[String], deadline: Deadline) -> Result<Self> {
        let failed = |stderr: String| Error::Failed {
            what: format!("making the table inet {name}"),
            stderr,
        };
        // It takes its lines one by one, as a person would type them.
        let mut nft = NFT.hold(&["-i"])?;
        let mut text = format!("add table inet {name} {{ flags owner; }}\n");
        for object in objects {
            text.push_str(&format!("add {object}\n"));
        }
        nft.tell(&text).map_err(|why| failed(why.to_string()))?;
        let wanted = objects
            .iter()
            .filter(|one| one.starts_with("rule "))
            .count();
        loop {
            let said = nft.said().map_err(|why| failed(why.to_string()))?;
            if said.contains("Error") {
                return Err(failed(said.trim().replace('\n', " | ")));
            }
            match dump(
                NFT_MSG_GETRULE,
                NFPROTO_INET,
                &[(NFTA_RULE_TABLE, name)],
                deadline,
            ) {
                Ok(rules) if rules.len() >= wanted => return Ok(Self(nft)),
                Err(why) if why.kind() != io::ErrorKind::NotFound => {
                    return Err(failed(why.to_string()));
                }
                _ if deadline.is_over() => return Err(failed("it took too long".to_owned())),
                _ => thread::sleep(PAUSE),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_told_by_their_handles() {
        let listed = "table ip filter {\n\tchain FORWARD { # handle 1\n\
            \t\ttype filter hook forward priority filter; policy accept;\n\
            \t\toifname { \"a\",\n\t\t\t\"b\" } drop # handle 12\n\
            \t\tcomment \"# handle 7\" jump x # handle 13\n\t}\n}\n";
        let first = "oifname { \"a\", \"b\" } drop".to_owned();
        let second = "comment \"# handle 7\" jump x".to_owned();
        assert_eq!(rules_in(listed), [(12, first), (13, second)]);
    }
}
