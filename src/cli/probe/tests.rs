//! Reports of probes, from trace events to text and JSON.

use std::net::IpAddr;

use virt_forward_policy::{
    Packet,
    netfilter::{ChainName, Engine, Family},
};
use virt_forward_system::netlink::trace::{Event, Fate, Place};

use super::{
    packet::Reply,
    plan::{Ingress, ProbePlan},
    report::{HitChain, HitRule, Outcome, ReportInput, RuleHit, RuleTexts, RuleVerdict},
    rules::{self, EXIT_CHAIN, TABLE_PREFIX},
    trace::{
        RoundTrip,
        tests::{A, B, FLOW, FORWARD, Header, REPLY, event},
    },
    *,
};
use crate::{
    host::{Host, Interface},
    terminal::Terminal,
};

const FIRST: (&str, &str) = (TABLE_PREFIX, "before_conntrack");
const EXIT: (&str, &str) = (TABLE_PREFIX, EXIT_CHAIN);
const FILTER: (&str, &str) = ("filter", "FORWARD");

/// The sender's bridge has the index 3, the destination's 4.
const ENTERS: Header = (A, B, FORWARD, (3, 0));
const FORWARDED: Header = (A, B, FORWARD, (3, 4));
const REPLY_ENTERS: Header = (B, A, REPLY, (4, 0));
const REPLY_FORWARDED: Header = (B, A, REPLY, (4, 3));

struct Scenario {
    events: Vec<Event>,
    reply: Reply,
    packet: Packet,
    is_reply_intercepted: bool,
    legacy_drop: Option<RuleHit>,
    rules: RuleTexts,
}

impl Scenario {
    fn new(events: &[Event]) -> Self {
        let filter = Place {
            family: "ip",
            table: "filter".to_owned(),
            chain: "FORWARD".to_owned(),
        };
        let rules = [(1, "-A FORWARD -j LIBVIRT_FWI".to_owned())];
        Self {
            events: events.to_vec(),
            reply: Reply::None,
            packet: FLOW.packet,
            is_reply_intercepted: false,
            legacy_drop: None,
            rules: [(filter, rules.into())].into(),
        }
    }

    fn with_reply(self, reply: Reply) -> Self {
        Self { reply, ..self }
    }

    fn with_legacy_drop(self, rule: HitRule) -> Self {
        Self {
            legacy_drop: Some(RuleHit {
                chain: HitChain::Legacy(ChainName {
                    engine: Engine::Legacy,
                    family: Family::Ip,
                    table: "filter".to_owned(),
                    chain: "FORWARD".to_owned(),
                }),
                rule,
                verdict: RuleVerdict::Drop,
            }),
            ..self
        }
    }

    fn report(self) -> ProbeReport {
        let mut interfaces = vec![Interface::new("virbr0", &[]), Interface::new("virbr1", &[])];
        for (interface, index) in interfaces.iter_mut().zip(3..) {
            interface.index = index;
        }
        let host = Host {
            interfaces,
            routes: Vec::new(),
        };
        let trip = RoundTrip::new(&self.events, &FLOW);
        ProbeReport::new(
            &trip,
            ReportInput {
                source: FLOW.source,
                destination: FLOW.destination,
                packet: self.packet,
                iif: "virbr0",
                iif_index: 3,
                reply: self.reply,
                is_reply_intercepted: self.is_reply_intercepted,
                legacy_drop: self.legacy_drop,
                rules: &self.rules,
                host: &host,
            },
        )
    }
}

/// Examples for the tests of `check`.
impl ProbeReport {
    pub(crate) fn answered_example() -> Self {
        let events = with_reply(&[reply(Fate::Accept), reply_exit(3)]);
        Scenario::new(&events).with_reply(Reply::Received).report()
    }

    pub(crate) fn dropped_example() -> Self {
        Scenario::new(&forward(Fate::Drop)).report()
    }

    pub(crate) fn lost_example() -> Self {
        Scenario::new(&forward(Fate::Accept)).report()
    }
}

fn forward(fate: Fate) -> Vec<Event> {
    vec![
        event(1, FIRST, Fate::Continue, Some(ENTERS)),
        event(1, FILTER, fate, Some(FORWARDED)),
    ]
}

fn left() -> Vec<Event> {
    let mut events = forward(Fate::Accept);
    events.push(event(1, EXIT, Fate::Accept, Some(FORWARDED)));
    events
}

/// The forward path, and these events of the reply.
fn with_reply(reply: &[Event]) -> Vec<Event> {
    [&left(), reply].concat()
}

fn reply(fate: Fate) -> Event {
    event(2, FILTER, fate, Some(REPLY_FORWARDED))
}

fn reply_exit(oif: u32) -> Event {
    event(2, EXIT, Fate::Accept, Some((B, A, REPLY, (4, oif))))
}

/// Lines, conclusion, fixes and JSON.
fn rendered(report: &ProbeReport) -> String {
    let mut text = String::new();
    for line in report.lines() {
        text.push_str(&line.render(&Terminal::plain(80)));
    }
    text.push_str(&format!("\n{}\n", report.conclusion()));
    for fix in report.fixes() {
        text.push_str(&format!("  {fix}\n"));
    }
    let json = serde_json::to_string_pretty(&report.json(report.fixes())).unwrap();
    format!("{text}\n{json}\n")
}

mod outcome {
    use super::*;

    #[test]
    fn answered() {
        let events = with_reply(&[reply(Fate::Accept), reply_exit(3)]);
        let report = Scenario::new(&events).with_reply(Reply::Received).report();
        assert_eq!(report.outcome, Outcome::Answered);
        assert!(report.is_open());
        insta::assert_snapshot!(rendered(&report));
    }

    #[test]
    fn answered_by_a_refusal_of_the_destination() {
        let events = with_reply(&[reply(Fate::Accept), reply_exit(3)]);
        let refused = Reply::Refused("Connection refused".to_owned());
        let report = Scenario::new(&events).with_reply(refused).report();
        assert_eq!(report.outcome, Outcome::Answered);
        insta::assert_snapshot!(rendered(&report));
    }

    #[test]
    fn answered_where_the_reply_is_intercepted() {
        let events = with_reply(&[reply(Fate::Accept), reply_exit(3)]);
        let report = Scenario {
            is_reply_intercepted: true,
            ..Scenario::new(&events)
        }
        .report();
        assert_eq!(report.outcome, Outcome::Answered);
        assert_eq!(report.reply, Reply::Received);
    }

    #[test]
    fn unanswered() {
        let report = Scenario::new(&left()).report();
        assert_eq!(report.outcome, Outcome::Unanswered);
        assert!(!report.is_open());
        insta::assert_snapshot!(rendered(&report));
    }

    #[test]
    fn unanswered_over_udp() {
        let report = Scenario {
            packet: Packet::Udp(53),
            ..Scenario::new(&left())
        }
        .report();
        assert_eq!(report.outcome, Outcome::Unanswered);
        assert!(report.is_open());
        insta::assert_snapshot!(report.conclusion());
    }

    #[test]
    fn dropped() {
        let report = Scenario::new(&forward(Fate::Drop)).report();
        assert_eq!(report.outcome, Outcome::Dropped);
        insta::assert_snapshot!(rendered(&report));
    }

    #[test]
    fn dropped_by_iptables_legacy() {
        let spec = "-A FORWARD -j DROP".to_owned();
        let rule = HitRule::Iptables { spec, handle: None };
        let scenario = Scenario::new(&forward(Fate::Accept)).with_legacy_drop(rule);
        let report = scenario.report();
        assert_eq!(report.outcome, Outcome::Dropped);
        insta::assert_snapshot!(rendered(&report));
        let policy = Scenario::new(&forward(Fate::Accept)).with_legacy_drop(HitRule::Policy);
        insta::assert_snapshot!(
            "dropped_by_a_policy_of_iptables_legacy",
            rendered(&policy.report())
        );
    }

    #[test]
    fn reply_dropped() {
        let report = Scenario::new(&with_reply(&[reply(Fate::Drop)])).report();
        assert_eq!(report.outcome, Outcome::ReplyDropped);
        insta::assert_snapshot!(rendered(&report));
    }

    #[test]
    fn reply_dropped_by_iptables_legacy() {
        let spec = "-A FORWARD -j REJECT".to_owned();
        let rule = HitRule::Iptables { spec, handle: None };
        let scenario = Scenario::new(&with_reply(&[reply(Fate::Accept)])).with_legacy_drop(rule);
        let report = scenario.report();
        assert_eq!(report.outcome, Outcome::ReplyDropped);
        insta::assert_snapshot!(rendered(&report));
    }

    #[test]
    fn lost_with_and_without_a_rule_before() {
        let report = Scenario::new(&forward(Fate::Accept)).report();
        assert_eq!(report.outcome, Outcome::Lost);
        insta::assert_snapshot!(rendered(&report));
        let entered = [event(1, FIRST, Fate::Continue, Some(ENTERS))];
        let report = Scenario::new(&entered).report();
        assert_eq!(report.outcome, Outcome::Lost);
        insta::assert_snapshot!("lost_before_any_rule", rendered(&report));
    }

    #[test]
    fn reply_lost() {
        let events = with_reply(&[event(2, FIRST, Fate::Continue, Some(REPLY_ENTERS))]);
        let report = Scenario::new(&events).report();
        assert_eq!(report.outcome, Outcome::ReplyLost);
        insta::assert_snapshot!(rendered(&report));
    }

    #[test]
    fn reply_misrouted() {
        let report = Scenario::new(&with_reply(&[reply(Fate::Accept), reply_exit(9)])).report();
        assert_eq!(report.outcome, Outcome::ReplyMisrouted);
        insta::assert_snapshot!(rendered(&report));
    }

    #[test]
    fn never_entered() {
        let report = Scenario::new(&[]).report();
        assert_eq!(report.outcome, Outcome::NeverEntered);
        insta::assert_snapshot!(rendered(&report));
    }
}

/// A report whose packet was dropped by `rule` of `family table chain`.
fn dropped_by(family: &'static str, table: &str, rule: HitRule) -> ProbeReport {
    let mut report = Scenario::new(&forward(Fate::Drop)).report();
    report.dropped_by = Some(RuleHit {
        chain: HitChain::Nft(Place {
            family,
            table: table.to_owned(),
            chain: "forward".to_owned(),
        }),
        rule,
        verdict: RuleVerdict::Drop,
    });
    report
}

fn nft_rule() -> HitRule {
    HitRule::Nft {
        text: "ip daddr 10.0.0.1 drop".to_owned(),
        handle: 7,
    }
}

#[test]
fn a_foreign_rule_is_listed_and_never_deleted() {
    let iptables = HitRule::Iptables {
        spec: "-A forward -j DROP".to_owned(),
        handle: Some(7),
    };
    let deleted = HitRule::Deleted { handle: 7 };
    let cases = [
        (
            dropped_by("inet", "filter", nft_rule()),
            Some("nft -a list chain inet filter forward   # the rule has the handle 7"),
        ),
        (
            dropped_by("ip6", "filter", iptables),
            Some("ip6tables -t filter -S forward"),
        ),
        (dropped_by("inet", "filter", HitRule::Policy), None),
        (dropped_by("inet", "filter", deleted), None),
        (dropped_by("inet", "a;reboot", nft_rule()), None),
    ];
    for (report, listing) in cases {
        let fixes: Vec<_> = listing
            .into_iter()
            .chain(["see docs/firewalls.md"])
            .collect();
        assert_eq!(report.fixes(), fixes);
    }
}

#[test]
fn a_rule_of_the_own_table_needs_no_fix_here() {
    let report = dropped_by("inet", "virt_forward", nft_rule());
    assert!(report.fixes().is_empty(), "{:?}", report.fixes());
}

#[test]
fn the_documentation_lists_every_outcome() {
    let text = include_str!("../../../docs/json.md");
    for outcome in [
        Outcome::Answered,
        Outcome::Unanswered,
        Outcome::Dropped,
        Outcome::ReplyDropped,
        Outcome::Lost,
        Outcome::ReplyLost,
        Outcome::ReplyMisrouted,
        Outcome::NeverEntered,
    ] {
        let word = outcome.as_str();
        assert!(text.contains(&format!("`{word}`")), "{word}");
    }
}

#[test]
fn the_table_traces_the_packet_and_its_reply_alone() {
    let interface = Interface::new("virbr0", &[]);
    let address = |text: &str| -> IpAddr { text.parse().unwrap() };
    let mut text = String::new();
    let (ipv4, ipv6) = (("10.17.3.254", "10.17.4.254"), ("fd00:3::fe", "fd00:4::fe"));
    for ((source, destination), packet, ingress) in [
        (ipv4, Packet::Tcp(443), Ingress::Bridge(&interface)),
        (ipv4, Packet::Icmp, Ingress::Uplink(&interface)),
        (ipv6, Packet::Udp(53), Ingress::Uplink(&interface)),
        (ipv6, Packet::Icmp, Ingress::Bridge(&interface)),
    ] {
        let plan = ProbePlan {
            source: address(source),
            destination: address(destination),
            packet,
            ingress,
            receiver: None,
        };
        text.push_str(&format!("{packet} from {source}\n"));
        for object in rules::objects("t", &plan, 61100, FLOW.mac) {
            text.push_str(&format!("  {object}\n"));
        }
    }
    insta::assert_snapshot!(text);
}
