//! Joins edges to what they point at, and parts them again.

use super::slot::{Goal, Link, remove_one};
use super::{Edge, Graph, Name, SlotId, Standing};
use crate::alias;
use crate::bead::Target;
use crate::id::ProjectId;

impl Graph {
    /// Returns whether the slot's edges are just these, which are sorted.
    pub(super) fn has_deps(&self, slot: SlotId, deps: &[Edge]) -> bool {
        let same = |(link, dep): (&Link, &Edge)| {
            let same_target = match (link.goal, &dep.target) {
                (Goal::Slot(goal), Target::Id(id)) => self[goal].id == *id,
                (Goal::Name(name, suffix), Target::Alias(text)) => {
                    let (alias, rest) = alias::split(text);
                    self.names.text(name) == alias && suffix.map(|suffix| self.names.text(suffix)) == rest
                }
                _ => false,
            };
            same_target && link.created_at == dep.created_at && self.kinds.text(link.kind) == dep.kind
        };
        self[slot].links.len() == deps.len() && self[slot].links.iter().zip(deps).all(same)
    }

    /// Gives the slot its edges; it has none.
    pub(super) fn link_all(&mut self, slot: SlotId, deps: &[Edge]) {
        let mut links = Vec::with_capacity(deps.len());
        for dep in deps {
            let kind = self.kinds.intern(&dep.kind);
            let goal = match &dep.target {
                Target::Id(id) => Goal::Slot(self.slot_for(*id)),
                Target::Alias(text) => {
                    let (alias, suffix) = alias::split(text);
                    Goal::Name(self.names.intern(alias), suffix.map(|suffix| self.names.intern(suffix)))
                }
            };
            let found = self.found(goal, self[slot].project);
            if let Goal::Name(name, _) = goal {
                self.names.add_referrer(name, slot);
            }
            if let Some(target) = found {
                self.slots[target.index()].incoming.push(slot);
            }
            links.push(Link { created_at: dep.created_at, kind, goal, found, standing: Standing::Idle });
        }
        self.slots[slot.index()].links = links;
    }

    /// Takes all edges from the slot.
    pub(super) fn unlink_all(&mut self, slot: SlotId) {
        for place in 0..self[slot].links.len() {
            self.expel(slot, place);
        }
        for link in std::mem::take(&mut self.slots[slot.index()].links) {
            if let Goal::Name(name, _) = link.goal {
                self.names.remove_referrer(name, slot);
            }
            if let Some(target) = link.found {
                remove_one(&mut self.slots[target.index()].incoming, slot);
                // The slot at work may be unused for a moment.
                if target != slot {
                    self.free_if_unused(target);
                }
            }
        }
    }

    /// Makes the slot a bearer of the alias, and points the edges that name it anew.
    pub(super) fn bear_name(&mut self, slot: SlotId, alias: &str) {
        let name = self.names.intern(alias);
        self.slots[slot.index()].name = name;
        self.names.add_bearer(name, slot);
        self.point_anew(name);
    }

    /// Takes its alias from the slot, and points the edges that name it anew.
    pub(super) fn forget_name(&mut self, slot: SlotId) {
        let name = std::mem::replace(&mut self.slots[slot.index()].name, Name::NONE);
        if name != Name::NONE {
            self.names.remove_bearer(name, slot);
            self.point_anew(name);
        }
    }

    /// Returns the bearer of an alias that an edge from a bead of `project` means.
    pub(super) fn bearer(&self, name: Name, suffix: Option<&str>, project: Option<ProjectId>) -> Option<SlotId> {
        let fits = |slot: &&SlotId| suffix.is_none_or(|suffix| self[**slot].id.to_string().starts_with(suffix));
        let bearers = self.names.bearers(name).iter().filter(fits);
        bearers.copied().min_by_key(|slot| {
            let bearer = &self[*slot];
            (bearer.project != project, bearer.created_at, bearer.id)
        })
    }

    /// Lets every edge round the slot count whose both ends are alive.
    pub(super) fn admit_around(&mut self, slot: SlotId) {
        if !self[slot].is_alive() {
            return;
        }
        for (source, place) in self.links_around(slot) {
            let link = &self[source].links[place];
            let alive = self[source].is_alive() && link.found.is_some_and(|target| self[target].is_alive());
            if alive && link.kind.is_ordering() && link.standing == Standing::Idle {
                self.admit(source, place);
            }
        }
    }

    /// Lets no edge round the slot count.
    pub(super) fn expel_around(&mut self, slot: SlotId) {
        for (source, place) in self.links_around(slot) {
            self.expel(source, place);
        }
    }

    /// Returns the edges from and to the slot that could change their standing.
    fn links_around(&self, slot: SlotId) -> Vec<(SlotId, usize)> {
        let mut around: Vec<_> = (0..self[slot].links.len()).map(|place| (slot, place)).collect();
        let mut sources = self[slot].incoming.clone();
        sources.sort_unstable();
        sources.dedup();
        for source in sources {
            let links = self[source].links.iter().enumerate();
            around.extend(links.filter(|(_, link)| link.found == Some(slot)).map(|(place, _)| (source, place)));
        }
        around
    }

    /// Points every edge that names the alias at the bearer it means now.
    fn point_anew(&mut self, name: Name) {
        let mut sources = self.names.referrers(name).to_vec();
        sources.sort_unstable();
        sources.dedup();
        for source in sources {
            for place in 0..self[source].links.len() {
                let link = &self[source].links[place];
                if matches!(link.goal, Goal::Name(named, _) if named == name) {
                    self.point(source, place);
                }
            }
        }
    }

    fn point(&mut self, source: SlotId, place: usize) {
        let link = &self[source].links[place];
        let (old, new) = (link.found, self.found(link.goal, self[source].project));
        if old == new {
            return;
        }
        self.expel(source, place);
        if let Some(target) = old {
            remove_one(&mut self.slots[target.index()].incoming, source);
        }
        self.slots[source.index()].links[place].found = new;
        if let Some(target) = new {
            self.slots[target.index()].incoming.push(source);
            let link = &self[source].links[place];
            if link.kind.is_ordering() && self[source].is_alive() && self[target].is_alive() {
                self.admit(source, place);
            }
        }
    }

    fn found(&self, goal: Goal, project: Option<ProjectId>) -> Option<SlotId> {
        match goal {
            Goal::Slot(slot) => Some(slot),
            Goal::Name(name, suffix) => self.bearer(name, suffix.map(|suffix| self.names.text(suffix)), project),
        }
    }
}
