//! A bead: one task of the graph, as a reader sees it, and the edits that change it.
//!
//! The automerge document behind a bead lives in `document`; nothing outside this module names automerge.

pub mod actor;
mod column;
pub mod document;
mod draft;
pub mod edit;
pub mod genesis;
pub mod import;
pub mod intake;
pub(crate) mod item;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{BeadId, ProjectId};

/// Everything a bead's document says, with concurrent values already settled.
///
/// Absent and empty are one thing: an empty text is `None`. Dates stay the text they were given as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bead {
    /// The id; it never changes.
    pub id: BeadId,
    /// The project the bead belongs to.
    pub project: Option<ProjectId>,
    /// The name given or minted at creation, without the suffix that tells two beads of one alias apart.
    pub alias: String,
    /// One line that says what is to be done.
    pub title: String,
    /// What is to be done, at length.
    pub description: Option<String>,
    /// How it is to be done.
    pub design: Option<String>,
    /// When it counts as done, as one text; single criteria are in `criteria`.
    pub acceptance: Option<String>,
    /// What was found on the way.
    pub notes: Option<String>,
    /// Where the work stands.
    pub status: Status,
    /// Urgency, 0 (first) to 4.
    pub priority: u8,
    /// What kind of work it is: task, bug, feature, epic, chore or any other word.
    pub kind: String,
    /// Who works on it.
    pub assignee: Option<String>,
    /// Minutes the work is thought to take.
    pub estimate_minutes: Option<u32>,
    /// When the bead was made (RFC 3339, verbatim from an import).
    pub created_at: Option<String>,
    /// Who made the bead.
    pub created_by: Option<String>,
    /// When the bead last changed: the newest of the imported date and our own edits.
    pub updated_at: Option<String>,
    /// When the bead was closed.
    pub closed_at: Option<String>,
    /// Why the bead was closed.
    pub close_reason: Option<String>,
    /// When the work is due.
    pub due_at: Option<String>,
    /// Until when the work is put off.
    pub defer_until: Option<String>,
    /// The same task in another tracker.
    pub external_ref: Option<String>,
    /// Words to find the bead by.
    pub labels: BTreeSet<String>,
    /// What the bead depends on, by type and target.
    pub deps: BTreeMap<DepKey, Dep>,
    /// Path patterns the work touches.
    pub scopes: BTreeSet<String>,
    /// Single acceptance criteria, in order.
    pub criteria: Vec<Criterion>,
    /// What people and agents said, oldest first.
    pub comments: Vec<Comment>,
    /// What a machine must offer to run the work, such as `gpu` → `1`.
    pub needs: BTreeMap<String, String>,
    /// Free values of the project, each as canonical JSON text.
    pub metadata: BTreeMap<String, String>,
    /// Keys of an imported record that beadmesh gives no meaning, each as canonical JSON text.
    pub extra: BTreeMap<String, String>,
}

impl Bead {
    /// Returns a bead with only an id, an alias and a title: open, priority 2, a task.
    pub fn new(id: BeadId, alias: String, title: String) -> Self {
        Self {
            id,
            project: None,
            alias,
            title,
            description: None,
            design: None,
            acceptance: None,
            notes: None,
            status: Status::Open,
            priority: 2,
            kind: "task".to_owned(),
            assignee: None,
            estimate_minutes: None,
            created_at: None,
            created_by: None,
            updated_at: None,
            closed_at: None,
            close_reason: None,
            due_at: None,
            defer_until: None,
            external_ref: None,
            labels: BTreeSet::new(),
            deps: BTreeMap::new(),
            scopes: BTreeSet::new(),
            criteria: Vec::new(),
            comments: Vec::new(),
            needs: BTreeMap::new(),
            metadata: BTreeMap::new(),
            extra: BTreeMap::new(),
        }
    }
}

/// Where the work on a bead stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Status {
    /// To be done.
    Open,
    /// Being done.
    InProgress,
    /// Held up, said by a person rather than derived from dependencies.
    Blocked,
    /// Attached to an agent's hook.
    Hooked,
    /// Kept open on purpose.
    Pinned,
    /// Put off.
    Deferred,
    /// Done.
    Closed,
    /// Deleted; kept so that the deletion merges.
    Tombstone,
    /// A word of the project's own.
    Custom(String),
}

impl Status {
    /// Returns the word that stands for the status in JSON and on screen.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Open => "open",
            Self::InProgress => "in_progress",
            Self::Blocked => "blocked",
            Self::Hooked => "hooked",
            Self::Pinned => "pinned",
            Self::Deferred => "deferred",
            Self::Closed => "closed",
            Self::Tombstone => "tombstone",
            Self::Custom(word) => word,
        }
    }

    /// Every status that has rules of its own.
    pub const KNOWN: [Self; 8] = [
        Self::Open,
        Self::InProgress,
        Self::Blocked,
        Self::Hooked,
        Self::Pinned,
        Self::Deferred,
        Self::Closed,
        Self::Tombstone,
    ];

    /// Returns whether the work is over: closed or deleted.
    pub fn is_done(&self) -> bool {
        matches!(self, Self::Closed | Self::Tombstone)
    }

    /// Returns the rank among concurrent values; the highest is shown.
    ///
    /// tombstone > closed > blocked > in_progress, hooked > pinned > deferred > open and custom words.
    pub fn precedence(&self) -> u8 {
        match self {
            Self::Tombstone => 6,
            Self::Closed => 5,
            Self::Blocked => 4,
            Self::InProgress | Self::Hooked => 3,
            Self::Pinned => 2,
            Self::Deferred => 1,
            Self::Open | Self::Custom(_) => 0,
        }
    }
}

impl From<String> for Status {
    fn from(word: String) -> Self {
        match word.as_str() {
            "open" => Self::Open,
            "in_progress" => Self::InProgress,
            "blocked" => Self::Blocked,
            "hooked" => Self::Hooked,
            "pinned" => Self::Pinned,
            "deferred" => Self::Deferred,
            "closed" => Self::Closed,
            "tombstone" => Self::Tombstone,
            _ => Self::Custom(word),
        }
    }
}

impl From<Status> for String {
    fn from(status: Status) -> Self {
        status.as_str().to_owned()
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a dependency points at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Target {
    /// A bead by id; written `bead:` and the id in base32 inside documents.
    Id(BeadId),
    /// A name as an imported record gives it, resolved when it is read, perhaps to nothing.
    Alias(String),
}

impl Target {
    /// Reads the form used inside documents.
    pub fn parse(text: &str) -> Self {
        match text.strip_prefix("bead:").and_then(|id| id.parse().ok()) {
            Some(id) => Self::Id(id),
            None => Self::Alias(text.to_owned()),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "bead:{id}"),
            Self::Alias(alias) => f.write_str(alias),
        }
    }
}

/// Names one dependency of a bead: its type and what it points at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DepKey {
    /// The type: `blocks`, `parent-child` or any other word.
    pub kind: String,
    /// What the bead depends on.
    pub target: Target,
}

/// What is known about one dependency besides its key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dep {
    /// When it was made.
    pub created_at: Option<String>,
    /// Who made it.
    pub created_by: Option<String>,
    /// Other keys of an imported record, each as canonical JSON text.
    pub extra: BTreeMap<String, String>,
}

/// One acceptance criterion; its key in the document is the hash of its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Criterion {
    /// Its place in the list; equal places go by text.
    pub order: u32,
    /// What must hold.
    pub text: String,
}

/// One comment; its key in the document is the hash of author, date and text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comment {
    /// Who said it.
    pub author: String,
    /// When it was said.
    pub created_at: Option<String>,
    /// What was said.
    pub text: String,
    /// Other keys of an imported record, each as canonical JSON text.
    pub extra: BTreeMap<String, String>,
}

/// A field of which several concurrent values are known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    /// The field's name in JSON, such as `assignee`; a map's item as `labels.urgent`.
    pub field: String,
    /// The value that is shown.
    pub shown: FieldValue,
    /// The other values, in a fixed order.
    pub others: Vec<FieldValue>,
}

/// A value a scalar field can hold.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum FieldValue {
    /// Nothing.
    Absent,
    /// A number.
    Number(i64),
    /// A text.
    Text(String),
}

/// A scalar field of a bead's document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// `title`
    Title,
    /// `description`
    Description,
    /// `design`
    Design,
    /// `acceptance`
    Acceptance,
    /// `notes`
    Notes,
    /// `status`
    Status,
    /// `priority`
    Priority,
    /// `type`
    Kind,
    /// `assignee`
    Assignee,
    /// `estimate_minutes`
    EstimateMinutes,
    /// `created_at`
    CreatedAt,
    /// `created_by`
    CreatedBy,
    /// `updated_at`, as an import gave it
    UpdatedAt,
    /// `closed_at`
    ClosedAt,
    /// `close_reason`
    CloseReason,
    /// `due_at`
    DueAt,
    /// `defer_until`
    DeferUntil,
    /// `external_ref`
    ExternalRef,
    /// `alias`
    Alias,
    /// `project`
    Project,
}

impl Field {
    /// Every scalar field, in the fixed order in which an import writes them; the order is part of the layout.
    pub const ALL: [Self; 20] = [
        Self::Title,
        Self::Description,
        Self::Design,
        Self::Acceptance,
        Self::Notes,
        Self::Status,
        Self::Priority,
        Self::Kind,
        Self::Assignee,
        Self::EstimateMinutes,
        Self::CreatedAt,
        Self::CreatedBy,
        Self::UpdatedAt,
        Self::ClosedAt,
        Self::CloseReason,
        Self::DueAt,
        Self::DeferUntil,
        Self::ExternalRef,
        Self::Alias,
        Self::Project,
    ];

    /// Returns the key in the document and in our JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Title => "title",
            Self::Description => "description",
            Self::Design => "design",
            Self::Acceptance => "acceptance",
            Self::Notes => "notes",
            Self::Status => "status",
            Self::Priority => "priority",
            Self::Kind => "type",
            Self::Assignee => "assignee",
            Self::EstimateMinutes => "estimate_minutes",
            Self::CreatedAt => "created_at",
            Self::CreatedBy => "created_by",
            Self::UpdatedAt => "updated_at",
            Self::ClosedAt => "closed_at",
            Self::CloseReason => "close_reason",
            Self::DueAt => "due_at",
            Self::DeferUntil => "defer_until",
            Self::ExternalRef => "external_ref",
            Self::Alias => "alias",
            Self::Project => "project",
        }
    }

    /// Reads a field by its key.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.as_str() == text)
    }
}

/// One edit of a bead; a command makes a list of them, which becomes one automerge change.
///
/// Values and keys are bounded by `limits`; who builds an edit checks them first with `edit::check`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// Sets a scalar field; `Absent` clears it.
    Set(Field, FieldValue),
    /// Adds a label.
    AddLabel(String),
    /// Removes a label.
    RemoveLabel(String),
    /// Adds a dependency, or replaces what is known about it.
    AddDep(DepKey, Dep),
    /// Removes a dependency.
    RemoveDep(DepKey),
    /// Adds a canonical scope pattern.
    AddScope(String),
    /// Removes a scope pattern.
    RemoveScope(String),
    /// Adds a criterion, or moves it to another place.
    AddCriterion(Criterion),
    /// Removes the criterion with that text.
    RemoveCriterion(String),
    /// Adds a comment.
    AddComment(Comment),
    /// Sets a need, or removes it.
    Need(String, Option<String>),
    /// Sets a metadata value (canonical JSON), or removes it.
    Metadata(String, Option<String>),
    /// Sets an unknown key's value (canonical JSON), or removes it.
    Extra(String, Option<String>),
}
