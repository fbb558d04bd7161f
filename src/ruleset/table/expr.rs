//! nft's commands, statements and expressions as functions, over the types of the `nftables` crate.
//! No other file builds these types; [`text`](super::text) renders them.
//!
//! The crate serialises to libnftables-json(5). Its own way to run nft is not used: it
//! loses nft's stderr. `Operator::LT` and `GT` are swapped in it and must not be used.

use std::{borrow::Cow, collections::HashSet, net::IpAddr};

use ipnet::IpNet;
use nftables::{
    expr::{
        BinaryOperation, CT, Elem, Fib, FibFlag, FibResult, Meta, MetaKey, NamedExpression,
        Payload, PayloadField, Prefix, Range, SetItem,
    },
    schema::{
        Chain, Element, NfCmd, NfListObject, Rule, Set, SetFlag, SetType, SetTypeValue, Table,
    },
    stmt::{Counter, JumpTarget, Mangle, Match, NAT, NATFamily, Operator},
    types::{NfChainPolicy, NfChainType, NfFamily, NfHook},
};

use virt_forward_policy::{
    config::PortRange,
    netfilter::{Family, TableName},
    network::KernelName,
    sanitize,
};

/// A condition or an action of a rule.
pub(crate) type Statement = nftables::stmt::Statement<'static>;
/// A side of a condition, or an element of a set.
pub(crate) type Expression = nftables::expr::Expression<'static>;

/// The type and the netfilter hook of a base chain.
#[derive(Clone, Copy)]
pub(crate) enum Hook {
    /// `type filter hook forward`
    FilterForward,
    /// `type filter hook postrouting`
    FilterPostrouting,
    /// `type nat hook postrouting`
    NatPostrouting,
}

/// The key type of a set.
#[derive(Clone, Copy)]
pub(crate) enum SetKeyType {
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

/// The direction of a packet in its connection, as conntrack has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CtDirection {
    /// That of the first packet.
    Original,
    /// The opposite one.
    Reply,
}

/// Commands for nft in one transaction: the kernel applies all of them or none.
#[derive(Clone, Debug, Default)]
pub struct Batch(Vec<NfCmd<'static>>);

/// As the crate's `Nftables`, which would take the commands by value.
#[derive(serde::Serialize)]
struct Commands<'a> {
    nftables: &'a [NfCmd<'static>],
}

impl Batch {
    /// The JSON that `nft -j -f -` reads. Fails only if a value cannot be serialised.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(&Commands { nftables: &self.0 })
    }

    /// The commands, in the order in which nft carries them out.
    pub(super) fn commands(&self) -> &[NfCmd<'static>] {
        &self.0
    }

    /// Whether the batch has no command.
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
        key_type: SetKeyType,
        elements: Vec<Expression>,
    ) {
        let (set_type, interval) = key_type.nft_type();
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

    /// `add element … { … }`, unless `elements` is empty.
    pub(crate) fn add_elements(
        &mut self,
        table: TableName<'_>,
        set: &str,
        elements: Vec<Expression>,
    ) {
        if !elements.is_empty() {
            self.push(NfCmd::Add(element_object(table, set, elements)));
        }
    }

    /// `delete element … { … }`, unless `elements` is empty.
    pub(crate) fn delete_elements(
        &mut self,
        table: TableName<'_>,
        set: &str,
        elements: Vec<Expression>,
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
        statements: impl Into<Vec<Statement>>,
    ) {
        self.push(NfCmd::Add(NfListObject::Rule(Rule {
            expr: statements.into().into(),
            ..rule(table, chain)
        })));
    }

    /// `insert rule … position HANDLE … comment "…"`, which inserts before the rule with that handle;
    /// without a handle `add rule …`, which appends.
    pub(crate) fn insert_rule(
        &mut self,
        table: TableName<'_>,
        chain: &str,
        before: Option<u32>,
        statements: impl Into<Vec<Statement>>,
        comment: &'static str,
    ) {
        let rule = NfListObject::Rule(Rule {
            expr: statements.into().into(),
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
        self.0.push(command);
    }
}

impl SetKeyType {
    fn nft_type(self) -> (SetTypeValue<'static>, bool) {
        let pair = |address| SetTypeValue::Concatenated(vec![SetType::Ifname, address].into());
        match self {
            SetKeyType::Interface => (SetTypeValue::Single(SetType::Ifname), false),
            SetKeyType::Subnet4 => (SetTypeValue::Single(SetType::Ipv4Addr), true),
            SetKeyType::Subnet6 => (SetTypeValue::Single(SetType::Ipv6Addr), true),
            SetKeyType::InterfacePair => (pair(SetType::Ifname), false),
            SetKeyType::InterfaceAddress4 => (pair(SetType::Ipv4Addr), false),
            SetKeyType::InterfaceAddress6 => (pair(SetType::Ipv6Addr), false),
            SetKeyType::InterfaceSubnet4 => (pair(SetType::Ipv4Addr), true),
            SetKeyType::InterfaceSubnet6 => (pair(SetType::Ipv6Addr), true),
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

fn element_object(table: TableName<'_>, set: &str, elem: Vec<Expression>) -> NfListObject<'static> {
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

/// Sets every field: the crate's `Rule::default()` is a rule of table `filter`.
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
pub(crate) fn interface(name: &KernelName) -> Expression {
    string(&name.in_nft().unwrap_or_default())
}

/// `"eth0"`: an interface other than a network's bridge.
pub(crate) fn interface_named(name: &str) -> Expression {
    string(name)
}

/// `"virbr0" . "virbr1"`
pub(crate) fn interface_pair(one: &KernelName, other: &KernelName) -> Expression {
    let pair = vec![interface(one), interface(other)];
    Expression::Named(NamedExpression::Concat(pair))
}

/// `"br0" . "br0"`
pub(crate) fn interface_with_itself(name: &str) -> Expression {
    let pair = vec![interface_named(name), interface_named(name)];
    Expression::Named(NamedExpression::Concat(pair))
}

/// `"eth0" . 10.0.0.0/24`
pub(crate) fn interface_named_subnet(name: &str, net: IpNet) -> Expression {
    let pair = vec![interface_named(name), subnet(net)];
    Expression::Named(NamedExpression::Concat(pair))
}

/// `"virbr0" . 10.0.0.0`
pub(crate) fn interface_address(name: &KernelName, address: IpAddr) -> Expression {
    let pair = vec![interface(name), string(&address.to_string())];
    Expression::Named(NamedExpression::Concat(pair))
}

/// `"virbr0" . 10.0.0.0/24`
pub(crate) fn interface_subnet(name: &KernelName, net: IpNet) -> Expression {
    let pair = vec![interface(name), subnet(net)];
    Expression::Named(NamedExpression::Concat(pair))
}

/// `10.0.0.0/24`
pub(crate) fn subnet(net: IpNet) -> Expression {
    Expression::Named(NamedExpression::Prefix(Prefix {
        addr: Box::new(string(&net.addr().to_string())),
        len: u32::from(net.prefix_len()),
    }))
}

/// `… comment "…"` after an element.
pub(crate) fn with_comment(value: Expression, comment: &str) -> Expression {
    Expression::Named(NamedExpression::Elem(Elem {
        val: Box::new(value),
        timeout: None,
        expires: None,
        comment: Some(sanitize::comment(comment).into()),
        counter: None,
    }))
}

/// `iifname @set`
pub(crate) fn iifname_in(set: &str) -> Statement {
    compare(meta(MetaKey::Iifname), Operator::EQ, set_ref(set))
}

/// `oifname @set`
pub(crate) fn oifname_in(set: &str) -> Statement {
    compare(meta(MetaKey::Oifname), Operator::EQ, set_ref(set))
}

/// `iifname != @set`
pub(crate) fn iifname_not_in(set: &str) -> Statement {
    compare(meta(MetaKey::Iifname), Operator::NEQ, set_ref(set))
}

/// `oifname != @set`
pub(crate) fn oifname_not_in(set: &str) -> Statement {
    compare(meta(MetaKey::Oifname), Operator::NEQ, set_ref(set))
}

/// `ip saddr @set`, `ip6 saddr @set`
pub(crate) fn saddr_in(family: &IpAddr, set: &str) -> Statement {
    compare(saddr(family), Operator::EQ, set_ref(set))
}

/// `ip daddr @set`, `ip6 daddr @set`
pub(crate) fn daddr_in(family: &IpAddr, set: &str) -> Statement {
    compare(address(family, "daddr"), Operator::EQ, set_ref(set))
}

/// `ip saddr 10.0.0.0/24`, `ip6 saddr fd00::/64`; `meta nfproto ipv4` for `0.0.0.0/0`.
pub(crate) fn saddr_of(net: IpNet) -> Statement {
    address_of(net, "saddr")
}

/// `ip daddr 10.0.0.0/24`, `ip6 daddr fd00::/64`; `meta nfproto ipv4` for `0.0.0.0/0`.
pub(crate) fn daddr_of(net: IpNet) -> Statement {
    address_of(net, "daddr")
}

fn address_of(net: IpNet, field: &'static str) -> Statement {
    let all = net.max_prefix_len();
    let value = match net.prefix_len() {
        0 => return nfproto(&net.addr()),
        length if length == all => string(&net.addr().to_string()),
        _ => subnet(net),
    };
    compare(address(&net.addr(), field), Operator::EQ, value)
}

/// `tcp dport { 80, 8080-8090 }`
pub(crate) fn dport_in(protocol: &'static str, ports: &[PortRange]) -> Statement {
    ports_in(protocol, "dport", ports)
}

/// `tcp sport { 80, 8080-8090 }`
pub(crate) fn sport_in(protocol: &'static str, ports: &[PortRange]) -> Statement {
    ports_in(protocol, "sport", ports)
}

fn ports_in(protocol: &'static str, field: &'static str, ports: &[PortRange]) -> Statement {
    let number = |port| Expression::Number(u32::from(port));
    let elements = ports.iter().map(|ports| {
        if ports.first == ports.last {
            return number(ports.first);
        }
        Expression::Range(Box::new(Range {
            range: [number(ports.first), number(ports.last)],
        }))
    });
    compare(payload(protocol, field), Operator::EQ, set(elements))
}

/// `meta l4proto { icmp, ipv6-icmp }`
pub(crate) fn is_icmp() -> Statement {
    let protocols = ["icmp", "ipv6-icmp"].into_iter().map(string);
    compare(meta(MetaKey::L4proto), Operator::EQ, set(protocols))
}

/// `icmp type echo-request`, `icmpv6 type echo-request`
pub(crate) fn icmp_type(protocol: &'static str, kind: &str) -> Statement {
    compare(payload(protocol, "type"), Operator::EQ, string(kind))
}

/// `ct state related`
pub(crate) fn ct_state_related() -> Statement {
    compare(conntrack("state"), Operator::IN, string("related"))
}

/// `ct state new,related`
pub(crate) fn ct_state_new_or_related() -> Statement {
    let states = ["new", "related"].map(string).to_vec();
    compare(conntrack("state"), Operator::IN, Expression::List(states))
}

/// `ct label 127`: the connection has that label bit. The bit is sent as a string, because nft takes
/// a number for the whole value of 128 bits.
pub(crate) fn ct_label(bit: u8) -> Statement {
    compare(conntrack("label"), Operator::IN, string(&bit.to_string()))
}

/// `ct label set 127`: sets that label bit and keeps the others.
pub(crate) fn ct_label_set(bit: u8) -> Statement {
    Statement::Mangle(Mangle {
        key: conntrack("label"),
        value: string(&bit.to_string()),
    })
}

/// `ct direction original`, `ct direction reply`
pub(crate) fn ct_direction(direction: CtDirection) -> Statement {
    let word = match direction {
        CtDirection::Original => "original",
        CtDirection::Reply => "reply",
    };
    compare(conntrack("direction"), Operator::EQ, string(word))
}

/// `fib saddr . iif oif exists`: the packet passes the reverse path check, as the host routes replies
/// to its source through the interface that it arrived on.
pub(crate) fn reverse_path_exists() -> Statement {
    let fib = Fib {
        result: FibResult::Oif,
        flags: HashSet::from([FibFlag::Saddr, FibFlag::Iif]),
    };
    let fib = Expression::Named(NamedExpression::Fib(fib));
    compare(fib, Operator::EQ, Expression::Boolean(true))
}

/// `meta nfproto ipv4`, `meta nfproto ipv6`
pub(crate) fn nfproto(family: &IpAddr) -> Statement {
    let word = if family.is_ipv4() { "ipv4" } else { "ipv6" };
    compare(meta(MetaKey::Nfproto), Operator::EQ, string(word))
}

/// `iifname . ip saddr @set`, `iifname . ip6 saddr @set`
pub(crate) fn iifname_saddr_in(family: &IpAddr, set: &str) -> Statement {
    iifname_and_in(saddr(family), set)
}

/// `iifname . ip saddr & mask @set`, `iifname . ip6 saddr & mask @set`
pub(crate) fn iifname_masked_saddr_in(mask: &IpAddr, set: &str) -> Statement {
    let masked = BinaryOperation::AND(saddr(mask), string(&mask.to_string()));
    iifname_and_in(Expression::BinaryOperation(Box::new(masked)), set)
}

/// `oifname . ip daddr & mask @set`, `oifname . ip6 daddr & mask @set`
pub(crate) fn oifname_masked_daddr_in(mask: &IpAddr, set: &str) -> Statement {
    let masked = BinaryOperation::AND(address(mask, "daddr"), string(&mask.to_string()));
    let masked = Expression::BinaryOperation(Box::new(masked));
    name_and_in(MetaKey::Oifname, masked, set)
}

/// `iifname . oifname @set`
pub(crate) fn iifname_oifname_in(set: &str) -> Statement {
    iifname_and_in(meta(MetaKey::Oifname), set)
}

fn iifname_and_in(other: Expression, set: &str) -> Statement {
    name_and_in(MetaKey::Iifname, other, set)
}

fn name_and_in(name: MetaKey, other: Expression, set: &str) -> Statement {
    let pair = vec![meta(name), other];
    let pair = Expression::Named(NamedExpression::Concat(pair));
    compare(pair, Operator::EQ, set_ref(set))
}

/// `meta mark & bit == value`
pub(crate) fn mark_and(bit: u32, operator: Operator, value: u32) -> Statement {
    let masked = BinaryOperation::AND(meta(MetaKey::Mark), Expression::Number(bit));
    let masked = Expression::BinaryOperation(Box::new(masked));
    compare(masked, operator, Expression::Number(value))
}

/// `meta mark & bit == 0`
pub(crate) fn mark_bit_clear(bit: u32) -> Statement {
    mark_and(bit, Operator::EQ, 0)
}

/// `meta mark & bit != 0`
pub(crate) fn mark_bit_set(bit: u32) -> Statement {
    mark_and(bit, Operator::NEQ, 0)
}

/// `meta mark set meta mark | bit`
pub(crate) fn set_mark_bit(bit: u32) -> Statement {
    let value = vec![meta(MetaKey::Mark), Expression::Number(bit)];
    mangle_mark(BinaryOperation::OR(value))
}

/// `meta mark set meta mark & ~bit`
pub(crate) fn clear_mark_bit(bit: u32) -> Statement {
    mangle_mark(BinaryOperation::AND(
        meta(MetaKey::Mark),
        Expression::Number(!bit),
    ))
}

/// `snat ip to ip saddr`, `snat ip6 to ip6 saddr`: an identity translation, which keeps the source.
/// It binds the connection, so later nat chains do not translate it.
pub(crate) fn snat_to_saddr(family: &IpAddr) -> Statement {
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
pub(crate) fn counter() -> Statement {
    Statement::Counter(Counter::Anonymous(None))
}

/// `accept`
pub(crate) fn accept() -> Statement {
    Statement::Accept(None)
}

/// `drop`
pub(crate) fn drop() -> Statement {
    Statement::Drop(None)
}

/// `return`
pub(crate) fn return_() -> Statement {
    Statement::Return(None)
}

/// `jump chain`
pub(crate) fn jump(chain: &str) -> Statement {
    Statement::Jump(target(chain))
}

/// `goto chain`
pub(crate) fn goto(chain: &str) -> Statement {
    Statement::Goto(target(chain))
}

fn target(chain: &str) -> JumpTarget<'static> {
    JumpTarget {
        target: chain.to_owned().into(),
    }
}

fn compare(left: Expression, op: Operator, right: Expression) -> Statement {
    Statement::Match(Match { left, right, op })
}

fn mangle_mark(value: BinaryOperation<'static>) -> Statement {
    Statement::Mangle(Mangle {
        key: meta(MetaKey::Mark),
        value: Expression::BinaryOperation(Box::new(value)),
    })
}

fn meta(key: MetaKey) -> Expression {
    Expression::Named(NamedExpression::Meta(Meta { key }))
}

fn saddr(family: &IpAddr) -> Expression {
    address(family, "saddr")
}

fn address(family: &IpAddr, field: &'static str) -> Expression {
    let protocol = if family.is_ipv4() { "ip" } else { "ip6" };
    payload(protocol, field)
}

fn conntrack(key: &'static str) -> Expression {
    Expression::Named(NamedExpression::CT(CT {
        key: key.into(),
        family: None,
        dir: None,
    }))
}

/// `{ … }`
fn set(elements: impl Iterator<Item = Expression>) -> Expression {
    Expression::Named(NamedExpression::Set(
        elements.map(SetItem::Element).collect(),
    ))
}

fn payload(protocol: &'static str, field: &'static str) -> Expression {
    let field = PayloadField {
        protocol: protocol.into(),
        field: field.into(),
    };
    Expression::Named(NamedExpression::Payload(Payload::PayloadField(field)))
}

fn set_ref(set: &str) -> Expression {
    string(&format!("@{set}"))
}

fn string(text: &str) -> Expression {
    Expression::String(text.to_owned().into())
}
