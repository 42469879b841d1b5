//! What a replica has to do with backups: it lists and reads its entries piece by piece, and takes such pieces back.
//!
//! Entries are a set, so nothing stops meanwhile: what is written after the list was made is in the next backup.

use beadmesh_protocol::entry::{Entry, Set};
use beadmesh_protocol::id::{EntryId, MeshId};

use super::commands::count;
use super::entries::Taken;
use super::{Failure, Replica};
use crate::command::{Answer, BackupIndex, CommandError, TakenBack};

/// Bytes of entries in one answer; at least one entry is in each.
const ANSWER_BYTES: usize = 256 * 1024;

impl Replica {
    /// Lists what a backup holds.
    pub(super) fn backup_index(&self) -> BackupIndex {
        let mut ids = self.entries.control_ids();
        ids.extend(self.entries.data_ids());
        BackupIndex { mesh: self.entries.mesh(), node: self.entries.node(), wall: self.now.wall, ids }
    }

    /// Reads entries for a backup, as many of them as one answer takes.
    pub(super) fn backup_entries(&self, ids: &[EntryId]) -> Result<Answer, Failure> {
        let mut entries = Vec::new();
        let mut bytes = 0;
        for id in ids {
            // One that can not be read is the doctor's business: asking for a backup does not stop the node.
            let entry = self.entries.load(&self.stage, *id).ok().flatten().ok_or_else(|| unreadable(*id))?;
            if bytes + entry.bytes_len() > ANSWER_BYTES && !entries.is_empty() {
                break;
            }
            bytes += entry.bytes_len();
            entries.push(entry.seal());
        }
        Ok(Answer::Sealed(entries))
    }

    /// Takes entries of a backup whose signatures have been checked; peers are told of those that are new here.
    pub(super) fn take_back(&mut self, mesh: MeshId, entries: Vec<Entry>) -> Result<Answer, Failure> {
        if mesh != self.entries.mesh() {
            let (theirs, ours) = (mesh.short(), self.entries.mesh().short());
            let problem = format!("the backup is of mesh {theirs}, and this node is in mesh {ours}");
            let hint = "hand it in at a node of its own mesh".to_owned();
            return Err(CommandError::Refused { problem, hint }.into());
        }
        let (mut taken, mut gained) = (TakenBack::default(), Vec::new());
        let (mut control, data): (Vec<Entry>, Vec<Entry>) =
            entries.into_iter().partition(|entry| entry.set() == Set::Control);
        // An admission makes authors known, and may stand behind what they wrote.
        loop {
            let (known, unknown): (Vec<Entry>, Vec<Entry>) =
                control.into_iter().partition(|entry| self.is_storable(entry));
            if known.is_empty() {
                taken.unknown += count(unknown.len());
                break;
            }
            let mut new = Vec::new();
            for entry in known {
                if self.keep_back(&entry, &mut taken)? {
                    gained.extend(self.mesh.note(&mut self.stage, &entry));
                    new.push(entry);
                }
            }
            if !new.is_empty() {
                self.learn(new)?;
            }
            control = unknown;
        }
        for entry in data {
            if !self.is_storable(&entry) {
                taken.unknown += 1;
            } else if self.keep_back(&entry, &mut taken)? {
                gained.extend(self.mesh.note(&mut self.stage, &entry));
                self.apply_data(&entry)?;
            }
        }
        self.judge_gained(gained)?;
        Ok(Answer::TakenBack(taken))
    }

    /// Stages an entry of a backup and counts it; returns whether it is new here.
    fn keep_back(&mut self, entry: &Entry, taken: &mut TakenBack) -> Result<bool, Failure> {
        match self.entries.keep(&mut self.stage, self.now.wall, entry)? {
            Taken::Known => {
                taken.known += 1;
                Ok(false)
            }
            Taken::New | Taken::Doubled => {
                taken.new += 1;
                // Every peer is told of it.
                self.taken.push((entry.id(), None));
                Ok(true)
            }
        }
    }
}

fn unreadable(id: EntryId) -> CommandError {
    CommandError::Conflict {
        problem: format!("entry {} can not be read, or the node has entered another mesh meanwhile", id.short()),
        hint: "run `beadmesh doctor`, see to what it finds, then back up again".to_owned(),
    }
}

#[cfg(test)]
mod tests;
