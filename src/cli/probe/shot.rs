//! The packet, sent from a namespace as any program would send it.

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpListener, UdpSocket},
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, connect, ipproto, recv,
        send, socket_with,
        sockopt::{set_socket_linger, socket_error},
    },
};
use serde::Serialize;
use virt_forward_policy::Packet;

/// Until nobody answers any more; TCP sends again after one second, and so do we.
const PATIENCE: Duration = Duration::from_millis(2500);
const AGAIN: Duration = Duration::from_millis(1000);
const TEXT: &[u8] = b"virt-forward check\n";

/// What the sender was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "answer", content = "error")]
pub(crate) enum Answer {
    /// The other end answered.
    Answered,
    /// Somebody said no, in the system's words.
    Refused(String),
    /// Nobody said anything.
    Silent,
}

/// A socket that is bound, and where it sends to.
pub(super) struct Shot {
    socket: OwnedFd,
    packet: Packet,
    target: SocketAddr,
}

impl Shot {
    /// To be made in the namespace that it is sent from. `port` is the number of a ping.
    pub(super) fn load(
        packet: Packet,
        source: IpAddr,
        port: u16,
        target: IpAddr,
    ) -> io::Result<Self> {
        let (kind, protocol, to) = match packet {
            Packet::Tcp(port) => (SocketType::STREAM, None, port),
            Packet::Udp(port) => (SocketType::DGRAM, None, port),
            Packet::Icmp if source.is_ipv4() => (SocketType::DGRAM, Some(ipproto::ICMP), 0),
            Packet::Icmp => (SocketType::DGRAM, Some(ipproto::ICMPV6), 0),
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(family(&source), kind, flags, protocol)?;
        bind(&socket, &SocketAddr::new(source, port))?;
        Ok(Self {
            socket,
            packet,
            target: SocketAddr::new(target, to),
        })
    }

    /// Sends it, and waits for what comes back.
    pub(super) fn fire(&self) -> io::Result<Answer> {
        let answer = match self.packet {
            Packet::Tcp(_) => self.connect(),
            Packet::Udp(_) => self.exchange(TEXT),
            Packet::Icmp => self.exchange(&self.ping()),
        };
        match answer {
            Ok(true) => Ok(Answer::Answered),
            Ok(false) => Ok(Answer::Silent),
            Err(why) => Ok(Answer::Refused(io::Error::from(why).to_string())),
        }
    }

    fn connect(&self) -> rustix::io::Result<bool> {
        // The end is a reset: nothing of the connection stays anywhere.
        set_socket_linger(&self.socket, Some(Duration::ZERO))?;
        match connect(&self.socket, &self.target) {
            Err(Errno::INPROGRESS) => {}
            other => return other.map(|()| true),
        }
        if !self.ready(PollFlags::OUT, PATIENCE)? {
            return Ok(false);
        }
        socket_error(&self.socket)?.map(|()| true)
    }

    fn exchange(&self, text: &[u8]) -> rustix::io::Result<bool> {
        connect(&self.socket, &self.target)?;
        let until = Instant::now() + PATIENCE;
        let mut buffer = [0; 64];
        loop {
            send(&self.socket, text, SendFlags::empty())?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            if self.ready(PollFlags::IN, left.min(AGAIN))? {
                recv(&self.socket, &mut buffer[..], RecvFlags::empty())?;
                return Ok(true);
            }
        }
    }

    /// Number and checksum are the kernel's to fill in.
    fn ping(&self) -> Vec<u8> {
        let echo_request = if self.target.is_ipv4() { 8 } else { 128 };
        [&[echo_request, 0, 0, 0, 0, 0, 0, 1], TEXT].concat()
    }

    fn ready(&self, what: PollFlags, time: Duration) -> rustix::io::Result<bool> {
        let until = Instant::now() + time;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let left = Timespec::try_from(left).unwrap_or_default();
            match poll(&mut [PollFd::new(&self.socket, what)], Some(&left)) {
                Err(Errno::INTR) => {}
                other => return other.map(|ready| ready > 0),
            }
        }
    }
}

fn family(address: &IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::INET,
        IpAddr::V6(_) => AddressFamily::INET6,
    }
}

/// Who answers at the other end, where that is ours.
pub(super) enum Target {
    /// The kernel says the rest.
    Tcp(#[expect(dead_code, reason = "it is held, not read")] TcpListener),
    Udp(UdpSocket),
    /// The kernel answers pings by itself.
    Icmp,
}

impl Target {
    /// To be made in its namespace.
    pub(super) fn new(packet: Packet, address: IpAddr) -> io::Result<Self> {
        match packet {
            Packet::Tcp(port) => TcpListener::bind((address, port)).map(Self::Tcp),
            Packet::Udp(port) => {
                let socket = UdpSocket::bind((address, port))?;
                socket.set_read_timeout(Some(Duration::from_millis(20)))?;
                Ok(Self::Udp(socket))
            }
            Packet::Icmp => Ok(Self::Icmp),
        }
    }

    /// Answers as long as it is asked to.
    pub(super) fn answer(&self, is_wanted: impl Fn() -> bool) {
        let Self::Udp(socket) = self else { return };
        let mut buffer = [0; 64];
        while is_wanted() {
            if let Ok((length, from)) = socket.recv_from(&mut buffer) {
                // Who does not get it asks again.
                let _ = socket.send_to(buffer.get(..length).unwrap_or_default(), from);
            }
        }
    }
}

/// Ends a connection whose answers never came back to the one who opened it: `acknowledged` is
/// the number that the other end waits for. To be sent from the namespace of the shot.
pub(super) fn reset(
    source: SocketAddr,
    target: SocketAddr,
    acknowledged: [u8; 4],
) -> io::Result<()> {
    let flags = SocketFlags::CLOEXEC;
    let protocol = Some(ipproto::TCP);
    let socket = socket_with(family(&source.ip()), SocketType::RAW, flags, protocol)?;
    bind(&socket, &SocketAddr::new(source.ip(), 0))?;
    connect(&socket, &SocketAddr::new(target.ip(), 0))?;
    send(
        &socket,
        &reset_header(source, target, acknowledged),
        SendFlags::empty(),
    )?;
    Ok(())
}

/// A header of TCP with the flag RST (RFC 9293, 3.1).
fn reset_header(source: SocketAddr, target: SocketAddr, sequence: [u8; 4]) -> Vec<u8> {
    let mut header = Vec::new();
    header.extend(source.port().to_be_bytes());
    header.extend(target.port().to_be_bytes());
    header.extend(sequence);
    // No acknowledgement; five words long, RST; no window, checksum, urgent pointer.
    header.extend([0, 0, 0, 0, 0x50, 0x04, 0, 0]);
    let sum = checksum(source.ip(), target.ip(), &header);
    header.extend(sum.to_be_bytes());
    header.extend([0, 0]);
    header
}

/// Over addresses, protocol, length and the header without its last two fields, which are zero.
fn checksum(source: IpAddr, target: IpAddr, header: &[u8]) -> u16 {
    let octets = |address: IpAddr| match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    const TCP: u8 = 6;
    const LENGTH: u8 = 20;
    let pseudo = [
        &octets(source)[..],
        &octets(target),
        &[0, TCP, 0, LENGTH],
        header,
    ]
    .concat();
    let words = pseudo.chunks(2).map(|two| match two {
        [high, low] => u32::from(u16::from_be_bytes([*high, *low])),
        _ => 0,
    });
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    !u16::try_from(folded).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_with_its_checksum_sums_up_to_nothing() {
        for (source, target) in [
            ("192.168.0.30:61000", "10.17.4.21:443"),
            ("[fd00:1::30]:61001", "[fd00:4::21]:6443"),
        ] {
            let (source, target): (SocketAddr, SocketAddr) =
                (source.parse().unwrap(), target.parse().unwrap());
            let header = reset_header(source, target, [1, 2, 0xfe, 0xff]);
            assert_eq!(header.len(), 20);
            assert_eq!(header[4..8], [1, 2, 0xfe, 0xff]);
            // The sum of all words with the right checksum among them is all ones.
            assert_eq!(checksum(source.ip(), target.ip(), &header), 0);
        }
    }
}
