//! What entries say about claims and voters, read past every replica: a plain model has to begin somewhere.

use std::collections::{BTreeMap, BTreeSet};

use beadmesh_protocol::claim::Claim;
use beadmesh_protocol::entry::{Entry, Sealed};
use beadmesh_protocol::id::{ClaimId, EntryId, MeshId, NodeId};
use beadmesh_protocol::op::Op;

/// What the entries of a mesh say about claims and voters.
#[derive(Debug, Clone, Default)]
pub struct Said {
    /// Every claim, with the node that made it.
    pub claims: BTreeMap<ClaimId, (NodeId, Claim)>,
    /// Claims that their own node has ended.
    pub ended: BTreeSet<ClaimId>,
    /// Claims that their own node has shown a lease for.
    pub fenced: BTreeSet<ClaimId>,
    /// Nodes that some epoch names, or was to name.
    pub voters: BTreeSet<NodeId>,
}

/// Reads the entries of a mesh that a node founded.
pub(crate) fn read(mesh: MeshId, founder: NodeId, entries: &BTreeMap<EntryId, Sealed>) -> Said {
    let mut said = Said { voters: BTreeSet::from([founder]), ..Said::default() };
    let (mut ends, mut fences) = (BTreeSet::new(), BTreeSet::new());
    let opened = entries.values().filter_map(|sealed| Entry::open_trusted(mesh, sealed.clone()).ok());
    for entry in opened {
        let author = entry.content().author;
        for op in entry.content().ops.iter().filter_map(|raw| Op::decode(raw).ok()) {
            match op {
                Op::Claim(claim) => drop(said.claims.insert(claim.id(author), (author, *claim))),
                Op::Unclaim(unclaim) => drop(ends.insert((unclaim.claim, author))),
                Op::Fence(fence) => drop(fences.insert((fence.claim, author))),
                Op::Proposal(proposal) => said.voters.extend(proposal.epoch.seats.iter().map(|seat| seat.node)),
                _ => {}
            }
        }
    }
    let is_own = |(id, by): &(ClaimId, NodeId)| said.claims.get(id).is_some_and(|(node, _)| node == by);
    let own = |named: BTreeSet<(ClaimId, NodeId)>| named.into_iter().filter(is_own).map(|(id, _)| id).collect();
    (said.ended, said.fenced) = (own(ends), own(fences));
    said
}
