//! `virt-forward watch`: a daemon that keeps the kernel as wanted.
//!
//! ```text
//!  nf_tables' notifications  ─┐
//!  interfaces, their settings ├─ Ears ─ Pace: when to look ─ Keeper: a look, with the lock held
//!  libvirt's networks        ─┘
//! ```
//!
//! A look takes a few milliseconds and changes nothing where all is well, so whatever may
//! matter leads to one. Each transaction of nf_tables has a number: those up to the one that
//! was looked at, our own among them, lead to no other look.
//!
//! libvirt's networks are seen by the status files that it keeps of them, and not by its API:
//! they are written at each start, update and end, whether we are there or not; a client would
//! keep a daemon running that ends when it has none, or start one that was stopped; and the
//! client library brings some fifty others along (`ldd virt-forward`).

mod alarms;
mod ears;
mod keeper;
mod known;
mod leaving;
mod libvirt;
mod log_text;
mod losses;
mod pace;
mod repairs;
mod routing;
mod rules;
mod zones;

use std::{path::Path, time::Instant};

use anyhow::Result;
use sd_notify::NotifyState;
use virt_forward_system::{
    netlink::monitor::{Changes, Link},
    syslog,
};

use ears::{Ears, Wake};
use keeper::{CheckFailed, Keeper};
use losses::Losses;
use pace::Pace;
use routing::Calm;

/// Goes on until it is told to end. What is open stays open then.
pub fn watch(config: &Path) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(keep_watch(config))
}

async fn keep_watch(config: &Path) -> Result<()> {
    // Before the first look: what changes after it is heard.
    let mut ears = Ears::open()?;
    let mut keeper = Keeper::new(config);
    let mut pace = Pace::default();
    let mut losses = Losses::default();
    let mut calm = Calm::default();
    look(&mut keeper, &mut pace, &mut calm);
    syslog::info("watching");
    tell(NotifyState::Ready);
    loop {
        let now = Instant::now;
        if ears.listen_to_routing(keeper.follows_routing())? {
            // What changed before was not heard.
            calm.heard(now());
        }
        let due = [pace.due(), calm.due()].into_iter().flatten().min();
        match ears.wait(due, keeper.has_untold()).await? {
            Wake::Rules(changes) => {
                if changes == Changes::Lost {
                    report(&mut losses, "rules");
                }
                match keeper.news_in(changes) {
                    0 => {}
                    count => pace.touch_often(now(), count),
                }
            }
            Wake::Interfaces(Changes::Made(links)) => {
                for Link { name, is_gone } in links {
                    if is_gone && keeper.is_ours(&name) {
                        pace.touch_later(keeper.leaves(name));
                    } else if !is_gone && (keeper.is_another(&name) || keeper.is_of_interest(&name))
                    {
                        pace.touch(now());
                    }
                }
            }
            Wake::Interfaces(Changes::Lost) => {
                report(&mut losses, "interfaces");
                pace.touch(now());
                if let Some(then) = keeper.missed_interfaces() {
                    pace.touch_later(then);
                }
            }
            Wake::Networks => {
                if let Some(until) = keeper.read_networks() {
                    pace.touch_later(until);
                }
                pace.touch(now());
            }
            Wake::Poll => {
                // A start that failed early is told by nothing else.
                if keeper.in_doubt().is_some() || keeper.may_have_missed_something() {
                    pace.touch(now());
                }
            }
            Wake::Setting => pace.touch(now()),
            Wake::Routing => calm.heard(now()),
            Wake::Glance => {
                if keeper.is_untold_wrong() {
                    pace.touch(now());
                }
            }
            Wake::Due => look(&mut keeper, &mut pace, &mut calm),
            Wake::Watchdog => tell(NotifyState::Watchdog),
            Wake::Reload => {
                keeper.read_networks();
                keeper.forget();
                pace.touch(now());
            }
            Wake::End => {
                tell(NotifyState::Stopping);
                syslog::info("stopped; open networks stay open");
                return Ok(());
            }
        }
    }
}

fn look(keeper: &mut Keeper, pace: &mut Pace, calm: &mut Calm) {
    let start = Instant::now();
    pace.look(start);
    match keeper.look(pace.is_paused()) {
        Ok(drift) => {
            calm.looked(start, !drift.is_empty());
            if let Some(contested) = pace.looked(Instant::now(), &drift) {
                syslog::warning(&log_text::contested(&contested));
            }
        }
        Err(CheckFailed) => pace.failed(Instant::now()),
    }
    for then in keeper.checks_due() {
        pace.touch_later(then);
    }
}

/// The kernel dropped notifications; what they told of is looked at in any case.
fn report(losses: &mut Losses, of: &'static str) {
    if losses.is_to_report(Instant::now(), of) {
        syslog::warning(&format!(
            "the kernel dropped notifications of changes to {of} (receive buffer full); checking \
             everything"
        ));
    }
}

/// Under no systemd there is nobody to tell.
fn tell(state: NotifyState) {
    let _ = sd_notify::notify(&[state]);
}
