//! The host that a case is played on: bridges, settings, rules.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::Value;
use virt_forward_policy::network::{Mode, Network};
use virt_forward_system::paths;

/// What went wrong, in words.
pub(crate) type Outcome<T> = Result<T, String>;

const HOOK: &str = "/etc/libvirt/hooks/network";
const ALL: [&str; 2] = ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"];

/// Runs a program that has to succeed; its stdout.
pub(crate) fn run(program: &str, args: &[&str], input: &str) -> Outcome<String> {
    let command = format!("{program} {}", args.join(" "));
    let output = spawn(program, args, input)?
        .wait_with_output()
        .map_err(|why| format!("{command}: {why}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            Err(format!("{command}: {said}\n{input}"))
        }
    }
}

fn spawn(program: &str, args: &[&str], input: &str) -> Outcome<Child> {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let failed = |why| format!("{program}: {why}");
    let mut child = command.spawn().map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that reads none of it has ended; its status tells why.
        let _ = stdin.write_all(input.as_bytes());
    }
    Ok(child)
}

/// The hook, as libvirtd calls it.
pub(crate) fn hook(network: &Network, operation: &str) -> Outcome<Child> {
    hook_with(&network.name, operation, &crate::xml::xml(network))
}

/// The same, with a definition that may be wrong.
pub(crate) fn hook_with(name: &str, operation: &str, xml: &str) -> Outcome<Child> {
    let sub = if operation == "stopped" {
        "end"
    } else {
        "begin"
    };
    let input = format!("<hookData>{xml}</hookData>");
    spawn(HOOK, &[name, operation, sub, "-"], &input)
}

/// libvirt's part in a network's start.
pub(crate) fn plug(network: &Network) -> Outcome<()> {
    let bridge = name(network);
    if network.mode != Mode::Isolated {
        let families = [
            !network.subnets4().is_empty(),
            !network.subnets6().is_empty(),
        ];
        for (setting, _) in ALL.iter().zip(families).filter(|(_, has)| *has) {
            // It leaves one alone that is on.
            if value(setting) == "0" {
                set(setting, "1")?;
            }
        }
    }
    run("ip", &["link", "add", "name", bridge, "type", "bridge"], "").map(drop)
}

/// Its part in the end of one.
pub(crate) fn unplug(network: &Network) -> Outcome<()> {
    run("ip", &["link", "delete", "dev", name(network)], "").map(drop)
}

pub(crate) fn is_plugged(network: &Network) -> bool {
    Path::new(paths::INTERFACES).join(name(network)).exists()
}

fn name(network: &Network) -> &str {
    network.bridge.as_ref().map_or("", |bridge| bridge.as_str())
}

fn value(setting: &str) -> String {
    let text = fs::read_to_string(Path::new(paths::SYSCTLS).join(setting));
    text.unwrap_or_default().trim_end().to_owned()
}

fn set(setting: &str, value: &str) -> Outcome<()> {
    let path = Path::new(paths::SYSCTLS).join(setting);
    fs::write(&path, value).map_err(|why| format!("{}: {why}", path.display()))
}

/// Every setting of forwarding that there is.
pub(crate) fn settings() -> BTreeMap<String, String> {
    let mut all: BTreeMap<_, _> = ALL
        .iter()
        .map(|setting| ((*setting).to_owned(), value(setting)))
        .collect();
    for family in ["ipv4", "ipv6"] {
        let folder = Path::new(paths::SYSCTLS).join(format!("net/{family}/conf"));
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let interface = entry.file_name().to_string_lossy().into_owned();
            for setting in ["forwarding", "force_forwarding", "accept_ra"] {
                let key = format!("net/{family}/conf/{interface}/{setting}");
                let value = value(&key);
                all.insert(key, value);
            }
        }
    }
    all
}

/// All rules and sets, but for what the kernel numbers and counts.
pub(crate) fn ruleset() -> Outcome<Value> {
    let text = run("nft", &["-j", "list", "ruleset"], "")?;
    let mut all = serde_json::from_str(&text).map_err(|why| why.to_string())?;
    plain(&mut all);
    Ok(all)
}

fn plain(value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(plain),
        Value::Object(map) => {
            for key in ["handle", "metainfo", "packets", "bytes"] {
                map.remove(key);
            }
            map.values_mut().for_each(plain);
            // They come in the order of their hashes.
            if let Some(Value::Array(elements)) = map.get_mut("elem") {
                elements.sort_by_key(Value::to_string);
            }
        }
        _ => {}
    }
}

/// As it was before any case: no rule, no network, nothing switched on.
pub(crate) fn clear(networks: &[Network]) -> Outcome<()> {
    for network in networks.iter().filter(|network| is_plugged(network)) {
        unplug(network)?;
    }
    for setting in ALL {
        // Written anew, it goes to all interfaces.
        set(setting, "1")?;
        set(setting, "0")?;
    }
    match fs::remove_dir_all(paths::STATE) {
        Err(why) if why.kind() != std::io::ErrorKind::NotFound => return Err(why.to_string()),
        _ => {}
    }
    run("nft", &["flush", "ruleset"], "").map(drop)
}
