//! Where the changes of beads lie, and reading them from there.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use beadmesh_protocol::bead::intake::Change;
use beadmesh_protocol::entry::{Entry, RawOp};
use beadmesh_protocol::id::{BeadId, ChangeHash, EntryId, NodeId, base32};
use beadmesh_protocol::op::{BeadChange, Op};
use beadmesh_protocol::reconcile::Summary;
use serde::{Deserialize, Serialize};

use super::super::entries;
use super::super::mesh::Mesh;
use crate::keys;
use crate::stage::{Stage, StoreError};

/// Where a change of a bead is: an entry that carries it, which of its operations that is, and its author.
///
/// The entry that came first has the row of the change, each other one a row of its own behind it, and none is ever put
/// out by another: which of them count is not settled for good while nodes are removed and let in again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ChangeRecord {
    pub(super) entry: EntryId,
    pub(super) op: u32,
    pub(super) author: NodeId,
}

impl ChangeRecord {
    /// Notes a change that one entry carries.
    pub(super) fn of(entry: &Entry, op: u32) -> Self {
        Self { entry: entry.id(), op, author: entry.content().author }
    }

    /// Returns whether the entry counts.
    pub(super) fn counts(&self, mesh: &Mesh) -> bool {
        mesh.counts(self.author, self.entry)
    }
}

/// Returns whether an entry that carries a change counts; `first` is what the row of the change says.
pub(super) fn has_effect(stage: &Stage, mesh: &Mesh, key: &[u8], first: &ChangeRecord) -> Result<bool, StoreError> {
    Ok(first.counts(mesh) || stage.first(key, |carrier: &ChangeRecord| carrier.counts(mesh))?.is_some())
}

/// Returns whether no other change of its bead is stored than the one whose key is given.
pub(super) fn is_alone(stage: &Stage, bead: BeadId, key: &[u8]) -> Result<bool, StoreError> {
    let mut alone = true;
    stage.scan(&keys::changes_of(bead), |found, _| {
        alone = found.starts_with(key);
        if alone { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(alone)
}

/// Notes where a change is, or which other entry carries it.
pub(super) fn note(stage: &mut Stage, key: Vec<u8>, first: Option<&ChangeRecord>, arrived: &ChangeRecord) {
    match first {
        None => stage.put_record(key, arrived),
        Some(first) if first.entry == arrived.entry => {}
        Some(_) => stage.put_record(keys::carrier(&key, arrived.entry), arrived),
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
            let hash = key.get(prefix.len()..prefix.len() + ChangeHash::BYTES).and_then(ChangeHash::from_slice);
            let hash = hash.ok_or_else(|| StoreError::Undecodable { key: base32(&key) })?;
            let group = if record.counts(mesh) { &mut counting } else { &mut void };
            group.entry(hash).or_insert((record.entry, record.op));
        }
        void.retain(|hash, _| !counting.contains_key(hash));
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
        let key = keys::change(bead, *dep);
        if let Some(first) = stage.record(&key)?
            && !has_effect(stage, mesh, &key, &first)?
        {
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
