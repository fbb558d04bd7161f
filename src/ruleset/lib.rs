//! What the kernel has to hold for the policy, as values: our own nftables table, the gates in
//! other firewalls, sysctls and reverse paths. Nothing here reads or writes the kernel.
//!
//! * [`table`]: the table `inet virt_forward`, its chains, sets and elements;
//! * [`gates`]: a file for each firewall, and where in its chains our mark has to be accepted;
//! * [`routing`]: through which interfaces the host reaches an address, for the reverse path check;
//! * [`sysctls`]: which settings have to change, and when they go back.

pub mod gates;
pub mod routing;
pub mod sysctls;
pub mod table;

/// The comment on every rule that virt-forward puts into the chain of another program.
pub const COMMENT: &str = "virt-forward";
