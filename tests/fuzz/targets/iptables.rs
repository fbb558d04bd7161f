//! What the programs of iptables list of others' rules: `-S` for gates, `-save` for `doctor`.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use virt_forward_fuzz::assert_shown;
use virt_forward_policy::{
    config::MarkBit,
    netfilter::{ChainName, Engine, Family},
    network::BridgeName,
};
use virt_forward_ruleset::{
    COMMENT,
    gates::{self, Survey, chain_model::Chains},
};
use virt_forward_system::exec::{
    iptables::{chains_in, parse_gate, words},
    rule_dump::IptablesSave,
};

static BRIDGES: LazyLock<[BridgeName; 2]> =
    LazyLock::new(|| ["virbr0", "virbr1"].map(|name| name.parse().expect("is right")));

fuzz_target!(|text: &str| {
    assert_survey(text);
    for line in text.lines() {
        if let Some(gate) = parse_gate(line) {
            assert_gate(&gate);
        }
    }
    let save = IptablesSave {
        engine: Engine::Legacy,
        family: Family::Ip,
        text: text.to_owned(),
    };
    let said = virt_forward_cli::said_of_mark(MarkBit::DEFAULT, "{}", &[save]);
    for line in said.expect("is JSON") {
        assert_shown(&line);
    }
});

/// Gates are put where the kernel takes them, and all of ours can be taken away.
fn assert_survey(text: &str) {
    let table = ChainName {
        engine: Engine::Legacy,
        ..ChainName::nft(Family::Ip, "filter", "")
    };
    let chains: Chains = chains_in(text, &table).into_iter().collect();
    let extra = [table.beside("extra")];
    let survey = gates::firewalls(&extra).survey(&chains, MarkBit::DEFAULT);
    for change in gates::to_open(&survey, &chains, false) {
        let chain = chains.get(&change.chain).expect("is one of them");
        assert!(change.insert.is_none_or(|new| new.at <= chain.length()));
    }
    let ours = |chains: &Chains| {
        let rules = chains.all().flat_map(|chain| &chain.rules);
        rules.filter(|rule| rule.is_ours()).count()
    };
    let closing = gates::to_close(&chains);
    let removed: usize = closing.iter().map(|change| change.remove.len()).sum();
    assert_eq!(removed, ours(&chains));
    assert_remedies(&survey);
}

/// What a person is told to run is what it looks like.
fn assert_remedies(survey: &Survey) {
    let group = BRIDGES.iter().collect();
    let groups = [group];
    for obstacle in &survey.obstacles {
        let remedy = obstacle.remedy(MarkBit::DEFAULT, &groups);
        assert_shown(&remedy.what);
        assert_shown(&obstacle.chain.to_string());
        for line in remedy.lines {
            let odd = [
                '$', '`', ';', '&', '|', '<', '>', '\n', '\\', '(', '*', '?', '#', '~',
            ];
            assert!(!line.contains(odd), "{line}");
        }
    }
}

/// A gate's words are those that the program reads again, and its comment is ours and nothing
/// else's.
fn assert_gate(gate: &[String]) {
    let quoted = |word: &String| {
        let word = word.replace('\\', "\\\\").replace('"', "\\\"");
        format!("\"{word}\"")
    };
    let line: Vec<_> = gate.iter().map(quoted).collect();
    assert_eq!(words(&line.join(" ")), gate);
    let comment = gate.iter().position(|word| word == "--comment");
    assert_eq!(gate[comment.expect("has one") + 1], COMMENT);
}
