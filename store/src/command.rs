//! Commands and answers: what the API may ask of the replica, and what it says.
//!
//! Commands are wishes; each is answered once, after everything the answer rests on is durable.

use std::time::Duration;

use beadmesh_protocol::agent::Token;
use beadmesh_protocol::clock::Wall;
use beadmesh_protocol::entry::{Entry, Sealed};
use beadmesh_protocol::id::{BeadId, BlobHash, EntryId, InstanceId, MeshId, NodeId, ProjectId};
use beadmesh_protocol::invite::{JoinRefusal, JoinRequest, Ticket};
use beadmesh_protocol::op::Role;
use beadmesh_protocol::sync::Progress;

use crate::membership::Membership;

mod agent;
mod bead;
mod error;
mod lease;
mod mail;
mod measures;
mod members;

pub use agent::{AgentAnswer, Credential, NewAgent};
pub use bead::{Action, BeadAnswer, BeadEdit, DepAnswer, Filter, ImportReport, LineNote, NewBead, Page, Prepared};
pub use error::CommandError;
pub use lease::{
    ClaimAnswer, ClaimFilter, ClaimState, ContestAnswer, NewClaim, NewVoters, PathProblem, PathsAnswer, SeatAnswer,
    StaleCloseAnswer, VotersAnswer,
};
pub use mail::{
    BlobUse, ExportedInbox, ExportedLetter, ExportedSystemLetter, InboxFilter, LetterAnswer, LetterHead, LetterPage,
    MailExport, MailQuery, NewLetter, Party, ReceiptAnswer, ThreadAnswer, ThreadQuery,
};
pub use measures::MeasuresAnswer;
pub use members::{ApplicantAnswer, FormerAnswer, MemberAnswer, MemberWish, NewInvite, OpenInviteAnswer};

/// A wish of the API.
#[derive(Debug)]
pub enum Command {
    /// Carries out the command as an agent of this node; of several, one in another, the innermost counts.
    ///
    /// Mail needs it, and so does a bead command whose `by` is the name of an agent that is registered here.
    As(Credential, Box<Command>),
    /// Tells how this node and its mesh stand.
    Status,
    /// Lists the members of the mesh, and those who were; answers `Members`.
    Members,
    /// Finds the member that a person means: by its name, its id, or the start of that; answers `Member`.
    FindMember(String),
    /// Removes a member, gives it a role or a name, or leaves the mesh; answers `Removed` or `Member`.
    Member(MemberWish),
    /// Lists the invites that this node has opened; answers `Invites`.
    Invites,
    /// Closes an invite: by its id, or the start of it; answers `Done`.
    RevokeInvite(String),
    /// Lists the nodes that wait here to be approved; answers `Applicants`.
    Applicants,
    /// Lets in a node that waits, named by its fingerprint; answers `Member`.
    Approve(String),
    /// Turns away a node that waits, named by its fingerprint; answers `Done`.
    Deny(String),
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
    /// Leaves the mesh of one and enters another that has let us in, with control entries opened as of that mesh; answers
    /// `Joined`.
    Enter(MeshId, Vec<Entry>),
    /// Returns what the mesh is found again by, should the store be lost; answers `Membership`.
    Membership,
    /// Announces where this node can be reached; answers `Done`.
    Announce(Vec<String>),
    /// Registers an agent of this node and answers `Registered` with its token. Under the agent's own credential its
    /// profile is changed instead, and the token stays.
    AgentRegister(NewAgent),
    /// Lists the agents of the mesh; answers `Agents`.
    AgentList {
        /// Also those that are retired.
        all: bool,
    },
    /// Gives an agent of this node a new token, and the old one is worth nothing; answers `Registered`.
    AgentRotate(String),
    /// Retires an agent of this node for good; answers `Agent`.
    AgentRetire(String),
    /// Writes a system letter to an agent of this node, named first, about an alarm; answers `Done`.
    AgentAlarm(String, String),
    /// Sends a letter; answers `Letter`.
    MailSend(Box<NewLetter>),
    /// Lists letters that came to the agent, the newest first; answers `Letters`.
    MailInbox(InboxFilter),
    /// Shows a letter, and notes that the agent has read it; answers `Letter`.
    MailShow {
        /// The letter: its id, or a start of it that no other has.
        letter: String,
        /// Shows it without noting that.
        peek: bool,
    },
    /// Shows a thread, each letter after those it answers; answers `Thread`.
    MailThread(ThreadQuery),
    /// Acknowledges a letter; answers `Letter`.
    MailAck(String),
    /// Finds letters that hold every word, the newest first; answers `Letters`.
    MailSearch(MailQuery),
    /// Counts the letters that the agent has not read; answers `Unread`.
    MailUnread,
    /// Claims a bead, or paths; answers `Claim` once it is held or known to be tentative.
    Claim(Box<NewClaim>),
    /// Ends the agent's claim: by its id, or by its bead; answers `Claim`.
    Unclaim(String),
    /// Lets the agent's claim run for so long from now: by its id, or by its bead; answers `Claim`.
    Renew(String, Duration),
    /// Shows a claim of anybody: by its id, or by its bead; answers `Claim`.
    ShowClaim(String),
    /// Lists claims; answers `Claims`.
    ListClaims(ClaimFilter),
    /// Tells what stands in the way of writing paths of a project; answers `Paths`.
    CheckPaths(ProjectContext, Vec<String>),
    /// Lists the voters; answers `Voters`.
    Voters,
    /// Chooses other voters; answers `Voters` once they vote, or when that takes long.
    SetVoters(NewVoters),
    /// Tells which letters carry these blobs, in this order; answers `BlobUses`.
    BlobUses(Vec<BlobHash>),
    /// Reads all mail that has effect here, for whoever may run commands on the node; answers `MailExport`.
    MailExport,
    /// Counts what is worth watching; answers `Measured`.
    Measure,
    /// Checks every record and compares views with what they are derived from; answers `Checked`.
    Check,
    /// Takes note of what was found about copies of stores, so that only what comes later is told; answers `Done`.
    AcceptCopies,
    /// Lists what a backup holds; answers `BackupIndex`.
    BackupIndex,
    /// Reads the first of these entries, as many as one batch has room for; answers `Sealed`.
    BackupEntries(Vec<EntryId>),
    /// Takes entries of that mesh from a backup, as if a peer had brought them; answers `TakenBack`.
    TakeBack(MeshId, Vec<Entry>),
    /// Derives every view anew from the entries; answers `Rebuilt`.
    Rebuild,
}

impl Command {
    /// Returns whether it is there to write what has effect only if a member writes it.
    pub(crate) fn is_for_members(&self) -> bool {
        let writes_beads =
            matches!(self, Self::Project(_) | Self::Unite(_) | Self::Create(_) | Self::Edit(_) | Self::Import(_));
        let writes_mail = matches!(self, Self::MailSend(_) | Self::MailAck(_));
        let writes_claims = matches!(self, Self::Claim(_) | Self::Unclaim(_) | Self::Renew(..));
        writes_beads || writes_mail || writes_claims || matches!(self, Self::AgentRegister(_) | Self::AgentRetire(_))
    }

    /// Returns the search that the command is, with the credential it comes with.
    pub(crate) fn search(&self) -> Option<(Option<Credential>, MailQuery)> {
        match self {
            Self::MailSearch(query) => Some((None, query.clone())),
            Self::As(credential, inner) => {
                let (given, query) = inner.search()?;
                Some((given.or_else(|| Some(credential.clone())), query))
            }
            _ => None,
        }
    }

    /// Returns who is said to give the command, where it says so.
    pub(crate) fn by(&self) -> Option<&str> {
        match self {
            Self::Create(new) => Some(&new.by),
            Self::Edit(edit) => Some(&edit.by),
            _ => None,
        }
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

/// What the replica says.
#[derive(Debug)]
pub enum Answer {
    /// How this node and its mesh stand.
    Status(Box<StatusAnswer>),
    /// The members of the mesh, and those who were.
    Members(Vec<MemberAnswer>, Vec<FormerAnswer>),
    /// One member.
    Member(Box<MemberAnswer>),
    /// A node that is a member no more.
    Removed(Box<FormerAnswer>),
    /// The invites of this node.
    Invites(Vec<OpenInviteAnswer>),
    /// The nodes that wait to be approved.
    Applicants(Vec<ApplicantAnswer>),
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
    /// An agent that has been registered, or has got another token.
    Registered {
        /// The agent.
        agent: Box<AgentAnswer>,
        /// Its token, which is never told again; absent where it keeps the one it has.
        token: Option<Token>,
    },
    /// One agent.
    Agent(Box<AgentAnswer>),
    /// Agents of the mesh, by address.
    Agents(Vec<AgentAnswer>),
    /// One letter.
    Letter(Box<LetterAnswer>),
    /// A page of letters.
    Letters(LetterPage),
    /// A page of a thread.
    Thread(ThreadAnswer),
    /// How many letters an agent has not read.
    Unread(u64),
    /// All mail.
    MailExport(Box<MailExport>),
    /// One claim.
    Claim(Box<ClaimAnswer>),
    /// Claims, by project and scope.
    Claims(Vec<ClaimAnswer>),
    /// What stands in the way of writing paths.
    Paths(PathsAnswer),
    /// The voters.
    Voters(VotersAnswer),
    /// Which letters carry some blobs, in the order they were asked for.
    BlobUses(Vec<BlobUse>),
    /// How much there is of what is worth watching.
    Measured(Box<MeasuresAnswer>),
    /// What a backup holds.
    BackupIndex(BackupIndex),
    /// Entries in the form they travel in, in the order they were asked for.
    Sealed(Vec<Sealed>),
    /// What became of entries of a backup.
    TakenBack(TakenBack),
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
    /// That it was removed from the mesh, where it knows.
    pub removed: Option<FormerAnswer>,
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
    /// Nodes that wait here to be approved.
    pub applicants: u64,
    /// Stable ids of what is known of copies of stores; a check tells more.
    pub copies: Vec<&'static str>,
    /// Every other member, linked or not.
    pub peers: Vec<PeerAnswer>,
}

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupIndex {
    /// The mesh.
    pub mesh: MeshId,
    /// This node.
    pub node: NodeId,
    /// When it was asked for, by this node's clock.
    pub wall: Wall,
    /// Every entry, those of the control set first, each set in the order of hybrid times.
    pub ids: Vec<EntryId>,
}

/// What became of entries of a backup.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TakenBack {
    /// Entries that are stored now.
    pub new: u64,
    /// Entries that were here already.
    pub known: u64,
    /// Entries of authors whom this mesh does not know; they were not stored.
    pub unknown: u64,
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
