//! What the test lab asks the network with: servers that say whom they saw, and clients that ask them.
//!
//! Never shipped. One small binary, so that a namespace with no Python, no netcat and no syslog daemon can be tested.

use std::{
    env,
    ffi::OsString,
    fmt,
    fs::{self, OpenOptions},
    io::{self, Read, Write},
    net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::unix::net::UnixDatagram,
    process::ExitCode,
    str::FromStr,
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with, sockopt},
};

const USAGE: &str = "\
usage: virt-forward-probe serve PORT [--bind ADDR]
       virt-forward-probe tcp ADDR PORT [--bind SRC] [--timeout-ms N]
       virt-forward-probe udp ADDR PORT [--bind SRC] [--timeout-ms N]
       virt-forward-probe udp-rtt ADDR PORT [--count N] [--warmup N] [--timeout-ms N]
       virt-forward-probe syslog-sink FILE [--socket PATH]

serve answers every connection and datagram with one line: the address it came from.
tcp and udp print that line. Exit: 0 answered, 3 refused, 4 no answer, 1 anything else.";

/// Rounds of `udp-rtt` at most: a probe ends by itself.
const MOST_ROUNDS: usize = 1_000_000;

/// Why a probe got no answer.
enum Failure {
    /// Somebody said no: a TCP reset, or an ICMP error.
    Refused(io::Error),
    /// Nobody said anything.
    TimedOut,
    Other(String),
}

impl Failure {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Refused(_) => 3,
            Self::TimedOut => 4,
            Self::Other(_) => 1,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) => write!(f, "refused: {why}"),
            Self::TimedOut => f.write_str("no answer"),
            Self::Other(what) => f.write_str(what),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error().map(Errno::from_raw_os_error) {
            // EACCES is how Linux tells of ICMPv6 "administratively prohibited". ENETUNREACH is not here: it is what a
            // missing route on this very machine looks like, and that would be the test's own fault.
            Some(Errno::CONNREFUSED | Errno::CONNRESET | Errno::HOSTUNREACH | Errno::ACCESS) => {
                Self::Refused(error)
            }
            Some(Errno::AGAIN | Errno::TIMEDOUT | Errno::INPROGRESS) => Self::TimedOut,
            _ => Self::Other(error.to_string()),
        }
    }
}

impl From<Errno> for Failure {
    fn from(error: Errno) -> Self {
        io::Error::from(error).into()
    }
}

fn main() -> ExitCode {
    match run(env::args_os().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

fn run(args: impl Iterator<Item = OsString>) -> Result<(), Failure> {
    let mut args = Args::read(args)?;
    match args.word("command")?.as_str() {
        "serve" => serve(args.parse("port")?, args.option("--bind")?),
        "tcp" => println_of(ask_tcp(&Target::read(&mut args)?)?),
        "udp" => println_of(ask_udp(&Target::read(&mut args)?)?),
        "udp-rtt" => udp_rtt(&mut args),
        "syslog-sink" => syslog_sink(&mut args),
        _ => Err(usage()),
    }
}

fn println_of(answer: String) -> Result<(), Failure> {
    println!("{answer}");
    Ok(())
}

fn usage() -> Failure {
    Failure::Other(USAGE.to_owned())
}

/// The command line: words in order, and `--name value` anywhere.
struct Args {
    words: std::vec::IntoIter<String>,
    options: Vec<(String, String)>,
}

impl Args {
    fn read(mut args: impl Iterator<Item = OsString>) -> Result<Self, Failure> {
        let (mut words, mut options) = (Vec::new(), Vec::new());
        while let Some(arg) = args.next() {
            let arg = arg.into_string().map_err(|_| usage())?;
            if arg.starts_with("--") {
                let value = args
                    .next()
                    .and_then(|value| value.into_string().ok())
                    .ok_or_else(usage)?;
                options.push((arg, value));
            } else {
                words.push(arg);
            }
        }
        Ok(Self {
            words: words.into_iter(),
            options,
        })
    }

    fn word(&mut self, what: &str) -> Result<String, Failure> {
        self.words
            .next()
            .ok_or_else(|| Failure::Other(format!("{what} is missing\n{USAGE}")))
    }

    fn parse<T: FromStr>(&mut self, what: &str) -> Result<T, Failure> {
        let word = self.word(what)?;
        word.parse()
            .map_err(|_| Failure::Other(format!("{word}: not a {what}")))
    }

    fn option<T: FromStr>(&self, name: &str) -> Result<Option<T>, Failure> {
        let Some((_, value)) = self.options.iter().find(|(given, _)| given == name) else {
            return Ok(None);
        };
        value
            .parse()
            .map(Some)
            .map_err(|_| Failure::Other(format!("{name} {value}: cannot be read")))
    }
}

/// Whom to ask, from where, and how long to wait.
struct Target {
    server: SocketAddr,
    source: SocketAddr,
    timeout: Duration,
}

impl Target {
    fn read(args: &mut Args) -> Result<Self, Failure> {
        let server = SocketAddr::new(args.parse("address")?, args.parse("port")?);
        let unspecified = if server.is_ipv4() {
            IpAddr::from([0, 0, 0, 0])
        } else {
            Ipv6Addr::UNSPECIFIED.into()
        };
        let source = SocketAddr::new(args.option("--bind")?.unwrap_or(unspecified), 0);
        let timeout = Duration::from_millis(args.option("--timeout-ms")?.unwrap_or(2000));
        Ok(Self {
            server,
            source,
            timeout,
        })
    }
}

/// Answers until killed, on TCP and UDP, IPv4 and IPv6.
fn serve(port: u16, address: Option<IpAddr>) -> Result<(), Failure> {
    // Linux gives IPv4 callers to a socket on [::] too, as v4-mapped addresses.
    let listen = SocketAddr::new(address.unwrap_or(Ipv6Addr::UNSPECIFIED.into()), port);
    let datagrams = UdpSocket::bind(listen)?;
    let connections = TcpListener::bind(listen)?;
    thread::spawn(move || serve_datagrams(&datagrams));
    loop {
        // One caller that goes away must not end the server.
        if let Ok((mut connection, peer)) = connections.accept() {
            let _ = connection.write_all(line(peer).as_bytes());
        }
    }
}

fn serve_datagrams(socket: &UdpSocket) {
    let mut buffer = [0; 2048];
    loop {
        if let Ok((_, peer)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(line(peer).as_bytes(), peer);
        }
    }
}

fn line(peer: SocketAddr) -> String {
    format!("{}\n", peer.ip().to_canonical())
}

fn ask_tcp(target: &Target) -> Result<String, Failure> {
    let mut stream = connect_from(target)?;
    stream.set_read_timeout(Some(target.timeout))?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.trim().to_owned())
}

/// `TcpStream::connect` cannot choose a source address, so this is done by hand.
fn connect_from(target: &Target) -> Result<TcpStream, Failure> {
    let family = if target.server.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let socket = socket_with(
        family,
        SocketType::STREAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )?;
    bind(&socket, &target.source)?;
    match connect(&socket, &target.server) {
        Ok(()) => {}
        Err(Errno::INPROGRESS) => {
            let wait = Timespec::try_from(target.timeout).map_err(|_| usage())?;
            if poll(&mut [PollFd::new(&socket, PollFlags::OUT)], Some(&wait))? == 0 {
                return Err(Failure::TimedOut);
            }
            sockopt::socket_error(&socket)??;
        }
        Err(error) => return Err(error.into()),
    }
    let stream = TcpStream::from(socket);
    stream.set_nonblocking(false)?;
    Ok(stream)
}

/// A connected socket, so that an ICMP error comes back as ECONNREFUSED.
fn udp_to(target: &Target) -> Result<UdpSocket, Failure> {
    let socket = UdpSocket::bind(target.source)?;
    socket.connect(target.server)?;
    socket.set_read_timeout(Some(target.timeout))?;
    Ok(socket)
}

fn ask_udp(target: &Target) -> Result<String, Failure> {
    let socket = udp_to(target)?;
    socket.send(b"?")?;
    let mut buffer = [0; 256];
    let length = socket.recv(&mut buffer)?;
    Ok(
        String::from_utf8_lossy(buffer.get(..length).unwrap_or_default())
            .trim()
            .to_owned(),
    )
}

fn udp_rtt(args: &mut Args) -> Result<(), Failure> {
    let target = Target::read(args)?;
    let count = args
        .option("--count")?
        .unwrap_or(1000_usize)
        .clamp(1, MOST_ROUNDS);
    let warmup = args
        .option("--warmup")?
        .unwrap_or(100_usize)
        .min(MOST_ROUNDS);
    let socket = udp_to(&target)?;
    for _ in 0..warmup {
        round_trip(&socket)?;
    }
    let mut micros = (0..count)
        .map(|_| round_trip(&socket))
        .collect::<Result<Vec<f64>, Failure>>()?;
    micros.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let index = (share * (count - 1) as f64).round() as usize;
        micros.get(index).copied().unwrap_or(f64::NAN)
    };
    let mean = micros.iter().sum::<f64>() / count as f64;
    println!(
        r#"{{"count":{count},"min":{:.1},"median":{:.1},"p90":{:.1},"mean":{mean:.1}}}"#,
        at(0.0),
        at(0.5),
        at(0.9)
    );
    Ok(())
}

/// Microseconds from question to answer.
fn round_trip(socket: &UdpSocket) -> Result<f64, Failure> {
    let mut buffer = [0; 256];
    let asked = Instant::now();
    socket.send(b"?")?;
    socket.recv(&mut buffer)?;
    Ok(asked.elapsed().as_secs_f64() * 1e6)
}

/// Stands in for a syslog daemon: writes each message to FILE, one line each.
fn syslog_sink(args: &mut Args) -> Result<(), Failure> {
    let file = args.word("file")?;
    let path: String = args
        .option("--socket")?
        .unwrap_or_else(|| "/dev/log".to_owned());
    let mut file = OpenOptions::new().create(true).append(true).open(file)?;
    let _ = fs::remove_file(&path);
    let socket = UnixDatagram::bind(path)?;
    let mut buffer = vec![0; 65536];
    loop {
        let length = socket.recv(&mut buffer)?;
        let message = buffer.get(..length).unwrap_or_default().trim_ascii_end();
        // One write a message, so that a reader never sees half a line.
        file.write_all(&[message, b"\n"].concat())?;
    }
}
