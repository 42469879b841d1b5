//! What a node counts of itself, for whoever watches it.

use std::collections::BTreeMap;

use super::PeerAnswer;

/// How much there is of what is worth watching. Keys are words of ours, so that there are few of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MeasuresAnswer {
    /// Entries of the control set.
    pub control_entries: u64,
    /// Entries of the data set.
    pub data_entries: u64,
    /// Entries whose timestamp lies far ahead of our clock.
    pub entries_from_future: u64,
    /// Beads by status; all statuses of a project's own are `custom`.
    pub beads: BTreeMap<String, u64>,
    /// Beads that can be worked on now.
    pub ready: u64,
    /// Agents of this node that act.
    pub agents: u64,
    /// Letters that these have not read.
    pub unread: u64,
    /// Claims of this node's agents, by how they stand.
    pub claims: BTreeMap<&'static str, u64>,
    /// Every other member, linked or not.
    pub peers: Vec<PeerAnswer>,
}
