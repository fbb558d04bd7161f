//! Kernel settings that open networks need, as values: the kernel is asked by a closure.
//!
//! IPv4 looks at the setting of the interface a packet came in by, so each bridge is switched
//! on alone and `net.ipv4.ip_forward` stays as it is. IPv6 looked at `conf.all.forwarding`
//! only, until Linux 6.17 brought `force_forwarding` for a single interface
//! (net/ipv6/ip6_output.c, `ip6_forward`).

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{Result, text::shown};

/// One setting, named by its path below `/proc/sys`: an interface name may hold dots.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Key(Vec<String>);

/// Why a list is no [`Key`].
#[derive(Debug, thiserror::Error)]
#[error("no setting of virt-forward's")]
pub struct BadKey;

/// Those that we change, and no other: the list comes from a file, and becomes a path to write to.
impl TryFrom<Vec<String>> for Key {
    type Error = BadKey;

    fn try_from(parts: Vec<String>) -> std::result::Result<Self, BadKey> {
        let ours = ["forwarding", "force_forwarding", "accept_ra"];
        match parts.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["net", "ipv4" | "ipv6", "conf", interface, setting]
                if ours.contains(&setting) && is_interface(interface) =>
            {
                Ok(Self(parts))
            }
            _ => Err(BadKey),
        }
    }
}

/// As the kernel takes them.
fn is_interface(name: &str) -> bool {
    (1..=15).contains(&name.len()) && ![".", ".."].contains(&name) && !name.contains(['/', '\0'])
}

impl From<Key> for Vec<String> {
    fn from(key: Key) -> Self {
        key.0
    }
}

impl Key {
    fn new(parts: [&str; 5]) -> Self {
        Self(parts.map(str::to_owned).to_vec())
    }

    fn of_interface(family: &str, interface: &str, setting: &str) -> Self {
        Self::new(["net", family, "conf", interface, setting])
    }

    /// Below `/proc/sys`.
    pub fn path(&self) -> PathBuf {
        self.0.iter().collect()
    }

    /// As sysctl(8) writes it: a dot in a name is a slash there. The kernel lets an interface's
    /// name move a cursor.
    pub fn name(&self) -> String {
        let parts: Vec<_> = self.0.iter().map(|part| part.replace('.', "/")).collect();
        shown(&parts.join("."))
    }

    /// Whether the kernel tells nobody that it has changed: who writes 0 to IPv6's `forwarding` of
    /// all interfaces switches `force_forwarding` off on each of them, and where the former was 0
    /// already no notification is sent (net/ipv6/addrconf.c, `addrconf_fixup_forwarding`).
    pub fn is_untold(&self) -> bool {
        self.is_force_forwarding()
    }

    fn is_force_forwarding(&self) -> bool {
        self.0.last().is_some_and(|last| last == "force_forwarding")
    }

    /// The interface it is about.
    pub fn interface(&self) -> &str {
        self.0.get(3).map_or("", String::as_str)
    }
}

/// A setting and the value it should have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// Which.
    pub key: Key,
    /// What it should be.
    pub value: String,
}

/// What was changed, to be undone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// Which.
    pub key: Key,
    /// What it was before.
    pub was: String,
    /// What we made of it.
    pub set: String,
}

/// What packets from an interface need.
pub struct Need<'a> {
    /// The interface.
    pub interface: &'a str,
    /// IPv4 ones are forwarded.
    pub ipv4: bool,
    /// IPv6 ones are.
    pub ipv6: bool,
}

/// What the kernel says now.
pub trait Seen {
    /// A setting's value without the newline; `None` where this kernel has no such setting. An
    /// error where that cannot be told: to take it for off would switch on more than is needed.
    fn value(&self, key: &Key) -> Result<Option<String>>;
    /// Interfaces with routes that router advertisements brought.
    fn autoconfigured(&self) -> Result<Vec<String>>;
}

/// The settings that `needs` want, in the order to write them in.
pub fn wanted<'a>(needs: impl Iterator<Item = Need<'a>>, seen: &impl Seen) -> Result<Vec<Setting>> {
    let mut settings = Vec::new();
    let mut all_of_ipv6 = false;
    for need in needs {
        if need.ipv4 {
            settings.push(on(Key::of_interface("ipv4", need.interface, "forwarding")));
        }
        if need.ipv6 && !is_on(&ipv6_all(), seen)? {
            let force = Key::of_interface("ipv6", need.interface, "force_forwarding");
            match seen.value(&force)? {
                Some(_) => settings.push(on(force)),
                None => all_of_ipv6 = true,
            }
        }
    }
    if all_of_ipv6 {
        settings.extend(keep_router_advertisements(seen)?);
        settings.push(on(ipv6_all()));
    }
    Ok(settings)
}

/// Whether a changed setting may go back to what it was, now that we need it no more.
///
/// Not where it is no longer what we made of it. And not where another has switched the
/// same on for all interfaces since: libvirt writes `ip_forward` at the start of a network
/// that needs it, which finds our 1 there, and counts on it from then on. Nobody counts on
/// `force_forwarding` where all of IPv6 is forwarded: left on, it would say so once that is off.
pub fn may_restore(changed: &Changed, seen: &impl Seen) -> Result<bool> {
    let untouched = seen.value(&changed.key)?.as_ref() == Some(&changed.set);
    let all = match changed.key.0.get(1).map(String::as_str) {
        Some("ipv4") => Key(["net", "ipv4", "ip_forward"].map(str::to_owned).to_vec()),
        _ => ipv6_all(),
    };
    let is_alone = changed.key.is_force_forwarding();
    Ok(untouched && (changed.key == all || is_alone || !is_on(&all, seen)?))
}

/// Forwarding makes the kernel drop the routes it learnt from router advertisements, unless
/// `accept_ra` is 2. libvirt refuses to start a network then (src/util/virnetdevip.c,
/// `virNetDevIPCheckIPv6Forwarding`); we raise it, only where it is 1, and only there.
fn keep_router_advertisements(seen: &impl Seen) -> Result<Vec<Setting>> {
    let mut settings = Vec::new();
    for name in seen.autoconfigured()? {
        let key = Key::of_interface("ipv6", &name, "accept_ra");
        if seen.value(&key)?.as_deref() == Some("1") {
            let value = "2".to_owned();
            settings.push(Setting { key, value });
        }
    }
    Ok(settings)
}

fn ipv6_all() -> Key {
    Key::of_interface("ipv6", "all", "forwarding")
}

fn on(key: Key) -> Setting {
    Setting {
        key,
        value: "1".to_owned(),
    }
}

fn is_on(key: &Key, seen: &impl Seen) -> Result<bool> {
    Ok(seen.value(key)?.is_some_and(|value| value != "0"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    struct Fake(BTreeMap<String, String>, Vec<String>);

    impl Seen for Fake {
        fn value(&self, key: &Key) -> Result<Option<String>> {
            Ok(self.0.get(&key.name()).cloned())
        }
        fn autoconfigured(&self) -> Result<Vec<String>> {
            Ok(self.1.clone())
        }
    }

    fn fake(values: &[(&str, &str)]) -> Fake {
        let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        Fake(
            values.iter().map(pair).collect(),
            vec!["eth0".into(), "eth1".into()],
        )
    }

    fn names(seen: &Fake, ipv6: bool) -> Vec<String> {
        let need = Need {
            interface: "br.5",
            ipv4: true,
            ipv6,
        };
        let settings = wanted([need].into_iter(), seen).unwrap().into_iter();
        settings
            .map(|s| format!("{}={}", s.key.name(), s.value))
            .collect()
    }

    #[test]
    fn a_name_of_a_setting_moves_no_cursor() {
        let odd = Key::of_interface("ipv4", "e\u{1b}[2J", "forwarding");
        assert_eq!(odd.name(), "net.ipv4.conf.e\\u{1b}[2J.forwarding");
    }

    #[test]
    fn a_bridge_is_switched_on_alone_where_the_kernel_can() {
        let new = fake(&[
            ("net.ipv6.conf.all.forwarding", "0"),
            ("net.ipv6.conf.br/5.force_forwarding", "0"),
        ]);
        assert_eq!(
            names(&new, true),
            [
                "net.ipv4.conf.br/5.forwarding=1",
                "net.ipv6.conf.br/5.force_forwarding=1"
            ]
        );
        assert_eq!(names(&new, false), ["net.ipv4.conf.br/5.forwarding=1"]);
    }

    #[test]
    fn an_uplink_keeps_its_advertised_routes() {
        let old = fake(&[
            ("net.ipv6.conf.all.forwarding", "0"),
            ("net.ipv6.conf.eth0.accept_ra", "1"),
            ("net.ipv6.conf.eth1.accept_ra", "2"),
        ]);
        assert_eq!(
            names(&old, true),
            [
                "net.ipv4.conf.br/5.forwarding=1",
                "net.ipv6.conf.eth0.accept_ra=2",
                "net.ipv6.conf.all.forwarding=1"
            ]
        );
        let done = fake(&[("net.ipv6.conf.all.forwarding", "1")]);
        assert_eq!(names(&done, true), ["net.ipv4.conf.br/5.forwarding=1"]);
    }

    #[test]
    fn what_others_have_set_since_is_left() {
        let changed = Changed {
            key: Key::of_interface("ipv4", "br0", "forwarding"),
            was: "0".into(),
            set: "1".into(),
        };
        let off = ("net.ipv4.ip_forward", "0");
        assert!(
            may_restore(
                &changed,
                &fake(&[("net.ipv4.conf.br0.forwarding", "1"), off])
            )
            .unwrap()
        );
        assert!(
            !may_restore(
                &changed,
                &fake(&[("net.ipv4.conf.br0.forwarding", "0"), off])
            )
            .unwrap()
        );
        assert!(
            !may_restore(&changed, &fake(&[off])).unwrap(),
            "the bridge is gone"
        );
        let on_for_all = ("net.ipv4.ip_forward", "1");
        let others_on = fake(&[("net.ipv4.conf.br0.forwarding", "1"), on_for_all]);
        assert!(!may_restore(&changed, &others_on).unwrap());
        let uplink = Changed {
            key: Key::of_interface("ipv6", "eth0", "force_forwarding"),
            ..changed
        };
        let ours = ("net.ipv6.conf.eth0.force_forwarding", "1");
        let by_libvirt = ("net.ipv6.conf.all.forwarding", "1");
        assert!(may_restore(&uplink, &fake(&[ours, by_libvirt])).unwrap());
    }
}
