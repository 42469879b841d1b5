//! Importing records: new ones as deterministic changes, known ones as ordinary edits of what differs.

use std::collections::BTreeSet;

use beadmesh_protocol::alias;
use beadmesh_protocol::bead::import::{created, differing_edits, unset_edits};
use beadmesh_protocol::bead::{Bead, DepKey, Target};
use beadmesh_protocol::clock::Wall;
use beadmesh_protocol::entry::RawOp;

use super::super::beads::Index;
use super::{Failure, Replica};
use crate::command::{Answer, ImportReport, LineNote, Prepared};

impl Replica {
    /// Takes a batch of records.
    pub(super) fn import(&mut self, records: Vec<Prepared>) -> Result<Answer, Failure> {
        let mut report = ImportReport::default();
        let mut ops = Vec::new();
        // Beads whose operations wait to be written: a bead is read from what was.
        let mut pending = BTreeSet::new();
        for record in records {
            if !pending.insert(record.bead.id) {
                self.author(std::mem::take(&mut ops))?;
                pending = BTreeSet::from([record.bead.id]);
            }
            match self.beads.record(&self.stage, &self.mesh, record.bead.id)? {
                Some(ours) => ops.extend(self.merge(&record, &ours.bead, &mut report)?),
                None => ops.extend(self.make(&record, &mut report)?),
            }
        }
        self.author(ops)?;
        Ok(Answer::Imported(report))
    }

    /// Makes the bead of a record that is not shown here, though changes of it without effect may be stored.
    fn make(&mut self, record: &Prepared, report: &mut ImportReport) -> Result<Vec<RawOp>, Failure> {
        let (id, author) = (record.bead.id, self.entries.node());
        if let Some(ops) = self.beads.adopt(&mut self.stage, &self.mesh, author, (id, &record.changes))? {
            report.created += 1;
            return Ok(ops);
        }
        let dated = updated(&record.bead).filter(|date| *date <= self.now.wall);
        match self.edit_beads(dated.unwrap_or(self.now.wall), &[(id, created(&record.bead))]) {
            Ok(ops) => {
                report.created += 1;
                Ok(ops)
            }
            Err(error) => rejected(record, report, error),
        }
    }

    /// Merges a record into the bead as it is shown here.
    fn merge(&mut self, record: &Prepared, ours: &Bead, report: &mut ImportReport) -> Result<Vec<RawOp>, Failure> {
        let id = record.bead.id;
        let note = |reason: String| LineNote { line: record.line, reason };
        if !record.has_created_at && ours.title != record.bead.title {
            let reason = format!("id: {} is another task here, {:?}", record.bead.alias, ours.title);
            report.conflicting.push(note(reason));
            return Ok(Vec::new());
        }
        let index = self.beads.index(&self.stage, &self.mesh)?;
        let theirs = as_ours(index, ours, &record.bead);
        let edits = if record.has_updated_at { differing_edits(ours, &theirs) } else { unset_edits(ours, &theirs) };
        if edits.is_empty() {
            report.unchanged += 1;
            return Ok(Vec::new());
        }
        if record.has_updated_at && updated(&record.bead) < updated(ours) {
            let kept = ours.updated_at.as_deref().unwrap_or("an unknown date");
            report.older.push(note(format!("updated_at: older than what is known, of {kept}; ours was kept")));
            report.unchanged += 1;
            return Ok(Vec::new());
        }
        // A record that says it is newer is taken as of its own date, so that an export gives that date again.
        let dated = updated(&record.bead).filter(|date| Some(*date) > updated(ours) && *date <= self.now.wall);
        match self.edit_beads(dated.unwrap_or(self.now.wall), &[(id, edits)]) {
            Ok(ops) if ops.is_empty() => {
                report.unchanged += 1;
                Ok(ops)
            }
            Ok(ops) => {
                report.updated += 1;
                Ok(ops)
            }
            Err(error) => rejected(record, report, error),
        }
    }
}

/// Reports a record that can not be taken; a store that fails is no fault of it.
fn rejected(record: &Prepared, report: &mut ImportReport, error: Failure) -> Result<Vec<RawOp>, Failure> {
    let Failure::Command(error) = error else { return Err(error) };
    report.rejected.push(LineNote { line: record.line, reason: error.to_string() });
    Ok(Vec::new())
}

fn updated(bead: &Bead) -> Option<Wall> {
    bead.updated_at.as_deref().and_then(Wall::parse)
}

/// Returns a record as it would stand here: names that mean the same as ours are written as ours, and what no record
/// can say is kept.
fn as_ours(index: &Index, ours: &Bead, record: &Bead) -> Bead {
    let mut theirs = record.clone();
    theirs.updated_at.clone_from(&ours.updated_at);
    if ours.project.is_some() {
        theirs.project = ours.project;
    }
    let shown = index.rows.display(ours.id);
    if shown.as_deref() == Some(theirs.alias.as_str()) || alias::split(&theirs.alias).0 == ours.alias {
        theirs.alias.clone_from(&ours.alias);
    }
    theirs.deps = theirs
        .deps
        .into_iter()
        .map(|(key, dep)| {
            let found = index.graph.resolve(&key.target, ours.id);
            let known = found.map(|id| DepKey { kind: key.kind.clone(), target: Target::Id(id) });
            (known.filter(|known| ours.deps.contains_key(known)).unwrap_or(key), dep)
        })
        .collect();
    theirs
}

#[cfg(test)]
mod tests;
