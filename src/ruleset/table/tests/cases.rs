//! The table of each folder of `tests/cases` (a config, and networks as libvirt describes them), as
//! text in `snapshots/`, without root and without nft.
//!
//! `tests/cases/*/expected.nft` is what `nft list table` shows of the same networks after the hook
//! has opened them on a real kernel (`tests/live/cases`). Those files prove that nft and the kernel
//! take the table; the snapshots show a change of a rule within seconds. The last test compares the two,
//! so a snapshot cannot be accepted that the kernel has not listed: `INSTA_UPDATE=always` writes the
//! snapshots, and `UPDATE=1 tests/live/cases bookworm` the listings.

#![allow(clippy::disallowed_methods, reason = "tests read the cases from files")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use virt_forward_policy::{access_of, config::Config, conflicts, network::Network, without};

use super::super::{Batch, Host, Ip, Layout, Member, is_equivalent, replace_table};

/// The folders of `tests/cases`, by name.
fn folders() -> Vec<(String, PathBuf)> {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cases");
    let entries = fs::read_dir(cases).unwrap().map(|entry| entry.unwrap());
    let named = entries.map(|entry| (entry.file_name().into_string().unwrap(), entry.path()));
    let mut folders: Vec<_> = named.collect();
    folders.sort();
    assert!(!folders.is_empty());
    folders
}

/// Without a file the defaults apply, as on a host.
fn config(folder: &Path) -> Config {
    match fs::read_to_string(folder.join("config.toml")) {
        Ok(text) => Config::read(&text, "config.toml".to_owned()).unwrap(),
        Err(_) => Config::default(),
    }
}

fn networks(folder: &Path) -> Vec<Network> {
    let paths = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|end| end == "xml"))
        .collect();
    paths.sort();
    let read = |path: &PathBuf| {
        let text = fs::read(path).unwrap();
        virt_forward_policy::network::read(text.as_slice()).unwrap()
    };
    paths.iter().map(read).collect()
}

/// The table of a folder's networks; nothing where none of them is open, as the hook then makes no
/// table. In the lab no bridge forwards before the hook enables it, for each family that the
/// network has addresses of.
fn table_of(folder: &Path) -> Option<Batch> {
    let (config, networks) = (config(folder), networks(folder));
    let conflicts = conflicts(&config, &networks.iter().collect::<Vec<_>>(), &[]);
    let config = without(&config, &conflicts);
    let mut host = Host::default();
    let mut members = Vec::new();
    for network in &networks {
        let access = access_of(&config, network);
        let families: BTreeSet<_> = access.own.iter().map(|net| Ip::of(net.addr())).collect();
        if let Some(member) = Member::new(network, &access) {
            members.push(member.with_enabled(&families));
            host.restricted.extend(families);
        }
    }
    if !members.iter().any(Member::is_open) {
        return None;
    }
    let mut batch = Batch::default();
    replace_table(&mut batch, &Layout::of(&config, &host), &members);
    Some(batch)
}

#[test]
fn the_table_of_each_case_is_the_accepted_one() {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for (name, folder) in folders() {
            if let Some(table) = table_of(&folder) {
                insta::assert_snapshot!(name, table.to_string());
            }
        }
    });
}

#[test]
fn the_table_of_each_case_is_the_one_that_the_kernel_lists() {
    for (name, folder) in folders() {
        let listed = fs::read_to_string(folder.join("expected.nft")).unwrap();
        let sent = table_of(&folder).map(|table| as_listed(&table.to_string()));
        let sent = sent.unwrap_or_default();
        assert!(is_equivalent(&sent, &listed), "{name}:\n{sent}");
    }
}

/// The text of a batch in the form in which nft lists it: without the command lines that precede the
/// table, and with what nft simplifies.
fn as_listed(text: &str) -> String {
    let (_, table) = text.split_once("table inet virt_forward {").unwrap();
    let lines = table.lines().map(line_as_listed);
    let lines: Vec<_> = lines.collect();
    // A chain's or a set's block is followed by an empty line, unless it is the last one.
    let body = lines.join("\n").replace("\n\n}", "\n}");
    format!("table inet virt_forward {{{body}\n")
}

fn line_as_listed(line: &str) -> String {
    let mut line = line.replace("ct state new,related", "ct state related,new");
    // An address implies its family.
    for (family, protocol) in [("ipv4", "ip"), ("ipv6", "ip6")] {
        let check = format!("meta nfproto {family} ");
        let Some((before, after)) = line.split_once(&check) else {
            continue;
        };
        let uses = ["saddr", "daddr", "to"].map(|word| format!("{protocol} {word}"));
        if uses.iter().any(|word| after.contains(word.as_str())) {
            line = format!("{before}{after}");
        }
    }
    // A set with a single value is the value.
    if let Some((before, inside, after)) = anonymous_set(&line)
        && !inside.contains(',')
    {
        return format!("{before}{}{after}", inside.trim());
    }
    line
}

/// The text before, in and after the braces of a rule.
fn anonymous_set(line: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = line.split_once("{ ")?;
    let (inside, after) = rest.split_once(" }")?;
    (!before.contains('=')).then_some((before, inside, after))
}
