//! What lists and look-ups need of every bead, in memory: a sorted row each, an index of aliases, and counts.
//!
//! Readiness is the graph's; texts stay in the store.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use beadmesh_protocol::alias::{self, FindError, Reference};
use beadmesh_protocol::bead::{Bead, Status};
use beadmesh_protocol::clock::Wall;
use beadmesh_protocol::id::{BeadId, ProjectId};
use beadmesh_protocol::planted::{self, Bug};

/// Where a bead stands in a list: what is not done first, then by priority, then by age, then by alias.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    done: bool,
    priority: u8,
    created_at: Wall,
    alias: Arc<str>,
    id: BeadId,
}

/// What lists filter by.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) project: Option<ProjectId>,
    pub(crate) status: Status,
    pub(crate) priority: u8,
    kind: Arc<str>,
    assignee: Option<Arc<str>>,
    labels: Box<[Arc<str>]>,
}

/// What a row must be to be listed; empty lists admit everything.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    pub(crate) project: Option<ProjectId>,
    pub(crate) statuses: Vec<Status>,
    pub(crate) done: bool,
    pub(crate) priorities: Vec<u8>,
    pub(crate) kinds: Vec<String>,
    pub(crate) labels: Vec<String>,
    pub(crate) assignee: Option<String>,
}

/// Every bead that is known, as rows.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    rows: BTreeMap<Place, Row>,
    places: BTreeMap<BeadId, Place>,
    aliases: BTreeSet<(Arc<str>, Wall, BeadId)>,
    counts: BTreeMap<(Option<ProjectId>, Status), u64>,
    /// Words that many rows share, kept once.
    words: BTreeSet<Arc<str>>,
}

impl Rows {
    /// Adds a bead or replaces its row; `project` is the id its project goes by now.
    pub(crate) fn upsert(&mut self, bead: &Bead, project: Option<ProjectId>) {
        self.remove(bead.id);
        let created_at = bead.created_at.as_deref().and_then(Wall::parse).unwrap_or(Wall::from_millis(u64::MAX));
        let heard = Wall::from_millis(self.rows.len() as u64);
        let created_at = if planted::is(Bug::FirstHeardAlias) { heard } else { created_at };
        let done = bead.status.is_done();
        let alias: Arc<str> = Arc::from(bead.alias.as_str());
        let place = Place { done, priority: bead.priority, created_at, alias: alias.clone(), id: bead.id };
        let row = Row {
            project,
            status: bead.status.clone(),
            priority: bead.priority,
            kind: self.word(&bead.kind),
            assignee: bead.assignee.as_deref().map(|assignee| self.word(assignee)),
            labels: bead.labels.iter().map(|label| self.word(label)).collect(),
        };
        *self.counts.entry((project, row.status.clone())).or_default() += 1;
        self.aliases.insert((alias, created_at, bead.id));
        self.places.insert(bead.id, place.clone());
        self.rows.insert(place, row);
    }

    /// Takes a bead's row away.
    pub(crate) fn remove(&mut self, id: BeadId) {
        let Some(place) = self.places.remove(&id) else { return };
        let Some(row) = self.rows.remove(&place) else { return };
        self.aliases.remove(&(place.alias, place.created_at, id));
        if let Some(count) = self.counts.get_mut(&(row.project, row.status)) {
            *count -= 1;
        }
    }

    fn word(&mut self, word: &str) -> Arc<str> {
        if let Some(known) = self.words.get(word) {
            return known.clone();
        }
        let new: Arc<str> = Arc::from(word);
        self.words.insert(new.clone());
        new
    }

    /// Returns how many beads are known.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// Returns a bead's row.
    pub(crate) fn get(&self, id: BeadId) -> Option<&Row> {
        self.rows.get(self.places.get(&id)?)
    }

    /// Returns the wanted beads in the order of lists, those after a given one.
    pub(crate) fn list(&self, wanted: &Wanted, after: Option<BeadId>) -> impl Iterator<Item = BeadId> {
        let start = after.and_then(|id| self.places.get(&id)).map_or(Bound::Unbounded, Bound::Excluded);
        let rows = self.rows.range::<Place, _>((start, Bound::Unbounded));
        let rows = rows.take_while(|(place, _)| wanted.takes_done() || !place.done);
        rows.filter(|(_, row)| wanted.admits(row)).map(|(place, _)| place.id)
    }

    /// Returns how many beads are wanted, where counts by project and status tell.
    pub(crate) fn count(&self, wanted: &Wanted) -> Option<u64> {
        let narrow = !wanted.priorities.is_empty()
            || !wanted.kinds.is_empty()
            || !wanted.labels.is_empty()
            || wanted.assignee.is_some();
        let counted = self.counts.iter().filter(|((project, status), _)| {
            wanted.project.is_none_or(|wanted| *project == Some(wanted)) && wanted.admits_status(status)
        });
        (!narrow).then(|| counted.map(|(_, count)| count).sum())
    }

    /// Returns how many beads there are by project and status, each status perhaps more than once.
    pub(crate) fn by_status(&self) -> impl Iterator<Item = (&Status, u64)> {
        self.counts.iter().map(|((_, status), count)| (status, *count))
    }

    /// Returns the beads that bear an alias, the oldest first.
    fn bearers(&self, alias: &str) -> impl Iterator<Item = (Wall, BeadId)> {
        let from = (Arc::from(alias), Wall::default(), BeadId::from_bytes([0; 16]));
        let named = self.aliases.range(from..).map(|(name, created_at, id)| (name.clone(), *created_at, *id));
        let alias: Arc<str> = Arc::from(alias);
        named.take_while(move |(name, ..)| *name == alias).map(|(_, created_at, id)| (created_at, id))
    }

    /// Returns whether any bead bears an alias.
    pub(crate) fn is_taken(&self, alias: &str) -> bool {
        self.bearers(alias).next().is_some()
    }

    /// Returns every bead that has an assignee, with who that is.
    pub(crate) fn assigned(&self) -> impl Iterator<Item = (BeadId, &str)> {
        self.rows.iter().filter_map(|(place, row)| Some((place.id, row.assignee.as_deref()?)))
    }

    /// Returns a bead's alias as stored, which others may bear too.
    pub(crate) fn alias(&self, id: BeadId) -> Option<&str> {
        Some(&self.places.get(&id)?.alias)
    }

    /// Returns a bead's alias as shown.
    pub(crate) fn display(&self, id: BeadId) -> Option<String> {
        let place = self.places.get(&id)?;
        let oldest = self.bearers(&place.alias).next().map_or(id, |(_, oldest)| oldest);
        Some(alias::display(&place.alias, id, oldest))
    }

    /// Returns the numbers that children of an alias bear.
    pub(crate) fn child_numbers(&self, parent: &str) -> Vec<u32> {
        let start = format!("{parent}.");
        self.starting_with(&start).filter_map(|(alias, ..)| alias::child_number(parent, alias)).collect()
    }

    /// Finds the bead that a person means.
    ///
    /// # Errors
    /// When none is meant, or several could be.
    pub(crate) fn find(&self, reference: &Reference) -> Result<BeadId, FindError> {
        let name = match reference {
            Reference::Id(id) => return if self.places.contains_key(id) { Ok(*id) } else { Err(FindError::None) },
            Reference::Suffixed { alias, .. } | Reference::Name(alias) => alias,
        };
        let by_alias = self.starting_with(name).map(|(alias, created_at, id)| (&**alias, *id, *created_at));
        match reference.find(by_alias) {
            Err(FindError::None) => {
                reference.find(self.rows.keys().map(|place| (&*place.alias, place.id, place.created_at)))
            }
            found => found,
        }
    }

    fn starting_with(&self, start: &str) -> impl Iterator<Item = &(Arc<str>, Wall, BeadId)> {
        let from = (Arc::from(start), Wall::default(), BeadId::from_bytes([0; 16]));
        let start: Arc<str> = Arc::from(start);
        self.aliases.range(from..).take_while(move |(alias, ..)| alias.starts_with(&*start))
    }

    /// Returns every bead of a project, or of all, by its alias as shown.
    pub(crate) fn by_alias(&self, project: Option<ProjectId>) -> Vec<BeadId> {
        let mut ids: Vec<(String, BeadId)> = Vec::with_capacity(self.aliases.len());
        let mut oldest: Option<(&Arc<str>, BeadId)> = None;
        for (name, _, id) in &self.aliases {
            let bearer = match oldest {
                Some((alias, bearer)) if alias == name => bearer,
                _ => *id,
            };
            oldest = Some((name, bearer));
            let wanted = project.is_none() || self.get(*id).is_some_and(|row| row.project == project);
            if wanted {
                ids.push((alias::display(name, *id, bearer), *id));
            }
        }
        ids.sort_unstable();
        ids.into_iter().map(|(_, id)| id).collect()
    }
}

impl Wanted {
    fn takes_done(&self) -> bool {
        self.done || self.statuses.iter().any(Status::is_done)
    }

    fn admits_status(&self, status: &Status) -> bool {
        if self.statuses.is_empty() { self.done || !status.is_done() } else { self.statuses.contains(status) }
    }

    /// Returns whether a row is wanted.
    pub(crate) fn admits(&self, row: &Row) -> bool {
        let has = |label: &String| row.labels.iter().any(|known| **known == **label);
        self.project.is_none_or(|project| row.project == Some(project))
            && self.admits_status(&row.status)
            && (self.priorities.is_empty() || self.priorities.contains(&row.priority))
            && (self.kinds.is_empty() || self.kinds.iter().any(|kind| **kind == *row.kind))
            && self.assignee.as_deref().is_none_or(|wanted| row.assignee.as_deref() == Some(wanted))
            && self.labels.iter().all(has)
    }
}
