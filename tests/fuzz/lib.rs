//! What must hold whatever came in, for several targets.

#[path = "../properties/xml.rs"]
mod xml;

use serde::Serialize;
use serde_json::Value;
use virt_forward_policy::{config::Config, network::Network};
use virt_forward_ruleset::table::{self, Batch, Host, Layout, Member};
use virt_forward_system::state::Record;

/// Text for a log or a terminal: one line, with nothing in it that moves a cursor.
pub fn assert_shown(text: &str) {
    assert!(!text.chars().any(char::is_control), "{text:?}");
}

/// Same serialised form, same thing: it is what is compared in the program too.
pub fn assert_same<T: Serialize>(one: &T, other: &T) {
    assert_eq!(json(one), json(other));
}

/// Our own types always have a JSON form.
pub fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("has a JSON form")
}

/// The table of `config` with these networks in it, as it is handed to nft.
pub fn assert_table(config: &Config, records: &[Record]) {
    let layout = Layout::of(config, &Host::default());
    let members = records
        .iter()
        .filter_map(|one| Member::new(&one.network, &one.access));
    let members: Vec<_> = members.collect();
    let mut batch = Batch::default();
    table::replace_table(&mut batch, &layout, &members);
    assert_batch(&batch);
    for key in table::keys(&layout, &members).values().flatten() {
        assert!(key.to.as_ref().is_none_or(|to| key.from <= *to));
    }
}

/// What puts a network into a table, and takes it out.
pub fn assert_elements(record: &Record) {
    if record.network.fault.is_some() {
        assert!(record.access.is_empty());
        let member = Member::new(&record.network, &record.access);
        assert!(member.is_none_or(|member| !member.is_open()));
    } else if let Some(member) = Member::new(&record.network, &record.access) {
        let mut batch = Batch::default();
        table::remove(&mut batch, &member);
        table::add(&mut batch, &member);
        assert_batch(&batch);
    }
}

fn assert_batch(batch: &Batch) {
    let text = batch.to_json().expect("has a JSON form");
    assert_plain(&serde_json::from_str(&text).expect("is JSON"));
}

/// No word of ours for nft says more than one thing, in JSON or listed by nft as its own text:
/// no quote, no blank but in comments, no end of a statement.
fn assert_plain(value: &Value) {
    match value {
        Value::Array(list) => list.iter().for_each(assert_plain),
        Value::Object(map) => {
            for (key, value) in map {
                match (key.as_str(), value) {
                    ("comment", Value::String(text)) => assert_comment(text),
                    ("op", Value::String(_)) => {}
                    _ => assert_plain(value),
                }
            }
        }
        Value::String(text) => {
            let plain = |c: char| c.is_ascii_alphanumeric() || "_-.:/@".contains(c);
            assert!(!text.is_empty() && text.chars().all(plain), "{text:?}");
        }
        _ => {}
    }
}

fn assert_comment(text: &str) {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.: +?".contains(c);
    assert!(text.len() <= 64 && text.chars().all(plain), "{text:?}");
}

/// `<network>` as libvirt would write it.
pub fn xml(network: &Network) -> String {
    xml::xml(network)
}
