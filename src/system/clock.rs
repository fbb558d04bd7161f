//! The time since boot, which neither an administrator nor an NTP client can set.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The time since boot, including suspend.
pub fn since_boot() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::from_secs(seconds) + Duration::from_nanos(time.tv_nsec.unsigned_abs())
}
