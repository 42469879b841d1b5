//! Beads: changes as they come, the documents they fold to, and the views derived from them.
//!
//! Everything here is derived from entries and can be built anew. A document is loaded from the changes of its bead,
//! kept while it is warm, and never stored whole.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use beadmesh_protocol::bead::document::{Document, Receipt};
use beadmesh_protocol::bead::intake::Change;
use beadmesh_protocol::bead::{Bead, Conflict, Edit};
use beadmesh_protocol::clock::Wall;
use beadmesh_protocol::entry::{Entry, RawOp};
use beadmesh_protocol::graph::{Graph, Node};
use beadmesh_protocol::id::{BeadId, NodeId};
use beadmesh_protocol::op::{BeadChange, Op};
use beadmesh_protocol::roster::Roster;
use serde::{Deserialize, Serialize};

use super::Failure;
use crate::command::CommandError;
use crate::keys;
use crate::rows::Rows;
use crate::stage::{Stage, StoreError};

/// The layout of derived records; raised when they change, which makes an older store derive them anew.
const LAYOUT: u32 = 1;

/// One change of a bead, with the nodes that brought it in.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct ChangeRecord {
    authors: Vec<NodeId>,
    #[serde(with = "serde_bytes")]
    change: Vec<u8>,
}

/// A bead as it is shown.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct BeadRecord {
    pub(crate) bead: Bead,
    pub(crate) conflicts: Vec<Conflict>,
}

/// A document in memory.
#[derive(Debug)]
struct Warm {
    document: Document,
    /// Whether changes wait or are void, so that the next one needs a fold of all.
    unsettled: bool,
    used: u64,
}

/// What lists and readiness need of every bead, read when first asked for.
#[derive(Debug, Default)]
pub(crate) struct Index {
    pub(crate) rows: Rows,
    pub(crate) graph: Graph,
}

/// The beads of this node.
#[derive(Debug)]
pub(crate) struct Beads {
    secret: [u8; 32],
    documents_max: usize,
    warm: BTreeMap<BeadId, Warm>,
    uses: u64,
    index: Option<Index>,
    /// Beads changed since the last flush, with who changed each last.
    changed: BTreeMap<BeadId, NodeId>,
}

impl Beads {
    /// Begins with nothing in memory; `secret` is drawn for this opening and makes its automerge actors.
    pub(crate) fn new(secret: [u8; 32], documents_max: usize) -> Self {
        Self { secret, documents_max, warm: BTreeMap::new(), uses: 0, index: None, changed: BTreeMap::new() }
    }

    /// Gives effect to the bead operations of a stored entry.
    pub(crate) fn apply_entry(&mut self, stage: &mut Stage, roster: &Roster, entry: &Entry) -> Result<(), StoreError> {
        let author = entry.content().author;
        for raw in &entry.content().ops {
            // What does not decode or parse is void: kept in its entry, without effect.
            let Ok(Op::Bead(op)) = Op::decode(raw) else { continue };
            let Ok(change) = Change::from_wire(&op.change) else { continue };
            self.apply(stage, roster, author, op.bead, &change)?;
        }
        Ok(())
    }

    fn apply(
        &mut self,
        stage: &mut Stage,
        roster: &Roster,
        author: NodeId,
        bead: BeadId,
        change: &Change,
    ) -> Result<(), StoreError> {
        let key = keys::change(bead, change.hash());
        let mut record: ChangeRecord =
            stage.record(&key)?.unwrap_or(ChangeRecord { authors: Vec::new(), change: change.to_wire().to_vec() });
        let had_effect = record.authors.iter().any(|author| roster.may_write(*author));
        if !record.authors.contains(&author) {
            record.authors.push(author);
            stage.put_record(key, &record);
        }
        if had_effect || !roster.may_write(author) {
            return Ok(());
        }
        let received = match self.warm.get_mut(&bead) {
            Some(warm) if !warm.unsettled => warm.document.receive(change),
            _ => Receipt::Duplicate,
        };
        if received != Receipt::Applied {
            self.warm.remove(&bead);
        }
        self.changed.insert(bead, author);
        self.show(stage, roster, bead)
    }

    /// Derives a bead's view from its document.
    fn show(&mut self, stage: &mut Stage, roster: &Roster, id: BeadId) -> Result<(), StoreError> {
        let was_warm = self.warm.contains_key(&id);
        let warm = self.document(stage, roster, id)?;
        // Genesis alone says nothing: a bead whose changes all wait is not shown yet.
        let shown = warm.document.changes().nth(1).is_some();
        let record = shown.then(|| BeadRecord { bead: warm.document.bead(), conflicts: warm.document.conflicts() });
        let settled_alone = !warm.unsettled && warm.document.changes().nth(2).is_none();
        if !was_warm && settled_alone {
            // A bead with one change, as most have after a first sync, is as quick to load as to keep.
            self.warm.remove(&id);
        }
        if let Some(record) = record {
            self.put(stage, &record);
        }
        Ok(())
    }

    fn put(&mut self, stage: &mut Stage, record: &BeadRecord) {
        stage.put_record(keys::bead(record.bead.id), record);
        if let Some(index) = &mut self.index {
            index.upsert(&record.bead);
        }
    }

    /// Returns the document of a bead, folded from its changes if it is not in memory.
    fn document(&mut self, stage: &Stage, roster: &Roster, id: BeadId) -> Result<&mut Warm, StoreError> {
        self.uses += 1;
        if !self.warm.contains_key(&id) {
            self.make_room();
            let changes = changes_of(stage, roster, id)?;
            let (document, folded) = Document::fold(id, changes);
            let unsettled = !folded.void.is_empty() || !folded.waiting.is_empty();
            self.warm.insert(id, Warm { document, unsettled, used: 0 });
        }
        let warm = self.warm.get_mut(&id).expect("just loaded");
        warm.used = self.uses;
        Ok(warm)
    }

    /// Drops the half of the documents that were used longest ago, when there are as many as may be.
    fn make_room(&mut self) {
        if self.warm.len() >= self.documents_max {
            let mut uses: Vec<u64> = self.warm.values().map(|warm| warm.used).collect();
            uses.sort_unstable();
            let median = uses[uses.len() / 2];
            self.warm.retain(|_, warm| warm.used > median);
        }
    }

    /// Edits a bead; returns the operations to write, none when nothing differs.
    pub(crate) fn edit(
        &mut self,
        stage: &mut Stage,
        roster: &Roster,
        (author, wall): (NodeId, Wall),
        id: BeadId,
        edits: &[Edit],
    ) -> Result<Vec<RawOp>, Failure> {
        let actor = self.actor(id);
        let warm = self.document(stage, roster, id)?;
        let changes = warm.document.edit(actor, wall, edits).map_err(|error| CommandError::from(&error))?;
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        let ops = changes.iter().map(|change| self.keep(stage, author, id, change)).collect();
        self.changed.insert(id, author);
        self.show(stage, roster, id)?;
        Ok(ops)
    }

    /// Takes a bead that is not known yet, with the changes that make it up; returns the operations to write.
    pub(crate) fn adopt(&mut self, stage: &mut Stage, author: NodeId, bead: &Bead, changes: &[Change]) -> Vec<RawOp> {
        let ops = changes.iter().map(|change| self.keep(stage, author, bead.id, change)).collect();
        self.changed.insert(bead.id, author);
        // The view of an import change is the record it was made from.
        self.put(stage, &BeadRecord { bead: bead.clone(), conflicts: Vec::new() });
        ops
    }

    fn keep(&self, stage: &mut Stage, author: NodeId, bead: BeadId, change: &Change) -> RawOp {
        let wire = change.to_wire().to_vec();
        let record = ChangeRecord { authors: vec![author], change: wire.clone() };
        stage.put_record(keys::change(bead, change.hash()), &record);
        Op::Bead(BeadChange { bead, change: wire }).encode()
    }

    /// Returns the automerge actor of this opening for a bead: 8 bytes that no other opening repeats.
    fn actor(&self, bead: BeadId) -> [u8; 8] {
        let hash = blake3::keyed_hash(&self.secret, bead.as_bytes());
        hash.as_bytes()[..8].try_into().expect("8 of 32 bytes")
    }

    /// Returns whether anything is known of a bead.
    pub(crate) fn is_known(&self, stage: &Stage, id: BeadId) -> Result<bool, StoreError> {
        if stage.get(&keys::bead(id))?.is_some() {
            return Ok(true);
        }
        let mut known = false;
        stage.scan(&keys::changes_of(id), |_, _| {
            known = true;
            ControlFlow::Break(())
        })?;
        Ok(known)
    }

    /// Reads a bead as it is shown.
    pub(crate) fn record(&self, stage: &Stage, id: BeadId) -> Result<Option<BeadRecord>, StoreError> {
        stage.record(&keys::bead(id))
    }

    /// Returns the rows and the graph, read from the store when first asked for.
    pub(crate) fn index(&mut self, stage: &Stage) -> Result<&Index, StoreError> {
        if self.index.is_none() {
            let mut index = Index::default();
            let mut undecodable = None;
            stage.scan(keys::BEADS, |key, value| match postcard::from_bytes::<BeadRecord>(value) {
                Ok(record) => {
                    index.upsert(&record.bead);
                    ControlFlow::Continue(())
                }
                Err(_) => {
                    undecodable = Some(StoreError::Undecodable { key: beadmesh_protocol::id::base32(key) });
                    ControlFlow::Break(())
                }
            })?;
            if let Some(error) = undecodable {
                return Err(error);
            }
            self.index = Some(index);
        }
        Ok(self.index.as_ref().expect("just read"))
    }

    /// Forgets rows and graph, as when projects were united; they are read again when asked for.
    pub(crate) fn forget_index(&mut self) {
        self.index = None;
    }

    /// Returns the beads changed since this was last asked, with their aliases and who changed each.
    pub(crate) fn take_changed(&mut self, stage: &Stage) -> Result<Vec<(BeadId, String, NodeId)>, StoreError> {
        let changed = std::mem::take(&mut self.changed);
        // Without an index nobody has asked for a list here, so nobody watches either.
        if changed.is_empty() || self.index.is_none() {
            return Ok(Vec::new());
        }
        let index = self.index(stage)?;
        let alias = |id| index.rows.display(id).unwrap_or_default();
        Ok(changed.into_iter().map(|(bead, author)| (bead, alias(bead), author)).collect())
    }

    /// Shows beads anew whose authors have become writers, or are writers no more.
    pub(crate) fn on_writers_changed(
        &mut self,
        stage: &mut Stage,
        roster: &Roster,
        before: &BTreeSet<NodeId>,
        after: &BTreeSet<NodeId>,
    ) -> Result<(), StoreError> {
        let turned: BTreeSet<&NodeId> = before.symmetric_difference(after).collect();
        if turned.is_empty() {
            return Ok(());
        }
        let mut beads = BTreeSet::new();
        for (key, record) in stage.records::<ChangeRecord>(keys::CHANGES)? {
            if record.authors.iter().any(|author| turned.contains(author)) {
                beads.extend(key.get(1..17).and_then(BeadId::from_slice));
            }
        }
        for bead in beads {
            self.warm.remove(&bead);
            self.show(stage, roster, bead)?;
        }
        Ok(())
    }

    /// Returns whether views are missing or of another layout.
    pub(crate) fn needs_rebuild(&self, stage: &Stage) -> Result<bool, StoreError> {
        Ok(stage.record::<u32>(keys::VIEWS_LAYOUT)? != Some(LAYOUT))
    }

    /// Drops everything derived.
    pub(crate) fn clear(&mut self, stage: &mut Stage) -> Result<(), StoreError> {
        stage.delete(keys::VIEWS_LAYOUT.to_vec());
        for prefix in [keys::CHANGES, keys::BEADS] {
            for key in stage.keys(prefix)? {
                stage.delete(key);
            }
        }
        self.warm.clear();
        self.index = None;
        Ok(())
    }

    /// Notes that everything is derived.
    pub(crate) fn mark_built(&self, stage: &mut Stage) {
        stage.put_record(keys::VIEWS_LAYOUT.to_vec(), &LAYOUT);
    }

    /// Derives a bead's view from its changes without keeping it, to compare with what is stored.
    pub(crate) fn derive(&self, stage: &Stage, roster: &Roster, id: BeadId) -> Result<BeadRecord, StoreError> {
        let (document, _) = Document::fold(id, changes_of(stage, roster, id)?);
        Ok(BeadRecord { bead: document.bead(), conflicts: document.conflicts() })
    }
}

impl Index {
    fn upsert(&mut self, bead: &Bead) {
        self.rows.upsert(bead, bead.project);
        self.graph.upsert(Node::of(bead));
    }
}

/// Reads the changes of a bead that a writer has brought in.
fn changes_of(stage: &Stage, roster: &Roster, id: BeadId) -> Result<Vec<Change>, StoreError> {
    let records = stage.records::<ChangeRecord>(&keys::changes_of(id))?;
    let effective = records.into_iter().filter(|(_, record)| record.authors.iter().any(|node| roster.may_write(*node)));
    Ok(effective.filter_map(|(_, record)| Change::from_wire(&record.change).ok()).collect())
}
