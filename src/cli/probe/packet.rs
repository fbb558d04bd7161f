//! The sockets that send the packet and respond to it, in their namespaces.

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
use virt_forward_policy::Packet;

/// The longest wait for a reply.
const REPLY_TIMEOUT: Duration = Duration::from_millis(2500);
/// Sends again after the initial retransmission timeout of TCP (RFC 6298).
const RETRANSMIT: Duration = Duration::from_millis(1000);
const PAYLOAD: &[u8] = b"virt-forward check\n";

/// What the sender received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// A reply of the service.
    Received,
    /// A refusal, as the error of the socket.
    Refused(String),
    /// Nothing.
    None,
}

/// A bound socket, with the address that it sends to.
pub(super) struct ProbeSocket {
    socket: OwnedFd,
    packet: Packet,
    destination: SocketAddr,
}

impl ProbeSocket {
    /// Binds a socket in the namespace of the sender; `port` is the identifier of an echo request.
    pub(super) fn bind(
        packet: Packet,
        source: IpAddr,
        port: u16,
        destination: IpAddr,
    ) -> io::Result<Self> {
        let (kind, protocol, service) = match packet {
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
            destination: SocketAddr::new(destination, service),
        })
    }

    /// Sends the packet and waits for a reply.
    pub(super) fn send_and_wait(&self) -> Reply {
        let result = match self.packet {
            Packet::Tcp(_) => self.connect(),
            Packet::Udp(_) => self.exchange(PAYLOAD),
            Packet::Icmp => self.exchange(&self.echo_request()),
        };
        match result {
            Ok(true) => Reply::Received,
            Ok(false) => Reply::None,
            Err(error) => Reply::Refused(io::Error::from(error).to_string()),
        }
    }

    fn connect(&self) -> rustix::io::Result<bool> {
        // Closing sends a reset, so that no side keeps the connection.
        set_socket_linger(&self.socket, Some(Duration::ZERO))?;
        match connect(&self.socket, &self.destination) {
            Err(Errno::INPROGRESS) => {}
            other => return other.map(|()| true),
        }
        if !self.ready(PollFlags::OUT, REPLY_TIMEOUT)? {
            return Ok(false);
        }
        socket_error(&self.socket)?.map(|()| true)
    }

    fn exchange(&self, payload: &[u8]) -> rustix::io::Result<bool> {
        connect(&self.socket, &self.destination)?;
        let until = Instant::now() + REPLY_TIMEOUT;
        let mut buffer = [0; 64];
        loop {
            send(&self.socket, payload, SendFlags::empty())?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            if self.ready(PollFlags::IN, left.min(RETRANSMIT))? {
                recv(&self.socket, &mut buffer[..], RecvFlags::empty())?;
                return Ok(true);
            }
        }
    }

    /// The kernel fills in identifier and checksum.
    fn echo_request(&self) -> Vec<u8> {
        let kind = if self.destination.is_ipv4() { 8 } else { 128 };
        [&[kind, 0, 0, 0, 0, 0, 0, 1], PAYLOAD].concat()
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

/// The service at a temporary destination.
pub(super) enum Responder {
    /// The kernel accepts connections while the listener is open.
    Tcp(#[expect(dead_code, reason = "held open, not read")] TcpListener),
    Udp(UdpSocket),
    /// The kernel replies to echo requests.
    Icmp,
}

impl Responder {
    /// Binds the service in the namespace of the destination.
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

    /// Replies for as long as `is_wanted` returns true.
    pub(super) fn serve(&self, is_wanted: impl Fn() -> bool) {
        let Self::Udp(socket) = self else { return };
        let mut buffer = [0; 64];
        while is_wanted() {
            if let Ok((length, from)) = socket.recv_from(&mut buffer) {
                // A lost reply is requested again.
                let _ = socket.send_to(buffer.get(..length).unwrap_or_default(), from);
            }
        }
    }
}

/// Sends a TCP reset for a connection whose replies were intercepted; `acknowledged` is the
/// sequence number that the destination expects. Runs in the namespace of the sender.
pub(super) fn reset(
    source: SocketAddr,
    destination: SocketAddr,
    acknowledged: [u8; 4],
) -> io::Result<()> {
    let flags = SocketFlags::CLOEXEC;
    let protocol = Some(ipproto::TCP);
    let socket = socket_with(family(&source.ip()), SocketType::RAW, flags, protocol)?;
    bind(&socket, &SocketAddr::new(source.ip(), 0))?;
    connect(&socket, &SocketAddr::new(destination.ip(), 0))?;
    send(
        &socket,
        &reset_header(source, destination, acknowledged),
        SendFlags::empty(),
    )?;
    Ok(())
}

/// A TCP header with the flag RST (RFC 9293, 3.1).
fn reset_header(source: SocketAddr, destination: SocketAddr, sequence: [u8; 4]) -> Vec<u8> {
    let mut header = Vec::new();
    header.extend(source.port().to_be_bytes());
    header.extend(destination.port().to_be_bytes());
    header.extend(sequence);
    // No acknowledgement; five words long, RST; no window, checksum, urgent pointer.
    header.extend([0, 0, 0, 0, 0x50, 0x04, 0, 0]);
    let sum = checksum(source.ip(), destination.ip(), &header);
    header.extend(sum.to_be_bytes());
    header.extend([0, 0]);
    header
}

/// The checksum over the pseudo header and a TCP header whose checksum and urgent pointer are zero.
fn checksum(source: IpAddr, destination: IpAddr, header: &[u8]) -> u16 {
    let octets = |address: IpAddr| match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    const TCP: u8 = 6;
    const LENGTH: u8 = 20;
    let pseudo = [
        &octets(source)[..],
        &octets(destination),
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
    fn the_checksum_makes_the_header_sum_up_to_zero() {
        for (source, destination) in [
            ("192.168.0.30:61000", "10.17.4.21:443"),
            ("[fd00:1::30]:61001", "[fd00:4::21]:6443"),
        ] {
            let (source, destination): (SocketAddr, SocketAddr) =
                (source.parse().unwrap(), destination.parse().unwrap());
            let header = reset_header(source, destination, [1, 2, 0xfe, 0xff]);
            assert_eq!(header.len(), 20);
            assert_eq!(header[4..8], [1, 2, 0xfe, 0xff]);
            // The sum of all words, the right checksum among them, is all ones.
            assert_eq!(checksum(source.ip(), destination.ip(), &header), 0);
        }
    }
}
