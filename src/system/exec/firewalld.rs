//! firewalld's D-Bus interface, called through busctl(1) of systemd: a D-Bus crate would double the
//! size of the static hook, and nearly every host with firewalld has systemd.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use serde::{Deserialize, de::DeserializeOwned};

use crate::netlink::uapi::{NFPROTO_INET, NFT_MSG_GETTABLE, NFTA_TABLE_HANDLE, NFTA_TABLE_NAME};
use crate::{Error, Result};
use crate::{
    deadline::Deadline,
    exec::command::Program,
    netlink::socket::{attribute, be64, dump, string},
};

const BUSCTL: Program = Program {
    name: "busctl",
    package: "systemd",
};

/// The policy object that holds our rich rules; packaging/firewalld/virt-forward.xml.
const POLICY: &str = "virt-forward";

/// The handle of firewalld's table; `None` if firewalld does not run or uses iptables. A reload
/// creates a new table and drops our runtime rules.
pub fn table(deadline: Deadline) -> Result<Option<u64>> {
    let tables =
        dump(NFT_MSG_GETTABLE, NFPROTO_INET, &[], deadline).map_err(|why: io::Error| {
            let what = "firewalld".to_owned();
            Error::Rules { what, why }
        })?;
    let mut tables = tables.iter().map(|table| &table.attributes[..]);
    let is_firewallds = |table: &&[u8]| {
        attribute(table, NFTA_TABLE_NAME).map(string).as_deref() == Some("firewalld")
    };
    let table = tables.find(is_firewallds);
    Ok(table.and_then(|table| attribute(table, NFTA_TABLE_HANDLE).map(be64)))
}

/// The zone of an interface; `None` if it is in no zone and so in the default zone.
pub fn zone_of(interface: &str, deadline: Deadline) -> Result<Option<String>> {
    let said = call(&["zone", "getZoneOfInterface", "s", interface], deadline)?;
    // s "libvirt"
    let zone = said.trim().trim_start_matches("s ").trim_matches('"');
    Ok((!zone.is_empty()).then(|| zone.to_owned()))
}

/// All interfaces that firewalld has in a zone, permanently or at the request of a client.
pub fn active_zones(deadline: Deadline) -> Result<BTreeSet<String>> {
    let zones: BTreeMap<String, BTreeMap<String, Vec<String>>> =
        answer(&["zone", "getActiveZones"], deadline)?;
    let of_zone = |mut zone: BTreeMap<String, Vec<String>>| zone.remove("interfaces");
    Ok(zones.into_values().filter_map(of_zone).flatten().collect())
}

/// The names of all zones.
pub fn zones(deadline: Deadline) -> Result<BTreeSet<String>> {
    answer(&["zone", "getZones"], deadline)
}

/// Puts an interface into a zone in the runtime configuration, as libvirt does.
pub fn set_zone(interface: &str, zone: &str, deadline: Deadline) -> Result<()> {
    let args = ["zone", "changeZoneOfInterface", "ss", zone, interface];
    call(&args, deadline).map(drop)
}

/// The single value in the reply of a method.
fn answer<T: DeserializeOwned>(args: &[&str], deadline: Deadline) -> Result<T> {
    #[derive(Deserialize)]
    struct Answer<T> {
        data: (T,),
    }
    let said = call_with(&["--json=short"], args, deadline)?;
    let answer: Answer<T> = serde_json::from_str(&said).map_err(|why| Error::Failed {
        what: format!("busctl call {}", args.join(" ")),
        stderr: why.to_string(),
    })?;
    Ok(answer.data.0)
}

/// Replaces the rich rules of our policy in the runtime configuration. The rules match destination
/// addresses, because the bridge of a network may be in any zone.
pub fn set_rules(rules: &[String], deadline: Deadline) -> Result<()> {
    let count = rules.len().to_string();
    let mut args = vec![
        "policy",
        "setPolicySettings",
        "sa{sv}",
        POLICY,
        "2",
        "egress_zones",
        "as",
        "1",
        "ANY",
        "rich_rules",
        "as",
        &count,
    ];
    args.extend(rules.iter().map(String::as_str));
    match call(&args, deadline) {
        Err(Error::Failed { stderr, .. }) if stderr.contains("INVALID_POLICY") => {
            Err(Error::NoFirewalldPolicy)
        }
        other => other.map(drop),
    }
}

/// Calls a method of firewalld; `args` begin with the interface and the method. Returns busctl's
/// JSON.
fn call(args: &[&str], deadline: Deadline) -> Result<String> {
    call_with(&[], args, deadline)
}

fn call_with(options: &[&str], args: &[&str], deadline: Deadline) -> Result<String> {
    let (interface, args) = args.split_first().unwrap_or((&"", &[]));
    let interface = format!("org.fedoraproject.FirewallD1.{interface}");
    let mut all = options.to_vec();
    all.extend([
        // D-Bus activation would start a firewalld that does not run.
        "--auto-start=no",
        "call",
        "org.fedoraproject.FirewallD1",
        "/org/fedoraproject/FirewallD1",
        &interface,
    ]);
    all.extend(args);
    BUSCTL.run_checked(&all, "", deadline)
}
