//! libvirt: its version, its firewall backend and its own rules.

use std::fmt::{self, Display, Formatter};

use strum::IntoStaticStr;
use virt_forward_ruleset::gates::Site;

use super::{
    daemon::Recovery,
    diagnosis::{Diagnosis, Fix, Severity, Subject},
};

/// The first version with chains of its own for its rules (NEWS); before that, a gate would have
/// to precede the rules of each network.
const OLDEST: Version = Version(5_001_000);

/// A version of libvirt as virGetVersion reports it: 9.0.0 is 9000000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version(pub(crate) u64);

impl Display for Version {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (major, minor) = (self.0 / 1_000_000, self.0 / 1000 % 1000);
        write!(f, "{major}.{minor}.{}", self.0 % 1000)
    }
}

/// The kind of rules that libvirt writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub(crate) enum Backend {
    Iptables,
    Nftables,
}

#[derive(Clone, Debug, PartialEq, Eq, IntoStaticStr)]
#[cfg_attr(test, derive(strum::VariantNames))]
#[strum(serialize_all = "kebab-case")]
pub(crate) enum LibvirtFinding {
    /// It answers; without rules its backend is unknown.
    Answers {
        version: Version,
        backend: Option<Backend>,
    },
    TooOld {
        version: Version,
    },
    Unreachable {
        cause: String,
        recovery: Recovery,
    },
    /// Another program has flushed its rules.
    RulesFlushed {
        recovery: Recovery,
    },
}

impl Diagnosis for LibvirtFinding {
    fn subject(&self) -> Subject {
        Subject::Libvirt
    }

    fn kind(&self) -> &'static str {
        self.into()
    }

    fn severity(&self) -> Severity {
        match self {
            Self::Answers { .. } => Severity::Ok,
            Self::TooOld { .. } | Self::Unreachable { .. } | Self::RulesFlushed { .. } => {
                Severity::Error
            }
        }
    }

    fn fix(&self) -> Vec<Fix> {
        match self {
            Self::Answers { .. } => Vec::new(),
            Self::TooOld { .. } => {
                vec![Fix::advice(format!("upgrade libvirt to {OLDEST} or newer"))]
            }
            Self::Unreachable { recovery, .. } | Self::RulesFlushed { recovery } => {
                vec![recovery.fix()]
            }
        }
    }
}

impl Display for LibvirtFinding {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answers {
                version,
                backend: Some(backend),
            } => {
                let backend: &str = backend.into();
                write!(f, "{version}, {backend} backend")
            }
            Self::Answers {
                version,
                backend: None,
            } => write!(f, "{version}; it has no firewall rules at present"),
            Self::TooOld { version } => write!(
                f,
                "{version} is too old: it has no chains of its own for its rules, so no gate would keep its place"
            ),
            Self::Unreachable { cause, .. } => f.write_str(cause),
            Self::RulesFlushed { .. } => f.write_str(
                "libvirt's own rules are gone: they were flushed, and no network can start before \
                 libvirt's daemon restarts",
            ),
        }
    }
}

/// Judges the answer of libvirt: its version, or the reason why there is none. `recovery` is for
/// a daemon that does not answer.
pub(crate) fn check(
    version: &Result<Version, String>,
    sites: &[Site],
    recovery: Recovery,
) -> LibvirtFinding {
    match version {
        Err(cause) => LibvirtFinding::Unreachable {
            cause: cause.clone(),
            recovery,
        },
        Ok(version) if *version < OLDEST => LibvirtFinding::TooOld { version: *version },
        Ok(version) => LibvirtFinding::Answers {
            version: *version,
            backend: backend(sites),
        },
    }
}

fn backend(sites: &[Site]) -> Option<Backend> {
    let site = sites
        .iter()
        .find(|site| site.owner == virt_forward_ruleset::gates::Owner::Libvirt)?;
    Some(match site.base.table.as_str() {
        "libvirt_network" => Backend::Nftables,
        _ => Backend::Iptables,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_encoded_in_one_number() {
        assert_eq!(Version(11_003_000).to_string(), "11.3.0");
        assert_eq!(Version(5_000_012).to_string(), "5.0.12");
    }

    #[test]
    fn an_old_libvirt_and_one_without_an_answer_are_errors() {
        let recovery = || Recovery::Restart("libvirtd".to_owned());
        let severity = |version| check(&version, &[], recovery()).severity();
        assert_eq!(severity(Ok(Version(9_000_000))), Severity::Ok);
        assert_eq!(severity(Ok(Version(5_001_000))), Severity::Ok);
        assert_eq!(severity(Ok(Version(5_000_000))), Severity::Error);
        let silent = check(&Err("cannot".to_owned()), &[], recovery());
        assert_eq!(silent.severity(), Severity::Error);
        assert_eq!(silent.fix(), [Fix::command("systemctl restart libvirtd")]);
    }
}
