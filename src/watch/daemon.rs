//! The main loop.

use std::{path::Path, time::Instant};

use anyhow::Result;
use sd_notify::NotifyState;
use virt_forward_system::{
    netlink::monitor::{Changes, Link},
    syslog,
};

use crate::{
    debounce::Debouncer,
    event_sources::{Event, EventSources},
    log_text,
    lost_notifications::{LostNotifications, Source},
    reconciler::{CheckFailed, Reconciler},
    routing::RouteBackoff,
};

/// Runs until SIGTERM or SIGINT. Open networks stay open then.
///
/// # Errors
///
/// A source of events cannot be opened, or fails.
pub fn watch(config: &Path) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(run(config))
}

async fn run(config: &Path) -> Result<()> {
    // Before the first check, so that later changes lead to events.
    let mut sources = EventSources::open()?;
    let mut reconciler = Reconciler::new(config);
    let mut debouncer = Debouncer::default();
    let mut losses = LostNotifications::default();
    let mut route_backoff = RouteBackoff::default();
    check(&mut reconciler, &mut debouncer, &mut route_backoff);
    syslog::info("watching");
    notify_systemd(NotifyState::Ready);
    loop {
        let now = Instant::now;
        if sources.follow_routing(reconciler.follows_routing())? {
            // Earlier changes led to no event.
            route_backoff.record_change(now());
        }
        let due = [debouncer.due(), route_backoff.due()]
            .into_iter()
            .flatten()
            .min();
        match sources.next(due, reconciler.needs_fast_poll()).await? {
            Event::Rules(changes) => {
                if changes == Changes::Lost {
                    log_loss(&mut losses, Source::Rules);
                }
                match reconciler.count_relevant(changes) {
                    0 => {}
                    count => debouncer.record_changes(now(), count),
                }
            }
            Event::Interfaces(Changes::Made(links)) => {
                for Link { name, is_gone } in links {
                    if is_gone && reconciler.is_ours(&name) {
                        debouncer.schedule(reconciler.bridge_removed(name));
                    } else if !is_gone
                        && (reconciler.is_replaced_bridge(&name)
                            || reconciler.is_of_interest(&name))
                    {
                        debouncer.record_change(now());
                    }
                }
            }
            Event::Interfaces(Changes::Lost) => {
                log_loss(&mut losses, Source::Interfaces);
                debouncer.record_change(now());
                if let Some(then) = reconciler.lost_interface_events() {
                    debouncer.schedule(then);
                }
            }
            Event::Networks => {
                if let Some(until) = reconciler.read_networks() {
                    debouncer.schedule(until);
                }
                debouncer.record_change(now());
            }
            Event::Poll => {
                // No other event follows a start that failed early.
                if reconciler.unconfirmed_due().is_some() || reconciler.may_have_missed_changes() {
                    debouncer.record_change(now());
                }
            }
            Event::Setting => debouncer.record_change(now()),
            Event::Routing => route_backoff.record_change(now()),
            Event::FastPoll => {
                if reconciler.has_silent_drift() {
                    debouncer.record_change(now());
                }
            }
            Event::CheckDue => check(&mut reconciler, &mut debouncer, &mut route_backoff),
            Event::Watchdog => notify_systemd(NotifyState::Watchdog),
            Event::Reload => {
                reconciler.read_networks();
                reconciler.mark_all_new();
                debouncer.record_change(now());
            }
            Event::Shutdown => {
                notify_systemd(NotifyState::Stopping);
                syslog::info("stopped; open networks stay open");
                return Ok(());
            }
        }
    }
}

fn check(reconciler: &mut Reconciler, debouncer: &mut Debouncer, route_backoff: &mut RouteBackoff) {
    let start = Instant::now();
    debouncer.begin_check(start);
    match reconciler.reconcile(debouncer.is_backing_off()) {
        Ok(drift) => {
            route_backoff.end_check(start, !drift.is_empty());
            if let Some(contested) = debouncer.end_check(Instant::now(), &drift) {
                syslog::warning(&log_text::contested(&contested));
            }
        }
        Err(CheckFailed) => debouncer.failed(Instant::now()),
    }
    for then in reconciler.checks_due() {
        debouncer.schedule(then);
    }
}

/// The kernel dropped notifications. A check follows in any case.
fn log_loss(losses: &mut LostNotifications, source: Source) {
    if losses.record(Instant::now(), source) {
        syslog::warning(&format!(
            "the kernel dropped notifications of changes to {} (receive buffer full); checking \
             everything",
            source.as_str()
        ));
    }
}

/// Does nothing if systemd did not start the daemon.
fn notify_systemd(state: NotifyState) {
    let _ = sd_notify::notify(&[state]);
}
