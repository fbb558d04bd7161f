//! `[[allow]]` rules: one-way, limited access beside groups.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{pattern::Pattern, rule_id::RuleId, traffic::Traffic};

/// An `[[allow]]` rule: new connections from one endpoint to the other, limited to some traffic.
#[derive(Clone, Debug, Serialize)]
pub struct AllowRule {
    /// The identity of the rule in messages, in the state and in the names of sets.
    pub id: RuleId,
    /// The endpoint that opens connections.
    pub from: RuleEndpoint,
    /// The endpoint that accepts them.
    pub to: RuleEndpoint,
    /// What may pass.
    #[serde(flatten)]
    pub traffic: Traffic,
}

/// `from` or `to` of an [`AllowRule`].
#[derive(Clone, Debug, Serialize)]
pub struct RuleEndpoint {
    /// The networks or hosts that are meant.
    pub selector: Selector,
    /// The line of the config file that names them.
    #[serde(skip)]
    pub line: usize,
}

/// The networks or hosts at one endpoint of a rule.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Selector {
    /// The members of a group of the config.
    Group(String),
    /// The libvirt networks whose names match.
    Networks(Pattern),
    /// Hosts with these addresses, external or in a network.
    Subnet(IpNet),
    /// External hosts with these addresses: all addresses of a family, or a subnet that more than
    /// one network or host claims.
    Outside(IpNet),
}

impl RuleEndpoint {
    /// The subnet, where the endpoint is one.
    pub fn subnet(&self) -> Option<IpNet> {
        match self.selector {
            Selector::Subnet(net) | Selector::Outside(net) => Some(net),
            Selector::Group(_) | Selector::Networks(_) => None,
        }
    }
}

/// One of the two endpoints of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// `from`
    From,
    /// `to`
    To,
}

impl Side {
    /// The key in the config.
    pub fn key(self) -> &'static str {
        match self {
            Self::From => "from",
            Self::To => "to",
        }
    }

    /// The endpoint of `rule` on this side.
    pub fn of(self, rule: &AllowRule) -> &RuleEndpoint {
        match self {
            Self::From => &rule.from,
            Self::To => &rule.to,
        }
    }
}
