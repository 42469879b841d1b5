//! Commands and answers: what the API may ask of the replica, and what it says.
//!
//! Commands are wishes; each is answered once, after everything the answer rests on is durable.

use std::collections::BTreeMap;
use std::time::Duration;

use beadmesh_protocol::bead::intake::Change;
use beadmesh_protocol::bead::{Bead, Conflict, DepKey, Field, FieldValue, Status};
use beadmesh_protocol::clock::Wall;
use beadmesh_protocol::entry::Sealed;
use beadmesh_protocol::id::{BeadId, InstanceId, MeshId, NodeId, ProjectId};
use beadmesh_protocol::invite::{JoinRefusal, JoinRequest, Ticket};
use beadmesh_protocol::op::Role;
use beadmesh_protocol::sync::Progress;

use crate::membership::Membership;

/// A wish of the API.
#[derive(Debug)]
pub enum Command {
    /// Tells how this node and its mesh stand.
    Status,
    /// Lists the members of the mesh.
    Members,
    /// Makes sure a project is known by the strongest of its keys, and sets its alias prefix; answers `Project`.
    Project(ProjectContext),
    /// Makes a project known by all its keys, which unites those known by one each, and sets its alias prefix; answers
    /// `Project`.
    Unite(ProjectContext),
    /// Creates a bead; answers `Bead`.
    Create(Box<NewBead>),
    /// Shows a bead; answers `Bead`.
    Show(String),
    /// Lists beads; answers `Beads`.
    List(Filter),
    /// Lists beads that can be worked on now; answers `Beads`.
    Ready(Filter),
    /// Lists open beads that something holds up; answers `Beads`.
    Blocked(Filter),
    /// Changes a bead; answers `Bead`.
    Edit(BeadEdit),
    /// Takes a batch of records that `import::prepare` has made ready; answers `Imported`.
    Import(Vec<Prepared>),
    /// Lists the ids of the beads of a project, in the order an export writes them; answers `ExportIndex`.
    ExportIndex(Option<ProjectContext>),
    /// Writes beads as JSONL; answers `Lines`.
    ExportLines(Vec<BeadId>),
    /// Opens an invite; answers `Invited`.
    Invite(NewInvite),
    /// Decides on a stranger that asks to be let in; answers `JoinDecision`.
    Welcome(NodeId, JoinRequest),
    /// Leaves the mesh of one and enters another that has let us in; answers `Joined`.
    Enter(MeshId, Vec<Sealed>),
    /// Returns what the mesh is found again by, should the store be lost; answers `Membership`.
    Membership,
    /// Announces where this node can be reached; answers `Done`.
    Announce(Vec<String>),
    /// Checks every record and compares views with what they are derived from; answers `Checked`.
    Check,
    /// Derives every view anew from the entries; answers `Rebuilt`.
    Rebuild,
}

impl Command {
    /// Returns whether it is there to write what has effect only if a member writes it.
    pub(crate) fn is_for_members(&self) -> bool {
        matches!(self, Self::Project(_) | Self::Unite(_) | Self::Create(_) | Self::Edit(_) | Self::Import(_))
    }
}

/// The project a command is meant for: keys of the repository, strongest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProjectContext {
    /// Git remote, root commit, given name: as many as are known.
    pub keys: Vec<String>,
    /// What minted aliases begin with; kept from the first time when absent.
    pub prefix: Option<String>,
}

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

/// An invite to open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewInvite {
    /// How long it is open.
    pub ttl: Duration,
    /// How many nodes may come by it.
    pub uses: u32,
    /// What they may do.
    pub role: Role,
    /// Where this node can be reached, as multiaddresses.
    pub addresses: Vec<String>,
}

/// What the replica says.
#[derive(Debug)]
pub enum Answer {
    /// How this node and its mesh stand.
    Status(Box<StatusAnswer>),
    /// The members of the mesh.
    Members(Vec<MemberAnswer>),
    /// A project.
    Project(ProjectAnswer),
    /// One bead.
    Bead(Box<BeadAnswer>),
    /// A page of beads.
    Beads(Page),
    /// What became of a batch of records.
    Imported(ImportReport),
    /// The ids an export writes, in order.
    ExportIndex(Vec<BeadId>),
    /// JSONL lines, without line ends.
    Lines(Vec<String>),
    /// A new ticket.
    Invited(Ticket),
    /// What a stranger is answered: the control entries, or why not.
    JoinDecision(Result<Vec<Sealed>, JoinRefusal>),
    /// The mesh entered, and how many beads were taken along.
    Joined {
        /// The mesh.
        mesh: MeshId,
        /// Its name.
        name: String,
        /// Beads taken along.
        beads: u64,
    },
    /// The mesh and its control entries.
    Membership(Membership),
    /// What a check found; empty when all is well.
    Checked(Vec<Finding>),
    /// How many entries were folded and how many beads they make.
    Rebuilt {
        /// Entries.
        entries: u64,
        /// Beads.
        beads: u64,
    },
    /// It is done.
    Done,
}

/// How this node and its mesh stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusAnswer {
    /// This node.
    pub node: NodeId,
    /// What people call it.
    pub node_name: String,
    /// The store opening.
    pub instance: InstanceId,
    /// The mesh.
    pub mesh: MeshId,
    /// What people call the mesh.
    pub mesh_name: String,
    /// What this node may do.
    pub role: Role,
    /// Entries stored.
    pub entries: u64,
    /// Beads known, tombstones included.
    pub beads: u64,
    /// Beads that can be worked on now.
    pub ready: u64,
    /// BLAKE3 over the summaries of both sets, in hex: equal digests mean equal sets.
    pub digest: String,
    /// Entries whose timestamp lies far ahead of our clock.
    pub entries_from_future: u64,
    /// Every other member, linked or not.
    pub peers: Vec<PeerAnswer>,
}

/// Another node of the mesh as seen from here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerAnswer {
    /// The node.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// Whether a link is up.
    pub connected: bool,
    /// The address of the link.
    pub path: Option<String>,
    /// Entries we hold that it is not known to hold.
    pub lag_entries: u64,
    /// When it was last linked.
    pub last_seen: Option<Wall>,
    /// When it last said to the whole mesh that it is there, by its own clock unless that is ahead of ours; absent when
    /// nothing was heard since this node was started.
    pub last_heard: Option<Wall>,
    /// How far catching up from it has come; absent when nothing is under way.
    pub progress: Option<Progress>,
}

/// A member of the mesh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberAnswer {
    /// The node.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Whether it owns the mesh.
    pub owner: bool,
    /// Whether it is this node.
    pub here: bool,
    /// Who let it in.
    pub admitted_by: String,
    /// When it was let in.
    pub admitted_at: Wall,
    /// Where it says it can be reached.
    pub addresses: Vec<String>,
}

/// A project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectAnswer {
    /// Its id.
    pub id: ProjectId,
    /// Its keys.
    pub keys: Vec<String>,
    /// What minted aliases begin with.
    pub prefix: String,
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

/// One finding of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// A stable id, such as `store.checksum`.
    pub check: &'static str,
    /// What was found, as a sentence.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

/// Why a command was not carried out; nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// There is no such thing.
    #[error("no {what} {name:?}")]
    NotFound {
        /// What was looked for.
        what: &'static str,
        /// As it was named.
        name: String,
    },
    /// Several things go by that name.
    #[error("{name:?} is ambiguous: {}", candidates.join(", "))]
    Ambiguous {
        /// As it was named.
        name: String,
        /// What it may mean, at most ten.
        candidates: Vec<String>,
    },
    /// A field has a value it cannot have.
    #[error("{field}: {problem}")]
    Invalid {
        /// The field.
        field: String,
        /// What is wrong with it, with the bound where there is one.
        problem: String,
        /// What to do about it.
        hint: String,
    },
    /// The dependency would close a cycle.
    #[error("the dependency would close a cycle: {}", path.join(" → "))]
    Cycle {
        /// Aliases along the cycle.
        path: Vec<String>,
    },
    /// Something is in the way that another command may settle.
    #[error("{problem}")]
    Conflict {
        /// What is in the way.
        problem: String,
        /// What to do about it.
        hint: String,
    },
    /// This node may not do that.
    #[error("{problem}")]
    Refused {
        /// Why not.
        problem: String,
        /// What to do about it.
        hint: String,
    },
    /// The store failed; nothing more is accepted until the node is started again.
    #[error("the store failed: {0}")]
    Store(String),
}

impl CommandError {
    /// Returns the stable code that scripts may rely on.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "not_found",
            Self::Ambiguous { .. } => "ambiguous",
            Self::Invalid { .. } => "invalid",
            Self::Cycle { .. } => "cycle",
            Self::Conflict { .. } => "conflict",
            Self::Refused { .. } => "refused",
            Self::Store(_) => "store_failed",
        }
    }

    /// Returns what to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::NotFound { what: "dependency", .. } => "`beadmesh bead show` lists what a bead depends on".to_owned(),
            Self::NotFound { .. } => "`beadmesh bead list --all` shows what there is".to_owned(),
            Self::Ambiguous { .. } => "write more of the name, or the id".to_owned(),
            Self::Invalid { hint, .. } | Self::Conflict { hint, .. } | Self::Refused { hint, .. } => hint.clone(),
            Self::Cycle { .. } => "remove one of these dependencies first".to_owned(),
            Self::Store(_) => {
                "free space or mend the disk, then start the node again; nothing acknowledged is lost".to_owned()
            }
        }
    }
}
