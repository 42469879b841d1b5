//! Which epoch is in force, as everybody can tell from the control set: proposed by the owner, handed over by the voters
//! before it.
//!
//! A voter that learns of a proposal seals, and hands over what it keeps as entries of its own. Once a majority of the
//! voters of an epoch has done so for one successor, that one is in force for whoever knows so. Two nodes may know of
//! different majorities: each has a voter in common with the majority of any lease, which is all that safety rests on.
//! Where a majority is lost for good, the mesh's recovery key can name an epoch far ahead.

use std::collections::{BTreeMap, BTreeSet};

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

use super::change::{Certificate, Dump};
use super::message::Sealed;
use super::{Epoch, Seat};
use crate::id::{MeshId, NodeId, VoterId};
use crate::limits::HOLD_DEFAULT;
use crate::planted::{self, Bug};

/// Separates what a recovery key signs for voters from its other uses.
const RECOVERY_CONTEXT: &str = "beadmesh 2026 voters recovery v1";

/// How far a recovery counts epochs up: beyond what the lost voters can have reached.
pub const RECOVERY_STEP: u64 = 1 << 20;

/// Parts that one voter may hand over in: about 200 MB, more than all that it may keep.
pub const HANDOVER_PARTS_MAX: u32 = 2_048;

/// Proposes the epoch that follows the one in force; written by the owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// The epoch.
    pub epoch: Epoch,
}

/// A part of what a voter hands over, having sealed; written by the voter's node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handover {
    /// The voter.
    pub voter: VoterId,
    /// The epoch that ends.
    pub epoch: u64,
    /// The epoch for which it has sealed.
    pub successor: Epoch,
    /// Which part this is, from 0.
    pub part: u32,
    /// How many there are.
    pub parts: u32,
    /// What it keeps, as far as this part goes; the union of all parts is all of it.
    pub dump: Dump,
}

/// Replaces an epoch of which a majority of voters is lost for good; signed with the mesh's recovery key.
///
/// Its voters wait until whatever was promised before has lapsed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovery {
    /// The epoch.
    pub epoch: Epoch,
    /// ed25519 over mesh and epoch.
    #[serde(with = "serde_bytes")]
    pub signature: [u8; 64],
}

/// How the epoch in force began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// With the mesh.
    Founded,
    /// With what a majority of the voters before it kept.
    Handed(Box<Certificate>),
    /// With nothing, by the recovery key.
    Recovered,
}

/// What is known of the epochs of a mesh; equal whatever the order in which it was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Succession {
    mesh: MeshId,
    owner: NodeId,
    recovery: [u8; 32],
    first: Epoch,
    /// What was proposed, by the number of the epoch and who did; of several of the owner's the one with the lowest name
    /// counts.
    proposals: BTreeMap<u64, BTreeMap<(NodeId, [u8; 32]), Epoch>>,
    /// What was handed over, by the epoch that ends and the name of its successor.
    handed: BTreeMap<u64, BTreeMap<[u8; 32], Estate>>,
    recoveries: BTreeMap<(u64, [u8; 32]), Epoch>,
}

/// What was handed over for one successor.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Estate {
    successor: Epoch,
    /// By voter, and by the number of parts that it said there were: one that was turned back may have said two.
    from: BTreeMap<(Seat, u32), Parts>,
}

/// The parts of one handover, by number; whoever says two things about one has both counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Parts(BTreeMap<u32, BTreeMap<[u8; 32], Dump>>);

/// How the epoch in force was come to.
#[derive(Clone, Copy)]
enum Way<'a> {
    Founded,
    Handed { before: &'a Epoch, estate: &'a Estate },
    Recovered,
}

impl Succession {
    /// Begins with the founder alone.
    pub fn new(mesh: MeshId, founder: NodeId, recovery: [u8; 32]) -> Self {
        let seat = Seat { node: founder, voter: VoterId::of_founder(mesh) };
        let first = Epoch::new(1, vec![seat], HOLD_DEFAULT).expect("one voter and the default hold are sound");
        Self::beginning(mesh, founder, recovery, first)
    }

    /// Begins with another first epoch than a mesh has, for simulations.
    pub fn beginning(mesh: MeshId, owner: NodeId, recovery: [u8; 32], first: Epoch) -> Self {
        let (proposals, handed, recoveries) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { mesh, owner, recovery, first, proposals, handed, recoveries }
    }

    /// Returns whose proposals count.
    pub fn owner(&self) -> NodeId {
        self.owner
    }

    /// Takes note of who owns the mesh: the proposals of others do not count, whenever they came.
    pub fn set_owner(&mut self, owner: NodeId) {
        self.owner = owner;
    }

    /// Takes what somebody proposes: it counts while that one owns the mesh.
    pub fn on_proposal(&mut self, author: NodeId, proposal: Proposal) {
        let epoch = proposal.epoch;
        if epoch.is_sound() {
            self.proposals.entry(epoch.number).or_default().insert((author, epoch.name()), epoch);
        }
    }

    /// Takes a part of what a node hands over. It counts if the epoch that ends names the node's voter, which may become
    /// known later.
    pub fn on_handover(&mut self, author: NodeId, handover: Handover) {
        let Handover { voter, epoch, successor, part, parts, dump } = handover;
        let follows = epoch.checked_add(1) == Some(successor.number) && successor.is_sound();
        if !follows || part >= parts || parts > HANDOVER_PARTS_MAX {
            return;
        }
        let estates = self.handed.entry(epoch).or_default();
        let estate = estates.entry(successor.name()).or_insert_with(|| Estate { successor, from: BTreeMap::new() });
        let known = estate.from.entry((Seat { node: author, voter }, parts)).or_default();
        known.0.entry(part).or_default().insert(dump.name(), dump);
    }

    /// Takes a recovery: it counts if the recovery key signed it.
    pub fn on_recovery(&mut self, recovery: Recovery) {
        if recovery.epoch.is_sound() && recovery.is_by(self.mesh, &self.recovery) {
            let epoch = recovery.epoch;
            self.recoveries.insert((epoch.number, epoch.name()), epoch);
        }
    }

    /// Returns the epoch in force, and how it began.
    pub fn current(&self) -> (Epoch, Start) {
        let (epoch, way) = self.walk();
        let start = match way {
            Way::Founded => Start::Founded,
            Way::Handed { before, estate } => {
                Start::Handed(Box::new(Certificate { epoch: epoch.clone(), dump: estate.union(before) }))
            }
            Way::Recovered => Start::Recovered,
        };
        (epoch.clone(), start)
    }

    /// Returns the epoch that the owner proposes to follow the one in force.
    pub fn proposed(&self, current: &Epoch) -> Option<&Epoch> {
        let next = self.proposals.get(&current.number.checked_add(1)?)?;
        next.range((self.owner, [0; 32])..=(self.owner, [u8::MAX; 32])).next().map(|(_, epoch)| epoch)
    }

    /// Returns the voters of the epoch in force that have handed over, whichever the successor.
    pub fn sealed(&self, current: &Epoch) -> Vec<Seat> {
        let estates = self.handed.get(&current.number).into_iter().flat_map(BTreeMap::values);
        let sealed: BTreeSet<Seat> = estates.flat_map(|estate| estate.heard_of(current)).collect();
        sealed.into_iter().collect()
    }

    /// Returns whether a voter has begun to hand over in an epoch, as entries of its node say.
    pub fn has_handed_over(&self, seat: Seat, epoch: u64) -> bool {
        let mut estates = self.handed.get(&epoch).into_iter().flat_map(BTreeMap::values);
        estates.any(|estate| estate.from.range((seat, 0)..=(seat, u32::MAX)).next().is_some())
    }

    /// Goes from epoch to epoch as far as they are known.
    fn walk(&self) -> (&Epoch, Way<'_>) {
        let (mut epoch, mut way) = (&self.first, Way::Founded);
        loop {
            // Voters seal once, so two successors with a majority each need voters that lie.
            let mut estates = self.handed.get(&epoch.number).into_iter().flat_map(BTreeMap::values);
            if let Some(estate) = estates.find(|estate| estate.is_enough(epoch)) {
                (way, epoch) = (Way::Handed { before: epoch, estate }, &estate.successor);
                continue;
            }
            match self.recoveries.last_key_value() {
                Some(((number, _), recovered)) if *number > epoch.number => (epoch, way) = (recovered, Way::Recovered),
                _ => return (epoch, way),
            }
        }
    }
}

impl Estate {
    /// Returns the voters that have handed over all they keep.
    fn heard_of(&self, before: &Epoch) -> BTreeSet<Seat> {
        self.whole(before).map(|(seat, _)| seat).collect()
    }

    /// Returns whether a majority of the voters has handed over.
    fn is_enough(&self, before: &Epoch) -> bool {
        let quorum = if planted::is(Bug::SealedByFew) { 1 } else { before.quorum() };
        self.heard_of(before).len() >= quorum
    }

    fn union(&self, before: &Epoch) -> Dump {
        let mut union = Dump::default();
        let parts = self.whole(before).flat_map(|(_, parts)| parts.0.values());
        parts.flat_map(BTreeMap::values).for_each(|dump| union.unite(dump));
        union
    }

    fn whole(&self, before: &Epoch) -> impl Iterator<Item = (Seat, &Parts)> {
        let is_whole = |count: u32, parts: &Parts| parts.0.len() == count as usize;
        let whole = self.from.iter().filter(move |((_, count), parts)| is_whole(*count, parts));
        whole.filter(|((seat, _), _)| before.seats.contains(seat)).map(|((seat, _), parts)| (*seat, parts))
    }
}

impl Handover {
    /// Cuts what a voter hands over into parts of at most about so many bytes.
    pub fn parts(sealed: Sealed, bytes_max: usize) -> Vec<Self> {
        let Sealed { voter, epoch, successor, dump } = sealed;
        let dumps = dump.split(bytes_max);
        let parts = u32::try_from(dumps.len()).expect("far fewer parts than 2^32");
        let number = |(part, dump)| {
            let part = u32::try_from(part).expect("far fewer parts than 2^32");
            Self { voter, epoch, successor: successor.clone(), part, parts, dump }
        };
        dumps.into_iter().enumerate().map(number).collect()
    }
}

impl Recovery {
    /// Signs an epoch with the recovery key.
    pub fn sign(epoch: Epoch, mesh: MeshId, key: &SigningKey) -> Self {
        let signature = key.sign(&digest(mesh, &epoch)).to_bytes();
        Self { epoch, signature }
    }

    fn is_by(&self, mesh: MeshId, key: &[u8; 32]) -> bool {
        let signature = Signature::from_bytes(&self.signature);
        let key = VerifyingKey::from_bytes(key);
        key.is_ok_and(|key| key.verify_strict(&digest(mesh, &self.epoch), &signature).is_ok())
    }
}

fn digest(mesh: MeshId, epoch: &Epoch) -> [u8; 32] {
    let bytes = postcard::to_stdvec(&(mesh, epoch)).expect("epochs have a postcard form");
    blake3::derive_key(RECOVERY_CONTEXT, &bytes)
}

#[cfg(test)]
mod tests;
