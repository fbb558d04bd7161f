//! The bridges of active networks.

use std::fmt::{self, Display, Formatter};

use strum::IntoStaticStr;
use virt_forward_policy::sanitize::{argument, escape};

use super::{
    context::Context,
    diagnosis::{Diagnosis, Fix, Severity, Subject, passed_unless_error},
};

#[derive(Clone, Debug, PartialEq, Eq, IntoStaticStr)]
#[cfg_attr(test, derive(strum::VariantNames))]
#[strum(serialize_all = "kebab-case")]
pub(crate) enum NetworkFinding {
    /// The bridges of all active networks are up.
    BridgesUp {
        count: usize,
    },
    /// The network is active in libvirt.
    BridgeMissing {
        network: String,
        bridge: String,
    },
    BridgeDown {
        network: String,
        bridge: String,
    },
    /// It is to stay closed until it starts again: the administrator has closed it, or it was
    /// active before virt-forward knew of it.
    KeptClosed {
        network: String,
    },
}

impl Diagnosis for NetworkFinding {
    fn subject(&self) -> Subject {
        Subject::Networks
    }

    fn kind(&self) -> &'static str {
        self.into()
    }

    fn severity(&self) -> Severity {
        match self {
            Self::BridgesUp { .. } => Severity::Ok,
            Self::KeptClosed { .. } => Severity::Note,
            Self::BridgeMissing { .. } | Self::BridgeDown { .. } => Severity::Error,
        }
    }

    fn fix(&self) -> Vec<Fix> {
        match self {
            Self::BridgesUp { .. } => Vec::new(),
            Self::BridgeMissing { network, .. } => {
                let name = argument(network);
                let restart = format!("virsh net-destroy {name}; virsh net-start {name}");
                vec![Fix::command(restart)]
            }
            Self::BridgeDown { bridge, .. } => {
                vec![Fix::command(format!("ip link set {bridge} up"))]
            }
            Self::KeptClosed { network } => {
                vec![Fix::command(format!(
                    "virt-forward apply {}",
                    argument(network)
                ))]
            }
        }
    }
}

impl Display for NetworkFinding {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::BridgesUp { count: 0 } => f.write_str("no active network can be opened"),
            Self::BridgesUp { count: 1 } => f.write_str("1 active network, and its bridge is up"),
            Self::BridgesUp { count } => {
                write!(f, "{count} active networks, and their bridges are up")
            }
            Self::BridgeMissing { network, bridge } => write!(
                f,
                "{}: active in libvirt, but bridge {bridge} does not exist",
                escape(network)
            ),
            Self::BridgeDown { network, bridge } => {
                write!(f, "{}: bridge {bridge} is down", escape(network))
            }
            Self::KeptClosed { network } => write!(
                f,
                "{}: kept closed until its next start or `virt-forward apply`",
                escape(network)
            ),
        }
    }
}

pub(crate) fn check(context: &Context) -> Vec<NetworkFinding> {
    let mut findings = Vec::new();
    for (network, bridge) in context.routed() {
        let (network, bridge) = (network.name.clone(), bridge.to_owned());
        match context.host.interface(&bridge) {
            None => findings.push(NetworkFinding::BridgeMissing { network, bridge }),
            Some(interface) if !interface.is_up => {
                findings.push(NetworkFinding::BridgeDown { network, bridge });
            }
            Some(_) => {}
        }
    }
    let kept_closed = context.records().filter(|record| record.is_admin_closed());
    findings.extend(kept_closed.map(|record| NetworkFinding::KeptClosed {
        network: record.network.name.clone(),
    }));
    let count = context.routed().count();
    passed_unless_error(findings, NetworkFinding::BridgesUp { count })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::fixtures::TestHost;

    #[test]
    fn a_bridge_has_to_exist_and_be_up() {
        let mut host = TestHost::new();
        let up = NetworkFinding::BridgesUp { count: 2 };
        assert_eq!(check(&host.context()), [up]);
        host.interface("br3").is_up = false;
        let (network, bridge) = ("kube03".to_owned(), "br3".to_owned());
        let down = NetworkFinding::BridgeDown { network, bridge };
        assert_eq!(check(&host.context()), [down]);
        host.host.interfaces.retain(|one| one.name != "br3");
        let (network, bridge) = ("kube03".to_owned(), "br3".to_owned());
        let missing = NetworkFinding::BridgeMissing { network, bridge };
        assert_eq!(check(&host.context()), [missing]);
    }

    #[test]
    fn a_network_that_is_kept_closed_is_noted() {
        let mut host = TestHost::new();
        host.inspection.wanted.records[0].state =
            virt_forward_system::state::NetworkState::AdminClosed;
        let found = check(&host.context());
        let network = "kube02".to_owned();
        assert_eq!(found[1], NetworkFinding::KeptClosed { network });
    }
}
