//! What agents of this node are told by it: views that follow from others, and the system letters that follow from those.
//!
//! Which letters about closed beads there are is a function of the beads as they are shown, so it depends on no order of
//! arrival: a letter is taken back where what it rests on is so no more. How the rule reads is in `due_on`.

use std::collections::BTreeMap;

use beadmesh_protocol::bead::{Bead, Field, Status, Target};
use beadmesh_protocol::clock::Wall;
use beadmesh_protocol::graph::is_blocking;
use beadmesh_protocol::id::{AgentId, BeadId, ChangeHash, LetterId};
use beadmesh_protocol::mail::system::Cause;

use super::Replica;
use super::mail::SystemRecord;
use crate::stage::StoreError;

/// What the agent of a bead is told of what the bead waits for.
#[derive(Debug, Default)]
pub(super) struct Due {
    /// What its blocking dependencies name; nothing where the bead is no agent's of this node.
    targets: Vec<Target>,
    /// The letters that are due, in the order of their ids.
    pub(super) letters: Vec<SystemRecord>,
}

impl Replica {
    /// Derives what follows from entries that came since this was last called, and from the time it is.
    pub(super) fn settle_views(&mut self) -> Result<(), StoreError> {
        self.judge_closes()?;
        self.beads.catch_up(&mut self.stage, &self.mesh)?;
        self.tell_contests()?;
        while let Some(waiting) = self.beads.take_stirred() {
            let due = self.due_on(waiting)?;
            self.beads.note_waits(&mut self.stage, waiting, &due.targets)?;
            self.mail.tell_on(&mut self.stage, &self.mesh, (waiting, &due.letters))?;
        }
        self.mail.tell_overdue(&mut self.stage, &self.mesh, self.now.wall)
    }

    /// Returns what the agent of a bead is to be told of the beads that it waits for.
    ///
    /// A letter is due for each bead that is closed, which a blocking dependency of the bead names, if at the time of the
    /// close the agent was registered and the bead's assignee, the dependency was there, and the bead was not done.
    /// Times are those that records and changes carry.
    pub(super) fn due_on(&mut self, waiting: BeadId) -> Result<Due, StoreError> {
        let mut due = Due::default();
        let Some((agent, bead)) = self.assigned_here(waiting)? else { return Ok(due) };
        let registered_at = self.mesh.directory().agent(agent).map(|agent| agent.registered_at.wall());
        let mut letters: BTreeMap<LetterId, SystemRecord> = BTreeMap::new();
        for (key, dep) in bead.deps.iter().filter(|(key, _)| is_blocking(&key.kind)) {
            due.targets.push(key.target.clone());
            let Some(closed) = self.closed(&key.target, waiting)? else { continue };
            let Some((close, at)) = self.close_of(&closed)? else { continue };
            let made_at = dep.created_at.as_deref().and_then(Wall::parse);
            let was_there = registered_at.is_some_and(|since| since < at) && made_at.is_none_or(|made| made <= at);
            if !was_there || !was_to_do(&bead, at) || !self.was_assigned(waiting, at)? {
                continue;
            }
            let cause = Cause::BeadClosed { bead: closed.id, close, waiting };
            let record = SystemRecord { agent, cause, at, thread: bead.alias.clone() };
            letters.insert(record.id(), record);
        }
        due.targets.sort_unstable();
        due.targets.dedup();
        due.letters = letters.into_values().collect();
        Ok(due)
    }

    /// Returns a bead that is not deleted and whose assignee is an agent of this node.
    fn assigned_here(&self, id: BeadId) -> Result<Option<(AgentId, Bead)>, StoreError> {
        let Some(record) = self.beads.record(&self.stage, &self.mesh, id)? else { return Ok(None) };
        let bead = record.bead;
        let agent = bead.assignee.as_deref().and_then(|name| self.mesh.agent_here(name));
        Ok(agent.filter(|_| bead.status != Status::Tombstone).map(|agent| (agent, bead)))
    }

    /// Returns the bead that a dependency of another names, if it is closed.
    fn closed(&mut self, target: &Target, from: BeadId) -> Result<Option<Bead>, StoreError> {
        let id = match target {
            Target::Id(id) => Some(*id),
            Target::Alias(_) => self.beads.index(&self.stage, &self.mesh)?.graph.resolve(target, from),
        };
        let Some(id) = id.filter(|id| *id != from) else { return Ok(None) };
        let record = self.beads.record(&self.stage, &self.mesh, id)?;
        Ok(record.map(|record| record.bead).filter(|bead| bead.status == Status::Closed))
    }

    /// Returns the change that closed a bead, and when that was: as the bead says, else as the change does.
    fn close_of(&mut self, closed: &Bead) -> Result<Option<(ChangeHash, Wall)>, StoreError> {
        let writer = self.beads.writer(&self.stage, &self.mesh, (closed.id, Field::Status))?;
        let said_at = closed.closed_at.as_deref().and_then(Wall::parse);
        Ok(writer.map(|(close, at)| (close, said_at.unwrap_or(at))))
    }

    /// Returns whether a bead had by then the assignee that it has.
    fn was_assigned(&mut self, id: BeadId, at: Wall) -> Result<bool, StoreError> {
        let writer = self.beads.writer(&self.stage, &self.mesh, (id, Field::Assignee))?;
        Ok(writer.is_some_and(|(_, since)| since <= at))
    }

    /// Counts the beads of which agents are told otherwise than they should be.
    pub(super) fn stale_waits(&mut self) -> Result<u64, StoreError> {
        let mut stale = 0;
        for waiting in self.beads.waiting(&self.stage)? {
            let due = self.due_on(waiting)?;
            stale += u64::from(self.mail.system_on(&self.stage, waiting)? != due.letters);
        }
        Ok(stale)
    }
}

/// Returns whether a bead was still to be done at a time, as far as it tells.
fn was_to_do(bead: &Bead, at: Wall) -> bool {
    if bead.status != Status::Closed {
        return true;
    }
    bead.closed_at.as_deref().and_then(Wall::parse).is_some_and(|closed| closed > at)
}

#[cfg(test)]
mod tests;
