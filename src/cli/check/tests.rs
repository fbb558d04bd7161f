//! Paths through a host that exists in memory only.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::IpAddr,
};

use virt_forward_policy::{
    Decision, Packet,
    config::MarkBit,
    netfilter::{ChainName, Family},
    network::{BridgeName, Mode, Network},
};
use virt_forward_reconcile::Inspection;
use virt_forward_ruleset::gates::{
    BlockingChain, GateState, NoGateReason, Owner, Site, UnzonedBridge, direct,
};

use super::{
    CheckContext, KernelLookup, NamedEndpoint, Verdict, evaluate_path,
    finding::{Direction, Finding, Masquerader, RouteDrop, Stage, TableFault},
    report::CheckReport,
    resolve_endpoints,
};
use crate::{
    host::{Forwarded, Host, Incoming, Interface, Route},
    probe::ProbeReport,
    status::fixtures,
    sysctl::SysctlView,
    terminal::Terminal,
};

/// Answers from a host's own routes, except where a test says otherwise.
#[derive(Default)]
struct FakeKernel {
    routes: Vec<Route>,
    /// The routing decisions for packets to an address.
    decisions: BTreeMap<IpAddr, Result<String, io::ErrorKind>>,
    neighbours: BTreeMap<IpAddr, bool>,
}

impl KernelLookup for FakeKernel {
    fn route(&self, packet: &Incoming) -> anyhow::Result<Forwarded> {
        if let Some(decision) = self.decisions.get(&packet.to) {
            return Ok(decision.clone().map_err(io::Error::from));
        }
        let routes = self.routes.iter();
        let best = routes
            .filter(|route| route.to.contains(&packet.to))
            .max_by_key(|route| route.to.prefix_len());
        Ok(best
            .map(|route| route.interface.clone())
            .ok_or_else(|| io::ErrorKind::NetworkUnreachable.into()))
    }

    fn has_neighbour(&self, address: IpAddr, _: &str) -> anyhow::Result<Option<bool>> {
        Ok(self.neighbours.get(&address).copied())
    }
}

#[derive(Default)]
struct FakeSettings {
    strict: BTreeSet<String>,
    not_forwarding: BTreeSet<String>,
}

impl SysctlView for FakeSettings {
    fn is_rp_filter_strict(&self, interface: &str) -> bool {
        self.strict.contains(interface)
    }

    fn forwards(&self, interface: &str, _: bool) -> bool {
        !self.not_forwarding.contains(interface)
    }
}

/// The host of the founding case, with everything in sync.
struct Scenario {
    networks: Vec<Network>,
    inspection: Inspection,
    host: Host,
    kernel: FakeKernel,
    settings: FakeSettings,
}

impl Scenario {
    fn new() -> Self {
        let networks = fixtures::reference_networks();
        let route = |to: &str, interface: &str| Route {
            to: to.parse().unwrap(),
            interface: interface.to_owned(),
            gateway: None,
            source: None,
            metric: 0,
        };
        let routes = vec![
            route("0.0.0.0/0", "eth0"),
            route("10.17.3.0/24", "br_kube02"),
            route("10.17.4.0/24", "br_kube03"),
            route("10.17.5.0/24", "br_kube05"),
            route("10.17.9.0/24", "br_isolated"),
            route("192.168.0.0/24", "eth0"),
            route("fd00:10:17:3::/64", "br_kube02"),
            route("fd00:10:17:4::/64", "br_kube03"),
        ];
        let interfaces = vec![
            Interface::new("eth0", &["192.168.0.40/24"]),
            Interface::new("br_kube02", &["10.17.3.1/24"]),
            Interface::new("br_kube03", &["10.17.4.1/24"]),
            Interface::new("br_kube05", &["10.17.5.1/24"]),
            Interface::new("br_isolated", &["10.17.9.1/24"]),
        ];
        Self {
            inspection: fixtures::inspection(&fixtures::config(CONFIG), networks.clone()),
            networks,
            host: Host {
                interfaces,
                routes: routes.clone(),
            },
            kernel: FakeKernel {
                routes,
                ..FakeKernel::default()
            },
            settings: FakeSettings::default(),
        }
    }

    fn with_site(mut self, site: Site) -> Self {
        self.inspection.wanted.survey.sites.push(site);
        self
    }

    fn with_obstacle(mut self, chain: &str, is_certain: bool) -> Self {
        let obstacle = BlockingChain {
            chain: ChainName::nft(Family::Inet, "filter", chain),
            why: NoGateReason::Unknown,
            is_certain,
        };
        self.inspection.wanted.survey.obstacles.push(obstacle);
        self
    }

    fn with_decision(mut self, to: &str, decision: Result<&str, io::ErrorKind>) -> Self {
        let decision = decision.map(str::to_owned);
        self.kernel.decisions.insert(address(to), decision);
        self
    }

    fn report(&self, from: &str, to: &str, packet: Packet) -> CheckReport<'_> {
        let named = |word: &str| NamedEndpoint::new(word, &self.networks, Vec::new).unwrap();
        let (from, to) =
            resolve_endpoints(&named(from), &named(to), &self.networks, &self.host).unwrap();
        evaluate_path(&CheckContext {
            config: &self.inspection.wanted.usable,
            inspection: &self.inspection,
            host: &self.host,
            settings: &self.settings,
            kernel: &self.kernel,
            from,
            to,
            packet,
        })
        .unwrap()
    }

    /// The kinds of the findings that block, and of those that are unknown.
    fn faults(&self, from: &str, to: &str) -> (Vec<&'static str>, Vec<&'static str>) {
        let report = self.report(from, to, TCP);
        let blocked = report.blocked().map(Finding::kind).collect();
        (blocked, report.caveats().map(Finding::kind).collect())
    }

    fn blocked(&self, from: &str, to: &str) -> Vec<&'static str> {
        let (blocked, _) = self.faults(from, to);
        blocked
    }

    fn unknown(&self, from: &str, to: &str) -> Vec<&'static str> {
        let (blocked, unknown) = self.faults(from, to);
        assert!(blocked.is_empty(), "{blocked:?}");
        unknown
    }
}

/// kube05 is in no group.
const CONFIG: &str = "[[group]]\nname = 'kube'\nnetworks = ['kube02', 'kube03']\n\
    peers = ['192.168.0.30']\n\
    [[allow]]\nfrom = 'kube05'\nto = 'isolated'\ntcp = [5432]";

const TCP: Packet = Packet::Tcp(443);

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn site(owner: Owner, state: GateState) -> Site {
    Site {
        owner,
        base: ChainName::nft(Family::Ip, "filter", "FORWARD"),
        placement: None,
        state,
        refuses: true,
    }
}

mod open {
    use super::*;

    #[test]
    fn between_members_of_a_group_with_the_source_kept() {
        let scenario = Scenario::new().with_site(site(Owner::Libvirt, GateState::Present));
        let report = scenario.report("kube03", "kube02", TCP);
        assert_eq!(report.verdict(), Verdict::Open);
        assert_eq!(report.seen_source(), Some(address("10.17.4.2")));
        insta::assert_snapshot!(report.render(&Terminal::plain(80)));
    }

    #[test]
    fn to_an_external_host_behind_libvirts_masquerade() {
        let report_of = Scenario::new();
        let report = report_of.report("kube05", "8.8.8.8", TCP);
        assert_eq!(report.seen_source(), Some(address("192.168.0.40")));
        insta::assert_snapshot!(report.render(&Terminal::plain(80)));
    }

    #[test]
    fn to_an_external_host_that_needs_a_route_back() {
        let scenario = Scenario::new();
        assert_eq!(
            scenario.unknown("kube02", "8.8.8.8"),
            ["return-route-needed"]
        );
        let report = scenario.report("kube02", "8.8.8.8", TCP);
        insta::assert_snapshot!(report.render(&Terminal::plain(80)));
    }

    #[test]
    fn from_a_peer() {
        let scenario = Scenario::new();
        assert!(scenario.unknown("192.168.0.30", "kube03").is_empty());
    }

    #[test]
    fn within_one_network_without_a_look_at_rules() {
        let scenario = Scenario::new().with_obstacle("forward", true);
        let report = scenario.report("10.17.4.7", "10.17.4.8", TCP);
        assert_eq!(report.verdict(), Verdict::Open);
        insta::assert_snapshot!(report.render(&Terminal::plain(80)));
    }

    #[test]
    fn with_the_address_that_docker_masquerades_to() {
        let mut scenario = Scenario::new();
        let masqueraded = &mut scenario.inspection.wanted.host.masqueraded;
        masqueraded.insert("br_kube03".to_owned());
        let report = scenario.report("kube03", "kube02", TCP);
        assert_eq!(report.seen_source(), Some(address("10.17.3.1")));
    }

    #[test]
    fn without_the_table_where_no_firewall_needs_the_mark() {
        let mut scenario = Scenario::new().with_site(site(Owner::Ufw, GateState::NotNeeded));
        scenario.inspection.table = None;
        assert_eq!(scenario.unknown("kube03", "kube02"), ["table-missing"]);
        // The identity SNAT is a rule of that table.
        let report = scenario.report("kube03", "kube02", TCP);
        assert_eq!(report.seen_source(), Some(address("10.17.3.1")));
    }
}

mod blocked {
    use super::*;

    #[test]
    fn by_a_bridge_that_is_missing_or_down() {
        let mut scenario = Scenario::new();
        scenario.host.interfaces[1].is_up = false;
        assert_eq!(scenario.blocked("kube02", "kube03"), ["bridge-down"]);
        scenario.host.interfaces.remove(1);
        assert_eq!(scenario.blocked("kube02", "kube03"), ["bridge-missing"]);
    }

    #[test]
    fn by_forwarding_of_either_interface() {
        for interface in ["br_kube02", "br_kube03"] {
            let mut scenario = Scenario::new();
            let not_forwarding = &mut scenario.settings.not_forwarding;
            not_forwarding.insert(interface.to_owned());
            assert_eq!(
                scenario.blocked("kube02", "kube03"),
                ["forwarding-disabled"]
            );
            let ipv6 = scenario.blocked("fd00:10:17:3::9", "fd00:10:17:4::9");
            assert_eq!(ipv6, ["forwarding-disabled"]);
        }
    }

    #[test]
    fn by_routes() {
        let cases = [
            (Ok("eth0"), "misrouted"),
            (Err(io::ErrorKind::NetworkUnreachable), "no-route"),
            (Err(io::ErrorKind::HostUnreachable), "not-forwarded"),
            (Err(io::ErrorKind::CrossesDevices), "no-reverse-path"),
            (Err(io::ErrorKind::InvalidInput), "route-error"),
        ];
        for (decision, kind) in cases {
            let forward = Scenario::new().with_decision("10.17.4.2", decision);
            let report = forward.report("kube02", "kube03", TCP);
            let stages: Vec<_> = report.blocked().map(Finding::stage).collect();
            assert_eq!(stages, [Stage::Route], "{kind}");
            assert_eq!(forward.blocked("kube02", "kube03"), [kind]);
            let reply = Scenario::new().with_decision("10.17.3.2", decision);
            let report = reply.report("kube02", "kube03", TCP);
            let stages: Vec<_> = report.blocked().map(Finding::stage).collect();
            assert_eq!(stages, [Stage::ReplyPath], "{kind}");
        }
    }

    #[test]
    fn by_a_strict_reverse_path_filter() {
        let mut scenario =
            Scenario::new().with_decision("10.17.4.2", Err(io::ErrorKind::CrossesDevices));
        scenario.settings.strict.insert("br_kube02".to_owned());
        // The route back to kube02 is the default route.
        scenario
            .host
            .routes
            .retain(|route| route.interface != "br_kube02");
        assert_eq!(
            scenario.blocked("kube02", "kube03"),
            ["strict-reverse-path"]
        );
    }

    #[test]
    fn without_a_route_to_an_external_host() {
        let mut scenario = Scenario::new();
        scenario.host.routes.clear();
        scenario.kernel.routes.clear();
        assert_eq!(scenario.blocked("kube02", "8.8.8.8"), ["no-route"]);
    }

    #[test]
    fn between_external_hosts() {
        let scenario = Scenario::new();
        assert_eq!(scenario.blocked("192.168.0.30", "8.8.8.8"), ["no-network"]);
    }

    #[test]
    fn by_policy_with_lines_that_allow_the_packet() {
        let scenario = Scenario::new();
        let report = scenario.report("kube02", "kube05", TCP);
        assert_eq!(report.verdict(), Verdict::Blocked);
        assert_eq!(report.seen_source(), None);
        insta::assert_snapshot!(report.render(&Terminal::plain(80)));
        insta::assert_snapshot!("json", report.to_json().unwrap());
    }

    #[test]
    fn by_the_administrator_who_closed_the_network() {
        let mut scenario = Scenario::new();
        for record in &mut scenario.inspection.wanted.records {
            if record.network.name == "kube05" {
                record.state = virt_forward_system::state::NetworkState::AdminClosed;
            }
        }
        assert_eq!(
            scenario.blocked("kube02", "kube05"),
            ["closed-by-administrator"]
        );
    }

    #[test]
    fn by_a_table_that_is_missing_or_out_of_sync() {
        let mut scenario = Scenario::new().with_site(site(Owner::Libvirt, GateState::Present));
        scenario.inspection.table = Some("table inet virt_forward {\n}\n".to_owned());
        assert_eq!(scenario.blocked("kube02", "kube03"), ["table-out-of-sync"]);
        scenario.inspection.table = None;
        assert_eq!(scenario.blocked("kube02", "kube03"), ["table-missing"]);
    }

    #[test]
    fn by_a_gate_that_is_missing_or_shadowed() {
        for owner in [Owner::Libvirt, Owner::Docker] {
            for (state, kind) in [
                (GateState::Missing, "gate-missing"),
                (GateState::Shadowed, "gate-shadowed"),
            ] {
                let scenario = Scenario::new().with_site(site(owner, state));
                assert_eq!(scenario.blocked("kube02", "kube03"), [kind]);
            }
        }
    }

    #[test]
    fn by_a_chain_without_a_gate() {
        let scenario = Scenario::new().with_obstacle("forward", true);
        assert_eq!(scenario.blocked("kube02", "kube03"), ["blocking-chain"]);
    }

    #[test]
    fn by_firewalld() {
        let mut scenario = Scenario::new();
        let wanted = &mut scenario.inspection.wanted;
        wanted.is_firewalld_closed = true;
        wanted.outsiders = vec![outsider("br_kube03", None), outsider("br_other", None)];
        assert_eq!(
            scenario.blocked("192.168.0.30", "kube03"),
            ["firewalld-peers-missing", "firewalld-default-zone"]
        );
        assert_eq!(
            scenario.blocked("kube02", "kube03"),
            ["firewalld-default-zone"]
        );
    }

    #[test]
    fn by_docker() {
        let mut scenario = Scenario::new();
        scenario.inspection.wanted.direct_access = vec![direct::DirectAccessRule {
            to: address("10.17.4.7"),
            by: direct::By::AllBut(["docker0".to_owned()].into()),
            drops: true,
        }];
        assert_eq!(scenario.blocked("kube02", "10.17.4.7"), ["docker-drops"]);
        assert!(scenario.blocked("kube02", "10.17.4.8").is_empty());
    }
}

mod unknown {
    use super::*;

    #[test]
    fn whether_a_guest_is_up_that_does_not_answer() {
        let mut scenario = Scenario::new();
        let neighbours = &mut scenario.kernel.neighbours;
        neighbours.insert(address("10.17.4.7"), false);
        neighbours.insert(address("10.17.4.8"), true);
        // An example of the network's addresses, which no guest needs to have.
        neighbours.insert(address("10.17.4.2"), false);
        assert_eq!(
            scenario.unknown("kube02", "10.17.4.7"),
            ["neighbour-unreachable"]
        );
        assert!(scenario.unknown("kube02", "10.17.4.8").is_empty());
        assert!(scenario.unknown("kube02", "kube03").is_empty());
    }

    #[test]
    fn whether_guests_of_an_isolated_network_have_a_route() {
        let scenario = Scenario::new();
        let report = scenario.report("kube05", "isolated", Packet::Tcp(5432));
        assert_eq!(report.verdict(), Verdict::Open);
        insta::assert_snapshot!(report.render(&Terminal::plain(80)));
    }

    #[test]
    fn whether_rules_of_a_chain_drop_the_packet() {
        let scenario = Scenario::new().with_obstacle("forward", false);
        assert_eq!(scenario.unknown("kube02", "kube03"), ["may-block"]);
        let gate = Scenario::new().with_site(site(Owner::Docker, GateState::High));
        assert_eq!(gate.unknown("kube02", "kube03"), ["gate-too-high"]);
        let unmarked = Scenario::new()
            .with_site(site(Owner::Iptables, GateState::Present))
            .with_site(site(Owner::Libvirt, GateState::Present));
        assert_eq!(unmarked.unknown("kube05", "8.8.8.8"), ["drops-unmarked"]);
    }

    #[test]
    fn what_libvirt_does_after_its_rules_were_flushed() {
        let mut scenario = Scenario::new().with_site(site(Owner::Libvirt, GateState::Missing));
        scenario.inspection.wanted.is_libvirt_flushed = true;
        assert_eq!(
            scenario.unknown("kube02", "kube05"),
            ["denied-by-flushed-rules", "libvirt-rules-flushed"]
        );
        assert_eq!(
            scenario.unknown("kube02", "kube03"),
            ["gate-missing", "libvirt-rules-flushed"]
        );
    }

    #[test]
    fn what_another_zone_of_firewalld_drops() {
        let mut scenario = Scenario::new();
        scenario.inspection.wanted.outsiders = vec![outsider("br_kube02", Some("dmz"))];
        assert_eq!(
            scenario.unknown("kube02", "kube03"),
            ["firewalld-other-zone"]
        );
    }

    #[test]
    fn what_is_wrong_with_rules_that_the_packet_passes_without() {
        // libvirt routes to kube02 by itself.
        let scenario = Scenario::new().with_site(site(Owner::Libvirt, GateState::Missing));
        assert_eq!(scenario.unknown("kube03", "kube02"), ["gate-missing"]);
    }
}

mod with_a_probe {
    use super::*;

    fn checked(scenario: &Scenario, probe: ProbeReport) -> String {
        let report = scenario.report("kube02", "kube03", TCP).with_probe(probe);
        report.render(&Terminal::plain(80))
    }

    /// Blocked by routing first, and then by a chain.
    fn blocked_twice() -> Scenario {
        let mut scenario = Scenario::new().with_obstacle("forward", true);
        let not_forwarding = &mut scenario.settings.not_forwarding;
        not_forwarding.insert("br_kube02".to_owned());
        scenario
    }

    #[test]
    fn that_passes_as_expected() {
        let scenario = Scenario::new().with_obstacle("forward", false);
        insta::assert_snapshot!(checked(&scenario, ProbeReport::answered_example()));
    }

    #[test]
    fn that_is_dropped_by_a_rule_as_expected() {
        let probe = ProbeReport::dropped_example();
        insta::assert_snapshot!(checked(&blocked_twice(), probe));
    }

    #[test]
    fn that_is_lost_as_expected() {
        let report = blocked_twice();
        let report = report.report("kube02", "kube03", TCP);
        let report = report.with_probe(ProbeReport::lost_example());
        assert_eq!(report.verdict(), Verdict::Blocked);
        insta::assert_snapshot!(report.conclusion());
    }

    #[test]
    fn that_is_dropped_without_a_cause() {
        let scenario = Scenario::new();
        insta::assert_snapshot!(checked(&scenario, ProbeReport::dropped_example()));
        let report = scenario.report("kube02", "kube03", TCP);
        let report = report.with_probe(ProbeReport::dropped_example());
        assert_eq!(report.seen_source(), None);
        insta::assert_snapshot!("json", report.to_json().unwrap());
    }

    #[test]
    fn that_passes_against_expectation() {
        let report = blocked_twice();
        let report = report.report("kube02", "kube03", TCP);
        let report = report.with_probe(ProbeReport::answered_example());
        assert_eq!(report.verdict(), Verdict::Open);
        // The address that the probe left with.
        assert_eq!(report.seen_source(), Some(address("10.17.3.254")));
        insta::assert_snapshot!(report.conclusion());
    }
}

#[test]
fn chains_of_the_other_family_do_not_matter() {
    let mut gate = site(Owner::Libvirt, GateState::Missing);
    gate.base.family = Family::Ip6;
    let scenario = Scenario::new().with_site(gate);
    assert!(scenario.blocked("kube02", "kube03").is_empty());
    // libvirt routes the IPv6 of a NAT network without the gate.
    let ipv6 = scenario.unknown("fd00:10:17:3::9", "fd00:10:17:4::9");
    assert_eq!(ipv6, ["gate-missing"]);
}

#[test]
fn every_finding_reads_well() {
    let mut text = String::new();
    for finding in every_finding() {
        let line = format!(
            "{:?} {} {}: {}\n",
            finding.status(),
            finding.stage().as_str(),
            finding.kind(),
            finding.text()
        );
        text.push_str(&line);
        for fix in finding.fixes() {
            text.push_str(&format!("    {fix}\n"));
        }
    }
    insta::assert_snapshot!(text);
}

#[test]
fn what_is_ok_needs_no_fix() {
    for finding in every_finding() {
        let is_ok = finding.status() == crate::step::StepStatus::Ok;
        assert!(!is_ok || finding.fixes().is_empty(), "{finding:?}");
    }
}

#[test]
fn the_documentation_lists_every_kind() {
    let text = include_str!("../../../docs/json.md");
    for finding in every_finding() {
        let (stage, kind) = (finding.stage().as_str(), finding.kind());
        assert!(text.contains(&format!("`{kind}`")), "{kind}");
        assert!(text.contains(&format!("`{stage}`")), "{stage}");
    }
}

fn outsider(bridge: &str, zone: Option<&str>) -> UnzonedBridge {
    UnzonedBridge::new(&bridge_name(bridge), zone.map(str::to_owned)).unwrap()
}

fn bridge_name(name: &str) -> BridgeName {
    name.parse().unwrap()
}

/// An example of each finding, with every variant of its text.
fn every_finding() -> Vec<Finding> {
    [networks(), policy(), routing(), firewalls(), sources()].concat()
}

fn networks() -> Vec<Finding> {
    let network = || "my lab".to_owned();
    let bridge = || bridge_name("virbr0");
    vec![
        Finding::NetworkActive {
            network: network(),
            bridge: bridge(),
        },
        Finding::NetworkNotRouted {
            network: network(),
            mode: Mode::Unrouted,
        },
        Finding::BridgeMissing {
            network: network(),
            bridge: bridge(),
        },
        Finding::BridgeDown {
            network: network(),
            bridge: bridge(),
        },
        Finding::NeighbourUnreachable {
            address: address("10.17.4.7"),
            bridge: bridge(),
        },
        Finding::NeighbourUnreachable {
            address: address("fd00::7"),
            bridge: bridge(),
        },
        Finding::NoDefaultRoute {
            network: network(),
            destination: address("8.8.8.8"),
            gateway: Some(address("10.17.9.1")),
        },
        Finding::SameNetwork { network: network() },
    ]
}

fn policy() -> Vec<Finding> {
    let decided = |from: &str, to: &str| -> Finding {
        let scenario = Scenario::new();
        let mut findings = scenario.report(from, to, TCP).findings.into_iter();
        let is_decision = |finding: &Finding| matches!(finding, Finding::Decided(_));
        findings.find(is_decision).unwrap()
    };
    let denied = decided("kube02", "kube05");
    let Finding::Decided(Decision::Denied(denial)) = denied.clone() else {
        panic!("{denied:?}");
    };
    let closed = |names: &[&str]| Finding::AdminClosed {
        networks: names.iter().map(|name| (*name).to_owned()).collect(),
        denial: denial.clone(),
    };
    vec![
        Finding::NoNetwork,
        decided("kube02", "kube03"),
        decided("kube05", "8.8.8.8"),
        denied,
        closed(&["kube02"]),
        closed(&["kube02", "my lab"]),
        Finding::DeniedByFlushedRules(denial),
    ]
}

fn routing() -> Vec<Finding> {
    let (source, destination) = (address("10.17.3.2"), address("10.17.4.2"));
    let (iif, oif) = (|| "virbr0".to_owned(), || "eth0".to_owned());
    let forwarding = |direction| Finding::ForwardingEnabled {
        interface: iif(),
        direction,
    };
    let disabled = |direction, is_ipv4| Finding::ForwardingDisabled {
        interface: iif(),
        direction,
        is_ipv4,
    };
    let dropped = |drop| Finding::RouteDropped {
        direction: Direction::Forward,
        drop,
    };
    vec![
        forwarding(Direction::Forward),
        forwarding(Direction::Reply),
        disabled(Direction::Forward, true),
        disabled(Direction::Reply, false),
        Finding::Routed {
            direction: Direction::Reply,
            source,
            destination,
            iif: iif(),
            oif: oif(),
        },
        Finding::Unrouted { destination },
        Finding::Misrouted {
            direction: Direction::Forward,
            source,
            destination,
            oif: oif(),
            expected: "virbr1".to_owned(),
        },
        dropped(RouteDrop::StrictReversePath {
            source,
            iif: iif(),
            oif: oif(),
        }),
        dropped(RouteDrop::NoReversePath { source, iif: iif() }),
        dropped(RouteDrop::NoRoute { destination }),
        dropped(RouteDrop::NotForwarded {
            iif: iif(),
            destination,
        }),
        dropped(RouteDrop::Other {
            source,
            destination,
            error: "invalid argument".to_owned(),
        }),
    ]
}

fn firewalls() -> Vec<Finding> {
    let chain = || ChainName::nft(Family::Inet, "filter", "forward");
    let owner = Owner::Ufw;
    let gate = |state, is_needed| Finding::Gate {
        chain: chain(),
        owner,
        state,
        is_needed,
    };
    let table = |fault, is_needed| Finding::TableFaulty { fault, is_needed };
    let obstacle = BlockingChain {
        chain: chain(),
        why: NoGateReason::Unknown,
        is_certain: true,
    };
    vec![
        Finding::TableInSync,
        table(TableFault::Missing, true),
        table(TableFault::OutOfSync, false),
        gate(GateState::Present, true),
        gate(GateState::NotNeeded, true),
        gate(GateState::High, true),
        gate(GateState::Missing, true),
        gate(GateState::Missing, false),
        gate(GateState::Shadowed, true),
        gate(GateState::Shadowed, false),
        Finding::DropsUnmarked {
            chain: chain(),
            owner,
        },
        Finding::BlockingChain {
            chain: chain(),
            remedy: obstacle.remedy(MarkBit::DEFAULT, &[]),
        },
        Finding::MayBlock { chain: chain() },
        Finding::LibvirtRulesFlushed,
        Finding::FirewalldPeersMissing,
        Finding::FirewalldZone(outsider("virbr0", None)),
        Finding::FirewalldZone(outsider("virbr0", Some("dmz"))),
        Finding::DockerDrops {
            destination: address("172.17.0.2"),
            iif: "virbr0".to_owned(),
        },
    ]
}

fn sources() -> Vec<Finding> {
    let source = address("192.168.0.40");
    let masqueraded = |by, source| Finding::Masqueraded { by, source };
    vec![
        Finding::SourceKept { source },
        masqueraded(Masquerader::Libvirt, Some(source)),
        masqueraded(Masquerader::Docker, None),
        Finding::ReturnRouteNeeded {
            host: address("8.8.8.8"),
            network: "my lab".to_owned(),
        },
    ]
}
