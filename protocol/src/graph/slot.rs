//! How the graph keeps beads: numbered slots, with types and aliases kept once.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::bead::Status;
use crate::clock::Wall;
use crate::id::{BeadId, ProjectId};

/// The types that affect readiness; the last one joins a child to its parent, the others block.
const ORDERING: [&str; 4] = ["blocks", "conditional-blocks", "waits-for", "parent-child"];

/// Returns whether edges of the type affect readiness, and so must not go round in a circle.
pub(super) fn is_ordering(kind: &str) -> bool {
    ORDERING.contains(&kind)
}

/// Returns whether a bead waits until what edges of the type point at is done.
pub fn is_blocking(kind: &str) -> bool {
    ORDERING.split_last().is_some_and(|(_, blocking)| blocking.contains(&kind))
}

/// The number of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SlotId(u32);

impl SlotId {
    pub(super) fn from_index(index: usize) -> Self {
        Self(u32::try_from(index).expect("memory ends before four billion beads"))
    }

    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// One bead, or an id that an edge names though no such bead is known.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) id: BeadId,
    pub(super) is_present: bool,
    pub(super) state: State,
    pub(super) priority: u8,
    pub(super) is_marked: bool,
    /// Whether this bead and, through it, its children are held up, dates aside.
    pub(super) is_stuck: bool,
    /// Whether those that wait for it need not, as their readiness was last computed.
    pub(super) was_done: bool,
    pub(super) name: Name,
    pub(super) project: Option<ProjectId>,
    pub(super) created_at: Wall,
    pub(super) defer_until: Option<Wall>,
    /// Its edges, by type and target.
    pub(super) links: Vec<Link>,
    /// The sources of the edges found to point here, once for each, in no order.
    pub(super) incoming: Vec<SlotId>,
}

impl Slot {
    pub(super) fn new(id: BeadId) -> Self {
        Self {
            id,
            is_present: false,
            state: State::Other,
            priority: 0,
            is_marked: false,
            is_stuck: false,
            was_done: false,
            name: Name::NONE,
            project: None,
            created_at: Wall::default(),
            defer_until: None,
            links: Vec::new(),
            incoming: Vec::new(),
        }
    }

    /// Returns whether edges from and to it count: it is known and not deleted.
    pub(super) fn is_alive(&self) -> bool {
        self.is_present && self.state != State::Tombstone
    }
}

/// What readiness asks of a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Open,
    Blocked,
    Deferred,
    Closed,
    Tombstone,
    Other,
}

impl State {
    pub(super) fn of(status: &Status) -> Self {
        match status {
            Status::Open => Self::Open,
            Status::Blocked => Self::Blocked,
            Status::Deferred => Self::Deferred,
            Status::Closed => Self::Closed,
            Status::Tombstone => Self::Tombstone,
            Status::InProgress | Status::Hooked | Status::Pinned | Status::Custom(_) => Self::Other,
        }
    }

    pub(super) fn is_done(self) -> bool {
        matches!(self, Self::Closed | Self::Tombstone)
    }
}

/// An edge as it is kept at its source.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) created_at: Wall,
    pub(super) kind: Kind,
    pub(super) goal: Goal,
    /// What the goal means now; an id is found even where no such bead is known.
    pub(super) found: Option<SlotId>,
    pub(super) standing: Standing,
}

impl Link {
    pub(super) fn is_counted_parent(&self) -> bool {
        self.standing == Standing::Counted && self.kind.is_parent()
    }
}

/// Whether an edge affects readiness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It does not: another type, or one end is missing or deleted.
    Idle,
    /// It does.
    Counted,
    /// It would, but it closes a cycle.
    Ignored,
}

/// What an edge names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    Slot(SlotId),
    /// An alias, and the suffix behind `~` if there is one.
    Name(Name, Option<Name>),
}

/// The number of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind(u32);

impl Kind {
    pub(super) fn is_ordering(self) -> bool {
        (self.0 as usize) < ORDERING.len()
    }

    pub(super) fn is_parent(self) -> bool {
        self.0 as usize == ORDERING.len() - 1
    }

    pub(super) fn is_blocking(self) -> bool {
        self.is_ordering() && !self.is_parent()
    }
}

/// Every type seen, numbered; those that affect readiness come first.
#[derive(Debug)]
pub(super) struct Kinds {
    texts: Vec<Arc<str>>,
    by_text: BTreeMap<Arc<str>, Kind>,
}

impl Default for Kinds {
    fn default() -> Self {
        let mut kinds = Self { texts: Vec::new(), by_text: BTreeMap::new() };
        for text in ORDERING {
            kinds.intern(text);
        }
        kinds
    }
}

impl Kinds {
    pub(super) fn intern(&mut self, text: &str) -> Kind {
        if let Some(kind) = self.by_text.get(text) {
            return *kind;
        }
        let kind = Kind(u32::try_from(self.texts.len()).expect("memory ends before four billion types"));
        let text: Arc<str> = text.into();
        self.texts.push(Arc::clone(&text));
        self.by_text.insert(text, kind);
        kind
    }

    pub(super) fn text(&self, kind: Kind) -> &str {
        &self.texts[kind.0 as usize]
    }
}

/// The number of an alias.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name(u32);

impl Name {
    /// The name of a slot that stands for no bead.
    pub(super) const NONE: Self = Self(u32::MAX);
}

/// Every alias seen, numbered, with who bears it and who points at it.
#[derive(Debug, Default)]
pub(super) struct Names {
    entries: Vec<NameEntry>,
    by_text: BTreeMap<Arc<str>, Name>,
}

/// One alias; both lists are in no order.
#[derive(Debug)]
struct NameEntry {
    text: Arc<str>,
    bearers: Vec<SlotId>,
    /// The sources of the edges that name it, once for each.
    referrers: Vec<SlotId>,
}

impl Names {
    pub(super) fn intern(&mut self, text: &str) -> Name {
        if let Some(name) = self.by_text.get(text) {
            return *name;
        }
        let name = Name(u32::try_from(self.entries.len()).expect("memory ends before four billion aliases"));
        let text: Arc<str> = text.into();
        self.entries.push(NameEntry { text: Arc::clone(&text), bearers: Vec::new(), referrers: Vec::new() });
        self.by_text.insert(text, name);
        name
    }

    pub(super) fn find(&self, text: &str) -> Option<Name> {
        self.by_text.get(text).copied()
    }

    /// Returns the alias; that of `Name::NONE` is empty.
    pub(super) fn text(&self, name: Name) -> &str {
        self.entries.get(name.0 as usize).map_or("", |entry| &entry.text)
    }

    /// Returns the alias as it is kept, to keep it elsewhere too; `Name::NONE` has none.
    pub(super) fn shared(&self, name: Name) -> Option<Arc<str>> {
        self.entries.get(name.0 as usize).map(|entry| Arc::clone(&entry.text))
    }

    pub(super) fn bearers(&self, name: Name) -> &[SlotId] {
        self.entries.get(name.0 as usize).map_or(&[], |entry| &entry.bearers)
    }

    pub(super) fn referrers(&self, name: Name) -> &[SlotId] {
        self.entries.get(name.0 as usize).map_or(&[], |entry| &entry.referrers)
    }

    pub(super) fn add_bearer(&mut self, name: Name, slot: SlotId) {
        self.entries[name.0 as usize].bearers.push(slot);
    }

    pub(super) fn add_referrer(&mut self, name: Name, slot: SlotId) {
        self.entries[name.0 as usize].referrers.push(slot);
    }

    pub(super) fn remove_bearer(&mut self, name: Name, slot: SlotId) {
        remove_one(&mut self.entries[name.0 as usize].bearers, slot);
    }

    pub(super) fn remove_referrer(&mut self, name: Name, slot: SlotId) {
        remove_one(&mut self.entries[name.0 as usize].referrers, slot);
    }
}

/// Removes one of equal items from a list without order.
pub(super) fn remove_one(list: &mut Vec<SlotId>, slot: SlotId) {
    if let Some(place) = list.iter().position(|item| *item == slot) {
        list.swap_remove(place);
    }
}
