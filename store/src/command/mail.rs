//! What commands on mail ask and answer.

use std::collections::BTreeMap;

use beadmesh_protocol::clock::Wall;
use beadmesh_protocol::id::{AgentId, LetterId, NodeId, ProjectId};
use beadmesh_protocol::mail::system::Cause;
use beadmesh_protocol::mail::{Attachment, Importance, Letter};

use super::ProjectContext;

/// A letter to send.
///
/// A recipient is `Name`, `Name@node`, `@thread` for all who have written or got a letter of the thread, or `@project`
/// for all agents that work in the project; neither of the last two means the sender. `@thread` is for threads of at most
/// 512 letters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NewLetter {
    /// Who is to act on it; of an answer, the sender of the letter that is answered when empty.
    pub to: Vec<String>,
    /// Who is to know of it.
    pub cc: Vec<String>,
    /// What it is about, in one line; of an answer, `Re: ` and the other's when empty.
    pub subject: String,
    /// What it says, as Markdown.
    pub body: String,
    /// The thread; that of the letter that is answered, or a new one, when absent.
    pub thread: Option<String>,
    /// The letter that it answers: its id, or a start of it that no other has.
    pub in_reply_to: Option<String>,
    /// Whether an answer without recipients also goes to all who got the other letter.
    pub reply_all: bool,
    /// How pressing it is.
    pub importance: Importance,
    /// Whether recipients are asked to acknowledge it.
    pub ack_required: bool,
    /// The project; that of the letter that is answered, or none, when absent.
    pub project: Option<ProjectContext>,
    /// What goes with it; whoever asks has made sure that the contents are durable here.
    pub attachments: Vec<Attachment>,
    /// Whether it is sent although it seems to hold a password or a key.
    pub allow_credentials: bool,
}

/// Which letters of an inbox to list, and which page of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InboxFilter {
    /// Only those that the agent has not read.
    pub unread: bool,
    /// Only those of high importance, urgent ones among them.
    pub urgent: bool,
    /// Only those written then or later, by the clocks of their nodes.
    pub since: Option<Wall>,
    /// The last letter of the page before.
    pub after: Option<LetterId>,
    /// How many to list; 0 lists all.
    pub limit: usize,
}

/// Which thread to show, and which page of it.
///
/// A page holds at most 100 letters, and ends earlier after long ones. The pages of a thread of more than 512 letters
/// follow their times, and each is in order in itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ThreadQuery {
    /// The thread, or the id of a letter in it, or a start of one.
    pub thread: String,
    /// The last letter of the page before.
    pub after: Option<LetterId>,
    /// How many to show; as many as a page holds for 0.
    pub limit: usize,
}

/// Which letters to find, and which page of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MailQuery {
    /// Words, each of which subject, body or the sender's name must hold, in letters of either case.
    pub query: String,
    /// The last letter of the page before.
    pub after: Option<LetterId>,
    /// How many to list; 0 lists all.
    pub limit: usize,
}

/// An agent as letters name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Party {
    /// The agent.
    pub agent: AgentId,
    /// Where letters reach it: `Name@node`, or the start of its id where the mesh does not know it.
    pub address: String,
}

/// What lists show of a letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LetterHead {
    /// The letter.
    pub id: LetterId,
    /// The start of its id that no other letter here has, at least 6 characters.
    pub short: String,
    /// The project it is about.
    pub project: Option<ProjectId>,
    /// The thread it belongs to.
    pub thread: String,
    /// Who wrote it.
    pub from: Party,
    /// Who is to act on it.
    pub to: Vec<Party>,
    /// Who is to know of it.
    pub cc: Vec<Party>,
    /// What it is about.
    pub subject: String,
    /// How pressing it is.
    pub importance: Importance,
    /// Whether recipients are asked to acknowledge it.
    pub ack_required: bool,
    /// The letter that it answers.
    pub in_reply_to: Option<LetterId>,
    /// What goes with it.
    pub attachments: Vec<Attachment>,
    /// When it was written, by the clock of the sender's node.
    pub sent_at: Wall,
    /// The node it was written on.
    pub node: NodeId,
    /// Whether it came to the asking agent, who has not read it.
    pub unread: bool,
    /// Whether the asking agent is to acknowledge it, and has not.
    pub ack_due: bool,
    /// What it tells of, if it is a system letter: made here, for one agent, and never sent.
    pub cause: Option<Cause>,
}

/// A letter with all that it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LetterAnswer {
    /// What lists show of it.
    pub head: LetterHead,
    /// What it says, as Markdown.
    pub body: String,
    /// What its recipients did with it, in the order in which it names them; those who did nothing are left out.
    pub receipts: Vec<ReceiptAnswer>,
}

/// What one recipient did with a letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptAnswer {
    /// The recipient.
    pub party: Party,
    /// When it first read or acknowledged the letter, by the clock of its node.
    pub read_at: Wall,
    /// When it acknowledged the letter, by the clock of its node.
    pub acknowledged_at: Option<Wall>,
}

/// A page of letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LetterPage {
    /// The letters of the page.
    pub letters: Vec<LetterHead>,
    /// The letter to continue after; absent on the last page.
    pub next: Option<LetterId>,
    /// Whether letters are just being judged or read: some may be missing or about to go, and a later answer tells.
    pub settling: bool,
    /// Whether a search left letters out, the oldest, because there are more words than memory is given for.
    pub truncated: bool,
}

/// A page of a thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThreadAnswer {
    /// The thread.
    pub thread: String,
    /// The letters of the page, each after those it answers.
    pub letters: Vec<LetterAnswer>,
    /// How many letters the thread has, on all pages.
    pub total: u64,
    /// The letter to continue after; absent on the last page.
    pub next: Option<LetterId>,
    /// Whether letters are just being judged: some may be missing or about to go, and a later answer tells.
    pub settling: bool,
}

/// Which letters carry a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlobUse {
    /// One that was written on this node.
    Ours,
    /// Some that were written on other nodes alone.
    Theirs,
    /// None that has effect here.
    Nobodys,
}

/// All mail that has effect here, whoever it is to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MailExport {
    /// The letters.
    pub letters: BTreeMap<LetterId, ExportedLetter>,
    /// The letters of each thread, each after those it names.
    pub threads: BTreeMap<String, Vec<LetterId>>,
    /// What has come to each agent that is known, or that a letter goes to; system letters apart.
    pub inboxes: BTreeMap<AgentId, ExportedInbox>,
    /// The system letters of this node's agents. Each node has its own.
    pub system: BTreeMap<LetterId, ExportedSystemLetter>,
}

/// A system letter, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportedSystemLetter {
    /// Whom it tells.
    pub agent: AgentId,
    /// What it tells of.
    pub cause: Cause,
    /// When that came about.
    pub at: Wall,
    /// How often it is in the agent's inbox.
    pub listed: usize,
    /// Whether it is among what the agent has not read.
    pub unread: bool,
}

/// A letter as it was written, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportedLetter {
    /// The letter.
    pub letter: Letter,
    /// The node it was written on.
    pub node: NodeId,
    /// What its recipients did with it, in the order in which it names them; those who did nothing are left out.
    pub receipts: Vec<ReceiptAnswer>,
}

/// What has come to one agent, the newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExportedInbox {
    /// Every letter.
    pub letters: Vec<LetterId>,
    /// Those that the agent has not read.
    pub unread: Vec<LetterId>,
}
