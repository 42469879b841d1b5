//! The task graph: what depends on what, what is ready, and which edges close cycles.
//!
//! A pure function of the set of beads, kept up to date bead by bead: after any order of `upsert` and `remove` the
//! answers are those of a graph built afresh. It holds what readiness needs and no texts; documents are in `bead`.
//!
//! **The published rule.** A bead is ready when its status is open; it carries none of the marks `pinned`,
//! `is_template`, `ephemeral`; its `defer_until` has passed; nothing it depends on by `blocks`, `conditional-blocks` or
//! `waits-for` is still to be done (neither closed nor tombstone; what is missing does not block); and no ancestor by
//! `parent-child` that is itself still to be done is blocked (by its status or by such a dependency) or deferred. An open
//! parent does not block its children. Ready beads go by priority, then age, then alias, then id.
//!
//! A cycle holds nobody up: edges of these four types count in order of age (date, source, type, target; an edge without a
//! date is the oldest), and one that closes a cycle with those before it is ignored and reported. A tombstone's edges do
//! not count, neither from it nor to it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use crate::alias;
use crate::bead::Target;
use crate::clock::Wall;
use crate::id::{BeadId, ProjectId};

mod cycle;
mod link;
mod node;
mod readiness;
mod slot;

pub use node::{Edge, Node};
pub use readiness::Hold;
pub use slot::is_blocking;

use readiness::{Queue, Rank};
use slot::{Kinds, Name, Names, Slot, SlotId, Standing, State};

/// Every bead that is known, with its edges resolved.
#[derive(Debug, Default)]
pub struct Graph {
    slots: Vec<Slot>,
    /// The slots that stand for nothing and can be used again.
    free: Vec<SlotId>,
    /// Every bead, and every id that an edge names though no such bead is known.
    by_id: BTreeMap<BeadId, SlotId>,
    /// How many slots stand for beads.
    present: usize,
    names: Names,
    kinds: Kinds,
    /// The edges that close cycles, by source and place among its edges.
    ignored: BTreeSet<(SlotId, usize)>,
    /// Open beads that nothing holds up, dates aside.
    ready: Queue,
    /// Beads to be done that something holds up.
    held: Queue,
    /// Beads that are put off until a date.
    deferred: BTreeSet<(Wall, SlotId)>,
    /// Slots whose readiness is to be computed again before the call ends.
    dirty: BTreeSet<SlotId>,
}

impl Graph {
    /// Adds a bead or replaces what is known about it.
    pub fn upsert(&mut self, mut node: Node) {
        node.sort_deps();
        let slot = self.slot_for(node.id);
        let was_present = self[slot].is_present;
        let moved = self[slot].project != node.project;
        let renamed = !was_present
            || moved
            || self[slot].created_at != node.created_at
            || self.names.text(self[slot].name) != node.alias;
        let relinked = !was_present || moved || !self.has_deps(slot, &node.deps);
        self.unqueue(slot);
        if relinked {
            self.unlink_all(slot);
        }
        let state = State::of(&node.status);
        if state == State::Tombstone {
            self.expel_around(slot);
        }
        if renamed {
            self.forget_name(slot);
        }
        let entry = &mut self.slots[slot.index()];
        let old_date = std::mem::replace(&mut entry.defer_until, node.defer_until);
        self.present += usize::from(!was_present);
        entry.is_present = true;
        entry.state = state;
        entry.priority = node.priority;
        entry.created_at = node.created_at;
        entry.project = node.project;
        entry.is_marked = node.is_marked;
        self.defer(slot, old_date);
        if renamed {
            self.bear_name(slot, &node.alias);
        }
        if relinked {
            self.link_all(slot, &node.deps);
        }
        self.admit_around(slot);
        self.dirty.insert(slot);
        self.settle_readiness();
    }

    /// Forgets a bead; edges to it point at nothing until it comes back.
    pub fn remove(&mut self, id: BeadId) {
        let Some(slot) = self.find(id) else { return };
        self.unqueue(slot);
        self.unlink_all(slot);
        self.expel_around(slot);
        self.forget_name(slot);
        let entry = &mut self.slots[slot.index()];
        let old_date = entry.defer_until.take();
        self.present -= 1;
        *entry = Slot { incoming: std::mem::take(&mut entry.incoming), ..Slot::new(id) };
        self.defer(slot, old_date);
        self.dirty.insert(slot);
        self.settle_readiness();
        self.free_if_unused(slot);
    }

    /// Returns how many beads are known.
    pub fn len(&self) -> usize {
        self.present
    }

    /// Returns whether no bead is known.
    pub fn is_empty(&self) -> bool {
        self.present == 0
    }

    /// Returns whether a bead is known.
    pub fn contains(&self, id: BeadId) -> bool {
        self.find(id).is_some()
    }

    /// Returns the bead that a dependency of `from` points at: by id, else by alias.
    ///
    /// Of several beads with one alias it is one of `from`'s project, then the oldest by (date, id). An alias with a
    /// suffix, as `alias::display` writes it, means only beads whose id starts so.
    pub fn resolve(&self, target: &Target, from: BeadId) -> Option<BeadId> {
        let found = match target {
            Target::Id(id) => self.find(*id),
            Target::Alias(text) => {
                let (alias, suffix) = alias::split(text);
                let project = self.find(from).and_then(|from| self[from].project);
                self.bearer(self.names.find(alias)?, suffix, project)
            }
        };
        found.map(|slot| self[slot].id)
    }

    /// Returns whether the published rule lets work on the bead begin.
    pub fn is_ready(&self, id: BeadId, now: Wall) -> bool {
        self.find(id).is_some_and(|slot| self.ready.contains(&self.rank(slot)) && !self.is_put_off(slot, now))
    }

    /// Returns the ready beads, of one project or of all, by priority, then age, then alias.
    ///
    /// A page costs what it holds, and a step for each bead before its end that a date puts off.
    pub fn ready(&self, project: Option<ProjectId>, now: Wall) -> impl Iterator<Item = BeadId> {
        self.ready_after(project, None, now)
    }

    /// Returns the beads of `ready` that come after a bead, whether that is ready itself or not; none after one that is
    /// not known.
    pub fn ready_after(
        &self,
        project: Option<ProjectId>,
        after: Option<BeadId>,
        now: Wall,
    ) -> impl Iterator<Item = BeadId> {
        let ids = self.place_of(after).into_iter().flat_map(move |place| self.ready.iter_after(project, place));
        ids.filter(move |id| self.find(*id).is_some_and(|slot| !self.is_put_off(slot, now)))
    }

    /// Returns how many beads of all projects are ready; quick while no date puts anything off.
    pub fn ready_count(&self, now: Wall) -> usize {
        if self.is_any_put_off(now) { self.ready(None, now).count() } else { self.ready.len() }
    }

    /// Returns the beads that are to be done but held up, in the order of `ready`, each with everything that holds it.
    ///
    /// Beads that only a date puts off are not among them.
    pub fn blocked(&self, project: Option<ProjectId>) -> impl Iterator<Item = (BeadId, Vec<Hold<'_>>)> {
        self.blocked_after(project, None).map(|id| (id, self.holds(id)))
    }

    /// Returns the beads of `blocked` that come after a bead, whether that is held up itself or not; none after one that is
    /// not known.
    pub fn blocked_after(&self, project: Option<ProjectId>, after: Option<BeadId>) -> impl Iterator<Item = BeadId> {
        self.place_of(after).into_iter().flat_map(move |place| self.held.iter_after(project, place))
    }

    /// Returns where the beads after a bead begin: at the beginning without one, nowhere after one that is not known.
    fn place_of(&self, after: Option<BeadId>) -> Option<Bound<Rank>> {
        match after {
            None => Some(Bound::Unbounded),
            Some(id) => self.find(id).map(|slot| Bound::Excluded(self.rank(slot))),
        }
    }

    /// Returns what the bead waits for, with the type, by type and target.
    pub fn blockers(&self, id: BeadId) -> Vec<(BeadId, &str)> {
        let Some(slot) = self.find(id) else { return Vec::new() };
        self.open_blockers(slot).map(|(target, kind)| (self[target].id, self.kinds.text(kind))).collect()
    }

    /// Returns the beads whose parent this is, oldest first, then by alias.
    pub fn children(&self, id: BeadId) -> Vec<BeadId> {
        let Some(slot) = self.find(id) else { return Vec::new() };
        let mut children = BTreeSet::new();
        for source in &self[slot].incoming {
            let counts = |edge: &slot::Link| edge.found == Some(slot) && edge.is_counted_parent();
            if self[*source].links.iter().any(counts) {
                let child = &self[*source];
                children.insert((child.created_at, self.names.text(child.name), child.id));
            }
        }
        children.into_iter().map(|(.., id)| id).collect()
    }

    /// Returns the parent; of several, the one that was given first.
    pub fn parent(&self, id: BeadId) -> Option<BeadId> {
        let links = &self[self.find(id)?].links;
        let oldest = links.iter().filter(|link| link.is_counted_parent()).min_by_key(|link| link.created_at)?;
        oldest.found.map(|parent| self[parent].id)
    }

    /// Returns the beads that point at this one, by id, with every type they do it by.
    pub fn dependents(&self, id: BeadId) -> BTreeSet<(BeadId, &str)> {
        let mut dependents = BTreeSet::new();
        let Some(slot) = self.find(id) else { return dependents };
        for source in &self[slot].incoming {
            for link in self[*source].links.iter().filter(|link| link.found == Some(slot)) {
                dependents.insert((self[*source].id, self.kinds.text(link.kind)));
            }
        }
        dependents
    }

    /// Returns the edges that are ignored because they close cycles: source, type and target, by source.
    pub fn ignored_edges(&self) -> BTreeSet<(BeadId, &str, BeadId)> {
        let mut edges = BTreeSet::new();
        for (source, place) in &self.ignored {
            let link = &self[*source].links[*place];
            if let Some(target) = link.found {
                edges.insert((self[*source].id, self.kinds.text(link.kind), self[target].id));
            }
        }
        edges
    }

    /// Returns the cycle that a new edge would close, from `from` through `to` back to `from`, if it would close one.
    pub fn would_cycle(&self, from: BeadId, to: BeadId, kind: &str) -> Option<Vec<BeadId>> {
        if !slot::is_ordering(kind) {
            return None;
        }
        if from == to {
            return Some(vec![from, from]);
        }
        let path = self.path(self.find(to)?, self.find(from)?)?;
        Some(std::iter::once(from).chain(path.into_iter().map(|slot| self[slot].id)).collect())
    }

    fn find(&self, id: BeadId) -> Option<SlotId> {
        self.by_id.get(&id).copied().filter(|slot| self[*slot].is_present)
    }

    /// Returns the slot of an id, a fresh one that stands for no bead yet if need be.
    fn slot_for(&mut self, id: BeadId) -> SlotId {
        if let Some(slot) = self.by_id.get(&id) {
            return *slot;
        }
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot.index()] = Slot::new(id);
                slot
            }
            None => {
                self.slots.push(Slot::new(id));
                SlotId::from_index(self.slots.len() - 1)
            }
        };
        self.by_id.insert(id, slot);
        slot
    }

    /// Gives back a slot that is neither a bead nor pointed at.
    fn free_if_unused(&mut self, slot: SlotId) {
        let id = self[slot].id;
        let is_unused = !self[slot].is_present && self[slot].incoming.is_empty();
        if is_unused && self.by_id.remove(&id).is_some() {
            self.free.push(slot);
        }
    }

    /// Notes the date a slot is put off until, in place of the old one.
    fn defer(&mut self, slot: SlotId, old: Option<Wall>) {
        if let Some(date) = old {
            self.deferred.remove(&(date, slot));
        }
        if let Some(date) = self[slot].defer_until.filter(|_| !self[slot].state.is_done()) {
            self.deferred.insert((date, slot));
        }
    }
}

impl std::ops::Index<SlotId> for Graph {
    type Output = Slot;

    fn index(&self, slot: SlotId) -> &Slot {
        &self.slots[slot.index()]
    }
}

#[cfg(test)]
mod tests;
