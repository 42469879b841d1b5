//! Set reconciliation: finds which entries two nodes lack of each other, by negentropy's algorithm and crate.
//!
//! Keys are (hybrid milliseconds, entry id): time first, because work done offline is contiguous in time. A session
//! works on a frozen snapshot, so entries may arrive while it runs.

use std::sync::Arc;

use negentropy::{Bound, Id, Item, Negentropy, NegentropyStorageBase};
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::id::EntryId;
use crate::limits::FRAME_BYTES_MAX;

/// Bytes of one reconciliation message, so that it fits a frame with its envelope.
const MESSAGE_BYTES_MAX: u64 = FRAME_BYTES_MAX as u64 - 256;

/// Rounds one reconciliation may take; a million differing entries take about 40.
const ROUNDS_MAX: u32 = 1_000;

/// Where an entry lies in the order that reconciliation walks: hybrid milliseconds, then id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    millis: u64,
    id: EntryId,
}

impl Key {
    /// Returns the key of an entry written at that hybrid time.
    pub fn new(hlc: Timestamp, id: EntryId) -> Self {
        Self { millis: hlc.wall().as_millis(), id }
    }

    /// Returns the entry's id.
    pub fn id(&self) -> EntryId {
        self.id
    }
}

/// The number of entries in a set and the sum of their ids: equal summaries mean equal sets.
///
/// The sum is over ids as little-endian numbers modulo 2^256, as negentropy's own fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Summary {
    /// How many entries.
    pub count: u64,
    /// The sum of their ids.
    pub sum: [u8; 32],
}

impl Summary {
    /// Returns the summary of those ids.
    pub fn of(ids: impl IntoIterator<Item = EntryId>) -> Self {
        let mut summary = Self::default();
        ids.into_iter().for_each(|id| summary.add(id));
        summary
    }

    /// Adds an entry that was not in the set.
    pub fn add(&mut self, id: EntryId) {
        self.count += 1;
        let mut carry = 0u16;
        for (sum, byte) in self.sum.iter_mut().zip(id.as_bytes()) {
            let total = u16::from(*sum) + u16::from(*byte) + carry;
            *sum = (total & 0xff) as u8;
            carry = total >> 8;
        }
    }
}

/// The keys of one set at one moment, in order.
#[derive(Debug, Clone, Default)]
pub struct Snapshot(Arc<Vec<Key>>);

impl Snapshot {
    /// Freezes keys, which must come in order and without repetition.
    pub fn new(keys: Vec<Key>) -> Self {
        debug_assert!(keys.is_sorted_by(|left, right| left < right), "keys come in order, once each");
        Self(Arc::new(keys))
    }

    /// Returns the number of keys.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl NegentropyStorageBase for Snapshot {
    fn size(&self) -> Result<usize, negentropy::Error> {
        Ok(self.0.len())
    }

    fn get_item(&self, index: usize) -> Result<Option<Item>, negentropy::Error> {
        Ok(self.0.get(index).map(item))
    }

    fn iterate(
        &self,
        begin: usize,
        end: usize,
        visit: &mut dyn FnMut(Item, usize) -> Result<bool, negentropy::Error>,
    ) -> Result<(), negentropy::Error> {
        let keys = self.0.get(begin..end).ok_or(negentropy::Error::BadRange)?;
        for (offset, key) in keys.iter().enumerate() {
            if !visit(item(key), begin + offset)? {
                break;
            }
        }
        Ok(())
    }

    fn find_lower_bound(&self, first: usize, last: usize, bound: &Bound) -> usize {
        let keys = self.0.get(first..last).unwrap_or_default();
        first + keys.partition_point(|key| item(key) < bound.item)
    }
}

fn item(key: &Key) -> Item {
    Item { timestamp: key.millis, id: Id::from_byte_array(*key.id.as_bytes()) }
}

/// The peer's message is not one of a reconciliation, or the reconciliation does not end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReconcileError {
    /// The message does not decode.
    #[error("reconciliation message does not decode: {0}")]
    Malformed(String),
    /// More rounds than any honest difference takes.
    #[error("reconciliation did not end within {ROUNDS_MAX} rounds")]
    TooManyRounds,
}

/// What two sets lack of each other, as the side that began sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// Entries that we hold and the peer lacks, in the order of keys.
    pub have: Vec<EntryId>,
    /// Entries that the peer holds and we lack, in the order of ids.
    pub need: Vec<EntryId>,
}

/// What comes after a message from the peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The next message to send.
    Continue(Vec<u8>),
    /// The difference is known whole.
    Done(Difference),
}

/// The side that begins a reconciliation and learns the difference.
#[derive(Debug)]
pub struct Initiator {
    session: Negentropy<'static, Snapshot>,
    difference: Difference,
    rounds: u32,
}

impl Initiator {
    /// Begins over a snapshot and returns the first message.
    ///
    /// # Errors
    /// Never for a snapshot in order; the crate's signature allows it.
    pub fn begin(snapshot: Snapshot) -> Result<(Self, Vec<u8>), ReconcileError> {
        let mut session = Negentropy::owned(snapshot, MESSAGE_BYTES_MAX).map_err(malformed)?;
        let message = session.initiate().map_err(malformed)?;
        Ok((Self { session, difference: Difference::default(), rounds: 0 }, message))
    }

    /// Takes the peer's answer.
    ///
    /// # Errors
    /// When the peer breaks the protocol.
    pub fn step(&mut self, message: &[u8]) -> Result<Step, ReconcileError> {
        self.rounds += 1;
        if self.rounds > ROUNDS_MAX {
            return Err(ReconcileError::TooManyRounds);
        }
        let (mut have, mut need) = (Vec::new(), Vec::new());
        let next = self.session.reconcile_with_ids(message, &mut have, &mut need).map_err(malformed)?;
        self.difference.have.extend(have.into_iter().map(|id| EntryId::from_bytes(id.to_bytes())));
        self.difference.need.extend(need.into_iter().map(|id| EntryId::from_bytes(id.to_bytes())));
        match next {
            Some(message) => Ok(Step::Continue(message)),
            None => {
                // The crate collects what we need in a hash set: sorting makes the order the same every time.
                self.difference.need.sort_unstable();
                self.difference.need.dedup();
                Ok(Step::Done(std::mem::take(&mut self.difference)))
            }
        }
    }
}

/// The side that answers.
#[derive(Debug)]
pub struct Responder {
    session: Negentropy<'static, Snapshot>,
}

impl Responder {
    /// Answers over a snapshot.
    ///
    /// # Errors
    /// Never for a snapshot in order; the crate's signature allows it.
    pub fn new(snapshot: Snapshot) -> Result<Self, ReconcileError> {
        Ok(Self { session: Negentropy::owned(snapshot, MESSAGE_BYTES_MAX).map_err(malformed)? })
    }

    /// Answers one message.
    ///
    /// # Errors
    /// When the peer breaks the protocol.
    pub fn step(&mut self, message: &[u8]) -> Result<Vec<u8>, ReconcileError> {
        self.session.reconcile(message).map_err(malformed)
    }
}

/// Takes the crate's error by value so that it serves `map_err` as it stands.
#[allow(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn malformed(error: negentropy::Error) -> ReconcileError {
    ReconcileError::Malformed(error.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::Wall;

    fn key(number: u32) -> Key {
        let hash = blake3::hash(&number.to_le_bytes());
        Key::new(Timestamp::from_wall(Wall::from_millis(u64::from(number / 3))), EntryId::from_bytes(*hash.as_bytes()))
    }

    fn snapshot(numbers: impl IntoIterator<Item = u32>) -> Snapshot {
        let mut keys: Vec<Key> = numbers.into_iter().map(key).collect();
        keys.sort_unstable();
        Snapshot::new(keys)
    }

    fn reconcile(left: Snapshot, right: Snapshot) -> (Difference, usize) {
        let mut responder = Responder::new(right).unwrap();
        let (mut initiator, mut message) = Initiator::begin(left).unwrap();
        let mut bytes = message.len();
        loop {
            let answer = responder.step(&message).unwrap();
            assert!(answer.len() <= FRAME_BYTES_MAX);
            bytes += answer.len();
            match initiator.step(&answer).unwrap() {
                Step::Done(difference) => return (difference, bytes),
                Step::Continue(next) => message = next,
            }
            bytes += message.len();
        }
    }

    #[test]
    fn a_thousand_new_among_a_hundred_thousand_cost_little() {
        let (difference, bytes) = reconcile(snapshot(0..100_000), snapshot(0..101_000));
        assert_eq!(difference.have, []);
        assert_eq!(difference.need.len(), 1_000);
        assert!(bytes < 60_000, "{bytes} bytes");
    }

    #[test]
    fn a_difference_larger_than_a_frame_is_found_whole() {
        let (difference, _) = reconcile(snapshot([]), snapshot(0..80_000));
        assert_eq!(difference.need.len(), 80_000);
        let (difference, _) = reconcile(snapshot(0..80_000), snapshot([]));
        assert_eq!(difference.have.len(), 80_000);
    }

    proptest! {
        #[test]
        fn the_difference_is_the_difference(
            left in proptest::collection::btree_set(0u32..3_000, 0..400),
            right in proptest::collection::btree_set(0u32..3_000, 0..400),
        ) {
            let (difference, _) = reconcile(snapshot(left.iter().copied()), snapshot(right.iter().copied()));
            let ids = |numbers: Vec<&u32>| {
                let mut ids: Vec<EntryId> = numbers.into_iter().map(|&number| key(number).id()).collect();
                ids.sort_unstable();
                ids
            };
            let mut have = difference.have;
            have.sort_unstable();
            prop_assert_eq!(have, ids(left.difference(&right).collect()));
            prop_assert_eq!(difference.need, ids(right.difference(&left).collect()));
        }

        #[test]
        fn no_message_makes_either_side_panic(message in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut message = message;
            message.insert(0, 0x61);
            let _ = Responder::new(snapshot(0..50)).unwrap().step(&message);
            let _ = Initiator::begin(snapshot(0..50)).unwrap().0.step(&message);
        }

        #[test]
        fn equal_sets_have_equal_summaries(numbers in proptest::collection::btree_set(0u32..3_000, 0..50)) {
            let forward = Summary::of(numbers.iter().map(|&number| key(number).id()));
            let backward = Summary::of(numbers.iter().rev().map(|&number| key(number).id()));
            prop_assert_eq!(forward, backward);
            let mut longer = forward;
            longer.add(key(5_000).id());
            prop_assert_ne!(longer, forward);
        }
    }
}
