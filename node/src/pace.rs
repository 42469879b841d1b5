//! How fast somebody may do something: so much in a burst, and then as much as is earned in each span of time.

use std::time::{Duration, Instant};

use beadmesh_protocol::clock;

/// A bound on how fast something may come.
#[derive(Debug)]
pub(crate) struct Pace {
    /// How many may come at once.
    pub(crate) burst: u32,
    /// In what span more is earned.
    pub(crate) refill: Duration,
    /// How many more.
    pub(crate) gain: u32,
}

impl Pace {
    /// Returns the span in which so many are earned.
    pub(crate) fn span(&self, many: u32) -> Duration {
        let nanos = self.refill.as_nanos() * u128::from(many) / u128::from(self.gain);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// A reading of a clock: of the node's own, which counts while the machine sleeps, or of that of connections and timers.
pub(crate) trait Moment: Copy + Ord {
    /// Returns the reading so much later, or as late as there is one.
    fn later(self, span: Duration) -> Self;

    /// Returns the time since an earlier reading, and none since a later one.
    fn passed_since(self, earlier: Self) -> Duration;
}

impl Moment for Instant {
    fn later(self, span: Duration) -> Self {
        self.checked_add(span).unwrap_or(self)
    }

    fn passed_since(self, earlier: Self) -> Duration {
        self.saturating_duration_since(earlier)
    }
}

impl Moment for clock::Instant {
    fn later(self, span: Duration) -> Self {
        self.after(span)
    }

    fn passed_since(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}

/// What was taken of a pace and is not earned yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taken<M = Instant> {
    /// When all of it is.
    earned_at: M,
}

impl<M: Moment> Taken<M> {
    pub(crate) fn nothing(now: M) -> Self {
        Self { earned_at: now }
    }

    /// Returns whether all is earned, so that whoever took is as good as new.
    pub(crate) fn is_nothing(&self, now: M) -> bool {
        self.earned_at <= now
    }

    /// Takes one, if the pace allows it; returns whether it did.
    pub(crate) fn take(&mut self, pace: &Pace, now: M) -> bool {
        self.take_many(pace, 1, now)
    }

    /// Takes that many, or none; returns whether the pace allowed it.
    pub(crate) fn take_many(&mut self, pace: &Pace, many: u32, now: M) -> bool {
        let mut after = *self;
        let is_allowed = after.owe(pace.span(many), pace.span(pace.burst), now).is_zero();
        if is_allowed {
            *self = after;
        }
        is_allowed
    }

    /// Takes what is earned in a span, allowed or not; returns how long to wait until no more than a burst, given by its
    /// span, is taken and not earned.
    pub(crate) fn owe(&mut self, span: Duration, burst: Duration, now: M) -> Duration {
        self.earned_at = self.earned_at.max(now).later(span);
        self.earned_at.passed_since(now).saturating_sub(burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_let_through_and_then_one_after_each_refill() {
        let (pace, now) = (Pace { burst: 3, refill: Duration::from_millis(10), gain: 1 }, Instant::now());
        let mut taken = Taken::nothing(now);
        assert_eq!((0..10).filter(|_| taken.take(&pace, now)).count(), 3);
        assert!(taken.take(&pace, now + pace.refill));
        assert!(!taken.take(&pace, now + pace.refill));
        assert_eq!((0..10).filter(|_| taken.take(&pace, now + pace.refill * 100)).count(), 3);
    }

    #[test]
    fn many_are_taken_together_or_not_at_all() {
        let (pace, now) = (Pace { burst: 10, refill: Duration::from_millis(10), gain: 4 }, Instant::now());
        let mut taken = Taken::nothing(now);
        assert!(taken.take_many(&pace, 7, now));
        assert!(!taken.take_many(&pace, 7, now));
        assert!(taken.take_many(&pace, 3, now), "what did not suffice is still there");
        assert!(!taken.take_many(&pace, 5, now + pace.refill));
        assert!(taken.take_many(&pace, 8, now + pace.refill * 2));
        assert!(!taken.take_many(&pace, 11, now + pace.refill * 100), "more than a burst never comes");
    }

    #[test]
    fn who_owes_waits_until_no_more_than_a_burst_is_owed() {
        let (second, now) = (Duration::from_secs(1), Instant::now());
        let mut taken = Taken::nothing(now);
        assert_eq!(taken.owe(second * 2, second * 2, now), Duration::ZERO);
        assert_eq!(taken.owe(second * 3, second * 2, now), second * 3);
        assert!(!taken.is_nothing(now + second * 4) && taken.is_nothing(now + second * 5));
        assert_eq!(taken.owe(second, second * 2, now + second * 9), Duration::ZERO, "it is forgiven");
    }
}
