//! Interfaces that come, change and go, over rtnetlink.

use std::io;

use futures_util::StreamExt;
use rtnetlink::{
    MulticastGroup,
    packet_core::NetlinkPayload,
    packet_route::{
        RouteNetlinkMessage,
        link::{LinkAttribute, LinkMessage},
    },
};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// An interface.
pub(super) struct Link {
    pub(super) name: String,
    pub(super) is_gone: bool,
}

/// Tells of every change of an interface from now on. To be called within a runtime.
pub(super) fn follow() -> io::Result<UnboundedReceiver<Link>> {
    let (connection, _, mut messages) =
        rtnetlink::new_multicast_connection(&[MulticastGroup::Link])?;
    tokio::spawn(connection);
    let (sender, receiver) = unbounded_channel();
    tokio::spawn(async move {
        while let Some((message, _)) = messages.next().await {
            let NetlinkPayload::InnerMessage(message) = message.payload else {
                continue;
            };
            let (link, is_gone) = match message {
                RouteNetlinkMessage::NewLink(link) => (link, false),
                RouteNetlinkMessage::DelLink(link) => (link, true),
                _ => continue,
            };
            if let Some(name) = name(&link)
                && sender.send(Link { name, is_gone }).is_err()
            {
                break;
            }
        }
    });
    Ok(receiver)
}

fn name(link: &LinkMessage) -> Option<String> {
    let mut attributes = link.attributes.iter();
    attributes.find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name.clone()),
        _ => None,
    })
}
