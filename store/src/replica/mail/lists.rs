//! The lists that letters are in, and pages of them.

use std::collections::BTreeSet;

use beadmesh_protocol::clock::Timestamp;
use beadmesh_protocol::id::{AgentId, BlobHash, LetterId, NodeId};
use beadmesh_protocol::limits::LETTER_SEEN_MAX;

use super::{LetterRecord, Mail, is_pressing, thread_hash};
use crate::command::{BlobUse, InboxFilter};
use crate::keys;
use crate::stage::{Stage, StoreError};

/// Characters of a letter's id that are shown at least.
const SHORT_CHARS_MIN: usize = 6;

/// Characters of the start of an id that finds a letter.
const START_CHARS_MIN: usize = 4;

/// Rows that are read at once where not each is wanted.
const ROWS_AT_ONCE: usize = 256;

/// Letters of an inbox that a page may pass over; one that has passed over so many ends before it is full.
const PASSED_OVER_MAX: usize = 4_096;

/// Letters that are named when several are meant.
const CANDIDATES_MAX: usize = 10;

/// Why a text names no letter.
#[derive(Debug)]
pub(crate) enum FindLetterError {
    /// None has an id that starts so.
    None,
    /// Several have; these are the first of them.
    Several(Vec<LetterId>),
    /// The store failed.
    Store(StoreError),
}

impl From<StoreError> for FindLetterError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Mail {
    /// Returns a page of an agent's inbox, the newest first, and the letter to continue after if there may be more.
    pub(crate) fn inbox(
        &self,
        stage: &Stage,
        agent: AgentId,
        filter: &InboxFilter,
    ) -> Result<(Vec<LetterId>, Option<LetterId>), StoreError> {
        let list = match filter {
            InboxFilter { urgent: true, .. } => keys::pressing(agent),
            InboxFilter { unread: true, .. } => keys::unread(agent),
            _ => keys::inbox(agent),
        };
        let wanted = if filter.limit == 0 { usize::MAX } else { filter.limit };
        let mut from = list.clone();
        if let Some(after) = filter.after {
            let Some(hlc) = self.hlc(stage, after)? else { return Ok((Vec::new(), None)) };
            from = past(keys::newest_first(list.clone(), hlc, after));
        }
        let (mut page, mut passed_over) = (Vec::new(), 0);
        loop {
            let rows = stage.keys_from(&list, &from, wanted.saturating_add(1).min(ROWS_AT_ONCE))?;
            let Some(last) = rows.last() else { return Ok((page, None)) };
            from = past(last.clone());
            for row in &rows {
                let Some((hlc, letter)) = dated(row) else { continue };
                if filter.since.is_some_and(|since| hlc.wall() < since) {
                    return Ok((page, None));
                }
                let key = || keys::newest_first(keys::unread(agent), hlc, letter);
                if filter.urgent && filter.unread && stage.get(&key())?.is_none() {
                    passed_over += 1;
                    if passed_over == PASSED_OVER_MAX {
                        return Ok((page, Some(letter)));
                    }
                    continue;
                }
                if page.len() == wanted {
                    let next = page.last().copied();
                    return Ok((page, next));
                }
                page.push(letter);
            }
        }
    }

    /// Returns where a letter of either kind stands in lists that are ordered by time.
    pub(super) fn hlc(&self, stage: &Stage, id: LetterId) -> Result<Option<Timestamp>, StoreError> {
        if let Some(record) = self.record(stage, id)? {
            return Ok(Some(record.carried.hlc));
        }
        Ok(self.system(stage, id)?.map(|record| record.hlc()))
    }

    /// Returns every letter that has effect, in the order of ids.
    pub(crate) fn all(&self, stage: &Stage) -> Result<Vec<LetterId>, StoreError> {
        Ok(letters(&stage.keys(keys::LETTERS)?))
    }

    /// Counts the letters that an agent has not read.
    pub(crate) fn unread(&self, stage: &Stage, agent: AgentId) -> Result<u64, StoreError> {
        Ok(stage.record(&keys::unread_count(agent))?.unwrap_or(0))
    }

    /// Returns whether there is a thread of that name for an agent: system letters of its own make one, too.
    pub(crate) fn is_thread(&self, stage: &Stage, thread: &str, agent: AgentId) -> Result<bool, StoreError> {
        let hash = thread_hash(thread);
        for list in [keys::thread(&hash), keys::system_in(&hash, agent)] {
            if !stage.keys_from(&list, &list, 1)?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns the letters of a thread that no other names, the latest first: as many as a letter may name.
    pub(crate) fn heads(&self, stage: &Stage, thread: &str) -> Result<Vec<LetterId>, StoreError> {
        let list = keys::heads(&thread_hash(thread));
        Ok(letters(&stage.keys_from(&list, &list, LETTER_SEEN_MAX)?))
    }

    /// Returns who carries a blob, as seen by a node.
    pub(crate) fn blob_use(&self, stage: &Stage, blob: BlobHash, here: NodeId) -> Result<BlobUse, StoreError> {
        for (list, found) in [(keys::carrying_of(blob, here), BlobUse::Ours), (keys::carrying(blob), BlobUse::Theirs)] {
            if !stage.keys_from(&list, &list, 1)?.is_empty() {
                return Ok(found);
            }
        }
        Ok(BlobUse::Nobodys)
    }

    /// Returns the start of a letter's id that no other letter here has.
    pub(crate) fn short(&self, stage: &Stage, id: LetterId) -> Result<String, StoreError> {
        let text = id.to_string();
        let alike = |other: &LetterId| {
            let other = other.to_string();
            text.bytes().zip(other.bytes()).take_while(|(ours, theirs)| ours == theirs).count()
        };
        let mut near = starting_with(stage, &text[..SHORT_CHARS_MIN])?;
        near.retain(|other| *other != id);
        let chars = near.iter().map(alike).max().map_or(0, |chars| chars + 1).max(SHORT_CHARS_MIN);
        Ok(text.chars().take(chars).collect())
    }

    /// Finds the letter, of either kind, that a person means: by its id, or a start of it that no other has.
    pub(crate) fn find(&self, stage: &Stage, text: &str) -> Result<LetterId, FindLetterError> {
        let text = text.trim().to_ascii_lowercase();
        if let Ok(id) = text.parse() {
            return self.hlc(stage, id)?.map(|_| id).ok_or(FindLetterError::None);
        }
        let is_base32 = text.bytes().all(|byte| byte.is_ascii_lowercase() || (b'2'..=b'7').contains(&byte));
        if text.len() < START_CHARS_MIN || !is_base32 {
            return Err(FindLetterError::None);
        }
        let mut found = starting_with(stage, &text)?;
        found.retain(|id| id.to_string().starts_with(&text));
        match found.as_slice() {
            [] => Err(FindLetterError::None),
            [id] => Ok(*id),
            several => Err(FindLetterError::Several(several.iter().take(CANDIDATES_MAX).copied().collect())),
        }
    }
}

/// Returns the keys of all rows of a letter that do not depend on other operations.
pub(super) fn rows(id: LetterId, record: &LetterRecord) -> Vec<Vec<u8>> {
    let (letter, hlc) = (&record.letter, record.carried.hlc);
    let mut rows = Vec::new();
    for agent in letter.recipients() {
        rows.push(keys::newest_first(keys::inbox(agent), hlc, id));
        if is_pressing(letter.importance) {
            rows.push(keys::newest_first(keys::pressing(agent), hlc, id));
        }
    }
    let thread = thread_hash(&letter.thread);
    rows.push(keys::oldest_first(keys::thread(&thread), hlc, id));
    let named = letter.named().into_iter().filter(|named| *named != id);
    rows.extend(named.map(|named| [keys::naming(named, &thread), id.as_bytes().to_vec()].concat()));
    let blobs: BTreeSet<BlobHash> = letter.attachments.iter().map(|attachment| attachment.hash).collect();
    rows.extend(blobs.iter().map(|blob| [keys::carrying_of(*blob, record.node), id.as_bytes().to_vec()].concat()));
    rows
}

/// Returns whether a letter of a thread names another.
pub(super) fn is_named(stage: &Stage, id: LetterId, thread: &[u8; 16]) -> Result<bool, StoreError> {
    let list = keys::naming(id, thread);
    Ok(!stage.keys_from(&list, &list, 1)?.is_empty())
}

/// Returns the letters that keys end with.
pub(super) fn letters(rows: &[Vec<u8>]) -> Vec<LetterId> {
    rows.iter().filter_map(|row| row.last_chunk().map(|bytes| LetterId::from_bytes(*bytes))).collect()
}

/// Reads the time and the letter in a row that is ordered by time.
fn dated(row: &[u8]) -> Option<(Timestamp, LetterId)> {
    let (rest, letter) = row.split_last_chunk()?;
    let (_, time) = rest.split_last_chunk::<{ keys::TIME_BYTES }>()?;
    Some((Timestamp::from_u64(!u64::from_be_bytes(*time)), LetterId::from_bytes(*letter)))
}

/// Returns the first key after another.
pub(super) fn past(mut key: Vec<u8>) -> Vec<u8> {
    key.push(0);
    key
}

/// Returns the letters of both kinds whose ids have the whole bytes of a start in base32, and perhaps no more than those.
fn starting_with(stage: &Stage, start: &str) -> Result<Vec<LetterId>, StoreError> {
    // Five bits a character; what does not fill a byte is left to the caller.
    let (mut bits, mut held, mut bytes) = (0_u32, 0_u32, Vec::new());
    for char in start.bytes().take(LetterId::BYTES * 8 / 5) {
        let value = if char.is_ascii_digit() { char - b'2' + 26 } else { char - b'a' };
        bits = (bits << 5) | u32::from(value);
        held += 5;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(bits >> held).unwrap_or(0));
            bits &= (1 << held) - 1;
        }
    }
    let mut found = letters(&stage.keys(&[keys::LETTERS, &bytes].concat())?);
    found.extend(letters(&stage.keys(&[keys::SYSTEM, &bytes].concat())?));
    Ok(found)
}
