//! Netlink requests: dumps of nf_tables, conntrack and rtnetlink objects, changes of set elements,
//! and deletion of connections (linux/netfilter/nfnetlink.h).
//!
//! The hook reads several chains at each event. Running nft or iptables for that costs as much as a
//! change does, so rules are read here. They are never changed here.

use std::{cell::RefCell, io, os::fd::OwnedFd};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, netlink,
        sockopt::{Timeout, set_socket_timeout},
    },
};

use crate::deadline::Deadline;
use crate::netlink::uapi::{
    NFNL_MSG_BATCH_BEGIN, NFNL_MSG_BATCH_END, NFNL_SUBSYS_NFTABLES, NLA_F_NESTED, NLA_TYPE_MASK,
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR,
    NLMSG_HDRLEN, SIZEOF_NFGENMSG,
};

/// The largest datagram of a dump, in bytes.
pub(crate) const RECV_BUFFER_SIZE: usize = 64 * 1024;

/// How often a dump is repeated that the kernel reports as inconsistent.
const TRIES: usize = 20;

thread_local! {
    /// A netfilter socket without an outstanding reply, kept for the next request of this thread:
    /// an event sends about twelve. A thread in another network namespace has its own.
    ///
    /// There is a second reason to keep it open. Closing such a socket after nf_tables objects were
    /// deleted blocks until no packet can see them any more, 5 to 20 ms
    /// (net/netfilter/nf_tables_api.c, `nft_rcv_nl_event`). While it is open, that time passes as
    /// the kernel handles the next requests.
    static IDLE_SOCKET: RefCell<Option<OwnedFd>> = const { RefCell::new(None) };
}

/// An object of a dump.
pub(crate) struct Object {
    /// `NFPROTO_*`
    pub(crate) family: u8,
    /// The message without its headers.
    pub(crate) attributes: Vec<u8>,
}

/// Dumps the nf_tables objects (`NFT_MSG_GET*` as `kind`) that have these attributes, of all
/// families if `family` is 0.
pub(crate) fn dump(
    kind: u8,
    family: u8,
    attributes: &[(u16, &str)],
    deadline: Deadline,
) -> io::Result<Vec<Object>> {
    dump_limited(kind, family, attributes, usize::MAX, deadline)
}

/// Like [`dump`], but stops reading once `limit` objects have arrived.
pub(crate) fn dump_limited(
    kind: u8,
    family: u8,
    attributes: &[(u16, &str)],
    limit: usize,
    deadline: Deadline,
) -> io::Result<Vec<Object>> {
    let texts = string_attrs(attributes);
    let request = request(NFNL_SUBSYS_NFTABLES, kind, family, NLM_F_DUMP, &texts);
    dump_consistent(&request, limit, deadline)
}

/// Dumps all objects of a family from another netfilter subsystem (`NFNL_SUBSYS_*`).
pub(crate) fn dump_subsystem(
    subsystem: u16,
    kind: u8,
    family: u8,
    deadline: Deadline,
) -> io::Result<Vec<Object>> {
    let request = request(subsystem, kind, family, NLM_F_DUMP, &[]);
    dump_consistent(&request, usize::MAX, deadline)
}

/// Sends these requests to a netfilter subsystem one by one and waits for each acknowledgement. A
/// missing object is not an error.
pub(crate) fn request_ack(
    subsystem: u16,
    kind: u8,
    requests: impl Iterator<Item = (u8, Vec<u8>)>,
    deadline: Deadline,
) -> io::Result<()> {
    for (family, attributes) in requests {
        let request = request(subsystem, kind, family, NLM_F_ACK, &attributes);
        match send_recv(&request, usize::MAX, deadline) {
            Err(why) if why.kind() == io::ErrorKind::NotFound => {}
            other => drop(other?),
        }
    }
    Ok(())
}

/// Applies these messages (`NFT_MSG_*` and attributes) to nf_tables as one transaction: all or
/// none.
pub(crate) fn transaction(
    family: u8,
    messages: impl Iterator<Item = (u8, Vec<u8>)>,
    deadline: Deadline,
) -> io::Result<()> {
    let mut batch = batch_marker(NFNL_MSG_BATCH_BEGIN);
    let mut messages = messages.peekable();
    while let Some((kind, attributes)) = messages.next() {
        // The kernel reports an error for any message, and before it acknowledges the last one.
        // It ignores NLM_F_CREATE in a message that deletes.
        let flags = match messages.peek() {
            Some(_) => NLM_F_CREATE,
            None => NLM_F_CREATE | NLM_F_ACK,
        };
        batch.extend(request(
            NFNL_SUBSYS_NFTABLES,
            kind,
            family,
            flags,
            &attributes,
        ));
    }
    batch.extend(batch_marker(NFNL_MSG_BATCH_END));
    send_recv(&batch, usize::MAX, deadline).map(drop)
}

/// The first or last message of a transaction. It carries the subsystem in the field that is unused
/// in the others.
fn batch_marker(kind: u16) -> Vec<u8> {
    let [high, low] = NFNL_SUBSYS_NFTABLES.to_be_bytes();
    message(kind, 0, [0, 0, high, low], &[])
}

fn dump_consistent(request: &[u8], limit: usize, deadline: Deadline) -> io::Result<Vec<Object>> {
    for _ in 0..TRIES {
        if let Some(objects) = send_recv(request, limit, deadline)? {
            return Ok(objects);
        }
    }
    Err(io::Error::other(
        "the kernel's objects kept changing while it listed them",
    ))
}

/// Sends one request and reads the reply; `None` if the kernel reports an inconsistent dump.
fn send_recv(request: &[u8], limit: usize, deadline: Deadline) -> io::Result<Option<Vec<Object>>> {
    let socket = match IDLE_SOCKET.take() {
        Some(socket) => with_timeout(socket, deadline)?,
        None => open(Some(netlink::NETFILTER), deadline)?,
    };
    let mut objects = Vec::new();
    let answer = exchange(&socket, request, &mut |message| {
        objects.push(message.object());
        objects.len() < limit
    })?;
    // The rest of an unfinished reply would be taken for the reply to the next request.
    if answer.is_done {
        IDLE_SOCKET.set(Some(socket));
    }
    Ok((!answer.is_interrupted).then_some(objects))
}

/// Dumps rtnetlink objects (`RTM_GET*` as `kind`) of a family, 0 for all, whose header has that
/// length. `each` gets each object with its header. An inconsistent dump is not repeated: a caller
/// that listens to changes reads again anyway.
pub(crate) fn dump_routing(
    kind: u16,
    family: u8,
    header: usize,
    deadline: Deadline,
    each: &mut dyn FnMut(&[u8]),
) -> io::Result<()> {
    let rest = vec![0; header.saturating_sub(SIZEOF_NFGENMSG)];
    let request = message(kind, NLM_F_DUMP, [family, 0, 0, 0], &rest);
    // rustix represents NETLINK_ROUTE, protocol 0, as `None`.
    let socket = open(None, deadline)?;
    exchange(&socket, &request, &mut |message| {
        each(message.body);
        true
    })?;
    Ok(())
}

/// A netlink socket whose reads time out at `deadline`.
fn open(protocol: Option<Protocol>, deadline: Deadline) -> io::Result<OwnedFd> {
    let socket = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        protocol,
    )?;
    with_timeout(socket, deadline)
}

fn with_timeout(socket: OwnedFd, deadline: Deadline) -> io::Result<OwnedFd> {
    // A timeout of zero means no timeout.
    let left = deadline.left().max(std::time::Duration::from_millis(1));
    set_socket_timeout(&socket, Timeout::Recv, Some(left))?;
    Ok(socket)
}

/// How a reply ended.
struct Answer {
    /// The dump is inconsistent (`NLM_F_DUMP_INTR`).
    is_interrupted: bool,
    /// The last message was received.
    is_done: bool,
}

/// Sends a request and reads the reply until `each` returns false.
fn exchange(
    socket: &OwnedFd,
    request: &[u8],
    each: &mut dyn FnMut(&Message<'_>) -> bool,
) -> io::Result<Answer> {
    rustix::net::send(socket, request, SendFlags::empty())?;
    let mut buffer = vec![0; RECV_BUFFER_SIZE];
    let mut answer = Answer {
        is_interrupted: false,
        is_done: false,
    };
    loop {
        let received = match rustix::net::recv(socket, &mut buffer[..], RecvFlags::empty()) {
            Ok((received, _)) => received,
            Err(Errno::INTR) => continue,
            Err(why) => return Err(why.into()),
        };
        let mut wants_more = true;
        for message in messages(buffer.get(..received).unwrap_or_default()) {
            answer.is_interrupted |= message.flags & NLM_F_DUMP_INTR != 0;
            match message.kind {
                NLMSG_DONE => answer.is_done = true,
                NLMSG_ERROR => match message.error() {
                    // The acknowledgement of a request other than a dump.
                    None => answer.is_done = true,
                    Some(why) => return Err(why),
                },
                _ => wants_more = each(&message),
            }
        }
        if answer.is_done || !wants_more {
            return Ok(answer);
        }
    }
}

/// Gets an object that always exists.
pub(crate) fn get(kind: u8, deadline: Deadline) -> io::Result<Object> {
    let request = request(NFNL_SUBSYS_NFTABLES, kind, 0, NLM_F_ACK, &[]);
    let objects = send_recv(&request, usize::MAX, deadline)?;
    let none = || io::Error::other("the kernel sent no object");
    objects.into_iter().flatten().next().ok_or_else(none)
}

fn request(subsystem: u16, kind: u8, family: u8, flags: u16, attributes: &[u8]) -> Vec<u8> {
    let kind = subsystem << 8 | u16::from(kind);
    message(kind, flags, [family, 0, 0, 0], attributes)
}

fn message(kind: u16, flags: u16, header: [u8; SIZEOF_NFGENMSG], attributes: &[u8]) -> Vec<u8> {
    let length = NLMSG_HDRLEN + SIZEOF_NFGENMSG + attributes.len();
    let mut message = Vec::new();
    message.extend((length as u32).to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend((NLM_F_REQUEST | flags).to_ne_bytes());
    message.extend([0; 8]);
    message.extend(header);
    message.extend(attributes);
    message
}

/// String attributes.
fn string_attrs(attributes: &[(u16, &str)]) -> Vec<u8> {
    let all = attributes.iter();
    all.flat_map(|(kind, value)| text(*kind, value)).collect()
}

/// A string attribute, with its NUL.
pub(crate) fn text(kind: u16, text: &str) -> Vec<u8> {
    attr(kind, &[text.as_bytes(), &[0]].concat())
}

/// A nested attribute.
pub(crate) fn nested(kind: u16, value: &[u8]) -> Vec<u8> {
    attr(kind | NLA_F_NESTED, value)
}

/// An attribute: length, type, value, and padding to a multiple of four bytes.
pub(crate) fn attr(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = 4 + value.len();
    let mut bytes = Vec::new();
    bytes.extend((length as u16).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(length.next_multiple_of(4), 0);
    bytes
}

pub(crate) struct Message<'a> {
    pub(crate) kind: u16,
    flags: u16,
    pub(crate) body: &'a [u8],
}

impl<'a> Message<'a> {
    pub(crate) fn object(&self) -> Object {
        Object {
            family: self.body.first().copied().unwrap_or_default(),
            attributes: self
                .body
                .get(SIZEOF_NFGENMSG..)
                .unwrap_or_default()
                .to_vec(),
        }
    }

    /// The body of an error message begins with the negated errno, or zero for an acknowledgement.
    fn error(&self) -> Option<io::Error> {
        let number = self
            .body
            .first_chunk()
            .map_or(0, |four| i32::from_ne_bytes(*four));
        (number != 0).then(|| io::Error::from_raw_os_error(number.saturating_neg()))
    }
}

/// The messages of a datagram; a truncated one at the end is left out.
pub(crate) fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let length = u32::from_ne_bytes(*bytes.first_chunk()?) as usize;
        let message = bytes.get(..length).filter(|_| length >= NLMSG_HDRLEN)?;
        let next = length.next_multiple_of(4).min(bytes.len());
        bytes = bytes.get(next..)?;
        Some(Message {
            kind: u16::from_ne_bytes(*message.get(4..)?.first_chunk()?),
            flags: u16::from_ne_bytes(*message.get(6..)?.first_chunk()?),
            body: message.get(NLMSG_HDRLEN..)?,
        })
    })
}

/// The attributes in `bytes` with their types; a truncated one at the end is left out.
pub(crate) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(*bytes.first_chunk()?));
        let kind = u16::from_ne_bytes(*bytes.get(2..)?.first_chunk()?) & NLA_TYPE_MASK;
        let value = bytes.get(4..length)?;
        let next = length.next_multiple_of(4).min(bytes.len());
        bytes = bytes.get(next..)?;
        Some((kind, value))
    })
}

/// The first attribute of that type.
pub(crate) fn attribute(bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    let mut all = attributes(bytes);
    all.find_map(|(kind, value)| (kind == wanted).then_some(value))
}

/// A 32-bit number in network byte order, which nf_tables uses nearly everywhere; 0 if truncated.
pub(crate) fn be32(bytes: &[u8]) -> u32 {
    bytes
        .first_chunk()
        .map_or(0, |four| u32::from_be_bytes(*four))
}

/// A 16-bit number in network byte order; 0 if truncated.
pub(crate) fn be16(bytes: &[u8]) -> u16 {
    bytes
        .first_chunk()
        .map_or(0, |two| u16::from_be_bytes(*two))
}

/// A 64-bit number in network byte order; 0 if truncated.
pub(crate) fn be64(bytes: &[u8]) -> u64 {
    bytes
        .first_chunk()
        .map_or(0, |eight| u64::from_be_bytes(*eight))
}

/// The string up to its NUL.
pub(crate) fn string(bytes: &[u8]) -> String {
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_that_lie_about_their_length_end_the_list() {
        let good = [8, 0, 3, 0x80, 1, 2, 3, 4, 5, 0, 1, 0, 9, 0, 0, 0];
        let all: Vec<_> = attributes(&good).collect();
        assert_eq!(all, [(3, &[1, 2, 3, 4][..]), (1, &[9][..])]);
        assert_eq!(string_attrs(&[(1, "abc"), (2, "abcd")]).len(), 8 + 12);
        assert_eq!(attribute(&nested(7, &good), 7), Some(&good[..]));
        for bad in [
            &[0, 0, 1, 0][..],
            &[3, 0, 1, 0],
            &[200, 0, 1, 0, 1],
            &[1],
            &[],
        ] {
            assert_eq!(attributes(bad).count(), 0, "{bad:?}");
        }
        assert_eq!(messages(&[16, 0, 0]).count(), 0);
        assert_eq!(messages(&[0; 32]).count(), 0);
        assert_eq!(messages(&[255; 32]).count(), 0);
    }
}
