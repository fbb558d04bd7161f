//! The firewalls of this host: what refuses what is open, and our gates in them.

use std::collections::BTreeMap;

use virt_forward_policy::{
    netfilter::{ChainName, Family},
    network::{BridgeName, Mode, Network},
    sanitize::shown,
};
use virt_forward_reconcile::Inspection;
use virt_forward_ruleset::gates::{Remedy, Site, State, Survey, chain_model::Chain};

use super::{Finding, Scene, bridges};

const GATES: &str = "gates";

/// All of them.
pub(crate) fn findings(scene: &Scene) -> Vec<Finding> {
    let mut found = stale(scene);
    if scene.is_config_right {
        found.extend(gates(scene));
        found.extend(obstacles(scene));
    } else {
        let what = "not looked at: which are wanted, only a config that is right can say";
        found.push(Finding::note(GATES, what));
    }
    found.extend(absent_chains(scene));
    found.extend(owners(scene));
    found.extend(containers(scene));
    found.extend(way_out(scene));
    if scene.is_config_right {
        found.extend(firewalld(scene));
    }
    let trouble = scene.inspection.wanted.trouble.as_ref();
    found.extend(trouble.map(|why| Finding::note(GATES, format!("not looked at: {why}"))));
    found
}

/// Gates without our table, as saved rules bring them back at boot: our table clears the bit
/// when a packet comes in, and without it the bit is whatever another program has set.
fn stale(scene: &Scene) -> Vec<Finding> {
    // Where networks are to be open, `own::table` reports the missing table, and these with it.
    if scene.inspection.table.is_some() || scene.is_config_right && scene.is_any_open() {
        return Vec::new();
    }
    let finding = |chain: &Chain| {
        let (name, mark) = (&chain.name, scene.config.mark);
        let what = format!(
            "one stands in {name} without the table inet virt_forward: it accepts every packet \
             that carries the mark {mark}, whoever set it"
        );
        Finding::wrong(GATES, what).with("virt-forward remove --all")
    };
    with_ours(scene).map(finding).collect()
}

/// Chains with a rule of ours.
pub(super) fn with_ours<'a>(scene: &Scene<'a>) -> impl Iterator<Item = &'a Chain> {
    let chains = scene.chains.all();
    chains.filter(|chain| chain.rules.iter().any(|rule| rule.is_ours()))
}

/// Those that are wanted, or were.
fn gates(scene: &Scene) -> Vec<Finding> {
    let is_open = scene.is_any_open();
    let Survey {
        sites, shortcuts, ..
    } = &scene.inspection.wanted.survey;
    // What stands without our table is told by `stale`.
    let has_table = scene.inspection.table.is_some();
    let is_told = |site: &&Site| has_table || site.state == State::Missing;
    let sites = sites.iter().filter(is_told);
    let wrong = sites.clone().filter_map(|site| gate(site, is_open));
    let slow = shortcuts.iter().filter(is_told);
    let slow = slow.filter_map(|site| shortcut(site, is_open));
    let mut found: Vec<_> = wrong.chain(slow).collect();
    if has_table {
        found.extend(strangers(scene));
    }
    let standing = sites.filter(|site| site.state == State::Standing);
    if is_open && has_table && found.is_empty() {
        let what = match standing.count() {
            0 => "no firewall here needs one".to_owned(),
            1 => "the one that is needed stands".to_owned(),
            count => format!("all {count} that are needed stand"),
        };
        found.push(Finding::ok(GATES, what));
    }
    found
}

fn gate(site: &Site, is_open: bool) -> Option<Finding> {
    let (chain, owner) = (site.chain(), site.owner);
    match (site.state, is_open) {
        (State::Missing, true) => {
            let what = format!("there is none in {chain} ({owner}), which refuses what is open");
            Some(Finding::wrong(GATES, what).with_apply())
        }
        (State::Sunk, true) => {
            let what =
                format!("that in {chain} ({owner}) has other rules before it, or is there twice");
            Some(Finding::wrong(GATES, what).with_apply())
        }
        (State::High, true) => {
            let what = format!(
                "that in {chain} ({owner}) stands above rules that refuse some packets, which what \
                 is open skips"
            );
            Some(Finding::wrong(GATES, what).with_apply())
        }
        (State::Standing | State::Sunk | State::High, false) => Some(left(chain, false)),
        _ => None,
    }
}

/// For speed alone.
fn shortcut(site: &Site, is_open: bool) -> Option<Finding> {
    let (chain, owner) = (site.chain(), site.owner);
    match (site.state, is_open) {
        (State::Missing | State::Sunk, true) => {
            let what = format!(
                "none at the head of {chain} ({owner}): every packet walks the rules of all \
                 networks there, which costs time"
            );
            Some(Finding::wrong(GATES, what).with_apply())
        }
        (State::Standing | State::Sunk, false) => Some(left(chain, false)),
        _ => None,
    }
}

/// Rules of ours in chains where none belongs.
fn strangers(scene: &Scene) -> Vec<Finding> {
    let survey = &scene.inspection.wanted.survey;
    let is_site = |name: &ChainName| survey.all().any(|site| site.chain() == name);
    let strange = with_ours(scene).filter(|chain| !is_site(&chain.name));
    strange
        .map(|chain| left(&chain.name, scene.is_any_open()))
        .collect()
}

fn left(chain: &ChainName, is_open: bool) -> Finding {
    let why = if is_open {
        "none is needed there"
    } else {
        "nothing is open"
    };
    let remedy = if is_open {
        "virt-forward apply"
    } else {
        "virt-forward remove --all"
    };
    Finding::wrong(GATES, format!("one was left in {chain}: {why}")).with(remedy)
}

/// Chains that refuse, and that we may not or cannot open.
fn obstacles(scene: &Scene) -> Vec<Finding> {
    if !scene.is_any_open() {
        return Vec::new();
    }
    let groups = bridges_by_group(scene);
    let obstacles = scene.inspection.wanted.survey.obstacles.iter();
    let finding = |obstacle: &virt_forward_ruleset::gates::Obstacle| {
        let Remedy { what, lines } = obstacle.remedy(scene.config.mark, &groups);
        let chain = &obstacle.chain;
        let finding = match obstacle.is_certain {
            true => Finding::wrong(
                "firewalls",
                format!(
                    "{chain} refuses what none of its rules accepts, and what is open here with it"
                ),
            ),
            false => Finding::note(
                "firewalls",
                format!("{chain} has rules that refuse something, maybe what is open here"),
            ),
        };
        finding.with(format!("# {what}")).with_all(lines)
    };
    obstacles.map(finding).collect()
}

fn bridges_by_group<'a>(scene: &'a Scene) -> Vec<Vec<&'a BridgeName>> {
    let mut groups: BTreeMap<&String, Vec<&BridgeName>> = BTreeMap::new();
    for record in scene.records() {
        for group in &record.access.groups {
            let of_group = groups.entry(group).or_default();
            of_group.extend(record.network.routed_bridge());
        }
    }
    groups.into_values().collect()
}

fn absent_chains(scene: &Scene) -> Vec<Finding> {
    let absent = scene.inspection.wanted.survey.absent.iter();
    let finding = |chain: &ChainName| {
        Finding::wrong(
            "config",
            format!("{chain}, in extra of [gates], is no chain that forwarded packets come to"),
        )
        .with(format!(
            "# in the config: take \"{chain}\" out of extra of [gates], or load its table"
        ))
    };
    absent.map(finding).collect()
}

/// A line for each firewall that is in use and in nobody's way.
fn owners(scene: &Scene) -> Vec<Finding> {
    let mut by_owner: BTreeMap<&'static str, Vec<&Site>> = BTreeMap::new();
    for site in &scene.inspection.wanted.survey.sites {
        by_owner.entry(site.owner.as_str()).or_default().push(site);
    }
    let mut found: Vec<_> = by_owner
        .iter()
        .filter_map(|(owner, sites)| owner_finding(owner, sites))
        .collect();
    let others = ["docker", "firewalld", "ufw"];
    let missing: Vec<_> = others
        .into_iter()
        .filter(|other| !by_owner.contains_key(other) && !is_seen(scene, other))
        .collect();
    let behind = others
        .into_iter()
        .filter(|other| !by_owner.contains_key(other) && is_seen(scene, other));
    let is_in_the_way =
        |other: &str| other == "docker" && !scene.inspection.wanted.host.masqueraded.is_empty();
    let behind = behind.filter(|other| !is_in_the_way(other));
    found.extend(
        behind.map(|other| Finding::ok(other, "has rules here, which are in nobody's way")),
    );
    if !missing.is_empty() {
        let what = format!("no rules here of {}", listed(&missing, " or "));
        found.push(Finding::ok("firewalls", what));
    }
    found
}

/// Containers that Docker lets nobody reach by their own address, who may open connections to guests.
fn containers(scene: &Scene) -> Option<Finding> {
    let bridges: Vec<_> = scene.inspection.wanted.host.masqueraded.iter().collect();
    let named: Vec<_> = bridges.iter().map(|bridge| shown(bridge)).collect();
    let guests = scene
        .routed()
        .filter(|(network, _)| !network.subnets4().is_empty());
    let guests: Vec<_> = guests.map(|(_, bridge)| bridge.to_string()).collect();
    (!named.is_empty()).then(|| {
        let what = format!(
            "it drops what comes to the own address of a container behind {}: guests see such a \
             container with an address of this host, and reach none of them",
            listed(
                &named.iter().map(String::as_str).collect::<Vec<_>>(),
                " or "
            )
        );
        Finding::note("docker", what)
            .with("# where containers and guests need each other's own addresses:")
            .with(format!(
                "docker network create -o com.docker.network.bridge.trusted_host_interfaces={} …",
                guests.join(":")
            ))
    })
}

/// What is not opened by us is refused too where libvirt's own rules are elsewhere: the guests'
/// way out, which libvirt lets pass, most of all.
fn way_out(scene: &Scene) -> Option<Finding> {
    let is_outward = |network: &&Network| {
        matches!(network.mode, Mode::Nat | Mode::Route) && !network.subnets4().is_empty()
    };
    let mut outward = scene
        .routed()
        .filter(|(network, _)| is_outward(network))
        .peekable();
    outward.peek()?;
    let refuses = bridges::refusing(scene.chains, Family::Ip)?;
    if !refuses.name.is_of_iptables() {
        return None;
    }
    let users = refuses.name.beside("DOCKER-USER");
    let chain = match scene.chains.get(&users) {
        Some(_) => &users.chain,
        None => &refuses.name.chain,
    };
    let lines = outward.flat_map(|(_, bridge)| {
        let answers = "-m conntrack --ctstate ESTABLISHED,RELATED";
        [
            format!("iptables -I {chain} -i {bridge} -j ACCEPT"),
            format!("iptables -I {chain} -o {bridge} {answers} -j ACCEPT"),
        ]
    });
    let what = format!(
        "{} refuses what none of its rules accepts: guests reach each other, and nobody outside, unless you let them",
        refuses.name
    );
    Some(Finding::note("firewalls", what).with_all(lines))
}

/// Docker and ufw may have rules and nothing to do with what we open: libvirt's come first.
fn is_seen(scene: &Scene, owner: &str) -> bool {
    let prefix = match owner {
        "docker" => "DOCKER",
        "ufw" => "ufw",
        _ => return false,
    };
    let mut chains = scene.chains.all();
    chains.any(|chain| chain.name.chain.starts_with(prefix))
}

fn owner_finding(owner: &'static str, sites: &[&Site]) -> Option<Finding> {
    // What is wrong with them is said by then.
    let is_fine = |site: &&Site| matches!(site.state, State::Standing | State::Unneeded);
    if !sites.iter().all(is_fine) {
        return None;
    }
    let gated: Vec<_> = sites
        .iter()
        .filter(|site| site.state == State::Standing)
        .map(|site| site.chain().to_string())
        .collect();
    let what = match (owner, gated.is_empty()) {
        ("libvirt", true) => "its rules let pass what is open".to_owned(),
        ("firewalld", true) => "runs, and lets guests of libvirt's networks pass".to_owned(),
        (_, true) => "has rules here that refuse nothing of what is open".to_owned(),
        (_, false) => format!(
            "lets what is open pass, by the gate in {}",
            gated.join(" and ")
        ),
    };
    Some(Finding::ok(owner, what))
}

fn listed(words: &[&str], last: &str) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., end] => format!("{}{last}{end}", first.join(", ")),
    }
}

fn firewalld(scene: &Scene) -> Vec<Finding> {
    const CHECK: &str = "firewalld";
    let wanted = &scene.inspection.wanted;
    let mut found = Vec::new();
    if wanted.is_firewalld_closed {
        found.push(
            Finding::wrong(CHECK, "it has not been told of the peers that may come in, and keeps them out")
                .with_apply()
                .with("# where it does not know the policy virt-forward: firewall-cmd --reload, and once more"),
        );
    }
    for outsider in &wanted.outsiders {
        let bridge = &outsider.bridge;
        let finding = match &outsider.zone {
            None => Finding::wrong(
                CHECK,
                format!("{bridge} is in its default zone, which refuses what is open"),
            ),
            Some(zone) => Finding::note(
                CHECK,
                format!("{bridge} is in its zone {zone}, which may refuse what is open"),
            ),
        };
        found.push(finding.with(outsider.remedy()));
    }
    found
}

/// libvirt's own rules; `restart` brings them back.
pub(crate) fn flushed(inspection: &Inspection, restart: &str) -> Option<Finding> {
    inspection.wanted.is_libvirt_flushed.then(|| {
        Finding::wrong(
            "libvirt",
            "its own rules are gone: somebody flushed them. It cannot start a network before its daemon restarts",
        )
        .with(restart)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::{own, scene::tests::Fake, tests::said};
    use virt_forward_ruleset::gates::chain_model::{Base, Chains, Rule, Verdict};

    /// `ip filter FORWARD` with these rules, as it is judged.
    fn with(fake: &mut Fake, drops: bool, rules: Vec<Rule>) {
        let chain = Chain {
            name: ChainName::nft(Family::Ip, "filter", "FORWARD"),
            base: Some(Base { priority: 0, drops }),
            is_owned: false,
            rules,
        };
        fake.chains = [chain].into_iter().collect();
        let survey =
            virt_forward_ruleset::gates::firewalls(&[]).survey(&fake.chains, fake.config.mark);
        fake.inspection.wanted.survey = survey;
    }

    fn gate() -> Rule {
        Rule {
            comment: Some("virt-forward".to_owned()),
            verdict: Verdict::Accept,
            ..Rule::default()
        }
    }

    fn found(fake: &Fake) -> String {
        said(&findings(&fake.scene())).join("\n")
    }

    #[test]
    fn gates_are_told_where_they_are_not_as_wanted() {
        let mut fake = Fake::new();
        with(&mut fake, true, vec![]);
        assert!(
            found(&fake).starts_with("wrong gates: there is none in ip filter FORWARD (iptables)")
        );
        with(&mut fake, true, vec![gate(), gate()]);
        assert!(found(&fake).starts_with("wrong gates: that in ip filter FORWARD"));
        with(&mut fake, false, vec![gate()]);
        assert!(
            found(&fake)
                .starts_with("wrong gates: one was left in ip filter FORWARD: none is needed")
        );
        with(&mut fake, true, vec![gate()]);
        let text = found(&fake);
        assert!(
            text.starts_with("ok gates: the one that is needed stands"),
            "{text}"
        );
        // What is not opened by us is dropped still.
        assert!(
            text.contains("note firewalls")
                && text.contains("| iptables -I FORWARD -i br2 -j ACCEPT"),
            "{text}"
        );
        fake.inspection.wanted.table = None;
        assert!(found(&fake).contains("nothing is open | virt-forward remove --all"));
    }

    #[test]
    fn a_gate_without_our_table_is_told_once_whatever_is_open() {
        let mut fake = Fake::new();
        with(&mut fake, true, vec![gate()]);
        fake.inspection.table = None;
        let is_told = |text: &str, remedy: &str| {
            let lines = text.lines().filter(|line| line.contains("wrong gates"));
            let lines: Vec<_> = lines.collect();
            let what = "one stands in ip filter FORWARD without the table inet virt_forward: it \
                        accepts every packet that carries the mark 0x10000000, whoever set it";
            assert_eq!(lines, [format!("wrong gates: {what} | {remedy}")], "{text}");
            assert!(!text.contains("ok gates"), "{text}");
        };
        let table = own::table(&fake.scene());
        assert!(
            table.what.contains("the gates accept every packet"),
            "{table:?}"
        );
        assert!(!found(&fake).contains("gates"), "{}", found(&fake));
        let mut scene = fake.scene();
        scene.is_config_right = false;
        is_told(
            &said(&findings(&scene)).join("\n"),
            "virt-forward remove --all",
        );
        fake.inspection.wanted.table = None;
        is_told(&found(&fake), "virt-forward remove --all");
        fake.chains = Chains::default();
        fake.inspection.wanted.survey = Survey::default();
        assert!(!found(&fake).contains("wrong gates"));
    }

    #[test]
    fn words_are_listed() {
        assert_eq!(listed(&["a"], " or "), "a");
        assert_eq!(listed(&["a", "b", "c"], " or "), "a, b or c");
    }
}
