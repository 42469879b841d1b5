//! Entries on their way in: those of others that links and notices bring, and our own.

use std::collections::BTreeSet;

use beadmesh_protocol::entry::{Entry, RawOp, Set};
use beadmesh_protocol::id::EntryId;
use beadmesh_protocol::planted::{self, Bug};
use beadmesh_protocol::roster::Roster;

use super::entries::Taken;
use super::mesh::Learned;
use super::{Event, LinkId, Output, Replica};
use crate::stage::StoreError;

impl Replica {
    /// Takes entries that came over a link or by a notice; returns whether some are of authors not known here.
    pub(super) fn take(&mut self, link: Option<LinkId>, arrived: Vec<Entry>) -> Result<bool, StoreError> {
        let (control, data): (Vec<Entry>, Vec<Entry>) =
            arrived.into_iter().partition(|entry| entry.set() == Set::Control);
        let mut strangers = self.take_known(link, control)?;
        strangers |= self.take_known(link, data)?;
        Ok(strangers)
    }

    /// Stores the entries whose authors are known, and keeps the others of a link for a while.
    fn take_known(&mut self, link: Option<LinkId>, mut arrived: Vec<Entry>) -> Result<bool, StoreError> {
        let (mut strangers, mut refused) = (false, false);
        // New control entries may make authors known, so what was kept is tried again until nothing changes.
        loop {
            let mut control = Vec::new();
            for entry in arrived.drain(..) {
                if !self.is_storable(&entry) {
                    strangers = true;
                    refused |= link.is_some_and(|link| !self.orphans.keep(link, entry));
                    continue;
                }
                let taken = self.entries.take(&mut self.stage, self.now.wall, &entry)?;
                link.inspect(|link| self.links.owe(*link, entry.id()));
                if taken == Taken::Known {
                    continue;
                }
                self.taken.push((entry.id(), link));
                match entry.set() {
                    Set::Control => control.push(entry),
                    Set::Data => self.apply_data(&entry)?,
                }
            }
            if control.is_empty() {
                return Ok(strangers);
            }
            self.learn(control)?;
            let Some(link) = link else { return Ok(strangers) };
            arrived = self.orphans.take(link, &self.mesh.roster().known);
            strangers = refused || self.orphans.has(link);
        }
    }

    /// Gives effect to a stored data entry: to its operations on beads, and to its letters and receipts.
    pub(super) fn apply_data(&mut self, entry: &Entry) -> Result<(), StoreError> {
        self.beads.apply_entry(&mut self.stage, &self.mesh, entry)?;
        self.mail.apply_entry(&mut self.stage, &self.mesh, entry)?;
        self.claims.apply_entry(&mut self.stage, entry)?;
        self.heed_fences(entry)
    }

    /// Returns whether an entry's author is known here, or need not be.
    pub(super) fn is_storable(&self, entry: &Entry) -> bool {
        let admits = planted::is(Bug::AnyoneAdmits) && entry.set() == Set::Control;
        let is_let_in = admits || planted::is(Bug::StrangersStored);
        is_let_in || entry.is_founding() || self.mesh.roster().known.contains(&entry.content().author)
    }

    /// Folds new control entries into the roster, and acts on what changes.
    pub(super) fn learn(&mut self, control: Vec<Entry>) -> Result<(), StoreError> {
        let Learned { before, renamed, turned: agents, agents: is_told, assignable } = self.mesh.extend(control);
        let (before, after) = (&before.roster, self.mesh.roster());
        let roles =
            |roster: &Roster| roster.members.iter().map(|(node, member)| (*node, member.role)).collect::<Vec<_>>();
        let mut turned = BTreeSet::new();
        if roles(before) != roles(after) {
            // Nothing is stored yet of a node that was not known before.
            let known = before.known.iter().copied();
            turned.extend(known.filter(|node| before.may_write(*node) != after.may_write(*node)));
        }
        let has_moved = self.mesh.names_other_peers(before);
        self.beads.on_writers_changed(&self.stage, &turned)?;
        if !turned.is_empty() {
            self.claims.judge_all(&self.stage)?;
        }
        if renamed {
            self.beads.forget_index();
        }
        if assignable {
            self.beads.stir(&self.stage, &self.mesh)?;
        } else if renamed {
            self.beads.stir_waiting(&self.stage)?;
        }
        self.mail.on_agents_turned(&mut self.stage, &self.mesh, &agents)?;
        if is_told {
            self.outputs.push(Output::Event(Event::Agents));
        }
        if has_moved {
            self.outputs.push(Output::Members(self.mesh.peers()));
            self.outputs.push(Output::Event(Event::Roster));
        }
        self.notices.retain(self.mesh.roster());
        for link in self.links.strangers(self.mesh.roster()) {
            self.outputs.push(Output::Close { link, reason: "no longer a member".to_owned(), violation: false });
        }
        self.follow_epochs()
    }

    /// Writes operations as entries of ours: control operations take effect at once, those on beads have had it.
    ///
    /// Returns the names of the entries, in order.
    pub(super) fn author(&mut self, ops: Vec<RawOp>) -> Result<Vec<EntryId>, StoreError> {
        if ops.is_empty() {
            return Ok(Vec::new());
        }
        let entries = self.entries.author(&mut self.stage, self.now.wall, ops);
        let ids: Vec<EntryId> = entries.iter().map(Entry::id).collect();
        self.authored.extend(&ids);
        let (control, data): (Vec<Entry>, Vec<Entry>) =
            entries.into_iter().partition(|entry| entry.set() == Set::Control);
        for entry in &data {
            self.beads.note_entry(&mut self.stage, entry)?;
            self.mail.apply_entry(&mut self.stage, &self.mesh, entry)?;
            self.claims.apply_entry(&mut self.stage, entry)?;
        }
        if !control.is_empty() {
            self.learn(control)?;
        }
        Ok(ids)
    }
}
