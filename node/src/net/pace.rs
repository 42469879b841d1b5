//! How fast somebody may do something: some in a burst, then one more after each refill.

use std::time::{Duration, Instant};

/// A bound on how fast something may come.
#[derive(Debug)]
pub(super) struct Pace {
    /// How many may come at once.
    pub(super) burst: u32,
    /// After how long one more may; whole milliseconds.
    pub(super) refill: Duration,
}

/// What is left of a pace.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tokens {
    pub(super) left: u32,
    pub(super) refilled: Instant,
}

impl Tokens {
    pub(super) fn full(pace: &Pace, now: Instant) -> Self {
        Self { left: pace.burst, refilled: now }
    }

    pub(super) fn refill(&mut self, pace: &Pace, now: Instant) {
        let earned = now.saturating_duration_since(self.refilled).as_millis() / pace.refill.as_millis();
        let earned = u32::try_from(earned).unwrap_or(pace.burst).min(pace.burst);
        if earned > 0 {
            self.left = (self.left + earned).min(pace.burst);
            self.refilled = now;
        }
    }

    /// Takes one, after what was earned meanwhile; returns whether there was one.
    pub(super) fn take(&mut self, pace: &Pace, now: Instant) -> bool {
        self.refill(pace, now);
        let left = self.left.checked_sub(1);
        self.left = left.unwrap_or(0);
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_let_through_and_then_one_after_each_refill() {
        let (pace, now) = (Pace { burst: 3, refill: Duration::from_millis(10) }, Instant::now());
        let mut tokens = Tokens::full(&pace, now);
        assert_eq!((0..10).filter(|_| tokens.take(&pace, now)).count(), 3);
        assert!(tokens.take(&pace, now + pace.refill));
        assert!(!tokens.take(&pace, now + pace.refill));
        assert_eq!((0..10).filter(|_| tokens.take(&pace, now + pace.refill * 100)).count(), 3);
    }
}
