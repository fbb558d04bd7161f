//! Docker's protection of container addresses.

use std::fmt::{self, Display, Formatter};

use strum::IntoStaticStr;
use virt_forward_policy::sanitize::escape;

use super::owners::join;
use crate::doctor::{
    context::Context,
    diagnosis::{Diagnosis, Fix, Severity, Subject},
};

#[derive(Clone, Debug, PartialEq, Eq, IntoStaticStr)]
#[cfg_attr(test, derive(strum::VariantNames))]
#[strum(serialize_all = "kebab-case")]
pub(crate) enum DockerFinding {
    /// Docker drops packets to the containers' own addresses, so virt-forward leaves their source
    /// to Docker's masquerade.
    ContainersUnreachable {
        /// The bridges of the containers.
        bridges: Vec<String>,
        /// The bridges of networks whose guests are concerned.
        guest_bridges: Vec<String>,
    },
}

impl Diagnosis for DockerFinding {
    fn subject(&self) -> Subject {
        Subject::Docker
    }

    fn kind(&self) -> &'static str {
        self.into()
    }

    fn severity(&self) -> Severity {
        Severity::Note
    }

    fn fix(&self) -> Vec<Fix> {
        let Self::ContainersUnreachable { guest_bridges, .. } = self;
        vec![
            Fix::advice("if containers and guests need each other's own addresses:"),
            Fix::command(format!(
                "docker network create -o com.docker.network.bridge.trusted_host_interfaces={} …",
                guest_bridges.join(":")
            )),
        ]
    }
}

impl Display for DockerFinding {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self::ContainersUnreachable { bridges, .. } = self;
        let bridges: Vec<_> = bridges.iter().map(|bridge| escape(bridge)).collect();
        let bridges: Vec<_> = bridges.iter().map(String::as_str).collect();
        write!(
            f,
            "Docker drops packets to the addresses of containers behind {}: guests see such a \
             container under an address of this host, and cannot connect to it",
            join(&bridges, " or ")
        )
    }
}

pub(crate) fn check(context: &Context) -> Option<DockerFinding> {
    let masqueraded = context.inspection.wanted.host.masqueraded.iter();
    let bridges: Vec<_> = masqueraded.map(ToString::to_string).collect();
    let guests = context
        .routed()
        .filter(|(network, _)| !network.subnets4().is_empty());
    let guest_bridges = guests.map(|(_, bridge)| bridge.to_owned()).collect();
    (!bridges.is_empty()).then_some(DockerFinding::ContainersUnreachable {
        bridges,
        guest_bridges,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::fixtures::TestHost;

    #[test]
    fn containers_that_guests_cannot_reach_are_noted() {
        let mut host = TestHost::new();
        assert_eq!(check(&host.context()), None);
        let wanted = &mut host.inspection.wanted;
        wanted.host.masqueraded = ["docker0".to_owned()].into_iter().collect();
        let expected = DockerFinding::ContainersUnreachable {
            bridges: vec!["docker0".to_owned()],
            guest_bridges: vec!["br2".to_owned(), "br3".to_owned()],
        };
        assert_eq!(check(&host.context()), Some(expected));
    }
}
