//! The time since the host was booted, which no administrator and no NTP client sets.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How long the host has been up, suspends included.
pub fn since_boot() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::from_secs(seconds) + Duration::from_nanos(time.tv_nsec.unsigned_abs())
}
