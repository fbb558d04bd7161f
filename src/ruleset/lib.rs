//! The kernel state that carries out the policy, as values: the nftables table, the gates in other
//! firewalls, sysctls and reverse paths. Input: the policy of `virt-forward-policy`, and what the
//! kernel has now. Output: commands for nft and lists of changes. Nothing here reads or writes the
//! kernel.
//!
//! * [`table`]: the table `inet virt_forward`, its chains, sets and elements;
//! * [`gates`]: one file per firewall, and the place in its chains where marked packets are accepted;
//! * [`routing`]: the interfaces through which the host reaches an address, for the reverse path check;
//! * [`sysctls`]: the sysctls to set, and when to restore them.

pub mod gates;
pub mod routing;
pub mod sysctls;
pub mod table;

/// The comment on every rule that virt-forward inserts into a chain of another program.
pub const COMMENT: &str = "virt-forward";
