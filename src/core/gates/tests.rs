use super::{
    chains::{Base, Rule, Verdict},
    *,
};
use crate::{names::Family, network::BridgeName};

const DROP: Base = Base {
    priority: 0,
    drops: true,
};
const ACCEPT: Base = Base {
    priority: 0,
    drops: false,
};

/// `gate`, `>CHAIN` for a jump, `drop`, `return`, `deny` for one of some packets, else a match.
fn rules(list: &[&str]) -> Vec<Rule> {
    let rule = |(at, text): (usize, &&str)| Rule {
        handle: at as u32 + 1,
        comment: (*text == "gate").then(|| crate::COMMENT.to_owned()),
        verdict: match *text {
            "gate" => Verdict::Accept,
            "drop" | "deny" => Verdict::Refuse,
            "return" => Verdict::Return,
            "map" => Verdict::Map,
            "accept" | "accept mark" => Verdict::Accept,
            text => text
                .strip_prefix('>')
                .map_or(Verdict::Continue, |to| Verdict::Jump(to.to_owned())),
        },
        is_for_all: ["drop", "return", "accept"].contains(text),
        mark: if *text == "accept mark" {
            0x1000_0000
        } else {
            0
        },
    };
    list.iter().enumerate().map(rule).collect()
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

/// Owner, chain and state of the only site.
fn only(chains: &[Chain]) -> (&'static str, String, State) {
    let (_, survey) = survey(chains);
    assert!(survey.obstacles.is_empty(), "{survey:?}");
    let [site] = &survey.sites[..] else {
        panic!("{survey:?}");
    };
    (site.owner, site.chain().to_string(), site.state)
}

/// Chain, position and handles of the only change.
fn change(chains: &[Chain], anew: bool) -> Option<(String, Option<usize>, Vec<u32>)> {
    let (chains, survey) = survey(chains);
    let changes = to_open(&survey, &chains, anew);
    assert!(changes.len() < 2, "{changes:?}");
    let change = changes.into_iter().next()?;
    Some((
        change.chain.to_string(),
        change.insert.map(|new| new.at),
        change.remove,
    ))
}

fn forward(base: Base, list: &[&str]) -> Chain {
    chain("ip filter FORWARD", Some(base), list)
}

fn users(list: &[&str]) -> Chain {
    chain("ip filter DOCKER-USER", None, list)
}

const UFW: [&str; 5] = [
    ">ufw-before-logging-forward",
    ">ufw-before-forward",
    ">ufw-after-forward",
    ">ufw-after-logging-forward",
    ">ufw-reject-forward",
];
const DOCKER: [&str; 3] = [
    ">DOCKER-USER",
    ">DOCKER-ISOLATION-STAGE-1",
    "accept docker0",
];

#[test]
fn a_gate_stands_anywhere_above_its_owners_first_jump() {
    for (list, expected) in [
        (&[">LIBVIRT_FWX", ">LIBVIRT_FWI"][..], State::Missing),
        (&["deny", "gate", ">LIBVIRT_FWX"], State::Standing),
        (&["gate", "deny", ">LIBVIRT_FWX"], State::Standing),
        (&[">LIBVIRT_FWX", "gate", ">LIBVIRT_FWI"], State::Sunk),
        (&["gate", "gate", ">LIBVIRT_FWX"], State::Sunk),
        (&["gate", ">LIBVIRT_FWX", "gate"], State::Sunk),
    ] {
        let seen = only(&[forward(ACCEPT, list)]);
        assert_eq!(
            seen,
            ("libvirt", "ip filter FORWARD".into(), expected),
            "{list:?}"
        );
    }
}

#[test]
fn a_new_gate_goes_below_what_an_admin_put_first() {
    let list = ["deny", ">LIBVIRT_FWX", "gate"];
    let place = || "ip filter FORWARD".to_owned();
    let seen = change(&[forward(ACCEPT, &list)], false);
    assert_eq!(seen, Some((place(), Some(1), vec![3])));
    let list = ["gate", "deny", ">LIBVIRT_FWX"];
    assert_eq!(change(&[forward(ACCEPT, &list)], false), None);
    let seen = change(&[forward(ACCEPT, &list)], true);
    assert_eq!(seen, Some((place(), Some(1), vec![1])));
}

#[test]
fn a_firewall_that_is_not_in_use_gets_no_gate_and_loses_an_old_one() {
    assert_eq!(change(&[forward(ACCEPT, &["deny"])], false), None);
    let seen = change(&[forward(ACCEPT, &["gate"])], false);
    assert_eq!(seen, Some(("ip filter FORWARD".into(), None, vec![1])));
    let seen = change(&[chain("inet other x", None, &["a", "gate"])], false);
    assert_eq!(seen, Some(("inet other x".into(), None, vec![2])));
}

#[test]
fn docker_alone_is_opened_in_its_users_chain_below_the_users_rules() {
    let seen = change(&[forward(DROP, &DOCKER), users(&["deny", "return"])], false);
    assert_eq!(
        seen,
        Some(("ip filter DOCKER-USER".into(), Some(1), vec![]))
    );
    // Newer ones put no return there.
    let seen = change(&[forward(DROP, &DOCKER), users(&["deny"])], false);
    assert_eq!(
        seen,
        Some(("ip filter DOCKER-USER".into(), Some(1), vec![]))
    );
    let seen = only(&[forward(DROP, &DOCKER), users(&["return", "gate"])]);
    assert_eq!(seen.2, State::Sunk);
    // Without the chain (its IPv6 rules before 27), before Docker's own.
    let seen = change(&[forward(DROP, &DOCKER[1..])], false);
    assert_eq!(seen, Some(("ip filter FORWARD".into(), Some(0), vec![])));
}

#[test]
fn one_gate_is_enough_for_two_firewalls_in_one_base_chain() {
    let both = [&DOCKER[..], &[">LIBVIRT_FWX"]].concat();
    let seen = change(&[forward(DROP, &both), users(&["return"])], false);
    assert_eq!(seen, Some(("ip filter FORWARD".into(), Some(3), vec![])));
    // One that was in Docker's chain is not needed any more.
    let (chains, survey) = survey(&[forward(DROP, &both), users(&["gate", "return"])]);
    assert_eq!(to_open(&survey, &chains, false).len(), 2);
    // Above whichever comes first.
    let list = [&UFW[..], &[">LIBVIRT_FWX"]].concat();
    let seen = change(&[forward(DROP, &list)], false);
    assert_eq!(seen, Some(("ip filter FORWARD".into(), Some(2), vec![])));
    let list = [&[">LIBVIRT_FWX"], &UFW[..]].concat();
    let seen = change(&[forward(DROP, &list)], false);
    assert_eq!(seen, Some(("ip filter FORWARD".into(), Some(0), vec![])));
}

#[test]
fn ufws_user_has_the_word_before_the_gate() {
    let seen = change(&[forward(DROP, &UFW)], false);
    assert_eq!(seen, Some(("ip filter FORWARD".into(), Some(2), vec![])));
    let list = [&UFW[..2], &["gate"], &UFW[2..]].concat();
    assert_eq!(only(&[forward(DROP, &list)]).2, State::Standing);
    let list = [&UFW[..3], &["gate"], &UFW[3..]].concat();
    assert_eq!(only(&[forward(DROP, &list)]).2, State::Sunk);
}

#[test]
fn a_policy_drop_is_opened_below_single_denials() {
    let seen = change(&[forward(DROP, &["deny", "accept x"])], false);
    assert_eq!(seen, Some(("ip filter FORWARD".into(), Some(2), vec![])));
    let seen = change(&[forward(ACCEPT, &["deny", "accept x", "drop"])], false);
    assert_eq!(seen, Some(("ip filter FORWARD".into(), Some(2), vec![])));
    let seen = change(&[forward(DROP, &["deny", ">ADMINS", "drop"])], false);
    assert_eq!(seen, Some(("ip filter FORWARD".into(), Some(1), vec![])));
    let seen = only(&[forward(DROP, &["deny", "gate", "accept x"])]);
    assert_eq!(seen.2, State::Standing);
}

#[test]
fn an_admins_own_chain_is_opened_at_its_head_where_the_config_names_it() {
    let base = |list: &[&str]| chain("inet filter forward", Some(DROP), list);
    let seen = change(&[base(&["deny", ">more"])], false);
    assert_eq!(seen, Some(("inet filter forward".into(), Some(0), vec![])));
    // What the admin put above it since keeps its word.
    assert_eq!(
        only(&[base(&["deny", "gate", "accept"])]).2,
        State::Standing
    );
    assert_eq!(only(&[base(&["map", "drop", "gate"])]).2, State::Sunk);
    // A chain that a base chain jumps to.
    let seen = change(
        &[
            chain("inet filter base", Some(DROP), &["deny", ">forward"]),
            chain("inet filter forward", None, &["accept x"]),
        ],
        false,
    );
    assert_eq!(seen, Some(("inet filter forward".into(), Some(0), vec![])));
}

#[test]
fn a_chain_of_the_config_that_is_not_there_is_told() {
    let absent = |chains: &[Chain]| survey(chains).1.absent.len();
    assert_eq!(absent(&[]), 1);
    assert_eq!(absent(&[chain("inet filter forward", Some(DROP), &[])]), 0);
    // It is, but no packet comes there.
    assert_eq!(absent(&[chain("inet filter forward", None, &[])]), 1);
}

fn obstacle(chains: &[Chain]) -> (Why, bool) {
    let (_, survey) = survey(chains);
    let [obstacle] = &survey.obstacles[..] else {
        panic!("{survey:?}");
    };
    (obstacle.why, obstacle.is_certain)
}

#[test]
fn what_stands_in_the_way_and_has_no_gate_is_named() {
    let own = |base, list: &[&str]| chain("inet mine fwd", Some(base), list);
    assert_eq!(obstacle(&[own(DROP, &["accept x"])]), (Why::Unknown, true));
    assert_eq!(obstacle(&[own(ACCEPT, &["deny"])]), (Why::Unknown, false));
    assert_eq!(obstacle(&[own(ACCEPT, &["map"])]), (Why::Unknown, false));
    let deep = [
        own(ACCEPT, &[">a"]),
        chain("inet mine a", None, &[">b"]),
        chain("inet mine b", None, &[">a", "deny"]),
    ];
    assert_eq!(obstacle(&deep), (Why::Unknown, false));
    let early = Base {
        priority: table::FORWARD_PRIORITY,
        drops: true,
    };
    assert_eq!(obstacle(&[own(early, &[])]), (Why::Early, true));
    assert_eq!(
        obstacle(&[chain("ip filter FORWARD", Some(early), &[">LIBVIRT_FWX"])]).0,
        Why::Early
    );
    let mut owned = own(DROP, &[]);
    owned.is_owned = true;
    assert_eq!(obstacle(&[owned]), (Why::Owned, true));
}

#[test]
fn what_lets_us_pass_is_no_obstacle() {
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
        (Why::Unknown, true)
    );
}

#[test]
fn a_remedy_is_a_line_for_a_shell() {
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

/// libvirt's rules for DHCP, of so many networks above our shortcut, if it is there, and below.
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
fn a_shortcut_is_for_many_rules_and_may_sink_below_some() {
    for (seen, expected) in [
        (checksums(0, false, FEW), None),
        (checksums(0, false, FEW + 1), Some(State::Missing)),
        (checksums(0, true, FEW), Some(State::Standing)),
        // Networks have stopped since, or started.
        (checksums(0, true, 0), Some(State::Standing)),
        (checksums(FEW, true, 300), Some(State::Standing)),
        (checksums(FEW + 1, true, 300), Some(State::Sunk)),
    ] {
        let (chains, survey) = survey(std::slice::from_ref(&seen));
        let state = survey.shortcuts.first().map(|site| site.state);
        assert_eq!(state, expected, "{seen:?}");
        // It is no firewall, and no place where one could be.
        assert!(survey.sites.is_empty(), "{survey:?}");
        assert!(rules_are_gone(&survey, Family::Ip));
        let changes = to_open(&survey, &chains, false);
        match state {
            None | Some(State::Standing) => assert_eq!(changes, []),
            _ => {
                let says = Says::Return;
                assert_eq!(changes[0].insert, Some(New { at: 0, says }));
                assert!(changes[0].is_shortcut());
            }
        }
    }
}

#[test]
fn a_shortcut_goes_with_the_gates() {
    let chains: Chains = [checksums(3, true, 30)].into_iter().collect();
    let [closing] = &to_close(&chains)[..] else {
        panic!("{chains:?}");
    };
    assert_eq!((&closing.remove[..], closing.insert), (&[4][..], None));
    // Of another mark.
    let seen = change(&[checksums(3, true, 30)], true);
    assert_eq!(
        seen,
        Some(("ip mangle LIBVIRT_PRT".into(), Some(0), vec![4]))
    );
}

#[test]
fn libvirts_rules_are_missed_where_they_are_gone() {
    let (_, with) = survey(&[forward(ACCEPT, &[">LIBVIRT_FWX"])]);
    assert!(!rules_are_gone(&with, Family::Ip) && rules_are_gone(&with, Family::Ip6));
    let table = chain("ip libvirt_network forward", Some(ACCEPT), &[]);
    assert!(rules_are_gone(&survey(&[table]).1, Family::Ip));
}
