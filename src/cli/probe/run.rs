//! Sends the packet and collects the trace events and the reply.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, anyhow};
use virt_forward_policy::Packet;
use virt_forward_system::{
    deadline::Deadline,
    exec::{iptables, nft::OwnedTable, rule_text},
    netlink::trace::{By, Event, Trace},
};

use super::{
    legacy,
    netns::ProbeNetns,
    packet::{ProbeSocket, Reply, Responder, reset},
    plan::{Ingress, ProbePlan},
    prepare::PreparedProbe,
    report::{ProbeReport, ReportInput, RuleHit, RuleTexts},
    rules,
    trace::{FlowKey, RoundTrip},
};
use crate::{endpoint::ResolvedEndpoint, host::Host};

/// The time between two reads of trace events.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// The time in which the kernel sends the last trace events after a reply.
const TRACE_DRAIN: Duration = Duration::from_millis(60);

/// Sends the packet, and reports what became of it.
///
/// # Errors
///
/// If the packet cannot be sent or traced, or if what the kernel remembers of it cannot be
/// deleted.
pub(crate) fn probe(
    prepared: PreparedProbe,
    from: &ResolvedEndpoint,
    to: &ResolvedEndpoint,
    host: &Host,
    deadline: Deadline,
) -> Result<ProbeReport> {
    let PreparedProbe {
        packet,
        port,
        journal,
    } = prepared;
    let report = ProbePlan::new(from, to, packet, host).and_then(|plan| {
        let probe = Probe {
            plan: &plan,
            port,
            host,
            deadline,
        };
        probe.run()
    });
    // Also after an error.
    journal.clean_up(deadline)?;
    report
}

struct Probe<'a> {
    plan: &'a ProbePlan<'a>,
    port: u16,
    host: &'a Host,
    deadline: Deadline,
}

impl Probe<'_> {
    fn run(&self) -> Result<ProbeReport> {
        let (plan, deadline) = (self.plan, self.deadline);
        let (source, destination) = (plan.source, plan.destination);
        let receiver = self.receiver()?;
        let sender = ProbeNetns::new(&plan.ingress, 0, source, destination, deadline)?;
        let socket = sender
            .run_in(|| ProbeSocket::bind(plan.packet, source, self.port, destination))?
            .context("cannot create the socket of the sender")?;
        let trace = Trace::start()?;
        let table = rules::table_name();
        let objects = rules::objects(&table, plan, self.port, sender.mac);
        // Deleted before the namespaces are: the rules have to see what still arrives.
        let _table = OwnedTable::new(&table, &objects, deadline)?;
        let before = iptables::legacy_rule_counters(deadline)?;
        let responder = receiver.as_ref().map(|(_, responder)| responder);
        let (reply, events) = exchange(socket, responder, &trace)?;
        let trip = RoundTrip::new(
            &events,
            &FlowKey {
                source,
                destination,
                packet: plan.packet,
                port: self.port,
                mac: sender.mac,
            },
        );
        self.reset_connection(&sender, &trip)?;
        let legacy_drop = legacy::drop_between(&before, &iptables::legacy_rule_counters(deadline)?);
        Ok(self.report(&trip, reply, legacy_drop))
    }

    /// A temporary destination, if the plan has one.
    fn receiver(&self) -> Result<Option<(ProbeNetns, Responder)>> {
        let ProbePlan {
            source,
            destination,
            packet,
            receiver,
            ..
        } = *self.plan;
        let Some(bridge) = receiver else {
            return Ok(None);
        };
        let ingress = Ingress::Bridge(bridge);
        let netns = ProbeNetns::new(&ingress, 1, destination, source, self.deadline)?;
        let responder = netns
            .run_in(|| Responder::new(packet, destination))?
            .context("cannot listen at the destination")?;
        Ok(Some((netns, responder)))
    }

    /// Resets a TCP connection whose replies were intercepted: the destination would send them
    /// again.
    fn reset_connection(&self, sender: &ProbeNetns, trip: &RoundTrip) -> Result<()> {
        let plan = self.plan;
        let (Packet::Tcp(service), true) = (plan.packet, plan.ingress.is_uplink()) else {
            return Ok(());
        };
        let exit = trip.reply.exit.as_ref();
        // The acknowledgement number is at offset 8 of the TCP header.
        let acknowledged = exit.and_then(|exit| exit.transport.get(8..)?.first_chunk().copied());
        let Some(acknowledged) = acknowledged else {
            return Ok(());
        };
        let source = SocketAddr::new(plan.source, self.port);
        let destination = SocketAddr::new(plan.destination, service);
        sender
            .run_in(|| reset(source, destination, acknowledged))?
            .context("cannot reset the connection")?;
        thread::sleep(TRACE_DRAIN);
        Ok(())
    }

    fn report(&self, trip: &RoundTrip, reply: Reply, legacy_drop: Option<RuleHit>) -> ProbeReport {
        let plan = self.plan;
        let interface = plan.ingress.interface();
        ProbeReport::new(
            trip,
            ReportInput {
                source: plan.source,
                destination: plan.destination,
                packet: plan.packet,
                iif: &interface.name,
                iif_index: interface.index,
                reply,
                is_reply_intercepted: plan.ingress.is_uplink(),
                legacy_drop,
                rules: &rule_texts(trip, self.deadline),
                host: self.host,
            },
        )
    }
}

/// Sends the packet while the responder serves and trace events are read.
fn exchange(
    socket: ProbeSocket,
    responder: Option<&Responder>,
    trace: &Trace,
) -> Result<(Reply, Vec<Event>)> {
    let is_over = AtomicBool::new(false);
    let is_running = || !is_over.load(Ordering::Relaxed);
    thread::scope(|scope| {
        if let Some(responder) = responder {
            scope.spawn(|| responder.serve(is_running));
        }
        let events = scope.spawn(|| read_events(trace, is_running));
        let reply = socket.send_and_wait();
        // Before TCP sends again: the rule that intercepts replies will be gone.
        drop(socket);
        thread::sleep(TRACE_DRAIN);
        is_over.store(true, Ordering::Relaxed);
        let events = events.join();
        let events = events.unwrap_or_else(|_| Err(anyhow!("cannot read trace events")))?;
        Ok((reply, events))
    })
}

fn read_events(trace: &Trace, is_running: impl Fn() -> bool) -> Result<Vec<Event>> {
    let mut events = Vec::new();
    while is_running() {
        events.extend(trace.events()?);
        thread::sleep(POLL_INTERVAL);
    }
    events.extend(trace.events()?);
    Ok(events)
}

/// Lists the chains with the rules that were met. A chain that was deleted has no listing.
fn rule_texts(trip: &RoundTrip, deadline: Deadline) -> RuleTexts {
    let mut texts = BTreeMap::new();
    for hit in trip.forward.hits.iter().chain(&trip.reply.hits) {
        if matches!(hit.by, By::Rule(_)) {
            texts
                .entry(hit.chain.clone())
                .or_insert_with(|| rule_text::rule_texts(&hit.chain, deadline).unwrap_or_default());
        }
    }
    texts
}
