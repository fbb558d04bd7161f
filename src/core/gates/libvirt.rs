//! libvirt's own rules, of either kind. Which kind is in use is seen in the kernel, and may
//! change when the daemon restarts; both are looked at on every run.
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

use super::{Depth, Place, Tool};
use crate::table::Family;

const OWNER: &str = "libvirt";

const IPTABLES: Place = Place {
    owner: OWNER,
    tool: Tool::Iptables,
    family: Family::Ip,
    table: "filter",
    chain: "FORWARD",
    depth: Depth::BeforeJumpTo(&["LIBVIRT_FWX", "LIBVIRT_FWI", "LIBVIRT_FWO"]),
};

const NFTABLES: Place = Place {
    owner: OWNER,
    tool: Tool::Nft,
    family: Family::Ip,
    table: "libvirt_network",
    chain: "forward",
    depth: Depth::BeforeJumpTo(&["guest_cross", "guest_input", "guest_output"]),
};

pub(super) const PLACES: [Place; 4] = [
    IPTABLES,
    Place {
        family: Family::Ip6,
        ..IPTABLES
    },
    NFTABLES,
    Place {
        family: Family::Ip6,
        ..NFTABLES
    },
];
