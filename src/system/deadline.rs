//! Until when a run may take.

use std::time::{Duration, Instant};

/// libvirtd waits for its hook without any limit (src/util/vircommand.c), and with it
/// everybody who waits for the network. So everything we wait for ends here.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Instant);

impl Deadline {
    /// That far from now.
    pub fn after(time: Duration) -> Self {
        Self(Instant::now() + time)
    }

    /// What is left, nothing once it has passed.
    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Whether it has passed.
    pub fn is_over(self) -> bool {
        self.left().is_zero()
    }
}
