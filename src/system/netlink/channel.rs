//! A netlink socket that receives the kernel's notifications.
//!
//! The kernel queues a limited number of bytes for a socket. When the queue is full it drops what
//! comes next, reports ENOBUFS once, and then queues **nothing** until the reader has emptied the
//! queue (net/netlink/af_netlink.c, `NETLINK_S_CONGESTED`). A reader that stops at ENOBUFS and
//! waits for the next edge therefore waits forever.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd, RawFd},
};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, Protocol, RecvFlags, SocketFlags, SocketType, netlink,
        sockopt::{set_socket_recv_buffer_size, set_socket_recv_buffer_size_force},
    },
};

use crate::netlink::socket::RECV_BUFFER_SIZE;

/// The receive buffer in bytes, enough for some ten thousand rules. It uses memory only while
/// messages are queued.
const QUEUE: usize = 8 * 1024 * 1024;

/// Datagrams that one call takes at most, so that a storm of changes does not block the caller.
const AT_ONCE: usize = 512;

/// A socket, and whether the kernel has dropped something since the queue was empty.
#[derive(Debug)]
pub(crate) struct Channel {
    socket: OwnedFd,
    is_lossy: bool,
}

/// What a call of [`Channel::take`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// Datagrams; there may be more.
    Some,
    /// The queue is empty and the kernel had dropped datagrams; reported once per overrun.
    Lost,
    /// The queue is empty.
    Nothing,
}

impl Channel {
    /// Subscribes to `groups`.
    pub(crate) fn open(protocol: Option<Protocol>, groups: u32) -> io::Result<Self> {
        let socket = listen(protocol, groups)?;
        // Without CAP_NET_ADMIN the kernel limits it to net.core.rmem_max. A shorter queue only
        // overruns sooner.
        if set_socket_recv_buffer_size_force(&socket, QUEUE).is_err() {
            let _ = set_socket_recv_buffer_size(&socket, QUEUE);
        }
        Ok(Self {
            socket,
            is_lossy: false,
        })
    }

    /// Passes queued datagrams to `each` without waiting.
    pub(crate) fn take(&mut self, each: impl FnMut(&[u8])) -> io::Result<Taken> {
        let receive = |buffer: &mut [u8]| {
            let received = rustix::net::recv(&self.socket, buffer, RecvFlags::empty());
            received.map(|(received, _)| received)
        };
        take_from(receive, &mut self.is_lossy, each)
    }
}

fn take_from(
    mut receive: impl FnMut(&mut [u8]) -> Result<usize, Errno>,
    is_lossy: &mut bool,
    mut each: impl FnMut(&[u8]),
) -> io::Result<Taken> {
    let mut buffer = vec![0; RECV_BUFFER_SIZE];
    let mut datagrams = 0;
    while datagrams < AT_ONCE {
        match receive(&mut buffer) {
            Ok(received) => {
                each(buffer.get(..received).unwrap_or_default());
                datagrams += 1;
            }
            Err(Errno::INTR) => {}
            // The datagrams queued before are intact.
            Err(Errno::NOBUFS) => *is_lossy = true,
            Err(Errno::AGAIN) if datagrams > 0 => break,
            Err(Errno::AGAIN) if std::mem::take(is_lossy) => return Ok(Taken::Lost),
            Err(Errno::AGAIN) => return Ok(Taken::Nothing),
            Err(why) => return Err(why.into()),
        }
    }
    Ok(Taken::Some)
}

impl AsRawFd for Channel {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// A non-blocking socket in these multicast groups.
pub(crate) fn listen(protocol: Option<Protocol>, groups: u32) -> io::Result<OwnedFd> {
    let socket = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        protocol,
    )?;
    rustix::net::bind(&socket, &netlink::SocketAddrNetlink::new(0, groups))?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes until the queue is empty; the result of each call, and the number of datagrams.
    fn all(queue: &[Result<usize, Errno>]) -> (Vec<Taken>, usize) {
        let mut queue = queue.iter().copied();
        let mut receive = |_: &mut [u8]| queue.next().unwrap_or(Err(Errno::AGAIN));
        let (mut found, mut datagrams, mut is_lossy) = (Vec::new(), 0, false);
        loop {
            let taken = take_from(&mut receive, &mut is_lossy, |_| datagrams += 1).unwrap();
            found.push(taken);
            if taken == Taken::Nothing {
                return (found, datagrams);
            }
        }
    }

    #[test]
    fn an_overrun_is_told_once_when_the_queue_is_empty() {
        use Taken::{Lost, Nothing, Some};
        let lost = Err(Errno::NOBUFS);
        assert_eq!(all(&[]), (vec![Nothing], 0));
        assert_eq!(all(&[Ok(20), Ok(20)]), (vec![Some, Nothing], 2));
        assert_eq!(all(&[lost]), (vec![Lost, Nothing], 0));
        assert_eq!(all(&[lost, Ok(20), Ok(20)]), (vec![Some, Lost, Nothing], 2));
        assert_eq!(
            all(&[Ok(20), lost, Err(Errno::INTR), Ok(20), lost]),
            (vec![Some, Lost, Nothing], 2)
        );
    }

    #[test]
    fn a_storm_is_taken_in_parts_and_to_its_end() {
        let (found, datagrams) = all(&[Ok(20); 3 * AT_ONCE]);
        assert_eq!(datagrams, 3 * AT_ONCE);
        assert_eq!(found.len(), 4);
    }

    #[test]
    fn an_error_is_told() {
        let mut is_lossy = false;
        assert!(take_from(|_| Err(Errno::BADF), &mut is_lossy, |_| {}).is_err());
    }
}
