//! The checkers: what must hold in every run, one file each. A checker that can not fail is none: each has a bug that
//! `--cfg planted` plants in the core and that it must find.

use std::collections::{BTreeMap, BTreeSet};

use beadmesh_protocol::id::{BeadId, NodeId};

use crate::journal::Journal;
use crate::plan::Plan;
use crate::view::{Glance, View};
use beadmesh_protocol::clock::Wall;

/// The end of a run as the checkers see it: the mesh was healed and left alone.
pub struct Ending<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// What was asked and answered.
    pub journal: &'a Journal,
    /// What every honest node that runs shows, in short.
    pub glances: &'a [Glance],
    /// What some of them, at least two where there are two, show in full.
    pub views: &'a [View],
    /// What the union of all honest sets folds to in a replica that never crashed and got it in another order.
    pub reference: &'a View,
    /// Which key each node of the plan has.
    pub keys: &'a BTreeMap<u32, NodeId>,
    /// Keys of strangers, in whose name rogues wrote.
    pub strangers: &'a BTreeSet<NodeId>,
    /// Keys of which two stores were in use, by a copy or a restored disk.
    pub forked: &'a BTreeSet<NodeId>,
    /// Keys whose store was lost, all or in part.
    pub lost: &'a BTreeSet<NodeId>,
    /// Beads that strangers and observers wrote and nobody else did.
    pub outlawed: &'a BTreeSet<BeadId>,
    /// The virtual millisecond.
    pub at_ms: u64,
    /// The right wall time.
    pub wall: Wall,
    /// Whether all became equal in time.
    pub converged: bool,
    /// Frames delivered while everything was quiet, and for how many virtual milliseconds it was.
    pub quiet: (u64, u64),
    /// Links that were up at the end.
    pub links: u64,
    /// Most bytes that waited in one direction of a link.
    pub queue_bytes_max: u64,
}

pub fn all(e: &Ending<'_>) -> Vec<crate::outcome::Violation> {
    if e.converged {
        vec![]
    } else {
        vec![crate::outcome::Violation { check: "liveness", at_ms: e.at_ms, node: None, what: String::new() }]
    }
}
