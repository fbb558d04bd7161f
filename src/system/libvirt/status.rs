//! The active networks according to libvirt's status files.
//!
//! When libvirt starts a network it writes the file after the last hook has returned; when it stops
//! a network it deletes the file first (src/network/bridge_driver.c, `networkStartNetwork`,
//! `networkShutdownNetwork`).

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    io::{self, Read},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use crate::paths;
use virt_forward_policy::network::{KernelName, MAX_XML, Network, XmlError, read};

/// The networks that libvirt has active.
#[derive(Debug, Default)]
pub struct Active {
    /// Networks whose definition was read, including those without a bridge.
    pub networks: Vec<Network>,
    /// Networks whose bridge is unknown: the raw name and the reason.
    pub unread: Vec<(Vec<u8>, XmlError)>,
}

impl Active {
    /// Adds a network by name and the result of reading its definition.
    pub fn add(&mut self, name: &[u8], network: Result<Network, XmlError>) {
        match named(name, network) {
            Ok(network) => self.networks.push(network),
            Err(why) => self.unread.push((name.to_owned(), why)),
        }
    }

    /// Whether a network of that name is active with that bridge.
    pub fn has(&self, name: &str, bridge: &KernelName) -> bool {
        let is_that =
            |one: &Network| one.name == name && one.known_bridge().as_ref() == Some(bridge);
        self.networks.iter().any(is_that)
    }
}

/// Replaces the name in a definition by the name of its file. XML parsers turn a carriage return in
/// a name into a line feed, the file name keeps it.
pub fn named(name: &[u8], network: Result<Network, XmlError>) -> Result<Network, XmlError> {
    let network = network?;
    let name = std::str::from_utf8(name).map_err(|_| XmlError::NameNotUtf8)?;
    match network.is_without_bridge() {
        true => Err(XmlError::NoBridge),
        false => Ok(Network {
            name: name.to_owned(),
            ..network
        }),
    }
}

/// All active networks. `None` if libvirt has no status directory, or if one of the files cannot be
/// read: then it is unknown which networks are inactive.
pub fn active_networks() -> Option<Active> {
    all_active().ok()
}

fn all_active() -> io::Result<Active> {
    let mut active = Active::default();
    for (name, path) in files(Path::new(paths::LIBVIRT_STATUS))? {
        if let Some(definition) = content(&path)? {
            active.add(name.as_bytes(), read(&definition[..]));
        }
    }
    Ok(active)
}

/// The content of a file; `None` if it was deleted meanwhile.
fn content(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut content = Vec::new();
    // One byte more than the limit, so that the parser reports a definition that is too long.
    file.take(MAX_XML + 1).read_to_end(&mut content)?;
    Ok(Some(content))
}

/// The definition of an active network. `None` if the network is inactive, libvirt has no status
/// directory, or the file cannot be read.
pub fn of(name: &[u8]) -> Option<Option<Result<Network, XmlError>>> {
    let folder = Path::new(paths::LIBVIRT_STATUS);
    if name.contains(&b'/') {
        return Some(None);
    }
    let file = [name, b".xml"].concat();
    match content(&folder.join(OsString::from_vec(file))).ok()? {
        Some(definition) => Some(Some(named(name, read(&definition[..])))),
        None => folder
            .try_exists()
            .is_ok_and(|is_there| is_there)
            .then_some(None),
    }
}

/// Whether the network of that name is active with that bridge. `None` if libvirt has no status
/// directory.
pub fn is_active(name: &str, bridge: &KernelName) -> Option<bool> {
    let network = of(name.as_bytes())?;
    Some(network.is_some_and(|network| {
        network.is_ok_and(|network| network.known_bridge().as_ref() == Some(bridge))
    }))
}

/// The stems of the `*.xml` files in `dir`.
pub fn xml_files(dir: &Path) -> Vec<(String, PathBuf)> {
    let named = files(dir).unwrap_or_default().into_iter();
    let utf8 = |(name, path): (OsString, PathBuf)| Some((name.into_string().ok()?, path));
    named.filter_map(utf8).collect()
}

fn files(dir: &Path) -> io::Result<Vec<(OsString, PathBuf)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let path = entry.path();
        let stem = path.file_stem().map(OsStr::to_owned);
        let Some(stem) = stem.filter(|_| path.extension() == Some(OsStr::new("xml"))) else {
            continue;
        };
        match fs::metadata(&path) {
            Ok(found) if found.is_file() => files.push((stem, path)),
            Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(why),
            _ => {}
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_the_name_that_libvirt_calls_it_by() {
        let xml = "<network><name>a&#10;b</name><bridge name='virbr0'/></network>";
        let mut active = Active::default();
        active.add(b"a\rb", read(xml.as_bytes()));
        active.add(b"a\xff", read(xml.as_bytes()));
        active.add(
            b"c",
            read(&b"<network><name>c</name><forward mode='nat'/></network>"[..]),
        );
        active.add(b"d", read(&b"<network><name>d"[..]));
        let bridge = "virbr0".parse().unwrap();
        assert!(active.has("a\rb", &bridge) && !active.has("a\nb", &bridge));
        let unread: Vec<_> = active.unread.iter().map(|(_, why)| why.clone()).collect();
        assert_eq!(
            unread,
            [
                XmlError::NameNotUtf8,
                XmlError::NoBridge,
                XmlError::Truncated
            ]
        );
    }
}
