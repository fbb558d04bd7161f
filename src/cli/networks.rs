//! The networks of this host, read from libvirt or, if its daemon does not answer, from its status
//! files.

use std::{fs::File, path::Path};

use anyhow::{Result, bail};
use virt_forward_policy::{
    network::{self, Network, XmlError},
    sanitize::{argument, escape},
};
use virt_forward_system::{
    libvirt::status::{self, Active},
    paths,
};

use crate::{
    libvirt::{self, Defined},
    output,
};

/// The directory of libvirt's network definitions, for the names of inactive networks.
const DEFINITIONS: &str = "/etc/libvirt/qemu/networks";

/// The networks of this host.
#[derive(Debug, Default)]
pub(crate) struct Networks {
    /// Active networks, by name.
    pub(crate) active: Vec<Network>,
    /// Active networks whose bridge is unknown.
    pub(crate) unread: Vec<(Vec<u8>, XmlError)>,
    /// Networks that are defined but not active.
    pub(crate) inactive: Vec<Inactive>,
}

/// A network that is not active.
#[derive(Debug)]
pub(crate) struct Inactive {
    name: String,
    /// `None` if the definition cannot be parsed, which does not matter before a start.
    pub(crate) definition: Option<Network>,
}

impl Networks {
    /// Asks libvirt at `uri`. Without a URI, and if the system's daemon does not answer, reads its
    /// status files: networks stay active while the daemon is down.
    pub(crate) fn find(uri: Option<&str>) -> Result<Self> {
        match libvirt::networks(uri) {
            Ok(defined) => Ok(Self::from_libvirt(defined)),
            Err(error) if uri.is_some() => Err(error),
            Err(error) => {
                let files = paths::LIBVIRT_STATUS;
                output::warn(&format!("{error:#}; reading {files} instead"));
                Ok(Self::from_files())
            }
        }
    }

    /// Like [`find`](Self::find), but returns the reason why libvirt did not answer instead of
    /// printing it.
    pub(crate) fn find_with_error(uri: Option<&str>) -> (Self, Option<anyhow::Error>) {
        match libvirt::networks(uri) {
            Ok(defined) => (Self::from_libvirt(defined), None),
            Err(error) => (Self::from_files(), Some(error)),
        }
    }

    fn from_libvirt(defined: Vec<Defined>) -> Self {
        let mut networks = Self::default();
        for Defined {
            name,
            is_active,
            xml,
        } in defined
        {
            let network = xml.map(|xml| network::read(xml.as_bytes()));
            match network {
                Some(network) if is_active => networks.add(name.as_bytes(), network),
                other => networks.inactive.push(Inactive {
                    name,
                    definition: other.and_then(Result::ok),
                }),
            }
        }
        networks.sorted()
    }

    fn from_files() -> Self {
        let mut networks = Self::default();
        if let Some(active) = status::active_networks() {
            networks.active = active.networks;
            networks.unread = active.unread;
        }
        let defined = status::xml_files(Path::new(DEFINITIONS)).into_iter();
        let is_active = |name: &String| {
            let mut unread = networks.unread.iter();
            networks.active.iter().any(|known| known.name == *name)
                || unread.any(|(known, _)| known == name.as_bytes())
        };
        let inactive = defined.filter(|(name, _)| !is_active(name));
        networks.inactive = inactive
            .map(|(name, file)| Inactive {
                name,
                definition: File::open(file)
                    .ok()
                    .and_then(|file| network::read(file).ok()),
            })
            .collect();
        networks.sorted()
    }

    fn add(&mut self, name: &[u8], network: Result<Network, XmlError>) {
        match status::named(name, network) {
            Ok(network) => self.active.push(network),
            Err(why) => self.unread.push((name.to_owned(), why)),
        }
    }

    /// The active networks.
    pub(crate) fn as_active(&self) -> Active {
        Active {
            networks: self.active.clone(),
            unread: self.unread.clone(),
        }
    }

    fn sorted(mut self) -> Self {
        self.active.sort_by(|a, b| a.name.cmp(&b.name));
        self.inactive.sort_by(|a, b| a.name.cmp(&b.name));
        self
    }

    /// The active networks with these names, or all of them. The error names the command to start
    /// an inactive one.
    pub(crate) fn select(self, names: &[String]) -> Result<Vec<Network>> {
        match names.is_empty() {
            true => Ok(self.active),
            false => self.named(names),
        }
    }

    fn named(self, names: &[String]) -> Result<Vec<Network>> {
        if let Some(missing) = names.iter().find(|name| !self.is_active(name)) {
            let shown_name = escape(missing);
            if let Some(why) = self.unread(missing) {
                bail!("the bridge of the network {shown_name} is not known: {why}");
            }
            if self.has(missing) {
                let name = argument(missing);
                bail!("network {shown_name} is not active: virsh net-start {name}");
            }
            bail!(
                "there is no network {shown_name}; there are: {}",
                self.listed()
            );
        }
        let meant = |network: &Network| names.contains(&network.name);
        Ok(self.active.into_iter().filter(meant).collect())
    }

    /// Whether a network of that name exists, active or not.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.is_active(name)
            || self.unread(name).is_some()
            || self.inactive.iter().any(|one| one.name == name)
    }

    /// The reason why the bridge of an active network is unknown, if it is.
    fn unread(&self, name: &str) -> Option<&XmlError> {
        let mut unread = self.unread.iter();
        unread.find_map(|(one, why)| (one == name.as_bytes()).then_some(why))
    }

    fn is_active(&self, name: &str) -> bool {
        self.active.iter().any(|network| network.name == name)
    }

    /// The names of all networks, for a message.
    pub(crate) fn listed(&self) -> String {
        let active = self.active.iter().map(|network| escape(&network.name));
        let inactive = self
            .inactive
            .iter()
            .map(|one| format!("{} (not active)", escape(&one.name)));
        let all: Vec<_> = active.chain(inactive).collect();
        match all.is_empty() {
            true => "none".to_owned(),
            false => all.join(", "),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks() -> Networks {
        let xml = "<network><name>kube02</name><bridge name='virbr0'/></network>";
        Networks::from_libvirt(vec![
            Defined {
                name: "kube02".into(),
                is_active: true,
                xml: Some(xml.into()),
            },
            Defined {
                name: "kube09".into(),
                is_active: false,
                xml: None,
            },
            Defined {
                name: "odd".into(),
                is_active: true,
                xml: Some("<network>".into()),
            },
        ])
    }

    #[test]
    fn a_name_that_is_not_active_is_answered_with_what_helps() {
        let named = |name: &str| networks().named(&[name.to_owned()]);
        assert_eq!(named("kube02").unwrap().len(), 1);
        let inactive = named("kube09").unwrap_err().to_string();
        assert!(inactive.contains("virsh net-start kube09"), "{inactive}");
        let unknown = named("kube01").unwrap_err().to_string();
        assert!(unknown.contains("kube02, kube09 (not active)"), "{unknown}");
    }
}
