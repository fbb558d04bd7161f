//! Findings: what a check has established about the host.

use std::fmt::{self, Display, Formatter};

use serde::{Serialize, Serializer, ser::SerializeStruct};
use strum::IntoStaticStr;

use super::{
    br_netfilter::BridgeFilterFinding,
    config::ConfigFinding,
    daemon::DaemonFinding,
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

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// The check has passed.
    Ok,
    /// Worth knowing, or could not be checked.
    Note,
    /// Something does not work, or will not. The JSON keeps its first name for this, `wrong`.
    #[serde(rename = "wrong")]
    Error,
}

/// The part of the host that a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub(crate) enum Subject {
    #[strum(serialize = "accept_ra")]
    AcceptRa,
    AppArmor,
    #[strum(serialize = "bridge-nf")]
    BridgeFilter,
    Config,
    /// Mandatory access control, where neither AppArmor nor SELinux is enabled.
    Confinement,
    Daemon,
    Docker,
    Firewalld,
    Firewalls,
    Forwarding,
    Gates,
    Hook,
    Iptables,
    Libvirt,
    Mark,
    Networks,
    Routes,
    Rules,
    Selinux,
    State,
    Subnets,
    Table,
    Ufw,
    /// Chains that the config names.
    Admin,
    Watch,
}

impl Subject {
    /// The name in text and JSON.
    pub(crate) fn name(self) -> &'static str {
        self.into()
    }
}

/// A line that tells the administrator what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fix {
    /// A command for a root shell. Never a destructive one.
    Command {
        line: String,
        /// A remark that follows the command as a shell comment.
        remark: Option<String>,
    },
    /// A line for the config.
    Config(String),
    /// A sentence, printed as a shell comment.
    Advice(String),
}

impl Fix {
    pub(crate) fn command(line: impl Into<String>) -> Self {
        let (line, remark) = (line.into(), None);
        Self::Command { line, remark }
    }

    pub(crate) fn command_with(line: impl Into<String>, remark: impl Into<String>) -> Self {
        let (line, remark) = (line.into(), Some(remark.into()));
        Self::Command { line, remark }
    }

    pub(crate) fn advice(text: impl Into<String>) -> Self {
        Self::Advice(text.into())
    }

    /// Reconciles the kernel with the config.
    pub(crate) fn apply() -> Self {
        Self::command("virt-forward apply")
    }

    /// Removes what virt-forward has left in the kernel.
    pub(crate) fn remove_all() -> Self {
        Self::command("virt-forward remove --all")
    }

    /// Puts the current hook in its place.
    pub(crate) fn install_hook() -> Self {
        Self::command("virt-forward hook install")
    }
}

impl Display for Fix {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command { line, remark: None } | Self::Config(line) => f.write_str(line),
            Self::Command {
                line,
                remark: Some(remark),
            } => write!(f, "{line}   # {remark}"),
            Self::Advice(text) => write!(f, "# {text}"),
        }
    }
}

/// What follows from the variant of a finding. Its `Display` is the sentence that people read.
pub(crate) trait Diagnosis: Display {
    fn subject(&self) -> Subject;
    /// The variant's name in kebab-case; stable, and unique within the subject.
    fn kind(&self) -> &'static str;
    fn severity(&self) -> Severity;
    /// What to do; empty where nothing has to be done.
    fn fix(&self) -> Vec<Fix>;
}

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

/// `findings`, preceded by `passed` unless one of them is an error.
pub(crate) fn passed_unless_error<F: Diagnosis>(mut findings: Vec<F>, passed: F) -> Vec<F> {
    if findings
        .iter()
        .all(|finding| finding.severity() != Severity::Error)
    {
        findings.insert(0, passed);
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::fixtures::examples;

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
