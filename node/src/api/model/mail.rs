//! Letters as the API shows them, and what it is told of them.

use beadmesh_protocol::mail::{self, Importance};
use beadmesh_store::command::{LetterAnswer, LetterHead, LetterPage, Party, ReceiptAnswer, ThreadAnswer};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ProjectRequest;

/// A letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Letter {
    /// Its id.
    pub id: String,
    /// The start of its id that no other letter here has.
    pub short: String,
    /// The thread it belongs to.
    pub thread: String,
    /// The address of who wrote it.
    pub from: String,
    /// Addresses of who is to act on it.
    pub to: Vec<String>,
    /// Addresses of who is to know of it.
    pub cc: Vec<String>,
    /// What it is about, in one line.
    pub subject: String,
    /// What it says, as Markdown; absent in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// How pressing it is: low, normal, high or urgent.
    #[schema(value_type = String)]
    pub importance: Importance,
    /// Whether recipients are asked to acknowledge it.
    pub ack_required: bool,
    /// The id of the letter that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_reply_to: Option<String>,
    /// The id of the project it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// What goes with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
    /// When it was written, by the clock of the sender's node.
    pub sent_at: String,
    /// The id of the node it was written on.
    pub node: String,
    /// Whether it came to who asks, who has not read it.
    pub unread: bool,
    /// Whether who asks is to acknowledge it, and has not.
    pub ack_due: bool,
    /// Whether it is a system letter: made by this node for one of its agents, sent by nobody, answered by nobody.
    #[serde(default)]
    pub system: bool,
    /// What a system letter tells of: `bead_closed`, `ack_overdue`, `lease_lapsed`, `claim_yielded`, `claim_contested`
    /// or `alarm`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// What its recipients did with it, as far as is known here; absent in lists, and while nobody did anything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub receipts: Vec<Receipt>,
}

/// A file that goes with a letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Attachment {
    /// Which of the letter's attachments it is, from 1.
    pub index: usize,
    /// BLAKE3 of its content, in hex.
    pub hash: String,
    /// What it is called.
    pub name: String,
    /// Its length in bytes.
    pub bytes: u64,
}

/// A content that was uploaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BlobBody {
    /// BLAKE3 of it, in hex: a letter names it by that.
    pub hash: String,
    /// Its length in bytes.
    pub bytes: u64,
}

/// A content that was uploaded, for a letter to carry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AttachmentRequest {
    /// BLAKE3 of its content, in hex, as the upload answered.
    pub hash: String,
    /// What it is called: a file's name, without folders.
    pub name: String,
}

/// What a recipient did with a letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Receipt {
    /// The address of the recipient.
    pub agent: String,
    /// When it first read or acknowledged the letter, by the clock of its node.
    pub read_at: String,
    /// When it acknowledged the letter, by the clock of its node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged_at: Option<String>,
}

/// One letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LetterBody {
    /// The letter.
    pub letter: Letter,
}

/// Letters, a page of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LettersBody {
    /// The letters, the newest first.
    pub letters: Vec<Letter>,
    /// The id to go on after; absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Whether letters are just being judged or read: some may be missing or about to go, and a later answer tells.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub settling: bool,
    /// Whether a search left the oldest letters out, because memory holds the words of the newest alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
}

/// A thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ThreadBody {
    /// What it is called.
    pub thread: String,
    /// Its letters, each after those it answers.
    pub letters: Vec<Letter>,
    /// How many letters it has, on all pages.
    pub total: u64,
    /// The id to go on after; absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Whether letters are just being judged: some may be missing or about to go, and a later answer tells.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub settling: bool,
}

/// A letter to write. Recipients are written `NAME`, `NAME@node`, `@thread` or `@project`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LetterRequest {
    /// Who is to act on it; the sender of the letter answered when empty.
    #[serde(default)]
    pub to: Vec<String>,
    /// Who is to know of it.
    #[serde(default)]
    pub cc: Vec<String>,
    /// What it is about, in one line; that of the letter answered when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// What it says, as Markdown.
    pub body: String,
    /// The thread it belongs to; that of the letter answered, or else a new one, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<String>,
    /// The letter that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_reply_to: Option<String>,
    /// Whether it also goes to everybody who got the letter that it answers.
    #[serde(default)]
    pub reply_all: bool,
    /// How pressing it is: low, normal, high or urgent.
    #[serde(default)]
    #[schema(value_type = String)]
    pub importance: Importance,
    /// Whether recipients are asked to acknowledge it.
    #[serde(default)]
    pub ack_required: bool,
    /// The project it is about.
    #[serde(default)]
    pub project: ProjectRequest,
    /// What goes with it, uploaded before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<AttachmentRequest>,
    /// Whether it is sent although it seems to hold a password or a key; the node logs that.
    #[serde(default)]
    pub allow_credentials: bool,
}

impl From<LetterHead> for Letter {
    fn from(head: LetterHead) -> Self {
        let addresses = |parties: Vec<Party>| parties.into_iter().map(|party| party.address).collect();
        Self {
            id: head.id.to_string(),
            short: head.short,
            thread: head.thread,
            from: head.from.address,
            to: addresses(head.to),
            cc: addresses(head.cc),
            subject: head.subject,
            body: None,
            importance: head.importance,
            ack_required: head.ack_required,
            in_reply_to: head.in_reply_to.map(|letter| letter.to_string()),
            project: head.project.map(|project| project.to_string()),
            attachments: (1..).zip(head.attachments).map(Attachment::from).collect(),
            sent_at: head.sent_at.to_string(),
            node: head.node.to_string(),
            unread: head.unread,
            ack_due: head.ack_due,
            system: head.cause.is_some(),
            kind: head.cause.map(|cause| cause.kind().to_owned()),
            receipts: Vec::new(),
        }
    }
}

impl From<LetterAnswer> for Letter {
    fn from(letter: LetterAnswer) -> Self {
        let LetterAnswer { head, body, receipts } = letter;
        let receipts = receipts.into_iter().map(Receipt::from).collect();
        Self { body: Some(body), receipts, ..head.into() }
    }
}

impl From<ReceiptAnswer> for Receipt {
    fn from(receipt: ReceiptAnswer) -> Self {
        let ReceiptAnswer { party, read_at, acknowledged_at } = receipt;
        let acknowledged_at = acknowledged_at.map(|wall| wall.to_string());
        Self { agent: party.address, read_at: read_at.to_string(), acknowledged_at }
    }
}

impl From<(usize, mail::Attachment)> for Attachment {
    fn from((index, attachment): (usize, mail::Attachment)) -> Self {
        let mail::Attachment { hash, name, bytes } = attachment;
        Self { index, hash: hash.to_string(), name, bytes }
    }
}

impl From<LetterPage> for LettersBody {
    fn from(page: LetterPage) -> Self {
        let LetterPage { letters, next, settling, truncated } = page;
        let letters = letters.into_iter().map(Letter::from).collect();
        Self { letters, next: next.map(|letter| letter.to_string()), settling, truncated }
    }
}

impl From<ThreadAnswer> for ThreadBody {
    fn from(answer: ThreadAnswer) -> Self {
        let ThreadAnswer { thread, letters, total, next, settling } = answer;
        let letters = letters.into_iter().map(Letter::from).collect();
        Self { thread, letters, total, next: next.map(|letter| letter.to_string()), settling }
    }
}
