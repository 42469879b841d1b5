//! Comparing what is kept of mail with what it is derived from.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use beadmesh_protocol::entry::Entry;
use beadmesh_protocol::id::LetterId;
use beadmesh_protocol::mail::letter_id;
use beadmesh_protocol::op::Op;

use super::super::mesh::Mesh;
use super::{Carried, LetterRecord, Mail, due, lists, load, read_at, thread_hash};
use crate::keys;
use crate::stage::{Stage, StoreError};

/// Rows that are there whether a letter has effect or not, or that time takes away.
const NOTES: [&[u8]; 4] = [keys::CARRIED, b"Lf", b"Lr", keys::AWAITED];

impl Mail {
    /// Returns whether it is noted where the letters and receipts of an entry are.
    pub(crate) fn is_noted(&self, stage: &Stage, entry: &Entry) -> Result<bool, StoreError> {
        let content = entry.content();
        for raw in content.ops.iter().filter(|raw| Op::is_mail(raw)) {
            let list = match Op::decode(raw) {
                Ok(Op::Letter(letter)) => {
                    if stage.get(&keys::letters_from_in(letter.from, entry.id()))?.is_none() {
                        return Ok(false);
                    }
                    keys::carried(letter_id(&raw.body), content.author)
                }
                Ok(Op::Receipt(receipt)) => keys::receipt(receipt.letter, receipt.agent, receipt.kind, content.author),
                Ok(_) | Err(_) => continue,
            };
            if stage.get(&keys::said_in(&list, content.hlc, entry.id()))?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Counts the letters that are listed otherwise than they should be; rows that belong to none count as one.
    pub(crate) fn stale(&self, stage: &Stage, mesh: &Mesh) -> Result<u64, StoreError> {
        let (mut stale, mut rows) = (0, 0_u64);
        let mut counts: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
        let mut note = |due: &[Vec<u8>]| {
            rows += due.len() as u64;
            for row in due {
                // A list is named by what stands before time and letter.
                let list = &row[..row.len().saturating_sub(keys::TIME_BYTES + LetterId::BYTES)];
                if let Some(count) = keys::count_of(list) {
                    *counts.entry(count).or_default() += 1;
                }
            }
        };
        for id in carried(stage)? {
            match self.due_rows(stage, mesh, id)? {
                Some(due) => note(&due),
                None => stale += 1,
            }
        }
        for record in self.all_system(stage)? {
            let mut due = record.rows();
            due.push(keys::system(record.id()));
            if read_at(stage, mesh, record.id(), record.agent)?.is_none() {
                due.push(keys::newest_first(keys::unread(record.agent), record.hlc(), record.id()));
            }
            stale += u64::from(!are_there(stage, &due)?);
            note(&due);
        }
        for (key, count) in &counts {
            stale += u64::from(stage.record::<u64>(key)? != Some(*count));
        }
        if stale > 0 {
            return Ok(stale);
        }
        rows += counts.len() as u64;
        let mut kept = stage.count(keys::MAIL)?;
        for notes in NOTES {
            kept -= stage.count(notes)?;
        }
        Ok(u64::from(kept != rows))
    }

    /// Returns the keys that a letter should stand under; `None` if it does not stand there as it should.
    fn due_rows(&self, stage: &Stage, mesh: &Mesh, id: LetterId) -> Result<Option<Vec<Vec<u8>>>, StoreError> {
        let stored = self.record(stage, id)?;
        let Some(place) = first_place(stage, id)? else { return Ok(None) };
        let letter = load(stage, mesh, place)?;
        let Some((node, carried)) = due(stage, mesh, (id, letter.from))? else {
            return Ok(stored.is_none().then(Vec::new));
        };
        let body = String::new();
        let record = LetterRecord { letter: beadmesh_protocol::mail::Letter { body, ..letter }, node, carried };
        let mut rows = lists::rows(id, &record);
        rows.push(keys::letter(id));
        for agent in record.letter.recipients() {
            if read_at(stage, mesh, id, agent)?.is_none() {
                rows.push(keys::newest_first(keys::unread(agent), carried.hlc, id));
            }
        }
        let thread = thread_hash(&record.letter.thread);
        if !lists::is_named(stage, id, &thread)? {
            rows.push(keys::newest_first(keys::heads(&thread), carried.hlc, id));
        }
        let is_sound = stored == Some(record) && are_there(stage, &rows)?;
        Ok(is_sound.then_some(rows))
    }
}

/// Returns whether all rows are kept.
fn are_there(stage: &Stage, rows: &[Vec<u8>]) -> Result<bool, StoreError> {
    for row in rows {
        if stage.get(row)?.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Returns every letter that an entry here carries.
fn carried(stage: &Stage) -> Result<BTreeSet<LetterId>, StoreError> {
    let start = keys::CARRIED.len();
    let mut carried = BTreeSet::new();
    stage.scan(keys::CARRIED, |key, _| {
        carried.extend(key.get(start..start + LetterId::BYTES).and_then(LetterId::from_slice));
        ControlFlow::Continue(())
    })?;
    Ok(carried)
}

/// Returns one of the places where a letter lies.
pub(super) fn first_place(stage: &Stage, id: LetterId) -> Result<Option<Carried>, StoreError> {
    let list = keys::carried_of(id);
    let first = stage.keys_from(&list, &list, 1)?;
    first.first().map_or(Ok(None), |key| stage.record(key))
}
