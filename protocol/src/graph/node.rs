//! What the graph is told about one bead.

use crate::bead::{Bead, Status, Target};
use crate::clock::Wall;
use crate::id::{BeadId, ProjectId};

/// Marks of an imported record that keep a bead out of the ready list.
const MARKS: [&str; 3] = ["pinned", "is_template", "ephemeral"];

/// What the graph needs to know about one bead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The bead's id.
    pub id: BeadId,
    /// Its alias, without a suffix.
    pub alias: String,
    /// Its project, by the id the project goes by now.
    pub project: Option<ProjectId>,
    /// Its status.
    pub status: Status,
    /// Its priority.
    pub priority: u8,
    /// When it was made; a bead without a date is younger than any other.
    pub created_at: Wall,
    /// Whether it is pinned, a template or ephemeral.
    pub is_marked: bool,
    /// Until when it is put off.
    pub defer_until: Option<Wall>,
    /// What it depends on.
    pub deps: Vec<Edge>,
}

/// One dependency of a bead.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    /// The type.
    pub kind: String,
    /// What it points at.
    pub target: Target,
    /// When it was made; an edge without a date is older than any other.
    pub created_at: Wall,
}

impl Node {
    /// Takes what the graph needs from a bead. A date that can not be read counts as none; a plain day puts a bead off
    /// until it begins in UTC.
    pub fn of(bead: &Bead) -> Self {
        let date = |text: &Option<String>| text.as_deref().and_then(Wall::parse);
        let edge = |(key, dep): (&crate::bead::DepKey, &crate::bead::Dep)| Edge {
            kind: key.kind.clone(),
            target: key.target.clone(),
            created_at: date(&dep.created_at).unwrap_or_default(),
        };
        Self {
            id: bead.id,
            alias: bead.alias.clone(),
            project: bead.project,
            status: bead.status.clone(),
            priority: bead.priority,
            created_at: date(&bead.created_at).unwrap_or(Wall::from_millis(u64::MAX)),
            is_marked: MARKS.iter().any(|mark| bead.extra.get(*mark).is_some_and(|value| value == "true")),
            defer_until: bead.defer_until.as_deref().and_then(Wall::parse_lenient),
            deps: bead.deps.iter().map(edge).collect(),
        }
    }

    /// Puts the dependencies in order of type and target, each once, with its oldest date.
    pub(super) fn sort_deps(&mut self) {
        self.deps.sort();
        self.deps.dedup_by(|next, kept| next.kind == kept.kind && next.target == kept.target);
    }
}
