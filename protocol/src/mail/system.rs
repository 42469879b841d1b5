//! System letters: what the node of an agent tells it by itself, as letters in its inbox.
//!
//! Each follows from what is known there and from a clock, is named by what it tells of, and never travels. What an agent
//! did with one does, as a receipt like any other.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Wall;
use crate::id::{AgentId, BeadId, ChangeHash, ClaimId, LetterId};

/// Time that a recipient has to acknowledge a letter before its sender is told: a night and a day of work.
pub const ACK_OVERDUE: Duration = Duration::from_secs(24 * 60 * 60);

/// What stands as the sender of a system letter. The address of an agent also says its node, so it is none of those.
pub const SENDER: &str = "system";

/// The BLAKE3 context under which a system letter's id is derived from what it tells of, and to whom.
const ID_CONTEXT: &str = "beadmesh 2026 system letter id v1";

/// The BLAKE3 context under which alarms are told apart.
const ALARM_CONTEXT: &str = "beadmesh 2026 alarm v1";

/// What a system letter tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Cause {
    /// A bead was closed that a bead of the agent waits for.
    BeadClosed {
        /// The bead that was closed.
        bead: BeadId,
        /// The change that closed it: closed again, it is another.
        close: ChangeHash,
        /// The bead that waits, which is the agent's.
        waiting: BeadId,
    },
    /// A recipient has not acknowledged a letter of the agent in time.
    AckOverdue {
        /// The letter.
        letter: LetterId,
        /// The recipient.
        recipient: AgentId,
    },
    /// The lease of a claim of the agent was not renewed in time.
    LeaseLapsed {
        /// The claim.
        claim: ClaimId,
        /// The counter of the lease's token: got back and lost again, it is another.
        token: u64,
    },
    /// Another agent has the lease that the agent claimed, so its claim has yielded.
    ClaimYielded {
        /// The claim.
        claim: ClaimId,
    },
    /// Another agent claims what clashes with a claim of the agent that has no lease.
    ClaimContested {
        /// The agent's claim.
        claim: ClaimId,
        /// The other.
        with: ClaimId,
    },
    /// The agent's node raised an alarm about its machine.
    Alarm {
        /// A hash of what it says, and when.
        event: [u8; 16],
    },
}

impl Cause {
    /// Returns the cause that an alarm is, by what it says and when.
    pub fn alarm(told: &str, at: Wall) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(ALARM_CONTEXT);
        hasher.update(&at.as_millis().to_le_bytes()).update(told.as_bytes());
        let mut event = [0; 16];
        event.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Self::Alarm { event }
    }

    /// Returns the word for what it is.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::BeadClosed { .. } => "bead_closed",
            Self::AckOverdue { .. } => "ack_overdue",
            Self::LeaseLapsed { .. } => "lease_lapsed",
            Self::ClaimYielded { .. } => "claim_yielded",
            Self::ClaimContested { .. } => "claim_contested",
            Self::Alarm { .. } => "alarm",
        }
    }

    /// Returns the id of the letter that tells an agent of it: the same on every node, and whenever it is derived.
    pub fn letter_id(&self, agent: AgentId) -> LetterId {
        let mut hasher = blake3::Hasher::new_derive_key(ID_CONTEXT);
        hasher.update(agent.as_bytes());
        match self {
            Self::BeadClosed { bead, close, waiting } => {
                hasher.update(&[0]).update(bead.as_bytes()).update(close.as_bytes()).update(waiting.as_bytes());
            }
            Self::AckOverdue { letter, recipient } => {
                hasher.update(&[1]).update(letter.as_bytes()).update(recipient.as_bytes());
            }
            Self::LeaseLapsed { claim, token } => {
                hasher.update(&[2]).update(claim.as_bytes()).update(&token.to_le_bytes());
            }
            Self::ClaimYielded { claim } => {
                hasher.update(&[3]).update(claim.as_bytes());
            }
            Self::ClaimContested { claim, with } => {
                hasher.update(&[4]).update(claim.as_bytes()).update(with.as_bytes());
            }
            Self::Alarm { event } => {
                hasher.update(&[5]).update(event);
            }
        }
        LetterId::from_slice(&hasher.finalize().as_bytes()[..LetterId::BYTES]).expect("16 of 32 bytes")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const CLOSED: Cause = Cause::BeadClosed {
        bead: BeadId::from_bytes([1; 16]),
        close: ChangeHash::from_bytes([2; 32]),
        waiting: BeadId::from_bytes([3; 16]),
    };

    #[test]
    fn a_system_letter_is_named_by_whom_it_tells_and_of_what() {
        let (ada, bob) = (AgentId::from_bytes([8; 16]), AgentId::from_bytes([9; 16]));
        let again = Cause::BeadClosed {
            bead: BeadId::from_bytes([1; 16]),
            close: ChangeHash::from_bytes([4; 32]),
            waiting: BeadId::from_bytes([3; 16]),
        };
        let late = Cause::AckOverdue { letter: LetterId::from_bytes([5; 16]), recipient: bob };
        let ids = [CLOSED.letter_id(ada), CLOSED.letter_id(bob), again.letter_id(ada), late.letter_id(ada)];
        assert_eq!(BTreeSet::from(ids).len(), ids.len());
        assert_eq!((CLOSED.kind(), late.kind()), ("bead_closed", "ack_overdue"));
    }

    #[test]
    fn alarms_are_told_apart_by_what_they_say_and_when() {
        let at = |millis| Wall::from_millis(millis);
        let alarms = [Cause::alarm("a", at(1)), Cause::alarm("a", at(2)), Cause::alarm("b", at(1))];
        assert_eq!(BTreeSet::from(alarms).len(), alarms.len());
        assert_eq!(Cause::alarm("a", at(1)), alarms[0]);
    }

    #[test]
    fn ids_of_released_kinds_stay_as_they_are() {
        let ada = AgentId::from_bytes([8; 16]);
        let late = Cause::AckOverdue { letter: LetterId::from_bytes([5; 16]), recipient: AgentId::from_bytes([9; 16]) };
        insta::assert_snapshot!(CLOSED.letter_id(ada), @"xbnmwetbpgvljumj6rsoujdcci");
        insta::assert_snapshot!(late.letter_id(ada), @"4wh52zqmttt46js777cvawmfvm");
    }
}
