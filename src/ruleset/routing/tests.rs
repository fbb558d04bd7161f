//! Routing of hosts as people set them up.

use super::*;

/// A route in the words of `ip route`: `SUBNET dev A [dev B] [table N] [metric N]`, `blackhole SUBNET`…
fn route(text: &str) -> Route {
    let mut words = text.split_whitespace().peekable();
    let nowhere = ["blackhole", "unreachable", "prohibit", "local"];
    let mut way = match words.peek() {
        Some(word) if nowhere.contains(word) => Some(Way::Nowhere),
        Some(&"throw") => Some(Way::Throw),
        _ => None,
    };
    if way.is_some() {
        words.next();
    }
    let to = words.next().unwrap().parse().unwrap();
    let (mut table, mut metric, mut hops) = (254, 0, BTreeSet::new());
    while let Some(word) = words.next() {
        let value = words.next().unwrap();
        match word {
            "dev" => {
                hops.insert(value.to_owned());
            }
            "table" => table = value.parse().unwrap(),
            "metric" => metric = value.parse().unwrap(),
            other => panic!("{other}"),
        }
    }
    Route {
        table,
        to,
        metric,
        way: way.take().unwrap_or(Way::Interfaces(hops)),
    }
}

/// A rule in the words of `ip rule`: `PRIORITY [not] [from S] [to S] [iif I] [fwmark V/M] [dport P] lookup N …`
fn rule(text: &str) -> RoutingRule {
    let mut words = text.split_whitespace();
    let mut rule = RoutingRule {
        priority: words.next().unwrap().parse().unwrap(),
        to: None,
        from: From::default(),
        mark: None,
        condition: Condition::None,
        is_inverted: false,
        action: Action::Nop,
    };
    let mut suppressed = None;
    while let Some(word) = words.next() {
        let mut value = || words.next().unwrap();
        match word {
            "not" => rule.is_inverted = true,
            "from" => rule.from.subnet = Some(value().parse().unwrap()),
            "to" => rule.to = Some(value().parse().unwrap()),
            "iif" => rule.from.interface = Some(value().to_owned()),
            "fwmark" => {
                let text = value();
                let (mark, mask) = text.split_once('/').unwrap_or((text, "4294967295"));
                rule.mark = Some((mark.parse().unwrap(), mask.parse().unwrap()));
            }
            "dport" => {
                value();
                rule.condition = Condition::Sometimes;
            }
            "oif" => {
                value();
                rule.condition = Condition::Never;
            }
            "lookup" => {
                let table = value().parse().unwrap();
                rule.action = Action::Lookup {
                    table,
                    suppressed: None,
                };
            }
            "suppress_prefixlength" => suppressed = Some(value().parse().unwrap()),
            "goto" => rule.action = Action::Goto(value().parse().unwrap()),
            "prohibit" => rule.action = Action::Refuse,
            other => panic!("{other}"),
        }
    }
    if let Action::Lookup { table, .. } = rule.action {
        rule.action = Action::Lookup { table, suppressed };
    }
    rule
}

/// The kernel's default rules: local, main, default.
const USUAL: [&str; 3] = ["0 lookup 255", "32766 lookup 254", "32767 lookup 253"];

fn routing(rules: &[&str], routes: &[&str]) -> Routing {
    let mut rules: Vec<_> = rules.iter().chain(&USUAL).map(|text| rule(text)).collect();
    rules.sort_by_key(|rule| rule.priority);
    Routing {
        rules,
        routes: routes.iter().map(|text| route(text)).collect(),
    }
}

fn look(routing: &Routing, subnets: &[&str]) -> Found {
    let sources = [
        ("virbr3", "10.17.3.0/24"),
        ("virbr4", "10.17.4.0/24"),
        ("virbr3", "fd17:3::/64"),
    ];
    let subnets: Vec<IpNet> = subnets.iter().map(|one| one.parse().unwrap()).collect();
    let is_ipv4 = subnets[0].addr().is_ipv4();
    let sources: Vec<_> = sources
        .iter()
        .map(|(bridge, subnet)| Source {
            bridge: (*bridge).to_owned(),
            subnet: subnet.parse().unwrap(),
        })
        .filter(|source| source.subnet.addr().is_ipv4() == is_ipv4)
        .collect();
    survey(routing, &subnets, &sources)
}

/// The return paths, as `INTERFACE SUBNET`.
fn paths(rules: &[&str], routes: &[&str], subnets: &[&str]) -> Vec<String> {
    let found = look(&routing(rules, routes), subnets);
    let paths = found.return_paths.iter();
    paths
        .map(|path| format!("{} {}", path.interface, path.subnet))
        .collect()
}

fn ways(rules: &[&str], routes: &[&str], subnets: &[&str]) -> Vec<String> {
    let found = look(&routing(rules, routes), subnets);
    found.ways.into_iter().map(|(name, _)| name).collect()
}

const NONE: [String; 0] = [];

#[test]
fn the_longest_and_cheapest_route_is_the_way() {
    let routes = [
        "0.0.0.0/0 dev eth0 metric 100",
        "0.0.0.0/0 dev wlan0 metric 600",
        "192.168.0.0/16 dev eth1",
        "blackhole 10.0.0.0/8",
        "local 192.168.0.40/32 table 255",
    ];
    let ways = |subnet| ways(&[], &routes, &[subnet]);
    assert_eq!(ways("192.168.0.0/24"), ["eth1"]);
    assert_eq!(ways("172.16.0.0/16"), ["eth0"]);
    assert_eq!(ways("192.168.0.0/15"), ["eth0", "eth1"]);
    assert_eq!(ways("10.1.0.0/16"), NONE);
    assert_eq!(ways("192.168.0.40/32"), NONE);
    assert_eq!(paths(&[], &routes, &["0.0.0.0/0"]), NONE);
}

#[test]
fn all_next_hops_of_ipv6_are_valid_and_the_kernel_knows_those_of_ipv4() {
    let routes = ["fd99::/64 dev up1 dev up2", "::/0 dev up1 metric 1024"];
    assert_eq!(
        paths(&[], &routes, &["fd99::/64"]),
        ["up1 fd99::/64", "up2 fd99::/64"]
    );
    // Only the part of a peer's subnet that has such a route.
    assert_eq!(
        paths(&[], &routes, &["fd99::/48"]),
        ["up1 fd99::/64", "up2 fd99::/64"]
    );
    assert_eq!(paths(&[], &routes, &["fd98::/64"]), NONE);
    // Two routes of one metric count as one with two next hops; routes of two metrics do not.
    let apart = ["fd99::/64 dev up1 metric 5", "fd99::/64 dev up2 metric 5"];
    assert_eq!(paths(&[], &apart, &["fd99::1/128"]).len(), 2);
    let spare = ["fd99::/64 dev up1 metric 5", "fd99::/64 dev up2 metric 6"];
    assert_eq!(paths(&[], &spare, &["fd99::1/128"]), NONE);
    let ipv4 = ["10.99.0.0/24 dev up1 dev up2"];
    assert_eq!(paths(&[], &ipv4, &["10.99.0.0/24"]), NONE);
    assert_eq!(ways(&[], &ipv4, &["10.99.0.0/24"]), ["up1", "up2"]);
}

const TWO_UPLINKS: [&str; 4] = [
    "0.0.0.0/0 dev wan1",
    "192.168.0.0/24 dev lan0",
    "0.0.0.0/0 dev wan2 table 200",
    "local 203.0.113.2/32 table 255",
];

#[test]
fn a_table_for_marked_packets_makes_no_subnet_of_another_link_valid() {
    let paths = |subnet| paths(&["100 fwmark 2 lookup 200"], &TWO_UPLINKS, &[subnet]);
    assert_eq!(paths("198.51.100.7/32"), ["wan2 198.51.100.7/32"]);
    assert_eq!(paths("192.168.0.30/32"), NONE);
    assert_eq!(paths("192.168.0.0/24"), NONE);
    assert_eq!(paths("203.0.113.2/32"), NONE);
    assert_eq!(
        paths("192.168.0.0/22"),
        ["wan2 192.168.1.0/24", "wan2 192.168.2.0/23"]
    );
    let all = paths("0.0.0.0/0");
    let nets = all.iter().map(|path| path.strip_prefix("wan2 ").unwrap());
    let nets: Vec<IpNet> = nets.map(|net| net.parse().unwrap()).collect();
    let addresses: u64 = nets.iter().map(|net| 1 << (32 - net.prefix_len())).sum();
    assert_eq!(addresses, (1 << 32) - 256 - 1, "{all:?}");
    let lan: IpNet = "192.168.0.0/24".parse().unwrap();
    assert!(!nets.iter().any(|net| overlap(net, &lan)));
}

#[test]
fn what_the_table_itself_has_more_specific_is_valid() {
    let mut routes = TWO_UPLINKS.to_vec();
    // The same subnet through another link, and a part of it.
    routes.push("192.168.0.0/24 dev lan1 table 200");
    let rules = ["100 fwmark 2 lookup 200"];
    assert_eq!(
        paths(&rules, &routes, &["192.168.0.30/32"]),
        ["lan1 192.168.0.30/32"]
    );
    routes[3] = "172.16.0.0/12 dev wan1";
    routes.push("172.16.5.0/24 dev vpn table 200");
    assert_eq!(
        paths(&rules, &routes, &["172.16.0.0/12"]),
        ["vpn 172.16.5.0/24"]
    );
    // A subnet without next hops is valid on no interface.
    routes.push("unreachable 198.51.100.0/24");
    assert_eq!(paths(&rules, &routes, &["198.51.100.7/32"]), NONE);
    routes.pop();
    routes.push("throw 198.51.100.0/24 table 200");
    assert_eq!(paths(&rules, &routes, &["198.51.100.7/32"]), NONE);
}

#[test]
fn a_rule_before_it_may_leave_a_table_nothing() {
    let rules = [
        "50 lookup 254 suppress_prefixlength 0",
        "100 fwmark 2 lookup 200",
    ];
    assert_eq!(
        paths(&rules, &TWO_UPLINKS, &["198.51.100.7/32"]),
        ["wan2 198.51.100.7/32"]
    );
    let rules = [
        "50 to 198.51.100.0/24 lookup 254",
        "100 fwmark 2 lookup 200",
    ];
    assert_eq!(paths(&rules, &TWO_UPLINKS, &["198.51.100.7/32"]), NONE);
    assert_eq!(
        paths(&rules, &TWO_UPLINKS, &["198.51.101.7/32"]),
        ["wan2 198.51.101.7/32"]
    );
    let rules = ["50 goto 32766", "100 fwmark 2 lookup 200"];
    assert_eq!(paths(&rules, &TWO_UPLINKS, &["198.51.100.7/32"]), NONE);
    let rules = ["50 prohibit", "100 fwmark 2 lookup 200"];
    assert_eq!(paths(&rules, &TWO_UPLINKS, &["198.51.100.7/32"]), NONE);
}

#[test]
fn a_mask_is_part_of_a_mark() {
    let of = |rules: &[&str]| paths(rules, &TWO_UPLINKS, &["198.51.100.7/32"]);
    let valid = ["wan2 198.51.100.7/32"];
    assert_eq!(of(&["100 fwmark 512/65280 lookup 200"]), valid);
    // The rule for another mark comes first, and does not match this one.
    assert_eq!(
        of(&[
            "90 fwmark 256/65280 lookup 254",
            "100 fwmark 512/65280 lookup 200"
        ]),
        valid
    );
    assert_eq!(
        of(&["90 fwmark 2/2 lookup 254", "100 fwmark 3 lookup 200"]),
        NONE
    );
}

#[test]
fn a_tunnel_of_wg_quick_is_what_the_kernel_sees() {
    let rules = [
        "32764 lookup 254 suppress_prefixlength 0",
        "32765 not fwmark 51820 lookup 51820",
    ];
    let routes = [
        "0.0.0.0/0 dev eth0",
        "192.168.0.0/24 dev eth0",
        "0.0.0.0/0 dev wg0 table 51820",
    ];
    // The tunnel's own packets leave by eth0; packets of guests never do.
    assert_eq!(paths(&rules, &routes, &["10.200.0.9/32"]), NONE);
    assert_eq!(ways(&rules, &routes, &["10.200.0.9/32"]), ["wg0"]);
    assert_eq!(ways(&rules, &routes, &["192.168.0.30/32"]), ["eth0"]);
}

#[test]
fn rules_about_networks_are_followed_for_these_networks_alone() {
    let routes = [
        "0.0.0.0/0 dev eth0",
        "192.168.0.0/24 dev eth0",
        "0.0.0.0/0 dev wg0 table 100",
    ];
    let of = |text: &str| paths(&[text], &routes, &["8.8.8.8/32", "192.168.0.30/32"]);
    assert_eq!(of("100 iif virbr3 lookup 100"), ["wg0 8.8.8.8/32"]);
    assert_eq!(of("100 iif docker0 lookup 100"), NONE);
    // The kernel's check sees the guest's address.
    assert_eq!(of("100 from 10.17.3.0/24 lookup 100"), NONE);
    assert_eq!(
        ways(
            &["100 from 10.17.3.0/24 lookup 100"],
            &routes,
            &["8.8.8.8/32"]
        )
        .len(),
        2
    );
    // But not that the rule matches some guests only.
    assert_eq!(
        of("100 from 10.17.3.21 lookup 100"
            .replace(".21", ".21/32")
            .as_str()),
        ["wg0 8.8.8.8/32"]
    );
    assert_eq!(of("100 from 172.16.0.0/12 lookup 100"), NONE);
    assert_eq!(of("100 dport 443 lookup 100"), ["wg0 8.8.8.8/32"]);
    assert_eq!(of("100 oif wg0 lookup 100"), NONE);
    assert_eq!(of("100 not from 10.17.0.0/16 lookup 100"), NONE);
}

#[test]
fn too_much_is_said_and_leaves_the_ways() {
    let routes: Vec<_> = (0..6000_u32)
        .map(|number| {
            let [_, high, low, _] = (number << 9).to_be_bytes();
            format!("fd00:{high:02x}{low:02x}::/64 dev up1 dev up2")
        })
        .collect();
    let distinct: BTreeSet<_> = routes.iter().map(String::as_str).collect();
    let routes: Vec<_> = distinct.into_iter().collect();
    let found = look(&routing(&[], &routes), &["fd00::/16"]);
    assert!(found.is_too_much);
    assert!(found.return_paths.is_empty());
    assert_eq!(found.ways.len(), 2);
}
