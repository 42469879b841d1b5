//! Keeps the edges that count free of cycles: of those that could count, the oldest first.
//!
//! Whether an edge counts depends only on edges within its strongly connected part, here called its knot, because any
//! cycle through it stays there. So an edge that comes or goes outside a knot changes no other edge, and one inside has
//! its knot settled anew.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{Graph, SlotId, Standing};
use crate::planted::{self, Bug};

impl Graph {
    /// Lets an edge between two living beads count, unless it or a younger one closes a cycle.
    pub(super) fn admit(&mut self, source: SlotId, place: usize) {
        let Some(target) = self[source].links[place].found else { return };
        self.dirty.insert(source);
        if source == target {
            self.stand(source, place, Standing::Ignored);
            return;
        }
        let closes = self.reaches(target, source);
        if closes && planted::is(Bug::LastEdgeIgnored) {
            self.stand(source, place, Standing::Ignored);
            return;
        }
        self.stand(source, place, Standing::Counted);
        if closes {
            let knot = self.knot(source);
            self.settle(&knot);
        }
    }

    /// Stops an edge from counting, and lets those count that it kept out.
    pub(super) fn expel(&mut self, source: SlotId, place: usize) {
        let link = &self[source].links[place];
        let Some(target) = link.found.filter(|_| link.standing != Standing::Idle) else { return };
        self.dirty.insert(source);
        // Without ignored edges there is no cycle, and so no knot.
        let tied = source != target && !self.ignored.is_empty() && self.reaches(target, source);
        let tied = tied && !planted::is(Bug::CycleScar);
        let knot = tied.then(|| self.knot(source));
        self.stand(source, place, Standing::Idle);
        if let Some(knot) = knot {
            self.settle(&knot);
        }
    }

    /// Returns the shortest way from one slot to another along edges that could count, both ends included.
    pub(super) fn path(&self, from: SlotId, to: SlotId) -> Option<Vec<SlotId>> {
        let mut came_from = BTreeMap::from([(from, from)]);
        let mut queue = VecDeque::from([from]);
        while let Some(slot) = queue.pop_front() {
            if slot == to {
                let mut path = vec![to];
                let mut at = to;
                while at != from {
                    at = came_from[&at];
                    path.push(at);
                }
                path.reverse();
                return Some(path);
            }
            for next in self.targets(slot) {
                came_from.entry(next).or_insert_with(|| {
                    queue.push_back(next);
                    slot
                });
            }
        }
        None
    }

    /// Decides anew which edges inside the knot count.
    fn settle(&mut self, knot: &BTreeSet<SlotId>) {
        let mut edges = Vec::new();
        for source in knot {
            for (place, link) in self[*source].links.iter().enumerate() {
                let inside = link.found.is_some_and(|target| target != *source && knot.contains(&target));
                if inside && link.standing != Standing::Idle {
                    edges.push((link.created_at, self[*source].id, place, *source));
                }
            }
        }
        edges.sort_unstable();
        let mut counted: BTreeMap<SlotId, Vec<SlotId>> = BTreeMap::new();
        for (_, _, place, source) in edges {
            let Some(target) = self[source].links[place].found else { continue };
            let standing = if leads(&counted, target, source) { Standing::Ignored } else { Standing::Counted };
            if standing == Standing::Counted {
                counted.entry(source).or_default().push(target);
            }
            if self[source].links[place].standing != standing {
                self.dirty.insert(source);
                self.stand(source, place, standing);
            }
        }
    }

    fn stand(&mut self, source: SlotId, place: usize, standing: Standing) {
        self.slots[source.index()].links[place].standing = standing;
        if standing == Standing::Ignored {
            self.ignored.insert((source, place));
        } else {
            self.ignored.remove(&(source, place));
        }
    }

    /// Returns every slot that lies on a cycle with this one, itself included.
    fn knot(&self, slot: SlotId) -> BTreeSet<SlotId> {
        let above = spread(slot, |at| self.targets(at).collect());
        let below = spread(slot, |at| self.sources(at));
        above.intersection(&below).copied().collect()
    }

    /// Returns whether edges that could count lead from one slot to another.
    ///
    /// Searches from both ends, always on the side that has seen less, because one side is nearly always small: a new
    /// bead has nothing below it, a root nothing above.
    fn reaches(&self, from: SlotId, to: SlotId) -> bool {
        let mut sides = [Side::new(from), Side::new(to)];
        loop {
            let turn = usize::from(sides[0].work > sides[1].work);
            let Some(slot) = sides[turn].queue.pop() else { return false };
            let next: Vec<SlotId> = if turn == 0 { self.targets(slot).collect() } else { self.sources(slot) };
            sides[turn].work += next.len() + 1;
            for slot in next {
                if sides[1 - turn].seen.contains(&slot) {
                    return true;
                }
                if sides[turn].seen.insert(slot) {
                    sides[turn].queue.push(slot);
                }
            }
        }
    }

    fn targets(&self, slot: SlotId) -> impl Iterator<Item = SlotId> {
        self[slot].links.iter().filter(|link| link.standing != Standing::Idle).filter_map(|link| link.found)
    }

    fn sources(&self, slot: SlotId) -> Vec<SlotId> {
        let points_here = |source: &&SlotId| self.targets(**source).any(|target| target == slot);
        self[slot].incoming.iter().filter(points_here).copied().collect()
    }
}

/// One end of a search.
struct Side {
    seen: BTreeSet<SlotId>,
    queue: Vec<SlotId>,
    work: usize,
}

impl Side {
    fn new(start: SlotId) -> Self {
        Self { seen: BTreeSet::from([start]), queue: vec![start], work: 0 }
    }
}

/// Returns everything that steps lead to, the start included.
fn spread(start: SlotId, steps: impl Fn(SlotId) -> Vec<SlotId>) -> BTreeSet<SlotId> {
    let mut seen = BTreeSet::from([start]);
    let mut queue = vec![start];
    while let Some(slot) = queue.pop() {
        queue.extend(steps(slot).into_iter().filter(|next| seen.insert(*next)));
    }
    seen
}

fn leads(edges: &BTreeMap<SlotId, Vec<SlotId>>, from: SlotId, to: SlotId) -> bool {
    spread(from, |slot| edges.get(&slot).cloned().unwrap_or_default()).contains(&to)
}
