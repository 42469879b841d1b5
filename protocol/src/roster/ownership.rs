//! Who owns the mesh, and where in the causal order each owner has done so.
//!
//! The founder owns it first. Each owner can give it to the next, and the recovery key can take it from any. Every such
//! act names the one before it, so they make a chain. What was taken comes first: each taking names the taking before it,
//! or the founding entry, so that nothing an owner gave, however it is dated, can undo one. From the last of them on the
//! mesh is given. Of several acts that name the same, what has seen none of the others counts, and of those the first by
//! (hlc, id): an owner that gives the mesh twice has given it to the first. What is not in the chain has no effect.

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
    /// Where it is given: how the owner before came to own the mesh. Where it is taken: the last taking before. Either is
    /// the founding entry where there is none.
    pub before: EntryId,
    /// The owner from here on, an admin at least. Who takes the mesh takes it for itself.
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
    /// Whether that was the founding, or a taking.
    is_root: bool,
    /// Where what it does counts as the owner's: after that, and before what made another the owner.
    pub(super) rules: Vec<bool>,
    /// Where others can do nothing about it: what has seen neither.
    shields: Vec<bool>,
    /// Where another owns the mesh: what has seen the latter.
    over: Vec<bool>,
}

impl Owners {
    /// Follows the chain from the founding entry of a mesh with that recovery key.
    pub(super) fn of(history: &History<'_>, founding: usize, mesh: MeshId, recovery: &[u8; 32]) -> Self {
        let chain = chain(history, founding, mesh, recovery);
        let everywhere = |is: bool| vec![is; history.vertices().len()];
        let reign = |(place, &Link { owner, at: from, is_root }): (usize, &Link)| {
            let to = chain.get(place + 1).map(|link| link.at);
            let begun = if place == 0 { everywhere(true) } else { history.after(&[from]) };
            let unborn = if place == 0 { everywhere(false) } else { history.before(from) };
            let ending = to.map_or_else(|| everywhere(true), |to| history.before(to));
            let over = to.map_or_else(|| everywhere(false), |to| history.after(&[to]));
            let rules = begun.iter().zip(ending).map(|(begun, ending)| *begun && ending).collect();
            let shields = unborn.iter().zip(&over).map(|(unborn, over)| !unborn && !over).collect();
            Reign { owner, from, is_root, rules, shields, over }
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

    /// Returns the last taking, or the founding entry: what the next taking names.
    pub(super) fn root(&self) -> usize {
        self.reigns.iter().rev().find(|reign| reign.is_root).map_or(0, |reign| reign.from)
    }

    /// Returns whether a node acts as the owner in an entry.
    pub(super) fn rules(&self, node: NodeId, at: usize) -> bool {
        self.reigns.iter().any(|reign| reign.owner == node && reign.rules[at])
    }

    /// Returns whether a node may come to own the mesh, or still do so, for all that an entry has seen.
    pub(super) fn may_own(&self, node: NodeId, at: usize) -> bool {
        self.reigns.iter().any(|reign| reign.owner == node && !reign.over[at])
    }

    /// Returns whether nothing that an entry does about a node counts, because the node owns the mesh there.
    pub(super) fn shields(&self, node: NodeId, at: usize) -> bool {
        self.reigns.iter().any(|reign| reign.owner == node && reign.shields[at])
    }
}

/// An owner, and the entry by which it came to own the mesh.
struct Link {
    owner: NodeId,
    at: usize,
    /// Whether that is the founding entry, or takes the mesh.
    is_root: bool,
}

/// Returns the owners, one after another.
fn chain(history: &History<'_>, founding: usize, mesh: MeshId, recovery: &[u8; 32]) -> Vec<Link> {
    let (mut taken, mut given) = (BTreeMap::new(), BTreeMap::new());
    for (at, vertex) in history.vertices().iter().enumerate().filter(|(at, _)| history.is_whole(*at)) {
        if let Some(ownership) = vertex.ownership {
            let claims = if ownership.recovery.is_some() { &mut taken } else { &mut given };
            claims.entry(ownership.before).or_insert_with(Vec::new).push((at, ownership));
        }
    }
    let author = |at: usize| history.vertex(at).author();
    let mut chain = vec![Link { owner: author(founding), at: founding, is_root: true }];
    let id = |chain: &[Link]| chain.last().map(|link| history.vertex(link.at).entry.id());
    while let Some(claims) = id(&chain).and_then(|id| taken.remove(&id)) {
        let mut tried: BTreeMap<NodeId, usize> = BTreeMap::new();
        // Whoever repeats what another has signed takes nothing by it.
        let is_taken = |(at, claim): &(usize, &Ownership)| {
            let tried = tried.entry(author(*at)).or_default();
            *tried += 1;
            author(*at) == claim.node && *tried <= OWNERSHIPS_TRIED_MAX && claim.is_by(mesh, recovery)
        };
        let Some((owner, at)) = first(history, claims.into_iter().filter(is_taken).collect()) else { break };
        chain.push(Link { owner, at, is_root: true });
    }
    while let Some(claims) = id(&chain).and_then(|id| given.remove(&id)) {
        let giver = chain.last().map(|link| link.owner);
        let is_given = |(at, _): &(usize, &Ownership)| planted::is(Bug::AnyoneOwns) || Some(author(*at)) == giver;
        let Some((owner, at)) = first(history, claims.into_iter().filter(is_given).collect()) else { break };
        chain.push(Link { owner, at, is_root: false });
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
