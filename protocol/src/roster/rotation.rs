//! Replacing the key of a node: the old key names the new one, which proves that it is held by signing both.
//!
//! A rotation is a leave and an admission in one: whoever says that its key is to be replaced is out by that key in any
//! case, and never comes back by it. The new key goes on where nothing speaks against it. What does is not weighed by
//! clocks: who has stolen the old key dates what it likes.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

use super::authority::{Rulings, Taking};
use super::history::Act;
use crate::id::{MeshId, NodeId};
use crate::limits::LEAVES_MAX;
use crate::op::{Removal, Role};

/// Separates what a new key signs here from all its other uses.
const PROOF_CONTEXT: &str = "beadmesh 2026 key rotation v1";

/// Replaces the key of the author: it leaves the mesh, and another node goes on in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    /// How the author leaves: what it saw, and where what it has written ends.
    pub leaving: Removal,
    /// The node that goes on, with the same role, rank, name and agents.
    pub node: NodeId,
    /// What people call it until it says otherwise.
    pub name: String,
    /// Ed25519 by the key of the node that goes on, over the mesh, how the other leaves, and its own id.
    #[serde(with = "serde_bytes")]
    pub proof: [u8; 64],
}

impl Rotation {
    /// Replaces the key of the node that leaves by another one.
    pub fn to(key: &SigningKey, mesh: MeshId, leaving: Removal, name: String) -> Self {
        let node = NodeId::from_bytes(key.verifying_key().to_bytes());
        let proof = key.sign(&digest(mesh, &leaving, node)).to_bytes();
        Self { leaving, node, name, proof }
    }

    /// Returns whether the node that is to go on has agreed to.
    fn is_proven(&self, mesh: MeshId) -> bool {
        let Ok(key) = VerifyingKey::from_bytes(self.node.as_bytes()) else { return false };
        let digest = digest(mesh, &self.leaving, self.node);
        key.verify_strict(&digest, &Signature::from_bytes(&self.proof)).is_ok()
    }
}

fn digest(mesh: MeshId, leaving: &Removal, node: NodeId) -> [u8; 32] {
    let bytes = postcard::to_stdvec(&(mesh, leaving, node)).expect("lists of ids have a postcard form");
    blake3::derive_key(PROOF_CONTEXT, &bytes)
}

impl<'a> Rulings<'_, 'a> {
    /// Judges the rotations of a node, once all is known that higher ranks and the node itself have done about it.
    ///
    /// Each by which it leaves does take it out. The first that no other is apart from lets the new key in, if that key
    /// has agreed and was never let in before; whatever follows is by a key without effect.
    pub(super) fn judge_rotations(&mut self, mesh: MeshId, node: NodeId, acts: &[usize]) {
        let stood = self.standing(node, Role::Observer);
        let rotations: Vec<(usize, &'a Rotation)> = acts
            .iter()
            .filter(|at| stood[**at] && !self.owners.may_own(node, **at))
            .flat_map(|at| self.history.vertex(*at).acts.iter().map(|act| (*at, *act)))
            .filter_map(|(at, act)| if let Act::Rotate(rotation) = act { Some((at, rotation)) } else { None })
            .filter(|(_, rotation)| rotation.leaving.node == node)
            .collect();
        for &(at, rotation) in rotations.iter().take(LEAVES_MAX) {
            let is_contested = rotations.len() > LEAVES_MAX || self.is_contested((at, rotation), &rotations);
            if !is_contested && !self.standing(node, Role::Observer)[at] {
                continue;
            }
            let goes_on = !is_contested && rotation.is_proven(mesh) && self.is_new(rotation.node, at);
            let role = self.role_before(node, at).filter(|_| goes_on);
            self.take(Taking { at, removal: &rotation.leaving, is_final: role.is_some() });
            self.has_authority[at] = self.ranks.contains_key(&node);
            if let Some(role) = role {
                self.grant(at, rotation.node, role);
                self.successors.insert(node, rotation.node);
                return;
            }
        }
    }

    /// Returns whether another rotation, to another key, is apart from one: neither has seen the other.
    fn is_contested(&self, (at, rotation): (usize, &Rotation), all: &[(usize, &Rotation)]) -> bool {
        let (before, after) = (self.history.before(at), self.history.after(&[at]));
        all.iter().any(|(other, to)| to.node != rotation.node && !before[*other] && !after[*other])
    }

    /// Returns whether no key is replaced by that of a node yet, and it was never let in, as far as a place has seen.
    fn is_new(&self, node: NodeId, at: usize) -> bool {
        let after = self.history.after(&[at]);
        let is_later = self.grants.get(&node).into_iter().flatten().all(|grant| after[grant.at]);
        is_later && !self.successors.values().any(|successor| *successor == node)
    }

    /// Returns the role that a node had at a place, by the last word on it there.
    fn role_before(&self, node: NodeId, at: usize) -> Option<Role> {
        let before = self.history.before(at);
        let mut live: Vec<_> = self.grants.get(&node)?.iter().filter(|grant| before[grant.at]).copied().collect();
        for taking in self.takings_of(node).filter(|taking| before[taking.at]) {
            let after = self.history.after(&[taking.at]);
            live.retain(|grant| after[grant.at] || grant.at == taking.at);
        }
        live.sort_by_key(|grant| self.history.place(grant.at));
        let last = self.last_words(live.iter().map(|grant| grant.at)).pop()?;
        live.iter().rev().find(|grant| grant.at == last).map(|grant| grant.role)
    }
}

#[cfg(test)]
mod tests;
