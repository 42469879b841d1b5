//! Set reconciliation: finds which entries two nodes lack of each other, by negentropy's algorithm and crate.
//!
//! Keys are (hybrid milliseconds, entry id): time first, because work done offline is contiguous in time. A session
//! works on a frozen snapshot, so entries may arrive while it runs.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};

use negentropy::{Bound, Id, Item, Negentropy, NegentropyStorageBase};
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::id::EntryId;
use crate::limits::FRAME_BYTES_MAX;

mod message;

/// Bytes of one reconciliation message, so that it fits a frame with its envelope.
const MESSAGE_BYTES_MAX: u64 = FRAME_BYTES_MAX as u64 - 256;

/// Rounds one reconciliation may take, and as many more for each message that was full: a range that differs is split
/// by 16 a round, so that a milliard entries take 7. Each round goes over the whole set, so idle ones are dear.
const ROUNDS_MAX: u32 = 12;

/// Ids that one reconciliation may find missing here, 32 MB; beyond it the next one finds the others.
const NEED_MAX: usize = 1 << 20;

/// Bytes of a message from which it may have been cut for length: the crate stops 200 bytes short, and drops a range of
/// at most 31 ids or 16 fingerprints.
const FULL_BYTES_MIN: usize = FRAME_BYTES_MAX - 256 - 4_096;

/// Where an entry lies in the order that reconciliation walks: hybrid milliseconds, then id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    millis: u64,
    id: EntryId,
}

impl Key {
    /// The key that no other comes before.
    const FIRST: Self = Self { millis: 0, id: EntryId::from_bytes([0; 32]) };

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
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

    /// Returns the keys in order.
    pub fn keys(&self) -> &[Key] {
        &self.0
    }

    /// Returns by what the snapshot is found again, as long as somebody holds it.
    pub fn trace(&self) -> Trace {
        Trace(Arc::downgrade(&self.0))
    }
}

/// Leads to a snapshot without keeping it.
#[derive(Debug, Clone, Default)]
pub struct Trace(Weak<Vec<Key>>);

impl Trace {
    /// Returns the snapshot if somebody still holds it.
    pub fn find(&self) -> Option<Snapshot> {
        self.0.upgrade().map(Snapshot)
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
    #[error("reconciliation did not end within {0} rounds")]
    TooManyRounds(u32),
    /// Ranges that were settled are settled again.
    #[error("reconciliation goes over the same entries again")]
    Repeated,
}

/// What two sets lack of each other, as the side that began sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// Entries that we hold and the peer lacks, in the order of keys.
    pub have: Vec<EntryId>,
    /// Entries that the peer holds and we lack, in the order of keys if the peer is honest.
    pub need: Vec<EntryId>,
    /// Whether this is all of it: a peer may hold more than is taken on at one time.
    pub whole: bool,
}

/// What comes after a message from the peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The next message to send.
    Continue(Vec<u8>),
    /// The difference is known.
    Done(Difference),
}

/// The side that begins a reconciliation and learns the difference.
#[derive(Debug)]
pub struct Initiator {
    session: Negentropy<'static, Snapshot>,
    snapshot: Snapshot,
    have: BTreeSet<EntryId>,
    /// Lists of what we lack, each with the key that its range begins at.
    need: Vec<(Key, Vec<EntryId>)>,
    needed: usize,
    need_max: usize,
    /// How many times the peer has let it be known that it lacks an entry of ours.
    reported: usize,
    /// How many messages of ours may have been cut for length.
    cuts: usize,
    rounds: Rounds,
}

impl Initiator {
    /// Begins over a snapshot and returns the first message.
    ///
    /// # Errors
    /// Never for a snapshot in order; the crate's signature allows it.
    pub fn begin(snapshot: Snapshot) -> Result<(Self, Vec<u8>), ReconcileError> {
        let mut session = Negentropy::owned(snapshot.clone(), MESSAGE_BYTES_MAX).map_err(malformed)?;
        let message = session.initiate().map_err(malformed)?;
        let (have, need) = (BTreeSet::new(), Vec::new());
        let (need_max, needed, reported, cuts, rounds) = (NEED_MAX, 0, 0, 0, Rounds::default());
        Ok((Self { session, snapshot, have, need, needed, need_max, reported, cuts, rounds }, message))
    }

    /// Takes the peer's answer.
    ///
    /// # Errors
    /// When the peer breaks the protocol.
    pub fn step(&mut self, message: &[u8]) -> Result<Step, ReconcileError> {
        self.rounds.on_message(message)?;
        let (mut have, mut need) = (Vec::new(), Vec::new());
        let next = self.session.reconcile_with_ids(message, &mut have, &mut need).map_err(malformed)?;
        self.reported += have.len();
        // What is settled is not asked about again, unless a message that would have said so was cut.
        if self.reported > self.snapshot.len() * (1 + self.cuts) {
            return Err(ReconcileError::Repeated);
        }
        self.have.extend(have.into_iter().map(entry_id));
        self.note_needed(message, need);
        match next {
            Some(message) if self.needed < self.need_max => {
                self.cuts += usize::from(is_full(&message));
                self.rounds.on_answer(&message);
                Ok(Step::Continue(message))
            }
            next => Ok(Step::Done(self.take_difference(next.is_none()))),
        }
    }

    /// Keeps what the peer's message showed to be missing here, in the order of the message.
    fn note_needed(&mut self, message: &[u8], need: Vec<Id>) {
        let mut unplaced: BTreeSet<EntryId> = need.into_iter().map(entry_id).collect();
        if unplaced.is_empty() {
            return;
        }
        self.needed += unplaced.len();
        for (from, mut ids) in message::id_lists(message) {
            ids.retain(|id| unplaced.remove(id));
            if !ids.is_empty() {
                self.need.push((from, ids));
            }
        }
        if !unplaced.is_empty() {
            // Nothing is lost, should the crate ever read a message otherwise.
            self.need.push((Key::FIRST, unplaced.into_iter().collect()));
        }
    }

    fn take_difference(&mut self, whole: bool) -> Difference {
        let held = if self.have.is_empty() { &[] } else { self.snapshot.0.as_slice() };
        let have = held.iter().map(Key::id).filter(|id| self.have.contains(id)).collect();
        let mut lists = std::mem::take(&mut self.need);
        lists.sort_by_key(|(from, _)| *from);
        let mut seen = BTreeSet::new();
        let need = lists.into_iter().flat_map(|(_, ids)| ids).filter(|id| seen.insert(*id)).collect();
        Difference { have, need, whole }
    }
}

/// The side that answers.
#[derive(Debug)]
pub struct Responder {
    session: Negentropy<'static, Snapshot>,
    rounds: Rounds,
}

impl Responder {
    /// Answers over a snapshot.
    ///
    /// # Errors
    /// Never for a snapshot in order; the crate's signature allows it.
    pub fn new(snapshot: Snapshot) -> Result<Self, ReconcileError> {
        let session = Negentropy::owned(snapshot, MESSAGE_BYTES_MAX).map_err(malformed)?;
        Ok(Self { session, rounds: Rounds::default() })
    }

    /// Answers one message.
    ///
    /// # Errors
    /// When the peer breaks the protocol.
    pub fn step(&mut self, message: &[u8]) -> Result<Vec<u8>, ReconcileError> {
        self.rounds.on_message(message)?;
        let answer = self.session.reconcile(message).map_err(malformed)?;
        self.rounds.on_answer(&answer);
        Ok(answer)
    }
}

/// Counts the rounds of one side.
#[derive(Debug, Default)]
struct Rounds {
    taken: u32,
    full: u32,
}

impl Rounds {
    /// Begins a round by the peer's message.
    fn on_message(&mut self, message: &[u8]) -> Result<(), ReconcileError> {
        self.taken += 1;
        self.full += u32::from(is_full(message));
        let most = ROUNDS_MAX * (1 + self.full);
        if self.taken > most { Err(ReconcileError::TooManyRounds(most)) } else { Ok(()) }
    }

    /// Ends a round by our message.
    fn on_answer(&mut self, message: &[u8]) {
        self.full += u32::from(is_full(message));
    }
}

/// Returns whether a message may have been cut for length.
fn is_full(message: &[u8]) -> bool {
    message.len() >= FULL_BYTES_MIN
}

fn entry_id(id: Id) -> EntryId {
    EntryId::from_bytes(id.to_bytes())
}

/// Takes the crate's error by value so that it serves `map_err` as it stands.
#[allow(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn malformed(error: negentropy::Error) -> ReconcileError {
    ReconcileError::Malformed(error.to_string())
}

#[cfg(test)]
mod tests;
