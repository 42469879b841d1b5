//! What makes a node find its mesh again when its store is lost.
//!
//! It is kept beside the store, and is of no use to anybody without the node's key: peers hold the rest.

use beadmesh_protocol::entry::{Entry, Sealed};
use beadmesh_protocol::id::{MeshId, NodeId};
use beadmesh_protocol::roster::{Roster, storable};
use serde::{Deserialize, Serialize};

/// A mesh with its control entries, which say who is in it and where they can be reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// The mesh.
    pub mesh: MeshId,
    /// Every control entry, the founding entry first.
    pub control: Vec<Sealed>,
}

impl Membership {
    /// Writes it as bytes.
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("entries have a postcard form")
    }

    /// Reads it from bytes; `None` when they are damaged.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        postcard::from_bytes(bytes).ok()
    }

    /// Returns the entries that may be stored, each with its signature checked; `None` when one is unsound.
    pub(crate) fn entries(&self) -> Option<Vec<Entry>> {
        let entries = self.control.iter().map(|sealed| Entry::open(self.mesh, sealed.clone()).ok());
        Some(storable(self.mesh, entries.collect::<Option<Vec<_>>>()?))
    }

    /// Returns whether `node` is a member, and others are who can give back what it lost.
    pub fn has_others(&self, node: NodeId) -> bool {
        let roster = self.entries().and_then(|entries| Roster::fold(self.mesh, &entries));
        roster.is_some_and(|roster| roster.members.contains_key(&node) && roster.members.len() > 1)
    }
}

#[cfg(test)]
mod tests {
    use beadmesh_protocol::op::Role;
    use beadmesh_protocol::testing::{Author, MeshFixture};

    use super::*;

    #[test]
    fn what_strangers_wrote_is_left_out() {
        let mut mesh = MeshFixture::founded();
        let (eve, mal) = (Author::seeded(8), Author::seeded(9));
        mesh.admit_seeing(&eve, &mal, Role::Admin, vec![]);
        mesh.admit_seeing(&mal, &eve, Role::Admin, vec![]);
        let control = mesh.entries.iter().map(Entry::seal).collect();
        let entries = Membership { mesh: mesh.mesh, control }.entries().unwrap();
        assert_eq!(entries, mesh.entries[..1]);
    }
}
