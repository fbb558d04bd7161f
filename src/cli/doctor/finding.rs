//! The findings of all checks as one type, and their JSON.

use serde::{Serialize, Serializer, ser::SerializeStruct};

use super::{
    br_netfilter::BridgeFilterFinding,
    config::ConfigFinding,
    daemon::DaemonFinding,
    diagnosis::{Diagnosis, Fix},
    firewalls::{
        BlockingChainFinding, DockerFinding, EgressFinding, FirewalldFinding, GateFinding,
        OwnerFinding,
    },
    forwarding::{AcceptRaFinding, ForwardingFinding},
    fwmark::FwmarkFinding,
    hook::HookFinding,
    iptables::IptablesFinding,
    libvirt::LibvirtFinding,
    mac::{AppArmorFinding, MacFinding, SelinuxFinding},
    networks::NetworkFinding,
    routes::RouteFinding,
    rules::RulesFinding,
    state::StateFinding,
    subnets::SubnetFinding,
    table::TableFinding,
    watch::WatchFinding,
};

/// Declares [`Finding`] with a variant for the findings of each check.
macro_rules! findings {
    ($($check:ident($finding:ty)),* $(,)?) => {
        /// A finding of any check.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub(crate) enum Finding {
            $($check($finding)),*
        }

        impl Finding {
            pub(crate) fn diagnosis(&self) -> &dyn Diagnosis {
                match self {
                    $(Self::$check(finding) => finding),*
                }
            }
        }

        $(impl From<$finding> for Finding {
            fn from(finding: $finding) -> Self {
                Self::$check(finding)
            }
        })*

        /// The kinds of each check, as `check kind`.
        #[cfg(test)]
        pub(crate) fn all_kinds() -> Vec<(&'static str, &'static str)> {
            let mut kinds = Vec::new();
            $(kinds.extend(
                <$finding as strum::VariantNames>::VARIANTS
                    .iter()
                    .map(|kind| (stringify!($check), *kind)),
            );)*
            kinds
        }

        #[cfg(test)]
        impl Finding {
            /// The name of the check, as [`all_kinds`] has it.
            pub(crate) fn check(&self) -> &'static str {
                match self {
                    $(Self::$check(_) => stringify!($check)),*
                }
            }
        }
    };
}

findings! {
    AcceptRa(AcceptRaFinding),
    AppArmor(AppArmorFinding),
    BlockingChain(BlockingChainFinding),
    BridgeFilter(BridgeFilterFinding),
    Config(ConfigFinding),
    Daemon(DaemonFinding),
    Docker(DockerFinding),
    Egress(EgressFinding),
    Firewalld(FirewalldFinding),
    Forwarding(ForwardingFinding),
    Fwmark(FwmarkFinding),
    Gate(GateFinding),
    Hook(HookFinding),
    Iptables(IptablesFinding),
    Libvirt(LibvirtFinding),
    Mac(MacFinding),
    Network(NetworkFinding),
    Owner(OwnerFinding),
    Route(RouteFinding),
    Rules(RulesFinding),
    Selinux(SelinuxFinding),
    State(StateFinding),
    Subnet(SubnetFinding),
    Table(TableFinding),
    Watch(WatchFinding),
}

impl Serialize for Finding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let finding = self.diagnosis();
        let fix: Vec<_> = finding.fix().iter().map(Fix::to_string).collect();
        let mut fields = serializer.serialize_struct("Finding", 5)?;
        fields.serialize_field("check", finding.subject().name())?;
        fields.serialize_field("kind", finding.kind())?;
        fields.serialize_field("state", &finding.severity())?;
        fields.serialize_field("what", &finding.to_string())?;
        fields.serialize_field("remedy", &fix)?;
        fields.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::{diagnosis::Severity, fixtures::examples};

    #[test]
    fn every_kind_has_an_example() {
        let examples: Vec<_> = examples()
            .iter()
            .map(|finding| (finding.check(), finding.diagnosis().kind()))
            .collect();
        for kind in all_kinds() {
            assert!(examples.contains(&kind), "{kind:?}");
        }
    }

    #[test]
    fn a_kind_is_unique_within_its_subject() {
        let mut checks = std::collections::HashMap::new();
        for finding in examples() {
            let diagnosis = finding.diagnosis();
            let name = (diagnosis.subject().name(), diagnosis.kind());
            let check = checks.entry(name).or_insert(finding.check());
            assert_eq!(*check, finding.check(), "{name:?}");
        }
    }

    #[test]
    fn every_error_has_a_fix_and_no_fix_is_destructive() {
        for finding in examples() {
            let diagnosis = finding.diagnosis();
            let fix = diagnosis.fix();
            let has_fix = !fix.is_empty() || matches!(finding, Finding::Rules(_));
            assert!(
                has_fix || diagnosis.severity() != Severity::Error,
                "{diagnosis}"
            );
            for fix in fix {
                let text = fix.to_string();
                for destructive in [" -F", " -X", " -P FORWARD", "flush", "apt-get"] {
                    assert!(!text.contains(destructive), "{text}");
                }
            }
        }
    }
}
