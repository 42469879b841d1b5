//! The checkers: what must hold in every run, one file each. A checker that can not fail is none: each has a bug that
//! `--cfg planted` plants in the core and that it must find.
//!
//! They judge the end of a run. What can only be seen while it goes on is found by the engine, which adds violations
//! of its own: `manners` (an honest node accused an honest one of breaking the protocol, or sent it what is no frame),
//! `stopped` (an honest node stopped, or did not start or answer, without a fault), `refusal` (what must work was
//! refused), `reference` (the union of all sets was not taken) and `liveness` (the run did not end). Who calls the engine
//! adds two more: `panic` (it panicked) and `determinism` (the same plan ran otherwise the second time).

use std::collections::{BTreeMap, BTreeSet};

use beadmesh_protocol::clock::Wall;
use beadmesh_protocol::id::{BeadId, LetterId, NodeId};
use beadmesh_protocol::op::Role;

use crate::journal::Journal;
use crate::outcome::Violation;
use crate::plan::Plan;
use crate::said::Said;
use crate::tenure::Tenure;
use crate::view::{Glance, View};

mod claims;
mod converge;
mod cycles;
mod durable;
mod ids;
mod leases;
mod liveness;
mod mail;
mod report;
mod resources;
mod roster;
#[cfg(test)]
mod tests;

pub(crate) use cycles::may_have_cycle;
pub(crate) use mail::comes_once;

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
    /// The nodes that copies were made of, by the places of the copies.
    pub copies: &'a BTreeMap<u32, u32>,
    /// Nodes that were told that they are in the mesh, the founder among them.
    pub joined: &'a BTreeSet<u32>,
    /// Keys of strangers, in whose name rogues wrote.
    pub strangers: &'a BTreeSet<NodeId>,
    /// Keys that an admission names and that are no members: of strangers whom a member has named, and of machines that were
    /// let in and removed. What they write is kept, and void, but for what a machine had written before.
    pub named: &'a BTreeSet<NodeId>,
    /// Nodes that the founder has made admins.
    pub promoted: &'a BTreeSet<u32>,
    /// Keys of which two stores were in use, by a copy on the same hardware or a restored disk.
    pub forked: &'a BTreeSet<NodeId>,
    /// Keys of which a copy went on as a new instance on other hardware, until it was switched off.
    pub moved: &'a BTreeSet<NodeId>,
    /// Keys of nodes whose store began anew from what their peers held, because the disk was lost or damaged.
    pub lost: &'a BTreeSet<NodeId>,
    /// Beads that strangers, observers and removed machines wrote and nobody else did.
    pub outlawed: &'a BTreeSet<BeadId>,
    /// Beads of which members wrote something in a way that no honest node does: such changes have effect or void
    /// others by the rules, so little can be said of what such a bead shows.
    pub meddled: &'a BTreeSet<BeadId>,
    /// Letters that rogues wrote in the names of agents of other nodes.
    pub impostures: &'a BTreeSet<LetterId>,
    /// What all entries say about claims and voters.
    pub said: &'a Said,
    /// Leases as true time knows them, in the order in which they began.
    pub tenures: &'a [Tenure],
    /// Keys whose machines broke what leases rest on, and when first: a store of theirs ran twice or was put back while
    /// the machine ran on, or their clock stood still.
    pub unsound: &'a BTreeMap<NodeId, u64>,
    /// What the wall clock said when the views were asked for; it was the same for all, the reference included.
    pub wall: Wall,
    /// Bytes of all entries in the union of all sets.
    pub entry_bytes: u64,
    /// The virtual millisecond.
    pub at_ms: u64,
    /// Whether all became equal in time.
    pub converged: bool,
    /// Frames delivered while everything was quiet, and for how many virtual milliseconds it was.
    pub quiet: (u64, u64),
    /// Links that were up at the end.
    pub links: u64,
    /// Bytes of the largest entry.
    pub entry_bytes_max: u64,
    /// Most bytes that waited in one direction of a link, of what an honest node sent.
    pub queue_bytes_max: u64,
    /// Most bytes of entries among such.
    pub entries_bytes_max: u64,
}

/// Runs every checker; what they find comes in their order.
pub fn all(ending: &Ending<'_>) -> Vec<Violation> {
    let checkers = [
        converge::check,
        durable::check,
        mail::check,
        roster::check,
        ids::check,
        cycles::check,
        resources::check,
        liveness::check,
        leases::check,
        claims::check,
    ];
    checkers.into_iter().flat_map(|check| check(ending)).collect()
}

impl<'a> Ending<'a> {
    /// Returns the reference and every view.
    fn shown(&self) -> impl Iterator<Item = &'a View> + use<'a> {
        std::iter::once(self.reference).chain(self.views)
    }

    /// Returns the node of the plan that has a key.
    fn place(&self, key: NodeId) -> Option<u32> {
        self.keys.iter().find(|(_, known)| **known == key).map(|(place, _)| *place)
    }

    fn is_rogue(&self, place: u32) -> bool {
        self.node(place).is_none_or(|node| node.rogue)
    }

    /// Returns whether what a node writes has effect.
    fn may_write(&self, place: u32) -> bool {
        self.node(place).is_some_and(|node| node.role != Role::Observer)
    }

    /// Returns what the plan says of a node, or of the node that it is a copy of.
    fn node(&self, place: u32) -> Option<&'a crate::plan::Node> {
        let place = self.copies.get(&place).copied().unwrap_or(place);
        self.plan.nodes.get(usize::try_from(place).ok()?)
    }

    /// Returns whether a node had one store, and the same, all the time: then it knew in the end what it knew once.
    fn is_steady(&self, place: u32) -> bool {
        self.keys.get(&place).is_some_and(|key| !self.forked.contains(key) && !self.lost.contains(key))
    }
}
