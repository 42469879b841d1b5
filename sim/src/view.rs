//! What a node shows at the end of a run: everything a person could ask it.

use std::collections::BTreeMap;

use beadmesh_protocol::id::{BeadId, ClaimId, EntryId, InstanceId, LetterId, NodeId};
use beadmesh_store::command::{
    AgentAnswer, BeadAnswer, ClaimAnswer, ExportedSystemLetter, Finding, MailExport, MemberAnswer, PeerAnswer,
};

/// What a node shows.
#[derive(Debug, Clone)]
pub struct View {
    /// The node, by place; the reference has none.
    pub place: Option<u32>,
    /// The digest of its sets.
    pub sets: String,
    /// Every entry it holds: who wrote it, in which instance, as which number.
    pub entries: BTreeMap<EntryId, (NodeId, InstanceId, u64)>,
    /// The members it knows.
    pub members: Vec<MemberAnswer>,
    /// Its peers.
    pub peers: Vec<PeerAnswer>,
    /// Every bead it lists, by id.
    pub beads: BTreeMap<BeadId, BeadAnswer>,
    /// The beads it calls ready, in order.
    pub ready: Vec<BeadId>,
    /// The beads it calls blocked.
    pub blocked: Vec<BeadId>,
    /// Every claim it knows, over or not.
    pub claims: BTreeMap<ClaimId, ClaimAnswer>,
    /// Its export.
    pub lines: Vec<String>,
    /// The agents it knows, in the order of ids, told of as any node would.
    pub agents: Vec<AgentAnswer>,
    /// All mail that has effect there, apart from system letters.
    pub mail: MailExport,
    /// The system letters of its agents.
    pub system: BTreeMap<LetterId, ExportedSystemLetter>,
    /// What its own check found.
    pub findings: Vec<Finding>,
    /// Bytes that its store takes.
    pub stored_bytes: u64,
}

/// What every node shows, in short, where there are too many to look at each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glance {
    /// The node, by place.
    pub place: u32,
    /// The digest of its sets.
    pub sets: [u8; 32],
    /// How many entries it holds.
    pub entries: u64,
}
