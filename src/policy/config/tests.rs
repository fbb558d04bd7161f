//! Tests of the config as a whole.

use super::{
    Config, ConfigError, ConfigFault, OnError,
    parse::{on_error, parse},
};

#[test]
fn the_shipped_file_holds_the_defaults() {
    let shipped = parse(include_str!("../../../packaging/config.toml")).unwrap();
    let default = serde_json::to_string(&Config::default()).unwrap();
    assert_eq!(serde_json::to_string(&shipped).unwrap(), default);
    assert_eq!(shipped.mark.to_string(), "0x10000000");
}

#[test]
fn a_file_without_groups_opens_nothing() {
    let shipped = include_str!("../../../packaging/config.toml");
    let (before_groups, _) = shipped.split_once("[[group]]").unwrap();
    for text in [
        "",
        "# nothing yet\n",
        "[gates]\nextra = []\n",
        "mark = 0x20000000\nmetadata = true\n",
        "group = []",
        before_groups,
    ] {
        let config = Config::read(text, "/etc/c.toml".to_owned()).unwrap();
        assert!(config.groups.is_empty(), "{text}");
        let said = config.opens_nothing().unwrap().to_string();
        assert!(said.starts_with("/etc/c.toml"), "{said}");
    }
    let rule = "[[allow]]\nfrom = 'a'\nto = 'b'\ntcp = [1]";
    let config = Config::read(rule, "/etc/c.toml".to_owned()).unwrap();
    assert!(config.groups.is_empty() && config.opens_nothing().is_none());
}

#[test]
fn reads_groups() {
    let config = parse(
        "mark = 0x20000000\non_error = \"refuse\"\n
         [[group]]\nname = \"kube\"\nnetworks = [\"kube*\", \"isolated\"]\n
         [[group]]\nname = \"none\"\nnetworks = []",
    )
    .unwrap();
    assert_eq!(config.mark.bit(), 0x2000_0000);
    assert_eq!(config.mark.others(), 0xdfff_ffff);
    assert_eq!(config.on_error, OnError::Refuse);
    let kube = &config.groups[0];
    assert!(kube.networks[0].glob_matches("kube02") && !kube.networks[0].glob_matches("akube"));
    assert!(kube.networks[1].is_exactly("isolated") && !kube.networks[1].glob_matches("isolated"));
    assert!(parse("group = []").unwrap().groups.is_empty());
}

#[test]
fn peers_are_subnets_and_single_hosts_of_both_families() {
    let text = "[[group]]\nname='a'\nnetworks=[]\nkeep_source=true\n\
        peers=['192.168.0.30', '192.168.0.0/24', 'fd00:1::/64', 'fd00::9']";
    let config = parse(text).unwrap();
    let peers: Vec<_> = config.groups[0]
        .peers
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(peers, ["192.168.0.0/24", "fd00::9/128", "fd00:1::/64"]);
    assert!(config.groups[0].keep_source);
}

#[test]
fn a_pattern_of_any_size_is_compiled_or_rejected() {
    let read = |pattern: &str| {
        let text = format!("[[group]]\nname='a'\nnetworks=['{pattern}']");
        parse(&text).map(|config| config.groups[0].networks[0].glob_matches("a"))
    };
    let nested = |depth| format!("{}a{}", "{".repeat(depth), "}".repeat(depth));
    assert!(read(&nested(3)).unwrap());
    for wrong in [nested(300), nested(100_000), "?".repeat(2000)] {
        let fault = read(&wrong).unwrap_err().fault;
        assert!(
            matches!(
                fault,
                ConfigFault::InvalidGlob { .. } | ConfigFault::LongPattern { .. }
            ),
            "{fault}"
        );
    }
    assert!(!read(&"?".repeat(1024)).unwrap());
}

#[test]
fn on_error_is_read_from_an_invalid_file() {
    assert_eq!(on_error("on_error = \"refuse\"\nx = 1"), OnError::Refuse);
    assert_eq!(on_error("on_error = \"x\""), OnError::Ignore);
    assert_eq!(on_error("on_error = \"refuse\"\n[["), OnError::Ignore);
}

/// A config with a fault in each kind of value; the snapshot has the line and the text of each error.
#[test]
fn every_error_names_line_key_and_remedy() {
    let group = |lines: &str| format!("[[group]]\nname = 'a'\nnetworks = []\n{lines}");
    let networks = |value: &str| format!("[[group]]\nname = 'a'\nnetworks = {value}");
    let allow = |lines: &str| format!("[[allow]]\nfrom = 'a'\nto = 'b'\n{lines}");
    let ends =
        |from: &str, to: &str| format!("[[allow]]\nfrom = '{from}'\nto = '{to}'\nicmp = true");
    let texts = [
        "mark = 1\non_eror = 'ignore'".to_owned(),
        "on_error = 'abort'".to_owned(),
        "mark = 3".to_owned(),
        "mark = 0".to_owned(),
        "mark = 0x100000000".to_owned(),
        "[[group]\nname = 'a'".to_owned(),
        "[[group]]\nnetworks = []".to_owned(),
        "[[group]]\nname = 'a'".to_owned(),
        "\n[[group]]\nname = 'a b'\nnetworks = []".to_owned(),
        "\n[[group]]\nname = ''\nnetworks = []".to_owned(),
        format!("{}\n{}", group(""), group("")),
        networks("['b',\n'[']"),
        networks("'b'"),
        networks("['']"),
        networks(&format!("['{}']", "x".repeat(1025))),
        group("peers = ['10.0.0.0/8',\n'10.0.0.300']"),
        group("peers = ['10.0.0.1/8']"),
        group("keep_source = 1"),
        group("peer = []"),
        "[[allow]]\nto = 'b'".to_owned(),
        "[[allow]]\nfrom = 'b'".to_owned(),
        allow("name = 'a b'\nicmp = true"),
        allow("name = ''\nicmp = true"),
        allow("name = '443'\nicmp = true"),
        format!("{0}\n{0}", allow("name = 'a'\nicmp = true")),
        allow(""),
        allow("tcp = []"),
        ends("a", ""),
        ends("a", "["),
        ends("10.0.0.0/33", "b"),
        ends("10.0.0.300", "b"),
        ends("a", "fd00::g/64"),
        ends("a", "10.0.0.1/24"),
        ends("10.0.0.1", "fd00::1"),
        allow("tcp = [80,\n70000]"),
        allow("udp = [0]"),
        allow("udp = [-1]"),
        allow("tcp = ['30-20']"),
        allow("tcp = ['30-']"),
        allow("tcp = ['']"),
        allow("tcp = ['http']"),
        allow("tcp = [true]"),
        allow("tcp = 80"),
        allow("icmp = 1"),
        allow("sctp = [1]"),
        "[[allow]]\nfrom = ['a']\nto = 'b'".to_owned(),
        "[gates]\nextra = ['inet filter']".to_owned(),
        "[gates]\nextra = ['ip a b',\n'bridge filter forward']".to_owned(),
        "[gates]\nextra = ['inet virt_forward forward']".to_owned(),
        "[gates]\nextra = ['ip a b;c']".to_owned(),
    ];
    let mut errors = Vec::new();
    for text in texts {
        let error = Config::read(&text, "c.toml".to_owned()).expect_err(&text);
        errors.push(error.to_string());
    }
    errors.push(
        ConfigError::Unreadable {
            path: "c.toml".to_owned(),
            why: std::io::ErrorKind::PermissionDenied.into(),
        }
        .to_string(),
    );
    insta::assert_snapshot!(errors.join("\n"));
}
