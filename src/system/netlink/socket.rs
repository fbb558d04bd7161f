//! nfnetlink, as far as asking for rules, changing elements of sets and forgetting a connection go
//! (linux/netfilter/nfnetlink.h).
//!
//! Running nft or iptables to look at a chain costs what a change costs, and the hook looks
//! at several chains each time. Rules are only read this way, never changed.

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

/// The kernel's largest message of a dump.
pub(crate) const BUFFER: usize = 64 * 1024;

/// How often a list that changed under way is asked for again.
const TRIES: usize = 20;

thread_local! {
    /// A socket for netfilter on which no answer is outstanding, for the next request of this
    /// thread: an event sends a dozen. A thread that works in another network namespace makes its
    /// own.
    ///
    /// It stays open for a second reason. Whoever closes such a socket after something was taken
    /// out of nftables waits until no packet can see it any more, 5 to 20 ms
    /// (net/netfilter/nf_tables_api.c, `nft_rcv_nl_event`). While it is open, that time passes as
    /// the next requests are answered.
    static IDLE: RefCell<Option<OwnedFd>> = const { RefCell::new(None) };
}

/// One thing of a list.
pub(crate) struct Object {
    /// `NFPROTO_*`
    pub(crate) family: u8,
    /// The headers taken off.
    pub(crate) attributes: Vec<u8>,
}

/// Asks for a list (`NFT_MSG_GET*`, as `kind`) of objects with these attributes, of all
/// families where `family` is 0.
pub(crate) fn dump(
    kind: u8,
    family: u8,
    attributes: &[(u16, &str)],
    deadline: Deadline,
) -> io::Result<Vec<Object>> {
    head(kind, family, attributes, usize::MAX, deadline)
}

/// As [`dump`], of a list that may be long: once there are `limit` objects, the rest is not
/// waited for.
pub(crate) fn head(
    kind: u8,
    family: u8,
    attributes: &[(u16, &str)],
    limit: usize,
    deadline: Deadline,
) -> io::Result<Vec<Object>> {
    let texts = texts(attributes);
    let request = request(NFNL_SUBSYS_NFTABLES, kind, family, NLM_F_DUMP, &texts);
    settled(&request, limit, deadline)
}

/// Asks another part of netfilter for all that it has of a family.
pub(crate) fn dump_of(
    subsystem: u16,
    kind: u8,
    family: u8,
    deadline: Deadline,
) -> io::Result<Vec<Object>> {
    let request = request(subsystem, kind, family, NLM_F_DUMP, &[]);
    settled(&request, usize::MAX, deadline)
}

/// Makes another part of netfilter carry out these requests, one after the other. An object that
/// is not there is none of the errors.
pub(crate) fn order(
    subsystem: u16,
    kind: u8,
    requests: impl Iterator<Item = (u8, Vec<u8>)>,
    deadline: Deadline,
) -> io::Result<()> {
    for (family, attributes) in requests {
        let request = request(subsystem, kind, family, NLM_F_ACK, &attributes);
        match ask(&request, usize::MAX, deadline) {
            Err(why) if why.kind() == io::ErrorKind::NotFound => {}
            other => drop(other?),
        }
    }
    Ok(())
}

/// Changes nf_tables' objects of a family by these messages (`NFT_MSG_*`, each with its
/// attributes): all of them, or none.
pub(crate) fn transaction(
    family: u8,
    messages: impl Iterator<Item = (u8, Vec<u8>)>,
    deadline: Deadline,
) -> io::Result<()> {
    let mut batch = bracket(NFNL_MSG_BATCH_BEGIN);
    let mut messages = messages.peekable();
    while let Some((kind, attributes)) = messages.next() {
        // What fails is told in any case, and before the last one is. To a message that deletes
        // NLM_F_CREATE says nothing.
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
    batch.extend(bracket(NFNL_MSG_BATCH_END));
    ask(&batch, usize::MAX, deadline).map(drop)
}

/// The first or the last message of a transaction, which names the part of netfilter where the
/// others have nothing.
fn bracket(kind: u16) -> Vec<u8> {
    let [high, low] = NFNL_SUBSYS_NFTABLES.to_be_bytes();
    message(kind, 0, [0, 0, high, low], &[])
}

fn settled(request: &[u8], limit: usize, deadline: Deadline) -> io::Result<Vec<Object>> {
    for _ in 0..TRIES {
        if let Some(objects) = ask(request, limit, deadline)? {
            return Ok(objects);
        }
    }
    Err(io::Error::other("it changes all the time"))
}

/// One try; nothing where the list changed under way.
fn ask(request: &[u8], limit: usize, deadline: Deadline) -> io::Result<Option<Vec<Object>>> {
    let socket = match IDLE.take() {
        Some(socket) => within(socket, deadline)?,
        None => open(Some(netlink::NETFILTER), deadline)?,
    };
    let mut objects = Vec::new();
    let answer = exchange(&socket, request, &mut |message| {
        objects.push(message.object());
        objects.len() < limit
    })?;
    // The rest of an answer would be taken for the answer to the next request.
    if answer.is_over {
        IDLE.set(Some(socket));
    }
    Ok((!answer.is_changed).then_some(objects))
}

/// Asks rtnetlink for a list (`RTM_GET*`, as `kind`) of a family, 0 for all, with a header of that
/// length; each object of the answer, with its header. One that changed under way is as good as
/// any: who listens to changes looks again.
pub(crate) fn dump_routing(
    kind: u16,
    family: u8,
    header: usize,
    deadline: Deadline,
    each: &mut dyn FnMut(&[u8]),
) -> io::Result<()> {
    let rest = vec![0; header.saturating_sub(SIZEOF_NFGENMSG)];
    let request = message(kind, NLM_F_DUMP, [family, 0, 0, 0], &rest);
    // Its number is 0, which the crate writes as none.
    let socket = open(None, deadline)?;
    exchange(&socket, &request, &mut |message| {
        each(message.body);
        true
    })?;
    Ok(())
}

/// A socket for a part of netlink that waits for an answer until `deadline` at most.
fn open(protocol: Option<Protocol>, deadline: Deadline) -> io::Result<OwnedFd> {
    let socket = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        protocol,
    )?;
    within(socket, deadline)
}

fn within(socket: OwnedFd, deadline: Deadline) -> io::Result<OwnedFd> {
    // A timeout of zero would mean none.
    let left = deadline.left().max(std::time::Duration::from_millis(1));
    set_socket_timeout(&socket, Timeout::Recv, Some(left))?;
    Ok(socket)
}

/// How an answer ended.
struct Answer {
    /// What it lists changed under way.
    is_changed: bool,
    /// Its last message came.
    is_over: bool,
}

/// Sends a request and takes what comes, until `each` has enough.
fn exchange(
    socket: &OwnedFd,
    request: &[u8],
    each: &mut dyn FnMut(&Message<'_>) -> bool,
) -> io::Result<Answer> {
    rustix::net::send(socket, request, SendFlags::empty())?;
    let mut buffer = vec![0; BUFFER];
    let mut answer = Answer {
        is_changed: false,
        is_over: false,
    };
    loop {
        let received = match rustix::net::recv(socket, &mut buffer[..], RecvFlags::empty()) {
            Ok((received, _)) => received,
            Err(Errno::INTR) => continue,
            Err(why) => return Err(why.into()),
        };
        let mut wants_more = true;
        for message in messages(buffer.get(..received).unwrap_or_default()) {
            answer.is_changed |= message.flags & NLM_F_DUMP_INTR != 0;
            match message.kind {
                NLMSG_DONE => answer.is_over = true,
                NLMSG_ERROR => match message.error() {
                    // The acknowledgement of what was no dump.
                    None => answer.is_over = true,
                    Some(why) => return Err(why),
                },
                _ => wants_more = each(&message),
            }
        }
        if answer.is_over || !wants_more {
            return Ok(answer);
        }
    }
}

/// Asks for one thing, which there always is.
pub(crate) fn get(kind: u8, deadline: Deadline) -> io::Result<Object> {
    let request = request(NFNL_SUBSYS_NFTABLES, kind, 0, NLM_F_ACK, &[]);
    let objects = ask(&request, usize::MAX, deadline)?;
    let none = || io::Error::other("the kernel gave no answer");
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

/// Attributes that are texts.
fn texts(attributes: &[(u16, &str)]) -> Vec<u8> {
    let all = attributes.iter();
    all.flat_map(|(kind, value)| text(*kind, value)).collect()
}

/// A text, with its NUL.
pub(crate) fn text(kind: u16, text: &str) -> Vec<u8> {
    written(kind, &[text.as_bytes(), &[0]].concat())
}

/// An attribute with others in it.
pub(crate) fn nested(kind: u16, value: &[u8]) -> Vec<u8> {
    written(kind | NLA_F_NESTED, value)
}

/// An attribute: length and type, the value, and zeros up to a multiple of four.
pub(crate) fn written(kind: u16, value: &[u8]) -> Vec<u8> {
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

    /// The body of an error is the negated number of the error, or zero.
    fn error(&self) -> Option<io::Error> {
        let number = self
            .body
            .first_chunk()
            .map_or(0, |four| i32::from_ne_bytes(*four));
        (number != 0).then(|| io::Error::from_raw_os_error(number.saturating_neg()))
    }
}

/// What came in one read; what is cut off at the end is left out.
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

/// The attributes in `bytes`, each with its type; what is cut off at the end is left out.
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

/// A number of 32 bits in network order, as nf_tables has nearly all; 0 where it is cut off.
pub(crate) fn be32(bytes: &[u8]) -> u32 {
    bytes
        .first_chunk()
        .map_or(0, |four| u32::from_be_bytes(*four))
}

/// As [`be32`], of 16 bits.
pub(crate) fn be16(bytes: &[u8]) -> u16 {
    bytes
        .first_chunk()
        .map_or(0, |two| u16::from_be_bytes(*two))
}

/// As [`be32`], of 64 bits.
pub(crate) fn be64(bytes: &[u8]) -> u64 {
    bytes
        .first_chunk()
        .map_or(0, |eight| u64::from_be_bytes(*eight))
}

/// A text up to its NUL.
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
        assert_eq!(texts(&[(1, "abc"), (2, "abcd")]).len(), 8 + 12);
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
