//! libvirt's API, read-only: the only file that names the `virt` crate.

use std::{
    net::IpAddr,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use virt::{
    connect::Connect,
    error::{ErrorDomain, ErrorNumber, clear_error_callback},
    sys,
};
use virt_forward_policy::sanitize::escape;
use virt_forward_system::libvirt::daemon::{self, State};

/// The system daemon, which runs the hook.
const SYSTEM: &str = "qemu:///system";

/// The timeout for a daemon that runs. It does not answer if it hangs, or waits for a hook that
/// waits for this process.
const PATIENCE: Duration = Duration::from_secs(10);

/// The timeout for an idle daemon. The connection starts it, and it restores all its rules before
/// it answers.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// The interval at which the daemon's state is polled.
const GLANCE: Duration = Duration::from_millis(500);

/// The delay before another attempt, if the daemon is exiting or has not opened its sockets yet.
const AGAIN: Duration = Duration::from_millis(200);

/// A network as defined in libvirt.
pub(crate) struct Defined {
    pub(crate) name: String,
    pub(crate) is_active: bool,
    /// The definition, the live one if active; `None` if the network was undefined meanwhile.
    pub(crate) xml: Option<String>,
}

/// All networks that are defined or active.
pub(crate) fn networks(uri: Option<&str>) -> Result<Vec<Defined>> {
    answered(uri, ask)
}

/// The version of libvirt as a number: 9.0.0 is 9000000.
pub(crate) fn version(uri: Option<&str>) -> Result<u64> {
    let ask = |uri: &str| {
        clear_error_callback();
        Connect::open_read_only(Some(uri))?.lib_version()
    };
    answered(uri, ask).map(u64::from)
}

/// The addresses of a running guest according to DHCP leases, its agent and ARP.
pub(crate) fn addresses_of(uri: Option<&str>, guest: &str) -> Result<Vec<IpAddr>> {
    let guest = guest.to_owned();
    answered(uri, move |uri| ask_for_guest(uri, &guest))
}

/// A running guest.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) name: String,
    /// The live definition.
    pub(crate) xml: String,
    /// The known addresses of each interface, by MAC.
    pub(crate) addresses: Vec<(String, Vec<IpAddr>)>,
}

/// All running guests.
pub(crate) fn running(uri: Option<&str>) -> Result<Vec<Running>> {
    answered(uri, ask_for_running)
}

/// The result of `question` at `uri`, within a timeout. This host's daemon may be idle and start
/// because of the connection, or exit for idleness at this moment.
fn answered<T: Send + 'static>(
    uri: Option<&str>,
    question: impl Fn(&str) -> Result<T, virt::error::Error> + Send + Sync + 'static,
) -> Result<T> {
    let uri = uri.unwrap_or(SYSTEM);
    let question = Arc::new(question);
    let mut wait = Wait::new(Instant::now());
    loop {
        let answer = ask_once(uri, question.clone(), &mut wait);
        let why = match answer {
            None => bail!("libvirt at {} does not answer", escape(uri)),
            Some(Ok(answer)) => return Ok(answer),
            Some(Err(why)) => why,
        };
        // Only a failed or broken connection is retried; any other error is libvirt's answer.
        let may_pass = why
            .domain()
            .is_known_and(|domain| domain == ErrorDomain::Rpc)
            || why
                .code()
                .is_known_and(|code| code == ErrorNumber::NoConnect);
        let is_asked_again =
            state_at(uri).is_some_and(|state| wait.may_ask_again(Instant::now(), state));
        if !(may_pass && is_asked_again) {
            let why = escape(why.message());
            bail!("cannot ask libvirt at {}: {why}", escape(uri));
        }
        thread::sleep(AGAIN);
    }
}

/// The state of the daemon; `None` for the daemon of another host.
fn state_at(uri: &str) -> Option<State> {
    (uri == SYSTEM).then(|| daemon::find().state)
}

/// One attempt; `None` after a timeout.
fn ask_once<T: Send + 'static>(
    uri: &str,
    question: Arc<impl Fn(&str) -> Result<T, virt::error::Error> + Send + Sync + 'static>,
    wait: &mut Wait,
) -> Option<Result<T, virt::error::Error>> {
    let (sender, receiver) = mpsc::channel();
    let asked = uri.to_owned();
    // If libvirt never answers, the thread ends with the process.
    thread::spawn(move || sender.send(question(&asked)));
    loop {
        wait.see(state_at(uri));
        let answer = receiver.recv_timeout(GLANCE).ok();
        if answer.is_some() || wait.is_over(Instant::now()) {
            return answer;
        }
    }
}

/// The timeout of an attempt.
#[derive(Debug)]
struct Wait {
    began: Instant,
    /// The daemon was idle at some time since, so the connection starts it.
    was_idle: bool,
}

impl Wait {
    fn new(now: Instant) -> Self {
        Self {
            began: now,
            was_idle: false,
        }
    }

    fn see(&mut self, state: Option<State>) {
        self.was_idle |= state == Some(State::IdleSocketActivated);
    }

    fn is_over(&self, now: Instant) -> bool {
        let most = match self.was_idle {
            true => START_PATIENCE,
            false => PATIENCE,
        };
        now.duration_since(self.began) >= most
    }

    /// Whether another attempt can succeed, given the daemon's state after the connection failed.
    fn may_ask_again(&mut self, now: Instant, state: State) -> bool {
        self.see(Some(state));
        match state {
            State::Running | State::IdleSocketActivated => !self.is_over(now),
            State::Stopped => false,
        }
    }
}

fn ask_for_guest(uri: &str, name: &str) -> Result<Vec<IpAddr>, virt::error::Error> {
    clear_error_callback();
    let connection = Connect::open_read_only(Some(uri))?;
    let guest = connection.lookup_domain_by_name(name)?;
    let mut addresses = Vec::new();
    let sources = [
        sys::VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE,
        sys::VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT,
        sys::VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_ARP,
    ];
    for source in sources {
        // A missing agent does not prevent the next source.
        let interfaces = guest.interface_addresses(source, 0).unwrap_or_default();
        let all = interfaces.into_iter().flat_map(|one| one.addrs);
        let parsed = all.filter_map(|one| one.addr.parse::<IpAddr>().ok());
        addresses.extend(parsed.filter(is_usable));
    }
    Ok(addresses)
}

/// Does not query guest agents: each one that hangs would block libvirt for seconds.
fn ask_for_running(uri: &str) -> Result<Vec<Running>, virt::error::Error> {
    clear_error_callback();
    let connection = Connect::open_read_only(Some(uri))?;
    let guests = connection.list_all_domains(sys::VIR_CONNECT_LIST_DOMAINS_ACTIVE)?;
    // A guest that ends between two calls is skipped.
    let running = guests.into_iter().filter_map(|guest| {
        let mut addresses = Vec::new();
        for source in [
            sys::VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE,
            sys::VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_ARP,
        ] {
            let interfaces = guest.interface_addresses(source, 0).unwrap_or_default();
            addresses.extend(interfaces.into_iter().filter_map(|one| {
                let parsed = one.addrs.iter().filter_map(|one| one.addr.parse().ok());
                Some((one.hwaddr?, parsed.filter(is_usable).collect()))
            }));
        }
        Some(Running {
            name: guest.name().ok()?,
            xml: guest.xml_desc(0).ok()?,
            addresses,
        })
    });
    Ok(running.collect())
}

/// The agent reports all addresses of the guest, including its loopback.
fn is_usable(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !address.is_loopback() && !address.is_link_local(),
        IpAddr::V6(address) => !address.is_loopback() && !address.is_unicast_link_local(),
    }
}

fn ask(uri: &str) -> Result<Vec<Defined>, virt::error::Error> {
    // Otherwise libvirt.so prints each error to stderr.
    clear_error_callback();
    let connection = Connect::open_read_only(Some(uri))?;
    let networks = connection.list_all_networks(0)?;
    let mut defined = Vec::new();
    for network in networks {
        let name = network.name()?;
        let xml = network.xml_desc(0).ok();
        defined.push(Defined {
            name,
            // A network that stops between two calls is not active.
            is_active: network.is_active().unwrap_or(false) && xml.is_some(),
            xml,
        });
    }
    Ok(defined)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_daemon_that_may_answer_the_next_time_is_asked_again() {
        let start = Instant::now();
        let (early, late) = (start + PATIENCE / 2, start + PATIENCE);
        let may = |state, now| Wait::new(start).may_ask_again(now, state);
        // The daemon is exiting, or has just started.
        assert!(may(State::Running, early));
        assert!(!may(State::Running, late));
        assert!(!may(State::Stopped, early));
        // An idle daemon has to start first.
        assert!(may(State::IdleSocketActivated, late));
        let mut wait = Wait::new(start);
        wait.see(Some(State::IdleSocketActivated));
        wait.see(Some(State::Running));
        assert!(!wait.is_over(late));
        assert!(wait.is_over(start + START_PATIENCE));
    }
}
