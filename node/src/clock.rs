//! The one place where the node reads clocks.

use std::time::{SystemTime, UNIX_EPOCH};

use beadmesh_protocol::clock::{Instant, Now, Wall};
use rustix::time::{ClockId, clock_gettime};

/// Counts time while the machine sleeps, so that a lease runs out while a lid is closed.
#[cfg(any(target_os = "linux", target_os = "android"))]
const SUSPEND_INCLUSIVE: ClockId = ClockId::Boottime;
/// On macOS the monotonic clock itself counts while the machine sleeps.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const SUSPEND_INCLUSIVE: ClockId = ClockId::Monotonic;

/// Reads both clocks.
pub fn now() -> Now {
    Now { mono: mono(), wall: wall() }
}

/// Reads the suspend-inclusive clock.
pub fn mono() -> Instant {
    let time = clock_gettime(SUSPEND_INCLUSIVE);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    Instant::from_micros(seconds * 1_000_000 + nanos / 1_000)
}

/// Reads the wall clock; before 1970 it is 1970.
pub fn wall() -> Wall {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Wall::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Tells this start of the machine from others; where the system does not say, every start of a process is one.
///
/// # Errors
/// When the system has no random numbers either.
pub fn boot() -> Result<[u8; 16], getrandom::Error> {
    // A UUID, in text: 32 hexadecimal digits and four hyphens.
    let told = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits: String = told.trim().chars().filter(|char| *char != '-').collect();
    if let Some(boot) = u128::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 32) {
        return Ok(boot.to_be_bytes());
    }
    let mut drawn = [0; 16];
    getrandom::fill(&mut drawn)?;
    Ok(drawn)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_suspend_inclusive_clock_does_not_run_backwards() {
        let first = super::mono();
        assert!(super::mono() >= first);
    }
}
