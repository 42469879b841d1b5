//! Which beads are ready and what holds up the others, computed again only where something changed.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use super::slot::Kind;
use super::{Graph, SlotId, Standing, State};
use crate::clock::Wall;
use crate::id::{BeadId, ProjectId};

/// What keeps a bead from being ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hold<'a> {
    /// Its own status says so.
    Status,
    /// A bead it depends on is still to be done.
    Blocker {
        /// The bead it depends on.
        bead: BeadId,
        /// The type of the dependency.
        kind: &'a str,
    },
    /// An ancestor is blocked or deferred.
    Ancestor(BeadId),
}

/// Beads in order of priority, age, alias and id; all of them, and those of each project.
#[derive(Debug, Default)]
pub(super) struct Queue {
    all: BTreeSet<Rank>,
    by_project: BTreeMap<ProjectId, BTreeSet<Rank>>,
}

/// The alias is shared with the names; what stands for no bead has none.
pub(super) type Rank = (u8, Wall, Option<Arc<str>>, BeadId);

impl Queue {
    pub(super) fn contains(&self, rank: &Rank) -> bool {
        self.all.contains(rank)
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn iter_after(&self, project: Option<ProjectId>, after: Bound<Rank>) -> impl Iterator<Item = BeadId> {
        static NOTHING: BTreeSet<Rank> = BTreeSet::new();
        let ranks = match project {
            Some(project) => self.by_project.get(&project).unwrap_or(&NOTHING),
            None => &self.all,
        };
        ranks.range((after, Bound::Unbounded)).map(|(.., id)| *id)
    }

    fn insert(&mut self, rank: Rank, project: Option<ProjectId>) {
        if let Some(project) = project {
            self.by_project.entry(project).or_default().insert(rank.clone());
        }
        self.all.insert(rank);
    }

    fn remove(&mut self, rank: &Rank, project: Option<ProjectId>) {
        if self.all.remove(rank)
            && let Some(project) = project
            && let Some(ranks) = self.by_project.get_mut(&project)
        {
            ranks.remove(rank);
            if ranks.is_empty() {
                self.by_project.remove(&project);
            }
        }
    }
}

impl Graph {
    /// Takes a slot out of both queues before what it is ranked by changes.
    pub(super) fn unqueue(&mut self, slot: SlotId) {
        let (rank, project) = (self.rank(slot), self[slot].project);
        self.ready.remove(&rank, project);
        self.held.remove(&rank, project);
    }

    /// Returns where a slot stands in the queues.
    pub(super) fn rank(&self, slot: SlotId) -> Rank {
        let bead = &self[slot];
        (bead.priority, bead.created_at, self.names.shared(bead.name), bead.id)
    }

    /// Computes readiness again for every dirty slot and whatever depends on what came out.
    ///
    /// It ends, because what a slot passes on depends only on what lies above it along edges without cycles.
    pub(super) fn settle_readiness(&mut self) {
        while let Some(slot) = self.dirty.pop_last() {
            self.settle_slot(slot);
        }
    }

    /// Returns everything that holds a bead up, dates aside.
    pub(super) fn holds(&self, id: BeadId) -> Vec<Hold<'_>> {
        let Some(slot) = self.find(id) else { return Vec::new() };
        let mut holds = Vec::new();
        if self[slot].state == State::Blocked {
            holds.push(Hold::Status);
        }
        let blockers = self.open_blockers(slot);
        holds.extend(blockers.map(|(bead, kind)| Hold::Blocker { bead: self[bead].id, kind: self.kinds.text(kind) }));
        let mut ancestors: Vec<_> = self.ancestors(slot).filter(|above| self.is_held(*above)).collect();
        ancestors.sort_by_key(|above| self[*above].id);
        holds.extend(ancestors.into_iter().map(|above| Hold::Ancestor(self[above].id)));
        holds
    }

    /// Returns the beads a slot waits for, with the type.
    pub(super) fn open_blockers(&self, slot: SlotId) -> impl Iterator<Item = (SlotId, Kind)> {
        let counted = |link: &&super::slot::Link| link.standing == Standing::Counted && link.kind.is_blocking();
        let targets = self[slot].links.iter().filter(counted).filter_map(|link| Some((link.found?, link.kind)));
        targets.filter(|(target, _)| !self[*target].state.is_done())
    }

    /// Returns whether a date still puts off the bead or an ancestor.
    pub(super) fn is_put_off(&self, slot: SlotId, now: Wall) -> bool {
        let is_late = |slot: SlotId| {
            let bead = &self[slot];
            !bead.state.is_done() && bead.defer_until.is_some_and(|date| date > now)
        };
        self.is_any_put_off(now) && (is_late(slot) || self.ancestors(slot).any(is_late))
    }

    /// Returns whether a date still puts off any bead.
    pub(super) fn is_any_put_off(&self, now: Wall) -> bool {
        self.deferred.last().is_some_and(|(date, _)| *date > now)
    }

    fn settle_slot(&mut self, slot: SlotId) {
        let bead = &self[slot];
        let is_blocked = self.open_blockers(slot).next().is_some();
        let is_under = self.parents(slot).any(|parent| self[parent].is_stuck);
        let is_stuck = bead.is_alive() && (self.is_held(slot) || is_under);
        let is_done = bead.state.is_done();
        let to_do = bead.is_present && !is_done && !bead.is_marked;
        let is_held = to_do && (is_blocked || is_under || bead.state == State::Blocked);
        let is_ready = to_do && bead.state == State::Open && !is_held;
        let changed = (is_stuck, is_done) != (bead.is_stuck, bead.was_done);
        let bead = &mut self.slots[slot.index()];
        bead.is_stuck = is_stuck;
        bead.was_done = is_done;
        if changed {
            self.dirty.extend(bead.incoming.iter().copied());
        }
        self.unqueue(slot);
        let (rank, project) = (self.rank(slot), self[slot].project);
        if is_ready {
            self.ready.insert(rank, project);
        } else if is_held {
            self.held.insert(rank, project);
        }
    }

    /// Returns whether a bead holds up its children by itself: to be done, and blocked or deferred.
    fn is_held(&self, slot: SlotId) -> bool {
        let state = self[slot].state;
        let says_so = matches!(state, State::Blocked | State::Deferred);
        !state.is_done() && (says_so || self.open_blockers(slot).next().is_some())
    }

    fn parents(&self, slot: SlotId) -> impl Iterator<Item = SlotId> {
        self[slot].links.iter().filter(|link| link.is_counted_parent()).filter_map(|link| link.found)
    }

    /// Returns every bead above a slot, each once; it ends because edges that count make no cycle.
    fn ancestors(&self, slot: SlotId) -> impl Iterator<Item = SlotId> {
        let mut seen = BTreeSet::new();
        let mut queue: Vec<SlotId> = self.parents(slot).collect();
        std::iter::from_fn(move || {
            while let Some(above) = queue.pop() {
                if seen.insert(above) {
                    queue.extend(self.parents(above));
                    return Some(above);
                }
            }
            None
        })
    }
}
