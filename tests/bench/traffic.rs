//! Measures what passes between two network namespaces, for several pairs of them side by
//! side: each round goes through all pairs, metric by metric, and every second one backwards,
//! so that whatever else the machine does hits all of them alike.
//!
//! stdin has a line for each pair, `NAME CLIENT SERVER ADDRESS`: two files of namespaces, and
//! the server's address. Prints `NAME METRIC MEDIAN`, a line each.
//!
//! Both ends are sockets of this one thread: the kernel carries a packet all the way to the
//! other end before `send` returns, so no wake-up of another process is in any figure. Each is
//! that of the median step (a burst, a round trip, a connection, a megabyte).

use std::{
    error::Error,
    fs::File,
    io::{self, BufRead, ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::AsFd,
    thread,
    time::{Duration, Instant},
};

use rustix::{
    net::sockopt::set_socket_linger,
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// How long an answer is waited for: what is refused must not hang.
const PATIENCE: Duration = Duration::from_secs(5);
/// Datagrams on their way at once: fewer than a socket has room for.
const BURST: usize = 32;
/// What one `write` hands over, and how much of it is timed as one step.
const BULK: usize = 64 * 1024;
const BULK_STEP: usize = 16 * BULK;

const METRICS: [(&str, Measure); 4] = [
    // Datagrams of one byte, a second, one way.
    ("packets", packets),
    // Microseconds there and back.
    ("rtt", rtt),
    // New TCP connections a second, each ended by a reset.
    ("connections", connections),
    // Megabytes a second in one TCP connection.
    ("bulk", bulk),
];

type Measure = fn(&mut Pair, Duration) -> Outcome<f64>;

struct Pair {
    name: String,
    client: File,
    address: SocketAddr,
    listener: TcpListener,
    datagrams: [UdpSocket; 2],
    stream: [TcpStream; 2],
    figures: [Vec<f64>; METRICS.len()],
}

fn main() -> Outcome<()> {
    let mut args = std::env::args().skip(1);
    let mut number = || args.next()?.parse::<u32>().ok();
    let (Some(rounds), Some(milliseconds)) = (number(), number()) else {
        return Err("usage: traffic ROUNDS MILLISECONDS".into());
    };
    let slice = Duration::from_millis(milliseconds.into());
    let mut pairs = Vec::new();
    for line in io::stdin().lock().lines() {
        pairs.push(Pair::read(&line?)?);
    }
    for round in 0..rounds {
        for (metric, (name, measure)) in METRICS.iter().enumerate() {
            for pair in &mut pairs {
                let figure =
                    measure(pair, slice).map_err(|why| format!("{}, {name}: {why}", pair.name))?;
                if let Some(figures) = pair.figures.get_mut(metric) {
                    figures.push(figure);
                }
            }
        }
        if round + 1 < rounds {
            pairs.reverse();
        }
    }
    for pair in &mut pairs {
        for ((metric, _), figures) in METRICS.iter().zip(&mut pair.figures) {
            println!("{} {metric} {:.2}", pair.name, median(figures)?);
        }
    }
    Ok(())
}

impl Pair {
    fn read(line: &str) -> Outcome<Self> {
        let words: Vec<_> = line.split_whitespace().collect();
        let [name, client, server, address] = words[..] else {
            return Err(format!("not NAME CLIENT SERVER ADDRESS: {line}").into());
        };
        let (client, server) = (File::open(client)?, File::open(server)?);
        let here: SocketAddr = (Ipv4Addr::UNSPECIFIED, 0).into();
        enter(&server)?;
        let listener = TcpListener::bind((address.parse::<Ipv4Addr>()?, 0))?;
        let address = listener.local_addr()?;
        let served = UdpSocket::bind(address)?;
        enter(&client)?;
        let asking = UdpSocket::bind(here)?;
        asking.connect(address)?;
        let sending = TcpStream::connect_timeout(&address, PATIENCE)
            .map_err(|why| format!("{name}: {why}"))?;
        let (receiving, _) = listener.accept()?;
        for socket in [&asking, &served] {
            socket.set_read_timeout(Some(PATIENCE))?;
        }
        sending.set_nonblocking(true)?;
        receiving.set_nonblocking(true)?;
        Ok(Self {
            name: name.to_owned(),
            client,
            address,
            listener,
            datagrams: [asking, served],
            stream: [sending, receiving],
            figures: Default::default(),
        })
    }
}

/// New sockets are made there from now on.
fn enter(namespace: &File) -> Outcome<()> {
    let network = Some(LinkNameSpaceType::Network);
    Ok(move_into_link_name_space(namespace.as_fd(), network)?)
}

fn packets(pair: &mut Pair, slice: Duration) -> Outcome<f64> {
    let [client, server] = &pair.datagrams;
    let mut buffer = [0; 16];
    let step = median_step(slice, || {
        for _ in 0..BURST {
            client.send(b"?")?;
        }
        // Only what has come counts.
        for _ in 0..BURST {
            server.recv(&mut buffer)?;
        }
        Ok(())
    })?;
    Ok(BURST as f64 / step)
}

fn rtt(pair: &mut Pair, slice: Duration) -> Outcome<f64> {
    let [client, server] = &pair.datagrams;
    let mut buffer = [0; 16];
    let step = median_step(slice, || {
        client.send(b"?")?;
        let (_, from) = server.recv_from(&mut buffer)?;
        server.send_to(b"!", from)?;
        client.recv(&mut buffer)?;
        Ok(())
    })?;
    Ok(step * 1e6)
}

fn connections(pair: &mut Pair, slice: Duration) -> Outcome<f64> {
    enter(&pair.client)?;
    let step = median_step(slice, || {
        let client = TcpStream::connect(pair.address)?;
        let (server, _) = pair.listener.accept()?;
        // A reset leaves no port behind that cannot be used again.
        set_socket_linger(&client, Some(Duration::ZERO))?;
        drop(client);
        drop(server);
        Ok(())
    })?;
    Ok(step.recip())
}

fn bulk(pair: &mut Pair, slice: Duration) -> Outcome<f64> {
    let [client, server] = &mut pair.stream;
    let sent = vec![0; BULK];
    let mut received = vec![0; BULK];
    let step = median_step(slice, || {
        let start = Instant::now();
        let mut come = 0;
        while come < BULK_STEP {
            would_block(client.write(&sent))?;
            match would_block(server.read(&mut received))? {
                0 if start.elapsed() > PATIENCE => return Err(ErrorKind::TimedOut.into()),
                0 => thread::yield_now(),
                some => come += some,
            }
        }
        Ok(())
    })?;
    Ok(BULK_STEP as f64 / 1e6 / step)
}

fn would_block(outcome: io::Result<usize>) -> io::Result<usize> {
    match outcome {
        Err(why) if why.kind() == ErrorKind::WouldBlock => Ok(0),
        other => other,
    }
}

/// Does `step` until `slice` is over. The median of how many seconds it took: one in which
/// the processor was taken away for something else does not count.
fn median_step(slice: Duration, mut step: impl FnMut() -> io::Result<()>) -> Outcome<f64> {
    let start = Instant::now();
    let mut times = Vec::new();
    while start.elapsed() < slice {
        let before = Instant::now();
        step()?;
        times.push(before.elapsed().as_secs_f64());
    }
    median(&mut times)
}

fn median(figures: &mut [f64]) -> Outcome<f64> {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len().saturating_sub(1) / 2;
    Ok(figures.get(middle).copied().ok_or("nothing was measured")?)
}
