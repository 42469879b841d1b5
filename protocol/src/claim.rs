//! Claims as everybody keeps them: who says to work on what, by which lease if by any, and when that ended.
//!
//! They are only ever added, so two claims made apart are both there: what is said here is what was said, and no promise
//! that nobody else said it. That promise is the lease (`crate::lease`), which a [`Fence`] shows.

use serde::{Deserialize, Serialize};

use crate::clock::Wall;
use crate::id::{AgentId, BeadId, ChangeHash, ClaimId, EntryId, NodeId};
use crate::lease::{SignedPromise, Terms, Token};

pub mod gate;
pub mod settle;

/// The BLAKE3 context under which claims are named.
const ID_CONTEXT: &str = "beadmesh 2026 claim id v1";

/// An agent of the author's node says that it works on something. Tentative by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The agent.
    pub agent: AgentId,
    /// What it works on.
    pub terms: Terms,
    /// How pressing it is, 0 first: the priority of the bead.
    pub priority: u8,
    /// Until when it means to, by its node's clock.
    pub until: Wall,
    /// Tells claims apart that say the same.
    pub nonce: u64,
    /// The clashing claims of others that its node knew to be open.
    pub seen: Vec<ClaimId>,
}

/// Shows that a claim of the author's node has a lease; again with another token where it lost the lease and got a new
/// one, and with a later end where it goes on for longer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fence {
    /// The claim.
    pub claim: ClaimId,
    /// The token of the lease.
    pub token: Token,
    /// Until when the lease is to be renewed, by its node's clock.
    pub until: Wall,
    /// The entries in which earlier holders closed beads of the scope: these closes stand, though their tokens are lower.
    pub closes: Vec<EntryId>,
    /// The promises that the lease rests on.
    pub proof: Vec<SignedPromise>,
}

/// Ends a claim of the author's node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unclaim {
    /// The claim.
    pub claim: ClaimId,
    /// Why.
    pub why: Why,
}

/// Why a claim has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Why {
    /// The agent is done, or has let it go.
    Done,
    /// Another agent has the lease.
    Yielded,
    /// Its term is over.
    Expired,
}

/// Says under which lease a bead was closed, in the entry that closes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closing {
    /// The bead.
    pub bead: BeadId,
    /// The change that closes it.
    pub change: ChangeHash,
    /// The token of the lease.
    pub token: Token,
}

impl Claim {
    /// Returns the name of the claim, which a node has made.
    pub fn id(&self, node: NodeId) -> ClaimId {
        let bytes = postcard::to_stdvec(&(node, self)).expect("claims have a postcard form");
        let hash = blake3::derive_key(ID_CONTEXT, &bytes);
        ClaimId::from_slice(&hash[..ClaimId::BYTES]).expect("16 of 32 bytes")
    }
}
