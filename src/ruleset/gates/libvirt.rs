//! libvirt's own rules, with its iptables or its nftables backend. The rules in the kernel show the
//! backend, which may change when the daemon restarts, so every survey looks for both.
//!
//! iptables backend (all versions before 10.4, and Debian's default): three jumps in `filter FORWARD`,
//! to FWX, FWI and FWO, each inserted at the head once, if missing, and never moved
//! (src/network/network_iptables.c, `iptablesSetupPrivateChains`). libvirt inserts the rules of each
//! network at the head of those three chains, so a gate inside one of them would be shadowed by every
//! start of a network, and each move waits for an RCU grace period. Directly above the jumps it keeps
//! its position, and accepted packets never traverse libvirt's rules.
//!
//! nftables backend: the chain `forward` of `libvirt_network` has three jumps and does not change
//! (src/network/network_nftables.c, `nftablesSetupPrivateChains`). The gate is not in `guest_*`: libvirt
//! deletes rules there by handle, and inserts its rejects at the head.
//!
//! Filters of single guests (nwfilter) are iptables rules with either backend: `libvirt-in`,
//! `libvirt-out` and `libvirt-in-post`, which libvirt calls from the head of `filter FORWARD`, and
//! inserts there again when a guest with a filter starts. With br_netfilter they see packets within a
//! bridge; they refuse packets that one guest may not send, and still apply.

use super::{
    Firewall, Own, Owner, Placement, SHORTCUT_THRESHOLD, Survey,
    chain_model::{Chain, Chains, Rule},
};
use virt_forward_policy::netfilter::{ChainName, Family};

/// The chain with a rule per network that fills in checksums of DHCP replies, with the iptables backend
/// only (src/network/network_iptables.c, `iptablesAddOutputFixUdpChecksum`). Every packet that leaves
/// the host traverses all of them.
fn checksums() -> ChainName {
    ChainName::nft(Family::Ip, "mangle", "LIBVIRT_PRT")
}

pub(super) struct Libvirt;

impl Firewall for Libvirt {
    fn owner(&self) -> Owner {
        Owner::Libvirt
    }

    fn is_in(&self, base: &Chain) -> bool {
        base.jumps_to(|chain| self.own(&base.name.beside(chain)) == Some(Own::Refuses))
    }

    fn own(&self, name: &ChainName) -> Option<Own> {
        let of_guests = ["libvirt-in", "libvirt-out", "libvirt-in-post"];
        let chain = &*name.chain;
        match name.is_of_iptables() {
            true if chain.starts_with("LIBVIRT_") => Some(Own::Refuses),
            true if of_guests.contains(&chain) => Some(Own::Denies),
            false if name.table == "libvirt_network" && chain.starts_with("guest_") => {
                Some(Own::Refuses)
            }
            _ => None,
        }
    }

    fn heads(&self) -> Vec<ChainName> {
        vec![checksums()]
    }

    /// The verdict is `return`, so that other rules in `POSTROUTING` still apply. No marked packet is a
    /// DHCP reply to port 68 of a guest: the host sends those itself.
    fn shortcut(&self, chains: &Chains) -> Option<Placement> {
        let chain = chains.get(&checksums())?;
        let is_there = chain.rules.iter().any(Rule::is_ours);
        (is_there || chain.length() > SHORTCUT_THRESHOLD).then(|| Placement::shortcut(chain))
    }
}

/// Whether libvirt has no rules for that family. If it has active networks, the rules were flushed, and
/// libvirt cannot start a network until its daemon restarts: it creates its chains once
/// (src/network/bridge_driver_linux.c, `chainInitDone`).
pub fn are_libvirt_rules_missing(survey: &Survey, family: Family) -> bool {
    let mut sites = survey.sites.iter();
    !sites.any(|site| site.owner == Owner::Libvirt && site.base.family == family)
}
