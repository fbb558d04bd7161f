//! The table `inet virt_forward`.

use std::fmt::{self, Display, Formatter};

use strum::IntoStaticStr;
use virt_forward_policy::config::MarkBit;

use super::{
    context::Context,
    diagnosis::{Diagnosis, Fix, Severity, Subject},
    firewalls::chains_with_gates,
};

#[derive(Clone, Debug, PartialEq, Eq, IntoStaticStr)]
#[cfg_attr(test, derive(strum::VariantNames))]
#[strum(serialize_all = "kebab-case")]
pub(crate) enum TableFinding {
    InSync,
    /// No network is open, and the table does not exist.
    NotNeeded,
    /// The desired state is unknown: the config is invalid.
    Skipped,
    /// No network is open, but the table exists.
    Leftover,
    Missing,
    /// The table is missing, and gates accept its mark from any program.
    MissingBehindGates {
        mark: MarkBit,
    },
    Differs,
}

impl Diagnosis for TableFinding {
    fn subject(&self) -> Subject {
        Subject::Table
    }

    fn kind(&self) -> &'static str {
        self.into()
    }

    fn severity(&self) -> Severity {
        match self {
            Self::InSync | Self::NotNeeded => Severity::Ok,
            Self::Skipped => Severity::Note,
            Self::Leftover | Self::Missing | Self::MissingBehindGates { .. } | Self::Differs => {
                Severity::Error
            }
        }
    }

    fn fix(&self) -> Vec<Fix> {
        match self {
            Self::InSync | Self::NotNeeded | Self::Skipped => Vec::new(),
            Self::Leftover => vec![Fix::remove_all()],
            Self::Missing | Self::MissingBehindGates { .. } | Self::Differs => vec![Fix::apply()],
        }
    }
}

impl Display for TableFinding {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::InSync => f.write_str("table inet virt_forward is in sync"),
            Self::NotNeeded => {
                f.write_str("no network is open, so table inet virt_forward is not needed")
            }
            Self::Skipped => f.write_str("skipped: the config is invalid"),
            Self::Leftover => f.write_str("table inet virt_forward exists, but no network is open"),
            Self::Missing => {
                f.write_str("table inet virt_forward is missing, so no network is open")
            }
            Self::MissingBehindGates { mark } => write!(
                f,
                "table inet virt_forward is missing, so no network is open; the gates accept every \
                 packet with fwmark {mark}, whichever program set it"
            ),
            Self::Differs => f.write_str(
                "table inet virt_forward differs from the desired state (modified externally, or \
                 a config or network change was missed)",
            ),
        }
    }
}

pub(crate) fn check(context: &Context) -> TableFinding {
    if !context.is_config_valid {
        return TableFinding::Skipped;
    }
    let inspection = context.inspection;
    match (&inspection.table, &inspection.wanted.table) {
        (None, None) => TableFinding::NotNeeded,
        (Some(_), None) => TableFinding::Leftover,
        (None, Some(_)) if chains_with_gates(context).next().is_some() => {
            let mark = context.config.mark;
            TableFinding::MissingBehindGates { mark }
        }
        (None, Some(_)) => TableFinding::Missing,
        (Some(_), Some(_)) if inspection.is_table_right() => TableFinding::InSync,
        (Some(_), Some(_)) => TableFinding::Differs,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::fixtures::{TestHost, gate};

    #[test]
    fn the_table_is_compared_with_the_desired_state() {
        let mut host = TestHost::new();
        assert_eq!(check(&host.context()), TableFinding::InSync);
        host.inspection.table = Some("table inet virt_forward { chain x { } }".to_owned());
        assert_eq!(check(&host.context()), TableFinding::Differs);
        host.inspection.wanted.table = None;
        assert_eq!(check(&host.context()), TableFinding::Leftover);
        host.inspection.table = None;
        assert_eq!(check(&host.context()), TableFinding::NotNeeded);
    }

    #[test]
    fn a_missing_table_behind_gates_is_a_finding_of_its_own() {
        let mut host = TestHost::new();
        host.inspection.table = None;
        assert_eq!(check(&host.context()), TableFinding::Missing);
        host.set_forward_chain(true, vec![gate()]);
        let mark = host.config.mark;
        let expected = TableFinding::MissingBehindGates { mark };
        assert_eq!(check(&host.context()), expected);
        let mut context = host.context();
        context.is_config_valid = false;
        assert_eq!(check(&context), TableFinding::Skipped);
    }
}
