//! Who owns the mesh, and where in the causal order each owner has done so.
//!
//! The founder owns it first. Each owner can give it to the next, and the recovery key can take it from any. Every such
//! act names the one before it, so they make a chain. What was taken comes first: each taking names the taking before it,
//! or the founding entry, so that nothing an owner gave, however it is dated, can undo one. From the last of them on the
//! mesh is given. Of several acts that name the same, what has seen none of the others counts; of those the first gift by
//! (hlc, id), so an owner that gives the mesh twice has given it to the first, and the taking with the lowest digest, which
//! nobody chooses who lacks the recovery key. Whoever takes the mesh can write what was signed into further entries, at
//! any time: they are all one taking, by whichever of them others name it. What is not in the chain has no effect.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

use super::history::History;
use crate::id::{EntryId, MeshId, NodeId};
use crate::limits::OWNERSHIPS_GIVEN_MAX;
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
    /// Whether the recovery key has signed it, once that was asked: every fold asks, and it costs 50 us.
    #[serde(skip)]
    signed: Known,
}

/// What was found out of an operation; it is no part of it.
#[derive(Debug, Default)]
struct Known(OnceLock<bool>);

impl Clone for Known {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Known {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Eq for Known {}

impl Ownership {
    /// Gives the mesh to a node.
    pub fn given(seen: Vec<EntryId>, before: EntryId, node: NodeId) -> Self {
        Self { seen, before, node, recovery: None, signed: Known::default() }
    }

    /// Takes the mesh for a node with the recovery key.
    pub fn taken(seen: Vec<EntryId>, before: EntryId, node: NodeId, (mesh, key): (MeshId, &SigningKey)) -> Self {
        let mut taken = Self::given(seen, before, node);
        taken.recovery = Some(key.sign(&taken.digest(mesh)).to_bytes());
        taken
    }

    /// Returns whether the recovery key of the mesh has signed it. The answer is kept: an operation is of one mesh.
    fn is_by(&self, mesh: MeshId, key: &[u8; 32]) -> bool {
        let (Some(signature), Ok(key)) = (&self.recovery, VerifyingKey::from_bytes(key)) else { return false };
        let verify = || key.verify_strict(&self.digest(mesh), &Signature::from_bytes(signature)).is_ok();
        *self.signed.0.get_or_init(verify)
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
}

impl Owners {
    /// Follows the chain from the founding entry of a mesh with that recovery key.
    pub(super) fn of(history: &History<'_>, founding: usize, mesh: MeshId, recovery: &[u8; 32]) -> Self {
        let chain = chain(history, founding, mesh, recovery);
        let everywhere = |is: bool| vec![is; history.vertices().len()];
        let reign = |(place, link): (usize, &Link)| {
            let (owner, from, is_root) = (link.owner, link.at(), link.is_root);
            let next = chain.get(place + 1);
            let begun = if place == 0 { everywhere(true) } else { history.after(&link.places) };
            let unborn = if place == 0 { everywhere(false) } else { history.before(from) };
            let ending = next.map_or_else(|| everywhere(true), |next| history.before(next.at()));
            let over = next.map_or_else(|| everywhere(false), |next| history.after(&next.places));
            let rules = begun.iter().zip(ending).map(|(begun, ending)| *begun && ending).collect();
            let shields = unborn.iter().zip(over).map(|(unborn, over)| !unborn && !over).collect();
            Reign { owner, from, is_root, rules, shields }
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

    /// Returns how often the mesh was given since it was taken last, or founded.
    pub(super) fn gifts(&self) -> usize {
        self.reigns.iter().filter(|reign| !reign.is_root).count()
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

/// An owner, and what made it the owner.
struct Link {
    owner: NodeId,
    /// The entries that say so: one, or all that hold the same taking. They have one past, and the first is the one that is
    /// named by what follows, or the first by (hlc, id).
    places: Vec<usize>,
    /// Whether that is the founding entry, or takes the mesh.
    is_root: bool,
}

impl Link {
    fn at(&self) -> usize {
        self.places[0]
    }
}

/// What claims the mesh, by what it names, with its place.
type Claims<'a> = BTreeMap<EntryId, Vec<(usize, &'a Ownership)>>;

/// Returns the owners, one after another.
fn chain(history: &History<'_>, founding: usize, mesh: MeshId, recovery: &[u8; 32]) -> Vec<Link> {
    let (mut taken, mut given) = (Claims::new(), Claims::new());
    for (at, vertex) in history.vertices().iter().enumerate().filter(|(at, _)| history.is_whole(*at)) {
        let Some(ownership) = vertex.ownership else { continue };
        let claims = match ownership.recovery {
            None => &mut given,
            // Alone in its entry: all that repeat it have seen the same.
            Some(_) if vertex.entry.control_ops().len() == 1 => &mut taken,
            Some(_) => continue,
        };
        claims.entry(ownership.before).or_default().push((at, ownership));
    }
    let author = |at: usize| history.vertex(at).author();
    let mut chain = vec![Link { owner: author(founding), places: vec![founding], is_root: true }];
    loop {
        let claims = after(history, &chain, &mut taken).into_iter();
        // Whoever repeats what another has signed takes nothing by it.
        let signed = claims.filter(|(at, claim)| author(*at) == claim.node && claim.is_by(mesh, recovery));
        let Some(link) = first_taken(history, mesh, signed.collect()) else { break };
        advance(history, &mut chain, link);
    }
    for _ in 0..OWNERSHIPS_GIVEN_MAX {
        let giver = chain.last().map(|link| link.owner);
        let claims = after(history, &chain, &mut given).into_iter();
        let is_giver = |at: usize| planted::is(Bug::AnyoneOwns) || Some(author(at)) == giver;
        let claims = claims.filter(|(at, claim)| is_giver(*at) && Some(claim.node) != giver);
        let Some(link) = first_given(history, claims.collect()) else { break };
        advance(history, &mut chain, link);
    }
    chain
}

/// Takes out what names the last of some owners' acts, sorted by (hlc, id).
fn after<'a>(history: &History<'_>, chain: &[Link], claims: &mut Claims<'a>) -> Vec<(usize, &'a Ownership)> {
    let last = chain.last().into_iter().flat_map(|link| &link.places);
    let named = last.filter_map(|&at| claims.remove(&history.vertex(at).entry.id()));
    let mut named: Vec<_> = named.flatten().collect();
    named.sort_unstable_by_key(|(at, _)| *at);
    named
}

/// Adds a link to a chain, which is known from then on by the entries that the link names.
fn advance(history: &History<'_>, chain: &mut Vec<Link>, link: Link) {
    let before = history.vertex(link.at()).ownership.map(|ownership| ownership.before);
    if let Some(last) = chain.last_mut()
        && let Some(named) = last.places.iter().position(|&at| Some(history.vertex(at).entry.id()) == before)
    {
        last.places.swap(0, named);
    }
    chain.push(link);
}

/// Returns of some takings the one that has seen none of the others, with the lowest digest.
fn first_taken(history: &History<'_>, mesh: MeshId, claims: Vec<(usize, &Ownership)>) -> Option<Link> {
    let places: Vec<usize> = claims.iter().map(|(at, _)| *at).collect();
    let saw = history.after(&places);
    let mut takings: BTreeMap<[u8; 32], Link> = BTreeMap::new();
    for (at, claim) in claims {
        let none = || Link { owner: claim.node, places: Vec::new(), is_root: true };
        takings.entry(claim.digest(mesh)).or_insert_with(none).places.push(at);
    }
    takings.into_values().find(|link| !saw[link.at()])
}

/// Returns of some gifts, sorted by (hlc, id), the first that has seen none of the others.
fn first_given(history: &History<'_>, claims: Vec<(usize, &Ownership)>) -> Option<Link> {
    let places: Vec<usize> = claims.iter().map(|(at, _)| *at).collect();
    let saw = history.after(&places);
    let (at, claim) = claims.into_iter().find(|(at, _)| !saw[*at])?;
    Some(Link { owner: claim.node, places: vec![at], is_root: false })
}

#[cfg(test)]
mod tests;
