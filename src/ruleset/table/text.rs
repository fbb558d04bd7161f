//! A [`Batch`] as an nft script, for people and for tests.
//!
//! Input: the commands of the batch, in memory. Output: text in the words and the layout of
//! `nft list table`. Consecutive sets and chains of a table, with the rules that follow each chain,
//! stand in one `table` block, which nft reads as `add` commands; every other command has a line of
//! its own.
//!
//! The text shows what is sent, so it has what nft leaves out of a listing: the check of the family
//! before an address (`meta nfproto ipv4`), and braces around a single value.

use std::{
    collections::HashSet,
    fmt::{self, Display, Formatter},
    net::IpAddr,
};

use nftables::{
    expr::{BinaryOperation, Expression, Fib, FibFlag, MetaKey, NamedExpression, Payload, SetItem},
    schema::{Chain, Element, NfCmd, NfListObject, Rule, Set, SetFlag, SetTypeValue},
    stmt::{Counter, Match, NAT, NATFamily, Operator, Statement},
    types::{NfChainType, NfFamily, NfHook},
};

use super::expr::Batch;

/// nft's indentation of the second and later elements of a set.
const NEXT_ELEMENT: &str = ",\n\t\t\t     ";

impl Display for Batch {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut script = Script {
            out: f,
            block: Block::None,
        };
        for command in self.commands() {
            script.command(command)?;
        }
        script.leave_table()
    }
}

/// The block that the script is in.
#[derive(PartialEq, Eq)]
enum Block {
    None,
    Table(String),
    Chain { table: String, chain: String },
}

struct Script<'f, 'a> {
    out: &'f mut Formatter<'a>,
    block: Block,
}

impl Script<'_, '_> {
    fn command(&mut self, command: &NfCmd) -> fmt::Result {
        match command {
            NfCmd::Add(NfListObject::Set(set)) => self.set(set),
            NfCmd::Add(NfListObject::Chain(chain)) => self.chain(chain),
            NfCmd::Add(NfListObject::Rule(rule)) if self.is_in_chain_of(rule) => {
                writeln!(self.out, "\t\t{}", rule_text(rule))
            }
            NfCmd::Add(object) => self.line("add", object),
            NfCmd::Insert(object) => self.line("insert", object),
            NfCmd::Delete(object) => self.line("delete", object),
            other => {
                self.leave_table()?;
                writeln!(self.out, "{}", as_json(other))
            }
        }
    }

    fn set(&mut self, set: &Set) -> fmt::Result {
        self.enter_table(table_name(set.family, &set.table))?;
        writeln!(self.out, "\tset {} {{", set.name)?;
        writeln!(self.out, "\t\ttype {}", set_type(&set.set_type))?;
        let flags = set.flags.iter().flatten();
        if flags.into_iter().any(|flag| *flag == SetFlag::Interval) {
            writeln!(self.out, "\t\tflags interval")?;
        }
        if let Some(elements) = &set.elem {
            let elements = joined(elements.iter().map(element), NEXT_ELEMENT);
            writeln!(self.out, "\t\telements = {{ {elements} }}")?;
        }
        writeln!(self.out, "\t}}\n")
    }

    fn chain(&mut self, chain: &Chain) -> fmt::Result {
        let table = table_name(chain.family, &chain.table);
        self.enter_table(table.clone())?;
        writeln!(self.out, "\tchain {} {{", chain.name)?;
        if let (Some(kind), Some(hook), Some(priority)) = (chain._type, chain.hook, chain.prio) {
            let (kind_name, hook_name) = (word(&kind), word(&hook));
            let priority = priority_text(kind, hook, priority);
            let policy = chain
                .policy
                .map(|policy| format!(" policy {};", word(&policy)));
            let policy = policy.unwrap_or_default();
            writeln!(
                self.out,
                "\t\ttype {kind_name} hook {hook_name} priority {priority};{policy}"
            )?;
        }
        self.block = Block::Chain {
            table,
            chain: chain.name.to_string(),
        };
        Ok(())
    }

    fn is_in_chain_of(&self, rule: &Rule) -> bool {
        let chain = Block::Chain {
            table: table_name(rule.family, &rule.table),
            chain: rule.chain.to_string(),
        };
        self.block == chain && rule.handle.is_none()
    }

    /// `insert rule ip filter FORWARD position 7 … comment "virt-forward"`
    fn line(&mut self, verb: &str, object: &NfListObject) -> fmt::Result {
        self.leave_table()?;
        match object {
            NfListObject::Table(table) => {
                let name = table_name(table.family, &table.name);
                writeln!(self.out, "{verb} table {name}")
            }
            NfListObject::Element(elements) => {
                let Element { name, elem, .. } = elements;
                let table = table_name(elements.family, &elements.table);
                let elem = joined(elem.iter().map(element), ", ");
                writeln!(self.out, "{verb} element {table} {name} {{ {elem} }}")
            }
            NfListObject::Rule(rule) => {
                let table = table_name(rule.family, &rule.table);
                let word = if verb == "insert" {
                    "position"
                } else {
                    "handle"
                };
                let handle = rule.handle.map(|handle| format!("{word} {handle}"));
                let text = rule_text(rule);
                let parts = [handle, (!text.is_empty()).then_some(text)];
                let parts = joined(parts.into_iter().flatten(), " ");
                writeln!(self.out, "{verb} rule {table} {} {parts}", rule.chain)
            }
            other => writeln!(self.out, "{verb} {}", as_json(other)),
        }
    }

    fn enter_table(&mut self, table: String) -> fmt::Result {
        if self.block == Block::Table(table.clone()) {
            return Ok(());
        }
        let is_chain_of_table =
            matches!(&self.block, Block::Chain { table: own, .. } if *own == table);
        if is_chain_of_table {
            writeln!(self.out, "\t}}\n")?;
        } else {
            self.leave_table()?;
            writeln!(self.out, "table {table} {{")?;
        }
        self.block = Block::Table(table);
        Ok(())
    }

    fn leave_table(&mut self) -> fmt::Result {
        match std::mem::replace(&mut self.block, Block::None) {
            Block::None => Ok(()),
            Block::Table(_) => writeln!(self.out, "}}"),
            Block::Chain { .. } => writeln!(self.out, "\t}}\n}}"),
        }
    }
}

/// `inet virt_forward`
fn table_name(family: NfFamily, name: &str) -> String {
    format!("{} {name}", word(&family))
}

/// `ifname . ipv4_addr`
fn set_type(set_type: &SetTypeValue) -> String {
    match set_type {
        SetTypeValue::Single(single) => word(single),
        SetTypeValue::Concatenated(parts) => joined(parts.iter().map(word), " . "),
    }
}

/// The priority relative to nft's name for the nearest one (nft(8), CHAINS).
fn priority_text(kind: NfChainType, hook: NfHook, priority: i32) -> String {
    // The kernel's NF_IP_PRI_FILTER and NF_IP_PRI_NAT_SRC.
    const FILTER: i32 = 0;
    const SRCNAT: i32 = 100;
    let is_near = |base: i32| (priority - base).abs() <= 10;
    let (name, base) = match (kind, hook) {
        (_, NfHook::Postrouting) if is_near(SRCNAT) => ("srcnat", SRCNAT),
        (NfChainType::Filter, _) if is_near(FILTER) => ("filter", FILTER),
        _ => return priority.to_string(),
    };
    match priority - base {
        0 => name.to_owned(),
        after @ 1.. => format!("{name} + {after}"),
        before => format!("{name} - {}", -before),
    }
}

/// An element of a set: interfaces are quoted, addresses are not.
fn element(value: &Expression) -> String {
    match value {
        Expression::String(interface) => quoted(interface),
        Expression::Named(NamedExpression::Concat(parts)) => concatenated_element(parts),
        Expression::Named(NamedExpression::Elem(elem)) => {
            let comment = elem.comment.as_ref();
            let comment = comment.map(|comment| format!(" comment {}", quoted(comment)));
            format!("{}{}", element(&elem.val), comment.unwrap_or_default())
        }
        other => expression(other),
    }
}

/// Our concatenations begin with an interface. What follows is the same interface or an address;
/// an interface may have a name that reads like an address.
fn concatenated_element(parts: &[Expression]) -> String {
    let interface = parts.first();
    let part = |part: &Expression| match part {
        Expression::String(text) if Some(part) == interface || text.parse::<IpAddr>().is_err() => {
            quoted(text)
        }
        address => expression(address),
    };
    joined(parts.iter().map(part), " . ")
}

/// The statements of a rule and its comment.
fn rule_text(rule: &Rule) -> String {
    let statements = rule.expr.iter().map(statement);
    let comment = rule.comment.as_ref();
    let comment = comment.map(|comment| format!("comment {}", quoted(comment)));
    joined(statements.chain(comment), " ")
}

fn statement(statement: &Statement) -> String {
    match statement {
        Statement::Match(condition) => match_text(condition),
        Statement::Mangle(mangle) => {
            format!(
                "{} set {}",
                expression(&mangle.key),
                expression(&mangle.value)
            )
        }
        Statement::Counter(Counter::Anonymous(_)) => "counter".to_owned(),
        Statement::Accept(_) => "accept".to_owned(),
        Statement::Drop(_) => "drop".to_owned(),
        Statement::Return(_) => "return".to_owned(),
        Statement::Jump(chain) => format!("jump {}", chain.target),
        Statement::Goto(chain) => format!("goto {}", chain.target),
        Statement::SNAT(Some(nat)) => snat(nat),
        other => as_json(other),
    }
}

fn match_text(condition: &Match) -> String {
    let Match { left, right, op } = condition;
    let is_masked_number =
        matches!(left, Expression::BinaryOperation(_)) && matches!(right, Expression::Number(_));
    let right = match right {
        Expression::Number(number) if is_masked_number => hexadecimal(*number),
        // `fib … exists`
        Expression::Boolean(true) => "exists".to_owned(),
        Expression::Boolean(false) => "missing".to_owned(),
        other => expression(other),
    };
    let left = expression(left);
    match op {
        Operator::EQ if is_masked_number => format!("{left} == {right}"),
        Operator::EQ | Operator::IN => format!("{left} {right}"),
        other => format!("{left} {} {right}", word(other)),
    }
}

fn snat(nat: &NAT) -> String {
    let family = nat.family.map(|family| match family {
        NATFamily::IP => " ip",
        NATFamily::IP6 => " ip6",
    });
    let address = nat.addr.as_ref().map(expression);
    let address = address.map(|address| format!(" to {address}"));
    format!(
        "snat{}{}",
        family.unwrap_or_default(),
        address.unwrap_or_default()
    )
}

fn expression(value: &Expression) -> String {
    match value {
        Expression::String(text) => text.to_string(),
        Expression::Number(number) => number.to_string(),
        Expression::List(values) => joined(values.iter().map(expression), ","),
        Expression::BinaryOperation(operation) => binary_operation(operation),
        Expression::Range(range) => joined(range.range.iter().map(expression), "-"),
        Expression::Named(named) => named_expression(named),
        other => as_json(other),
    }
}

/// Numbers in these are masks.
fn binary_operation(operation: &BinaryOperation) -> String {
    let operand = |value: &Expression| match value {
        Expression::Number(mask) => hexadecimal(*mask),
        other => expression(other),
    };
    match operation {
        BinaryOperation::AND(left, right) => format!("{} & {}", operand(left), operand(right)),
        BinaryOperation::OR(values) => joined(values.iter().map(operand), " | "),
        other => as_json(other),
    }
}

fn named_expression(named: &NamedExpression) -> String {
    match named {
        NamedExpression::Concat(parts) => joined(parts.iter().map(expression), " . "),
        NamedExpression::Set(items) => {
            let items = items.iter().map(|item| match item {
                SetItem::Element(value) => expression(value),
                other => as_json(other),
            });
            format!("{{ {} }}", joined(items, ", "))
        }
        NamedExpression::Prefix(prefix) => {
            let address = expression(&prefix.addr);
            let all = if address.contains(':') { 128 } else { 32 };
            if prefix.len == all {
                address
            } else {
                format!("{address}/{}", prefix.len)
            }
        }
        NamedExpression::Payload(Payload::PayloadField(field)) => {
            format!("{} {}", field.protocol, field.field)
        }
        NamedExpression::Meta(meta) => meta_key(meta.key),
        NamedExpression::CT(conntrack) => format!("ct {}", conntrack.key),
        NamedExpression::Fib(fib) => fib_text(fib),
        other => as_json(other),
    }
}

/// nft leaves `meta` out before the names of interfaces.
fn meta_key(key: MetaKey) -> String {
    match key {
        MetaKey::Iifname | MetaKey::Oifname => word(&key),
        _ => format!("meta {}", word(&key)),
    }
}

/// `fib saddr . iif oif`
fn fib_text(fib: &Fib) -> String {
    let order = [
        FibFlag::Saddr,
        FibFlag::Daddr,
        FibFlag::Mark,
        FibFlag::Iif,
        FibFlag::Oif,
    ];
    let flags: &HashSet<_> = &fib.flags;
    let flags = order.iter().filter(|flag| flags.contains(flag)).map(word);
    format!("fib {} {}", joined(flags, " . "), word(&fib.result))
}

fn hexadecimal(number: u32) -> String {
    format!("{number:#010x}")
}

fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

fn joined(parts: impl Iterator<Item = String>, separator: &str) -> String {
    parts.collect::<Vec<_>>().join(separator)
}

/// The word of libnftables-json(5) for a unit variant of an enum: it is nft's own.
fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => as_json(value),
    }
}

/// What the table does not use is shown as it is sent.
fn as_json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::{LABEL, expr};
    use super::*;
    use virt_forward_policy::netfilter::{Family, TableName};

    const FILTER: TableName = TableName {
        family: Family::Ip,
        name: "filter",
    };

    #[test]
    fn rules_of_other_tables_and_elements_have_a_line_each() {
        let mut batch = Batch::default();
        let gate = || {
            [
                expr::mark_bit_set(0x1000_0000),
                expr::counter(),
                expr::accept(),
            ]
        };
        batch.insert_rule(FILTER, "FORWARD", Some(7), gate(), "virt-forward");
        batch.insert_rule(FILTER, "FORWARD", None, gate(), "virt-forward");
        batch.delete_rule(FILTER, "FORWARD", 9);
        let bridge = "10.0.0.1".parse().unwrap();
        let pair = expr::interface_pair(&bridge, &bridge);
        let subnet = expr::interface_subnet(&bridge, "10.0.0.0/25".parse().unwrap());
        batch.add_elements(FILTER, "s", vec![expr::with_comment(pair, "a")]);
        batch.delete_elements(FILTER, "s", vec![subnet]);
        let gate = "meta mark & 0x10000000 != 0x00000000 counter accept comment \"virt-forward\"";
        let expected = format!(
            "insert rule ip filter FORWARD position 7 {gate}\n\
             add rule ip filter FORWARD {gate}\n\
             delete rule ip filter FORWARD handle 9\n\
             add element ip filter s {{ \"10.0.0.1\" . \"10.0.0.1\" comment \"a\" }}\n\
             delete element ip filter s {{ \"10.0.0.1\" . 10.0.0.0/25 }}\n"
        );
        assert_eq!(batch.to_string(), expected);
    }

    #[test]
    fn the_rules_of_a_new_chain_are_in_its_block() {
        let mut batch = Batch::default();
        batch.add_chain(FILTER, "own");
        batch.add_rule(FILTER, "own", [expr::ct_label(LABEL), expr::drop()]);
        batch.add_base_chain(FILTER, "late", expr::Hook::FilterPostrouting, 110);
        batch.add_rule(FILTER, "own", [expr::accept()]);
        let expected = "table ip filter {\n\
                        \tchain own {\n\
                        \t\tct label 127 drop\n\
                        \t}\n\n\
                        \tchain late {\n\
                        \t\ttype filter hook postrouting priority srcnat + 10; policy accept;\n\
                        \t}\n\
                        }\n\
                        add rule ip filter own accept\n";
        assert_eq!(batch.to_string(), expected);
    }

    #[test]
    fn priorities_are_named_where_nft_names_them() {
        for (hook, priority, text) in [
            (NfHook::Forward, 0, "filter"),
            (NfHook::Forward, -10, "filter - 10"),
            (NfHook::Forward, 11, "11"),
            (NfHook::Forward, 100, "100"),
            (NfHook::Postrouting, 110, "srcnat + 10"),
        ] {
            assert_eq!(priority_text(NfChainType::Filter, hook, priority), text);
        }
    }
}
