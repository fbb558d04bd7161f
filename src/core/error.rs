//! Everything that can go wrong, in words for the person who must act.

use std::{io, path::PathBuf};

use crate::{
    config::{Config, ConfigError, Place},
    network::Network,
    policy::{self, Overlap, Stray},
};

/// This crate's result.
pub type Result<T> = std::result::Result<T, Error>;

/// What was being done, to what, what the system said, and what to do where that is known.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A peer that is no machine outside; it stays out.
    #[error(
        "{place}: peers: the peer {} of group {} overlaps {} of the network {} and is not let in",
        .overlap.peer, .overlap.group, .overlap.subnet, crate::text::shown(&.overlap.network)
    )]
    Overlap {
        /// Where the config names it.
        place: Place,
        /// Which.
        overlap: Overlap,
    },
    /// A group that a network names, and the config does not.
    #[error(
        "the network {} names the group {} in its metadata, which the config does not define: \
         it is not in it", crate::text::shown(&.0.network), crate::text::shown(&.0.group)
    )]
    Stray(Stray),
    /// An end of a rule that is nobody's name.
    #[error("{place}: {key}: there is no group and no network {name}; the rule opens nothing")]
    UnknownEnd {
        /// Where the config names it.
        place: Place,
        /// `from` or `to`.
        key: &'static str,
        /// The name, made safe.
        name: String,
    },
    /// A program that is not installed.
    #[error("{program} is not installed (looked in {}): install the package {package}", crate::paths::PROGRAMS.join(", "))]
    NoProgram {
        /// `nft`, `iptables`.
        program: &'static str,
        /// The package of that name in most distributions.
        package: &'static str,
    },
    /// A program that could not be run.
    #[error("cannot run {program}: {why}")]
    Run {
        /// Its path.
        program: PathBuf,
        /// What the system said.
        why: io::Error,
    },
    /// A program that took too long, and was ended.
    #[error("{what} had no answer in time, and was ended")]
    TooSlow {
        /// The command.
        what: String,
    },
    /// A program that failed.
    #[error("{what} failed: {stderr}")]
    Failed {
        /// The command.
        what: String,
        /// All it had to say.
        stderr: String,
    },
    /// The kernel's own answer about rules.
    #[error("cannot read the rules of {what} from the kernel: {why}")]
    Rules {
        /// The chain.
        what: String,
        /// What the system said.
        why: io::Error,
    },
    /// A gate that was put in and is not where it should be.
    #[error(
        "the gate in {place} does not stay where it belongs: another program changes that chain"
    )]
    GateLost {
        /// The chain.
        place: String,
    },
    /// firewalld lacks what lets peers through it.
    #[error(
        "firewalld keeps the peers out, as it does not know the policy virt-forward: it belongs \
         in /usr/lib/firewalld/policies/virt-forward.xml, and is known after firewall-cmd --reload"
    )]
    NoFirewalldPolicy,
    /// A kernel setting.
    #[error("cannot set {key} to {value}: {why}")]
    Sysctl {
        /// As sysctl(8) writes it.
        key: String,
        /// The value wanted.
        value: String,
        /// What the system said.
        why: io::Error,
    },
    /// A file of the state folder.
    #[error("cannot {doing} {}: {why}", .path.display())]
    State {
        /// `read`, `write`, `remove`.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        why: io::Error,
    },
    /// The lock of the state folder.
    #[error("another run of virt-forward holds {} and did not end in time", .0.display())]
    Locked(PathBuf),
    /// Several of the above: what could be done was done.
    #[error("{}", list(.0))]
    Several(Vec<Error>),
}

impl Error {
    /// What `config` and these networks do not agree in, each for who has to change it:
    /// `overlaps` are peers that are not let in.
    pub fn misfits<'a>(
        config: &Config,
        overlaps: Vec<Overlap>,
        networks: impl Iterator<Item = &'a Network>,
    ) -> Vec<Self> {
        let overlaps = overlaps.into_iter().map(|overlap| {
            let place = config.place_of_peer(&overlap.group, &overlap.peer);
            Self::Overlap { place, overlap }
        });
        let strays = policy::strays(config, networks).into_iter();
        overlaps.chain(strays.map(Self::Stray)).collect()
    }

    /// Whether the config is at fault, and nothing else.
    pub fn is_of_config(&self) -> bool {
        match self {
            Error::Config(_)
            | Error::Overlap { .. }
            | Error::Stray(_)
            | Error::UnknownEnd { .. } => true,
            Error::Several(errors) => errors.iter().all(Error::is_of_config),
            _ => false,
        }
    }

    /// The rules of `config` that name who is not there. Only who can ask libvirt knows.
    pub fn unknown_ends(config: &Config, is_known: impl Fn(&str) -> bool) -> Vec<Self> {
        let unknown = config.named_ends().filter(|(_, _, name)| !is_known(name));
        let error = |(place, key, name): (Place, &'static str, &str)| Self::UnknownEnd {
            place,
            key,
            name: crate::text::shown(name),
        };
        unknown.map(error).collect()
    }

    /// One error of many, or none.
    pub fn all(mut errors: Vec<Error>) -> Result<()> {
        match errors.len() {
            0 => Ok(()),
            1 => Err(errors.remove(0)),
            _ => Err(Error::Several(errors)),
        }
    }
}

fn list(errors: &[Error]) -> String {
    let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
    texts.join("; ")
}
