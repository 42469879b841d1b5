//! Leases: a majority's promise that nobody else holds a clashing scope until it lapses.
//!
//! A holder asks every voter; the promises of more than half of them, given for one round of asking, are a lease. It
//! ends by the holder's clock before it can end by any voter's, whatever their rates within `CLOCK_RATE_PERCENT`, so no
//! two holders of clashing scopes are ever valid at one instant. Each attempt has one token, and tokens of clashing
//! leases rise, so that what a holder does too late can be told from what its successor does.
//!
//! Sources: Gray and Cheriton 1989 (leases, bounded clock rates); PaxosLease (the timer starts before asking); Burrows
//! 2006, "Chubby" (sequencers); Rosenkrantz et al. 1978 (wait-die); Malkhi et al. 2008, "Stoppable Paxos" (seal, then
//! start). What was added and why: docs/decisions/0013-leases.md.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::id::{AgentId, NodeId};

pub mod change;
pub mod epoch;
pub mod holder;
pub mod message;
#[cfg(test)]
mod model;
pub mod span;
pub mod succession;
#[cfg(test)]
pub(crate) mod testing;
pub mod voter;
pub mod wire;

pub use change::{Certificate, Dump};
pub use epoch::{Epoch, EpochError, Seat};
pub use holder::Claims;
pub use message::{Acquire, Answer, Ask, Blocker, Promise, Release, SignedPromise, Terms};
pub use succession::{Handover, Proposal, Recovery, Start, Succession};
pub use voter::Voter;
pub use wire::Message;

/// Who holds a lease: an agent on its node.
///
/// A node speaks for its own agents only: what names another node than the one a message came from is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Holder {
    /// The agent's node.
    pub node: NodeId,
    /// The agent.
    pub agent: AgentId,
}

/// One claim of a holder: its attempts follow each other, while other lanes of the same holder go on beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LaneId {
    /// Whose claim it is.
    pub holder: Holder,
    /// How often the holder's node had started, this time included.
    pub incarnation: u64,
    /// Counts the holder's claims within the incarnation, from 1.
    pub lane: u64,
}

/// One attempt to get the lease that a claim is after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Attempt {
    /// The claim.
    pub lane: LaneId,
    /// Counts the attempts of the claim, from 1.
    pub seq: u64,
}

/// Fences what is done under a lease: one for each attempt, kept through renewals; a later lease has a higher one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Token {
    /// Above every counter that the holder had heard of.
    pub counter: u64,
    /// The attempt it stands for, which also settles two equal counters.
    pub attempt: Attempt,
}

/// The age of a claim, kept through its attempts: the lower is the older, and goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Birth {
    /// The counter of its first attempt.
    pub counter: u64,
    /// Whose claim it is.
    pub holder: Holder,
}

impl Holder {
    /// Returns the range of all attempts of the holder, as records are ordered.
    pub(crate) fn attempts(self) -> RangeInclusive<Attempt> {
        let end = |end: u64| Attempt { lane: LaneId { holder: self, incarnation: end, lane: end }, seq: end };
        end(0)..=end(u64::MAX)
    }
}
