//! The properties that every finding has: subject, severity and fix.

use std::fmt::{self, Display, Formatter};

use serde::Serialize;
use strum::IntoStaticStr;

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
