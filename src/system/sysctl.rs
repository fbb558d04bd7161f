//! Reads and writes sysctls and the related kernel state that
//! [`sysctls`](virt_forward_ruleset::sysctls) needs.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{Error, Result, paths};
use virt_forward_ruleset::sysctls::{Key, SysctlReader};

/// `RTF_ADDRCONF` (linux/ipv6_route.h): the route came with a router advertisement.
const RTF_ADDRCONF: u32 = 0x0004_0000;

/// Entries of net.ipv6.conf that are not interfaces behind which a router can be.
const NO_UPLINKS: [&str; 3] = ["all", "default", "lo"];

/// The kernel of this network namespace.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kernel;

impl SysctlReader for Kernel {
    type Error = Error;

    fn value(&self, key: &Key) -> Result<Option<String>> {
        let text = read(Path::new(paths::SYSCTLS).join(key.path()))?;
        Ok(text.map(|text| text.trim_end().to_owned()))
    }

    fn autoconfigured(&self) -> Result<Vec<String>> {
        let routes = read(PathBuf::from(paths::IPV6_ROUTES))?.unwrap_or_default();
        let mut interfaces: Vec<_> = routes.lines().filter_map(autoconfigured).collect();
        interfaces.sort_unstable();
        interfaces.dedup();
        Ok(interfaces.into_iter().map(str::to_owned).collect())
    }

    fn interfaces(&self) -> Result<Vec<String>> {
        let path = Path::new(paths::SYSCTLS).join("net/ipv6/conf");
        let failed = |why| Error::State {
            doing: "read",
            path: path.clone(),
            why,
        };
        let entries = match fs::read_dir(&path) {
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed)?,
        };
        let mut interfaces = Vec::new();
        for entry in entries {
            let name = entry.map_err(failed)?.file_name().into_string();
            interfaces.extend(
                name.ok()
                    .filter(|name| !NO_UPLINKS.contains(&name.as_str())),
            );
        }
        Ok(interfaces)
    }

    fn is_port(&self, interface: &str) -> bool {
        let path = Path::new(paths::INTERFACES).join(interface);
        path.join("brport").try_exists().unwrap_or(false)
    }
}

/// The content of a file; `None` if it does not exist.
fn read(path: PathBuf) -> Result<Option<String>> {
    match fs::read_to_string(&path) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(why) => Err(Error::State {
            doing: "read",
            path,
            why,
        }),
        Ok(text) => Ok(Some(text)),
    }
}

/// The interface of a line of /proc/net/ipv6_route whose route came from a router advertisement.
/// The last field is the interface, the one before it the flags.
fn autoconfigured(line: &str) -> Option<&str> {
    let mut fields = line.split_whitespace().rev();
    let interface = fields.next()?;
    let flags = u32::from_str_radix(fields.next()?, 16).ok()?;
    (flags & RTF_ADDRCONF != 0).then_some(interface)
}

/// Writes a sysctl.
pub fn write(key: &Key, value: &str) -> Result<()> {
    let path = Path::new(paths::SYSCTLS).join(key.path());
    fs::write(path, value).map_err(|why| Error::Sysctl {
        key: key.name(),
        value: value.to_owned(),
        why,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advertised_routes_are_told_from_others() {
        let line = |flags| {
            let zeros = "0".repeat(32);
            format!("{zeros} 00 {zeros} 00 {zeros} 00000400 00000001 00000000 {flags}     eth0")
        };
        assert_eq!(autoconfigured(&line("00450003")), Some("eth0"));
        assert_eq!(autoconfigured(&line("00000003")), None);
        assert_eq!(autoconfigured(""), None);
        assert_eq!(autoconfigured("eth0"), None);
    }
}
