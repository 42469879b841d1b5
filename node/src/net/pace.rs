//! How fast somebody may do something: some in a burst, then more after each refill.

use std::time::{Duration, Instant};

/// A bound on how fast something may come.
#[derive(Debug)]
pub(crate) struct Pace {
    /// How many may come at once.
    pub(crate) burst: u32,
    /// After how long more may; whole milliseconds.
    pub(crate) refill: Duration,
    /// How many more.
    pub(crate) gain: u32,
}

/// What is left of a pace.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tokens {
    pub(super) left: u32,
    pub(super) refilled: Instant,
}

impl Tokens {
    pub(crate) fn full(pace: &Pace, now: Instant) -> Self {
        Self { left: pace.burst, refilled: now }
    }

    pub(super) fn refill(&mut self, pace: &Pace, now: Instant) {
        let refills = now.saturating_duration_since(self.refilled).as_millis() / pace.refill.as_millis();
        let earned = u32::try_from(refills).unwrap_or(u32::MAX).saturating_mul(pace.gain);
        if earned > 0 {
            self.left = self.left.saturating_add(earned).min(pace.burst);
            // What is left of the span counts for the next refill.
            let counted = u32::try_from(refills).ok().and_then(|refills| pace.refill.checked_mul(refills));
            let refilled = counted.and_then(|counted| self.refilled.checked_add(counted));
            self.refilled = refilled.map_or(now, |refilled| refilled.min(now));
        }
    }

    /// Takes one, after what was earned meanwhile; returns whether there was one.
    pub(crate) fn take(&mut self, pace: &Pace, now: Instant) -> bool {
        self.take_many(pace, 1, now)
    }

    /// Takes that many, after what was earned meanwhile, or none; returns whether there were as many.
    pub(super) fn take_many(&mut self, pace: &Pace, many: u32, now: Instant) -> bool {
        self.refill(pace, now);
        let left = self.left.checked_sub(many);
        self.left = left.unwrap_or(self.left);
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_let_through_and_then_one_after_each_refill() {
        let (pace, now) = (Pace { burst: 3, refill: Duration::from_millis(10), gain: 1 }, Instant::now());
        let mut tokens = Tokens::full(&pace, now);
        assert_eq!((0..10).filter(|_| tokens.take(&pace, now)).count(), 3);
        assert!(tokens.take(&pace, now + pace.refill));
        assert!(!tokens.take(&pace, now + pace.refill));
        assert_eq!((0..10).filter(|_| tokens.take(&pace, now + pace.refill * 100)).count(), 3);
    }

    #[test]
    fn many_are_taken_together_or_not_at_all() {
        let (pace, now) = (Pace { burst: 10, refill: Duration::from_millis(10), gain: 4 }, Instant::now());
        let mut tokens = Tokens::full(&pace, now);
        assert!(tokens.take_many(&pace, 7, now));
        assert!(!tokens.take_many(&pace, 7, now));
        assert!(tokens.take_many(&pace, 3, now), "what did not suffice is still there");
        assert!(!tokens.take_many(&pace, 5, now + pace.refill));
        assert!(tokens.take_many(&pace, 8, now + pace.refill * 2));
        assert!(!tokens.take_many(&pace, 11, now + pace.refill * 100), "more than a burst never comes");
    }
}
