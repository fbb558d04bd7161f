use super::{
    chain_model::{About, Base, Rule, Verdict},
    *,
};
use virt_forward_policy::{netfilter::Family, network::BridgeName};

const DROP: Base = Base {
    priority: 0,
    drops: true,
};
const ACCEPT: Base = Base {
    priority: 0,
    drops: false,
};

/// Rules from a notation: `gate`; `>CHAIN` for a jump and `=>CHAIN` for a goto of every packet, with
/// `? ` before it of some packets; `drop`, `accept` and `return` of every packet; `deny`, `accept x` and
/// `return x` of some; `map`; `log`; any other text matches without a verdict.
fn rules(list: &[&str]) -> Vec<Rule> {
    let rule = |(at, text): (usize, &&str)| Rule {
        handle: at as u32 + 1,
        comment: (*text == "gate").then(|| crate::COMMENT.to_owned()),
        verdict: verdict(text),
        about: about(text),
        logs: *text == "log",
        mark: match *text {
            "gate" | "accept mark" => 0x1000_0000,
            _ => 0,
        },
    };
    list.iter().enumerate().map(rule).collect()
}

fn verdict(text: &str) -> Verdict {
    let text = text.trim_start_matches("? ");
    if let Some(to) = text.strip_prefix("=>") {
        return Verdict::Goto(to.to_owned());
    }
    if let Some(to) = text.strip_prefix('>') {
        return Verdict::Jump(to.to_owned());
    }
    match text.split(' ').next_back() {
        _ if text.starts_with("accept") => Verdict::Accept,
        _ if text.starts_with("return") => Verdict::Return,
        Some("gate") => Verdict::Accept,
        Some("drop" | "deny" | "reject") => Verdict::Refuse,
        Some("map") => Verdict::Unknown,
        _ => Verdict::Continue,
    }
}

fn about(text: &str) -> About {
    match text {
        "drop" | "return" | "accept" | "log" => About::All,
        "tcp reject" => About::Protocol,
        "ip reject" => About::Family(Family::Ip),
        "ip6 reject" => About::Family(Family::Ip6),
        text if text.starts_with(['>', '=']) => About::All,
        _ => About::Some,
    }
}

fn chain(name: &str, base: Option<Base>, list: &[&str]) -> Chain {
    let words: Vec<_> = name.split(' ').collect();
    let family = match words[0] {
        "ip" => Family::Ip,
        "ip6" => Family::Ip6,
        _ => Family::Inet,
    };
    Chain {
        name: ChainName::nft(family, words[1], words[2]),
        base,
        is_owned: false,
        rules: rules(list),
    }
}

fn survey(chains: &[Chain]) -> (Chains, Survey) {
    let extra = [ChainName::nft(Family::Inet, "filter", "forward")];
    let chains: Chains = chains.iter().cloned().collect();
    let survey = firewalls(&extra).survey(&chains, MarkBit::DEFAULT);
    (chains, survey)
}

/// The owner, the chain and the state of the only site.
fn only(chains: &[Chain]) -> (&'static str, String, GateState) {
    let (_, survey) = survey(chains);
    assert!(survey.obstacles.is_empty(), "{survey:?}");
    let [site] = &survey.sites[..] else {
        panic!("{survey:?}");
    };
    (site.owner.as_str(), site.chain().to_string(), site.state)
}

/// The chain, the position and the deleted handles of the only edit.
fn change(chains: &[Chain], replaces_all: bool) -> Option<(String, Option<usize>, Vec<u32>)> {
    let (chains, survey) = survey(chains);
    let changes = to_open(&survey, &chains, replaces_all);
    assert!(changes.len() < 2, "{changes:?}");
    let change = changes.into_iter().next()?;
    Some((
        change.chain.to_string(),
        change.insert.map(|new| new.at),
        change.remove,
    ))
}

/// The chains and positions of all gates.
fn places(chains: &[Chain]) -> Vec<(String, usize)> {
    let (chains, survey) = survey(chains);
    let changes = to_open(&survey, &chains, false).into_iter();
    let places = changes.filter_map(|change| Some((change.chain.chain, change.insert?.at)));
    places.collect()
}

fn place(chains: &[Chain]) -> Option<(String, usize)> {
    let places = places(chains);
    assert!(places.len() < 2, "{places:?}");
    places.into_iter().next()
}

/// The state of the only gate.
fn state_of(chains: &[Chain]) -> GateState {
    only(chains).2
}

fn forward(base: Base, list: &[&str]) -> Chain {
    chain("ip filter FORWARD", Some(base), list)
}

fn inner(name: &str, list: &[&str]) -> Chain {
    chain(&format!("ip filter {name}"), None, list)
}

fn at(chain: &str, position: usize) -> Option<(String, usize)> {
    Some((chain.to_owned(), position))
}

#[test]
fn the_gate_for_libvirts_iptables_rules_is_directly_before_its_first_jump() {
    for (list, expected) in [
        (&[">LIBVIRT_FWX", ">LIBVIRT_FWI"][..], GateState::Missing),
        (&["deny", "gate", ">LIBVIRT_FWX"], GateState::Present),
        (
            &["gate", "accept x", "log", ">LIBVIRT_FWX"],
            GateState::Present,
        ),
        (&["gate", "deny", ">LIBVIRT_FWX"], GateState::High),
        (&["gate", "? >bans", ">LIBVIRT_FWX"], GateState::High),
        (&["gate", ">bans", ">LIBVIRT_FWX"], GateState::High),
        (&["gate", "map", ">LIBVIRT_FWX"], GateState::High),
        (&["gate", "return x", ">LIBVIRT_FWX"], GateState::High),
        (
            &[">LIBVIRT_FWX", "gate", ">LIBVIRT_FWI"],
            GateState::Shadowed,
        ),
        (&["gate", "gate", ">LIBVIRT_FWX"], GateState::Shadowed),
        (&["gate", ">LIBVIRT_FWX", "gate"], GateState::Shadowed),
    ] {
        for base in [ACCEPT, DROP] {
            let seen = only(&[forward(base, list)]);
            let place = "ip filter FORWARD".into();
            assert_eq!(seen, ("libvirt", place, expected), "{list:?}");
        }
    }
}

#[test]
fn the_gate_for_libvirts_nftables_rules_is_before_its_first_jump() {
    let base = |list: &[&str]| chain("ip libvirt_network forward", Some(ACCEPT), list);
    let guests = [">guest_cross", ">guest_input", ">guest_output"];
    assert_eq!(place(&[base(&guests)]), at("forward", 0));
    let list = [&["deny"], &guests[..]].concat();
    assert_eq!(place(&[base(&list)]), at("forward", 1));
    let list = [&["gate", "deny"], &guests[..]].concat();
    assert_eq!(state_of(&[base(&list)]), GateState::High);
    // The start of a network changes only those chains.
    let list = [&["gate"], &guests[..]].concat();
    let full = chain("ip libvirt_network guest_input", None, &["deny"; 300]);
    assert_eq!(state_of(&[base(&list), full]), GateState::Present);
}

#[test]
fn a_new_gate_goes_below_the_administrators_first_rules() {
    let list = ["deny", ">LIBVIRT_FWX", "gate"];
    let place = || "ip filter FORWARD".to_owned();
    let seen = change(&[forward(ACCEPT, &list)], false);
    assert_eq!(seen, Some((place(), Some(1), vec![3])));
    // A gate above them moves down.
    let list = ["gate", "deny", ">LIBVIRT_FWX"];
    for replaces_all in [false, true] {
        let seen = change(&[forward(ACCEPT, &list)], replaces_all);
        assert_eq!(seen, Some((place(), Some(1), vec![1])));
    }
    let (chains, survey) = survey(&[forward(ACCEPT, &list)]);
    let new = to_open(&survey, &chains, false)[0].insert.unwrap();
    assert_eq!(new.before, Some(3));
}

#[test]
fn filters_of_single_guests_still_apply() {
    let filters = [">libvirt-in", ">libvirt-out", ">libvirt-in-post"];
    let list = [&filters[..], &["accept x"]].concat();
    assert_eq!(place(&[forward(DROP, &list)]), at("FORWARD", 4));
    // Their rules are not read.
    let full = inner("libvirt-in", &["drop"]);
    assert_eq!(place(&[forward(DROP, &list), full]), at("FORWARD", 4));
    assert_eq!(place(&[forward(ACCEPT, &list)]), None);
    let list = [&filters[..], &[">LIBVIRT_FWX"]].concat();
    assert_eq!(place(&[forward(ACCEPT, &list)]), at("FORWARD", 3));
    // libvirt inserts its jumps at the head again with each guest: a gate below keeps its position.
    let list = [&filters[..], &["gate", ">LIBVIRT_FWX"]].concat();
    assert_eq!(state_of(&[forward(ACCEPT, &list)]), GateState::Present);
}

#[test]
fn a_chain_of_bans_still_applies_with_either_policy() {
    let bans = || inner("CROWDSEC_CHAIN", &["deny", "deny"]);
    let f2b = || inner("f2b-sshd", &["deny", "deny", "return"]);
    let heads = [">CROWDSEC_CHAIN", ">f2b-sshd", "? >f2b-http"];
    for (base, tail, expected) in [
        (DROP, &[][..], at("FORWARD", 3)),
        (DROP, &["accept x"], at("FORWARD", 4)),
        (ACCEPT, &["accept x", "drop"], at("FORWARD", 4)),
        (ACCEPT, &[], None),
        (DROP, &[">LIBVIRT_FWX"], at("FORWARD", 3)),
        (ACCEPT, &[">LIBVIRT_FWX"], at("FORWARD", 3)),
    ] {
        let list = [&heads[..], tail].concat();
        let seen = place(&[forward(base, &list), bans(), f2b()]);
        assert_eq!(seen, expected, "{list:?}");
    }
    // A later jump at the head, or anywhere above the gate.
    let list = [">CROWDSEC_CHAIN", "accept x", "gate"];
    assert_eq!(
        state_of(&[forward(DROP, &list), bans()]),
        GateState::Present
    );
    let list = ["gate", ">CROWDSEC_CHAIN", "accept x"];
    assert_eq!(state_of(&[forward(DROP, &list), bans()]), GateState::High);
}

#[test]
fn a_denial_that_is_appended_below_a_gate_applies_from_the_next_survey_on() {
    assert_eq!(
        state_of(&[forward(DROP, &["gate", "deny"])]),
        GateState::High
    );
    assert_eq!(
        state_of(&[forward(DROP, &["gate", "accept x"])]),
        GateState::Present
    );
    assert_eq!(
        state_of(&[forward(ACCEPT, &["gate", "drop"])]),
        GateState::Present
    );
    assert_eq!(
        state_of(&[forward(DROP, &["gate", "drop"])]),
        GateState::Present
    );
    assert_eq!(
        state_of(&[forward(DROP, &["drop", "gate"])]),
        GateState::Shadowed
    );
    assert_eq!(
        state_of(&[forward(DROP, &["gate", "deny", "drop"])]),
        GateState::High
    );
}

#[test]
fn the_gate_goes_into_a_chain_that_refuses_every_packet() {
    // Its own exceptions and denials still apply.
    let rest = || inner("REST", &["deny", "accept x", "drop"]);
    let list = ["deny", ">REST", "accept x"];
    assert_eq!(place(&[forward(ACCEPT, &list), rest()]), at("REST", 2));
    // Also by goto, and through another chain.
    let list = ["deny", "=>REST"];
    assert_eq!(place(&[forward(ACCEPT, &list), rest()]), at("REST", 2));
    let nested = inner("MORE", &["x", ">REST"]);
    let chains = [forward(ACCEPT, &[">MORE", "deny"]), nested, rest()];
    assert_eq!(place(&chains), at("REST", 2));
    // It is called for some packets only.
    let list = ["? >REST", "? =>REST"];
    assert_eq!(place(&[forward(ACCEPT, &list), rest()]), None);
    assert_eq!(place(&[forward(DROP, &list), rest()]), at("FORWARD", 2));
}

#[test]
fn a_chain_from_which_some_packets_return_may_need_two_gates() {
    let rest = || inner("REST", &["return x", "drop"]);
    let chains = [forward(DROP, &[">REST", "deny"]), rest()];
    let both = [("FORWARD".to_owned(), 2), ("REST".to_owned(), 1)];
    assert_eq!(places(&chains), both);
    // No rule refuses the packets that return from it.
    assert_eq!(
        place(&[forward(ACCEPT, &[">REST", "deny"]), rest()]),
        at("REST", 1)
    );
    // After a goto the policy follows.
    let chains = [forward(DROP, &["=>REST", "deny"]), rest()];
    let both = [("FORWARD".to_owned(), 0), ("REST".to_owned(), 1)];
    assert_eq!(places(&chains), both);
}

#[test]
fn a_chain_that_does_not_refuse_every_packet_stays_above_the_gate() {
    for list in [
        &["deny"][..],
        &["return"],
        &["return", "drop"],
        &[],
        &["map"],
    ] {
        let chains = [forward(DROP, &[">C", "accept x"]), inner("C", list)];
        assert_eq!(place(&chains), at("FORWARD", 2), "{list:?}");
        let chains = [forward(ACCEPT, &[">C", "accept x"]), inner("C", list)];
        assert_eq!(place(&chains), None, "{list:?}");
    }
    // It accepts every packet: the rules after it are not reached.
    let chains = [forward(DROP, &[">C"]), inner("C", &["accept"])];
    assert_eq!(place(&chains), None);
}

#[test]
fn the_walk_ends_in_a_cycle_and_in_a_deep_chain() {
    let chains = [
        forward(DROP, &[">A"]),
        inner("A", &[">B"]),
        inner("B", &[">A", ">FORWARD", "=>B"]),
    ];
    assert_eq!(place(&chains), at("FORWARD", 1));
    // As deep as the kernel jumps, and one level more: the last chain is not read, so the gate goes below.
    let deep = |depth: usize| {
        let names: Vec<_> = (0..=depth).map(|number| format!("C{number}")).collect();
        let jumps = names.windows(2);
        let jumps = jumps.map(|pair| inner(&pair[0], &[&format!(">{}", pair[1])]));
        let last = inner(&names[depth], &["drop"]);
        let first = forward(DROP, &[">C0"]);
        [first, last].into_iter().chain(jumps).collect::<Vec<_>>()
    };
    assert_eq!(place(&deep(15)), at("C15", 0));
    let (_, survey) = survey(&deep(16));
    assert_eq!(survey.sites[0].chain().chain, "FORWARD");
    assert_eq!(survey.obstacles[0].why, NoGateReason::Long);
    // Each chain calls the next one twice.
    let twice = (0..15).map(|number| {
        let next = format!(">C{}", number + 1);
        inner(&format!("C{number}"), &[&next, &next])
    });
    let chains: Vec<_> = twice
        .chain([forward(DROP, &[">C0"]), inner("C15", &[])])
        .collect();
    assert_eq!(place(&chains), at("FORWARD", 1));
}

#[test]
fn the_gate_goes_below_a_chain_that_is_too_long_to_read() {
    let long = [vec!["deny"; reach::LONGEST], vec!["drop"]].concat();
    let (_, survey) = survey(&[forward(DROP, &[">LONG"]), inner("LONG", &long)]);
    assert_eq!(survey.sites[0].chain().chain, "FORWARD");
    let [obstacle] = &survey.obstacles[..] else {
        panic!("{survey:?}");
    };
    assert_eq!(
        (obstacle.why, obstacle.is_certain),
        (NoGateReason::Long, false)
    );
    assert_eq!(obstacle.word(), "may refuse");
    // The most rules that are read, gate included.
    let full = [vec!["deny"; reach::LONGEST - 1], vec!["gate", "drop"]].concat();
    assert_eq!(
        state_of(&[forward(DROP, &[">C"]), inner("C", &full)]),
        GateState::Present
    );
    // The most chains that are read.
    let jumps: Vec<_> = (0..200).map(|number| format!(">C{number}")).collect();
    let jumps: Vec<_> = jumps.iter().map(String::as_str).collect();
    let many = (0..200).map(|number| inner(&format!("C{number}"), &["deny"]));
    let chains: Vec<_> = many.chain([forward(DROP, &jumps)]).collect();
    let chains = chains.into_iter().collect();
    let missing = firewalls(&[]).missing(&chains);
    assert_eq!(missing, []);
    let survey = firewalls(&[]).survey(&chains, MarkBit::DEFAULT);
    assert_eq!(survey.obstacles.len(), 136);
}

#[test]
fn chains_that_every_packet_reaches_are_requested() {
    let missing = |chains: &[Chain]| {
        let chains = chains.iter().cloned().collect();
        let names = firewalls(&[]).missing(&chains).into_iter();
        names.map(|name| name.chain).collect::<Vec<_>>()
    };
    let list = [
        ">A",
        "? >B",
        "=>C",
        ">LIBVIRT_FWX",
        ">libvirt-in",
        ">DOCKER-USER",
    ];
    assert_eq!(
        missing(&[forward(ACCEPT, &list)]),
        ["A", "C", "DOCKER-USER"]
    );
    assert_eq!(
        missing(&[forward(ACCEPT, &[">A"]), inner("A", &[">B"])]),
        ["B"]
    );
    let own = chain("inet firewalld filter_FORWARD", Some(ACCEPT), &[">A"]);
    assert!(missing(&[own]).is_empty());
}

#[test]
fn the_rules_that_refuse_every_packet_together_stay_below_the_gate() {
    let tail = ["tcp reject", "log", "drop"];
    let list = [&["deny"], &tail[..]].concat();
    assert_eq!(place(&[forward(ACCEPT, &list)]), at("FORWARD", 1));
    assert_eq!(place(&[forward(DROP, &list[..2])]), at("FORWARD", 1));
    assert_eq!(
        place(&[forward(ACCEPT, &[">REFUSE"]), inner("REFUSE", &tail)]),
        at("REFUSE", 0)
    );
    // It refuses TCP, and other rules follow.
    assert_eq!(
        place(&[forward(DROP, &["tcp reject", "accept x"])]),
        at("FORWARD", 2)
    );
    assert_eq!(
        place(&[forward(ACCEPT, &["tcp reject", ">LIBVIRT_FWX"])]),
        at("FORWARD", 1)
    );
    let base = |base, list: &[&str]| chain("inet filter forward", Some(base), list);
    assert_eq!(
        place(&[base(ACCEPT, &["x", "ip reject", "ip6 reject"])]),
        at("forward", 1)
    );
    assert_eq!(
        place(&[base(DROP, &["ip6 reject", "accept x"])]),
        at("forward", 2)
    );
    assert_eq!(
        place(&[base(DROP, &["accept x", "ip6 reject"])]),
        at("forward", 1)
    );
}

#[test]
fn a_firewall_that_is_not_in_use_has_no_gate_and_an_old_one_is_deleted() {
    assert_eq!(change(&[forward(ACCEPT, &["deny"])], false), None);
    let seen = change(&[forward(ACCEPT, &["gate"])], false);
    assert_eq!(seen, Some(("ip filter FORWARD".into(), None, vec![1])));
    let seen = change(&[chain("inet other x", None, &["a", "gate"])], false);
    assert_eq!(seen, Some(("inet other x".into(), None, vec![2])));
}

/// The chains of that version of Docker, with these rules in `DOCKER-USER`.
fn docker(version: &str, users: &[&str]) -> Vec<Chain> {
    let users = inner("DOCKER-USER", users);
    let own = match version {
        "28" => vec![
            inner(
                "DOCKER-FORWARD",
                &[
                    ">DOCKER-CT",
                    ">DOCKER-INTERNAL",
                    ">DOCKER-BRIDGE",
                    "accept x",
                ],
            ),
            inner("DOCKER-CT", &["accept x"]),
            inner("DOCKER-INTERNAL", &["deny", "deny"]),
            inner("DOCKER-BRIDGE", &["? >DOCKER"]),
            inner("DOCKER", &["accept x", "deny"]),
        ],
        _ => vec![
            inner(
                "DOCKER-ISOLATION-STAGE-1",
                &["? >DOCKER-ISOLATION-STAGE-2", "return"],
            ),
            inner("DOCKER-ISOLATION-STAGE-2", &["deny", "return"]),
            inner("DOCKER", &["accept x"]),
        ],
    };
    [users].into_iter().chain(own).collect()
}

/// `FORWARD` with the jumps of that version of Docker, between other rules.
fn with_docker(base: Base, version: &str, above: &[&str], below: &[&str]) -> Chain {
    let own = match version {
        "28" => &[">DOCKER-USER", ">DOCKER-FORWARD"][..],
        _ => &[
            ">DOCKER-USER",
            ">DOCKER-ISOLATION-STAGE-1",
            "accept x",
            "? >DOCKER",
            "accept x",
        ],
    };
    forward(base, &[above, own, below].concat())
}

#[test]
fn the_gate_for_docker_is_before_the_policy_and_all_denials_apply() {
    for (version, length) in [("20.10", 5), ("26", 5), ("28", 2)] {
        for users in [&["return"][..], &["deny", "return"], &["deny"], &[]] {
            let all = |base| {
                let forward = with_docker(base, version, &[">BANS"], &["deny"]);
                let bans = inner("BANS", &["deny"]);
                [vec![forward, bans], docker(version, users)].concat()
            };
            assert_eq!(place(&all(DROP)), at("FORWARD", length + 2), "{version}");
            assert_eq!(place(&all(ACCEPT)), None, "{version}");
            assert_eq!(only(&all(DROP)).0, "docker");
            assert_eq!(state_of(&all(ACCEPT)), GateState::NotNeeded);
        }
        // Docker restarts: its jumps are at the head, above those to bans.
        let forward = with_docker(DROP, version, &[], &[">BANS", "deny", "gate"]);
        let chains = [vec![forward], docker(version, &["deny"])].concat();
        assert_eq!(state_of(&chains), GateState::Present);
        // If `DOCKER-USER` refuses every packet, its exceptions and denials still apply.
        let chains = |base| {
            let forward = with_docker(base, version, &[], &[]);
            [
                vec![forward],
                docker(version, &["deny", "accept x", "drop"]),
            ]
            .concat()
        };
        assert_eq!(place(&chains(ACCEPT)), at("DOCKER-USER", 2));
        assert_eq!(place(&chains(DROP)), at("DOCKER-USER", 2));
    }
}

#[test]
fn a_gate_of_an_older_version_in_dockers_chain_is_deleted() {
    let forward = with_docker(DROP, "26", &[], &[]);
    let chains = [vec![forward], docker("26", &["deny", "gate", "return"])].concat();
    let (chains, survey) = survey(&chains);
    let changes = to_open(&survey, &chains, false);
    assert_eq!(changes.len(), 2, "{changes:?}");
    assert_eq!(changes[0].chain.chain, "DOCKER-USER");
    assert_eq!(
        (&changes[0].remove[..], changes[0].insert),
        (&[2][..], None)
    );
    assert_eq!(
        changes[1].insert.map(|new| (new.at, new.before)),
        Some((5, None))
    );
}

/// The chains of ufw, with these rules of the administrator.
fn ufw(base: Base, user: &[&str], after: &[&str], reject: &[&str], more: &[&str]) -> Vec<Chain> {
    let jumps = [
        ">ufw-before-logging-forward",
        ">ufw-before-forward",
        ">ufw-after-forward",
        ">ufw-after-logging-forward",
        ">ufw-reject-forward",
        ">ufw-track-forward",
    ];
    vec![
        forward(base, &[&jumps[..], more].concat()),
        inner("ufw-before-logging-forward", &[]),
        inner(
            "ufw-before-forward",
            &["accept x", "accept x", ">ufw-user-forward"],
        ),
        inner("ufw-user-forward", user),
        inner("ufw-after-forward", after),
        inner("ufw-after-logging-forward", &["log"]),
        inner("ufw-reject-forward", reject),
        inner("ufw-track-forward", &[]),
    ]
}

#[test]
fn the_administrators_rules_in_ufw_stay_above_the_gate() {
    // The chain that logs packets before the policy drops them stays below the gate.
    for (user, after, reject, base, expected) in [
        (&["deny"][..], &[][..], &[][..], DROP, at("FORWARD", 2)),
        (&[], &[], &[], DROP, at("FORWARD", 2)),
        (&["deny"], &["deny"], &[], DROP, at("FORWARD", 3)),
        (&["deny"], &[], &["drop"], DROP, at("FORWARD", 2)),
        (&["deny"], &[], &["drop"], ACCEPT, at("FORWARD", 2)),
        (&["deny"], &[], &[], ACCEPT, None),
    ] {
        let seen = place(&ufw(base, user, after, reject, &[]));
        assert_eq!(seen, expected, "{user:?} {after:?} {reject:?}");
    }
    // A denial of the administrator after ufw's jumps applies, too.
    assert_eq!(
        place(&ufw(DROP, &[], &[], &[], &["deny"])),
        at("FORWARD", 7)
    );
    let chains = ufw(ACCEPT, &["deny"], &[], &[], &[]);
    assert_eq!(
        only(&chains),
        ("ufw", "ip filter FORWARD".into(), GateState::NotNeeded)
    );
}

#[test]
fn a_reload_of_ufw_moves_no_gate() {
    let with = |position: usize, user: &[&str]| {
        let mut chains = ufw(DROP, user, &[], &[], &[]);
        let gate = rules(&["gate"]).remove(0);
        chains[0].rules.insert(position, gate);
        state_of(&chains)
    };
    assert_eq!(with(2, &["deny"]), GateState::Present);
    assert_eq!(with(5, &["deny"]), GateState::Present);
    assert_eq!(with(1, &["deny"]), GateState::High);
    // During the reload its chains are empty.
    let mut chains = ufw(DROP, &[], &[], &[], &[]);
    chains
        .iter_mut()
        .skip(1)
        .for_each(|chain| chain.rules.clear());
    chains[0].rules.insert(2, rules(&["gate"]).remove(0));
    assert_eq!(state_of(&chains), GateState::Present);
}

#[test]
fn one_gate_is_enough_for_two_firewalls_in_one_base_chain() {
    let libvirt = &[">LIBVIRT_FWX"][..];
    for version in ["20.10", "28"] {
        let forward = with_docker(DROP, version, &[], libvirt);
        let position = forward.length() - 1;
        let chains = [vec![forward], docker(version, &["return"])].concat();
        assert_eq!(place(&chains), at("FORWARD", position));
        let forward = with_docker(DROP, version, libvirt, &[]);
        let chains = [vec![forward], docker(version, &["deny"])].concat();
        assert_eq!(place(&chains), at("FORWARD", 0));
    }
    // ufw refuses only by its policy, below libvirt's rules.
    assert_eq!(
        place(&ufw(DROP, &["deny"], &[], &[], libvirt)),
        at("FORWARD", 6)
    );
    // Packets do not reach libvirt's rules there.
    let chains = ufw(DROP, &["deny"], &[], &["drop"], libvirt);
    assert_eq!(place(&chains), at("FORWARD", 2));
    assert_eq!(only(&chains).0, "libvirt");
}

#[test]
fn a_policy_drop_is_opened_below_single_denials() {
    for (base, list, expected) in [
        (DROP, &["deny", "accept x"][..], 2),
        (ACCEPT, &["deny", "accept x", "drop"], 2),
        (DROP, &["deny", ">ADMINS", "drop"], 2),
        (DROP, &["deny", "? >ADMINS", "deny", "log"], 4),
        (DROP, &["accept x", "return", "deny"], 1),
        (DROP, &[], 0),
    ] {
        let chains = [forward(base, list), inner("ADMINS", &["deny"])];
        assert_eq!(place(&chains), at("FORWARD", expected), "{list:?}");
    }
    assert_eq!(
        state_of(&[forward(DROP, &["deny", "gate", "accept x"])]),
        GateState::Present
    );
}

#[test]
fn chains_of_iptables_legacy_are_surveyed_in_the_same_way() {
    let legacy = |mut chain: Chain| {
        chain.name.engine = virt_forward_policy::netfilter::Engine::Legacy;
        chain
    };
    let list = [">BANS", ">LIBVIRT_FWX"];
    let chains = [
        legacy(forward(ACCEPT, &list)),
        legacy(inner("BANS", &["deny"])),
        // The chain of the same name in iptables-nft.
        inner("BANS", &["drop"]),
    ];
    assert_eq!(place(&chains), at("FORWARD", 1));
    assert_eq!(place(&[legacy(forward(DROP, &["deny"]))]), at("FORWARD", 1));
}

#[test]
fn an_administrators_chain_has_a_gate_where_the_config_names_it() {
    let base = |base, list: &[&str]| chain("inet filter forward", Some(base), list);
    for (policy, list, expected) in [
        (DROP, &["deny", ">more"][..], 2),
        (DROP, &["map", "deny", "accept x"], 3),
        (ACCEPT, &["deny", "accept x", "drop"], 2),
        // It does not refuse every packet, but the config names it.
        (ACCEPT, &["deny"], 1),
        (DROP, &["accept x", ">bans", "deny"], 3),
    ] {
        let seen = place(&[
            base(policy, list),
            chain("inet filter bans", None, &["deny"]),
        ]);
        assert_eq!(seen, at("forward", expected), "{list:?}");
    }
    // The config names that chain only: no other has a gate.
    let rest = chain("inet filter rest", None, &["deny", "drop"]);
    assert_eq!(
        place(&[base(DROP, &["deny", ">rest"]), rest]),
        at("forward", 1)
    );
    assert_eq!(
        state_of(&[base(DROP, &["deny", "gate", "accept x"])]),
        GateState::Present
    );
    assert_eq!(state_of(&[base(DROP, &["gate", "deny"])]), GateState::High);
    assert_eq!(
        state_of(&[base(DROP, &["map", "drop", "gate"])]),
        GateState::Shadowed
    );
    // A chain that accepts every packet, or the mark, needs no gate.
    assert_eq!(
        state_of(&[base(DROP, &["deny", "accept mark"])]),
        GateState::NotNeeded
    );
}

#[test]
fn a_chain_that_the_config_names_has_a_gate_even_if_another_calls_it() {
    for (jump, list, expected) in [
        (">forward", &["deny", "accept x"][..], 2),
        ("? >forward", &["deny", "drop"], 1),
        ("=>forward", &["deny", "return", "drop"], 1),
    ] {
        let chains = [
            chain("inet filter base", Some(DROP), &["deny", jump]),
            chain("inet filter forward", None, list),
        ];
        assert_eq!(place(&chains), at("forward", expected), "{jump} {list:?}");
    }
}

#[test]
fn a_chain_of_the_config_that_does_not_exist_is_reported() {
    let absent = |chains: &[Chain]| survey(chains).1.absent.len();
    assert_eq!(absent(&[]), 1);
    assert_eq!(absent(&[chain("inet filter forward", Some(DROP), &[])]), 0);
    // It exists, but no packet reaches it.
    assert_eq!(absent(&[chain("inet filter forward", None, &[])]), 1);
}

fn obstacle(chains: &[Chain]) -> (NoGateReason, bool) {
    let (_, survey) = survey(chains);
    let [obstacle] = &survey.obstacles[..] else {
        panic!("{survey:?}");
    };
    (obstacle.why, obstacle.is_certain)
}

#[test]
fn a_chain_that_blocks_and_has_no_gate_is_reported() {
    let own = |base, list: &[&str]| chain("inet mine fwd", Some(base), list);
    assert_eq!(
        obstacle(&[own(DROP, &["accept x"])]),
        (NoGateReason::Unknown, true)
    );
    assert_eq!(
        obstacle(&[own(ACCEPT, &["deny"])]),
        (NoGateReason::Unknown, false)
    );
    assert_eq!(
        obstacle(&[own(ACCEPT, &["map"])]),
        (NoGateReason::Unknown, false)
    );
    let deep = [
        own(ACCEPT, &[">a"]),
        chain("inet mine a", None, &[">b"]),
        chain("inet mine b", None, &[">a", "deny"]),
    ];
    assert_eq!(obstacle(&deep), (NoGateReason::Unknown, false));
    let deep = [
        own(ACCEPT, &[">a"]),
        chain("inet mine a", None, &["x", ">b"]),
        chain("inet mine b", None, &["deny", "drop"]),
    ];
    assert_eq!(obstacle(&deep), (NoGateReason::Unknown, true));
    let early = Base {
        priority: table::FORWARD_PRIORITY,
        drops: true,
    };
    assert_eq!(obstacle(&[own(early, &[])]), (NoGateReason::Early, true));
    assert_eq!(
        obstacle(&[chain("ip filter FORWARD", Some(early), &[">LIBVIRT_FWX"])]).0,
        NoGateReason::Early
    );
    let mut owned = own(DROP, &[]);
    owned.is_owned = true;
    assert_eq!(obstacle(&[owned]), (NoGateReason::Owned, true));
}

#[test]
fn a_chain_that_accepts_marked_packets_does_not_block() {
    let own = |base, list: &[&str]| chain("inet mine fwd", Some(base), list);
    for fine in [
        own(ACCEPT, &["accept x"]),
        own(DROP, &["deny", "accept mark"]),
        own(DROP, &["accept", "drop"]),
        chain(
            "inet firewalld filter_FORWARD",
            Some(ACCEPT),
            &["deny", "drop"],
        ),
        chain("ip docker-bridges filter-FORWARD", Some(ACCEPT), &["map"]),
    ] {
        let (chains, survey) = survey(&[fine]);
        assert!(survey.obstacles.is_empty(), "{survey:?}");
        assert!(to_open(&survey, &chains, true).is_empty());
    }
    assert_eq!(
        obstacle(&[own(DROP, &["drop", "accept mark"])]),
        (NoGateReason::Unknown, true)
    );
}

#[test]
fn a_remedy_is_a_shell_command() {
    let [a, b] = ["virbr0", "virbr.1"].map(|name| name.parse::<BridgeName>().unwrap());
    let groups = [vec![&a, &b], vec![&a]];
    let lines = |chain: &Chain| {
        let (_, survey) = survey(std::slice::from_ref(chain));
        survey.obstacles[0].remedy(MarkBit::DEFAULT, &groups).lines
    };
    let early = Base {
        priority: -300,
        drops: true,
    };
    assert_eq!(
        lines(&chain("inet mine fwd", Some(DROP), &[])),
        ["nft insert rule inet mine fwd meta mark and 0x10000000 != 0 accept"]
    );
    assert_eq!(
        lines(&chain("inet mine fwd", Some(early), &[])),
        [
            r#"nft 'insert rule inet mine fwd iifname { "virbr0", "virbr.1" } oifname { "virbr0", "virbr.1" } accept'"#
        ]
    );
    assert_eq!(
        lines(&chain("ip6 mangle FORWARD", Some(early), &[]))[0],
        "ip6tables -t mangle -I FORWARD -i virbr0 -o virbr.1 -j ACCEPT"
    );
}

/// libvirt's DHCP rules of that many networks above and below the shortcut, which `gate` adds.
fn checksums(above: usize, gate: bool, below: usize) -> Chain {
    let list = [
        vec!["x"; above],
        vec!["gate"; gate.into()],
        vec!["x"; below],
    ]
    .concat();
    chain("ip mangle LIBVIRT_PRT", None, &list)
}

#[test]
fn a_shortcut_is_for_many_rules_and_may_stand_below_some() {
    for (seen, expected) in [
        (checksums(0, false, SHORTCUT_THRESHOLD), None),
        (
            checksums(0, false, SHORTCUT_THRESHOLD + 1),
            Some(GateState::Missing),
        ),
        (
            checksums(0, true, SHORTCUT_THRESHOLD),
            Some(GateState::Present),
        ),
        // Networks have stopped or started since.
        (checksums(0, true, 0), Some(GateState::Present)),
        (
            checksums(SHORTCUT_THRESHOLD, true, 300),
            Some(GateState::Present),
        ),
        (
            checksums(SHORTCUT_THRESHOLD + 1, true, 300),
            Some(GateState::Shadowed),
        ),
    ] {
        let (chains, survey) = survey(std::slice::from_ref(&seen));
        let state = survey.shortcuts.first().map(|site| site.state);
        assert_eq!(state, expected, "{seen:?}");
        // The chain is neither a site nor a blocking chain.
        assert!(survey.sites.is_empty(), "{survey:?}");
        assert!(are_libvirt_rules_missing(&survey, Family::Ip));
        let changes = to_open(&survey, &chains, false);
        match state {
            None | Some(GateState::Present) => assert_eq!(changes, []),
            _ => {
                let says = GateVerdict::Return;
                let new = changes[0].insert.map(|new| (new.at, new.verdict));
                assert_eq!(new, Some((0, says)));
                assert!(changes[0].is_shortcut());
            }
        }
    }
}

#[test]
fn a_shortcut_is_deleted_with_the_gates() {
    let chains: Chains = [checksums(3, true, 30)].into_iter().collect();
    let [closing] = &to_close(&chains)[..] else {
        panic!("{chains:?}");
    };
    assert_eq!((&closing.remove[..], closing.insert), (&[4][..], None));
    // The mark has changed.
    let seen = change(&[checksums(3, true, 30)], true);
    assert_eq!(
        seen,
        Some(("ip mangle LIBVIRT_PRT".into(), Some(0), vec![4]))
    );
}

#[test]
fn missing_rules_of_libvirt_are_detected() {
    let (_, with) = survey(&[forward(ACCEPT, &[">LIBVIRT_FWX"])]);
    assert!(
        !are_libvirt_rules_missing(&with, Family::Ip)
            && are_libvirt_rules_missing(&with, Family::Ip6)
    );
    let table = chain("ip libvirt_network forward", Some(ACCEPT), &[]);
    assert!(are_libvirt_rules_missing(&survey(&[table]).1, Family::Ip));
}
