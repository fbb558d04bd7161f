//! When to act on a flush of libvirt's rules, without a clock of its own. libvirt does not notice a
//! flush: its daemon sets the rules when it starts, and when firewalld announces a start or a reload.

use std::time::{Duration, Instant};

use virt_forward_system::libvirt::daemon::State;

/// A daemon that systemd restarts looks idle or stopped until it holds its lock again.
const RESTART_GRACE: Duration = Duration::from_secs(1);

/// The time that a running daemon takes on a slow host to set its rules after a reload of firewalld,
/// one network after another.
const RELOAD_GRACE: Duration = Duration::from_secs(15);

/// An idle daemon that did not set its rules when it was started is started again after this time.
const START_INTERVAL: Duration = Duration::from_secs(60);

/// What to do about missing rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Nothing.
    Wait,
    /// Start the idle daemon.
    Start,
    /// Warn the administrator, who has to restart a running daemon, or to start a stopped one.
    Warn,
}

/// The time without the rules.
#[derive(Debug)]
struct Loss {
    /// The daemon's state, and since when it has been in it.
    state: State,
    since: Instant,
    is_logged: bool,
}

/// The state of libvirt's rules.
#[derive(Debug, Default)]
pub(super) struct LibvirtRules {
    loss: Option<Loss>,
    /// When the daemon was last started.
    started: Option<Instant>,
}

impl LibvirtRules {
    /// The rules were found. Returns whether that ends a loss that was logged.
    pub(super) fn found(&mut self) -> bool {
        let is_logged = self.loss.take().is_some_and(|loss| loss.is_logged);
        if is_logged {
            // Only a start without success delays the next one.
            self.started = None;
        }
        is_logged
    }

    /// The rules are missing, while the daemon is in that state.
    pub(super) fn missing(&mut self, state: State, now: Instant) -> Action {
        let loss = self.loss.get_or_insert(Loss {
            state,
            since: now,
            is_logged: false,
        });
        if loss.state != state {
            (loss.state, loss.since) = (state, now);
        }
        if now < loss.since + grace(state) {
            return Action::Wait;
        }
        match state {
            State::IdleSocketActivated => {
                if self
                    .started
                    .is_some_and(|started| now < started + START_INTERVAL)
                {
                    return Action::Wait;
                }
                self.started = Some(now);
                loss.is_logged = true;
                Action::Start
            }
            State::Running | State::Stopped if !loss.is_logged => {
                loss.is_logged = true;
                Action::Warn
            }
            State::Running | State::Stopped => Action::Wait,
        }
    }

    /// When the next check is due, if the loss may need an action then.
    pub(super) fn due(&self) -> Option<Instant> {
        let loss = self.loss.as_ref().filter(|loss| !loss.is_logged)?;
        Some(loss.since + grace(loss.state))
    }
}

fn grace(state: State) -> Duration {
    match state {
        State::IdleSocketActivated | State::Stopped => RESTART_GRACE,
        State::Running => RELOAD_GRACE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: State = State::IdleSocketActivated;

    #[test]
    fn an_idle_daemon_is_started_and_given_time() {
        let start = Instant::now();
        let mut rules = LibvirtRules::default();
        assert_eq!(rules.missing(IDLE, start), Action::Wait);
        assert_eq!(rules.due(), Some(start + RESTART_GRACE));
        let due = start + RESTART_GRACE;
        assert_eq!(rules.missing(IDLE, due), Action::Start);
        assert_eq!(rules.due(), None);
        assert_eq!(rules.missing(State::Running, due), Action::Wait);
        assert_eq!(rules.missing(IDLE, due + RESTART_GRACE), Action::Wait);
        assert_eq!(rules.missing(IDLE, due + START_INTERVAL / 2), Action::Wait);
        assert_eq!(rules.missing(IDLE, due + START_INTERVAL), Action::Start);
        assert!(rules.found());
        assert!(!rules.found());
        assert_eq!(rules.missing(IDLE, due + START_INTERVAL), Action::Wait);
        assert_eq!(
            rules.missing(IDLE, due + START_INTERVAL + RESTART_GRACE),
            Action::Start
        );
    }

    #[test]
    fn a_daemon_that_restarts_is_not_started() {
        let start = Instant::now();
        let mut rules = LibvirtRules::default();
        assert_eq!(rules.missing(State::Running, start), Action::Wait);
        let stopped = start + RESTART_GRACE;
        assert_eq!(rules.missing(IDLE, stopped), Action::Wait);
        assert_eq!(
            rules.missing(State::Running, stopped + RESTART_GRACE),
            Action::Wait
        );
        assert!(!rules.found());
    }

    #[test]
    fn a_daemon_that_sets_its_rules_by_itself_is_waited_for() {
        let start = Instant::now();
        let mut rules = LibvirtRules::default();
        assert_eq!(rules.missing(State::Running, start), Action::Wait);
        assert!(!rules.found());
        assert_eq!(rules.missing(State::Running, start), Action::Wait);
        let due = rules.due().unwrap();
        assert_eq!(rules.missing(State::Running, due), Action::Warn);
        assert_eq!(rules.due(), None);
        assert_eq!(
            rules.missing(State::Running, due + START_INTERVAL),
            Action::Wait
        );
        assert!(rules.found());
    }
}
