//! The daemon that restores rules which other programs remove.

use std::fmt::{self, Display, Formatter};

use strum::IntoStaticStr;

use super::{
    diagnosis::{Diagnosis, Fix, Severity, Subject},
    processes::Process,
};

/// The name of its process, of which the kernel keeps 15 characters.
pub(crate) const PROCESS_NAME: &str = "virt-forward-wa";

#[derive(Clone, Debug, PartialEq, Eq, IntoStaticStr)]
#[cfg_attr(test, derive(strum::VariantNames))]
#[strum(serialize_all = "kebab-case")]
pub(crate) enum WatchFinding {
    Running,
    NotRunning,
    /// Its program has been replaced since it started.
    Outdated,
}

impl Diagnosis for WatchFinding {
    fn subject(&self) -> Subject {
        Subject::Watch
    }

    fn kind(&self) -> &'static str {
        self.into()
    }

    fn severity(&self) -> Severity {
        match self {
            Self::Running => Severity::Ok,
            Self::NotRunning | Self::Outdated => Severity::Note,
        }
    }

    fn fix(&self) -> Vec<Fix> {
        match self {
            Self::Running => Vec::new(),
            Self::NotRunning => vec![Fix::command("systemctl enable --now virt-forward")],
            Self::Outdated => vec![Fix::command("systemctl restart virt-forward")],
        }
    }
}

impl Display for WatchFinding {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Running => "virt-forward watch is running",
            Self::NotRunning => {
                "virt-forward watch is not running: flushed rules are not restored until the next \
                 network start"
            }
            Self::Outdated => {
                "virt-forward watch is still running the version from before the last upgrade"
            }
        })
    }
}

pub(crate) fn check(processes: &[Process]) -> WatchFinding {
    match processes.first() {
        None => WatchFinding::NotRunning,
        Some(process) if process.is_outdated => WatchFinding::Outdated,
        Some(_) => WatchFinding::Running,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn the_first_process_counts() {
        assert_eq!(check(&[]), WatchFinding::NotRunning);
        let process = |is_outdated| Process {
            pid: 7,
            name: PROCESS_NAME.to_owned(),
            started: SystemTime::UNIX_EPOCH,
            is_outdated,
        };
        assert_eq!(check(&[process(false)]), WatchFinding::Running);
        assert_eq!(check(&[process(true)]), WatchFinding::Outdated);
    }
}
