//! Who owns the mesh, and where in the causal order each owner has done so.
//!
//! The founder owns it first. Each owner can give it to the next, and the recovery key can take it from any. Every such
//! act names the one before it, so they make a chain; of several that name the same, what the recovery key signed counts
//! before what an owner gave, then what has seen none of the others, then the first by (hlc, id): an owner that gives the
//! mesh twice has given it to the first. What is not in the chain has no effect.

use std::collections::BTreeMap;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

use super::history::History;
use crate::id::{EntryId, MeshId, NodeId};
use crate::limits::OWNERSHIPS_TRIED_MAX;
use crate::planted::{self, Bug};

/// Separates what a recovery key signs for ownership from its other uses.
const RECOVERY_CONTEXT: &str = "beadmesh 2026 ownership recovery v1";

/// Gives the mesh to another owner, or takes it for one with the recovery key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ownership {
    /// The control heads the author saw.
    pub seen: Vec<EntryId>,
    /// How the owner before came to own the mesh: the founding entry, or an entry with such an operation.
    pub before: EntryId,
    /// The owner from here on, an admin at least.
    pub node: NodeId,
    /// Where it is taken: ed25519 by the recovery key over the mesh and all the above.
    #[serde(with = "serde_bytes")]
    pub recovery: Option<[u8; 64]>,
}

impl Ownership {
    /// Takes the mesh for a node with the recovery key.
    pub fn taken(seen: Vec<EntryId>, before: EntryId, node: NodeId, (mesh, key): (MeshId, &SigningKey)) -> Self {
        let mut taken = Self { seen, before, node, recovery: None };
        taken.recovery = Some(key.sign(&taken.digest(mesh)).to_bytes());
        taken
    }

    /// Returns whether the recovery key has signed it.
    fn is_by(&self, mesh: MeshId, key: &[u8; 32]) -> bool {
        let (Some(signature), Ok(key)) = (&self.recovery, VerifyingKey::from_bytes(key)) else { return false };
        key.verify_strict(&self.digest(mesh), &Signature::from_bytes(signature)).is_ok()
    }

    fn digest(&self, mesh: MeshId) -> [u8; 32] {
        let signed = (mesh, &self.seen, self.before, self.node);
        let bytes = postcard::to_stdvec(&signed).expect("lists of ids have a postcard form");
        blake3::derive_key(RECOVERY_CONTEXT, &bytes)
    }
}

/// The owners of a mesh, one after another.
pub(super) struct Owners {
    reigns: Vec<Reign>,
}

/// The time of one owner, by places of entries in the history.
pub(super) struct Reign {
    pub(super) owner: NodeId,
    /// What made it the owner.
    pub(super) from: usize,
    /// Where what it does counts as the owner's: after that, and before what made another the owner.
    pub(super) rules: Vec<bool>,
    /// Where others can do nothing about it: what has seen neither.
    shields: Vec<bool>,
}

impl Owners {
    /// Follows the chain from the founding entry of a mesh with that recovery key.
    pub(super) fn of(history: &History<'_>, founding: usize, mesh: MeshId, recovery: &[u8; 32]) -> Self {
        let chain = chain(history, founding, mesh, recovery);
        let everywhere = |is: bool| vec![is; history.vertices().len()];
        let reign = |(place, &(owner, from)): (usize, &(NodeId, usize))| {
            let to = chain.get(place + 1).map(|(_, to)| *to);
            let begun = if place == 0 { everywhere(true) } else { history.after(&[from]) };
            let unborn = if place == 0 { everywhere(false) } else { history.before(from) };
            let ending = to.map_or_else(|| everywhere(true), |to| history.before(to));
            let over = to.map_or_else(|| everywhere(false), |to| history.after(&[to]));
            let rules = begun.iter().zip(ending).map(|(begun, ending)| *begun && ending).collect();
            let shields = unborn.iter().zip(over).map(|(unborn, over)| !unborn && !over).collect();
            Reign { owner, from, rules, shields }
        };
        Self { reigns: chain.iter().enumerate().map(reign).collect() }
    }

    /// Returns the times of all owners, the first before the next.
    pub(super) fn reigns(&self) -> &[Reign] {
        &self.reigns
    }

    /// Returns the time of the last, who owns the mesh.
    pub(super) fn last(&self) -> &Reign {
        self.reigns.last().expect("the founder is the first of them")
    }

    /// Returns whether a node acts as the owner in an entry.
    pub(super) fn rules(&self, node: NodeId, at: usize) -> bool {
        self.reigns.iter().any(|reign| reign.owner == node && reign.rules[at])
    }

    /// Returns whether nothing that an entry does about a node counts, because the node owns the mesh there.
    pub(super) fn shields(&self, node: NodeId, at: usize) -> bool {
        self.reigns.iter().any(|reign| reign.owner == node && reign.shields[at])
    }
}

/// Returns the owners, each with the entry by which it came to own the mesh.
fn chain(history: &History<'_>, founding: usize, mesh: MeshId, recovery: &[u8; 32]) -> Vec<(NodeId, usize)> {
    let mut claims: BTreeMap<EntryId, Vec<(usize, &Ownership)>> = BTreeMap::new();
    for (at, vertex) in history.vertices().iter().enumerate().filter(|(at, _)| history.is_whole(*at)) {
        if let Some(ownership) = vertex.ownership {
            claims.entry(ownership.before).or_default().push((at, ownership));
        }
    }
    let mut chain = vec![(history.vertex(founding).author(), founding)];
    while let Some((owner, from)) = chain.last().copied() {
        let claims = claims.remove(&history.vertex(from).entry.id()).unwrap_or_default();
        // Entries are sorted by (hlc, id) already.
        let mut tried: BTreeMap<NodeId, usize> = BTreeMap::new();
        let mut is_new = |at: usize| {
            let tried = tried.entry(history.vertex(at).author()).or_default();
            *tried += 1;
            *tried <= OWNERSHIPS_TRIED_MAX
        };
        let (signed, given): (Vec<_>, Vec<_>) = claims.into_iter().partition(|(_, claim)| claim.recovery.is_some());
        let is_taken = |(at, claim): &(usize, &Ownership)| is_new(*at) && claim.is_by(mesh, recovery);
        let anyone = planted::is(Bug::AnyoneOwns);
        let is_given = |(at, _): &(usize, &Ownership)| anyone || history.vertex(*at).author() == owner;
        let taken = first(history, signed.into_iter().filter(is_taken).collect());
        let Some(next) = taken.or_else(|| first(history, given.into_iter().filter(is_given).collect())) else { break };
        chain.push(next);
    }
    chain
}

/// Returns of some claims, sorted by (hlc, id), the first that has seen none of the others.
fn first(history: &History<'_>, claims: Vec<(usize, &Ownership)>) -> Option<(NodeId, usize)> {
    let places: Vec<usize> = claims.iter().map(|(at, _)| *at).collect();
    let saw = history.after(&places);
    claims.into_iter().find(|(at, _)| !saw[*at]).map(|(at, claim)| (claim.node, at))
}

#[cfg(test)]
mod tests;
