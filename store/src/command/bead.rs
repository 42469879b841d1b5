//! What the API asks about beads, and what it is told.

use std::collections::BTreeMap;

use beadmesh_protocol::bead::intake::Change;
use beadmesh_protocol::bead::{Bead, Conflict, DepKey, Field, FieldValue, Status};
use beadmesh_protocol::id::BeadId;

use super::{ProjectContext, StaleCloseAnswer};

/// A bead to create. References are aliases or ids as a person writes them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NewBead {
    /// The project.
    pub project: ProjectContext,
    /// A given alias; minted when absent.
    pub alias: Option<String>,
    /// Scalar fields, the title among them.
    pub fields: Vec<(Field, FieldValue)>,
    /// Labels.
    pub labels: Vec<String>,
    /// Scope patterns as written; made canonical here.
    pub scopes: Vec<String>,
    /// Acceptance criteria, in order.
    pub criteria: Vec<String>,
    /// What it needs of a machine, by name.
    pub needs: BTreeMap<String, String>,
    /// Dependencies of the new bead: type and target.
    pub deps: Vec<(String, String)>,
    /// Beads that this one blocks.
    pub blocks: Vec<String>,
    /// The bead this one is a child of.
    pub parent: Option<String>,
    /// Who creates it.
    pub by: String,
}

/// A change of one bead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BeadEdit {
    /// The bead, as a person writes it.
    pub bead: String,
    /// What to change.
    pub action: Action,
    /// Who changes it.
    pub by: String,
}

/// What can be done to a bead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Sets scalar fields.
    Set(Vec<(Field, FieldValue)>),
    /// Does that, and says anew what the bead needs of a machine.
    SetNeeds(Vec<(Field, FieldValue)>, BTreeMap<String, String>),
    /// Closes it, with a reason.
    Close(Option<String>),
    /// Opens it again.
    Reopen,
    /// Deletes it: a tombstone that merges.
    Delete(Option<String>),
    /// Settles a conflict: keeps the value shown, or the one given.
    Resolve(Field, Option<FieldValue>),
    /// Adds and removes labels.
    Labels {
        /// Labels to add.
        add: Vec<String>,
        /// Labels to remove.
        remove: Vec<String>,
    },
    /// Adds and removes scope patterns.
    Scopes {
        /// Patterns to add.
        add: Vec<String>,
        /// Patterns to remove.
        remove: Vec<String>,
    },
    /// Adds a comment.
    Comment(String),
    /// Adds a dependency: type and target.
    AddDep(String, String),
    /// Removes a dependency: type (any when absent) and target.
    RemoveDep(Option<String>, String),
}

/// Which beads to list, and which page of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// The project; all when absent.
    pub project: Option<ProjectContext>,
    /// Statuses; without any, all that are not done.
    pub statuses: Vec<Status>,
    /// Also what is closed or deleted.
    pub all: bool,
    /// Priorities.
    pub priorities: Vec<u8>,
    /// Types.
    pub kinds: Vec<String>,
    /// Labels, all of which a bead must carry.
    pub labels: Vec<String>,
    /// Who works on it.
    pub assignee: Option<String>,
    /// The bead whose children are wanted.
    pub parent: Option<String>,
    /// The id of the last bead of the page before.
    pub after: Option<BeadId>,
    /// How many to list; 0 lists all.
    pub limit: usize,
}

/// One record of an import, parsed and made into changes off the replica's thread.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// The line in the file, from 1.
    pub line: u64,
    /// The record as a bead.
    pub bead: Bead,
    /// The deterministic import change, and continuations of it.
    pub changes: Vec<Change>,
    /// Whether the record says when it was last updated.
    pub has_updated_at: bool,
    /// Whether the record says when it was created.
    pub has_created_at: bool,
}

/// A bead with what only the graph knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BeadAnswer {
    /// The bead.
    pub bead: Bead,
    /// Its alias as shown, told apart from others of the same alias.
    pub alias: String,
    /// Whether it can be worked on now.
    pub ready: bool,
    /// Dependencies with what they point at, as aliases.
    pub deps: Vec<DepAnswer>,
    /// Aliases of beads that hold it up now.
    pub blocked_by: Vec<String>,
    /// Alias of the parent.
    pub parent: Option<String>,
    /// Aliases of its children.
    pub children: Vec<String>,
    /// Aliases of beads that depend on it, the children aside.
    pub dependents: Vec<String>,
    /// Statuses of the beads that `blocked_by`, `parent`, `children` and `dependents` name, by alias.
    pub statuses: BTreeMap<String, Status>,
    /// Fields of which other concurrent values are known.
    pub conflicts: Vec<Conflict>,
    /// The close that came too late and counts for nothing.
    pub stale_close: Option<StaleCloseAnswer>,
    /// The agent that has the lease, as far as is known here: `Name@node`.
    pub holder: Option<String>,
}

/// One dependency as shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DepAnswer {
    /// Its key in the document.
    pub key: DepKey,
    /// What it points at, as an alias.
    pub target: String,
    /// The target's status, when it is known here.
    pub status: Option<Status>,
}

/// A page of beads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The beads of the page.
    pub beads: Vec<BeadAnswer>,
    /// How many beads match, on all pages; absent where counting would mean reading them all.
    pub total: Option<u64>,
    /// The id to continue after; absent on the last page.
    pub next: Option<BeadId>,
}

/// What became of a batch of records.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImportReport {
    /// Records that were new.
    pub created: u64,
    /// Records that changed a known bead.
    pub updated: u64,
    /// Records that changed nothing: equal to, or older than, what is known.
    pub unchanged: u64,
    /// Records that name a known bead but are another task; nothing was changed.
    pub conflicting: Vec<LineNote>,
    /// Records older than what is known, counted as unchanged.
    pub older: Vec<LineNote>,
    /// Lines that are no records.
    pub rejected: Vec<LineNote>,
}

/// A remark on one line of an import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineNote {
    /// The line, from 1.
    pub line: u64,
    /// What is to be said of it.
    pub reason: String,
}
