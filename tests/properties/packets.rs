//! Frames of guests that do not exist, and the sockets that play these guests.

use std::{net::Ipv4Addr, os::fd::OwnedFd};

use rustix::net::{
    self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType,
    addr::{SocketAddrArg, SocketAddrLen, SocketAddrOpaque},
    netdevice, sockopt,
};

use crate::host::Outcome;

pub(crate) type Mac = [u8; 6];

const ETHERTYPE_IPV4: [u8; 2] = [0x08, 0x00];
const IPPROTO_ICMP: u8 = 1;
const IPPROTO_UDP: u8 = 17;
const ICMP_ECHO_REPLY: u8 = 0;
const ICMP_ECHO: u8 = 8;
/// What the payload of each frame of ours begins with.
const MAGIC: [u8; 4] = *b"flow";
const ETHERNET: usize = 14;
const IPV4: usize = 20;
/// The header of UDP, and that of an ICMP echo.
const TRANSPORT: usize = 8;
/// No frame of a step may be lost because nobody reads for a while.
const RECEIVE_BUFFER: usize = 16 * 1024 * 1024;

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Udp { from: u16, to: u16 },
    Echo { identifier: u16 },
    EchoReply { identifier: u16 },
}

/// Which of our frames it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Tag {
    /// When it was sent.
    pub(crate) phase: u32,
    /// The place of its probe in the list of all.
    pub(crate) probe: u32,
}

/// From and to, on the wire and in IP.
pub(crate) struct Addresses {
    pub(crate) macs: (Mac, Mac),
    pub(crate) ips: (Ipv4Addr, Ipv4Addr),
}

pub(crate) fn frame(addresses: &Addresses, content: Content, tag: Tag) -> Vec<u8> {
    let payload = [
        &MAGIC[..],
        &tag.phase.to_be_bytes(),
        &tag.probe.to_be_bytes(),
    ]
    .concat();
    let (protocol, packet) = transport(content, &payload);
    let ip = ipv4(addresses.ips, protocol, packet.len());
    let (source, target) = addresses.macs;
    [
        &target[..],
        &source[..],
        &ETHERTYPE_IPV4[..],
        &ip[..],
        &packet[..],
    ]
    .concat()
}

fn transport(content: Content, payload: &[u8]) -> (u8, Vec<u8>) {
    let echo = |kind: u8, identifier: u16| {
        let packet = |sum: u16| {
            let words = [sum, identifier, 0].map(u16::to_be_bytes).concat();
            [&[kind, 0][..], &words, payload].concat()
        };
        (IPPROTO_ICMP, packet(checksum(&packet(0))))
    };
    match content {
        Content::Udp { from, to } => {
            let length = u16::try_from(TRANSPORT + payload.len()).unwrap_or(u16::MAX);
            // A checksum of 0 is none.
            let words = [from, to, length, 0].map(u16::to_be_bytes).concat();
            (IPPROTO_UDP, [&words, payload].concat())
        }
        Content::Echo { identifier } => echo(ICMP_ECHO, identifier),
        Content::EchoReply { identifier } => echo(ICMP_ECHO_REPLY, identifier),
    }
}

fn ipv4((source, target): (Ipv4Addr, Ipv4Addr), protocol: u8, length: usize) -> Vec<u8> {
    let length = u16::try_from(IPV4 + length).unwrap_or(u16::MAX);
    let header = |sum: u16| {
        [
            &[0x45, 0][..],
            &length.to_be_bytes(),
            // Identification, flags and offset; 64 hops.
            &[0, 0, 0, 0, 64, protocol],
            &sum.to_be_bytes(),
            &source.octets(),
            &target.octets(),
        ]
        .concat()
    };
    header(checksum(&header(0)))
}

/// RFC 1071, of an even number of bytes.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.as_chunks().0.iter().copied();
    let mut sum: u32 = words.map(|word| u32::from(u16::from_be_bytes(word))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or_default()
}

/// Nothing where the frame is none of ours.
pub(crate) fn read(frame: &[u8]) -> Option<Tag> {
    let is_ipv4 = frame.get(12..ETHERNET)? == ETHERTYPE_IPV4;
    let ip = frame.get(ETHERNET..)?;
    let packet = ip.get(IPV4..)?;
    let is_ours = match (*ip.get(9)?, *packet.first()?) {
        (IPPROTO_UDP, _) | (IPPROTO_ICMP, ICMP_ECHO | ICMP_ECHO_REPLY) => true,
        // An ICMP error has another packet in it.
        _ => false,
    };
    let payload = packet.get(TRANSPORT..)?;
    let number = |from: usize| {
        let bytes = payload.get(from..)?.first_chunk()?;
        Some(u32::from_be_bytes(*bytes))
    };
    (is_ipv4 && is_ours && payload.starts_with(&MAGIC)).then_some(Tag {
        phase: number(4)?,
        probe: number(8)?,
    })
}

/// One end of a cable.
pub(crate) struct Socket(OwnedFd);

impl Socket {
    pub(crate) fn on(interface: &str) -> Outcome<Self> {
        Self::open(interface).map_err(|why| format!("a packet socket on {interface}: {why}"))
    }

    fn open(interface: &str) -> rustix::io::Result<Self> {
        // Of no protocol before it is bound: it would get frames of all interfaces.
        let (family, kind) = (AddressFamily::PACKET, SocketType::RAW);
        let socket = net::socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
        sockopt::set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER)?;
        let index = netdevice::name_to_index(&socket, interface)?;
        net::bind(&socket, &LinkAddress::of(index))?;
        Ok(Self(socket))
    }

    /// It may be lost, as any frame.
    pub(crate) fn send(&self, frame: &[u8]) {
        let _ = net::send(&self.0, frame, SendFlags::DONTWAIT);
    }

    /// All of ours that have come.
    pub(crate) fn drain(&self, mut each: impl FnMut(Tag)) {
        let mut buffer = [0; 256];
        while let Ok((length, _)) = net::recv(&self.0, &mut buffer[..], RecvFlags::DONTWAIT) {
            if let Some(tag) = buffer.get(..length).and_then(read) {
                each(tag);
            }
        }
    }
}

/// `struct sockaddr_ll` (linux/if_packet.h).
struct LinkAddress([u8; 20]);

impl LinkAddress {
    /// All IPv4 of an interface.
    fn of(index: u32) -> Self {
        let mut bytes = [0; 20];
        let family = AddressFamily::PACKET.as_raw().to_ne_bytes();
        let fields = family.into_iter().chain(ETHERTYPE_IPV4);
        let fields = fields.chain(index.to_ne_bytes());
        for (byte, value) in bytes.iter_mut().zip(fields) {
            *byte = value;
        }
        Self(bytes)
    }
}

// SAFETY: the bytes are those of a `struct sockaddr_ll`, and there for the whole call.
#[allow(unsafe_code)]
unsafe impl SocketAddrArg for LinkAddress {
    unsafe fn with_sockaddr<R>(
        &self,
        f: impl FnOnce(*const SocketAddrOpaque, SocketAddrLen) -> R,
    ) -> R {
        f(self.0.as_ptr().cast(), 20)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_known_again_and_its_checksums_are_right() {
        let addresses = Addresses {
            macs: ([2; 6], [4; 6]),
            ips: (Ipv4Addr::new(10, 17, 1, 21), Ipv4Addr::new(192, 168, 0, 30)),
        };
        let tag = Tag {
            phase: 7,
            probe: 300,
        };
        for content in [
            Content::Udp {
                from: 20_000,
                to: 5000,
            },
            Content::Echo { identifier: 9 },
            Content::EchoReply { identifier: 9 },
        ] {
            let frame = frame(&addresses, content, tag);
            assert_eq!(read(&frame), Some(tag), "{content:?}");
            // With the right sum in it, the sum of all is 0.
            assert_eq!(checksum(&frame[ETHERNET..ETHERNET + IPV4]), 0);
            if !matches!(content, Content::Udp { .. }) {
                assert_eq!(checksum(&frame[ETHERNET + IPV4..]), 0);
            }
        }
        // What an ICMP error quotes has not arrived.
        let mut unreachable = frame(&addresses, Content::Echo { identifier: 9 }, tag);
        unreachable[ETHERNET + IPV4] = 3;
        assert_eq!(read(&unreachable), None);
    }
}
