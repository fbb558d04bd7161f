//! The config, checked.

use std::fmt;

use ipnet::IpNet;
use serde::Serialize;

use super::{
    allow_rule::{AllowRule, RuleEndpoint, Selector, Side},
    group::Group,
    location::ConfigLocation,
    mark::MarkBit,
    on_error::OnError,
    pattern::Pattern,
    rule_id::RuleId,
};
use crate::netfilter::ChainName;

/// The forwarding policy, checked.
///
/// Two configs with the same serialised form decide the same: a change of the file between two
/// events is detected that way.
#[derive(Clone, Debug, Serialize)]
pub struct Config {
    /// The packet mark that our gates accept.
    pub mark: MarkBit,
    /// The effect of a failing `start` hook.
    pub on_error: OnError,
    /// Whether a network may name its groups in its own XML.
    pub metadata: bool,
    /// The groups, in the order of the file.
    pub groups: Vec<Group>,
    /// The rules, in the order of the file, which numbers them from 1.
    pub allows: Vec<AllowRule>,
    /// The administrator's own chains that get a gate.
    pub extra: Vec<ChainName>,
    /// The path of the file, for messages.
    #[serde(skip)]
    pub(crate) path: String,
}

impl Default for Config {
    /// The meaning of a missing file: one group of all networks except isolated ones.
    fn default() -> Self {
        Self {
            mark: MarkBit::DEFAULT,
            on_error: OnError::default(),
            metadata: true,
            groups: vec![Group {
                name: "all".to_owned(),
                networks: vec![Pattern::any()],
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

impl Config {
    /// A config that opens nothing, to close what a config with an error leaves to be closed.
    pub fn closed() -> Self {
        Self {
            groups: Vec::new(),
            allows: Vec::new(),
            ..Self::default()
        }
    }

    /// A note where no network can be opened by this config. That is not an error: the administrator
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

    /// Whether external hosts may open connections to networks.
    pub fn allows_inbound_external(&self) -> bool {
        self.has_peers() || self.allows.iter().any(|rule| rule.from.subnet().is_some())
    }

    /// Whether connections to or from a subnet are allowed.
    pub fn references_subnets(&self) -> bool {
        self.has_peers() || self.endpoints().any(|(_, end)| end.subnet().is_some())
    }

    /// Whether a subnet in a rule may mean networks.
    pub fn has_subnet_endpoints(&self) -> bool {
        self.endpoints()
            .any(|(_, end)| matches!(end.selector, Selector::Subnet(_)))
    }

    /// The line that names `peer` of `group`.
    pub fn peer_location(&self, group: &str, peer: &IpNet) -> ConfigLocation {
        let group = self.groups.iter().find(|one| one.name == group);
        let mut lines = group.into_iter().flat_map(|group| &group.peer_lines);
        let line = lines.find(|(written, _)| peer.contains(written));
        self.location(line.map_or(1, |(_, line)| *line))
    }

    /// The line that names one endpoint of a rule.
    pub fn endpoint_location(&self, rule: &RuleId, side: Side) -> ConfigLocation {
        let rule = self.allows.iter().find(|one| one.id == *rule);
        self.location(rule.map_or(1, |rule| side.of(rule).line))
    }

    /// The endpoints of rules that are one plain name, which may be mistyped: line, key, and name.
    pub fn endpoint_names(&self) -> impl Iterator<Item = (ConfigLocation, &'static str, &str)> {
        self.endpoints().filter_map(|(side, end)| {
            let Selector::Networks(pattern) = &end.selector else {
                return None;
            };
            Some((self.location(end.line), side.key(), pattern.exact()?))
        })
    }

    fn endpoints(&self) -> impl Iterator<Item = (Side, &RuleEndpoint)> {
        let sides = |rule| [Side::From, Side::To].map(|side| (side, side.of(rule)));
        self.allows.iter().flat_map(sides)
    }

    fn location(&self, line: usize) -> ConfigLocation {
        ConfigLocation::new(&self.path, line)
    }
}
