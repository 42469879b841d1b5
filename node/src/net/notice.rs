//! Notices on their way in: how many are listened to, and what becomes of each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use beadmesh_protocol::id::NodeId;
use beadmesh_protocol::limits::NOTICE_BYTES_MAX;
use libp2p::PeerId;
use libp2p::gossipsub::{MessageAcceptance, MessageId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::pace::{Pace, Taken};

/// How fast one node may speak; an honest one publishes at most 50 notices a second.
const PACE: Allowance = Allowance {
    notices: Pace { burst: 128, refill: Duration::from_millis(10), gain: 1 },
    // Half a mebibyte a second. What an import says beyond that comes by links, as its entries do anyway.
    kibibytes: Pace { burst: 1_024, refill: Duration::from_millis(100), gain: 51 },
};

/// How much faster it may speak, by its own mouth, before that is a violation: an honest one can not, with 50 notices of
/// the greatest length a second.
const PATIENCE: Allowance = Allowance {
    notices: Pace { burst: 1_024, refill: Duration::from_millis(10), gain: 1 },
    kibibytes: Pace { burst: 16 * 1_024, refill: Duration::from_millis(100), gain: 160 },
};

/// How much one node may bring of whatever sender, known or not, before that is a violation: a thousand notices and 8 MiB
/// a second.
const BEARING: Allowance = Allowance {
    notices: Pace { burst: 16_384, refill: Duration::from_millis(1), gain: 1 },
    kibibytes: Pace { burst: 64 * 1_024, refill: Duration::from_millis(100), gain: 820 },
};

const _: () = assert!(NOTICE_BYTES_MAX <= 1_024 * 1_024, "the longest notice fits a burst");

/// How many notices may come, and how much they may say.
#[derive(Debug)]
struct Allowance {
    notices: Pace,
    /// Each notice counts for one at least.
    kibibytes: Pace,
}

/// What was taken of an allowance.
#[derive(Debug, Clone, Copy)]
struct Spent {
    notices: Taken,
    kibibytes: Taken,
}

impl Spent {
    fn nothing(now: Instant) -> Self {
        Self { notices: Taken::nothing(now), kibibytes: Taken::nothing(now) }
    }

    /// Takes a notice of that many bytes; returns whether there was enough of both.
    fn take(&mut self, allowance: &Allowance, bytes: usize, now: Instant) -> bool {
        let kibibytes = u32::try_from(bytes.div_ceil(1_024)).unwrap_or(u32::MAX).max(1);
        let is_one_left = self.notices.take(&allowance.notices, now);
        is_one_left && self.kibibytes.take_many(&allowance.kibibytes, kibibytes, now)
    }
}

/// What becomes of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is sound and goes on to others.
    PassOn,
    /// It goes no further, and nobody is blamed.
    Drop,
    /// Who brought it should have known better.
    Blame,
}

impl From<Verdict> for MessageAcceptance {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::PassOn => Self::Accept,
            Verdict::Drop => Self::Ignore,
            Verdict::Blame => Self::Reject,
        }
    }
}

/// Takes the verdict on one notice. Dropped without one, the notice goes no further.
#[derive(Debug)]
pub struct Judge {
    id: MessageId,
    bearer: PeerId,
    answers: mpsc::Sender<Judged>,
    place: OwnedSemaphorePermit,
}

impl Judge {
    /// Says what becomes of the notice.
    pub fn answer(self, verdict: Verdict) {
        let Self { id, bearer, answers, place } = self;
        // There is a place for each; without a receiver the network is gone.
        let _ = answers.try_send(Judged { id, bearer, verdict, _place: place });
    }
}

/// A verdict on its way to the driver.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) id: MessageId,
    pub(super) bearer: PeerId,
    pub(super) verdict: Verdict,
    _place: OwnedSemaphorePermit,
}

/// How notices fared since the network was started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NoticeCounts {
    /// Notices of ours that were dropped because too many waited.
    pub unsent: u64,
    /// Notices that came and were dropped because their sender speaks too fast, or too many waited.
    pub unheard: u64,
    /// Notices that no honest node sends.
    pub violations: u64,
}

/// The counts, as handles and the driver share them.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) unsent: AtomicU64,
    pub(super) unheard: AtomicU64,
    pub(super) violations: AtomicU64,
}

impl Counters {
    pub(super) fn read(&self) -> NoticeCounts {
        let [unsent, unheard, violations] =
            [&self.unsent, &self.unheard, &self.violations].map(|count| count.load(Ordering::Relaxed));
        NoticeCounts { unsent, unheard, violations }
    }
}

/// Who is listened to, and how much.
#[derive(Debug)]
pub(super) struct Ears {
    members: BTreeMap<NodeId, Heard>,
    places: Arc<Semaphore>,
    answers: mpsc::Sender<Judged>,
}

#[derive(Debug)]
struct Heard {
    pace: Spent,
    /// What others bring of it has a pace of its own: who repeats old notices takes nothing from new ones.
    brought: Spent,
    patience: Spent,
    bearing: Spent,
}

impl Heard {
    fn new(now: Instant) -> Self {
        let nothing = Spent::nothing(now);
        Self { pace: nothing, brought: nothing, patience: nothing, bearing: nothing }
    }
}

impl Ears {
    /// Returns ears for nobody yet, and where verdicts come out; so many notices may wait for theirs.
    pub(super) fn new(places: usize) -> (Self, mpsc::Receiver<Judged>) {
        let places = places.max(1);
        let (answers, judged) = mpsc::channel(places);
        (Self { members: BTreeMap::new(), places: Arc::new(Semaphore::new(places)), answers }, judged)
    }

    /// Sets who is listened to.
    pub(super) fn set_members(&mut self, members: &BTreeSet<NodeId>, now: Instant) {
        self.members.retain(|node, _| members.contains(node));
        for node in members {
            self.members.entry(*node).or_insert_with(|| Heard::new(now));
        }
    }

    /// Decides, by what stands on the envelope, on a notice of that many bytes; `None` when it is to be opened.
    ///
    /// A sender that is no member is nobody's fault: rosters differ for a while. What one bearer passes on of another
    /// sender is not its fault either, until it is more than a mesh at work says.
    pub(super) fn judge(&mut self, from: NodeId, bearer: NodeId, bytes: usize, now: Instant) -> Option<Verdict> {
        if bytes > NOTICE_BYTES_MAX {
            return Some(Verdict::Blame);
        }
        if self.members.get_mut(&bearer).is_some_and(|heard| !heard.bearing.take(&BEARING, bytes, now)) {
            return Some(Verdict::Blame);
        }
        let Some(heard) = self.members.get_mut(&from) else { return Some(Verdict::Drop) };
        let pace = if bearer == from { &mut heard.pace } else { &mut heard.brought };
        if pace.take(&PACE, bytes, now) {
            return None;
        }
        let is_flood = bearer == from && !heard.patience.take(&PATIENCE, bytes, now);
        Some(if is_flood { Verdict::Blame } else { Verdict::Drop })
    }

    /// Takes a place for a notice that is to be opened, if there is one.
    pub(super) fn place(&self, id: MessageId, bearer: PeerId) -> Option<Judge> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        Some(Judge { id, bearer, answers: self.answers.clone(), place })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADA: NodeId = NodeId::from_bytes([1; 32]);
    const BOB: NodeId = NodeId::from_bytes([2; 32]);

    fn ears(now: Instant) -> Ears {
        let (mut ears, _) = Ears::new(4);
        ears.set_members(&[ADA, BOB].into(), now);
        ears
    }

    #[test]
    fn strangers_are_not_listened_to_and_long_notices_are_blamed_on_their_bearer() {
        let now = Instant::now();
        let mut ears = ears(now);
        assert_eq!(ears.judge(NodeId::from_bytes([3; 32]), ADA, 10, now), Some(Verdict::Drop));
        assert_eq!(ears.judge(ADA, BOB, NOTICE_BYTES_MAX + 1, now), Some(Verdict::Blame));
        assert_eq!(ears.judge(ADA, BOB, NOTICE_BYTES_MAX, now), None);
    }

    #[test]
    fn a_flood_is_dropped_then_blamed_on_who_speaks_and_never_on_who_passes_it_on() {
        let now = Instant::now();
        let count = |ears: &mut Ears, bearer, verdict| {
            (0..10_000).filter(|_| ears.judge(ADA, bearer, 10, now) == verdict).count()
        };
        assert_eq!(count(&mut ears(now), ADA, None), 128);
        assert_eq!(count(&mut ears(now), ADA, Some(Verdict::Drop)), 1_024);
        assert_eq!(count(&mut ears(now), ADA, Some(Verdict::Blame)), 10_000 - 128 - 1_024);
        assert_eq!(count(&mut ears(now), BOB, Some(Verdict::Blame)), 0);
        let mut ears = ears(now);
        count(&mut ears, ADA, None);
        assert_eq!(ears.judge(BOB, BOB, 10, now), None, "others are heard meanwhile");
        assert_eq!(ears.judge(ADA, ADA, 10, now + PACE.notices.refill), None);
    }

    #[test]
    fn long_notices_are_fewer_and_a_flood_of_them_is_blamed_sooner() {
        let now = Instant::now();
        let count = |ears: &mut Ears, bearer, verdict| {
            (0..5_000).filter(|_| ears.judge(ADA, bearer, NOTICE_BYTES_MAX, now) == verdict).count()
        };
        let mut heard = ears(now);
        assert_eq!(count(&mut heard, ADA, None), 1024 / 32, "a mebibyte of 32 KiB each");
        let second = now + Duration::from_secs(1);
        let more = (0..100).filter(|_| heard.judge(ADA, ADA, NOTICE_BYTES_MAX, second).is_none()).count();
        assert_eq!(more, 15, "half a mebibyte a second");
        assert_eq!(count(&mut ears(now), ADA, Some(Verdict::Drop)), 16 * 1024 / 32);
        assert_eq!(count(&mut ears(now), BOB, Some(Verdict::Blame)), 5_000 - 64 * 1024 / 32);
        let mut honest = ears(now);
        let at = |number: u32| now + Duration::from_millis(20) * number;
        let blamed =
            (0..5_000).filter(|number| honest.judge(ADA, ADA, NOTICE_BYTES_MAX, at(*number)) == Some(Verdict::Blame));
        assert_eq!(blamed.count(), 0, "who says as much as an honest node can is never blamed");
    }

    #[test]
    fn who_repeats_others_without_end_takes_nothing_from_them_and_is_blamed_at_last() {
        let now = Instant::now();
        let mut ears = ears(now);
        let blamed = (0..20_000).filter(|_| ears.judge(ADA, BOB, 10, now) == Some(Verdict::Blame)).count();
        assert_eq!(blamed, 20_000 - 16_384);
        assert_eq!(ears.judge(ADA, ADA, 10, now), None, "she is heard by her own mouth");
        let stranger = NodeId::from_bytes([3; 32]);
        assert_eq!(ears.judge(stranger, BOB, 10, now), Some(Verdict::Blame));
        assert_eq!(ears.judge(stranger, ADA, 10, now), Some(Verdict::Drop));
    }

    #[test]
    fn who_is_no_member_any_more_is_forgotten() {
        let now = Instant::now();
        let mut ears = ears(now);
        ears.set_members(&[BOB].into(), now);
        assert_eq!(ears.judge(ADA, ADA, 10, now), Some(Verdict::Drop));
        assert_eq!(ears.members.len(), 1);
    }

    #[test]
    fn so_many_notices_wait_for_their_verdict_and_each_gives_its_place_back() {
        let (ears, mut judged) = Ears::new(2);
        let place = |id: u8| ears.place(MessageId::new(&[id]), PeerId::random());
        let (first, second) = (place(1).unwrap(), place(2).unwrap());
        assert!(place(3).is_none());
        drop(first);
        let third = place(3).unwrap();
        second.answer(Verdict::PassOn);
        assert!(place(4).is_none(), "until the verdict is taken");
        assert_eq!(judged.try_recv().unwrap().verdict, Verdict::PassOn);
        third.answer(Verdict::Blame);
        assert!(place(4).is_some());
    }
}
