//! `check`: why a packet passes, or who refuses it.

use std::net::IpAddr;

use anyhow::{Result, bail};
use virt_forward_policy::{
    Packet,
    sanitize::{argument, escape},
};
use virt_forward_reconcile as reconcile;

use super::{config, deadline};
use crate::{
    args::{Args, CheckArgs},
    check::{self, Case, Kernel, Named, NoEnd},
    exit::Exit,
    host::{Forwarded, Host, Incoming},
    libvirt,
    networks::Networks,
    output,
    paint::Screen,
    probe, settings,
};

/// Goes the way, and says what is there.
pub(crate) fn check(args: &Args, asked: &CheckArgs) -> Result<Exit> {
    let config = config(args)?;
    let networks = Networks::find(args.connect.as_deref())?;
    let host = Host::ask()?;
    let named = |word: &str| Named::new(word, &networks.active, || guest(args, word, &networks));
    let named = named(&asked.from).and_then(|from| Ok((from, named(&asked.to)?)));
    let places = named.and_then(|(from, to)| check::ends(&from, &to, &networks.active, &host));
    let (from, to) = match places {
        Ok(places) => places,
        Err(why) => return no_end(&why, &networks),
    };
    let packet = match (asked.tcp, asked.udp) {
        (Some(port), _) => Packet::Tcp(port),
        (None, Some(port)) => Packet::Udp(port),
        (None, None) => Packet::Icmp,
    };
    let (from, to, settled) = match asked.probe {
        true => {
            let (from, to, settled) = probe::settled(from, to, packet, &host)?;
            (from, to, Some(settled))
        }
        false => (from, to, None),
    };
    let inspection = reconcile::inspect(&config, networks.as_active(), deadline())?;
    let case = Case {
        config: &config,
        inspection: &inspection,
        host: &host,
        settings: &settings::Kernel,
        kernel: &host,
        from,
        to,
        packet,
    };
    let report = check::walk(&case)?;
    let found = settled.map(|settled| {
        let (from, to) = (&case.from, &case.to);
        probe::probe(settled, from, to, &host, deadline())
    });
    let (report, unsent) = match found {
        Some(Ok(found)) => (report.with(found), None),
        Some(Err(why)) => (report, Some(why)),
        None => (report, None),
    };
    let screen = Screen::of_stdout(args.color);
    let text = match asked.json {
        true => output::json(&report)?,
        false => report.for_people(&screen),
    };
    output::print_painted(&text, &screen)?;
    match unsent {
        Some(why) => Err(why.context("no probe")),
        None if report.is_open() => Ok(Exit::Done),
        None => Ok(Exit::Differs),
    }
}

/// The addresses of the guest of that name; none where it is no guest's.
fn guest(args: &Args, word: &str, networks: &Networks) -> Vec<IpAddr> {
    match networks.has(word) {
        true => Vec::new(),
        // Whoever cannot be asked has no guest of that name either.
        false => libvirt::addresses_of(args.connect.as_deref(), word).unwrap_or_default(),
    }
}

fn no_end(why: &NoEnd, networks: &Networks) -> Result<Exit> {
    match why {
        NoEnd::Unknown(word) => {
            let name = escape(word);
            if networks.has(word) {
                let word = argument(word);
                bail!("network {name} is not active: virsh net-start {word}");
            }
            bail!(
                "{name} is no address, no network and no running guest with an address; networks \
                 are: {}",
                networks.listed()
            )
        }
        NoEnd::NoFamily => bail!("the two have no addresses of one family, IPv4 or IPv6"),
        NoEnd::ThisHost(address) => bail!(
            "{address} is this host's own: what goes to it or comes from it is not forwarded, \
             and virt-forward has no part in it"
        ),
    }
}

impl Kernel for Host {
    fn forwards(&self, packet: &Incoming) -> Result<Forwarded> {
        Host::forwards(self, packet)
    }

    fn knows(&self, address: IpAddr, interface: &str) -> Result<Option<bool>> {
        Host::knows(self, address, interface)
    }
}
