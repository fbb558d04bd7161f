//! Docker. It sets the policy of `filter FORWARD` to DROP if it enabled `ip_forward` itself (moby,
//! daemon/libnetwork/drivers/bridge/setup_ip_forwarding.go). Its chains refuse only packets to a
//! container or between Docker networks, so the gate goes below all of them, before the policy. The
//! administrator's denials in `DOCKER-USER`, or in `FORWARD` before or after Docker's jumps, still
//! apply. Docker inserts its jumps at the head of `FORWARD`, again when it restarts, so a gate at the
//! end keeps its position.
//!
//! `DOCKER-USER` is the administrator's. If it refuses every packet itself, the gate goes there.
//!
//! Docker's nftables rules (since 29) are in tables `docker-bridges`. They refuse packets to containers
//! only, which marked packets are not, and have no policy for others.

use super::{Firewall, Own, Owner, chain_model::Chain};
use virt_forward_policy::netfilter::ChainName;

pub(super) struct Docker;

fn is_dockers(chain: &str) -> bool {
    chain == "DOCKER" || chain.starts_with("DOCKER-")
}

impl Firewall for Docker {
    fn owner(&self) -> Owner {
        Owner::Docker
    }

    fn is_in(&self, base: &Chain) -> bool {
        self.passes(base) || base.name.is_of_iptables() && base.jumps_to(is_dockers)
    }

    fn passes(&self, base: &Chain) -> bool {
        base.name.table == "docker-bridges"
    }

    fn own(&self, name: &ChainName) -> Option<Own> {
        let is_own = is_dockers(&name.chain) && name.chain != "DOCKER-USER";
        (is_own && name.is_of_iptables()).then_some(Own::Kept)
    }
}
