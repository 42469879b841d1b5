//! The change from one epoch to the next: seal, collect what voters keep, start.
//!
//! A majority of the old voters says what it keeps and grants nothing more. Any lease of the old epoch had a majority
//! too, so one of these voters knows it, and every voter of the new epoch keeps it for a full hold time.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::message::{Ask, Sealed};
use super::voter::{Grant, Lanes};
use super::{Attempt, Epoch, Holder, Token};
use crate::id::{BeadId, EntryId, NodeId, VoterId};
use crate::planted::{self, Bug};

/// All that a voter keeps, as it hands it over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dump {
    /// What it promised.
    pub grants: BTreeMap<Attempt, Grant>,
    /// What it knows of the lanes of each holder.
    pub lanes: BTreeMap<Holder, Lanes>,
    /// The entries in which beads were closed under leases.
    pub closes: BTreeMap<BeadId, (Token, EntryId)>,
    /// The highest counter it knows.
    pub counter: u64,
    /// The highest token of which it has dropped the record.
    pub floor: Option<Token>,
}

/// Starts an epoch: what its voters import before they grant anything. Handed on for ever, so that who was away can
/// take the newest from anybody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// The epoch that starts.
    pub epoch: Epoch,
    /// The union of what a majority of the voters before it kept.
    pub dump: Dump,
}

/// A change of epochs under way, at the owner of the mesh.
///
/// What is proposed must be durable at the owner before any voter is asked, and is proposed again until it has started:
/// voters that have sealed for two different successors may leave neither with a majority.
#[derive(Debug)]
pub struct Change {
    from: Epoch,
    to: Epoch,
    /// What voters handed over, by the successor that they have sealed for.
    sealed: BTreeMap<[u8; 32], (Epoch, BTreeMap<VoterId, Dump>)>,
}

impl Change {
    /// Begins to replace an epoch by its successor, or goes on with that after a start.
    pub fn begin(from: Epoch, to: Epoch) -> Self {
        assert_eq!(to.number, from.number + 1, "an epoch is followed by the next");
        Self { from, to, sealed: BTreeMap::new() }
    }

    /// Returns the epoch that ends.
    pub fn from(&self) -> &Epoch {
        &self.from
    }

    /// Returns the epoch that is to start.
    pub fn to(&self) -> &Epoch {
        &self.to
    }

    /// Returns what to ask of which nodes now: those of the old voters that have not sealed.
    pub fn asks(&self) -> Vec<(NodeId, Ask)> {
        let has_sealed = |voter| self.sealed.values().any(|(_, dumps)| dumps.contains_key(&voter));
        let open = self.from.seats.iter().filter(|seat| !has_sealed(seat.voter));
        open.map(|seat| (seat.node, Ask::Seal(self.to.clone()))).collect()
    }

    /// Takes what a voter handed over; returns the certificate once a majority has sealed for one successor.
    ///
    /// That may be another than is proposed now: one that this owner proposed before its store was turned back.
    pub fn on_sealed(&mut self, from: NodeId, sealed: Sealed) -> Option<Certificate> {
        let Sealed { voter, epoch, successor, dump } = sealed;
        let is_asked = self.from.seat(from).is_some_and(|seat| seat.voter == voter);
        let follows = epoch == self.from.number && successor.number == self.to.number && successor.is_sound();
        if !is_asked || !follows {
            return None;
        }
        let quorum = if planted::is(Bug::SealedByFew) { 1 } else { self.from.quorum() };
        let (epoch, dumps) = self.sealed.entry(successor.name()).or_insert_with(|| (successor, BTreeMap::new()));
        dumps.insert(voter, dump);
        if dumps.len() < quorum {
            return None;
        }
        let mut dump = Dump::default();
        dumps.values().for_each(|part| dump.unite(part));
        Some(Certificate { epoch: epoch.clone(), dump })
    }
}

impl Dump {
    /// Adds what another voter kept.
    pub fn unite(&mut self, other: &Self) {
        for (holder, lanes) in &other.lanes {
            self.lanes.entry(*holder).or_default().unite(lanes);
        }
        for (attempt, grant) in &other.grants {
            match self.grants.get_mut(attempt) {
                Some(mine) => mine.unite(grant),
                None => {
                    self.grants.insert(*attempt, grant.clone());
                }
            }
        }
        let lanes = &self.lanes;
        for (attempt, grant) in &mut self.grants {
            grant.dead |= lanes.get(&attempt.lane.holder).is_some_and(|lanes| lanes.is_closed(*attempt));
        }
        for (bead, close) in &other.closes {
            let mine = self.closes.entry(*bead).or_insert(*close);
            *mine = (*mine).max(*close);
        }
        self.counter = self.counter.max(other.counter);
        self.floor = self.floor.max(other.floor);
    }
}
