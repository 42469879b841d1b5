//! Reviews: when an agent becomes known, or is known no more, every letter from or to it is judged anew.
//!
//! There may be any number of those letters, so they are gone through in slices, an entry at a time. How far that has
//! come stands in the store with what it has changed; after a crash it goes on. What comes meanwhile is judged at once.

use std::collections::BTreeSet;

use beadmesh_protocol::entry::RawOp;
use beadmesh_protocol::id::{AgentId, EntryId};
use beadmesh_protocol::mail::{Letter, letter_id};
use beadmesh_protocol::op::Op;
use beadmesh_protocol::planted::{self, Bug};
use serde::{Deserialize, Serialize};

use super::super::mesh::Mesh;
use super::slice::Slice;
use super::{Mail, entries, lists};
use crate::keys;
use crate::stage::{Stage, StoreError};

/// Letters of an inbox that are gone through at one time; each costs two rows.
const INBOX_AT_ONCE: usize = 64;

/// Rows that a letter costs beside those for whom it goes to: its record, its places and its words.
const LETTER_ROWS: usize = 8;

/// How far the mail of one agent was judged anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Cursor {
    part: Part,
    /// The row of the part's list to go on at.
    from: Vec<u8>,
    /// Operations done of the entry in that row.
    ops: u32,
}

/// What of an agent's mail is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Part {
    /// The letters from it.
    Sent,
    /// Whether it has read those to it: its receipts count while it is known.
    Received,
}

impl Mail {
    /// Begins to review the letters of agents that have become known, or are known no more.
    ///
    /// What fits one slice is done at once.
    pub(crate) fn on_agents_turned(
        &mut self,
        stage: &mut Stage,
        mesh: &Mesh,
        turned: &BTreeSet<AgentId>,
    ) -> Result<(), StoreError> {
        let is_first = !self.reviewing;
        for agent in turned.iter().filter(|_| !planted::is(Bug::EarlyLetterLost)) {
            // One that is under way begins anew.
            let list = keys::letters_from(*agent);
            let cursor = Cursor { part: Part::Sent, from: list.clone(), ops: 0 };
            let inbox = keys::inbox(*agent);
            if !stage.keys_from(&list, &list, 1)?.is_empty() || !stage.keys_from(&inbox, &inbox, 1)?.is_empty() {
                stage.put_record(keys::review(*agent), &cursor);
                self.reviewing = true;
            }
        }
        if is_first { self.review_on(stage, mesh) } else { Ok(()) }
    }

    /// Returns whether a review is under way: letters may be missing from lists, or about to leave them.
    pub(crate) fn is_reviewing(&self) -> bool {
        self.reviewing
    }

    /// Reviews letters for one slice.
    pub(crate) fn review_on(&mut self, stage: &mut Stage, mesh: &Mesh) -> Result<(), StoreError> {
        let mut slice = Slice::new();
        while self.reviewing && !slice.is_over() {
            self.review_once(stage, mesh, &mut slice)?;
        }
        Ok(())
    }

    /// Reviews all letters that are left, however long that takes: for whoever reads everything anyway.
    pub(crate) fn finish_review(&mut self, stage: &mut Stage, mesh: &Mesh) -> Result<(), StoreError> {
        while self.reviewing {
            self.review_on(stage, mesh)?;
        }
        Ok(())
    }

    /// Takes one step for the first agent that is left.
    fn review_once(&mut self, stage: &mut Stage, mesh: &Mesh, slice: &mut Slice) -> Result<(), StoreError> {
        slice.spend(1);
        let Some(key) = stage.keys_from(keys::REVIEWS, keys::REVIEWS, 1)?.pop() else {
            self.reviewing = false;
            return Ok(());
        };
        let agent = AgentId::from_slice(&key[keys::REVIEWS.len()..]);
        let next = match (agent, stage.record::<Cursor>(&key)?) {
            (Some(agent), Some(cursor)) => match cursor.part {
                Part::Sent => Some(self.judge_sent(stage, mesh, (agent, &cursor), slice)?),
                Part::Received => self.judge_received(stage, mesh, (agent, &cursor), slice)?,
            },
            _ => None,
        };
        match next {
            Some(next) => stage.put_record(key, &next),
            None => stage.delete(key),
        }
        Ok(())
    }

    /// Judges the letters from an agent in one entry, or those that the slice has room for.
    fn judge_sent(
        &mut self,
        stage: &mut Stage,
        mesh: &Mesh,
        (agent, cursor): (AgentId, &Cursor),
        slice: &mut Slice,
    ) -> Result<Cursor, StoreError> {
        let Some(row) = stage.keys_from(&keys::letters_from(agent), &cursor.from, 1)?.pop() else {
            return Ok(Cursor { part: Part::Received, from: keys::inbox(agent), ops: 0 });
        };
        let done = if row == cursor.from { cursor.ops } else { 0 };
        let id = row.last_chunk().map(|bytes| EntryId::from_bytes(*bytes));
        let entry = id.map(|id| entries::load(stage, mesh.roster().mesh, id)).transpose()?.flatten();
        let entry = entry.ok_or_else(|| StoreError::Undecodable { key: beadmesh_protocol::id::base32(&row) })?;
        slice.spend_bytes(entry.bytes_len());
        for (op, raw) in (0..).zip(&entry.content().ops).skip(usize::try_from(done).unwrap_or(usize::MAX)) {
            if slice.is_over() && op > done {
                return Ok(Cursor { part: Part::Sent, from: row, ops: op });
            }
            slice.spend(1);
            let Some(letter) = letter_from(raw, agent) else { continue };
            // A row in several lists for each recipient, what is awaited of it, and one for each letter or blob named.
            let each = if letter.ack_required { 6 } else { 4 };
            let named = letter.seen.len() + letter.attachments.len();
            slice.spend(LETTER_ROWS + each * (letter.to.len() + letter.cc.len()) + named);
            self.refresh(stage, mesh, (letter_id(&raw.body), agent), &letter)?;
        }
        Ok(Cursor { part: Part::Sent, from: lists::past(row), ops: 0 })
    }

    /// Judges which letters to an agent it has not read: some of them, and nothing is left after the last.
    fn judge_received(
        &mut self,
        stage: &mut Stage,
        mesh: &Mesh,
        (agent, cursor): (AgentId, &Cursor),
        slice: &mut Slice,
    ) -> Result<Option<Cursor>, StoreError> {
        let rows = stage.keys_from(&keys::inbox(agent), &cursor.from, INBOX_AT_ONCE)?;
        slice.spend(2 * rows.len());
        for letter in lists::letters(&rows) {
            self.refresh_receipts(stage, mesh, letter, agent)?;
        }
        let last = rows.into_iter().nth(INBOX_AT_ONCE - 1);
        Ok(last.map(|last| Cursor { part: Part::Received, from: lists::past(last), ops: 0 }))
    }
}

/// Reads an operation that is a letter from an agent.
fn letter_from(raw: &RawOp, agent: AgentId) -> Option<Letter> {
    match Op::is_mail(raw).then(|| Op::decode(raw)) {
        Some(Ok(Op::Letter(letter))) => Some(*letter).filter(|letter| letter.from == agent),
        _ => None,
    }
}
