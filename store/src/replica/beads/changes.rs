//! Where the changes of beads lie, and reading them from there.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use beadmesh_protocol::bead::intake::Change;
use beadmesh_protocol::entry::{Entry, RawOp};
use beadmesh_protocol::id::{BeadId, ChangeHash, EntryId, NodeId, base32};
use beadmesh_protocol::limits::NODES_MAX;
use beadmesh_protocol::op::{BeadChange, Op};
use beadmesh_protocol::reconcile::Summary;
use serde::{Deserialize, Serialize};

use super::super::entries;
use super::super::mesh::Mesh;
use crate::keys;
use crate::stage::{Stage, StoreError};

/// Entries that are remembered to have carried one change; each is 64 bytes of a record that has a bound.
const CARRIERS_MAX: usize = 8 * NODES_MAX;

/// Of those the entries of one node: more than one matter only where the node was cut off in between.
const CARRIERS_OF_NODE_MAX: usize = 8;

/// Where a change of a bead is, and which entries carry it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ChangeRecord {
    /// The first entry that carried the change, which of its operations that is, and its author.
    pub(super) entry: EntryId,
    pub(super) op: u32,
    pub(super) author: NodeId,
    /// The others.
    pub(super) others: Vec<(NodeId, EntryId)>,
}

impl ChangeRecord {
    /// Notes a change that one entry carries.
    pub(super) fn of(entry: &Entry, op: u32) -> Self {
        Self { entry: entry.id(), op, author: entry.content().author, others: Vec::new() }
    }

    /// Returns whether one of those entries counts.
    pub(super) fn has_effect(&self, mesh: &Mesh) -> bool {
        self.carriers().any(|(author, entry)| mesh.counts(author, entry))
    }

    /// Returns the entries that carry it, with their authors.
    pub(super) fn carriers(&self) -> impl Iterator<Item = (NodeId, EntryId)> {
        std::iter::once((self.author, self.entry)).chain(self.others.iter().copied())
    }
}

/// Notes where a change is, or which other entry carries it.
pub(super) fn note(stage: &mut Stage, key: Vec<u8>, known: Option<ChangeRecord>, arrived: &ChangeRecord) {
    let Some(mut known) = known else { return stage.put_record(key, arrived) };
    let (author, entry) = (arrived.author, arrived.entry);
    let mut same: Vec<EntryId> = known.carriers().filter(|(of, _)| *of == author).map(|(_, entry)| entry).collect();
    if same.contains(&entry) || known.others.len() >= CARRIERS_MAX {
        return;
    }
    if same.len() >= CARRIERS_OF_NODE_MAX {
        // Which ones stay does not depend on the order in which they came.
        same.sort_unstable();
        let Some(last) = same.pop().filter(|last| entry < *last) else { return };
        known.others.retain(|other| *other != (author, last));
        if known.entry == last {
            (known.entry, known.op) = (entry, arrived.op);
            return stage.put_record(key, &known);
        }
    }
    known.others.push((author, entry));
    stage.put_record(key, &known);
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

/// The changes of a bead that have effect, not read yet: those that an entry carries that counts, and what they rest on.
pub(super) struct Known {
    /// Which they are.
    pub(super) set: Summary,
    places: BTreeMap<EntryId, Vec<u32>>,
}

/// Where a change lies.
type Place = (EntryId, u32);

impl Known {
    /// Finds them.
    pub(super) fn of(stage: &Stage, mesh: &Mesh, id: BeadId) -> Result<Self, StoreError> {
        let prefix = keys::changes_of(id);
        let (mut counting, mut void) = (BTreeMap::<ChangeHash, Place>::new(), BTreeMap::<ChangeHash, Place>::new());
        for (key, record) in stage.records::<ChangeRecord>(&prefix)? {
            let hash = ChangeHash::from_slice(&key[prefix.len()..]);
            let hash = hash.ok_or_else(|| StoreError::Undecodable { key: base32(&key) })?;
            let group = if record.has_effect(mesh) { &mut counting } else { &mut void };
            group.insert(hash, (record.entry, record.op));
        }
        if !void.is_empty() && !counting.is_empty() {
            rest_on(stage, mesh, &mut counting, void)?;
        }
        let (mut set, mut places) = (Summary::default(), BTreeMap::<EntryId, Vec<u32>>::new());
        for (hash, (entry, op)) in counting {
            add(&mut set, hash);
            places.entry(entry).or_default().push(op);
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

/// Moves to the changes that count what they rest on: a change that somebody has built on has effect, whoever made it.
fn rest_on(
    stage: &Stage,
    mesh: &Mesh,
    counting: &mut BTreeMap<ChangeHash, Place>,
    mut void: BTreeMap<ChangeHash, Place>,
) -> Result<(), StoreError> {
    let mut open: Vec<Place> = counting.values().copied().collect();
    while let Some((entry, op)) = open.pop() {
        let known = Known { set: Summary::default(), places: BTreeMap::from([(entry, vec![op])]) };
        for dep in known.load(stage, mesh)?.iter().flat_map(|change| change.deps().to_vec()) {
            if let Some(place) = void.remove(&dep) {
                counting.insert(dep, place);
                open.push(place);
            }
        }
        if void.is_empty() {
            break;
        }
    }
    Ok(())
}

/// Returns whether a change rests on one that has effect only for that, or may.
pub(super) fn rests_on_void(stage: &Stage, mesh: &Mesh, bead: BeadId, change: &Change) -> Result<bool, StoreError> {
    for dep in change.deps() {
        let record: Option<ChangeRecord> = stage.record(&keys::change(bead, *dep))?;
        if record.is_some_and(|record| !record.has_effect(mesh)) {
            return Ok(true);
        }
    }
    Ok(false)
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
