//! The configuration: its syntax, what it names, and who can change it.

use std::{
    fmt::{self, Display, Formatter},
    path::{Path, PathBuf},
};

use strum::IntoStaticStr;
use virt_forward_policy::{
    config::{Config, OpensNothing},
    sanitize::{argument, escape},
};
use virt_forward_reconcile::{ConfigConflict, Error, unresolved_names};

use super::{
    SysRoot,
    diagnosis::{Diagnosis, Fix, Severity, Subject, passed_unless_error},
    file_owner::FileOwner,
};
use crate::networks::Networks;

/// The file.
#[derive(Clone, Debug)]
pub(crate) struct ConfigFile {
    pub(crate) path: PathBuf,
    /// `None` if the file does not exist.
    pub(crate) owner: Option<FileOwner>,
}

impl ConfigFile {
    pub(crate) fn collect(root: &SysRoot, path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            owner: FileOwner::collect(root, &path.to_string_lossy()),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, IntoStaticStr)]
#[cfg_attr(test, derive(strum::VariantNames))]
#[strum(serialize_all = "kebab-case")]
pub(crate) enum ConfigFinding {
    Valid {
        path: PathBuf,
    },
    /// The file does not exist.
    Defaults {
        path: PathBuf,
    },
    /// The file cannot be read or parsed.
    Invalid {
        path: PathBuf,
        cause: String,
    },
    /// The config does not fit the networks of the host.
    Conflict {
        path: PathBuf,
        cause: String,
    },
    /// Neither a group nor an allow rule is defined.
    OpensNothing(OpensNothing),
    /// A group names a network that libvirt does not know.
    UndefinedNetwork {
        group: String,
        network: String,
    },
    WritableByOthers {
        path: PathBuf,
    },
}

impl Diagnosis for ConfigFinding {
    fn subject(&self) -> Subject {
        Subject::Config
    }

    fn kind(&self) -> &'static str {
        self.into()
    }

    fn severity(&self) -> Severity {
        match self {
            Self::Valid { .. } | Self::Defaults { .. } => Severity::Ok,
            // A network may be defined later.
            Self::OpensNothing(_) | Self::UndefinedNetwork { .. } => Severity::Note,
            Self::Invalid { .. } | Self::Conflict { .. } | Self::WritableByOthers { .. } => {
                Severity::Error
            }
        }
    }

    fn fix(&self) -> Vec<Fix> {
        match self {
            Self::Invalid { path, .. } => vec![
                Fix::advice(format!("correct {}, then run:", path.display())),
                Fix::apply(),
            ],
            Self::Conflict { path, .. } => vec![
                Fix::advice(format!(
                    "correct {} or the network's XML, then run:",
                    path.display()
                )),
                Fix::apply(),
            ],
            Self::WritableByOthers { path } => vec![
                Fix::command(format!("chown root:root {}", path_argument(path))),
                Fix::command(format!("chmod 644 {}", path_argument(path))),
            ],
            Self::Valid { .. }
            | Self::Defaults { .. }
            | Self::OpensNothing(_)
            | Self::UndefinedNetwork { .. } => Vec::new(),
        }
    }
}

fn path_argument(path: &Path) -> String {
    argument(&path.to_string_lossy())
}

impl Display for ConfigFinding {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Valid { path } => write!(f, "{} is valid", path.display()),
            Self::Defaults { path } => {
                write!(f, "{} does not exist; the defaults apply", path.display())
            }
            Self::Invalid { cause, .. } => {
                write!(f, "{cause}; networks that start now are not opened")
            }
            Self::Conflict { cause, .. } => f.write_str(cause),
            Self::OpensNothing(config) => config.fmt(f),
            Self::UndefinedNetwork { group, network } => write!(
                f,
                "group {} names network {}, which is not defined",
                escape(group),
                escape(network)
            ),
            Self::WritableByOthers { path } => write!(
                f,
                "users other than root can change {}, which decides what is forwarded",
                path.display()
            ),
        }
    }
}

/// Judges the config; `conflicts` are those between a valid config and the networks.
pub(crate) fn check(
    file: &ConfigFile,
    config: &Result<Config, Error>,
    conflicts: &[ConfigConflict],
    networks: &Networks,
) -> Vec<ConfigFinding> {
    let path = &file.path;
    let mut findings = Vec::new();
    if file
        .owner
        .as_ref()
        .is_some_and(FileOwner::is_writable_by_others)
    {
        findings.push(ConfigFinding::WritableByOthers { path: path.clone() });
    }
    match config {
        Err(error) => findings.push(ConfigFinding::Invalid {
            path: path.clone(),
            cause: error.to_string(),
        }),
        Ok(config) => findings.extend(check_valid(path, config, conflicts, networks)),
    }
    let path = path.clone();
    let passed = match file.owner {
        Some(_) => ConfigFinding::Valid { path },
        None => ConfigFinding::Defaults { path },
    };
    passed_unless_error(findings, passed)
}

fn check_valid(
    path: &Path,
    config: &Config,
    conflicts: &[ConfigConflict],
    networks: &Networks,
) -> Vec<ConfigFinding> {
    let conflict = |error: &ConfigConflict| ConfigFinding::Conflict {
        path: path.to_owned(),
        cause: error.to_string(),
    };
    let mut findings: Vec<_> = conflicts.iter().map(conflict).collect();
    findings.extend(undefined_networks(config, networks));
    findings.extend(config.opens_nothing().map(ConfigFinding::OpensNothing));
    let unresolved = unresolved_names(config, |name| networks.has(name));
    findings.extend(unresolved.iter().map(conflict));
    findings
}

fn undefined_networks(config: &Config, networks: &Networks) -> Vec<ConfigFinding> {
    let mut findings = Vec::new();
    for group in &config.groups {
        let names = group.networks.iter().filter_map(|pattern| pattern.exact());
        for network in names.filter(|name| !networks.has(name)) {
            findings.push(ConfigFinding::UndefinedNetwork {
                group: group.name.clone(),
                network: network.to_owned(),
            });
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::fixtures::TestHost;

    const PATH: &str = "/etc/virt-forward/config.toml";

    fn file(mode: u32) -> ConfigFile {
        let path = PATH.to_owned();
        let owner = FileOwner {
            path,
            uid: 0,
            gid: 0,
            mode,
        };
        ConfigFile {
            path: PATH.into(),
            owner: Some(owner),
        }
    }

    fn kinds(file: &ConfigFile, text: &str) -> Vec<&'static str> {
        let config = Config::read(text, PATH.to_owned()).map_err(Error::from);
        let networks = TestHost::new().networks;
        let findings = check(file, &config, &[], &networks);
        findings.iter().map(Diagnosis::kind).collect()
    }

    #[test]
    fn a_valid_config_passes_with_notes() {
        let group = "[[group]]\nname = \"kube\"\nnetworks = [\"kube02\"]";
        assert_eq!(kinds(&file(0o644), group), ["valid"]);
        let missing = ConfigFile {
            owner: None,
            ..file(0o644)
        };
        assert_eq!(kinds(&missing, group), ["defaults"]);
        let undefined = group.replace("kube02", "kube99");
        assert_eq!(
            kinds(&file(0o644), &undefined),
            ["valid", "undefined-network"]
        );
        assert_eq!(
            kinds(&file(0o644), "group = []"),
            ["valid", "opens-nothing"]
        );
    }

    #[test]
    fn faults_of_the_config_are_errors() {
        assert_eq!(kinds(&file(0o644), "groups = 1"), ["invalid"]);
        let unknown_end = "[[allow]]\nfrom = \"kube99\"\nto = \"kube03\"\ntcp = [1]";
        assert_eq!(kinds(&file(0o644), unknown_end), ["conflict"]);
        assert_eq!(
            kinds(&file(0o666), "group = []"),
            ["writable-by-others", "opens-nothing"]
        );
    }
}
