//! Mail: where letters lie, whom they have come to, and which threads they make.
//!
//! Everything here is derived from entries and can be built anew. A letter has effect once an entry of the node of the
//! agent it is from has brought it; before, as while that agent is not known, only where it lies is noted. What is done
//! when a letter comes does not depend on how many there are, and what has to go through many is done in slices.

use std::collections::BTreeSet;

use beadmesh_protocol::clock::{Timestamp, Wall};
use beadmesh_protocol::entry::Entry;
use beadmesh_protocol::id::{AgentId, EntryId, LetterId, NodeId};
use beadmesh_protocol::mail::{Importance, Letter, Receipt, ReceiptKind, letter_id};
use beadmesh_protocol::op::Op;
use beadmesh_protocol::planted::{self, Bug};
use serde::{Deserialize, Serialize};

use super::mesh::Mesh;
use super::{Event, entries};
use crate::keys;
use crate::stage::{Stage, StoreError};

mod check;
mod lists;
mod review;
mod search;
mod slice;
mod system;
mod thread;
mod words;

pub(super) use lists::FindLetterError;
use search::Search;
pub(super) use system::SystemRecord;
pub(super) use thread::THREAD_WHOLE_MAX;

/// An entry that carries a letter, and which of its operations that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Carried {
    pub(crate) hlc: Timestamp,
    entry: EntryId,
    op: u32,
}

/// An entry that carries a receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Said {
    hlc: Timestamp,
    entry: EntryId,
}

/// A letter that has effect. Its body stays in the entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LetterRecord {
    /// What it says, without the body.
    pub(crate) letter: Letter,
    /// The node of the agent it is from.
    pub(crate) node: NodeId,
    pub(crate) carried: Carried,
}

/// The mail of this node.
#[derive(Debug, Default)]
pub(crate) struct Mail {
    /// Words of the newest letters, read when first asked for.
    search: Option<Search>,
    /// Letters that have had effect here since the last flush, and had none before.
    gained: BTreeSet<LetterId>,
    /// Whether letters are under review.
    reviewing: bool,
    /// From when on the next acknowledgement is overdue, or some time before.
    overdue_at: Option<Wall>,
}

impl Mail {
    /// Goes on with what a store holds.
    pub(crate) fn open(stage: &Stage) -> Result<Self, StoreError> {
        let reviewing = !stage.keys_from(keys::REVIEWS, keys::REVIEWS, 1)?.is_empty();
        Ok(Self { reviewing, ..Self::default() })
    }

    /// Gives effect to the letters and receipts of a stored entry.
    pub(crate) fn apply_entry(&mut self, stage: &mut Stage, mesh: &Mesh, entry: &Entry) -> Result<(), StoreError> {
        let content = entry.content();
        for (op, raw) in (0..).zip(&content.ops) {
            if !Op::is_mail(raw) {
                continue;
            }
            match Op::decode(raw) {
                Ok(Op::Letter(letter)) => {
                    let carried = Carried { hlc: content.hlc, entry: entry.id(), op };
                    self.apply_letter(stage, mesh, (letter_id(&raw.body), &*letter), (content.author, carried))?;
                }
                Ok(Op::Receipt(receipt)) => {
                    let said = Said { hlc: content.hlc, entry: entry.id() };
                    self.apply_receipt(stage, mesh, receipt, (content.author, said))?;
                }
                Ok(_) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Judges the letters and receipts of an entry anew that has come to count, or counts no more.
    pub(crate) fn judge_entry(&mut self, stage: &mut Stage, mesh: &Mesh, entry: &Entry) -> Result<(), StoreError> {
        for raw in entry.content().ops.iter().filter(|raw| Op::is_mail(raw)) {
            match Op::decode(raw) {
                Ok(Op::Letter(letter)) => {
                    self.refresh(stage, mesh, (letter_id(&raw.body), letter.from), &letter)?;
                }
                Ok(Op::Receipt(receipt)) => self.refresh_receipts(stage, mesh, receipt.letter, receipt.agent)?,
                Ok(_) | Err(_) => {}
            }
        }
        Ok(())
    }

    fn apply_letter(
        &mut self,
        stage: &mut Stage,
        mesh: &Mesh,
        (id, letter): (LetterId, &Letter),
        (author, carried): (NodeId, Carried),
    ) -> Result<(), StoreError> {
        stage.put(keys::letters_from_in(letter.from, carried.entry), Vec::new());
        if !note_said(stage, &keys::carried(id, author), (carried.hlc, carried.entry), &carried)? {
            return Ok(());
        }
        self.refresh(stage, mesh, (id, letter.from), letter)
    }

    fn apply_receipt(
        &mut self,
        stage: &mut Stage,
        mesh: &Mesh,
        receipt: Receipt,
        (author, said): (NodeId, Said),
    ) -> Result<(), StoreError> {
        let Receipt { letter, agent, kind } = receipt;
        if !note_said(stage, &keys::receipt(letter, agent, kind, author), (said.hlc, said.entry), &said)? {
            return Ok(());
        }
        self.refresh_receipts(stage, mesh, letter, agent)
    }

    /// Gives effect to the receipts of an agent on a letter, as is due by what is known.
    fn refresh_receipts(
        &mut self,
        stage: &mut Stage,
        mesh: &Mesh,
        letter: LetterId,
        agent: AgentId,
    ) -> Result<(), StoreError> {
        if let Some(record) = self.record(stage, letter)? {
            return self.refresh_recipient(stage, mesh, (letter, &record), agent);
        }
        match self.system(stage, letter)? {
            Some(record) if record.agent == agent => self.refresh_system(stage, mesh, &record),
            Some(_) | None => Ok(()),
        }
    }

    /// Gives a letter effect, or takes it back, as is due by what is known.
    fn refresh(
        &mut self,
        stage: &mut Stage,
        mesh: &Mesh,
        (id, from): (LetterId, AgentId),
        letter: &Letter,
    ) -> Result<(), StoreError> {
        let before = self.record(stage, id)?;
        let due = due(stage, mesh, (id, from))?;
        if before.as_ref().map(|record| (record.node, record.carried)) == due {
            return Ok(());
        }
        if let Some(record) = before.as_ref().filter(|_| due.is_none() || !planted::is(Bug::LetterTwice)) {
            self.withdraw(stage, (id, record))?;
        }
        let Some((node, carried)) = due else {
            self.gained.remove(&id);
            return before.map_or(Ok(()), |record| self.forget_acks(stage, mesh, (id, &record)));
        };
        if let Some(search) = &mut self.search {
            search.add(id, carried.hlc, search::texts(mesh, letter));
        }
        if before.is_none() {
            self.gained.insert(id);
        }
        let record = LetterRecord { letter: Letter { body: String::new(), ..letter.clone() }, node, carried };
        self.establish(stage, mesh, (id, &record))
    }

    /// Adds a letter to every list it belongs to.
    fn establish(
        &mut self,
        stage: &mut Stage,
        mesh: &Mesh,
        (id, record): (LetterId, &LetterRecord),
    ) -> Result<(), StoreError> {
        stage.put_record(keys::letter(id), record);
        for key in lists::rows(id, record) {
            stage.put(key, Vec::new());
        }
        for agent in record.letter.recipients() {
            self.refresh_recipient(stage, mesh, (id, record), agent)?;
        }
        let thread = thread_hash(&record.letter.thread);
        count(stage, keys::thread_count(&thread), Step::Up)?;
        for named in record.letter.named() {
            self.refresh_head(stage, named, &thread)?;
        }
        self.refresh_head(stage, id, &thread)
    }

    /// Takes a letter out of every list.
    fn withdraw(&mut self, stage: &mut Stage, (id, record): (LetterId, &LetterRecord)) -> Result<(), StoreError> {
        stage.delete(keys::letter(id));
        for key in lists::rows(id, record) {
            stage.delete(key);
        }
        for agent in record.letter.recipients() {
            let key = keys::newest_first(keys::unread(agent), record.carried.hlc, id);
            self.set_unread(stage, key, agent, Unread::No)?;
        }
        let thread = thread_hash(&record.letter.thread);
        count(stage, keys::thread_count(&thread), Step::Down)?;
        stage.delete(keys::newest_first(keys::heads(&thread), record.carried.hlc, id));
        for named in record.letter.named() {
            self.refresh_head(stage, named, &thread)?;
        }
        if let Some(search) = &mut self.search {
            search.remove(id);
        }
        Ok(())
    }

    /// Makes a letter a head of a thread if it belongs to it, has effect, and no other letter of it names it.
    fn refresh_head(&self, stage: &mut Stage, id: LetterId, thread: &[u8; 16]) -> Result<(), StoreError> {
        let Some(record) = self.record(stage, id)? else { return Ok(()) };
        if thread_hash(&record.letter.thread) != *thread {
            return Ok(());
        }
        let key = keys::newest_first(keys::heads(thread), record.carried.hlc, id);
        if lists::is_named(stage, id, thread)? {
            stage.delete(key);
        } else {
            stage.put(key, Vec::new());
        }
        Ok(())
    }

    /// Puts a letter among those that a recipient has not read, or takes it out, and notes whether it is to acknowledge it.
    fn refresh_recipient(
        &mut self,
        stage: &mut Stage,
        mesh: &Mesh,
        (id, record): (LetterId, &LetterRecord),
        agent: AgentId,
    ) -> Result<(), StoreError> {
        if !record.letter.to.contains(&agent) && !record.letter.cc.contains(&agent) {
            return Ok(());
        }
        let unread = if read_at(stage, mesh, id, agent)?.is_some() { Unread::No } else { Unread::Yes };
        let key = keys::newest_first(keys::unread(agent), record.carried.hlc, id);
        self.set_unread(stage, key, agent, unread)?;
        self.refresh_ack(stage, mesh, (id, record), agent)
    }

    fn set_unread(&self, stage: &mut Stage, key: Vec<u8>, agent: AgentId, unread: Unread) -> Result<(), StoreError> {
        let was = stage.get(&key)?.is_some();
        match unread {
            Unread::Yes if !was => {
                stage.put(key, Vec::new());
                count(stage, keys::unread_count(agent), Step::Up)
            }
            Unread::No if was => {
                stage.delete(key);
                count(stage, keys::unread_count(agent), Step::Down)
            }
            Unread::Yes | Unread::No => Ok(()),
        }
    }

    /// Returns a letter that has effect, without its body.
    pub(crate) fn record(&self, stage: &Stage, id: LetterId) -> Result<Option<LetterRecord>, StoreError> {
        stage.record(&keys::letter(id))
    }

    /// Tells of the letters that have come to have effect since this was last asked; system letters are only named.
    pub(crate) fn take_gained(
        &mut self,
        stage: &Stage,
        mesh: &Mesh,
    ) -> Result<(Vec<Event>, Vec<LetterId>), StoreError> {
        let (mut events, mut system) = (Vec::new(), Vec::new());
        for letter in std::mem::take(&mut self.gained) {
            let Some(record) = self.record(stage, letter)? else {
                system.push(letter);
                continue;
            };
            events.push(Event::Letter {
                letter,
                from: mesh.address(record.letter.from),
                to: record.letter.recipients(),
                thread: record.letter.thread,
                subject: record.letter.subject,
                importance: record.letter.importance,
            });
        }
        Ok((events, system))
    }

    /// Drops everything derived; returns the letters that are still to be told of.
    pub(crate) fn clear(&mut self, stage: &mut Stage) -> Result<BTreeSet<LetterId>, StoreError> {
        for key in stage.keys(keys::MAIL)? {
            stage.delete(key);
        }
        Ok(std::mem::take(self).gained)
    }

    /// Tells of those letters alone: all others had effect before.
    pub(crate) fn forget_gained(&mut self, gained: BTreeSet<LetterId>) {
        self.gained = gained;
    }
}

/// Whether a recipient has not read a letter.
#[derive(Debug, Clone, Copy)]
enum Unread {
    Yes,
    No,
}

/// Which way a count goes.
#[derive(Debug, Clone, Copy)]
enum Step {
    Up,
    Down,
}

/// Counts one more or one less under a key, where nothing stands for none.
fn count(stage: &mut Stage, key: Vec<u8>, step: Step) -> Result<(), StoreError> {
    let before: u64 = stage.record(&key)?.unwrap_or(0);
    let after = match step {
        Step::Up => before.saturating_add(1),
        Step::Down => before.saturating_sub(1),
    };
    if after == 0 {
        stage.delete(key);
    } else {
        stage.put_record(key, &after);
    }
    Ok(())
}

/// Returns by which node a letter has effect, and where it lies; `None` while it has none.
fn due(stage: &Stage, mesh: &Mesh, (id, from): (LetterId, AgentId)) -> Result<Option<(NodeId, Carried)>, StoreError> {
    // An agent is known while its node may write.
    let Some(sender) = mesh.directory().agent(from) else { return Ok(None) };
    let list = keys::carried(id, sender.node);
    let mut carried = stage.first(&list, |carried: &Carried| mesh.counts(sender.node, carried.entry))?;
    if carried.is_none() && planted::is(Bug::ImpostorLetter) {
        carried = check::first_place(stage, id)?;
    }
    Ok(carried.map(|carried| (sender.node, carried)))
}

/// Reads letters from the entries that carry them; those that lie side by side in one entry cost one reading of it.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    last: Option<Entry>,
    bytes: usize,
}

impl Reader {
    /// Reads a letter.
    pub(crate) fn letter(&mut self, stage: &Stage, mesh: &Mesh, carried: Carried) -> Result<Letter, StoreError> {
        let missing = || StoreError::Undecodable { key: carried.entry.to_string() };
        let entry = match self.last.take().filter(|last| last.id() == carried.entry) {
            Some(last) => last,
            None => {
                let entry = entries::load(stage, mesh.roster().mesh, carried.entry)?.ok_or_else(missing)?;
                self.bytes += entry.bytes_len();
                entry
            }
        };
        let raw = usize::try_from(carried.op).ok().and_then(|op| entry.content().ops.get(op));
        let letter = match raw.map(Op::decode) {
            Some(Ok(Op::Letter(letter))) => Ok(*letter),
            _ => Err(missing()),
        };
        self.last = Some(entry);
        letter
    }

    /// Returns the bytes of the entries that were read.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Reads a letter from the entry that carries it.
pub(crate) fn load(stage: &Stage, mesh: &Mesh, carried: Carried) -> Result<Letter, StoreError> {
    Reader::default().letter(stage, mesh, carried)
}

/// Returns when an agent did something with a letter, by a receipt that counts: one of the agent's node.
pub(crate) fn receipt_at(
    stage: &Stage,
    mesh: &Mesh,
    (letter, agent): (LetterId, AgentId),
    kind: ReceiptKind,
) -> Result<Option<Timestamp>, StoreError> {
    let Some(known) = mesh.directory().agent(agent) else { return Ok(None) };
    let key = keys::receipt(letter, agent, kind, known.node);
    if planted::is(Bug::ImpostorReceipt) {
        let of_any = &key[..key.len() - NodeId::BYTES];
        return Ok(stage.first(of_any, |_: &Said| true)?.map(|said| said.hlc));
    }
    let said = stage.first(&key, |said: &Said| mesh.counts(known.node, said.entry))?;
    Ok(said.map(|said| said.hlc))
}

/// Notes what one entry says, beside what other entries of its author say alike; returns whether that is news.
///
/// More than one matter only where the node was cut off in between, and then none may put out another: which of them
/// count is not settled for good.
fn note_said<T: Serialize>(
    stage: &mut Stage,
    list: &[u8],
    (hlc, entry): (Timestamp, EntryId),
    said: &T,
) -> Result<bool, StoreError> {
    let key = keys::said_in(list, hlc, entry);
    if stage.get(&key)?.is_some() {
        return Ok(false);
    }
    stage.put_record(key, said);
    Ok(true)
}

/// Returns when an agent first read a letter; who acknowledges it has read it.
pub(crate) fn read_at(
    stage: &Stage,
    mesh: &Mesh,
    letter: LetterId,
    agent: AgentId,
) -> Result<Option<Timestamp>, StoreError> {
    let read = receipt_at(stage, mesh, (letter, agent), ReceiptKind::Read)?;
    let acknowledged = receipt_at(stage, mesh, (letter, agent), ReceiptKind::Acknowledged)?;
    Ok(read.into_iter().chain(acknowledged).min())
}

/// Names a thread in keys, which are shorter than its name may be.
pub(crate) fn thread_hash(thread: &str) -> [u8; 16] {
    blake3::hash(thread.as_bytes()).as_bytes()[..16].try_into().expect("16 of 32 bytes")
}

/// Returns whether a letter is listed among the pressing ones.
fn is_pressing(importance: Importance) -> bool {
    importance >= Importance::High
}
