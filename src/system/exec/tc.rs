//! The program tc(8), of iproute2.

use crate::Result;
use crate::{deadline::Deadline, exec::command::Program};

const TC: Program = Program {
    name: "tc",
    package: "iproute2",
};

/// What comes in by `from` is taken for what comes in by `to`. It ends with the interface `from`.
pub fn redirect_in(from: &str, to: &str, deadline: Deadline) -> Result<()> {
    let ingress = ["qdisc", "add", "dev", from, "ingress"];
    TC.demand(&ingress, "", deadline)?;
    let all = [
        "filter", "add", "dev", from, "parent", "ffff:", "protocol", "all", "prio", "1", "u32",
        "match", "u32", "0", "0", "action", "mirred", "ingress", "redirect", "dev", to,
    ];
    TC.demand(&all, "", deadline).map(drop)
}
