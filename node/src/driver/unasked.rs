//! What members bring unasked: how much of it is taken at what speed, from one member and by one author.
//!
//! Nothing is dropped, for what is dropped would have to be compared for: who brings more is read more slowly, and its own
//! link alone feels it. What this node has asked for is free, and so is what a comparison has found, up to a bound.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use beadmesh_protocol::entry::Entry;
use beadmesh_protocol::id::NodeId;
use beadmesh_protocol::limits::NODES_MAX;
use beadmesh_protocol::wire::Frame;

use crate::pace::{Pace, Taken};

/// What one member may bring unasked: far more entries than agents write, and a tenth of what a core checks.
const BEARER: Allowance = Allowance { entries: a_second(2_000), bytes: a_second(16 * 1024 * 1024) };

/// The same by one author, whoever brings it.
const AUTHOR: Allowance = Allowance { entries: a_second(4_000), bytes: a_second(32 * 1024 * 1024) };

/// Frames that are no entries: a comparison of a million needs some dozens, an acknowledgement goes with each flush.
const FRAMES: Pace = a_second(2_000);

/// Seconds of a pace that may come at once.
const BURST_S: u32 = 2;

/// The same as a span.
const BURST: Duration = Duration::from_secs(BURST_S as u64);

/// The longest that an honest bearer waits for the sake of an author, a frame.
const AUTHOR_WAIT_MAX: Duration = Duration::from_millis(100);

/// The longest wait, a frame: a link that is read so slowly is alive still.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Entries that a member may announce as found by comparisons, at once and then an hour: a first sync of a large mesh.
const FOUND_MAX: u64 = 1 << 20;

/// How many entries may come, and how many bytes of them.
struct Allowance {
    entries: Pace,
    bytes: Pace,
}

impl Allowance {
    /// Returns the span in which an entry of that many bytes is earned.
    fn span(&self, bytes: usize) -> Duration {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.entries.span(1).max(self.bytes.span(bytes))
    }
}

const fn a_second(many: u32) -> Pace {
    Pace { burst: BURST_S * many, refill: Duration::from_secs(1), gain: many }
}

/// What members have brought.
#[derive(Debug, Default)]
pub(super) struct Unasked(Mutex<Ledger>);

#[derive(Debug, Default)]
struct Ledger {
    bearers: BTreeMap<NodeId, Account>,
    authors: BTreeMap<NodeId, Taken>,
}

/// What one member has brought.
#[derive(Debug, Clone, Copy)]
struct Account {
    taken: Taken,
    /// Entries that are free: asked for, or announced by a comparison.
    free: u64,
    /// Entries that it may announce still, and since when that is counted.
    announceable: u64,
    counted_since: Instant,
}

impl Account {
    fn new(now: Instant) -> Self {
        Self { taken: Taken::nothing(now), free: 0, announceable: FOUND_MAX, counted_since: now }
    }
}

/// How long a link is to be read no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wait {
    /// How long.
    pub(super) span: Duration,
    /// For how many entries.
    pub(super) entries: u64,
}

impl Unasked {
    /// Takes note that so many entries were asked of a member.
    pub(super) fn ask(&self, bearer: NodeId, entries: usize, now: Instant) {
        let mut ledger = self.lock();
        let account = ledger.account(bearer, now);
        account.free = account.free.saturating_add(u64::try_from(entries).unwrap_or(u64::MAX)).min(FOUND_MAX);
    }

    /// Takes note of a frame that a member has brought; returns how long to wait before its next one is read, if at all.
    pub(super) fn take(&self, bearer: NodeId, frame: &Frame, now: Instant) -> Option<Wait> {
        match frame {
            Frame::Entries(entries) => self.take_entries(bearer, entries, now),
            Frame::Reconciled(found) => {
                self.lock().account(bearer, now).announce(found.coming, now);
                None
            }
            _ => {
                let mut ledger = self.lock();
                let account = ledger.account(bearer, now);
                let span = account.taken.owe(FRAMES.span(1), BURST, now);
                (!span.is_zero()).then_some(Wait { span: span.min(WAIT_MAX), entries: 0 })
            }
        }
    }

    fn take_entries(&self, bearer: NodeId, entries: &[Entry], now: Instant) -> Option<Wait> {
        let mut ledger = self.lock();
        let account = ledger.account(bearer, now);
        let free = account.free.min(u64::try_from(entries.len()).unwrap_or(u64::MAX));
        account.free -= free;
        let charged = entries.get(usize::try_from(free).unwrap_or(usize::MAX)..).unwrap_or_default();
        let brought = charged.iter().map(|entry| BEARER.span(entry.bytes_len())).sum();
        let mut span = account.taken.owe(brought, BURST, now);
        ledger.forget_idle(now);
        for entry in charged {
            let author = entry.content().author;
            if author == bearer {
                continue;
            }
            if ledger.authors.len() >= NODES_MAX && !ledger.authors.contains_key(&author) {
                continue;
            }
            let taken = ledger.authors.entry(author).or_insert(Taken::nothing(now));
            let wait = taken.owe(AUTHOR.span(entry.bytes_len()), BURST, now);
            span = span.max(wait.min(AUTHOR_WAIT_MAX));
        }
        let entries = u64::try_from(charged.len()).unwrap_or(u64::MAX);
        (!span.is_zero()).then_some(Wait { span: span.min(WAIT_MAX), entries })
    }

    fn lock(&self) -> MutexGuard<'_, Ledger> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger {
    fn account(&mut self, bearer: NodeId, now: Instant) -> &mut Account {
        if self.bearers.len() >= 2 * NODES_MAX {
            // Those that owe nothing are as good as new.
            self.bearers.retain(|_, account| !account.taken.is_nothing(now));
        }
        self.bearers.entry(bearer).or_insert_with(|| Account::new(now))
    }

    fn forget_idle(&mut self, now: Instant) {
        if self.authors.len() >= NODES_MAX {
            self.authors.retain(|_, taken| !taken.is_nothing(now));
        }
    }
}

impl Account {
    /// Makes so many entries free that a comparison found, as far as the member may announce any.
    fn announce(&mut self, entries: u64, now: Instant) {
        if now.saturating_duration_since(self.counted_since) >= Duration::from_secs(3_600) {
            (self.announceable, self.counted_since) = (FOUND_MAX, now);
        }
        let entries = entries.min(self.announceable);
        self.announceable -= entries;
        self.free = self.free.saturating_add(entries).min(2 * FOUND_MAX);
    }
}

#[cfg(test)]
mod tests {
    use beadmesh_protocol::clock::Wall;
    use beadmesh_protocol::entry::Set;
    use beadmesh_protocol::id::{BeadId, MeshId};
    use beadmesh_protocol::op::{BeadChange, Op};
    use beadmesh_protocol::testing::Author;
    use beadmesh_protocol::wire::Reconciled;

    use super::*;

    const ADA: NodeId = NodeId::from_bytes([1; 32]);
    const BOB: NodeId = NodeId::from_bytes([2; 32]);

    /// Returns a frame with so many entries by an author of that seed.
    fn frame(author: u8, entries: usize) -> Frame {
        let op = Op::Bead(BeadChange { bead: BeadId::from_bytes([1; 16]), change: vec![0; 32] });
        let entry = Author::seeded(author).entry(MeshId::NONE, 1, Wall::default(), &[op]);
        Frame::Entries(vec![entry; entries])
    }

    /// Brings so many entries of one author, another for each bearer, in frames of a hundred, waiting as told, and returns how long that took.
    fn bring(unasked: &Unasked, bearer: NodeId, entries: usize, start: Instant) -> Duration {
        let (frame, mut now) = (frame(bearer.as_bytes()[0], 100), start);
        for _ in 0..entries / 100 {
            now += unasked.take(bearer, &frame, now).map_or(Duration::ZERO, |wait| wait.span);
        }
        now - start
    }

    #[test]
    fn a_burst_is_free_and_a_flood_is_slowed_to_the_pace_on_its_own_link_alone() {
        let (unasked, now) = (Unasked::default(), Instant::now());
        assert_eq!(bring(&unasked, ADA, 4_000, now), Duration::ZERO);
        let slowed = bring(&unasked, ADA, 20_000, now);
        assert!((9.9..10.1).contains(&slowed.as_secs_f64()), "{slowed:?} for 20,000 entries at 2,000 a second");
        assert_eq!(bring(&unasked, BOB, 1_000, now), Duration::ZERO, "others do not wait for it");
        let later = now + slowed + Duration::from_secs(3);
        assert_eq!(bring(&unasked, ADA, 4_000, later), Duration::ZERO, "and it is forgiven");
    }

    #[test]
    fn what_was_asked_for_or_found_by_a_comparison_is_free() {
        let (unasked, now) = (Unasked::default(), Instant::now());
        unasked.ask(ADA, 100_000, now);
        assert_eq!(bring(&unasked, ADA, 104_000, now), Duration::ZERO);
        let found = |coming| Frame::Reconciled(Reconciled { set: Set::Data, lacking: 0, coming });
        assert_eq!(unasked.take(BOB, &found(100_000), now), None);
        assert_eq!(bring(&unasked, BOB, 104_000, now), Duration::ZERO);
    }

    #[test]
    fn a_liar_can_announce_so_much_and_no_more() {
        let (unasked, now) = (Unasked::default(), Instant::now());
        let endless = Frame::Reconciled(Reconciled { set: Set::Data, lacking: 0, coming: u64::MAX });
        for _ in 0..100 {
            unasked.take(ADA, &endless, now);
        }
        assert_eq!(unasked.lock().bearers[&ADA].free, FOUND_MAX);
        unasked.lock().account(ADA, now).free = 0;
        unasked.take(ADA, &endless, now);
        assert!(bring(&unasked, ADA, 10_000, now) > Duration::from_secs(2));
    }

    #[test]
    fn one_author_by_many_bearers_costs_each_of_them_little() {
        let (unasked, now) = (Unasked::default(), Instant::now());
        let frame = frame(7, 100);
        let mut slowed = 0;
        for round in 0..40 {
            for bearer in 10..20 {
                if let Some(wait) = unasked.take(NodeId::from_bytes([bearer; 32]), &frame, now) {
                    assert!(wait.span <= AUTHOR_WAIT_MAX, "{round}: {wait:?}");
                    slowed += 1;
                }
            }
        }
        assert!(slowed > 0, "40,000 entries of one author at once are too many");
    }

    #[test]
    fn tiny_frames_have_a_pace_too() {
        let (unasked, now) = (Unasked::default(), Instant::now());
        let waits = (0..10_000).filter_map(|_| unasked.take(ADA, &Frame::Ack(Vec::new()), now)).count();
        assert_eq!(waits, 10_000 - 4_000);
    }
}
