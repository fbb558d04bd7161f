//! firewalld's zones and its policy for peers.

use std::fmt::{self, Display, Formatter};

use strum::IntoStaticStr;
use virt_forward_policy::sanitize::escape;
use virt_forward_ruleset::gates::UnzonedBridge;

use crate::doctor::{
    context::Context,
    diagnosis::{Diagnosis, Fix, Severity, Subject},
};

#[derive(Clone, Debug, PartialEq, Eq, IntoStaticStr)]
#[cfg_attr(test, derive(strum::VariantNames))]
#[strum(serialize_all = "kebab-case")]
pub(crate) enum FirewalldFinding {
    /// The policy virt-forward lacks the rules for peers.
    PeersBlocked,
    /// The bridge is in no zone, so in the default zone.
    BridgeInDefaultZone(UnzonedBridge),
    BridgeInOtherZone {
        zone: String,
        outsider: UnzonedBridge,
    },
}

impl Diagnosis for FirewalldFinding {
    fn subject(&self) -> Subject {
        Subject::Firewalld
    }

    fn kind(&self) -> &'static str {
        self.into()
    }

    fn severity(&self) -> Severity {
        match self {
            Self::PeersBlocked | Self::BridgeInDefaultZone(_) => Severity::Error,
            // The administrator may have changed what the zone accepts.
            Self::BridgeInOtherZone { .. } => Severity::Note,
        }
    }

    fn fix(&self) -> Vec<Fix> {
        match self {
            Self::PeersBlocked => vec![
                Fix::apply(),
                Fix::advice(
                    "if firewalld does not know the policy virt-forward: firewall-cmd --reload, \
                     then apply again",
                ),
            ],
            Self::BridgeInDefaultZone(outsider) | Self::BridgeInOtherZone { outsider, .. } => {
                vec![Fix::command(outsider.remedy())]
            }
        }
    }
}

impl Display for FirewalldFinding {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::PeersBlocked => {
                f.write_str("its virt-forward policy lacks the peer rules; peers are blocked")
            }
            Self::BridgeInDefaultZone(outsider) => write!(
                f,
                "{} is in its default zone, which blocks allowed traffic",
                outsider.bridge
            ),
            Self::BridgeInOtherZone { zone, outsider } => write!(
                f,
                "{} is in its zone {}, which may block allowed traffic",
                outsider.bridge,
                escape(zone)
            ),
        }
    }
}

pub(crate) fn check(context: &Context) -> Vec<FirewalldFinding> {
    if !context.is_config_valid {
        return Vec::new();
    }
    let observed = &context.inspection.wanted;
    let mut findings = Vec::new();
    if observed.is_firewalld_closed {
        findings.push(FirewalldFinding::PeersBlocked);
    }
    for outsider in &observed.outsiders {
        let outsider = outsider.clone();
        findings.push(match outsider.zone.clone() {
            None => FirewalldFinding::BridgeInDefaultZone(outsider),
            Some(zone) => FirewalldFinding::BridgeInOtherZone { zone, outsider },
        });
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::fixtures::TestHost;
    use virt_forward_policy::network::BridgeName;

    #[test]
    fn a_bridge_in_the_default_zone_is_an_error() {
        let mut host = TestHost::new();
        host.inspection.wanted.is_firewalld_closed = true;
        let bridge = BridgeName::try_from("br2".to_owned()).unwrap();
        let outsider = |zone: Option<&str>| UnzonedBridge {
            bridge: bridge.clone(),
            zone: zone.map(str::to_owned),
        };
        host.inspection.wanted.outsiders = vec![outsider(None), outsider(Some("dmz"))];
        let found = check(&host.context());
        let kinds: Vec<_> = found.iter().map(Diagnosis::kind).collect();
        assert_eq!(
            kinds,
            [
                "peers-blocked",
                "bridge-in-default-zone",
                "bridge-in-other-zone"
            ]
        );
        let mut context = host.context();
        context.is_config_valid = false;
        assert_eq!(check(&context), []);
    }
}
