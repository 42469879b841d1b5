//! An epoch: which voters a lease asks, and for how long each keeps its promise.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::{MeshId, NodeId, VoterId};
use crate::limits::{HOLD_MAX, HOLD_MIN, VOTERS_MAX};
use crate::planted::{self, Bug};

/// The BLAKE3 context under which the voter of a mesh's first epoch is named.
const FOUNDER_CONTEXT: &str = "beadmesh 2026 founding voter v1";

/// The BLAKE3 context under which an epoch is named where voters sign for its successor.
const NAME_CONTEXT: &str = "beadmesh 2026 voter epoch v1";

/// Which voters count, and how long each keeps what it promised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Epoch {
    /// Counts epochs, from 1; only a break-glass change leaves any out.
    pub number: u64,
    /// The voters, by node: 1, 3, 5 or 7.
    pub seats: Vec<Seat>,
    /// Milliseconds that a voter keeps a promise, by its own clock.
    pub hold_ms: u32,
}

/// One voter of an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Seat {
    /// The node it runs on.
    pub node: NodeId,
    /// The voter; a node whose voter has died makes another, which only a later epoch can name.
    pub voter: VoterId,
}

/// Why voters can not make an epoch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EpochError {
    /// Their number has no clear majority, or is too large.
    #[error("voters: {count} given; choose 1, 3, 5 or 7 nodes")]
    Count {
        /// How many there are.
        count: usize,
    },
    /// One node is named twice.
    #[error("voters: node {node} is named twice; choose another")]
    Twice {
        /// The node.
        node: NodeId,
    },
    /// The time that promises are kept is out of bounds.
    #[error("hold: {hold:?} is not between {HOLD_MIN:?} and {HOLD_MAX:?}")]
    Hold {
        /// The time asked for.
        hold: Duration,
    },
}

impl Epoch {
    /// Makes an epoch of these voters, in any order.
    ///
    /// # Errors
    /// When their number, a node named twice or the hold time breaks a bound.
    pub fn new(number: u64, mut seats: Vec<Seat>, hold: Duration) -> Result<Self, EpochError> {
        let count = seats.len();
        if count > VOTERS_MAX || count.is_multiple_of(2) {
            return Err(EpochError::Count { count });
        }
        seats.sort_unstable();
        if let Some(pair) = seats.windows(2).find(|pair| pair[0].node == pair[1].node) {
            return Err(EpochError::Twice { node: pair[0].node });
        }
        let hold_ms = u32::try_from(hold.as_millis()).map_err(|_| EpochError::Hold { hold })?;
        if !(HOLD_MIN..=HOLD_MAX).contains(&hold) {
            return Err(EpochError::Hold { hold });
        }
        Ok(Self { number, seats, hold_ms })
    }

    /// Returns whether an epoch that came from elsewhere is one that `new` could have made.
    pub fn is_sound(&self) -> bool {
        Self::new(self.number, self.seats.clone(), self.hold()).as_ref() == Ok(self)
    }

    /// Returns how long a voter keeps a promise.
    pub fn hold(&self) -> Duration {
        Duration::from_millis(u64::from(self.hold_ms))
    }

    /// Returns how many promises are a majority.
    pub fn quorum(&self) -> usize {
        let guard = usize::from(!planted::is(Bug::HalfIsEnough));
        (self.seats.len() / 2 + guard).max(1)
    }

    /// Returns the seat of a node.
    pub fn seat(&self, node: NodeId) -> Option<Seat> {
        self.seats.iter().copied().find(|seat| seat.node == node)
    }

    /// Returns the hash that names the epoch with all it says.
    pub fn name(&self) -> [u8; 32] {
        let bytes = postcard::to_stdvec(self).expect("epochs have a postcard form");
        blake3::derive_key(NAME_CONTEXT, &bytes)
    }
}

impl VoterId {
    /// Returns the voter of a mesh's first epoch, which follows from the mesh and so from its founding entry.
    ///
    /// Only the store that founded the mesh ever runs it.
    pub fn of_founder(mesh: MeshId) -> Self {
        let hash = blake3::derive_key(FOUNDER_CONTEXT, mesh.as_bytes());
        Self::from_slice(&hash[..Self::BYTES]).expect("16 of 32 bytes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::HOLD_DEFAULT;

    fn seat(node: u8) -> Seat {
        Seat { node: NodeId::from_bytes([node; 32]), voter: VoterId::from_bytes([node; 16]) }
    }

    #[test]
    fn voters_are_one_three_five_or_seven_different_nodes() {
        for (count, quorum) in [(1, 1), (3, 2), (5, 3), (7, 4)] {
            let epoch = Epoch::new(1, (0..count).map(seat).collect(), HOLD_DEFAULT).unwrap();
            assert_eq!((epoch.quorum(), epoch.is_sound()), (quorum, true));
        }
        for count in [0, 2, 4, 6, 8, 9] {
            let error = Epoch::new(1, (0..count).map(seat).collect(), HOLD_DEFAULT);
            assert_eq!(error, Err(EpochError::Count { count: usize::from(count) }));
        }
        let twice = Epoch::new(1, vec![seat(1), seat(2), seat(1)], HOLD_DEFAULT);
        assert_eq!(twice, Err(EpochError::Twice { node: seat(1).node }));
    }

    #[test]
    fn a_hold_out_of_bounds_is_refused() {
        for hold in [Duration::ZERO, HOLD_MIN - Duration::from_millis(1), HOLD_MAX + Duration::from_millis(1)] {
            assert_eq!(Epoch::new(1, vec![seat(1)], hold), Err(EpochError::Hold { hold }));
        }
    }

    #[test]
    fn an_epoch_that_is_not_in_order_is_not_sound() {
        let sound = Epoch::new(1, vec![seat(1), seat(2), seat(3)], HOLD_DEFAULT).unwrap();
        let shuffled = Epoch { seats: vec![seat(2), seat(1), seat(3)], ..sound.clone() };
        assert!(!shuffled.is_sound());
        assert_ne!(Epoch { number: 2, ..sound.clone() }.name(), sound.name());
    }
}
