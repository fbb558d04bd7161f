//! libvirt itself.

use virt_forward_ruleset::gates::{Owner, Site};

use super::Finding;

const CHECK: &str = "libvirt";
/// The first one with chains of its own for its rules (NEWS): before that a gate would have to
/// be above each network's.
const OLDEST: u64 = 5_001_000;

/// What it says.
pub(crate) struct Libvirt<'a> {
    /// Its version, or why it did not answer.
    pub(crate) version: Result<u64, String>,
    pub(crate) sites: &'a [Site],
    /// What to do about a daemon that does not answer.
    pub(crate) remedy: String,
}

/// As libvirt writes it: 9.0.0 is 9000000 (virGetVersion).
pub(crate) fn shown(version: u64) -> String {
    format!(
        "{}.{}.{}",
        version / 1_000_000,
        version / 1000 % 1000,
        version % 1000
    )
}

impl Libvirt<'_> {
    pub(crate) fn finding(&self) -> Finding {
        let version = match &self.version {
            Ok(version) => *version,
            Err(why) => return Finding::wrong(CHECK, why).with(&self.remedy),
        };
        let text = shown(version);
        if version < OLDEST {
            let what = format!(
                "{text} answers, which has no chains of its own for its rules: no gate keeps its place there"
            );
            return Finding::wrong(CHECK, what).with("# libvirt 5.1 or newer is needed");
        }
        let mut its = self
            .sites
            .iter()
            .filter(|site| site.owner == Owner::Libvirt);
        let backend = its
            .next()
            .map(|site| match site.base.table == "libvirt_network" {
                true => "nftables",
                false => "iptables",
            });
        let what = match backend {
            Some(backend) => format!("{text} answers; its rules are those of {backend}"),
            None => format!("{text} answers; it has no rules here now"),
        };
        Finding::ok(CHECK, what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;

    #[test]
    fn a_version_is_as_libvirt_counts() {
        assert_eq!(shown(11_003_000), "11.3.0");
        assert_eq!(shown(5_000_012), "5.0.12");
        let of = |version| Libvirt {
            version,
            sites: &[],
            remedy: String::new(),
        };
        assert_eq!(of(Ok(9_000_000)).finding().state, State::Ok);
        assert_eq!(of(Ok(5_000_000)).finding().state, State::Wrong);
        assert_eq!(of(Err("cannot".into())).finding().state, State::Wrong);
    }
}
