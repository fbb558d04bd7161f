//! `/etc/virt-forward/config.toml`: who may talk to whom.
//!
//! The file's text is read into [`file`], which is what the admin wrote, and checked into
//! [`Config`], which cannot be wrong. A missing file means [`Config::default`]; a file that defines
//! no group has none, so an empty or truncated file opens nothing.

mod allow_rule;
mod parse;

use std::{fmt, io};

pub use allow_rule::{AllowRule, PortRange, RuleEndpoint, Selector};
pub(crate) use parse::is_group_name;

use globset::GlobSet;
use ipnet::IpNet;
use serde::Serialize;

use crate::{Side, netfilter::ChainName, sanitize::shown};

/// What should happen when a `start` hook fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// The network starts, closed.
    #[default]
    Ignore,
    /// The network does not start.
    Refuse,
}

/// One bit of the packet mark, which means "allowed by our table".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct MarkBit(u32);

impl MarkBit {
    /// Bit 28: of the bits that other programs are known to use the least so.
    pub const DEFAULT: Self = Self(0x1000_0000);

    /// `mark`, if it is one bit of 32.
    pub fn new(mark: i64) -> Option<Self> {
        let bit = u32::try_from(mark).ok()?;
        bit.is_power_of_two().then_some(Self(bit))
    }

    /// The mark with this bit alone.
    pub fn bit(self) -> u32 {
        self.0
    }

    /// All other bits.
    pub fn others(self) -> u32 {
        !self.0
    }
}

impl fmt::Display for MarkBit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

/// One entry of a group's `networks`: a libvirt network's name, or a glob on it.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    /// Absent where the text has no wildcard.
    glob: Option<GlobSet>,
}

impl Pattern {
    /// The name of no network: libvirt takes none with a `/` or a line feed in it.
    pub(crate) fn of_none() -> Self {
        Self {
            text: "/\n".to_owned(),
            glob: None,
        }
    }

    /// Whether this is the very name of the network.
    pub fn is_exactly(&self, name: &str) -> bool {
        self.text == name
    }

    /// The name, where it is one; nothing where it has wildcards.
    pub fn exact(&self) -> Option<&str> {
        self.glob.is_none().then_some(&self.text)
    }

    /// Whether the network's name fits the wildcards; false for a pattern without any.
    pub fn glob_matches(&self, name: &str) -> bool {
        self.glob.as_ref().is_some_and(|glob| glob.is_match(name))
    }
}

impl Serialize for Pattern {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

/// Networks that reach each other, both ways.
#[derive(Clone, Debug, Serialize)]
pub struct Group {
    /// 1 to 32 letters, digits, `_`, `-` or `.`; part of a set's name in our table.
    pub name: String,
    /// Who belongs to it.
    pub networks: Vec<Pattern>,
    /// Outside subnets whose hosts may open connections to members, and be reached by them;
    /// none inside another.
    pub peers: Vec<IpNet>,
    /// The lines that they are from, as written there.
    #[serde(skip)]
    pub(crate) peer_lines: Vec<(IpNet, usize)>,
    /// Members keep their addresses towards peers; else libvirt masquerades them as ever.
    pub keep_source: bool,
}

/// The policy, checked.
///
/// Two configs with the same serialised form decide the same: that is how a change of the
/// file is noticed between two events.
#[derive(Clone, Debug, Serialize)]
pub struct Config {
    /// The packet mark that our gates accept.
    pub mark: MarkBit,
    /// What a failing `start` hook does.
    pub on_error: OnError,
    /// Networks may name their groups in their own XML.
    pub metadata: bool,
    /// In the order of the file.
    pub groups: Vec<Group>,
    /// In the order of the file, which numbers them from 1.
    pub allows: Vec<AllowRule>,
    /// Chains of the admin's own that get a gate.
    pub extra: Vec<ChainName>,
    /// The file.
    #[serde(skip)]
    pub(crate) path: String,
}

/// Where something is said, for the person who has to change it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigLocation {
    path: String,
    line: usize,
}

/// `/etc/virt-forward/config.toml, line 7`
impl fmt::Display for ConfigLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, line {}", self.path, self.line)
    }
}

impl Default for Config {
    /// What a missing file means: one group of all networks but the isolated ones.
    fn default() -> Self {
        let everything = Pattern {
            text: "*".to_owned(),
            glob: parse::glob("*").ok(),
        };
        Self {
            mark: MarkBit::DEFAULT,
            on_error: OnError::default(),
            metadata: true,
            groups: vec![Group {
                name: "all".to_owned(),
                networks: vec![everything],
                peers: Vec::new(),
                peer_lines: Vec::new(),
                keep_source: false,
            }],
            allows: Vec::new(),
            extra: Vec::new(),
            path: String::new(),
        }
    }
}

/// A config with neither groups nor `[[allow]]` rules, as a line for the administrator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpensNothing {
    path: String,
}

/// `/etc/virt-forward/config.toml defines no [[group]] and no [[allow]]: nothing is opened`
impl fmt::Display for OpensNothing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.path;
        write!(
            f,
            "{path} defines no [[group]] and no [[allow]]: nothing is opened"
        )
    }
}

/// Why a config is not taken. Nothing is opened then.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// There, but not to be read.
    #[error("cannot read {path}: {why}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system said.
        why: io::Error,
    },
    /// Read, and wrong.
    #[error("{path}, line {line}: {}", shown(.why))]
    Wrong {
        /// The file.
        path: String,
        /// From 1.
        line: usize,
        /// The key, what is wrong with it, what is allowed.
        why: String,
        /// What the same file says of `on_error`, as far as that can be read: who asked for
        /// networks to be refused means a file that is wrong elsewhere too.
        on_error: OnError,
    },
}

impl ConfigError {
    /// What should happen to a network that starts under this config.
    pub fn on_error(&self) -> OnError {
        match self {
            Self::Unreadable { .. } => OnError::Ignore,
            Self::Wrong { on_error, .. } => *on_error,
        }
    }
}

impl Config {
    /// Opens nothing: for what still has to be closed under a config that is wrong.
    pub fn closed() -> Self {
        Self {
            groups: Vec::new(),
            allows: Vec::new(),
            ..Self::default()
        }
    }

    /// Says so where no network can be opened by this config. That is no fault: the administrator
    /// may want just that.
    pub fn opens_nothing(&self) -> Option<OpensNothing> {
        let is_empty = self.groups.is_empty() && self.allows.is_empty();
        is_empty.then(|| OpensNothing {
            path: self.path.clone(),
        })
    }

    /// Whether any group has peers.
    pub fn has_peers(&self) -> bool {
        self.groups.iter().any(|group| !group.peers.is_empty())
    }

    /// Whether machines outside may open connections to networks.
    pub fn allows_inbound_external(&self) -> bool {
        self.has_peers()
            || self
                .allows
                .iter()
                .any(|allow| allow.from.subnet().is_some())
    }

    /// Whether anything is let out to a subnet, or in from one.
    pub fn references_subnets(&self) -> bool {
        let names_one = |allow: &AllowRule| allow.from.subnet().or(allow.to.subnet()).is_some();
        self.has_peers() || self.allows.iter().any(names_one)
    }

    /// Whether a subnet in a rule may take in networks.
    pub fn has_subnet_endpoints(&self) -> bool {
        let mut ends = self
            .allows
            .iter()
            .flat_map(|allow| [&allow.from, &allow.to]);
        ends.any(|end| matches!(end.selector, Selector::Subnet(_)))
    }

    /// Each with its number.
    pub fn numbered_allows(&self) -> impl Iterator<Item = (usize, &AllowRule)> {
        (1..).zip(&self.allows)
    }

    /// Where the file names that peer of a group.
    pub fn peer_location(&self, group: &str, peer: &IpNet) -> ConfigLocation {
        let mut groups = self.groups.iter();
        let lines = groups
            .find(|one| one.name == group)
            .map(|one| &one.peer_lines);
        let mut lines = lines.into_iter().flatten();
        let line = lines.find(|(written, _)| peer.contains(written));
        self.place(line.map_or(1, |(_, line)| *line))
    }

    /// Where the file names that end of a rule.
    pub fn endpoint_location(&self, allow: usize, side: Side) -> ConfigLocation {
        let mut allows = self.numbered_allows();
        let found = allows.find(|(number, _)| *number == allow);
        self.place(found.map_or(1, |(_, allow)| side.of(allow).line))
    }

    /// The ends of rules that are one plain name, which may be a typo: where it stands, its key,
    /// and the name.
    pub fn endpoint_names(&self) -> impl Iterator<Item = (ConfigLocation, &'static str, &str)> {
        let ends = self.allows.iter();
        let ends = ends.flat_map(|allow| [("from", &allow.from), ("to", &allow.to)]);
        ends.filter_map(|(key, end)| match &end.selector {
            Selector::Networks(pattern) if pattern.glob.is_none() => {
                Some((self.place(end.line), key, pattern.text.as_str()))
            }
            _ => None,
        })
    }

    /// That line of the file.
    pub fn place(&self, line: usize) -> ConfigLocation {
        let path = self.path.clone();
        ConfigLocation { path, line }
    }

    /// Checks the text of the file `path`.
    pub fn read(text: &str, path: String) -> Result<Self, ConfigError> {
        match Self::parse(text) {
            Ok(config) => Ok(Self { path, ..config }),
            Err(fault) => Err(ConfigError::Wrong {
                path,
                line: LineIndex::of(text).at(fault.at),
                why: fault.why,
                on_error: parse::on_error(text),
            }),
        }
    }

    fn parse(text: &str) -> Result<Self, ParseError> {
        parse::parse(text)
    }
}

/// What is wrong, and at which byte of the file.
#[derive(Debug)]
struct ParseError {
    at: usize,
    why: String,
}

/// The lines of a file, by where they end: it may have thousands of names, each with its line.
struct LineIndex(Vec<usize>);

impl LineIndex {
    fn of(text: &str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self(ends.map(|(at, _)| at).collect())
    }

    /// The line of the byte at `at`, from 1.
    fn at(&self, at: usize) -> usize {
        self.0.partition_point(|end| *end < at) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> (usize, String) {
        let fault = Config::parse(text).expect_err(text);
        (LineIndex::of(text).at(fault.at), fault.why)
    }

    #[test]
    fn the_defaults_are_the_contracts() {
        let shipped = Config::parse(include_str!("../../../packaging/config.toml")).unwrap();
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
        let config = Config::parse(
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
        assert!(
            kube.networks[1].is_exactly("isolated") && !kube.networks[1].glob_matches("isolated")
        );
        assert!(Config::parse("group = []").unwrap().groups.is_empty());
    }

    #[test]
    fn peers_are_subnets_and_single_hosts_of_both_families() {
        let text = "[[group]]\nname='a'\nnetworks=[]\nkeep_source=true\n\
            peers=['192.168.0.30', '192.168.0.0/24', 'fd00:1::/64', 'fd00::9']";
        let config = Config::parse(text).unwrap();
        let peers: Vec<_> = config.groups[0]
            .peers
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(peers, ["192.168.0.0/24", "fd00::9/128", "fd00:1::/64"]);
        assert!(config.groups[0].keep_source);
    }

    #[test]
    fn a_fault_names_its_line_its_key_and_what_is_allowed() {
        for (text, line, words) in [
            ("mark = 1\non_eror = \"ignore\"", 2, ["on_eror", "on_error"]),
            ("on_error = \"abort\"", 1, ["abort", "refuse"]),
            ("mark = 3", 1, ["mark", "one bit"]),
            ("mark = 0", 1, ["mark", "one bit"]),
            ("mark = 0x100000000", 1, ["mark", "one bit"]),
            (
                "\n[[group]]\nname = \"a b\"\nnetworks = []",
                3,
                ["a b", "letters"],
            ),
            ("[[group]]\nnetworks = []", 1, ["name", "group"]),
            ("[[group]]\nname = \"a\"", 1, ["networks", "group"]),
            (
                "[[group]]\nname = \"a\"\nnetworks = [\"b\",\n\"[\"]",
                4,
                ["[", "glob"],
            ),
            (
                "[[group]]\nname = \"a\"\nnetworks = \"b\"",
                3,
                ["networks", "sequence"],
            ),
            (
                "[[group]]\nname=\"a\"\nnetworks=[]\n[[group]]\nname=\"a\"\nnetworks=[]",
                5,
                ["a", "twice"],
            ),
            (
                "[[group]]\nname = \"a\"\nnetworks = [\"\"]",
                3,
                ["networks", "empty"],
            ),
            ("[[group]\nname = \"a\"", 1, ["", ""]),
            (
                "[[group]]\nname = \"a\"\nnetworks = []\npeers = [\"10.0.0.0/8\",\n\"10.0.0.300\"]",
                5,
                ["10.0.0.300", "192.168.0.0/24"],
            ),
            (
                "[[group]]\nname = \"a\"\nnetworks = []\npeers = [\"10.0.0.1/8\"]",
                4,
                ["10.0.0.1/8", "10.0.0.0/8"],
            ),
            (
                "[[group]]\nname = \"a\"\nnetworks = []\nkeep_source = 1",
                4,
                ["keep_source", "boolean"],
            ),
            (
                "[gates]\nextra = [\"inet filter\"]",
                2,
                ["inet filter", "FAMILY TABLE CHAIN"],
            ),
            (
                "[gates]\nextra = [\"ip a b\",\n\"bridge filter forward\"]",
                3,
                ["bridge", "inet"],
            ),
            (
                "[gates]\nextra = [\"inet virt_forward forward\"]",
                2,
                ["virt_forward", "own"],
            ),
            ("[gates]\nextra = [\"ip a b;c\"]", 2, ["b;c", "letters"]),
        ] {
            let (at, why) = fault(text);
            assert_eq!(at, line, "{text}: {why}");
            for word in words {
                assert!(why.contains(word), "{text}: {why}");
            }
        }
    }

    #[test]
    fn no_pattern_is_too_much_for_us() {
        let read = |pattern: &str| {
            let text = format!("[[group]]\nname='a'\nnetworks=['{pattern}']");
            Config::parse(&text).map(|config| config.groups[0].networks[0].glob_matches("a"))
        };
        let nested = |depth| format!("{}a{}", "{".repeat(depth), "}".repeat(depth));
        assert!(read(&nested(3)).unwrap());
        for wrong in [nested(300), nested(100_000), "?".repeat(2000)] {
            let fault = read(&wrong).unwrap_err();
            assert!(fault.why.contains("in networks"), "{}", fault.why);
        }
        assert!(!read(&"?".repeat(1024)).unwrap());
    }

    #[test]
    fn a_wrong_file_still_says_what_to_do_on_error() {
        assert_eq!(
            parse::on_error("on_error = \"refuse\"\nx = 1"),
            OnError::Refuse
        );
        assert_eq!(parse::on_error("on_error = \"x\""), OnError::Ignore);
        assert_eq!(
            parse::on_error("on_error = \"refuse\"\n[["),
            OnError::Ignore
        );
    }
}
