//! Docker. It sets the policy of `filter FORWARD` to DROP where it is the one to switch
//! `ip_forward` on (moby, daemon/libnetwork/drivers/bridge/setup_ip_forwarding.go), and calls
//! `DOCKER-USER`, which it leaves to the admin, before everything of its own.
//!
//! Older versions end that chain with a RETURN, so the gate goes before it: below what the
//! admin has put there.
//!
//! Its rules of nftables (since 29) are in tables `docker-bridges` and refuse what goes to a
//! container, which no packet of ours does; they have no policy for others.

use super::{
    Claim, Firewall, Spot,
    chains::{Chain, Chains},
};
use crate::names::{ChainName, Family};

const USERS: &str = "DOCKER-USER";

pub(super) struct Docker;

impl Firewall for Docker {
    fn owner(&self) -> &'static str {
        "docker"
    }

    fn inner(&self) -> Vec<ChainName> {
        let of = |family| ChainName::nft(family, "filter", USERS);
        vec![of(Family::Ip), of(Family::Ip6)]
    }

    fn claim(&self, base: &Chain, chains: &Chains) -> Option<Claim> {
        if base.name.table == "docker-bridges" {
            return Some(Claim::Passes);
        }
        base.first_jump(|chain| chain == USERS)?;
        let users = chains.get(&base.name.beside(USERS))?;
        Some(Claim::Gate(Spot::before(
            users,
            users.end().unwrap_or(users.length()),
        )))
    }

    fn gives_way(&self) -> bool {
        true
    }
}
