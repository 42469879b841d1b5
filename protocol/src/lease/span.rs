//! Spans of lease time, each rounded to the safe side of how far two clocks may differ in rate.

use std::time::Duration;

use crate::limits::{CLOCK_RATE_PERCENT, HOLD_MAX};
use crate::planted::{self, Bug};

/// Returns how long a holder may rely on a promise that a voter keeps for `hold`, from the moment it asked.
///
/// The holder's clock may be slow by the bound and the voter's fast by it: T·(1-e)/(1+e).
pub fn validity(hold: Duration) -> Duration {
    if planted::is(Bug::NoDriftGuard) {
        return hold;
    }
    scaled(hold, 100 - CLOCK_RATE_PERCENT, 100 + CLOCK_RATE_PERCENT, 0)
}

/// Returns how long a voter grants nothing after a start at which it cannot tell what it had promised.
///
/// By then every promise it can have forgotten has lapsed by every clock: `HOLD_MAX`·(1+e)/(1-e).
pub fn start_wait() -> Duration {
    scaled(HOLD_MAX, 100 + CLOCK_RATE_PERCENT, 100 - CLOCK_RATE_PERCENT, 1)
}

/// Returns `span`·`by`/`of` in whole microseconds, and `more` of them.
fn scaled(span: Duration, by: u32, of: u32, more: u64) -> Duration {
    let micros = span.as_micros().saturating_mul(u128::from(by)) / u128::from(of);
    Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX).saturating_add(more))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::HOLD_DEFAULT;

    #[test]
    fn a_holder_stops_before_any_voter_does_at_both_ends_of_the_rates() {
        for hold in [Duration::from_micros(1), Duration::from_secs(5), HOLD_DEFAULT, HOLD_MAX] {
            // True time in units of 1/10,000 us: the holder's clock runs at 0.99, the voter's at 1.01.
            let holder_stops = validity(hold).as_micros() * 10_000 * 101;
            let voter_stops = hold.as_micros() * 10_000 * 99;
            assert!(holder_stops <= voter_stops, "{hold:?}");
        }
        assert_eq!(validity(HOLD_DEFAULT), Duration::from_micros(88_217_821));
    }

    #[test]
    fn a_start_waits_out_the_longest_hold_by_the_slowest_clock() {
        assert!(start_wait().as_micros() * 99 >= HOLD_MAX.as_micros() * 101);
        assert!(start_wait() < Duration::from_secs(123));
    }
}
