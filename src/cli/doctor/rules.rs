//! The rules of the host as a whole, where they cannot be read.

use std::fmt::{self, Display, Formatter};

use strum::IntoStaticStr;
use virt_forward_reconcile::Error;

use super::diagnosis::{Diagnosis, Fix, Severity, Subject};

#[derive(Clone, Debug, PartialEq, Eq, IntoStaticStr)]
#[cfg_attr(test, derive(strum::VariantNames))]
#[strum(serialize_all = "kebab-case")]
pub(crate) enum RulesFinding {
    /// A program that reads them is not installed.
    ProgramMissing {
        cause: String,
        package: &'static str,
    },
    Unreadable {
        cause: String,
    },
}

impl From<&Error> for RulesFinding {
    fn from(error: &Error) -> Self {
        let cause = error.to_string();
        match error {
            Error::System(virt_forward_system::Error::ProgramNotFound { package, .. }) => {
                Self::ProgramMissing { cause, package }
            }
            _ => Self::Unreadable { cause },
        }
    }
}

impl Diagnosis for RulesFinding {
    fn subject(&self) -> Subject {
        Subject::Rules
    }

    fn kind(&self) -> &'static str {
        self.into()
    }

    fn severity(&self) -> Severity {
        Severity::Error
    }

    fn fix(&self) -> Vec<Fix> {
        match self {
            Self::ProgramMissing { package, .. } => {
                vec![Fix::advice(format!("install the package {package}"))]
            }
            Self::Unreadable { .. } => Vec::new(),
        }
    }
}

impl Display for RulesFinding {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::ProgramMissing { cause, .. } | Self::Unreadable { cause } => {
                write!(f, "cannot read the rules of this host: {cause}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_package_of_a_missing_program_is_named() {
        let error = Error::System(virt_forward_system::Error::ProgramNotFound {
            program: "nft",
            package: "nftables",
        });
        let missing = RulesFinding::from(&error);
        assert_eq!(missing.kind(), "program-missing");
        assert_eq!(missing.fix(), [Fix::advice("install the package nftables")]);
        let locked = RulesFinding::from(&Error::System(virt_forward_system::Error::LockTimeout(
            "/run/lock".into(),
        )));
        assert_eq!(locked.kind(), "unreadable");
    }
}
