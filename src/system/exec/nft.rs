//! The program nft(8).

use std::{io, thread, time::Duration};

use crate::netlink::uapi::{NFPROTO_INET, NFT_MSG_GETRULE, NFTA_RULE_TABLE};
use crate::{Error, Result};
use crate::{
    deadline::Deadline,
    exec::command::{ChildProcess, Program},
    netlink::{socket::dump, trace::Place},
};
use virt_forward_policy::netfilter::TableName;
use virt_forward_ruleset::table::Batch;

/// The interval at which the table's existence is polled.
const PAUSE: Duration = Duration::from_millis(5);

const NFT: Program = Program {
    name: "nft",
    package: "nftables",
};

/// Applies `batch` as one transaction: all or nothing.
pub fn apply(batch: &Batch, deadline: Deadline) -> Result<()> {
    if batch.is_empty() {
        return Ok(());
    }
    let json = batch.to_json().map_err(|why| Error::Failed {
        what: "making the rules' JSON".to_owned(),
        stderr: why.to_string(),
    })?;
    NFT.run_checked(&["-j", "-f", "-"], &json, deadline)
        .map(drop)
}

/// nft's listing of `table` without counter values; `None` if the table does not exist.
pub fn list(table: TableName<'_>, deadline: Deadline) -> Result<Option<String>> {
    let args = ["-s", "list", "table", table.family.word(), table.name];
    match NFT.run_checked(&args, "", deadline) {
        Ok(text) => Ok(Some(text)),
        Err(Error::Failed { stderr, .. }) if stderr.contains("No such file or directory") => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Checks that nft runs and is allowed to access the kernel.
pub fn check(deadline: Deadline) -> Result<()> {
    NFT.run_checked(&["list", "tables"], "", deadline).map(drop)
}

/// The whole ruleset in nft's JSON.
pub(crate) fn list_ruleset_json(deadline: Deadline) -> Result<String> {
    NFT.run_checked(&["-j", "list", "ruleset"], "", deadline)
}

/// The rules of a chain in order, with their handles.
pub(crate) fn rules(chain: &Place, deadline: Deadline) -> Result<Vec<(u64, String)>> {
    let Place {
        family,
        table,
        chain,
    } = chain;
    let args = ["-a", "-s", "list", "chain", family, table, chain];
    Ok(rules_in(&NFT.run_checked(&args, "", deadline)?))
}

/// Parses the rules in the output of `nft -a list chain`. A rule with a long anonymous set spans
/// several lines.
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

/// A temporary `inet` table with `flags owner`. The kernel deletes it when the nft process that
/// owns it ends, and that process ends with this value or with this program, even by SIGKILL.
#[derive(Debug)]
pub struct OwnedTable(#[expect(dead_code, reason = "it is held, not read")] ChildProcess);

impl OwnedTable {
    /// Creates the table `name` with these chains and rules, each in nft's syntax after `add`.
    ///
    /// Needs Linux 5.12, the first with `flags owner`.
    pub fn new(name: &str, objects: &[String], deadline: Deadline) -> Result<Self> {
        let failed = |stderr: String| Error::Failed {
            what: format!("making the table inet {name}"),
            stderr,
        };
        // nft -i reads one command per line.
        let mut nft = NFT.spawn(&["-i"])?;
        let mut text = format!("add table inet {name} {{ flags owner; }}\n");
        for object in objects {
            text.push_str(&format!("add {object}\n"));
        }
        nft.write_stdin(&text)
            .map_err(|why| failed(why.to_string()))?;
        let wanted = objects
            .iter()
            .filter(|one| one.starts_with("rule "))
            .count();
        loop {
            let said = nft.read_output().map_err(|why| failed(why.to_string()))?;
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
