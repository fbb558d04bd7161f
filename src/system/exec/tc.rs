//! The program tc(8) of iproute2.

use crate::Result;
use crate::{deadline::Deadline, exec::command::Program};

const TC: Program = Program {
    name: "tc",
    package: "iproute2",
};

/// Redirects ingress traffic of `from` into `to`, as if it had arrived there. The kernel deletes
/// the redirection with the interface `from`.
pub fn redirect_ingress(from: &str, to: &str, deadline: Deadline) -> Result<()> {
    let ingress = ["qdisc", "add", "dev", from, "ingress"];
    TC.run_checked(&ingress, "", deadline)?;
    let all = [
        "filter", "add", "dev", from, "parent", "ffff:", "protocol", "all", "prio", "1", "u32",
        "match", "u32", "0", "0", "action", "mirred", "ingress", "redirect", "dev", to,
    ];
    TC.run_checked(&all, "", deadline).map(drop)
}
