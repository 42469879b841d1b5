//! Entries on their way in: those of others that links and notices bring, and our own.

use std::collections::BTreeSet;

use beadmesh_protocol::entry::{Entry, RawOp, Set};
use beadmesh_protocol::id::{EntryId, NodeId};
use beadmesh_protocol::invite::{Invite, JoinRefusal};
use beadmesh_protocol::op::Op;
use beadmesh_protocol::planted::{self, Bug};
use beadmesh_protocol::roster::Roster;
use beadmesh_protocol::roster::cut::instance_after;
use beadmesh_protocol::wire::Frame;

use super::entries::Taken;
use super::mesh::Learned;
use super::{Event, LinkId, Output, Replica};
use crate::keys;
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
            let (mut control, mut gained) = (Vec::new(), Vec::new());
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
                gained.extend(self.mesh.note(&mut self.stage, &entry));
                match entry.set() {
                    Set::Control => control.push(entry),
                    Set::Data => self.apply_data(&entry)?,
                }
            }
            if control.is_empty() {
                self.judge_gained(gained)?;
                return Ok(strangers);
            }
            self.learn(control)?;
            self.judge_gained(gained)?;
            let Some(link) = link else { return Ok(strangers) };
            arrived = self.orphans.take(link, &self.mesh.roster().known);
            strangers = refused || self.orphans.has(link);
        }
    }

    /// Gives effect to a stored data entry: to its operations on beads, and to its letters and receipts.
    pub(super) fn apply_data(&mut self, entry: &Entry) -> Result<(), StoreError> {
        self.beads.apply_entry(&mut self.stage, &self.mesh, entry)?;
        self.mail.apply_entry(&mut self.stage, &self.mesh, entry)?;
        self.apply_claims(entry)?;
        self.heed_fences(entry)
    }

    /// Gives effect to the operations on claims of a stored entry; of a node that was cut off only where it counts.
    fn apply_claims(&mut self, entry: &Entry) -> Result<(), StoreError> {
        let author = entry.content().author;
        let is_cut = self.mesh.roster().standings.contains_key(&author);
        if is_cut && !self.mesh.counts(author, entry.id()) {
            return Ok(());
        }
        self.claims.apply_entry(&mut self.stage, entry)
    }

    /// Gives effect to entries that have come to count by others.
    pub(super) fn judge_gained(&mut self, gained: Vec<(NodeId, EntryId)>) -> Result<(), StoreError> {
        if self.judge_again(gained)? { self.learn(Vec::new()) } else { Ok(()) }
    }

    /// Gives effect to data entries that have come to count, and takes it from those that do so no more; returns whether
    /// there are control entries among them.
    fn judge_again(&mut self, judged: Vec<(NodeId, EntryId)>) -> Result<bool, StoreError> {
        let (mut has_control, mut claiming) = (false, BTreeSet::new());
        for (node, id) in judged {
            let Some(entry) = self.entries.load(&self.stage, id)? else { continue };
            if entry.set() == Set::Control {
                has_control = true;
                continue;
            }
            self.beads.judge_entry(&entry);
            self.mail.judge_entry(&mut self.stage, &self.mesh, &entry)?;
            if entry.content().ops.iter().any(Op::is_claim) {
                claiming.insert(node);
            }
        }
        for node in claiming {
            self.claims.forget(&mut self.stage, node)?;
            for id in self.mesh.entries_of(node) {
                if let Some(entry) = self.entries.load(&self.stage, id)? {
                    self.apply_claims(&entry)?;
                }
            }
        }
        Ok(has_control)
    }

    /// Returns whether an entry's author is known here, or need not be.
    pub(super) fn is_storable(&self, entry: &Entry) -> bool {
        let admits = planted::is(Bug::AnyoneAdmits) && entry.set() == Set::Control;
        let is_let_in = admits || planted::is(Bug::StrangersStored);
        is_let_in || entry.is_founding() || self.mesh.roster().known.contains(&entry.content().author)
    }

    /// Folds new control entries into the roster, and acts on what changes.
    pub(super) fn learn(&mut self, control: Vec<Entry>) -> Result<(), StoreError> {
        let Learned { before, renamed, turned: agents, agents: is_told, assignable, judged } =
            self.mesh.extend(&mut self.stage, &self.entries, control)?;
        let (before, after) = (&*before.roster, self.mesh.roster());
        let roles =
            |roster: &Roster| roster.members.iter().map(|(node, member)| (*node, member.role)).collect::<Vec<_>>();
        let mut turned = BTreeSet::new();
        if roles(before) != roles(after) {
            // Nothing is stored yet of a node that was not known before.
            let known = before.known.iter().copied();
            // Of those that were cut off each entry is judged by itself.
            let is_cut = |node: &NodeId| before.standings.contains_key(node) || after.standings.contains_key(node);
            let has_turned = |node: &NodeId| before.may_write(*node) != after.may_write(*node);
            turned.extend(known.filter(|node| has_turned(node) && !is_cut(node)));
        }
        let is_cut_otherwise = before.standings != after.standings;
        let is_removed = |node: &&NodeId| before.removals_of(**node) != after.removals_of(**node);
        let removed: Vec<NodeId> = after.former.keys().filter(is_removed).copied().collect();
        let has_moved = self.mesh.names_other_peers(before);
        self.beads.on_writers_changed(&self.stage, &turned)?;
        if !turned.is_empty() || is_cut_otherwise {
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
            self.outputs.push(Output::Event(Event::Roster));
        }
        self.judge_again(judged)?;
        // One that is removed again may be cut off where it was before, and tickets have been written meanwhile.
        if is_cut_otherwise || !removed.is_empty() {
            self.on_cut(&removed)?;
        }
        self.notices.retain(self.mesh.roster());
        self.part_from_strangers()?;
        if has_moved {
            self.outputs.push(Output::Members(self.mesh.peers()));
        }
        self.follow_epochs()
    }

    /// Bars nodes that were removed just now from invites that are open, and goes on in another instance where this node was
    /// let in again.
    fn on_cut(&mut self, removed: &[NodeId]) -> Result<(), StoreError> {
        for (_, invite) in self.stage.records::<Invite>(keys::INVITES)? {
            for node in removed {
                let key = keys::barred(invite.secret.invite(), *node);
                self.stage.put_record(key, &JoinRefusal::Removed);
            }
        }
        removed.iter().for_each(|node| self.stage.delete(keys::applicant(*node)));
        let roster = self.mesh.roster();
        let here = self.entries.node();
        let Some(standing) = roster.standings.get(&here).filter(|_| roster.may_write(here)) else { return Ok(()) };
        let Some(member) = roster.members.get(&here) else { return Ok(()) };
        if !standing.resumed.contains_key(&self.entries.identity().instance) {
            let instance = instance_after(member.admission);
            self.entries.renew_instance(&mut self.stage, instance, self.config.machine.clone());
            self.entries.begin(&mut self.stage, self.now.wall);
        }
        Ok(())
    }

    /// Tells peers that are no members any more so, and closes their links.
    fn part_from_strangers(&mut self) -> Result<(), StoreError> {
        for (link, node) in self.links.strangers(self.mesh.roster()) {
            let mut removals = Vec::new();
            for removal in self.mesh.roster().removals_of(node) {
                removals.extend(self.entries.load(&self.stage, *removal)?);
            }
            let is_greeted = self.links.session(link).is_some_and(|session| session.is_greeted());
            if is_greeted && !removals.is_empty() {
                self.outputs.push(Output::Frame(link, Frame::Entries(removals)));
            }
            let reason = "no longer a member".to_owned();
            self.outputs.push(Output::Frame(link, Frame::Bye(reason.clone())));
            self.outputs.push(Output::Close { link, reason, violation: false });
            self.on_link_down(link)?;
        }
        Ok(())
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
        let mut gained = Vec::new();
        for entry in &entries {
            gained.extend(self.mesh.note(&mut self.stage, entry));
        }
        let (control, data): (Vec<Entry>, Vec<Entry>) =
            entries.into_iter().partition(|entry| entry.set() == Set::Control);
        for entry in &data {
            self.beads.note_entry(&mut self.stage, entry)?;
            self.mail.apply_entry(&mut self.stage, &self.mesh, entry)?;
            self.apply_claims(entry)?;
        }
        if !control.is_empty() {
            self.learn(control)?;
        }
        self.judge_gained(gained)?;
        Ok(ids)
    }
}
