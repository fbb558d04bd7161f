//! The daemons.

use super::{announcement::Announcement, bird, frr};

/// The program that announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RoutingDaemon {
    Frr,
    Bird,
}

impl RoutingDaemon {
    /// Renders the configuration that makes this daemon announce `announcement`.
    pub(crate) fn render(self, announcement: &Announcement) -> String {
        match self {
            Self::Frr => frr::render(announcement),
            Self::Bird => bird::render(announcement),
        }
    }
}
