//! Streams of random numbers, each named by what draws from it, so that drawing more here shifts nothing there.
//!
//! Only whole numbers: floats differ between machines and builds.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The BLAKE3 context under which streams are keyed.
const CONTEXT: &str = "beadmesh simulation stream v1";

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub(crate) struct Stream(ChaCha8Rng);

impl Stream {
    /// Returns the stream of that seed, name and two numbers, such as the ends of a link; always the same.
    pub(crate) fn keyed(seed: u64, name: &str, a: u64, b: u64) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
        // What has a fixed length first, so that no two lists of parts are one text.
        for number in [seed, a, b] {
            hasher.update(&number.to_be_bytes());
        }
        hasher.update(name.as_bytes());
        Self(ChaCha8Rng::from_seed(*hasher.finalize().as_bytes()))
    }

    /// Returns a number of 64 random bits.
    pub(crate) fn number(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Returns a number below `n`; for `n` below 2^32 no two are likelier than 2^-32 apart.
    ///
    /// # Panics
    /// When `n` is 0: there is no such number.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        assert!(n > 0, "nothing is below 0");
        let product = u128::from(self.number()) * u128::from(n);
        u64::try_from(product >> 64).expect("the upper half has 64 bits")
    }

    /// Returns a number from `low` to `high`, both included; `low` where they are the wrong way round.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        match high.saturating_sub(low).checked_add(1) {
            Some(numbers) => low + self.below(numbers),
            None => self.number(),
        }
    }

    /// Returns a number from `low` to `high` of which each power of two is as likely as the next.
    ///
    /// So spans of milliseconds come up as often as spans of seconds.
    pub(crate) fn scaled(&mut self, low: u64, high: u64) -> u64 {
        let low = low.max(1);
        let doublings = (high / low).checked_ilog2().unwrap_or(0);
        let base = low << self.between(0, u64::from(doublings));
        self.between(base, base.saturating_mul(2).saturating_sub(1).min(high))
    }

    /// Returns a number from `-far` to `far`, signs being equally likely.
    pub(crate) fn either_way(&mut self, far: u64) -> i64 {
        self.signed(|stream| stream.between(0, far))
    }

    /// Gives a drawn number a sign.
    pub(crate) fn signed(&mut self, draw: impl FnOnce(&mut Self) -> u64) -> i64 {
        let number = i64::try_from(draw(self)).unwrap_or(i64::MAX);
        if self.chance(500) { number } else { -number }
    }

    /// Returns whether something happens that does so that often in a thousand.
    pub(crate) fn chance(&mut self, per_mille: u32) -> bool {
        self.below(1_000) < u64::from(per_mille)
    }

    /// Returns a place in a list of that length.
    ///
    /// # Panics
    /// When the list is empty.
    pub(crate) fn place(&mut self, len: usize) -> usize {
        let len = u64::try_from(len).expect("lengths fit 64 bits");
        usize::try_from(self.below(len)).expect("a place is below a length")
    }

    /// Returns one of the items.
    ///
    /// # Panics
    /// When there is none.
    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.place(items.len())]
    }

    /// Returns random bytes.
    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.fill_bytes(&mut bytes);
        bytes
    }

    /// Returns an exponentially distributed span of that mean, in microseconds; at most some 44 times the mean.
    ///
    /// It is mean · ln 2 · -log2 u for u drawn from 0 to 1, with 16 bits behind the point. The logarithm's whole part is
    /// counted in leading zeros; of the rest, log2 (1 + f) is taken for f + 0.3466 f (1 - f), at most 0.01 off.
    pub(crate) fn exponential_us(&mut self, mean: u64) -> u64 {
        /// 0.3466, where it makes the parabola meet the logarithm, with 16 bits behind the point.
        const BEND: u64 = 22_715;
        /// ln 2, with 16 bits behind the point.
        const LN_2: u128 = 45_426;
        let drawn = self.number().max(1);
        let zeros = drawn.leading_zeros();
        let fraction = (drawn << zeros << 1) >> 48;
        let bent = ((fraction * (65_536 - fraction)) >> 16) * BEND;
        let log = (u64::from(zeros + 1) << 16) - fraction - (bent >> 16);
        u64::try_from((u128::from(mean) * u128::from(log) * LN_2) >> 32).unwrap_or(u64::MAX)
    }

    /// Puts items in a random order.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.place(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_named_by_all_of_its_parts() {
        let first = |seed, name, a, b| Stream::keyed(seed, name, a, b).number();
        assert_eq!(first(7, "link", 1, 2), first(7, "link", 1, 2));
        let others = [first(8, "link", 1, 2), first(7, "node", 1, 2), first(7, "link", 2, 1), first(7, "link", 1, 3)];
        assert!(others.iter().all(|other| *other != first(7, "link", 1, 2)));
    }

    #[test]
    fn streams_are_the_same_on_every_machine() {
        let mut stream = Stream::keyed(81_234, "planner", 0, 0);
        let drawn = [stream.below(1_000), stream.between(5, 9), stream.exponential_us(1_000), stream.scaled(1, 15_000)];
        assert_eq!(drawn, [639, 7, 929, 9_478]);
    }

    #[test]
    fn numbers_keep_their_bounds_and_reach_them() {
        let mut stream = Stream::keyed(1, "bounds", 0, 0);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..2_000 {
            seen.insert(stream.between(3, 9));
            assert!((10..=25_000).contains(&stream.scaled(10, 25_000)));
            assert!((-5..=5).contains(&stream.either_way(5)));
        }
        assert_eq!(seen, (3..=9).collect());
        assert_eq!(stream.between(4, 4), 4);
        assert_eq!(stream.between(4, 3), 4);
        assert_eq!(stream.scaled(20, 20), 20);
        let _ = stream.between(0, u64::MAX);
    }

    #[test]
    fn a_chance_comes_as_often_as_it_should() {
        let mut stream = Stream::keyed(2, "chance", 0, 0);
        let hits = (0..10_000).filter(|_| stream.chance(250)).count();
        assert!((2_300..2_700).contains(&hits), "{hits}");
        assert!(!stream.chance(0) && stream.chance(1_000));
    }

    #[test]
    fn exponential_spans_have_their_mean_and_their_tail() {
        let mut stream = Stream::keyed(3, "exponential", 0, 0);
        let mut spans: Vec<u64> = (0..100_000).map(|_| stream.exponential_us(10_000)).collect();
        let mean = spans.iter().sum::<u64>() / 100_000;
        assert!((9_800..10_200).contains(&mean), "{mean}");
        spans.sort_unstable();
        // ln 2, ln 10 and ln 100 times the mean.
        for (place, expected) in [(50_000, 6_931), (90_000, 23_026), (99_000, 46_052)] {
            assert!(spans[place].abs_diff(expected) < expected / 20, "{place}: {}", spans[place]);
        }
        assert_eq!(stream.exponential_us(0), 0);
    }

    #[test]
    fn a_shuffle_loses_nothing() {
        let mut stream = Stream::keyed(4, "shuffle", 0, 0);
        let mut items: Vec<u32> = (0..50).collect();
        stream.shuffle(&mut items);
        assert_ne!(items, (0..50).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..50).collect::<Vec<_>>());
    }
}
