//! Beads: where their changes are, the documents those fold to, and the views derived from them.
//!
//! Everything here is derived from entries and can be built anew. A document is loaded from the changes of its bead,
//! kept while it is warm, and never stored whole.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use beadmesh_protocol::bead::document::Document;
use beadmesh_protocol::bead::edit::EditError;
use beadmesh_protocol::bead::intake::{Change, hash_of_wire};
use beadmesh_protocol::bead::{Bead, Conflict, Edit, Field, Status, Target};
use beadmesh_protocol::clock::Wall;
use beadmesh_protocol::entry::{Entry, RawOp};
use beadmesh_protocol::graph::{Graph, Node};
use beadmesh_protocol::id::{BeadId, ChangeHash, NodeId, base32};
use beadmesh_protocol::op::{BeadChange, Op};
use beadmesh_protocol::planted::{self, Bug};
use serde::{Deserialize, Serialize};

use super::Failure;
use super::gate::StaleClose;
use super::mesh::Mesh;
use crate::command::CommandError;
use crate::folds::Folds;
use crate::keys;
use crate::rows::Rows;
use crate::stage::{Stage, StoreError};

mod changes;
mod waits;
mod warm;

use changes::{ChangeRecord, Known, change_in, has_changes, has_effect, is_alone, note, op_of, rests_on_void};
use waits::Waits;
use warm::Shown;
pub(crate) use warm::Warm;

/// The layout of derived records; raised when they change, which makes an older store derive them anew.
const LAYOUT: u32 = 8;

/// A bead as it is shown.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct BeadRecord {
    pub(crate) bead: Bead,
    pub(crate) conflicts: Vec<Conflict>,
    /// The close that came too late and would be shown otherwise.
    pub(crate) stale_close: Option<StaleClose>,
}

/// What lists and readiness need of every bead, read when first asked for.
#[derive(Debug, Default)]
pub(crate) struct Index {
    pub(crate) rows: Rows,
    pub(crate) graph: Graph,
}

/// A document in memory, and when it was used last, counted in uses.
#[derive(Debug)]
struct Held {
    warm: Arc<Warm>,
    used: u64,
}

/// The beads of this node.
#[derive(Debug)]
pub(crate) struct Beads {
    secret: [u8; 32],
    documents_max: usize,
    warm: BTreeMap<BeadId, Held>,
    uses: u64,
    folds: Option<Folds>,
    index: Option<Index>,
    /// Beads changed since the last flush, with who changed each last.
    changed: BTreeMap<BeadId, NodeId>,
    /// Beads whose views are behind their changes: however many came at once, each is derived once.
    behind: BTreeSet<BeadId>,
    waits: Waits,
}

impl Beads {
    /// Begins with nothing in memory; `secret` is drawn for this opening and makes its automerge actors.
    pub(crate) fn new(secret: [u8; 32], documents_max: usize, folds: Option<Folds>) -> Self {
        let (warm, changed, behind) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        let waits = Waits::default();
        Self { secret, documents_max, warm, uses: 0, folds, index: None, changed, behind, waits }
    }

    /// Gives effect to the bead operations of a stored entry; `catch_up` derives the views.
    pub(crate) fn apply_entry(&mut self, stage: &mut Stage, mesh: &Mesh, entry: &Entry) -> Result<(), StoreError> {
        for (op, raw) in (0..).zip(&entry.content().ops) {
            let Some((bead, change)) = change_in(raw) else { continue };
            self.apply(stage, mesh, (bead, &change), &ChangeRecord::of(entry, op))?;
        }
        Ok(())
    }

    /// Notes that an entry has come to count, or counts no more: its beads are to be shown anew.
    pub(crate) fn judge_entry(&mut self, entry: &Entry) {
        for (bead, _) in entry.content().ops.iter().filter_map(change_in) {
            self.warm.remove(&bead);
            self.behind.insert(bead);
            self.changed.insert(bead, entry.content().author);
        }
    }

    /// Notes where the changes of an entry of ours are; they have effect already.
    pub(crate) fn note_entry(&self, stage: &mut Stage, entry: &Entry) -> Result<(), StoreError> {
        for (op, raw) in (0..).zip(&entry.content().ops) {
            if let Ok(Op::Bead(BeadChange { bead, change })) = Op::decode(raw) {
                let key = keys::change(bead, hash_of_wire(&change));
                // An import may be the change that somebody else has brought in before.
                let known: Option<ChangeRecord> = stage.record(&key)?;
                note(stage, key, known.as_ref(), &ChangeRecord::of(entry, op));
            }
        }
        Ok(())
    }

    fn apply(
        &mut self,
        stage: &mut Stage,
        mesh: &Mesh,
        (bead, change): (BeadId, &Change),
        arrived: &ChangeRecord,
    ) -> Result<(), StoreError> {
        let author = arrived.author;
        let key = keys::change(bead, change.hash());
        let known: Option<ChangeRecord> = stage.record(&key)?;
        let counts = mesh.counts(author, arrived.entry);
        // That it counts already is told by one row as a rule; only where the first is void others are looked at.
        let had_effect = match &known {
            Some(first) if counts => has_effect(stage, mesh, &key, first)?,
            Some(first) => first.counts(mesh),
            None => false,
        };
        // Most changes of a first sync are the only one of their bead.
        let alone = counts && !had_effect && !self.warm.contains_key(&bead);
        let alone = alone && (is_alone(stage, bead, &key)? || planted::is(Bug::FirstChangeAlone));
        note(stage, key, known.as_ref(), arrived);
        if had_effect {
            return Ok(());
        }
        if !counts {
            self.receive_void(bead, change);
            return Ok(());
        }
        self.changed.insert(bead, author);
        if alone && let Some(bead) = Bead::of_first(bead, change) {
            return self.put(stage, mesh, &Shown::of(BeadRecord { bead, conflicts: Vec::new(), stale_close: None }));
        }
        self.behind.insert(bead);
        if mesh.has_void() && rests_on_void(stage, mesh, bead, change)? {
            self.warm.remove(&bead);
        }
        self.receive(bead, change);
        let is_forked = |held: &Held| held.warm.document.heads().len() > 1;
        if planted::is(Bug::StaleView) && self.warm.get(&bead).is_some_and(is_forked) {
            self.behind.remove(&bead);
        }
        Ok(())
    }

    /// Takes a change that has effect only if another that has rests on it: that one may have come before.
    fn receive_void(&mut self, bead: BeadId, change: &Change) {
        if self.warm.get(&bead).is_none_or(|held| held.warm.may_await(change.hash())) {
            self.warm.remove(&bead);
            self.behind.insert(bead);
        }
    }

    /// Takes a change into the document of its bead, if that is in memory and still what a fold would be.
    fn receive(&mut self, bead: BeadId, change: &Change) {
        let Some(held) = self.warm.get_mut(&bead) else { return };
        let folded = self.folds.as_ref().and_then(|folds| folds.document(bead, held.warm.set_with(change)));
        if let Some(warm) = folded {
            held.warm = warm;
        } else if !Arc::make_mut(&mut held.warm).receive(change) {
            self.warm.remove(&bead);
        } else if let Some(folds) = &self.folds {
            folds.keep_document(bead, &held.warm);
        }
    }

    /// Notes that a bead is to be shown anew.
    pub(crate) fn note_behind(&mut self, bead: BeadId) {
        self.behind.insert(bead);
    }

    /// Derives the views of beads whose changes came since this was last called.
    pub(crate) fn catch_up(&mut self, stage: &mut Stage, mesh: &Mesh) -> Result<(), StoreError> {
        while let Some(bead) = self.behind.pop_first() {
            self.show(stage, mesh, bead)?;
        }
        Ok(())
    }

    /// Derives a bead's view from its document.
    fn show(&mut self, stage: &mut Stage, mesh: &Mesh, id: BeadId) -> Result<(), StoreError> {
        let warm = self.document(stage, mesh, id)?.clone();
        if let Some(shown) = warm.shown() {
            return match gated(stage, &warm.document, &shown.record)? {
                Some(record) => self.put(stage, mesh, &Shown::of(record)),
                None => self.put(stage, mesh, &shown),
            };
        }
        stage.delete(keys::bead(id));
        if let Some(index) = &mut self.index {
            index.rows.remove(id);
            index.graph.remove(id);
        }
        self.waits.on_gone(stage, id)
    }

    fn put(&mut self, stage: &mut Stage, mesh: &Mesh, shown: &Shown) -> Result<(), StoreError> {
        stage.put(keys::bead(shown.record.bead.id), shown.value.clone());
        if let Some(index) = &mut self.index {
            index.upsert(&shown.record.bead, mesh);
        }
        self.waits.on_shown(stage, mesh, &shown.record.bead)
    }

    /// Returns the document of a bead, folded from its changes if it is not in memory.
    fn document(&mut self, stage: &Stage, mesh: &Mesh, id: BeadId) -> Result<&Arc<Warm>, StoreError> {
        self.uses += 1;
        if !self.warm.contains_key(&id) {
            self.make_room();
            let warm = self.load(stage, mesh, id)?;
            self.warm.insert(id, Held { warm, used: 0 });
        }
        let held = self.warm.get_mut(&id).expect("just loaded");
        held.used = self.uses;
        Ok(&held.warm)
    }

    fn load(&self, stage: &Stage, mesh: &Mesh, id: BeadId) -> Result<Arc<Warm>, StoreError> {
        let known = Known::of(stage, mesh, id)?;
        let Some(folds) = &self.folds else { return Ok(Arc::new(Warm::fold(id, known.load(stage, mesh)?))) };
        if let Some(warm) = folds.document(id, known.set) {
            return Ok(warm);
        }
        let warm = Arc::new(Warm::fold(id, known.load(stage, mesh)?));
        folds.keep_document(id, &warm);
        Ok(warm)
    }

    /// Drops the half of the documents that were used longest ago, when there are as many as may be.
    fn make_room(&mut self) {
        if self.warm.len() >= self.documents_max {
            let mut uses: Vec<u64> = self.warm.values().map(|held| held.used).collect();
            uses.sort_unstable();
            let median = uses[uses.len() / 2];
            self.warm.retain(|_, held| held.used > median);
        }
    }

    /// Edits beads, all of them or none; returns the operations to write, none when nothing differs.
    ///
    /// No bead is named twice.
    pub(crate) fn edit(
        &mut self,
        stage: &mut Stage,
        mesh: &Mesh,
        (author, wall): (NodeId, Wall),
        wishes: &[(BeadId, Vec<Edit>)],
    ) -> Result<Vec<RawOp>, Failure> {
        let mut edited = Vec::with_capacity(wishes.len());
        for (id, edits) in wishes {
            // Copies take the edits: a wish that fails leaves what the wishes before it were about as it was.
            let mut warm = Warm::clone(self.document(stage, mesh, *id)?);
            let mut changes = warm.edit(self.actor(*id), wall, edits);
            if let Err(EditError::Actor(_)) = changes {
                self.secret = *blake3::hash(&self.secret).as_bytes();
                changes = warm.edit(self.actor(*id), wall, edits);
            }
            let changes = changes.map_err(|error| CommandError::from(&error))?;
            if !changes.is_empty() {
                edited.push((*id, warm, changes));
            }
        }
        let mut ops = Vec::new();
        for (id, warm, changes) in edited {
            self.warm.insert(id, Held { warm: Arc::new(warm), used: self.uses });
            ops.extend(changes.iter().map(|change| op_of(id, change)));
            self.changed.insert(id, author);
            self.show(stage, mesh, id)?;
        }
        Ok(ops)
    }

    /// Takes a bead that is not shown yet, with the changes that make it up; returns the operations to write.
    ///
    /// `None` where those changes would have no effect, because of others of the bead; nothing is done then.
    pub(crate) fn adopt(
        &mut self,
        stage: &mut Stage,
        mesh: &Mesh,
        author: NodeId,
        (id, changes): (BeadId, &[Change]),
    ) -> Result<Option<Vec<RawOp>>, StoreError> {
        // Shown is what the changes say, as everywhere else, not the record that they were made from.
        let alone = match changes {
            [change] if !has_changes(stage, id)? => Bead::of_first(id, change),
            _ => None,
        };
        let record = match alone {
            Some(bead) => BeadRecord { bead, conflicts: Vec::new(), stale_close: None },
            None => {
                // Changes may wait for these, or be these, brought in by nobody whose word counts.
                let known = Known::of(stage, mesh, id)?.load(stage, mesh)?;
                let (document, _) = Document::fold(id, known.into_iter().chain(changes.iter().cloned()));
                if !changes.iter().all(|change| document.contains(&change.hash())) {
                    return Ok(None);
                }
                view_of(&document)
            }
        };
        self.warm.remove(&id);
        self.changed.insert(id, author);
        self.put(stage, mesh, &Shown::of(record))?;
        Ok(Some(changes.iter().map(|change| op_of(id, change)).collect()))
    }

    /// Returns the automerge actor of this opening for a bead: 8 bytes that no other opening repeats.
    fn actor(&self, bead: BeadId) -> [u8; 8] {
        let hash = blake3::keyed_hash(&self.secret, bead.as_bytes());
        hash.as_bytes()[..8].try_into().expect("8 of 32 bytes")
    }

    /// Reads a bead as it is shown.
    pub(crate) fn record(&self, stage: &Stage, mesh: &Mesh, id: BeadId) -> Result<Option<BeadRecord>, StoreError> {
        let key = keys::bead(id);
        let Some(value) = stage.get(&key)? else { return Ok(None) };
        match stored(&key, &value)? {
            Some(record) => Ok(Some(record)),
            None => derive(stage, mesh, id).map(Some),
        }
    }

    /// Returns the rows and the graph, read from the store when first asked for.
    pub(crate) fn index(&mut self, stage: &Stage, mesh: &Mesh) -> Result<&Index, StoreError> {
        if self.index.is_none() {
            let mut index = Index::default();
            let (mut large, mut failed) = (Vec::new(), None);
            stage.scan(keys::BEADS, |key, value| {
                match stored(key, value) {
                    Ok(Some(record)) => index.upsert(&record.bead, mesh),
                    Ok(None) => match BeadId::from_slice(&key[keys::BEADS.len()..]) {
                        Some(id) => large.push(id),
                        None => failed = Some(StoreError::Undecodable { key: base32(key) }),
                    },
                    Err(error) => failed = Some(error),
                }
                if failed.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
            if let Some(error) = failed {
                return Err(error);
            }
            for id in large {
                index.upsert(&derive(stage, mesh, id)?.bead, mesh);
            }
            self.index = Some(index);
        }
        Ok(self.index.as_ref().expect("just read"))
    }

    /// Notes that the beads of some agents of this node, and all that wait, are to be looked at again.
    pub(crate) fn stir(&mut self, stage: &Stage, mesh: &Mesh) -> Result<(), StoreError> {
        self.index(stage, mesh)?;
        let Some(index) = &self.index else { return Ok(()) };
        let ours = index.rows.assigned().filter(|(_, assignee)| mesh.agent_here(assignee).is_some());
        self.waits.stir(stage, ours.map(|(id, _)| id))
    }

    /// Notes that all beads that wait are to be looked at again.
    pub(crate) fn stir_waiting(&mut self, stage: &Stage) -> Result<(), StoreError> {
        self.waits.stir(stage, std::iter::empty())
    }

    /// Takes a bead of which it is to be seen anew what its agent is to be told.
    pub(crate) fn take_stirred(&mut self) -> Option<BeadId> {
        self.waits.take()
    }

    /// Notes what a bead of an agent of this node waits for.
    pub(crate) fn note_waits(&mut self, stage: &mut Stage, id: BeadId, targets: &[Target]) -> Result<(), StoreError> {
        self.waits.note(stage, id, targets)
    }

    /// Returns the beads of agents of this node that wait for something, or once did.
    pub(crate) fn waiting(&mut self, stage: &Stage) -> Result<Vec<BeadId>, StoreError> {
        self.waits.all(stage)
    }

    /// Returns the change that wrote what a bead shows in a field, and when that says it was made.
    pub(crate) fn writer(
        &mut self,
        stage: &Stage,
        mesh: &Mesh,
        (id, field): (BeadId, Field),
    ) -> Result<Option<(ChangeHash, Wall)>, StoreError> {
        Ok(self.document(stage, mesh, id)?.document.writer(field))
    }

    /// Forgets rows and graph, as when projects were united; they are read again when asked for.
    pub(crate) fn forget_index(&mut self) {
        self.index = None;
    }

    /// Returns the beads changed since this was last asked, with their aliases and who changed each.
    ///
    /// # Errors
    /// When the store fails or a view does not decode.
    pub(crate) fn take_changed(
        &mut self,
        stage: &Stage,
        mesh: &Mesh,
    ) -> Result<Vec<(BeadId, String, NodeId)>, StoreError> {
        let changed = std::mem::take(&mut self.changed);
        let alias = |id: BeadId| -> Result<String, StoreError> {
            match &self.index {
                Some(index) => Ok(index.rows.display(id).unwrap_or_default()),
                // An index is made when a list is first asked for; until then the stored name has to do.
                None => Ok(self.record(stage, mesh, id)?.map(|record| record.bead.alias).unwrap_or_default()),
            }
        };
        changed.into_iter().map(|(bead, author)| Ok((bead, alias(bead)?, author))).collect()
    }

    /// Notes the beads to be shown anew because their authors have become writers, or are writers no more.
    pub(crate) fn on_writers_changed(&mut self, stage: &Stage, turned: &BTreeSet<NodeId>) -> Result<(), StoreError> {
        if turned.is_empty() {
            return Ok(());
        }
        let mut beads = BTreeSet::new();
        for (key, record) in stage.records::<ChangeRecord>(keys::CHANGES)? {
            if turned.contains(&record.author) {
                beads.extend(key.get(1..17).and_then(BeadId::from_slice));
            }
        }
        for bead in beads {
            self.warm.remove(&bead);
            self.behind.insert(bead);
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
        self.behind.clear();
        self.index = None;
        self.waits.clear(stage)
    }

    /// Notes that everything is derived.
    pub(crate) fn mark_built(&self, stage: &mut Stage) {
        stage.put_record(keys::VIEWS_LAYOUT.to_vec(), &LAYOUT);
    }
}

impl Index {
    /// Returns what a bead goes by: its alias as shown, or its id where it is not known.
    pub(crate) fn name(&self, id: BeadId) -> String {
        self.rows.display(id).unwrap_or_else(|| id.to_string())
    }

    fn upsert(&mut self, bead: &Bead, mesh: &Mesh) {
        let project = bead.project.map(|project| mesh.canonical(project));
        self.rows.upsert(bead, project);
        self.graph.upsert(Node { project, ..Node::of(bead) });
    }
}

/// Reads a bead's view; `None` where it is too large to be stored.
fn stored(key: &[u8], value: &[u8]) -> Result<Option<BeadRecord>, StoreError> {
    if value.is_empty() {
        return Ok(None);
    }
    postcard::from_bytes(value).map(Some).map_err(|_| StoreError::Undecodable { key: base32(key) })
}

/// Derives a bead's view from its changes, without keeping it.
pub(crate) fn derive(stage: &Stage, mesh: &Mesh, id: BeadId) -> Result<BeadRecord, StoreError> {
    let (document, _) = Document::fold(id, Known::of(stage, mesh, id)?.load(stage, mesh)?);
    let record = view_of(&document);
    Ok(gated(stage, &document, &record)?.unwrap_or(record))
}

fn view_of(document: &Document) -> BeadRecord {
    BeadRecord { bead: document.bead(), conflicts: document.conflicts(), stale_close: None }
}

/// Returns a closed bead as it is shown if its close came too late: as one that is being worked on.
fn gated(stage: &Stage, document: &Document, shown: &BeadRecord) -> Result<Option<BeadRecord>, StoreError> {
    if shown.bead.status != Status::Closed {
        return Ok(None);
    }
    let key = keys::stale(shown.bead.id);
    let Some(stale) = stage.record::<BTreeMap<ChangeHash, StaleClose>>(&key)? else { return Ok(None) };
    let writer = document.writer(Field::Status).map(|(change, _)| change);
    let Some(close) = writer.and_then(|change| stale.get(&change)) else { return Ok(None) };
    let mut record = BeadRecord { stale_close: Some(*close), ..shown.clone() };
    record.bead.status = Status::InProgress;
    (record.bead.closed_at, record.bead.close_reason) = (None, None);
    Ok(Some(record))
}
