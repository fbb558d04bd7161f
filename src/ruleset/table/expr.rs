//! nft's expr as functions: the only file that names the structs of the `nftables` crate.
//!
//! The crate serialises to libnftables-json(5). Its own way to run nft is not used: it
//! loses nft's stderr. `Operator::LT` and `GT` are swapped in it and must not be used.

use std::{borrow::Cow, collections::HashSet, net::IpAddr};

use ipnet::IpNet;
use nftables::{
    expr::{
        BinaryOperation, CT, Elem, Expression, Fib, FibFlag, FibResult, Meta, MetaKey,
        NamedExpression, Payload, PayloadField, Prefix, Range, SetItem,
    },
    schema::{
        Chain, Element, NfCmd, NfListObject, NfObject, Rule, Set, SetFlag, SetType, SetTypeValue,
        Table,
    },
    stmt::{Counter, JumpTarget, Mangle, Match, NAT, NATFamily, Operator, Statement},
    types::{NfChainPolicy, NfChainType, NfFamily, NfHook},
};

use virt_forward_policy::{
    config::PortRange,
    netfilter::{Family, TableName},
    network::KernelName,
    sanitize,
};

/// One condition or action of a rule.
pub(crate) type Word = Statement<'static>;
/// A value that a condition compares with, or an element of a set.
pub(crate) type Value = Expression<'static>;

/// A base chain's place in the kernel.
#[derive(Clone, Copy)]
pub(crate) enum Hook {
    /// `type filter hook forward`
    FilterForward,
    /// `type filter hook postrouting`
    FilterPostrouting,
    /// `type nat hook postrouting`
    NatPostrouting,
}

/// What the elements of a set are.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// `type ifname`
    Interface,
    /// `type ipv4_addr; flags interval`
    Subnet4,
    /// `type ipv6_addr; flags interval`
    Subnet6,
    /// `type ifname . ifname`
    InterfacePair,
    /// `type ifname . ipv4_addr`
    InterfaceAddress4,
    /// `type ifname . ipv6_addr`
    InterfaceAddress6,
    /// `type ifname . ipv4_addr; flags interval`
    InterfaceSubnet4,
    /// `type ifname . ipv6_addr; flags interval`
    InterfaceSubnet6,
}

/// Which way a packet goes in its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// As the first packet did.
    Original,
    /// The other way.
    Reply,
}

/// Commands that nft carries out together or not at all.
#[derive(Clone, Debug, Default)]
pub struct Batch(Vec<NfObject<'static>>);

/// The crate's `Nftables`, without its demand that the commands be handed over for good.
#[derive(serde::Serialize)]
struct Commands<'a> {
    nftables: &'a [NfObject<'static>],
}

impl Batch {
    /// The text for `nft -j -f -`.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(&Commands { nftables: &self.0 })
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `add table …`
    pub(crate) fn add_table(&mut self, table: TableName<'_>) {
        self.push(NfCmd::Add(table_object(table)));
    }

    /// `delete table …`
    pub(crate) fn delete_table(&mut self, table: TableName<'_>) {
        self.push(NfCmd::Delete(table_object(table)));
    }

    /// `add set … { … }`
    pub(crate) fn add_set(
        &mut self,
        table: TableName<'_>,
        name: &str,
        kind: Kind,
        elements: Vec<Value>,
    ) {
        let (set_type, interval) = kind.crates();
        self.push(NfCmd::Add(NfListObject::Set(Box::new(Set {
            family: family(table.family),
            table: table.name.to_owned().into(),
            name: name.to_owned().into(),
            handle: None,
            set_type,
            policy: None,
            flags: interval.then(|| HashSet::from([SetFlag::Interval])),
            elem: (!elements.is_empty()).then(|| elements.into()),
            timeout: None,
            gc_interval: None,
            size: None,
            comment: None,
        }))));
    }

    /// `add element … { … }`, nothing where there are none.
    pub(crate) fn add_elements(&mut self, table: TableName<'_>, set: &str, elements: Vec<Value>) {
        if !elements.is_empty() {
            self.push(NfCmd::Add(element_object(table, set, elements)));
        }
    }

    /// `delete element … { … }`, nothing where there are none.
    pub(crate) fn delete_elements(
        &mut self,
        table: TableName<'_>,
        set: &str,
        elements: Vec<Value>,
    ) {
        if !elements.is_empty() {
            self.push(NfCmd::Delete(element_object(table, set, elements)));
        }
    }

    /// `add chain … { type … hook … priority …; policy accept; }`
    pub(crate) fn add_base_chain(
        &mut self,
        table: TableName<'_>,
        name: &str,
        hook: Hook,
        priority: i32,
    ) {
        let (kind, hook) = match hook {
            Hook::FilterForward => (NfChainType::Filter, NfHook::Forward),
            Hook::FilterPostrouting => (NfChainType::Filter, NfHook::Postrouting),
            Hook::NatPostrouting => (NfChainType::NAT, NfHook::Postrouting),
        };
        self.push(NfCmd::Add(NfListObject::Chain(Chain {
            _type: Some(kind),
            hook: Some(hook),
            prio: Some(priority),
            policy: Some(NfChainPolicy::Accept),
            ..chain(table, name)
        })));
    }

    /// `add chain …`
    pub(crate) fn add_chain(&mut self, table: TableName<'_>, name: &str) {
        self.push(NfCmd::Add(NfListObject::Chain(chain(table, name))));
    }

    /// `add rule …`
    pub(crate) fn add_rule(
        &mut self,
        table: TableName<'_>,
        chain: &str,
        words: impl Into<Vec<Word>>,
    ) {
        self.push(NfCmd::Add(NfListObject::Rule(Rule {
            expr: words.into().into(),
            ..rule(table, chain)
        })));
    }

    /// `insert rule … position HANDLE … comment "…"`: in front of the rule with that handle; without
    /// one, `add rule …`, at the end.
    pub(crate) fn insert_rule(
        &mut self,
        table: TableName<'_>,
        chain: &str,
        before: Option<u32>,
        words: impl Into<Vec<Word>>,
        comment: &'static str,
    ) {
        let rule = NfListObject::Rule(Rule {
            expr: words.into().into(),
            comment: Some(comment.into()),
            handle: before,
            ..rule(table, chain)
        });
        self.push(match before {
            Some(_) => NfCmd::Insert(rule),
            None => NfCmd::Add(rule),
        });
    }

    /// `delete rule … handle …`
    pub(crate) fn delete_rule(&mut self, table: TableName<'_>, chain: &str, handle: u32) {
        self.push(NfCmd::Delete(NfListObject::Rule(Rule {
            handle: Some(handle),
            ..rule(table, chain)
        })));
    }

    fn push(&mut self, command: NfCmd<'static>) {
        self.0.push(NfObject::CmdObject(command));
    }
}

impl Kind {
    fn crates(self) -> (SetTypeValue<'static>, bool) {
        let pair = |address| SetTypeValue::Concatenated(vec![SetType::Ifname, address].into());
        match self {
            Kind::Interface => (SetTypeValue::Single(SetType::Ifname), false),
            Kind::Subnet4 => (SetTypeValue::Single(SetType::Ipv4Addr), true),
            Kind::Subnet6 => (SetTypeValue::Single(SetType::Ipv6Addr), true),
            Kind::InterfacePair => (pair(SetType::Ifname), false),
            Kind::InterfaceAddress4 => (pair(SetType::Ipv4Addr), false),
            Kind::InterfaceAddress6 => (pair(SetType::Ipv6Addr), false),
            Kind::InterfaceSubnet4 => (pair(SetType::Ipv4Addr), true),
            Kind::InterfaceSubnet6 => (pair(SetType::Ipv6Addr), true),
        }
    }
}

fn family(family: Family) -> NfFamily {
    match family {
        Family::Ip => NfFamily::IP,
        Family::Ip6 => NfFamily::IP6,
        Family::Inet => NfFamily::INet,
    }
}

fn table_object(table: TableName<'_>) -> NfListObject<'static> {
    NfListObject::Table(Table {
        family: family(table.family),
        name: table.name.to_owned().into(),
        handle: None,
    })
}

fn element_object(table: TableName<'_>, set: &str, elem: Vec<Value>) -> NfListObject<'static> {
    NfListObject::Element(Element {
        family: family(table.family),
        table: table.name.to_owned().into(),
        name: set.to_owned().into(),
        elem: elem.into(),
    })
}

fn chain(table: TableName<'_>, name: &str) -> Chain<'static> {
    Chain {
        family: family(table.family),
        table: table.name.to_owned().into(),
        name: name.to_owned().into(),
        newname: None,
        handle: None,
        _type: None,
        hook: None,
        prio: None,
        dev: None,
        policy: None,
    }
}

/// The crate's `Rule::default()` is a rule of table `filter`, so no field is left to it.
fn rule(table: TableName<'_>, chain: &str) -> Rule<'static> {
    Rule {
        family: family(table.family),
        table: table.name.to_owned().into(),
        chain: chain.to_owned().into(),
        expr: Cow::Owned(Vec::new()),
        handle: None,
        index: None,
        comment: None,
    }
}

/// `"virbr0"`, `"virbr\*"`
pub(crate) fn interface(name: &KernelName) -> Value {
    string(&name.in_nft().unwrap_or_default())
}

/// `"eth0"`: an interface that is no network's bridge.
pub(crate) fn interface_named(name: &str) -> Value {
    string(name)
}

/// `"virbr0" . "virbr1"`
pub(crate) fn interface_pair(one: &KernelName, other: &KernelName) -> Value {
    let pair = vec![interface(one), interface(other)];
    Expression::Named(NamedExpression::Concat(pair))
}

/// `"br0" . "br0"`
pub(crate) fn interface_with_itself(name: &str) -> Value {
    let pair = vec![interface_named(name), interface_named(name)];
    Expression::Named(NamedExpression::Concat(pair))
}

/// `"eth0" . 10.0.0.0/24`
pub(crate) fn interface_named_subnet(name: &str, net: IpNet) -> Value {
    let pair = vec![interface_named(name), subnet(net)];
    Expression::Named(NamedExpression::Concat(pair))
}

/// `"virbr0" . 10.0.0.0`
pub(crate) fn interface_address(name: &KernelName, address: IpAddr) -> Value {
    let pair = vec![interface(name), string(&address.to_string())];
    Expression::Named(NamedExpression::Concat(pair))
}

/// `"virbr0" . 10.0.0.0/24`
pub(crate) fn interface_subnet(name: &KernelName, net: IpNet) -> Value {
    let pair = vec![interface(name), subnet(net)];
    Expression::Named(NamedExpression::Concat(pair))
}

/// `10.0.0.0/24`
pub(crate) fn subnet(net: IpNet) -> Value {
    Expression::Named(NamedExpression::Prefix(Prefix {
        addr: Box::new(string(&net.addr().to_string())),
        len: u32::from(net.prefix_len()),
    }))
}

/// `… comment "…"` after an element.
pub(crate) fn with_comment(value: Value, comment: &str) -> Value {
    Expression::Named(NamedExpression::Elem(Elem {
        val: Box::new(value),
        timeout: None,
        expires: None,
        comment: Some(sanitize::comment(comment).into()),
        counter: None,
    }))
}

/// `iifname @set`
pub(crate) fn iifname_in(set: &str) -> Word {
    compare(meta(MetaKey::Iifname), Operator::EQ, set_ref(set))
}

/// `oifname @set`
pub(crate) fn oifname_in(set: &str) -> Word {
    compare(meta(MetaKey::Oifname), Operator::EQ, set_ref(set))
}

/// `iifname != @set`
pub(crate) fn iifname_not_in(set: &str) -> Word {
    compare(meta(MetaKey::Iifname), Operator::NEQ, set_ref(set))
}

/// `oifname != @set`
pub(crate) fn oifname_not_in(set: &str) -> Word {
    compare(meta(MetaKey::Oifname), Operator::NEQ, set_ref(set))
}

/// `ip saddr @set`, `ip6 saddr @set`
pub(crate) fn saddr_in(family: &IpAddr, set: &str) -> Word {
    compare(saddr(family), Operator::EQ, set_ref(set))
}

/// `ip daddr @set`, `ip6 daddr @set`
pub(crate) fn daddr_in(family: &IpAddr, set: &str) -> Word {
    compare(address(family, "daddr"), Operator::EQ, set_ref(set))
}

/// `ip saddr 10.0.0.0/24`, `ip6 saddr fd00::/64`; `meta nfproto ipv4` for all there are.
pub(crate) fn saddr_of(net: IpNet) -> Word {
    address_of(net, "saddr")
}

/// `ip daddr 10.0.0.0/24`, `ip6 daddr fd00::/64`; `meta nfproto ipv4` for all there are.
pub(crate) fn daddr_of(net: IpNet) -> Word {
    address_of(net, "daddr")
}

fn address_of(net: IpNet, field: &'static str) -> Word {
    let all = net.max_prefix_len();
    let value = match net.prefix_len() {
        0 => return nfproto(&net.addr()),
        length if length == all => string(&net.addr().to_string()),
        _ => subnet(net),
    };
    compare(address(&net.addr(), field), Operator::EQ, value)
}

/// `tcp dport { 80, 8080-8090 }`
pub(crate) fn dport_in(protocol: &'static str, ports: &[PortRange]) -> Word {
    ports_in(protocol, "dport", ports)
}

/// `tcp sport { 80, 8080-8090 }`
pub(crate) fn sport_in(protocol: &'static str, ports: &[PortRange]) -> Word {
    ports_in(protocol, "sport", ports)
}

fn ports_in(protocol: &'static str, field: &'static str, ports: &[PortRange]) -> Word {
    let number = |port| Expression::Number(u32::from(port));
    let ports = ports.iter().map(|ports| match ports.first == ports.last {
        true => number(ports.first),
        false => Expression::Range(Box::new(Range {
            range: [number(ports.first), number(ports.last)],
        })),
    });
    compare(payload(protocol, field), Operator::EQ, set(ports))
}

/// `meta l4proto { icmp, ipv6-icmp }`
pub(crate) fn is_icmp() -> Word {
    let protocols = ["icmp", "ipv6-icmp"].into_iter().map(string);
    compare(meta(MetaKey::L4proto), Operator::EQ, set(protocols))
}

/// `icmp type echo-request`, `icmpv6 type echo-request`
pub(crate) fn icmp_type(protocol: &'static str, kind: &str) -> Word {
    compare(payload(protocol, "type"), Operator::EQ, string(kind))
}

/// `ct state related`
pub(crate) fn related() -> Word {
    compare(conntrack("state"), Operator::IN, string("related"))
}

/// `ct state new,related`
pub(crate) fn new_or_related() -> Word {
    let states = ["new", "related"].map(string).to_vec();
    compare(conntrack("state"), Operator::IN, Expression::List(states))
}

/// `ct label 127`: the connection has that bit among its labels. As a text, since nft takes a
/// number for the whole value of 128 bits.
pub(crate) fn labelled(bit: u8) -> Word {
    compare(conntrack("label"), Operator::IN, string(&bit.to_string()))
}

/// `ct label set 127`: that bit is set, the others stay.
pub(crate) fn set_label(bit: u8) -> Word {
    Statement::Mangle(Mangle {
        key: conntrack("label"),
        value: string(&bit.to_string()),
    })
}

/// `ct direction original`, `ct direction reply`
pub(crate) fn direction(direction: Direction) -> Word {
    let word = match direction {
        Direction::Original => "original",
        Direction::Reply => "reply",
    };
    compare(conntrack("direction"), Operator::EQ, string(word))
}

/// `fib saddr . iif oif exists`: the host would send to that source through the interface that
/// the packet came in by.
pub(crate) fn reverse_path_exists() -> Word {
    let fib = Fib {
        result: FibResult::Oif,
        flags: HashSet::from([FibFlag::Saddr, FibFlag::Iif]),
    };
    let fib = Expression::Named(NamedExpression::Fib(fib));
    compare(fib, Operator::EQ, Expression::Boolean(true))
}

/// `meta nfproto ipv4`, `meta nfproto ipv6`
pub(crate) fn nfproto(family: &IpAddr) -> Word {
    let word = if family.is_ipv4() { "ipv4" } else { "ipv6" };
    compare(meta(MetaKey::Nfproto), Operator::EQ, string(word))
}

/// `iifname . ip saddr @set`, `iifname . ip6 saddr @set`
pub(crate) fn iifname_saddr_in(family: &IpAddr, set: &str) -> Word {
    iifname_and_in(saddr(family), set)
}

/// `iifname . ip saddr & mask @set`, `iifname . ip6 saddr & mask @set`
pub(crate) fn iifname_masked_saddr_in(mask: &IpAddr, set: &str) -> Word {
    let masked = BinaryOperation::AND(saddr(mask), string(&mask.to_string()));
    iifname_and_in(Expression::BinaryOperation(Box::new(masked)), set)
}

/// `oifname . ip daddr & mask @set`, `oifname . ip6 daddr & mask @set`
pub(crate) fn oifname_masked_daddr_in(mask: &IpAddr, set: &str) -> Word {
    let masked = BinaryOperation::AND(address(mask, "daddr"), string(&mask.to_string()));
    let masked = Expression::BinaryOperation(Box::new(masked));
    name_and_in(MetaKey::Oifname, masked, set)
}

/// `iifname . oifname @set`
pub(crate) fn iifname_oifname_in(set: &str) -> Word {
    iifname_and_in(meta(MetaKey::Oifname), set)
}

fn iifname_and_in(other: Value, set: &str) -> Word {
    name_and_in(MetaKey::Iifname, other, set)
}

fn name_and_in(name: MetaKey, other: Value, set: &str) -> Word {
    let pair = vec![meta(name), other];
    let pair = Expression::Named(NamedExpression::Concat(pair));
    compare(pair, Operator::EQ, set_ref(set))
}

/// `meta mark & bit == value`
pub(crate) fn mark_and(bit: u32, operator: Operator, value: u32) -> Word {
    let masked = BinaryOperation::AND(meta(MetaKey::Mark), Expression::Number(bit));
    let masked = Expression::BinaryOperation(Box::new(masked));
    compare(masked, operator, Expression::Number(value))
}

/// `meta mark & bit == 0`
pub(crate) fn unmarked(bit: u32) -> Word {
    mark_and(bit, Operator::EQ, 0)
}

/// `meta mark & bit != 0`
pub(crate) fn marked(bit: u32) -> Word {
    mark_and(bit, Operator::NEQ, 0)
}

/// `meta mark set meta mark | bit`
pub(crate) fn set_mark(bit: u32) -> Word {
    let value = vec![meta(MetaKey::Mark), Expression::Number(bit)];
    mangle_mark(BinaryOperation::OR(value))
}

/// `meta mark set meta mark & mask`
pub(crate) fn keep_mark(mask: u32) -> Word {
    mangle_mark(BinaryOperation::AND(
        meta(MetaKey::Mark),
        Expression::Number(mask),
    ))
}

/// `snat ip to ip saddr`, `snat ip6 to ip6 saddr`: the source stays what it is, and the
/// connection has its translation, so no later chain makes another.
pub(crate) fn snat_to_itself(family: &IpAddr) -> Word {
    Statement::SNAT(Some(NAT {
        addr: Some(saddr(family)),
        family: Some(match family {
            IpAddr::V4(_) => NATFamily::IP,
            IpAddr::V6(_) => NATFamily::IP6,
        }),
        port: None,
        flags: None,
    }))
}

/// `counter`
pub(crate) fn counter() -> Word {
    Statement::Counter(Counter::Anonymous(None))
}

/// `accept`
pub(crate) fn accept() -> Word {
    Statement::Accept(None)
}

/// `drop`
pub(crate) fn drop() -> Word {
    Statement::Drop(None)
}

/// `return`
pub(crate) fn ret() -> Word {
    Statement::Return(None)
}

/// `jump chain`
pub(crate) fn jump(chain: &str) -> Word {
    Statement::Jump(target(chain))
}

/// `goto chain`
pub(crate) fn goto(chain: &str) -> Word {
    Statement::Goto(target(chain))
}

fn target(chain: &str) -> JumpTarget<'static> {
    JumpTarget {
        target: chain.to_owned().into(),
    }
}

fn compare(left: Value, op: Operator, right: Value) -> Word {
    Statement::Match(Match { left, right, op })
}

fn mangle_mark(value: BinaryOperation<'static>) -> Word {
    Statement::Mangle(Mangle {
        key: meta(MetaKey::Mark),
        value: Expression::BinaryOperation(Box::new(value)),
    })
}

fn meta(key: MetaKey) -> Value {
    Expression::Named(NamedExpression::Meta(Meta { key }))
}

fn saddr(family: &IpAddr) -> Value {
    address(family, "saddr")
}

fn address(family: &IpAddr, field: &'static str) -> Value {
    let protocol = if family.is_ipv4() { "ip" } else { "ip6" };
    payload(protocol, field)
}

fn conntrack(key: &'static str) -> Value {
    Expression::Named(NamedExpression::CT(CT {
        key: key.into(),
        family: None,
        dir: None,
    }))
}

/// `{ … }`
fn set(elements: impl Iterator<Item = Value>) -> Value {
    Expression::Named(NamedExpression::Set(
        elements.map(SetItem::Element).collect(),
    ))
}

fn payload(protocol: &'static str, field: &'static str) -> Value {
    let field = PayloadField {
        protocol: protocol.into(),
        field: field.into(),
    };
    Expression::Named(NamedExpression::Payload(Payload::PayloadField(field)))
}

fn set_ref(set: &str) -> Value {
    string(&format!("@{set}"))
}

fn string(text: &str) -> Value {
    Expression::String(text.to_owned().into())
}
