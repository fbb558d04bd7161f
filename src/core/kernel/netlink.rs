//! nfnetlink, as far as asking for rules goes (linux/netfilter/nfnetlink.h).
//!
//! Running nft or iptables to look at a chain costs what a change costs, and the hook looks
//! at four chains each time; the kernel itself answers in some microseconds. Only reading is
//! done this way.

use std::io;

use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink,
        sockopt::{Timeout, set_socket_timeout},
    },
};

use super::deadline::Deadline;

const NLMSG_HEADER: usize = 16;
const NFGEN_HEADER: usize = 4;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_DUMP: u16 = 0x300;
/// The kernel's rules changed while it listed them.
const NLM_F_DUMP_INTR: u16 = 0x10;
const NFNL_SUBSYS_NFTABLES: u16 = 10;
/// High bits of an attribute's type are flags (linux/netlink.h, `NLA_TYPE_MASK`).
const TYPE_MASK: u16 = 0x3fff;

/// The kernel's largest message of a dump.
const BUFFER: usize = 64 * 1024;

/// How often a list that changed under way is asked for again.
const TRIES: usize = 20;

/// Asks for a list (`NFT_MSG_GET*`, as `kind`) of objects with these attributes; the
/// attributes of each object that there is, the headers taken off.
pub(super) fn dump(
    kind: u8,
    family: u8,
    attributes: &[(u16, &str)],
    deadline: Deadline,
) -> io::Result<Vec<Vec<u8>>> {
    let request = request(kind, family, attributes);
    for _ in 0..TRIES {
        if let Some(objects) = ask(&request, deadline)? {
            return Ok(objects);
        }
    }
    Err(io::Error::other("the rules change all the time"))
}

/// One try; nothing where the list changed under way.
fn ask(request: &[u8], deadline: Deadline) -> io::Result<Option<Vec<Vec<u8>>>> {
    let socket = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        Some(netlink::NETFILTER),
    )?;
    // A timeout of zero would mean none.
    let left = deadline.left().max(std::time::Duration::from_millis(1));
    set_socket_timeout(&socket, Timeout::Recv, Some(left))?;
    rustix::net::send(&socket, request, SendFlags::empty())?;
    let mut buffer = vec![0; BUFFER];
    let mut objects = Vec::new();
    let mut interrupted = false;
    loop {
        let received = match rustix::net::recv(&socket, &mut buffer[..], RecvFlags::empty()) {
            Ok((received, _)) => received,
            Err(Errno::INTR) => continue,
            Err(why) => return Err(why.into()),
        };
        for message in messages(buffer.get(..received).unwrap_or_default()) {
            interrupted |= message.flags & NLM_F_DUMP_INTR != 0;
            match message.kind {
                NLMSG_DONE => return Ok((!interrupted).then_some(objects)),
                NLMSG_ERROR => return Err(message.error()),
                _ => objects.push(message.object().to_vec()),
            }
        }
    }
}

fn request(kind: u8, family: u8, attributes: &[(u16, &str)]) -> Vec<u8> {
    let mut body = vec![family, 0, 0, 0];
    for (name, text) in attributes {
        // Length and type, the text with its NUL, and zeros up to a multiple of four.
        let length = 4 + text.len() + 1;
        body.extend((length as u16).to_ne_bytes());
        body.extend(name.to_ne_bytes());
        body.extend(text.as_bytes());
        body.resize(body.len() + 1 + (length.next_multiple_of(4) - length), 0);
    }
    let mut message = Vec::new();
    message.extend(((NLMSG_HEADER + body.len()) as u32).to_ne_bytes());
    message.extend((NFNL_SUBSYS_NFTABLES << 8 | u16::from(kind)).to_ne_bytes());
    message.extend((NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    message.extend([0; 8]);
    message.extend(body);
    message
}

struct Message<'a> {
    kind: u16,
    flags: u16,
    body: &'a [u8],
}

impl<'a> Message<'a> {
    fn object(&self) -> &'a [u8] {
        self.body.get(NFGEN_HEADER..).unwrap_or_default()
    }

    /// The body of an error is the negated number of the error.
    fn error(&self) -> io::Error {
        let number = self
            .body
            .first_chunk()
            .map_or(0, |four| i32::from_ne_bytes(*four));
        io::Error::from_raw_os_error(number.saturating_neg())
    }
}

fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let length = u32::from_ne_bytes(*bytes.first_chunk()?) as usize;
        let message = bytes.get(..length).filter(|_| length >= NLMSG_HEADER)?;
        let next = length.next_multiple_of(4).min(bytes.len());
        bytes = bytes.get(next..)?;
        Some(Message {
            kind: u16::from_ne_bytes(*message.get(4..)?.first_chunk()?),
            flags: u16::from_ne_bytes(*message.get(6..)?.first_chunk()?),
            body: message.get(NLMSG_HEADER..)?,
        })
    })
}

/// The attributes in `bytes`, each with its type; what is cut off at the end is left out.
pub(super) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(*bytes.first_chunk()?));
        let kind = u16::from_ne_bytes(*bytes.get(2..)?.first_chunk()?) & TYPE_MASK;
        let value = bytes.get(4..length)?;
        let next = length.next_multiple_of(4).min(bytes.len());
        bytes = bytes.get(next..)?;
        Some((kind, value))
    })
}

/// The first attribute of that type.
pub(super) fn attribute(bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    let mut all = attributes(bytes);
    all.find_map(|(kind, value)| (kind == wanted).then_some(value))
}

/// A text up to its NUL.
pub(super) fn string(bytes: &[u8]) -> String {
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
