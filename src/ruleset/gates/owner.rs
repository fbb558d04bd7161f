//! The firewalls that chains belong to.

use std::fmt;

/// The firewall, or the person, that a chain with a gate belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// A chain that `extra` of `[gates]` names: the administrator's own.
    Admin,
    /// Docker.
    Docker,
    /// firewalld.
    Firewalld,
    /// A table of iptables that no other owner here claims.
    Iptables,
    /// libvirt, with rules of iptables or of nftables.
    Libvirt,
    /// ufw.
    Ufw,
}

impl Owner {
    /// The name in messages and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Owner::Admin => "admin",
            Owner::Docker => "docker",
            Owner::Firewalld => "firewalld",
            Owner::Iptables => "iptables",
            Owner::Libvirt => "libvirt",
            Owner::Ufw => "ufw",
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
