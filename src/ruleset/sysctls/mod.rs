//! Kernel settings that open networks need, as values: the kernel is asked by a closure.
//!
//! IPv4 looks at the setting of the interface a packet came in by, so each bridge is switched
//! on alone and `net.ipv4.ip_forward` stays as it is. IPv6 looked at `conf.all.forwarding`
//! only, until Linux 6.17 brought `force_forwarding` for a single interface
//! (net/ipv6/ip6_output.c, `ip6_forward`).

mod advertisements;

use std::{collections::BTreeSet, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::table::{Enabled, Ip};
use virt_forward_policy::sanitize::escape;

/// What stands for all interfaces in the place of one.
pub const ALL: &str = "all";

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

    fn try_from(parts: Vec<String>) -> Result<Self, BadKey> {
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
        escape(&parts.join("."))
    }

    /// Whether the kernel tells nobody that it has changed: who writes 0 to IPv6's `forwarding` of
    /// all interfaces switches `force_forwarding` off on each of them, and where the former was 0
    /// already no notification is sent (net/ipv6/addrconf.c, `addrconf_fixup_forwarding`).
    pub fn is_untold(&self) -> bool {
        self.is_force_forwarding()
    }

    fn is_force_forwarding(&self) -> bool {
        self.is(|family, _, setting| family == "ipv6" && setting == "force_forwarding")
    }

    /// The forwarding of IPv4 packets that come in by one interface.
    fn is_ipv4_forwarding(&self) -> bool {
        self.is(|family, _, setting| family == "ipv4" && setting == "forwarding")
    }

    /// The forwarding of all IPv6 packets, and what goes with it.
    pub fn is_hosts_ipv6(&self) -> bool {
        self.is(|family, _, setting| family == "ipv6" && setting != "force_forwarding")
    }

    fn is(&self, test: impl Fn(&str, &str, &str) -> bool) -> bool {
        match self.0.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [_, family, _, interface, setting] => test(family, interface, setting),
            _ => false,
        }
    }

    /// What forwards all packets of the family, whatever interface they come in by.
    fn host_wide(&self) -> Key {
        match self.is_ipv4_forwarding() {
            true => ipv4_all(),
            false => ipv6_all(),
        }
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
    /// Whether the host forwarded all packets of the family then; a record of an earlier version
    /// does not say.
    #[serde(default)]
    pub was_host_wide: Option<bool>,
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
    /// Why the kernel could not be read.
    type Error;

    /// A setting's value without the newline; `None` where this kernel has no such setting. An
    /// error where that cannot be told: to take it for off would switch on more than is needed.
    fn value(&self, key: &Key) -> Result<Option<String>, Self::Error>;
    /// Interfaces with routes that router advertisements brought.
    fn autoconfigured(&self) -> Result<Vec<String>, Self::Error>;
    /// All interfaces that have settings of IPv6, but the loopback.
    fn interfaces(&self) -> Result<Vec<String>, Self::Error>;
    /// Whether that interface is a port of a bridge, which takes all packets from it.
    fn is_port(&self, interface: &str) -> bool;
}

/// The settings that `needs` want, in the order to write them in. `known` are those that were
/// changed before; `is_bridge` tells whether an interface is a network's.
pub fn wanted<'a, S: Seen>(
    needs: impl Iterator<Item = Need<'a>>,
    known: &[Changed],
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

/// What to do about settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Those that get back what they were, in this order.
    pub restored: Vec<Changed>,
    /// Those that get another value, in this order.
    pub set: Vec<Setting>,
    /// All that were changed, or will have been then: the record.
    pub changed: Vec<Changed>,
}

impl Plan {
    /// Whether it switches on the forwarding of all IPv6 packets.
    pub fn sets_all_ipv6(&self) -> bool {
        self.set.iter().any(|setting| setting.key == ipv6_all())
    }

    /// Whether it switches that off.
    pub fn gives_back_all_ipv6(&self) -> bool {
        let mut restored = self.restored.iter();
        restored.any(|changed| changed.key == ipv6_all() && changed.was == "0")
    }
}

/// Whether all packets of a family are forwarded, whatever interface they come in by.
pub fn forwards_all<S: Seen>(family: Ip, seen: &S) -> Result<bool, S::Error> {
    match family {
        Ip::V4 => is_on(&ipv4_all(), seen),
        Ip::V6 => is_on(&ipv6_all(), seen),
    }
}

/// What leads from `known`, which was changed before, to what is `wanted`. `libvirt_routes_ipv6`
/// says that a network runs for which libvirt itself switches the forwarding of IPv6 on.
pub fn plan<S: Seen>(
    wanted: &[Setting],
    known: &[Changed],
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
    // Forwarding goes first: until then accept_ra stays as it is.
    plan.restored
        .sort_by_key(|changed| changed.key != ipv6_all());
    for setting in wanted {
        // The settings of an interface go before the interface does.
        let value = seen.value(&setting.key)?;
        let Some(was) = value.filter(|was| *was != setting.value) else {
            continue;
        };
        plan.set.push(setting.clone());
        let was_host_wide = Some(is_on(&setting.key.host_wide(), seen)?);
        let known = plan.changed.iter_mut();
        match known.into_iter().find(|known| known.key == setting.key) {
            // Its first value is the one to give back. Another has switched it off since; what
            // the host was like then counts.
            Some(known) => known.was_host_wide = was_host_wide,
            None => plan.changed.push(Changed {
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

/// What becomes of a setting that was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It stays, and stays ours.
    Kept,
    /// It goes back to what it was.
    Restored,
    /// It stays as it is, and is no longer ours.
    Forgotten,
}

/// A setting that another counts on is not ours any more. libvirt writes `ip_forward` at the
/// start of a network that needs it, which forwards what comes in by any interface; our 1 was
/// there already. The same goes for IPv6, where what we switched on is the same setting.
fn fate<S: Seen>(
    changed: &Changed,
    is_wanted: bool,
    libvirt_routes_ipv6: bool,
    seen: &S,
) -> Result<Fate, S::Error> {
    let Some(value) = seen.value(&changed.key)? else {
        // Gone. An interface of that name that comes is another one.
        return Ok(Fate::Forgotten);
    };
    if changed.key.is_hosts_ipv6() && libvirt_routes_ipv6 || is_overtaken(changed, seen)? {
        return Ok(Fate::Forgotten);
    }
    let is_known = !changed.key.is_ipv4_forwarding() || changed.was_host_wide.is_some();
    Ok(match is_wanted {
        _ if advertisements::is_note(changed) && (!is_wanted || value != changed.set) => {
            Fate::Forgotten
        }
        true => Fate::Kept,
        // Not where it is no longer what we made of it.
        false if value != changed.set => Fate::Forgotten,
        // Of an earlier version's record nothing but this is known.
        false if is_known || !is_on(&changed.key.host_wide(), seen)? => Fate::Restored,
        false => Fate::Forgotten,
    })
}

/// Whether all packets of the family are forwarded since, whatever interface they come in by.
fn is_overtaken<S: Seen>(changed: &Changed, seen: &S) -> Result<bool, S::Error> {
    Ok(changed.key.is_ipv4_forwarding()
        && changed.was_host_wide == Some(false)
        && is_on(&changed.key.host_wide(), seen)?)
}

/// Whether a setting that is restored may be written now: `accept_ra` only once IPv6 is not
/// forwarded any more.
pub fn may_restore<S: Seen>(changed: &Changed, seen: &S) -> Result<bool, S::Error> {
    let needs_off = changed.key.is_hosts_ipv6() && changed.key != ipv6_all();
    Ok(!needs_off || !is_on(&ipv6_all(), seen)?)
}

/// The interfaces that forward because of settings that were changed, and for no other reason;
/// and whether that goes for all IPv6 packets. `is_libvirts` says of an interface that libvirt
/// wants it to forward: it counts on `ip_forward` for that, which somebody may have overruled.
pub fn enabled<S: Seen>(
    changed: &[Changed],
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

/// It is read, and never written.
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

fn is_on<S: Seen>(key: &Key, seen: &S) -> Result<bool, S::Error> {
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

    impl Seen for Fake {
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

    fn wanted_of(need: Need<'_>, known: &[Changed], seen: &Fake) -> Vec<Setting> {
        wanted([need].into_iter(), known, |_| false, seen).unwrap()
    }

    fn names(seen: &Fake, ipv6: bool) -> Vec<String> {
        let need = Need {
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
    fn a_name_of_a_setting_moves_no_cursor() {
        let odd = Key::of_interface("ipv4", "e\u{1b}[2J", "forwarding");
        assert_eq!(odd.name(), "net.ipv4.conf.e\\u{1b}[2J.forwarding");
    }

    #[test]
    fn a_bridge_is_switched_on_alone_where_the_kernel_can() {
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

    fn ipv4(interface: &str, was_host_wide: Option<bool>) -> Changed {
        Changed {
            key: Key::of_interface("ipv4", interface, "forwarding"),
            was: "0".into(),
            set: "1".into(),
            was_host_wide,
        }
    }

    const HOST: &str = "net.ipv4.ip_forward";
    const LAN: &str = "net.ipv4.conf.lan0.forwarding";

    fn fate_of(changed: &Changed, values: &[(&str, &str)]) -> (Fate, Fate) {
        let fate = |is_wanted| fate(changed, is_wanted, false, &fake(values)).unwrap();
        (fate(true), fate(false))
    }

    #[test]
    fn what_another_counts_on_is_no_longer_ours() {
        let lan = ipv4("lan0", Some(false));
        let (kept, restored) = (Fate::Kept, Fate::Restored);
        let forgotten = (Fate::Forgotten, Fate::Forgotten);
        assert_eq!(fate_of(&lan, &[(LAN, "1"), (HOST, "0")]), (kept, restored));
        assert_eq!(fate_of(&lan, &[(LAN, "1"), (HOST, "1")]), forgotten);
        // It had been the administrator's choice for that interface alone.
        let lan = ipv4("lan0", Some(true));
        assert_eq!(fate_of(&lan, &[(LAN, "1"), (HOST, "1")]), (kept, restored));
        // It is not what we made of it.
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
        let read: Changed = serde_json::from_str(old).unwrap();
        assert_eq!(read, ipv4("lan0", None));
        let new = ipv4("lan0", Some(true));
        let text = serde_json::to_string(&new).unwrap();
        assert_eq!(serde_json::from_str::<Changed>(&text).unwrap(), new);
    }

    #[test]
    fn a_setting_that_is_not_needed_goes_back_and_another_takes_its_place() {
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
    fn a_setting_that_another_has_reset_keeps_its_first_value() {
        let known = [ipv4("lan0", Some(true))];
        let wanted = [on(known[0].key.clone())];
        // Somebody has switched the whole host off.
        let off = fake(&[(LAN, "0"), (HOST, "0")]);
        let plan = plan(&wanted, &known, false, &off).unwrap();
        assert_eq!(plan.set, wanted);
        assert_eq!(plan.changed, [ipv4("lan0", Some(false))]);
        assert_eq!(plan.restored, []);
    }

    #[test]
    fn a_bridge_that_libvirt_wants_to_forward_is_not_restricted() {
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
    fn force_forwarding_goes_when_all_of_ipv6_is_forwarded() {
        let all = "net.ipv6.conf.all.forwarding";
        let force = "net.ipv6.conf.lan0.force_forwarding";
        let known = [Changed {
            key: Key::of_interface("ipv6", "lan0", "force_forwarding"),
            ..ipv4("lan0", Some(false))
        }];
        let need = || Need {
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
    fn before_linux_6_17_all_of_ipv6_is_ours_until_libvirt_needs_it() {
        let all = "net.ipv6.conf.all.forwarding";
        let ra = "net.ipv6.conf.eth0.accept_ra";
        let need = || Need {
            interface: "lan0",
            ipv4: false,
            ipv6: true,
        };
        let off = fake(&[(all, "0"), (ra, "1")]);
        let first = wanted_of(need(), &[], &off);
        let first = plan(&first, &[], false, &off).unwrap();
        let names = |changed: &[Changed]| -> Vec<String> {
            changed.iter().map(|one| one.key.name()).collect()
        };
        assert_eq!(names(&first.changed), [ra, all]);
        let on = fake(&[(all, "1"), (ra, "2")]);
        let again = wanted_of(need(), &first.changed, &on);
        let again = plan(&again, &first.changed, false, &on).unwrap();
        assert_eq!((again.set.len(), again.restored.len()), (0, 0));
        assert_eq!(names(&again.changed), [ra, all]);
        assert!(enabled(&again.changed, |_| false, &on).unwrap().1);
        // Needed by nobody: forwarding goes first.
        let none = plan(&[], &first.changed, false, &on).unwrap();
        assert_eq!(names(&none.restored), [all, ra]);
        let [all_of_ipv6, accept_ra] = &none.restored[..] else {
            panic!();
        };
        assert!(may_restore(all_of_ipv6, &on).unwrap());
        assert!(!may_restore(accept_ra, &on).unwrap());
        assert!(may_restore(accept_ra, &off).unwrap());
        // A network of libvirt's that it routes.
        let theirs = plan(&[], &first.changed, true, &on).unwrap();
        assert_eq!((theirs.restored.len(), theirs.changed.len()), (0, 0));
    }
}
