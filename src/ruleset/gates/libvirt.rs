//! libvirt's own rules, of either kind. Which kind is in use is seen in the kernel, and may
//! change when the daemon restarts; both are looked for on every run.
//!
//! iptables rules (all versions before 10.4, and Debian's by default): three jumps in
//! `filter FORWARD`, FWX, FWI and FWO, each put at the head once, when missing, and never
//! moved again (src/network/network_iptables.c, `iptablesSetupPrivateChains`). The rules of
//! each network go to the head of those three chains, so a rule of ours inside one of them
//! sinks with every start, and moving it up costs a wait for the kernel's readers. Right
//! above the jumps it stays where it is, and libvirt's rules are never walked for what it
//! accepts.
//!
//! nftables rules: the chain `forward` of `libvirt_network` holds three jumps and is left
//! alone from then on (src/network/network_nftables.c, `nftablesSetupPrivateChains`). Not in
//! `guest_*`: libvirt deletes there by handle number, and puts its rejects above ours.
//!
//! Filters of single guests (nwfilter) are iptables rules with either kind: `libvirt-in`,
//! `libvirt-out` and `libvirt-in-post`, which libvirt calls from the head of `filter FORWARD`, and
//! puts there again whenever a guest with a filter starts. They see what crosses a bridge with
//! br_netfilter, refuse what one guest may not say, and hold.

use super::{
    FEW, Firewall, Own, Owner, Spot, Survey,
    chain_model::{Chain, Chains, Rule},
};
use virt_forward_policy::netfilter::{ChainName, Family};

/// A rule that mends checksums of DHCP's answers for each network with DHCP, of iptables' kind only
/// (src/network/network_iptables.c, `iptablesAddOutputFixUdpChecksum`); every packet that
/// leaves the host walks them all.
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

    /// A return, as whatever else is in `POSTROUTING` is to have its say. What passes by the
    /// rules there is not for port 68 of a guest on the bridge: the host answers that itself.
    fn shortcut(&self, chains: &Chains) -> Option<Spot> {
        let chain = chains.get(&checksums())?;
        let is_there = chain.rules.iter().any(Rule::is_ours);
        (is_there || chain.length() > FEW).then(|| Spot::shortcut(chain))
    }
}

/// Whether libvirt's rules for that family are nowhere, though it has networks: then somebody
/// flushed them. It cannot start a network until its daemon restarts, as it does not make its
/// chains again before that (src/network/bridge_driver_linux.c, `chainInitDone`).
pub fn rules_are_gone(survey: &Survey, family: Family) -> bool {
    let mut sites = survey.sites.iter();
    !sites.any(|site| site.owner == Owner::Libvirt && site.base.family == family)
}
