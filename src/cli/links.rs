//! Bridges as the kernel has them, over rtnetlink.

use std::collections::HashMap;

use anyhow::{Context, Result};
use futures_util::TryStreamExt;
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags};

/// Every interface by name, with whether it is up.
pub(crate) fn up() -> Result<HashMap<String, bool>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(ask()).context("cannot list interfaces")
}

async fn ask() -> Result<HashMap<String, bool>> {
    let (connection, handle, _) = rtnetlink::new_connection()?;
    tokio::spawn(connection);
    let mut links = handle.link().get().execute();
    let mut up = HashMap::new();
    while let Some(link) = links.try_next().await? {
        let name = link
            .attributes
            .iter()
            .find_map(|attribute| match attribute {
                LinkAttribute::IfName(name) => Some(name.clone()),
                _ => None,
            });
        if let Some(name) = name {
            up.insert(name, link.header.flags.contains(LinkFlags::Up));
        }
    }
    Ok(up)
}
