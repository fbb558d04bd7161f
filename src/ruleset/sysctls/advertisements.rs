//! `accept_ra`: router advertisements on a host that forwards IPv6.
//!
//! An interface that forwards ignores router advertisements, unless its `accept_ra` is 2
//! (include/net/ipv6.h and net/ipv6/ndisc.c, `ipv6_accept_ra`), and loses the routes that it has from
//! them (net/ipv6/addrconf.c, `addrconf_fixup_forwarding`). The first advertisement may arrive after
//! forwarding is enabled: at boot, or when a link comes up. So each `accept_ra` of 1 becomes 2, even on
//! interfaces without such a route. The same holds for the default of new interfaces, as they solicit
//! an advertisement before a program could change their sysctl.

use std::collections::BTreeSet;

use super::{Key, SavedSysctl, Setting, SysctlReader};

/// The name that stands for new interfaces in the path of a sysctl.
const DEFAULT: &str = "default";
/// Advertisements are accepted unless the interface forwards.
const UNLESS_FORWARDING: &str = "1";
/// Advertisements are always accepted.
const ALWAYS: &str = "2";

/// The sysctls that keep advertisements accepted, for all interfaces except networks' bridges
/// (`is_bridge`): guests must not advertise routes to their host. `known` are earlier changes.
pub(super) fn wanted<S: SysctlReader>(
    known: &[SavedSysctl],
    is_bridge: impl Fn(&str) -> bool,
    seen: &S,
) -> Result<Vec<Setting>, S::Error> {
    let advertised = seen.autoconfigured()?;
    let mut names: BTreeSet<String> = advertised.into_iter().collect();
    for name in seen.interfaces()? {
        if !is_bridge(&name) && !seen.is_port(&name) {
            names.insert(name);
        }
    }
    names.extend(known.iter().filter_map(of_known));
    names.insert(DEFAULT.to_owned());
    let mut settings = Vec::new();
    for name in names {
        let key = key(&name);
        let is_wanted = match seen.value(&key)?.as_deref() {
            Some(UNLESS_FORWARDING) => true,
            // An earlier change remains; any other value is another program's choice.
            Some(ALWAYS) => known.iter().any(|changed| changed.key == key),
            _ => false,
        };
        if is_wanted {
            settings.push(setting(key));
        }
    }
    Ok(settings)
}

/// The interfaces whose `accept_ra` was 2 before the default becomes 2, recorded as changes from 2 to
/// 2. So they differ from interfaces that appear later with the changed default.
pub(super) fn notes<S: SysctlReader>(
    set: &[Setting],
    known: &[SavedSysctl],
    seen: &S,
) -> Result<Vec<SavedSysctl>, S::Error> {
    let mut notes = Vec::new();
    if set.iter().any(|setting| setting.key == key(DEFAULT)) {
        for key in unknown(known, seen)? {
            notes.push(changed(key, ALWAYS));
        }
    }
    Ok(notes)
}

/// The changes to restore on interfaces that have appeared with the changed default, when the default
/// is restored.
pub(super) fn inherited<S: SysctlReader>(
    restored: &[SavedSysctl],
    known: &[SavedSysctl],
    seen: &S,
) -> Result<Vec<SavedSysctl>, S::Error> {
    let Some(default) = restored.iter().find(|one| one.key == key(DEFAULT)) else {
        return Ok(Vec::new());
    };
    let keys = unknown(known, seen)?.into_iter();
    Ok(keys.map(|key| changed(key, &default.was)).collect())
}

/// Whether the change only records a value, and changed nothing.
pub(super) fn is_note(changed: &SavedSysctl) -> bool {
    changed.was == changed.set
}

/// The sysctls `accept_ra` that are 2 and not in `known`.
fn unknown<S: SysctlReader>(known: &[SavedSysctl], seen: &S) -> Result<Vec<Key>, S::Error> {
    let mut keys = Vec::new();
    for name in seen.interfaces()? {
        let key = key(&name);
        let is_known = known.iter().any(|changed| changed.key == key);
        if !is_known && seen.value(&key)?.as_deref() == Some(ALWAYS) {
            keys.push(key);
        }
    }
    Ok(keys)
}

fn of_known(changed: &SavedSysctl) -> Option<String> {
    let name = changed.key.interface();
    (changed.key == key(name)).then(|| name.to_owned())
}

fn key(interface: &str) -> Key {
    Key::of_interface("ipv6", interface, "accept_ra")
}

fn setting(key: Key) -> Setting {
    let value = ALWAYS.to_owned();
    Setting { key, value }
}

fn changed(key: Key, was: &str) -> SavedSysctl {
    SavedSysctl {
        key,
        was: was.to_owned(),
        set: ALWAYS.to_owned(),
        was_host_wide: None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        ForwardingNeed, Plan, plan,
        tests::{Fake, fake},
        wanted as all_wanted,
    };
    use super::*;

    const ALL: &str = "net.ipv6.conf.all.forwarding";

    fn ra(interface: &str) -> String {
        key(interface).name()
    }

    /// A host whose interfaces have these values of `accept_ra`, before Linux 6.17.
    fn host(forwarding: &str, accept_ra: &[(&str, &str)]) -> Fake {
        let mut host = fake(&[(ALL, forwarding)]);
        for (name, value) in accept_ra {
            host.values.insert(ra(name), (*value).to_owned());
        }
        let names = accept_ra.iter().map(|(name, _)| (*name).to_owned());
        host.interfaces = names.filter(|name| name != DEFAULT).collect();
        host.advertised.clear();
        host
    }

    fn next(known: &[SavedSysctl], is_needed: bool, host: &Fake) -> Plan {
        let need = is_needed.then_some(ForwardingNeed {
            interface: "br0",
            ipv4: false,
            ipv6: true,
        });
        let is_bridge = |name: &str| name == "br0";
        let wanted = all_wanted(need.into_iter(), known, is_bridge, host).unwrap();
        plan(&wanted, known, false, host).unwrap()
    }

    fn set(plan: &Plan) -> Vec<String> {
        let set = plan.set.iter();
        set.map(|one| format!("{}={}", one.key.name(), one.value))
            .collect()
    }

    fn given_back(plan: &Plan) -> Vec<String> {
        let restored = plan.restored.iter();
        restored
            .map(|one| format!("{}={}", one.key.name(), one.was))
            .collect()
    }

    #[test]
    fn every_interface_that_accepted_advertisements_still_does() {
        let mut off = host(
            "0",
            &[
                ("default", "1"),
                ("eth0", "1"),
                ("eth1", "0"),
                ("eth2", "2"),
                ("br0", "1"),
            ],
        );
        off.interfaces.push("tap0".to_owned());
        off.values.insert(ra("tap0"), "1".to_owned());
        off.ports.push("tap0".to_owned());
        let plan = next(&[], true, &off);
        let all = format!("{ALL}=1");
        let expected = [ra("default") + "=2", ra("eth0") + "=2", all];
        assert_eq!(set(&plan), expected);
        // An interface that appears later, and does not start with the default.
        let on = host(
            "1",
            &[
                ("default", "2"),
                ("eth0", "2"),
                ("eth2", "2"),
                ("eth3", "1"),
            ],
        );
        let later = next(&plan.changed, true, &on);
        assert_eq!(set(&later), [ra("eth3") + "=2"]);
        assert!(later.restored.is_empty());
        let on = host("1", &[("eth3", "2")]);
        let back = given_back(&next(&later.changed, false, &on));
        assert_eq!(back, [format!("{ALL}=0"), ra("eth3") + "=1"]);
    }

    #[test]
    fn every_change_is_restored_and_other_values_remain() {
        let off = host("0", &[("default", "1"), ("eth0", "1"), ("eth2", "2")]);
        let known = next(&[], true, &off).changed;
        // eth3 has appeared with the changed default; eth0 is gone.
        let on = host("1", &[("default", "2"), ("eth2", "2"), ("eth3", "2")]);
        let plan = next(&known, false, &on);
        let expected = [format!("{ALL}=0"), ra("default") + "=1", ra("eth3") + "=1"];
        assert_eq!(given_back(&plan), expected);
        assert!(plan.changed.is_empty());
    }

    #[test]
    fn a_value_that_another_program_has_written_remains() {
        let off = host(
            "0",
            &[
                ("default", "1"),
                ("eth0", "1"),
                ("eth1", "1"),
                ("eth2", "2"),
            ],
        );
        let known = next(&[], true, &off).changed;
        // Another program has written eth0, eth1 and eth2.
        let on = [
            ("default", "2"),
            ("eth0", "0"),
            ("eth1", "1"),
            ("eth2", "1"),
        ];
        let plan = next(&known, true, &host("1", &on));
        assert_eq!(set(&plan), [ra("eth1") + "=2", ra("eth2") + "=2"]);
        assert!(plan.restored.is_empty());
        let on = [
            ("default", "2"),
            ("eth0", "0"),
            ("eth1", "2"),
            ("eth2", "2"),
        ];
        let plan = next(&plan.changed, false, &host("1", &on));
        let mut back = given_back(&plan);
        back.sort();
        let mut expected = [
            format!("{ALL}=0"),
            ra("default") + "=1",
            ra("eth1") + "=1",
            ra("eth2") + "=1",
        ];
        expected.sort();
        assert_eq!(back, expected);
    }

    #[test]
    fn where_new_interfaces_start_with_another_value_none_is_inherited() {
        for default in ["0", "2"] {
            let off = host("0", &[("default", default), ("eth0", "1")]);
            let known = next(&[], true, &off).changed;
            let on = host("1", &[("default", default), ("eth0", "2"), ("eth3", "2")]);
            let plan = next(&known, false, &on);
            assert_eq!(given_back(&plan), [format!("{ALL}=0"), ra("eth0") + "=1"]);
        }
    }
}
