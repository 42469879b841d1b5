//! Who may be connected: members always, strangers only to join and only while an invite is open.
//!
//! It decides and counts; it holds no connection.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use libp2p::PeerId;

/// Strangers that may be connected at one time.
pub(super) const STRANGERS_MAX: usize = 8;

/// Strangers that may come in a burst.
const BURST: u32 = 16;

/// Time after which one more stranger may come.
const REFILL: Duration = Duration::from_secs(2);

/// What a connection may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grade {
    /// The peer is a member: sync, and joining again while an invite is open.
    Member,
    /// The peer is a stranger who came while an invite was open: joining only.
    Stranger,
    /// We are the stranger; the peer is asked to let us join.
    Inviter,
}

/// Why a connection is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// The peer is no member, and no invite is open.
    #[error("not a member")]
    NotMember,
    /// As many strangers as are allowed are connected.
    #[error("too many strangers at one time")]
    Crowded,
    /// Strangers come too fast.
    #[error("too many strangers in a short time")]
    Hurried,
}

/// The rules and what they count.
#[derive(Debug)]
pub(super) struct Gate {
    members: BTreeSet<PeerId>,
    inviters: BTreeSet<PeerId>,
    join_open: bool,
    tokens: u32,
    refilled: Instant,
}

impl Gate {
    pub(super) fn new(now: Instant) -> Self {
        let (members, inviters) = (BTreeSet::new(), BTreeSet::new());
        Self { members, inviters, join_open: false, tokens: BURST, refilled: now }
    }

    pub(super) fn is_member(&self, peer: &PeerId) -> bool {
        self.members.contains(peer)
    }

    pub(super) fn is_join_open(&self) -> bool {
        self.join_open
    }

    pub(super) fn set_members(&mut self, members: BTreeSet<PeerId>) {
        self.members = members;
    }

    pub(super) fn set_join_open(&mut self, open: bool) {
        self.join_open = open;
    }

    /// Allows dialling a peer that is no member, to join through it.
    pub(super) fn expect_inviter(&mut self, peer: PeerId) {
        self.inviters.insert(peer);
    }

    /// Takes back what `expect_inviter` allowed.
    pub(super) fn forget_inviter(&mut self, peer: &PeerId) {
        self.inviters.remove(peer);
    }

    /// Decides on a connection that a peer made to us while `strangers` others are connected.
    pub(super) fn admit_inbound(&mut self, peer: &PeerId, strangers: usize, now: Instant) -> Result<Grade, Refusal> {
        if self.members.contains(peer) {
            return Ok(Grade::Member);
        }
        if !self.join_open {
            return Err(Refusal::NotMember);
        }
        if strangers >= STRANGERS_MAX {
            return Err(Refusal::Crowded);
        }
        self.refill(now);
        self.tokens = self.tokens.checked_sub(1).ok_or(Refusal::Hurried)?;
        Ok(Grade::Stranger)
    }

    /// Decides on a connection that we make.
    pub(super) fn admit_outbound(&self, peer: &PeerId) -> Result<Grade, Refusal> {
        if self.members.contains(peer) {
            Ok(Grade::Member)
        } else if self.inviters.contains(peer) {
            Ok(Grade::Inviter)
        } else {
            Err(Refusal::NotMember)
        }
    }

    fn refill(&mut self, now: Instant) {
        let earned = now.saturating_duration_since(self.refilled).as_millis() / REFILL.as_millis();
        let earned = u32::try_from(earned).unwrap_or(BURST).min(BURST);
        if earned > 0 {
            self.tokens = (self.tokens + earned).min(BURST);
            self.refilled = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_passes_only_while_an_invite_is_open() {
        let now = Instant::now();
        let mut gate = Gate::new(now);
        let (member, stranger) = (PeerId::random(), PeerId::random());
        gate.set_members([member].into());
        assert_eq!(gate.admit_inbound(&member, 0, now), Ok(Grade::Member));
        assert_eq!(gate.admit_inbound(&stranger, 0, now), Err(Refusal::NotMember));
        gate.set_join_open(true);
        assert_eq!(gate.admit_inbound(&stranger, 0, now), Ok(Grade::Stranger));
        assert_eq!(gate.admit_inbound(&stranger, STRANGERS_MAX, now), Err(Refusal::Crowded));
        assert_eq!(gate.admit_inbound(&member, STRANGERS_MAX, now), Ok(Grade::Member));
    }

    #[test]
    fn strangers_are_slowed_down_after_a_burst() {
        let now = Instant::now();
        let mut gate = Gate::new(now);
        gate.set_join_open(true);
        for _ in 0..BURST {
            assert_eq!(gate.admit_inbound(&PeerId::random(), 0, now), Ok(Grade::Stranger));
        }
        assert_eq!(gate.admit_inbound(&PeerId::random(), 0, now), Err(Refusal::Hurried));
        assert_eq!(gate.admit_inbound(&PeerId::random(), 0, now + REFILL), Ok(Grade::Stranger));
    }

    #[test]
    fn only_members_and_inviters_are_dialled() {
        let mut gate = Gate::new(Instant::now());
        let peer = PeerId::random();
        assert_eq!(gate.admit_outbound(&peer), Err(Refusal::NotMember));
        gate.expect_inviter(peer);
        assert_eq!(gate.admit_outbound(&peer), Ok(Grade::Inviter));
        gate.set_members([peer].into());
        assert_eq!(gate.admit_outbound(&peer), Ok(Grade::Member));
    }
}
