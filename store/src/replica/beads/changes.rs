//! Where the changes of beads lie, and reading them from there.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use beadmesh_protocol::bead::intake::Change;
use beadmesh_protocol::entry::RawOp;
use beadmesh_protocol::id::{BeadId, ChangeHash, EntryId, NodeId, base32};
use beadmesh_protocol::limits::NODES_MAX;
use beadmesh_protocol::op::{BeadChange, Op};
use beadmesh_protocol::reconcile::Summary;
use serde::{Deserialize, Serialize};

use super::super::entries;
use super::super::mesh::Mesh;
use crate::keys;
use crate::stage::{Stage, StoreError};

/// Nodes that are remembered to have brought in one change; each is 32 bytes of a record that has a bound.
const AUTHORS_MAX: usize = 8 * NODES_MAX;

/// Where a change of a bead is, and which nodes brought it in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ChangeRecord {
    /// The first entry that carried the change, and which of its operations that is.
    pub(super) entry: EntryId,
    pub(super) op: u32,
    pub(super) authors: Vec<NodeId>,
}

impl ChangeRecord {
    /// Returns whether one of those nodes may write.
    pub(super) fn has_effect(&self, mesh: &Mesh) -> bool {
        self.authors.iter().any(|author| mesh.roster().may_write(*author))
    }
}

/// Notes where a change is, or who else has brought it in.
pub(super) fn note(stage: &mut Stage, key: Vec<u8>, known: Option<ChangeRecord>, arrived: &ChangeRecord) {
    let author = arrived.authors[0];
    match known {
        None => stage.put_record(key, arrived),
        Some(mut known) if !known.authors.contains(&author) && known.authors.len() < AUTHORS_MAX => {
            known.authors.push(author);
            stage.put_record(key, &known);
        }
        Some(_) => {}
    }
}

/// Returns whether any change of a bead is stored, be it without effect.
pub(super) fn has_changes(stage: &Stage, id: BeadId) -> Result<bool, StoreError> {
    let mut found = false;
    stage.scan(&keys::changes_of(id), |_, _| {
        found = true;
        ControlFlow::Break(())
    })?;
    Ok(found)
}

/// The changes of a bead that a writer has brought in, not read yet.
pub(super) struct Known {
    /// Which they are.
    pub(super) set: Summary,
    places: BTreeMap<EntryId, Vec<u32>>,
}

impl Known {
    /// Finds them.
    pub(super) fn of(stage: &Stage, mesh: &Mesh, id: BeadId) -> Result<Self, StoreError> {
        let prefix = keys::changes_of(id);
        let (mut set, mut places) = (Summary::default(), BTreeMap::<EntryId, Vec<u32>>::new());
        for (key, record) in stage.records::<ChangeRecord>(&prefix)? {
            if record.has_effect(mesh) {
                let hash = ChangeHash::from_slice(&key[prefix.len()..]);
                let hash = hash.ok_or_else(|| StoreError::Undecodable { key: base32(&key) })?;
                add(&mut set, hash);
                places.entry(record.entry).or_default().push(record.op);
            }
        }
        Ok(Self { set, places })
    }

    /// Reads them from the entries that carry them.
    pub(super) fn load(self, stage: &Stage, mesh: &Mesh) -> Result<Vec<Change>, StoreError> {
        let mut changes = Vec::new();
        for (id, places) in self.places {
            let missing = || StoreError::Undecodable { key: id.to_string() };
            let entry = entries::load(stage, mesh.roster().mesh, id)?.ok_or_else(missing)?;
            let ops = &entry.content().ops;
            let carried = places.iter().filter_map(|place| change_in(ops.get(usize::try_from(*place).ok()?)?));
            changes.extend(carried.map(|(_, change)| change));
        }
        Ok(changes)
    }
}

/// Adds a change to what names a set of them: changes are summed up as entries are.
pub(super) fn add(set: &mut Summary, change: ChangeHash) {
    set.add(EntryId::from_bytes(*change.as_bytes()));
}

/// Returns the operation that carries a change.
pub(super) fn op_of(bead: BeadId, change: &Change) -> RawOp {
    Op::Bead(BeadChange { bead, change: change.to_wire().to_vec() }).encode()
}

/// Reads the change in an operation; what does not decode or parse is void: kept in its entry, without effect.
pub(super) fn change_in(raw: &RawOp) -> Option<(BeadId, Change)> {
    let Ok(Op::Bead(op)) = Op::decode(raw) else { return None };
    Some((op.bead, Change::from_wire(&op.change).ok()?))
}
