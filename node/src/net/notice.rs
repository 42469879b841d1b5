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

use super::pace::{Pace, Tokens};

/// How fast one node may speak; an honest one publishes at most 50 notices a second.
const PACE: Pace = Pace { burst: 128, refill: Duration::from_millis(10) };

/// How much faster it may speak, by its own mouth, before that is a violation.
const PATIENCE: Pace = Pace { burst: 1_024, refill: Duration::from_millis(10) };

/// How much one node may bring of whatever sender, known or not, before that is a violation: a thousand notices a second.
const BEARING: Pace = Pace { burst: 16_384, refill: Duration::from_millis(1) };

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
    pace: Tokens,
    /// What others bring of it has a pace of its own: who repeats old notices takes nothing from new ones.
    brought: Tokens,
    patience: Tokens,
    bearing: Tokens,
}

impl Heard {
    fn new(now: Instant) -> Self {
        let pace = Tokens::full(&PACE, now);
        let (patience, bearing) = (Tokens::full(&PATIENCE, now), Tokens::full(&BEARING, now));
        Self { pace, brought: pace, patience, bearing }
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
        if self.members.get_mut(&bearer).is_some_and(|heard| !heard.bearing.take(&BEARING, now)) {
            return Some(Verdict::Blame);
        }
        let Some(heard) = self.members.get_mut(&from) else { return Some(Verdict::Drop) };
        let pace = if bearer == from { &mut heard.pace } else { &mut heard.brought };
        if pace.take(&PACE, now) {
            return None;
        }
        let is_flood = bearer == from && !heard.patience.take(&PATIENCE, now);
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
        assert_eq!(ears.judge(ADA, ADA, 10, now + PACE.refill), None);
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
