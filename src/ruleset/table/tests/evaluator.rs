//! Evaluates the rules of a [`Batch`] for one packet, as the kernel would.
//!
//! Input: a batch that replaces the table, and a packet with what the kernel knows of it (its
//! interfaces, its connection, its reverse path). Output: the verdict, and the mark, label and source
//! address translation that the packet and its connection then have. After the model of kube-proxy's
//! `nftablesTracer`, which evaluates the rules of an in-memory `knftables.Fake`.
//!
//! Only what the table uses is known; anything else panics, so that a new kind of statement cannot
//! be ignored.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;
use nftables::{
    expr::{BinaryOperation, Expression, FibFlag, MetaKey, NamedExpression, Payload, SetItem},
    schema::{NfCmd, NfListObject},
    stmt::{Mangle, Match, Operator, Statement},
    types::{NfChainPolicy, NfChainType, NfHook},
};

use super::super::{Batch, expr::CtDirection};

/// A packet that the host forwards.
#[derive(Clone, Debug)]
pub(super) struct Packet {
    pub(super) iifname: String,
    pub(super) oifname: String,
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) transport: Transport,
    pub(super) connection: Connection,
    pub(super) mark: u32,
    /// The result of `fib saddr . iif oif exists`: the host would answer through `iifname`.
    pub(super) has_reverse_path: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Tcp {
        sport: u16,
        dport: u16,
    },
    Udp {
        sport: u16,
        dport: u16,
    },
    /// ICMP or ICMPv6, by the family of the packet, with nft's name of the type.
    Icmp(&'static str),
    Sctp,
}

/// The conntrack entry of a packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connection {
    pub(super) state: State,
    pub(super) direction: CtDirection,
    /// It has the label of the table.
    pub(super) is_labelled: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    New,
    Established,
    Related,
}

/// The fate of a packet in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Whether the forward chain accepts or drops it.
    pub(super) is_accepted: bool,
    /// The mark after the forward chain, which the gates see.
    pub(super) mark: u32,
    /// Whether its connection has the label then.
    pub(super) is_labelled: bool,
    /// The source is translated to itself. Chains of type nat see the first packet of a
    /// connection only.
    pub(super) keeps_source: bool,
    /// The mark after the last chain of the postrouting hook.
    pub(super) final_mark: u32,
}

/// The table that a batch leaves behind.
#[derive(Debug, Default)]
pub(super) struct Table {
    sets: BTreeMap<String, Vec<Expression<'static>>>,
    chains: BTreeMap<String, Chain>,
}

#[derive(Debug, Default)]
struct Chain {
    base: Option<Base>,
    rules: Vec<Vec<Statement<'static>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Base {
    kind: NfChainType,
    hook: NfHook,
    priority: i32,
    policy: NfChainPolicy,
}

/// How a chain ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Accept,
    Drop,
    /// At its last rule, or by `return`: the calling chain continues.
    Return,
}

/// What rules change while a packet is evaluated.
#[derive(Clone, Copy)]
struct Effects {
    mark: u32,
    is_labelled: bool,
    keeps_source: bool,
}

impl Table {
    pub(super) fn of(batch: &Batch) -> Self {
        let mut table = Self::default();
        for command in batch.commands() {
            match command {
                NfCmd::Delete(NfListObject::Table(_)) => table = Self::default(),
                NfCmd::Add(object) => table.add(object),
                other => panic!("{other:?}"),
            }
        }
        table.check_references();
        table
    }

    fn add(&mut self, object: &NfListObject<'static>) {
        match object {
            NfListObject::Table(_) => {}
            NfListObject::Set(set) => {
                let elements = set.elem.clone().unwrap_or_default().into_owned();
                self.sets.insert(set.name.to_string(), elements);
            }
            NfListObject::Element(element) => {
                let set = self.sets.get_mut(element.name.as_ref()).unwrap();
                set.extend(element.elem.iter().cloned());
            }
            NfListObject::Chain(chain) => {
                let base = chain.hook.map(|hook| Base {
                    kind: chain._type.unwrap(),
                    hook,
                    priority: chain.prio.unwrap(),
                    policy: chain.policy.unwrap(),
                });
                let rules = Vec::new();
                self.chains
                    .insert(chain.name.to_string(), Chain { base, rules });
            }
            NfListObject::Rule(rule) => {
                let chain = self.chains.get_mut(rule.chain.as_ref()).unwrap();
                chain.rules.push(rule.expr.to_vec());
            }
            other => panic!("{other:?}"),
        }
    }

    /// nft refuses a rule that names a set or a chain that is missing.
    fn check_references(&self) {
        for statement in self
            .chains
            .values()
            .flat_map(|chain| &chain.rules)
            .flatten()
        {
            match statement {
                Statement::Jump(chain) | Statement::Goto(chain) => {
                    assert!(self.chains.contains_key(chain.target.as_ref()), "{chain:?}");
                }
                Statement::Match(Match {
                    right: Expression::String(text),
                    ..
                }) => {
                    let set = text.strip_prefix('@');
                    assert!(set.is_none_or(|set| self.sets.contains_key(set)), "{text}");
                }
                _ => {}
            }
        }
    }

    /// The chains that no base chain leads to.
    pub(super) fn unreachable_chains(&self) -> BTreeSet<&str> {
        let is_base = |(_, chain): &(&String, &Chain)| chain.base.is_some();
        let bases = self.chains.iter().filter(is_base);
        let mut pending: Vec<&str> = bases.map(|(name, _)| name.as_str()).collect();
        let mut unreachable: BTreeSet<_> = self.chains.keys().map(String::as_str).collect();
        while let Some(name) = pending.pop() {
            if unreachable.remove(name) {
                let targets = self.chains[name].rules.iter().flatten();
                pending.extend(targets.filter_map(|statement| match statement {
                    Statement::Jump(chain) | Statement::Goto(chain) => Some(chain.target.as_ref()),
                    _ => None,
                }));
            }
        }
        unreachable
    }

    /// Evaluates the forward hook, and for an accepted packet the postrouting hook.
    pub(super) fn evaluate(&self, packet: &Packet) -> Outcome {
        let mut effects = Effects {
            mark: packet.mark,
            is_labelled: packet.connection.is_labelled,
            keeps_source: false,
        };
        let is_accepted = self.hook(NfHook::Forward, packet, &mut effects);
        let mark = effects.mark;
        if is_accepted {
            assert!(self.hook(NfHook::Postrouting, packet, &mut effects));
        }
        Outcome {
            is_accepted,
            mark,
            is_labelled: effects.is_labelled,
            keeps_source: effects.keeps_source,
            final_mark: effects.mark,
        }
    }

    /// Whether every base chain of the hook accepts the packet.
    fn hook(&self, hook: NfHook, packet: &Packet, effects: &mut Effects) -> bool {
        let bases = self.chains.iter().filter_map(|(name, chain)| {
            let base = chain.base.filter(|base| base.hook == hook)?;
            Some((base.priority, name, base))
        });
        let mut bases: Vec<_> = bases.collect();
        bases.sort_by_key(|(priority, ..)| *priority);
        assert!(!bases.is_empty());
        for (_, name, base) in bases {
            let is_first = packet.connection.state != State::Established;
            if base.kind == NfChainType::NAT && !is_first {
                continue;
            }
            let is_accepted = match self.chain(name, packet, effects) {
                End::Accept => true,
                End::Drop => false,
                End::Return => base.policy == NfChainPolicy::Accept,
            };
            if !is_accepted {
                return false;
            }
        }
        true
    }

    fn chain(&self, name: &str, packet: &Packet, effects: &mut Effects) -> End {
        for rule in &self.chains[name].rules {
            if let Some(end) = self.rule(rule, packet, effects) {
                return end;
            }
        }
        End::Return
    }

    /// The end of the chain, where the rule decides it.
    fn rule(
        &self,
        statements: &[Statement<'static>],
        packet: &Packet,
        effects: &mut Effects,
    ) -> Option<End> {
        for statement in statements {
            match statement {
                Statement::Match(condition) => {
                    if !self.matches(condition, packet, effects) {
                        return None;
                    }
                }
                Statement::Mangle(mangle) => apply(mangle, effects),
                Statement::Counter(_) => {}
                Statement::Accept(_) => return Some(End::Accept),
                Statement::Drop(_) => return Some(End::Drop),
                Statement::Return(_) => return Some(End::Return),
                Statement::Goto(chain) => {
                    return Some(self.chain(&chain.target, packet, effects));
                }
                Statement::Jump(chain) => match self.chain(&chain.target, packet, effects) {
                    End::Return => {}
                    end => return Some(end),
                },
                Statement::SNAT(Some(nat)) => {
                    let address = nat.addr.as_ref().unwrap();
                    let is_itself =
                        Value::of(address, packet, effects) == Some(Value::Address(packet.source));
                    assert!(is_itself, "{nat:?}");
                    effects.keeps_source = true;
                    return Some(End::Accept);
                }
                other => panic!("{other:?}"),
            }
        }
        None
    }

    /// An expression that the packet does not have, a port of an ICMP packet say, ends the rule,
    /// for any operator (the kernel's `NFT_BREAK`).
    fn matches(&self, condition: &Match, packet: &Packet, effects: &Effects) -> bool {
        let Some(value) = Value::of(&condition.left, packet, effects) else {
            return false;
        };
        let is_in = match &condition.right {
            Expression::String(text) => match text.strip_prefix('@') {
                Some(set) => self.sets[set].iter().any(|one| value.is_element(one)),
                None => value.is(&condition.right),
            },
            other => value.is(other),
        };
        match condition.op {
            Operator::EQ | Operator::IN => is_in,
            Operator::NEQ => !is_in,
            other => panic!("{other:?}"),
        }
    }
}

fn apply(mangle: &Mangle, effects: &mut Effects) {
    let key = match &mangle.key {
        Expression::Named(NamedExpression::CT(conntrack)) => conntrack.key.as_ref(),
        Expression::Named(NamedExpression::Meta(_)) => "mark",
        other => panic!("{other:?}"),
    };
    match (key, &mangle.value) {
        ("label", Expression::String(label)) => {
            assert_eq!(*label, super::super::LABEL.to_string());
            effects.is_labelled = true;
        }
        ("mark", Expression::BinaryOperation(operation)) => match operation.as_ref() {
            BinaryOperation::AND(_, Expression::Number(mask)) => effects.mark &= mask,
            BinaryOperation::OR(values) => {
                let [_, Expression::Number(bit)] = values.as_slice() else {
                    panic!("{values:?}");
                };
                effects.mark |= bit;
            }
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

/// The value of an expression for a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Text(String),
    Number(u32),
    Address(IpAddr),
    Exists(bool),
    Concatenation(Vec<Value>),
}

impl Value {
    /// Nothing where the packet has no such field.
    fn of(expression: &Expression, packet: &Packet, effects: &Effects) -> Option<Self> {
        let text = |text: &str| Some(Self::Text(text.to_owned()));
        match expression {
            Expression::BinaryOperation(operation) => match operation.as_ref() {
                BinaryOperation::AND(value, mask) => Self::of(value, packet, effects)?.masked(mask),
                other => panic!("{other:?}"),
            },
            Expression::Named(NamedExpression::Concat(parts)) => {
                let parts = parts.iter().map(|part| Self::of(part, packet, effects));
                parts.collect::<Option<_>>().map(Self::Concatenation)
            }
            Expression::Named(NamedExpression::Meta(meta)) => match meta.key {
                MetaKey::Iifname => text(&packet.iifname),
                MetaKey::Oifname => text(&packet.oifname),
                MetaKey::Mark => Some(Self::Number(effects.mark)),
                MetaKey::Nfproto => text(if packet.is_ipv4() { "ipv4" } else { "ipv6" }),
                MetaKey::L4proto => text(packet.protocol()),
                other => panic!("{other:?}"),
            },
            Expression::Named(NamedExpression::Payload(Payload::PayloadField(field))) => {
                packet.field(&field.protocol, &field.field)
            }
            Expression::Named(NamedExpression::CT(conntrack)) => match conntrack.key.as_ref() {
                "state" => text(match packet.connection.state {
                    State::New => "new",
                    State::Established => "established",
                    State::Related => "related",
                }),
                "direction" => text(match packet.connection.direction {
                    CtDirection::Original => "original",
                    CtDirection::Reply => "reply",
                }),
                "label" if effects.is_labelled => text(&super::super::LABEL.to_string()),
                "label" => text("none"),
                other => panic!("{other:?}"),
            },
            Expression::Named(NamedExpression::Fib(fib)) => {
                assert_eq!(fib.flags, [FibFlag::Saddr, FibFlag::Iif].into());
                Some(Self::Exists(packet.has_reverse_path))
            }
            other => panic!("{other:?}"),
        }
    }

    fn masked(self, mask: &Expression) -> Option<Self> {
        Some(match (self, mask) {
            (Self::Number(number), Expression::Number(mask)) => Self::Number(number & mask),
            (Self::Address(IpAddr::V4(address)), Expression::String(mask)) => {
                let mask: std::net::Ipv4Addr = mask.parse().unwrap();
                Self::Address(IpAddr::V4(address & mask))
            }
            (Self::Address(IpAddr::V6(address)), Expression::String(mask)) => {
                let mask: std::net::Ipv6Addr = mask.parse().unwrap();
                Self::Address(IpAddr::V6(address & mask))
            }
            other => panic!("{other:?}"),
        })
    }

    /// Whether it is, or is one of, the right-hand side of a condition.
    fn is(&self, right: &Expression) -> bool {
        match (self, right) {
            (Self::Text(text), Expression::String(right)) => text == right,
            (Self::Number(number), Expression::Number(right)) => number == right,
            (Self::Exists(exists), Expression::Boolean(right)) => exists == right,
            (Self::Number(number), Expression::Range(range)) => {
                let [Expression::Number(first), Expression::Number(last)] = &range.range else {
                    panic!("{range:?}");
                };
                (first..=last).contains(&number)
            }
            (_, Expression::List(values)) => values.iter().any(|right| self.is(right)),
            (_, Expression::Named(NamedExpression::Set(items))) => {
                items.iter().any(|item| match item {
                    SetItem::Element(right) => self.is(right),
                    other => panic!("{other:?}"),
                })
            }
            (Self::Address(address), right) => is_address_in(*address, right),
            other => panic!("{other:?}"),
        }
    }

    /// Whether it is an element of a named set.
    fn is_element(&self, element: &Expression) -> bool {
        match (self, element) {
            (_, Expression::Named(NamedExpression::Elem(element))) => self.is_element(&element.val),
            // The names of interfaces are escaped: `*` at their end would be a wildcard.
            (Self::Text(name), Expression::String(element)) => *name == element.replace('\\', ""),
            (Self::Address(address), element) => is_address_in(*address, element),
            (Self::Concatenation(values), Expression::Named(NamedExpression::Concat(parts))) => {
                assert_eq!(values.len(), parts.len());
                let mut pairs = values.iter().zip(parts);
                pairs.all(|(value, part)| value.is_element(part))
            }
            other => panic!("{other:?}"),
        }
    }
}

fn is_address_in(address: IpAddr, expression: &Expression) -> bool {
    match expression {
        Expression::String(one) => one.parse::<IpAddr>().unwrap() == address,
        Expression::Named(NamedExpression::Prefix(prefix)) => {
            let Expression::String(network) = prefix.addr.as_ref() else {
                panic!("{prefix:?}");
            };
            let length = u8::try_from(prefix.len).unwrap();
            let subnet = IpNet::new(network.parse().unwrap(), length).unwrap();
            subnet.contains(&address)
        }
        other => panic!("{other:?}"),
    }
}

impl Packet {
    pub(super) fn is_ipv4(&self) -> bool {
        self.source.is_ipv4()
    }

    fn protocol(&self) -> &'static str {
        match self.transport {
            Transport::Tcp { .. } => "tcp",
            Transport::Udp { .. } => "udp",
            Transport::Icmp(_) if self.is_ipv4() => "icmp",
            Transport::Icmp(_) => "ipv6-icmp",
            Transport::Sctp => "sctp",
        }
    }

    fn field(&self, protocol: &str, field: &str) -> Option<Value> {
        let family = if self.is_ipv4() { "ip" } else { "ip6" };
        let icmp = if self.is_ipv4() { "icmp" } else { "icmpv6" };
        match (protocol, field, self.transport) {
            ("ip" | "ip6", "saddr", _) => {
                (protocol == family).then_some(Value::Address(self.source))
            }
            ("ip" | "ip6", "daddr", _) => {
                (protocol == family).then_some(Value::Address(self.destination))
            }
            ("tcp", "sport", Transport::Tcp { sport: port, .. })
            | ("tcp", "dport", Transport::Tcp { dport: port, .. })
            | ("udp", "sport", Transport::Udp { sport: port, .. })
            | ("udp", "dport", Transport::Udp { dport: port, .. }) => {
                Some(Value::Number(port.into()))
            }
            ("tcp" | "udp", "sport" | "dport", _) => None,
            ("icmp" | "icmpv6", "type", Transport::Icmp(kind)) if protocol == icmp => {
                Some(Value::Text(kind.to_owned()))
            }
            ("icmp" | "icmpv6", "type", _) => None,
            other => panic!("{other:?}"),
        }
    }
}
