//! The program nft(8).

use super::{deadline::Deadline, program::Program};
use crate::{Error, Result, names::TableName, table::Batch};

const NFT: Program = Program {
    name: "nft",
    package: "nftables",
};

/// Carries out `batch`, all of it or nothing.
pub fn apply(batch: &Batch, deadline: Deadline) -> Result<()> {
    if batch.is_empty() {
        return Ok(());
    }
    let json = batch.to_json().map_err(|why| Error::Failed {
        what: "making the rules' JSON".to_owned(),
        stderr: why.to_string(),
    })?;
    NFT.demand(&["-j", "-f", "-"], &json, deadline).map(drop)
}

/// The text of `table`, without what counters have counted; `None` where it is not there.
pub fn list(table: TableName<'_>, deadline: Deadline) -> Result<Option<String>> {
    let args = ["-s", "list", "table", table.family.word(), table.name];
    match NFT.demand(&args, "", deadline) {
        Ok(text) => Ok(Some(text)),
        Err(Error::Failed { stderr, .. }) if stderr.contains("No such file or directory") => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Whether nft runs at all, and may speak to the kernel.
pub fn check(deadline: Deadline) -> Result<()> {
    NFT.demand(&["list", "tables"], "", deadline).map(drop)
}
