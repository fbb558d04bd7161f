//! When to act on the loss of libvirt's own rules, as values. libvirt does not notice a flush: its
//! daemon sets the rules when it starts, and when firewalld announces a start or a reload.

use std::time::{Duration, Instant};

use virt_forward_system::libvirt::daemon::State;

/// A daemon that systemd restarts looks idle or stopped until it holds its lock again.
const RESTART: Duration = Duration::from_secs(1);

/// A daemon that runs sets its rules after a reload of firewalld, one network after another; on a slow
/// host that takes this long.
const RELOAD: Duration = Duration::from_secs(15);

/// An idle daemon that was started and did not set its rules is started again after this.
const REST: Duration = Duration::from_secs(60);

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing.
    Wait,
    /// Start the idle daemon.
    Start,
    /// Warn the administrator, who alone restarts a daemon that runs, or starts one that was stopped.
    Warn,
}

/// The loss of the rules, until they are back.
#[derive(Debug)]
struct Loss {
    /// The daemon's state, and since when it has been in it.
    state: State,
    since: Instant,
    is_logged: bool,
}

/// What is known of libvirt's own rules.
#[derive(Debug, Default)]
pub(super) struct Rules {
    loss: Option<Loss>,
    /// When the daemon was last started.
    started: Option<Instant>,
}

impl Rules {
    /// The rules are there. Whether that ends a loss that was logged.
    pub(super) fn are_there(&mut self) -> bool {
        let is_logged = self.loss.take().is_some_and(|loss| loss.is_logged);
        if is_logged {
            // Only a start that did not help is followed by a rest.
            self.started = None;
        }
        is_logged
    }

    /// The rules are gone, while the daemon is in that state.
    pub(super) fn are_gone(&mut self, state: State, now: Instant) -> Step {
        let loss = self.loss.get_or_insert(Loss {
            state,
            since: now,
            is_logged: false,
        });
        if loss.state != state {
            (loss.state, loss.since) = (state, now);
        }
        if now < loss.since + grace(state) {
            return Step::Wait;
        }
        match state {
            State::IdleSocketActivated => {
                if self.started.is_some_and(|started| now < started + REST) {
                    return Step::Wait;
                }
                self.started = Some(now);
                loss.is_logged = true;
                Step::Start
            }
            State::Running | State::Stopped if !loss.is_logged => {
                loss.is_logged = true;
                Step::Warn
            }
            State::Running | State::Stopped => Step::Wait,
        }
    }

    /// When to look again, if the loss may have to be acted on then.
    pub(super) fn due(&self) -> Option<Instant> {
        let loss = self.loss.as_ref().filter(|loss| !loss.is_logged)?;
        Some(loss.since + grace(loss.state))
    }
}

fn grace(state: State) -> Duration {
    match state {
        State::IdleSocketActivated | State::Stopped => RESTART,
        State::Running => RELOAD,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: State = State::IdleSocketActivated;

    #[test]
    fn an_idle_daemon_is_started_and_given_time() {
        let start = Instant::now();
        let mut rules = Rules::default();
        assert_eq!(rules.are_gone(IDLE, start), Step::Wait);
        assert_eq!(rules.due(), Some(start + RESTART));
        let due = start + RESTART;
        assert_eq!(rules.are_gone(IDLE, due), Step::Start);
        assert_eq!(rules.due(), None);
        assert_eq!(rules.are_gone(State::Running, due), Step::Wait);
        assert_eq!(rules.are_gone(IDLE, due + RESTART), Step::Wait);
        assert_eq!(rules.are_gone(IDLE, due + REST / 2), Step::Wait);
        assert_eq!(rules.are_gone(IDLE, due + REST), Step::Start);
        assert!(rules.are_there());
        assert!(!rules.are_there());
        assert_eq!(rules.are_gone(IDLE, due + REST), Step::Wait);
        assert_eq!(rules.are_gone(IDLE, due + REST + RESTART), Step::Start);
    }

    #[test]
    fn a_daemon_that_restarts_is_not_started() {
        let start = Instant::now();
        let mut rules = Rules::default();
        assert_eq!(rules.are_gone(State::Running, start), Step::Wait);
        let stopped = start + RESTART;
        assert_eq!(rules.are_gone(IDLE, stopped), Step::Wait);
        assert_eq!(
            rules.are_gone(State::Running, stopped + RESTART),
            Step::Wait
        );
        assert!(!rules.are_there());
    }

    #[test]
    fn a_daemon_that_sets_its_rules_by_itself_is_waited_for() {
        let start = Instant::now();
        let mut rules = Rules::default();
        assert_eq!(rules.are_gone(State::Running, start), Step::Wait);
        assert!(!rules.are_there());
        assert_eq!(rules.are_gone(State::Running, start), Step::Wait);
        let due = rules.due().unwrap();
        assert_eq!(rules.are_gone(State::Running, due), Step::Warn);
        assert_eq!(rules.due(), None);
        assert_eq!(rules.are_gone(State::Running, due + REST), Step::Wait);
        assert!(rules.are_there());
    }
}
