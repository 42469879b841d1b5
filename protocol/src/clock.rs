//! The two clocks handed in from outside, and the hybrid clock that entries carry.
//!
//! `Instant` measures spans on one machine, `Wall` is what a person reads, `Timestamp` orders entries for display
//! and last-writer rules. They never mix, and nothing here reads a clock.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::limits::CLOCK_SKEW_MAX;

/// A point on the local suspend-inclusive clock: microseconds since an arbitrary start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(u64);

impl Instant {
    /// Returns the instant that many microseconds after the clock's start.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Returns microseconds since the clock's start.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Returns the instant `span` later, or the last one there is.
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_micros()).unwrap_or(u64::MAX)))
    }

    /// Returns the time from `earlier` to this instant, zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// A reading of the wall clock: milliseconds since 1970 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Wall(u64);

impl Wall {
    /// Wraps milliseconds since 1970 UTC.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Returns milliseconds since 1970 UTC.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Returns the reading `span` later, or the last one there is.
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    }

    /// Returns the reading `span` earlier, or the first one there is.
    pub fn before(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    }

    /// Returns the time from this reading to a later one, zero if that is earlier.
    pub const fn until(self, later: Self) -> Duration {
        Duration::from_millis(later.0.saturating_sub(self.0))
    }

    /// Reads an RFC 3339 date and time; fractions below a millisecond are dropped, years before 1970 are 1970.
    pub fn parse(text: &str) -> Option<Self> {
        let instant: jiff::Timestamp = text.trim().parse().ok()?;
        Some(Self(u64::try_from(instant.as_millisecond()).unwrap_or(0)))
    }

    /// Reads what `parse` reads, and also `2027-01-31` or `2027-01-31T09:00`, which mean UTC.
    pub fn parse_lenient(text: &str) -> Option<Self> {
        Self::parse(text).or_else(|| {
            let text = text.trim();
            // Our own forms and no more: the crate also reads weeks, short forms and names of zones, which it drops.
            let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || b"-:.T".contains(&byte));
            let is_day_first =
                text.as_bytes().get(4) == Some(&b'-') && matches!(text.as_bytes().get(10), None | Some(b'T'));
            let civil: jiff::civil::DateTime = text.parse().ok().filter(|_| is_plain && is_day_first)?;
            let instant = jiff::tz::Offset::UTC.to_timestamp(civil).ok()?;
            u64::try_from(instant.as_millisecond()).ok().map(Self)
        })
    }
}

impl fmt::Display for Wall {
    /// Writes RFC 3339 in UTC, without a fraction when there is none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = i64::try_from(self.0).unwrap_or(i64::MAX);
        let instant = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX);
        write!(f, "{instant}")
    }
}

/// Both clocks as they stood when an input was handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// The suspend-inclusive clock, for timers and leases.
    pub mono: Instant,
    /// The wall clock, for timestamps, due dates and invite expiry.
    pub wall: Wall,
}

/// A hybrid logical time: 48 bits of milliseconds since 1970, then 16 bits of counter.
///
/// Source: Kulkarni et al. 2014, "Logical Physical Clocks", with both parts in one word as in its section 6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Timestamp(u64);

impl Timestamp {
    /// Returns the first timestamp of that millisecond; milliseconds beyond 48 bits are the last that fit.
    pub fn from_wall(wall: Wall) -> Self {
        Self(wall.0.min((1 << 48) - 1) << 16)
    }

    /// Returns the millisecond part.
    pub const fn wall(self) -> Wall {
        Wall(self.0 >> 16)
    }

    /// Returns the counter within the millisecond.
    pub const fn counter(self) -> u16 {
        (self.0 & 0xffff) as u16
    }

    /// Wraps a packed word.
    pub const fn from_u64(word: u64) -> Self {
        Self(word)
    }

    /// Returns the packed word; its order is the order of timestamps.
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

/// Hands out timestamps that rise, follow what was seen, and are not dragged along by clocks that run ahead.
#[derive(Debug, Clone, Default)]
pub struct HybridClock {
    last: Timestamp,
}

impl HybridClock {
    /// Returns the next timestamp, later than every one seen that was not far ahead of `wall`.
    ///
    /// When our own earlier timestamps lie far ahead of `wall`, the wall clock has been mended meanwhile, and the
    /// clock falls back to it.
    pub fn tick(&mut self, wall: Wall) -> Timestamp {
        let here = Timestamp::from_wall(wall);
        let floor = if self.last.wall() > wall.after(CLOCK_SKEW_MAX) { Timestamp::default() } else { self.last };
        self.last = here.max(Timestamp(floor.0.saturating_add(1)));
        self.last
    }

    /// Takes note of a timestamp from elsewhere; returns false, and ignores it, when it lies too far ahead of `wall`.
    pub fn observe(&mut self, seen: Timestamp, wall: Wall) -> bool {
        let plausible = seen.wall() <= wall.after(CLOCK_SKEW_MAX);
        if plausible {
            self.last = self.last.max(seen);
        }
        plausible
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Wall = Wall::from_millis(1_700_000_000_000);

    #[test]
    fn timestamps_rise_while_the_wall_clock_stands_still_or_steps_back() {
        let mut clock = HybridClock::default();
        let first = clock.tick(NOON);
        let second = clock.tick(NOON);
        let third = clock.tick(Wall::from_millis(NOON.as_millis() - 1_000));
        assert!(first < second && second < third);
        assert_eq!(second.counter(), 1);
    }

    #[test]
    fn a_full_counter_runs_over_into_the_next_millisecond() {
        let mut clock = HybridClock { last: Timestamp((NOON.as_millis() << 16) | 0xffff) };
        assert_eq!(clock.tick(NOON).wall().as_millis(), NOON.as_millis() + 1);
    }

    #[test]
    fn a_timestamp_far_ahead_is_reported_and_does_not_pull_the_clock() {
        let mut clock = HybridClock::default();
        let future = Timestamp::from_wall(NOON.after(Duration::from_secs(86_400)));
        assert!(!clock.observe(future, NOON));
        assert!(clock.tick(NOON) < future);
        let near = Timestamp::from_wall(NOON.after(Duration::from_secs(60)));
        assert!(clock.observe(near, NOON));
        assert!(clock.tick(NOON) > near);
    }

    #[test]
    fn a_mended_wall_clock_is_followed_again() {
        let mut clock = HybridClock::default();
        clock.tick(NOON.after(Duration::from_secs(3_600 * 24 * 365)));
        assert_eq!(clock.tick(NOON), Timestamp::from_wall(NOON));
    }

    #[test]
    fn wall_time_prints_and_parses_as_rfc_3339() {
        assert_eq!(NOON.to_string(), "2023-11-14T22:13:20Z");
        assert_eq!(Wall::parse("2023-11-14T23:13:20.5+01:00"), Some(Wall::from_millis(1_700_000_000_500)));
        assert_eq!(Wall::parse("yesterday"), None);
    }

    #[test]
    fn a_date_and_a_time_without_a_zone_mean_utc_where_they_are_let_in() {
        for (text, instant) in [
            ("2023-11-14T23:13:20+01:00", "2023-11-14T22:13:20Z"),
            (" 2023-11-14 ", "2023-11-14T00:00:00Z"),
            ("2023-11-14T22:13:20.5", "2023-11-14T22:13:20.5Z"),
            ("2023-11-14T22:13", "2023-11-14T22:13:00Z"),
        ] {
            assert_eq!(Wall::parse_lenient(text).map(|wall| wall.to_string()).as_deref(), Some(instant), "{text}");
        }
        for text in ["", "tomorrow", "2026-13-45", "2026-02-30", "2026-1-1", "20260101", "2026-01", "2026-W01-1"] {
            assert_eq!(Wall::parse_lenient(text), None, "{text}");
        }
        assert_eq!(Wall::parse_lenient("2026-01-01T00:00[Europe/Berlin]"), None);
        assert_eq!(Wall::parse("2023-11-14"), None);
    }
}
