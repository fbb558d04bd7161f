//! The pages that are written by hand say what the parsers do.

use virt_forward_policy::{
    config::{Config, ConfigError, OnError},
    hook_event::Operation,
};

const TOML: &str = include_str!("../man/virt-forward.toml.5");
const HOOK: &str = include_str!("../man/virt-forward-hook.8");

/// As the hook and the command read it.
fn read(text: &str) -> Result<Config, ConfigError> {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("config.toml");
    std::fs::write(&path, text).expect("a file");
    virt_forward_system::config_file::load(&path)
}

/// A section's source.
fn section(page: &'static str, title: &str) -> &'static str {
    let start = page.find(&format!("\n.SH {title}\n")).expect(title);
    let rest = &page[start + 4..];
    &rest[..rest.find("\n.SH ").unwrap_or(rest.len())]
}

/// The keys that a section explains: `.BR mark " = …"` below a `.TP`.
fn keys(title: &str) -> Vec<String> {
    let lines = section(TOML, title).lines();
    let keys = lines.filter(|line| line.starts_with(".BR ") && line.contains("\" = "));
    let mut keys: Vec<_> = keys
        .filter_map(|line| line.split(' ').nth(1).map(str::to_owned))
        .collect();
    keys.sort();
    keys
}

/// The keys that the parser knows where this one stands, which it does not: "expected one of
/// `a`, `b`", or "expected `a`".
fn known(text: &str) -> Vec<String> {
    let error = read(text).expect_err(text).to_string();
    let (_, list) = error.split_once("expected ").expect(&error);
    let mut keys: Vec<_> = list
        .split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect();
    keys.sort();
    keys
}

/// Blocks that stand as they are, with their escapes undone.
fn blocks(text: &str) -> Vec<String> {
    let blocks = text.split(".nf\n").skip(1);
    let blocks = blocks.filter_map(|block| block.split("\n.fi").next());
    blocks.map(|block| block.replace("\\-", "-")).collect()
}

#[test]
fn every_key_is_explained_and_no_other() {
    let tables = ["group", "allow", "gates"];
    let mut top = keys("TOP-LEVEL KEYS");
    top.extend(tables.map(str::to_owned));
    top.sort();
    assert_eq!(top, known("nothing = 1"));
    assert_eq!(keys("GROUPS"), known("[[group]]\nnothing = 1"));
    assert_eq!(keys("RULES"), known("[[allow]]\nnothing = 1"));
    assert_eq!(keys("GATES"), known("[gates]\nnothing = 1"));
}

#[test]
fn defaults_are_those_of_the_page() {
    let says = |text: &str| assert!(TOML.contains(text), "{text}");
    let default = Config::default();
    says(&format!("mark \" = integer [default: {}]", default.mark));
    assert_eq!(default.on_error, OnError::Ignore);
    says("\\(dqrefuse\\(dq [default: \\(dqignore\\(dq]");
    says(&format!(
        "metadata \" = true or false [default: {}]",
        default.metadata
    ));
    let group = &default.groups[0];
    says(&format!(".BR {} ,\nof all networks", group.name));
    assert!(read("").expect("an empty file is right").groups.is_empty());
    assert!(group.peers.is_empty());
    says("peers \" = list of strings [default: []]");
    says(&format!(
        "keep_source \" = true or false [default: {}]",
        group.keep_source
    ));
    assert!(default.extra.is_empty() && default.allows.is_empty());
}

#[test]
fn what_must_be_given_must_be() {
    for table in [
        "[[group]]\nnetworks = []",
        "[[group]]\nname = \"a\"",
        "[[allow]]\nto = \"a\"\nicmp = true",
        "[[allow]]\nfrom = \"a\"\nicmp = true",
        "[[allow]]\nfrom = \"a\"\nto = \"b\"",
    ] {
        assert!(read(table).is_err(), "{table}");
    }
}

#[test]
fn examples_are_right() {
    let examples = blocks(section(TOML, "EXAMPLES"));
    assert_eq!(examples.len(), 3);
    for example in examples {
        if let Err(why) = read(&example) {
            panic!("{why}: {example}");
        }
    }
}

#[test]
fn operations_are_those_of_the_hook() {
    let section = section(HOOK, "OPERATIONS");
    let words: Vec<_> = section
        .split(".TP\n.B ")
        .skip(1)
        .filter_map(|part| part.lines().next())
        .collect();
    assert_eq!(words, ["start", "started", "updated", "stopped"]);
    for word in words {
        assert_ne!(Operation::from_word(word), Operation::Other, "{word}");
    }
    for word in ["port-created", "port-deleted"] {
        assert!(section.contains(word));
        assert_eq!(Operation::from_word(word), Operation::Other);
    }
}
