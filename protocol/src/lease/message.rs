//! What holders ask of voters, and what these answer. The link says who speaks; only promises are signed, for they are
//! shown to others.

use std::time::Duration;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

use super::change::Dump;
use super::{Attempt, Birth, Epoch, Token};
use crate::id::{BeadId, EntryId, MeshId, NodeId, VoterId};
use crate::scope::{Mode, Scope, Witness};

/// Separates what voters sign from every other use of their nodes' keys.
const PROMISE_CONTEXT: &str = "beadmesh 2026 lease promise v1";

/// The BLAKE3 context under which promises name what they are for.
const TERMS_CONTEXT: &str = "beadmesh 2026 lease terms v1";

/// What a lease is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// What it covers.
    pub scope: Scope,
    /// Whether others may hold it beside this one.
    pub mode: Mode,
}

/// A wish of a holder, or of who wants to know a voter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// Grant a lease, or renew it.
    Acquire(Box<Acquire>),
    /// Forget an attempt: its holder stopped before it sent this.
    Release(Release),
    /// Say who you are and what you know, before anything is asked.
    Probe,
}

/// Asks for one promise of one round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acquire {
    /// The token, with the attempt it stands for.
    pub token: Token,
    /// The lowest lane of the holder that is still open: what voters remember of lower ones is of no use any more.
    pub lanes_from: u64,
    /// Counts the times the attempt has asked, from 1; only promises of one round add up.
    pub round: u64,
    /// The epoch in which it asks.
    pub epoch: u64,
    /// What the lease is for.
    pub terms: Terms,
    /// The age of the claim.
    pub birth: Birth,
    /// The promises on which the holder relies now, if it renews; they tell a voter what it may have forgotten.
    pub held_by: Vec<SignedPromise>,
}

/// Ends an attempt at a voter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The token of the attempt; earlier attempts of its lane end with it.
    pub token: Token,
    /// The lowest lane of the holder that is still open.
    pub lanes_from: u64,
    /// The bead that the holder closed and the entry in which it did, for who holds the bead next.
    pub close: Option<(BeadId, EntryId)>,
}

/// What a voter says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// It promises; durable before this leaves.
    Granted {
        /// What it promises.
        promise: SignedPromise,
        /// The entries in which earlier holders closed beads of the scope.
        closes: Vec<EntryId>,
        /// The highest counter the voter knows.
        counter: u64,
    },
    /// Others hold what clashes, or are before the asker.
    Busy {
        /// The attempt that asked.
        attempt: Attempt,
        /// The round that asked.
        round: u64,
        /// Who is in the way, the oldest claim first, and never none.
        blockers: Vec<Blocker>,
        /// The highest counter the voter knows.
        counter: u64,
    },
    /// A clashing lease had a higher token; a new attempt has to have a higher one still.
    Stale {
        /// The attempt that asked.
        attempt: Attempt,
        /// The highest counter the voter knows.
        counter: u64,
    },
    /// The attempt has ended as far as the voter knows. To a holder that knows better it says that its store was turned
    /// back, and that it uses a number of starts anew.
    Ended {
        /// The attempt that asked.
        attempt: Attempt,
        /// The highest number of starts that the voter knows of the holder's node.
        incarnation: u64,
    },
    /// The voter is in another epoch, or in none.
    Wrong {
        /// The attempt that asked.
        attempt: Attempt,
        /// The last epoch the voter knows.
        epoch: u64,
    },
    /// The voter does not take part in this.
    Refused {
        /// The attempt that asked.
        attempt: Attempt,
        /// Why.
        reason: Refusal,
    },
    /// Answers a probe.
    Here(Here),
}

/// What is in the way of a claim at one voter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocker {
    /// The attempt in the way, with its token.
    pub token: Token,
    /// The age of its claim.
    pub birth: Birth,
    /// Microseconds until the voter's promise lapses; `None` for an older claim that waits for one.
    pub left_us: Option<u64>,
    /// What both would touch.
    pub witness: Witness,
}

/// Why a voter does not take part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// It may have forgotten what it promised before its machine started, and waits until that has lapsed.
    #[error("the voter has just started and grants nothing for {} s more", .left_us / 1_000_000)]
    Starting {
        /// Microseconds until it grants.
        left_us: u64,
    },
    /// The epoch is sealed; the next one follows.
    #[error("the voters are being changed")]
    Sealed,
    /// The counter lies too far above what the voter knows.
    #[error("the token's counter is out of bounds")]
    CounterJump,
    /// The holder has as many leases as it may.
    #[error("the holder has {} leases, the limit", crate::limits::LEASES_PER_HOLDER_MAX)]
    HolderFull,
    /// The voter keeps as many leases as it may.
    #[error("the voter keeps {} leases, the limit", crate::limits::LEASES_MAX)]
    VoterFull,
    /// The message speaks for an agent of another node, or contradicts itself.
    #[error("the message does not hold together")]
    Malformed,
}

/// Who a voter is and what it knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Here {
    /// The voter.
    pub voter: VoterId,
    /// The last epoch it knows.
    pub epoch: u64,
    /// Whether it is one of that epoch's voters.
    pub active: bool,
    /// The highest counter it knows.
    pub counter: u64,
    /// The highest token of which it has dropped the record.
    pub floor: Option<Token>,
    /// The name of the epoch for which it is sealed.
    pub sealed_for: Option<[u8; 32]>,
}

/// What a voter hands over when its epoch ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// The voter.
    pub voter: VoterId,
    /// The epoch that ends.
    pub epoch: u64,
    /// The one epoch that may follow as far as this voter is concerned, which may not be the one proposed now.
    pub successor: Epoch,
    /// All it keeps.
    pub dump: Dump,
}

/// What a voter promised one attempt in one round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promise {
    /// The voter.
    pub voter: VoterId,
    /// Counts the voter's promises; a higher number than it knows of itself tells it that its disk was turned back.
    pub serial: u64,
    /// The epoch.
    pub epoch: u64,
    /// The round that asked.
    pub round: u64,
    /// The token of the attempt.
    pub token: Token,
    /// The name of what the lease is for.
    pub terms: [u8; 32],
}

/// A promise with the signature of the voter's node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedPromise {
    /// What was promised.
    pub promise: Promise,
    /// ed25519 over mesh and promise; checked only where somebody else than the voter shows it.
    #[serde(with = "serde_bytes")]
    pub signature: [u8; 64],
}

impl Terms {
    /// Returns whether two holders may not have leases with these terms at the same time.
    pub fn excludes(&self, other: &Self) -> bool {
        self.mode.excludes(other.mode) && self.scope.meets(&other.scope)
    }

    /// Returns the hash by which promises name what they are for.
    pub fn name(&self) -> [u8; 32] {
        let bytes = postcard::to_stdvec(self).expect("terms have a postcard form");
        blake3::derive_key(TERMS_CONTEXT, &bytes)
    }
}

impl Acquire {
    /// Returns whether it asks to renew what promises shown with it are for.
    pub fn renews(&self) -> bool {
        !self.held_by.is_empty() && self.held_by.iter().all(|shown| shown.promise.token == self.token)
    }
}

impl Promise {
    /// Returns what is signed.
    fn digest(&self, mesh: MeshId) -> [u8; 32] {
        let bytes = postcard::to_stdvec(&(mesh, self)).expect("promises have a postcard form");
        blake3::derive_key(PROMISE_CONTEXT, &bytes)
    }

    /// Signs the promise with the key of the voter's node.
    pub fn sign(self, mesh: MeshId, key: &SigningKey) -> SignedPromise {
        let signature = key.sign(&self.digest(mesh)).to_bytes();
        SignedPromise { promise: self, signature }
    }

    /// Returns the promise without a signature, as it leaves a voter that does not hold its node's key.
    pub(super) fn unsigned(self) -> SignedPromise {
        SignedPromise { promise: self, signature: [0; 64] }
    }
}

impl SignedPromise {
    /// Returns whether the node signed it, in that mesh.
    pub fn is_by(&self, mesh: MeshId, node: NodeId) -> bool {
        let signature = Signature::from_bytes(&self.signature);
        let key = VerifyingKey::from_bytes(node.as_bytes());
        key.is_ok_and(|key| key.verify_strict(&self.promise.digest(mesh), &signature).is_ok())
    }
}

impl Blocker {
    /// Returns how long the voter's promise to it lasts, `None` while it waits for one.
    pub fn left(&self) -> Option<Duration> {
        self.left_us.map(Duration::from_micros)
    }
}

impl Answer {
    /// Returns the attempt that the answer is for, if it is for one.
    pub fn attempt(&self) -> Option<Attempt> {
        match self {
            Self::Granted { promise, .. } => Some(promise.promise.token.attempt),
            Self::Busy { attempt, .. }
            | Self::Stale { attempt, .. }
            | Self::Ended { attempt, .. }
            | Self::Wrong { attempt, .. }
            | Self::Refused { attempt, .. } => Some(*attempt),
            Self::Here(_) => None,
        }
    }
}
