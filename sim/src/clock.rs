//! The clocks of one simulated machine: one that counts through sleep and drifts, and a wall clock that may be wrong.

use beadmesh_protocol::clock::{Instant, Now, Wall};

/// What a right wall clock shows when a run begins: 2026-01-01 00:00 UTC.
const WALL_BEGINS_MS: u64 = 1_767_225_600_000;

/// Parts of a drift's unit.
const MILLION: i128 = 1_000_000;

/// The clocks of one machine.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    drift_ppm: i32,
    /// A reading and the true time it was taken at; the drift counts from there.
    mono_us: u64,
    true_us: u64,
    stands: bool,
    ahead_ms: i64,
}

impl Clock {
    /// Returns clocks that start now, the wall clock that far ahead.
    pub(crate) fn new(drift_ppm: i32, ahead_ms: i64) -> Self {
        Self { drift_ppm, mono_us: 0, true_us: 0, stands: false, ahead_ms }
    }

    /// Reads both clocks at a true time.
    pub(crate) fn read(&self, true_us: u64) -> Now {
        let right = i128::from(WALL_BEGINS_MS + true_us / 1_000);
        let wall = u64::try_from((right + i128::from(self.ahead_ms)).max(0)).unwrap_or(u64::MAX);
        Now { mono: Instant::from_micros(self.mono_at(true_us)), wall: Wall::from_millis(wall) }
    }

    /// Returns the first true time at which the clock has reached an instant, were it to go on as it goes.
    pub(crate) fn when(&self, instant: Instant) -> u64 {
        let ahead = i128::from(instant.as_micros()) - i128::from(self.mono_us);
        let rate = MILLION + i128::from(self.drift_ppm);
        let span = (ahead.max(0) * MILLION + rate - 1) / rate;
        self.true_us.saturating_add(u64::try_from(span).unwrap_or(u64::MAX))
    }

    /// Begins at zero again, as after a boot.
    pub(crate) fn boot(&mut self, true_us: u64) {
        (self.mono_us, self.true_us, self.stands) = (0, true_us, false);
    }

    /// Stops the clock that should count through sleep.
    pub(crate) fn stop(&mut self, true_us: u64) {
        (self.mono_us, self.true_us, self.stands) = (self.mono_at(true_us), true_us, true);
    }

    /// Lets it go on.
    pub(crate) fn go(&mut self, true_us: u64) {
        if self.stands {
            (self.true_us, self.stands) = (true_us, false);
        }
    }

    /// Sets the wall clock forward, or back where negative.
    pub(crate) fn step(&mut self, by_ms: i64) {
        self.ahead_ms = self.ahead_ms.saturating_add(by_ms);
    }

    /// Sets the wall clock right.
    pub(crate) fn mend(&mut self) {
        self.ahead_ms = 0;
    }

    fn mono_at(&self, true_us: u64) -> u64 {
        if self.stands {
            return self.mono_us;
        }
        let span = i128::from(true_us.saturating_sub(self.true_us));
        let counted = span * (MILLION + i128::from(self.drift_ppm)) / MILLION;
        self.mono_us + u64::try_from(counted).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_drifts_and_says_when_it_will_reach_an_instant() {
        for drift in [-10_000, -1, 0, 7, 10_000] {
            let mut clock = Clock::new(drift, 0);
            clock.boot(5_000);
            for micros in [0, 1, 999, 1_000_000, 86_400_000_000] {
                let instant = Instant::from_micros(micros);
                let when = clock.when(instant);
                assert!(clock.read(when).mono >= instant, "{drift} {micros}");
                assert!(when == 5_000 || clock.read(when - 1).mono < instant, "{drift} {micros}");
            }
        }
    }

    #[test]
    fn a_clock_that_stands_goes_on_where_it_stood() {
        let mut clock = Clock::new(0, -3_000);
        clock.stop(1_000);
        assert_eq!(clock.read(9_000).mono.as_micros(), 1_000);
        clock.go(9_000);
        assert_eq!(clock.read(9_500).mono.as_micros(), 1_500);
        assert_eq!(clock.read(3_000_000).wall.as_millis(), WALL_BEGINS_MS);
    }

    #[test]
    fn a_wall_clock_never_shows_less_than_nothing() {
        assert_eq!(Clock::new(0, i64::MIN).read(0).wall.as_millis(), 0);
    }
}
