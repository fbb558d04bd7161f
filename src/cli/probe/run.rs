//! A probe from its beginning to its end.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use virt_forward_policy::{
    Packet,
    netfilter::ChainName,
    sanitize::{argument, shown},
};
use virt_forward_system::{
    deadline::Deadline,
    exec::{iptables, nft::Lent, rule_text},
    netlink::trace::{By, Event, Place as Chain, Trace},
};

use super::{
    findings::{Findings, Known, Passed},
    remains::{Remains, Traces},
    seats::{Entry, Seats, bridge, candidates},
    shot::{Answer, Shot, Target, reset},
    stage::Stand,
    tracks::{self, LAST, TABLE, Tracks},
};
use crate::{
    endpoint::{EndpointKind, ResolvedEndpoint},
    host::Host,
    neighbours,
};

/// Above what programs get by themselves (net.ipv4.ip_local_port_range): whoever has the address
/// that is used does not use that port.
const PORTS: std::ops::Range<u32> = 61_100..65_100;

const PAUSE: Duration = Duration::from_millis(5);

/// What the kernel has still to tell once there is an answer.
const AFTERMATH: Duration = Duration::from_millis(60);

/// A probe that has found its places, and has not begun; what it has left so far goes with it.
pub(crate) struct Settled {
    packet: Packet,
    port: u16,
    remains: Remains,
}

/// The same ends with addresses to send from and to, which are free; a refusal where the one to
/// send from is somebody's.
pub(crate) fn settled<'a>(
    from: ResolvedEndpoint<'a>,
    to: ResolvedEndpoint<'a>,
    packet: Packet,
    host: &Host,
) -> Result<(ResolvedEndpoint<'a>, ResolvedEndpoint<'a>, Settled)> {
    let span = PORTS.end - PORTS.start;
    let port = u16::try_from(PORTS.start + std::process::id() % span)?;
    let mut choices = (Vec::new(), Vec::new());
    let remains = Remains::note(|used| {
        choices = (choice(&from, true, used), choice(&to, false, used));
        traces((&from, &choices.0), (&to, &choices.1), packet, port, host)
    })?;
    // Nobody who answers takes a second: not one after the other.
    let (senders, targets) = choices;
    let (from, to) = thread::scope(|scope| {
        let to = scope.spawn(|| seated(to, targets, host));
        (seated(from, senders, host), to.join())
    });
    let to = to.unwrap_or_else(|_| Err(anyhow!("asking for addresses failed")));
    let settled = Settled {
        packet,
        port,
        remains,
    };
    Ok((from?, to?, settled))
}

/// The addresses that a place may get, best first; none where it keeps the one that it has
/// whoever has it.
fn choice(place: &ResolvedEndpoint, sends: bool, used: &[IpAddr]) -> Vec<IpAddr> {
    let Some(network) = place.network else {
        return Vec::new();
    };
    match place.kind {
        EndpointKind::Address if sends => vec![place.address],
        EndpointKind::Guest(_) if !sends => Vec::new(),
        EndpointKind::Address => Vec::new(),
        EndpointKind::Network | EndpointKind::Guest(_) => {
            let mut own = network.addresses.iter();
            let own = own.find(|net| net.contains(&place.address));
            own.map(|own| candidates(own, used)).unwrap_or_default()
        }
    }
}

fn seated<'a>(
    place: ResolvedEndpoint<'a>,
    choice: Vec<IpAddr>,
    host: &Host,
) -> Result<ResolvedEndpoint<'a>> {
    let (Some(network), Ok(bridge)) = (place.network, bridge(&place, host)) else {
        return Ok(place);
    };
    let name = shown(&network.name);
    let is_given = place.kind == EndpointKind::Address;
    if choice.is_empty() && place.kind == EndpointKind::Network {
        bail!("{name} has no room for another address");
    }
    let used = neighbours::in_use(&choice, bridge.index)?;
    match choice.iter().find(|one| !used.contains(one)) {
        Some(_) if is_given => Ok(place),
        Some(free) => Ok(ResolvedEndpoint {
            address: *free,
            network: place.network,
            kind: EndpointKind::Network,
        }),
        None if choice.is_empty() => Ok(place),
        None if is_given => bail!(
            "{} is in use: a probe would have to speak in its place, and get its answers; name \
             its network, and a free address speaks:\n  virt-forward check {} … --probe",
            place.address,
            argument(&network.name)
        ),
        None => bail!("no free address was found in {name}"),
    }
}

/// Sends the packet, and tells what became of it.
pub(crate) fn probe(
    settled: Settled,
    from: &ResolvedEndpoint,
    to: &ResolvedEndpoint,
    host: &Host,
    deadline: Deadline,
) -> Result<Findings> {
    let Settled {
        packet,
        port,
        remains,
    } = settled;
    let found = Seats::new(from, to, packet, host).and_then(|seats| {
        let performance = Performance {
            seats: &seats,
            port,
            host,
            deadline,
        };
        performance.play()
    });
    // Whatever was found, or not.
    remains.tidy(deadline)?;
    found
}

/// What the host may come to know, and does not know yet.
fn traces(
    from: (&ResolvedEndpoint, &[IpAddr]),
    to: (&ResolvedEndpoint, &[IpAddr]),
    packet: Packet,
    port: u16,
    host: &Host,
) -> Result<Traces> {
    let mut neighbours = Vec::new();
    let mut addresses = Vec::new();
    for (place, choice) in [to, from] {
        let mut all = choice.to_vec();
        if all.is_empty() {
            all.push(place.address);
        }
        let interface = match place.network {
            Some(_) => bridge(place, host).ok(),
            None => host
                .link_of(place.address)
                .and_then(|name| host.interface(name)),
        };
        if let Some(interface) = interface {
            let known = neighbours::listed(interface.index)?;
            let unknown = all.iter().filter(|one| !known.contains(one));
            neighbours.extend(unknown.map(|one| (*one, interface.name.clone())));
        }
        addresses.push(all);
    }
    let sources = addresses.pop().unwrap_or_default();
    Ok(Traces {
        protocol: protocol(packet, from.0.address.is_ipv4()),
        sources,
        targets: addresses.pop().unwrap_or_default(),
        port,
        neighbours,
    })
}

fn protocol(packet: Packet, is_ipv4: bool) -> u8 {
    match (packet, is_ipv4) {
        (Packet::Tcp(_), _) => 6,
        (Packet::Udp(_), _) => 17,
        (Packet::Icmp, true) => 1,
        (Packet::Icmp, false) => 58,
    }
}

struct Performance<'a> {
    seats: &'a Seats<'a>,
    port: u16,
    host: &'a Host,
    deadline: Deadline,
}

impl Performance<'_> {
    fn play(&self) -> Result<Findings> {
        let Seats {
            source,
            target,
            packet,
            ref entry,
            receiver,
        } = *self.seats;
        let deadline = self.deadline;
        let receiver = receiver.map(|bridge| {
            let stand = Stand::new(&Entry::Bridge(bridge), 1, target, source, deadline)?;
            let served = stand.inside(|| Target::new(packet, target))?;
            anyhow::Ok((stand, served.context("cannot listen at the other end")?))
        });
        let receiver = receiver.transpose()?;
        let sender = Stand::new(entry, 0, source, target, deadline)?;
        let shot = sender
            .inside(|| Shot::load(packet, source, self.port, target))?
            .context("cannot make a socket to send from")?;
        let trace = Trace::start()?;
        let table = format!("{TABLE}_{}", std::process::id());
        let objects = objects(&table, self.seats, self.port, sender.mac);
        // Goes last but for the stands: what still comes must find it.
        let _lent = Lent::new(&table, &objects, deadline)?;
        let before = iptables::legacy_counts(deadline)?;
        let served = receiver.as_ref().map(|(_, served)| served);
        let (answer, events) = fire(shot, served, &trace)?;
        let known = tracks::Known {
            source,
            target,
            packet,
            port: self.port,
            mac: sender.mac,
        };
        let tracks = Tracks::new(&events, &known);
        self.end_connection(&sender, &tracks)?;
        let legacy = more(&before, &iptables::legacy_counts(deadline)?);
        self.findings(&tracks, answer, legacy)
    }

    /// Who was opened a connection to, and whose answer we have kept, would go on answering.
    fn end_connection(&self, sender: &Stand, tracks: &Tracks) -> Result<()> {
        let Seats { source, target, .. } = *self.seats;
        let (Packet::Tcp(to), true) = (self.seats.packet, self.seats.entry.is_wire()) else {
            return Ok(());
        };
        let answer = tracks.back.left.as_ref();
        let acknowledged = answer.and_then(|left| left.transport.get(8..)?.first_chunk().copied());
        if let Some(acknowledged) = acknowledged {
            let (source, target) = (
                SocketAddr::new(source, self.port),
                SocketAddr::new(target, to),
            );
            sender
                .inside(|| reset(source, target, acknowledged))?
                .context("cannot end the connection")?;
            thread::sleep(AFTERMATH);
        }
        Ok(())
    }

    fn findings(
        &self,
        tracks: &Tracks,
        answer: Answer,
        legacy: Option<Passed>,
    ) -> Result<Findings> {
        let texts = texts(tracks, self.deadline);
        Ok(Findings::new(
            tracks,
            Known {
                source: self.seats.source,
                target: self.seats.target,
                packet: self.seats.packet,
                enters: &self.seats.entry.interface().name,
                entry: self.seats.entry.interface().index,
                answer,
                is_answer_kept: self.seats.entry.is_wire(),
                legacy,
                rule: &|chain, handle| texts.get(chain)?.get(&handle).cloned(),
                name: &|index| match self.host.name_of(index) {
                    Some(name) => name.to_owned(),
                    None => format!("interface {index}"),
                },
            },
        ))
    }
}

/// Sends it while somebody answers, and listens to what the kernel tells of it.
fn fire(shot: Shot, served: Option<&Target>, trace: &Trace) -> Result<(Answer, Vec<Event>)> {
    let is_over = AtomicBool::new(false);
    let goes_on = || !is_over.load(Ordering::Relaxed);
    thread::scope(|scope| {
        if let Some(target) = served {
            scope.spawn(|| target.answer(goes_on));
        }
        let heard = scope.spawn(|| listen(trace, goes_on));
        let answer = shot.fire();
        // Before TCP sends again: nobody would be there to keep the answer.
        drop(shot);
        thread::sleep(AFTERMATH);
        is_over.store(true, Ordering::Relaxed);
        let answer = answer.map_err(|why: io::Error| anyhow!("cannot send the packet: {why}"))?;
        let heard = heard.join();
        let heard = heard.unwrap_or_else(|_| Err(anyhow!("listening failed")))?;
        Ok((answer, heard))
    })
}

fn listen(trace: &Trace, goes_on: impl Fn() -> bool) -> Result<Vec<Event>> {
    let mut heard = Vec::new();
    while goes_on() {
        heard.extend(trace.events()?);
        thread::sleep(PAUSE);
    }
    heard.extend(trace.events()?);
    Ok(heard)
}

/// The table that has the packet traced, and its answer; and no other. Where somebody else has
/// the source's address, the answer ends here: it would be told what it has not asked.
fn objects(table: &str, seats: &Seats, port: u16, mac: [u8; 6]) -> Vec<String> {
    let (source, target) = (seats.source, seats.target);
    let family = if source.is_ipv4() { "ip" } else { "ip6" };
    let protocol = protocol(seats.packet, source.is_ipv4());
    let chain = |name: &str, hook: &str, priority: i32| {
        format!(
            "chain inet {table} {name} {{ type filter hook {hook} priority {priority}; policy accept; }}"
        )
    };
    // What is about the connection: its own packets, and errors of ICMP. The kernel's number of a
    // connection is the port only where nft is told of a protocol that has one.
    let icmp = if source.is_ipv4() { 1 } else { 58 };
    let mut protocols = vec![protocol, icmp];
    protocols.dedup();
    let opened = protocols.into_iter().map(|protocol| {
        format!(
            "meta l4proto {protocol} ct direction reply ct original {family} saddr {source} \
             ct original {family} daddr {target} ct original proto-src {port}"
        )
    });
    let opened: Vec<_> = opened.collect();
    let ours = mac.map(|byte| format!("{byte:02x}")).join(":");
    let entry = &seats.entry.interface().name;
    // Before connections are known (-200), as far as that goes, and right after.
    let answer = match seats.packet {
        Packet::Tcp(to) => format!("tcp sport {to} tcp dport {port}"),
        Packet::Udp(to) => format!("udp sport {to} udp dport {port}"),
        Packet::Icmp if source.is_ipv4() => format!("icmp type echo-reply icmp id {port}"),
        Packet::Icmp => format!("icmpv6 type echo-reply icmpv6 id {port}"),
    };
    let mut objects = vec![
        chain("first", "prerouting", -450),
        chain("answers", "prerouting", -199),
        chain(LAST, "postrouting", 1000),
    ];
    if seats.entry.is_wire() {
        // meta l4proto … ct direction reply ct original ip saddr … drop
        let kept = opened
            .iter()
            .map(|answer| format!("rule inet {table} {LAST} {answer} drop"));
        objects.extend(kept);
    }
    // meta l4proto … ct direction reply ct original ip saddr … meta nftrace set 1
    let traced = opened
        .iter()
        .map(|answer| format!("rule inet {table} answers {answer} meta nftrace set 1"));
    objects.extend(traced);
    objects.extend([
        // ip saddr … ip daddr … tcp sport … tcp dport … meta nftrace set 1
        format!(
            "rule inet {table} first {family} saddr {target} {family} daddr {source} {answer} \
             meta nftrace set 1"
        ),
        // iifname … ether saddr … ip daddr … meta nftrace set 1
        format!(
            "rule inet {table} first iifname \"{entry}\" ether saddr {ours} {family} daddr {target} \
             meta nftrace set 1"
        ),
    ]);
    objects
}

/// What the rules read that it met. A chain that is gone by now has none.
fn texts(tracks: &Tracks, deadline: Deadline) -> BTreeMap<Chain, BTreeMap<u64, String>> {
    let hops = tracks.there.hops.iter().chain(&tracks.back.hops);
    let mut texts = BTreeMap::new();
    for hop in hops.filter(|hop| matches!(hop.by, By::Rule(_))) {
        texts
            .entry(hop.chain.clone())
            .or_insert_with(|| rule_text::texts(&hop.chain, deadline).unwrap_or_default());
    }
    texts
}

/// The refusing rule of x_tables, or the policy, that has seen more than before.
fn more(before: &[(ChainName, String, u64)], after: &[(ChainName, String, u64)]) -> Option<Passed> {
    let refuses = |text: &str| {
        ["-j DROP", "-j REJECT"]
            .iter()
            .any(|word| text.contains(word))
            || text.starts_with("-P") && text.ends_with("DROP")
    };
    let mut pairs = before.iter().zip(after);
    let (_, (chain, text, _)) =
        pairs.find(|(old, new)| old.1 == new.1 && old.2 < new.2 && refuses(&new.1))?;
    Some(Passed {
        chain: chain.to_string(),
        rule: text.clone(),
        handle: None,
        verdict: "drop",
    })
}
