//! Events: what has changed here, for whoever watches.

use beadmesh_protocol::id::{AgentId, BeadId, ClaimId, LetterId, NodeId};
use beadmesh_protocol::mail::Importance;

/// A change that is durable here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A bead was created or changed, here or elsewhere.
    Bead {
        /// The bead.
        bead: BeadId,
        /// Its alias as shown.
        alias: String,
        /// The node that wrote the change.
        author: NodeId,
    },
    /// A letter has come, from here or elsewhere.
    Letter {
        /// The letter.
        letter: LetterId,
        /// Where it comes from: `Name@node`.
        from: String,
        /// The agents it goes to, copies included.
        to: Vec<AgentId>,
        /// The thread it belongs to.
        thread: String,
        /// What it is about.
        subject: String,
        /// How pressing it is.
        importance: Importance,
    },
    /// A claim stands otherwise than before: one of this node's agents, or what is known of another's.
    Claim {
        /// The claim.
        claim: ClaimId,
        /// Whose it is: `Name@node`.
        address: String,
        /// The bead that it is for, by its alias as shown.
        bead: Option<String>,
        /// How it stands now: `held`, `tentative`, `lapsed`, `yielded`, `done` or `expired`.
        state: &'static str,
        /// Who is in the way and on what, for a claim that has yielded.
        by: Option<(String, String)>,
    },
    /// Other voters are in force.
    Voters,
    /// Agents were registered, retired or changed.
    Agents,
    /// A node waits to be approved.
    Applicant {
        /// What it wants to be called.
        name: String,
        /// What a person compares before approving it.
        fingerprint: String,
    },
    /// The roster changed.
    Roster,
    /// A link came up.
    PeerUp(NodeId),
    /// A link went down.
    PeerDown(NodeId),
    /// A peer and this node have come to hold the same.
    PeerSettled(NodeId),
}
