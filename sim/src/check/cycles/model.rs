//! A plain reading of the published rule of what is ready, made from what beads say and from nothing the core computes.

use std::collections::{BTreeMap, BTreeSet};

use beadmesh_protocol::bead::{Bead, Status, Target};
use beadmesh_protocol::clock::Wall;
use beadmesh_protocol::id::BeadId;

use crate::view::View;

const BLOCKING: [&str; 3] = ["blocks", "conditional-blocks", "waits-for"];
const PARENT_CHILD: &str = "parent-child";
const MARKS: [&str; 3] = ["pinned", "is_template", "ephemeral"];

/// Where a bead stands in a list: by priority, then age, then alias, then id.
pub(super) type Rank<'a> = (u8, Wall, &'a str, BeadId);

/// The beads of a view with what they depend on.
#[derive(Debug)]
pub(super) struct Model<'a> {
    beads: BTreeMap<BeadId, &'a Bead>,
    blockers: BTreeMap<BeadId, Vec<BeadId>>,
    parents: BTreeMap<BeadId, Vec<BeadId>>,
    tangled: BTreeSet<BeadId>,
}

impl<'a> Model<'a> {
    pub(super) fn of(view: &'a View) -> Self {
        let beads: BTreeMap<BeadId, &Bead> = view.beads.iter().map(|(id, answer)| (*id, &answer.bead)).collect();
        let mut bearers: BTreeMap<&str, Vec<&Bead>> = BTreeMap::new();
        for bead in beads.values() {
            bearers.entry(bead.alias.as_str()).or_default().push(bead);
        }
        let (mut blockers, mut parents) = (BTreeMap::new(), BTreeMap::new());
        let mut unclear = BTreeSet::new();
        for (id, bead) in beads.iter().filter(|(_, bead)| bead.status != Status::Tombstone) {
            for key in bead.deps.keys() {
                let edges: &mut BTreeMap<BeadId, Vec<BeadId>> = match key.kind.as_str() {
                    PARENT_CHILD => &mut parents,
                    kind if BLOCKING.contains(&kind) => &mut blockers,
                    _ => continue,
                };
                let target = match &key.target {
                    Target::Id(target) => Meant::One(*target),
                    Target::Alias(text) => meant(text, bead, &bearers),
                };
                match target {
                    Meant::One(target) if beads.get(&target).is_some_and(|bead| bead.status != Status::Tombstone) => {
                        edges.entry(*id).or_default().push(target);
                    }
                    Meant::One(_) | Meant::None => {}
                    Meant::Unclear => {
                        unclear.insert(*id);
                    }
                }
            }
        }
        let mut model = Self { beads, blockers, parents, tangled: BTreeSet::new() };
        model.tangled = leading_into_cycles(model.beads.keys().copied(), |id| {
            // What is unclear is treated as if it closed a cycle.
            let itself = unclear.contains(&id).then_some(id);
            model.blockers(id).iter().chain(model.parents(id)).copied().chain(itself).collect()
        });
        model
    }

    /// Returns the beads from which dependencies lead into a cycle, or to where nobody can say from here.
    pub(super) fn tangled(&self) -> &BTreeSet<BeadId> {
        &self.tangled
    }

    /// Returns whether work on a bead can begin.
    pub(super) fn is_ready(&self, id: BeadId, wall: Wall) -> bool {
        let Some(bead) = self.beads.get(&id) else { return false };
        let is_free = bead.status == Status::Open && !is_marked(bead) && !self.is_held(id) && !is_put_off(bead, wall);
        let is_above_free = |above: &BeadId| !self.is_held(*above) && !is_put_off(self.beads[above], wall);
        is_free && self.ancestors(id).iter().all(is_above_free)
    }

    /// Returns whether a bead is to be done and something other than a date holds it up.
    pub(super) fn is_blocked(&self, id: BeadId) -> bool {
        let Some(bead) = self.beads.get(&id) else { return false };
        let is_stopped = bead.status == Status::Blocked || self.open_blockers(id).next().is_some();
        let is_under = || self.ancestors(id).iter().any(|above| self.is_held(*above));
        !bead.status.is_done() && !is_marked(bead) && (is_stopped || is_under())
    }

    /// Says what holds a bead up, if anything does.
    pub(super) fn why(&self, id: BeadId, wall: Wall) -> String {
        let Some(bead) = self.beads.get(&id) else { return "it is not known".to_owned() };
        let name = |id: BeadId| self.beads[&id].alias.as_str();
        let mut reasons = Vec::new();
        if bead.status != Status::Open {
            reasons.push(format!("its status is {}", bead.status));
        }
        if is_marked(bead) {
            reasons.push("it is marked".to_owned());
        }
        if is_put_off(bead, wall) {
            reasons.push("it is put off".to_owned());
        }
        reasons.extend(self.open_blockers(id).map(|blocker| format!("it waits for {}", name(blocker))));
        let ancestors = self.ancestors(id);
        let held = ancestors.iter().filter(|above| self.is_held(**above) || is_put_off(self.beads[above], wall));
        reasons.extend(held.map(|above| format!("it is under {}, which is held up", name(*above))));
        if reasons.is_empty() { "nothing holds it up".to_owned() } else { reasons.join(", ") }
    }

    /// Returns where a bead stands in lists.
    pub(super) fn rank(&self, id: BeadId) -> Option<Rank<'a>> {
        let bead = *self.beads.get(&id)?;
        Some((bead.priority, age(bead), bead.alias.as_str(), id))
    }

    fn blockers(&self, id: BeadId) -> &[BeadId] {
        self.blockers.get(&id).map_or(&[], Vec::as_slice)
    }

    fn parents(&self, id: BeadId) -> &[BeadId] {
        self.parents.get(&id).map_or(&[], Vec::as_slice)
    }

    fn open_blockers(&self, id: BeadId) -> impl Iterator<Item = BeadId> {
        self.blockers(id).iter().copied().filter(|target| !self.beads[target].status.is_done())
    }

    /// Returns whether a bead is to be done, and by itself holds up what is under it.
    fn is_held(&self, id: BeadId) -> bool {
        let status = &self.beads[&id].status;
        let says_so = matches!(status, Status::Blocked | Status::Deferred);
        !status.is_done() && (says_so || self.open_blockers(id).next().is_some())
    }

    /// Returns every bead that this one is under.
    fn ancestors(&self, id: BeadId) -> BTreeSet<BeadId> {
        let mut seen = BTreeSet::new();
        let mut open = self.parents(id).to_vec();
        while let Some(above) = open.pop() {
            if seen.insert(above) {
                open.extend(self.parents(above));
            }
        }
        seen
    }
}

/// Returns the nodes of a graph from which its edges lead into a cycle.
///
/// What leads only to nodes that lead into none is taken away again and again; the rest is what is wanted.
pub(super) fn leading_into_cycles(
    ids: impl Iterator<Item = BeadId>,
    targets: impl Fn(BeadId) -> Vec<BeadId>,
) -> BTreeSet<BeadId> {
    let mut left: BTreeSet<BeadId> = ids.collect();
    let mut waiting: BTreeMap<BeadId, usize> = BTreeMap::new();
    let mut sources: BTreeMap<BeadId, Vec<BeadId>> = BTreeMap::new();
    for id in &left {
        let targets: BTreeSet<BeadId> = targets(*id).into_iter().filter(|target| left.contains(target)).collect();
        waiting.insert(*id, targets.len());
        for target in targets {
            sources.entry(target).or_default().push(*id);
        }
    }
    let mut free: Vec<BeadId> = waiting.iter().filter(|(_, count)| **count == 0).map(|(id, _)| *id).collect();
    while let Some(id) = free.pop() {
        left.remove(&id);
        for source in sources.remove(&id).unwrap_or_default() {
            let count = waiting.get_mut(&source).expect("sources are among the nodes");
            *count -= 1;
            if *count == 0 {
                free.push(source);
            }
        }
    }
    left
}

/// What an alias in a dependency means.
enum Meant {
    One(BeadId),
    None,
    /// It depends on which projects are one, which beads do not say.
    Unclear,
}

fn meant(text: &str, from: &Bead, bearers: &BTreeMap<&str, Vec<&Bead>>) -> Meant {
    let (alias, suffix) = match text.rsplit_once('~') {
        Some((alias, suffix)) => (alias, suffix),
        None => (text, ""),
    };
    let fits = |bead: &&&Bead| bead.id.to_string().starts_with(suffix);
    let found: Vec<&Bead> = bearers.get(alias).into_iter().flatten().filter(fits).copied().collect();
    match found.as_slice() {
        [] => Meant::None,
        [bead] => Meant::One(bead.id),
        several if several.iter().all(|bead| bead.project == from.project) => {
            let oldest = several.iter().min_by_key(|bead| (age(bead), bead.id));
            oldest.map_or(Meant::None, |bead| Meant::One(bead.id))
        }
        _ => Meant::Unclear,
    }
}

/// Returns when a bead was made; one without a date is younger than any other.
fn age(bead: &Bead) -> Wall {
    bead.created_at.as_deref().and_then(Wall::parse).unwrap_or(Wall::from_millis(u64::MAX))
}

fn is_marked(bead: &Bead) -> bool {
    MARKS.iter().any(|mark| bead.extra.get(*mark).is_some_and(|value| value == "true"))
}

/// Returns whether a bead is to be done, but not yet.
fn is_put_off(bead: &Bead, wall: Wall) -> bool {
    !bead.status.is_done() && bead.defer_until.as_deref().and_then(Wall::parse_lenient).is_some_and(|date| date > wall)
}
