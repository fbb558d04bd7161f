//! Reads routing rules, routes and next hops (linux/rtnetlink.h, linux/fib_rules.h,
//! linux/nexthop.h) for [`routing`](virt_forward_ruleset::routing).
//!
//! The crate `rtnetlink` has types for them, but needs tokio; the static hook uses this module,
//! too, and links neither.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::IpAddr,
};

use ipnet::IpNet;
use rustix::net::{AddressFamily, SocketFlags, SocketType, netdevice, socket_with};

use crate::netlink::uapi::{
    FIB_RULE_INVERT, FR_ACT_BLACKHOLE, FR_ACT_GOTO, FR_ACT_PROHIBIT, FR_ACT_TO_TBL, FRA_DST,
    FRA_FWMARK, FRA_FWMASK, FRA_GOTO, FRA_IIFNAME, FRA_IP_PROTO, FRA_L3MDEV, FRA_OIFNAME,
    FRA_PRIORITY, FRA_SRC, FRA_SUPPRESS_PREFIXLEN, FRA_TABLE, FRA_TUN_ID, FRA_UID_RANGE, NHA_GROUP,
    NHA_ID, NHA_OIF, RTA_DST, RTA_MULTIPATH, RTA_NH_ID, RTA_OIF, RTA_PRIORITY, RTA_SRC, RTA_TABLE,
    RTM_GETNEXTHOP, RTM_GETROUTE, RTM_GETRULE, RTN_THROW, RTN_UNICAST, RTNH_F_DEAD, SIZEOF_NHMSG,
    SIZEOF_RTMSG,
};
use crate::{Error, Result};
use crate::{
    deadline::Deadline,
    netlink::socket::{attribute, attributes, dump_routing, string},
};
use virt_forward_ruleset::{
    routing::{Action, Condition, From, Route, Routing, RoutingRule, Way},
    table::Ip,
};

/// The rules of a family, and its routes whose destination `is_wanted` accepts; a host may have a
/// million routes. A route for certain sources only is left out unless `is_source` accepts its
/// source.
pub fn routing(
    family: Ip,
    is_wanted: impl Fn(&IpNet) -> bool,
    is_source: impl Fn(&IpNet) -> bool,
    deadline: Deadline,
) -> Result<Routing> {
    let number = match family {
        Ip::V4 => AddressFamily::INET,
        Ip::V6 => AddressFamily::INET6,
    };
    let number = number.as_raw().to_le_bytes()[0];
    let failed = |why| Error::Rules {
        what: "routing".to_owned(),
        why,
    };
    let mut names = Names::new().map_err(failed)?;
    let mut rules = Vec::new();
    let mut each = |body: &[u8]| rules.extend(rule(family, body));
    dump_routing(RTM_GETRULE, number, SIZEOF_RTMSG, deadline, &mut each).map_err(failed)?;
    rules.sort_by_key(|rule: &RoutingRule| rule.priority);
    let mut raw = Vec::new();
    let mut each =
        |body: &[u8]| {
            let route = route(family, body);
            raw.extend(route.filter(|route| {
                is_wanted(&route.to) && route.source.as_ref().is_none_or(&is_source)
            }));
        };
    dump_routing(RTM_GETROUTE, number, SIZEOF_RTMSG, deadline, &mut each).map_err(failed)?;
    let objects = match raw.iter().any(RawRoute::needs_object) {
        true => objects(deadline).map_err(failed)?,
        false => BTreeMap::new(),
    };
    let routes = raw.into_iter();
    let routes = routes.filter_map(|route| route.named(&objects, &mut names));
    Ok(Routing {
        routes: routes.collect(),
        rules,
    })
}

/// Interface names, each looked up once.
struct Names {
    socket: rustix::fd::OwnedFd,
    known: BTreeMap<u32, Option<String>>,
}

impl Names {
    fn new() -> io::Result<Self> {
        let kind = SocketType::DGRAM;
        let socket = socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?;
        let known = BTreeMap::new();
        Ok(Self { socket, known })
    }

    fn of(&mut self, index: u32) -> Option<String> {
        let ask = || netdevice::index_to_name(&self.socket, index).ok();
        self.known.entry(index).or_insert_with(ask).clone()
    }
}

/// A route whose interfaces are indexes.
struct RawRoute {
    table: u32,
    to: IpNet,
    source: Option<IpNet>,
    metric: u32,
    kind: u8,
    interfaces: Vec<u32>,
    /// The id of a next hop object.
    object: Option<u32>,
}

impl RawRoute {
    /// Whether the interfaces have to be looked up
    /// (`net.ipv4.nexthop_compat_mode` = 0).
    fn needs_object(&self) -> bool {
        self.object.is_some() && self.interfaces.is_empty()
    }

    /// `None` if all next hops are down; the kernel then uses the next best route.
    fn named(self, objects: &BTreeMap<u32, Vec<u32>>, names: &mut Names) -> Option<Route> {
        let object = self.object.and_then(|id| objects.get(&id));
        let interfaces = match self.needs_object() {
            true => object.cloned().unwrap_or_default(),
            false => self.interfaces,
        };
        let way = match self.kind {
            RTN_UNICAST => {
                let names: BTreeSet<_> = interfaces
                    .into_iter()
                    .filter_map(|index| names.of(index))
                    .filter(|name| name != "lo")
                    .collect();
                (!names.is_empty()).then_some(Way::Interfaces(names))?
            }
            RTN_THROW => Way::Throw,
            _ => Way::Nowhere,
        };
        Some(Route {
            table: self.table,
            to: self.to,
            metric: self.metric,
            way,
        })
    }
}

fn route(family: Ip, body: &[u8]) -> Option<RawRoute> {
    let [_, to, from, tos, table, _, _, kind, ..] = *body else {
        return None;
    };
    // Routes for a type of service are rare; the kernel's own reverse path check covers them.
    if tos != 0 || !(RTN_UNICAST..=RTN_THROW).contains(&kind) {
        return None;
    }
    let list = body.get(SIZEOF_RTMSG..)?;
    let number = |kind| attribute(list, kind).and_then(native32);
    let oif = number(RTA_OIF).filter(|_| !is_dead(body.get(8).copied()));
    let hops = attribute(list, RTA_MULTIPATH).unwrap_or_default();
    Some(RawRoute {
        table: number(RTA_TABLE).unwrap_or(table.into()),
        to: subnet(family, attribute(list, RTA_DST), to)?,
        source: match from {
            0 => None,
            length => Some(subnet(family, attribute(list, RTA_SRC), length)?),
        },
        metric: number(RTA_PRIORITY).unwrap_or(0),
        kind,
        interfaces: oif.into_iter().chain(next_hops(hops)).collect(),
        object: number(RTA_NH_ID),
    })
}

fn is_dead(flags: Option<u8>) -> bool {
    flags.is_some_and(|flags| flags & RTNH_F_DEAD != 0)
}

/// The interfaces of the next hops that are up, from `struct rtnexthop` and attributes.
fn next_hops(mut bytes: &[u8]) -> Vec<u32> {
    let mut interfaces = Vec::new();
    while let Some(length) = bytes.first_chunk().map(|two| u16::from_ne_bytes(*two)) {
        let length = usize::from(length);
        let Some(hop) = bytes.get(..length).filter(|_| length >= SIZEOF_NHMSG) else {
            break;
        };
        if !is_dead(hop.get(2).copied()) {
            interfaces.extend(hop.get(4..).and_then(native32));
        }
        let next = length.next_multiple_of(4).min(bytes.len());
        bytes = bytes.get(next..).unwrap_or_default();
    }
    interfaces
}

fn rule(family: Ip, body: &[u8]) -> Option<RoutingRule> {
    let [_, to, from, tos, table, _, _, action, ..] = *body else {
        return None;
    };
    let flags = native32(body.get(8..)?)?;
    let list = body.get(SIZEOF_RTMSG..)?;
    let number = |kind| attribute(list, kind).and_then(native32);
    let has = |kind| attribute(list, kind).is_some();
    // A rule for an l3mdev (VRF) does not affect the host's routing.
    if attribute(list, FRA_L3MDEV).is_some_and(|value| value.iter().any(|byte| *byte != 0)) {
        return None;
    }
    let mut kinds = attributes(list).map(|(kind, _)| kind);
    let condition = match tos != 0 || kinds.any(|kind| kind >= FRA_IP_PROTO) {
        _ if has(FRA_OIFNAME) || has(FRA_TUN_ID) || is_of_users(list) => Condition::Never,
        true => Condition::Sometimes,
        false => Condition::None,
    };
    let mask = number(FRA_FWMASK).unwrap_or(u32::MAX);
    let has_mark = has(FRA_FWMARK) || has(FRA_FWMASK);
    let suppressed = number(FRA_SUPPRESS_PREFIXLEN).and_then(|most| u8::try_from(most).ok());
    let at = |kind, length: u8| match length {
        0 => Some(None),
        _ => subnet(family, attribute(list, kind), length).map(Some),
    };
    Some(RoutingRule {
        priority: number(FRA_PRIORITY).unwrap_or(0),
        to: at(FRA_DST, to)?,
        from: From {
            subnet: at(FRA_SRC, from)?,
            interface: attribute(list, FRA_IIFNAME).map(string),
        },
        mark: has_mark.then(|| (number(FRA_FWMARK).unwrap_or(0), mask)),
        condition,
        is_inverted: flags & FIB_RULE_INVERT != 0,
        action: match action {
            FR_ACT_TO_TBL => Action::Lookup {
                table: number(FRA_TABLE).unwrap_or(table.into()),
                suppressed,
            },
            FR_ACT_GOTO => Action::Goto(number(FRA_GOTO)?),
            FR_ACT_BLACKHOLE..=FR_ACT_PROHIBIT => Action::Refuse,
            _ => Action::Nop,
        },
    })
}

/// Whether the rule is for sockets of certain users. Forwarded packets count as root's.
fn is_of_users(list: &[u8]) -> bool {
    attribute(list, FRA_UID_RANGE)
        .and_then(native32)
        .is_some_and(|first| first > 0)
}

/// The interfaces of each next hop object and of each group of them.
fn objects(deadline: Deadline) -> io::Result<BTreeMap<u32, Vec<u32>>> {
    let mut single = BTreeMap::new();
    let mut groups: Vec<(u32, Vec<u32>)> = Vec::new();
    let mut each = |body: &[u8]| {
        let list = body.get(SIZEOF_NHMSG..).unwrap_or_default();
        let number = |kind| attribute(list, kind).and_then(native32);
        let Some(id) = number(NHA_ID) else { return };
        // u32 nh_flags comes last.
        if let Some(interface) = number(NHA_OIF).filter(|_| !is_dead(body.get(4).copied())) {
            single.insert(id, vec![interface]);
        }
        if let Some(group) = attribute(list, NHA_GROUP) {
            let members = group.chunks(SIZEOF_NHMSG).filter_map(native32);
            groups.push((id, members.collect()));
        }
    };
    dump_routing(RTM_GETNEXTHOP, 0, SIZEOF_NHMSG, deadline, &mut each)?;
    for (id, members) in groups {
        let members = members.iter().filter_map(|member| single.get(member));
        let interfaces = members.flatten().copied().collect();
        single.insert(id, interfaces);
    }
    Ok(single)
}

fn subnet(family: Ip, bytes: Option<&[u8]>, length: u8) -> Option<IpNet> {
    let bytes = bytes.unwrap_or(&[0; 16]);
    let address = match family {
        Ip::V4 => IpAddr::from(*bytes.first_chunk::<4>()?),
        Ip::V6 => IpAddr::from(*bytes.first_chunk::<16>()?),
    };
    Some(IpNet::new(address, length).ok()?.trunc())
}

fn native32(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|four| u32::from_ne_bytes(*four))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::socket::attr;

    fn with(header: [u8; SIZEOF_RTMSG], list: &[(u16, &[u8])]) -> Vec<u8> {
        let mut bytes = header.to_vec();
        bytes.extend(list.iter().flat_map(|(kind, value)| attr(*kind, value)));
        bytes
    }

    #[test]
    fn routes_are_read_with_all_their_next_hops() {
        let hop = |index: u8, flags| [8, 0, flags, 0, index, 0, 0, 0];
        let hops = [hop(2, 0), hop(3, RTNH_F_DEAD), hop(4, 16)].concat();
        let table = 51820_u32.to_ne_bytes();
        let body = with(
            [2, 24, 0, 0, 254, 3, 0, RTN_UNICAST, 0, 0, 0, 0],
            &[
                (RTA_TABLE, &table),
                (RTA_DST, &[10, 99, 0, 0]),
                (RTA_MULTIPATH, &hops),
            ],
        );
        let read = route(Ip::V4, &body).unwrap();
        assert_eq!(read.to, "10.99.0.0/24".parse().unwrap());
        assert_eq!((read.table, read.interfaces), (51820, vec![2, 4]));
        for length in 0..body.len() {
            // Truncation at any point must not panic.
            let _ = route(Ip::V4, &body[..length]);
            let _ = route(Ip::V6, &body[..length]);
            let _ = next_hops(&body[..length]);
        }
        let default = with([10, 0, 0, 0, 254, 3, 0, RTN_UNICAST, 0, 0, 0, 0], &[]);
        assert_eq!(route(Ip::V6, &default).unwrap().to, "::/0".parse().unwrap());
    }

    #[test]
    fn rules_are_read_as_ip_rule_writes_them() {
        let number = |number: u32| number.to_ne_bytes();
        let body = with(
            [2, 0, 24, 0, 0, 0, 0, FR_ACT_TO_TBL, 2, 0, 0, 0],
            &[
                (FRA_SRC, &[10, 17, 3, 0]),
                (FRA_TABLE, &number(51820)),
                (FRA_PRIORITY, &number(100)),
                (FRA_FWMARK, &number(51820)),
                (FRA_SUPPRESS_PREFIXLEN, &number(u32::MAX)),
                (FRA_IIFNAME, b"virbr3\0"),
            ],
        );
        let read = rule(Ip::V4, &body).unwrap();
        assert!(read.is_inverted);
        assert_eq!(read.mark, Some((51820, u32::MAX)));
        assert_eq!(read.from.interface.as_deref(), Some("virbr3"));
        assert_eq!(read.from.subnet, Some("10.17.3.0/24".parse().unwrap()));
        let action = Action::Lookup {
            table: 51820,
            suppressed: None,
        };
        assert_eq!((read.action, read.condition), (action, Condition::None));
        for length in 0..body.len() {
            let _ = rule(Ip::V4, &body[..length]);
        }
        let of = |list: &[(u16, &[u8])]| {
            rule(
                Ip::V4,
                &with([2, 0, 0, 0, 254, 0, 0, FR_ACT_TO_TBL, 0, 0, 0, 0], list),
            )
        };
        let condition = |list: &[(u16, &[u8])]| of(list).unwrap().condition;
        assert_eq!(condition(&[(FRA_IP_PROTO, &[6])]), Condition::Sometimes);
        assert_eq!(condition(&[(FRA_OIFNAME, b"wg0\0")]), Condition::Never);
        let users = [number(1000), number(2000)].concat();
        assert_eq!(condition(&[(FRA_UID_RANGE, &users)]), Condition::Never);
        let everybody = [number(0), number(2000)].concat();
        assert_eq!(condition(&[(FRA_UID_RANGE, &everybody)]), Condition::None);
        assert_eq!(of(&[(FRA_L3MDEV, &[1])]), None);
    }
}
