//! The rules and the policy agree: the table marks exactly the packets that
//! [`evaluate`](virt_forward_policy::evaluate) lets pass, for any config, networks and packet.
//!
//! Both are written independently: `virt-forward-policy` decides about values, the table about
//! packets. The rest of the table's promises follows from the same packets: what it drops, what it
//! labels, whose source it keeps, and that no mark bit of its own leaves the host.

use std::{cell::Cell, collections::BTreeSet, net::IpAddr};

use ipnet::IpNet;
use proptest::{
    bool, collection,
    prelude::*,
    sample::{Index, select, subsequence},
    test_runner::TestRunner,
};
use virt_forward_policy::{
    Access, Decision, Endpoint, Flow, Packet as Kind, access_of,
    config::{Config, Selector},
    conflicts, evaluate,
    network::Network,
    without,
};
use virt_forward_test_support::generate;

use super::{
    super::{Batch, Host, Ip, Layout, Member, expr::CtDirection, replace_table},
    evaluator::{Connection, Outcome, Packet, State, Table, Transport},
};

/// Packets for each config; proptest makes 256 configs, or `PROPTEST_CASES`.
const PACKETS: usize = 40;

/// Addresses of hosts outside, and some that are no host's.
const OUTSIDE: [&str; 9] = [
    "192.168.0.30",
    "192.168.0.31",
    "172.16.5.5",
    "10.200.0.9",
    "8.8.8.8",
    "fd00:1::30",
    "fd00:10::1",
    "fd00:9::9",
    "2001:db8::8",
];
const PORTS: [u16; 8] = [1, 22, 79, 80, 82, 30000, 32768, 65535];

/// A config and the networks that are active under it.
struct World {
    config: Config,
    networks: Vec<(Network, Access)>,
    host: Host,
    table: Table,
}

/// One end of a packet: a place in the list of networks, or nothing for outside.
#[derive(Clone, Copy, Debug)]
struct Place(Option<usize>);

/// A packet before its ends and addresses are chosen among those of a world.
#[derive(Clone, Debug)]
struct Draft {
    ends: (Index, Index),
    addresses: (Draw, Draw),
    is_ipv4: bool,
    transport: Transport,
    state: State,
    direction: CtDirection,
    is_labelled: bool,
    mark: u32,
    has_reverse_path: bool,
}

/// An address: one of the network's own, or one of any other network or outside.
#[derive(Clone, Debug)]
struct Draw {
    is_own: bool,
    subnet: Index,
    host: u8,
}

/// What the host has besides networks.
#[derive(Clone, Copy, Debug)]
struct Restrictions {
    is_enabled: bool,
    all_ipv6: bool,
}

impl World {
    fn new(text: &str, networks: &[Network], restrictions: Restrictions) -> Self {
        let config = Config::read(text, String::new()).unwrap();
        let all: Vec<_> = networks.iter().collect();
        let config = without(&config, &conflicts(&config, &all, &[]));
        let mut host = Host {
            enabled_all_ipv6: restrictions.all_ipv6,
            ..Host::default()
        };
        let (mut members, mut active) = (Vec::new(), Vec::new());
        for network in networks {
            let access = access_of(&config, network);
            // A network without a bridge that rules can name is not in the table.
            let Some(member) = Member::new(network, &access) else {
                continue;
            };
            let mut families = BTreeSet::new();
            if restrictions.is_enabled {
                families.extend(access.own.iter().map(|net| Ip::of(net.addr())));
            }
            members.push(member.with_enabled(&families));
            host.restricted.extend(families);
            active.push((network.clone(), access));
        }
        let mut batch = Batch::default();
        replace_table(&mut batch, &Layout::of(&config, &host), &members);
        Self {
            config,
            networks: active,
            host,
            table: Table::of(&batch),
        }
    }

    fn packet(&self, draft: &Draft) -> (Packet, Place, Place) {
        let (from, to) = (self.place(draft.ends.0), self.place(draft.ends.1));
        let packet = Packet {
            iifname: self.interface(from, "uplink0"),
            oifname: self.interface(to, "uplink1"),
            source: self.address(from, &draft.addresses.0, draft.is_ipv4),
            destination: self.address(to, &draft.addresses.1, draft.is_ipv4),
            transport: draft.transport,
            connection: Connection {
                state: draft.state,
                direction: draft.direction,
                is_labelled: draft.is_labelled,
            },
            mark: draft.mark,
            has_reverse_path: draft.has_reverse_path,
        };
        (packet, from, to)
    }

    fn place(&self, index: Index) -> Place {
        let index = index.index(self.networks.len() + 1);
        Place((index < self.networks.len()).then_some(index))
    }

    fn interface(&self, place: Place, outside: &str) -> String {
        match place.0 {
            Some(index) => {
                let bridge = self.networks[index].0.bridge.as_ref();
                bridge.unwrap().as_str().to_owned()
            }
            None => outside.to_owned(),
        }
    }

    fn address(&self, place: Place, draw: &Draw, is_ipv4: bool) -> IpAddr {
        let own = |(network, access): &(Network, Access)| {
            if access.own.is_empty() {
                return network.subnets();
            }
            access.own.clone()
        };
        let is_family = |net: &IpNet| net.addr().is_ipv4() == is_ipv4;
        let of_place: Vec<_> = match place.0 {
            Some(index) if draw.is_own => own(&self.networks[index]),
            _ => Vec::new(),
        };
        let mut nets: Vec<_> = of_place.into_iter().filter(is_family).collect();
        if nets.is_empty() {
            let outside = OUTSIDE
                .iter()
                .map(|address| IpNet::from(address.parse::<IpAddr>().unwrap()));
            nets = self.networks.iter().flat_map(own).chain(outside).collect();
            nets.retain(is_family);
        }
        host_of(draw.subnet.get(&nets), draw.host)
    }

    fn endpoint(&self, place: Place, address: IpAddr) -> Endpoint<'_> {
        let network = place.0.map(|index| {
            let (network, access) = &self.networks[index];
            (network, access)
        });
        Endpoint { address, network }
    }

    /// Whether policy lets the packet pass, and whether its source is then kept.
    fn decided(&self, packet: &Packet, from: Place, to: Place) -> Option<bool> {
        if from.0.is_none() && to.0.is_none() {
            return None;
        }
        let is_spoofable = from.0.is_none() && !packet.has_reverse_path;
        let of_any_source;
        let config = if is_spoofable {
            of_any_source = with_any_source_only(&self.config, packet.connection.direction);
            &of_any_source
        } else {
            &self.config
        };
        let source = self.endpoint(from, packet.source);
        let destination = self.endpoint(to, packet.destination);
        let kind = kind(packet);
        match packet.connection.direction {
            CtDirection::Original => ours(evaluate(config, kind, &source, &destination)),
            // An allowed connection has its replies; members of a group, and peers, may send
            // anything to each other.
            CtDirection::Reply => ours(evaluate(config, kind, &destination, &source))
                .or_else(|| ours(evaluate(config, Flow::OTHER, &source, &destination))),
        }
    }

    /// The whole outcome that the policy asks for.
    fn expected(&self, packet: &Packet, from: Place, to: Place) -> Outcome {
        let bit = self.config.mark.bit();
        let unmarked = packet.mark & !bit;
        let is_labelled = packet.connection.is_labelled;
        let accepted = |mark| Outcome {
            is_accepted: true,
            mark,
            is_labelled,
            keeps_source: false,
            final_mark: unmarked,
        };
        if from.0.is_some() && from.0 == to.0 {
            return accepted(unmarked);
        }
        let is_new = packet.connection.state == State::New;
        if let Some(keeps_source) = self.decided(packet, from, to) {
            return Outcome {
                is_labelled: is_labelled || is_new,
                keeps_source: keeps_source && is_new,
                ..accepted(packet.mark | bit)
            };
        }
        let family = Ip::of(packet.source);
        let is_restricted = self.host.restricted.contains(&family)
            && from.0.is_some_and(|index| {
                let mut own = self.networks[index].1.own.iter();
                own.any(|net| Ip::of(net.addr()) == family)
            });
        let is_ipv6_dropped = self.host.enabled_all_ipv6 && family == Ip::V6;
        Outcome {
            is_accepted: !is_labelled && !is_restricted && !is_ipv6_dropped,
            ..accepted(unmarked)
        }
    }

    /// Whether an address is one that a guest there may send from.
    fn is_own(&self, place: Place, address: IpAddr) -> bool {
        place.0.is_none_or(|index| {
            let mut own = self.networks[index].1.own.iter();
            own.any(|net| net.contains(&address))
        })
    }
}

/// A host of the subnet; its last byte is chosen.
fn host_of(net: &IpNet, host: u8) -> IpAddr {
    let bits = net.max_prefix_len() - net.prefix_len();
    let host = u128::from(host) & (1_u128 << bits.min(8)).wrapping_sub(1);
    match net.network() {
        IpAddr::V4(address) => IpAddr::V4((u32::from(address) + host as u32).into()),
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) + host).into()),
    }
}

/// The packet that opens the connection of this one.
fn kind(packet: &Packet) -> Kind {
    let is_original = packet.connection.direction == CtDirection::Original;
    match packet.transport {
        Transport::Tcp { sport, dport } => Kind::Tcp(if is_original { dport } else { sport }),
        Transport::Udp { sport, dport } => Kind::Udp(if is_original { dport } else { sport }),
        Transport::Icmp("echo-request") if is_original => Kind::Icmp,
        Transport::Icmp("echo-reply") if !is_original => Kind::Icmp,
        Transport::Icmp(_) | Transport::Sctp => Flow::OTHER,
    }
}

fn ours(decision: Decision) -> Option<bool> {
    match decision {
        Decision::AllowedByPolicy { keeps_source, .. } => Some(keeps_source),
        Decision::AllowedByLibvirt(_) | Decision::Denied(_) => None,
    }
}

/// The config as far as it holds for a source that fails the reverse path check: only peers and
/// ends that take in every address of a family.
fn with_any_source_only(config: &Config, direction: CtDirection) -> Config {
    let mut config = config.clone();
    for group in &mut config.groups {
        group.peers.retain(|peer| peer.prefix_len() == 0);
    }
    for allow in &mut config.allows {
        let end = match direction {
            CtDirection::Original => &mut allow.from,
            CtDirection::Reply => &mut allow.to,
        };
        if end.subnet().is_some_and(|net| net.prefix_len() > 0) {
            end.selector = Selector::Group(String::new());
        }
    }
    config
}

/// Configs that allow much of what the packets are, and the general ones.
fn config() -> impl Strategy<Value = String> {
    prop_oneof![1 => generate::config(), 3 => permissive_config()]
}

fn permissive_config() -> impl Strategy<Value = String> {
    let groups = collection::vec(permissive_group(), 1..=2);
    let rules = collection::vec(permissive_rule(), 0..5);
    (groups, rules).prop_map(|(groups, rules)| {
        let mut text = String::new();
        for (number, group) in groups.iter().enumerate() {
            text += &format!("[[group]]\nname = \"g{number}\"\n{group}");
        }
        text + &rules.concat()
    })
}

fn permissive_group() -> impl Strategy<Value = String> {
    let peers = [
        "192.168.0.0/24",
        "192.168.0.30",
        "172.16.0.0/12",
        "fd00:1::/64",
        "fd00:9::9",
        "0.0.0.0/0",
        "::/0",
    ];
    let networks = select(vec!["*", "*", "{kube02,kube03,iso,dmz}", "[!a-y]*"]);
    let peers = subsequence(peers.to_vec(), 0..4);
    (networks, peers, bool::ANY).prop_map(|(networks, peers, keep_source)| {
        format!("networks = [{networks:?}]\npeers = {peers:?}\nkeep_source = {keep_source}\n")
    })
}

/// The ends are of one family: others are an error.
fn permissive_rule() -> impl Strategy<Value = String> {
    let networks = ["*", "kube*", "iso"];
    let ipv4 = [
        "192.168.0.0/24",
        "172.16.5.5",
        "0.0.0.0/0",
        // Of networks of the generator, whole and in part.
        "10.17.0.0/20",
        "10.17.16.0/25",
        "10.17.32.1",
    ];
    let ipv6 = [
        "fd00:1::/64",
        "2001:db8::8",
        "::/0",
        "fd00:10:1::/64",
        "fd00:10:2::1",
    ];
    let end = |addresses: &[&'static str]| select([&networks, addresses].concat());
    let ends = prop_oneof![
        2 => (end(&ipv4), end(&ipv4)),
        1 => (end(&ipv6), end(&ipv6)),
    ];
    let ports = || {
        select(vec![
            "1, 22",
            "\"79-81\"",
            "\"80-40000\"",
            "\"1-65535\"",
            "",
        ])
    };
    (ends, ports(), ports(), bool::ANY).prop_map(|((from, to), tcp, udp, icmp)| {
        // A rule that allows nothing is an error.
        let icmp = icmp || tcp.is_empty() && udp.is_empty();
        format!(
            "[[allow]]\nfrom = {from:?}\nto = {to:?}\ntcp = [{tcp}]\nudp = [{udp}]\nicmp = {icmp}\n"
        )
    })
}

fn drafts() -> impl Strategy<Value = Vec<Draft>> {
    collection::vec(draft(), PACKETS)
}

fn draft() -> impl Strategy<Value = Draft> {
    let index = any::<Index>;
    let mark = prop_oneof![Just(0), Just(u32::MAX), any::<u32>()];
    let connection = select(vec![
        (State::New, CtDirection::Original, false),
        (State::New, CtDirection::Original, false),
        (State::Established, CtDirection::Original, true),
        (State::Established, CtDirection::Original, false),
        (State::Established, CtDirection::Reply, true),
        (State::Established, CtDirection::Reply, false),
    ]);
    let drawn = (
        (index(), index()),
        (draw(), draw()),
        bool::weighted(0.7),
        transport(),
        connection,
        mark,
        bool::weighted(0.7),
    );
    drawn.prop_map(
        |(ends, addresses, is_ipv4, transport, connection, mark, has_reverse_path)| {
            let (state, direction, is_labelled) = connection;
            Draft {
                ends,
                addresses,
                is_ipv4,
                transport,
                state,
                direction,
                is_labelled,
                mark,
                has_reverse_path,
            }
        },
    )
}

fn draw() -> impl Strategy<Value = Draw> {
    let drawn = (bool::weighted(0.9), any::<Index>(), any::<u8>());
    drawn.prop_map(|(is_own, subnet, host)| Draw {
        is_own,
        subnet,
        host,
    })
}

fn transport() -> impl Strategy<Value = Transport> {
    let port = || select(PORTS.to_vec());
    prop_oneof![
        3 => (port(), port()).prop_map(|(sport, dport)| Transport::Tcp { sport, dport }),
        3 => (port(), port()).prop_map(|(sport, dport)| Transport::Udp { sport, dport }),
        3 => select(vec!["echo-request", "echo-reply", "timestamp-request"])
            .prop_map(Transport::Icmp),
        1 => Just(Transport::Sctp),
    ]
}

fn restrictions() -> impl Strategy<Value = Restrictions> {
    (bool::ANY, bool::weighted(0.2)).prop_map(|(is_enabled, all_ipv6)| Restrictions {
        is_enabled,
        all_ipv6,
    })
}

/// Whether the policy says something about the packet. It judges connections by the addresses of
/// their ends, so a reply with an address that is neither end's own is beyond it (`packets` has
/// those), and so is a connection within one bridge that has the label all the same.
fn is_decided(world: &World, packet: &Packet, from: Place, to: Place) -> bool {
    let is_within_bridge = from.0.is_some() && from.0 == to.0;
    let is_reply = packet.connection.direction == CtDirection::Reply;
    let is_between_own = world.is_own(from, packet.source) && world.is_own(to, packet.destination);
    !(is_within_bridge && packet.connection.is_labelled) && (!is_reply || is_between_own)
}

/// How many packets had each outcome: a test in which no packet passes tests nothing.
#[derive(Debug, Default)]
struct Counts {
    marked: Cell<usize>,
    unmarked: Cell<usize>,
    dropped: Cell<usize>,
    source_kept: Cell<usize>,
}

impl Counts {
    fn add(&self, world: &World, outcome: &Outcome) {
        let count = if !outcome.is_accepted {
            &self.dropped
        } else if outcome.mark & world.config.mark.bit() == 0 {
            &self.unmarked
        } else {
            &self.marked
        };
        count.update(|count| count + 1);
        if outcome.keeps_source {
            self.source_kept.update(|count| count + 1);
        }
    }
}

#[test]
fn the_table_decides_as_the_policy_does() {
    let mut runner = TestRunner::new(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let counts = Counts::default();
    let worlds = (config(), generate::networks(), restrictions(), drafts());
    let outcome = runner.run(&worlds, |(config, networks, restrictions, drafts)| {
        let world = World::new(&config, &networks, restrictions);
        for draft in &drafts {
            let (packet, from, to) = world.packet(draft);
            if is_decided(&world, &packet, from, to) {
                let outcome = world.table.evaluate(&packet);
                prop_assert_eq!(outcome, world.expected(&packet, from, to), "{:?}", packet);
                counts.add(&world, &outcome);
            }
        }
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
    println!("{counts:?}");
    let Counts {
        marked,
        unmarked,
        dropped,
        source_kept,
    } = counts;
    let packets = marked.get() + unmarked.get() + dropped.get();
    for count in [marked, unmarked, dropped, source_kept] {
        assert!(count.get() * 200 > packets, "{count:?} of {packets}");
    }
}

/// A member of two groups with the same peer, of which the second keeps sources.
#[test]
fn the_source_is_kept_where_any_group_of_the_pair_keeps_it() {
    let config = "
        [[group]]
        name = 'a'
        networks = ['*']
        peers = ['192.168.0.30']
        [[group]]
        name = 'b'
        networks = ['*']
        peers = ['192.168.0.30']
        keep_source = true
    ";
    let network = br#"<network><name>n</name><forward mode="nat"/><bridge name="virbr0"/>
        <ip address="10.17.3.1"/></network>"#;
    let network = virt_forward_policy::network::read(&network[..]).unwrap();
    let restrictions = Restrictions {
        is_enabled: false,
        all_ipv6: false,
    };
    let world = World::new(config, &[network], restrictions);
    let packet = Packet {
        iifname: "virbr0".to_owned(),
        oifname: "uplink1".to_owned(),
        source: "10.17.3.21".parse().unwrap(),
        destination: "192.168.0.30".parse().unwrap(),
        transport: Transport::Sctp,
        connection: Connection {
            state: State::New,
            direction: CtDirection::Original,
            is_labelled: false,
        },
        mark: 0,
        has_reverse_path: true,
    };
    assert!(world.table.evaluate(&packet).keeps_source);
    assert_eq!(
        world.decided(&packet, Place(Some(0)), Place(None)),
        Some(true)
    );
}
