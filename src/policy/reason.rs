//! Reasons for the reachability of a pair, as values; their texts are made here.

use std::fmt;

use ipnet::IpNet;
use serde::Serialize;

use crate::{
    config::{AllowRule, RuleId, Traffic},
    libvirt::LibvirtVerdict,
    reachability::Reachability,
};

/// Why new connections from one network or external subnet to another pass or do not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Reason {
    /// Both networks are members of the group.
    SameGroup {
        /// Its name.
        group: String,
    },
    /// The external subnet is a peer of a group, and the network a member of it.
    Peer {
        /// The group's name.
        group: String,
        /// Whether libvirt replaces the source address by the host's.
        masqueraded: bool,
    },
    /// `[[allow]]` rules permit some traffic.
    AllowRules {
        /// Each with what it permits.
        rules: Vec<RuleGrant>,
    },
    /// No group has both networks as members, and libvirt's rules decide.
    NoCommonGroup {
        /// Their effect.
        libvirt: LibvirtEffect,
    },
    /// No group of the network has the external subnet as a peer, and libvirt's rules decide.
    NotAPeer {
        /// Their effect.
        libvirt: LibvirtEffect,
    },
}

impl Reason {
    /// Whether new connections pass.
    pub fn reachability(&self) -> Reachability {
        match self {
            Self::SameGroup { .. } | Self::Peer { .. } => Reachability::Open,
            Self::AllowRules { .. } => Reachability::Limited,
            Self::NoCommonGroup { libvirt } | Self::NotAPeer { libvirt } => {
                if libvirt.verdict.allows() {
                    Reachability::Open
                } else {
                    Reachability::Closed
                }
            }
        }
    }

    /// Whether the config allows it, so that our table marks the packets.
    pub fn is_by_policy(&self) -> bool {
        match self {
            Self::SameGroup { .. } | Self::Peer { .. } | Self::AllowRules { .. } => true,
            Self::NoCommonGroup { .. } | Self::NotAPeer { .. } => false,
        }
    }

    /// The effect of libvirt's rules, where they decide.
    pub fn libvirt(&self) -> Option<LibvirtEffect> {
        match self {
            Self::NoCommonGroup { libvirt } | Self::NotAPeer { libvirt } => Some(*libvirt),
            Self::SameGroup { .. } | Self::Peer { .. } | Self::AllowRules { .. } => None,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SameGroup { group } => write!(f, "both in group {group}"),
            Self::Peer { group, masqueraded } => {
                write!(f, "a peer of group {group}{}", source(*masqueraded))
            }
            Self::AllowRules { rules } => {
                for (at, rule) in rules.iter().enumerate() {
                    let separator = if at == 0 { "" } else { "; " };
                    write!(f, "{separator}{rule}")?;
                }
                Ok(())
            }
            Self::NoCommonGroup { libvirt } => write!(f, "no common group, {libvirt}"),
            Self::NotAPeer { libvirt } => write!(f, "not a peer, {libvirt}"),
        }
    }
}

/// The effect of libvirt's rules on a pair that the config does not concern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LibvirtEffect {
    /// What they do.
    #[serde(rename = "effect")]
    pub verdict: LibvirtVerdict,
    /// Whether they let connections pass and replace the source address by the host's.
    pub masqueraded: bool,
}

impl LibvirtEffect {
    /// The effect where `verdict` decides; `masquerades` tells whether connections that pass are
    /// masqueraded.
    pub(crate) fn new(verdict: LibvirtVerdict, masquerades: bool) -> Self {
        Self {
            verdict,
            masqueraded: verdict.allows() && masquerades,
        }
    }
}

/// The rest of a sentence: `but libvirt accepts outbound connections, source masqueraded`
impl fmt::Display for LibvirtEffect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            verdict,
            masqueraded,
        } = self;
        let conjunction = if verdict.allows() { "but" } else { "and" };
        write!(f, "{conjunction} {verdict}{}", source(*masqueraded))
    }
}

fn source(is_masqueraded: bool) -> &'static str {
    if is_masqueraded {
        ", source masqueraded"
    } else {
        ""
    }
}

/// What one `[[allow]]` rule permits from one side of a pair to the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleGrant {
    /// The rule.
    pub rule: RuleId,
    /// The traffic.
    #[serde(flatten)]
    pub traffic: Traffic,
    /// The source addresses, where the rule does not mean all of that side.
    pub source: Option<IpNet>,
    /// The destination addresses, where the rule does not mean all of that side.
    pub destination: Option<IpNet>,
}

impl RuleGrant {
    pub(crate) fn new(rule: &AllowRule, source: Option<IpNet>, destination: Option<IpNet>) -> Self {
        Self {
            rule: rule.id.clone(),
            traffic: rule.traffic.clone(),
            source,
            destination,
        }
    }
}

/// `allow 1: tcp 443`, `allow api: icmp, to 10.17.4.21/32`
impl fmt::Display for RuleGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "allow {}: {}", self.rule, self.traffic)?;
        if let Some(source) = self.source {
            write!(f, ", from {source}")?;
        }
        if let Some(destination) = self.destination {
            write!(f, ", to {destination}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::PortRange;

    /// The text and the JSON of every kind of reason.
    #[test]
    fn every_reason_has_a_text_and_a_machine_readable_form() {
        let verdicts = [
            LibvirtVerdict::AcceptsOutbound,
            LibvirtVerdict::RoutesToDestination,
            LibvirtVerdict::NoRules,
            LibvirtVerdict::RejectsIsolatedSource,
            LibvirtVerdict::RejectsSourceDevice,
            LibvirtVerdict::RejectsForeignSource,
            LibvirtVerdict::RejectsInbound,
            LibvirtVerdict::RejectsDestinationDevice,
            LibvirtVerdict::UnknownMode,
        ];
        let group = || "kube".to_owned();
        let mut reasons = vec![
            Reason::SameGroup { group: group() },
            Reason::Peer {
                group: group(),
                masqueraded: false,
            },
            Reason::Peer {
                group: group(),
                masqueraded: true,
            },
            Reason::AllowRules {
                rules: vec![
                    RuleGrant {
                        rule: RuleId::Number(1),
                        traffic: Traffic {
                            tcp: vec![
                                PortRange {
                                    first: 443,
                                    last: 443,
                                },
                                PortRange {
                                    first: 30000,
                                    last: 32767,
                                },
                            ],
                            ..Traffic::default()
                        },
                        source: None,
                        destination: None,
                    },
                    RuleGrant {
                        rule: RuleId::Name("ping".to_owned()),
                        traffic: Traffic {
                            icmp: true,
                            ..Traffic::default()
                        },
                        source: "10.17.0.0/16".parse().ok(),
                        destination: "10.17.4.21/32".parse().ok(),
                    },
                ],
            },
        ];
        for verdict in verdicts {
            let libvirt = LibvirtEffect::new(verdict, true);
            reasons.push(Reason::NoCommonGroup { libvirt });
        }
        for verdict in [
            LibvirtVerdict::AcceptsOutbound,
            LibvirtVerdict::RejectsInbound,
        ] {
            let libvirt = LibvirtEffect::new(verdict, false);
            reasons.push(Reason::NotAPeer { libvirt });
        }
        let lines = reasons.iter().map(|reason| {
            let json = serde_json::to_string(reason).unwrap();
            format!("{:?}: {reason}\n  {json}", reason.reachability())
        });
        insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"));
    }
}
