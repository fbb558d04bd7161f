//! The sysctls that open networks need, as values.
//!
//! Input: the interfaces that have to forward, the record of earlier changes, and the present values,
//! which an implementation of [`SysctlReader`] reads. Output: a [`Plan`] of the sysctls to set and to restore,
//! and the record of all changes.
//!
//! IPv4 checks the sysctl of the interface that a packet arrives on, so forwarding is enabled for each
//! bridge alone and `net.ipv4.ip_forward` does not change. IPv6 checked `conf.all.forwarding` only,
//! until Linux 6.17 added `force_forwarding` for a single interface (net/ipv6/ip6_output.c,
//! `ip6_forward`).

mod advertisements;

use std::{collections::BTreeSet, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::table::{Enabled, Ip};
use virt_forward_policy::sanitize::escape;

/// The name that stands for all interfaces in the path of a sysctl.
pub const ALL: &str = "all";

/// A sysctl, by the parts of its path below `/proc/sys`: an interface's name may contain dots.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Key(Vec<String>);

/// The list is not a [`Key`].
#[derive(Debug, thiserror::Error)]
#[error("not a sysctl that virt-forward changes")]
pub struct InvalidKey;

/// Accepts only sysctls that virt-forward changes: the list comes from a file and becomes a path that
/// is written to.
impl TryFrom<Vec<String>> for Key {
    type Error = InvalidKey;

    fn try_from(parts: Vec<String>) -> Result<Self, InvalidKey> {
        let ours = ["forwarding", "force_forwarding", "accept_ra"];
        match parts.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["net", "ipv4" | "ipv6", "conf", interface, setting]
                if ours.contains(&setting) && is_interface(interface) =>
            {
                Ok(Self(parts))
            }
            _ => Err(InvalidKey),
        }
    }
}

/// Whether the kernel accepts the name for an interface.
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

    /// The path below `/proc/sys`.
    pub fn path(&self) -> PathBuf {
        self.0.iter().collect()
    }

    /// The name for output, as sysctl(8) writes it, with a slash for each dot in an interface's name.
    /// Control characters are escaped, as the kernel allows them in such names.
    pub fn name(&self) -> String {
        let parts: Vec<_> = self.0.iter().map(|part| part.replace('.', "/")).collect();
        escape(&parts.join("."))
    }

    /// Whether the kernel may change the sysctl without a netconf notification. Writing 0 to
    /// `net.ipv6.conf.all.forwarding` clears `force_forwarding` of every interface, and sends no
    /// notification if the former was 0 before (net/ipv6/addrconf.c, `addrconf_fixup_forwarding`).
    pub fn has_no_notification(&self) -> bool {
        self.is_force_forwarding()
    }

    fn is_force_forwarding(&self) -> bool {
        self.is(|family, _, setting| family == "ipv6" && setting == "force_forwarding")
    }

    /// Whether it enables forwarding of IPv4 packets that arrive on one interface.
    fn is_ipv4_forwarding(&self) -> bool {
        self.is(|family, _, setting| family == "ipv4" && setting == "forwarding")
    }

    /// Whether it enables forwarding of all IPv6 packets, or goes with that one (`accept_ra`).
    pub fn is_hosts_ipv6(&self) -> bool {
        self.is(|family, _, setting| family == "ipv6" && setting != "force_forwarding")
    }

    fn is(&self, test: impl Fn(&str, &str, &str) -> bool) -> bool {
        match self.0.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [_, family, _, interface, setting] => test(family, interface, setting),
            _ => false,
        }
    }

    /// The sysctl that enables forwarding of all packets of the family, from any interface.
    fn host_wide(&self) -> Key {
        if self.is_ipv4_forwarding() {
            ipv4_all()
        } else {
            ipv6_all()
        }
    }

    /// The interface of the sysctl.
    pub fn interface(&self) -> &str {
        self.0.get(3).map_or("", String::as_str)
    }
}

/// A sysctl with its desired value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// The sysctl.
    pub key: Key,
    /// The desired value.
    pub value: String,
}

/// A sysctl that virt-forward changed, with the value to restore.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedSysctl {
    /// The sysctl.
    pub key: Key,
    /// The value before the change.
    pub was: String,
    /// The value that virt-forward wrote.
    pub set: String,
    /// Whether the host forwarded all packets of the family at that time; absent in a record of an
    /// earlier version.
    #[serde(default)]
    pub was_host_wide: Option<bool>,
}

/// The need of an interface to forward the packets that arrive on it.
pub struct ForwardingNeed<'a> {
    /// The interface.
    pub interface: &'a str,
    /// Whether IPv4 packets have to be forwarded.
    pub ipv4: bool,
    /// Whether IPv6 packets have to be forwarded.
    pub ipv6: bool,
}

/// Reads the present state of the kernel.
pub trait SysctlReader {
    /// The reason that the kernel cannot be read.
    type Error;

    /// The value of a sysctl without the newline; `None` if the kernel has no such sysctl. An error if
    /// it cannot be read: taken for 0, more would be enabled than is needed.
    fn value(&self, key: &Key) -> Result<Option<String>, Self::Error>;
    /// The interfaces with routes from router advertisements.
    fn autoconfigured(&self) -> Result<Vec<String>, Self::Error>;
    /// The interfaces that have IPv6 sysctls, except the loopback.
    fn interfaces(&self) -> Result<Vec<String>, Self::Error>;
    /// Whether the interface is a port of a bridge, so that it does not receive packets itself.
    fn is_port(&self, interface: &str) -> bool;
}

/// The sysctls that `needs` require, in the order in which to write them. `known` are earlier changes;
/// `is_bridge` says whether an interface is a network's bridge. Fails if `seen` does.
pub fn wanted<'a, S: SysctlReader>(
    needs: impl Iterator<Item = ForwardingNeed<'a>>,
    known: &[SavedSysctl],
    is_bridge: impl Fn(&str) -> bool,
    seen: &S,
) -> Result<Vec<Setting>, S::Error> {
    let mut settings = Vec::new();
    let mut all_of_ipv6 = false;
    let is_ours = known.iter().any(|changed| changed.key == ipv6_all());
    for need in needs {
        if need.ipv4 {
            settings.push(on(Key::of_interface("ipv4", need.interface, "forwarding")));
        }
        if need.ipv6 && (is_ours || !is_on(&ipv6_all(), seen)?) {
            match seen.value(&Key::of_interface("ipv6", "all", "force_forwarding"))? {
                Some(_) => settings.push(on(Key::of_interface(
                    "ipv6",
                    need.interface,
                    "force_forwarding",
                ))),
                None => all_of_ipv6 = true,
            }
        }
    }
    if all_of_ipv6 {
        settings.extend(advertisements::wanted(known, is_bridge, seen)?);
        settings.push(on(ipv6_all()));
    }
    Ok(settings)
}

/// The changes to make.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The sysctls to restore, in this order.
    pub restored: Vec<SavedSysctl>,
    /// The sysctls to set, in this order.
    pub set: Vec<Setting>,
    /// The record of all changes after that.
    pub changed: Vec<SavedSysctl>,
}

impl Plan {
    /// Whether the plan enables forwarding of all IPv6 packets.
    pub fn sets_all_ipv6(&self) -> bool {
        self.set.iter().any(|setting| setting.key == ipv6_all())
    }

    /// Whether the plan disables forwarding of all IPv6 packets.
    pub fn gives_back_all_ipv6(&self) -> bool {
        let mut restored = self.restored.iter();
        restored.any(|changed| changed.key == ipv6_all() && changed.was == "0")
    }
}

/// Whether the host forwards all packets of a family, from any interface. Fails if `seen` does.
pub fn forwards_all<S: SysctlReader>(family: Ip, seen: &S) -> Result<bool, S::Error> {
    match family {
        Ip::V4 => is_on(&ipv4_all(), seen),
        Ip::V6 => is_on(&ipv6_all(), seen),
    }
}

/// The plan that leads from the earlier changes `known` to the sysctls in `wanted`.
/// `libvirt_routes_ipv6` says that a network is active for which libvirt itself enables IPv6
/// forwarding. Fails if `seen` does.
pub fn plan<S: SysctlReader>(
    wanted: &[Setting],
    known: &[SavedSysctl],
    libvirt_routes_ipv6: bool,
    seen: &S,
) -> Result<Plan, S::Error> {
    let mut plan = Plan::default();
    for changed in known {
        let is_wanted = wanted.iter().any(|setting| setting.key == changed.key);
        match fate(changed, is_wanted, libvirt_routes_ipv6, seen)? {
            Fate::Kept => plan.changed.push(changed.clone()),
            Fate::Restored => plan.restored.push(changed.clone()),
            Fate::Forgotten => {}
        }
    }
    let inherited = advertisements::inherited(&plan.restored, known, seen)?;
    plan.restored.extend(inherited);
    // Forwarding is disabled first: until then accept_ra has to stay as it is.
    plan.restored
        .sort_by_key(|changed| changed.key != ipv6_all());
    for setting in wanted {
        // An interface that is being removed has lost its sysctls already.
        let value = seen.value(&setting.key)?;
        let Some(was) = value.filter(|was| *was != setting.value) else {
            continue;
        };
        plan.set.push(setting.clone());
        let was_host_wide = Some(is_on(&setting.key.host_wide(), seen)?);
        let known = plan.changed.iter_mut();
        match known.into_iter().find(|known| known.key == setting.key) {
            // The first value remains the one to restore. Another program has disabled it since, so
            // the present state of the host counts.
            Some(known) => known.was_host_wide = was_host_wide,
            None => plan.changed.push(SavedSysctl {
                key: setting.key.clone(),
                was,
                set: setting.value.clone(),
                was_host_wide,
            }),
        }
    }
    let notes = advertisements::notes(&plan.set, &plan.changed, seen)?;
    plan.changed.extend(notes);
    Ok(plan)
}

/// The treatment of an earlier change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// The value and the record remain.
    Kept,
    /// The former value is restored.
    Restored,
    /// The value remains, and the record is dropped.
    Forgotten,
}

/// A sysctl that another program relies on is no longer virt-forward's. libvirt writes `ip_forward`
/// when a network that needs it starts, which enables forwarding of every interface; the 1 that
/// virt-forward wrote was there already. The same holds for IPv6, where both write the same sysctl.
fn fate<S: SysctlReader>(
    changed: &SavedSysctl,
    is_wanted: bool,
    libvirt_routes_ipv6: bool,
    seen: &S,
) -> Result<Fate, S::Error> {
    let Some(value) = seen.value(&changed.key)? else {
        // The interface is gone. A later one of that name is another interface.
        return Ok(Fate::Forgotten);
    };
    if changed.key.is_hosts_ipv6() && libvirt_routes_ipv6 || is_overtaken(changed, seen)? {
        return Ok(Fate::Forgotten);
    }
    // Another program has written a different value.
    let is_overwritten = value != changed.set;
    if advertisements::is_note(changed) && (!is_wanted || is_overwritten) {
        return Ok(Fate::Forgotten);
    }
    if is_wanted {
        return Ok(Fate::Kept);
    }
    if is_overwritten {
        return Ok(Fate::Forgotten);
    }
    // A record of an earlier version has only the second condition.
    let is_known = !changed.key.is_ipv4_forwarding() || changed.was_host_wide.is_some();
    if is_known || !is_on(&changed.key.host_wide(), seen)? {
        return Ok(Fate::Restored);
    }
    Ok(Fate::Forgotten)
}

/// Whether forwarding of all packets of the family has been enabled since.
fn is_overtaken<S: SysctlReader>(changed: &SavedSysctl, seen: &S) -> Result<bool, S::Error> {
    Ok(changed.key.is_ipv4_forwarding()
        && changed.was_host_wide == Some(false)
        && is_on(&changed.key.host_wide(), seen)?)
}

/// Whether a sysctl may be restored now: `accept_ra` only after IPv6 forwarding is disabled. Fails if
/// `seen` does.
pub fn can_restore<S: SysctlReader>(changed: &SavedSysctl, seen: &S) -> Result<bool, S::Error> {
    let needs_off = changed.key.is_hosts_ipv6() && changed.key != ipv6_all();
    Ok(!needs_off || !is_on(&ipv6_all(), seen)?)
}

/// The interfaces that forward only because of the changes `changed`, and whether the host forwards
/// all IPv6 packets because of them. `is_libvirts` says whether libvirt needs an interface to forward:
/// it relies on `ip_forward`, which the administrator may have disabled. Fails if `seen` does.
pub fn enabled<S: SysctlReader>(
    changed: &[SavedSysctl],
    is_libvirts: impl Fn(&str) -> bool,
    seen: &S,
) -> Result<(BTreeSet<Enabled>, bool), S::Error> {
    let mut enabled = BTreeSet::new();
    let mut is_all_ipv6 = false;
    for one in changed {
        let family = match &one.key {
            key if key.is_ipv4_forwarding() => Ip::V4,
            key if key.is_force_forwarding() => Ip::V6,
            key => {
                is_all_ipv6 |= *key == ipv6_all();
                continue;
            }
        };
        let is_by_others = match one.was_host_wide {
            Some(true) => is_libvirts(one.key.interface()),
            _ => is_on(&one.key.host_wide(), seen)?,
        };
        if !is_by_others {
            enabled.insert(Enabled {
                interface: one.key.interface().to_owned(),
                family,
            });
        }
    }
    Ok((enabled, is_all_ipv6))
}

/// Only read, never written.
fn ipv4_all() -> Key {
    Key(["net", "ipv4", "ip_forward"].map(str::to_owned).to_vec())
}

fn ipv6_all() -> Key {
    Key::of_interface("ipv6", ALL, "forwarding")
}

fn on(key: Key) -> Setting {
    Setting {
        key,
        value: "1".to_owned(),
    }
}

fn is_on<S: SysctlReader>(key: &Key, seen: &S) -> Result<bool, S::Error> {
    Ok(seen.value(key)?.is_some_and(|value| value != "0"))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use std::collections::BTreeMap;

    #[derive(Default)]
    pub(super) struct Fake {
        pub(super) values: BTreeMap<String, String>,
        pub(super) advertised: Vec<String>,
        pub(super) interfaces: Vec<String>,
        pub(super) ports: Vec<String>,
    }

    impl SysctlReader for Fake {
        type Error = Infallible;

        fn value(&self, key: &Key) -> Result<Option<String>, Self::Error> {
            Ok(self.values.get(&key.name()).cloned())
        }
        fn autoconfigured(&self) -> Result<Vec<String>, Self::Error> {
            Ok(self.advertised.clone())
        }
        fn interfaces(&self) -> Result<Vec<String>, Self::Error> {
            Ok(self.interfaces.clone())
        }
        fn is_port(&self, interface: &str) -> bool {
            self.ports.iter().any(|port| port == interface)
        }
    }

    pub(super) fn fake(values: &[(&str, &str)]) -> Fake {
        let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        Fake {
            values: values.iter().map(pair).collect(),
            advertised: vec!["eth0".into(), "eth1".into()],
            ..Fake::default()
        }
    }

    fn wanted_of(need: ForwardingNeed<'_>, known: &[SavedSysctl], seen: &Fake) -> Vec<Setting> {
        wanted([need].into_iter(), known, |_| false, seen).unwrap()
    }

    fn names(seen: &Fake, ipv6: bool) -> Vec<String> {
        let need = ForwardingNeed {
            interface: "br.5",
            ipv4: true,
            ipv6,
        };
        let settings = wanted_of(need, &[], seen).into_iter();
        settings
            .map(|s| format!("{}={}", s.key.name(), s.value))
            .collect()
    }

    #[test]
    fn control_characters_in_the_name_of_an_interface_are_escaped() {
        let odd = Key::of_interface("ipv4", "e\u{1b}[2J", "forwarding");
        assert_eq!(odd.name(), "net.ipv4.conf.e\\u{1b}[2J.forwarding");
    }

    #[test]
    fn forwarding_is_enabled_for_a_bridge_alone_where_the_kernel_can() {
        let new = fake(&[
            ("net.ipv6.conf.all.forwarding", "0"),
            ("net.ipv6.conf.all.force_forwarding", "0"),
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

    fn ipv4(interface: &str, was_host_wide: Option<bool>) -> SavedSysctl {
        SavedSysctl {
            key: Key::of_interface("ipv4", interface, "forwarding"),
            was: "0".into(),
            set: "1".into(),
            was_host_wide,
        }
    }

    const HOST: &str = "net.ipv4.ip_forward";
    const LAN: &str = "net.ipv4.conf.lan0.forwarding";

    fn fate_of(changed: &SavedSysctl, values: &[(&str, &str)]) -> (Fate, Fate) {
        let fate = |is_wanted| fate(changed, is_wanted, false, &fake(values)).unwrap();
        (fate(true), fate(false))
    }

    #[test]
    fn a_sysctl_that_another_program_relies_on_is_forgotten() {
        let lan = ipv4("lan0", Some(false));
        let (kept, restored) = (Fate::Kept, Fate::Restored);
        let forgotten = (Fate::Forgotten, Fate::Forgotten);
        assert_eq!(fate_of(&lan, &[(LAN, "1"), (HOST, "0")]), (kept, restored));
        assert_eq!(fate_of(&lan, &[(LAN, "1"), (HOST, "1")]), forgotten);
        // The administrator had disabled that interface alone.
        let lan = ipv4("lan0", Some(true));
        assert_eq!(fate_of(&lan, &[(LAN, "1"), (HOST, "1")]), (kept, restored));
        // Another program has written a different value.
        let other = (kept, Fate::Forgotten);
        assert_eq!(fate_of(&lan, &[(LAN, "0"), (HOST, "1")]), other);
        assert_eq!(fate_of(&lan, &[(HOST, "1")]), forgotten, "it is gone");
        // A record of an earlier version.
        let old = ipv4("lan0", None);
        assert_eq!(fate_of(&old, &[(LAN, "1"), (HOST, "1")]), other);
        assert_eq!(fate_of(&old, &[(LAN, "1"), (HOST, "0")]), (kept, restored));
    }

    #[test]
    fn a_record_of_an_earlier_version_is_read() {
        let old = r#"{"key":["net","ipv4","conf","lan0","forwarding"],"was":"0","set":"1"}"#;
        let read: SavedSysctl = serde_json::from_str(old).unwrap();
        assert_eq!(read, ipv4("lan0", None));
        let new = ipv4("lan0", Some(true));
        let text = serde_json::to_string(&new).unwrap();
        assert_eq!(serde_json::from_str::<SavedSysctl>(&text).unwrap(), new);
    }

    #[test]
    fn a_sysctl_that_is_no_longer_needed_is_restored_and_another_is_set() {
        let values = [
            (LAN, "1"),
            ("net.ipv4.conf.wan1.forwarding", "0"),
            ("net.ipv4.conf.br0.forwarding", "1"),
            (HOST, "0"),
        ];
        let of = |name| Key::of_interface("ipv4", name, "forwarding");
        let wanted = [on(of("wan1")), on(of("br0"))];
        let known = [ipv4("lan0", Some(false))];
        let plan = plan(&wanted, &known, false, &fake(&values)).unwrap();
        assert_eq!(plan.restored, known);
        assert_eq!(plan.set, [on(of("wan1"))]);
        assert_eq!(plan.changed, [ipv4("wan1", Some(false))]);
        let (enabled, all) = enabled(&plan.changed, |_| false, &fake(&values)).unwrap();
        let names: Vec<_> = enabled.iter().map(|one| one.interface.as_str()).collect();
        assert_eq!((names, all), (vec!["wan1"], false));
    }

    #[test]
    fn the_first_value_is_restored_even_if_another_program_has_written_since() {
        let known = [ipv4("lan0", Some(true))];
        let wanted = [on(known[0].key.clone())];
        // Another program has disabled forwarding of the whole host.
        let off = fake(&[(LAN, "0"), (HOST, "0")]);
        let plan = plan(&wanted, &known, false, &off).unwrap();
        assert_eq!(plan.set, wanted);
        assert_eq!(plan.changed, [ipv4("lan0", Some(false))]);
        assert_eq!(plan.restored, []);
    }

    #[test]
    fn a_bridge_that_libvirt_needs_to_forward_is_not_restricted() {
        let seen = fake(&[(LAN, "1"), (HOST, "1")]);
        let is_restricted = |was_host_wide, is_libvirts| {
            let changed = [ipv4("lan0", was_host_wide)];
            let (enabled, _) = enabled(&changed, |_| is_libvirts, &seen).unwrap();
            !enabled.is_empty()
        };
        assert!(is_restricted(Some(true), false));
        assert!(!is_restricted(Some(true), true));
        assert!(!is_restricted(None, false));
    }

    #[test]
    fn force_forwarding_is_restored_when_the_host_forwards_all_ipv6() {
        let all = "net.ipv6.conf.all.forwarding";
        let force = "net.ipv6.conf.lan0.force_forwarding";
        let known = [SavedSysctl {
            key: Key::of_interface("ipv6", "lan0", "force_forwarding"),
            ..ipv4("lan0", Some(false))
        }];
        let need = || ForwardingNeed {
            interface: "lan0",
            ipv4: false,
            ipv6: true,
        };
        let look = |values: &[(&str, &str)]| {
            let support = ("net.ipv6.conf.all.force_forwarding", "0");
            let seen = fake(&[values, &[support]].concat());
            let wanted = wanted_of(need(), &known, &seen);
            let plan = plan(&wanted, &known, false, &seen).unwrap();
            let enabled = enabled(&plan.changed, |_| false, &seen).unwrap().0.len();
            (plan.restored.len(), plan.changed.len(), enabled)
        };
        assert_eq!(look(&[(all, "0"), (force, "1")]), (0, 1, 1));
        assert_eq!(look(&[(all, "1"), (force, "1")]), (1, 0, 0));
    }

    #[test]
    fn before_linux_6_17_forwarding_of_all_ipv6_is_recorded_until_libvirt_needs_it() {
        let all = "net.ipv6.conf.all.forwarding";
        let ra = "net.ipv6.conf.eth0.accept_ra";
        let need = || ForwardingNeed {
            interface: "lan0",
            ipv4: false,
            ipv6: true,
        };
        let off = fake(&[(all, "0"), (ra, "1")]);
        let first = wanted_of(need(), &[], &off);
        let first = plan(&first, &[], false, &off).unwrap();
        let names = |changed: &[SavedSysctl]| -> Vec<String> {
            changed.iter().map(|one| one.key.name()).collect()
        };
        assert_eq!(names(&first.changed), [ra, all]);
        let on = fake(&[(all, "1"), (ra, "2")]);
        let again = wanted_of(need(), &first.changed, &on);
        let again = plan(&again, &first.changed, false, &on).unwrap();
        assert_eq!((again.set.len(), again.restored.len()), (0, 0));
        assert_eq!(names(&again.changed), [ra, all]);
        assert!(enabled(&again.changed, |_| false, &on).unwrap().1);
        // No network needs it: forwarding is restored first.
        let none = plan(&[], &first.changed, false, &on).unwrap();
        assert_eq!(names(&none.restored), [all, ra]);
        let [all_of_ipv6, accept_ra] = &none.restored[..] else {
            panic!();
        };
        assert!(can_restore(all_of_ipv6, &on).unwrap());
        assert!(!can_restore(accept_ra, &on).unwrap());
        assert!(can_restore(accept_ra, &off).unwrap());
        // libvirt routes a network.
        let theirs = plan(&[], &first.changed, true, &on).unwrap();
        assert_eq!((theirs.restored.len(), theirs.changed.len()), (0, 0));
    }
}
