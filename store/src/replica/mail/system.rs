//! System letters as they are kept, and the acknowledgements that this node's agents wait for.
//!
//! They stand in the lists of inboxes beside other letters, and in threads apart from these: no letter names one, and who
//! writes to a thread does not write to them.

use beadmesh_protocol::clock::{Timestamp, Wall};
use beadmesh_protocol::id::{AgentId, BeadId, LetterId};
use beadmesh_protocol::mail::ReceiptKind;
use beadmesh_protocol::mail::system::{ACK_OVERDUE, Cause};
use serde::{Deserialize, Serialize};

use super::super::mesh::Mesh;
use super::{LetterRecord, Mail, Step, Unread, count, lists, read_at, receipt_at, thread_hash};
use crate::keys;
use crate::stage::{Stage, StoreError};

/// Overdue acknowledgements that are looked at in one go; each costs about ten rows.
const OVERDUE_AT_ONCE: usize = 32;

/// A system letter. What it says is made when it is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SystemRecord {
    /// Whom it tells.
    pub(crate) agent: AgentId,
    /// What it tells of.
    pub(crate) cause: Cause,
    /// When that came about.
    pub(crate) at: Wall,
    /// The thread it belongs to.
    pub(crate) thread: String,
}

impl SystemRecord {
    /// Returns the id of the letter.
    pub(crate) fn id(&self) -> LetterId {
        self.cause.letter_id(self.agent)
    }

    /// Returns where the letter stands in lists that are ordered by time.
    pub(crate) fn hlc(&self) -> Timestamp {
        Timestamp::from_wall(self.at)
    }

    /// Returns the keys of all rows of the letter that do not depend on receipts.
    pub(super) fn rows(&self) -> Vec<Vec<u8>> {
        let id = self.id();
        let in_thread = keys::system_in(&thread_hash(&self.thread), self.agent);
        let mut rows = vec![
            keys::newest_first(keys::inbox(self.agent), self.hlc(), id),
            keys::oldest_first(in_thread, self.hlc(), id),
        ];
        if let Cause::BeadClosed { waiting, .. } = self.cause {
            rows.push([keys::system_on(waiting), id.as_bytes().to_vec()].concat());
        }
        rows
    }
}

impl Mail {
    /// Returns a system letter.
    pub(crate) fn system(&self, stage: &Stage, id: LetterId) -> Result<Option<SystemRecord>, StoreError> {
        stage.record(&keys::system(id))
    }

    /// Returns every system letter.
    pub(crate) fn all_system(&self, stage: &Stage) -> Result<Vec<SystemRecord>, StoreError> {
        Ok(stage.records(keys::SYSTEM)?.into_iter().map(|(_, record)| record).collect())
    }

    /// Returns the system letters about what a bead waits for, in the order of their ids.
    pub(crate) fn system_on(&self, stage: &Stage, waiting: BeadId) -> Result<Vec<SystemRecord>, StoreError> {
        let ids = lists::letters(&stage.keys(&keys::system_on(waiting))?);
        ids.into_iter().filter_map(|id| self.system(stage, id).transpose()).collect()
    }

    /// Lets the system letters about what a bead waits for be these and no others.
    pub(crate) fn tell_on(
        &mut self,
        stage: &mut Stage,
        mesh: &Mesh,
        (waiting, due): (BeadId, &[SystemRecord]),
    ) -> Result<(), StoreError> {
        for told in self.system_on(stage, waiting)? {
            if !due.contains(&told) {
                self.untell(stage, &told)?;
            }
        }
        due.iter().try_for_each(|record| self.tell(stage, mesh, record))
    }

    /// Adds a system letter to every list it belongs to, unless it is there.
    pub(crate) fn tell(&mut self, stage: &mut Stage, mesh: &Mesh, record: &SystemRecord) -> Result<(), StoreError> {
        let id = record.id();
        if self.system(stage, id)?.is_some() {
            return Ok(());
        }
        stage.put_record(keys::system(id), record);
        for key in record.rows() {
            stage.put(key, Vec::new());
        }
        count(stage, keys::system_count(&thread_hash(&record.thread), record.agent), Step::Up)?;
        self.gained.insert(id);
        self.refresh_system(stage, mesh, record)
    }

    /// Takes a system letter out of every list.
    fn untell(&mut self, stage: &mut Stage, record: &SystemRecord) -> Result<(), StoreError> {
        let id = record.id();
        stage.delete(keys::system(id));
        for key in record.rows() {
            stage.delete(key);
        }
        count(stage, keys::system_count(&thread_hash(&record.thread), record.agent), Step::Down)?;
        self.gained.remove(&id);
        let key = keys::newest_first(keys::unread(record.agent), record.hlc(), id);
        self.set_unread(stage, key, record.agent, Unread::No)
    }

    /// Puts a system letter among those that its agent has not read, or takes it out.
    pub(super) fn refresh_system(
        &mut self,
        stage: &mut Stage,
        mesh: &Mesh,
        record: &SystemRecord,
    ) -> Result<(), StoreError> {
        let id = record.id();
        let unread = if read_at(stage, mesh, id, record.agent)?.is_some() { Unread::No } else { Unread::Yes };
        let key = keys::newest_first(keys::unread(record.agent), record.hlc(), id);
        self.set_unread(stage, key, record.agent, unread)
    }

    /// Notes whether an acknowledgement is waited for, came in time, or came late.
    pub(super) fn refresh_ack(
        &mut self,
        stage: &mut Stage,
        mesh: &Mesh,
        (id, record): (LetterId, &LetterRecord),
        recipient: AgentId,
    ) -> Result<(), StoreError> {
        let Some(overdue) = overdue(mesh, (id, record), recipient) else { return Ok(()) };
        let awaited = keys::awaited(overdue.at, id, recipient);
        let told = self.system(stage, overdue.id())?;
        match receipt_at(stage, mesh, (id, recipient), ReceiptKind::Acknowledged)? {
            // Told by a clock that was ahead, or rightly: what was told stays.
            None if told.is_some() => {}
            None => {
                stage.put(awaited, Vec::new());
                self.overdue_at = Some(self.overdue_at.map_or(overdue.at, |first| first.min(overdue.at)));
            }
            Some(at) => {
                stage.delete(awaited);
                match told {
                    Some(told) if at.wall() < overdue.at => self.untell(stage, &told)?,
                    None if at.wall() >= overdue.at => self.tell(stage, mesh, &overdue)?,
                    Some(_) | None => {}
                }
            }
        }
        Ok(())
    }

    /// Waits for no acknowledgement of a letter that has lost its effect, and tells of none.
    pub(super) fn forget_acks(
        &mut self,
        stage: &mut Stage,
        mesh: &Mesh,
        (id, record): (LetterId, &LetterRecord),
    ) -> Result<(), StoreError> {
        for recipient in record.letter.recipients() {
            let Some(overdue) = overdue(mesh, (id, record), recipient) else { continue };
            stage.delete(keys::awaited(overdue.at, id, recipient));
            if let Some(told) = self.system(stage, overdue.id())? {
                self.untell(stage, &told)?;
            }
        }
        Ok(())
    }

    /// Tells of acknowledgements that are overdue by now, as many as are looked at in one go.
    ///
    /// What is left is told of when this is called next, which is due at once.
    pub(crate) fn tell_overdue(&mut self, stage: &mut Stage, mesh: &Mesh, now: Wall) -> Result<(), StoreError> {
        if !self.is_overdue(now) {
            return Ok(());
        }
        for key in stage.keys_from(keys::AWAITED, keys::AWAITED, OVERDUE_AT_ONCE)? {
            let Some((due, id, recipient)) = keys::awaited_of(&key) else { continue };
            if due > now {
                break;
            }
            stage.delete(key);
            let Some(record) = self.record(stage, id)? else { continue };
            if let Some(overdue) = overdue(mesh, (id, &record), recipient) {
                self.tell(stage, mesh, &overdue)?;
            }
        }
        self.note_awaited(stage)
    }

    /// Tells of all acknowledgements that are overdue by now, however many: for whoever reads everything anyway.
    pub(crate) fn finish_overdue(&mut self, stage: &mut Stage, mesh: &Mesh, now: Wall) -> Result<(), StoreError> {
        while self.is_overdue(now) {
            self.tell_overdue(stage, mesh, now)?;
        }
        Ok(())
    }

    fn is_overdue(&self, now: Wall) -> bool {
        self.overdue_at.is_some_and(|at| at <= now)
    }

    /// Reads from when on the next acknowledgement is overdue.
    pub(crate) fn note_awaited(&mut self, stage: &Stage) -> Result<(), StoreError> {
        let first = stage.keys_from(keys::AWAITED, keys::AWAITED, 1)?;
        self.overdue_at = first.first().and_then(|key| keys::awaited_of(key)).map(|(due, ..)| due);
        Ok(())
    }

    /// Returns from when on the next acknowledgement is overdue.
    pub(crate) fn overdue_at(&self) -> Option<Wall> {
        self.overdue_at
    }
}

/// Returns what the sender of a letter is told once a recipient is late to acknowledge it; `None` where it waits for none,
/// or is an agent of another node.
fn overdue(mesh: &Mesh, (id, record): (LetterId, &LetterRecord), recipient: AgentId) -> Option<SystemRecord> {
    let letter = &record.letter;
    let is_awaited = letter.ack_required && record.node == mesh.here() && recipient != letter.from;
    is_awaited.then(|| SystemRecord {
        agent: letter.from,
        cause: Cause::AckOverdue { letter: id, recipient },
        at: letter.sent_at.after(ACK_OVERDUE),
        thread: letter.thread.clone(),
    })
}
