//! Acts of a mesh as tables of tests write them.

use ed25519_dalek::SigningKey;

use super::{Ownership, Roster};
use crate::id::{EntryId, NodeId};
use crate::op::{Admit, Op, Removal, Role};
use crate::testing::{Author, MeshFixture};

/// The recovery key of the mesh.
const KEY: [u8; 32] = [9; 32];

/// One act of a table: who, about whom, what, and the acts that it saw, by their places from 1; 0 is the founding.
pub(super) type Step = (u8, u8, What, &'static [usize]);

/// What an act does.
#[derive(Debug, Clone, Copy)]
pub(super) enum What {
    Admin,
    Member,
    Remove,
    Observe,
    /// Gives the mesh, which was come to own by the act at that place.
    Give(usize),
    /// Takes it with the recovery key.
    Take(usize),
    /// Takes it with another key.
    Forge(usize),
}

/// Returns a mesh of one, node 1.
pub(super) fn founded() -> MeshFixture {
    MeshFixture::recoverable(SigningKey::from_bytes(&KEY).verifying_key().to_bytes())
}

/// Returns the operation of an act about a node.
pub(super) fn op(mesh: &MeshFixture, (node, what, seen): (NodeId, What, Vec<EntryId>)) -> Op {
    let admit = |seen, role| Op::Admit(Admit { seen, node, name: String::from("n"), role, invite: None });
    let remove = |seen, stays| Op::Remove(Removal { seen, node, stays, cut: vec![] });
    let signed = |key: &[u8; 32], before: usize, seen| {
        let key = SigningKey::from_bytes(key);
        Op::Own(Ownership::taken(seen, mesh.entries[before].id(), node, (mesh.mesh, &key)))
    };
    match what {
        What::Admin => admit(seen, Role::Admin),
        What::Member => admit(seen, Role::Member),
        What::Remove => remove(seen, None),
        What::Observe => remove(seen, Some(Role::Observer)),
        What::Give(before) => Op::Own(Ownership::given(seen, mesh.entries[before].id(), node)),
        What::Take(before) => signed(&KEY, before, seen),
        What::Forge(before) => signed(&[8; 32], before, seen),
    }
}

/// Returns a mesh in which the acts of a table were done.
pub(super) fn played(steps: &[Step]) -> MeshFixture {
    let mut mesh = founded();
    for (at, (by, node, what, seen)) in steps.iter().enumerate() {
        let seen: Vec<EntryId> = seen.iter().map(|at| mesh.entries[*at].id()).collect();
        let op = op(&mesh, (Author::seeded(*node).node(), *what, seen));
        // Clocks run backwards: nothing of the verdict may rest on them.
        mesh.push(&Author::seeded(*by), 1_700_000_000_000 - at as u64, op);
    }
    mesh
}

/// Returns which acts of a table have effect.
pub(super) fn effects(mesh: &MeshFixture, roster: &Roster) -> Vec<bool> {
    mesh.entries[1..].iter().map(|entry| !roster.void.contains_key(&entry.id())).collect()
}
