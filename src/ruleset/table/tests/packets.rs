//! Decisions of the table that depend on more than the addresses of a connection: ICMP errors, replies
//! from other addresses, reverse paths, and what the host adds.

use std::collections::BTreeSet;

use virt_forward_policy::{
    access_of,
    config::Config,
    network::{Mode, Network},
};

use super::{
    super::{
        Batch, Enabled, Host, Ip, Layout, Member, ReturnPath, closing, expr::CtDirection,
        replace_table,
    },
    evaluator::{Connection, Outcome, Packet, State, Table, Transport},
};

const MARK: u32 = 0x1000_0000;
const CONFIG: &str = "
    [[group]]
    name = 'kube'
    networks = ['kube*']
    peers = ['192.168.0.30', 'fd00:1::/64']
    [[allow]]
    from = '172.16.0.0/12'
    to = 'dmz'
    tcp = [443]
    [[allow]]
    from = 'dmz'
    to = 'kube03'
    udp = [53]
    [[allow]]
    from = '198.51.100.0/24'
    to = 'kube03'
    udp = [123]
";

/// Two members of a group, a network with rules of its own, and a closed one.
fn networks() -> Vec<Network> {
    let network = |(name, addresses): (&str, &[&str])| Network {
        name: name.to_owned(),
        mode: Mode::Nat,
        bridge: Some(format!("br_{name}").parse().unwrap()),
        forward_dev: None,
        zone: None,
        nat_ipv6: false,
        addresses: addresses.iter().map(|net| net.parse().unwrap()).collect(),
        routes: Vec::new(),
        groups: None,
        fault: None,
    };
    let networks: [(&str, &[&str]); 4] = [
        ("kube02", &["10.17.3.1/24", "fd00:3::1/64"]),
        ("kube03", &["10.17.4.1/22", "fd00:4::1/48"]),
        ("dmz", &["10.17.8.1/24"]),
        ("tenant", &["10.17.9.1/24"]),
    ];
    networks.map(network).to_vec()
}

fn members(config: &Config) -> Vec<Member> {
    let networks = networks();
    let members = networks
        .iter()
        .filter_map(|network| Member::new(network, &access_of(config, network)));
    members.collect()
}

fn config() -> Config {
    Config::read(CONFIG, String::new()).unwrap()
}

fn table(host: &Host) -> Table {
    table_of(&config(), host)
}

fn table_of(config: &Config, host: &Host) -> Table {
    let mut batch = Batch::default();
    replace_table(&mut batch, &Layout::of(config, host), &members(config));
    Table::of(&batch)
}

/// The first packet of a TCP connection to port 443, from a source with a reverse path.
fn packet(interfaces: [&str; 2], addresses: [&str; 2]) -> Packet {
    let [iifname, oifname] = interfaces.map(str::to_owned);
    let [source, destination] = addresses.map(|address| address.parse().unwrap());
    Packet {
        iifname,
        oifname,
        source,
        destination,
        transport: Transport::Tcp {
            sport: 40000,
            dport: 443,
        },
        connection: Connection {
            state: State::New,
            direction: CtDirection::Original,
            is_labelled: false,
        },
        mark: 0,
        has_reverse_path: true,
    }
}

/// A packet of an existing connection.
fn of_connection(packet: Packet, direction: CtDirection, is_labelled: bool) -> Packet {
    let connection = Connection {
        state: State::Established,
        direction,
        is_labelled,
    };
    Packet {
        connection,
        ..packet
    }
}

/// An ICMP error about a connection: it has the connection's label.
fn icmp_error(packet: Packet, is_labelled: bool) -> Packet {
    let connection = Connection {
        state: State::Related,
        direction: CtDirection::Reply,
        is_labelled,
    };
    Packet {
        transport: Transport::Icmp("destination-unreachable"),
        connection,
        ..packet
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Marked,
    Unmarked,
    Dropped,
}

fn fate(table: &Table, packet: &Packet) -> Fate {
    let Outcome {
        is_accepted,
        mark,
        final_mark,
        ..
    } = table.evaluate(packet);
    assert!(!is_accepted || final_mark & MARK == 0, "{packet:?}");
    match (is_accepted, mark & MARK != 0) {
        (true, true) => Fate::Marked,
        (true, false) => Fate::Unmarked,
        (false, _) => Fate::Dropped,
    }
}

#[test]
fn an_icmp_error_from_any_router_on_the_path_is_marked_and_labels_nothing() {
    let table = table(&Host::default());
    for (interfaces, addresses, expected) in [
        // From a router behind a guest, and from the guest itself.
        (
            ["br_kube02", "br_kube03"],
            ["10.99.0.1", "10.17.4.21"],
            Fate::Marked,
        ),
        (
            ["br_kube02", "br_kube03"],
            ["10.17.3.21", "10.17.4.21"],
            Fate::Marked,
        ),
        (
            ["br_kube02", "eth0"],
            ["10.99.0.1", "192.168.0.30"],
            Fate::Marked,
        ),
        (
            ["eth0", "br_kube02"],
            ["192.168.0.1", "10.17.3.21"],
            Fate::Marked,
        ),
        (
            ["br_kube03", "br_dmz"],
            ["10.99.0.1", "10.17.8.21"],
            Fate::Marked,
        ),
        (
            ["br_dmz", "br_kube03"],
            ["10.99.0.1", "10.17.4.21"],
            Fate::Marked,
        ),
        (
            ["br_dmz", "eth0"],
            ["10.99.0.1", "172.16.5.5"],
            Fate::Marked,
        ),
        (
            ["eth0", "br_dmz"],
            ["192.168.0.1", "10.17.8.21"],
            Fate::Marked,
        ),
        // No connection is allowed between these.
        (
            ["br_kube02", "br_dmz"],
            ["10.99.0.1", "10.17.8.21"],
            Fate::Unmarked,
        ),
        (
            ["br_dmz", "eth0"],
            ["10.99.0.1", "192.168.0.30"],
            Fate::Unmarked,
        ),
        (
            ["br_tenant", "br_kube02"],
            ["10.17.9.21", "10.17.3.21"],
            Fate::Unmarked,
        ),
        (
            ["eth0", "br_tenant"],
            ["192.168.0.1", "10.17.9.21"],
            Fate::Unmarked,
        ),
    ] {
        let error = icmp_error(packet(interfaces, addresses), false);
        assert_eq!(fate(&table, &error), expected, "{error:?}");
        assert!(!table.evaluate(&error).is_labelled, "{error:?}");
    }
    // An error that is no reply of a connection of the table's, from a spoofed source outside.
    let spoofed = Packet {
        has_reverse_path: false,
        ..packet(["eth0", "br_kube02"], ["192.168.0.1", "10.17.3.21"])
    };
    assert_eq!(fate(&table, &icmp_error(spoofed, false)), Fate::Unmarked);
}

#[test]
fn an_expected_connection_is_labelled() {
    let table = table(&Host::default());
    let mut data = packet(["br_kube02", "br_kube03"], ["10.17.3.21", "10.17.4.21"]);
    data.connection.state = State::Related;
    let outcome = table.evaluate(&data);
    assert!(outcome.is_labelled && outcome.mark == MARK, "{outcome:?}");
}

#[test]
fn a_reply_from_another_address_is_marked_where_its_network_may_reply() {
    let table = table(&Host::default());
    let reply = |interfaces, addresses, is_labelled| {
        let packet = packet(interfaces, addresses);
        of_connection(packet, CtDirection::Reply, is_labelled)
    };
    let foreign = ["10.99.0.1", "10.17.4.21"];
    let members = ["br_kube02", "br_kube03"];
    assert_eq!(fate(&table, &reply(members, foreign, true)), Fate::Marked);
    assert_eq!(
        fate(&table, &reply(members, foreign, false)),
        Fate::Unmarked
    );
    // To a peer.
    let to_peer = ["10.99.0.1", "192.168.0.30"];
    let outward = ["br_kube02", "eth0"];
    assert_eq!(fate(&table, &reply(outward, to_peer, true)), Fate::Marked);
    // By a rule, from its port alone.
    let mut answer = reply(["br_kube03", "br_dmz"], ["10.99.0.1", "10.17.8.21"], true);
    assert_eq!(fate(&table, &answer), Fate::Dropped);
    answer.transport = Transport::Udp {
        sport: 53,
        dport: 40000,
    };
    assert_eq!(fate(&table, &answer), Fate::Marked);
    // A network that may not reply.
    let others = ["br_tenant", "br_kube03"];
    assert_eq!(fate(&table, &reply(others, foreign, true)), Fate::Dropped);
    // Only replies: a first packet from a foreign source opens nothing.
    let opening = of_connection(packet(members, foreign), CtDirection::Original, true);
    assert_eq!(fate(&table, &opening), Fate::Dropped);
}

#[test]
fn a_rule_for_one_direction_does_not_open_the_other() {
    let table = table(&Host::default());
    // From port 53 of a client to any port of the server's network.
    let mut opening = packet(["br_kube03", "br_dmz"], ["10.17.4.21", "10.17.8.21"]);
    opening.transport = Transport::Udp {
        sport: 53,
        dport: 40000,
    };
    assert_eq!(fate(&table, &opening), Fate::Unmarked);
    let reply = of_connection(opening, CtDirection::Reply, false);
    assert_eq!(fate(&table, &reply), Fate::Marked);
}

#[test]
fn a_source_outside_needs_a_reverse_path() {
    let path = |interface: &str, subnet: &str| ReturnPath {
        interface: interface.to_owned(),
        subnet: subnet.parse().unwrap(),
    };
    let host = Host {
        return_paths: BTreeSet::from([path("eth1", "192.168.0.0/24"), path("eth1", "fd00:1::/64")]),
        ..Host::default()
    };
    let (plain, with_paths) = (table(&Host::default()), table(&host));
    for (source, destination) in [("192.168.0.30", "10.17.3.21"), ("fd00:1::30", "fd00:3::21")] {
        let from = |interface, has_reverse_path| Packet {
            has_reverse_path,
            ..packet([interface, "br_kube02"], [source, destination])
        };
        assert_eq!(fate(&plain, &from("eth1", true)), Fate::Marked);
        assert_eq!(fate(&plain, &from("eth1", false)), Fate::Unmarked);
        // A second next hop, which `fib` does not see.
        assert_eq!(fate(&with_paths, &from("eth1", false)), Fate::Marked);
        assert_eq!(fate(&with_paths, &from("eth2", false)), Fate::Unmarked);
    }
}

#[test]
fn a_source_that_may_be_any_address_needs_no_reverse_path() {
    let config = "
        [[group]]
        name = 'kube'
        networks = ['kube*']
        peers = ['0.0.0.0/0']
        [[allow]]
        from = '::/0'
        to = 'kube02'
        tcp = [443]
        [[allow]]
        from = 'dmz'
        to = '0.0.0.0/0'
        udp = [53]
    ";
    let table = table_of(
        &Config::read(config, String::new()).unwrap(),
        &Host::default(),
    );
    let from = |source, to: [&str; 2], transport| Packet {
        has_reverse_path: false,
        transport,
        ..packet(["eth0", to[0]], [source, to[1]])
    };
    let tcp = |sport, dport| Transport::Tcp { sport, dport };
    let kube02 = ["br_kube02", "10.17.3.21"];
    let kube02_ipv6 = ["br_kube02", "fd00:3::21"];
    let kube03_ipv6 = ["br_kube03", "fd00:4::21"];
    for (source, to, transport, expected) in [
        ("203.0.113.7", kube02, tcp(1, 22), Fate::Marked),
        ("203.0.113.7", kube02, Transport::Sctp, Fate::Marked),
        ("2001:db8::8", kube02_ipv6, tcp(1, 443), Fate::Marked),
        ("2001:db8::8", kube02_ipv6, tcp(1, 22), Fate::Unmarked),
        ("2001:db8::8", kube03_ipv6, tcp(1, 443), Fate::Unmarked),
    ] {
        let packet = from(source, to, transport);
        assert_eq!(fate(&table, &packet), expected, "{packet:?}");
    }
    let udp = Transport::Udp {
        sport: 53,
        dport: 40000,
    };
    let answer = from("203.0.113.7", ["br_dmz", "10.17.8.21"], udp);
    assert_eq!(fate(&table, &answer), Fate::Unmarked);
    let answer = of_connection(answer, CtDirection::Reply, true);
    assert_eq!(fate(&table, &answer), Fate::Marked);
}

#[test]
fn a_forged_peer_is_dropped_where_another_firewall_accepts_peers_by_address() {
    let host = Host {
        drops_forged_peers: true,
        ..Host::default()
    };
    let (plain, dropping) = (table(&Host::default()), table(&host));
    for (interfaces, addresses) in [
        (["eth1", "br_kube02"], ["192.168.0.30", "10.17.3.21"]),
        (["eth1", "br_kube02"], ["fd00:1::30", "fd00:3::21"]),
        (["br_tenant", "br_kube02"], ["192.168.0.30", "10.17.3.21"]),
        (["eth1", "br_dmz"], ["172.16.5.5", "10.17.8.21"]),
        (["br_tenant", "br_dmz"], ["172.16.5.5", "10.17.8.21"]),
    ] {
        let forged = Packet {
            has_reverse_path: false,
            ..packet(interfaces, addresses)
        };
        assert_eq!(fate(&plain, &forged), Fate::Unmarked, "{forged:?}");
        assert_eq!(fate(&dropping, &forged), Fate::Dropped, "{forged:?}");
        // Replies, and ports that no rule has, are not what the other firewall accepts.
        let reply = of_connection(forged.clone(), CtDirection::Reply, false);
        assert_eq!(fate(&dropping, &reply), Fate::Unmarked, "{reply:?}");
    }
    let mut other_port = packet(["eth1", "br_dmz"], ["172.16.5.5", "10.17.8.21"]);
    other_port.has_reverse_path = false;
    other_port.transport = Transport::Tcp {
        sport: 1,
        dport: 80,
    };
    assert_eq!(fate(&dropping, &other_port), Fate::Unmarked);
    // Each rule has ports of its own.
    let mut other_rule = packet(["eth1", "br_kube03"], ["198.51.100.9", "10.17.4.21"]);
    other_rule.has_reverse_path = false;
    assert_eq!(fate(&dropping, &other_rule), Fate::Unmarked);
    other_rule.transport = Transport::Udp {
        sport: 1,
        dport: 123,
    };
    assert_eq!(fate(&dropping, &other_rule), Fate::Dropped);
}

#[test]
fn an_interface_that_virt_forward_enabled_forwards_allowed_packets_only() {
    let enabled = |interface: &str, family| Enabled {
        interface: interface.to_owned(),
        family,
    };
    let host = Host {
        enabled: BTreeSet::from([enabled("eth0", Ip::V6)]),
        restricted: BTreeSet::from([Ip::V6]),
        ..Host::default()
    };
    let table = table(&host);
    for (interfaces, addresses, expected) in [
        (
            ["eth0", "br_kube02"],
            ["fd00:1::30", "fd00:3::21"],
            Fate::Marked,
        ),
        (
            ["eth0", "br_kube02"],
            ["2001:db8::8", "fd00:3::21"],
            Fate::Dropped,
        ),
        (
            ["eth0", "eth1"],
            ["2001:db8::8", "2001:db8:1::8"],
            Fate::Dropped,
        ),
        (
            ["eth1", "eth0"],
            ["2001:db8::8", "2001:db8:1::8"],
            Fate::Unmarked,
        ),
        (
            ["eth0", "br_tenant"],
            ["203.0.113.7", "10.17.9.21"],
            Fate::Unmarked,
        ),
    ] {
        let packet = packet(interfaces, addresses);
        assert_eq!(fate(&table, &packet), expected, "{packet:?}");
    }
}

#[test]
fn packets_within_a_bridge_pass_without_the_mark() {
    let host = Host {
        enabled_all_ipv6: true,
        bridged: BTreeSet::from(["docker0".to_owned(), "br_dmz".to_owned()]),
        ..Host::default()
    };
    let table = table(&host);
    for (bridge, addresses) in [
        ("br_kube02", ["fd00:3::21", "fd00:3::22"]),
        ("br_kube02", ["fd00:99::1", "fd00:3::22"]),
        ("br_tenant", ["fd00:99::1", "fd00:3::22"]),
        ("docker0", ["fd00:99::1", "fd00:99::2"]),
        ("br_kube03", ["fd00:4::21", "fd00:4::22"]),
    ] {
        let within = packet([bridge, bridge], addresses);
        assert_eq!(fate(&table, &within), Fate::Unmarked, "{within:?}");
        assert!(!table.evaluate(&within).is_labelled, "{within:?}");
    }
    let between = packet(["docker0", "eth0"], ["fd00:99::1", "2001:db8::8"]);
    assert_eq!(fate(&table, &between), Fate::Dropped);
}

#[test]
fn a_source_is_kept_towards_networks_unless_its_interface_is_masqueraded() {
    let host = Host {
        masqueraded: BTreeSet::from(["eth1".to_owned()]),
        ..Host::default()
    };
    let (plain, masquerading) = (table(&Host::default()), table(&host));
    let from = |interface| packet([interface, "br_kube02"], ["192.168.0.30", "10.17.3.21"]);
    assert!(plain.evaluate(&from("eth1")).keeps_source);
    assert!(masquerading.evaluate(&from("eth0")).keeps_source);
    assert!(!masquerading.evaluate(&from("eth1")).keeps_source);
    // An unmarked packet is left to libvirt.
    let unmarked = packet(["br_tenant", "br_kube02"], ["10.17.9.21", "10.17.3.21"]);
    assert!(!plain.evaluate(&unmarked).keeps_source);
    let to_peer = packet(["br_kube02", "eth0"], ["10.17.3.21", "192.168.0.30"]);
    assert!(!plain.evaluate(&to_peer).keeps_source);
}

#[test]
fn a_source_is_kept_towards_peers_for_members_of_the_group_that_says_so() {
    let config = "
        [[group]]
        name = 'plain'
        networks = ['kube02', 'dmz']
        peers = ['192.168.0.0/24']
        [[group]]
        name = 'keeping'
        networks = ['kube03', 'dmz']
        peers = ['192.168.0.0/24', 'fd00:1::/64']
        keep_source = true
        [[allow]]
        from = 'tenant'
        to = '192.168.0.30'
        tcp = [443]
    ";
    let table = table_of(
        &Config::read(config, String::new()).unwrap(),
        &Host::default(),
    );
    for (bridge, source, destination, is_kept) in [
        ("br_kube02", "10.17.3.21", "192.168.0.30", false),
        ("br_kube03", "10.17.4.21", "192.168.0.30", true),
        ("br_kube03", "fd00:4::21", "fd00:1::30", true),
        ("br_dmz", "10.17.8.21", "192.168.0.30", true),
        ("br_tenant", "10.17.9.21", "192.168.0.30", false),
    ] {
        let outcome = table.evaluate(&packet([bridge, "eth0"], [source, destination]));
        assert!(outcome.mark == MARK, "{bridge}: {outcome:?}");
        assert_eq!(outcome.keeps_source, is_kept, "{bridge}: {outcome:?}");
    }
}

#[test]
fn the_closing_table_drops_what_was_open_and_what_forwards_only_because_of_virt_forward() {
    let mut members = members(&config());
    let of_ipv4 = BTreeSet::from([Ip::V4]);
    members[0] = members[0].clone().with_enabled(&of_ipv4);
    // The same network twice: before a change of its definition, and after it.
    let before = members[0].clone().with_enabled(&BTreeSet::new());
    members.insert(0, before);
    let host = Host {
        enabled: BTreeSet::from([Enabled {
            interface: "eth0".to_owned(),
            family: Ip::V4,
        }]),
        enabled_all_ipv6: true,
        bridged: BTreeSet::from(["docker0".to_owned()]),
        ..Host::default()
    };
    let closed = members[1].closed();
    assert!(members[1].is_open() && !closed.is_open());
    assert!(closed.groups.is_empty() && closed.subnets.is_empty());
    assert_eq!(closed.enabled, of_ipv4);
    let mut batch = Batch::default();
    closing(&mut batch, &host, &members);
    let table = Table::of(&batch);
    let between = packet(["br_kube03", "br_kube02"], ["10.17.4.21", "10.17.3.21"]);
    assert_eq!(fate(&table, &between), Fate::Unmarked);
    let open = of_connection(between.clone(), CtDirection::Original, true);
    assert_eq!(fate(&table, &open), Fate::Dropped);
    let enabled = packet(["br_kube02", "br_kube03"], ["10.17.3.21", "10.17.4.21"]);
    assert_eq!(fate(&table, &enabled), Fate::Dropped);
    let uplink = packet(["eth0", "br_kube02"], ["192.168.0.30", "10.17.3.21"]);
    assert_eq!(fate(&table, &uplink), Fate::Dropped);
    let ipv6 = packet(["br_kube03", "br_kube02"], ["fd00:4::21", "fd00:3::21"]);
    assert_eq!(fate(&table, &ipv6), Fate::Dropped);
    for bridge in ["br_kube02", "docker0"] {
        let within = packet([bridge, bridge], ["fd00:3::21", "fd00:3::22"]);
        assert_eq!(fate(&table, &within), Fate::Unmarked, "{bridge}");
    }
}

#[test]
fn every_chain_is_reached() {
    let host = Host {
        drops_forged_peers: true,
        ..Host::default()
    };
    for host in [Host::default(), host] {
        let table = table(&host);
        assert_eq!(table.unreachable_chains(), BTreeSet::new());
    }
}
