//! Beads and projects as the API shows them.

use std::collections::BTreeMap;

use beadmesh_protocol::bead::{self, FieldValue, Status};
use beadmesh_protocol::near;
use beadmesh_store::command::{self, BeadAnswer, DepAnswer, ImportReport, Page, ProjectAnswer, StaleCloseAnswer};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// Says that a status is a word of somebody's own, and which known one may have been meant; nothing of a known one.
pub fn own_status(word: &str) -> Option<String> {
    let known = || Status::KNOWN.iter().map(Status::as_str);
    if word.is_empty() || known().any(|name| name == word) {
        return None;
    }
    let near = known().filter(|name| near::is_near(word, name));
    let meant = near.min_by_key(|name| near::distance(word.as_bytes(), name.as_bytes()));
    Some(match meant {
        Some(name) => format!("{word} is a status of its own; did you mean {name}?"),
        None => format!("{word} is a status of its own; known are {}", known().collect::<Vec<_>>().join(", ")),
    })
}

/// A bead with what only the graph knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Bead {
    /// The id; it never changes.
    pub id: String,
    /// The name people use, told apart from others of the same name.
    pub alias: String,
    /// The id of the project.
    pub project: Option<String>,
    /// One line that says what is to be done.
    pub title: String,
    /// What is to be done, at length.
    pub description: Option<String>,
    /// How it is to be done.
    pub design: Option<String>,
    /// When it counts as done, as one text.
    pub acceptance: Option<String>,
    /// What was found on the way.
    pub notes: Option<String>,
    /// Where the work stands.
    pub status: String,
    /// Urgency, 0 (first) to 4.
    pub priority: u8,
    /// What kind of work it is.
    #[serde(rename = "type")]
    pub kind: String,
    /// Who works on it.
    pub assignee: Option<String>,
    /// Minutes the work is thought to take.
    pub estimate_minutes: Option<u32>,
    /// When the bead was made.
    pub created_at: Option<String>,
    /// Who made it.
    pub created_by: Option<String>,
    /// When it last changed.
    pub updated_at: Option<String>,
    /// When it was closed.
    pub closed_at: Option<String>,
    /// Why it was closed.
    pub close_reason: Option<String>,
    /// When the work is due.
    pub due_at: Option<String>,
    /// Until when the work is put off.
    pub defer_until: Option<String>,
    /// The same task in another tracker.
    pub external_ref: Option<String>,
    /// Words to find it by.
    pub labels: Vec<String>,
    /// Path patterns the work touches.
    pub scopes: Vec<String>,
    /// Single acceptance criteria, in order.
    pub criteria: Vec<String>,
    /// What it depends on.
    pub deps: Vec<Dep>,
    /// What people and agents said, oldest first.
    pub comments: Vec<Comment>,
    /// What a machine must offer to run the work.
    pub needs: BTreeMap<String, String>,
    /// Free values of the project.
    pub metadata: BTreeMap<String, Value>,
    /// Keys of an imported record that have no meaning here.
    pub extra: BTreeMap<String, Value>,
    /// Whether it can be worked on now.
    pub ready: bool,
    /// Aliases of beads that hold it up now.
    pub blocked_by: Vec<String>,
    /// Alias of the parent.
    pub parent: Option<String>,
    /// Aliases of its children.
    pub children: Vec<String>,
    /// Aliases of beads that depend on it, the children aside.
    pub dependents: Vec<String>,
    /// Statuses of the beads that `blocked_by`, `parent`, `children` and `dependents` name, by alias.
    #[serde(default)]
    pub statuses: BTreeMap<String, String>,
    /// Fields of which other concurrent values are known.
    pub conflicts: Vec<Conflict>,
    /// The close that came too late, when another agent had the lease: the bead is shown as if it had not been.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_close: Option<StaleClose>,
    /// The agent that has the lease, as far as is known here: `Name@node`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
}

/// A close of a bead that came too late.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StaleClose {
    /// Who closed it: `Name@node`.
    pub by: String,
    /// The token of the lease under which.
    pub token: u64,
    /// Who had the lease by then: `Name@node`.
    pub holder: String,
    /// The token of that lease.
    pub holder_token: u64,
}

impl From<StaleCloseAnswer> for StaleClose {
    fn from(answer: StaleCloseAnswer) -> Self {
        let StaleCloseAnswer { by, token, holder, holder_token } = answer;
        Self { by, token, holder, holder_token }
    }
}

/// One dependency of a bead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Dep {
    /// The type: `blocks`, `parent-child` or any other word.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it points at, as an alias.
    pub target: String,
    /// The target's status; absent when the target is not known here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
}

/// One comment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Comment {
    /// Who said it.
    pub author: String,
    /// When it was said.
    pub created_at: Option<String>,
    /// What was said.
    pub text: String,
}

/// A field of which several concurrent values are known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Conflict {
    /// The field; a map's item as `labels.urgent`.
    pub field: String,
    /// The value that is shown.
    pub shown: Scalar,
    /// The other values, in a fixed order.
    pub others: Vec<Scalar>,
}

/// A value of a scalar field: nothing, a number or a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Scalar {
    /// Nothing.
    Absent,
    /// A number.
    Number(i64),
    /// A text.
    Text(String),
}

/// One bead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BeadBody {
    /// The bead.
    pub bead: Bead,
}

/// A page of beads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BeadPage {
    /// The beads of the page.
    pub beads: Vec<Bead>,
    /// How many beads match on all pages; absent where counting would mean reading them all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// The id to continue after, as `after`; absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Of a page of ready beads, those that need what this machine lacks; unless `anywhere` was asked for they are not
    /// among the beads.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unfit: Vec<Unfit>,
}

/// A bead that needs what this machine lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Unfit {
    /// The bead.
    pub id: String,
    /// What people call it.
    pub alias: String,
    /// Its title.
    pub title: String,
    /// What it needs.
    pub needs: Vec<String>,
    /// What this machine lacks of that, in words.
    pub lacks: Vec<String>,
    /// The nodes whose machines have all of it.
    pub fits: Vec<String>,
    /// What the others lack.
    pub others: Vec<MachineLacks>,
}

/// What one machine lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MachineLacks {
    /// The name of its node.
    pub node: String,
    /// What it lacks, in words.
    pub lacks: Vec<String>,
}

/// A project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Project {
    /// Its id.
    pub id: String,
    /// The keys it is known by, the strongest first.
    pub keys: Vec<String>,
    /// What minted aliases begin with.
    pub prefix: String,
}

/// One project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProjectBody {
    /// The project.
    pub project: Project,
}

/// What became of an import.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImportBody {
    /// Records that were new.
    pub created: u64,
    /// Records that changed a known bead.
    pub updated: u64,
    /// Records that changed nothing.
    pub unchanged: u64,
    /// Records that name a known bead but are another task; nothing was changed.
    pub conflicting: Vec<LineNote>,
    /// Records older than what is known, counted as unchanged.
    pub older: Vec<LineNote>,
    /// Lines that are no records; the others were taken.
    pub rejected: Vec<LineNote>,
}

/// A remark on one line of an import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LineNote {
    /// The line, from 1.
    pub line: u64,
    /// What is to be said of it.
    pub reason: String,
}

impl From<BeadAnswer> for Bead {
    fn from(answer: BeadAnswer) -> Self {
        let (stale_close, holder) = (answer.stale_close.clone().map(StaleClose::from), answer.holder.clone());
        let BeadAnswer {
            bead, alias, ready, deps, blocked_by, parent, children, dependents, statuses, conflicts, ..
        } = answer;
        Self {
            id: bead.id.to_string(),
            alias,
            project: bead.project.map(|project| project.to_string()),
            title: bead.title,
            description: bead.description,
            design: bead.design,
            acceptance: bead.acceptance,
            notes: bead.notes,
            status: bead.status.into(),
            priority: bead.priority,
            kind: bead.kind,
            assignee: bead.assignee,
            estimate_minutes: bead.estimate_minutes,
            created_at: bead.created_at,
            created_by: bead.created_by,
            updated_at: bead.updated_at,
            closed_at: bead.closed_at,
            close_reason: bead.close_reason,
            due_at: bead.due_at,
            defer_until: bead.defer_until,
            external_ref: bead.external_ref,
            labels: bead.labels.into_iter().collect(),
            scopes: bead.scopes.into_iter().collect(),
            criteria: bead.criteria.into_iter().map(|criterion| criterion.text).collect(),
            deps: deps.into_iter().map(Dep::from).collect(),
            comments: bead.comments.into_iter().map(Comment::from).collect(),
            needs: bead.needs,
            metadata: values(bead.metadata),
            extra: values(bead.extra),
            ready,
            blocked_by,
            parent,
            children,
            dependents,
            statuses: statuses.into_iter().map(|(alias, status)| (alias, status.into())).collect(),
            conflicts: conflicts.into_iter().map(Conflict::from).collect(),
            stale_close,
            holder,
        }
    }
}

impl From<DepAnswer> for Dep {
    fn from(answer: DepAnswer) -> Self {
        let DepAnswer { key, target, status } = answer;
        Self { kind: key.kind, target, status: status.map(Status::into) }
    }
}

impl From<bead::Comment> for Comment {
    fn from(comment: bead::Comment) -> Self {
        Self { author: comment.author, created_at: comment.created_at, text: comment.text }
    }
}

impl From<bead::Conflict> for Conflict {
    fn from(conflict: bead::Conflict) -> Self {
        let others = conflict.others.into_iter().map(Scalar::from).collect();
        Self { field: conflict.field, shown: conflict.shown.into(), others }
    }
}

impl From<FieldValue> for Scalar {
    fn from(value: FieldValue) -> Self {
        match value {
            FieldValue::Absent => Self::Absent,
            FieldValue::Number(number) => Self::Number(number),
            FieldValue::Text(text) => Self::Text(text),
        }
    }
}

impl From<Scalar> for FieldValue {
    fn from(value: Scalar) -> Self {
        match value {
            Scalar::Absent => Self::Absent,
            Scalar::Number(number) => Self::Number(number),
            Scalar::Text(text) => Self::Text(text),
        }
    }
}

impl From<Page> for BeadPage {
    fn from(page: Page) -> Self {
        let beads = page.beads.into_iter().map(Bead::from).collect();
        Self { beads, total: page.total, next: page.next.map(|id| id.to_string()), unfit: Vec::new() }
    }
}

impl From<ProjectAnswer> for Project {
    fn from(answer: ProjectAnswer) -> Self {
        Self { id: answer.id.to_string(), keys: answer.keys, prefix: answer.prefix }
    }
}

impl From<command::LineNote> for LineNote {
    fn from(note: command::LineNote) -> Self {
        Self { line: note.line, reason: note.reason }
    }
}

impl ImportBody {
    /// Adds what became of another batch of the same import.
    pub fn add(&mut self, report: ImportReport) {
        self.created += report.created;
        self.updated += report.updated;
        self.unchanged += report.unchanged;
        self.conflicting.extend(report.conflicting.into_iter().map(LineNote::from));
        self.older.extend(report.older.into_iter().map(LineNote::from));
        self.rejected.extend(report.rejected.into_iter().map(LineNote::from));
    }
}

/// Reads canonical JSON texts; digits beyond 64 bits are rounded here, an export keeps them.
fn values(texts: BTreeMap<String, String>) -> BTreeMap<String, Value> {
    let read = |text: String| serde_json::from_str(&text).unwrap_or(Value::String(text));
    texts.into_iter().map(|(key, text)| (key, read(text))).collect()
}
